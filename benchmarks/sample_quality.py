#!/usr/bin/env python3
"""Does the bundled model draw clothes?

Trains a small classifier on the real training images (reduced to the model's palette), then asks it about unconditional
samples: the share recognised with more than 0.9 confidence, the classes, and the Fréchet distance of its penultimate
features (64) to the 10,000 test images; beside the same figures for as many real training images.
"""

import argparse
import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from src.cli.process import import_tensorflow, progress_bar  # noqa: E402

import_tensorflow()
import numpy as np  # noqa: E402

from benchmarks import classifier as judge  # noqa: E402
from src.config import BUNDLED, DOWNLOADS  # noqa: E402
from src.drawing.sampling import Sampler, SamplingOptions  # noqa: E402
from src.measuring.metrics import frechet_distance  # noqa: E402


def judged(classifier, x, test_features):
    """The figures for images x [n, h, w, 1]."""
    p = classifier.predict(x, batch_size=256, verbose=0)
    features = judge.features(classifier).predict(x, batch_size=256, verbose=0)
    return {
        "recognised": float((p.max(1) > 0.9).mean()),
        "frechet": frechet_distance(features, test_features),
        "classes": np.bincount(p.argmax(1), minlength=10).tolist(),
    }


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--ckpt_path", default=str(BUNDLED))
    p.add_argument("--data_path", default=str(DOWNLOADS / "fashion_mnist"))
    p.add_argument("--n_samples", type=int, default=1000)
    p.add_argument("--temperature", type=float, default=1.0)
    p.add_argument("--seed", type=int, default=42)
    p.add_argument("--n_batch", type=int, default=50)
    p.add_argument("--json", help="write the figures here")
    args = p.parse_args()

    model, clusters, (X, _), (X_test, Y_test), classifier = judge.jury(args.ckpt_path, args.data_path)
    x_test = judge.pixels(X_test, clusters)
    accuracy = float((classifier.predict(x_test, verbose=0).argmax(1) == Y_test.argmax(1)).mean())
    print(f"classifier: {accuracy:.4f} right on {len(X_test)} real test images\n")

    options = SamplingOptions(args.seed, args.temperature)
    tokens = Sampler(model, n_batch=args.n_batch).draw(
        args.n_samples, options, progress=progress_bar("sample", "pixel")
    )
    real = X[np.sort(np.random.default_rng(0).permutation(len(X))[: args.n_samples])]
    test_features = judge.features(classifier).predict(x_test, batch_size=256, verbose=0)
    figures = {
        name: judged(classifier, judge.pixels(t, clusters), test_features)
        for name, t in ((f"samples, temperature {args.temperature}", tokens), ("real training images", real))
    }
    print(f"{args.n_samples} images each{'':14}recognised > 0.9   Fréchet distance   " + " ".join(judge.CLASSES))
    for name, f in figures.items():
        counts = " ".join(f"{n:>{len(c)}}" for n, c in zip(f["classes"], judge.CLASSES))
        print(f"{name:32}{100 * f['recognised']:>13.1f} % {f['frechet']:>18.2f}   {counts}")
    if args.json:
        Path(args.json).write_text(json.dumps({"classifier": accuracy, **figures}, indent=1) + "\n")


if __name__ == "__main__":
    main()
