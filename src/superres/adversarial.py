"""SRGAN's second stage: generator against discriminator (Ledig et al. 2017, section 2)."""

import dataclasses
from collections.abc import Callable, Iterator

import keras
import numpy as np
import tensorflow as tf

from src.superres.discriminator import discriminator
from src.superres.keepsakes import Keepsakes
from src.superres.network import Network
from src.superres.perceptual import absolute_distance, grid_distance, line_distance, make_content_loss
from src.superres.photographs import TrainingData
from src.superres.pixel import inner, mean_psnr, scaled
from src.superres.upscaler import Upscaler
from src.superres.verdicts import LOSSES
from src.training.averaging import Average
from src.training.loop import Figures, Task

DISTANCES = {  # name to a function of two batches of images and the scale, beside the content loss
    "pixel": lambda made, high, scale: absolute_distance(made, high),
    "grid": grid_distance,
    "line": line_distance,
}


@dataclasses.dataclass(frozen=True)
class GanRecipe:
    """How a generator is trained against a discriminator.

    Both networks are updated by Adam with beta_1 0.9, as in the paper. It gives the discriminator neither a rate nor a
    head start of its own, but without them it learns nothing in a short run. A relativistic discriminator, a loss of
    pixels beside that of the content, and spectral normalization are later work's; those of a grid and lines are ours.
    """

    content: str = "vgg54"  # what is compared for the content loss (`make_content_loss`)
    vgg_weights: str | None = None
    random_features: bool = False
    adversarial: str = "standard"  # or relativistic: what the discriminator judges (`verdicts.LOSSES`)
    adversarial_weight: float = 1e-3
    pixel_weight: float = 0.0  # of the mean absolute difference of pixels, beside the content loss
    grid_weight: float = 0.0  # of a grid in their difference (`grid_distance`)
    line_weight: float = 0.0  # of dotted lines in it (`line_distance`)
    spectral_norm: bool = False  # of the discriminator, in place of batch normalization
    freeze_norm: bool = False  # normalize in the generator by the statistics that the first stage left
    ema: float = 0.0  # momentum of the average of the generator's weights that is validated and kept; 0: no average
    schedule: str = "constant"  # or cosine: both rates fall to zero
    lr: float = 1e-4  # of the generator
    discriminator_lr: float = 1e-4
    head_start: int = 0  # updates of the discriminator alone before the generator's first
    epochs: int = 100
    steps: int = 256  # an epoch
    n_batch: int = 16

    def loss_weights(self) -> dict[str, float]:
        """Of the losses that there are: those of equation 3, and of DISTANCES what is compared beside them."""
        distances = {"pixel": self.pixel_weight, "grid": self.grid_weight, "line": self.line_weight}
        return {"content": 1.0, "adversarial": self.adversarial_weight} | {k: v for k, v in distances.items() if v}

    def make_optimizers(self, precision: str) -> tuple[keras.optimizers.Optimizer, keras.optimizers.Optimizer]:
        """Of the generator, whose updates begin after the head start, and of the discriminator."""

        def make(rate, updates):
            falling = self.schedule == "cosine"
            rate = keras.optimizers.schedules.CosineDecay(rate, updates) if falling else rate
            return scaled(keras.optimizers.Adam(rate, beta_1=0.9), precision)

        updates = self.epochs * self.steps
        return make(self.lr, updates - self.head_start), make(self.discriminator_lr, updates)


class AdversarialTask(Task):
    """A generator that learns to come near photographs in content and to be taken for them by a discriminator.

    Attributes:
        psnr: of the last validation, in dB.
    """

    def __init__(self, generator: Network, data: TrainingData, recipe: GanRecipe, keepsakes: Keepsakes):
        """Under the run's strategy."""
        self.data, self.recipe, self.keepsakes, self.upscaler = data, recipe, keepsakes, Upscaler(generator)
        precision, pairs = generator.precision, data.pairs
        content = recipe.content, recipe.vgg_weights, recipe.random_features
        self.content_loss = make_content_loss(*content, dtype=precision)
        self.generator_loss, self.discriminator_loss = LOSSES[recipe.adversarial]
        judged = pairs.cutting.scale * pairs.cutting.patch, pairs.seed, precision
        self.generator, self.discriminator = generator, discriminator(*judged, spectral=recipe.spectral_norm)
        self.generator_optimizer, self.discriminator_optimizer = recipe.make_optimizers(precision)
        self.generator_optimizer.build(self.generator.trainable_variables)
        self.discriminator_optimizer.build(self.discriminator.trainable_variables)
        self.psnr = tf.Variable(0, dtype=tf.float64, trainable=False)
        names = "generator", "discriminator", "generator_optimizer", "discriminator_optimizer", "psnr"
        self.trackables = {name: getattr(self, name) for name in names}
        self.average = Average(generator.weights, recipe.ema)
        if recipe.ema:  # states without one stay as they were
            self.trackables["average"] = self.average
        self.steps, self.loss_weights = recipe.epochs * recipe.steps, recipe.loss_weights()
        self.signature = pairs.signature(recipe.n_batch)

    def batches(self, first: int) -> Iterator[tuple[np.ndarray, ...]]:
        return self.data.pairs.batches(self.recipe.n_batch, first, self.steps)

    def update_at(self, step: int) -> Callable[..., dict[str, tf.Tensor]]:
        return self.update_discriminator if step < self.recipe.head_start else self.update

    def update_discriminator(self, low: tf.Tensor, high: tf.Tensor) -> dict[str, tf.Tensor]:
        """The head start: update the discriminator alone, on what the generator makes when it is not trained."""
        made = inner(self.generator(low, training=False), high)
        with tf.GradientTape() as tape:
            real, fake = self.discriminator(high, training=True), self.discriminator(made, training=True)
            loss = self.mean(self.discriminator_loss(real, fake))
            aim = self.discriminator_optimizer.scale_loss(loss)
        weights = self.discriminator.trainable_variables
        self.discriminator_optimizer.apply(tape.gradient(aim, weights), weights)
        return {"discriminator": loss}

    def update(self, low: tf.Tensor, high: tf.Tensor) -> dict[str, tf.Tensor]:
        """Update the discriminator, then the generator, on one replica's share of a batch.

        Both gradients are taken before either is updated, so that one pass through the discriminator serves both.
        Goodfellow et al. 2014 (algorithm 1) judge once more for the generator, by the discriminator as updated.
        """
        with tf.GradientTape() as generator_tape, tf.GradientTape() as discriminator_tape:
            made = inner(self.generator(low, training=not self.recipe.freeze_norm), high)
            real, fake = self.discriminator(high, training=True), self.discriminator(made, training=True)
            judged = self.mean(self.discriminator_loss(real, fake))
            losses = self.generator_losses(made, high, self.generator_loss(real, fake))
            discriminator_aim = self.discriminator_optimizer.scale_loss(judged)
            generator_aim = self.generator_optimizer.scale_loss(self.weighted(losses))

        weights = self.discriminator.trainable_variables, self.generator.trainable_variables
        discriminator_gradients = discriminator_tape.gradient(discriminator_aim, weights[0])
        generator_gradients = generator_tape.gradient(generator_aim, weights[1])
        self.discriminator_optimizer.apply(discriminator_gradients, weights[0])
        self.generator_optimizer.apply(generator_gradients, weights[1])
        self.average.update(self.generator.weights)
        return losses | {"discriminator": judged}

    def generator_losses(self, made, high, adversarial):
        """Name to the mean losses that `weighted` adds up."""
        losses = {"content": self.content_loss(made, high), "adversarial": adversarial}
        for name in DISTANCES:
            if name in self.loss_weights:
                losses[name] = DISTANCES[name](made, high, self.generator.scale)
        return {name: self.mean(loss) for name, loss in losses.items()}

    def weighted(self, losses):
        """The perceptual loss (equation 3), and what is compared beside it."""
        return tf.add_n([weight * losses[name] for name, weight in self.loss_weights.items()])

    def mean(self, losses):
        """A replica's part of the mean over a batch of losses [b] of its examples."""
        return tf.reduce_sum(losses) / self.recipe.n_batch

    def validate(self) -> Figures:
        with self.average.used(self.generator.weights):
            return {"psnr": mean_psnr(self.upscaler, self.data)}

    def validated(self, step: int, figures: Figures) -> bool:
        self.psnr.assign(figures["psnr"])
        return False

    def keep(self, step: int):
        """Keep the generator, or the average of its weights, and what is due of the rest."""
        with self.average.used(self.generator.weights):
            self.keepsakes.write(step // self.recipe.steps, self.upscaler, self.data.valid)
