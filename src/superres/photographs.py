"""Photographs to train on and to be scored by: which, in what form, and how a run knows them again."""

import dataclasses
import hashlib
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from src.config import InputError
from src.data.images import image_files
from src.data.palettes import load_clusters
from src.files import open_regular
from src.superres.bundled import PALETTE
from src.superres.cutting import Cutting
from src.superres.network import Network
from src.superres.pairs import Pairs
from src.superres.validation import ImagePair, held, scorable, validation_pairs

SHARES = {"clean": 0.0, "palette": 1.0, "mixed": 0.25}  # of the crops that are reduced to a palette
FolderOfPhotographs = tuple[str | Path, list[Path]]
BEGINNING = 1 << 16  # bytes of a photograph that its fingerprint is made of, beside its name and size


@dataclasses.dataclass(frozen=True)
class DataOptions:
    """What a network is trained on.

    Attributes:
        train: a folder of photographs, or several, which are drawn from alike, one that is named twice twice as often.
        valid: others for validation; by default every tenth photograph of a folder is held out.
        degradation: of low resolution: `clean`, `palette` (reduced to a palette), or `mixed` (a quarter of the crops).
        color_cluster_path: that palette; by default the bundled one.
        n_px: validate on centre squares scaled to so many low-resolution pixels.
        squares: train on squares of that size, too, of any size and place in a photograph before.
        least: pixels of a photograph's shorter side below which training does not make it smaller.
        patch: low-resolution pixels on a side of a pair.
        augment: `plain` (flips and turns) or `varied` (colours and all sizes, too).
        seed: of everything drawn.
    """

    train: str | Sequence[str]
    valid: str | Sequence[str] | None = None
    degradation: str = "clean"
    color_cluster_path: str | None = None
    n_px: int | None = None
    squares: bool = False
    least: int | None = None
    patch: int = 17
    augment: str = "plain"
    seed: int = 42


@dataclasses.dataclass(frozen=True, eq=False)
class TrainingData:
    """Pairs to train on, images to validate on, and a `description` by which a run folder knows them again.

    Attributes:
        counts: of the images for validation, how many each folder has: all folders count alike.
    """

    pairs: Pairs
    valid: list[ImagePair]
    description: dict[str, Any]
    counts: tuple[int, ...] = ()

    def mean(self, scores: Sequence[float]) -> float:
        """The mean of scores of all images for validation: of several folders that of their means."""
        ends = np.cumsum(self.counts)[:-1] if self.counts else []
        return float(np.mean([np.mean(part) for part in np.split(np.asarray(scores), ends)]))


def load_palette(degradation: str, path: str | Path | None = None) -> np.ndarray | None:
    """The palette [colours, 3] in -1..1 that a degradation reduces images to, by default the bundled one, or None."""
    return None if degradation == "clean" else load_clusters(path or PALETTE)


def split_photographs(folder: str | Path) -> tuple[list[Path], list[Path]]:
    """(photographs to train on, photographs for validation): every tenth is held out.

    Raises:
        InputError: no images, or a single one.
    """
    paths = image_files(folder)
    if len(paths) < 2:
        raise InputError(f"{folder}: one image cannot both train and validate; name others as `valid`")
    return [p for i, p in enumerate(paths) if i % 10 != 1], paths[1::10]


def listed(folders: str | Path | Sequence[str | Path] | None) -> list[str | Path]:
    """The folders, of which there may be one, several or none."""
    return [folders] if isinstance(folders, (str, Path)) else list(folders or ())


def split_folders(options: DataOptions) -> tuple[list[FolderOfPhotographs], list[FolderOfPhotographs]]:
    """(folders to train on, folders for validation), as `split_photographs`; one that is named twice is there twice."""
    train, valid = listed(options.train), listed(options.valid)
    if valid:
        return tuple([(folder, image_files(folder)) for folder in folders] for folders in (train, valid))
    both = [(folder, split_photographs(folder)) for folder in train]
    return tuple([(folder, parts[i]) for folder, parts in both] for i in (0, 1))


def load_data(options: DataOptions, net: Network, skipped: Callable[[InputError], None]) -> TrainingData:
    """What a network is trained and validated on.

    Where only some crops are reduced to a palette, validation is on clean ones.

    Args:
        skipped: called with the error of each photograph that cannot be read.

    Raises:
        InputError: no photograph is left that is readable and large enough, or there are too many for validation.
    """
    train, valid = split_folders(options)
    clusters, share = load_palette(options.degradation, options.color_cluster_path), SHARES[options.degradation]
    cutting = Cutting(
        scale=net.scale,
        patch=options.patch,
        margin=0 if net.padded else net.context,
        varied=options.augment == "varied",
        least=options.least or 0,
        square=options.n_px * net.scale if options.squares and options.n_px else 0,
    )
    channels, folders = "y" if net.channels == 1 else "rgb", tuple(tuple(paths) for _, paths in train)
    pairs = Pairs(folders, cutting, clusters, options.seed, skipped, channels=channels, share=share)
    pairs.pools(0)  # complains now, not when training has begun
    images, counts = [], []
    for folder, paths in valid:
        photos = (photo for _, photo in scorable(paths, net.scale, options.n_px, skipped))
        scored = validation_pairs(photos, net.scale, clusters if share == 1 else None, options.n_px)
        images += held(scored, folder, images)
        counts.append(len(images) - sum(counts))
    return TrainingData(pairs, images, description(options, net, (train, valid), clusters), tuple(counts))


def description(options, net, parts, clusters):
    """By what a run folder knows its data again; what is not given is not named, as it once could not be."""
    names = ["degradation", "n_px", "patch", "augment", "seed"]
    names += [name for name in ("squares", "least") if getattr(options, name)]
    train, valid = (" + ".join(fingerprint(paths, folder) for folder, paths in part) for part in parts)
    return {name: getattr(options, name) for name in names} | {
        "scale": net.scale,
        "photographs": train,
        "validation photographs": valid,
        "palette": clusters if clusters is None else hashlib.sha256(clusters.tobytes()).hexdigest()[:16],
    }


def fingerprint(paths: Iterable[Path], folder: str | Path) -> str:
    """What tells files of a folder from others: their number and a hash of their names, sizes and beginnings.

    Equal for a copy of the folder elsewhere; whole photographs are not read, which would take as long as an epoch.
    """
    paths, digest = list(paths), hashlib.sha256()
    for path in paths:
        with open_regular(path) as f:
            beginning = f.read(BEGINNING)
        digest.update(os.fsencode(f"{os.path.relpath(path, folder)}\0{path.stat().st_size}\0") + beginning)
    return f"{len(paths)} of hash {digest.hexdigest()[:16]}"
