"""Low resolution out of high: shrunk by a scale, and reduced to the colours that Image GPT sees."""

import numpy as np
from PIL import Image

from src.utils import color_dequantize, pixel_tokens


def resized(image: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """A uint8 image [h, w, c] in another size (h, w, ...) by Pillow's bicubic filter, antialiased."""
    return np.asarray(Image.fromarray(image).resize(shape[1::-1], Image.Resampling.BICUBIC))


def low_resolution(image: np.ndarray, scale: int) -> tuple[np.ndarray, np.ndarray]:
    """(the uint8 image [h, w, 3] cut to a multiple of the scale, the same at 1/scale of its size)."""
    height, width = (n // scale * scale for n in image.shape[:2])
    image = image[:height, :width]
    return image, resized(image, (height // scale, width // scale))


def in_palette(image: np.ndarray, clusters: np.ndarray) -> np.ndarray:
    """A uint8 image [h, w, 3] in the nearest colours of a palette [colours, 3] in -1..1, as Image GPT sees it."""
    tokens = pixel_tokens(image.reshape(1, 1, -1, 3), clusters)
    return color_dequantize(tokens.T, clusters, 1).reshape(image.shape)
