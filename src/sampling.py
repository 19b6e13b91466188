"""Drawing images with a key/value cache: one position a step, never the whole sequence again."""

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from src.config import InputError


def uniforms(seed, images, n_positions):
    """Random numbers [len(images), n_positions] in 0..1; image i's depend on the seed and i alone."""
    return np.stack([np.random.default_rng([seed, int(i)]).random(n_positions, np.float32) for i in images])


def pick(logits, u):
    """The colour at which the cumulative probability of `logits` [b, v] first exceeds u [b] in 0..1; -> [b] int32."""
    cumulative = tf.cumsum(tf.nn.softmax(logits), axis=-1)
    u *= cumulative[:, -1]  # rounding must not put a draw beyond the last colour
    return tf.reduce_sum(tf.cast(cumulative <= u[:, None], tf.int32), axis=-1)


class Sampler:
    """Draws images from an autoregressive model, on every replica of a strategy.

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
        self.first = tf.function(lambda *args: self.strategy.run(self.first_step, args), reduce_retracing=True)
        self.next = tf.function(lambda *args: self.strategy.run(self.next_step, args), reduce_retracing=True)

    def first_step(self, prefix, u, temperature):
        """The token after a prefix [b, p], and the cache of the start vector and the prefix, in one pass."""
        out = self.model(tf.pad(prefix, [[0, 0], [0, 1]]))  # the last input is shifted away
        return self.choose(out["gen_logits"][:, -1], u, temperature), out["present"]

    def next_step(self, token, past, u, temperature):
        """The token after `token` [b], and the cache one position longer."""
        out = self.model(token[:, None], past=past)
        return self.choose(out["gen_logits"][:, -1], u, temperature), tf.concat([past, out["present"]], axis=-2)

    def choose(self, logits, u, temperature):
        """A drawn colour, the likeliest one where the temperature is 0: [b, v], [b] -> [b]."""
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
        token, past = self.first(self.shares(prefix), self.shares(u[:, prefix.shape[1]]), temperature)
        tokens = [token]
        advance()
        for t in range(prefix.shape[1] + 1, u.shape[1]):
            token, past = self.next(token, past, self.shares(u[:, t]), temperature)
            tokens.append(token)
            advance()
        drawn = [np.concatenate([x.numpy() for x in self.strategy.experimental_local_results(t)]) for t in tokens]
        return np.concatenate([prefix, np.stack(drawn, axis=1)], axis=1)
