"""What surrounds a command's work: a quiet TensorFlow, progress, one line for a mistake."""

import contextlib
import ctypes
import os
import re
import signal
import sys
import threading
from pathlib import Path

from src import hosts
from src.config import InputError, one_line

BARS = []  # those that have been shown


def close_bars():
    """End the line of a bar that an error has left, so that what is printed next has a line of its own."""
    for bar in BARS:
        bar.close()
    BARS.clear()


def progress_bar(desc, unit):
    """A function of (done, total) that shows a bar on standard error."""
    from tqdm import tqdm

    if not hosts.current().first:
        return lambda done, total: None
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


@contextlib.contextmanager
def hidden(*packages):
    """Within it none of these can be imported; what is loaded already stays."""
    absent = [name for name in packages if name not in sys.modules]
    sys.modules.update(dict.fromkeys(absent))
    try:
        yield
    finally:
        for name in absent:
            del sys.modules[name]


def import_tensorflow():
    """Import TensorFlow, and Keras with it, in two thirds of the time, and quietly.

    No log level silences TensorFlow's start-up notes (its issue 100442). And Keras imports what its wrappers and plots
    need, if it is there; nothing here uses them.
    """
    keep_freed_memory()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.stderr.flush()
    stderr = os.dup(2)
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        with hidden("sklearn", "matplotlib"):
            import tensorflow  # noqa: F401
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)


def with_flags(message):
    """A message of the library with its `fields` as the flags of a command line."""
    return re.sub(r"`(\w+)`", r"--\1", message)


def complaint(error):
    """The line for an error that is the user's, or the machine's, to mend; None for any other."""
    if isinstance(error, (InputError, OSError)):
        where = f"{error.filename}: " if getattr(error, "filename", None) else ""
        return where + with_flags(getattr(error, "strerror", None) or str(error))
    tf = sys.modules.get("tensorflow")
    if isinstance(error, MemoryError) or (tf and isinstance(error, tf.errors.ResourceExhaustedError)):
        reason = one_line(getattr(error, "message", None) or str(error) or "no more is to be had", 200)
        return f"not enough memory ({reason}); take fewer images at a time, or a smaller model"
    if hosts.current().links and isinstance(error, lost_contact(tf)):
        hosts.current().verdict()  # as a rule that is the end of this process
        return f"lost contact with another host ({one_line(error.message)}); {hosts.AGAIN}"
    return None


def lost_contact(tf):
    """The errors of TensorFlow's operations behind which another host may have gone."""
    errors = tf.errors
    return errors.UnavailableError, errors.DeadlineExceededError, errors.AbortedError, errors.CancelledError


class Command:
    """The command that runs: its name, and whether it has said why it ends, which it does once, in whatever thread."""

    name, ended, lock = "", False, threading.Lock()

    @classmethod
    def begin(cls, main):
        cls.name, cls.ended = Path(main.__code__.co_filename).name, False

    @classmethod
    def complain(cls, line):
        """Print a line for what has ended the command, below any bar; it stands there when this returns."""
        with cls.lock:
            if not cls.ended:
                close_bars()
                print(f"{cls.name}: {line}", file=sys.stderr, flush=True)
            cls.ended = True


def run(main, argv=None):
    """Run a command's `main(argv)` and exit: 1 with one line for a mistake or too little memory, 130 on Ctrl-C."""
    Command.begin(main)
    if sys.stdout.errors == "strict":  # names of files may hold what is not UTF-8
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        code = main(argv)
        hosts.current().leave()
    except Exception as error:
        code = 1
        end(error, complaint(error))
    except KeyboardInterrupt as interrupt:
        code = 128 + getattr(interrupt, "number", signal.SIGINT)
        end(interrupt, with_flags(str(interrupt)) or "interrupted")
    if hosts.current().links:  # TensorFlow would wait for the others' servers, each for those of all
        sys.stdout.flush()
        os._exit(code or 0)
    sys.exit(code)


def end(error, line):
    """Say why the command ends, here and to the other hosts; raises what is nobody's to mend."""
    here = hosts.current()
    if isinstance(error, hosts.Stopped):
        here.leave()  # as they all do
    elif isinstance(error, hosts.Disagreement):
        here.fail(line)
    else:
        here.fail(f"{here.name(here.index)}: {line or one_line(error)}")
    if line is None:
        raise error
    Command.complain(line)
