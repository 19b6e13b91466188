"""Small tools that several modules need: palettes, batches, counting."""

from collections.abc import Iterable, Iterator

import numpy as np
import tensorflow as tf

from src.config import InputError

DISTANCES = 1 << 25  # of pixels to colours, in memory at a time: 128 MiB


def squared_euclidean_distance(a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    """[n, c], [m, c] -> [n, m] (the release's function of this name)."""
    a2 = tf.reduce_sum(tf.square(a), axis=1, keepdims=True)
    b2 = tf.reduce_sum(tf.square(b), axis=1)
    return a2 - 2 * tf.matmul(a, b, transpose_b=True) + b2


def color_quantize(x: np.ndarray, clusters: np.ndarray) -> tf.Tensor:
    """The nearest palette colour of every pixel, the lowest index on a tie.

    Args:
        x: [..., 3] colours in -1..1 (`pixel / 127.5 - 1`).
        clusters: [n_vocab, 3] palette in -1..1.

    Returns:
        int64 tokens [n], one for each pixel of `x` in order.
    """
    x = tf.reshape(tf.cast(x, tf.float32), [-1, 3])
    clusters = tf.cast(clusters, tf.float32)
    rows = max(1, DISTANCES // max(1, len(clusters)))
    parts = (x[i : i + rows] for i in range(0, max(1, len(x)), rows))
    return tf.concat([tf.argmin(squared_euclidean_distance(part, clusters), axis=1) for part in parts], axis=0)


def pixel_tokens(pixels: np.ndarray, clusters: np.ndarray) -> np.ndarray:
    """uint8 images [n, h, w, 3] to int64 tokens [n, h * w]: the nearest colours of a palette [n_vocab, 3] in -1..1."""
    return color_quantize(pixels / np.float32(127.5) - 1, clusters).numpy().reshape(len(pixels), -1)


def color_dequantize(tokens: np.ndarray, clusters: np.ndarray, n_px: int) -> np.ndarray:
    """Tokens [..., n_px * n_px] to uint8 images [..., n_px, n_px, 3]: `rint(127.5 * (colour + 1))`.

    Raises:
        InputError: a token outside the palette.
    """
    tokens = np.asarray(tokens)
    if tokens.size and not 0 <= tokens.min() <= tokens.max() < len(clusters):
        raise InputError(
            f"tokens run from {tokens.min()} to {tokens.max()} but the palette has {len(clusters)} colours"
        )
    pixels = np.clip(np.rint(127.5 * (np.asarray(clusters) + 1)), 0, 255).astype(np.uint8)
    return pixels[tokens].reshape(*tokens.shape[:-1], n_px, n_px, 3)


def iter_data(*data: np.ndarray, n_batch: int) -> Iterator[tuple[np.ndarray, ...]]:
    """Tuples of slices of `n_batch` rows of arrays of equal length, the last partial one too."""
    for i in range(0, len(data[0]), n_batch):
        yield tuple(x[i : i + n_batch] for x in data)


def count_parameters(variables: Iterable[tf.Variable]) -> int:
    """The number of scalars in an iterable of variables."""
    return sum(int(np.prod(v.shape)) for v in variables)
