"""Photographs to train on and to be scored by: which, in what form, and how a run knows them again."""

import dataclasses
import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from src.config import InputError
from src.data.images import image_files, readable, square
from src.data.palettes import load_clusters
from src.data.pictures import MOST
from src.files import open_regular
from src.superres.bundled import PALETTE
from src.superres.network import Network
from src.superres.pairs import Pairs, in_palette, low_resolution

SHARES = {"clean": 0.0, "palette": 1.0, "mixed": 0.25}  # of the crops that are reduced to a palette
SCORED = 3 << 23  # pixels of a photograph that is enlarged and scored whole, which takes 120 bytes for each
HELD = 1 << 29  # pixels of all that are held for validation: 2 GB
BEGINNING = 1 << 16  # bytes of a photograph that its fingerprint is made of, beside its name and size

ImagePair = tuple[np.ndarray, np.ndarray]  # low and high resolution, uint8 [h, w, 3]


@dataclasses.dataclass(frozen=True)
class DataOptions:
    """What a network is trained on.

    Attributes:
        train: a folder of photographs.
        valid: another one for validation; by default every tenth photograph is held out.
        degradation: of low resolution: `clean`, `palette` (reduced to a palette), or `mixed` (a quarter of the crops).
        color_cluster_path: that palette; by default the bundled one.
        n_px: validate on centre squares scaled to so many low-resolution pixels.
        patch: low-resolution pixels on a side of a pair.
        augment: `plain` (flips and turns) or `varied` (colours and all sizes, too).
        seed: of everything drawn.
    """

    train: str
    valid: str | None = None
    degradation: str = "clean"
    color_cluster_path: str | None = None
    n_px: int | None = None
    patch: int = 17
    augment: str = "plain"
    seed: int = 42


@dataclasses.dataclass(frozen=True, eq=False)
class TrainingData:
    """Pairs to train on, images to validate on, and a `description` by which a run folder knows them again."""

    pairs: Pairs
    valid: list[ImagePair]
    description: dict[str, Any]


def load_palette(degradation: str, path: str | Path | None = None) -> np.ndarray | None:
    """The palette [colours, 3] in -1..1 that a degradation reduces images to, by default the bundled one, or None."""
    return None if degradation == "clean" else load_clusters(path or PALETTE)


def split_photographs(folder: str | Path, valid: str | Path | None = None) -> tuple[list[Path], list[Path]]:
    """(photographs to train on, photographs for validation): every tenth is held out unless `valid` is a folder.

    Raises:
        InputError: no images, or a single one and nothing to validate on.
    """
    paths = image_files(folder)
    if valid:
        return paths, image_files(valid)
    if len(paths) < 2:
        raise InputError(f"{folder}: one image cannot both train and validate; name others as `valid`")
    return [p for i, p in enumerate(paths) if i % 10 != 1], paths[1::10]


def load_data(options: DataOptions, net: Network, skipped: Callable[[InputError], None]) -> TrainingData:
    """What a network is trained and validated on.

    Where only some crops are reduced to a palette, validation is on clean ones.

    Args:
        skipped: called with the error of each photograph that cannot be read.

    Raises:
        InputError: no photograph is left that is readable and large enough, or there are too many for validation.
    """
    paths, valid_paths = split_photographs(options.train, options.valid)
    clusters, share = load_palette(options.degradation, options.color_cluster_path), SHARES[options.degradation]
    pairs = Pairs(
        paths=tuple(paths),
        scale=net.scale,
        patch=options.patch,
        margin=0 if net.padded else net.context,
        channels="y" if net.channels == 1 else "rgb",
        clusters=clusters,
        share=share,
        seed=options.seed,
        varied=options.augment == "varied",
        skipped=skipped,
    )
    pairs.pool(0)  # complains now, not when training has begun
    photos = (photo for _, photo in readable(valid_paths, skipped, most_scored(options.n_px)))
    pairs_held = validation_pairs(photos, net.scale, clusters if share == 1 else None, options.n_px)
    valid = held(pairs_held, options.valid or options.train)
    description = {name: getattr(options, name) for name in ("degradation", "n_px", "patch", "augment", "seed")}
    description |= {
        "scale": net.scale,
        "photographs": fingerprint(paths, options.train),
        "validation photographs": fingerprint(valid_paths, options.valid or options.train),
        "palette": clusters if clusters is None else hashlib.sha256(clusters.tobytes()).hexdigest()[:16],
    }
    return TrainingData(pairs, valid, description)


def most_scored(n_px: int | None) -> int:
    """The pixels that a photograph may have of which centre squares are scored, or all of it."""
    return MOST if n_px else SCORED


def held(pairs: Iterable[ImagePair], folder: str | Path) -> list[ImagePair]:
    """The pairs, which lie in a folder.

    Raises:
        InputError: there is none, or they have more than HELD pixels together.
    """
    kept, pixels = [], 0
    for pair in pairs:
        kept.append(pair)
        pixels += pair[1][..., 0].size
        if pixels > HELD:
            more = f"more than {HELD:,} pixels in {len(kept)} photographs for validation"
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


def fingerprint(paths: Iterable[Path], folder: str | Path) -> str:
    """What tells files of a folder from others: their number and a hash of their names, sizes and beginnings.

    Equal for a copy of the folder elsewhere; whole photographs are not read, which would take as long as an epoch.
    """
    paths, digest = list(paths), hashlib.sha256()
    for path in paths:
        with open_regular(path) as f:
            beginning = f.read(BEGINNING)
        digest.update(f"{os.path.relpath(path, folder)}\0{path.stat().st_size}\0".encode() + beginning)
    return f"{len(paths)} of hash {digest.hexdigest()[:16]}"
