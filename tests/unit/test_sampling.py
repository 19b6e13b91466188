"""The cached sampler against the uncached network, and its independence of batch size and replicas."""

import dataclasses
import functools

import numpy as np
import pytest
import tensorflow as tf

from src import cache, sampling
from src.config import InputError
from src.model import block
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


@pytest.mark.parametrize("given", [0, 1, 6, 8, 15, 16])
@pytest.mark.parametrize("chunk, compiled", [(4, False), (8, False), (64, False), (8, True)])
def test_cached_equals_uncached(model, given, chunk, compiled, monkeypatch):
    monkeypatch.setattr(sampling, "CHUNK", chunk)
    prefix = random_tokens(5)[:, :given]
    expected = drawn_without_a_cache(model, prefix, uniforms(3, range(5), TINY.n_positions))
    sampler = Sampler(model, compiled=compiled)
    np.testing.assert_array_equal(sampler.draw(prefix=prefix, seed=3), expected)
    np.testing.assert_array_equal(expected[:, :given], prefix)
    rows = list(sampler.grow(prefix, seed=3))
    assert [x.shape[1] for x in rows] == ([*range(given // 4 * 4 + 4, 17, 4)] or [16])
    for tokens in rows:
        np.testing.assert_array_equal(tokens, expected[:, : tokens.shape[1]])


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("given", [0, 1, 8, 15, 16])
def test_cached_logits_equal_uncached(model, given, compiled):
    X = random_tokens(3)
    sampler = Sampler(model, compiled=compiled)
    h, caches = model.features(X[:, :given], blocks=filling(sampler)) if given else ([], sampler.prefill(X[:, :0]))
    logits = [model.gen_logits(h)] if given else []
    for t in range(given, TINY.n_positions):
        place = cache.place_of(tf.constant(t), sampler.cache_shape(3), compiled)
        step = functools.partial(cache.cached_block, place=place, compiled=compiled)
        blocks = [functools.partial(step, caches=parts) for parts in caches]
        h, caches = model.features(X[:, max(t - 1, 0)][:, None], first=tf.constant(t), blocks=blocks)
        logits.append(model.gen_logits(h))
    expected = model(X)["gen_logits"].numpy()
    assert np.abs(np.concatenate(logits, axis=1) - expected).max() < 1e-4 * np.abs(expected).max()


def filling(sampler):
    attend = functools.partial(cache.filling_attend, parts=1, chunks=sampler.chunks, size=sampler.size)
    return [functools.partial(block, attend=attend)] * TINY.n_layer


def test_same_images_for_any_batch_size(model):
    sampler = Sampler(model)
    expected = sampler.draw(16, seed=5)
    for n_batch in (1, 3, 16):
        np.testing.assert_array_equal(sampler.draw(16, seed=5, n_batch=n_batch), expected)
    np.testing.assert_array_equal(sampler.draw(4, seed=5), expected[:4])
    assert (sampler.draw(16, seed=6) != expected).any()
    assert len({row.tobytes() for row in expected}) == 16


def test_no_retracing(model, monkeypatch):
    monkeypatch.setattr(sampling, "CHUNK", 4)
    sampler = Sampler(model)
    for temperature in (1.0, 0.5):
        sampler.draw(4, temperature=temperature)
    assert sampler.advance.experimental_get_tracing_count() == 1


def test_numbered_images_and_progress(model):
    seen = []
    sampler = Sampler(model)
    tokens = sampler.draw(5, images=[3, 0, 3, 1, 9], n_batch=4, progress=lambda *x: seen.append(x))
    np.testing.assert_array_equal(tokens, sampler.draw(10)[[3, 0, 3, 1, 9]])
    assert seen == [(n, 80) for n in (16, 32, 48, 64, 68, 72, 76, 80)]


def test_pick_follows_the_distribution():
    p = np.array([0.1, 0.0, 0.6, 0.3], np.float32)
    u = (np.arange(10_000, dtype=np.float32) + 0.5) / 10_000
    drawn = pick(tf.math.log(tf.constant(p))[None].numpy().repeat(len(u), 0), tf.constant(u)).numpy()
    np.testing.assert_allclose(np.bincount(drawn, minlength=4) / len(u), p, atol=2e-4)


def test_pick_at_the_ends():
    logits = tf.constant(np.random.default_rng(0).normal(size=[2, 300]).astype(np.float32))
    drawn = pick(logits, tf.constant([0.0, np.nextafter(np.float32(1), np.float32(0))])).numpy()
    assert drawn[0] == 0 and drawn[1] <= 299


def expected_probabilities(logits, temperature=1.0, top_k=None, top_p=None):
    """What a row of logits should be drawn with, colour by colour."""
    p = np.exp(np.float64(logits) / temperature)
    order = np.argsort(-p, kind="stable")
    p[order[top_k or len(p) :]] = 0
    p /= p.sum()
    if top_p is not None:
        enough = np.searchsorted(np.cumsum(p[order]), top_p) + 1
        p[order[enough:]] = 0
    return p / p.sum()


OPTIONS = [
    {},
    {"temperature": 0.7},
    {"temperature": 1.6},
    {"top_k": 3},
    {"top_p": 0.8},
    {"temperature": 1.5, "top_k": 4, "top_p": 0.7},
]


@pytest.mark.parametrize("options", OPTIONS)
def test_first_pixels_are_drawn_with_their_probability(model, options):
    drawn = Sampler(model).draw(20_000, n_batch=20_000, **options)[:, :2]
    X = np.zeros([TINY.n_vocab, TINY.n_positions], np.int32)
    X[:, 0] = np.arange(TINY.n_vocab)
    logits = model(X)["gen_logits"].numpy()
    first = expected_probabilities(logits[0, 0], **options)
    p = np.concatenate([first[a] * expected_probabilities(logits[a, 1], **options) for a in range(TINY.n_vocab)])
    counts = np.bincount(drawn @ [TINY.n_vocab, 1], minlength=len(p))
    assert not counts[p == 0].any()
    counts, expected = counts[p > 0], 20_000 * p[p > 0]
    df = len(expected) - 1
    critical = df * (1 - 2 / (9 * df) + 3.09 * np.sqrt(2 / (9 * df))) ** 3  # 0.1 %, Wilson and Hilferty
    assert df >= 8 and ((counts - expected) ** 2 / expected).sum() < critical


def test_truncation_that_keeps_everything_changes_only_the_order(model):
    sampler = Sampler(model)
    one = sampler.draw(6, top_k=1)
    np.testing.assert_array_equal(one, sampler.draw(6, temperature=0))
    np.testing.assert_array_equal(sampler.draw(6, top_p=1e-6), one)
    np.testing.assert_array_equal(sampler.draw(6, top_k=100), sampler.draw(6, top_p=1.0))


def test_low_temperature_is_greedy(model):
    sampler = Sampler(model)
    np.testing.assert_array_equal(sampler.draw(3, temperature=1e-4), sampler.draw(3, temperature=0))


def test_refusals(model):
    sampler = Sampler(model)
    for prefix in (np.zeros([1, 17], int), np.zeros([16], int)):
        with pytest.raises(InputError, match="up to 16 tokens"):
            sampler.draw(prefix=prefix)
    with pytest.raises(InputError, match="run from 0 to 6; the model has 6 colours"):
        sampler.draw(prefix=np.array([[0, 6]]))
    for option in ({"temperature": -1}, {"top_k": 0}, {"top_p": 0}, {"top_p": 1.1}):
        with pytest.raises(InputError, match=next(iter(option))):
            sampler.draw(1, **option)
    with pytest.raises(InputError, match="BERT"):
        Sampler(random_model(dataclasses.replace(TINY, bert=True)))
