#!/usr/bin/env python3
"""Which activation and learning rate suit ESPCN? With Adam, and with SOAP.

Trains the network at x2 with tanh, ReLU and leaky ReLU at three learning rates; prints PSNR, SSIM and MSE
on the validation photographs and on samples of Image GPT (shrunk to half their size and enlarged again), and plots the
validation PSNR over the epochs. Goes on where it was stopped.
"""

import argparse
import itertools
import json
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

SCALE = 2
OPTIMIZERS, ACTIVATIONS, RATES = ("adam", "soap"), ("tanh", "relu", "leaky_relu"), (0.006, 0.003, 0.001)


def train(args, folder, optimizer, activation, lr):
    """The best network of one run, as an upscaler."""
    from src.superres.espcn import Espcn
    from src.superres.files import load_network
    from src.superres.photographs import DataOptions
    from src.superres.pixel import PixelRecipe
    from src.superres.stages import Session, train_on_pixels
    from src.superres.upscaler import Upscaler

    recipe = PixelRecipe(optimizer, lr, args.epochs, patience=args.epochs)
    options = DataOptions(args.train, args.valid)
    trained = train_on_pixels(Espcn(SCALE, activation=activation), options, recipe, Session(folder))
    return Upscaler(load_network(trained.path))


def scores(enlarge, pairs):
    """Mean PSNR, SSIM and MSE of a function of low resolution [h, w, 3] and the high resolution."""
    from src.measuring import metrics

    measures = metrics.psnr, metrics.ssim, metrics.mse
    return np.mean([[m(enlarge(low, high), high, border=SCALE) for m in measures] for low, high in pairs], axis=0)


def plot(path, curves):
    """Validation PSNR over the epochs, an axis for each optimizer and activation, a line for each learning rate."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 6), layout="constrained")
    axes = figure.subplots(len(OPTIMIZERS), len(ACTIVATIONS), sharex=True, sharey=True)
    for (optimizer, activation, lr), curve in curves.items():
        axis = axes[OPTIMIZERS.index(optimizer), ACTIVATIONS.index(activation)]
        axis.plot(range(1, len(curve) + 1), curve, label=f"learning rate {lr}")
        axis.set(title=f"{activation}, {optimizer}")
        axis.grid(alpha=0.3)
    top = max(map(max, curves.values()))
    axes[0, 0].set_ylim(top - 4, top + 0.2)
    axes[0, 0].legend()
    axes[0, 0].set_ylabel("validation PSNR, dB")
    axes[-1, 0].set(xlabel="epoch", ylabel="validation PSNR, dB")
    figure.savefig(path, dpi=90)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("train", help="folder of photographs")
    p.add_argument("valid", help="folder of photographs")
    p.add_argument("--samples", default=str(ROOT / "save"), help="folder of samples of run.py (default: save)")
    p.add_argument("--epochs", type=int, default=12, help="of 256 updates (default: 12)")
    p.add_argument("--save_dir", default=str(ROOT / "save" / "activations"), help="where runs, table and plot go")
    args = p.parse_args()
    from src.cli.process import import_tensorflow

    import_tensorflow()
    from src.data.images import image_files, read_image
    from src.drawing.samples import newest_samples
    from src.files import write_json
    from src.superres.degradation import resized
    from src.superres.validation import validation_pairs

    valid, samples = (
        list(validation_pairs(map(read_image, paths), SCALE))
        for paths in (image_files(args.valid), newest_samples(args.samples))
    )
    curves, table = {}, {}

    def row(name, enlarge):
        table[name] = [*scores(enlarge, valid), *scores(enlarge, samples)]
        figures = "".join(f"{x:{f}}" for x, f in zip(table[name], ("9.2f", "8.4f", "8.1f") * 2))
        print(f"{name:24}{figures}", flush=True)

    print(f"{'':24}{len(valid)} photographs: PSNR, SSIM, MSE; {len(samples)} samples: the same")
    row("bicubic", lambda low, high: resized(low, high.shape))
    for choice in itertools.product(OPTIMIZERS, ACTIVATIONS, RATES):
        name = "-".join(map(str, choice))
        network = train(args, Path(args.save_dir) / name, *choice)
        row(name, lambda low, high, network=network: network(low[None])[0])
        log = (Path(args.save_dir) / name / f"espcn_x{SCALE}" / "log.jsonl").read_text().splitlines()
        curves[choice] = [entry["psnr/valid"] for entry in map(json.loads, log) if "psnr/valid" in entry]
    write_json(Path(args.save_dir) / "table.json", table)
    plot(Path(args.save_dir) / "activations.png", curves)


if __name__ == "__main__":
    main()
