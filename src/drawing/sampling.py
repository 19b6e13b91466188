"""Drawing images: which colour comes next, position by position, on every replica of a strategy."""

import dataclasses
import itertools
import math
import threading
from collections.abc import Callable, Iterator

import numpy as np
import tensorflow as tf

from src.config import InputError
from src.devices import gathered
from src.drawing.decoder import Caches, Decoder
from src.drawing.guidance import Guide, GuidedDecoder
from src.memory import cache_bytes, check_fits
from src.model import ImageGPT

TEMPERATURES = 1e-4, 1e4  # by which logits in float32 are divided


@dataclasses.dataclass(frozen=True)
class SamplingOptions:
    """How colours are drawn.

    Args:
        seed: image i depends on it, i, and what is given of the image alone.
        temperature: divides the logits; 0 takes the likeliest colour everywhere.
        top_k: draw among so many likeliest colours, at most all of the palette.
        top_p: draw among the likeliest colours that together have this probability.

    Raises:
        InputError: a value out of its range.
    """

    seed: int = 42
    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None

    def __post_init__(self):
        if self.seed < 0:
            raise InputError(f"`seed` {self.seed}: must not be negative")
        low, high = TEMPERATURES
        if self.temperature != 0 and not low <= self.temperature <= high:
            beyond = "beyond, only the likeliest colour is left, or all are alike"
            raise InputError(f"`temperature` {self.temperature}: must be 0, or lie in {low}..{high}; {beyond}")
        if self.top_k is not None and self.top_k < 1:
            raise InputError(f"`top_k` {self.top_k}: must be at least 1")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise InputError(f"`top_p` {self.top_p}: must lie above 0 and be at most 1")

    def tensors(self, n_vocab: int) -> dict:
        """The arguments of `choose` behind logits of so many colours and random numbers.

        Raises:
            InputError: `top_k` is more than there are.
        """
        if (self.top_k or 0) > n_vocab:
            raise InputError(f"`top_k` {self.top_k}: the palette has {n_vocab} colours; leave it out for all")
        given = {"temperature": np.float32(self.temperature)}
        if self.top_k is not None:
            given["top_k"] = np.int32(self.top_k)
        if self.top_p is not None:
            given["top_p"] = np.float32(self.top_p)
        return {name: tf.constant(value) for name, value in given.items()}


def uniforms(seed: int, images, n_positions: int) -> np.ndarray:
    """Random numbers [len(images), n_positions] in 0..1; image i's depend on the seed and i alone."""
    return np.stack([np.random.default_rng([seed, int(i)]).random(n_positions, np.float32) for i in images])


def pick(logits: tf.Tensor, u: tf.Tensor) -> tf.Tensor:
    """The colour at which the cumulative probability of `logits` [b, v] first exceeds u [b] in 0..1; -> [b] int32."""
    cumulative = tf.cumsum(tf.nn.softmax(logits), axis=-1)
    total = cumulative[:, -1]
    u = tf.minimum(u * total, total * (1 - 2**-23))  # rounding must not put a draw beyond the last colour
    return tf.reduce_sum(tf.cast(cumulative <= u[:, None], tf.int32), axis=-1)


def truncate(logits: tf.Tensor, top_k=None, top_p=None) -> tf.Tensor:
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


def choose(logits: tf.Tensor, u: tf.Tensor, temperature, top_k=None, top_p=None) -> tf.Tensor:
    """A colour for each row of logits [b, v] from u [b] in 0..1, the likeliest at temperature 0: [b] int32."""
    likeliest = tf.argmax(logits, axis=-1, output_type=tf.int32)
    logits = tf.math.divide_no_nan(logits, temperature)
    if top_k is None and top_p is None:
        drawn = pick(logits, u)
    else:
        logits, colours = tf.math.top_k(logits, k=logits.shape[-1])
        drawn = tf.gather(colours, pick(truncate(logits, top_k, top_p), u), batch_dims=1)
    return tf.where(temperature > 0, drawn, likeliest)


LOCK = threading.Lock()
POSITION_BYTES = 4 + 4 + 4 + 3  # of an image: tokens given, drawn, and in one array with all others; colours


class Steps:
    """The functions that draw from a model under a strategy: `weights`, `empty`, `prefill`, `advance` and `image`."""

    def __init__(self, model: ImageGPT, strategy, compiled: bool, guide: Guide | None):
        self.strategy, self.compiled = strategy, compiled
        self.decoder = GuidedDecoder(model, guide, compiled=compiled) if guide else Decoder(model, compiled=compiled)
        self.weights, self.empty = map(self.prepared, (self.decoder.weights, self.decoder.empty))
        self.prefill, self.advance, self.image = map(
            self.replicated, (self.decoder.prefill, self.advance_step, self.image_step)
        )

    @classmethod
    def of(cls, model: ImageGPT, *how) -> "Steps":
        """The model's own ones, made once: each new one is traced again, which takes seconds and memory."""
        with LOCK:
            kept = vars(model).setdefault("_steps", {})
            if how not in kept:
                kept[how] = cls(model, *how)
            return kept[how]

    def prepared(self, step):
        """A few operations, which one device does in a fifth of the time that tracing them takes."""
        if self.strategy.num_replicas_in_sync > 1:
            return self.replicated(step)
        return lambda *args: self.strategy.run(step, args)

    def replicated(self, step):
        inner = tf.function(step, jit_compile=True, autograph=False) if self.compiled else step
        return tf.function(lambda *args: self.strategy.run(inner, args), autograph=False)

    def advance_step(self, tokens, caches, span, u, choice, weights):
        """Tokens [b, n_positions] with the positions span[0]..span[1]-1 drawn, and the caches with them."""

        def step(t, tokens, caches):
            logits, caches = self.decoder.advance(tokens, t, caches, weights)
            token = choose(logits, tf.gather(u, t, axis=1), **choice)
            return t + 1, tf.where(tf.range(tokens.shape[1]) == t, token[:, None], tokens), caches

        return tf.while_loop(lambda t, *_: t < span[1], step, [span[0], tokens, caches])[1:]

    def image_step(self, tokens, given, u, choice, weights):
        """Tokens [b, n_positions] with all positions from `given` on drawn: a cache that never leaves the graph."""
        caches = self.decoder.prefill(tokens, given, weights)
        return self.advance_step(tokens, caches, (given, tf.constant(u.shape[1])), u, choice, weights)[0]


class Sampler:
    """Draws images from an autoregressive model, on every replica of a strategy.

    Args:
        model: an `ImageGPT`.
        strategy: a `tf.distribute` strategy; by default the current one.
        n_batch: images drawn at a time over all replicas.
        guide: a worse model that leads this one away from its mistakes, or None.
        compiled: whether XLA compiles the loop over positions; by default where there are GPUs. On a CPU it is several
            times slower.

    Raises:
        InputError: the model was trained with the BERT objective, or the guide draws other images.
    """

    def __init__(
        self,
        model: ImageGPT,
        strategy=None,
        *,
        n_batch: int = 32,
        guide: Guide | None = None,
        compiled: bool | None = None,
    ):
        if model.hparams.bert:
            raise InputError(
                "a model with the BERT objective has no order to sample in; take an autoregressive checkpoint"
            )
        if guide:
            guide.check(model)
        self.model, self.n_batch, self.guide = model, n_batch, guide
        self.strategy = strategy or tf.distribute.get_strategy()
        self.compiled = bool(tf.config.list_logical_devices("GPU")) if compiled is None else compiled
        self.steps = Steps.of(model, self.strategy, self.compiled, guide)

    def draw(
        self,
        n_samples: int | None = None,
        options: SamplingOptions = SamplingOptions(),
        *,
        prefix=None,
        images=None,
        progress: Callable[[int, int], None] | None = None,
    ) -> np.ndarray:
        """Draw images.

        Args:
            n_samples: how many; by default one for each prefix, of which one may stand for all.
            options: how colours are drawn.
            prefix: [n, p] first tokens of every image, or None.
            images: the number of each image, by default 0..n-1.
            progress: called with the tokens drawn and the tokens to draw after every row, or None.

        Returns:
            int32 tokens [n, n_positions].

        Raises:
            InputError: a prefix that is too long or outside the palette, options that do not suit it, or more images
                than the memory holds.
        """
        self.check_bounds(len(prefix) if n_samples is None else n_samples, options)
        prefix = self.checked(np.zeros([1, 0], np.int32) if prefix is None else prefix)
        if n_samples not in (None, len(prefix)):
            if len(prefix) != 1:
                more = f"there are {len(prefix)} prefixes; give as many, or one for all"
                raise InputError(f"`n_samples` {n_samples}: {more}")
            prefix = prefix.repeat(n_samples, axis=0)
        n, p = prefix.shape
        images = np.arange(n) if images is None else np.asarray(images)
        to_draw = n * (self.model.hparams.n_positions - p)
        results, grow = [], self.whole if self.compiled else self.grow
        for start in range(0, n, self.n_batch):
            here = min(self.n_batch, n - start)
            rows = np.minimum(np.arange(start, start + min(self.n_batch, n)), n - 1)  # equal shapes: the last fills up
            for tokens in grow(prefix[rows], options, images=images[rows]):
                if progress:
                    progress(start * (to_draw // n) + here * (tokens.shape[1] - p), to_draw)
            results.append(tokens[:here])
        return np.concatenate(results)

    def grow(self, prefix, options: SamplingOptions = SamplingOptions(), *, images=None) -> Iterator[np.ndarray]:
        """Draw one batch of images row by row.

        Args: as in `draw`.

        Yields:
            int32 tokens [n, t] at the end of every row, the last time the whole images.
        """
        prefix, h = self.checked(prefix), self.model.hparams
        (n, p), choice = prefix.shape, options.tensors(h.n_vocab)
        (tokens, u), weights = self.inputs(prefix, images, options.seed), self.steps.weights()
        caches = Caches(self.steps.prefill(tokens, tf.constant(p), weights) if p else self.steps.empty(tokens))
        starts = [p, *range((p // h.n_px + 1) * h.n_px, h.n_positions, h.n_px), h.n_positions]
        for span in itertools.pairwise(starts):
            ends = tuple(map(tf.constant, span))
            tokens, filled = self.steps.advance(tokens, caches.take(), ends, u, choice, weights)
            caches = Caches(filled)
            yield gathered(self.strategy, tokens)[:n, : span[1]]

    def whole(self, prefix, options: SamplingOptions = SamplingOptions(), *, images=None) -> Iterator[np.ndarray]:
        """`grow` in one go: yields int32 tokens [n, n_positions] once."""
        prefix = self.checked(prefix)
        choice = options.tensors(self.model.hparams.n_vocab)
        (n, p), (tokens, u) = prefix.shape, self.inputs(prefix, images, options.seed)
        yield gathered(self.strategy, self.steps.image(tokens, tf.constant(p), u, choice, self.steps.weights()))[:n]

    def inputs(self, prefix, images, seed):
        """Tokens [b, n_positions], zeros behind the prefix, and random numbers of each replica's share of a batch."""
        (n, p), total = prefix.shape, self.model.hparams.n_positions
        rows = [*range(n), *[n - 1] * (-n % self.strategy.num_replicas_in_sync)]  # the last one fills up
        u = uniforms(seed, range(n) if images is None else images, total)
        return [self.shares(x[rows]) for x in (np.pad(prefix, [[0, 0], [0, total - p]]), u)]

    def shares(self, x):
        """Equal parts of the rows of an array, one for each replica."""
        n = len(x) // self.strategy.num_replicas_in_sync
        return self.strategy.experimental_distribute_values_from_function(
            lambda context: tf.constant(x[context.replica_id_in_sync_group * n :][:n])
        )

    def check_bounds(self, n, options):
        """Raise InputError where n images, or what they are drawn from, are more than the model or the machine has."""
        h, together = self.model.hparams, min(n, self.n_batch)
        options.tensors(h.n_vocab)
        check_fits(n * h.n_positions * POSITION_BYTES, f"`n_samples` {n}")
        models = [self.model, self.guide.model] if self.guide else [self.model]
        caches = sum(cache_bytes(model.hparams, model.dtype.size) for model in models)
        check_fits(together * caches, f"`batch_size` {self.n_batch}")

    def checked(self, prefix):
        """The prefix as int32 [n, p].

        Raises:
            InputError: it is too long or holds a token outside the palette.
        """
        h, prefix = self.model.hparams, np.asarray(prefix)
        if prefix.ndim != 2 or prefix.shape[1] > h.n_positions:
            raise InputError(f"a prefix is [images, up to {h.n_positions} tokens], this is {list(prefix.shape)}")
        if prefix.size and not 0 <= prefix.min() <= prefix.max() < h.n_vocab:
            raise InputError(
                f"a prefix's tokens run from {prefix.min()} to {prefix.max()}; the model has {h.n_vocab} colours"
            )
        return prefix.astype(np.int32)
