"""Bicubic interpolation to a multiple of an image's size, as a convolution."""

import functools

import numpy as np
import tensorflow as tf
from keras import layers

from src.superres.network import register
from src.superres.subpixel import Scaled, shuffled


@register
class Bicubic(Scaled, layers.Layer):
    """[b, h + 2 m, w + 2 m, c] -> [b, scale * h, scale * w, c]: images enlarged and without the `margin` m around them.

    It has no weights. Of a margin of two pixels and more nothing shows.
    """

    def __init__(self, *args, margin, **options):
        super().__init__(*args, **options)
        self.margin = margin

    def call(self, x):
        edge = self.scale * self.margin
        return bicubic(x, self.scale)[:, edge : -edge or None, edge : -edge or None]

    def compute_output_shape(self, shape):
        b, h, w, c = shape
        return b, *(n and (n - 2 * self.margin) * self.scale for n in (h, w)), c

    def get_config(self):
        return super().get_config() | {"margin": self.margin}


def bicubic(x: tf.Tensor, scale: int) -> tf.Tensor:
    """`tf.image.resize`'s bicubic filter as a convolution, which is faster and which other formats know, too.

    x [b, h, w, c] becomes [b, scale * h, scale * w, c]; two pixels on every side of x are as zeros had stood around it.
    """
    c = x.shape[-1]
    kernel = tf.reshape(tf.einsum("ijp,cd->ijcpd", bicubic_kernel(scale), np.eye(c)), [5, 5, c, c * scale**2])
    return shuffled(tf.nn.conv2d(x, tf.cast(kernel, x.dtype), 1, "SAME"), scale)


@functools.cache
def bicubic_kernel(scale):
    """What each of 5x5 pixels adds to the scale * scale pixels that the one in their middle becomes: [5, 5, pixels]."""
    with tf.init_scope():
        pixels = tf.reshape(tf.eye(25), [25, 5, 5, 1])
        parts = tf.image.resize(pixels, [5 * scale, 5 * scale], "bicubic").numpy()[..., 0]
    middle = slice(2 * scale, 3 * scale)
    return parts[:, middle, middle].reshape(5, 5, scale**2).astype(np.float64)
