"""Losses over a whole split, every example counted once, whatever the batch size and the number of replicas."""

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from src.distribute import distributed
from src.utils import iter_data


def bert_masks(n, hparams, seed):
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

    def __init__(self, model, strategy, n_batch):
        self.model, self.strategy, self.n_batch = model, strategy, n_batch
        self.step = tf.function(self.step)

    def step(self, inputs):
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

    def score(self, X, Y=None, *, seed=42, progress=None):
        """Mean losses over a whole split.

        Args:
            X: tokens [n, n_px * n_px].
            Y: one-hot labels [n, c], or None.
            seed: of BERT's masks.
            progress: a label for a progress bar, or None for no bar.

        Returns:
            A dict of floats: `gen` (nats a token), and with labels `clf` (nats) and `acc` (percent).
        """
        Y = np.zeros([len(X), 0]) if Y is None else Y
        shape = [self.n_batch, X.shape[1]]
        specs = tf.TensorSpec(shape, tf.int32), tf.TensorSpec(shape), tf.TensorSpec([self.n_batch, Y.shape[1]])
        iterator, parts = distributed(self.strategy, lambda: self.batches(X, Y, seed), specs), []
        with tqdm(total=len(X), desc=progress, unit="image", disable=progress is None) as bar:
            for start in range(0, len(X), self.n_batch):
                n = min(self.n_batch, len(X) - start)
                parts.append([values.numpy()[:n] for values in self.step(next(iterator))])
                bar.update(n)
        means = [float(np.mean(np.concatenate(values), dtype=np.float64)) for values in zip(*parts)]
        return dict(zip(("gen", "clf", "acc"), means[:2] + [100 * m for m in means[2:]]))
