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


def evaluate(model, X, Y=None, *, strategy, n_batch, seed=42, progress=None):
    """The release's evaluation of one split.

    Args:
        X: tokens [n, n_px * n_px].
        Y: one-hot labels [n, c], or None.
        n_batch: images in a step over all replicas; a multiple of their number.
        seed: of BERT's masks.
        progress: a label for a progress bar, or None for no bar.

    Returns:
        A dict of floats: `gen` (nats a token), and with labels `clf` (nats) and `acc` (percent).
    """
    hparams = model.hparams
    specs = [tf.TensorSpec([n_batch, X.shape[1]], tf.int32), tf.TensorSpec([n_batch, X.shape[1]])]
    specs.append(tf.TensorSpec([n_batch, 0 if Y is None else Y.shape[1]]))

    def batches():
        masks = bert_masks(n_batch, hparams, seed)
        nothing = np.zeros([len(X), 0]) if Y is None else Y
        for x, y in iter_data(X, nothing, n_batch=n_batch):
            yield padded(x, n_batch).astype(np.int32), next(masks), padded(y, n_batch).astype(np.float32)

    @tf.function
    def step(inputs):
        def replica(x, mask, y):
            out = model(x, Y=None if Y is None else y, mask=mask if hparams.bert else None)
            return [out[name] for name in ("gen_losses", "clf_losses", "correct") if name in out]

        return [strategy.gather(values, axis=0) for values in strategy.run(replica, args=inputs)]

    iterator, parts = distributed(strategy, batches, tuple(specs)), []
    with tqdm(total=len(X), desc=progress, unit="image", disable=progress is None) as bar:
        for start in range(0, len(X), n_batch):
            n = min(n_batch, len(X) - start)
            parts.append([values.numpy()[:n] for values in step(next(iterator))])
            bar.update(n)
    means = [float(np.mean(np.concatenate(values), dtype=np.float64)) for values in zip(*parts)]
    return dict(zip(("gen", "clf", "acc"), means[:2] + [100 * m for m in means[2:]]))
