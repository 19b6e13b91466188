"""SRGAN's second stage: generator against discriminator (Ledig et al. 2017, section 2)."""

import dataclasses

import keras
import tensorflow as tf
from PIL import Image

from src.distribute import summed
from src.superres.networks import save_network
from src.superres.sheets import side_by_side, write_sheet
from src.superres.training import epochs, inner, mean_psnr, scaled

PICTURED = 6  # validation images


@dataclasses.dataclass(frozen=True)
class GanRecipe:
    """What decides a run's result, beside the networks, the content loss and the pairs.

    Both networks are updated by Adam with beta_1 0.9, as in the paper. It gives the discriminator neither a rate nor a
    head start of its own, but without them it learns nothing in a short run.
    """

    adversarial_weight: float = 1e-3
    lr: float = 1e-4  # of the generator
    discriminator_lr: float = 1e-4
    head_start: int = 0  # updates before the generator's first
    epochs: int = 100
    steps: int = 256  # an epoch
    n_batch: int = 16

    def make_optimizers(self):
        """For generator and discriminator."""
        lr = keras.optimizers.schedules.PiecewiseConstantDecay([self.head_start - 1], [0.0, self.lr])
        return [scaled(keras.optimizers.Adam(rate, beta_1=0.9)) for rate in (lr, self.discriminator_lr)]


def adversarial_loss(fake):
    """-log D(G(x)) of the discriminator's logits [b, 1] for generated images (equation 6): [b]."""
    return tf.nn.softplus(-fake)[:, 0]


def discriminator_loss(real, fake):
    """-log D(y) - log(1 - D(G(x))) of logits [b, 1] (equation 2): [b]."""
    return (tf.nn.softplus(-real) + tf.nn.softplus(fake))[:, 0]


def make_gan_step(networks, optimizers, content_loss, recipe, strategy):
    """A `tf.function` that updates generator and discriminator once, from one distributed batch of pairs.

    Returns:
        A function to the content, adversarial and discriminator losses [3], means over the batch, before the update.
    """
    generator, discriminator = networks

    def replica(low, high):
        with tf.GradientTape() as generating, tf.GradientTape() as judging:
            made = inner(generator(low, training=True), high)
            real, fake = (discriminator(x, training=True) for x in (high, made))
            each = content_loss(made, high), adversarial_loss(fake), discriminator_loss(real, fake)
            content, adversarial, judged = losses = [tf.reduce_sum(x) / recipe.n_batch for x in each]
            aims = content + recipe.adversarial_weight * adversarial, judged
            aims = [optimizer.scale_loss(aim) for optimizer, aim in zip(optimizers, aims)]
        weights = [network.trainable_variables for network in networks]
        gradients = [tape.gradient(*of) for tape, *of in zip((generating, judging), aims, weights)]
        for optimizer, *update in zip(optimizers, gradients, weights):
            optimizer.apply(*update)
        return tf.stack(losses)

    return summed(strategy, replica)


def train_gan(upscaler, discriminator, content_loss, pairs, valid, recipe, run, strategy, keep_every, picture_every):
    """Train a generator against a discriminator for `recipe.epochs`.

    Args:
        upscaler: an `Upscaler`, whose network is the generator.
        content_loss: a function of made and real images [b, h, w, 3] in 0..1: [b].
        pairs: `Pairs` to train on.
        valid: (low, high) uint8 images, a list.
        run: a `RunFolder`. The generator as it is after the last epoch is its `last.keras`.
        keep_every: epochs after which the generator stays, too, as `epoch-N.keras`.
        picture_every: epochs after which `epoch-N.png` shows input, bicubic, output and original.

    Returns:
        The last validation PSNR in dB.
    """
    networks = generator, discriminator = upscaler.net, discriminator
    with strategy.scope():
        optimizers = recipe.make_optimizers()
        for optimizer, network in zip(optimizers, networks):
            optimizer.build(network.trainable_variables)
    states = {"generator_optimizer": optimizers[0], "discriminator_optimizer": optimizers[1]}
    first = run.restore(generator=generator, discriminator=discriminator, **states)
    update = make_gan_step(networks, optimizers, content_loss, recipe, strategy)
    for step, losses in epochs(update, pairs, recipe, first, strategy):
        epoch = step // recipe.steps
        for name, loss in zip(("content", "adversarial", "discriminator"), losses):
            run.report(step, f"{name}/train", loss, "lower --lr")
        run.report(step, "psnr/valid", mean_psnr(upscaler, valid), "lower --lr")
        if epoch % picture_every == 0:
            write_sheet(run.path / f"epoch-{epoch}.png", [pictured(upscaler, *pair) for pair in valid[:PICTURED]])
        if epoch % keep_every == 0:
            save_network(run.path / f"epoch-{epoch}.keras", generator)
        save_network(run.path / "last.keras", generator)
        run.save(step)
    return mean_psnr(upscaler, valid)


def pictured(upscaler, low, high):
    """Input, bicubic, output and original: tiles of a sheet."""
    return side_by_side(low, [Image.fromarray(x) for x in (upscaler(low[None])[0], high)], upscaler.scale)
