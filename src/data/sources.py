"""What lies in a folder: MNIST's or Fashion-MNIST's IDX files, CIFAR-10's batches, or image files."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from src.config import InputError
from src.data.arrays import read_idx
from src.data.cifar import read_cifar_binary, read_cifar_python
from src.data.images import image_files

IDX = ("images", 3), ("labels", 1)  # MNIST's files, with the dimensions of the array in each
DIGITS = tuple("0123456789")
CLOTHES = "T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot"
FIRST_CLOTHES = [9, 0, 0, 3, 0, 2, 7, 2, 5, 5]  # the first training labels: MNIST and Fashion-MNIST have the same files
OBJECTS = "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"


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


def read_mnist(folder: str | Path) -> dict[str, Source]:
    """MNIST or Fashion-MNIST from its four IDX files: split name to Source, grey images [n, 28, 28]."""
    parts = {
        part: [read_idx(find(folder, f"{part}-{name}-idx{rank}-ubyte"), rank) for name, rank in IDX]
        for part in ("train", "t10k")
    }
    first = parts["train"][1][: len(FIRST_CLOTHES)].tolist()
    classes = CLOTHES if first == FIRST_CLOTHES else DIGITS
    largest = max(int(labels.max(initial=0)) for _, labels in parts.values())
    if largest >= len(classes):  # other data in the same format
        classes = tuple(map(str, range(largest + 1)))
    splits = {"tr": "train", "te": "t10k"}
    return {split: labelled(*parts[part], f"{folder}: {part}", classes) for split, part in splits.items()}


def labelled(images: np.ndarray, labels: np.ndarray, name: str, classes: tuple[str, ...]) -> Source:
    """A Source of as many labels as images that have pixels, else InputError, which begins with the name."""
    if len(images) != len(labels):
        raise InputError(f"{name}: {len(images)} images but {len(labels)} labels")
    if 0 in images.shape[1:]:
        raise InputError(f"{name}: images of {images.shape[1]}x{images.shape[2]} pixels")
    return Source(images, np.asarray(labels, np.int64), classes)


def find(folder: str | Path, name: str) -> Path:
    """`name` or `name.gz` in `folder`, else InputError."""
    for path in (Path(folder) / name, Path(folder) / f"{name}.gz"):
        if path.exists():
            return path
    raise InputError(f"{folder}: {name}[.gz] is missing")


def read_cifar10(folder: str | Path) -> dict[str, Source]:
    """CIFAR-10, python or binary version: split name to Source, images [n, 32, 32, 3]."""
    folder = Path(folder)
    binary = (folder / "test_batch.bin").exists()
    names = {"tr": [f"data_batch_{i}" for i in range(1, 6)], "te": ["test_batch"]}
    sources = {}
    for split, files in names.items():
        parts = [(read_cifar_binary if binary else read_cifar_python)(find(folder, f + ".bin" * binary)) for f in files]
        images, labels = (np.concatenate(x) for x in zip(*parts))
        images = images.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
        sources[split] = labelled(images, labels, f"{folder}: {split}", OBJECTS)
    return sources


def read_folder(folder: str | Path, by_class: bool = False) -> dict[str, Source]:
    """The image files below `folder`: split name to Source.

    Sub-folders `train`, `valid` (or `val`) and `test` are the splits if there are any; else all images are in `tr`.

    Raises:
        InputError: no image file, or images outside class folders where classes were asked for.
    """
    roots = split_folders(folder) or {"tr": Path(folder)}
    files = {split: image_files(root) for split, root in roots.items()}
    if not by_class:
        return {split: Source(paths, None) for split, paths in files.items()}
    names = {split: [class_of(path, roots[split]) for path in paths] for split, paths in files.items()}
    classes = tuple(sorted(set().union(*names.values())))
    if "." in classes:
        raise InputError(f"{folder}: `classes` needs every image in a sub-folder named after its class")
    return {s: Source(files[s], np.array([classes.index(name) for name in names[s]]), classes) for s in files}


def split_folders(folder: str | Path) -> dict[str, Path]:
    """Split name to the sub-folder that is named after it, for those there are."""
    names = {"tr": ["train"], "va": ["valid", "val"], "te": ["test"]}
    return {split: Path(folder) / name for split in names for name in names[split] if (Path(folder) / name).is_dir()}


def class_of(path: Path, root: Path) -> str:
    """The name of the first folder on the path from `root` to the image `path`, `.` if there is none."""
    parts = path.relative_to(root).parts
    return parts[0] if len(parts) > 1 else "."


def split_off(sources: dict[str, Source], fractions: dict[str, float], seed: int) -> dict[str, Source]:
    """Move a random share of `tr` into each split that `fractions` names and `sources` lacks."""
    n = len(sources["tr"].items)
    order, start, out = np.random.default_rng(seed).permutation(n), 0, dict(sources)
    for split, fraction in fractions.items():
        if split not in sources and fraction:
            size = round(n * fraction)
            out[split] = sources["tr"].take(np.sort(order[start : start + size]))
            start += size
    out["tr"] = sources["tr"].take(np.sort(order[start:]))
    return out


def open_source(
    path: str | Path,
    *,
    by_class: bool = False,
    valid_fraction: float | None = None,
    test_fraction: float | None = None,
    seed: int = 42,
) -> dict[str, Source]:
    """Recognise what lies in a folder: MNIST's IDX files, CIFAR-10's batches, or image files.

    Args:
        by_class: whether a sub-folder of image files is a class.
        valid_fraction: share of the training images held out as `va` where the source has none; by default 0.04.
        test_fraction: share held out as `te` where the source has none; by default none.
        seed: of the images held out.

    Returns:
        Split name (`tr`, `va`, `te`) to Source.

    Raises:
        InputError: no such folder, nothing known in it, or an argument that has no effect there.
    """
    path = Path(path)
    if not path.is_dir():
        raise InputError(f"{path}: no such folder")
    known = [(read_mnist, "train-images-idx3-ubyte*"), (read_cifar10, "data_batch_1*")]
    read = next((read for read, name in known if list(path.glob(name))), None)
    given = split_folders(path)
    refused = {
        "classes": by_class and read and "its labels name the classes",
        "test_fraction": test_fraction is not None and (read or given) and "it has splits of its own",
        "valid_fraction": valid_fraction is not None and given and not read and "it has splits of its own",
    }
    for name, reason in refused.items():
        if reason:
            raise InputError(f"`{name}` has no effect on {path}: {reason}; leave it out")
    sources = read(path) if read else read_folder(path, by_class)
    if given and not read:
        return sources
    fractions = {"va": 0.04 if valid_fraction is None else valid_fraction, "te": test_fraction or 0.0}
    return split_off(sources, fractions, seed)
