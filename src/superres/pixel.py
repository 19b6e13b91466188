"""Training an upscaling network on pixels: validation PSNR after every epoch, early stopping."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from src import hosts
from src.measuring.metrics import bounded_psnr
from src.superres.files import LAST, save_network
from src.superres.network import Network
from src.superres.perceptual import squared_distance
from src.superres.photographs import TrainingData
from src.superres.soap import Soap
from src.superres.upscaler import Upscaler, cut
from src.training.loop import Figures, Task

WARMUP = 200


@dataclasses.dataclass(frozen=True)
class PixelRecipe:
    """How a network is trained on pixels.

    The learning rate rises over the first WARMUP steps, then falls along a cosine to zero after the last epoch.
    """

    optimizer: str = "soap"  # or adam
    lr: float = 0.003
    epochs: int = 80
    steps: int = 256  # an epoch
    n_batch: int = 16
    patience: int = 30  # epochs without a better validation PSNR

    def make_optimizer(self, precision: str) -> keras.optimizers.Optimizer:
        total = self.epochs * self.steps
        warmup = min(WARMUP, total // 10)
        rate = keras.optimizers.schedules.CosineDecay(0.0, total - warmup, warmup_target=self.lr, warmup_steps=warmup)
        return scaled({"soap": Soap, "adam": keras.optimizers.Adam}[self.optimizer](rate), precision)


def scaled(optimizer: keras.optimizers.Optimizer, precision: str) -> keras.optimizers.Optimizer:
    """The optimizer, behind a loss scale for networks that compute in float16, whose small gradients vanish."""
    return keras.optimizers.LossScaleOptimizer(optimizer) if precision == "mixed_float16" else optimizer


def mean_psnr(upscaler: Upscaler, data: TrainingData) -> float:
    """PSNR of luma in dB, `scale` border pixels cut off, averaged over the images for validation.

    The hosts share the work, and all call this.
    """

    def of(pair):
        low, high = pair
        return bounded_psnr(upscaler(low[None])[0], high, border=upscaler.scale)

    return data.mean(hosts.current().divided(data.valid, of))


def inner(y: tf.Tensor, high: tf.Tensor) -> tf.Tensor:
    """The middle of y [b, h, w, c], as large as `high`: without what a padded network makes of the margin."""
    return cut(y, (y.shape[1] - high.shape[1]) // 2)


class PixelTask(Task):
    """A network that learns to lower the mean squared error of its pixels; the best one is kept in a file.

    And the last one beside it, LAST: where few images validate, the best one is that by chance.

    Attributes:
        learner: the network, or a model of those of its weights that are trained.
        best: the highest validation PSNR so far, in dB.
        waited: epochs since then.
    """

    def __init__(
        self, net: Network, data: TrainingData, recipe: PixelRecipe, path: Path, learner: keras.Model | None = None
    ):
        """Under the run's strategy; `path` is the file of the best network."""
        self.learner = net if learner is None else learner
        self.net, self.data, self.recipe, self.path = net, data, recipe, path
        self.upscaler, self.optimizer = Upscaler(net), recipe.make_optimizer(net.precision)
        self.optimizer.build(self.learner.trainable_variables)
        self.best = tf.Variable(-np.inf, dtype=tf.float64, trainable=False)
        self.waited = tf.Variable(0, trainable=False)
        self.steps = recipe.epochs * recipe.steps
        self.trackables = {"net": net, "optimizer": self.optimizer, "best": self.best, "waited": self.waited}
        self.signature = data.pairs.signature(recipe.n_batch)

    def batches(self, first: int) -> Iterator[tuple[np.ndarray, ...]]:
        return self.data.pairs.batches(self.recipe.n_batch, first, self.steps)

    def update_at(self, step: int) -> Callable[..., dict[str, tf.Tensor]]:
        return self.update

    def update(self, *batch: tf.Tensor) -> dict[str, tf.Tensor]:
        """Move the network once down the gradient of its error on one replica's share of a batch.

        That is what the network takes, and behind it high resolution.
        """
        *inputs, high = batch
        with tf.GradientTape() as tape:
            made = self.learner(self.taken(inputs), training=True)
            errors = self.errors(inputs[0], inner(made, high), high)
            loss = tf.reduce_sum(errors) / self.recipe.n_batch  # the optimizer sums gradients over replicas
            aim = self.optimizer.scale_loss(loss)
        variables = self.learner.trainable_variables
        self.optimizer.apply(tape.gradient(aim, variables), variables)
        return {"loss": loss}

    def taken(self, inputs: Sequence[tf.Tensor]) -> Any:
        """What the learner takes, of a batch without high resolution."""
        return inputs[0]

    @staticmethod
    def errors(low: tf.Tensor, made: tf.Tensor, high: tf.Tensor) -> tf.Tensor:
        """What is lowered of each example of a batch: [b]."""
        return squared_distance(made, high)

    def validate(self) -> Figures:
        return {"psnr": mean_psnr(self.upscaler, self.data)}

    def validated(self, step: int, figures: Figures) -> bool:
        """Note whether the network is the best so far; True after too many epochs without a better one."""
        better = figures["psnr"] > self.best
        self.waited.assign(0 if better else self.waited + 1)
        if better:
            self.best.assign(figures["psnr"])
        return bool(self.waited >= self.recipe.patience)

    def keep(self, step: int):
        """Keep the network, and once more if it is the best so far."""
        save_network(self.path.with_name(LAST), self.net)
        if self.waited == 0:
            save_network(self.path, self.net)
