"""--train of espcn.py and srgan.py: from the flags to pairs, a run's folder and its plot."""

from dataclasses import asdict
from pathlib import Path

import numpy as np

from src import images, metrics
from src.config import InputError
from src.data import read_image
from src.runs import RunFolder
from src.superres.data import Pairs, image_files, resized
from src.superres.networks import alike, load_mean
from src.superres.training import Recipe, train_pixels, validation_pairs

SHARES = {"clean": 0.0, "palette": 1.0, "mixed": 0.25}  # of the crops that are reduced to a palette


def training_photos(folder, valid=None):
    """(photographs to train on, photographs for validation): every tenth is held out unless `valid` is a folder.

    Raises:
        InputError: no images, or a single one and nothing to validate on.
    """
    paths = image_files(folder)
    if valid:
        return paths, image_files(valid)
    if len(paths) < 2:
        raise InputError(f"{folder}: one image cannot both train and validate; name others with --valid")
    return [p for i, p in enumerate(paths) if i % 10 != 1], paths[1::10]


def training_set(args, upscaler, clusters, margin):
    """(`Pairs` to train on, [(low, high) to validate on]) by the flags; `margin` pixels of context around a crop.

    Where only some crops are reduced to a palette, validation is on clean ones.
    """
    photos, valid = training_photos(args.train, args.valid)
    share = SHARES[args.degradation]
    pairs = Pairs(
        paths=tuple(photos),
        scale=upscaler.scale,
        patch=args.patch,
        margin=margin,
        channels="y" if upscaler.net.input_shape[-1] == 1 else "rgb",
        clusters=clusters,
        share=share,
        seed=args.seed,
        varied=args.augment == "varied",
    )
    pairs.pool(0)  # complains now, not when a network has been built for crops that no photograph has room for
    known = validation_pairs(map(read_image, valid), upscaler.scale, clusters if share == 1 else None, args.n_px)
    return pairs, list(known)


def train(args, upscaler, pairs, valid, strategy, name, **what):
    """Train on pixels by the flags in `save_dir`/NAME_xN; print the best PSNR beside bicubic's, and plot the run.

    Args:
        what: settings of the network that its weights depend on.

    Raises:
        InputError: --weights is another network.
    """
    if args.weights:
        start_from(args.weights, upscaler)
    recipe = Recipe(args.optimizer, args.lr, args.epochs, args.steps, args.n_batch, args.patience)
    run = run_folder(args, f"{name}_x{upscaler.scale}", recipe, **what)
    best = train_pixels(upscaler, pairs, valid, recipe, run, strategy)
    finish(run, "best.keras", best, upscaler.scale, valid)


def start_from(paths, upscaler):
    """Give an upscaler's network the weights of the same network in a file, or their mean in several."""
    trained = load_mean(paths, upscaler.scale).net
    if not alike(trained, upscaler.net):
        raise InputError(f"--weights {paths[0]}: another network than the one that the flags describe")
    upscaler.net.set_weights(trained.get_weights())


def run_folder(args, name, recipe, **what):
    """The `RunFolder` in `save_dir` of a run by the flags."""
    what |= {k: getattr(args, k) for k in ("weights", "degradation", "patch", "augment", "seed")}
    return RunFolder(Path(args.save_dir) / name, {"network": what, "recipe": asdict(recipe)})


def finish(run, name, psnr, scale, valid):
    """Plot a run and print what its network, the file `name`, reaches."""
    bicubic = np.mean([metrics.psnr(resized(low, high.shape), high, border=scale) for low, high in valid])
    images.plot_log(run.path / "log.png", run.path / "log.jsonl")
    print(f"{run.path / name}: {psnr:.2f} dB on {len(valid)} photographs, bicubic {bicubic:.2f} dB")
