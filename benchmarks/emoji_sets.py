#!/usr/bin/env python3
"""Emoji for the probe across styles: one set's pictures to test, those of the other sets to train, one folder a class.

Of skin tones, near-copies, the default alone. The result is a folder of links that `dataset.py --classes` reads.
"""

import argparse
import collections
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from src.cli.process import run  # noqa: E402
from src.config import InputError  # noqa: E402
from src.data.emoji import TONE  # noqa: E402

SET = re.compile("fluent-flat|[^-]*")
FLUENT_TONE = re.compile("-(medium-light|medium-dark|light|medium|dark)$")  # some sources name Fluent's tones so


def untoned(paths):
    """Those of the pictures SET-NAME.png that show no skin tone."""
    names = {path.stem for path in paths}

    def plain(name):
        default = FLUENT_TONE.sub("", name)
        return not TONE.search(name) and not (default != name and default in names and name.startswith("fluent"))

    return [path for path in paths if plain(path.stem)]


def main(argv=None):
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("source", type=Path, help="SPLIT/CATEGORY/SET-NAME.png, as download.py --dataset emoji makes it")
    p.add_argument("--test_set", default="noto", help="the set that is not trained on")
    p.add_argument("--save_dir", type=Path, required=True, help="a new folder")
    args = p.parse_args(argv)
    pictures = sorted(args.source.glob("*/*/*.png"))
    if args.save_dir.exists():
        raise InputError(f"{args.save_dir}: is there already; name a new folder with --save_dir")
    counts = collections.Counter()
    chosen = [("test" if SET.match(path.name)[0] == args.test_set else "train", path) for path in untoned(pictures)]
    if len({split for split, _ in chosen}) < 2:
        raise InputError(f"{args.source}: no pictures of {args.test_set} and of another set in it")
    for split, path in chosen:
        link = args.save_dir / split / path.parent.name / path.name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(path.resolve())
        counts[split] += 1
    print(f"{args.save_dir}: {counts['train']} pictures to train, {counts['test']} of {args.test_set} to test")


if __name__ == "__main__":
    run(main)
