"""Images and known data sets to palette tokens, in the release's files: NAME_{tr,va,te}{X,Y}.npy, NAME_clusters.npy."""

import os
import sys
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps
from tqdm import tqdm

from src.config import InputError
from src.files import whole
from src.utils import color_quantize, load_array

SPLITS = {"tr": "train", "va": "valid", "te": "test"}
CHUNK = 256  # images between two writes
PALETTE_PIXELS = 1 << 21
Image.MAX_IMAGE_PIXELS = 1 << 28  # a photograph of 100 megapixels is welcome, a bomb of a file is not
UNREADABLE = (OSError, ValueError, SyntaxError, Image.DecompressionBombError, Image.DecompressionBombWarning)


def square(image, n_px, rng=None):
    """An RGB image's crop as uint8 [n_px, n_px, 3], antialiased.

    Without `rng` the centre, as in the paper's evaluation; with one the paper's augmentation: the shorter side
    stands for a random length in 256..384 of which a random 224x224 is cut.
    """
    width, height = image.size
    side = min(width, height)
    if rng is None:
        x, y = (width - side) // 2, (height - side) // 2
    else:
        side = round(side * 224 / rng.integers(256, 385))
        x, y = rng.integers(0, [width - side + 1, height - side + 1])
    image = image.crop((x, y, x + side, y + side))
    return np.asarray(image.resize((n_px, n_px), Image.Resampling.BICUBIC))


def open_image(item):
    """A path or an array as an RGB image: upright, what is transparent on white, of several pictures the first."""
    if isinstance(item, np.ndarray):
        return Image.fromarray(item).convert("RGB")
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        with Image.open(item) as image:
            image.load()
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I"):  # Pillow would clip 16 bits instead of scaling them
        image = Image.fromarray((np.asarray(image).clip(0, 0xFFFF) / 257).round().astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")


def read_image(path, crop=None):
    """`open_image` for a file that a user named, or the part (x, y, width, height) of it.

    Raises:
        InputError: no such file, not an image, or a part that is not inside it.
    """
    try:
        image = open_image(path)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except UNREADABLE as error:
        raise InputError(f"{path}: not a readable image ({error})") from error
    if crop is None:
        return image
    x, y, width, height = crop
    if min(x, y) < 0 or min(width, height) < 1 or x + width > image.width or y + height > image.height:
        raise InputError(
            f"{path}: the crop {x},{y},{width},{height} is not inside its {image.width}x{image.height} pixels"
        )
    return image.crop((x, y, x + width, y + height))


def squares(source, n_px, *, augment=0, seed=0, skipped=None, desc=None):
    """Yield (crops [m, n_px, n_px, 3], row) for every readable image; paths of others are added to `skipped`."""
    for row, item in enumerate(tqdm(source.items, desc=desc, unit="image", file=sys.stderr, disable=desc is None)):
        try:
            image = open_image(item)
            rng = np.random.default_rng([seed, row])
            yield (
                np.stack([square(image, n_px, rng) for _ in range(augment)] if augment else [square(image, n_px)]),
                row,
            )
        except UNREADABLE as error:
            if skipped is None:
                continue
            skipped.append(item)
            tqdm.write(f"skipped {item}: {error}", file=sys.stderr)


def fit_palette(source, n_px, colours, seed=42):
    """k-means on at most two million pixels of random images, darkest colour first: [colours, 3] in -1..1.

    Raises:
        InputError: the images hold fewer colours than that.
    """
    from sklearn.cluster import KMeans, MiniBatchKMeans

    rng = np.random.default_rng(seed)
    rows = np.sort(rng.permutation(len(source.items))[: max(1, PALETTE_PIXELS // n_px**2)])
    crops = [crop for crop, _ in squares(source.take(rows), n_px, desc="palette")]
    if not crops:
        raise InputError("no readable image to fit a palette to")
    pixels, counts = np.unique(np.concatenate(crops).reshape(-1, 3), axis=0, return_counts=True)
    if len(pixels) < colours:
        raise InputError(f"--fit_clusters {colours}: the images hold only {len(pixels)} different colours")
    exact = len(pixels) <= 1 << 14
    means = (
        KMeans(colours, n_init=3, random_state=seed)
        if exact
        else MiniBatchKMeans(colours, batch_size=1 << 14, n_init=3, random_state=seed)
    )
    centres = means.fit(pixels.astype(np.float32) / 127.5 - 1, sample_weight=counts).cluster_centers_
    return centres[np.argsort(centres @ [0.299, 0.587, 0.114])].astype(np.float32)


def token_type(n_vocab):
    """The smallest type that holds the tokens of so many colours."""
    return np.uint8 if n_vocab <= 256 else np.uint16


def write_split(source, prefix, clusters, n_px, *, augment=0, classes=0, seed=42):
    """Write `{prefix}X.npy` (and `{prefix}Y.npy` with labels), complete or not at all.

    Returns:
        (images written, paths skipped).

    Raises:
        InputError: no image could be read.
    """
    part, skipped, rows = Path(f"{prefix}X.npy.part"), [], []
    buffer = []

    def flush(f):
        x = np.concatenate(buffer)
        color_quantize(x / np.float32(127.5) - 1, clusters).numpy().astype(token_type(len(clusters))).tofile(f)
        buffer.clear()

    try:
        with open(part, "wb") as f:
            for crops, row in squares(
                source, n_px, augment=augment, seed=seed, skipped=skipped, desc=Path(prefix).name
            ):
                buffer.append(crops)
                rows += [row] * len(crops)
                if sum(map(len, buffer)) >= CHUNK:
                    flush(f)
            if buffer:
                flush(f)
        if not rows:
            raise InputError(f"{Path(prefix).name}: none of the {len(skipped)} images could be read")
        save_array(f"{prefix}X.npy", np.memmap(part, token_type(len(clusters)), "r", shape=(len(rows), n_px * n_px)))
    finally:
        part.unlink(missing_ok=True)
    if source.labels is not None:
        save_array(f"{prefix}Y.npy", np.eye(classes, dtype=np.float32)[source.labels[rows]])
    return len(rows), skipped


def save_array(path, array):
    """`numpy.save`, complete or not at all."""
    with whole(path) as part, open(part, "wb") as f:
        np.save(f, array)


def default_data_path(downloads):
    """The data set in a folder whose token files are the newest, without their ending."""
    found = max(Path(downloads).glob("*_t[re]X.npy"), key=lambda p: p.stat().st_mtime, default="fashion_mnist_trX.npy")
    return str(Path(downloads) / Path(found).name[: -len("_trX.npy")])


def load_split(data_path, split, hparams, *, labels=True):
    """(X [n, n_px * n_px] memory-mapped, Y one-hot [n, c] or None) of one split.

    Args:
        data_path: folder and name without the ending, such as `downloads/imagenet`.
        split: `tr`, `va` or `te`.
        hparams: the HParams of the model that the tokens are for.
        labels: whether Y is wanted.

    Raises:
        InputError: no such file, another number of pixels, tokens outside the palette, or other labels than images.
    """
    path = f"{data_path}_{split}X.npy"
    if not os.path.exists(path):
        raise InputError(f"{path}: no such file; make token files with dataset.py, or name others with --data_path")
    X, n_px = load_array(path, mmap_mode="r"), hparams.n_px
    if X.ndim != 2 or X.dtype.kind not in "ui":
        raise InputError(f"{path}: tokens are integers of shape [images, pixels], this is {list(X.shape)} {X.dtype}")
    if X.shape[1] != hparams.n_positions or not len(X):
        raise InputError(
            f"{path}: {len(X)} images of {X.shape[1]} pixels; the model takes {n_px}x{n_px} = {hparams.n_positions}"
        )
    low, high = min(x.min() for x in chunks(X)), max(x.max() for x in chunks(X))
    if low < 0 or high >= hparams.n_vocab:
        raise InputError(f"{path}: tokens run from {low} to {high} but the model has {hparams.n_vocab} colours")
    path_y = f"{data_path}_{split}Y.npy"
    if not labels or not os.path.exists(path_y):
        return X, None
    Y = load_array(path_y, mmap_mode="r")
    if Y.ndim != 2 or len(Y) != len(X):
        raise InputError(
            f"{path_y}: labels {list(Y.shape)} do not fit the {len(X)} images of {path} (expected [{len(X)}, classes])"
        )
    if hparams.classes not in (0, Y.shape[1]):
        raise InputError(f"{path_y}: {Y.shape[1]} classes, but the model's classifier has {hparams.classes}")
    return X, Y


def chunks(X, size=1 << 14):
    """Slices of at most `size` rows, so that a memory-mapped array is never read whole."""
    return (X[i : i + size] for i in range(0, len(X), size))
