"""Pictures of what a model thinks of a position of an image: see `src.measuring.inside`."""

import dataclasses

import numpy as np
from PIL import Image, ImageDraw

from src.config import InputError
from src.data.sheets import enlarged, sheet
from src.drawing.animation import UNKNOWN
from src.drawing.samples import tile_scale
from src.measuring.inside import Reading
from src.utils import color_dequantize

COLUMNS = 8  # of the sheet
LIKELIEST = 5  # colours on it
FRAME = (0, 0, 0), (255, 255, 255)  # around a position, outside and inside
DIM = 0.25  # of the image's brightness that is left under a heat map


@dataclasses.dataclass(frozen=True, eq=False)
class Tile:
    """A picture, uint8 [side, side, 3], and what it shows in a few words."""

    caption: str
    picture: np.ndarray


def heat(values: np.ndarray) -> np.ndarray:
    """Values in 0..1 [...] as colours in 0..255 [..., 3]: black, red, yellow, white."""
    return 255 * np.clip(3 * np.asarray(values)[..., None] - np.arange(3), 0, 1)


def marked(picture: np.ndarray, position: int, n_px: int) -> np.ndarray:
    """A square picture, uint8 [side, side, 3], with a frame around the pixel at a position."""
    scale, image = picture.shape[0] // n_px, Image.fromarray(picture)
    y, x = (scale * i for i in divmod(position, n_px))
    for ring, colour in zip((2, 1), FRAME):
        ImageDraw.Draw(image).rectangle((x - ring, y - ring, x + scale + ring - 1, y + scale + ring - 1), None, colour)
    return np.asarray(image)


def image_tiles(reading: Reading, position: int, clusters: np.ndarray) -> list[Tile]:
    """The image, and how much each of its pixels surprised the model, both with the position marked.

    Args:
        clusters: the palette [v, 3] in -1..1.

    Raises:
        InputError: the image has no such position.
    """
    reading.check(position)
    n_px = int(len(reading.tokens) ** 0.5)
    image, losses = color_dequantize(reading.tokens, clusters, n_px), reading.losses()
    surprise = np.rint(heat(losses / max(losses.max(), 1e-9))).astype(np.uint8).reshape(n_px, n_px, 3)
    large = [marked(each, position, n_px) for each in enlarged(np.stack([image, surprise]), tile_scale(n_px))]
    return [Tile("image", large[0]), Tile(f"surprise to {losses.max():.1f} nats", large[1])]


def colour_tiles(reading: Reading, position: int, clusters: np.ndarray, count: int = LIKELIEST) -> list[Tile]:
    """The colour that stands at a position and the `count` likeliest ones there, with their probabilities.

    Args, Raises: as for `image_tiles`.
    """
    n_px = int(len(reading.tokens) ** 0.5)
    colours = [*reading.likeliest(position, count)]
    names = ["here", *(f"{i + 1}." for i in range(len(colours)))]
    colours.insert(0, reading.tokens[position])
    side = tile_scale(n_px) * n_px
    pictures = color_dequantize(np.array(colours)[:, None], clusters, 1).repeat(side, axis=1).repeat(side, axis=2)
    shares = 100 * reading.probabilities[position][colours]
    return [Tile(f"{name} {share:.1f} %", picture) for name, share, picture in zip(names, shares, pictures)]


def attention_tiles(reading: Reading, position: int, clusters: np.ndarray, head: int | None = None) -> list[Tile]:
    """Where each block looks for the pixel at a position: heat over the dimmed pixels that it has seen.

    The hottest pixel of every block is white; the caption says how much the block looks at the start vector instead.

    Args:
        clusters: the palette [v, 3] in -1..1.
        head: a head's attention; by default the mean of all heads'.

    Raises:
        InputError: the image has no such position, or the model no such head.
    """
    weights = reading.attention(position)
    if head is not None and not 0 <= head < weights.shape[1]:
        raise InputError(f"`head` {head}: the model has the heads 0 to {weights.shape[1] - 1}")
    weights = weights.mean(1) if head is None else weights[:, head]  # [blocks, 1 + position]
    n_px, tiles = int(len(reading.tokens) ** 0.5), []
    seen = color_dequantize(reading.tokens, clusters, n_px).reshape(-1, 3)[:position]
    for number, (start, *pixels) in enumerate(weights):
        canvas = np.full([n_px * n_px, 3], UNKNOWN, np.uint8)
        shares = np.array(pixels) / max(pixels, default=1)
        canvas[:position] = np.rint(np.clip(DIM * seen + heat(shares), 0, 255))
        picture = enlarged(canvas.reshape(1, n_px, n_px, 3), tile_scale(n_px))[0]
        elsewhere = f", start {100 * start:.0f} %" if start >= 0.005 else ""
        tiles.append(Tile(f"block {number}{elsewhere}", marked(picture, position, n_px)))
    return tiles


def insight(reading: Reading, position: int, clusters: np.ndarray) -> np.ndarray:
    """One picture of it all: the image and its surprises, the likeliest colours, and every block's attention.

    Args, Raises: as for `image_tiles`.

    Returns:
        uint8 [height, width, 3].
    """
    tiles = [make(reading, position, clusters) for make in (image_tiles, colour_tiles, attention_tiles)]
    shown = [tile for each in tiles for tile in each]
    return sheet(np.stack([t.picture for t in shown]), columns=COLUMNS, captions=[t.caption for t in shown])
