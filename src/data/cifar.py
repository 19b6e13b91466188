"""CIFAR's batches. Those of the python version are pickles: their one layout is parsed here, and nothing is unpickled.

An unpickler calls what a file names, and no list of names makes that safe: NumPy's own can be given a forged pointer.
"""

import pickletools
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from src.config import InputError, one_line
from src.data.classes import checked_names
from src.files import read_bytes

BYTES = 1 << 28  # of a batch, at most; CIFAR-100's training images are 155 million
STEPS = 1 << 20  # opcodes of a batch, at most; CIFAR-100's training images take half of that
KEY = 32  # characters by which names are told apart
PIXELS = 32 * 32 * 3  # of an image, channel by channel

LITERALS = {"BININT", "BININT1", "BININT2"}
LITERALS |= {"BINSTRING", "SHORT_BINSTRING", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"}
LITERALS |= {"BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"}
CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
EMPTY = {"EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_TUPLE": tuple}
TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


@dataclass(frozen=True)
class Name:
    """What a pickle would import: a word of the layout here."""

    of: str


ENCODE, ARRAY, DTYPE = Name("bytes"), Name("ndarray"), Name("dtype")
RECONSTRUCT, FROM_BUFFER = Name("an array to be filled"), Name("an array of bytes")
NAMES = {
    "_codecs encode": ENCODE,
    "numpy ndarray": ARRAY,
    "numpy dtype": DTYPE,
    "numpy.core.multiarray _reconstruct": RECONSTRUCT,
    "numpy._core.multiarray _reconstruct": RECONSTRUCT,
    "numpy.core.numeric _frombuffer": FROM_BUFFER,
    "numpy._core.numeric _frombuffer": FROM_BUFFER,
}


@dataclass(eq=False)
class Call:
    """What a pickle would have called, with which arguments, and the state that it would have given to the result."""

    name: Name
    args: tuple
    state: tuple | None = None


class Layout:
    """The stack machine of a pickle over plain values, of the opcodes alone that such batches are made of."""

    def __init__(self, raw: bytes):
        self.raw, self.stack, self.outer, self.memo = raw, [], [], {}
        self.encoded = 0  # bytes made of text; of a real batch no more than it has itself

    def read(self) -> object:
        """The value that the pickle stands for; ValueError or LookupError where it is none of these."""
        for i, (opcode, argument, _) in enumerate(pickletools.genops(self.raw)):
            if i == STEPS:
                raise ValueError("it is too long")
            if opcode.name == "STOP":
                return self.stack.pop()
            self.step(opcode.name, argument)
        raise ValueError("it has no end")

    def step(self, code: str, argument: object):
        stack = self.stack
        if code in LITERALS:
            stack.append(argument)
        elif code in ("BINPUT", "LONG_BINPUT"):
            self.memo[argument] = stack[-1]
        elif code == "MEMOIZE":
            self.memo[len(self.memo)] = stack[-1]
        elif code in ("BINGET", "LONG_BINGET"):
            stack.append(self.memo[argument])
        elif code in TUPLES:
            stack.append(tuple(reversed([stack.pop() for _ in range(TUPLES[code])])))
        elif code in CONSTANTS:
            stack.append(CONSTANTS[code])
        elif code in EMPTY:
            stack.append(EMPTY[code]())
        elif code == "MARK":
            self.outer.append(stack)
            self.stack = []
        elif code in ("TUPLE", "APPEND", "APPENDS", "SETITEM", "SETITEMS"):
            self.gather(code)
        elif code in ("GLOBAL", "STACK_GLOBAL"):
            stack.append(named(argument if code == "GLOBAL" else [stack.pop() for _ in range(2)][::-1]))
        elif code in ("REDUCE", "BUILD"):
            self.call(code, stack.pop())
        elif code not in ("PROTO", "FRAME"):
            raise ValueError(f"a step that no batch has, {code}")

    def gather(self, code: str):
        """Take the values since the last mark, or the last one or two, into the tuple, list or dict before them."""
        if code in ("APPEND", "SETITEM"):
            values = [self.stack.pop() for _ in range(1 if code == "APPEND" else 2)][::-1]
        else:
            values, self.stack = self.stack, self.outer.pop()
        if code == "TUPLE":
            self.stack.append(tuple(values))
        elif code.startswith("APPEND"):
            demand(isinstance(self.stack[-1], list))
            self.stack[-1].extend(values)
        else:
            keys = [text(key[:KEY]) if isinstance(key, str | bytes) else None for key in values[::2]]
            demand(isinstance(self.stack[-1], dict) and None not in keys and len(values) % 2 == 0)
            self.stack[-1].update(zip(keys, values[1::2]))

    def call(self, code: str, args: object):
        """Note a call, or the state that its result is given; text that stands for bytes becomes them."""
        demand(isinstance(args, tuple))
        if code == "BUILD":
            demand(isinstance(self.stack[-1], Call) and self.stack[-1].state is None)
            self.stack[-1].state = args
            return
        name = self.stack.pop()
        demand(isinstance(name, Name))
        if name == ENCODE:
            demand(len(args) == 2 and isinstance(args[0], str) and args[1] == "latin1")
            self.encoded += len(args[0])
            demand(self.encoded <= len(self.raw))
            self.stack.append(args[0].encode("latin-1"))
        else:
            self.stack.append(Call(name, args))


def demand(right: bool):
    """ValueError where a file does not have the layout."""
    if not right:
        raise ValueError("its layout is another")


def named(words: str | list) -> Name:
    """The Name of a module and what is in it; ValueError for all others."""
    words = words if isinstance(words, str) else " ".join(word for word in words if isinstance(word, str))
    if words not in NAMES:
        raise ValueError(f"it asks for {one_line(words)}")
    return NAMES[words]


def text(value: object) -> str | None:
    """A string or bytes as text, since the two versions of Python write one for the other; None for all else."""
    return value.decode("latin-1") if isinstance(value, bytes) else value if isinstance(value, str) else None


def pixels(value: object) -> np.ndarray:
    """The images uint8 [n, 3072] that a Call stands for; ValueError where it is no such array."""
    demand(isinstance(value, Call))
    if value.name == FROM_BUFFER:
        demand(len(value.args) == 4 and value.state is None)
        data, dtype, shape, order = value.args
        demand(order in ("C", "F"))
    else:
        demand(value.name == RECONSTRUCT and value.args[:2] == (ARRAY, (0,)) and isinstance(value.state, tuple))
        demand(len(value.state) == 5 and value.state[0] == 1)
        _, shape, dtype, fortran, data = value.state
        order = "F" if fortran else "C"
    demand(isinstance(dtype, Call) and dtype.name == DTYPE and text((*dtype.args, None)[0]) == "u1")
    data = data.encode("latin-1") if isinstance(data, str) else data
    demand(isinstance(data, bytes | bytearray) and isinstance(shape, tuple) and len(shape) == 2)
    if not (type(shape[0]) is int and shape[1] == PIXELS and len(data) == shape[0] * PIXELS > 0):
        raise ValueError(f"{len(data)} bytes of images for the shape {one_line(shape)}")
    return np.frombuffer(data, np.uint8).reshape(shape, order=order)


def read_pickled(path: str | Path) -> dict[str, object]:
    """What a file of CIFAR's python version holds, by name: lists, text and bytes, and `data` as uint8 [n, 3072].

    Raises:
        InputError: no such file, or not of that layout.
    """
    try:
        with warnings.catch_warnings(action="ignore"):  # of steps that are refused, but parsed before
            found = Layout(read_bytes(path, BYTES)).read()
        demand(isinstance(found, dict))
        return found | ({"data": pixels(found["data"])} if "data" in found else {})
    except (ValueError, LookupError) as error:
        if isinstance(error, InputError):
            raise
        why = one_line(error) if isinstance(error, ValueError) else "it is damaged"
        raise InputError(f"{path}: not a batch of CIFAR's python version ({why})") from error


def read_cifar_python(path: str | Path, labels: str = "labels", classes: int = 10) -> tuple[np.ndarray, np.ndarray]:
    """(images [n, 3072], labels [n] in 0..classes - 1) of one pickled batch; CIFAR-100 calls them `fine_labels`."""
    batch = read_pickled(path)
    found = batch.get(labels)
    if "data" not in batch or not isinstance(found, list):
        raise InputError(f"{path}: not a batch of CIFAR's python version (no data, or no {labels})")
    if not all(type(label) is int and 0 <= label < classes for label in found):
        raise InputError(f"{path}: its {labels} are not whole numbers in 0..{classes - 1}; get the file again")
    if len(found) != len(batch["data"]):
        raise InputError(f"{path}: {len(batch['data'])} images but {len(found)} {labels}; get the file again")
    return batch["data"], np.array(found, np.int64)


def read_cifar_names(path: str | Path, key: str, classes: int) -> tuple[str, ...]:
    """The names of so many classes in a pickled `batches.meta` or `meta`, where they are called `key`."""
    names = read_pickled(path).get(key)
    if not isinstance(names, list):
        raise InputError(f"{path}: no {key}; get the file again")
    return checked_names([text(name) for name in names], path, classes)


def read_cifar_binary(
    path: str | Path, classes: int = 10, *, columns: int = 1, column: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """(images [n, 3072], labels [n] in 0..classes - 1) of one .bin file.

    Args:
        columns: labels of an image, before its pixels: CIFAR-100 has 2, the superclass and the class.
        column: which of them is taken.
    """
    raw, size = np.frombuffer(read_bytes(path, BYTES), np.uint8), columns + PIXELS
    if raw.size == 0 or raw.size % size:
        raise InputError(f"{path}: {raw.size} bytes is no multiple of {size}; the file is cut short or not CIFAR's")
    rows = raw.reshape(-1, size)
    labels = rows[:, column]
    if labels.max() >= classes:
        raise InputError(f"{path}: labels up to {labels.max()}, not in 0..{classes - 1}; the file is not CIFAR's")
    return rows[:, columns:], labels
