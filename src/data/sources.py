"""What lies in a folder: a data set as it is published, or image files."""

from pathlib import Path

import numpy as np

from src.config import InputError
from src.data.images import image_files
from src.data.known import Choice, Source, recognise

OFFERED = {
    "coarse": "only CIFAR-100 has superclasses",
    "unlabeled": "only STL-10 has images without labels",
    "fold": "only STL-10 has folds",
}


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
    choice: Choice | None = None,
    *,
    by_class: bool = False,
    valid_fraction: float | None = None,
    test_fraction: float | None = None,
    seed: int = 42,
) -> dict[str, Source]:
    """Recognise what lies in a folder: MNIST's IDX files, CIFAR's batches, STL-10's binary files, or image files.

    Args:
        choice: what is taken of a data set that offers one; by default the defaults.
        by_class: whether a sub-folder of image files is a class.
        valid_fraction: share of the training images held out as `va` where the source has none; by default 0.04.
        test_fraction: share held out as `te` where the source has none; by default none.
        seed: of the images held out.

    Returns:
        Split name (`tr`, `va`, `te`) to Source.

    Raises:
        InputError: no such folder, nothing known in it, or an argument that has no effect there.
    """
    path, choice = Path(path), choice or Choice()
    if not path.is_dir():
        raise InputError(f"{path}: no such folder")
    known = recognise(path)
    given = not known and split_folders(path)
    refused = {
        "classes": by_class and known and "its labels name the classes",
        "test_fraction": test_fraction is not None and (known or given) and "it has splits of its own",
        "valid_fraction": valid_fraction is not None and given and "it has splits of its own",
    }
    refused |= {name: OFFERED[name] for name in choice.given() - (known.offers if known else set())}
    for name, reason in refused.items():
        if reason:
            raise InputError(f"`{name}` has no effect on {path}: {reason}; leave it out")
    sources = known.read(path, choice) if known else read_folder(path, by_class)
    if given:
        return sources
    fractions = {"va": 0.04 if valid_fraction is None else valid_fraction, "te": test_fraction or 0.0}
    return split_off(sources, fractions, seed)
