"""What a prompt does to maps of an image: TIRG's composition (Vo et al. 2019, arXiv 1812.07119), fusion, a scale and a
shift of each map (FiLM, Perez et al. 2018, arXiv 1709.07871), attention.

A prompt is the embeddings of its tokens with a mask.
"""

import math
from typing import Any, NamedTuple

import keras
import tensorflow as tf
from keras import layers, ops

from src.superres.batch_norm import BatchNormalization
from src.superres.network import register

KEYS = 64  # width of what queries and keys of attention are compared in
FAR = -3e4  # the score of a masked token, whose weight is exactly zero, in half floats, too
START = 0.1  # of its usual size, at which a kernel starts whose maps are added to others
SMALLEST = 1e-12  # squared norm of a vector that has a direction


class Prompt(NamedTuple):
    """A batch of prompts, as the layers take it."""

    words: Any  # [b, n]: what was learnt to hear in the mean of its tokens
    vector: Any  # [b, d]: the same, as wide as maps are
    tokens: Any  # [b, t, d]: zeros where there is none
    mask: Any  # [b, t]: 1 for a token, 0 for none


def directed(x):
    """Vectors [..., d] at a norm of sqrt(d), so that their numbers are about 1; those near zero become zero.

    A network hardly hears vectors of unit norm beside maps whose numbers are about 1.
    """
    return x * (math.sqrt(x.shape[-1]) * ops.rsqrt(ops.maximum(ops.sum(x**2, axis=-1, keepdims=True), SMALLEST)))


@register
class TokenVectors(layers.Layer):
    """Tokens [b, t, d] and their mask [b, t]: each at a norm of sqrt(d), zeros for those that are masked."""

    def call(self, inputs):
        tokens, real = inputs
        return directed(ops.where(real[..., None] > 0, tokens, 0))


@register
class PromptVector(layers.Layer):
    """Tokens [b, t, d] and their mask [b, t] to [b, d]: the mean of the tokens there are, at a norm of sqrt(d)."""

    def call(self, inputs):
        tokens, real = inputs
        count = ops.maximum(ops.sum(real, axis=1), 1)
        return directed(ops.sum(ops.where(real[..., None] > 0, tokens, 0), axis=1) / count[:, None])


@register
class OverSpace(layers.Layer):
    """Vectors [b, d] and maps [b, h, w, c] to maps [b, h, w, d]: each vector at every place."""

    def call(self, inputs):
        vectors, maps = inputs
        b, h, w, _ = ops.shape(maps)
        return ops.broadcast_to(vectors[:, None, None], [b, h, w, vectors.shape[-1]])


@register
class GatedSum(layers.Layer):
    """TIRG's f = w_g * sigmoid(gate) * x + w_r * residual, whose two weights are learned from 1 and 10 on."""

    def build(self, shapes):
        self.w_g = self.add_weight(shape=(), initializer=keras.initializers.Constant(1.0), name="w_g")
        self.w_r = self.add_weight(shape=(), initializer=keras.initializers.Constant(10.0), name="w_r")

    def call(self, inputs):
        x, gate, residual = inputs
        return self.w_g * ops.sigmoid(gate) * x + self.w_r * residual


@register
class TokenAttention(layers.Layer):
    """Queries [b, h, w, k], keys [b, t, k], values [b, t, c] and a mask [b, t] to [b, h, w, c].

    At every place the mean of the values, weighted by the softmax of query * key / sqrt(k) over the tokens.
    """

    def call(self, inputs):
        queries, keys, values, real = inputs
        b, h, w, k = ops.shape(queries)
        rows = ops.reshape(queries, [b, h * w, k])
        scores = ops.matmul(rows, ops.transpose(keys, [0, 2, 1])) / math.sqrt(k)  # [b, h * w, t]
        weights = tf.nn.softmax(tf.where(real[:, None] > 0, scores, FAR))  # Keras' warns of a single token
        return ops.reshape(ops.matmul(weights, values), [b, h, w, values.shape[-1]])


@register
class Modulated(layers.Layer):
    """x * (1 + scale) + shift of maps x [b, h, w, c], and of scales and shifts in one, [b, h, w, 2 c]."""

    def call(self, inputs):
        x, both = inputs
        scale, shift = ops.split(both, 2, axis=-1)
        return x * (1 + scale) + shift


def small(layer, x, start=START):
    """What a new layer makes of x, after its kernel is made small: what is added to other maps starts as little."""
    layer.build(x.shape)
    layer.kernel.assign(start * layer.kernel)
    return layer(x)


def inner_maps(make, z, maps):
    """BN, ReLU, conv 3x3, ReLU: what the last convolutions of TIRG's gate and of its residual see of z."""
    return make.conv(maps, 3, activation="relu")(make(layers.ReLU)(make(BatchNormalization)(z)))


def tirg(make, x, vector):
    """TIRG's convolutional composition of maps x [b, h, w, c] and the vector of a prompt [b, d]."""
    maps = x.shape[-1]
    z = make(layers.Concatenate)([x, make(OverSpace)([vector, x])])
    of_gate, of_residual = inner_maps(make, z, maps), inner_maps(make, z, maps)
    gate = make.conv(maps, 3)(of_gate)
    residual = small(make.conv(maps, 3), of_residual)  # w_r is 10 at first
    return make(GatedSum)([x, gate, residual])


def fusion(make, x, vector, composed):
    """One map [b, h, w, c] of encoder maps, the vector of a prompt [b, d] and composed maps: conv 1x1 of all three."""
    return make.conv(x.shape[-1], 1)(make(layers.Concatenate)([x, make(OverSpace)([vector, x]), composed]))


def told(make, x, words):
    """Maps x [b, h, w, c], each scaled and shifted by what a prompt's words [b, n] say (FiLM, Perez et al. 2018)."""
    both = make(layers.Dense, 2 * x.shape[-1], kernel_initializer=make.start())(words)
    return make(Modulated)([x, make(OverSpace)([both, x])])


def attended(make, x, prompt):
    """Maps x [b, h, w, c], each scaled and shifted at every place by what it finds among the prompt's tokens."""
    maps = x.shape[-1]
    queries = make.conv(KEYS, 1)(x)
    keys = make(layers.Dense, KEYS, use_bias=False, kernel_initializer=make.start())(prompt.tokens)
    values = small(make(layers.Dense, 2 * maps, kernel_initializer=make.start()), prompt.tokens)
    return make(Modulated)([x, make(TokenAttention)([queries, keys, values, prompt.mask])])
