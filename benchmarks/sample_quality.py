#!/usr/bin/env python3
"""Does a model draw what its data show?

Trains a small classifier on the real training images (in the data set's palette), then asks it about unconditional
samples: the share recognised with more than 0.9 confidence, the classes, and the Fréchet distance of its penultimate
features (64) to those of all test images and of all training images; beside the same figures for as many real training
images, and for the test images. Where the splits have other shares of classes, a model that has learned well is as near
the training images as they are themselves, and no nearer the test images.
"""

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from src.cli.process import import_tensorflow, run  # noqa: E402

import_tensorflow()
import numpy as np  # noqa: E402

from benchmarks import pictures  # noqa: E402
from benchmarks.classifier import jury  # noqa: E402
from src.files import write_json  # noqa: E402
from src.measuring.frechet import Moments, frechet_distance  # noqa: E402

SURE = 0.9


def verdict(judge):
    """How far the jury itself is to be believed: its figures on the real test images, by class too."""
    p, labels = judge.probabilities(judge.test[0]), np.asarray(judge.test[1]).argmax(1)
    right, sure = p.argmax(1) == labels, p.max(1) > SURE
    shares = np.asarray(judge.train[1]).mean(0)
    present = [k for k in range(len(judge.classes)) if (labels == k).any()]
    by_class = {judge.classes[k]: float(right[labels == k].mean()) for k in present}
    sure_by_class = [sure[labels == k].mean() for k in present]
    return {
        "accuracy": float(right.mean()),
        "accuracy_of_the_sure": float(right[sure].mean()),
        "by_class": by_class,
        "recognised_at_training_shares": float(np.average(sure_by_class, weights=shares[present])),
    }


def judged(judge, tokens, references):
    """The figures for images, tokens [n, s]; Fréchet distances to the moments of each reference's features."""
    p, moments = judge.probabilities(tokens), Moments.of(judge.features(tokens))
    distances = {name: frechet_distance(moments, r) for name, r in references.items()}
    classes = np.bincount(p.argmax(1), minlength=len(judge.classes)).tolist()
    return {"images": len(tokens), "recognised": float((p.max(1) > SURE).mean()), **distances, "classes": classes}


def main(argv=None):
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    pictures.add_flags(p)
    args = p.parse_args(argv)

    judge = jury(args.data_path)
    belief = verdict(judge)
    print(f"classifier: {belief['accuracy']:.4f} right on {len(judge.test[0])} real test images, ", end="")
    print(f"{belief['accuracy_of_the_sure']:.4f} where it is sure; by class")
    print(", ".join(f"{name} {share:.2f}" for name, share in belief["by_class"].items()), end="\n\n")

    source, tokens = pictures.samples(args, judge.hparams, judge.clusters)
    (X, _), (X_test, _) = judge.train, judge.test
    features = {"frechet": judge.features(X_test), "frechet_to_training": judge.features(X)}
    references = {name: Moments.of(x) for name, x in features.items()}
    guided = f", guidance {args.guidance}" if args.guide else ""
    name = "samples" if args.samples else f"samples, temperature {args.temperature}{guided}"
    rows = {name: tokens, "real training images": pictures.some(X, len(tokens)), "real test images": X_test}
    figures = {name: judged(judge, x, references) for name, x in rows.items()}

    print(f"{'':28}images   > {SURE}   Fréchet to test, to training   {' '.join(judge.classes)}")
    for name, f in figures.items():
        counts = " ".join(f"{n:>{len(c)}}" for n, c in zip(f["classes"], judge.classes))
        numbers = f"{100 * f['recognised']:>6.1f} % {f['frechet']:>15.2f} {f['frechet_to_training']:>13.2f}"
        print(f"{name:27}{f['images']:>7} {numbers}   {counts}")
    share = 100 * belief["recognised_at_training_shares"]
    print(f"real test images, each class as often as in training: {share:.1f} % > {SURE}")
    if args.json:
        write_json(args.json, {"samples from": source, "data": args.data_path, "classifier": belief, **figures})


if __name__ == "__main__":
    run(main)
