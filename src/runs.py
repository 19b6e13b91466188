"""The folder of a training run: its recipe, the states to go on from, and its log."""

import json
from pathlib import Path

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from src.config import InputError
from src.files import read_json, whole, write_json

KEEP = 3  # states


class RunFolder:
    """A folder that a run is started in, and found again.

    Args:
        path: the folder, made if need be.
        recipe: part to name to value, all that decides the result: written to recipe.json, or compared with it.

    Raises:
        InputError: the folder holds a run with another recipe.
    """

    def __init__(self, path, recipe):
        self.path = Path(path)
        self.path.mkdir(parents=True, exist_ok=True)
        self.check(recipe)
        self.step = tf.Variable(0, dtype=tf.int64, trainable=False)

    def check(self, recipe):
        path = self.path / "recipe.json"
        if not path.exists():
            return write_json(path, recipe)
        old = read_json(path)
        changed = [
            f"{k} {old[part].get(k)} -> {v}"
            for part in recipe
            for k, v in recipe[part].items()
            if old[part].get(k) != v
        ]
        if changed:
            raise InputError(
                f"{path}: the run in this folder has other settings ({', '.join(changed)}); "
                "give the same, or another --save_dir"
            )

    def restore(self, **objects):
        """Go on from the last state of these trackable objects and the step, if there is one: the step."""
        state = tf.train.Checkpoint(step=self.step, **objects)
        self.states = tf.train.CheckpointManager(state, str(self.path / "state"), max_to_keep=KEEP)
        if self.states.latest_checkpoint:
            state.restore(self.states.latest_checkpoint).assert_existing_objects_matched()
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

    def save(self, step):
        """Keep the state as that after so many steps."""
        self.step.assign(step)
        self.states.save(checkpoint_number=step)

    def report(self, step, tag, value, advice):
        """One figure, such as `loss/train`, to the console, log.jsonl and TensorBoard.

        Raises:
            InputError: it is not a finite number.
        """
        what, split = tag.split("/")
        if not np.isfinite(value):
            raise InputError(f"{self.path}: the {split} {what} is {value} at step {step}; {advice}")
        tqdm.write(f"step {step} {split} {what} {value:.4f}")
        with self.writer.as_default():
            tf.summary.scalar(tag, value, step=step)
        with open(self.path / "log.jsonl", "a") as f:
            f.write(json.dumps({"step": step, tag: value}) + "\n")
