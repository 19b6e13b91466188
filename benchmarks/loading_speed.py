#!/usr/bin/env python3
"""What do the checks of a checkpoint cost? `python benchmarks/loading_speed.py path/to/other/clone`

A checkpoint of iGPT-S's shape is loaded by this tree and by another one, such as that of an earlier release, turn by
turn, each in a process that stays. One line: the medians, and how much longer this tree takes by medians, by pairs and
by minima.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CHILD = """
import glob, sys, time
sys.path.insert(0, ".")
from src.cli.process import import_tensorflow
import_tensorflow()
from src.config import HParams
from src.model import ImageGPT
from src.weights.checkpoint import load_model, save_model

prefix = sys.argv[1]
if not glob.glob(f"{prefix}.*"):
    save_model(ImageGPT(HParams(), seed=0), prefix)
print("ready", flush=True)
for _ in sys.stdin:
    start = time.perf_counter()
    model = load_model(prefix)
    print(time.perf_counter() - start, flush=True)
    del model
"""


class Tree:
    """A process that loads the checkpoint by the code of one tree whenever it is asked to."""

    def __init__(self, root, prefix):
        command = [sys.executable, "-c", CHILD, prefix]
        self.process = subprocess.Popen(command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.process.stdout.readline()

    def load(self):
        """The seconds that it took."""
        print(file=self.process.stdin, flush=True)
        return float(self.process.stdout.readline())

    def end(self):
        self.process.communicate()


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("other", type=Path, help="the other tree")
    p.add_argument("--rounds", type=int, default=60)
    args = p.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        prefix = str(Path(folder) / "model.ckpt-1")
        Tree(ROOT, prefix).end()  # makes it
        trees = [Tree(args.other, prefix), Tree(ROOT, prefix)]
        for tree in trees:
            tree.load()
        pairs = []
        for i in range(args.rounds):
            first = i % 2
            pairs.append([trees[first].load(), trees[1 - first].load()][:: 1 - 2 * first])
        for tree in trees:
            tree.end()
    before, now = zip(*pairs)
    longer = {
        "medians": statistics.median(now) / statistics.median(before),
        "pairs": statistics.median(b / a for a, b in pairs),
        "minima": min(now) / min(before),
    }
    print(f"{args.other}: {statistics.median(before):.4f} s, this tree {statistics.median(now):.4f} s", end="; ")
    print(", ".join(f"{name} {100 * ratio - 100:+.1f} %" for name, ratio in longer.items()))


if __name__ == "__main__":
    main()
