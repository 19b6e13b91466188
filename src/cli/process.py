"""What surrounds a command's work: a quiet TensorFlow, folders to write to, progress, one line for a mistake."""

import contextlib
import ctypes
import os
import re
import sys
import tempfile
from pathlib import Path

from src.config import InputError

BARS = []  # those that have been shown


def output_folder(path, flag):
    """Make a folder and try to write to it, before any work is done for it.

    Raises:
        InputError: it cannot be written.
    """
    try:
        Path(path).mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=path).close()
    except OSError as error:
        raise InputError(f"`{flag}` {path}: cannot be written ({error.strerror}); give another folder") from error
    return Path(path)


def close_bars():
    """End the line of a bar that an error has left, so that what is printed next has a line of its own."""
    for bar in BARS:
        bar.close()
    BARS.clear()


def progress_bar(desc, unit):
    """A function of (done, total) that shows a bar on standard error."""
    from tqdm import tqdm

    bars = []  # none before there is progress, which a finished run never makes

    def show(done, total):
        if not bars:
            bars.append(tqdm(desc=desc, unit=unit, unit_scale=True))
            BARS.append(bars[0])
        bars[0].total = total
        bars[0].update(done - bars[0].n)
        if done == total:
            bars[0].close()

    return show


def show_figures(step, figures):
    """Print a report of a training, such as {"loss/valid": 2.1}, above a progress bar."""
    from tqdm import tqdm

    for name, value in figures.items():
        figure, split = name.split("/")
        tqdm.write(f"step {step} {split} {figure} {value:.4f}")


def show_skipped(error):
    """Say above a progress bar which file is left out, and why."""
    from tqdm import tqdm

    tqdm.write(f"skipped: {error}", file=sys.stderr)


def keep_freed_memory():
    """Let glibc keep the memory of tensors that are freed; other C libraries do as they like.

    By itself it gives back every large tensor, and the system clears each page of the next one anew, which was half the
    time of a training step on a machine where that is slow. The peak of memory grows by a seventh.
    """
    mmap_max, trim_threshold = -4, -1  # malloc.h
    with contextlib.suppress(OSError, AttributeError, TypeError):  # TypeError: Windows names no library None
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(mmap_max, 0)
        mallopt(trim_threshold, -1)


def import_tensorflow():
    """Import TensorFlow without its start-up notes, which no log level silences (tensorflow issue 100442)."""
    keep_freed_memory()
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


def with_flags(message):
    """A message of the library with its `fields` as the flags of a command line."""
    return re.sub(r"`(\w+)`", r"--\1", message)


def run(main, argv=None):
    """Run a command's `main(argv)` and exit: 1 with one line for a user's mistake, 130 on Ctrl-C."""
    command = Path(main.__code__.co_filename).name
    try:
        sys.exit(main(argv))
    except (InputError, OSError) as error:
        close_bars()
        where = f"{error.filename}: " if getattr(error, "filename", None) else ""
        print(f"{command}: {where}{with_flags(getattr(error, 'strerror', None) or str(error))}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt as interrupt:
        close_bars()
        print(f"{command}: {with_flags(str(interrupt)) or 'interrupted'}", file=sys.stderr)
        sys.exit(130)
