"""Where the 2020 models, their palette and data sets lie, and the checksums of what is known to the byte."""

import urllib.parse
from dataclasses import replace
from pathlib import Path

from src.config import InputError
from src.weights.arrivals import File

BUCKET = "https://openaipublic.blob.core.windows.net/image-gpt"
HUB = "https://huggingface.co"
SHARDS = {"s": 32, "m": 32, "l": 64}
HUB_MODELS = {"s": ("small", 2), "m": ("medium", 1), "l": ("large", 1)}  # name, pull request with the safetensors
STEPS = [131000, 262000, 524000, 1000000]
PALETTE = "color-clusters/kmeans_centers.npy"
ORIGINALS = {  # data set: address of its folder
    "mnist": "https://ossci-datasets.s3.amazonaws.com/mnist",
    "fashion_mnist": "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com",
    "div2k": "https://data.vision.ee.ethz.ch/cvl/DIV2K",
    "inception": "http://download.tensorflow.org/models/image/imagenet",
}
MNIST_FILES = [f"{p}-{w}-ubyte.gz" for p in ("train", "t10k") for w in ("images-idx3", "labels-idx1")]
INCEPTION = "inception-2015-12-05.tgz"
FILES = {
    "mnist": MNIST_FILES,
    "fashion_mnist": MNIST_FILES,
    "div2k": ["DIV2K_train_HR.zip", "DIV2K_valid_HR.zip"],
    "inception": [INCEPTION],
}
SIZES = {INCEPTION: 88_931_400}  # bytes, as the tutorials of its time print them; nobody publishes a checksum
PINS = {  # data set: file: SHA-256, or MD5 where nobody publishes more; a mirror is held to them, too
    "mnist": {
        "train-images-idx3-ubyte.gz": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
        "train-labels-idx1-ubyte.gz": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
        "t10k-images-idx3-ubyte.gz": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
        "t10k-labels-idx1-ubyte.gz": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
    },
    "fashion_mnist": {
        "train-images-idx3-ubyte.gz": "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
        "train-labels-idx1-ubyte.gz": "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
        "t10k-images-idx3-ubyte.gz": "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
        "t10k-labels-idx1-ubyte.gz": "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
    },
    "div2k": {
        "DIV2K_train_HR.zip": "bdc2d9338d4e574fe81bf7d158758658",
        "DIV2K_valid_HR.zip": "9fcdda83005c5e5997799b69f955ff88",
    },
}
EMOJI = {  # file: the sets' own releases, and Unicode's list of that version
    "noto.zip": "https://github.com/googlefonts/noto-emoji/archive/refs/tags/v2.042.zip",
    "twemoji.zip": "https://github.com/jdecked/twemoji/archive/refs/tags/v15.1.0.zip",
    "fluent.zip": "https://github.com/microsoft/fluentui-emoji/archive/refs/heads/main.zip",
    "emoji-test.txt": "https://unicode.org/Public/emoji/15.1/emoji-test.txt",
}
TOKENS = [f"{split}{array}.npy" for split in ("tr", "va", "te") for array in "XY"]


def base_address(given: str | None, default: str) -> str:
    """The address that all others begin with.

    Raises:
        InputError: `base_url` is none.
    """
    if given is None:
        return default
    try:
        parts = urllib.parse.urlsplit(given)
        good = parts.scheme in ("http", "https") and parts.hostname and (parts.port or 1) and given.isprintable()
        good = good and " " not in given and all(0 < len(label) < 64 for label in parts.hostname.rstrip(".").split("."))
    except ValueError:  # a port that is none, brackets that do not close
        good = False
    if not good or parts.query or parts.fragment:
        raise InputError(f"`base_url` {given!r}: not the address of a folder; give one like https://example.org/mirror")
    return given.rstrip("/")


def index_and_shards(folder: Path, model: str, step: int, base: str) -> tuple[File, list[File]]:
    """A checkpoint of the release, `model` being "s" or "s-bert": its index, and its shards and graph."""
    n = SHARDS[model[0]]
    stem = f"model.ckpt-{step}"
    names = [f"{stem}.{e}" for e in ("index", *(f"data-{i:05d}-of-{n:05d}" for i in range(n)), "meta")]
    index, *others = [File(f"{base}/checkpoints/igpt-{model}/{step}/{name}", folder / name) for name in names]
    return index, others


def sized(shards: list[File], sizes: list[int], index: Path) -> list[File]:
    """A checkpoint's shards with the sizes that its index gives them, and its graph.

    Raises:
        InputError: the index is that of another checkpoint.
    """
    *data, graph = shards
    if len(sizes) != len(data):
        raise InputError(f"{index}: it belongs to a checkpoint of {len(sizes)} shards, not {len(data)}; delete it")
    return [*(replace(file, size=size) for file, size in zip(data, sizes)), graph]


def palette(folder: Path, base: str) -> File:
    return File(f"{base}/{PALETTE}", folder / "kmeans_centers.npy")


def hub_files(folder: Path, model: str, base: str) -> list[File]:
    """A model as Hugging Face's folder, config.json last."""
    name, request = HUB_MODELS[model]
    address = f"{base}/openai/imagegpt-{name}/resolve"
    weights = File(f"{address}/refs%2Fpr%2F{request}/model.safetensors", folder / "model.safetensors")
    return [weights, *(File(f"{address}/main/{f}", folder / f) for f in ("preprocessor_config.json", "config.json"))]


def token_files(folder: Path, dataset: str, base: str) -> list[File]:
    """The release's token files of a data set."""
    return [File(f"{base}/datasets/{dataset}_{t}", folder / f"{dataset}_{t}") for t in TOKENS]


def original_files(folder: Path, dataset: str, base: str) -> list[File]:
    """A data set as its authors published it."""
    pins = PINS.get(dataset, {})
    return [File(f"{base}/{name}", folder / name, SIZES.get(name), pins.get(name)) for name in FILES[dataset]]


def emoji_files(folder: Path, base: str | None) -> list[File]:
    """Three emoji sets and the list of names; `base` stands for all their hosts."""
    addresses = {name: base + urllib.parse.urlsplit(url).path if base else url for name, url in EMOJI.items()}
    return [File(url, folder / name) for name, url in addresses.items()]
