"""What the 2020 release computes, on its own checkpoints: tests/data holds them with its results."""

import numpy as np
import pytest
import tensorflow as tf

from src import attention
from src.config import SIZES
from src.drawing.sampling import Sampler, SamplingOptions
from src.utils import color_dequantize, color_quantize, squared_euclidean_distance
from tests.conftest import DATA

NAMES = ["ar", "ar_sharded", "bert", "clf"]
RESULTS = ["gen_logits", "gen_loss", "clf_loss", "accuracy", "present"]


def assert_close(actual, expected, what, tolerance=1e-5):
    scale = max(np.abs(expected).max(), 1e-6)
    assert np.abs(np.asarray(actual) - expected).max() <= tolerance * scale, what


def forward(model, expected):
    X, Y = tf.constant(expected["X"]), tf.constant(expected["Y"])
    return model(X, Y, mask=tf.constant(expected["mask"]) if model.hparams.bert else None)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("query_block", [128, 5])  # 5: several blocks of queries, the last one partial
def test_results_and_gradients(golden, name, query_block, monkeypatch):
    monkeypatch.setattr(attention, "QUERY_BLOCK", query_block)
    model, _, expected = golden[name]
    with tf.GradientTape() as tape:
        results = forward(model, expected)
        loss = results["gen_loss"] + (results["clf_loss"] if model.hparams.classes else 0)
    for key in RESULTS:
        assert_close(results[key], expected[key], key)
    gradients = tape.gradient(loss, model.params)
    checked = [key for key in expected if key.startswith("grad:")]
    assert len(checked) == len(model.params)
    for key in checked:
        assert_close(tf.convert_to_tensor(gradients[key[5:]]), expected[key], key)


@pytest.mark.parametrize("name", ["ar", "ar_sharded", "clf"])
def test_greedy_sequences(golden, name):
    model, _, expected = golden[name]
    sampler, likeliest = Sampler(model), SamplingOptions(temperature=0)
    prefix = expected["X"][:, : expected["completion_prefix"]]
    np.testing.assert_array_equal(sampler.draw(4, likeliest), expected["greedy_unconditional"])
    np.testing.assert_array_equal(sampler.draw(options=likeliest, prefix=prefix), expected["greedy_completion"])


def test_palette():
    expected = np.load(DATA / "color_quantize.npz")
    x = expected["images"] / np.float32(127.5) - 1
    np.testing.assert_array_equal(color_quantize(x, expected["clusters"]).numpy(), expected["tokens"].reshape(-1))
    distance = squared_euclidean_distance(tf.constant(x[0].reshape(-1, 3)), tf.constant(expected["clusters"]))
    np.testing.assert_allclose(distance, expected["distance_first_image"], atol=1e-5)
    back = color_dequantize(expected["tokens"], expected["clusters"], 16)
    np.testing.assert_array_equal(back, expected["dequantized"])


@pytest.mark.parametrize("size, count", [("s", 76_571_648), ("m", 455_157_760), ("l", 1_362_250_752)])
def test_parameter_counts(size, count):
    assert sum(int(np.prod(shape)) for shape in SIZES[size].variable_shapes().values()) == count
