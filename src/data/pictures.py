"""Pictures: the one decoder of image files, which holds what a file makes it do to a bound, and what lies in one."""

import contextlib
import ctypes
import dataclasses
import functools
import logging
import os
import warnings
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from src.config import InputError, one_line
from src.data.jpeg import scans
from src.files import open_regular

MOST = 13 << 23  # pixels: one of 108 megapixels is welcome, and no format takes more than 2 GB, TensorFlow included
MOST_COSTLY = 1 << 26  # of WebP and of four inks, of which decoders hold so many more copies
SCANS = 32  # of a JPEG at most; usual are 10, and 18 with four colours
TILE_WIDTH, TILE_HEIGHT = 322, 323  # fields of TIFF
FORMATS = "PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF", "PPM"  # whatever a file's name; Pillow runs programs for others
GREY = "1", "L", "LA", "La"  # Pillow's modes
BAND = 1 << 22  # pixels that are put on white at a time, and the widest picture

logging.getLogger("PIL").addHandler(logging.NullHandler())  # else it prints more lines than the error's one
with contextlib.suppress(AttributeError, OSError):  # where Pillow's libtiff is its own, it is not silenced
    for handler in ("TIFFSetErrorHandler", "TIFFSetWarningHandler"):
        getattr(ctypes.CDLL(Image.core.__file__), handler)(None)  # else it prints what it thinks of damaged files


@dataclasses.dataclass(frozen=True, eq=False)
class Picture:
    """What an image file holds, or an array: a Pillow image that stands upright, and Pillow's mode of the file."""

    image: Image.Image
    mode: str

    @property
    def deep(self) -> bool:
        """Whether it has 16 bits (greys only, as far as Pillow reads them)."""
        return self.mode.startswith("I")

    @functools.cached_property
    def colours(self) -> np.ndarray:
        """[h, w, 1 or 3], uint8 or uint16, whatever is transparent; one channel where no pixel has a colour.

        So no network adds colour to a grey picture, whatever its mode. While this is made it takes up to 14 bytes a
        pixel, the picture included.
        """
        if self.deep:
            return np.asarray(self.image).clip(0, 0xFFFF).astype(np.uint16)[..., None]
        colours = np.asarray((self.image.convert("RGBA") if self.transparent else self.image).convert("RGB"))
        grey = colours[..., :1]
        return grey if (colours == grey).all() else colours

    @property
    def transparent(self) -> bool:
        return not self.deep and self.image.has_transparency_data

    @functools.cached_property
    def alpha(self) -> np.ndarray | None:
        """Opacity [h, w], uint8, or None."""
        return np.asarray(self.image.convert("RGBA").getchannel("A")) if self.transparent else None

    def on_white(self) -> Image.Image:
        """RGB in 8 bits, what is transparent on white; a picture's 4 bytes a pixel and as many again."""
        if self.deep:  # Pillow would clip 16 bits instead of scaling them
            return self.filled(lambda band: Image.fromarray(as_rgb(Picture(band, self.mode).colours)))
        if self.transparent:
            return self.filled(lambda band: over_white(band.convert("RGBA")))
        return self.image.convert("RGB")

    def filled(self, made):
        """An RGB image, each band of rows made of the picture's, so that memory is taken for one at a time."""
        width, height = self.image.size
        canvas, rows = Image.new("RGB", (width, height)), max(1, BAND // width)
        for y in range(0, height, rows):
            canvas.paste(made(self.image.crop((0, y, width, min(y + rows, height)))), (0, y))
        return canvas


def over_white(image: Image.Image) -> Image.Image:
    """An RGBA image as RGB on white."""
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")


def as_rgb(colours: np.ndarray) -> np.ndarray:
    """Colours [h, w, 1 or 3], uint8 or uint16, as uint8 [h, w, 3]."""
    if colours.dtype == np.uint16:
        colours = ((colours + np.uint32(128)) // np.uint32(257)).astype(np.uint8)  # rounded
    return np.broadcast_to(colours, (*colours.shape[:2], 3))


def read_picture(item: str | Path | np.ndarray, most: int = MOST) -> Picture:
    """The picture in a file, of several the first, or a uint8 array [h, w], [h, w, 3] or [h, w, 4] as one.

    The largest takes up to 1.4 GB while it is decoded (12 bytes a pixel, WebP 16), and 4 bytes a pixel from then on.

    Args:
        most: the pixels that it may have; whoever makes more of each needs a lower bound than the default.

    Raises:
        InputError: no such file, not a readable image, or one of too many pixels.
    """
    if isinstance(item, np.ndarray):
        image = from_array(item, most)
        return Picture(image, image.mode)
    with open_regular(item) as f, warnings.catch_warnings(action="ignore"):  # of broken EXIF, which no user can mend
        try:
            return decoded(f, most)
        except MemoryError:
            raise InputError(f"{item}: not a readable image (it does not fit into memory)") from None
        except Exception as error:  # no list holds all that Pillow raises on damaged files
            raise InputError(f"{item}: not a readable image ({reason(error, item)})") from error


def decoded(f: BinaryIO, most: int) -> Picture:
    """The picture in an open file; whatever Pillow raises, and ValueError for more than `most` pixels."""
    if scans(f) > SCANS:
        raise ValueError(f"a JPEG of more than {SCANS} scans")
    f.seek(0)
    try:
        image = Image.open(f, formats=FORMATS)
    except Image.DecompressionBombError:
        raise ValueError(f"more than {most} pixels") from None
    if image.format == "WEBP" or image.mode == "CMYK":
        most = min(most, MOST_COSTLY)
    if not 0 < image.width * image.height <= most:
        raise ValueError(f"{image.width}x{image.height} pixels, not 1 to {most}")
    if image.width > BAND:
        raise ValueError(f"{image.width} pixels wide, more than {BAND}")
    if image.format == "TIFF" and image.tag_v2.get(TILE_WIDTH, 0) * image.tag_v2.get(TILE_HEIGHT, 0) > most:
        raise ValueError(f"a tile of more than {most} pixels")
    image.load()
    mode = image.mode
    image = ImageOps.exif_transpose(image)  # a copy, without what the decoder keeps
    corner = Picture(image.crop((0, 0, 1, 1)), mode)
    _ = corner.on_white(), corner.colours, corner.alpha  # what fails here for one pixel would fail later for all
    return Picture(image, mode)


def reason(error: Exception, item: str | Path) -> str:
    """What an error of Pillow's says, on one line."""
    if isinstance(error, UnidentifiedImageError):
        return f"none of the formats {', '.join(FORMATS)}" if os.path.getsize(item) else "it is empty"
    return one_line(error) or type(error).__name__


def from_array(array: np.ndarray, most: int) -> Image.Image:
    """A uint8 array [h, w], [h, w, 3] or [h, w, 4] as a Pillow image; InputError for all others."""
    fits = array.dtype == np.uint8 and array.ndim >= 2 and array.shape[2:] in ((), (3,), (4,))
    if not fits or not 0 < array.shape[0] * array.shape[1] <= most:
        raise InputError(f"an array of {array.dtype} {list(array.shape)} is no picture: uint8 [height, width, 3] is")
    return Image.fromarray(array)


def part(image: Image.Image, box: tuple[int, int, int, int]) -> Image.Image:
    """The part (left, top, right, bottom) of an image whose size has been looked at: Pillow warns of large ones."""
    with warnings.catch_warnings(action="ignore", category=Image.DecompressionBombWarning):
        return image.crop(box)
