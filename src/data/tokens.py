"""Token files in the release's layout.

A data set NAME is the files NAME_{tr,va,te}X.npy (tokens), NAME_{tr,va,te}Y.npy (labels, one-hot), NAME_clusters.npy
(the palette) and NAME_classes.json (names of the classes). The release's own have neither of the last two.
"""

import dataclasses
import hashlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from src.config import HParams, InputError
from src.data.arrays import load_array
from src.files import read_json, unique, whole

CELLS = 1 << 24  # labels times classes that are looked at at once
WHENCE = "make token files with dataset.py, or name others with `data_path`"
SPLITS = {"train": "tr", "valid": "va", "test": "te"}

Labelled = tuple[np.ndarray, np.ndarray]  # tokens [n, s] and one-hot labels [n, c]


def files_of(prefix: str | Path) -> list[Path]:
    """All files that a data set of this name may have."""
    endings = [f"{split}{array}.npy" for split in SPLITS.values() for array in "XY"]
    return [Path(f"{prefix}_{ending}") for ending in [*endings, "clusters.npy", "classes.json"]]


def token_type(n_vocab: int) -> type:
    """The smallest type that holds the tokens of so many colours."""
    return np.uint8 if n_vocab <= 1 << 8 else np.uint16 if n_vocab <= 1 << 16 else np.uint32


def save_array(path: str | Path, array: np.ndarray):
    """`numpy.save`, complete or not at all."""
    with whole(path) as part, open(part, "wb") as f:
        np.save(f, array)


def default_data_path(downloads: str | Path) -> str:
    """The data set in a folder whose token files are the newest, without their ending."""
    found = [p for p in Path(downloads).glob("*_t[re]X.npy") if not p.name.startswith(".")]
    newest = max(found, key=lambda p: p.stat().st_mtime, default=Path("fashion_mnist_trX.npy"))
    return str(Path(downloads) / newest.name[: -len("_trX.npy")])


def splits_of(data_path: str | Path) -> dict[str, str]:
    """Those of SPLITS that a data set has: `train`, `valid`, `test` to `tr`, `va`, `te`."""
    return {name: split for name, split in SPLITS.items() if os.path.exists(f"{data_path}_{split}X.npy")}


def positions_of(data_path: str | Path) -> int | None:
    """The pixels of a data set's images; None where there are no such token files."""
    for split in splits_of(data_path).values():
        return load_array(f"{data_path}_{split}X.npy").shape[-1]


def palette_place(prefix: str | Path) -> Path:
    """Where the palette of a data set lies, or of a single file of tokens named PREFIX.npy."""
    return Path(f"{prefix}_clusters.npy")


def palette_of_tokens(prefix: str | Path) -> Path:
    """The same; InputError where there is none."""
    path = palette_place(prefix)
    if not path.exists():
        raise InputError(f"{path}: no palette beside the tokens; name theirs with `color_cluster_path`")
    return path


def check_there(data_path: str | Path):
    """Raise InputError where a data set has no token files at all."""
    if not splits_of(data_path):
        raise InputError(f"{data_path}_trX.npy: no such file; {WHENCE}")


def class_names(data_path: str | Path) -> list[str] | None:
    """The names of a data set's classes in the order of its labels, if they are known."""
    path = Path(f"{data_path}_classes.json")
    names = read_json(path, list) if path.exists() else None
    if names and not all(isinstance(name, str) for name in names):
        raise InputError(f"{path}: not a list of the names of classes")
    return names


def label_names(data_path: str | Path, classes: int) -> list[str]:
    """The names of so many classes in the order of a data set's labels, all different; numbers where none are known.

    Raises:
        InputError: the data set names another number of classes.
    """
    names = class_names(data_path) or list(map(str, range(classes)))
    if len(names) != classes:
        raise InputError(
            f"{data_path}_classes.json: names of {len(names)} classes, but the labels have {classes}; encode again"
        )
    return unique(names)


def fingerprint(array: np.ndarray) -> str:
    """16 hexadecimal digits that stand for an array's type, shape and values; it may be memory-mapped."""
    digest = hashlib.sha256(f"{array.dtype.str} {array.shape}".encode())
    for part in chunks(array):
        digest.update(np.ascontiguousarray(part))
    return digest.hexdigest()[:16]


def load_split(
    data_path: str | Path, split: str, hparams: HParams, *, labels: bool = True
) -> tuple[np.ndarray, np.ndarray | None]:
    """(X [n, n_px * n_px] memory-mapped, Y one-hot [n, c] or None) of one split.

    Args:
        data_path: folder and name without the ending, such as `downloads/imagenet`.
        split: `tr`, `va` or `te`.
        hparams: the HParams of the model that the tokens are for.
        labels: whether Y is wanted.

    Raises:
        InputError: no such file, another number of pixels, tokens outside the palette, or other labels than images.
    """
    path = f"{data_path}_{split}X.npy"
    if not os.path.exists(path):
        raise InputError(f"{path}: no such file; {WHENCE}")
    X, n_px = load_array(path), hparams.n_px
    if X.ndim != 2 or X.dtype.kind not in "ui":
        raise InputError(f"{path}: tokens are integers of shape [images, pixels], this is {list(X.shape)} {X.dtype}")
    if X.shape[1] != hparams.n_positions or not len(X):
        raise InputError(
            f"{path}: {len(X)} images of {X.shape[1]} pixels; the model takes {n_px}x{n_px} = {hparams.n_positions}"
        )
    low, high = min(x.min() for x in chunks(X)), max(x.max() for x in chunks(X))
    if low < 0 or high >= hparams.n_vocab:
        raise InputError(f"{path}: tokens run from {low} to {high} but the model has {hparams.n_vocab} colours")
    path_y = f"{data_path}_{split}Y.npy"
    return X, load_labels(path_y, X, hparams.classes) if labels and os.path.exists(path_y) else None


def load_labelled(data_path: str | Path, names: Sequence[str], hparams: HParams) -> dict[str, Labelled]:
    """Of some splits, by their names in SPLITS, what `load_split` returns, the labels of as many classes in each.

    Raises:
        InputError: as `load_split`, or there are no labels, or they are of different numbers of classes.
    """
    found, free = {}, dataclasses.replace(hparams, classes=0)  # a model's own classifier has no part in it
    for name in names:
        found[name] = load_split(data_path, SPLITS[name], free)
        path, Y = f"{data_path}_{SPLITS[name]}Y.npy", found[name][1]
        if Y is None:
            raise InputError(f"{path}: no such file, but labels are needed; dataset.py writes them of labelled images")
        classes = next(iter(found.values()))[1].shape[1]
        if Y.shape[1] != classes:
            raise InputError(f"{path}: labels of {Y.shape[1]} classes, but those of {names[0]} are of {classes}")
    return found


def load_labels(path: str | Path, X: np.ndarray, classes: int) -> np.ndarray:
    """The one-hot labels [n, c] of the tokens X [n, pixels], memory-mapped; `classes` is 0 where any number will do.

    Raises:
        InputError: no such file, other labels than images or than classes, or a row that does not name one class.
    """
    Y = load_array(path)
    if Y.ndim != 2 or len(Y) != len(X):
        raise InputError(
            f"{path}: labels {list(Y.shape)} do not fit the {len(X)} images beside them (expected [{len(X)}, classes])"
        )
    if classes not in (0, Y.shape[1]):
        raise InputError(f"{path}: {Y.shape[1]} classes, but the model's classifier has {classes}")
    if not Y.shape[1]:
        raise InputError(f"{path}: labels of no class at all")
    for part in chunks(Y, max(1, CELLS // Y.shape[1])):
        if not (((part == 0) | (part == 1)).all(1) & ((part == 1).sum(1) == 1)).all():
            raise InputError(f"{path}: labels are rows of zeros with a one for the class; these are not")
    return Y


def chunks(X: np.ndarray, size: int = 1 << 14) -> Iterator[np.ndarray]:
    """Slices of at most `size` rows, so that a memory-mapped array is never read whole."""
    return (X[i : i + size] for i in range(0, len(X), size))
