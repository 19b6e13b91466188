"""What goes wrong in writing a file, by whatever library, as one line that names it."""

import contextlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from src.config import InputError, one_line

REASONS = re.compile(
    "no space left on device|file too large|disk quota exceeded|input/output error|read-only file system"
    "|permission denied|operation not permitted|not a directory|is a directory|no such file or directory"
    "|file name too long",
    re.IGNORECASE,
)
SHORT = re.compile(r"\d+ requested and \d+ written")  # NumPy's words for a disk that has become full


class NotWritten(InputError):
    """A file cannot be written, for a reason."""

    def __init__(self, path: str | Path, reason: str):
        room = "make room, or " if reason.lower().startswith(("no space", "disk quota")) else ""
        super().__init__(f"{path}: cannot be written ({reason}); {room}name another place")
        self.path, self.reason = Path(path), reason


@contextlib.contextmanager
def writing(path: str | Path) -> Iterator[None]:
    """Say of every failure to write that it is this file's, or that of one inside, if that has a name to stay.

    Raises:
        NotWritten: the system's, TensorFlow's, HDF5's or another library's error of writing.
    """
    try:
        yield
    except NotWritten as error:
        if not any(part.startswith(".part-") for part in error.path.parts):
            raise
        raise NotWritten(path, error.reason) from error
    except InputError:
        raise
    except Exception as error:
        reason = refusal(error)
        if reason is None:
            raise
        raise NotWritten(path, reason) from error


def refusal(error: BaseException | None) -> str | None:
    """Why the system would not write, if that is what an error, or one behind it, comes from."""
    if error is None:
        return None
    text = str(error)
    if isinstance(error, OSError) and error.errno and error.strerror:
        return error.strerror
    if found := REASONS.search(text):
        return found[0]
    if SHORT.search(text):
        return "No space left on device"
    if isinstance(error, (OSError, *tensorflow_errors())):
        return one_line(text.split("\n")[0], 200) or type(error).__name__
    return refusal(error.__cause__ or error.__context__)


def tensorflow_errors() -> tuple[type[Exception], ...]:
    """The errors of TensorFlow's operations, where it has been imported."""
    tf = sys.modules.get("tensorflow")
    return (tf.errors.OpError,) if tf else ()
