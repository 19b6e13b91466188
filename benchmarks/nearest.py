#!/usr/bin/env python3
"""Does a model draw new images, or those that it was trained on?

For every sample the nearest training image: the smallest root mean square of the differences of pixels, 0..255, over
the sample mirrored or not, and shifted by up to one pixel each way. Where a shift would move pixels in from outside
nothing is compared: all differences are over the training image without its outermost pixels. A model that repeats
its training images has distances near 0; one that draws new ones is as far from them as real test images are, which
are measured alike.
"""

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from src.cli.process import import_tensorflow, progress_bar, run  # noqa: E402

import_tensorflow()
import numpy as np  # noqa: E402

from benchmarks import pictures  # noqa: E402
from src.data.images import write_png  # noqa: E402
from src.data.sheets import sheet  # noqa: E402
from src.data.tokens import load_split  # noqa: E402
from src.files import write_json  # noqa: E402
from src.utils import color_dequantize  # noqa: E402

SHIFT = 1  # pixels
BLOCK = 2048  # training images at a time


def variants(x):
    """Images [n, h, w, c] mirrored or not and shifted, without a border: [18 n, p], those of the first way first."""
    side = x.shape[1] - 2 * SHIFT
    starts = range(2 * SHIFT + 1)
    cut = [v[:, i : i + side, j : j + side] for v in (x, x[:, :, ::-1]) for i in starts for j in starts]
    return np.concatenate(cut).reshape(len(cut) * len(x), -1)


def nearest(x, X, clusters, progress):
    """For images x [n, s] the nearest training images among X [m, s], both tokens.

    ||a - b||^2 = ||a||^2 + ||b||^2 - 2 ab in blocks, in float32; the distances that are returned are computed anew.

    Returns:
        (which [n], root mean squares [n] in 0..255).
    """
    a = variants(pictures.pixels(x, clusters) - 0.5)  # in the middle least is lost to rounding
    a2 = np.square(a).sum(1)
    best, which = np.full(len(a), np.inf, np.float32), np.zeros(len(a), np.int64)
    for start in range(0, len(X), BLOCK):
        b = inner(X[start : start + BLOCK], clusters)
        distances = a @ (-2 * b.T)
        distances += np.square(b).sum(1)
        row = distances.argmin(1)
        found = distances[np.arange(len(a)), row]
        which, best = np.where(found < best, start + row, which), np.minimum(found, best)
        progress(min(start + BLOCK, len(X)), len(X))
    kind = (best + a2).reshape(-1, len(x)).argmin(0)  # of the variants
    rows = kind * len(x) + np.arange(len(x))
    difference = a[rows] - inner(X[which[rows]], clusters)
    return which[rows], 255 * np.sqrt(np.square(difference).mean(1))


def inner(X, clusters):
    """Training images, tokens [m, s], without their border: [m, p]."""
    edge = slice(SHIFT, -SHIFT)
    return (pictures.pixels(X, clusters) - 0.5)[:, edge, edge].reshape(len(X), -1)


def write_pairs(path, pairs, clusters, n_px):
    """A sheet of pairs (sample, training image, distance), tokens: the sample above, the distance over it."""
    above, below, distances = zip(*pairs)
    images = color_dequantize(np.stack([*above, *below]), clusters, n_px)
    write_png(path, sheet(images, columns=len(pairs), scale=4, captions=[f"{d:.1f}" for d in distances]))


def main(argv=None):
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    pictures.add_flags(p)
    p.add_argument("--sheet", metavar="FILE.png", help="show the ten nearest pairs: sample, training image, distance")
    args = p.parse_args(argv)

    hparams, clusters = pictures.shape_of(args.data_path)
    X, X_test = (load_split(args.data_path, split, hparams, labels=False)[0] for split in ("tr", "te"))
    source, tokens = pictures.samples(args, hparams, clusters)
    figures, found = {}, {}
    for name, x in (("samples", tokens), ("real test images", pictures.some(X_test, args.n_samples))):
        found[name] = which, distances = nearest(x, X, clusters, progress_bar(name, "training image"))
        median, decile = np.quantile(distances, [0.5, 0.1])
        figures[name] = {"images": len(x), "median": float(median), "lowest_decile": float(decile)}
        figures[name]["least"] = float(distances.min())
    print(f"to the nearest of {len(X)} training images, RMS in 0..255, mirrored and shifted by {SHIFT} pixel at most")
    print(f"{'':20}{'images':>7}{'median':>9}{'lowest decile':>15}{'least':>8}")
    for name, f in figures.items():
        print(f"{name:20}{f['images']:>7}{f['median']:>9.2f}{f['lowest_decile']:>15.2f}{f['least']:>8.2f}")
    if args.json:
        write_json(args.json, {"samples from": source, "data": args.data_path} | figures)
    if args.sheet:
        which, distances = found["samples"]
        pairs = [(tokens[i], X[which[i]], distances[i]) for i in np.argsort(distances, kind="stable")[:10]]
        write_pairs(args.sheet, pairs, clusters, hparams.n_px)


if __name__ == "__main__":
    run(main)
