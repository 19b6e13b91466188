"""What the judges of samples look at: a data set's real images and a model's samples, all as tokens of one palette."""

from pathlib import Path

import numpy as np

from src.cli.process import progress_bar
from src.config import BUNDLED_GREY, DOWNLOADS, HParams, InputError, square_side
from src.data.arrays import load_array
from src.data.images import read_image
from src.data.palettes import SAME, check_palette, load_clusters
from src.data.tokens import load_split
from src.drawing.guidance import Guide
from src.drawing.samples import has_drawing, newest_samples
from src.drawing.sampling import Sampler, SamplingOptions
from src.utils import pixel_tokens
from src.weights.checkpoint import checkpoint_prefix, load_model, palette_beside


def add_flags(parser):
    """Flags that say which samples are judged, and beside which data."""
    parser.add_argument("--samples", metavar="FOLDER", help="judge the newest drawing in it instead of drawing")
    parser.add_argument("--ckpt_path", default=str(BUNDLED_GREY), help="draw from this model")
    parser.add_argument("--data_path", default=str(DOWNLOADS / "fashion_mnist"))
    parser.add_argument("--n_samples", type=int, default=1000)
    parser.add_argument("--temperature", type=float, default=1.0)
    add_guide_flags(parser)
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--n_batch", type=int, default=50)
    parser.add_argument("--json", help="write the figures here")


def add_guide_flags(parser):
    """As those of sample.py."""
    parser.add_argument("--guide", metavar="CKPT", help="lead the model away from the mistakes of this worse one")
    parser.add_argument("--guidance", type=float, default=0.3)


def guide_for(args, clusters):
    """The `Guide` that the flags name for a model of such a palette, or None."""
    return Guide.load(args.guide, args.guidance, clusters) if args.guide else None


def shape_of(data_path):
    """(HParams with the sizes of a data set's images, its palette)."""
    clusters = load_clusters(f"{data_path}_clusters.npy")
    path = f"{data_path}_trX.npy"
    pixels = load_array(path).shape[-1]
    return HParams(n_px=square_side(pixels, f"{path}: images of pixels"), n_vocab=len(clusters)), clusters


def model_for(args):
    """(prefix, model) of the checkpoint that the flags name, if it draws such images as those of the data set."""
    prefix = checkpoint_prefix(args.ckpt_path)
    model = load_model(prefix)
    check_palette(args.data_path, load_clusters(palette_beside(prefix), model.hparams.n_vocab))
    load_split(args.data_path, "te", model.hparams, labels=False)  # InputError where the images have another size
    return prefix, model


def samples(args, hparams, clusters):
    """(where they are from, tokens [n, n_px * n_px]) of the samples that the flags name."""
    if args.samples:
        return args.samples, read_samples(args.samples, hparams.n_px, clusters)
    prefix, model = model_for(args)
    options = SamplingOptions(args.seed, args.temperature)
    sampler = Sampler(model, n_batch=args.n_batch, guide=guide_for(args, clusters))
    source = f"{prefix}, guided by {args.guide} at {args.guidance}" if args.guide else prefix
    return source, sampler.draw(args.n_samples, options, progress=progress_bar("sample", "pixel"))


def read_samples(folder, n_px, clusters):
    """The newest drawing in a folder, else all sample_*.png in it, as tokens of the nearest colours."""
    paths = newest_samples(folder) if has_drawing(folder) else sorted(Path(folder).glob("sample_*.png"))
    if not paths:
        raise InputError(f"{folder}: no sample_*.png there; draw some with run.py --sample")
    images = [read_image(path) for path in paths]
    for path, image in zip(paths, images):
        if image.size != (n_px, n_px):
            raise InputError(f"{path}: {image.width}x{image.height} pixels; the data set's images have {n_px}x{n_px}")
    return pixel_tokens(np.stack([np.asarray(image) for image in images]), clusters)


def pixels(tokens, clusters):
    """Tokens [n, s] to images [n, n_px, n_px, c] in 0..1, float32: of a palette of greys one channel, else three."""
    n_px = square_side(tokens.shape[1], "pixels of an image:")
    colours = (clusters + 1) / 2
    if np.ptp(clusters, axis=1).max() < SAME:
        colours = (clusters.mean(1, keepdims=True) + 1) / 2
    return colours[tokens].reshape(len(tokens), n_px, n_px, -1).astype(np.float32)


def some(X, n):
    """At most n rows, in order, that a fixed seed takes at random."""
    return X[np.sort(np.random.default_rng(0).permutation(len(X))[:n])]
