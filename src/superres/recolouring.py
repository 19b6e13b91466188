"""How the colours of an enlarged picture change by what a prompt asks for, at each pixel and everywhere."""

import math

import numpy as np
import tensorflow as tf
from keras import layers, ops

from src.superres.network import register
from src.superres.subpixel import Scaled

BLUR = 0.8  # pixels of the small image: the standard deviation of what can be blurred and sharpened


@register
class Blurred(Scaled, layers.Layer):
    """Images [b, h, w, c], so many times enlarged, under a Gaussian of BLUR; near borders the mean of what is there."""

    def call(self, x):
        sigma = self.scale * BLUR
        far = 3 * math.ceil(sigma)
        kernel = tf.constant(np.exp(-((np.arange(-far, far + 1) / sigma) ** 2) / 2), x.dtype)
        x = tf.concat([x, tf.ones_like(x[..., :1])], axis=-1)
        kernel = tf.tile(kernel[:, None, None, None], [1, 1, x.shape[-1], 1])
        for axes in ((0, 1, 2, 3), (1, 0, 2, 3)):
            x = tf.nn.depthwise_conv2d(x, tf.transpose(kernel, axes), [1, 1, 1, 1], "SAME")
        return x[..., :-1] / x[..., -1:]


@register
class Interpolated(Scaled, layers.Layer):
    """Maps [b, h, w, c] to [b, scale * h, scale * w, c], linearly between the middles of their pixels."""

    def call(self, x):
        return tf.image.resize(x, self.scale * tf.shape(x)[1:3], "bilinear")


@register
class Recoloured(layers.Layer):
    """Images, edited: the colours of a view of them change by what a prompt asks for at each pixel and everywhere.

    Takes plain images [b, h, w, 3], the view, the view blurred, a change everywhere [b, 21], strengths [b], the mask of
    the prompt [b, t] and, unless there is none, a change at each pixel [b, h, w, 12]. The change at a pixel is a matrix
    [3, 3] of the view's colour and, behind it, a shift; that everywhere a matrix [3, 6] of the colour and the blurred
    one, and a shift. So details of the image outlast a change that has none of its own (as in HDRNet, Gharbi et al.
    2017). Strength goes from the plain image, at 0, to the edited one, at 1. At 0, and for a mask of zeros, the image
    stays bit for bit.
    """

    def call(self, inputs):
        plain, x, blurred, everywhere, strength, real, *change = inputs
        b, h, w, c = ops.shape(x)
        everywhere = ops.reshape(everywhere, [b, 1, 1, c, 2 * c + 1])
        edited = x + changed(ops.concatenate([x, blurred], axis=-1), everywhere)
        for each in change:
            edited = edited + changed(x, ops.reshape(each, [b, h, w, c, c + 1]))
        strength = ops.where(ops.any(real > 0, axis=1), strength, 0)[:, None, None, None]
        return plain + strength * (edited - plain)


def changed(x, change):
    """Matrix times colour, and a shift: of colours x [b, h, w, n] by changes [b, h, w, c, n + 1] to [b, h, w, c]."""
    return ops.sum(change[..., :-1] * x[..., None, :], axis=-1) + change[..., -1]
