"""Features of every layer against Hugging Face's and NumPy; probes against a regression worked out by hand."""

import dataclasses
import json
import os

import numpy as np
import pytest

from src.config import InputError
from src.devices import make_strategy
from src.measuring import probe
from src.measuring.features import Features, layer_means, pixel_values
from src.measuring.probe import (
    Images,
    ProbeOptions,
    Prober,
    Score,
    check_labels,
    fit,
    logits,
    name_of,
    neighbours,
    split,
)
from src.measuring.probe_files import FIGURES, PLOT, WEIGHTS, check_model, read_probe, write_probe
from src.weights.checkpoint import load_model
from tests.conftest import DATA, TINY, random_model, random_tokens
from tests.networks import forward, rms_norm, softmax

ONE = make_strategy()
ORIGIN = {"checkpoint": "a/model.ckpt-1", "fingerprint": 16 * "a", "dtype": "float32", "classes": ["cat", "dog", "owl"]}
ORIGIN |= {"masks": 1, "seed": 42, "bert_mask_prob": 0.15}


def features_by_hand(model, X):
    """The means of every layer's normed features [n, layers + 1, f] in NumPy and float64."""
    return np.stack([x.mean(1) for x in forward(model, X)[0]], axis=1)


def regression_by_hand(x, labels, strength, classes):
    """Logistic regression on scaled features by Newton's method in float64, the offsets not regularised: [c, d + 1].

    The objective is scikit-learn's: the losses' sum times C, and half the squares of the weights.
    """
    mean, scale = x.mean(0), x.std(0)
    z = np.concatenate([(x - mean) / scale, np.ones([len(x), 1])], axis=1).astype(np.float64)
    target, w = np.eye(classes)[labels], np.zeros([classes, z.shape[1]])
    decay = np.ones_like(w)
    decay[:, -1] = 1e-9  # so little that the equations are solvable
    for _ in range(30):
        p = softmax(z @ w.T)
        gradient = strength * (p - target).T @ z + decay * w
        blocks = strength * np.einsum("nc,cd,ni,nj->cidj", p, np.eye(classes), z, z)
        blocks -= strength * np.einsum("nc,nd,ni,nj->cidj", p, p, z, z)
        hessian = blocks.reshape(w.size, w.size) + np.diag(decay.ravel())
        w -= np.linalg.solve(hessian, gradient.ravel()).reshape(w.shape)
    w[:, :-1] /= scale
    w[:, -1] -= w[:, :-1] @ mean
    return w


def test_features_are_hugging_faces_after_the_norm_that_theirs_lack():
    model, expected = load_model(DATA / "hf"), np.load(DATA / "hf" / "expected.npz")
    gains = [model.params[f"model/h{i}/ln_1/g"].numpy() for i in range(model.hparams.n_layer)]
    states = np.moveaxis(expected["hidden_states"], 1, 0)
    theirs = [rms_norm(states[i], gain).mean(1) for i, gain in enumerate(gains)] + [states[-1].mean(1)]
    np.testing.assert_allclose(layer_means(model, expected["X"]), np.stack(theirs, axis=1), atol=1e-5)


@pytest.mark.parametrize("name", ["ar", "ar_sharded"])
def test_features_are_those_worked_out_by_hand(golden, name):
    model, _, expected = golden[name]
    np.testing.assert_allclose(layer_means(model, expected["X"]), features_by_hand(model, expected["X"]), atol=1e-4)


def images_of(model, n, seed, classes=3):
    """Random images whose class is how many of their first pixels are bright, as the model and as the eye sees them."""
    X = np.random.default_rng(seed).integers(0, model.hparams.n_vocab, [n, model.hparams.n_positions])
    labels = np.minimum(classes - 1, (X[:, :4] > model.hparams.n_vocab // 2).sum(1) // 2)
    clusters = np.linspace(-1, 1, model.hparams.n_vocab)[:, None].repeat(3, 1)
    return X, Images([layer_means(model, X).numpy()], pixel_values(X, clusters).astype(np.float32), labels)


def test_a_probe_of_a_golden_model_is_the_one_worked_out_by_hand(golden):
    """Features, scaling, regression, choice and refitting, all again in NumPy."""
    model = golden["ar"][0]
    (X, train), (X_test, test) = images_of(model, 120, 0), images_of(model, 60, 1)
    prober = Prober(train, test, 3, ProbeOptions(layers=(2,), concat=False))
    score = prober.scores()[1]
    x, x_test = (features_by_hand(model, tokens)[:, 2] for tokens in (X, X_test))
    valid = {}
    for strength in probe.STRENGTHS:
        w = regression_by_hand(x[prober.fitting], train.labels[prober.fitting], strength, 3)
        named = logits(w, x[prober.choosing]).argmax(1)
        valid[strength] = 100 * np.mean(named == train.labels[prober.choosing])
    assert (score.strength, score.valid) == (max(valid, key=valid.get), max(valid.values()))
    w = regression_by_hand(x, train.labels, score.strength, 3)
    np.testing.assert_allclose(softmax(logits(score.weights, x_test)), softmax(logits(w, x_test)), atol=5e-3)
    assert score.test == 100 * np.mean(logits(w, x_test).argmax(1) == test.labels)


@pytest.mark.parametrize("classes", [[0, 1], [0, 2], [0, 1, 2]])
def test_weights_of_unscaled_features(classes):
    """Two classes, of which scikit-learn keeps one; and one that no image has, which is never named."""
    rng = np.random.default_rng(0)
    labels = rng.choice(classes, 90)
    x = (rng.normal(size=[90, 4]) * [1, 10, 0.1, 3] + 5 + labels[:, None]).astype(np.float32)
    found = fit(x, labels, 0.1, 3)[classes]
    strength = 0.05 if len(classes) == 2 else 0.1  # of two, scikit-learn regularises the difference, not both halves
    by_hand = regression_by_hand(x, np.searchsorted(classes, labels), strength, len(classes))
    np.testing.assert_allclose(softmax(logits(found, x)), softmax(logits(by_hand, x)), atol=5e-3)
    assert set(logits(fit(x, labels, 0.1, 3), x).argmax(1)) <= set(classes)


def test_the_test_images_choose_nothing(golden):
    (_, train), (_, test) = (images_of(golden["ar"][0], n, seed) for n, seed in ((80, 0), (40, 1)))
    options = ProbeOptions(layers=(0, 1, 2, 3))
    other = dataclasses.replace(test, labels=(test.labels + 1) % 3)
    a, b = (Prober(train, images, 3, options).scores() for images in (test, other))
    assert [(s.name, s.strength, s.valid) for s in a] == [(s.name, s.strength, s.valid) for s in b]
    assert all((s.weights == t.weights).all() for s, t in zip(a, b))
    assert [s.name for s in a] == ["pixels", "layer 0", "layer 1", "layer 2", "layer 3", "layers 0-3"]


def test_few_labels_are_so_many_of_each_class(golden, monkeypatch):
    (_, train), (_, test) = (images_of(golden["ar"][0], n, seed) for n, seed in ((200, 0), (40, 1)))
    seen = []
    monkeypatch.setattr(probe, "cross_validated", lambda x, labels, classes: seen.append(labels) or 0.1)
    done = []
    options = ProbeOptions(layers=(1, 3), labels_per_class=(2, 5))
    prober = Prober(train, test, 3, options, lambda *counts: done.append(counts))
    few = prober.few_labels(prober.scores())
    assert done == [(i + 1, len(done)) for i in range(len(done))]
    assert [(len(each.test), each.labels_per_class) for each in few] == [(5, 2)] * 3 + [(5, 5)] * 3
    assert all((np.bincount(labels) == k).all() for labels, k in zip(seen, [2] * 15 + [5] * 15))
    assert few[0].mean_and_spread() == (np.mean(few[0].test), np.std(few[0].test, ddof=1))


@pytest.mark.parametrize(
    ("layer", "n_layer", "expected"),
    [(0, 24, (0, 1, 2, 3, 4)), (12, 24, (10, 11, 12, 13, 14)), (23, 24, (20, 21, 22, 23, 24)), (1, 2, (0, 1, 2))],
)
def test_five_layers_around_the_best(layer, n_layer, expected):
    assert neighbours(layer, n_layer) == expected


def test_names():
    assert [name_of(layers) for layers in ((), (3,), (1, 2, 3))] == ["pixels", "layer 3", "layers 1-3"]


@pytest.mark.parametrize("bert", [False, True])
def test_batches_and_devices_change_nothing(bert):
    model, X = random_model(dataclasses.replace(TINY, bert=bert)), random_tokens(7)
    expected = np.empty([7, 3, 8], np.float32)
    Features(model, ONE, 7).write(X, expected, 2)
    two = make_strategy(n_cpu=2)
    with two.scope():
        copy = random_model(dataclasses.replace(TINY, bert=bert))
    for each, strategy, n_batch in ((model, ONE, 1), (model, ONE, 3), (copy, two, 2), (copy, two, 4)):
        found = np.empty_like(expected)
        Features(each, strategy, n_batch).write(X, found, 2)
        np.testing.assert_allclose(found, expected, atol=2e-6)
    other = np.empty_like(expected)
    Features(model, ONE, 7).write(X, other, 3)
    assert (other != expected).any() == bert  # another of BERT's masks


def test_features_are_kept(tmp_path, monkeypatch):
    features, X = Features(random_model(TINY), ONE, 4), random_tokens(6)
    first = np.array(features.kept(tmp_path, "a", X))
    (file,) = tmp_path.iterdir()
    with monkeypatch.context() as m:
        m.setattr(features, "write", lambda *a: pytest.fail("computed again"))
        np.testing.assert_array_equal(features.kept(tmp_path, "a", X), first)
    for checkpoint, tokens in (("b", X), ("a", X[::-1])):
        features.kept(tmp_path, checkpoint, tokens)
    assert len(list(tmp_path.iterdir())) == 3
    for left in (200, 20, 0):  # cut short: computed again
        file.write_bytes(file.read_bytes()[:left])
        np.testing.assert_array_equal(features.kept(tmp_path, "a", X), first)


def test_pixels_of_greys_have_one_channel():
    X, grey = np.array([[0, 1], [1, 1]]), np.array([[-1, -1, -1], [0.5, 0.5, 0.5]])
    np.testing.assert_array_equal(pixel_values(X, grey), [[-1, 0.5], [0.5, 0.5]])
    np.testing.assert_array_equal(pixel_values(X[:1], grey + [0, 0, 0.1]), [[-1, -1, -0.9, 0.5, 0.5, 0.6]])


@pytest.mark.parametrize(
    ("labels", "few", "word"),
    [
        ([0] * 9, (), "9 training images"),
        ([1] * 20, (), "one class"),
        ([0] * 18 + [1] * 2, (4,), "class 1 there are 2"),
    ],
)
def test_too_few_images(labels, few, word):
    with pytest.raises(InputError, match=word):
        check_labels(np.array(labels), 2, ProbeOptions(layers=(0,), labels_per_class=few))


def test_a_class_that_only_chooses_cannot_be_fitted():
    options, labels = ProbeOptions(layers=(0,)), np.zeros(20, int)
    labels[split(20, options.seed)[0][0]] = 1
    with pytest.raises(InputError, match="the tenth that chooses are of one class"):
        check_labels(labels, 2, options)


def test_features_that_find_no_room_are_a_line_and_leave_nothing(tmp_path, monkeypatch):
    """Mapped memory that the disk has no room for ends the process with a signal."""

    def full(descriptor, offset, size):
        assert size > 3 * np.prod(features.shape) * 4
        raise OSError(28, "No space left on device")

    features = Features(random_model(TINY), ONE, 4)
    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(InputError, match=r"cannot be written .No space left on device.; make room"):
        features.kept(tmp_path, "0", random_tokens(3))
    assert not list(tmp_path.iterdir())


def scores_of(*accuracies):
    rng = np.random.default_rng(0)
    layers = [(), (0,), (1,), (0, 1)]
    return [
        Score(name_of(each), each, 0.1, right, right + 1, rng.normal(size=[3, 4 * len(each) + 1]))
        for each, right in zip(layers, accuracies)
    ]


def test_a_probe_on_disk(tmp_path):
    scores = scores_of(90, 50, 80, 70)
    write_probe(tmp_path, scores, [], ORIGIN, {"data": "tokens"})
    assert {p.name for p in tmp_path.iterdir()} == {FIGURES, WEIGHTS, PLOT}
    found = read_probe(tmp_path)
    assert found.origin == ORIGIN | {"layers": [1]}  # the best with features: pixels are beside them
    np.testing.assert_array_equal(found.weights, scores[2].weights)
    features = np.random.default_rng(1).normal(size=[2, 2, 4])
    expected = softmax(logits(found.weights, features[:, 1]))
    np.testing.assert_allclose(found.probabilities([features]), expected)
    check_model(found, 16 * "a", (2, 4), tmp_path)


@pytest.mark.parametrize("shape", [(1, 4), (2, 5)])
@pytest.mark.parametrize("mark", [16 * "a", 16 * "b"])
def test_a_probe_of_another_model(tmp_path, shape, mark):
    write_probe(tmp_path, scores_of(9, 5, 8, 7), [], ORIGIN, {})
    with pytest.raises(InputError, match="other weights" if mark[0] == "b" else "other features"):
        check_model(read_probe(tmp_path), mark, shape, tmp_path)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        (FIGURES, lambda c: c.update(layers=[])),
        (FIGURES, lambda c: c.update(layers=[-1])),
        (FIGURES, lambda c: c.update(classes=["cat"])),
        (FIGURES, lambda c: c.update(masks=0)),
        (FIGURES, lambda c: c.pop("dtype")),
        (FIGURES, lambda c: c.update(fingerprint="zz")),
        (WEIGHTS, lambda w: w[:2]),
        (WEIGHTS, lambda w: w * np.nan),
        (WEIGHTS, lambda w: w.astype(int)),
        (WEIGHTS, lambda w: w[0]),
    ],
)
def test_a_damaged_probe(tmp_path, name, change):
    write_probe(tmp_path, scores_of(9, 5, 8, 7), [], ORIGIN, {})
    path = tmp_path / name
    if name == WEIGHTS:
        np.save(path, change(np.load(path)))
    else:
        content = json.loads(path.read_text())
        change(content)
        path.write_text(json.dumps(content))
    with pytest.raises(InputError, match=name):
        read_probe(tmp_path)
