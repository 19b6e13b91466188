"""Training an upscaling network on pixels: validation PSNR after every epoch, early stopping, exact resume."""

import dataclasses

import keras
import numpy as np
import tensorflow as tf
from tqdm import tqdm

from src.config import InputError
from src.data import square
from src.distribute import distributed, summed
from src.metrics import psnr
from src.superres.data import in_palette, low_resolution
from src.superres.networks import save_network
from src.superres.perceptual import squared_distance
from src.superres.soap import Soap
from src.superres.upscale import cut

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
        return scaled({"soap": Soap, "adam": keras.optimizers.Adam}[self.optimizer](rate))


def scaled(optimizer):
    """The optimizer, behind a loss scale where networks compute in float16."""
    half = keras.config.dtype_policy().compute_dtype == "float16"
    return keras.optimizers.LossScaleOptimizer(optimizer) if half else optimizer


def validation_pairs(photos, scale, clusters=None, n_px=None):
    """(low, high) uint8 images [h, w, 3] of photographs (Pillow's), the low ones in a palette if there is one.

    Args:
        n_px: take the centre square, scaled to so many pixels of low resolution, as Image GPT would; else all of it.

    Raises:
        InputError: a photograph has too few pixels for that.
    """
    for photo in photos:
        if n_px and min(photo.size) < n_px * scale:
            sizes = f"{n_px * scale} on a side are needed at x{scale}, a photograph has {photo.width}x{photo.height}"
            raise InputError(f"--n_px {n_px}: {sizes}; take fewer")
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
            errors = squared_distance(inner(net(low, training=True), high), high)
            loss = tf.reduce_sum(errors) / n_batch  # the optimizer sums gradients over replicas
            aim = optimizer.scale_loss(loss)
        optimizer.apply(tape.gradient(aim, variables), variables)
        return loss

    return summed(strategy, replica)


def inner(y, high):
    """The middle of y [b, h, w, c], as large as `high`: without what a padded network makes of the margin."""
    return cut(y, (y.shape[1] - high.shape[1]) // 2)


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
    net = upscaler.net
    with strategy.scope():
        optimizer = recipe.make_optimizer()
        optimizer.build(net.trainable_variables)
    best, waited = tf.Variable(-np.inf, dtype=tf.float64), tf.Variable(0)
    first = run.restore(net=net, optimizer=optimizer, best=best, waited=waited)
    update = make_step(net, optimizer, strategy, recipe.n_batch)
    for step, loss in epochs(update, pairs, recipe, first, strategy) if waited < recipe.patience else ():
        run.report(step, "loss/train", loss, "lower --lr")
        score = mean_psnr(upscaler, valid)
        run.report(step, "psnr/valid", score, "lower --lr")
        waited.assign(0 if score > best else waited + 1)
        if score > best:
            best.assign(score)
            save_network(run.path / "best.keras", net)
        run.save(step)
        if waited >= recipe.patience:
            break
    return float(best)


def epochs(update, pairs, recipe, first, strategy):
    """Go on with training after `first` steps.

    Args:
        update: a function of a distributed batch that updates the networks and returns the losses, a tensor.
        recipe: a recipe with `epochs`, `steps` of each, and `n_batch`.

    Yields:
        (steps done, the mean of the losses, float64) after every epoch.
    """
    total = recipe.epochs * recipe.steps
    signature = tuple(tf.TensorSpec([recipe.n_batch, *x.shape[1:]]) for x in next(pairs.batches(1, 0, 1)))
    batches = distributed(strategy, lambda: pairs.batches(recipe.n_batch, first, total), signature)
    with tqdm(total=total, initial=first, desc="train", unit="step") as bar:
        for step in range(first + recipe.steps, total + 1, recipe.steps):
            losses = []
            for _ in range(recipe.steps):
                losses.append(update(next(batches)))
                bar.update()
            yield step, np.mean([np.float64(loss) for loss in losses], axis=0)
