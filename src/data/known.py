"""Data sets as they are published: MNIST, Fashion-MNIST, CIFAR-10, CIFAR-100, STL-10."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from src.config import InputError
from src.data.arrays import read_idx
from src.data.cifar import read_cifar_binary, read_cifar_names, read_cifar_python
from src.data.classes import CLOTHES, DIGITS, OBJECTS, STL_OBJECTS, text_names
from src.data.stl import read_stl_fold, read_stl_images, read_stl_labels

IDX = ("images", 3), ("labels", 1)  # MNIST's files, with the dimensions of the array in each
FIRST_CLOTHES = [9, 0, 0, 3, 0, 2, 7, 2, 5, 5]  # the first training labels: MNIST and Fashion-MNIST have the same files
CIFAR_10 = {"tr": [f"data_batch_{i}" for i in range(1, 6)], "te": ["test_batch"]}
CIFAR_100 = {"tr": ["train"], "te": ["test"]}
CIFAR_100_LABELS = {"coarse": 20, "fine": 100}  # classes, in the order of the two labels of an image


@dataclass(frozen=True)
class Source:
    """Images of one split: `items` are arrays or paths, `labels` are class numbers or None, `classes` their names."""

    items: Sequence
    labels: np.ndarray | None
    classes: tuple[str, ...] = ()

    def take(self, rows: np.ndarray) -> "Source":
        """Some of the images, by their numbers."""
        items = self.items[rows] if isinstance(self.items, np.ndarray) else [self.items[i] for i in rows]
        return replace(self, items=items, labels=None if self.labels is None else self.labels[rows])


@dataclass(frozen=True)
class Choice:
    """What is taken of a data set that offers a choice.

    Attributes:
        coarse: CIFAR-100's 20 superclasses, instead of its 100 classes.
        unlabeled: STL-10's images without labels, instead of its training images; no split has labels.
        fold: which of STL-10's folds of 1,000 training images, from 0; None for all 5,000 images.
    """

    coarse: bool = False
    unlabeled: bool = False
    fold: int | None = None

    def __post_init__(self):
        if self.unlabeled and self.fold is not None:
            raise InputError("`fold` has no effect on the images of `unlabeled`; leave one of them out")

    def given(self) -> set[str]:
        """The names of what has been chosen."""
        return {name for name, value in vars(self).items() if value is not None and value is not False}


def labelled(images: np.ndarray, labels: np.ndarray, name: str, classes: tuple[str, ...]) -> Source:
    """A Source of as many labels as images that have pixels, else InputError, which begins with the name."""
    if len(images) != len(labels):
        raise InputError(f"{name}: {len(images)} images but {len(labels)} labels")
    if 0 in images.shape[1:]:
        raise InputError(f"{name}: images of {images.shape[1]}x{images.shape[2]} pixels")
    return Source(images, np.asarray(labels, np.int64), classes)


def find(folder: Path, *names: str) -> Path:
    """The first of the files that is there, else InputError."""
    for name in names:
        if (folder / name).exists():
            return folder / name
    raise InputError(f"{folder}: {' or '.join(names)} is missing")


def read_mnist(folder: Path, choice: Choice) -> dict[str, Source]:
    """MNIST or Fashion-MNIST from its four IDX files: split name to Source, grey images [n, 28, 28]."""
    parts = {}
    for part in ("train", "t10k"):
        names = [(f"{part}-{name}-idx{rank}-ubyte", rank) for name, rank in IDX]
        parts[part] = [read_idx(find(folder, name, f"{name}.gz"), rank) for name, rank in names]
    first = parts["train"][1][: len(FIRST_CLOTHES)].tolist()
    classes = CLOTHES if first == FIRST_CLOTHES else DIGITS
    largest = max(int(labels.max(initial=0)) for _, labels in parts.values())
    if largest >= len(classes):  # other data in the same format
        classes = tuple(map(str, range(largest + 1)))
    splits = {"tr": "train", "te": "t10k"}
    return {split: labelled(*parts[part], f"{folder}: {part}", classes) for split, part in splits.items()}


def read_cifar10(folder: Path, choice: Choice) -> dict[str, Source]:
    """CIFAR-10, python or binary version: split name to Source, images [n, 32, 32, 3]."""
    meta, classes = folder / "batches.meta", OBJECTS
    if (folder / "test_batch.bin").exists():
        if (names := folder / "batches.meta.txt").exists():
            classes = text_names(names, len(OBJECTS))
        return cifar_splits(folder, CIFAR_10, ".bin", read_cifar_binary, classes)
    if meta.exists():
        classes = read_cifar_names(meta, "label_names", len(OBJECTS))
    return cifar_splits(folder, CIFAR_10, "", read_cifar_python, classes)


def read_cifar100(folder: Path, choice: Choice) -> dict[str, Source]:
    """CIFAR-100, python or binary version, as `read_cifar10`."""
    kind = "coarse" if choice.coarse else "fine"
    n, column = CIFAR_100_LABELS[kind], list(CIFAR_100_LABELS).index(kind)
    if (folder / "train.bin").exists():
        names = text_names(find(folder, f"{kind}_label_names.txt"), n)
        read = functools.partial(read_cifar_binary, classes=n, columns=len(CIFAR_100_LABELS), column=column)
        return cifar_splits(folder, CIFAR_100, ".bin", read, names)
    names = read_cifar_names(find(folder, "meta"), f"{kind}_label_names", n)
    read = functools.partial(read_cifar_python, labels=f"{kind}_labels", classes=n)
    return cifar_splits(folder, CIFAR_100, "", read, names)


def cifar_splits(folder, batches, ending, read, classes):
    """Split name to Source, of the batches (split name to names of files) that `read` reads one by one."""
    sources = {}
    for split, files in batches.items():
        parts = [read(find(folder, file + ending)) for file in files]
        images, labels = (np.concatenate(x) for x in zip(*parts))
        images = images.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
        sources[split] = labelled(images, labels, f"{folder}: {split}", classes)
    return sources


def read_stl10(folder: Path, choice: Choice) -> dict[str, Source]:
    """STL-10, binary version: split name to Source, a list of images [96, 96, 3] on the disk."""
    files = {"tr": "unlabeled" if choice.unlabeled else "train", "te": "test"}
    images = {split: read_stl_images(find(folder, f"{file}_X.bin")) for split, file in files.items()}
    if choice.unlabeled:
        return {split: Source(list(images[split]), None) for split in files}
    names = folder / "class_names.txt"
    classes, sources = text_names(names, len(STL_OBJECTS)) if names.exists() else STL_OBJECTS, {}
    for split, file in files.items():
        labels = read_stl_labels(find(folder, f"{file}_y.bin"), len(images[split]))
        sources[split] = Source(list(images[split]), labels, classes)
    if choice.fold is not None:
        rows = read_stl_fold(find(folder, "fold_indices.txt"), choice.fold, len(images["tr"]))
        sources["tr"] = sources["tr"].take(rows)
    return sources


@dataclass(frozen=True)
class Known:
    """A published data set: its reader, files by one of which it is recognised, and what of a Choice it offers."""

    read: Callable[[Path, Choice], dict[str, Source]]
    marks: tuple[str, ...]
    offers: frozenset[str] = frozenset()


KNOWN = [
    Known(read_mnist, ("train-images-idx3-ubyte", "train-images-idx3-ubyte.gz")),
    Known(read_cifar10, ("data_batch_1", "data_batch_1.bin")),
    Known(read_cifar100, ("train", "train.bin"), frozenset({"coarse"})),
    Known(read_stl10, ("train_X.bin", "unlabeled_X.bin"), frozenset({"unlabeled", "fold"})),
]


def recognise(folder: Path) -> Known | None:
    """The published data set whose files lie in a folder, or None."""
    marked = (k for k in KNOWN if any((folder / m).exists() and not (folder / m).is_dir() for m in k.marks))
    return next(marked, None)
