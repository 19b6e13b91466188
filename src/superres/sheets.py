"""Sheets that set what networks make of images side by side."""

import numpy as np
from PIL import Image

from src import images
from src.superres.pictures import as_rgb

FILTERS = Image.Resampling.NEAREST, Image.Resampling.BICUBIC
TILE = 256  # pixels of a tile, at most


def side_by_side(low, enlarged, scale, upscalers=()):
    """The middle of the input (nearest), of bicubic, of what upscalers make of it, and of the enlarged images.

    Args:
        low: uint8 [h, w, 3].
        enlarged: Pillow images `scale` times as large.
        upscalers: functions of [1, h, w, 3], such as an `Upscaler`.

    Returns:
        A list of uint8 images, all [h, w, 3].
    """
    h, w = (min(n, max(1, TILE // scale)) for n in low.shape[:2])
    y, x = (low.shape[0] - h) // 2, (low.shape[1] - w) // 2
    size, box = (w * scale, h * scale), (x, y, x + w, y + h)
    tiles = [np.asarray(Image.fromarray(low).resize(size, filter, box=box)) for filter in FILTERS]
    tiles += [upscaler(low[None, y : y + h, x : x + w])[0] for upscaler in upscalers]
    for image in enlarged:
        middle = image.crop([scale * edge for edge in box])
        if middle.mode != "I;16":
            middle = middle.convert("RGBA").convert("RGB")
        tiles.append(as_rgb(np.asarray(middle).reshape(*size[::-1], -1)))
    return tiles


def write_sheet(path, rows):
    """Write rows of tiles, uint8 [h, w, 3] of several sizes, as one PNG; two of many rows stand beside each other."""
    columns = len(rows[0]) * (1 if len(rows) < 4 else 2)
    images.write_png(path, images.sheet(on_white([tile for row in rows for tile in row]), columns=columns))


def on_white(tiles):
    """Images of several sizes [n, h, w, 3], each in the middle of a white one as large as the largest."""
    h, w = (max(t.shape[i] for t in tiles) for i in (0, 1))
    canvas = np.full([len(tiles), h, w, 3], 255, np.uint8)
    for place, tile in zip(canvas, tiles):
        y, x = (h - tile.shape[0]) // 2, (w - tile.shape[1]) // 2
        place[y : y + tile.shape[0], x : x + tile.shape[1]] = tile
    return canvas
