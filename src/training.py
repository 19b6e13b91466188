"""Pre-training with the paper's recipe: one loop under any strategy, that goes on exactly where it was stopped."""

import dataclasses

import keras
import numpy as np
import tensorflow as tf
from tqdm import tqdm

from src.checkpoint import load_model, save_model
from src.distribute import distributed, summed
from src.evaluation import Evaluator
from src.model import ImageGPT
from src.runs import RunFolder
from src.utils import set_seed


@dataclasses.dataclass(frozen=True)
class Recipe:
    """What decides a run's result; the defaults are those of the paper's smallest model.

    Adam without weight decay, dropout or clipping; the learning rate rises linearly for `warmup_steps` (the paper: one
    epoch), then falls along a cosine to zero at `steps`.
    """

    steps: int = 1_000_000
    n_batch: int = 128
    lr: float = 0.003
    warmup_steps: int = 0
    beta1: float = 0.9
    beta2: float = 0.95
    flip: bool = False
    dtype: str = "float32"
    seed: int = 42
    start: str | None = None  # checkpoint whose weights the run begins with


@dataclasses.dataclass(frozen=True)
class Reporting:
    """How often, in steps, a run reports its losses, measures the validation loss and keeps its state."""

    log_every: int = 50
    eval_every: int = 1000
    eval_images: int = 1000
    save_every: int = 500


def make_optimizer(recipe):
    """Adam with warm-up and cosine; under float16 with a dynamic loss scale."""
    warm = min(recipe.warmup_steps, recipe.steps - 1)
    schedule = keras.optimizers.schedules.CosineDecay(
        recipe.lr / max(warm, 1),
        max(recipe.steps - warm, 1),
        warmup_target=recipe.lr if warm > 1 else None,
        warmup_steps=warm if warm > 1 else 0,
    )
    adam = keras.optimizers.Adam(schedule, beta_1=recipe.beta1, beta_2=recipe.beta2)
    return keras.optimizers.LossScaleOptimizer(adam) if recipe.dtype == "float16" else adam


def training_batches(X, hparams, recipe, first):
    """Yield (tokens [n_batch, s] int32, mask [n_batch, s] float32) from step `first` on.

    Batches are consecutive pieces of one random order of the images after another; each depends on seed and step alone.
    """
    order, epoch = None, None
    for step in range(first, recipe.steps):
        rng = np.random.default_rng([recipe.seed, 1, step])
        places = np.arange(step * recipe.n_batch, (step + 1) * recipe.n_batch)
        rows = np.empty_like(places)
        for e in np.unique(places // len(X)):
            if e != epoch:
                order, epoch = np.random.default_rng([recipe.seed, 0, e]).permutation(len(X)), e
            here = places // len(X) == e
            rows[here] = order[places[here] % len(X)]
        x = X[rows].astype(np.int32)
        if recipe.flip:
            square = x.reshape(-1, hparams.n_px, hparams.n_px)
            x = np.where(rng.random([len(x), 1, 1]) < 0.5, square[:, :, ::-1], square).reshape(x.shape)
        yield x, (rng.random(x.shape) > hparams.bert_mask_prob).astype(np.float32)


def make_step(model, optimizer, strategy, n_batch):
    """A `tf.function` from one distributed batch to its mean loss, that updates the model once."""
    variables = list(model.params.values())

    def replica(x, mask):
        with tf.GradientTape() as tape:
            losses = model(x, mask=mask if model.hparams.bert else None)["gen_losses"]
            loss = tf.reduce_sum(losses) / n_batch  # the optimizer sums gradients over replicas
            scaled = optimizer.scale_loss(loss)  # only under float16
        optimizer.apply(tape.gradient(scaled, variables), variables)
        return loss

    return summed(strategy, replica)


class Run:
    """One training run in a folder: model, optimizer and step, kept together and found again.

    Raises:
        InputError: the folder holds a run with another recipe or model.
    """

    def __init__(self, folder, hparams, recipe, strategy, *, recompute=False):
        self.recipe, self.strategy = recipe, strategy
        self.folder = RunFolder(folder, {"hparams": dataclasses.asdict(hparams), "recipe": dataclasses.asdict(recipe)})
        tf.config.experimental.enable_op_determinism()  # or scatter's order would differ between two runs
        set_seed(recipe.seed)
        with strategy.scope():
            options = {"dtype": recipe.dtype, "recompute": recompute}
            self.model = (
                load_model(recipe.start, **options) if recipe.start else ImageGPT(hparams, seed=recipe.seed, **options)
            )
            self.optimizer = make_optimizer(recipe)
            self.optimizer.build(list(self.model.params.values()))
        self.first = self.folder.restore(model=self.model, optimizer=self.optimizer)

    def train(self, X, X_valid=None, reporting=Reporting()):
        """Train to the recipe's last step.

        Args:
            X: tokens [n, s] to train on.
            X_valid: tokens for the validation loss, or None.

        Returns:
            The prefix of the checkpoint written at the end, in the release's format.
        """
        recipe, first = self.recipe, self.first
        shape = [recipe.n_batch, X.shape[1]]
        batches = distributed(
            self.strategy,
            lambda: training_batches(X, self.model.hparams, recipe, first),
            (tf.TensorSpec(shape, tf.int32), tf.TensorSpec(shape)),
        )
        update = make_step(self.model, self.optimizer, self.strategy, recipe.n_batch)
        valid = Evaluator(self.model, self.strategy, recipe.n_batch)
        losses = []
        with tqdm(total=recipe.steps, initial=first, desc="train", unit="step") as bar:
            for step in range(first + 1, recipe.steps + 1):
                losses.append(update(next(batches)))
                bar.update()
                last = step == recipe.steps
                if step % reporting.log_every == 0 or last:
                    self.report(step, "loss/train", float(np.mean([x.numpy() for x in losses])))
                    losses.clear()
                if X_valid is not None and (step % reporting.eval_every == 0 or last):
                    self.report(step, "loss/valid", valid.score(X_valid[: reporting.eval_images])["gen"])
                if step % reporting.save_every == 0 or last:
                    self.folder.save(step)
        prefix = self.folder.path / f"model.ckpt-{recipe.steps}"
        save_model(self.model, prefix)
        return prefix

    def report(self, step, tag, loss):
        self.folder.report(step, tag, loss, "lower --lr or raise --warmup_steps")
