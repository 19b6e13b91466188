"""BERT (Devlin et al. 2018, arXiv 1810.04805) in TensorFlow, with weights as Hugging Face stores them, frozen.

There are no paddings and so no masks: what it is given at a time are texts of one length. Dropout is left out, as it
is after training, and so is what is said of a text as a whole (the pooler).
"""

import dataclasses
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from src.config import InputError, check_shapes, one_line
from src.schema import Integer, OneOf, Real, check
from src.weights.shards import Weights

SIZES = {"num_hidden_layers": Integer(1, 256), "num_attention_heads": Integer(1, 256)}
SIZES |= {"intermediate_size": Integer(1, 1 << 16)}
DEFAULTS = {  # what a configuration means that does not say it
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-12,
    "type_vocab_size": 2,
    "position_embedding_type": "absolute",
    "is_decoder": False,
    "add_cross_attention": False,
}
FIELDS = {name: OneOf((value,)) for name, value in DEFAULTS.items()}
FIELDS |= {"layer_norm_eps": Real(1e-20, 1), "type_vocab_size": Integer(1, 1 << 10)}
UNUSED = re.compile(r"(pooler|cls|classifier)\.|embeddings\.position_ids$")  # names of what is left out
PARTS = "query", "key", "value"
TABLES = {"word": "vocab_size", "position": "max_position_embeddings", "token_type": "type_vocab_size"}
OLD_NAMES = {"LayerNorm.gamma": "LayerNorm.weight", "LayerNorm.beta": "LayerNorm.bias"}


@dataclasses.dataclass(frozen=True)
class Bert:
    """A network from tokens int [b, t] to their embeddings float32 [b, t, d].

    Attributes:
        weights: Hugging Face's names to values; a dense kernel is [out, in].
        layers, heads: how many.
        epsilon: of the layer norms.
    """

    weights: Mapping[str, tf.Tensor]
    layers: int
    heads: int
    epsilon: float

    def __call__(self, ids: np.ndarray) -> np.ndarray:
        with tf.device("CPU"):  # the same numbers whatever accelerator there is
            x = self.embedded(tf.constant(ids, tf.int32))
            for i in range(self.layers):
                x = self.layer(f"encoder.layer.{i}", x)
        return x.numpy()

    def embedded(self, ids):
        """Tokens [b, t] to the normed sum [b, t, d] of word, place and kind, of which all are the first."""
        word, place, kind = (self.weights[f"embeddings.{name}_embeddings.weight"] for name in TABLES)
        return self.norm("embeddings", tf.gather(word, ids) + place[: ids.shape[1]] + kind[0])

    def layer(self, name, x):
        """Attention and two dense layers [b, t, d], each added to what it takes, and normed afterwards."""
        found = self.dense(f"{name}.attention.output", self.attention(f"{name}.attention.self", x))
        x = self.norm(f"{name}.attention.output", x + found)
        hidden = tf.nn.gelu(self.dense(f"{name}.intermediate", x), approximate=False)
        return self.norm(f"{name}.output", x + self.dense(f"{name}.output", hidden))

    def attention(self, name, x):
        """Every token's mean of all tokens' values, weighted by softmax(q k / sqrt(d / heads)), [b, t, d]."""
        b, t, d = x.shape
        q, k, v = (tf.reshape(self.dense(f"{name}.{part}", x, ""), [b, t, self.heads, -1]) for part in PARTS)
        weights = tf.nn.softmax(tf.einsum("bqhe,bkhe->bhqk", q, k) / math.sqrt(d / self.heads))
        return tf.reshape(tf.einsum("bhqk,bkhe->bqhe", weights, v), [b, t, d])

    def dense(self, name, x, last=".dense"):
        """A dense layer without its activation, [b, t, in] to [b, t, out]."""
        kernel, bias = (self.weights[f"{name}{last}.{part}"] for part in ("weight", "bias"))
        return tf.einsum("bti,oi->bto", x, kernel) + bias

    def norm(self, name, x):
        """Layer normalization over the last axis."""
        gain, bias = (self.weights[f"{name}.LayerNorm.{part}"] for part in ("weight", "bias"))
        mean, variance = tf.nn.moments(x, -1, keepdims=True)
        return tf.nn.batch_normalization(x, mean, variance, bias, gain, self.epsilon)


def shapes(config: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """Name to shape for every weight, without `bert.`."""
    d, wide = config["hidden_size"], config["intermediate_size"]
    out = {f"embeddings.{kind}_embeddings.weight": (config[size], d) for kind, size in TABLES.items()}
    dense = {f"attention.self.{part}": (d, d) for part in PARTS} | {"attention.output.dense": (d, d)}
    dense |= {"intermediate.dense": (wide, d), "output.dense": (d, wide)}
    norms = ["embeddings.LayerNorm"]
    for i in range(config["num_hidden_layers"]):
        name = f"encoder.layer.{i}"
        out |= {f"{name}.{part}.weight": shape for part, shape in dense.items()}
        out |= {f"{name}.{part}.bias": shape[:1] for part, shape in dense.items()}
        norms += [f"{name}.attention.output.LayerNorm", f"{name}.output.LayerNorm"]
    return out | {f"{name}.{part}": (d,) for name in norms for part in ("weight", "bias")}


def modern(name: str) -> str:
    """A weight's name as it is today; old files have the layer norms' from TensorFlow."""
    for old, new in OLD_NAMES.items():
        name = name.replace(old, new)
    return name


def load_bert(folder: str | Path, config: Mapping[str, Any], path: str | Path) -> tuple[Bert, list[Path]]:
    """The network in a folder's safetensors, and the files that they are.

    Args:
        config: of its configuration; `vocab_size`, `hidden_size` and `max_position_embeddings` have been looked at.
        path: of the configuration, for messages.

    Raises:
        InputError: a network that computes something else, a damaged file, weights missing, unexpected or misshapen.
    """
    check(config, SIZES, path)
    check(config, FIELDS, path, optional=tuple(FIELDS))
    config = DEFAULTS | dict(config)
    width, heads = config["hidden_size"], config["num_attention_heads"]
    if width % heads:
        raise InputError(f"{path}: hidden_size {width} is not a multiple of num_attention_heads {heads}")
    stored = Weights(folder, "bert.", UNUSED.match)
    names, expected = {modern(name): name for name in stored.names}, shapes(config)
    extra = sorted(set(names) - set(expected))
    if extra or len(names) < len(stored.names):
        found = one_line(", ".join(extra[:8]) or "a layer norm under two names", 400)
        raise InputError(f"{folder}: unexpected weights: {found}")
    try:
        check_shapes({name: stored.shapes[old] for name, old in names.items()}, expected)
    except InputError as error:
        raise InputError(f"{folder}: {error}") from error
    with tf.device("CPU"):
        weights = {name: tf.constant(stored[names[name]]) for name in expected}
    bert = Bert(weights, config["num_hidden_layers"], heads, config["layer_norm_eps"])
    return bert, [Path(folder) / file for file in sorted(stored.files)]
