"""Files of numbers from anywhere, .npy and IDX, whose headers are looked at before they are believed."""

import gzip
import io
import math
import struct
import warnings
import zlib
from pathlib import Path
from typing import BinaryIO

import numpy as np

from src.config import InputError, one_line
from src.files import file_size, open_regular

HEADER = 1 << 14  # bytes at the beginning of a .npy file in which its header must end; NumPy's own bound is 10,000
DIMENSIONS = 4  # of an array that anything here reads, at most
KINDS = "buif"  # NumPy's letters for truth values, whole numbers and real ones
UNFOLDED = 3 << 28  # bytes of an IDX file, gzipped or not: those of the largest known, EMNIST's, are 547 million
DEFLATE = 1032  # how many times as large what gzip has packed can be, by its format
CHUNK = 1 << 20  # bytes that are read at once


def load_array(path: str | Path) -> np.ndarray:
    """The array of plain numbers in a .npy file, on the disk until it is read.

    Raises:
        InputError: as `open_regular`, or not a .npy file, objects or other things instead of numbers, or a file that is
            longer or shorter than its header says.
    """
    with open_regular(path) as f:
        size = file_size(f)
        try:
            shape, fortran, dtype, start = npy_header(f.read(HEADER))
            if size - start != math.prod(shape) * dtype.itemsize:
                raise ValueError(f"{size - start} bytes for shape {one_line(list(shape))} of {dtype}")
        except ValueError as error:
            raise InputError(f"{path}: not a readable .npy file ({error})") from error
        return np.memmap(f, dtype, "r", start, shape, "F" if fortran else "C")


def npy_header(raw: bytes) -> tuple[tuple[int, ...], bool, np.dtype, int]:
    """(shape, whether columns come first, dtype, length) of the header that the beginning of a .npy file holds.

    Raises:
        ValueError: none, or one of an array that is not of plain numbers or that no memory could hold.
    """
    f, read = io.BytesIO(raw), np.lib.format
    if not raw.startswith(read.MAGIC_PREFIX):
        raise ValueError("it does not begin as one" if raw else "it is empty")
    readers = {(1, 0): read.read_array_header_1_0, (2, 0): read.read_array_header_2_0}
    try:
        with warnings.catch_warnings(action="ignore"):
            shape, fortran, dtype = readers[read.read_magic(f)](f)
    except Exception as error:  # NumPy evaluates a literal, whose errors are many: of syntax, depth, type
        raise ValueError("its header is damaged") from error
    if dtype.kind not in KINDS:
        raise ValueError(f"it holds {one_line(dtype)}, not plain numbers")
    if len(shape) > DIMENSIONS or min(shape, default=0) < 0 or math.prod(n or 1 for n in shape) >= 1 << 48:
        raise ValueError(f"no array has the shape {one_line(list(shape))}")
    return shape, fortran, dtype, f.tell()


def read_idx(path: str | Path, rank: int) -> np.ndarray:
    """An IDX file (MNIST's format) of `rank` dimensions, gzipped or not, as a uint8 array.

    Raises:
        InputError: as `open_regular`, or not such a file, shorter or longer than its header says, or far too large.
    """
    with open_regular(path) as file:
        packed = str(path).endswith(".gz")
        most = min(UNFOLDED, file_size(file) * (DEFLATE if packed else 1))
        try:
            with gzip.GzipFile(fileobj=file) if packed else file as f:
                return idx_array(f, rank, most)
        except (OSError, EOFError, zlib.error, struct.error, ValueError) as error:
            raise InputError(f"{path}: not a readable IDX file ({one_line(error)})") from error


def idx_array(f: BinaryIO, rank: int, most: int) -> np.ndarray:
    """The array that an open IDX file holds, of `most` bytes at most; ValueError where it does not."""
    zero, kind, dimensions = struct.unpack(">HBB", f.read(4))
    if (zero, kind, dimensions) != (0, 8, rank):
        raise ValueError(f"it does not begin as one of bytes with {rank} dimensions")
    shape = struct.unpack(f">{rank}I", f.read(4 * rank))
    size = math.prod(shape)
    if size > most:
        raise ValueError(f"shape {list(shape)} is more than the file can hold")
    array, done = np.empty(size, np.uint8), 0  # takes no memory before it is written to
    while done < size and (n := f.readinto(memoryview(array)[done : done + CHUNK])):
        done += n
    if done < size or f.read(1):
        raise ValueError(f"{'only ' if done < size else 'more than '}{done} bytes for shape {list(shape)}")
    return array.reshape(shape)
