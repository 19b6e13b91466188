"""Figures of quality. Each names its protocol."""

import numpy as np
import tensorflow as tf

from src.config import InputError

# RGB in 0..1 to Y, Cb, Cr of ITU-R BT.601 in 0..255 with Y in 16..235: the luma that the papers score
YCBCR = np.array([[65.481, 128.553, 24.966], [-37.797, -74.203, 112.0], [112.0, -93.786, -18.214]])
YCBCR_OFFSET = np.array([16.0, 128.0, 128.0])
EQUAL = 99.0  # dB that equal images count as in a mean
WINDOW = 11  # pixels on a side that structural similarity looks at


def luma(image: np.ndarray) -> np.ndarray:
    """Y of a uint8 RGB image [..., 3] as float64 [...] in 16..235, unrounded."""
    return np.asarray(image) / 255.0 @ YCBCR[0] + YCBCR_OFFSET[0]


def compared(a, b, border, channel):
    """Two uint8 images [h, w, 3] as float64 [h, w, c] in 0..255 without a border, luma (`y`) or all three (`rgb`)."""
    a, b = (luma(x)[..., None] if channel == "y" else np.asarray(x, np.float64) for x in (a, b))
    if a.shape != b.shape:
        raise InputError(f"images of {a.shape[:2]} and {b.shape[:2]} pixels cannot be compared")
    inner = slice(border, -border or None)
    return a[inner, inner], b[inner, inner]


def mse(a: np.ndarray, b: np.ndarray, *, border: int, channel: str = "y") -> float:
    """Mean squared error of two uint8 images [h, w, 3], values in 0..255, `border` pixels cut off on every side."""
    a, b = compared(a, b, border, channel)
    return float(np.mean((a - b) ** 2))


def psnr(a: np.ndarray, b: np.ndarray, *, border: int, channel: str = "y") -> float:
    """Peak signal-to-noise ratio in dB, peak 255, of two uint8 images [h, w, 3] (see `mse`); infinite where equal."""
    error = mse(a, b, border=border, channel=channel)
    return float(10 * np.log10(255**2 / error)) if error else float("inf")


def bounded_psnr(a: np.ndarray, b: np.ndarray, *, border: int, channel: str = "y") -> float:
    """`psnr`, but EQUAL where it is higher, so that a mean over images is finite."""
    return min(EQUAL, psnr(a, b, border=border, channel=channel))


def ssim(a: np.ndarray, b: np.ndarray, *, border: int, channel: str = "y") -> float:
    """Structural similarity (Wang et al. 2004) of two uint8 images [h, w, 3]: Gaussian window 11, sigma 1.5, peak 255.

    Not a number where fewer than WINDOW pixels are left inside the border.
    """
    a, b = (tf.constant(x, tf.float32) for x in compared(a, b, border, channel))
    return float(tf.image.ssim(a, b, max_val=255)) if min(a.shape[:2]) >= WINDOW else float("nan")
