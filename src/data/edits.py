"""Edits of photographs that a few words ask for, each in one strength that is clear to the eye at 128x128.

All are functions from a uint8 image [h, w, 3] to another one of that size, which follows from the first alone.
"""

import numpy as np
from PIL import Image, ImageFilter

from src.data.grain import grain

GAMMA = 2.0  # of darker; brighter is its inverse, so that black and white stay
CONTRAST = 1.9, 0.4  # times the distance from the mean grey: more, less
BALANCE = np.array([1.3, 1.0, 0.65])  # of red, green and blue: warmer, the other way round cooler
SATURATION = 2.5, 0.3  # times the distance from the pixel's own grey: more, less
BLUR = 20  # the image's height is so many times the standard deviation, which is a pixel or more
SHARPEN = 200  # per cent of what that blur takes away are added
NOISE = 32  # standard deviation in grey levels
SEPIA = np.array([[0.393, 0.769, 0.189], [0.349, 0.686, 0.168], [0.272, 0.534, 0.131]])  # red, green, blue of each


def pixels(values):
    """Numbers of about 0..255 as uint8."""
    return np.rint(values).clip(0, 255).astype(np.uint8)


def filtered(image, kernel, *more):
    """An image through a filter of Pillow's, of the radius that BLUR says."""
    radius = max(1, image.shape[0] / BLUR)
    return np.asarray(Image.fromarray(image).filter(kernel(radius, *more)))


def grey(image):
    """The grey [h, w, 1] of each pixel, as floats in 0..255, by the weights of BT.601."""
    return image @ np.array([0.299, 0.587, 0.114])[:, None]


def with_gamma(image, gamma):
    """The image, 0..1 to some power."""
    return pixels(255 * (image / 255) ** gamma)


def with_contrast(image, times):
    """The image with its distances from its mean grey so many times as large; it becomes neither lighter nor darker."""
    mean = grey(image).mean()
    return pixels(mean + times * (image - mean))


def with_saturation(image, times):
    """The image with its colours so many times as far from grey."""
    return pixels(grey(image) + times * (image - grey(image)))


def enlarged_middle(image):
    """The middle half of the image, on all of it."""
    height, width = image.shape[:2]
    box = width / 4, height / 4, width * 3 / 4, height * 3 / 4
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BICUBIC, box))


OPERATIONS = {
    "brighter": lambda image: with_gamma(image, 1 / GAMMA),
    "darker": lambda image: with_gamma(image, GAMMA),
    "more contrast": lambda image: with_contrast(image, CONTRAST[0]),
    "less contrast": lambda image: with_contrast(image, CONTRAST[1]),
    "warmer": lambda image: pixels(image * BALANCE),
    "cooler": lambda image: pixels(image * BALANCE[::-1]),
    "hue": lambda image: image[..., [2, 0, 1]].copy(),  # by 120 degrees
    "more saturated": lambda image: with_saturation(image, SATURATION[0]),
    "less saturated": lambda image: with_saturation(image, SATURATION[1]),
    "blur": lambda image: filtered(image, ImageFilter.GaussianBlur),
    "sharpen": lambda image: filtered(image, ImageFilter.UnsharpMask, SHARPEN, 0),
    "noise": lambda image: pixels(image + NOISE * grain(*image.shape[:2])[..., None]),
    "greyscale": lambda image: pixels(np.repeat(grey(image), 3, axis=2)),
    "sepia": lambda image: pixels(image @ SEPIA.T),
    "invert": lambda image: 255 - image,
    "crop": enlarged_middle,
    "mirror": lambda image: image[:, ::-1].copy(),
}


def difference(image: np.ndarray, edited: np.ndarray) -> float:
    """How far two uint8 images [h, w, 3] are apart: the mean over all numbers, in 0..255."""
    return float(np.abs(image.astype(np.int16) - edited).mean())
