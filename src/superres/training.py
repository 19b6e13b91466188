"""Training an upscaling network on pixels: validation PSNR after every epoch, early stopping, exact resume."""

import dataclasses

import keras
import numpy as np
import tensorflow as tf
from tqdm import tqdm

from src.data import square
from src.distribute import distributed
from src.files import whole
from src.metrics import psnr
from src.superres.data import in_palette, low_resolution
from src.superres.soap import Soap

WARMUP = 200


@dataclasses.dataclass(frozen=True)
class Recipe:
    """What decides a run's result, beside the network and its pairs.

    The learning rate rises over the first WARMUP steps, then falls along a cosine to zero after the last epoch.
    """

    optimizer: str = "soap"  # or adam
    lr: float = 0.003
    epochs: int = 140
    steps: int = 256  # an epoch
    n_batch: int = 16
    patience: int = 30  # epochs without a better validation PSNR

    def make_optimizer(self):
        total = self.epochs * self.steps
        warmup = min(WARMUP, total // 10)
        rate = keras.optimizers.schedules.CosineDecay(0.0, total - warmup, warmup_target=self.lr, warmup_steps=warmup)
        return {"soap": Soap, "adam": keras.optimizers.Adam}[self.optimizer](rate)


def validation_pairs(photos, scale, clusters=None, n_px=None):
    """(low, high) uint8 images [h, w, 3] of photographs (Pillow's), the low ones in a palette if there is one.

    Args:
        n_px: take the centre square, scaled to so many pixels of low resolution, as Image GPT would; else all of it.
    """
    for photo in photos:
        high, low = low_resolution(square(photo, n_px * scale) if n_px else np.asarray(photo), scale)
        yield low if clusters is None else in_palette(low, clusters), high


def mean_psnr(upscaler, pairs):
    """PSNR of luma in dB, `scale` border pixels cut off, averaged over pairs (low, high) of uint8 images."""
    return float(np.mean([psnr(upscaler(low[None])[0], high, border=upscaler.scale) for low, high in pairs]))


def make_step(net, optimizer, strategy, n_batch):
    """A `tf.function` from one distributed batch of pairs to its mean squared error, that updates the network once."""
    variables = net.trainable_variables

    def replica(low, high):
        with tf.GradientTape() as tape:
            errors = tf.reduce_mean(tf.square(inner(net(low, training=True), high) - high), axis=[1, 2, 3])
            loss = tf.reduce_sum(errors) / n_batch  # the optimizer sums gradients over replicas
        optimizer.apply(tape.gradient(loss, variables), variables)
        return loss

    @tf.function
    def step(inputs):
        return strategy.reduce("sum", strategy.run(replica, args=inputs), axis=None)

    return step


def inner(y, high):
    """The middle of y [b, h, w, c], as large as `high`: without what a padded network makes of the margin."""
    edge = (y.shape[1] - high.shape[1]) // 2
    return y[:, edge : y.shape[1] - edge, edge : y.shape[2] - edge]


def train_pixels(upscaler, pairs, valid, recipe, run, strategy):
    """Train a network for `recipe.epochs`, or until its validation PSNR has not risen for `recipe.patience` of them.

    Args:
        upscaler: an `Upscaler`, whose network is trained.
        pairs: `Pairs` to train on.
        valid: (low, high) uint8 images, a list.
        run: a `RunFolder`. The best network so far is its `best.keras`.

    Returns:
        The best validation PSNR in dB.
    """
    net, total = upscaler.net, recipe.epochs * recipe.steps
    with strategy.scope():
        optimizer = recipe.make_optimizer()
        optimizer.build(net.trainable_variables)
    best, waited = tf.Variable(-np.inf, dtype=tf.float64), tf.Variable(0)
    first = run.restore(net=net, optimizer=optimizer, best=best, waited=waited)
    shapes = [(recipe.n_batch, *x.shape[1:]) for x in next(pairs.batches(1, 0, 1))]
    batches = distributed(
        strategy, lambda: pairs.batches(recipe.n_batch, first, total), tuple(tf.TensorSpec(shape) for shape in shapes)
    )
    update = make_step(net, optimizer, strategy, recipe.n_batch)
    with tqdm(total=total, initial=first, desc="train", unit="step") as bar:
        for step in range(first + recipe.steps, total + 1, recipe.steps):
            if waited >= recipe.patience:
                break
            losses = []
            for _ in range(recipe.steps):
                losses.append(update(next(batches)))
                bar.update()
            run.report(step, "loss/train", float(np.mean([x.numpy() for x in losses])), "lower --lr")
            score = mean_psnr(upscaler, valid)
            run.report(step, "psnr/valid", score, "lower --lr")
            waited.assign(0 if score > best else waited + 1)
            if score > best:
                best.assign(score)
                with whole(run.path / "best.keras") as part:
                    net.save(part)
            run.save(step)
    return float(best)
