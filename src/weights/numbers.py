"""Weights are numbers: floating point, finite, within float32."""

import ml_dtypes  # noqa: F401  (gives NumPy the bfloat16 that files may hold)
import numpy as np

from src.config import InputError


def is_finite(value: np.ndarray) -> bool:
    """Whether all values are finite.

    The sum of squares shows nearly always that they are, in far less time than a look at each takes.
    """
    flat = value.reshape(-1)
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(np.isfinite(np.dot(flat, flat)) or np.isfinite(flat).all())


def as_float32(name: str, value: np.ndarray) -> np.ndarray:
    """A weight in float32; it is not copied where it is so already.

    Raises:
        InputError: a value is NaN, infinite, or beyond the range of float32.
    """
    out = value
    if value.dtype != np.float32:
        with np.errstate(over="ignore"):
            out = value.astype(np.float32)
    if not is_finite(out):
        beyond = value.dtype.itemsize > out.dtype.itemsize and is_finite(value)
        raise InputError(
            f"{name} holds {'values beyond float32' if beyond else 'NaN or infinity'}; fetch other weights"
        )
    return out
