"""Losses over a whole split, every example counted once, whatever the batch size and the number of replicas."""

from collections.abc import Callable, Iterator

import numpy as np
import tensorflow as tf

from src.config import HParams
from src.devices import distributed
from src.model import ImageGPT
from src.utils import iter_data


def bert_masks(n: int, hparams: HParams, seed: int) -> Iterator[np.ndarray]:
    """BERT's masks [n, s] row by row from one stream, so that example i's mask depends on the seed and i alone."""
    rng = np.random.default_rng(seed)
    while True:
        yield (rng.random((n, hparams.n_positions)) > hparams.bert_mask_prob).astype(np.float32)


def padded(rows, n):
    """`rows` followed by repetitions of its first row up to `n` rows."""
    return np.concatenate([rows, np.repeat(rows[:1], n - len(rows), axis=0)])


class Evaluator:
    """The release's evaluation, traced once and used for any number of splits.

    Args:
        strategy: the one in whose scope `model` was made.
        n_batch: images in a step over all replicas; a multiple of their number.
    """

    def __init__(self, model: ImageGPT, strategy: tf.distribute.Strategy, n_batch: int):
        self.model, self.strategy, self.n_batch = model, strategy, n_batch
        self.step = tf.function(self.step)

    def step(self, inputs: tuple) -> list[tf.Tensor]:
        """Per-image results of one distributed batch (x, mask, y), gathered from the replicas in order."""
        hparams = self.model.hparams

        def replica(x, mask, y):
            out = self.model(x, Y=y if y.shape[1] else None, mask=mask if hparams.bert else None)
            return [out[name] for name in ("gen_losses", "clf_losses", "correct") if name in out]

        return [self.strategy.gather(values, axis=0) for values in self.strategy.run(replica, args=inputs)]

    def batches(self, X, Y, seed):
        """Yield (tokens, BERT's mask, labels), the last batch filled up with repetitions."""
        masks = bert_masks(self.n_batch, self.model.hparams, seed)
        for x, y in iter_data(X, Y, n_batch=self.n_batch):
            yield padded(x, self.n_batch).astype(np.int32), next(masks), padded(y, self.n_batch).astype(np.float32)

    def score(
        self,
        X: np.ndarray,
        Y: np.ndarray | None = None,
        *,
        seed: int = 42,
        progress: Callable[[int, int], None] | None = None,
    ) -> dict[str, float]:
        """Mean losses over a whole split.

        Args:
            X: tokens [n, n_px * n_px].
            Y: one-hot labels [n, c], or None; without a classifier they are not read.
            seed: of BERT's masks.
            progress: called with the images scored and all images, after every batch.

        Returns:
            A dict of floats: `gen` (nats a token), and with labels and a classifier `clf` (nats) and `acc` (percent).
        """
        Y = np.zeros([len(X), 0]) if Y is None or not self.model.hparams.classes else Y
        shape = [self.n_batch, X.shape[1]]
        specs = tf.TensorSpec(shape, tf.int32), tf.TensorSpec(shape), tf.TensorSpec([self.n_batch, Y.shape[1]])
        iterator, parts = distributed(self.strategy, lambda: self.batches(X, Y, seed), specs), []
        for start in range(0, len(X), self.n_batch):
            n = min(self.n_batch, len(X) - start)
            parts.append([values.numpy()[:n] for values in self.step(next(iterator))])
            if progress:
                progress(start + n, len(X))
        means = [float(np.mean(np.concatenate(values), dtype=np.float64)) for values in zip(*parts)]
        return dict(zip(("gen", "clf", "acc"), means[:2] + [100 * m for m in means[2:]]))
