"""The key/value cache behind which one position is computed at a time: written in place, read without a copy.

Keys and values [c, n, m, e] lie in c chunks of m positions (n: images * heads); those in use are a slice of axis 0.
"""

import functools
import math
import typing

import keras
import tensorflow as tf

from src.model import block, multihead_attn


def chunked(x, chunks, size):
    """Keys or values [b, h, t, e] as a cache [chunks, b * h, size, e] with room for more."""
    b, h, t, e = x.shape
    used = -(-t // size)
    x = tf.pad(x, [[0, 0], [0, 0], [0, used * size - t], [0, 0]])
    x = tf.transpose(tf.reshape(x, [b * h, used, size, e]), [1, 0, 2, 3])
    return tf.pad(x, [[0, chunks - used], [0, 0], [0, 0], [0, 0]])


def filling_attend(q, k, v, *, parts, chunks, size):
    """Causal attention [b, h, s, e] and the caches of the keys and values of each part of the batch."""
    halves = zip(*(tf.split(chunked(x, chunks, size), parts, axis=1) for x in (k, v)))
    return multihead_attn(q, k, v, causal=True), list(halves)


class Place(typing.NamedTuple):
    """What each block needs to know of a position behind a cache [c, n, m, e], worked out once for all of them."""

    corner: tuple  # chunk, and row in it, that the position is written to
    rows: tf.Tensor  # [n] the same in the cache as a matrix [c * n * m, e]
    used: tf.Tensor  # [4] shape of the chunks that are read
    hidden: tf.Tensor  # [chunks read, 1, 1, m] -inf at later positions, else 0


def place_of(at, shape, compiled):
    """The `Place` of position `at` in a cache of this shape."""
    c, n, size, e = shape
    chunk, row = at // size, at % size
    read = c if compiled else chunk + 1  # a compiled graph has static shapes
    hidden = tf.reshape(tf.where(tf.range(read * size) > at, -math.inf, 0.0), [read, 1, 1, size])
    return Place((chunk, row), (chunk * n + tf.range(n)) * size + row, tf.stack([read, n, size, e]), hidden)


def written(cache, new, place, compiled):
    """The cache [c, n, m, e] with the key or value [b, h, 1, e] at a place, in the cache's own memory."""
    _, n, _, e = cache.shape
    if compiled:
        chunk, row = place.corner
        return keras.ops.slice_update(cache, [chunk, 0, row, 0], tf.reshape(new, [1, n, 1, e]))
    # `tf.tensor_scatter_nd_update` copies the cache at each step of a loop. Writing into it is safe: each step needs
    # the token before it, and so everything that was read for that.
    matrix = tf.reshape(cache, [-1, e])
    return tf.reshape(tf.raw_ops.InplaceUpdate(x=matrix, i=place.rows, v=tf.reshape(new, [n, e])), cache.shape)


def eigen_matmul(a, b, *, transpose_b=False):
    """`tf.matmul` of float32 without oneDNN, which takes long to start on the small products of a single image."""
    return tf.raw_ops.BatchMatMulV3(x=a, y=b, Tout=tf.float32, adj_y=transpose_b)


def cached_attend(q, k, v, *, cache, place, compiled):
    """Attention of the query [b, h, 1, e] at a place behind a cache, and the cache with its key and value."""
    keys, values = cache = tuple(written(x, new, place, compiled) for x, new in zip(cache, (k, v)))
    _, n, _, e = keys.shape
    product = eigen_matmul if k.shape[0] == 1 and k.dtype == tf.float32 and not compiled else tf.matmul
    if not compiled:
        keys, values = (tf.slice(x, [0, 0, 0, 0], place.used) for x in cache)  # no copy, since it is the first axis
    q = tf.reshape(q * (1 / math.sqrt(e)), [1, n, 1, e])
    w = tf.cast(product(q, keys, transpose_b=True), tf.float32) + place.hidden  # [c, n, 1, m]
    w = tf.exp(w - tf.reduce_max(tf.reduce_max(w, axis=3, keepdims=True), axis=0))  # softmax over chunks and positions
    total = tf.reduce_sum(tf.reduce_sum(w, axis=3, keepdims=True), axis=0)
    a = tf.reduce_sum(product(tf.cast(w, values.dtype), values), axis=0) / tf.cast(total, values.dtype)
    return tf.reshape(a, k.shape), cache


def shared_attend(q, k, v, *, caches, place, compiled):
    """`cached_attend` by parts of the batch with a cache each, on which CPU cores work side by side."""
    parts = zip(*(tf.split(x, len(caches)) for x in (q, k, v)), caches)
    done = [cached_attend(*qkv, cache=cache, place=place, compiled=compiled) for *qkv, cache in parts]
    return tf.concat([a for a, _ in done], axis=0), [cache for _, cache in done]


def cached_block(x, p, caches, place, compiled):
    """`block` of one position [b, 1, f] behind caches, and the caches with it."""
    return block(x, p, functools.partial(shared_attend, caches=caches, place=place, compiled=compiled))
