"""Weights in safetensors files, whole or in shards: their headers are checked here, their library reads the values."""

import math
import os
from pathlib import Path

import numpy as np
from safetensors import safe_open

from src.config import InputError, one_line
from src.files import JSON_BYTES, parse_json, read_json
from src.schema import Integer, ListOf, Table, Text, check
from src.weights.numbers import as_float32

WEIGHTS = "model.safetensors"
INDEX = f"{WEIGHTS}.index.json"
ITEM_BYTES = {"F16": 2, "BF16": 2, "F32": 4, "F64": 8}  # of the types that weights may have
OTHER_BYTES = {"BOOL": 1, "U8": 1, "I8": 1, "I16": 2, "U16": 2, "I32": 4, "U32": 4, "I64": 8, "U64": 8}  # of masks
SIZE = Integer(0, 1 << 40)
TENSOR = {  # what a header says of each
    "dtype": Text(r"\w{1,20}", "a type"),
    "shape": ListOf(SIZE, 0, 8),
    "data_offsets": ListOf(SIZE, 2, 2),
}
SHARDS = {"weight_map": Table(Text(r"[\w.\- ]{1,200}\.safetensors", "a .safetensors file of this folder"))}


def shards(folder: str | Path) -> list[str]:
    """The names of the files in a folder that hold the weights.

    Raises:
        InputError: there are none, or their index is damaged or names files outside the folder.
    """
    folder = Path(folder)
    if (folder / WEIGHTS).exists():
        return [WEIGHTS]
    if not (folder / INDEX).exists():
        pickled = list(folder.glob("*.bin"))
        hint = f" ({pickled[0].name} is a pickle, which is never opened)" if pickled else ""
        raise InputError(f"{folder}: {WEIGHTS} is missing{hint}; fetch the safetensors")
    index = read_json(folder / INDEX, dict)
    check(index, SHARDS, folder / INDEX)
    if not index["weight_map"]:
        raise InputError(f"{folder / INDEX}: weight_map does not name files of this folder")
    return sorted(set(index["weight_map"].values()))


def header(path: Path) -> dict[str, dict]:
    """Name to type, shape and place of every tensor in a file that is as long as its header says.

    Raises:
        InputError: no such file, or a damaged one.
    """
    if not path.is_file():
        raise InputError(f"{path}: damaged or missing (no such file); fetch it again")
    with open(path, "rb") as file:
        length, size = int.from_bytes(file.read(8), "little"), os.fstat(file.fileno()).st_size
        if not 2 <= length <= min(size - 8, JSON_BYTES):
            raise InputError(f"{path}: damaged (a header of {length} bytes in a file of {size}); fetch it again")
        tensors = parse_json(file.read(length), path, dict)
    tensors.pop("__metadata__", None)
    for name, tensor in tensors.items():
        where = f"{path}: damaged header: {one_line(name)}"
        if not isinstance(tensor, dict):
            raise InputError(f"{where} is no tensor")
        check(tensor, TENSOR, where)
        (first, end), item = tensor["data_offsets"], (ITEM_BYTES | OTHER_BYTES).get(tensor["dtype"])
        if not first <= end <= size - 8 - length:
            raise InputError(f"{where} lies beyond the end of the file; fetch it again")
        if item and math.prod(tensor["shape"]) * item != end - first:
            raise InputError(f"{where} has {end - first} bytes for the shape {tensor['shape']}")
    whole = 8 + length + max((tensor["data_offsets"][1] for tensor in tensors.values()), default=0)
    if size != whole:
        raise InputError(f"{path}: damaged ({size} bytes, not {whole} as its header says); fetch it again")
    return tensors


class Weights:
    """The tensors of a folder by their names without a prefix, read one at a time.

    Args:
        prefix: what the names may begin with.
        ignored: whether a name is not that of a weight.

    Raises:
        InputError: no safetensors, a damaged or missing shard, or one outside the folder; a name twice; a tensor that
            is not floating point.
    """

    def __init__(self, folder, prefix, ignored):
        self.folder, self.files, self.names, self.shapes = Path(folder), {}, {}, {}
        for file in shards(folder):
            path = self.folder / file
            for key, tensor in header(path).items():
                name = key.removeprefix(prefix)
                if ignored(name):
                    continue
                if name in self.names:
                    raise InputError(f"{path}: {one_line(name)} is there twice; fetch other weights")
                if tensor["dtype"] not in ITEM_BYTES:
                    allowed = ", ".join(ITEM_BYTES)
                    raise InputError(f"{path}: {one_line(name)} is {tensor['dtype']}, expected one of {allowed}")
                self.names[name], self.shapes[name] = (file, key), tuple(tensor["shape"])
            self.files[file] = self.opened(path)

    def opened(self, path):
        try:
            return safe_open(path, "np")
        except Exception as error:  # the library's, of any kind
            raise InputError(f"{path}: damaged or missing ({error}); fetch it again") from error

    def __getitem__(self, name) -> np.ndarray:
        """A tensor in float32; InputError where it is not finite or cannot be read."""
        file, key = self.names[name]
        path = self.folder / file
        try:
            value = self.files[file].get_tensor(key)
        except Exception as error:  # the library's, of any kind
            raise InputError(f"{path}: damaged ({error}); fetch it again") from error
        return as_float32(f"{path}: {name}", value)
