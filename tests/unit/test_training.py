"""The recipe, the data order, that training learns, and that a run folder goes on with nothing but its own run."""

import dataclasses
import json
import re
import signal

import keras
import numpy as np
import pytest
import tensorflow as tf

from src.config import InputError
from src.devices import distributed, make_strategy
from src.measuring.evaluation import Evaluator
from src.model import ImageGPT
from src.training.loop import Intervals, Task, summed, train
from src.training.pretraining import (
    Pretraining,
    Recipe,
    Tokens,
    make_model,
    make_optimizer,
    part_size,
    pretrain,
    training_batches,
)
from src.training.runs import RunFolder
from src.weights import checkpoint
from src.weights.checkpoint import load_model, save_model
from tests.conftest import ROOT, TINY, files, random_model, random_tokens

ONE = tf.distribute.get_strategy()
OFTEN = Intervals(10, 1000, 10)
SHALLOW = dataclasses.replace(TINY, n_layer=1)


def quiet(step, figures):
    pass


def rate(recipe, step):
    """The learning rate that an optimizer uses for update number `step`."""
    optimizer = make_optimizer(recipe)
    optimizer.build([tf.Variable(0.0)])
    optimizer.iterations.assign(step)
    return float(optimizer.learning_rate)


def test_schedule():
    recipe = Recipe(steps=100, lr=0.4, warmup_steps=10)
    assert rate(recipe, 5) == pytest.approx(0.4 * 0.55)  # from lr / 10 at step 0 to lr at step 10
    assert rate(recipe, 10) == pytest.approx(0.4)
    assert rate(recipe, 55) == pytest.approx(0.2, rel=1e-5)
    assert rate(recipe, 100) == pytest.approx(0, abs=1e-8)
    constant = dataclasses.replace(recipe, schedule="constant")
    assert rate(constant, 5) == pytest.approx(0.4 * 0.55)
    assert rate(constant, 100) == pytest.approx(0.4)
    one = dataclasses.replace(recipe, steps=5, warmup_steps=1)  # whose first step has the whole rate anyway
    assert [rate(one, i) for i in range(5)] == [rate(dataclasses.replace(one, warmup_steps=0), i) for i in range(5)]


def test_every_epoch_shows_every_image_once_in_a_new_order():
    X = np.arange(10)[:, None].repeat(16, 1)
    recipe = Recipe(steps=15, n_batch=4)
    batches = [x[:, 0] for x, _ in training_batches(X, TINY, recipe, 0)]
    epochs = np.concatenate(batches).reshape(6, 10)
    assert all(sorted(e) == list(range(10)) for e in epochs)
    assert len({tuple(e) for e in epochs}) == 6
    for (x, mask), (y, same) in zip(
        list(training_batches(X, TINY, recipe, 0))[7:], training_batches(X, TINY, recipe, 7)
    ):
        np.testing.assert_array_equal(x, y)
        np.testing.assert_array_equal(mask, same)


def test_flip_mirrors_half():
    X = np.tile(np.arange(16), [400, 1])
    x, _ = next(training_batches(X, TINY, Recipe(steps=1, n_batch=400, flip=True), 0))
    mirrored = X.reshape(-1, 4, 4)[:, :, ::-1].reshape(X.shape)
    flipped = (x == mirrored).all(1)
    assert ((x == X).all(1) | flipped).all() and 150 < flipped.sum() < 250


def trained(folder, recipe, tokens, hparams=TINY, *, n_sub_batch=8, recompute=False, intervals=OFTEN):
    """Pre-train a new model in a folder: its checkpoint's prefix."""
    run = RunFolder(folder, {"recipe": dataclasses.asdict(recipe)})
    task = Pretraining(make_model(hparams, recipe, recompute=recompute), recipe, tokens, ONE, n_sub_batch)
    return pretrain(task, run, ONE, intervals, quiet)


@pytest.mark.parametrize(
    "bert, changes",
    [
        (False, {}),
        (True, {}),
        (False, {"dtype": "bfloat16"}),
        (True, {"dtype": "float16"}),
        (False, {"optimizer": "muon", "schedule": "constant"}),
        (True, {"optimizer": "muon", "dtype": "float16"}),
        (False, {"ema": 0.9, "dtype": "float16"}),
    ],
)
def test_training_learns_a_constant_image(bert, changes, tmp_path):
    X = np.tile(random_tokens(1), [8, 1])
    recipe = Recipe(steps=120, n_batch=8, lr=0.03, warmup_steps=5, **changes)
    hparams = dataclasses.replace(SHALLOW, bert=bert)
    intervals = Intervals(log_every=60, eval_every=120, save_every=120)
    prefix = trained(tmp_path, recipe, Tokens(X, X), hparams, recompute=recipe.dtype == "bfloat16", intervals=intervals)
    loss = Evaluator(load_model(prefix), ONE, 8).score(X)["gen"]
    assert loss < 0.3 < np.log(6)
    log = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [(row.pop("step"), *row) for row in log] == [(60, "loss/train"), (120, "loss/train"), (120, "loss/valid")]
    assert log[-1]["loss/valid"] == pytest.approx(loss, abs=0.02)
    assert list((tmp_path / "tensorboard").iterdir())


def weights_after(recipe, n_sub_batch, hparams=TINY, sgd=False, strategy=ONE):
    """The losses and weights of updates on random tokens.

    Plain gradient descent compares to rounding; Adam takes a whole step even where a gradient is all rounding.
    """
    values = {name: v.numpy() for name, v in random_model(hparams).params.items()}
    with strategy.scope():
        model = ImageGPT(hparams, values=values.items())
        task = Pretraining(model, recipe, Tokens(random_tokens(13)), strategy, n_sub_batch)
        if sgd:
            task.optimizer = keras.optimizers.SGD(0.1)
            task.optimizer.build(task.variables)
    batches, update = distributed(strategy, lambda: task.batches(0), task.signature), summed(strategy, task.update)
    losses = [float(update(batch)["loss"]) for batch in batches]
    return [losses, *(v.numpy() for v in task.variables)]


@pytest.mark.parametrize("bert", [False, True])
def test_two_replicas_train_as_one(bert):
    hparams, recipe = dataclasses.replace(SHALLOW, bert=bert), Recipe(steps=6, n_batch=8)
    one, two = (weights_after(recipe, 2, hparams, True, make_strategy(n_cpu=n)) for n in (1, 2))
    for a, b in zip(one, two, strict=True):
        np.testing.assert_allclose(a, b, atol=2e-5)
    assert np.abs(one[1] - random_model(hparams).params["model/wpe"]).max() > 1e-3


@pytest.mark.parametrize("bert", [False, True])
def test_parts_of_a_batch_add_up_to_the_whole(bert):
    hparams, recipe = dataclasses.replace(SHALLOW, bert=bert), Recipe(steps=4, n_batch=12)
    whole, parts = (weights_after(recipe, n, hparams, True) for n in (12, 4))
    for a, b in zip(whole, parts):
        np.testing.assert_allclose(a, b, atol=2e-6)
    assert np.abs(whole[1] - random_model(hparams).params["model/wpe"]).max() > 1e-3
    # Adam, too: a colour that stands in many places has one gradient, the sum, before it is squared.
    whole, parts = (weights_after(dataclasses.replace(recipe, steps=1), n, hparams) for n in (12, 4))
    for a, b in zip(whole, parts):
        np.testing.assert_allclose(a, b, atol=1e-5)


def test_the_graph_does_not_grow_with_the_parts():
    sizes = []
    for n_batch in (4, 64):
        task = Pretraining(random_model(TINY), Recipe(steps=1, n_batch=n_batch), Tokens(random_tokens(13)), ONE, 2)
        function = tf.function(task.update).get_concrete_function(*task.signature)
        sizes.append(len(function.graph.as_graph_def().SerializeToString()))
    assert sizes[1] < 1.02 * sizes[0]


def test_a_batch_consists_of_whole_parts():
    assert part_size(128, 8, 2) == 8 and part_size(4, 8, 2) == 2
    with pytest.raises(InputError, match=r"`n_batch` 100: not a multiple of `n_sub_batch` 8 on 1 device.*take 96"):
        part_size(100, 8, 1)
    with pytest.raises(InputError, match=r"`n_batch` 5: .* on 2 device\(s\)"):
        part_size(5, 8, 2)


def test_the_average_of_the_weights_is_kept_apart():
    recipe = Recipe(steps=3, n_batch=4, ema=0.5)
    task = Pretraining(random_model(TINY), recipe, Tokens(random_tokens(13)), ONE, 4)
    expected, update = None, tf.function(task.update)
    for batch in task.batches(0):
        update(*map(tf.constant, batch))
        now = [v.numpy() for v in task.variables]
        expected = now if expected is None else [0.5 * a + 0.5 * b for a, b in zip(expected, now)]
    with task.averaged():
        for variable, value in zip(task.variables, expected):
            np.testing.assert_allclose(variable, value, atol=1e-6)
    for variable, value in zip(task.variables, now):
        np.testing.assert_array_equal(variable, value)


def test_a_checkpoint_to_start_from_keeps_the_rate_of_masks(tmp_path):
    hparams = dataclasses.replace(TINY, bert=True, bert_mask_prob=0.3)
    save_model(random_model(hparams), tmp_path / "model.ckpt-1")
    recipe = Recipe(steps=1, n_batch=512)
    model = make_model(hparams, recipe, tmp_path / "model.ckpt-1")
    _, mask = next(Pretraining(model, recipe, Tokens(random_tokens(13)), ONE, 512).batches(0))
    assert model.hparams == hparams and 1 - mask.mean() == pytest.approx(0.3, abs=0.02)


def test_a_classifier_that_a_model_has_stays_as_it_is():
    model = random_model(dataclasses.replace(TINY, classes=3))
    before = {name: v.numpy() for name, v in model.params.items()}
    task = Pretraining(model, Recipe(steps=1, n_batch=4, lr=0.1), Tokens(random_tokens(13)), ONE, 2)
    task.update(*map(tf.constant, next(task.batches(0))))
    same = {name for name, value in before.items() if np.array_equal(value, model.params[name])}
    assert same == {"model/clf/wclf"}


@pytest.mark.parametrize("lr, reason", [(1e30, "the train loss is|loss is"), (3.0, "more than twice that of guessing")])
def test_a_run_that_diverges_is_an_error(lr, reason, tmp_path):
    recipe = Recipe(steps=40, n_batch=8, lr=lr, warmup_steps=1, schedule="constant")
    with pytest.raises(InputError, match=f"diverged, .*({reason}).* at step .*`save_dir`.*`lr`"):
        trained(tmp_path, recipe, Tokens(random_tokens(40)), intervals=Intervals(log_every=1))
    assert not list(tmp_path.glob("model.ckpt*"))


class Counting(Task):
    """A task whose weight is the number of its updates, and whose validation ends it at `last`."""

    def __init__(self, steps, last=None):
        self.steps, self.last, self.validations, self.weight = steps, last, 0, tf.Variable(0.0)
        self.trackables = {"weight": self.weight}
        self.signature = (tf.TensorSpec([2]),)

    def batches(self, first):
        for step in range(first, self.steps):
            yield (np.full(2, step, np.float32),)

    def update_at(self, step):
        return self.update

    def update(self, x):
        tf.debugging.assert_equal(x, self.weight)
        self.weight.assign_add(1.0)
        return {"loss": tf.reduce_mean(x)}

    def validate(self):
        self.validations += 1
        return {"weight": float(self.weight)}

    def validated(self, step, figures):
        return step == self.last


def count(folder, steps, *, last=None, report=quiet, **recipe):
    """Run a counting task: the task, the run, the steps done."""
    task, run = Counting(steps, last), RunFolder(folder, {"recipe": {"steps": steps, **recipe}})
    return task, run, train(task, run, ONE, Intervals(10, 20, 5), report)


def test_a_finished_or_ended_run_does_nothing_more(tmp_path):
    for name, last in (("finished", None), ("ended", 20)):
        task, _, done = count(tmp_path / name, 40, last=last)
        assert done == (last or 40) == float(task.weight)
        before = {p: p.read_bytes() for p in (tmp_path / name).rglob("*.jsonl")}
        again, _, done = count(tmp_path / name, 40, last=last)
        assert done == (last or 40) == float(again.weight) and again.validations == 0
        assert before == {p: p.read_bytes() for p in (tmp_path / name).rglob("*.jsonl")}


def test_a_run_may_be_made_longer(tmp_path):
    count(tmp_path, 10)
    task, run, done = count(tmp_path, 14)
    assert (
        run.notes[0].startswith("extended from 10 to 14 steps; the learning rate") and float(task.weight) == done == 14
    )
    assert not count(tmp_path, 14)[1].notes
    with pytest.raises(InputError, match=r"steps 14 -> 5\); give the same, or another `save_dir`"):
        count(tmp_path, 5)
    count(tmp_path / "epochs", 10, epochs=2)
    assert "from 2 to 3 epochs" in count(tmp_path / "epochs", 10, epochs=3)[1].notes[0]
    with pytest.raises(InputError, match="steps 10 -> 12"):  # of an epoch
        count(tmp_path / "epochs", 12, epochs=3)


def test_a_run_that_its_validation_has_ended_cannot_be_made_longer(tmp_path):
    count(tmp_path, 40, last=20)
    before = files(tmp_path)
    with pytest.raises(InputError, match="the validation has ended this run, so it cannot be made longer"):
        count(tmp_path, 60, last=20)
    assert files(tmp_path) == before


def test_another_recipe_in_the_same_folder_is_refused(tmp_path):
    RunFolder(tmp_path, {"recipe": {"steps": 5, "lr": 0.003}})
    RunFolder(tmp_path, {"recipe": {"steps": 5, "lr": 0.1}})  # nothing has been trained yet
    count(tmp_path, 5, lr=0.1, data={"train": "13x16 abc"})
    for change in (
        {"lr": 0.003, "data": {"train": "13x16 abc"}},
        {"lr": 0.1, "data": {"train": "13x16 d"}},
        {"lr": 0.1},
    ):
        with pytest.raises(InputError, match=r"lr 0.1 -> 0.003|train 13x16 abc -> (13x16 d|None)"):
            count(tmp_path, 5, **change)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_keeps_the_state_and_says_where_it_goes_on(tmp_path, number):
    before = signal.getsignal(number)

    def report(step, figures):
        if step == 10:
            signal.raise_signal(number)

    with pytest.raises(KeyboardInterrupt, match=r"goes on from step 10 in") as stopped:
        count(tmp_path, 40, report=report)
    assert stopped.value.number == number and signal.getsignal(number) is before
    assert RunFolder(tmp_path, {"recipe": {"steps": 40}}).restore(weight=tf.Variable(0.0)) == 10
    assert count(tmp_path, 40)[2] == 40


def test_states_and_logs_are_on_the_disk_before_older_ones_go(tmp_path, monkeypatch):
    events = []
    real = {name: getattr(checkpoint.os, name) for name in ("fsync", "replace", "unlink")}
    monkeypatch.setattr(checkpoint.os, "fsync", lambda fd: (events.append("fsync"), real["fsync"](fd)))
    monkeypatch.setattr(
        checkpoint.os, "replace", lambda a, b: (events.append(f"replace {b}"[-12:]), real["replace"](a, b))
    )
    run = RunFolder(tmp_path, {"recipe": {}})
    run.restore(weight=tf.Variable(0.0))
    events.clear()
    for step in range(1, 6):
        run.save(step)
    assert run.states.steps() == [3, 4, 5]
    assert not list((tmp_path / "state").glob(".part-*"))
    first = events[: len(events) // 5]
    assert first[-1] == "fsync" and first[-2].endswith("ckpt-1.index") and first[-3] == "fsync"
    events.clear()
    run.log(5, {"loss/train": 1.0})
    assert "fsync" in events


def test_nothing_of_a_run_belongs_to_the_process():
    """TensorFlow cannot switch determinism off again; what is used here gives the same bits without (test_resume)."""
    for path in (ROOT / "src").rglob("*.py"):
        assert not re.search(r"enable_op_determinism|set_dtype_policy|set_random_seed\(", path.read_text()), path


@pytest.mark.parametrize("bert", [False, True])
def test_evaluation_counts_every_example_once(bert):
    model, X = random_model(dataclasses.replace(TINY, bert=bert, classes=3)), random_tokens(7)
    Y = np.eye(3, dtype=np.float32)[np.arange(7) % 3]
    whole = Evaluator(model, ONE, 7).score(X, Y)
    for n_batch in (3, 16):
        assert Evaluator(model, ONE, n_batch).score(X, Y) == pytest.approx(whole, abs=1e-6)
    if not bert:
        expected = model(X, Y)
        assert whole["gen"] == pytest.approx(float(expected["gen_loss"]), abs=1e-6)
        assert whole["clf"] == pytest.approx(float(expected["clf_loss"]), abs=1e-6)
        assert whole["acc"] == pytest.approx(float(expected["accuracy"]))
    assert set(Evaluator(model, ONE, 4).score(X)) == {"gen"}


def test_a_model_without_a_classifier_has_no_figures_of_one():
    seen, X = [], random_tokens(7)
    figures = Evaluator(random_model(TINY), ONE, 4).score(
        X, np.eye(3)[np.arange(7) % 3], progress=lambda done, total: seen.append((done, total))
    )
    assert set(figures) == {"gen"} and seen == [(4, 7), (7, 7)]
