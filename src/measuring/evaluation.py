"""Losses over a whole split, every example counted once, whatever the batch size and the number of replicas."""

from collections.abc import Callable, Iterator

import numpy as np
import tensorflow as tf

from src.config import HParams
from src.devices import distributed
from src.model import ImageGPT, gen_losses
from src.utils import iter_data


def bert_masks(first: int, n: int, hparams: HParams, seed: int, number: int = 0) -> np.ndarray:
    """BERT's masks of the images `first` to `first + n - 1` of a split: float32 [n, s], 0 hides a position.

    An image's mask depends on the seed, on which of its masks it is (`number`, from 0) and on the image's place in its
    split alone: a generator for each mask, which draws one image after the other and can be set before any of them.
    """
    bits = np.random.PCG64([seed, number])
    bits.advance(first * hparams.n_positions)
    return (np.random.Generator(bits).random((n, hparams.n_positions)) > hparams.bert_mask_prob).astype(np.float32)


def vote(classes: np.ndarray, seed: int) -> np.ndarray:
    """The most frequent class of each image under several masks: classes [masks, n] -> [n] (the paper, section 4.6).

    A tie is broken at random by the seed and the image's place in its split, each of its classes as likely.
    """
    votes = np.stack([(classes == given).sum(0) for given in classes], 1)  # [n, masks]: for the class of each mask
    rng = np.random.default_rng([seed, len(classes)])  # a number that none of the masks has
    return classes[(votes + rng.random(votes.shape)).argmax(1), np.arange(len(votes))]


def accuracy_by_class(right: np.ndarray, labels: np.ndarray) -> dict[int, float]:
    """Per cent of the images of each class that are right: bool [n] and class numbers [n] to those that occur."""
    return {int(k): float(100 * right[labels == k].mean()) for k in np.unique(labels)}


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
        """Per-image results of one distributed batch (x, mask, y), gathered from the replicas in order.

        They are the losses and, where y has classes, the classifier's losses and the classes that it names.
        """
        bert = self.model.hparams.bert

        def replica(x, mask, y):
            h, _ = self.model.features(x, mask)
            results = [gen_losses(self.model.gen_logits(h), x, mask if bert else None)]
            if y.shape[1]:
                logits = self.model.clf_logits(h, y.shape[1])
                results.append(tf.nn.softmax_cross_entropy_with_logits(labels=y, logits=logits))
                results.append(tf.argmax(logits, axis=1))
            return results

        return [self.strategy.gather(values, axis=0) for values in self.strategy.run(replica, args=inputs)]

    def batches(self, X, Y, masks, seed) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Yield (tokens, BERT's mask, labels) under each mask in turn, a last batch filled up with repetitions."""
        for number in range(masks):
            for i, (x, y) in enumerate(iter_data(X, Y, n_batch=self.n_batch)):
                mask = bert_masks(i * self.n_batch, self.n_batch, self.model.hparams, seed, number)
                yield padded(x, self.n_batch).astype(np.int32), mask, padded(y, self.n_batch).astype(np.float32)

    def results(
        self,
        X: np.ndarray,
        Y: np.ndarray | None = None,
        *,
        masks: int = 1,
        seed: int = 42,
        progress: Callable[[int, int], None] | None = None,
    ) -> dict[str, np.ndarray]:
        """What becomes of each image of a split.

        Args:
            X: tokens [n, n_px * n_px].
            Y: one-hot labels [n, c], or None; without a classifier they are not read.
            masks: of BERT, over which an image's losses are means and its class is the most frequent one. An
                autoregressive model has none: there it is 1.
            seed: of BERT's masks, and of ties.
            progress: called with the images scored and all images, after every batch; each counts once a mask.

        Returns:
            A dict of arrays [n]: `gen` (nats a token), and with labels and a classifier `clf` (nats) and `classes`.
        """
        Y = np.zeros([len(X), 0]) if Y is None or not self.model.hparams.classes else Y
        shape = [self.n_batch, X.shape[1]]
        specs = tf.TensorSpec(shape, tf.int32), tf.TensorSpec(shape), tf.TensorSpec([self.n_batch, Y.shape[1]])
        iterator, parts = distributed(self.strategy, lambda: self.batches(X, Y, masks, seed), specs), []
        for number in range(masks):
            for start in range(0, len(X), self.n_batch):
                n = min(self.n_batch, len(X) - start)
                parts.append([values.numpy()[:n] for values in self.step(next(iterator))])
                if progress:
                    progress(number * len(X) + start + n, masks * len(X))
        gen, *of_classifier = (np.concatenate(values).reshape(masks, -1) for values in zip(*parts))
        found = {"gen": gen.mean(0, dtype=np.float64)}
        if of_classifier:
            losses, classes = of_classifier
            found |= {"clf": losses.mean(0, dtype=np.float64), "classes": vote(classes, seed)}
        return found

    def score(self, X: np.ndarray, Y: np.ndarray | None = None, **options) -> dict[str, float]:
        """Mean losses over a whole split, with the arguments of `results`.

        Returns:
            A dict of floats: `gen` (nats a token), and with labels and a classifier `clf` (nats) and `acc` (percent).
        """
        return means(self.results(X, Y, **options), Y)


def means(results: dict[str, np.ndarray], Y: np.ndarray | None) -> dict[str, float]:
    """The means of what `Evaluator.results` gives of images with the labels Y [n, c]; of classes, per cent right."""
    found = {name: float(values.mean()) for name, values in results.items() if name != "classes"}
    if "classes" in results:
        found["acc"] = float(100 * np.mean(results["classes"] == Y.argmax(1)))
    return found
