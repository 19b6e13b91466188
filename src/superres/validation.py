"""Photographs to images that a network is scored on: shrunk, and what they were."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from src.config import InputError
from src.data.images import readable, square
from src.data.pictures import MOST
from src.measuring.metrics import WINDOW
from src.superres.degradation import in_palette, low_resolution

SCORED = 3 << 23  # pixels of a photograph that is enlarged and scored whole, which takes 120 bytes for each
HELD = 1 << 29  # pixels of all that are held for validation: 2 GB

ImagePair = tuple[np.ndarray, np.ndarray]  # low and high resolution, uint8 [h, w, 3]


def least_scored(scale: int) -> int:
    """The pixels on a side that an image needs for every metric: `scale` are cut off each border."""
    return WINDOW + 2 * scale + scale - 1  # the last ones are what a multiple of the scale may lack


def scorable(
    paths: Sequence[Path], scale: int, n_px: int | None, skipped: Callable[[InputError], None]
) -> Iterator[tuple[int, Image.Image]]:
    """(number, RGB image) of every photograph that can be read and scored; the errors of others go to `skipped`.

    Raises:
        InputError: squares of `n_px` pixels are too small to be scored.
    """
    least = least_scored(scale)
    if n_px and n_px * scale < least:
        raise InputError(f"`n_px` {n_px}: too few pixels to be scored at x{scale}; take {-(-least // scale)} or more")
    for i, photo in readable(paths, skipped, MOST if n_px else SCORED):
        if n_px or min(photo.size) >= least:
            yield i, photo
        else:
            skipped(InputError(f"{paths[i]}: too small to be scored at x{scale} ({least} pixels on a side are needed)"))


def held(pairs: Iterable[ImagePair], folder: str | Path, others: Sequence[ImagePair] = ()) -> list[ImagePair]:
    """The pairs, which lie in a folder.

    Raises:
        InputError: there is none, or they and those of other folders have more than HELD pixels together.
    """
    kept, pixels = [], sum(high[..., 0].size for _, high in others)
    for pair in pairs:
        kept.append(pair)
        pixels += pair[1][..., 0].size
        if pixels > HELD:
            more = f"more than {HELD:,} pixels in {len(others) + len(kept)} photographs for validation"
            raise InputError(f"{folder}: {more}; name fewer as `valid`, or give `n_px`")
    if not kept:
        raise InputError(f"{folder}: no photograph for validation is readable and large enough")
    return kept


def validation_pairs(
    photos: Iterable, scale: int, clusters: np.ndarray | None = None, n_px: int | None = None
) -> Iterator[ImagePair]:
    """(low, high) uint8 images [h, w, 3] of photographs (Pillow's), the low ones in a palette if there is one.

    Args:
        n_px: take the centre square, scaled to so many pixels of low resolution, as Image GPT would; else all of it.

    Raises:
        InputError: a photograph has too few pixels for that.
    """
    for photo in photos:
        if n_px and min(photo.size) < n_px * scale:
            sizes = f"{n_px * scale} on a side are needed at x{scale}, a photograph has {photo.width}x{photo.height}"
            raise InputError(f"`n_px` {n_px}: {sizes}; take fewer")
        high, low = low_resolution(square(photo, n_px * scale) if n_px else np.asarray(photo), scale)
        yield low if clusters is None else in_palette(low, clusters), high
