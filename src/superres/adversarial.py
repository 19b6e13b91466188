"""SRGAN's second stage: generator against discriminator (Ledig et al. 2017, section 2)."""

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from PIL import Image

from src.data.sheets import side_by_side, write_sheet
from src.superres.files import save_network
from src.superres.network import Network
from src.superres.perceptual import make_content_loss
from src.superres.photographs import TrainingData
from src.superres.pixel import inner, mean_psnr, scaled
from src.superres.srgan import discriminator
from src.superres.upscaler import Upscaler
from src.training.loop import Figures, Task

PICTURED = 6  # validation images
CAPTIONS = "input", "bicubic", "output", "original"


@dataclasses.dataclass(frozen=True)
class GanRecipe:
    """How a generator is trained against a discriminator.

    Both networks are updated by Adam with beta_1 0.9, as in the paper. It gives the discriminator neither a rate nor a
    head start of its own, but without them it learns nothing in a short run.
    """

    content: str = "vgg54"  # what is compared for the content loss (`make_content_loss`)
    vgg_weights: str | None = None
    random_features: bool = False
    adversarial_weight: float = 1e-3
    lr: float = 1e-4  # of the generator
    discriminator_lr: float = 1e-4
    head_start: int = 0  # updates of the discriminator alone before the generator's first
    epochs: int = 100
    steps: int = 256  # an epoch
    n_batch: int = 16


@dataclasses.dataclass(frozen=True)
class Keepsakes:
    """What an adversarial run leaves in its folder: last.keras always, and now and then more.

    Attributes:
        keep_every: epochs after which the generator stays, too, as `epoch-N.keras`.
        picture_every: epochs after which `epoch-N.png` shows input, bicubic, output and original.
    """

    folder: Path
    keep_every: int = 50
    picture_every: int = 10


def adversarial_loss(fake: tf.Tensor) -> tf.Tensor:
    """-log D(G(x)) of the discriminator's logits [b, 1] for generated images (equation 6): [b]."""
    return tf.nn.softplus(-fake)[:, 0]


def discriminator_loss(real: tf.Tensor, fake: tf.Tensor) -> tf.Tensor:
    """-log D(y) - log(1 - D(G(x))) of logits [b, 1] (equation 2): [b]."""
    return (tf.nn.softplus(-real) + tf.nn.softplus(fake))[:, 0]


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
        self.generator, self.discriminator = generator, discriminator(pairs.scale * pairs.patch, pairs.seed, precision)
        self.generator_optimizer, self.discriminator_optimizer = (
            scaled(keras.optimizers.Adam(rate, beta_1=0.9), precision) for rate in (recipe.lr, recipe.discriminator_lr)
        )
        self.generator_optimizer.build(self.generator.trainable_variables)
        self.discriminator_optimizer.build(self.discriminator.trainable_variables)
        self.psnr = tf.Variable(0, dtype=tf.float64, trainable=False)
        names = "generator", "discriminator", "generator_optimizer", "discriminator_optimizer", "psnr"
        self.trackables = {name: getattr(self, name) for name in names}
        self.steps = recipe.epochs * recipe.steps
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
            loss = self.mean(discriminator_loss(real, fake))
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
            made = inner(self.generator(low, training=True), high)
            real, fake = self.discriminator(high, training=True), self.discriminator(made, training=True)
            judged = self.mean(discriminator_loss(real, fake))
            content, adversarial = self.mean(self.content_loss(made, high)), self.mean(adversarial_loss(fake))
            perceptual = content + self.recipe.adversarial_weight * adversarial  # equation 3
            discriminator_aim = self.discriminator_optimizer.scale_loss(judged)
            generator_aim = self.generator_optimizer.scale_loss(perceptual)

        weights = self.discriminator.trainable_variables, self.generator.trainable_variables
        discriminator_gradients = discriminator_tape.gradient(discriminator_aim, weights[0])
        generator_gradients = generator_tape.gradient(generator_aim, weights[1])
        self.discriminator_optimizer.apply(discriminator_gradients, weights[0])
        self.generator_optimizer.apply(generator_gradients, weights[1])
        return {"content": content, "adversarial": adversarial, "discriminator": judged}

    def mean(self, losses):
        """A replica's part of the mean over a batch of losses [b] of its examples."""
        return tf.reduce_sum(losses) / self.recipe.n_batch

    def validate(self) -> Figures:
        return {"psnr": mean_psnr(self.upscaler, self.data.valid)}

    def validated(self, step: int, figures: Figures) -> bool:
        self.psnr.assign(figures["psnr"])
        return False

    def keep(self, step: int):
        """Keep the generator as it is, and what is due of the rest."""
        folder, epoch = self.keepsakes.folder, step // self.recipe.steps
        if epoch % self.keepsakes.picture_every == 0:
            rows = [self.pictured(*pair) for pair in self.data.valid[:PICTURED]]
            write_sheet(folder / f"epoch-{epoch}.png", rows, CAPTIONS)
        if epoch % self.keepsakes.keep_every == 0:
            save_network(folder / f"epoch-{epoch}.keras", self.generator)
        save_network(folder / "last.keras", self.generator)

    def pictured(self, low, high):
        """Tiles of a sheet, as CAPTIONS."""
        output = self.upscaler(low[None])[0]
        return side_by_side(low, [Image.fromarray(x) for x in (output, high)], self.upscaler.scale)
