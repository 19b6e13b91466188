"""Images and known data sets to the token files of a data set."""

import dataclasses
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np

from src.config import InputError
from src.data.images import colour, readable, square
from src.data.known import Choice, Source
from src.data.palettes import fit_palette, load_clusters
from src.data.sources import open_source
from src.data.tokens import SPLITS, files_of, token_type
from src.files import lock_of, locked, together
from src.utils import iter_data, pixel_tokens
from src.writing import writing

CHUNK, CHUNK_PIXELS = 256, 1 << 22  # images between two writes, or fewer that have so many pixels
PALETTE_PIXELS = 1 << 21  # that a palette is fitted to, at most


@dataclasses.dataclass(frozen=True)
class EncodeOptions:
    """How images become tokens.

    Attributes:
        n_px: height and width in pixels.
        clusters: the file of the palette, or None.
        fit_clusters: the number of colours of a palette to fit, or None; one of these two is needed.
        augment: random crops of each training image, instead of its centre.
        pad: a colour that pictures which are not square are filled up with, instead of being cropped, or None.
        classes: whether a sub-folder is a class.
        coarse, unlabeled, fold: see `src.data.known.Choice`.
        valid_fraction: share of the training images held out as valid, where the source has none; None stands for 0.04.
        test_fraction: share held out as test, where the source has none; None stands for 0.
        seed: of splits, crops and k-means.
    """

    n_px: int = 32
    clusters: str | Path | None = None
    fit_clusters: int | None = None
    augment: int = 0
    pad: str | None = None
    classes: bool = False
    coarse: bool = False
    unlabeled: bool = False
    fold: int | None = None
    valid_fraction: float | None = None
    test_fraction: float | None = None
    seed: int = 42

    def __post_init__(self):
        if (self.clusters is None) == (self.fit_clusters is None):
            raise InputError("either `clusters` or `fit_clusters` says what the palette is")
        for name in ("valid_fraction", "test_fraction"):
            if not 0 <= (getattr(self, name) or 0) < 0.5:
                raise InputError(f"`{name}` must lie in 0..0.5, not {getattr(self, name)}")
        if self.pad is not None:
            colour(self.pad)
            if self.augment:
                raise InputError("`pad` has no effect on the crops of `augment`; leave one of them out")
        self.choice()

    def choice(self) -> Choice:
        """What is taken of a data set that offers a choice."""
        return Choice(self.coarse, self.unlabeled, self.fold)


@dataclasses.dataclass(frozen=True)
class Encoded:
    """What `encode_dataset` has written: images of each split (`tr`, `va`, `te`), colours, classes, images skipped."""

    images: dict[str, int]
    colours: int
    classes: tuple[str, ...]
    skipped: int


class Count:
    """How many images have been read of how many, and how many could not be."""

    def __init__(self, total, progress, skipped):
        self.done, self.total, self.failed = 0, total, 0
        self.progress, self.skipped = progress, skipped

    def items(self, items):
        """The items themselves, counted when the next one is asked for."""
        for item in items:
            yield item
            self.done += 1
            self.progress(self.done, self.total)

    def skip(self, error):
        self.failed += 1
        self.skipped(error)


def encode_dataset(
    source: str | Path,
    prefix: str | Path,
    options: EncodeOptions,
    progress: Callable[[int, int], None] = lambda done, total: None,
    skipped: Callable[[InputError], None] = lambda error: None,
) -> Encoded:
    """Turn a folder of images, MNIST, Fashion-MNIST, CIFAR-10, CIFAR-100 or STL-10 into the token files of a data set.

    They take the place of all files of an earlier data set of that name together, at the end; before, nothing changes.

    Args:
        source: a folder that `open_source` recognises.
        prefix: folder and name of the data set, such as `downloads/imagenet`.
        progress: is told how many images are done and how many there are, those for the palette included.
        skipped: is given what is wrong with an image that cannot be read.

    Raises:
        InputError: nothing to read in the folder, no readable image in a split, too few colours for the palette, an
            option that has no effect on this source, or another process that writes this data set.
    """
    with locked(lock_of(prefix)):
        splits = open_splits(source, options)
        sample = [] if options.clusters else palette_sample(splits["tr"], options)
        count = Count(len(sample) + sum(len(s.items) for s in splits.values()), progress, skipped)
        given = options.clusters
        clusters = load_clusters(given) if given else sampled_palette(count.items(sample), options)
        classes, images = splits["tr"].classes, {}
        with writing(prefix), together(files_of(prefix)) as part:
            for split, of_split in splits.items():
                how = options if split == "tr" else dataclasses.replace(options, augment=0)
                pictures = crops(count.items(of_split.items), how, count.skip)
                rows = write_tokens(part(f"{prefix}_{split}X.npy"), pictures, clusters, options.n_px**2)
                if not rows:
                    raise InputError(f"{prefix}_{split}: none of the {len(of_split.items)} images could be read")
                if of_split.labels is not None:
                    write_labels(part(f"{prefix}_{split}Y.npy"), of_split.labels[rows], len(classes))
                images[split] = len(rows)
            np.save(part(f"{prefix}_clusters.npy"), clusters)
            if classes:
                part(f"{prefix}_classes.json").write_text(json.dumps(classes), encoding="utf-8")
    return Encoded(images, len(clusters), classes, count.failed)


def open_splits(source: str | Path, options: EncodeOptions) -> dict[str, Source]:
    """The splits of a folder that have images, in the order of SPLITS."""
    fractions = {name: getattr(options, name) for name in ("valid_fraction", "test_fraction")}
    found = open_source(source, options.choice(), by_class=options.classes, seed=options.seed, **fractions)
    splits = {split: found[split] for split in SPLITS.values() if split in found and len(found[split].items)}
    if "tr" not in splits:
        raise InputError(f"{source}: no images to train on")
    if options.pad is not None and isinstance(splits["tr"].items[0], np.ndarray):
        raise InputError(f"`pad` has no effect on {source}: its images are square; leave it out")
    return splits


def palette_sample(source: Source, options: EncodeOptions) -> Sequence:
    """As many random images as have PALETTE_PIXELS pixels together."""
    rows = np.random.default_rng(options.seed).permutation(len(source.items))
    return source.take(np.sort(rows[: max(1, PALETTE_PIXELS // options.n_px**2)])).items


def sampled_palette(items: Iterable, options: EncodeOptions) -> np.ndarray:
    """A palette fitted to the images that can be read, as they are without `augment`: [colours, 3] in -1..1."""
    pictures = [picture for picture, _ in crops(items, dataclasses.replace(options, augment=0), lambda error: None)]
    if not pictures:
        raise InputError("no readable image to fit a palette to")
    return fit_palette(np.concatenate(pictures).reshape(-1, 3), options.fit_clusters, options.seed)


def crops(
    items: Iterable, options: EncodeOptions, skipped: Callable[[InputError], None]
) -> Iterator[tuple[np.ndarray, int]]:
    """Yield (squares cut from one image, uint8 [m, n_px, n_px, 3], its number) for every image that can be read."""
    for row, image in readable(items, skipped):
        if options.augment:
            rng = np.random.default_rng([options.seed, row])
            yield np.stack([square(image, options.n_px, rng) for _ in range(options.augment)]), row
        else:
            yield square(image, options.n_px, pad=options.pad)[None], row


def write_tokens(
    path: str | Path, pictures: Iterable[tuple[np.ndarray, int]], clusters: np.ndarray, pixels: int
) -> list[int]:
    """Write the tokens of squares of so many pixels as `crops` yields them: the number of the image of each."""
    kind, numbers = np.dtype(token_type(len(clusters))), []
    with open(path, "wb") as f:
        write_header(f, kind, (0, pixels))
        for squares, rows in batched(pictures):
            pixel_tokens(squares, clusters).astype(kind).tofile(f)
            numbers += rows
        f.seek(0)
        write_header(f, kind, (len(numbers), pixels))
    return numbers


def write_labels(path: str | Path, labels: np.ndarray, classes: int):
    """Write class numbers [n] as one-hot labels [n, classes], float32."""
    one_hot = np.eye(classes, dtype=np.float32)
    with open(path, "wb") as f:
        write_header(f, one_hot.dtype, (len(labels), classes))
        for (some,) in iter_data(labels, n_batch=CHUNK):
            one_hot[some].tofile(f)


def batched(pictures: Iterable[tuple[np.ndarray, int]]) -> Iterator[tuple[np.ndarray, list[int]]]:
    """What `crops` yields as (squares of a chunk of images [n, n_px, n_px, 3], the number of each one's image)."""
    waiting, rows = [], []
    for squares, row in pictures:
        waiting.append(squares)
        rows += [row] * len(squares)
        if len(rows) >= CHUNK or len(rows) * squares[0, ..., 0].size >= CHUNK_PIXELS:
            yield np.concatenate(waiting), rows
            waiting, rows = [], []
    if rows:
        yield np.concatenate(waiting), rows


def write_header(f: BinaryIO, kind: np.dtype, shape: tuple[int, int]):
    """The beginning of a .npy file; its length does not depend on the rows, so that it can be written again."""
    fields = {"descr": kind.str, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(f, fields)
