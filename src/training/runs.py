"""The folder of a training run: what decides its result, the states to go on from, and its log."""

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tensorflow as tf

from src import hosts
from src.config import InputError, one_line
from src.data.tokens import save_array
from src.files import locked, parse_json, read_bytes, read_json, sync, unused, whole, write_json
from src.training.states import States
from src.weights.checkpoint import STATE
from src.writing import writing

LOG_BYTES = 1 << 30  # at most in a log, of which a run of a week has a few million


@contextlib.contextmanager
def open_run(path: str | Path, recipe: dict[str, dict]) -> Iterator["RunFolder | Follower"]:
    """A `RunFolder`, with its arguments and errors, that other processes are kept out of; a `Follower` elsewhere.

    Raises:
        Disagreement: a host has another recipe or other data than host 0.
    """
    here = hosts.current()
    here.agree(**recipe)
    if not here.first:
        yield Follower(path)
        return
    with locked(Path(path) / ".lock"):
        run = RunFolder(path, recipe)
        here.of_first([run.first, run.notes, run.done])
        yield run


class RunFolder:
    """A folder that a run is started in, and found again.

    Args:
        path: the folder, made if need be.
        recipe: part to name to value, all that decides the result (settings, sizes, fingerprints of the data): written
            to recipe.json, or compared with it. A run may be made longer; one that has no state and no checkpoint yet
            takes any recipe.

    Attributes:
        first: the step that the run goes on from.
        notes: what to tell the user of how it goes on.
        done: whether the training has been ended by its validation.

    Raises:
        InputError: another process trains there; the folder holds a run with another recipe, one to be made longer that
            its validation has ended, one of which the recipe or every state is damaged, or a checkpoint without states.
    """

    def __init__(self, path: str | Path, recipe: dict[str, dict]):
        self.path = Path(path)
        self.notes: list[str] = []
        self.path.mkdir(parents=True, exist_ok=True)
        sync(self.path.parent)
        self.step = tf.Variable(0, dtype=tf.int64, trainable=False)
        self.ended = tf.Variable(False, trainable=False)
        self.states = States(self.path / STATE)
        newest = self.states.newest()
        self.first = newest or 0
        if self.states.damaged:
            self.notes.append(f"{'; '.join(self.states.damaged)}: going on from step {self.first}")
        self.compare(json.loads(json.dumps(recipe)), started=newest is not None)
        self.forget_after(self.first)

    @property
    def done(self) -> bool:
        return bool(self.ended)

    @done.setter
    def done(self, value):
        self.ended.assign(value)

    def compare(self, recipe, started):
        """Write the recipe of a run that has no state, else see that it is that run's, or longer."""
        path = self.path / "recipe.json"
        if not started:
            for result in sorted(self.path.glob("model.ckpt-*.index")):  # would stand for this run's
                raise InputError(f"{result}: is of a run whose states are gone; move it, or give another `save_dir`")
            return write_json(path, recipe)
        if not path.exists():
            raise InputError(f"{path}: missing beside the states of a run; bring it back, or give another `save_dir`")
        changed = differences(read_json(path, dict), recipe)
        length = "epochs" if any("epochs" in part for part in recipe.values()) else "steps"  # else those of an epoch
        longer = [f"{a} to {b} {name}" for name, a, b in changed if name == length and isinstance(a, int) and a < b]
        if len(longer) < len(changed):
            listed = ", ".join(f"{one_line(name)} {one_line(a)} -> {one_line(b)}" for name, a, b in changed)
            raise InputError(
                f"{path}: the run in this folder has other settings ({listed}); give the same, or another `save_dir`"
            )
        if longer and self.states.value(self.first, "done"):
            raise InputError(
                f"{self.path}: the validation has ended this run, so it cannot be made longer; give another `save_dir`"
            )
        if longer:
            self.notes.append(
                f"extended from {', '.join(longer)}; the learning rate follows the longer schedule from here"
            )
            write_json(path, recipe)

    def restore(self, **trackables) -> int:
        """Go on from the newest whole state of these objects, if there is one: the steps done."""
        self.state = tf.train.Checkpoint(step=self.step, done=self.ended, **trackables)
        self.states.tidy()
        if self.first:
            self.states.read(self.state, self.first)
            for variable in variables(trackables) if hosts.current().links else ():
                hosts.current().spread(variable.numpy())
        with writing(self.path / "tensorboard"):
            self.writer = tf.summary.create_file_writer(str(self.path / "tensorboard"))
        return self.first

    def forget_after(self, step):
        """Take from the log what was reported after the state and will be reported again, or was cut short."""
        log = self.path / "log.jsonl"
        if not os.path.lexists(log):
            return
        entries, damaged = read_log(log)
        if damaged:
            aside = unused(log.with_name("log-damaged.jsonl"))
            log.rename(aside)
            self.notes.append(f"{log}: {damaged}; set aside as {aside.name}, {len(entries)} entries are kept")
        with whole(log) as part:
            part.write_text("".join(json.dumps(entry) + "\n" for entry in entries if entry["step"] <= step))

    def keep(self, name: str, array: np.ndarray):
        """Write an array beside the states, such as the palette."""
        save_array(self.path / name, array)

    def save(self, step: int):
        """Keep the state as that after so many steps."""
        self.step.assign(step)
        self.states.write(self.state, step)

    def log(self, step: int, figures: dict[str, float]):
        """Figures such as `loss/train` into log.jsonl, on the disk when this returns, and for TensorBoard."""
        with writing(self.path / "tensorboard"):
            with self.writer.as_default(step):
                for name, value in figures.items():
                    tf.summary.scalar(name, value)
            self.writer.flush()
        log = self.path / "log.jsonl"
        with writing(log), open(log, "a") as f:
            f.write(json.dumps({"step": step} | figures) + "\n")
            f.flush()
            os.fsync(f.fileno())
        sync(self.path)


class Follower:
    """A run as hosts other than the first have it: without a folder, it follows host 0's.

    Attributes are those of `RunFolder`.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.first, self.notes, self.done = hosts.current().of_first(None)

    def restore(self, **trackables) -> int:
        """Take the state that host 0 goes on from."""
        for variable in variables(trackables) if self.first else ():
            variable.assign(hosts.current().spread(variable.numpy()))
        return self.first

    def keep(self, name: str, array: np.ndarray):
        """Host 0 does."""

    def save(self, step: int):
        """Host 0 does."""

    def log(self, step: int, figures: dict[str, float]):
        """Host 0 does."""


def variables(trackables: dict[str, tf.Module]) -> Iterator[tf.Variable]:
    """All variables of networks, optimizers and counters, in the same order on every host."""
    for name in sorted(trackables):
        each = trackables[name]
        yield from getattr(each, "variables", None) or [each]


def differences(old, new):
    """[(name, old value, new value)] of what differs between two recipes, parts in parts included."""
    found = []
    for name in old | new:
        a, b = old.get(name), new.get(name)
        if isinstance(a, dict) and isinstance(b, dict):
            found += differences(a, b)
        elif a != b and isinstance(a or b, dict):  # a part that the other has not
            found += differences(*(part if isinstance(part, dict) else {} for part in (a, b)))
        elif a != b:
            found.append((name, a, b))
    return found


def read_log(path: str | Path) -> tuple[list[dict[str, float]], str | None]:
    """The entries of a log.jsonl, each with its `step`, and what is wrong with it if anything is.

    A last line that was cut short, as a killed run leaves it, is left out and nothing wrong.
    """
    entries, damaged = [], None
    try:
        lines = read_bytes(path, LOG_BYTES).split(b"\n")[:-1]
    except InputError as error:
        return entries, str(error).removeprefix(f"{path}: ")
    for i, line in enumerate(lines):
        try:
            entries.append(entry(line, path))
        except InputError:
            damaged = damaged or f"line {i + 1} is damaged"
    return entries, damaged


def entry(line, path):
    """One line of a log."""
    found = parse_json(line, path, dict)
    numbers = {name: value for name, value in found.items() if type(value) in (int, float)}
    if numbers != found or type(found.get("step")) is not int:
        raise InputError(f"{path}: not an entry of a log")
    return found


def plot_log(path, log):
    """Plot every figure of a run's log.jsonl over its steps, one axis each, into a PNG."""
    from matplotlib.figure import Figure

    curves = {}
    for figures in read_log(log)[0]:
        step = figures.pop("step")
        for name, value in figures.items():
            curves.setdefault(name, []).append((step, value))
    figure = Figure(figsize=(5 * len(curves), 4), layout="constrained")
    for axis, (name, points) in zip(figure.subplots(1, len(curves), squeeze=False)[0], curves.items()):
        axis.plot(*zip(*points), marker=".", markersize=3)
        axis.set(xlabel="step", title=name)
        axis.grid(alpha=0.3)
    with whole(path) as part:
        figure.savefig(part, format="png", dpi=100)
