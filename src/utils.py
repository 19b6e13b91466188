"""Small tools that several modules need: palettes, batches, counting, seeds."""

import random

import numpy as np
import tensorflow as tf

from src.config import InputError
from src.files import read_json

CHUNK = 1 << 16  # pixels quantized at a time: 128 MiB of distances to 512 colours


def squared_euclidean_distance(a, b):
    """[n, c], [m, c] -> [n, m] (the release's function of this name)."""
    a2 = tf.reduce_sum(tf.square(a), axis=1, keepdims=True)
    b2 = tf.reduce_sum(tf.square(b), axis=1)
    return a2 - 2 * tf.matmul(a, b, transpose_b=True) + b2


def color_quantize(x, clusters):
    """The nearest palette colour of every pixel, the lowest index on a tie.

    Args:
        x: [..., 3] colours in -1..1 (`pixel / 127.5 - 1`).
        clusters: [n_vocab, 3] palette in -1..1.

    Returns:
        int64 tokens [n], one for each pixel of `x` in order.
    """
    x = tf.reshape(tf.cast(x, tf.float32), [-1, 3])
    clusters = tf.cast(clusters, tf.float32)
    chunks = [
        tf.argmin(squared_euclidean_distance(x[i : i + CHUNK], clusters), axis=1)
        for i in range(0, max(len(x), 1), CHUNK)
    ]
    return tf.concat(chunks, axis=0)


def color_dequantize(tokens, clusters, n_px):
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


def load_clusters(path, n_vocab=None):
    """A palette [n, 3] in -1..1, float32, from a .npy file or a Hugging Face preprocessor_config.json.

    Raises:
        InputError: no such file, not a palette, or not `n_vocab` colours.
    """
    clusters = json_clusters(path) if str(path).endswith(".json") else load_array(path)
    if clusters.ndim != 2 or clusters.shape[1] != 3 or clusters.dtype.kind != "f":
        raise InputError(
            f"{path}: a palette has shape [colours, 3] of floats, this is {list(clusters.shape)} {clusters.dtype}"
        )
    if not (np.isfinite(clusters).all() and np.abs(clusters).max() <= 1.5):
        raise InputError(f"{path}: palette colours lie in -1..1 (pixel / 127.5 - 1); these do not")
    if n_vocab is not None and len(clusters) != n_vocab:
        raise InputError(f"{path}: the palette has {len(clusters)} colours but the model has {n_vocab}")
    return clusters.astype(np.float32)


def json_clusters(path):
    """The palette in the processor of a Hugging Face model."""
    try:
        return np.array(read_json(path)["clusters"], np.float32)
    except (KeyError, TypeError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path}: holds no palette (clusters)") from error


def load_array(path, **options):
    """`numpy.load` without pickles, whose failures are one line that names the file."""
    try:
        return np.load(path, allow_pickle=False, **options)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (ValueError, EOFError, OSError) as error:
        raise InputError(f"{path}: not a readable .npy file ({str(error).splitlines()[0]})") from error


def iter_data(*data, n_batch):
    """Tuples of slices of `n_batch` rows of arrays of equal length, the last partial one too."""
    for i in range(0, len(data[0]), n_batch):
        yield tuple(x[i : i + n_batch] for x in data)


def count_parameters(variables):
    """The number of scalars in an iterable of variables."""
    return sum(int(np.prod(v.shape)) for v in variables)


def set_seed(seed):
    """Seed Python, NumPy and TensorFlow."""
    random.seed(seed)
    np.random.seed(seed)
    tf.random.set_seed(seed)
