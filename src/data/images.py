"""Image files: the one decoder, the one lister, the one PNG writer."""

import dataclasses
import functools
import logging
import os
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

import imageio.v3 as imageio
import numpy as np
from PIL import Image, ImageColor, ImageOps, UnidentifiedImageError

from src.config import InputError, one_line
from src.files import open_regular, whole

MOST = 1 << 28  # pixels: a photograph of 100 megapixels is welcome, a bomb of a file is not
Image.MAX_IMAGE_PIXELS = MOST  # else Pillow refuses some that `read_picture` lets pass; it looks for itself
logging.getLogger("PIL").addHandler(logging.NullHandler())  # else it prints more lines than the error's one
FORMATS = "PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF", "PPM"  # whatever a file's name; Pillow runs programs for others
ENDINGS = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm"}
GREY = "1", "L", "LA", "La"  # Pillow's modes


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

        So no network adds colour to a grey picture, whatever its mode.
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
        """RGB in 8 bits, what is transparent on white."""
        if self.deep:  # Pillow would clip 16 bits instead of scaling them
            return Image.fromarray(as_rgb(self.colours))
        if self.transparent:
            image = self.image.convert("RGBA")
            return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
        return self.image.convert("RGB")


def read_picture(item: str | Path | np.ndarray, most: int = MOST) -> Picture:
    """The picture in a file, of several the first, or a uint8 array [h, w], [h, w, 3] or [h, w, 4] as one.

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
    image = Image.open(f, formats=FORMATS)
    if not 0 < image.width * image.height <= most:
        raise ValueError(f"{image.width}x{image.height} pixels, not 1 to {most}")
    image.load()
    mode = image.mode
    ImageOps.exif_transpose(image, in_place=True)
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


def read_image(
    item: str | Path | np.ndarray, crop: tuple[int, int, int, int] | None = None, most: int = MOST
) -> Image.Image:
    """`read_picture` as RGB on white, or the part (x, y, width, height) of it.

    Raises:
        InputError: no such file, not a readable image, or a part that is not inside it.
    """
    image = read_picture(item, most).on_white()
    if crop is None:
        return image
    x, y, width, height = crop
    if min(x, y) < 0 or min(width, height) < 1 or x + width > image.width or y + height > image.height:
        raise InputError(
            f"{item}: `crop` {x},{y},{width},{height} is not inside its {image.width}x{image.height} pixels"
        )
    return image.crop((x, y, x + width, y + height))


def readable(items: Iterable, skipped: Callable[[InputError], None]) -> Iterator[tuple[int, Image.Image]]:
    """(number, RGB image on white) of every file or array that can be read; the errors of others go to `skipped`.

    For files that nobody named one by one, such as those of a folder: a damaged one among them is no reason to stop.
    """
    for i, item in enumerate(items):
        try:
            image = read_image(item)
        except InputError as error:
            skipped(error)
            continue
        yield i, image


def image_files(folder: str | Path) -> list[Path]:
    """The image files anywhere below a folder in order of name, but for hidden ones.

    Raises:
        InputError: no such folder, or no image file in it.
    """
    if not os.path.isdir(folder):
        raise InputError(f"{folder}: no such folder")
    found = (p for p in Path(folder).rglob("*") if p.suffix.lower() in ENDINGS and os.path.isfile(p))
    paths = sorted(p for p in found if not p.name.startswith("."))
    if not paths:
        raise InputError(f"{folder}: no image file in this folder ({', '.join(sorted(ENDINGS))})")
    return paths


def find_images(paths: Iterable[str | Path]) -> list[Path]:
    """The files named, and the image files anywhere below the folders named, in order.

    Raises:
        InputError: a path that is not there, or a folder without an image.
    """
    found = []
    for path in map(Path, paths):
        if not os.path.exists(path):
            raise InputError(f"{path}: no such file")
        found += image_files(path) if os.path.isdir(path) else [path]
    return found


def colour(text: str) -> tuple[int, int, int]:
    """Red, green and blue in 0..255 of a colour's name (`white`) or number (`#ffeedd`).

    Raises:
        InputError: no colour.
    """
    try:
        found = ImageColor.getrgb(text)[:3]
        if max(found) > 255:
            raise ValueError
        return found
    except ValueError:
        raise InputError(
            f"{text}: not a colour; give its name, such as white, or its number, such as #ffeedd"
        ) from None


def square(
    image: Image.Image,
    n_px: int,
    rng: np.random.Generator | None = None,
    *,
    pad: str | None = None,
) -> np.ndarray:
    """An RGB image as uint8 [n_px, n_px, 3], antialiased.

    Without `rng` the crop in the centre, as in the paper's evaluation; with one the paper's augmentation: the shorter
    side stands for a random length in 256..384 of which a random 224x224 is cut. With the name of a colour as `pad`
    nothing is cut: the whole image between two bands of that colour.
    """
    if pad is not None:
        return padded(image, n_px, colour(pad))
    width, height = image.size
    side = min(width, height)
    if rng is None:
        x, y = (width - side) // 2, (height - side) // 2
    else:
        side = round(side * 224 / rng.integers(256, 385))
        x, y = rng.integers(0, [width - side + 1, height - side + 1])
    image = image.crop((x, y, x + side, y + side))
    return np.asarray(image.resize((n_px, n_px), Image.Resampling.BICUBIC))


def padded(image: Image.Image, n_px: int, background: tuple[int, int, int]) -> np.ndarray:
    """The whole image in the middle of a square of the background: uint8 [n_px, n_px, 3]."""
    size = [max(1, round(n_px * side / max(image.size))) for side in image.size]
    canvas = Image.new("RGB", (n_px, n_px), background)
    canvas.paste(image.resize(size, Image.Resampling.BICUBIC), tuple((n_px - side) // 2 for side in size))
    return np.asarray(canvas)


def as_rgb(colours: np.ndarray) -> np.ndarray:
    """Colours [h, w, 1 or 3], uint8 or uint16, as uint8 [h, w, 3]."""
    if colours.dtype == np.uint16:
        colours = (colours / 257).round().astype(np.uint8)
    return np.broadcast_to(colours, (*colours.shape[:2], 3))


def canvas_for(picture: Picture, scale: int) -> Image.Image:
    """A blank Pillow image, `scale` times as large, for the picture's enlarged colours."""
    h, w, _ = picture.colours.shape
    mode = "I;16" if picture.deep else "L" if picture.mode in GREY else "RGB"
    return Image.new(mode, (w * scale, h * scale))


def finished(canvas: Image.Image, picture: Picture) -> Image.Image:
    """A canvas with its colours as an image of the picture's mode, alpha enlarged bicubically."""
    if picture.alpha is not None:
        canvas.putalpha(Image.fromarray(picture.alpha).resize(canvas.size, Image.Resampling.BICUBIC))
    if picture.mode == "P":
        return canvas.quantize(256, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    return canvas


def write_png(path: str | Path, image: np.ndarray | Image.Image):
    """Write a Pillow image, or a uint8 array [h, w, 3], complete or not at all."""
    with whole(path, durable=False) as part:
        if isinstance(image, np.ndarray):
            imageio.imwrite(part, image, extension=".png")
        else:
            image.save(part, format="PNG")
