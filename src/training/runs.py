"""The folder of a training run: what decides its result, the states to go on from, and its log."""

import json
import os
import re
import shutil
from pathlib import Path

import tensorflow as tf

from src.config import InputError
from src.files import read_json, sync, whole, write_json
from src.weights.checkpoint import move_into_place

KEEP = 3  # states


class RunFolder:
    """A folder that a run is started in, and found again.

    Args:
        path: the folder, made if need be.
        recipe: part to name to value, all that decides the result (settings, sizes, fingerprints of the data): written
            to recipe.json, or compared with it. A run may be made longer; one that has no state yet takes any recipe.

    Attributes:
        note: what to tell the user of how the run goes on, or None.
        done: whether the training has been ended by its validation.

    Raises:
        InputError: the folder holds a run with another recipe, or one to be made longer that its validation has ended.
    """

    def __init__(self, path: str | Path, recipe: dict[str, dict]):
        self.path = Path(path)
        self.note: str | None = None
        self.path.mkdir(parents=True, exist_ok=True)
        sync(self.path.parent)
        self.compare(json.loads(json.dumps(recipe)))
        self.step = tf.Variable(0, dtype=tf.int64, trainable=False)
        self.ended = tf.Variable(False, trainable=False)

    @property
    def done(self) -> bool:
        return bool(self.ended)

    @done.setter
    def done(self, value):
        self.ended.assign(value)

    def compare(self, recipe):
        """Write the recipe where there is no run to go on with, else see that it is that run's, or longer."""
        path = self.path / "recipe.json"
        if not path.exists() or not self.states():
            return write_json(path, recipe)
        old = read_json(path, dict)
        changed = differences(old, recipe)
        length = "epochs" if any("epochs" in part for part in recipe.values()) else "steps"  # else those of an epoch
        longer = [f"{a} to {b} {name}" for name, a, b in changed if name == length and (a or 0) < (b or 0)]
        if len(longer) < len(changed):
            listed = ", ".join(f"{name} {a} -> {b}" for name, a, b in changed)
            raise InputError(
                f"{path}: the run in this folder has other settings ({listed}); give the same, or another `save_dir`"
            )
        if longer and self.was_ended():
            raise InputError(
                f"{self.path}: the validation has ended this run, so it cannot be made longer; give another `save_dir`"
            )
        if longer:
            self.note = f"extended from {', '.join(longer)}; the learning rate follows the longer schedule from here"
            write_json(path, recipe)

    def was_ended(self):
        """Whether the last state is that of a run which its validation has ended."""
        states = self.states()
        return bool(tf.train.load_checkpoint(states[max(states)]).get_tensor("done/.ATTRIBUTES/VARIABLE_VALUE"))

    def states(self):
        """Steps of the states in the folder to the beginnings of their files' names, in order."""
        found = [(p, re.fullmatch(r"ckpt-(\d+)", p.stem)) for p in (self.path / "state").glob("ckpt-*.index")]
        return dict(sorted((int(match[1]), str(p.with_suffix(""))) for p, match in found if match))

    def restore(self, **trackables) -> int:
        """Go on from the last state of these objects, if there is one: the steps done."""
        self.state = tf.train.Checkpoint(step=self.step, done=self.ended, **trackables)
        states = self.states()
        if states:
            self.state.read(states[max(states)]).assert_existing_objects_matched()
        for path in (self.path / "state").glob(".part-*"):  # of a run that was killed while it wrote
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        self.forget_after(int(self.step))
        self.writer = tf.summary.create_file_writer(str(self.path / "tensorboard"))
        return int(self.step)

    def forget_after(self, step):
        """Take from the log what was reported after the state and will be reported again, or was cut short."""
        log = self.path / "log.jsonl"
        if log.exists():
            lines = [line for line in log.read_text().splitlines(keepends=True) if line.endswith("}\n")]
            with whole(log) as part:
                part.write_text("".join(line for line in lines if json.loads(line)["step"] <= step))

    def save(self, step: int):
        """Keep the state as that after so many steps; with it on the disk, older ones go."""
        folder = self.path / "state"
        folder.mkdir(exist_ok=True)
        sync(self.path)
        self.step.assign(step)
        move_into_place(self.state.write(str(folder / f".part-{step}")), folder / f"ckpt-{step}")
        for old in [*self.states().values()][:-KEEP]:
            for path in sorted(folder.glob(f"{Path(old).name}.*"), reverse=True):  # the index first
                path.unlink()

    def log(self, step: int, figures: dict[str, float]):
        """Figures such as `loss/train` into log.jsonl, on the disk when this returns, and for TensorBoard."""
        with self.writer.as_default(step):
            for name, value in figures.items():
                tf.summary.scalar(name, value)
        self.writer.flush()
        with open(self.path / "log.jsonl", "a") as f:
            f.write(json.dumps({"step": step} | figures) + "\n")
            f.flush()
            os.fsync(f.fileno())
        sync(self.path)


def differences(old, new):
    """[(name, old value, new value)] of what differs between two recipes, parts in parts included."""
    found = []
    for name in old | new:
        a, b = old.get(name), new.get(name)
        if isinstance(a, dict) or isinstance(b, dict):
            found += differences(a or {}, b or {})
        elif a != b:
            found.append((name, a, b))
    return found


def plot_log(path, log):
    """Plot every figure of a run's log.jsonl over its steps, one axis each, into a PNG."""
    from matplotlib.figure import Figure

    curves = {}
    for entry in map(json.loads, Path(log).read_text().splitlines()):
        step = entry.pop("step")
        for name, value in entry.items():
            curves.setdefault(name, []).append((step, value))
    figure = Figure(figsize=(5 * len(curves), 4), layout="constrained")
    for axis, (name, points) in zip(figure.subplots(1, len(curves), squeeze=False)[0], curves.items()):
        axis.plot(*zip(*points), marker=".", markersize=3)
        axis.set(xlabel="step", title=name)
        axis.grid(alpha=0.3)
    with whole(path) as part:
        figure.savefig(part, format="png", dpi=100)
