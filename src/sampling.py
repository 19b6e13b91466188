"""Drawing images with a key/value cache: one position a step, never the whole sequence again."""

import contextlib
import functools
import itertools
import math

import numpy as np
import tensorflow as tf

from src.cache import cached_block, filling_attend, place_of
from src.config import InputError
from src.model import block

CHUNK = 64  # positions, about, in a chunk of the cache: attention reads whole chunks


def uniforms(seed, images, n_positions):
    """Random numbers [len(images), n_positions] in 0..1; image i's depend on the seed and i alone."""
    return np.stack([np.random.default_rng([seed, int(i)]).random(n_positions, np.float32) for i in images])


def pick(logits, u):
    """The colour at which the cumulative probability of `logits` [b, v] first exceeds u [b] in 0..1; -> [b] int32."""
    cumulative = tf.cumsum(tf.nn.softmax(logits), axis=-1)
    total = cumulative[:, -1]
    u = tf.minimum(u * total, total * (1 - 2**-23))  # rounding must not put a draw beyond the last colour
    return tf.reduce_sum(tf.cast(cumulative <= u[:, None], tf.int32), axis=-1)


def truncate(logits, top_k=None, top_p=None):
    """Logits [b, v] in falling order, those outside the `top_k` first, then outside the nucleus, at -inf.

    The nucleus is the smallest set of likeliest colours with a probability of at least `top_p`
    (Holtzman et al., The Curious Case of Neural Text Degeneration, section 3.1).
    """
    if top_k is not None:
        logits = tf.where(tf.range(logits.shape[-1]) < top_k, logits, -math.inf)
    if top_p is not None:
        before = tf.cumsum(tf.nn.softmax(logits), axis=-1, exclusive=True)
        logits = tf.where(before < top_p, logits, -math.inf)
    return logits


def choose(logits, u, temperature, top_k=None, top_p=None):
    """A colour for each row of logits [b, v] from u [b] in 0..1, the likeliest at temperature 0: [b] int32."""
    likeliest = tf.argmax(logits, axis=-1, output_type=tf.int32)
    logits = tf.math.divide_no_nan(logits, temperature)
    if top_k is None and top_p is None:
        drawn = pick(logits, u)
    else:
        logits, colours = tf.math.top_k(logits, k=logits.shape[-1])
        drawn = tf.gather(colours, pick(truncate(logits, top_k, top_p), u), batch_dims=1)
    return tf.where(temperature > 0, drawn, likeliest)


@contextlib.contextmanager
def as_traced():
    """Run functions without TensorFlow's graph optimizer, which takes longer than it saves here."""
    before = tf.config.optimizer.get_experimental_options()
    tf.config.optimizer.set_experimental_options(before | {"disable_meta_optimizer": True})
    try:
        yield
    finally:
        tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": False} | before)


class Sampler:
    """Draws images from an autoregressive model, on every replica of a strategy.

    A block's caches are made once for the whole image, and each position writes into them.

    Args:
        model: an `ImageGPT`.
        strategy: a `tf.distribute` strategy; by default the current one.
        compiled: whether XLA compiles the loop over positions into one graph of static shapes, which attends to the
            whole cache at every position; by default where there are GPUs. On a CPU it is several times slower.

    Raises:
        InputError: the model was trained with the BERT objective.
    """

    def __init__(self, model, strategy=None, *, compiled=None):
        if model.hparams.bert:
            raise InputError(
                "a model with the BERT objective has no order to sample in; take an autoregressive checkpoint"
            )
        self.model = model
        self.strategy = strategy or tf.distribute.get_strategy()
        self.compiled = bool(tf.config.list_logical_devices("GPU")) if compiled is None else compiled
        n_px, positions = model.hparams.n_px, model.hparams.n_positions
        self.size = max(1, CHUNK // n_px) * n_px  # whole rows
        self.chunks = -(-positions // self.size)
        self.cached_block = tf.function(cached_block, autograph=False)  # traced once for all blocks
        steps = self.prefill_step, self.advance_step, self.image_step
        self.prefill, self.advance, self.image = map(self.replicated, steps)

    def replicated(self, step):
        inner = tf.function(step, jit_compile=True, autograph=False) if self.compiled else step
        return tf.function(lambda *args: self.strategy.run(inner, args), autograph=False)

    def halves(self, b):
        """How many caches a batch of b images has in each block: on a CPU two, which its cores work on side by side."""
        return 2 if b >= 4 and b % 2 == 0 and not self.compiled else 1

    def cache_shape(self, b):
        h = self.model.hparams
        return [self.chunks, b // self.halves(b) * h.n_head, self.size, h.n_embd // h.n_head]

    def prefill_step(self, prefix):
        """Each block's caches with the positions of a prefix [b, p], taken in one pass."""
        h, (b, p) = self.model.hparams, prefix.shape
        if p:
            attend = functools.partial(filling_attend, parts=self.halves(b), chunks=self.chunks, size=self.size)
            return self.model.features(prefix, blocks=[functools.partial(block, attend=attend)] * h.n_layer)[1]
        empty = functools.partial(tf.raw_ops.Empty, shape=self.cache_shape(b), dtype=self.model.dtype, init=True)
        return [[(empty(), empty()) for _ in range(self.halves(b))] for _ in range(h.n_layer)]  # none is shared

    def advance_step(self, tokens, caches, start, stop, u, choice):
        """Tokens [b, n_positions] with the positions start..stop-1 drawn, and the caches with them."""
        shape = self.cache_shape(tokens.shape[0])

        def step(t, tokens, caches):
            place = place_of(t, shape, self.compiled)
            block = functools.partial(self.cached_block, place=place, compiled=self.compiled)
            last = tf.gather(tokens, [tf.maximum(t - 1, 0)], axis=1)
            blocks = [functools.partial(block, caches=parts) for parts in caches]
            h, caches = self.model.features(last, first=t, blocks=blocks)
            token = choose(self.model.gen_logits(h)[:, 0], tf.gather(u, t, axis=1), **choice)
            return t + 1, tf.where(tf.range(tokens.shape[1]) == t, token[:, None], tokens), caches

        return tf.while_loop(lambda t, *_: t < stop, step, [start, tokens, caches])[1:]

    def image_step(self, tokens, prefix, u, choice):
        """Tokens [b, n_positions] with all positions behind the prefix drawn: a cache that never leaves the graph."""
        start = tf.constant(prefix.shape[1])
        return self.advance_step(tokens, self.prefill_step(prefix), start, u.shape[1], u, choice)[0]

    def inputs(self, prefix, images, seed):
        """Tokens [b, n_positions], prefix and random numbers of each replica's share of a batch."""
        (n, p), total = prefix.shape, self.model.hparams.n_positions
        replicas = self.strategy.num_replicas_in_sync
        rows = [*range(n), *[n - 1] * (-n % (replicas if n < 4 * replicas else 2 * replicas))]  # the last one fills up
        u = uniforms(seed, range(n) if images is None else images, total)
        return [self.shares(x[rows]) for x in (np.pad(prefix, [[0, 0], [0, total - p]]), prefix, u)]

    def shares(self, x):
        """Equal parts of the rows of an array, one for each replica."""
        n = len(x) // self.strategy.num_replicas_in_sync
        return self.strategy.experimental_distribute_values_from_function(
            lambda context: tf.constant(x[context.replica_id_in_sync_group * n :][:n])
        )

    def joined(self, shares):
        """The rows of every replica's share as one array."""
        return np.concatenate(self.strategy.experimental_local_results(shares))

    def grow(self, prefix, *, seed=42, images=None, temperature=1.0, top_k=None, top_p=None):
        """Draw one batch of images row by row.

        Args: as in `draw`.

        Yields:
            int32 tokens [n, t] at the end of every row, the last time the whole images.
        """
        prefix, choice = self.checked(prefix), checked_choice(temperature, top_k, top_p)
        (n, p), h = prefix.shape, self.model.hparams
        tokens, given, u = self.inputs(prefix, images, seed)
        caches = self.prefill(given)
        starts = [p, *range((p // h.n_px + 1) * h.n_px, h.n_positions, h.n_px)]
        for span in itertools.pairwise([*starts, h.n_positions]):
            with as_traced():
                tokens, caches = self.advance(tokens, caches, *map(tf.constant, span), u, choice)
            yield self.joined(tokens)[:n, : span[1]]

    def whole(self, prefix, *, seed=42, images=None, temperature=1.0, top_k=None, top_p=None):
        """`grow` in one go: yields int32 tokens [n, n_positions] once."""
        prefix, choice = self.checked(prefix), checked_choice(temperature, top_k, top_p)
        yield self.joined(self.image(*self.inputs(prefix, images, seed), choice))[: len(prefix)]

    def draw(self, n_samples=None, *, prefix=None, images=None, n_batch=32, progress=None, **options):
        """Draw images.

        Args:
            n_samples: how many; by default one for each prefix.
            prefix: [n, p] first tokens of every image, or None.
            images: the number of each image, by default 0..n-1. Image i depends on the seed, i, and its prefix alone,
                not on `n_batch` or the number of replicas.
            n_batch: images drawn at a time over all replicas.
            progress: called with the tokens drawn and the tokens to draw after every row, or None.
            seed: 42 by default.
            temperature: divides the logits, 1 by default; 0 takes the likeliest colour everywhere.
            top_k: draw among so many likeliest colours.
            top_p: draw among the likeliest colours that together have this probability.

        Returns:
            int32 tokens [n, n_positions].

        Raises:
            InputError: a prefix that is too long or outside the palette, or an option out of its range.
        """
        prefix = self.checked(np.zeros([n_samples, 0], np.int32) if prefix is None else prefix)
        n, p = prefix.shape
        images = np.arange(n) if images is None else np.asarray(images)
        to_draw = n * (self.model.hparams.n_positions - p)
        results, draw = [], self.whole if self.compiled else self.grow
        for start in range(0, n, n_batch):
            rows = np.minimum(np.arange(start, start + min(n_batch, n)), n - 1)  # equal shapes: the last one fills up
            for tokens in draw(prefix[rows], images=images[rows], **options):
                here = min(n_batch, n - start)
                if progress:
                    progress(start * (to_draw // n) + here * (tokens.shape[1] - p), to_draw)
            results.append(tokens[:here])
        return np.concatenate(results)

    def checked(self, prefix):
        """A prefix as int32 [n, p], or InputError."""
        prefix, hparams = np.asarray(prefix), self.model.hparams
        if prefix.ndim != 2 or prefix.shape[1] > hparams.n_positions:
            raise InputError(f"a prefix is [images, up to {hparams.n_positions} tokens], this is {list(prefix.shape)}")
        if prefix.size and not 0 <= prefix.min() <= prefix.max() < hparams.n_vocab:
            raise InputError(
                f"a prefix's tokens run from {prefix.min()} to {prefix.max()}; the model has {hparams.n_vocab} colours"
            )
        return prefix.astype(np.int32)


def checked_choice(temperature, top_k, top_p):
    """How `choose` draws, as tensors, so that another value is no other graph."""
    if not 0 <= temperature < math.inf:
        raise InputError(f"temperature {temperature}: must be 0 or more")
    if top_k is not None and top_k < 1:
        raise InputError(f"top_k {top_k}: must be at least 1")
    if top_p is not None and not 0 < top_p <= 1:
        raise InputError(f"top_p {top_p}: must lie above 0 and be at most 1")
    given = {"top_k": (top_k, tf.int32), "top_p": (top_p, tf.float32)}
    choice = {name: tf.constant(value, dtype) for name, (value, dtype) in given.items() if value is not None}
    return {"temperature": tf.constant(temperature, tf.float32), **choice}
