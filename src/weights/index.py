"""The index of a TensorFlow checkpoint, looked at before TensorFlow, which ends the process at some that are damaged.

The file is a table of LevelDB's kind: blocks of sorted names, each stored as what differs from the one before it.
"""

import itertools
import math
import os
import struct
from collections.abc import Iterator
from pathlib import Path

import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow.core.protobuf.tensor_bundle_pb2 import BundleEntryProto, BundleHeaderProto

from src.config import InputError

MAGIC, FOOTER, TRAILER = 0xDB4775248B80FB57, 48, 5  # the last eight bytes; bytes of the end, and behind each block
BYTES, ENTRIES, NAME = 1 << 24, 1 << 17, 1 << 10  # at most: of the file, variables in it, bytes of a name
RANK, ELEMENTS, SHARDS = 8, 1 << 40, 1 << 16  # at most: of a variable, and files of data


def damaged(prefix: str | Path, reason: str) -> InputError:
    """The error for a checkpoint that cannot be read."""
    return InputError(f"{prefix}: the checkpoint is damaged or incomplete ({reason}); fetch or copy it again")


def read_index(prefix: str | Path) -> dict[str, tuple[tuple[int, ...], str]]:
    """Name to (shape, name of the type) of every variable in a checkpoint, whose data files are as long as it says.

    Raises:
        InputError: damaged, or a variable that TensorFlow could not read.
    """
    path, variables, lengths = Path(f"{prefix}.index"), {}, {}
    try:
        if not BYTES >= path.stat().st_size >= FOOTER:
            raise ValueError(f"the index has {path.stat().st_size} bytes")
        (key, value), *entries = table(path.read_bytes())
        shards = BundleHeaderProto.FromString(value).num_shards
        if key or not 0 < shards <= SHARDS:
            raise ValueError(f"the index names {shards} data files")
        for key, value in entries:
            name, entry = key.decode(), BundleEntryProto.FromString(value)
            variables[name] = looked_at(name, entry)
            if not 0 <= entry.shard_id < shards:
                raise ValueError(f"{name} lies in data file {entry.shard_id} of {shards}")
            data = f"{prefix}.data-{entry.shard_id:05d}-of-{shards:05d}"
            if data not in lengths:
                lengths[data] = os.path.getsize(data) if os.path.isfile(data) else -1
            if lengths[data] < 0:
                raise ValueError(f"{os.path.basename(data)} is missing")
            if not 0 <= entry.offset <= entry.offset + entry.size <= lengths[data]:
                raise ValueError(f"{name} lies beyond the end of {os.path.basename(data)}")
    except (ValueError, IndexError, struct.error, DecodeError) as error:
        raise damaged(prefix, str(error) or "the index cannot be read") from error
    return variables


def looked_at(name, entry):
    """The (shape, type) of one variable, of a kind that TensorFlow reads without harm."""
    shape = tuple(dim.size for dim in entry.shape.dim)
    if entry.shape.unknown_rank or entry.slices or len(shape) > RANK or min(shape, default=0) < 0:
        raise ValueError(f"{name} has no plain shape")
    if math.prod(shape) > ELEMENTS:
        raise ValueError(f"{name} has {math.prod(shape):.2g} elements")
    try:
        kind = tf.as_dtype(entry.dtype)
    except TypeError:
        raise ValueError(f"{name} is of the unknown type {entry.dtype}") from None
    if kind == tf.float32 and entry.size != 4 * math.prod(shape):
        raise ValueError(f"{name} of shape {list(shape)} has {entry.size} bytes")
    return shape, kind.name


def table(content: bytes) -> list[tuple[bytes, bytes]]:
    """The names and values of a whole table, in order.

    Raises:
        ValueError, IndexError, struct.error: it is damaged.
    """
    if struct.unpack("<Q", content[-8:])[0] != MAGIC:
        raise ValueError("the index has no end mark")
    footer, at = content[-FOOTER:-8], 0
    for _ in range(2):  # of the block of filters, which is not used
        _, at = varint(footer, at)
    entries = []
    for _, handle in block(content, footer, at):
        for entry in block(content, handle, 0):
            entries.append(entry)
            if len(entries) > ENTRIES:
                raise ValueError(f"the index has more than {ENTRIES} variables")
    if not entries or any(a >= b for (a, _), (b, _) in itertools.pairwise(entries)):
        raise ValueError("the names in the index are not in order")
    return entries


def block(content: bytes, handle: bytes, at: int) -> Iterator[tuple[bytes, bytes]]:
    """The names and values of the block whose place and length stand in a handle at `at`."""
    start, at = varint(handle, at)
    size, _ = varint(handle, at)
    data = content[start : start + size]
    if start + size + TRAILER > len(content) - FOOTER or content[start + size]:
        raise ValueError("a block of the index is cut off or compressed")
    restarts = struct.unpack("<I", data[-4:])[0]
    end = size - 4 - 4 * restarts
    if end < 0:
        raise ValueError("a block of the index is too short")
    key, at, whole_names = b"", 0, {0}
    while at < end:
        first = at
        shared, at = varint(data, at)
        fresh, at = varint(data, at)
        length, at = varint(data, at)
        if shared > len(key) or shared + fresh > NAME or at + fresh + length > end:
            raise ValueError("a name in the index is damaged")
        key = key[:shared] + data[at : at + fresh]
        whole_names |= {first} if shared == 0 else set()
        at += fresh + length
        yield key, data[at - length : at]
    if not whole_names.issuperset(struct.unpack(f"<{restarts}I", data[end : end + 4 * restarts])):
        raise ValueError("a block of the index is damaged")  # TensorFlow would begin in the middle of a name


def varint(data: bytes, at: int) -> tuple[int, int]:
    """The number of seven bits a byte that begins at `at`, and where it ends."""
    number = 0
    for shift in range(0, 64, 7):
        number |= (data[at] & 127) << shift
        at += 1
        if data[at - 1] < 128:
            return number, at
    raise ValueError("a number in the index is too long")
