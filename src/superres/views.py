"""Which view of a whole picture a prompt asks for: the picture itself, its mirror image, or its middle, enlarged.

No pixel of a convolution sees far enough to mirror a picture. So a prompt chooses among views, as a spatial transformer
(Jaderberg et al. 2015, arXiv 1506.02025) chooses among affine ones. While it learns to, a picture is the sum of its
views by the prompt's weights; when it is used, the view of the largest weight alone. And of that view the mean colour
is known everywhere, which no pixel sees, either.
"""

from typing import Any

import numpy as np
import tensorflow as tf
from keras import layers, ops

from src.superres.network import register

VIEWS = "itself", "mirrored", "middle"
ITSELF = 3.0  # the first view's logit at the start: a prompt that is not understood turns nothing
HALF = 0.5  # strength from which a picture is turned: there is no half of a mirror image


def mirrored(x: tf.Tensor) -> tf.Tensor:
    """Images [b, h, w, c], left and right exchanged."""
    return x[:, :, ::-1]


def middle(x: tf.Tensor) -> tf.Tensor:
    """The middle half of images [b, h, w, c] as large as they are, float32; of sides below 4 pixels all."""
    h, w = tf.unstack(tf.shape(x)[1:3])
    return tf.image.resize(x[:, h // 4 : h - h // 4, w // 4 : w - w // 4], [h, w], "bicubic")


def seen(images: np.ndarray, view: int) -> np.ndarray:
    """Whole images [n, h, w, c], uint8 or uint16, in one of VIEWS, of the same size and type."""
    if VIEWS[view] == "mirrored":
        return mirrored(images)
    if VIEWS[view] == "middle":
        return np.rint(middle(images)).clip(0, np.iinfo(images.dtype).max).astype(images.dtype)
    return images


def one_of(view: int) -> np.ndarray:
    """Weights [VIEWS] of one view alone."""
    return np.eye(len(VIEWS), dtype=np.float32)[view]


def view_weights(make, words):
    """Weights of VIEWS [b, VIEWS] by words [b, n], in float32; the first is by far the largest at the start."""
    layer = make(layers.Dense, len(VIEWS), "softmax", dtype="float32", kernel_initializer=make.start(), name="view")
    layer.build(words.shape)
    layer.bias.assign(ITSELF * one_of(0))
    return layer(words)


def mean_colours(images: np.ndarray) -> np.ndarray:
    """The mean colour of each whole image [n, h, w, c], uint8 or uint16: float32 [n, c] in 0..1."""
    return np.float32(images.mean((1, 2), np.float64) / np.iinfo(images.dtype).max)


@register
class Given(layers.Layer):
    """Numbers [b, n], not negative, and others: in each row the others, unless they are all 0."""

    def call(self, inputs):
        numbers, others = inputs
        return ops.where(ops.any(others > 0, axis=1, keepdims=True), others, numbers)


@register
class MeanColour(layers.Layer):
    """Images [b, h, w, c] to the mean colour of each, [b, c]."""

    def call(self, x):
        return ops.mean(x, axis=(1, 2))


@register
class Viewed(layers.Layer):
    """Images [b, h, w, c] and weights [b, VIEWS] to the sum of their views; for 1, 0, 0 the image, bit for bit."""

    def call(self, inputs):
        x, weights = inputs
        weights = weights[:, :, None, None, None]
        return weights[:, 0] * x + weights[:, 1] * mirrored(x) + weights[:, 2] * middle(x)

    def compute_output_shape(self, shapes: Any) -> Any:
        return shapes[0]
