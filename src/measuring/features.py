"""What each layer of an Image GPT knows of an image: its features, kept on disk."""

import functools
import hashlib
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import tensorflow as tf

from src import hosts
from src.data.tokens import fingerprint
from src.devices import distributed
from src.files import whole
from src.measuring.evaluation import bert_masks, padded
from src.model import ImageGPT, attend, block, norm
from src.utils import iter_data

Progress = Callable[[int, int], None]


def layer_means(model: ImageGPT, X: tf.Tensor, mask: tf.Tensor | None = None) -> tf.Tensor:
    """The mean over positions of every layer's normed features (paper, section 3.3): [b, s] -> [b, layers + 1, f].

    Layer l is the input of block l behind its `ln_1`, and the last one the output of all blocks behind `ln_f`.
    """
    alone, means = functools.partial(attend, causal=not model.hparams.bert), []

    def noted(x, p):
        means.append(tf.reduce_mean(norm(tf.cast(x, tf.float32), p["ln_1/g"]), axis=1))
        return block(x, p, alone)

    h, _ = model.features(X, mask, blocks=[noted] * model.hparams.n_layer)
    return tf.stack([*means, tf.reduce_mean(h, axis=1)], axis=1)


def pixel_values(X: np.ndarray, clusters: np.ndarray) -> np.ndarray:
    """Tokens [n, s] to the colours of their palette in -1..1, float32 [n, 3 s]; of greys one channel, [n, s]."""
    grey = np.ptp(clusters, axis=1).max() == 0
    return (clusters[:, :1] if grey else clusters)[X].reshape(len(X), -1)


class Features:
    """`layer_means` of any number of images, in bounded memory, traced once.

    Args:
        strategy: the one in whose scope `model` was made.
        n_batch: images in a step over all replicas; a multiple of their number.
        seed: of BERT's masks.
    """

    def __init__(self, model: ImageGPT, strategy: tf.distribute.Strategy, n_batch: int, seed: int = 42):
        self.model, self.strategy, self.n_batch, self.seed = model, strategy, n_batch, seed
        self.shape = model.hparams.n_layer + 1, model.hparams.n_embd
        self.step = tf.function(self.step)

    def step(self, inputs: tuple) -> tf.Tensor:
        """The features [n_batch, layers + 1, f] of one distributed batch (tokens, BERT's mask)."""

        def replica(x, mask):
            return layer_means(self.model, x, mask if self.model.hparams.bert else None)

        return self.strategy.gather(self.strategy.run(replica, args=inputs), axis=0)

    def batches(self, X: np.ndarray, number: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield (tokens, BERT's mask of this number), a last batch filled up with repetitions."""
        for i, (x,) in enumerate(iter_data(X, n_batch=self.n_batch)):
            mask = bert_masks(i * self.n_batch, self.n_batch, self.model.hparams, self.seed, number)
            yield padded(x, self.n_batch).astype(np.int32), mask

    def write(self, X: np.ndarray, out: np.ndarray | None, number: int = 0, progress: Progress | None = None):
        """The features of the tokens X [n, s] into the array `out` [n, layers + 1, f], batch by batch.

        Args:
            out: None on a host that only takes its share of the work.
            number: of BERT's masks; an autoregressive model has none.
            progress: called with the images done and all images, after every batch.
        """
        shape = [self.n_batch, X.shape[1]]
        specs = tf.TensorSpec(shape, tf.int32), tf.TensorSpec(shape)
        iterator = distributed(self.strategy, lambda: self.batches(X, number), specs)
        for start in range(0, len(X), self.n_batch):
            n, found = min(self.n_batch, len(X) - start), self.step(next(iterator))
            if out is not None:
                out[start : start + n] = found[:n]
            if progress:
                progress(start + n, len(X))

    def kept(
        self, folder: str | Path, checkpoint: str, X: np.ndarray, number: int = 0, progress: Progress | None = None
    ) -> np.ndarray | None:
        """The features of X [n, s] as a memory-mapped array [n, layers + 1, f], float32, computed once.

        Of several hosts the first one keeps and has them; the others get None.

        Args:
            folder: where they are kept, in a file named after all that decides them.
            checkpoint: the fingerprint of the model's weights.
        """
        origin = {"checkpoint": checkpoint, "tokens": fingerprint(X), "dtype": self.model.dtype.name}
        if self.model.hparams.bert:
            origin |= {"mask": [self.seed, number, self.model.hparams.bert_mask_prob]}
        digest = hashlib.sha256(json.dumps(origin).encode()).hexdigest()[:16]
        path, shape = Path(folder) / f"features-{digest}.npy", (len(X), *self.shape)
        here = hosts.current()
        found = opened(path) if here.first else None
        if here.of_first(found is not None and found.shape == shape and found.dtype == np.float32):
            return found
        if not here.first:
            return self.write(X, None, number)
        with whole(path) as part:
            out = np.lib.format.open_memmap(part, "w+", np.float32, shape)
            take_room(part)
            self.write(X, out, number, progress)
            out.flush()
        return opened(path)


def take_room(path):
    """Have the disk keep room for all of a file: where it has none, writing to mapped memory would end the process."""
    if hasattr(os, "posix_fallocate"):
        with open(path, "r+b") as f:
            os.posix_fallocate(f.fileno(), 0, os.fstat(f.fileno()).st_size)


def opened(path):
    """A memory-mapped array, or None where there is none that is whole."""
    try:
        return np.load(path, mmap_mode="r")
    except (OSError, ValueError, EOFError):
        return None
