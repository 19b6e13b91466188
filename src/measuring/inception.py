"""Features of images by a trained network: the Inception of 2015, whose features papers compare, or one in a file."""

import dataclasses
import hashlib
import math
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from PIL import Image

from src.config import InputError, one_line
from src.files import open_regular
from src.measuring.evaluation import padded
from src.memory import check_fits
from src.weights.frozen import load_frozen

INPUT, FEATURES = "ResizeBilinear", "pool_3"  # its operations: pixels in 0..255 that it has resized; the features
SIZE = 299, 299
COVARIANCES = 4  # of float64 that a comparison holds at the least


@dataclasses.dataclass(frozen=True)
class Network:
    """A network as a function of float32 pixels [b, h, w, 3] in 0..255, whose output is flattened to features [b, f].

    Args:
        name: what its figures are printed under.
        fingerprint: 16 digits that stand for its file.
        size: height and width of the images that it takes, or None where it takes them as they are.
        is_inception: whether it is the one of 2015, after which its figures are called.
    """

    name: str
    fingerprint: str
    size: tuple[int, int] | None
    compute: Callable[[tf.Tensor], tf.Tensor]
    is_inception: bool = False

    @property
    def resizing(self) -> str:
        """How images are brought to its size, in words."""
        return "none" if self.size is None else f"Pillow's bicubic to {self.size[1]}x{self.size[0]}"

    def resized(self, image: np.ndarray) -> np.ndarray:
        """A uint8 image [h, w, 3] in its size, antialiased where it shrinks."""
        if self.size in (None, image.shape[:2]):
            return image
        return np.asarray(Image.fromarray(image).resize(self.size[::-1], Image.Resampling.BICUBIC))


def load_network(path: str | Path) -> Network:
    """The Inception graph of 2015, or the network in a .keras file.

    Raises:
        InputError: no such file, or one that holds something else.
    """
    with open_regular(path) as f:
        fingerprint = hashlib.file_digest(f, "sha256").hexdigest()[:16]
    if Path(path).suffix == ".keras":
        return keras_network(path, fingerprint)
    name, compute = f"Inception of 2015, {FEATURES}", load_frozen(path, INPUT, FEATURES)
    return Network(name, fingerprint, SIZE, compute, is_inception=True)


def keras_network(path: str | Path, fingerprint: str) -> Network:
    """The network in a .keras file, which does its own preprocessing of pixels in 0..255.

    Raises:
        InputError: not a network of one RGB image and one output.
    """
    try:
        with warnings.catch_warnings(action="ignore"):  # what is missing is an error
            net = keras.models.load_model(path, compile=False, safe_mode=True)
        taken, given = net.input_shape, net.output_shape
    except Exception as error:  # Keras', HDF5's or zlib's, of any kind
        raise InputError(f"{path}: not a network that Keras can load ({one_line(error)})") from error
    shapes = f"{one_line(taken)} to {one_line(given)}"
    if not (isinstance(taken, tuple) and len(taken) == 4 and taken[3] == 3 and isinstance(given, tuple)):
        raise InputError(f"{path}: a network of {shapes}; one of RGB images [n, height, width, 3] is compared by")
    if len(given) < 2 or None in given[1:]:
        raise InputError(f"{path}: a network of {shapes}; features are of one length, whatever the image")
    count = math.prod(given[1:])
    check_fits(COVARIANCES * 8 * count**2, f"{path}: {count} features", "compare by fewer")
    size = None if None in taken[1:3] else taken[1:3]
    return Network(Path(path).name, fingerprint, size, lambda x: net(x, training=False))


class Extractor:
    """Features of images by a network, on every replica of a strategy; traced once for one size of images.

    Args:
        strategy: the one in whose scope the network was loaded.
        n_batch: images in a step over all replicas; a multiple of their number.
    """

    def __init__(self, network: Network, strategy: tf.distribute.Strategy, n_batch: int):
        self.network, self.strategy, self.n_batch = network, strategy, n_batch
        self.step = tf.function(self.step)

    def step(self, images):
        """Each replica's features [b / replicas, f] of its share of uint8 images [b, h, w, 3]."""

        def replica(x):
            features = tf.cast(self.network.compute(tf.cast(x, tf.float32)), tf.float32)
            return tf.reshape(features, [x.shape[0], -1])

        return self.strategy.run(replica, args=(images,))

    def features(self, images: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """Float32 features [b, f] of uint8 images [h, w, 3] of one size, batch by batch in their order.

        Raises:
            InputError: features that are no numbers, or images that the network cannot take.
        """
        for batch in batches(map(self.network.resized, images), self.n_batch):
            found = self.computed(padded(batch, self.n_batch))[: len(batch)]
            if not np.isfinite(found).all():
                raise InputError(f"{self.network.name}: its features of these images hold NaN or infinity")
            yield found

    def computed(self, batch):
        """Features [b, f] of a full batch."""
        n = self.n_batch // self.strategy.num_replicas_in_sync
        shares = self.strategy.experimental_distribute_values_from_function(
            lambda context: tf.constant(batch[context.replica_id_in_sync_group * n :][:n])
        )
        try:
            return np.concatenate(self.strategy.experimental_local_results(self.step(shares)))
        except (ValueError, tf.errors.InvalidArgumentError) as error:
            size = f"{batch.shape[2]}x{batch.shape[1]} pixels"
            raise InputError(f"{self.network.name}: cannot take images of {size} ({one_line(error, 200)})") from error


def batches(images: Iterable[np.ndarray], size: int) -> Iterator[np.ndarray]:
    """Images stacked, so many at a time, the last partial batch too."""
    waiting = []
    for image in images:
        waiting.append(image)
        if len(waiting) == size:
            yield np.stack(waiting)
            waiting = []
    if waiting:
        yield np.stack(waiting)
