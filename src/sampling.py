"""Drawing images with a key/value cache: one position a step, never the whole sequence again."""

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from src.config import InputError

BLOCK = 64  # positions after which the growing part joins the finished one


def uniforms(seed, images, n_positions):
    """Random numbers [len(images), n_positions] in 0..1; image i's depend on the seed and i alone."""
    return np.stack([np.random.default_rng([seed, int(i)]).random(n_positions, np.float32) for i in images])


def pick(logits, u):
    """The colour at which the cumulative probability of `logits` [b, v] first exceeds u [b] in 0..1; -> [b] int32."""
    cumulative = tf.cumsum(tf.nn.softmax(logits), axis=-1)
    u *= cumulative[:, -1]  # rounding must not put a draw beyond the last colour
    return tf.reduce_sum(tf.cast(cumulative <= u[:, None], tf.int32), axis=-1)


def joined(first, second):
    """For every block the keys and values of two parts in one."""
    return tf.nest.map_structure(lambda a, b: tf.concat([a, b], axis=2), first, second)


def fits_both(a, b):
    """The type of two tensors (or per-replica tensors) that differ in size: None where they do."""
    return tf.type_spec_from_value(a).most_specific_common_supertype([tf.type_spec_from_value(b)])


class Sampler:
    """Draws images from an autoregressive model, on every replica of a strategy.

    Each block's keys and values lie in two parts: one that is finished, and one of at most BLOCK positions that
    grows. Only the small one is copied at each step.

    Raises:
        InputError: the model was trained with the BERT objective.
    """

    def __init__(self, model, strategy=None):
        if model.hparams.bert:
            raise InputError(
                "a model with the BERT objective has no order to sample in; take an autoregressive checkpoint"
            )
        self.model = model
        self.strategy = strategy or tf.distribute.get_strategy()
        self.first, self.next, self.merge = (
            tf.function(lambda *args, f=f: self.strategy.run(f, args))
            for f in (self.first_step, self.next_step, self.merge_step)
        )

    def first_step(self, prefix, u, temperature):
        """The token after a prefix [b, p], and the cache of the start vector and the prefix, in one pass."""
        h, done = self.model.features(tf.pad(prefix, [[0, 0], [0, 1]]))  # the last input is shifted away
        return self.choose(h, u, temperature), *self.merge_step(done)

    def next_step(self, token, u, temperature, done, growing):
        """The token after `token` [b], and the growing part one position longer."""
        h, present = self.model.features(token[:, None], past=[list(pairs) for pairs in zip(done, growing)])
        return self.choose(h, u, temperature), joined(growing, present)

    def merge_step(self, done, growing=None):
        """The finished part with the growing one behind it, and a new growing part without positions."""
        done = joined(done, growing) if growing else done
        return done, tf.nest.map_structure(lambda x: x[:, :, :0], done)

    def choose(self, h, u, temperature):
        """A colour drawn from the last position's features, the likeliest one where the temperature is 0: -> [b]."""
        logits = self.model.gen_logits(h[:, -1:])[:, 0]
        likeliest = tf.argmax(logits, axis=-1, output_type=tf.int32)
        return tf.where(temperature > 0, pick(tf.math.divide_no_nan(logits, temperature), u), likeliest)

    def shares(self, x):
        """Equal parts of the rows of an array, one for each replica."""
        n = len(x) // self.strategy.num_replicas_in_sync
        return self.strategy.experimental_distribute_values_from_function(
            lambda context: tf.constant(x[context.replica_id_in_sync_group * n :][:n])
        )

    def draw(self, n_samples=None, *, prefix=None, seed=42, temperature=1.0, n_batch=32, progress=None):
        """Draw images.

        Args:
            n_samples: how many; by default one for each prefix.
            prefix: [n, p] first tokens of every image, or None.
            seed: image i depends on the seed and i alone, not on `n_batch` or the number of replicas.
            temperature: divides the logits; 0 takes the likeliest colour everywhere.
            n_batch: images drawn at a time over all replicas.
            progress: label of a progress bar, or None for no bar.

        Returns:
            int32 tokens [n_samples, n_px * n_px].
        """
        prefix = np.zeros([n_samples, 0], np.int32) if prefix is None else np.asarray(prefix, np.int32)
        n, done = prefix.shape
        total = self.model.hparams.n_positions
        if done >= total:
            raise InputError(f"the prefix has {done} tokens; an image has {total}, so nothing is left to draw")
        replicas = self.strategy.num_replicas_in_sync
        n_batch = -(-min(n_batch, n) // replicas) * replicas
        rows = []
        with tqdm(
            total=-(-n // n_batch) * (total - done), desc=progress, unit="position", disable=progress is None
        ) as bar:
            for start in range(0, n, n_batch):
                images = np.arange(start, start + n_batch)  # past the end: drawn for equal shapes, then dropped
                u = uniforms(seed, images, total)
                rows.append(self.draw_batch(prefix[np.minimum(images, n - 1)], u, np.float32(temperature), bar.update))
        return np.concatenate(rows)[:n]

    def draw_batch(self, prefix, u, temperature, advance):
        """Tokens [b, n_px * n_px] behind prefix [b, p] from uniforms u; `advance()` is called at each position."""
        temperature = tf.constant(temperature)
        first = prefix.shape[1]
        token_uniforms = self.shares(u[:, first])
        token, done, growing = self.first(self.shares(prefix), token_uniforms, temperature)
        lengths = tf.nest.map_structure(fits_both, done, growing)
        self.next.get_concrete_function(token, token_uniforms, temperature, lengths, lengths)  # traced once for all
        self.merge.get_concrete_function(lengths, lengths)
        tokens = [token]
        advance()
        for t in range(first + 1, u.shape[1]):
            token, growing = self.next(token, self.shares(u[:, t]), temperature, done, growing)
            if (t - first) % BLOCK == 0:
                done, growing = self.merge(done, growing)
            tokens.append(token)
            advance()
        drawn = [np.concatenate([x.numpy() for x in self.strategy.experimental_local_results(t)]) for t in tokens]
        return np.concatenate([prefix, np.stack(drawn, axis=1)], axis=1)
