"""What a checkpoint's index says of its variables, looked at before TensorFlow reads them."""

import math
import os
from pathlib import Path

import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow.core.protobuf.tensor_bundle_pb2 import BundleEntryProto

from src.config import InputError, one_line
from src.weights.table import read_table

RANK, ELEMENTS = 8, 1 << 40  # of a variable, at most


def damaged(prefix: str | Path, reason: str) -> InputError:
    """The error for a checkpoint that cannot be read."""
    return InputError(f"{prefix}: the checkpoint is damaged or incomplete ({reason}); fetch or copy it again")


def read_index(prefix: str | Path) -> dict[str, tuple[tuple[int, ...], str]]:
    """Name to (shape, name of the type) of every variable in a checkpoint, whose data files are as long as it says.

    Raises:
        InputError: damaged, or a variable that TensorFlow could not read.
    """
    variables, lengths = {}, {}
    try:
        shards, entries = read_table(f"{prefix}.index")
        for key, value in entries:
            entry, name = BundleEntryProto.FromString(value), one_line(key.decode())
            variables[key.decode()] = looked_at(name, entry)
            if not 0 <= entry.shard_id < shards:
                raise ValueError(f"{name} lies in data file {entry.shard_id} of {shards}")
            data = f"{prefix}.data-{entry.shard_id:05d}-of-{shards:05d}"
            if data not in lengths:
                lengths[data] = os.path.getsize(data) if os.path.isfile(data) else -1
            if lengths[data] < 0:
                raise ValueError(f"{os.path.basename(data)} is missing")
            if not 0 <= entry.offset <= entry.offset + entry.size <= lengths[data]:
                raise ValueError(f"{name} lies beyond the end of {os.path.basename(data)}")
    except (ValueError, DecodeError) as error:
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
