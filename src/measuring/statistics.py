"""Statistics of the features of a set of images: taken in one pass in bounded memory, kept in a file, compared."""

import dataclasses
import hashlib
import io
import json
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from src.config import InputError, one_line
from src.data.arrays import HEADER, npy_header
from src.data.images import read_image
from src.data.tokens import chunks, load_array
from src.files import file_size, open_regular, parse_json, whole
from src.measuring.frechet import Moments, frechet_distance, kernel_distance, subsets
from src.measuring.inception import Extractor, Network
from src.memory import check_fits
from src.schema import Integer, Text, check
from src.utils import color_dequantize

KEPT = 10_000  # features at most that the kernel distance draws from: 82 MB of 2,048 numbers
ABOUT, ARRAYS = "about.json", {"mean.npy": (1, "f8"), "scatter.npy": (2, "f8"), "features.npy": (2, "f4")}
NAME = Text(r"(?s).{0,4096}", "a text")
DIGITS = Text("[0-9a-f]{16}", "16 hexadecimal digits")
SCHEMA = {
    "images": Integer(2, 1 << 40),
    "source": NAME,
    "split": NAME,
    "size": Text("[0-9]{1,9}x[0-9]{1,9}", "WIDTHxHEIGHT"),
    "pixels": DIGITS,
    "network": NAME,
    "network_file": DIGITS,
    "resizing": NAME,
}


@dataclasses.dataclass(frozen=True)
class ImageSet:
    """Images to take features of.

    Args:
        n: how many.
        source: the folder, file or checkpoint they come from.
        split: which part of a data set they are, or what else.
        images: a function to an iterator of uint8 [h, w, 3], the same ones at every call.

    Raises:
        InputError: one image only.
    """

    n: int
    source: str
    split: str
    images: Callable[[], Iterator[np.ndarray]]

    def __post_init__(self):
        if self.n < 2:
            raise InputError(
                f"{self.source}: one image only; a covariance takes two, and means little of fewer than thousands"
            )


def picture_set(paths: Sequence[Path], source: str | Path, split: str) -> ImageSet:
    """Image files, all of one size, on white where they are transparent."""

    def images():
        for path in paths:
            yield np.asarray(read_image(path))

    return ImageSet(len(paths), str(source), split, lambda: of_one_size(images(), paths))


def of_one_size(images: Iterable[np.ndarray], names: Sequence) -> Iterator[np.ndarray]:
    """The images; InputError, with the name of its file, at the first that has another size than those before it."""
    size = None
    for image, name in zip(images, names):
        size = size or image.shape
        if image.shape != size:
            found, others = (f"{w}x{h}" for h, w, _ in (image.shape, size))
            raise InputError(f"{name}: {found} pixels, those before it have {others}; a set of images has one size")
        yield image


def token_set(path: str | Path, clusters: np.ndarray, split: str) -> ImageSet:
    """A file of tokens [n, pixels] in the colours of a palette [colours, 3] in -1..1.

    Raises:
        InputError: no such file, or not tokens of square images.
    """
    X = load_array(path)
    side = int(X.shape[1] ** 0.5) if X.ndim == 2 and X.dtype.kind in "ui" else 0
    if not len(X) or not side or side * side != X.shape[1]:
        raise InputError(f"{path}: tokens are integers [images, pixels] of squares, this is {list(X.shape)} {X.dtype}")
    if not all(0 <= x.min() <= x.max() < len(clusters) for x in chunks(X)):
        raise InputError(f"{path}: it holds tokens that its palette of {len(clusters)} colours has not")

    def images():
        for part in chunks(X, 256):
            yield from color_dequantize(part, clusters, side)

    return ImageSet(len(X), str(path), split, images)


@dataclasses.dataclass(frozen=True)
class Statistics:
    """What is compared of a set of images.

    Args:
        moments: of all features.
        features: [k, f] float32, all or a random KEPT of them, in the images' order.
        about: the names of SCHEMA: where images and features come from.
    """

    moments: Moments
    features: np.ndarray
    about: dict[str, Any]

    def check_network(self, network: Network, path: str | Path):
        """Raise InputError where these, from a file, are of features of another network or resizing."""
        if (self.about["network_file"], self.about["resizing"]) != (network.fingerprint, network.resizing):
            made = "{network} ({network_file}), resizing {resizing}".format(**self.about)
            here = f"{network.name} ({network.fingerprint}), resizing {network.resizing}"
            raise InputError(f"{path}: statistics of features of {made}, not of {here}; make them anew")


def take_statistics(
    images: ImageSet, extractor: Extractor, progress: Callable[[int, int], None] | None = None
) -> Statistics:
    """The statistics of a set's features, the features themselves never all in memory where they are many.

    Args:
        progress: called with the images done and all images, after every batch.

    Raises:
        InputError: images that cannot be read, or are of several sizes.
    """
    digest, sizes, kept = hashlib.sha256(), set(), []
    chosen = np.zeros(images.n, bool)
    chosen[np.random.default_rng(0).permutation(images.n)[:KEPT]] = True

    def noted():
        for image in images.images():
            sizes.add("{1}x{0}".format(*image.shape))
            digest.update(np.ascontiguousarray(image))
            yield image

    def passed():
        done = 0
        for batch in extractor.features(noted()):
            kept.append(batch[chosen[done : done + len(batch)]])
            done += len(batch)
            if progress:
                progress(done, images.n)
            yield batch

    moments, network = Moments.streamed(passed()), extractor.network
    about = {"images": moments.n, "source": images.source, "split": images.split, "size": ", ".join(sizes)}
    about |= {"pixels": digest.hexdigest()[:16], "network": network.name, "network_file": network.fingerprint}
    return Statistics(moments, np.concatenate(kept), about | {"resizing": network.resizing})


def compare(
    a: Statistics, b: Statistics, seed: int = 42, progress: Callable[[int, int], None] | None = None
) -> dict[str, float]:
    """`frechet`, and `kernel` with its `kernel_spread`, over `subsets` of `subset` images (`src.measuring.frechet`)."""
    kernel, spread = kernel_distance(a.features, b.features, seed, progress)
    figures = {"frechet": frechet_distance(a.moments, b.moments), "kernel": kernel, "kernel_spread": spread}
    return figures | dict(zip(("subsets", "subset"), subsets(len(a.features), len(b.features))))


def save_statistics(path: str | Path, statistics: Statistics):
    """Write statistics as an archive of NumPy's (.npz) with a description in JSON, complete or not at all."""
    moments = statistics.moments
    arrays = dict(zip(ARRAYS, (moments.mean, moments.scatter, statistics.features)))
    with whole(path) as part, zipfile.ZipFile(part, "w") as archive:
        archive.writestr(ABOUT, json.dumps(statistics.about, indent=1))
        for name, array in arrays.items():
            with archive.open(name, "w", force_zip64=True) as f:
                np.save(f, np.ascontiguousarray(array))


def load_statistics(path: str | Path) -> Statistics:
    """The statistics that `save_statistics` wrote.

    Raises:
        InputError: no such file, or another or a damaged one.
    """
    try:
        with open_regular(path) as f, zipfile.ZipFile(f) as archive:
            check_fits(file_size(f), str(path))
            members = {member.filename: member for member in archive.infolist()}
            if members.keys() != {ABOUT, *ARRAYS} or len(archive.infolist()) != len(members):
                raise ValueError(f"it holds {one_line(', '.join(members)) or 'nothing'}")
            if any(member.compress_type != zipfile.ZIP_STORED for member in members.values()):
                raise ValueError("it is compressed, which ours are not")
            about = parse_json(archive.read(ABOUT), path, dict)
            check(about, SCHEMA, path)
            mean, scatter, features = (plain_array(archive.read(name), *ARRAYS[name]) for name in ARRAYS)
    except InputError:
        raise
    except Exception as error:  # whatever the library makes of damaged bytes
        raise InputError(f"{path}: not statistics of features, or damaged ({one_line(error)}); make anew") from error
    n, f = about["images"], len(mean)
    if scatter.shape != (f, f) or features.shape != (min(n, KEPT), f) or not f:
        raise InputError(f"{path}: arrays of {scatter.shape} and {features.shape} for {n} images of {f} features")
    return Statistics(Moments(n, mean, scatter), features, about)


def plain_array(content: bytes, rank: int, kind: str) -> np.ndarray:
    """The array that the bytes of a .npy file hold; ValueError where it is not finite, or of another kind."""
    shape, fortran, dtype, _ = npy_header(content[:HEADER])
    if len(shape) != rank or dtype != kind or fortran:
        raise ValueError(f"an array of {dtype} {list(shape)}")
    array = np.load(io.BytesIO(content), allow_pickle=False)
    if not np.isfinite(array).all():
        raise ValueError("an array with NaN or infinity")
    return array
