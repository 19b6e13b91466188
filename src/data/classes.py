"""Names of classes: of data sets whose files may lack them, and as a data set's file of names has them."""

from collections.abc import Sequence
from pathlib import Path

from src.config import InputError, one_line
from src.files import read_bytes

DIGITS = tuple("0123456789")
CLOTHES = "T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot"
OBJECTS = "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"  # CIFAR-10
STL_OBJECTS = "airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck"
BYTES = 1 << 16  # of a file of names, at most; CIFAR-100's has 900
LETTERS = 80  # of a name, at most


def text_names(path: str | Path, classes: int) -> tuple[str, ...]:
    """The names in a file of so many lines; empty ones do not count.

    Raises:
        InputError: no such file, or as `checked_names`.
    """
    words = read_bytes(path, BYTES).decode("utf-8", "replace").splitlines()
    return checked_names([word.strip() for word in words if word.strip()], path, classes)


def checked_names(names: Sequence[str | None], path: str | Path, classes: int) -> tuple[str, ...]:
    """The names that a file has; InputError where they are not so many or not words that can be shown in a line."""
    if len(names) != classes:
        raise InputError(f"{path}: {len(names)} names of classes, not {classes}; get the file again")
    wrong = [name for name in names if not name or one_line(name, LETTERS) != name or "\ufffd" in name]
    if wrong:
        raise InputError(f"{path}: {one_line(wrong[0])!a} is no name of a class; get the file again")
    return tuple(names)
