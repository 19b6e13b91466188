"""The network's parts against plain NumPy, and what must hold of any autoregressive model."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from src import attention
from src import model as network
from src.config import HParams, InputError
from tests.conftest import TINY, random_model, random_tokens


def test_norm():
    x = np.random.default_rng(0).normal(2, 3, [2, 3, 8]).astype(np.float32)
    g = np.arange(8, dtype=np.float32)
    expected = x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-5) * g
    np.testing.assert_allclose(network.norm(tf.constant(x), g), expected, rtol=1e-5, atol=1e-6)


def test_gelu2_and_its_gradient():
    x = np.linspace(-6, 6, 25)
    value, gradient = tf.test.compute_gradient(network.gelu2, [tf.constant(x)])
    np.testing.assert_allclose(value, gradient, atol=1e-6)
    np.testing.assert_allclose(network.gelu2(tf.constant(x)), x / (1 + np.exp(-1.702 * x)), atol=1e-12)


@pytest.mark.parametrize("nd, ns", [(3, 3), (2, 5), (1, 4)])
def test_attention_mask(nd, ns):
    expected = np.tri(nd, ns, ns - nd)
    np.testing.assert_array_equal(network.attention_mask(nd, ns), expected)


def test_split_and_merge_heads():
    x = tf.random.stateless_normal([2, 3, 8], [0, 0])
    heads = network.split_heads(x, 4)
    np.testing.assert_array_equal(heads[1, 2, 0], x[1, 0, 4:6])
    np.testing.assert_array_equal(network.merge_heads(heads), x)


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("nd, ns", [(7, 7), (3, 7)])
def test_attention_in_blocks(causal, nd, ns, monkeypatch):
    monkeypatch.setattr(attention, "QUERY_BLOCK", 2)
    rng = np.random.default_rng(1)
    q, k, v = (rng.normal(size=[2, 3, n, 4]).astype(np.float32) for n in (nd, ns, ns))
    w = np.einsum("bhqe,bhke->bhqk", q, k) / 2
    if causal:
        w = np.where(np.tri(nd, ns, ns - nd) > 0, w, -np.inf)
    w = np.exp(w - w.max(-1, keepdims=True))
    expected = (w / w.sum(-1, keepdims=True)) @ v
    tensors = [tf.constant(x) for x in (q, k, v)]
    np.testing.assert_allclose(network.multihead_attn(*tensors, causal=causal), expected, atol=1e-5)
    np.testing.assert_allclose(attention.blockwise_attention(*tensors, causal=causal), expected, atol=1e-5)

    @tf.function
    def summed(*tensors):
        return tf.reduce_sum(attention.blockwise_attention(*tensors, causal=causal) ** 3)

    theory, numeric = tf.test.compute_gradient(summed, tensors, delta=1e-2)
    for a, b in zip(theory, numeric):
        np.testing.assert_allclose(a, b, atol=5e-3)


def test_causality():
    model, X = random_model(TINY), random_tokens(1)
    base = model(X)["gen_logits"].numpy()
    for t in range(TINY.n_positions):
        changed = X.copy()
        changed[0, t] = (X[0, t] + 1) % TINY.n_vocab
        logits = model(changed)["gen_logits"].numpy()
        np.testing.assert_array_equal(logits[:, : t + 1], base[:, : t + 1])
        if t + 1 < TINY.n_positions:
            assert np.abs(logits[:, t + 1] - base[:, t + 1]).max() > 1e-4


@pytest.mark.parametrize("split", [1, 7, 15])
def test_continuing_from_a_past_equals_one_pass(split):
    model, X = random_model(TINY), random_tokens(2)
    whole = model(X)
    head = model(X[:, :split])
    tail = model(X[:, split - 1 : -1], past=head["present"])
    logits = np.concatenate([head["gen_logits"], tail["gen_logits"]], axis=1)
    np.testing.assert_allclose(logits, whole["gen_logits"], atol=1e-5)
    presents = np.concatenate([head["present"], tail["present"]], axis=-2)
    np.testing.assert_allclose(presents, whole["present"], atol=1e-5)
    assert "gen_loss" not in tail


def test_bert_sees_both_sides_and_counts_hidden_tokens_only():
    model, X = random_model(dataclasses.replace(TINY, bert=True)), random_tokens(2)
    mask = np.ones(X.shape, np.float32)
    mask[0, 3] = mask[1, [0, 9]] = 0
    out = model(X, mask=mask)
    log_p = tf.nn.log_softmax(out["gen_logits"]).numpy()
    expected = [-log_p[0, 3, X[0, 3]], -(log_p[1, 0, X[1, 0]] + log_p[1, 9, X[1, 9]]) / 2]
    np.testing.assert_allclose(out["gen_losses"], expected, rtol=1e-5)
    X[0, 15] = (X[0, 15] + 1) % TINY.n_vocab
    assert np.abs(model(X, mask=mask)["gen_logits"][0, 0] - out["gen_logits"][0, 0]).max() > 1e-5


def test_bert_with_nothing_hidden_has_no_loss():
    model, X = random_model(dataclasses.replace(TINY, bert=True)), random_tokens(1)
    assert model(X, mask=np.ones(X.shape, np.float32))["gen_loss"] == 0


def test_bert_draws_its_own_mask():
    model = random_model(dataclasses.replace(TINY, bert=True, bert_mask_prob=0.5))
    kept = model.draw_mask(random_tokens(500)).numpy()
    assert set(np.unique(kept)) == {0, 1}
    assert abs(kept.mean() - 0.5) < 0.03


@pytest.mark.parametrize("dtype, tolerance", [("bfloat16", 0.03), ("float16", 0.003)])
def test_lower_precision_stays_near(dtype, tolerance):
    model, X = random_model(TINY), random_tokens(2)
    low = network.ImageGPT(TINY, values=[(k, v.read_value()) for k, v in model.params.items()], dtype=dtype)
    out = low(X)
    assert out["gen_logits"].dtype == tf.float32 and out["present"].dtype == low.dtype
    full = model(X)["gen_logits"].numpy()
    error = np.sqrt(np.mean((out["gen_logits"] - full) ** 2) / np.mean(full**2))
    assert tolerance / 100 < error < tolerance  # an error of nothing would mean that nothing is computed in this type


def test_recompute_gives_the_same_gradients():
    X = random_tokens(2)
    grads = []
    for recompute in (False, True):
        model = random_model(TINY)
        model.recompute = recompute
        with tf.GradientTape() as tape:
            loss = model(X)["gen_loss"]
        grads.append(tape.gradient(loss, model.params))
    for name, grad in grads[0].items():
        np.testing.assert_allclose(tf.convert_to_tensor(grad), tf.convert_to_tensor(grads[1][name]), atol=1e-6)


def test_initial_deviations():
    hparams = HParams(n_px=16, n_embd=64, n_head=4, n_layer=3, n_vocab=100)
    params = network.ImageGPT(hparams).params
    expected = {"wpe": 0.01, "wte": 0.02, "h0/attn/q_proj": 1 / 8, "h1/attn/c_proj": 1 / np.sqrt(64 * 3)}
    expected |= {"h2/mlp/c_fc/w": 0.02, "h0/mlp/c_proj/w": 0.02, "wtet": 0}
    for name, std in expected.items():
        assert np.std(params[f"model/{name}"]) == pytest.approx(std, rel=0.05)
    assert (params["model/ln_f/g"].numpy() == 1).all()
    again = network.ImageGPT(hparams).params
    assert all((again[k].numpy() == v.numpy()).all() for k, v in params.items())


@pytest.mark.parametrize("wrong", [{"n_head": 3}, {"n_layer": 0}, {"bert_mask_prob": 1.0}])
def test_impossible_sizes(wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        dataclasses.replace(TINY, **wrong)
