"""A checkpoint's `.index` as far as a download needs it: how long each of its `.data-*` files is.

The file is a table of blocks of keys and protobuf values, a footer behind them; only what TensorFlow writes is read.
"""

import struct
from collections.abc import Iterator
from pathlib import Path

from src.config import InputError

LARGEST = 16 << 20  # bytes of an index; the largest model's has 50 KB
FOOTER, MAGIC = 48, 0xDB4775248B80FB57


class Damaged(Exception):
    """Bytes that are not what they should be."""


def varint(data: bytes, at: int, end: int) -> tuple[int, int]:
    """(the number that begins at `at`, where it ends), of at most 64 bits."""
    value = 0
    for shift in range(0, 64, 7):
        if at >= end:
            raise Damaged("cut short")
        value |= (data[at] & 127) << shift
        at += 1
        if data[at - 1] < 128:
            return value, at
    raise Damaged("a number of more than 64 bits")


def fields(data: bytes, at: int, end: int) -> Iterator[tuple[int, int | tuple[int, int]]]:
    """Each protobuf field between two places: its number, and its value or, of bytes, where they begin and end."""
    while at < end:
        tag, at = varint(data, at, end)
        number, wire = tag >> 3, tag & 7
        if not number or wire not in (0, 1, 2, 5):
            raise Damaged(f"a protobuf field of number {number} and type {wire}")
        if wire == 0:
            value, at = varint(data, at, end)
        else:
            size, at = varint(data, at, end) if wire == 2 else ({1: 8, 5: 4}[wire], at)
            value, at = (at, at + size), at + size
            if at > end:
                raise Damaged("cut short")
        yield number, value


def numbers(data: bytes, at: int, end: int) -> dict[int, int]:
    """Number to value of the integer fields between two places, each the last of its number."""
    return {number: value for number, value in fields(data, at, end) if isinstance(value, int)}


def handle(data: bytes, at: int, end: int) -> tuple[tuple[int, int], int]:
    """((where a block begins, where it ends), where this handle ends)."""
    start, at = varint(data, at, end)
    size, at = varint(data, at, end)
    if start + size + 5 > len(data):  # a type and a checksum behind each
        raise Damaged("a block beyond the end")
    return (start, start + size), at


def values(data: bytes, block: tuple[int, int]) -> Iterator[tuple[bool, int, int]]:
    """Of each entry of a block: whether its key is empty, and where its value begins and ends."""
    at, end = block
    if end - at < 4 or data[end]:
        raise Damaged("an empty or compressed block")
    end -= 4 * (struct.unpack_from("<I", data, end - 4)[0] + 1)  # where each run of shared prefixes begins
    while at < end:
        shared, at = varint(data, at, end)
        own, at = varint(data, at, end)
        size, at = varint(data, at, end)
        if at + own + size > end:
            raise Damaged("an entry beyond its block")
        at += own + size
        yield not shared + own, at - size, at
    if at != end:
        raise Damaged("a block that does not add up")


def entries(data: bytes) -> Iterator[tuple[bool, dict[int, int]]]:
    """Of each variable, and of the header, whose key is empty: that, and the integer fields."""
    if len(data) < FOOTER or struct.unpack_from("<Q", data, len(data) - 8)[0] != MAGIC:
        raise Damaged("its end is not that of an index")
    _, at = handle(data, len(data) - FOOTER, len(data) - 8)
    top, _ = handle(data, at, len(data) - 8)
    left = len(data)
    for _, start, end in values(data, top):
        block, _ = handle(data, start, end)
        left -= block[1] - block[0]
        if left < 0:
            raise Damaged("blocks that overlap")
        for empty, *place in values(data, block):
            yield empty, numbers(data, *place)


def shard_sizes(path: str | Path) -> list[int]:
    """The size of each `.data-NNNNN-of-MMMMM` that belongs to the index `path`, in their order.

    Raises:
        InputError: not a checkpoint's index, or a damaged one.
    """
    path = Path(path)
    try:
        if path.stat().st_size > LARGEST:
            raise Damaged(f"more than {LARGEST >> 20} MiB")
        found = list(entries(path.read_bytes()))
        header = [numbers for empty, numbers in found if empty]
        count = header[0].get(1, 0) if header else 0
        if len(header) != 1 or not 0 < count < 100_000:
            raise Damaged("no number of files")
        sizes = [0] * count
        for empty, entry in found:
            shard = entry.get(3, 0)
            if not empty and shard >= count:
                raise Damaged("a variable in a file that there is not")
            if not empty:
                sizes[shard] = max(sizes[shard], entry.get(4, 0) + entry.get(5, 0))
        return sizes
    except Damaged as error:
        raise InputError(f"{path}: not a checkpoint's index ({error})") from error
