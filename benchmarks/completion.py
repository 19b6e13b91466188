#!/usr/bin/env python3
"""Does a completion still show what the image was?

Completes images of the test set, which no model of this project has seen in training, from their upper half, and asks
the classifier of `sample_quality.py` what it sees: the share whose class it gets right, beside the share for the true
images, and for the same upper halves with the lower half of another test image, taken at random.
"""

import argparse
import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from src.cli.process import import_tensorflow, progress_bar, run  # noqa: E402

import_tensorflow()
import numpy as np  # noqa: E402

from benchmarks import pictures  # noqa: E402
from benchmarks.classifier import jury  # noqa: E402
from src import utils  # noqa: E402
from src.config import BUNDLED_GREY, DOWNLOADS, InputError  # noqa: E402
from src.data.images import write_png  # noqa: E402
from src.data.sheets import sheet  # noqa: E402
from src.drawing.sampling import Sampler, SamplingOptions  # noqa: E402
from src.superres.bundled import find_network  # noqa: E402
from src.superres.upscaler import Upscaler  # noqa: E402


def main(argv=None):
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--ckpt_path", default=str(BUNDLED_GREY))
    p.add_argument("--data_path", default=str(DOWNLOADS / "fashion_mnist"))
    p.add_argument("--n_images", type=int, default=200)
    p.add_argument("--n_samples", type=int, default=4, help="completions of each")
    p.add_argument("--temperature", type=float, default=1.0)
    pictures.add_guide_flags(p)
    p.add_argument("--seed", type=int, default=42)
    p.add_argument("--sheet", metavar="FILE.png", help="show the first ten: true image, what was given, completions")
    p.add_argument("--upscale", choices=["espcn", "srresnet", "srgan"], help="enlarge them four times in the sheet")
    p.add_argument("--json", help="write the figures here")
    args = p.parse_args(argv)
    if args.upscale and not args.sheet:
        p.error("--upscale is for the images of --sheet FILE.png")

    judge, (_, model) = jury(args.data_path), pictures.model_for(args)
    (X, Y), n_px = judge.test, model.hparams.n_px
    if 2 * args.n_images > len(X):
        raise InputError(f"`n_images` {args.n_images}: takes twice as many test images, here are {len(X)}; take fewer")
    rng = np.random.default_rng(args.seed)
    rows, others = rng.permutation(len(X))[: 2 * args.n_images].reshape(2, -1)
    true, labels, given = X[rows], Y[rows].argmax(1), n_px // 2 * n_px
    drawn = Sampler(model, n_batch=64, guide=pictures.guide_for(args, judge.clusters)).draw(
        options=SamplingOptions(args.seed, args.temperature),
        prefix=true[:, :given].repeat(args.n_samples, axis=0),
        progress=progress_bar("complete", "pixel"),
    )
    mixed = np.concatenate([true[:, :given], X[others][:, given:]], axis=1)

    def right(tokens, labels):
        return float((judge.probabilities(tokens).argmax(1) == labels).mean())

    figures = {
        "true images": right(true, labels),
        "completions of the upper half": right(drawn, labels.repeat(args.n_samples)),
        "upper half and another image's lower half": right(mixed, labels),
    }
    print(f"{args.n_images} test images, {args.n_samples} completions each; class still right")
    for name, share in figures.items():
        print(f"{name:45}{100 * share:>6.1f} %")
    if args.json:
        Path(args.json).write_text(json.dumps(figures, indent=1) + "\n")
    if args.sheet:
        shown = np.where(np.arange(n_px**2) < given, true, 0)
        rows = [true[:10], shown[:10], *drawn.reshape(len(true), -1, n_px**2)[:10].transpose(1, 0, 2)]
        cells = utils.color_dequantize(np.concatenate(rows), judge.clusters, n_px)
        if args.upscale:
            cells = Upscaler(find_network(args.upscale, degradation="palette")[0])(cells)
        write_png(args.sheet, sheet(cells, columns=len(rows[0]), scale=1 if args.upscale else 3))


if __name__ == "__main__":
    run(main)
