"""Files that are read with one clear line of complaint, and written whole or not at all."""

import contextlib
import json
import os
from pathlib import Path

from src.config import InputError


@contextlib.contextmanager
def whole(path):
    """A path beside `path` with its ending to write to: moved into place at the end, removed after an error."""
    path = Path(path)
    part = path.with_name(f".part-{path.name}")
    try:
        yield part
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def write_json(path, content):
    with whole(path) as part:
        part.write_text(json.dumps(content, indent=1) + "\n")


def read_json(path):
    """The contents of a JSON file; InputError where there is none."""
    try:
        return json.loads(Path(path).read_text())
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except ValueError as error:
        raise InputError(f"{path}: not JSON ({error})") from error


def unique(names):
    """The names, those that came before with a number behind."""
    return [f"{name}-{names[:i].count(name) + 1}" if name in names[:i] else name for i, name in enumerate(names)]
