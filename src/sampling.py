"""Drawing images with a key/value cache: one position a step, never the whole sequence again."""

import concurrent.futures
import functools
import itertools
import math

import keras
import numpy as np
import tensorflow as tf

from src.config import InputError
from src.model import multihead_attn

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


def chunked(x, chunks, size):
    """Keys or values [b, h, t, e] as a cache [chunks, b * h, size, e] with room for more."""
    b, h, t, e = x.shape
    used = -(-t // size)
    x = tf.pad(x, [[0, 0], [0, 0], [0, used * size - t], [0, 0]])
    x = tf.transpose(tf.reshape(x, [b * h, used, size, e]), [1, 0, 2, 3])
    return tf.pad(x, [[0, chunks - used], [0, 0], [0, 0], [0, 0]])


def filling_attend(q, k, v, *, chunks, size):
    """Causal attention [b, h, s, e] and the cache of the keys and values."""
    return multihead_attn(q, k, v, causal=True), (chunked(k, chunks, size), chunked(v, chunks, size))


def written(cache, new, at, compiled):
    """The cache [c, n, m, e] with the key or value [b, h, 1, e] of position `at`, in the cache's own memory."""
    _, n, size, e = cache.shape
    if compiled:
        return keras.ops.slice_update(cache, [at // size, 0, at % size, 0], tf.reshape(new, [1, n, 1, e]))
    # `tf.tensor_scatter_nd_update` copies the cache at each step of a loop. Writing into it is safe: each step needs
    # the token before it, and so everything that was read for that.
    rows = (at // size * n + tf.range(n)) * size + at % size
    matrix = tf.reshape(cache, [-1, e])
    return tf.reshape(tf.raw_ops.InplaceUpdate(x=matrix, i=rows, v=tf.reshape(new, [n, e])), cache.shape)


def cached_attend(q, k, v, *, cache, at, compiled):
    """Attention of the query [b, h, 1, e] at position `at` behind a cache, and the cache with its key and value."""
    keys, values = cache = tuple(written(x, new, at, compiled) for x, new in zip(cache, (k, v)))
    chunks, n, size, e = keys.shape
    if not compiled:
        chunks = at // size + 1
        keys, values = keys[:chunks], values[:chunks]  # no copy, since it is the first axis
    q = tf.reshape(q * (1 / math.sqrt(e)), [1, n, 1, e])
    w = tf.cast(tf.matmul(q, keys, transpose_b=True), tf.float32)  # [c, n, 1, m]
    w += tf.reshape(tf.where(tf.range(chunks * size) > at, -math.inf, 0.0), [chunks, 1, 1, size])
    w = tf.exp(w - tf.reduce_max(tf.reduce_max(w, axis=3, keepdims=True), axis=0))  # softmax over chunks and positions
    total = tf.reduce_sum(tf.reduce_sum(w, axis=3, keepdims=True), axis=0)
    a = tf.reduce_sum(tf.matmul(tf.cast(w, values.dtype), values), axis=0) / tf.cast(total, values.dtype)
    return tf.reshape(a, k.shape), cache


class Sampler:
    """Draws images from an autoregressive model, on every replica of a strategy.

    A block's cache is made once for the whole image, and each position writes into it. Keys and values [c, n, m, e] lie
    in c chunks of m positions (n is b * h), so that those in use are a slice without a copy.

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
        steps = self.prefill_step, self.advance_step, self.image_step
        self.prefill, self.advance, self.image = map(self.replicated, steps)

    def replicated(self, step):
        inner = tf.function(step, jit_compile=True, autograph=False) if self.compiled else step
        return tf.function(lambda *args: self.strategy.run(inner, args), autograph=False)

    def prefill_step(self, prefix):
        """Each block's cache with the positions of a prefix [b, p], taken in one pass."""
        h, (b, p) = self.model.hparams, prefix.shape
        if p:
            attend = functools.partial(filling_attend, chunks=self.chunks, size=self.size)
            return self.model.features(prefix, attends=[attend] * h.n_layer)[1]
        shape = [self.chunks, b * h.n_head, self.size, h.n_embd // h.n_head]
        empty = functools.partial(tf.raw_ops.Empty, shape=shape, dtype=self.model.dtype, init=True)  # never shared
        return [(empty(), empty()) for _ in range(h.n_layer)]

    def advance_step(self, tokens, caches, start, stop, u, choice):
        """Tokens [b, n_positions] with the positions start..stop-1 drawn, and the caches with them."""

        def step(t, tokens, caches):
            attends = [functools.partial(cached_attend, cache=c, at=t, compiled=self.compiled) for c in caches]
            last = tf.gather(tokens, [tf.maximum(t - 1, 0)], axis=1)
            h, caches = self.model.features(last, first=t, attends=attends)
            token = choose(self.model.gen_logits(h)[:, 0], tf.gather(u, t, axis=1), **choice)
            return t + 1, tf.where(tf.range(tokens.shape[1]) == t, token[:, None], tokens), caches

        return tf.while_loop(lambda t, *_: t < stop, step, [start, tokens, caches])[1:]

    def image_step(self, tokens, prefix, u, choice):
        """Tokens [b, n_positions] with all positions behind the prefix drawn: a cache that never leaves the graph."""
        start = tf.constant(prefix.shape[1])
        return self.advance_step(tokens, self.prefill_step(prefix), start, u.shape[1], u, choice)[0]

    def parts(self, prefix, images, seed):
        """The tokens, prefix and random numbers of every part of a batch that is drawn at the same time as the others.

        On a CPU two halves side by side are faster than one operation after the other on all cores.
        """
        (n, p), total = prefix.shape, self.model.hparams.n_positions
        replicas = self.strategy.num_replicas_in_sync
        parts = 2 if n >= 4 and replicas == 1 and not self.compiled else 1
        rows = np.array([*range(n), *[n - 1] * (-n % (parts * replicas))])  # the last one fills up
        tokens = np.pad(prefix, [[0, 0], [0, total - p]])
        u = uniforms(seed, range(n) if images is None else images, total)
        return [tuple(self.shares(x[part]) for x in (tokens, prefix, u)) for part in np.split(rows, parts)]

    def shares(self, x):
        """Equal parts of the rows of an array, one for each replica."""
        n = len(x) // self.strategy.num_replicas_in_sync
        return self.strategy.experimental_distribute_values_from_function(
            lambda context: tf.constant(x[context.replica_id_in_sync_group * n :][:n])
        )

    def joined(self, parts):
        """The rows of every replica's share of every part as one array."""
        return np.concatenate([share for part in parts for share in self.strategy.experimental_local_results(part)])

    def grow(self, prefix, *, seed=42, images=None, temperature=1.0, top_k=None, top_p=None):
        """Draw one batch of images row by row.

        Args: as in `draw`.

        Yields:
            int32 tokens [n, t] at the end of every row, the last time the whole images.
        """
        prefix, choice = self.checked(prefix), checked_choice(temperature, top_k, top_p)
        (n, p), h = prefix.shape, self.model.hparams
        parts = self.parts(prefix, images, seed)
        states, us = [(tokens, self.prefill(given)) for tokens, given, _ in parts], [u for _, _, u in parts]
        starts = [p, *range((p // h.n_px + 1) * h.n_px, h.n_positions, h.n_px)]
        with concurrent.futures.ThreadPoolExecutor(len(states)) as pool:
            for span in itertools.pairwise([*starts, h.n_positions]):
                start, stop = map(tf.constant, span)
                running = [pool.submit(self.advance, *state, start, stop, u, choice) for state, u in zip(states, us)]
                states = [future.result() for future in running]
                yield self.joined(tokens for tokens, _ in states)[:n, : span[1]]

    def whole(self, prefix, *, seed=42, images=None, temperature=1.0, top_k=None, top_p=None):
        """`grow` in one go: yields int32 tokens [n, n_positions] once."""
        prefix, choice = self.checked(prefix), checked_choice(temperature, top_k, top_p)
        yield self.joined(self.image(*part, choice) for part in self.parts(prefix, images, seed))[: len(prefix)]

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
