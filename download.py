#!/usr/bin/env python3
"""Fetch the 2020 models, their palette, and data sets. Afterwards run.py uses them without further flags."""

import contextlib
import shlex
import sys
import zipfile

from src.cli.parser import Parser, positive
from src.cli.process import import_tensorflow, output_folder, progress_bar, run
from src.config import BUNDLED, DOWNLOADS, InputError

BUCKET = "https://openaipublic.blob.core.windows.net/image-gpt"
HUB = "https://huggingface.co"
SHARDS = {"s": 32, "m": 32, "l": 64}
HUB_MODELS = {"s": ("small", 2), "m": ("medium", 1), "l": ("large", 1)}  # name, pull request with the safetensors
STEPS = [131000, 262000, 524000, 1000000]
PALETTE = "color-clusters/kmeans_centers.npy"
MNIST_FILES = [f"{p}-{w}-ubyte.gz" for p in ("train", "t10k") for w in ("images-idx3", "labels-idx1")]
ORIGINALS = {  # data set: address of its folder, files
    "mnist": ("https://ossci-datasets.s3.amazonaws.com/mnist", MNIST_FILES),
    "fashion_mnist": ("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com", MNIST_FILES),
    "div2k": ("https://data.vision.ee.ethz.ch/cvl/DIV2K", ["DIV2K_train_HR.zip", "DIV2K_valid_HR.zip"]),
}
ALWAYS = {"download_dir", "base_url", "parallel"}
READS = {"model": ALWAYS | {"ckpt", "bert", "source"}, "clusters": ALWAYS, "dataset": ALWAYS}
TOKENS = [f"{split}{array}.npy" for split in ("tr", "va", "te") for array in "XY"]


def parse(argv):
    p = Parser(prog="download.py", description=__doc__, reads=READS)
    p.add_argument("--model", choices=SHARDS, help="model to fetch, with its palette")
    p.add_argument("--ckpt", type=int, choices=STEPS, default=1000000, help="training step of the checkpoint")
    p.add_argument("--bert", action="store_true", help="the model with the BERT objective")
    p.add_argument("--clusters", action="store_true", help="fetch the palette alone")
    p.add_argument("--dataset", choices=["imagenet", "cifar10", *ORIGINALS], help="data set to fetch")
    p.add_argument("--download_dir", default=str(DOWNLOADS), help="where everything goes")
    p.add_argument(
        "--source", choices=["auto", "release", "hub"], default="auto", help="auto: the release's bucket, else the hub"
    )
    p.add_argument("--base_url", metavar="URL", help="a mirror to use instead of the source's own address")
    p.add_argument("--parallel", type=positive, default=4, help="files fetched at a time")
    args = p.parse_args(argv)
    if args.source == "hub" and (args.bert or args.ckpt != 1000000):
        p.error("--source hub: the hub has the last checkpoints of the autoregressive models only")
    return args


def release_files(args, folder):
    """A model's shards, index and graph and its palette, from the release's bucket."""
    from src.weights.transfer import File

    base = args.base_url or BUCKET
    name = f"igpt-{args.model}{'-bert' * args.bert}"
    n = SHARDS[args.model]
    endings = [f"data-{i:05d}-of-{n:05d}" for i in range(n)] + ["meta", "index"]
    stem = f"model.ckpt-{args.ckpt}"
    files = [File(f"{base}/checkpoints/{name}/{args.ckpt}/{stem}.{e}", folder / name / f"{stem}.{e}") for e in endings]
    return [File(f"{base}/{PALETTE}", folder / name / "kmeans_centers.npy"), *files]


def hub_files(args, folder):
    """The same model as Hugging Face's folder."""
    from src.weights.transfer import File

    name, request = HUB_MODELS[args.model]
    base = f"{args.base_url or HUB}/openai/imagegpt-{name}/resolve"
    target = folder / f"igpt-{args.model}-hub"
    main = ["preprocessor_config.json", "config.json"]
    weights = File(f"{base}/refs%2Fpr%2F{request}/model.safetensors", target / "model.safetensors")
    return [weights, *(File(f"{base}/main/{f}", target / f) for f in main)]


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
    from src.weights import transfer

    for file in files:
        file.path.parent.mkdir(parents=True, exist_ok=True)
    with transfer_bar() as progress:
        transfer.fetch(files, n_parallel=args.parallel, progress=progress)


def fetch_model(args, folder):
    """Fetch a model from the first source that has it; return its folder."""
    from src.weights.transfer import Unavailable

    on_hub = not args.bert and args.ckpt == 1000000
    sources = {"release": [release_files], "hub": [hub_files]}
    for source in sources.get(args.source) or [release_files] + [hub_files] * on_hub:
        files = source(args, folder)
        try:
            fetch(files[:-1], args)
            fetch(files[-1:], args)  # what makes it a checkpoint comes last
            return files[0].path.parent
        except Unavailable as error:
            if source is hub_files or args.source != "auto" or not on_hub:
                raise
            print(f"{error}; trying Hugging Face's hub", file=sys.stderr)


def fetch_dataset(args, folder):
    """Fetch token files, or originals that are then turned into tokens or unpacked."""
    from src.weights.transfer import File

    if args.dataset not in ORIGINALS:
        base = f"{args.base_url or BUCKET}/datasets"
        fetch([File(f"{base}/{args.dataset}_{t}", folder / f"{args.dataset}_{t}") for t in TOKENS], args)
        return
    base, names = ORIGINALS[args.dataset]
    raw = folder / "raw" / args.dataset
    fetch([File(f"{args.base_url or base}/{name}", raw / name) for name in names], args)
    if args.dataset == "div2k":
        for name in names:
            unpack(raw / name)
        return
    encode(args.dataset, raw, folder / args.dataset)


def encode(name, raw, prefix):
    """Turn the originals in the folder `raw` into token files, Fashion-MNIST's in the bundled model's palette."""
    import_tensorflow()
    from src.data.encoding import EncodeOptions, encode_dataset

    palette = {"clusters": BUNDLED / "clusters.npy"} if name == "fashion_mnist" else {"fit_clusters": 16}
    encoded = encode_dataset(raw, prefix, EncodeOptions(n_px=28, **palette), progress_bar("encode", "image"))
    for split, images in encoded.images.items():
        print(f"{prefix}_{split}X.npy: {images} images of 28x28, {encoded.colours} colours")


def unpack(path):
    """Unpack a zip archive beside itself."""
    from src.weights.transfer import inside

    try:
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist():
                inside(path.parent, member.filename)
            archive.extractall(path.parent)
    except zipfile.BadZipFile as error:
        raise InputError(f"{path}: a damaged archive ({error}); delete it and start again") from error


def main(argv=None):
    args = parse(argv)
    folder = output_folder(args.download_dir, "download_dir")
    if args.model:
        place = fetch_model(args, folder)
        named = f" --ckpt_path {shlex.quote(str(place))}" if "download_dir" in args.given else ""
        print(f"{place}: complete; python run.py --sample{named} uses it")
    if args.clusters:
        from src.weights.transfer import File

        fetch([File(f"{args.base_url or BUCKET}/{PALETTE}", folder / "kmeans_centers.npy")], args)
    if args.dataset:
        fetch_dataset(args, folder)


if __name__ == "__main__":
    run(main)
