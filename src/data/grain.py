"""Film grain: one plane of noise, laid over every picture alike, so that what it adds can be learnt."""

import functools

import numpy as np
from PIL import Image

SIDE = 48  # pixels, after which it repeats


@functools.cache
def plane(shrink: int = 1) -> np.ndarray:
    """The grain, float32 [SIDE / shrink, SIDE / shrink] of deviation 1 and mean 0 as long as it is not shrunk."""
    noise = np.random.RandomState(0).standard_normal([SIDE, SIDE])  # whose numbers no release of NumPy changes
    noise = np.float32((noise - noise.mean()) / noise.std())
    around, n = Image.fromarray(np.tile(noise, (3, 3))), SIDE // shrink
    return np.asarray(around.resize((3 * n, 3 * n), Image.Resampling.BICUBIC))[n : 2 * n, n : 2 * n]


def grain(height: int, width: int) -> np.ndarray:
    """The grain of an image, float32 [height, width]: its first pixel is the plane's."""
    return np.tile(plane(), (-(-height // SIDE), -(-width // SIDE)))[:height, :width]
