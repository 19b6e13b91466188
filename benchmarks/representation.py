#!/usr/bin/env python3
"""Does a better generative model have better features? The paper's figure 3, with checkpoints of one run.

For each checkpoint the test loss and the test accuracy of a linear probe on its best layer, chosen as `run.py --probe`
does; printed, and as a plot of accuracy over loss. Features are kept in --save_dir.
"""

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from src.cli.process import import_tensorflow, progress_bar, run  # noqa: E402

import_tensorflow()
import tensorflow as tf  # noqa: E402

from src.config import DOWNLOADS, SAVE_DIR  # noqa: E402
from src.data.palettes import load_clusters  # noqa: E402
from src.data.tokens import load_split  # noqa: E402
from src.files import whole, write_json  # noqa: E402
from src.measuring.evaluation import Evaluator  # noqa: E402
from src.measuring.features import Features, pixel_values  # noqa: E402
from src.measuring.probe import Images, ProbeOptions, Prober  # noqa: E402
from src.measuring.probe_files import best  # noqa: E402
from src.weights.checkpoint import checkpoint_prefix, fingerprint, load_model, palette_beside  # noqa: E402


def measure(path, args):
    """The figures of one checkpoint."""
    prefix, strategy = checkpoint_prefix(path), tf.distribute.get_strategy()
    model, name = load_model(prefix, dtype=args.dtype), Path(prefix).name
    clusters, images = load_clusters(palette_beside(prefix), model.hparams.n_vocab), {}
    features = Features(model, strategy, args.n_batch)
    for split, n in (("tr", args.train), ("te", args.test)):
        X, Y = (array[:n] for array in load_split(args.data_path, split, model.hparams))
        kept = features.kept(args.save_dir, fingerprint(prefix), X, progress=progress_bar(f"{name} {split}", "image"))
        images[split] = Images([kept], pixel_values(X, clusters), Y.argmax(1))
    loss = Evaluator(model, strategy, args.n_batch).score(X, progress=progress_bar(f"{name} loss", "image"))["gen"]
    layers = tuple(range(1, model.hparams.n_layer + 1))
    chosen = best(Prober(images["tr"], images["te"], Y.shape[1], ProbeOptions(layers, concat=False)).scores())
    return {"checkpoint": name, "loss": loss, "layer": chosen.layers[0], "accuracy": chosen.test}


def plot(path, rows):
    """Accuracy over loss, better models to the right, as the paper has it."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    axis = figure.subplots()
    axis.plot([row["loss"] for row in rows], [row["accuracy"] for row in rows], marker="o")
    for row in rows:
        axis.annotate(row["checkpoint"].split("-")[-1], (row["loss"], row["accuracy"]))
    axis.invert_xaxis()
    axis.set(xlabel="test loss, nats a token", ylabel="linear probe, test accuracy, per cent")
    axis.grid(alpha=0.3)
    with whole(path) as part:
        figure.savefig(part, format="png", dpi=100)


def main(argv=None):
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("checkpoints", nargs="+", metavar="CHECKPOINT", help="of one run, in the order of their steps")
    p.add_argument("--data_path", default=str(DOWNLOADS / "fashion_mnist"))
    p.add_argument("--train", type=int, default=10000, help="training images for the probe")
    p.add_argument("--test", type=int, default=2000, help="test images for loss and accuracy")
    p.add_argument("--n_batch", type=int, default=8)
    p.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32")
    p.add_argument("--save_dir", default=str(SAVE_DIR / "representation"))
    p.add_argument("--json", help="write the figures here")
    args = p.parse_args(argv)
    Path(args.save_dir).mkdir(parents=True, exist_ok=True)
    rows = []
    print(f"{'':22}{'loss':>8}{'layer':>7}{'accuracy':>10}")
    for path in args.checkpoints:
        rows.append(measure(path, args))
        row = rows[-1]
        print(f"{row['checkpoint']:22}{row['loss']:>8.4f}{row['layer']:>7}{row['accuracy']:>10.2f}", flush=True)
    plot(Path(args.save_dir) / "loss_and_accuracy.png", rows)
    if args.json:
        write_json(args.json, rows)


if __name__ == "__main__":
    run(main)
