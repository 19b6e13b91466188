"""BERT's masks and the votes of a classifier under them, counted by hand; accuracy by class; run.py --eval --masks."""

import collections
import dataclasses
import json

import numpy as np
import pytest

import run
from src.config import HParams
from src.devices import make_strategy
from src.measuring.evaluation import Evaluator, accuracy_by_class, bert_masks, vote
from src.weights.checkpoint import load_model, save_model
from tests.conftest import DATA, TINY, random_model, random_tokens, run_here

BERT = dataclasses.replace(TINY, bert=True, classes=3, bert_mask_prob=0.6)
ONE = make_strategy()


def masks_by_hand(n, hparams, seed, number):
    """One image after the other from one stream."""
    rng = np.random.default_rng(seed if number == 0 else [seed, number])  # the first mask is as it was before others
    drawn = np.stack([[rng.random() for _ in range(hparams.n_positions)] for _ in range(n)])
    return (drawn > hparams.bert_mask_prob).astype(np.float32)


@pytest.mark.parametrize("number", [0, 1, 4])
def test_a_mask_depends_on_seed_number_and_image_alone(number):
    whole = bert_masks(0, 11, BERT, 5, number)
    np.testing.assert_array_equal(whole, masks_by_hand(11, BERT, 5, number))
    for first, n in ((7, 4), (0, 1), (3, 3)):
        np.testing.assert_array_equal(bert_masks(first, n, BERT, 5, number), whole[first : first + n])
    others = [bert_masks(0, 11, BERT, seed, k) for seed, k in ((6, number), (5, number + 1))]
    assert all((whole != other).any() for other in others)


def test_as_many_positions_are_hidden_as_asked_for():
    hidden = [1 - bert_masks(0, 500, HParams(n_px=8, bert=True), 1, k).mean() for k in range(5)]
    np.testing.assert_allclose(hidden, 0.15, atol=0.006)  # three standard deviations


def softmax_losses(logits, tokens):
    logits = logits - logits.max(-1, keepdims=True)
    logs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    return -np.take_along_axis(logs, tokens[..., None], -1)[..., 0]


def forward_by_hand(model, X, mask):
    """(losses [n], logits of the classes [n, c] or None) from the features of one pass, in NumPy."""
    h = model.features(X, mask)[0].numpy().astype(np.float64)
    values = {name: variable.numpy() for name, variable in model.params.items()}
    hidden = 1 - mask
    losses = (softmax_losses(h @ values["model/wtet"].T, X) * hidden).sum(1) / np.maximum(hidden.sum(1), 1)
    head = values.get("model/clf/wclf")
    return losses, None if head is None else h.mean(1) @ head.T


def tally(classes):
    """What may win, an image at a time: those of its classes that occur most often."""
    counts = [collections.Counter(column) for column in classes.T.tolist()]
    return [{k for k, n in count.items() if n == max(count.values())} for count in counts]


def test_losses_of_the_release_are_means_over_masks():
    model = load_model(DATA / "bert" / "model.ckpt-1000000")
    X = np.load(DATA / "bert" / "expected.npz")["X"]
    masks = [masks_by_hand(len(X), model.hparams, 42, k) for k in range(5)]
    expected = np.mean([forward_by_hand(model, X, mask)[0] for mask in masks])
    assert Evaluator(model, ONE, 3).score(X, masks=5) == {"gen": pytest.approx(expected, rel=1e-5)}
    first = float(model(X, mask=masks[0])["gen_loss"])
    assert Evaluator(model, ONE, 3).score(X)["gen"] == pytest.approx(first, rel=1e-5)


@pytest.fixture(scope="module")
def classifier():
    """(model, tokens, labels, (losses, classifier's losses, classes) of each mask by hand), masks that disagree."""
    model, X = random_model(BERT, seed=1), random_tokens(41, seed=3)
    labels = np.arange(41) % 3
    passes = [forward_by_hand(model, X, masks_by_hand(41, BERT, 7, k)) for k in range(5)]
    gen, logits = (np.stack(values) for values in zip(*passes))
    clf = np.stack([softmax_losses(of_mask, labels) for of_mask in logits])
    return model, X, labels, (gen, clf, logits.argmax(-1))


def test_the_class_is_the_most_frequent_one_of_five_passes(classifier):
    model, X, labels, (gen, clf, classes) = classifier
    found = Evaluator(model, ONE, 8).results(X, np.eye(3)[labels], masks=5, seed=7)
    np.testing.assert_allclose(found["gen"], gen.mean(0), rtol=1e-4)
    np.testing.assert_allclose(found["clf"], clf.mean(0), rtol=1e-4)
    winners = tally(classes)
    assert {len(w) for w in winners} == {1, 2}  # ties, too
    assert all(k in w for k, w in zip(found["classes"], winners, strict=True))
    assert (found["classes"] != classes[0]).any()
    acc = 100 * np.mean(found["classes"] == labels)
    assert Evaluator(model, ONE, 8).score(X, np.eye(3)[labels], masks=5, seed=7)["acc"] == pytest.approx(acc)


@pytest.mark.parametrize("devices, n_batch", [(1, 1), (1, 3), (1, 8), (2, 6)])
def test_batches_and_devices_change_no_vote(devices, n_batch, classifier):
    model, X, labels, (gen, *_) = classifier
    X, labels, strategy = X[:13], labels[:13], make_strategy(n_cpu=devices)
    with strategy.scope():
        copy = random_model(BERT, seed=1)
    found = Evaluator(copy, strategy, n_batch).results(X, np.eye(3)[labels], masks=5, seed=7)
    expected = Evaluator(model, ONE, 13).results(X, np.eye(3)[labels], masks=5, seed=7)
    np.testing.assert_array_equal(found["classes"], expected["classes"])
    for name in ("gen", "clf"):
        np.testing.assert_allclose(found[name], expected[name], rtol=2e-5)
    np.testing.assert_allclose(found["gen"], gen.mean(0)[:13], rtol=1e-4)


def test_ties_are_broken_evenly_and_by_the_seed():
    classes = np.int64([9, 4, 4, 9, 1])[:, None].repeat(3000, 1)
    found = vote(classes, 1)
    assert set(found) == {4, 9} and abs(np.mean(found == 4) - 0.5) < 0.03
    np.testing.assert_array_equal(vote(classes, 1), found)
    np.testing.assert_array_equal(vote(classes[:, :7], 1), found[:7])  # whatever comes behind
    assert (vote(classes, 2) != found).any()
    assert abs(np.mean(vote(np.arange(4)[:, None].repeat(3000, 1), 1) == 3) - 0.25) < 0.03


def test_votes_of_a_majority_of_one_and_of_one_mask():
    classes = np.int64([[2, 0, 5], [1, 0, 5], [1, 0, 4]])
    for seed in range(20):
        np.testing.assert_array_equal(vote(classes, seed), [1, 0, 5])
        np.testing.assert_array_equal(vote(classes[:1], seed), classes[0])


def test_accuracy_by_class_leaves_out_those_that_are_not_there():
    right, labels = np.array([True, False, True, True]), np.array([2, 2, 0, 0])
    assert accuracy_by_class(right, labels) == {0: 100.0, 2: 50.0}


def test_progress_counts_every_mask():
    seen, model = [], random_model(BERT)
    Evaluator(model, ONE, 4).score(random_tokens(6), masks=2, progress=lambda *done: seen.append(done))
    assert seen == [(4, 12), (6, 12), (10, 12), (12, 12)]


# run.py --eval


@pytest.fixture
def voters(project):
    """The flags to evaluate a classifier with the BERT objective."""
    save_model(random_model(BERT, seed=1), project / "tiny" / "model.ckpt-2")
    (project / "tokens_classes.json").write_text('["cat", "dog", "cat"]')
    where = ["--ckpt_path", project / "tiny" / "model.ckpt-2", "--data_path", project / "tokens", "--splits", "test"]
    return [str(a) for a in ("--eval", *where, "--json", project / "figures.json", "--bert_mask_prob", 0.6)]


def test_eval_with_five_masks_names_the_worst_and_the_best_class(voters, project, capsys):
    run.main([*voters, "--masks", "5", "--seed", "7"])
    told = json.loads((project / "figures.json").read_text())
    assert told["masks"] == 5 and told["seed"] == 7
    figures = told["splits"]["test"]
    X, labels = random_tokens(13, seed=2), np.arange(13) % 3
    found = Evaluator(random_model(BERT, seed=1), ONE, 13).results(X, np.eye(3)[labels], masks=5, seed=7)
    by_class = [float(100 * np.mean(found["classes"][labels == k] == k)) for k in range(3)]
    assert figures["acc_by_class"] == pytest.approx(dict(zip(("cat", "dog", "cat-2"), by_class)))
    assert figures["gen"] == pytest.approx(found["gen"].mean(), rel=1e-5)
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("test gen: ") and first.endswith(f" acc: {figures['acc']:.2f}")
    names = {value: name for name, value in reversed(figures["acc_by_class"].items())}
    low, high = min(by_class), max(by_class)
    assert second == f"test acc by class: {low:.2f} ({names[low]}) to {high:.2f} ({names[high]})"


def test_eval_with_two_devices_votes_the_same(voters, project, capsys):
    figures = []
    for n in ("1", "2"):
        run.main([*voters, "--masks", "3", "--n_cpu", n, "--n_sub_batch", "2"])
        figures.append(json.loads((project / "figures.json").read_text())["splits"]["test"])
    assert figures[0].pop("acc_by_class") == figures[1].pop("acc_by_class")
    assert figures[0] == pytest.approx(figures[1], rel=1e-5)


@pytest.mark.parametrize(
    "flags, code, message",
    [
        (["--masks", 5], 1, "--masks: an autoregressive model has no masks; leave it out"),
        (["--masks", 0], 2, "--masks: must be at least 1"),
        (["--masks", 10**4], 2, "--masks: must be at most 1,000"),
        ([], 1, "tokens_classes.json: names of 2 classes, but the labels have 3; encode again"),
    ],
)
def test_mistakes_in_evaluating_classes(flags, code, message, project, capsys):
    save_model(random_model(dataclasses.replace(TINY, classes=3)), project / "tiny" / "model.ckpt-1")
    (project / "tokens_classes.json").write_text('["cat", "dog"]')
    where = ["--ckpt_path", project / "tiny", "--data_path", project / "tokens"]
    got, stderr = run_here(run.main, ["--eval", *where, *flags], capsys)
    assert got == code and message in stderr and len(stderr.splitlines()) == 1
