"""What every command shares: flags, one clear line for a user's mistake, a quiet TensorFlow."""

import argparse
import os
import sys
import tempfile
from pathlib import Path

from src.config import InputError


class Formatter(argparse.ArgumentDefaultsHelpFormatter):
    """Help with defaults, where there are any."""

    def _get_help_string(self, action):
        return action.help if action.default in (None, False) else super()._get_help_string(action)


class Parser(argparse.ArgumentParser):
    """argparse whose errors are one line on standard error and exit code 2."""

    def __init__(self, **options):
        super().__init__(formatter_class=Formatter, allow_abbrev=False, **options)

    def error(self, message):
        self.exit(2, f"{self.prog}: {message}; see {self.prog} --help\n")


def positive(text):
    """An argparse type: an integer of at least 1."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, not {value}")
    return value


def natural(text):
    """An argparse type: an integer of at least 0."""
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"must not be negative, not {value}")
    return value


def unit_interval(text):
    """An argparse type: a number in 0..1, without the ends."""
    value = float(text)
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"must lie between 0 and 1, not {text}")
    return value


def above_zero(text):
    """An argparse type: a finite number greater than 0."""
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"must be greater than 0, not {text}")
    return value


def output_folder(path, flag):
    """Make a folder and try to write to it, before any work is done for it.

    Raises:
        InputError: it cannot be written.
    """
    try:
        Path(path).mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=path).close()
    except OSError as error:
        raise InputError(f"{flag} {path}: cannot be written ({error.strerror}); give another folder") from error
    return Path(path)


def import_tensorflow():
    """Import TensorFlow without its start-up notes, which no log level silences (tensorflow issue 100442)."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.stderr.flush()
    stderr = os.dup(2)
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        import tensorflow  # noqa: F401
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)


def run(main, argv=None):
    """Run a command's `main(argv)` and exit: 1 with one line for a user's mistake, 130 on Ctrl-C."""
    command = Path(main.__code__.co_filename).name
    try:
        sys.exit(main(argv))
    except (InputError, OSError) as error:
        where = f"{error.filename}: " if getattr(error, "filename", None) else ""
        print(f"{command}: {where}{getattr(error, 'strerror', None) or error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print(f"{command}: interrupted", file=sys.stderr)
        sys.exit(130)
