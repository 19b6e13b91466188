"""run.py --fid: its flags, and from flags to the distances between two sets of images."""

import math
import re
from pathlib import Path

from src.cli import flags
from src.cli.drawing import check_randomness, make_sampler
from src.cli.models import load
from src.cli.parser import options
from src.cli.process import progress_bar
from src.config import DOWNLOADS, INCEPTION_GRAPH, InputError

OF_COMPARISON = {"images", "features", "save_statistics", "n_sub_batch", "seed", "json"} | flags.HOSTED
MANNER = "temperature", "top_k", "top_p", "guide", "guidance"  # of drawing: told with the figures where it was given
OF_SAMPLES = {"n_samples", *MANNER, "batch_size", "dtype"}  # beside those of the model
LETTERS = {"tr": "train", "va": "valid", "te": "test"}
MOST_SAMPLES = 10_000  # unless more are asked for


def add_flags(p):
    group = p.add_argument_group("--fid")
    group.add_argument("--images", metavar="FOLDER", help="images to compare; default: samples of the model")
    group.add_argument(
        "--features", metavar="FILE", help="network to compare by: Inception's graph elsewhere, or a .keras file"
    )
    group.add_argument("--save_statistics", metavar="FILE.npz", help="keep those of REAL, which can then stand for it")


def check_flags(p, args):
    """End with a mistake where flags of --fid cannot be meant together."""
    if args.fid == "":
        p.error("--fid: an empty name; give a folder, a file of tokens, a data path or statistics")
    if args.images and args.modes == {"fid"}:
        ours = OF_COMPARISON | {"fid"} | ({"color_cluster_path"} if lacks_palette(args.fid) else set())
        for name in sorted(args.given - ours):
            p.error(f"--{name}: is of samples, but --images names what is compared; give one of them")
    if args.save_statistics and not args.save_statistics.endswith(".npz"):
        p.error(f"--save_statistics {args.save_statistics}: must end in .npz, by which --fid knows it")
    if args.save_statistics and args.fid and args.fid.endswith(".npz"):
        p.error("--save_statistics: --fid names statistics already; leave it out")


def find_network(args):
    """The network to compare by."""
    from src.measuring.inception import load_network

    path = args.features or DOWNLOADS / "inception" / INCEPTION_GRAPH
    if not args.features and not path.exists():
        raise InputError(
            f"{path}: no such file; fetch it with download.py (`dataset` inception), or name another network "
            "(`features`)"
        )
    return load_network(path)


def folder_set(folder):
    """The images in a folder: those of the newest drawing where it is one's, without their sheet, else all."""
    from src.data.images import image_files
    from src.drawing.samples import has_drawing, newest_samples
    from src.measuring.statistics import picture_set

    drawn = has_drawing(folder)
    paths = newest_samples(folder) if drawn else image_files(folder)
    return picture_set(paths, folder, "newest drawing" if drawn else "all images")


def is_tokens(name):
    """Whether --fid names a file of tokens or a data path, by its name: neither statistics nor a folder."""
    return not (name.endswith(".npz") or Path(name).is_dir())


def named_tokens(name):
    """The file of tokens that a name of --fid stands for, its name without split and ending, and which split it is."""
    path = name if name.endswith(".npy") else f"{name}_teX.npy"
    match = re.fullmatch(r"(.*)_(tr|va|te)X\.npy", path, re.DOTALL)
    prefix, split = (match[1], LETTERS[match[2]]) if match else (path.removesuffix(".npy"), "all images")
    return path, prefix, split


def lacks_palette(name):
    """Whether --fid names tokens that no palette lies beside."""
    from src.data.tokens import palette_place

    return is_tokens(name) and not palette_place(named_tokens(name)[1]).exists()


def real_set(args):
    """What --fid names, unless that is statistics: a folder, a file of tokens, or a data set's test split."""
    from src.data.palettes import load_clusters
    from src.data.tokens import palette_of_tokens
    from src.measuring.statistics import token_set

    if not is_tokens(args.fid):
        return folder_set(args.fid)
    path, prefix, split = named_tokens(args.fid)
    if not Path(path).exists():
        raise InputError(f"{path}: no such file; `fid` takes a folder, a file of tokens, a data path or statistics")
    given = args.color_cluster_path if lacks_palette(args.fid) else None  # else that is the model's alone
    palette = given or palette_of_tokens(prefix)
    return token_set(path, load_clusters(palette), split)


def pixels_of(real, kept):
    """How many pixels each real image has."""
    if kept:
        return math.prod(map(int, kept.about["size"].split("x")))
    return math.prod(next(real.images()).shape[:2])


def sample_set(args, strategy, n, positions):
    """So many fresh samples of the model that the flags name, else of a bundled one that draws so many positions."""
    from src.drawing.sampling import SamplingOptions
    from src.measuring.statistics import ImageSet
    from src.utils import color_dequantize

    with strategy.scope():
        model, prefix = load(args, positions)
    check_randomness(args)
    clusters, sampling = flags.load_palette(args, prefix, model.hparams.n_vocab), options(SamplingOptions, args)
    sampler, size = make_sampler(args, model, clusters, strategy), min(args.batch_size, n)
    sampler.check_bounds(size, sampling)

    def images():
        for start in range(0, n, size):
            tokens = sampler.draw(size, sampling, images=range(start, start + size))  # of one shape: traced once
            yield from color_dequantize(tokens[: n - start], clusters, model.hparams.n_px)

    given = args.given | ({"guidance"} if args.guide else set())
    how = "".join(f", {name} {getattr(args, name)}" for name in MANNER if name in given)
    return ImageSet(n, str(prefix), f"samples of seed {args.seed}{how}", images)


def measure(args, strategy):
    """Compare, and print both distances with all that they depend on."""
    from src.files import write_json
    from src.measuring.inception import Extractor
    from src.measuring.statistics import compare, load_statistics, save_statistics, take_statistics

    replicas = strategy.num_replicas_in_sync
    with strategy.scope():
        network = find_network(args)
    kept = load_statistics(args.fid) if args.fid.endswith(".npz") else None
    if kept:
        kept.check_network(network, args.fid)
    real = None if kept else real_set(args)
    n = args.n_samples if "n_samples" in args.given else min(MOST_SAMPLES, kept.moments.n if kept else real.n)
    images = folder_set(args.images) if args.images else sample_set(args, strategy, n, pixels_of(real, kept))
    most = max(images.n, 0 if kept else real.n)
    extractor = Extractor(network, strategy, min(args.n_sub_batch, -(-most // replicas)) * replicas)
    if not args.images and "n_samples" not in args.given:
        print(f"samples: {n}, as many as real images, and {MOST_SAMPLES} at most", flush=True)
    kept = kept or take_statistics(real, extractor, progress_bar("real", "image"))
    show("real", kept)
    if args.save_statistics:
        save_statistics(args.save_statistics, kept)
    drawn = take_statistics(images, extractor, progress_bar("images", "image"))
    show("images", drawn)
    figures = compare(drawn, kept, args.seed, progress_bar("kernel", "subset"))
    report(figures, drawn, kept, network)
    if args.json:
        write_json(args.json, figures | {"images": drawn.about, "real": kept.about, "features": len(kept.moments.mean)})


def show(name, statistics):
    about = statistics.about
    print(f"{name}: {about['images']} images of {about['size']}, {about['split']} of {about['source']}", flush=True)


def report(figures, images, real, network):
    """The distances, each with N, split, network and resizing; those of Inception alone are called FID and KID."""
    n, count = [s.moments.n for s in (images, real)], len(real.moments.mean)
    sets = f"{n[0]} against {n[1]} images ({real.about['split']})"
    by = f"{network.name}, {count} features; resizing: {network.resizing}"
    names = ("FID", "KID") if network.is_inception else ("Fréchet distance", "kernel distance")
    print(f"{names[0]} {figures['frechet']:.4f}: {sets}; {by}")
    subsets = f"subsets of {figures['subset']}, {figures['subsets']} of them"
    print(f"{names[1]} {figures['kernel']:.6f} +- {figures['kernel_spread']:.6f}: {sets}; {by}; {subsets}")
    if min(n) <= count:
        print(
            f"{min(n)} images are not more than the {count} features: a covariance is singular and {names[0]} far too "
            f"large; it compares only with figures of the same N, {names[1]} with those of any"
        )
