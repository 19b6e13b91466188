"""Sheets: many images in one PNG."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from src.data.images import write_png
from src.data.pictures import Picture, as_rgb, read_picture

NEAREST, BICUBIC = Image.Resampling.NEAREST, Image.Resampling.BICUBIC
TILE = 256  # pixels on a side of a tile, at most
BACKGROUND = 216  # the grey between images, so that white ones do not run into each other
INK = 40  # the grey of captions
FONT = 12  # pixels
CAPTION = 18  # height of a caption in pixels


def enlarged(images: np.ndarray, scale: int) -> np.ndarray:
    """Images [n, height, width, 3] with every pixel `scale` times as high and wide."""
    return images.repeat(scale, axis=1).repeat(scale, axis=2)


def sheet(
    images: np.ndarray,
    *,
    columns: int | None = None,
    scale: int = 1,
    gap: int = 4,
    captions: Sequence[str] = (),
) -> np.ndarray:
    """Images side by side on light grey, in one image.

    Args:
        images: uint8 [n, height, width, 3].
        columns: images in a row; by default the sheet is near square.
        scale: how many times as large they are shown.
        gap: pixels between them.
        captions: one for every image, which stands over it, or one for every column, over the first row.

    Returns:
        uint8 [height, width, 3].
    """
    images = enlarged(np.asarray(images), scale)
    n, height, width, _ = images.shape
    columns = columns or int(np.ceil(np.sqrt(n)))
    rows = -(-n // columns)
    strips = [CAPTION if captions and (row == 0 or len(captions) > columns) else 0 for row in range(rows)]
    tops = [gap + row * (height + gap) + sum(strips[: row + 1]) for row in range(rows)]
    canvas = np.full([tops[-1] + height + gap, columns * (width + gap) + gap, 3], BACKGROUND, np.uint8)
    for i, image in enumerate(images):
        y, x = tops[i // columns], i % columns * (width + gap) + gap
        canvas[y : y + height, x : x + width] = image
        if i < len(captions):
            canvas[y - CAPTION : y, x : x + width] = caption(captions[i], width)
    return canvas


def caption(text: str, width: int) -> np.ndarray:
    """A line of text, in the middle, cut off where it is too long: uint8 [CAPTION, width, 3]."""
    strip, font = Image.new("L", (width, CAPTION), BACKGROUND), ImageFont.load_default(FONT)
    while text and font.getlength(text) > width:
        text = text.removesuffix("…")[:-1] + "…" if len(text) > 1 else ""
    ImageDraw.Draw(strip).text((width / 2, CAPTION / 2), text, INK, font, anchor="mm")
    return np.asarray(strip.convert("RGB"))


def side_by_side(
    low: Picture | np.ndarray, enlarged: Sequence[Image.Image], scale: int, upscalers: Sequence[Callable] = ()
) -> list[np.ndarray]:
    """The middle of the input (nearest), of bicubic, of what upscalers make of it, and of the enlarged images.

    What is transparent is shown on white, as a viewer shows it, and not in the colours that a file holds there.

    Args:
        low: a picture, or a uint8 array [h, w, 3].
        enlarged: Pillow images `scale` times as large.
        upscalers: functions of uint8 [1, h, w, 3], such as an `Upscaler`.

    Returns:
        A list of uint8 images, all [h, w, 3].
    """
    picture = low if isinstance(low, Picture) else read_picture(low)
    colours = as_rgb(picture.colours)
    h, w = (min(n, max(1, TILE // scale)) for n in colours.shape[:2])
    y, x = (colours.shape[0] - h) // 2, (colours.shape[1] - w) // 2
    size, box = (w * scale, h * scale), (x, y, x + w, y + h)

    def tile(image, alpha_filter):
        if picture.alpha is not None:
            image.putalpha(Image.fromarray(picture.alpha).resize(size, alpha_filter, box=box))
        return on_white(image)

    tiles = [tile(Image.fromarray(colours).resize(size, f, box=box), f) for f in (NEAREST, BICUBIC)]
    for upscaler in upscalers:
        tiles.append(tile(Image.fromarray(upscaler(colours[None, y : y + h, x : x + w])[0]), BICUBIC))
    return tiles + [on_white(image.crop([scale * edge for edge in box])) for image in enlarged]


def on_white(image: Image.Image) -> np.ndarray:
    """A Pillow image as uint8 [h, w, 3], what is transparent on white."""
    return np.asarray(Picture(image, image.mode).on_white())


def write_sheet(path: str | Path, rows: Sequence[Sequence[np.ndarray]], captions: Sequence[str] = ()):
    """Write rows of tiles as one PNG; two of many rows stand side by side.

    Args:
        rows: of uint8 images [h, w, 3] of several sizes, as many in each.
        captions: of the columns.
    """
    repeats = 1 if len(rows) < 4 else 2
    tiles = centred([tile for row in rows for tile in row])
    write_png(path, sheet(tiles, columns=len(rows[0]) * repeats, captions=list(captions) * repeats))


def centred(tiles: Sequence[np.ndarray]) -> np.ndarray:
    """Images of several sizes [n, h, w, 3], each in the middle of a place as large as the largest."""
    h, w = (max(t.shape[i] for t in tiles) for i in (0, 1))
    canvas = np.full([len(tiles), h, w, 3], BACKGROUND, np.uint8)
    for place, tile in zip(canvas, tiles):
        y, x = (h - tile.shape[0]) // 2, (w - tile.shape[1]) // 2
        place[y : y + tile.shape[0], x : x + tile.shape[1]] = tile
    return canvas
