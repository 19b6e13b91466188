#!/usr/bin/env python3
"""Fetch the 2020 models, their palette, and data sets. Afterwards run.py uses them without further flags."""

import contextlib
import dataclasses
import shlex
import sys

from src.cli.outputs import output_folder
from src.cli.parser import Parser, at_most
from src.cli.process import import_tensorflow, progress_bar, run
from src.config import BUNDLED_GREY, DOWNLOADS, INCEPTION_GRAPH
from src.files import lock_of, locked
from src.weights import addresses
from src.weights.addresses import BUCKET, HUB, ORIGINALS, SHARDS, STEPS, base_address

ALWAYS = {"download_dir", "base_url", "parallel"}
READS = {"model": ALWAYS | {"ckpt", "bert", "source"}, "clusters": ALWAYS, "dataset": ALWAYS}


def parse(argv):
    p = Parser(prog="download.py", description=__doc__, reads=READS)
    p.add_argument("--model", choices=SHARDS, help="model to fetch, with its palette")
    p.add_argument("--ckpt", type=int, choices=STEPS, default=1000000, help="training step of the checkpoint")
    p.add_argument("--bert", action="store_true", help="the model with the BERT objective")
    p.add_argument("--clusters", action="store_true", help="fetch the palette alone")
    p.add_argument("--dataset", choices=["imagenet", "cifar10", "emoji", *ORIGINALS], help="data set to fetch")
    p.add_argument("--download_dir", default=str(DOWNLOADS), help="where everything goes")
    p.add_argument(
        "--source", choices=["auto", "release", "hub"], default="auto", help="auto: the release's bucket, else the hub"
    )
    p.add_argument("--base_url", metavar="URL", help="a mirror to use instead of the source's own address")
    p.add_argument(
        "--parallel", type=at_most(64, "servers refuse so many at a time"), default=4, help="files fetched at a time"
    )
    args = p.parse_args(argv)
    if args.source == "hub" and (args.bert or args.ckpt != 1000000):
        p.error("--source hub: the hub has the last checkpoints of the autoregressive models only")
    return args


@contextlib.contextmanager
def transfer_bar():
    """A function of (bytes that have arrived, bytes announced so far) that shows a bar on standard error."""
    from tqdm import tqdm

    with tqdm(unit="B", unit_scale=True, unit_divisor=1024, desc="download") as bar:

        def show(done, total):
            bar.total = total
            bar.update(done - bar.n)

        yield show


def fetch(files, args):
    from src.weights import fetching

    for file in files:
        file.path.parent.mkdir(parents=True, exist_ok=True)
    with transfer_bar() as progress:
        fetching.fetch(files, n_parallel=args.parallel, progress=progress)


def fetch_release(args, folder):
    """Fetch a checkpoint in the release's format, and its palette; return its folder."""
    from src.weights.table import shard_sizes

    base, model = base_address(args.base_url, BUCKET), f"{args.model}{'-bert' * args.bert}"
    place = folder / f"igpt-{model}"
    with locked(place / ".lock"):
        index, others = addresses.index_and_shards(place, model, args.ckpt, base)
        hidden = index if index.is_there() else dataclasses.replace(index, path=place / f".{index.path.name}")
        fetch([addresses.palette(place, base), hidden], args)
        fetch(addresses.sized(others, shard_sizes(hidden.path), hidden.path), args)
        hidden.path.replace(index.path)  # what makes it a checkpoint comes last
    return place


def fetch_from_hub(args, folder):
    """Fetch the same model as Hugging Face's folder; return it."""
    place = folder / f"igpt-{args.model}-hub"
    *others, last = addresses.hub_files(place, args.model, base_address(args.base_url, HUB))
    with locked(place / ".lock"):
        fetch(others, args)
        fetch([last], args)
    return place


def fetch_model(args, folder):
    """Fetch a model from the first source that has it; return its folder."""
    from src.weights.transfer import Unavailable

    on_hub = not args.bert and args.ckpt == 1000000
    if args.source == "hub":
        return fetch_from_hub(args, folder)
    try:
        return fetch_release(args, folder)
    except Unavailable as error:
        if args.source == "release" or not on_hub:
            raise
        print(f"{error}; trying Hugging Face's hub", file=sys.stderr)
    return fetch_from_hub(args, folder)


def fetch_dataset(args, folder):
    """Fetch token files, or originals that are then turned into tokens or unpacked."""
    from src.weights.archives import unpack

    name = args.dataset
    if name == "emoji":
        return fetch_emoji(args, folder)
    if name not in ORIGINALS:
        with locked(lock_of(folder / name)):
            fetch(addresses.token_files(folder, name, base_address(args.base_url, BUCKET)), args)
        return
    raw = folder / "raw" / name
    with locked(raw / ".lock"):
        originals = addresses.original_files(raw, name, base_address(args.base_url, ORIGINALS[name]))
        fetch(originals, args)
        if name == "inception":
            return take_graph(originals[0].path, folder / name / INCEPTION_GRAPH)
        if name != "div2k":
            return encode(name, raw, folder / name)
        for file in originals:
            unpack(file.path)


def take_graph(archive, place):
    """Take the graph of Inception out of its archive."""
    from src.weights.archives import take_member

    place.parent.mkdir(parents=True, exist_ok=True)
    take_member(archive, place.name, place)
    found = place.resolve() == (DOWNLOADS / "inception" / INCEPTION_GRAPH).resolve()
    print(f"{place}: complete; python run.py --fid {'uses it' if found else f'REAL --features {place}'}")


def fetch_emoji(args, folder):
    """Fetch three sets of emoji, and make a folder of them that dataset.py reads."""
    from src.data.emoji import make_folder

    raw, images = folder / "raw" / "emoji", folder / "emoji"
    with locked(raw / ".lock"):
        fetch(addresses.emoji_files(raw, args.base_url and base_address(args.base_url, "")), args)
        made = make_folder(raw, images, lambda name: progress_bar(name, "image"))
    print(f"{images}: {', '.join(f'{n} images for {split}' for split, n in made.items())}")
    print(f"python dataset.py {shlex.quote(str(images))} --classes --fit_clusters 512")


def encode(name, raw, prefix):
    """Turn the originals in the folder `raw` into token files, Fashion-MNIST's in the palette of its bundled model."""
    import_tensorflow()
    from src.data.encoding import EncodeOptions, encode_dataset

    palette = {"clusters": BUNDLED_GREY / "clusters.npy"} if name == "fashion_mnist" else {"fit_clusters": 16}
    encoded = encode_dataset(raw, prefix, EncodeOptions(n_px=28, **palette), progress_bar("encode", "image"))
    for split, images in encoded.images.items():
        print(f"{prefix}_{split}X.npy: {images} images of 28x28, {encoded.colours} colours")


def main(argv=None):
    args = parse(argv)
    folder = output_folder(args.download_dir, "download_dir")
    if args.model:
        place = fetch_model(args, folder)
        named = f" --ckpt_path {shlex.quote(str(place))}" if "download_dir" in args.given else ""
        print(f"{place}: complete; python run.py --{'eval' if args.bert else 'sample'}{named} uses it")
    if args.clusters:
        with locked(lock_of(folder / "clusters")):
            fetch([addresses.palette(folder, base_address(args.base_url, BUCKET))], args)
    if args.dataset:
        fetch_dataset(args, folder)


if __name__ == "__main__":
    run(main)
