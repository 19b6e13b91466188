"""Palettes: files of them, and fitting one to images."""

from pathlib import Path

import numpy as np

from src.config import InputError
from src.data.arrays import load_array
from src.files import read_json
from src.schema import ListOf, Real, check

POINTS = 1 << 17  # that k-means is given, at most: 512 colours take ten seconds
FEW_POINTS = 1 << 14  # so few that three beginnings cost nothing
SAME = 1e-3  # between two files of one palette: an eighth of a grey level
COLOURS = 1 << 24  # that 8 bits a channel can tell apart
CLUSTERS = ListOf(ListOf(Real(-1 - SAME, 1 + SAME), 3, 3), 1, COLOURS)  # in JSON
FLAT = 0.01  # share of all pixels from which a colour counts as that of flat areas


def fit_palette(pixels: np.ndarray, colours: int, seed: int = 42) -> np.ndarray:
    """A palette by k-means on the distinct colours of images, each as heavy as it has pixels.

    All of k-means, not its variant on small batches: batches in which one colour fills a third of the weight, such as
    that of a flat background, give it a third of the palette. Unweighted, the error of the images is three times as
    large. Where there are too many distinct colours, neighbours are taken together first. Colours of flat areas are met
    to the grey level, since a background that is almost white is seen.

    Args:
        pixels: uint8 [n, 3].
        colours: how many the palette has.

    Returns:
        [colours, 3] in -1..1, float32, the darkest first.

    Raises:
        InputError: the images hold fewer colours than that.
    """
    from sklearn.cluster import KMeans

    codes, counts = np.unique(packed(pixels), return_counts=True)
    distinct = np.stack([codes >> 16, codes >> 8 & 255, codes & 255], axis=1)
    if len(distinct) < colours:
        raise InputError(f"`fit_clusters` {colours}: the images hold only {len(distinct)} different colours")
    points, weights, cell = thinned(distinct, counts, max(POINTS, colours))
    means = KMeans(colours, n_init=3 if len(points) <= FEW_POINTS else 1, random_state=seed)
    means.fit(points.astype(np.float32) / np.float32(127.5) - 1, sample_weight=weights)
    centres, sizes = means.cluster_centers_, np.bincount(means.labels_, weights, colours)
    for i in np.flatnonzero(counts >= FLAT * len(pixels)):
        centre = means.labels_[cell[i]]
        missed = np.rint(127.5 * (centres[centre] + 1)) != distinct[i]
        if missed.any() and 2 * counts[i] > sizes[centre]:
            centres[centre] = distinct[i] / 127.5 - 1
    return centres[np.argsort(centres @ [0.299, 0.587, 0.114])].astype(np.float32)


def packed(colours: np.ndarray) -> np.ndarray:
    """Colours [n, 3] in 0..255 as one number each, in the same order."""
    return colours.astype(np.int32) @ np.array([1 << 16, 1 << 8, 1], np.int32)


def thinned(distinct: np.ndarray, counts: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Colours [n, 3] as `most` at most: (means of neighbours [m, 3], how often they occur [m], which is whose [n])."""
    points, weights, cell, level = distinct, counts, np.arange(len(distinct)), 1
    while len(points) > most:
        level *= 2
        _, cell = np.unique(packed(distinct // level), return_inverse=True)
        weights = np.bincount(cell, counts)
        points = np.stack([np.bincount(cell, counts * distinct[:, i]) / weights for i in range(3)], axis=1)
    return points, weights, cell


def load_clusters(path: str | Path, n_vocab: int | None = None) -> np.ndarray:
    """A palette [n, 3] in -1..1, float32, from a .npy file or a Hugging Face preprocessor_config.json.

    Raises:
        InputError: no such file, not a palette, or not `n_vocab` colours.
    """
    clusters = json_clusters(path) if str(path).endswith(".json") else load_array(path)
    if clusters.ndim != 2 or clusters.shape[1] != 3 or clusters.dtype.kind != "f":
        raise InputError(
            f"{path}: a palette has shape [colours, 3] of floats, this is {list(clusters.shape)} {clusters.dtype}"
        )
    if not 1 <= len(clusters) <= COLOURS:
        raise InputError(f"{path}: {len(clusters)} colours; a palette has 1 to {COLOURS}")
    if not (np.isfinite(clusters).all() and np.abs(clusters).max() <= 1 + SAME):
        raise InputError(f"{path}: palette colours lie in -1..1 (pixel / 127.5 - 1); these do not")
    if n_vocab is not None and len(clusters) != n_vocab:
        raise InputError(f"{path}: the palette has {len(clusters)} colours but the model has {n_vocab}")
    return np.array(clusters, np.float32)


def same_palette(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two palettes [colours, 3] in -1..1 are one."""
    return a.shape == b.shape and np.abs(a - b).max() <= SAME


def check_palette(data_path: str | Path, clusters: np.ndarray, path: str | Path | None = None):
    """See that the tokens of a data set stand for the colours of a model; without a palette of its own they may.

    Args:
        data_path: folder and name of the data set, such as `downloads/imagenet`.
        clusters: the model's palette [colours, 3] in -1..1.
        path: its file, if there is one to name.

    Raises:
        InputError: they stand for others.
    """
    file = Path(f"{data_path}_clusters.npy")
    if not file.exists():  # the release's token files have none
        return
    colours = load_clusters(file)
    if not same_palette(colours, clusters):
        palette = f"the palette {path}" if path else "the model's palette"
        raise InputError(
            f"{file}: the tokens stand for other colours than the model's; encode the images again with {palette} "
            "(`clusters`)"
        )


def json_clusters(path: str | Path) -> np.ndarray:
    """The palette [n, 3] in the processor of a Hugging Face model; InputError where there is none."""
    content = read_json(path, dict)
    check(content, {"clusters": CLUSTERS}, path)
    return np.array(content["clusters"], np.float32)
