"""What lies in a folder: MNIST's or Fashion-MNIST's IDX files, CIFAR-10's batches, or image files."""

import gzip
import pickle
import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from src.config import InputError
from src.data.images import image_files

PICKLED = {  # all that CIFAR-10's pickles ask for
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("_codecs", "encode"),
}
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


def read_idx(path: str | Path) -> np.ndarray:
    """An IDX file (MNIST's format), gzipped or not, as a uint8 array.

    Raises:
        InputError: the file is not IDX, or shorter or longer than its header says.
    """
    try:
        with (gzip.open if str(path).endswith(".gz") else open)(path, "rb") as f:
            raw = f.read()
        zero, kind, rank = struct.unpack_from(">HBB", raw)
        shape = struct.unpack_from(f">{rank}I", raw, 4)
    except (OSError, EOFError, struct.error) as error:
        raise InputError(f"{path}: not a readable IDX file ({error})") from error
    body = np.frombuffer(raw, np.uint8, offset=4 + 4 * rank)
    if zero or kind != 8 or body.size != np.prod(shape):
        raise InputError(f"{path}: not an IDX file of bytes, or cut short ({body.size} bytes for shape {list(shape)})")
    return body.reshape(shape)


def read_mnist(folder: str | Path) -> dict[str, Source]:
    """MNIST or Fashion-MNIST from its four IDX files: split name to Source, grey images [n, 28, 28]."""
    parts = {
        part: [read_idx(find(folder, f"{part}-{name}")) for name in ("images-idx3-ubyte", "labels-idx1-ubyte")]
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
    """A Source of as many labels as images, else InputError, which begins with the name."""
    if len(images) != len(labels):
        raise InputError(f"{name}: {len(images)} images but {len(labels)} labels")
    return Source(images, np.asarray(labels, np.int64), classes)


def find(folder: str | Path, name: str) -> Path:
    """`name` or `name.gz` in `folder`, else InputError."""
    for path in (Path(folder) / name, Path(folder) / f"{name}.gz"):
        if path.exists():
            return path
    raise InputError(f"{folder}: {name}[.gz] is missing")


class ArraysOnly(pickle.Unpickler):
    """Reads CIFAR's pickles of arrays and lists; refuses anything else that a pickle could run."""

    def find_class(self, module, name):
        module = module.replace("numpy.core", "numpy._core")  # its name before NumPy 2
        if (module, name) not in PICKLED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return super().find_class(module, name)


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


def read_cifar_binary(path: str | Path) -> tuple[np.ndarray, np.ndarray]:
    """(images [n, 3072], labels [n]) of one .bin file."""
    raw = np.fromfile(path, np.uint8)
    if raw.size == 0 or raw.size % 3073:
        raise InputError(f"{path}: {raw.size} bytes is no multiple of 3073; the file is cut short or not CIFAR-10")
    rows = raw.reshape(-1, 3073)
    return rows[:, 1:], rows[:, 0]


def read_cifar_python(path: str | Path) -> tuple[np.ndarray, np.ndarray]:
    """(images [n, 3072], labels [n]) of one pickled batch."""
    try:
        with open(path, "rb") as f:
            batch = ArraysOnly(f, encoding="bytes").load()
        return np.asarray(batch[b"data"], np.uint8).reshape(-1, 3072), np.asarray(batch[b"labels"])
    except (pickle.UnpicklingError, EOFError, KeyError, ValueError, TypeError) as error:
        raise InputError(f"{path}: not a batch of CIFAR-10's python version ({error})") from error


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
