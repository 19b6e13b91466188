"""Pre-training with the paper's recipe, as a task of the loop."""

import contextlib
import dataclasses
import math
from collections.abc import Callable, Iterator
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from src import hosts
from src.config import HParams, InputError
from src.data.augmentation import mirrored
from src.measuring.evaluation import Evaluator
from src.model import ImageGPT
from src.training.averaging import restored
from src.training.loop import Figures, Intervals, Task, train
from src.training.runs import RunFolder
from src.weights.checkpoint import load_model, open_checkpoint, save_model


@dataclasses.dataclass(frozen=True)
class Recipe:
    """What decides a run's result, with the sizes and the data; the defaults are those of the paper's smallest model.

    Adam without weight decay, dropout or clipping, on mean losses of `n_batch` images. The learning rate rises linearly
    for `warmup_steps` (the paper: one epoch; at most all steps but one), then falls along a cosine to zero at `steps`.

    Departures on request: Keras' Muon moves the matrices of the MLPs, while embeddings, attention's arrays of three
    dimensions, gains and a classifier stay with Adam; a constant rate after the warm-up; an average of the weights with
    momentum `ema`, on which validation is made and which the checkpoint holds.
    """

    steps: int = 1_000_000
    n_batch: int = 128
    optimizer: str = "adam"  # or muon
    schedule: str = "cosine"  # or constant
    lr: float = 0.003
    warmup_steps: int = 0
    beta1: float = 0.9
    beta2: float = 0.95
    ema: float = 0.0  # 0: no average
    flip: bool = False
    dtype: str = "float32"
    seed: int = 42


@dataclasses.dataclass(frozen=True)
class Tokens:
    """Token data [n, s]: to train on, and for the validation loss."""

    train: np.ndarray
    valid: np.ndarray | None = None


def make_optimizer(recipe: Recipe) -> keras.optimizers.Optimizer:
    """Adam or Muon with warm-up and schedule; under float16 with a dynamic loss scale."""
    warm = min(recipe.warmup_steps, recipe.steps - 1)
    warm = warm if warm > 1 else 0  # the first step of one is at the whole rate already
    rate = keras.optimizers.schedules.CosineDecay(
        recipe.lr / max(warm, 1),
        max(recipe.steps - warm, 1),
        warmup_target=recipe.lr if warm else None,
        warmup_steps=warm,
        alpha=1.0 if recipe.schedule == "constant" else 0.0,
    )
    average = {"use_ema": True, "ema_momentum": recipe.ema} if recipe.ema else {}
    if recipe.optimizer == "muon":
        betas = {"adam_beta_1": recipe.beta1, "adam_beta_2": recipe.beta2}
        without_decay = {"weight_decay": None, "adam_weight_decay": None}
        optimizer = keras.optimizers.Muon(
            rate, exclude_layers=["wte", "wpe", "wclf"], **betas, **without_decay, **average
        )
    else:
        optimizer = keras.optimizers.Adam(rate, beta_1=recipe.beta1, beta_2=recipe.beta2, **average)
    return keras.optimizers.LossScaleOptimizer(optimizer) if recipe.dtype == "float16" else optimizer


def make_model(hparams: HParams, recipe: Recipe, start: str | None = None, *, recompute: bool = False) -> ImageGPT:
    """A model to train: new, or with the weights of the checkpoint `start`."""
    options = {"dtype": recipe.dtype, "recompute": recompute}
    if start:
        return load_model(start, bert_mask_prob=hparams.bert_mask_prob, **options)
    return ImageGPT(hparams, seed=recipe.seed, **options)


class Pretraining(Task):
    """Image GPT on tokens. To be made, like its model, in the scope of the strategy.

    A subclass with another loss says what that is in `losses`, and in `idle` which parameters it does not depend on.

    Args:
        n_sub_batch: images on a device at a time; of more, gradients are summed part by part.
        eval_images: of the validation tokens so many are scored, or all.

    Raises:
        InputError: a batch does not consist of whole parts.
    """

    names: tuple[str, ...] = ("loss",)  # of the losses

    def __init__(
        self,
        model: ImageGPT,
        recipe: Recipe,
        tokens: Tokens,
        strategy: tf.distribute.Strategy,
        n_sub_batch: int = 8,
        eval_images: int | None = 1000,
    ):
        self.model, self.recipe, self.tokens, self.steps = model, recipe, tokens, recipe.steps
        self.n_sub_batch = part_size(recipe.n_batch, n_sub_batch, strategy.num_replicas_in_sync)
        self.variables = [variable for name, variable in model.params.items() if name not in self.idle()]
        for variable in self.variables:
            variable.path = variable.name  # by which Keras' Muon knows the embeddings
        self.optimizer = make_optimizer(recipe)
        self.optimizer.build(self.variables)
        self.trackables = {"model": model, "optimizer": self.optimizer}
        shape = [recipe.n_batch, tokens.train.shape[1]]
        self.signature = tf.TensorSpec(shape, tf.int32), tf.TensorSpec(shape)
        self.evaluator = Evaluator(model, strategy, self.n_sub_batch * strategy.num_replicas_in_sync)
        self.valid = None if tokens.valid is None else tokens.valid[:eval_images]

    def batches(self, first: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        return training_batches(self.tokens.train, self.model.hparams, self.recipe, first)

    def update_at(self, step: int) -> Callable[..., dict[str, tf.Tensor]]:
        return self.update

    def update(self, *inputs):
        """One update from a replica's share [b, ...] of what `batches` yields: its share of the mean losses."""
        if inputs[0].shape[0] == self.n_sub_batch:
            losses, gradients = self.losses_and_gradients(inputs)
        else:  # a loop in the graph, so that only one part's activations are kept
            parts = [tf.reshape(values, [-1, self.n_sub_batch, values.shape[1]]) for values in inputs]
            nothing = dict.fromkeys(self.names, tf.constant(0.0)), [tf.zeros(v.shape) for v in self.variables]
            losses, gradients = tf.foldl(self.add_part, parts, nothing, parallel_iterations=1)
        self.optimizer.apply(gradients, self.variables)
        return losses

    def add_part(self, total, part):
        return tf.nest.map_structure(tf.add, total, self.losses_and_gradients(part))

    def losses_and_gradients(self, part):
        """What a part adds to the mean losses of the whole batch, and to the gradients (scaled under float16)."""
        with tf.GradientTape() as tape:
            losses = {name: tf.reduce_sum(each) / self.recipe.n_batch for name, each in self.losses(*part).items()}
            scaled = self.optimizer.scale_loss(losses["loss"])
        # Dense, for of an embedding's rows Keras' Adam would square each before it adds up those of one colour.
        return losses, [tf.convert_to_tensor(g) for g in tape.gradient(scaled, self.variables)]

    def losses(self, x, mask):
        """Name to losses [b] of tokens [b, s] under BERT's masks [b, s]; `loss` is what is made small."""
        return {"loss": self.model(x, mask=mask if self.model.hparams.bert else None)["gen_losses"]}

    def idle(self) -> set[str]:
        """Names of parameters that the loss does not depend on, such as a classifier that the model may have."""
        return {"model/clf/wclf"}

    def validate(self) -> Figures:
        if self.valid is None:
            return {}
        with self.averaged():
            return {"loss": self.evaluator.score(self.valid)["gen"]}

    def check(self, losses: Figures) -> str | None:
        guessing = math.log(self.model.hparams.n_vocab)
        if losses["loss"] > 2 * guessing:
            return f"the loss is {losses['loss']:.4g}, more than twice that of guessing ({guessing:.2f})"

    @contextlib.contextmanager
    def averaged(self):
        """The model with the average of its weights, where one is kept."""
        if not self.recipe.ema:
            yield
            return
        with restored(self.variables):
            self.optimizer.finalize_variable_values(self.variables)
            yield


def part_size(n_batch, n_sub_batch, replicas):
    """Images on a device at a time: at most `n_sub_batch`.

    Raises:
        InputError: the batch does not consist of such parts.
    """
    share, rest = divmod(n_batch, replicas)
    if rest or (share > n_sub_batch and share % n_sub_batch):
        part = n_sub_batch * replicas
        raise InputError(
            f"`n_batch` {n_batch}: not a multiple of `n_sub_batch` {n_sub_batch} on {replicas} device(s); "
            f"take {max(n_batch // part, 1) * part}"
        )
    return min(share, n_sub_batch)


def training_batches(
    X: np.ndarray, hparams: HParams, recipe: Recipe, first: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield (tokens [n_batch, s] int32, mask [n_batch, s] float32) from step `first` on.

    Each batch depends on seed and step alone.
    """
    for rows, rng in shuffled(len(X), recipe, first):
        x = X[rows].astype(np.int32)
        if recipe.flip:
            x = mirrored(x, hparams.n_px, rng)
        yield x, draw_masks(x, hparams, rng)


def shuffled(n: int, recipe: Recipe, first: int) -> Iterator[tuple[np.ndarray, np.random.Generator]]:
    """Yield (numbers [n_batch] in 0..n-1 of a batch's images, generator of its random numbers) from step `first` on.

    Batches are consecutive pieces of one random order of the images after another.
    """
    order, epoch = None, None
    for step in range(first, recipe.steps):
        places = np.arange(step * recipe.n_batch, (step + 1) * recipe.n_batch)
        rows = np.empty_like(places)
        for e in np.unique(places // n):
            if e != epoch:
                order, epoch = np.random.default_rng([recipe.seed, 0, e]).permutation(n), e
            here = places // n == e
            rows[here] = order[places[here] % n]
        yield rows, np.random.default_rng([recipe.seed, 1, step])


def draw_masks(x: np.ndarray, hparams: HParams, rng: np.random.Generator) -> np.ndarray:
    """BERT's masks for tokens [b, s]: float32 [b, s], 1 keeps a token and 0 hides it."""
    return (rng.random(x.shape) > hparams.bert_mask_prob).astype(np.float32)


def pretrain(
    task: Pretraining,
    run: RunFolder,
    strategy: tf.distribute.Strategy,
    intervals: Intervals,
    report: Callable[[int, Figures], None],
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Train to the recipe's last step; arguments and errors are those of `train`.

    Returns:
        The prefix of the checkpoint written at the end, in the release's format.
    """
    prefix = run.path / f"model.ckpt-{train(task, run, strategy, intervals, report, progress)}"
    if is_missing(prefix):
        with task.averaged():
            save_model(task.model, prefix)
    return prefix


def is_missing(prefix: Path) -> bool:
    """Whether the checkpoint of a run is this host's to write: not there yet, or damaged since."""
    if not hosts.current().first:
        return False
    try:
        open_checkpoint(prefix)
    except InputError:
        return True
    return False
