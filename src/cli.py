"""What every command shares: flags, one clear line for a user's mistake, a quiet TensorFlow."""

import argparse
import os
import sys
import tempfile
from pathlib import Path

from src.config import DOWNLOADS, InputError


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


def non_negative(text):
    """An argparse type: a finite number of at least 0."""
    value = float(text)
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"must be at least 0, not {text}")
    return value


def share(text):
    """An argparse type: a number above 0 and at most 1."""
    value = float(text)
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f"must lie above 0 and be at most 1, not {text}")
    return value


def add_checkpoint_flags(group):
    """The flags that `find_checkpoint` and `load_palette` read."""
    group.add_argument("--ckpt_path", help="checkpoint; default: newest in downloads, else the bundled one")
    group.add_argument("--color_cluster_path", help="palette; default: the one beside the checkpoint")


def add_dtype_flag(group):
    choices = ["float32", "bfloat16", "float16"]
    group.add_argument("--dtype", choices=choices, default="float32", help="of the products; all else stays float32")


def add_device_flags(p):
    """The flags that `find_devices` reads, in a group of their own, which is returned."""
    group = p.add_argument_group("parallelism")
    group.add_argument("--n_gpu", type=positive, help="devices to use; default: all GPUs, else the CPU as one")
    group.add_argument("--n_cpu", type=positive, default=1, help="let the CPU stand for so many devices")
    return group


def find_devices(args):
    """The `tf.distribute` strategy that the flags ask for; before any TensorFlow operation has run."""
    from src.distribute import make_strategy, split_cpu

    split_cpu(args.n_cpu)
    return make_strategy(args.n_gpu or (args.n_cpu if args.n_cpu > 1 else None))


def find_checkpoint(args):
    """The checkpoint that --ckpt_path names; without it the newest there is, and a line says which."""
    from src.checkpoint import checkpoint_prefix, default_checkpoint

    if args.ckpt_path:
        return checkpoint_prefix(args.ckpt_path)
    prefix = default_checkpoint(DOWNLOADS)
    print(f"checkpoint: {prefix}", flush=True)
    return prefix


def load_palette(args, prefix, n_vocab):
    """The palette that --color_cluster_path names, else the one beside the checkpoint: [n_vocab, 3] in -1..1."""
    from src.checkpoint import palette_beside
    from src.utils import load_clusters

    return load_clusters(args.color_cluster_path or palette_beside(prefix), n_vocab)


def progress_bar(desc, unit):
    """A function of (done, total) that shows a bar on standard error."""
    from tqdm import tqdm

    bar = tqdm(desc=desc, unit=unit, unit_scale=True)

    def show(done, total):
        bar.total = total
        bar.update(done - bar.n)
        if done == total:
            bar.close()

    return show


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
