"""The states of a run to go on from: each with a checksum, complete on the disk before an older one goes."""

import re
import shutil
from pathlib import Path

import numpy as np
import tensorflow as tf

from src.config import InputError
from src.files import checksum, read_bytes, sync, unused, whole
from src.weights.checkpoint import move_into_place
from src.writing import writing

KEEP = 3
MOST = 1 << 12  # bytes of a file of checksums


class States:
    """The folder of a run's states, named by their steps: `ckpt-500.index`, its data, and `ckpt-500.sha256`.

    Attributes:
        damaged: what is wrong with the states behind the newest whole one, newest first.
    """

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)
        self.damaged: list[str] = []

    def steps(self) -> list[int]:
        """The steps of all states, whole or not, in order; one that was not written to its end is none."""
        found = (re.fullmatch(r"ckpt-(\d+)\.(?:index|sha256)", p.name) for p in self.folder.glob("ckpt-*"))
        return sorted({int(match[1]) for match in found if match} - self.unfinished())

    def unfinished(self) -> set[int]:
        """The steps of states whose index, the last of their files, has not taken its place."""
        found = (re.fullmatch(r"\.part-(\d+)\.index", p.name) for p in self.folder.glob(".part-*"))
        return {int(m[1]) for m in found if m and not self.prefix(m[1]).with_suffix(".index").exists()}

    def newest(self) -> int | None:
        """The step of the newest whole state, or None where there is no state.

        Raises:
            InputError: there are states, but none that is whole.
        """
        self.damaged.clear()
        for step in reversed(self.steps()):
            try:
                self.check(step)
                return step
            except InputError as error:
                self.damaged.append(str(error))
        if self.damaged:
            raise InputError(
                f"{self.damaged[0]}, and no other state is whole; give another `save_dir`, or remove {self.folder} to "
                "train from the start"
            )
        return None

    def check(self, step):
        """Raise InputError where a state is not what was written."""
        listed = self.prefix(step).with_suffix(".sha256")
        content = read_bytes(listed, MOST)
        lines = re.findall(rb"([0-9a-f]{64})  (ckpt-\d+\.[\w.-]+)\n", content)
        if not lines or content != b"".join(b"%s  %s\n" % line for line in lines):
            raise InputError(f"{listed}: damaged (not a list of checksums)")
        for digest, name in lines:
            path = self.folder / name.decode()
            if checksum(path) != digest.decode():
                raise InputError(f"{path}: damaged (its checksum is another)")

    def prefix(self, step):
        return self.folder / f"ckpt-{step}"

    def read(self, state: tf.train.Checkpoint, step: int):
        """Give the objects of `state` the values of a whole state, and set the damaged ones behind it aside."""
        state.read(str(self.prefix(step))).assert_existing_objects_matched()
        for later in (other for other in self.steps() if other > step):
            for path in sorted(self.folder.glob(f"ckpt-{later}.*"), reverse=True):
                path.rename(unused(self.folder / f"damaged-{path.name}"))

    def value(self, step: int, name: str) -> np.ndarray:
        """What a whole state holds of one of the variables that stand beside networks and optimizers."""
        return tf.train.load_checkpoint(str(self.prefix(step))).get_tensor(f"{name}/.ATTRIBUTES/VARIABLE_VALUE")

    def write(self, state: tf.train.Checkpoint, step: int):
        """Keep a state; with it on the disk, older ones than the last KEEP go.

        Raises:
            InputError: it cannot be written; the states before it stay.
        """
        try:
            with writing(self.prefix(step)):
                self.folder.mkdir(exist_ok=True)
                sync(self.folder.parent)
                self.move(Path(state.write(str(self.folder / f".part-{step}"))), step)
        finally:
            self.tidy()
        for old in self.steps()[:-KEEP]:
            for path in sorted(self.folder.glob(f"ckpt-{old}.*"), reverse=True):  # the index before its data
                path.unlink()

    def move(self, part, step):
        """Give what has been written as `part` the name of a state, its checksums first."""
        prefix = self.prefix(step)
        written = sorted(self.folder.glob(f"{part.name}.*"))
        lines = [f"{checksum(path)}  {path.name.replace(part.name, prefix.name)}\n" for path in written]
        with whole(prefix.with_suffix(".sha256")) as beside:
            beside.write_text("".join(lines))
        move_into_place(part, prefix)

    def tidy(self):
        """Remove what a state that was not written to its end has left."""
        begun = [path for step in self.unfinished() for path in self.folder.glob(f"ckpt-{step}.*")]
        for path in [*begun, *self.folder.glob(".part-*")]:  # what says that a state was begun goes last
            shutil.rmtree(path) if path.is_dir() else path.unlink()
