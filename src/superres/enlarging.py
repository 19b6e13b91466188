"""Image files to pictures several times as large, in bounded memory."""

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from src.config import InputError
from src.data.pictures import GREY, Picture, read_picture
from src.data.sheets import side_by_side
from src.superres.upscaler import BATCH_PIXELS, Upscaler

PIXELS = 1 << 25  # of an image at most
ENLARGED = 3 << 26  # pixels of an enlarged one at most: a telephone's 12 megapixels at x4, with what surrounds them
QUANTIZED = 1 << 26  # of one with a palette: Pillow takes 13 bytes for each

Choice = Callable[[Picture], Upscaler]


@dataclasses.dataclass(frozen=True, eq=False)
class Enlarged:
    """A picture of a file, and a Pillow image of the same mode that an upscaler made of it."""

    path: str | Path
    picture: Picture
    upscaler: Upscaler
    image: Image.Image

    def compared(self, others: Sequence[Upscaler]) -> list[np.ndarray]:
        """Tiles of a sheet: input, bicubic, what other networks make of it, and the image."""
        return side_by_side(self.picture, [self.image], self.upscaler.scale, others)


class Canvas:
    """A picture's place for its enlarged colours, which come in tiles; alpha is enlarged bicubically.

    It takes 4 bytes a pixel (2 for 16 bits, 1 for greys), and one more for alpha.

    Args:
        scale: how many times as large it is.
    """

    def __init__(self, picture: Picture, scale: int):
        h, w, _ = picture.colours.shape
        self.mode, size, alpha = picture.mode, (w * scale, h * scale), picture.alpha
        self.opaque = "I;16" if picture.deep else "L" if picture.mode in GREY else "RGB"
        self.image = Image.new(self.opaque if alpha is None else f"{self.opaque}A", size)
        self.alpha = None if alpha is None else Image.fromarray(alpha).resize(size, Image.Resampling.BICUBIC)

    def paste(self, y: int, x: int, colours: np.ndarray):
        """Put colours [rows, columns, 1 or 3] to their place."""
        tile = Image.fromarray(colours[..., 0] if colours.shape[2] == 1 else colours)
        if self.alpha:
            tile = tile.convert(self.opaque)
            tile.putalpha(self.alpha.crop((x, y, x + tile.width, y + tile.height)))
        self.image.paste(tile, (x, y))

    def finished(self) -> Image.Image:
        """An image of the picture's mode, but that a very large one has no palette."""
        if self.mode == "P" and self.image.width * self.image.height <= QUANTIZED:
            return self.image.quantize(256, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
        return self.image


def enlarge_files(
    paths: Iterable[str | Path], choose: Choice, skipped: Callable[[InputError], None]
) -> Iterator[list[Enlarged]]:
    """Enlarge image files, those of equal sizes together, in bounded memory: 2.5 GB with TensorFlow and network.

    Args:
        choose: what to enlarge a picture with.
        skipped: called with the error of each file that is not a readable image, or becomes too large.
    """
    groups, pixels = {}, 0
    for path in paths:
        try:
            picture = read_picture(path, PIXELS)
        except InputError as error:
            skipped(error)
            continue
        upscaler = choose(picture)
        if too_large(picture, upscaler):
            size = f"{picture.image.width}x{picture.image.height} pixels at x{upscaler.scale}"
            skipped(InputError(f"{path}: {size} are more than {ENLARGED:,} with what surrounds them; enlarge parts"))
            continue
        key = upscaler, picture.colours.shape, picture.colours.dtype
        groups.setdefault(key, []).append((path, picture))
        pixels += picture.colours[..., 0].size
        if pixels >= BATCH_PIXELS:
            del picture
            yield from enlarged_groups(groups)
            groups, pixels = {}, 0
    yield from enlarged_groups(groups)


def too_large(picture: Picture, upscaler: Upscaler) -> bool:
    """Whether what is made of a picture, and what is computed around it, has more than ENLARGED pixels."""
    (width, height), around = picture.image.size, 2 * upscaler.context
    return (width + around) * (height + around) * upscaler.scale**2 > ENLARGED


def enlarged_groups(groups):
    """A list of `Enlarged` for each group (upscaler, ...) -> [(path, picture), ...] of pictures of one size."""
    for (upscaler, *_), entries in groups.items():
        canvases = [Canvas(picture, upscaler.scale) for _, picture in entries]
        for _ in fill(canvases, np.stack([picture.colours for _, picture in entries]), upscaler):
            pass
        yield [Enlarged(*entry, upscaler, canvas.finished()) for entry, canvas in zip(entries, canvases)]


def fill(canvases: Sequence[Canvas], colours: np.ndarray, upscaler: Upscaler) -> Iterator[float]:
    """Fill canvases with the enlarged colours [n, h, w, 1 or 3] of as many pictures; the share done after each tile."""
    done, total = 0, colours[..., 0].size * upscaler.scale**2
    for i, y, x, tiles in upscaler.tiles(colours):
        for canvas, tile in zip(canvases[i:], tiles):
            canvas.paste(y, x, tile)
        done += tiles[..., 0].size
        yield done / total
