"""The recipe, the data order, and that training learns."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from src.checkpoint import load_model
from src.config import InputError
from src.evaluation import Evaluator
from src.training import Recipe, Reporting, Run, make_optimizer, training_batches
from tests.conftest import TINY, random_model, random_tokens

ONE = tf.distribute.get_strategy()


def test_schedule():
    rate = make_optimizer(Recipe(steps=100, lr=0.4, warmup_steps=10))._learning_rate
    assert float(rate(5)) == pytest.approx(0.4 * 0.55)  # from lr / 10 at step 0 to lr at step 10
    assert float(rate(10)) == pytest.approx(0.4)
    assert float(rate(55)) == pytest.approx(0.2, rel=1e-5)
    assert float(rate(100)) == pytest.approx(0, abs=1e-8)


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


@pytest.mark.parametrize("bert", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_training_learns_a_constant_image(bert, dtype, tmp_path):
    X = np.tile(random_tokens(1), [8, 1])
    recipe = Recipe(steps=150, n_batch=8, lr=0.02, warmup_steps=5, dtype=dtype)
    hparams = dataclasses.replace(TINY, bert=bert, n_vocab=6)
    run = Run(tmp_path, hparams, recipe, ONE, recompute=dtype == "bfloat16")
    prefix = run.train(X, X, Reporting(log_every=75, eval_every=150, save_every=150))
    loss = Evaluator(load_model(prefix), ONE, 8).score(X)["gen"]
    assert loss < 0.3 < np.log(6)
    log = (tmp_path / "log.jsonl").read_text()
    assert log.count("train") == 2 and log.count("valid") == 1
    assert list((tmp_path / "tensorboard").iterdir())


def test_a_loss_that_is_no_number_stops_the_run(tmp_path):
    run = Run(tmp_path, TINY, Recipe(steps=4, n_batch=2, lr=1e30, warmup_steps=1), ONE)
    with pytest.raises(InputError, match=r"step [1-4].*lower --lr"):
        run.train(random_tokens(4), reporting=Reporting(log_every=1))
    assert not list(tmp_path.glob("model.ckpt*"))


def test_another_recipe_in_the_same_folder_is_refused(tmp_path):
    Run(tmp_path, TINY, Recipe(steps=5), ONE)
    with pytest.raises(InputError, match=r"lr 0.003 -> 0.1"):
        Run(tmp_path, TINY, Recipe(steps=5, lr=0.1), ONE)


@pytest.mark.parametrize("bert", [False, True])
def test_evaluation_counts_every_example_once(bert):
    model, X = random_model(dataclasses.replace(TINY, bert=bert)), random_tokens(7)
    Y = np.eye(3, dtype=np.float32)[np.arange(7) % 3]
    whole = Evaluator(model, ONE, 7).score(X, Y)
    for n_batch in (1, 3, 16):
        assert Evaluator(model, ONE, n_batch).score(X, Y) == pytest.approx(whole, abs=1e-6)
    assert whole["clf"] == pytest.approx(np.log(3)) and whole["acc"] == pytest.approx(300 / 7)
    if not bert:
        assert whole["gen"] == pytest.approx(float(model(X)["gen_loss"]), abs=1e-6)
    assert set(Evaluator(model, ONE, 4).score(X)) == {"gen"}
