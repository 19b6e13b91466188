"""Drawing one position at a time behind a cache of keys and values: fill it with what is given, then advance.

Keys and values [c, n, m, e] lie in c chunks of m positions (n: images * heads); those in use are a slice of axis 0,
which needs no copy.

An image's numbers are the same to the last bit however many images are drawn with it. In float32 on a CPU with AVX-512
four choices see to that, each explained below: the order in which products are summed, the kernel of attention's
products, the axis that is summed first, and a norm without a scalar tail. Channels and the positions of a chunk must be
multiples of 8, since TensorFlow computes what is left over of a vector in another way. oneDNN's kernels for AVX2, those
for bfloat16 and a GPU's take another order for other batches, and there it holds to rounding.
"""

import itertools
import math
import typing

import keras
import tensorflow as tf

from src.model import ImageGPT, gelu2, merge_heads, split_heads

CHUNK = 64  # positions, about, in a chunk of the cache: attention reads whole chunks; 32 and 128 were no faster
ROWS = 256  # of a weight matrix that one product reads: of more, one image's are summed in an order of its own


class BlockWeights(typing.NamedTuple):
    """What a position needs of a block; a matrix is a list of `row_blocks`."""

    ln_1: tf.Tensor
    qkv: list  # [f, 3 f]
    c_proj: list  # [f, f]
    ln_2: tf.Tensor
    c_fc: list  # [f, 4 f]
    mlp_proj: list  # [4 f, f]


class Weights(typing.NamedTuple):
    """What a position needs of the network."""

    blocks: list
    ln_f: tf.Tensor
    wtet: list  # [f, v]


class Place(typing.NamedTuple):
    """What every block needs to know of the positions that are fed, worked out once for all of them."""

    corner: tuple  # chunk, and row in it, that the first is written to
    rows: tf.Tensor  # the same in the cache as a matrix whose rows are as long as what is written
    used: tf.Tensor  # [4] shape of the chunks that are read
    hidden: tf.Tensor  # [chunks read, 1, s, m] -inf at later positions, else 0


class Caches:
    """Every block's keys and values; who takes them may write into their memory, and so they are given out once."""

    def __init__(self, tensors):
        self.tensors = tensors

    def take(self):
        """The tensors.

        Raises:
            ValueError: they were taken before, so that what they hold may have been written over.
        """
        if self.tensors is None:
            raise ValueError("this cache was continued before; fill another one from the same prefix")
        tensors, self.tensors = self.tensors, None
        return tensors


def row_blocks(w: tf.Tensor, rows: int) -> list:
    """A matrix [f, g] as matrices of at most so many rows, which share its memory."""
    n = -(-w.shape[0] // rows)
    ends = [w.shape[0] * i // n for i in range(n + 1)]
    return [w[i:j] for i, j in itertools.pairwise(ends)]


def project(x: tf.Tensor, blocks: list) -> tf.Tensor:
    """[b, s, f] times a matrix [f, g] in row blocks: [b, s, g].

    oneDNN sums up to 384 products of a row in the order of the columns, and more in another order for one row than for
    several. In blocks of 256, and with the matrix as it is rather than transposed, the order is the same for any number
    of rows, at no cost that could be measured.
    """
    columns = tf.split(tf.reshape(x, [-1, x.shape[-1]]), [w.shape[0] for w in blocks], axis=1)
    y = [tf.matmul(a, w) for a, w in zip(columns, blocks)]
    return tf.reshape(tf.add_n(y), [-1, x.shape[1], y[0].shape[-1]])


def norm(x: tf.Tensor, g: tf.Tensor) -> tf.Tensor:
    """`model.norm` with a root for every feature, since a vector's last roots have other last digits.

    A plain multiplication by the gain would do, but TensorFlow multiplies the smaller parts of a product first, of
    which one image has others than several.
    """
    y = tf.cast(x, tf.float32)
    mean = tf.reduce_mean(tf.square(y), axis=-1, keepdims=True)
    return tf.cast(tf.math.multiply_no_nan(y * tf.math.rsqrt(mean + tf.fill(g.shape, 1e-5)), g), x.dtype)


def written(cache, new, place, compiled):
    """The cache [c, n, m, e] with keys or values [b, h, s, e] at a place, in the cache's own memory."""
    _, n, _, e = cache.shape
    if compiled:
        chunk, row = place.corner
        return keras.ops.slice_update(cache, [chunk, 0, row, 0], tf.reshape(new, [1, n, -1, e]))
    # `tf.tensor_scatter_nd_update` copies the cache at each step of a loop. `InplaceUpdate` writes into it, or into a
    # copy, which its documentation leaves open. Both are right: nothing reads what was there before (see `Caches`).
    new = tf.reshape(new, [place.rows.shape[0], -1])
    matrix = tf.reshape(cache, [-1, new.shape[1]])
    return tf.reshape(tf.raw_ops.InplaceUpdate(x=matrix, i=place.rows, v=new), cache.shape)


def eigen_matmul(a, b, *, transpose_b=False):
    """`tf.matmul` of float32 without oneDNN, which takes 50 to 100 us longer to start than the product itself.

    A single image of the bundled model is drawn in a third of the time, eight in four fifths.
    """
    return tf.raw_ops.BatchMatMulV3(x=a, y=b, Tout=tf.float32, adj_y=transpose_b)


def attend(q, k, v, cache, place, compiled):
    """Attention [b, h, s, e] of queries at a place behind a cache, and the cache with their keys and values."""
    keys, values = cache = tuple(written(x, new, place, compiled) for x, new in zip(cache, (k, v)))
    (_, n, _, e), s = keys.shape, q.shape[2]
    product = eigen_matmul if q.dtype == tf.float32 and not compiled else tf.matmul
    if not compiled:
        keys, values = (tf.slice(x, [0, 0, 0, 0], place.used) for x in cache)
    q = tf.reshape(q * (1 / math.sqrt(e)), [1, n, s, e])
    w = tf.cast(product(q, keys, transpose_b=True), tf.float32) + place.hidden  # [c, n, s, m]
    w = tf.exp(w - tf.reduce_max(tf.reduce_max(w, axis=3, keepdims=True), axis=0))  # softmax over chunks and positions
    total = tf.reduce_sum(tf.reduce_sum(w, axis=0), axis=2, keepdims=True)  # chunks first: the order of a long axis
    a = tf.reduce_sum(product(tf.cast(w, values.dtype), values), axis=0) / tf.cast(total, values.dtype)
    return tf.reshape(a, k.shape), cache


def cached_block(x, w, cache, place, compiled):
    """`model.block` of positions [b, s, f] behind a cache, and the cache with them."""
    e = cache[0].shape[-1]
    qkv = tf.split(project(norm(x, w.ln_1), w.qkv), 3, axis=2)
    a, cache = attend(*(split_heads(y, x.shape[2] // e) for y in qkv), cache, place, compiled)
    x += project(merge_heads(a), w.c_proj)
    x += project(gelu2(project(norm(x, w.ln_2), w.c_fc)), w.mlp_proj)
    return x, cache


class Decoder:
    """A model's positions behind a cache, as functions to call in a graph.

    Args:
        model: an autoregressive `ImageGPT`.
        compiled: whether XLA compiles the graph: shapes are then static, and every position reads the whole cache.
    """

    def __init__(self, model: ImageGPT, *, compiled: bool = False):
        n_px = model.hparams.n_px
        self.model, self.compiled = model, compiled
        fitting = [rows for rows in range(1, n_px + 1) if n_px % rows == 0 and rows * n_px <= CHUNK]
        self.size = max(fitting, default=1) * n_px  # whole rows that fill the last chunk, too
        self.chunks = model.hparams.n_positions // self.size
        self.block = tf.function(cached_block, autograph=False)  # traced once for all blocks

    def weights(self) -> Weights:
        """The model's variables as a position reads them, in the compute type."""
        params, rows = self.model.params, None if self.compiled else ROWS

        def matrix(*parts):
            w = tf.concat(parts, axis=1) if len(parts) > 1 else parts[0]
            return row_blocks(w, rows or w.shape[0])

        def block(p):
            f = p["ln_1/g"].shape[0]
            heads = [tf.transpose(tf.reshape(p[f"attn/{name}_proj"], [f, f])) for name in "qkv"]
            c_proj, fc, proj = tf.reshape(p["attn/c_proj"], [f, f]), p["mlp/c_fc/w"], p["mlp/c_proj/w"]
            gains = (tf.cast(p[f"ln_{i}/g"], tf.float32) for i in (1, 2))
            return BlockWeights(next(gains), matrix(*heads), matrix(c_proj), next(gains), matrix(fc), matrix(proj))

        blocks = [block(self.model.block_params(i)) for i in range(self.model.hparams.n_layer)]
        wtet = matrix(tf.transpose(params["model/wtet"]))
        return Weights(blocks, tf.convert_to_tensor(params["model/ln_f/g"]), wtet)

    def cache_shape(self, b: int) -> list:
        """The shape [c, n, m, e] of a block's keys for a batch of b images."""
        h = self.model.hparams
        return [self.chunks, b * h.n_head, self.size, h.n_embd // h.n_head]

    def empty(self, tokens: tf.Tensor) -> list:
        """For every block keys and values of zeros for images [b, n_positions], none of which share memory."""
        shape, dtype = self.cache_shape(tokens.shape[0]), self.model.dtype
        return [
            tuple(tf.raw_ops.Empty(shape=shape, dtype=dtype, init=True) for _ in "kv")
            for _ in range(self.model.hparams.n_layer)
        ]

    def place(self, first, s: int, n: int) -> Place:
        """The `Place` of the positions first..first+s-1, which are one or a whole chunk, in caches of n heads."""
        chunk, row = first // self.size, first % self.size
        read = self.chunks if self.compiled else chunk + 1
        later = tf.range(read * self.size) > first + tf.range(s)[:, None]  # [s, read * m]
        later = tf.transpose(tf.reshape(later, [s, read, 1, self.size]), [1, 2, 0, 3])
        rows = (chunk * n + tf.range(n)) * self.size + row if s == 1 else chunk[None]
        e = self.cache_shape(1)[-1]
        return Place((chunk, row), rows, tf.stack([read, n, self.size, e]), tf.where(later, -math.inf, 0.0))

    def features(self, tokens, first, caches, weights):
        """What the blocks make [b, s, f] of the tokens [b, s] before positions first.., and the caches with them."""
        x = self.model.embed(tokens, first)
        place, kept = self.place(first, x.shape[1], self.cache_shape(x.shape[0])[1]), []
        for w, cache in zip(weights.blocks, caches):
            x, cache = self.block(x, w, cache, place, self.compiled)
            kept.append(cache)
        return x, kept

    def prefill(self, tokens: tf.Tensor, given: tf.Tensor, weights: Weights) -> list:
        """Caches with the first `given` positions of tokens [b, n_positions], taken a chunk at a time.

        The last chunk is filled up with what follows in `tokens`; `advance` writes over it before anything reads it.
        """
        before = tf.pad(tokens, [[0, 0], [1, 0]])  # the token before each position
        n, size = tokens.shape[0], self.size

        def step(first, caches):
            fed = tf.slice(before, tf.stack([0, first]), [n, size])
            return first + size, self.features(fed, first, caches, weights)[1]

        return tf.while_loop(lambda first, _: first < given, step, [tf.constant(0), self.empty(tokens)])[1]

    def advance(self, tokens: tf.Tensor, t: tf.Tensor, caches: list, weights: Weights):
        """Logits [b, v] of position t behind tokens [b, n_positions], of which t are known, and the caches with it."""
        last = tf.gather(tokens, [tf.maximum(t - 1, 0)], axis=1)
        x, caches = self.features(last, t, caches, weights)
        return project(norm(tf.cast(x, tf.float32), weights.ln_f), weights.wtet)[:, 0], caches
