"""The cached sampler against the uncached network, and its independence of batch size and replicas."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from src import sampling
from src.config import InputError
from src.sampling import Sampler, pick, uniforms
from tests.conftest import TINY, random_model, random_tokens


@pytest.fixture(scope="module")
def model():
    return random_model(TINY)


def drawn_without_a_cache(model, prefix, u):
    """One whole forward pass for each position."""
    tokens = np.zeros([len(prefix), TINY.n_positions], np.int32)
    tokens[:, : prefix.shape[1]] = prefix
    for t in range(prefix.shape[1], TINY.n_positions):
        tokens[:, t] = pick(model(tokens)["gen_logits"][:, t], u[:, t])
    return tokens


@pytest.mark.parametrize("given", [0, 1, 8, 15])
@pytest.mark.parametrize("block", [1, 3, 64])
def test_cached_equals_uncached(model, given, block, monkeypatch):
    monkeypatch.setattr(sampling, "BLOCK", block)
    prefix = random_tokens(5)[:, :given]
    expected = drawn_without_a_cache(model, prefix, uniforms(3, range(5), TINY.n_positions))
    tokens = Sampler(model).draw(prefix=prefix, seed=3)
    np.testing.assert_array_equal(tokens, expected)
    np.testing.assert_array_equal(tokens[:, :given], prefix)


def test_same_images_for_any_batch_size(model):
    sampler = Sampler(model)
    expected = sampler.draw(16, seed=5)
    for n_batch in (1, 3, 16):
        np.testing.assert_array_equal(sampler.draw(16, seed=5, n_batch=n_batch), expected)
    np.testing.assert_array_equal(sampler.draw(4, seed=5), expected[:4])
    assert (sampler.draw(16, seed=6) != expected).any()
    assert len({row.tobytes() for row in expected}) == 16


def test_no_retracing(model, monkeypatch):
    monkeypatch.setattr(sampling, "BLOCK", 3)
    sampler = Sampler(model)
    sampler.draw(4)
    sampler.draw(4)
    assert sampler.next.experimental_get_tracing_count() == 1
    assert sampler.merge.experimental_get_tracing_count() == 1


def test_pick_follows_the_distribution():
    p = np.array([0.1, 0.0, 0.6, 0.3], np.float32)
    u = (np.arange(10_000, dtype=np.float32) + 0.5) / 10_000
    drawn = pick(tf.math.log(tf.constant(p))[None].numpy().repeat(len(u), 0), tf.constant(u)).numpy()
    np.testing.assert_allclose(np.bincount(drawn, minlength=4) / len(u), p, atol=2e-4)


def test_pick_at_the_ends():
    logits = tf.constant(np.random.default_rng(0).normal(size=[2, 300]).astype(np.float32))
    drawn = pick(logits, tf.constant([0.0, np.nextafter(np.float32(1), np.float32(0))])).numpy()
    assert drawn[0] == 0 and drawn[1] <= 299


def test_first_pixel_is_drawn_with_its_probability(model):
    tokens = Sampler(model).draw(4000, n_batch=4000)[:, 0]
    p = tf.nn.softmax(model(random_tokens(1))["gen_logits"][0, 0]).numpy()
    counts = np.bincount(tokens, minlength=TINY.n_vocab)
    chi_square = ((counts - 4000 * p) ** 2 / (4000 * p)).sum()
    assert chi_square < 20.5  # 5 degrees of freedom: 0.1%


def test_low_temperature_is_greedy(model):
    sampler = Sampler(model)
    np.testing.assert_array_equal(sampler.draw(3, temperature=1e-4), sampler.draw(3, temperature=0))


def test_refusals(model):
    with pytest.raises(InputError, match="16 tokens; an image has 16"):
        Sampler(model).draw(prefix=random_tokens(1))
    with pytest.raises(InputError, match="BERT"):
        Sampler(random_model(dataclasses.replace(TINY, bert=True)))
