"""How the colours of an enlarged picture change by what a prompt asks for, at each pixel and everywhere."""

import math

import numpy as np
import tensorflow as tf
from keras import layers, ops

from src.data.grain import plane
from src.superres.network import register
from src.superres.subpixel import Scaled

BLUR = 1.6  # pixels of the small image: the standard deviation of what can be blurred and sharpened, as in triples
LARGEST = 4  # times that images are enlarged


@register
class WithBlurred(Scaled, layers.Layer):
    """Images [b, h, w, c], so many times enlarged, and behind their colours those under a Gaussian: [b, h, w, 2 c].

    Its deviation is BLUR; near borders it takes the mean of what is there.
    """

    def call(self, x):
        sigma = self.scale * BLUR
        far = 3 * math.ceil(sigma)
        kernel = tf.constant(np.exp(-((np.arange(-far, far + 1) / sigma) ** 2) / 2), x.dtype)
        y = tf.concat([x, tf.ones_like(x[..., :1])], axis=-1)
        kernel = tf.tile(kernel[:, None, None, None], [1, 1, y.shape[-1], 1])
        for axes in ((0, 1, 2, 3), (1, 0, 2, 3)):
            y = tf.nn.depthwise_conv2d(y, tf.transpose(kernel, axes), [1, 1, 1, 1], "SAME")
        return tf.concat([x, y[..., :-1] / y[..., -1:]], axis=-1)


@register
class WithGrain(Scaled, layers.Layer):
    """Maps [b, h, w, c] of images so many times enlarged, and behind them the grain, [b, h, w, c + 1].

    That is of images enlarged LARGEST times; of smaller ones it is the grain that is left when those are shrunk.
    """

    def call(self, x):
        grain = plane(LARGEST // self.scale)
        b, h, w, _ = tf.unstack(tf.shape(x))
        grain = tf.tile(grain, [h // len(grain) + 1, w // len(grain) + 1])[None, :h, :w, None]
        return tf.concat([x, tf.repeat(grain, b, axis=0)], axis=-1)


@register
class Interpolated(Scaled, layers.Layer):
    """Maps [b, h, w, c] to [b, scale * h, scale * w, c], linearly between the middles of their pixels."""

    def call(self, x):
        return tf.image.resize(x, self.scale * tf.shape(x)[1:3], "bilinear")


@register
class Changed(layers.Layer):
    """Images [b, h, w, c] and what an affine change makes of colours x [b, h, w, n], added to them.

    The change has a matrix [c, n] and, behind each of its rows, a shift: [b, h, w, c * (n + 1)] of each pixel, or
    [b, c * (n + 1)] of all. So details of the image outlast a change that has none of its own (as in HDRNet, Gharbi et
    al. 2017).
    """

    def call(self, inputs):
        images, x, change = inputs
        b, h, w, n = ops.shape(x)
        change = ops.reshape(change, [b, *([h, w] if len(change.shape) == 4 else [1, 1]), images.shape[-1], n + 1])
        return images + (ops.sum(change[..., :-1] * x[..., None, :], axis=-1) + change[..., -1])


@register
class Strengthened(layers.Layer):
    """From plain images [b, h, w, c], at a strength of 0, to edited ones, at 1.

    Takes strengths [b] and masks of prompts [b, t], too. At 0, and without a token, the plain image stays bit for bit.
    """

    def call(self, inputs):
        plain, edited, strength, real = inputs
        strength = ops.where(ops.any(real > 0, axis=1), strength, 0)[:, None, None, None]
        return plain + strength * (edited - plain)


def of_everywhere(make, x, scale):
    """What a change everywhere is of, for images x [b, h, w, 3]: colours, blurred ones and grain [b, h, w, 7]."""
    for layer in (WithBlurred, WithGrain):
        x = make(layer, scale=scale, dtype="float32")(x)
    return x


def recoloured(make, x, scale, *changes):
    """Images x [b, h, w, 3], so many times enlarged, after a change of colour everywhere [b, 24].

    That is `of_everywhere`. A second change, if there is one, is of each pixel [b, h, w, 12].
    """
    for of, change in zip((of_everywhere(make, x, scale), x), changes):
        x = make(Changed, dtype="float32")([x, of, change])
    return x
