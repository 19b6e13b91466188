"""The cached sampler against the uncached network, and its independence of batch size and replicas."""

import dataclasses
import threading

import numpy as np
import pytest
import tensorflow as tf

from src.config import HParams, InputError
from src.drawing import decoder
from src.drawing.sampling import Sampler, SamplingOptions, pick, uniforms
from tests.conftest import CPU, TINY, random_model, random_tokens


@pytest.fixture(scope="module")
def model():
    return random_model(TINY)


@pytest.fixture(scope="module", params=[(4, False), (8, False), (64, False), (8, True)], ids=str)
def sampler(request):
    """Samplers whose cache has chunks of so many positions, without XLA and with it."""
    chunk, compiled = request.param
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decoder, "CHUNK", chunk)
        return Sampler(random_model(TINY), compiled=compiled)


def drawn_without_a_cache(model, prefix, u):
    """One whole forward pass for each position."""
    tokens = np.zeros([len(prefix), TINY.n_positions], np.int32)
    tokens[:, : prefix.shape[1]] = prefix
    for t in range(prefix.shape[1], TINY.n_positions):
        tokens[:, t] = pick(model(tokens)["gen_logits"][:, t], u[:, t])
    return tokens


@pytest.mark.parametrize("given", [0, 1, 6, 8, 15, 16])
def test_cached_equals_uncached(sampler, given):
    prefix, options = random_tokens(5)[:, :given], SamplingOptions(seed=3)
    expected = drawn_without_a_cache(sampler.model, prefix, uniforms(3, range(5), TINY.n_positions))
    np.testing.assert_array_equal(sampler.draw(options=options, prefix=prefix), expected)
    np.testing.assert_array_equal(expected[:, :given], prefix)
    rows = list(sampler.grow(prefix, options))
    assert [x.shape[1] for x in rows] == ([*range(given // 4 * 4 + 4, 17, 4)] or [16])
    for tokens in rows:
        np.testing.assert_array_equal(tokens, expected[:, : tokens.shape[1]])


def test_cached_logits_equal_uncached(sampler):
    X, steps = tf.constant(random_tokens(3)), sampler.steps.decoder
    expected = sampler.model(X)["gen_logits"].numpy()

    @tf.function(autograph=False)
    def logits(t):
        weights = steps.weights()
        return steps.advance(X, t, steps.prefill(X, t, weights), weights)[0]

    for t in range(TINY.n_positions):
        assert np.abs(logits(tf.constant(t)) - expected[:, t]).max() < 1e-5 * np.abs(expected).max()


def assert_the_same_for_any_batch(model, n, batches):
    expected = Sampler(model, n_batch=n).draw(n, SamplingOptions(seed=5))
    for n_batch in batches:
        np.testing.assert_array_equal(Sampler(model, n_batch=n_batch).draw(n, SamplingOptions(seed=5)), expected)
    return expected


def test_same_images_for_any_batch_size(model):
    drawn = assert_the_same_for_any_batch(model, 32, (1, 3, 8))
    np.testing.assert_array_equal(Sampler(model).draw(4, SamplingOptions(seed=5)), drawn[:4])
    assert (Sampler(model).draw(32, SamplingOptions(seed=6)) != drawn).any()
    assert len({row.tobytes() for row in drawn}) == 32


@pytest.mark.skipif("avx512f" not in CPU, reason="other kernels sum in another order for other batches")
def test_same_logits_to_the_last_bit_for_any_batch_size(monkeypatch):
    """Wide and long enough for sums that TensorFlow would take in another order for one image than for several."""
    monkeypatch.setattr(decoder, "CHUNK", 16)
    hparams = HParams(n_px=16, n_embd=512, n_head=4, n_layer=1, n_vocab=512)
    steps, X, t = Sampler(random_model(hparams)).steps.decoder, random_tokens(48, hparams), tf.constant(255)

    @tf.function(autograph=False, reduce_retracing=False)
    def logits(tokens):
        weights = steps.weights()
        return steps.advance(tokens, t, steps.prefill(tokens, t, weights), weights)[0]

    expected = logits(tf.constant(X)).numpy()
    for n in (1, 2, 3, 8):
        parts = [logits(tf.constant(part)) for part in np.split(X, len(X) // n)]
        np.testing.assert_array_equal(np.concatenate(parts), expected)


@pytest.mark.slow
def test_same_images_for_any_batch_size_of_a_wide_model():
    """Wide enough for products that TensorFlow would sum in another order for one image than for several."""
    model = random_model(HParams(n_px=6, n_embd=640, n_head=5, n_layer=2, n_vocab=512))
    assert_the_same_for_any_batch(model, 32, (1, 2, 3, 5, 8, 16))


def test_no_retracing_and_no_memory_of_former_samplers():
    model = random_model(TINY)
    for given in range(16):
        Sampler(model).draw(options=SamplingOptions(temperature=1 / (given + 1)), prefix=random_tokens(4)[:, :given])
    steps = Sampler(model).steps
    assert steps.advance.experimental_get_tracing_count() == steps.prefill.experimental_get_tracing_count() == 1
    assert Sampler(model).steps is steps


def test_a_prefix_can_be_continued_twice_but_no_cache_is_read_again(model):
    sampler, prefix = Sampler(model), random_tokens(4)[:, :6]
    one, other = (sampler.grow(prefix, SamplingOptions(seed=seed)) for seed in (1, 2))
    grown = [tokens for pair in zip(one, other) for tokens in pair][-2:]  # taking turns, row by row
    for seed, tokens in zip((1, 2), grown):
        np.testing.assert_array_equal(tokens, sampler.draw(options=SamplingOptions(seed=seed), prefix=prefix))
    cache = decoder.Caches(["tensors"])
    assert cache.take() == ["tensors"]
    with pytest.raises(ValueError, match="continued before"):
        cache.take()


def test_two_threads_draw_what_one_does(model):
    before = tf.config.optimizer.get_experimental_options()
    expected, drawn = Sampler(model).draw(4), [None, None]

    def draw(i):
        drawn[i] = Sampler(model).draw(4)

    threads = [threading.Thread(target=draw, args=[i]) for i in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for tokens in drawn:
        np.testing.assert_array_equal(tokens, expected)
    assert tf.config.optimizer.get_experimental_options() == before


def test_one_prefix_may_stand_for_all(model):
    sampler, prefix = Sampler(model), np.array([[1, 2, 3]])
    np.testing.assert_array_equal(sampler.draw(4, prefix=prefix), sampler.draw(prefix=prefix.repeat(4, axis=0)))


def test_numbered_images_and_progress(model):
    seen = []
    sampler = Sampler(model, n_batch=4)
    tokens = sampler.draw(5, images=[3, 0, 3, 1, 9], progress=lambda *x: seen.append(x))
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
    drawn = Sampler(model, n_batch=20_000).draw(20_000, SamplingOptions(**options))[:, :2]
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
    def draw(**options):
        return Sampler(model).draw(6, SamplingOptions(**options))

    one = draw(top_k=1)
    np.testing.assert_array_equal(one, draw(temperature=0))
    np.testing.assert_array_equal(one, draw(temperature=1e-4))
    np.testing.assert_array_equal(one, draw(top_p=1e-6))
    np.testing.assert_array_equal(draw(top_k=model.hparams.n_vocab), draw(top_p=1.0))


def test_refusals(model):
    sampler = Sampler(model)
    for prefix in (np.zeros([1, 17], int), np.zeros([16], int)):
        with pytest.raises(InputError, match="up to 16 tokens"):
            sampler.draw(prefix=prefix)
    with pytest.raises(InputError, match="`n_samples` 3: there are 2 prefixes; give as many, or one for all"):
        sampler.draw(3, prefix=np.zeros([2, 4], int))
    with pytest.raises(InputError, match="run from 0 to 6; the model has 6 colours"):
        sampler.draw(prefix=np.array([[0, 6]]))
    with pytest.raises(InputError, match="BERT"):
        Sampler(random_model(dataclasses.replace(TINY, bert=True)))


@pytest.mark.parametrize("option", [{"temperature": -1}, {"top_k": 0}, {"top_p": 0}, {"top_p": 1.1}, {"seed": -1}])
def test_options_out_of_range(option):
    with pytest.raises(InputError, match=f"`{next(iter(option))}`"):
        SamplingOptions(**option)
