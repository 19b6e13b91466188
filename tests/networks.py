"""Image GPT once more, in NumPy and float64, as the paper and the release define it."""

import numpy as np


def rms_norm(x, gain):
    return x / np.sqrt(np.mean(x**2, axis=-1, keepdims=True) + 1e-5) * gain


def softmax(x):
    x = np.exp(x - x.max(-1, keepdims=True))
    return x / x.sum(-1, keepdims=True)


def forward(model, X):
    """An autoregressive model's pass over the tokens X [n, s], all [n, ...] and in order of blocks.

    Returns:
        The normed inputs of every block and the normed output of the last, each [n, s, f]; every block's attention
        weights [n, h, s, s]; logits [n, s, v].
    """
    p = {name.removeprefix("model/"): v.numpy().astype(np.float64) for name, v in model.params.items()}
    n, s = X.shape
    start = np.broadcast_to(p["sos"], [n, 1, len(p["sos"])])
    h, normed, attention = np.concatenate([start, p["wte"][X[:, :-1]]], axis=1) + p["wpe"], [], []
    for i in range(model.hparams.n_layer):
        w = {name.removeprefix(f"h{i}/"): v for name, v in p.items() if name.startswith(f"h{i}/")}
        normed.append(rms_norm(h, w["ln_1/g"]))
        q, k, v = (np.einsum("bsf,hef->bhse", normed[-1], w[f"attn/{name}_proj"]) for name in "qkv")
        scores = np.einsum("bhqe,bhke->bhqk", q, k) / np.sqrt(q.shape[-1])
        attention.append(softmax(np.where(np.tril(np.ones([s, s])), scores, -1e10)))
        h = h + np.einsum("bhqk,bhke,hef->bqf", attention[-1], v, w["attn/c_proj"])
        x = rms_norm(h, w["ln_2/g"]) @ w["mlp/c_fc/w"]
        h = h + (x / (1 + np.exp(-1.702 * x))) @ w["mlp/c_proj/w"]
    normed.append(rms_norm(h, p["ln_f/g"]))
    return normed, attention, normed[-1] @ p["wtet"].T
