"""Image files of any mode as arrays, and enlarged ones in the mode that they came in."""

import dataclasses
import warnings

import numpy as np
from PIL import Image, ImageOps

from src.config import InputError
from src.data import UNREADABLE
from src.files import whole

GREY = "1", "L", "LA", "La"  # Pillow's modes


@dataclasses.dataclass(frozen=True)
class Picture:
    """`colours` [h, w, 1 or 3] uint8 or uint16, `alpha` [h, w] uint8 or None, and Pillow's mode of the file.

    There is a single channel where no pixel has a colour, whatever the mode, so that no network adds one.
    """

    colours: np.ndarray
    alpha: np.ndarray | None
    mode: str


def read_picture(path):
    """The picture in a file, upright, the first of several.

    Raises:
        InputError: not a readable image.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as image:
                image.load()
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except UNREADABLE as error:
        raise InputError(f"{path}: not a readable image ({error})") from error
    mode, image = image.mode, ImageOps.exif_transpose(image)
    if mode.startswith("I"):
        return Picture(np.asarray(image).clip(0, 0xFFFF).astype(np.uint16)[..., None], None, "I;16")
    alpha = None
    if image.has_transparency_data:
        image = image.convert("RGBA")
        alpha = np.asarray(image.getchannel("A"))
    colours = np.asarray(image.convert("RGB"))
    grey = colours[..., :1]
    return Picture(grey if (colours == grey).all() else colours, alpha, mode)


def as_rgb(colours):
    """Colours [h, w, 1 or 3], uint8 or uint16, as uint8 [h, w, 3]."""
    if colours.dtype == np.uint16:
        colours = (colours / 257).round().astype(np.uint8)
    return np.broadcast_to(colours, (*colours.shape[:2], 3))


def canvas_for(picture, scale):
    """A blank Pillow image, `scale` times as large, for the picture's enlarged colours."""
    h, w, _ = picture.colours.shape
    mode = "I;16" if picture.colours.dtype == np.uint16 else "L" if picture.mode in GREY else "RGB"
    return Image.new(mode, (w * scale, h * scale))


def finished(canvas, picture):
    """A canvas with its colours as an image of the picture's mode, alpha enlarged bicubically."""
    if picture.alpha is not None:
        canvas.putalpha(Image.fromarray(picture.alpha).resize(canvas.size, Image.Resampling.BICUBIC))
    if picture.mode == "P":
        return canvas.quantize(256, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    return canvas


def write_image(path, image):
    """Write a Pillow image as PNG, complete or not at all."""
    with whole(path) as part:
        image.save(part, format="PNG")
