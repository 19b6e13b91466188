#!/usr/bin/env python3
"""Is image i the same image however many are drawn at a time?

Draws images with the bundled model, then draws the end of each again in batches of several sizes, and counts the images
that differ from those of the first size. A processor without AVX-512 may show some.
"""

import argparse
import json
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from src.cli.process import import_tensorflow, run  # noqa: E402

import_tensorflow()
import numpy as np  # noqa: E402

from src.config import BUNDLED  # noqa: E402
from src.drawing.sampling import Sampler  # noqa: E402
from src.weights.checkpoint import load_model  # noqa: E402


def main(argv=None):
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--ckpt_path", default=str(BUNDLED))
    p.add_argument("--n_images", type=int, default=2000)
    p.add_argument("--batches", type=int, nargs="+", default=[32, 1, 2, 3, 5, 8, 16, 40])
    p.add_argument("--given", type=int, help="positions that are not drawn again; default: three quarters")
    p.add_argument("--json", help="write the figures here")
    args = p.parse_args(argv)

    model = load_model(args.ckpt_path)
    given = model.hparams.n_positions * 3 // 4 if args.given is None else args.given
    prefix = np.zeros([args.n_images, 0], np.int32)
    if given:
        prefix = Sampler(model, n_batch=64).draw(args.n_images)[:, :given]
    first, figures = None, {}
    for n_batch in args.batches:
        start = time.perf_counter()
        tokens = Sampler(model, n_batch=n_batch).draw(prefix=prefix)
        first = tokens if first is None else first
        figures[n_batch] = int((tokens != first).any(axis=1).sum())
        seconds = time.perf_counter() - start
        print(f"{n_batch:>3} at a time: {figures[n_batch]} of {args.n_images} differ, {seconds:.0f} s", flush=True)
    if args.json:
        Path(args.json).write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    run(main)
