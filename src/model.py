"""The network of Image GPT, computing what the 2020 release computes (openai/image-gpt, src/model.py).

Shapes in comments: b batch, h heads, s sequence, f features, e features of a head, v colours, c classes.

Departures from the release: attention is computed by `src.attention`, and after a `past` tokens are fed as they are
(the release puts the start vector into every call).
"""

import functools
import math

import tensorflow as tf

from src.attention import blockwise_attention
from src.config import HParams


def norm(x: tf.Tensor, g: tf.Tensor, *, axis: int = -1, epsilon: float = 1e-5) -> tf.Tensor:
    """Root-mean-square norm without centring or bias: x [..., f] times the gain g [f], in float32."""
    y = tf.cast(x, tf.float32)
    y = y * tf.math.rsqrt(tf.reduce_mean(tf.square(y), axis=axis, keepdims=True) + epsilon)
    return tf.cast(y * tf.cast(g, tf.float32), x.dtype)


@tf.custom_gradient
def gelu2(x: tf.Tensor) -> tf.Tensor:
    """x * sigmoid(1.702 x), the release's approximation of GELU, elementwise."""
    s = tf.sigmoid(1.702 * x)
    y = x * s

    def grad(dy):  # fewer passes over memory than differentiating term by term
        return dy * (s + 1.702 * (y - y * s))

    return y, grad


def size(x, axis):
    """The size of an axis: a number where it is known, else a tensor."""
    return tf.shape(x)[axis] if x.shape[axis] is None else x.shape[axis]


def split_heads(x: tf.Tensor, n_head: int) -> tf.Tensor:
    """[b, s, f] -> [b, h, s, e] with f = h * e."""
    x = tf.reshape(x, [-1, size(x, 1), n_head, x.shape[-1] // n_head])
    return tf.transpose(x, [0, 2, 1, 3])


def merge_heads(x: tf.Tensor) -> tf.Tensor:
    """[b, h, s, e] -> [b, s, h * e]."""
    x = tf.transpose(x, [0, 2, 1, 3])
    return tf.reshape(x, [-1, size(x, 1), x.shape[2] * x.shape[3]])


def attention_mask(nd, ns, *, dtype=tf.float32) -> tf.Tensor:
    """[nd, ns] ones in the lower triangle counted from the lower right corner, zeros elsewhere."""
    i = tf.range(nd)[:, None]
    j = tf.range(ns)
    return tf.cast(i >= j - ns + nd, dtype)


def mask_attn_weights(w: tf.Tensor) -> tf.Tensor:
    """Scores w [b, h, nd, ns] with those of later keys at -1e10."""
    b = attention_mask(size(w, 2), size(w, 3), dtype=w.dtype)
    return w * b - 1e10 * (1 - b)


def multihead_attn(q: tf.Tensor, k: tf.Tensor, v: tf.Tensor, *, causal: bool) -> tf.Tensor:
    """Scaled dot-product attention, as the release spells it: q [b, h, nd, e], k and v [b, h, ns, e] -> [b, h, nd, e].

    Where causal, query i sees the keys up to i + ns - nd. The network itself calls `blockwise_attention`, which gives
    the same.
    """
    w = tf.matmul(q, k, transpose_b=True) / math.sqrt(v.shape[-1])
    if causal:
        w = mask_attn_weights(w)
    return tf.matmul(tf.nn.softmax(w), v)


def attend(q, k, v, *, causal, past=None):
    """Attention behind earlier keys and values [b, h, t, e], and the pair (k, v), which a later call needs."""
    keys, values = (tf.concat(parts, axis=2) for parts in zip(past, (k, v))) if past else (k, v)
    return blockwise_attention(q, keys, values, causal=causal), (k, v)


def project(x: tf.Tensor, w: tf.Tensor, *, transpose_b: bool = False) -> tf.Tensor:
    """[b, s, f] times [f, g] (transposed: [g, f]) as one product of two matrices: [b, s, g]."""
    y = tf.matmul(tf.reshape(x, [-1, x.shape[-1]]), w, transpose_b=transpose_b)
    return tf.reshape(y, [-1, size(x, 1), y.shape[-1]])


def project_heads(x: tf.Tensor, w: tf.Tensor) -> tf.Tensor:
    """[b, s, f], [h, e, f] -> [b, h, s, e]: the release's einsum bsf,hef->bhse."""
    h, e, f = w.shape
    return split_heads(project(x, tf.reshape(w, [h * e, f]), transpose_b=True), h)


def attn(x: tf.Tensor, p: dict, attend):
    """Self-attention of x [b, s, f].

    Args:
        attend: a function of queries, keys and values [b, h, s, e] that returns what attention gives [b, h, s, e]
            and what is kept of the keys and values.

    Returns:
        What to add to x, and what is kept.
    """
    a, present = attend(*(project_heads(x, p[f"attn/{name}_proj"]) for name in "qkv"))
    c = p["attn/c_proj"]
    return project(merge_heads(a), tf.reshape(c, [-1, c.shape[-1]])), present


def mlp(x: tf.Tensor, p: dict) -> tf.Tensor:
    """[b, s, f] -> [b, s, f] through 4 f."""
    return project(gelu2(project(x, p["mlp/c_fc/w"])), p["mlp/c_proj/w"])


def block(x: tf.Tensor, p: dict, attend):
    """One pre-norm decoder block; p maps names such as `attn/q_proj` to tensors. Returns x and what `attend` keeps."""
    a, present = attn(norm(x, p["ln_1/g"]), p, attend)
    x += a
    x += mlp(norm(x, p["ln_2/g"]), p)
    return x, present


def recomputed(x, p, attend):
    """`block` whose activations are computed again in the backward pass instead of being kept."""
    names = list(p)
    return tf.recompute_grad(lambda x, *tensors: block(x, dict(zip(names, tensors)), attend))(x, *p.values())


def initial_values(hparams, seed):
    """Variable name to an initial value, with the release's standard deviations, the same for the same seed."""
    std = {"wpe": 0.01, "wte": 0.02, "sos": 0.02, "w": 0.02, "wtet": 0.0, "wclf": 0.0}
    std |= {f"{p}_proj": 1 / math.sqrt(hparams.n_embd) for p in "qkv"}
    std["c_proj"] = 1 / math.sqrt(hparams.n_embd * hparams.n_layer)
    for i, (name, shape) in enumerate(hparams.variable_shapes().items()):
        kind = name.split("/")[-1]
        if kind == "g":
            yield name, tf.ones(shape)
        else:
            yield name, std[kind] * tf.random.stateless_normal(shape, seed=[seed, i])


class ImageGPT(tf.Module):
    """Image GPT under either objective, with or without a classifier head.

    `params` maps the release's variable names (`model/h0/attn/q_proj`) to float32 `tf.Variable`s, all trainable.

    Args:
        hparams: sizes and objective.
        seed: of the initial values.
        values: pairs of name and value for every variable, instead of initial ones.
        dtype: in which the products are computed; norms, softmax, logits and losses stay in float32.
        recompute: keep no activations inside a block for the backward pass.
    """

    def __init__(self, hparams: HParams, *, seed=42, values=None, dtype="float32", recompute=False):
        super().__init__()
        self.hparams = hparams
        self.dtype = tf.as_dtype(dtype)
        self.recompute = recompute
        self.params = {name: tf.Variable(value, name=name) for name, value in values or initial_values(hparams, seed)}

    def block_params(self, i):
        """The tensors of block i by their names inside the block."""
        prefix = f"model/h{i}/"
        return {k[len(prefix) :]: tf.cast(v, self.dtype) for k, v in self.params.items() if k.startswith(prefix)}

    def embed(self, X, first=None, mask=None):
        """Tokens [b, s] to the first block's input [b, s, f] in the compute type.

        Without `first` (or under BERT) the tokens stand at positions 0, 1, ... (shifted behind the start vector, or
        hidden where mask is 0); else they are fed as they are from position `first` on, but for the start vector's, 0.
        """
        h = tf.gather(self.params["model/wte"], X)
        positions = (0 if first is None else first) + tf.range(size(X, 1))
        if self.hparams.bert:
            h *= mask[:, :, None]
        elif first is None:
            sos = tf.broadcast_to(self.params["model/sos"], tf.shape(h[:, :1]))
            h = tf.concat([sos, h[:, :-1]], axis=1)
        else:
            h = tf.where(positions[:, None] == 0, self.params["model/sos"], h)
        h += tf.gather(self.params["model/wpe"], positions)
        return tf.cast(h, self.dtype)

    def features(self, X, mask=None, *, first=None, blocks=None):
        """The normed features [b, s, f] in float32, and what each block keeps of its keys and values.

        Args:
            first: see `embed`.
            blocks: for every block a function of its input and parameters, as `block` with an `attend`; by default they
                attend to the positions of X alone, whose keys and values [b, h, s, e] are kept.
        """
        h, presents = self.embed(X, first, mask), []
        if blocks is None:
            step = recomputed if self.recompute else block
            alone = functools.partial(attend, causal=not self.hparams.bert)
            blocks = [functools.partial(step, attend=alone)] * self.hparams.n_layer
        for i, step in enumerate(blocks):
            h, present = step(h, self.block_params(i))
            presents.append(present)
        return norm(tf.cast(h, tf.float32), self.params["model/ln_f/g"]), presents

    def gen_logits(self, h):
        """Features [b, s, f] to logits [b, s, v]."""
        return project(h, self.params["model/wtet"], transpose_b=True)

    def draw_mask(self, X):
        """BERT's mask for X [b, s]: 1 keeps a token, 0 (with probability bert_mask_prob) hides it."""
        return tf.cast(tf.random.uniform(tf.shape(X)) > self.hparams.bert_mask_prob, tf.float32)

    def clf_logits(self, h, classes):
        """[b, s, f] -> [b, c] from the mean position; zeros without a classifier: the release's untrained head."""
        if self.hparams.classes:
            return tf.matmul(tf.reduce_mean(h, axis=1), self.params["model/clf/wclf"], transpose_b=True)
        return tf.zeros([tf.shape(h)[0], classes])

    @tf.Module.with_name_scope
    def __call__(self, X, Y=None, past=None, mask=None):
        """The release's `model`.

        Args:
            X: tokens [b, s], integers in 0..n_vocab-1. Without `past` they are shifted right behind the start vector,
                so that the logits at i predict X[:, i]; with `past` they are fed as they are, at the positions from its
                length on, and the logits at i predict the token after X[:, i].
            Y: one-hot labels [b, c], or None.
            past: keys and values [b, layer, 2, h, t, e] of earlier positions (autoregressive only); empty: none.
            mask: [b, s] float, 1 keeps and 0 hides a token (BERT only; drawn if None).

        Returns:
            A dict: `gen_logits` [b, s, v]; `gen_losses` [b] (nats a token, per image) and their mean `gen_loss`
            unless continuing from a past; `clf_losses` [b], `clf_loss`, `correct` [b], `accuracy` (percent) where Y is
            given; `present` [b, layer, 2, h, s, e].
        """
        X = tf.convert_to_tensor(X)
        past = None if past is None or past.shape[-2] == 0 else past
        if self.hparams.bert and mask is None:
            mask = self.draw_mask(X)
        if past is None:
            h, presents = self.features(X, mask)
        else:
            pairs = [tf.unstack(layer, axis=1) for layer in tf.unstack(past, axis=1)]
            behind = [functools.partial(attend, causal=True, past=pair) for pair in pairs]
            blocks = [functools.partial(block, attend=how) for how in behind]
            h, presents = self.features(X, first=size(past, -2), blocks=blocks)
        present = tf.stack([tf.stack(pair, axis=1) for pair in presents], axis=1)
        results = {"present": present, "gen_logits": self.gen_logits(h)}
        if past is None:
            results["gen_losses"] = gen_losses(results["gen_logits"], X, mask if self.hparams.bert else None)
            results["gen_loss"] = tf.reduce_mean(results["gen_losses"])
        if Y is not None:
            logits = self.clf_logits(h, Y.shape[-1])
            results["clf_losses"] = tf.nn.softmax_cross_entropy_with_logits(
                labels=tf.cast(Y, tf.float32), logits=logits
            )
            results["clf_loss"] = tf.reduce_mean(results["clf_losses"])
            results["correct"] = tf.cast(tf.argmax(logits, -1) == tf.argmax(Y, -1), tf.float32)
            results["accuracy"] = 100 * tf.reduce_mean(results["correct"])
        return results


def gen_losses(logits: tf.Tensor, X: tf.Tensor, mask: tf.Tensor | None = None) -> tf.Tensor:
    """Cross-entropy in nats, averaged over an image's positions (BERT: its hidden ones): [b, s, v], [b, s] -> [b]."""
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=X, logits=logits)
    if mask is None:
        return tf.reduce_mean(losses, axis=1)
    hidden = 1 - mask
    return tf.math.divide_no_nan(tf.reduce_sum(losses * hidden, axis=1), tf.reduce_sum(hidden, axis=1))
