"""STL-10's binary files: bytes without a header, images channel by channel and column by column."""

from pathlib import Path

import numpy as np

from src.config import InputError
from src.files import file_size, open_regular, read_bytes

SIDE = 96
PIXELS = 3 * SIDE * SIDE  # bytes of an image
BYTES = 1 << 32  # of a file of images, at most; the 100,000 images without labels take 2.8 billion
LABELS = 1 << 17  # images of a split, at most
FOLDS = 1 << 20  # bytes of the file of folds, at most; it takes 50,000


def read_stl_images(path: str | Path) -> np.ndarray:
    """The images uint8 [n, 96, 96, 3] of a .bin file, on the disk until they are read.

    Raises:
        InputError: no such file, or its size is not that of whole images.
    """
    with open_regular(path) as f:
        size = file_size(f)
        if size > BYTES:
            raise InputError(f"{path}: {size} bytes, more than any such file has ({BYTES})")
        if size == 0 or size % PIXELS:
            raise InputError(f"{path}: {size} bytes is no multiple of {PIXELS}; the file is cut short or not STL-10")
        columns = np.memmap(f, np.uint8, "r", shape=(size // PIXELS, 3, SIDE, SIDE))
    return np.asarray(columns).transpose(0, 3, 2, 1)


def read_stl_labels(path: str | Path, images: int, classes: int = 10) -> np.ndarray:
    """The labels [n] of so many images, in 0..classes - 1; the file counts from 1.

    Raises:
        InputError: no such file, another number of labels, or one that is none.
    """
    labels = np.frombuffer(read_bytes(path, LABELS), np.uint8)
    if len(labels) != images:
        raise InputError(f"{path}: {len(labels)} labels for {images} images; get the files again")
    if not 1 <= labels.min() <= labels.max() <= classes:
        raise InputError(f"{path}: labels from {labels.min()} to {labels.max()}, not in 1..{classes}; not STL-10's")
    return labels.astype(np.int64) - 1


def read_stl_fold(path: str | Path, fold: int, images: int) -> np.ndarray:
    """The numbers, in order, of the images of a fold (from 0) of so many training images: a line of fold_indices.txt.

    Raises:
        InputError: no such file or fold, or words that are no numbers of images.
    """
    lines = read_bytes(path, FOLDS).decode("ascii", "replace").rstrip().splitlines()
    if fold >= len(lines):
        raise InputError(f"{path}: {len(lines)} folds, numbered from 0: there is no `fold` {fold}")
    words = lines[fold].split()
    if not words or not all(word.isdigit() and len(word) < 10 and int(word) < images for word in words):
        raise InputError(f"{path}: fold {fold} is not a line of numbers in 0..{images - 1}; get the file again")
    return np.unique(np.array(words, np.int64))
