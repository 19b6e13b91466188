"""A checkpoint's `.index`, read without TensorFlow, which ends the process at some that are damaged.

The file is a table of LevelDB's kind: blocks of sorted names, each stored as what differs from the one before it, and
for each name a protobuf message.
"""

import itertools
import struct
from collections.abc import Iterator
from pathlib import Path

from src.config import InputError
from src.files import read_bytes

MAGIC, FOOTER, TRAILER = 0xDB4775248B80FB57, 48, 5  # the last eight bytes; bytes of the end, and behind each block
BYTES, ENTRIES, NAME = 1 << 24, 1 << 17, 1 << 10  # at most: of the file, variables in it, bytes of a name
SHARDS = 1 << 16  # files of data, at most


class Damaged(ValueError):
    """Bytes that are not what they should be."""


def varint(data: bytes, at: int, end: int) -> tuple[int, int]:
    """(the number of seven bits a byte that begins at `at`, where it ends)."""
    number = 0
    for shift in range(0, 64, 7):
        if at >= end:
            raise Damaged("cut short")
        number |= (data[at] & 127) << shift
        at += 1
        if data[at - 1] < 128:
            return number, at
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


def numbers(message: bytes) -> dict[int, int]:
    """Number to value of the integer fields of a protobuf message, each the last of its number."""
    return {number: value for number, value in fields(message, 0, len(message)) if isinstance(value, int)}


def table(content: bytes) -> list[tuple[bytes, bytes]]:
    """The names and values of a whole table, in order; Damaged where it is not one."""
    if len(content) < FOOTER or struct.unpack("<Q", content[-8:])[0] != MAGIC:
        raise Damaged("its end is not that of an index")
    footer, at, left, found = content[-FOOTER:-8], 0, len(content), []
    for _ in range(2):  # of the block of filters, which is not used
        _, at = varint(footer, at, len(footer))
    for _, handle in entries(block(content, footer, at)):
        data = block(content, handle, 0)
        left -= len(data)
        if left < 0:
            raise Damaged("blocks that overlap")
        found += itertools.islice(entries(data), ENTRIES + 1 - len(found))
    if len(found) > ENTRIES:
        raise Damaged(f"more than {ENTRIES} variables")
    if not found or any(a >= b for (a, _), (b, _) in itertools.pairwise(found)):
        raise Damaged("its names are not in order")
    return found


def block(content: bytes, handle: bytes, at: int) -> bytes:
    """The block whose place and length stand in a handle at `at`."""
    start, at = varint(handle, at, len(handle))
    size, _ = varint(handle, at, len(handle))
    if size < 4 or start + size + TRAILER > len(content) - FOOTER or content[start + size]:
        raise Damaged("a block that is cut off or compressed")
    return content[start : start + size]


def entries(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The names and values in a block."""
    restarts = struct.unpack("<I", data[-4:])[0]
    end = len(data) - 4 - 4 * restarts
    if end < 0:
        raise Damaged("a block that is too short")
    key, at, whole_names = b"", 0, {0}
    while at < end:
        first = at
        shared, at = varint(data, at, end)
        fresh, at = varint(data, at, end)
        length, at = varint(data, at, end)
        if shared > len(key) or shared + fresh > NAME or at + fresh + length > end:
            raise Damaged("a name that is damaged")
        key = key[:shared] + data[at : at + fresh]
        whole_names |= {first} if shared == 0 else set()
        at += fresh + length
        yield key, data[at - length : at]
    if not whole_names.issuperset(struct.unpack(f"<{restarts}I", data[end:-4])):
        raise Damaged("a block whose names begin elsewhere")  # TensorFlow would begin in the middle of a name


def read_table(path: str | Path) -> tuple[int, list[tuple[bytes, bytes]]]:
    """(the number of files of data, name and message of every variable) of the index `path`.

    Raises:
        InputError: no such file; Damaged: it is damaged.
    """
    (key, header), *variables = table(read_bytes(path, BYTES))
    count = numbers(header).get(1, 0)
    if key or not 0 < count <= SHARDS:
        raise Damaged(f"{count} files of data")
    return count, variables


def shard_sizes(path: str | Path) -> list[int]:
    """The size of each `.data-NNNNN-of-MMMMM` that belongs to the index `path`, in their order.

    Raises:
        InputError: not a checkpoint's index, or a damaged one.
    """
    try:
        count, variables = read_table(path)
        sizes = [0] * count
        for entry in (numbers(message) for _, message in variables):
            shard = entry.get(3, 0)
            if shard >= count:
                raise Damaged("a variable in a file that there is not")
            sizes[shard] = max(sizes[shard], entry.get(4, 0) + entry.get(5, 0))
        return sizes
    except Damaged as error:
        raise InputError(f"{path}: not a checkpoint's index ({error})") from error
