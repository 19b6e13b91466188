"""Random variants of images that are tokens: colours' numbers move, none is mixed with another."""

import numpy as np


def mirrored(x: np.ndarray, n_px: int, rng: np.random.Generator) -> np.ndarray:
    """Tokens [b, n_px * n_px], each image left to right with probability 1/2."""
    square = x.reshape(-1, n_px, n_px)
    return np.where(rng.random([len(x), 1, 1]) < 0.5, square[:, :, ::-1], square).reshape(x.shape)


def shifted(x: np.ndarray, n_px: int, most: int, rng: np.random.Generator) -> np.ndarray:
    """Tokens [b, n_px * n_px], each image by -most..most pixels down and across; what comes in is its reflection.

    That is, `most` pixels of reflection on every side and a random crop of the old size, as for CIFAR (the paper,
    section 3.1, with 4 of 32 pixels). An image smaller than that is reflected again and again.
    """
    padded = np.pad(x.reshape(-1, n_px, n_px), [(0, 0), (most, most), (most, most)], mode="reflect")
    crops = np.lib.stride_tricks.sliding_window_view(padded, (n_px, n_px), axis=(1, 2))
    down, across = rng.integers(0, 2 * most + 1, [2, len(x)])
    return crops[np.arange(len(x)), down, across].reshape(x.shape)
