"""Photographs to images that a network is scored on: shrunk, and what they were."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from src.config import InputError
from src.data.images import square
from src.data.pictures import MOST
from src.superres.degradation import in_palette, low_resolution

SCORED = 3 << 23  # pixels of a photograph that is enlarged and scored whole, which takes 120 bytes for each
HELD = 1 << 29  # pixels of all that are held for validation: 2 GB

ImagePair = tuple[np.ndarray, np.ndarray]  # low and high resolution, uint8 [h, w, 3]


def most_scored(n_px: int | None) -> int:
    """The pixels that a photograph may have of which centre squares are scored, or all of it."""
    return MOST if n_px else SCORED


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
        raise InputError(f"{folder}: no photograph for validation is readable")
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
