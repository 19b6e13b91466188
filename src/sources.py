"""What lies in a folder: MNIST's or Fashion-MNIST's IDX files, CIFAR-10's batches, or image files."""

import gzip
import pickle
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from src.config import InputError

ENDINGS = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm"}
PICKLED = {  # all that CIFAR-10's pickles ask for
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("_codecs", "encode"),
}


@dataclass(frozen=True)
class Source:
    """Images of one split: `items` are arrays or paths, `labels` are class numbers or None."""

    items: object
    labels: np.ndarray | None

    def take(self, rows):
        items = self.items[rows] if isinstance(self.items, np.ndarray) else [self.items[i] for i in rows]
        return Source(items, None if self.labels is None else self.labels[rows])


def read_idx(path):
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


def read_mnist(folder):
    """MNIST or Fashion-MNIST from its four IDX files: split name to Source, grey images [n, 28, 28]."""
    sources = {}
    for split, part in (("tr", "train"), ("te", "t10k")):
        images, labels = (
            read_idx(find(folder, f"{part}-{what}")) for what in ("images-idx3-ubyte", "labels-idx1-ubyte")
        )
        sources[split] = labelled(images, labels, folder, part)
    return sources


def labelled(images, labels, folder, part):
    """A Source of as many labels as images, else InputError."""
    if len(images) != len(labels):
        raise InputError(f"{folder}: {len(images)} images but {len(labels)} labels in {part}")
    return Source(images, np.asarray(labels, np.int64))


def find(folder, name):
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


def read_cifar10(folder):
    """CIFAR-10, python or binary version: split name to Source, images [n, 32, 32, 3]."""
    folder = Path(folder)
    binary = (folder / "test_batch.bin").exists()
    names = {"tr": [f"data_batch_{i}" for i in range(1, 6)], "te": ["test_batch"]}
    sources = {}
    for split, files in names.items():
        parts = [(read_cifar_binary if binary else read_cifar_python)(find(folder, f + ".bin" * binary)) for f in files]
        images, labels = (np.concatenate(x) for x in zip(*parts))
        sources[split] = labelled(images.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1), labels, folder, split)
    return sources


def read_cifar_binary(path):
    """(images [n, 3072], labels [n]) of one .bin file."""
    raw = np.fromfile(path, np.uint8)
    if raw.size == 0 or raw.size % 3073:
        raise InputError(f"{path}: {raw.size} bytes is no multiple of 3073; the file is cut short or not CIFAR-10")
    rows = raw.reshape(-1, 3073)
    return rows[:, 1:], rows[:, 0]


def read_cifar_python(path):
    """(images [n, 3072], labels [n]) of one pickled batch."""
    try:
        with open(path, "rb") as f:
            batch = ArraysOnly(f, encoding="bytes").load()
        return np.asarray(batch[b"data"], np.uint8).reshape(-1, 3072), np.asarray(batch[b"labels"])
    except (pickle.UnpicklingError, EOFError, KeyError, ValueError, TypeError) as error:
        raise InputError(f"{path}: not a batch of CIFAR-10's python version ({error})") from error


def read_folder(folder, *, by_class=False, valid_fraction, test_fraction, seed):
    """The image files below `folder`: split name to Source.

    Sub-folders `train`, `valid` (or `val`) and `test` are the splits if there are any; else they are drawn at random.

    Raises:
        InputError: no image file, or images outside class folders where classes were asked for.
    """
    folder = Path(folder)
    given = {
        split: folder / name
        for split, names in {"tr": ["train"], "va": ["valid", "val"], "te": ["test"]}.items()
        for name in names
        if (folder / name).is_dir()
    }
    files = {split: image_files(root) for split, root in (given or {"tr": folder}).items()}
    if not any(files.values()):
        raise InputError(f"{folder}: no image file in this folder ({', '.join(sorted(ENDINGS))})")
    roots = given or {"tr": folder}
    classes = sorted({class_of(p, roots[s]) for s, paths in files.items() for p in paths}) if by_class else []
    if "." in classes:
        raise InputError(f"{folder}: --classes needs every image in a sub-folder named after its class")
    sources = {
        s: Source(paths, np.array([classes.index(class_of(p, roots[s])) for p in paths]) if by_class else None)
        for s, paths in files.items()
    }
    return sources if given else split_off(sources, {"va": valid_fraction, "te": test_fraction}, seed)


def class_of(path, root):
    """The name of the first folder on the way from `root` to `path`, `.` if there is none."""
    parts = path.relative_to(root).parts
    return parts[0] if len(parts) > 1 else "."


def image_files(folder):
    """The files with an image's ending anywhere below `folder`, in a fixed order."""
    return sorted(p for p in Path(folder).rglob("*") if p.suffix.lower() in ENDINGS and p.is_file())


def split_off(sources, fractions, seed):
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


def open_source(path, *, by_class=False, valid_fraction=0.04, test_fraction=0.0, seed=42):
    """Recognise what lies in a folder: MNIST's IDX files, CIFAR-10's batches, or image files.

    Returns:
        Split name (`tr`, `va`, `te`) to Source; `va` is cut from the training images where the data set has none.
    """
    path = Path(path)
    if not path.is_dir():
        raise InputError(f"{path}: no such folder")
    if list(path.glob("train-images-idx3-ubyte*")):
        return split_off(read_mnist(path), {"va": valid_fraction}, seed)
    if list(path.glob("data_batch_1*")):
        return split_off(read_cifar10(path), {"va": valid_fraction}, seed)
    return read_folder(path, by_class=by_class, valid_fraction=valid_fraction, test_fraction=test_fraction, seed=seed)
