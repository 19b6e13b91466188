"""Image files to what is made of them: read as RGB, listed, cut to squares; the one PNG writer."""

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import imageio.v3 as imageio
import numpy as np
from PIL import Image, ImageColor

from src.config import InputError
from src.data.pictures import MOST, part, read_picture
from src.files import whole

ENDINGS = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm"}


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
    return part(image, (x, y, x + width, y + height))


def readable(
    items: Iterable, skipped: Callable[[InputError], None], most: int = MOST
) -> Iterator[tuple[int, Image.Image]]:
    """(number, RGB image on white) of every file or array that can be read; the errors of others go to `skipped`.

    For files that nobody named one by one, such as those of a folder: a damaged one among them is no reason to stop.
    As `read_picture`, none may have more than `most` pixels.
    """
    for i, item in enumerate(items):
        try:
            image = read_image(item, most=most)
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
    image = part(image, (x, y, x + side, y + side))
    return np.asarray(image.resize((n_px, n_px), Image.Resampling.BICUBIC))


def padded(image: Image.Image, n_px: int, background: tuple[int, int, int]) -> np.ndarray:
    """The whole image in the middle of a square of the background: uint8 [n_px, n_px, 3]."""
    size = [max(1, round(n_px * side / max(image.size))) for side in image.size]
    canvas = Image.new("RGB", (n_px, n_px), background)
    canvas.paste(image.resize(size, Image.Resampling.BICUBIC), tuple((n_px - side) // 2 for side in size))
    return np.asarray(canvas)


def write_png(path: str | Path, image: np.ndarray | Image.Image):
    """Write a Pillow image, or a uint8 array [h, w, 3], complete or not at all."""
    with whole(path, durable=False) as part:
        if isinstance(image, np.ndarray):
            imageio.imwrite(part, image, extension=".png")
        else:
            image.save(part, format="PNG")
