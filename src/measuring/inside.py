"""What a model thinks as it reads an image: the colours it expects everywhere, and where its attention looks."""

import dataclasses
import functools

import numpy as np
import tensorflow as tf

from src.attention import blockwise_attention
from src.config import InputError
from src.memory import cache_bytes, check_fits
from src.model import ImageGPT, block


@dataclasses.dataclass(frozen=True, eq=False)
class Reading:
    """One image as an autoregressive model reads it, made by `read` in one pass over the image.

    Position i is the pixel i in reading order. The model reaches it having seen the start vector and the pixels before.

    Attributes:
        tokens: [s].
        probabilities: float32 [s, v], of every colour at every position, before the pixel there is seen.
        queries, keys: float32 [layers, heads, s, e]. The keys' first place is the start vector's, and place i the pixel
            i - 1's, for this is what the network is fed there.
    """

    tokens: np.ndarray
    probabilities: np.ndarray
    queries: np.ndarray
    keys: np.ndarray

    def losses(self) -> np.ndarray:
        """How much each pixel surprised the model: nats [s], whose mean is the image's loss."""
        seen = self.probabilities[np.arange(len(self.tokens)), self.tokens]
        return -np.log(np.maximum(seen, np.finfo(np.float32).tiny))

    def attention(self, position: int) -> np.ndarray:
        """Where every head looks for the pixel at a position: float32 [layers, heads, 1 + position], each sum 1.

        The first weight is the start vector's, weight 1 + i the pixel i's.

        Raises:
            InputError: the image has no such position.
        """
        self.check(position)
        q, k = self.queries[:, :, position], self.keys[:, :, : position + 1]
        scores = np.einsum("lhe,lhke->lhk", q, k) / np.float32(np.sqrt(q.shape[-1]))
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        return weights / weights.sum(-1, keepdims=True)

    def likeliest(self, position: int, count: int) -> np.ndarray:
        """The colours [count] of the palette, or all it has, that were likeliest at a position, falling.

        Raises:
            InputError: the image has no such position.
        """
        self.check(position)
        return np.argsort(-self.probabilities[position], kind="stable")[:count]

    def check(self, position: int):
        """Raise InputError where there is no such position."""
        if not 0 <= position < len(self.tokens):
            raise InputError(f"`position` {position}: the image has the positions 0 to {len(self.tokens) - 1}")


def noting(q, k, v):
    """Causal attention [b, h, s, e] as the network computes it; what is kept of it are queries and keys."""
    return blockwise_attention(q, k, v, causal=True), (q, k)


def read(model: ImageGPT, tokens: np.ndarray) -> Reading:
    """Let a model read one image.

    The queries and keys that it holds on to take the memory that drawing the image takes; no matrix of all positions
    by all positions is ever whole.

    Args:
        model: an autoregressive model.
        tokens: [n_positions], of the model's palette.

    Raises:
        InputError: the model was trained with the BERT objective, or the tokens are no image of the model's.
    """
    h, tokens = model.hparams, np.asarray(tokens)
    if h.bert:
        raise InputError("a model with the BERT objective does not read in an order; take an autoregressive checkpoint")
    if tokens.shape != (h.n_positions,):
        raise InputError(f"an image of this model is [{h.n_positions}] tokens, this is {list(tokens.shape)}")
    if not 0 <= tokens.min() <= tokens.max() < h.n_vocab:
        raise InputError(f"tokens run from {tokens.min()} to {tokens.max()}; the model has {h.n_vocab} colours")
    check_fits(cache_bytes(h), f"looking inside a model of {h.n_layer} blocks", "take a smaller model")
    blocks = [functools.partial(block, attend=noting)] * h.n_layer
    features, kept = model.features(tf.constant(tokens[None], tf.int32), blocks=blocks)
    probabilities = tf.nn.softmax(model.gen_logits(features))[0].numpy()
    queries, keys = (np.stack([tf.cast(x[0], tf.float32).numpy() for x in each]) for each in zip(*kept))
    return Reading(tokens, probabilities, queries, keys)
