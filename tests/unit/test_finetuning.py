"""Fine-tuning: the release's losses and gradients, images and their variants, layers, heads, and which weights last."""

import dataclasses
import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from src.config import InputError
from src.data.augmentation import mirrored, shifted
from src.devices import distributed, make_strategy
from src.measuring.evaluation import Evaluator
from src.model import ImageGPT, attend, block, norm
from src.training.finetuning import HEAD, Finetuning, FinetuningRecipe, finetune, labelled, make_model
from src.training.loop import Intervals, summed
from src.training.pretraining import make_optimizer
from src.training.runs import RunFolder
from src.weights.checkpoint import load_model, save_model
from tests.conftest import DATA, TINY, random_model, random_tokens

ONE = tf.distribute.get_strategy()
CLASSES = dataclasses.replace(TINY, classes=3)


def quiet(step, figures):
    pass


def one_hot(n, classes=3):
    return np.eye(classes, dtype=np.float32)[np.arange(n) % classes]


def tiny_data(n=13, hparams=TINY):
    return labelled((random_tokens(n, hparams), one_hot(n)), (random_tokens(5, hparams, 1), one_hot(5)), 42)


def tiny_task(recipe, hparams=CLASSES, *, strategy=ONE, n_sub_batch=4, data=None):
    """A task on random weights, the same for the same sizes."""
    values = {name: v.numpy() for name, v in random_model(hparams).params.items()}
    with strategy.scope():
        model = ImageGPT(hparams, values=values.items(), dtype=recipe.dtype)
        return Finetuning(model, recipe, data or tiny_data(hparams=hparams), strategy, n_sub_batch)


def test_losses_and_every_gradient_are_the_release_s(golden):
    model, _, expected = golden["clf"]
    data = labelled((expected["X"], expected["Y"]), (expected["X"], expected["Y"]), 42)
    task = Finetuning(model, FinetuningRecipe(n_batch=4), data, ONE)
    hidden = np.zeros(expected["X"].shape, np.float32)  # an autoregressive model has no masks
    part = tf.constant(expected["X"]), tf.constant(hidden), tf.constant(expected["Y"])
    losses, gradients = task.losses_and_gradients(part)
    assert float(losses["gen"]) == pytest.approx(float(expected["gen_loss"]), rel=1e-5)
    assert float(losses["clf"]) == pytest.approx(float(expected["clf_loss"]), rel=1e-5)
    assert float(losses["loss"]) == pytest.approx(float(expected["gen_loss"] + expected["clf_loss"]), rel=1e-5)
    assert float(losses["acc"]) == pytest.approx(float(expected["accuracy"]))
    found = {variable.name.removesuffix(":0"): g for variable, g in zip(task.variables, gradients, strict=True)}
    assert {f"grad:{name}" for name in found} == {name for name in expected if name.startswith("grad:")}
    for name, gradient in found.items():
        wanted = expected[f"grad:{name}"]
        assert np.abs(gradient - wanted).max() <= 1e-5 * np.abs(wanted).max(), name


@pytest.mark.parametrize("bert", [False, True])
def test_the_classifier_s_loss_alone_leaves_the_colours_head_as_it_is(bert):
    recipe = FinetuningRecipe(steps=3, n_batch=4, clf_only=True, lr=0.1)
    task = tiny_task(recipe, dataclasses.replace(CLASSES, bert=bert))
    before = {name: v.numpy() for name, v in task.model.params.items()}
    for batch in task.batches(0):
        losses = task.update(*map(tf.constant, batch))
    assert losses.keys() == {"loss", "clf", "acc"} and float(losses["loss"]) == float(losses["clf"])
    same = {name for name, value in before.items() if np.array_equal(value, task.model.params[name])}
    assert same == {"model/wtet"}


def test_a_classifier_learns_as_adam_has_it_under_muon():
    optimizer, head = (
        make_optimizer(FinetuningRecipe(optimizer="muon", lr=0.1)),
        tf.Variable(np.ones([3, 8], np.float32)),
    )
    head.path = HEAD
    optimizer.build([head])
    optimizer.apply([tf.constant(np.outer([1.0, 2, 3], np.ones(8)), tf.float32)], [head])
    np.testing.assert_allclose(head, 0.9, atol=1e-5)  # a whole step everywhere, whatever the size of the gradient


def by_hand(image, most, down, across):
    """An image [s, s] moved so, a pixel at a time."""
    n_px = len(image)

    def inside(i):
        i = abs(i)
        return 2 * (n_px - 1) - i if i >= n_px else i

    rows, columns = (range(offset - most, offset - most + n_px) for offset in (down, across))
    return np.array([[image[inside(i), inside(j)] for j in columns] for i in rows])


def test_images_are_moved_by_all_distances_with_reflection():
    x, seen = np.arange(64)[None].repeat(2000, 0), set()
    moved = shifted(x, 8, 2, np.random.default_rng(0))
    ways = {(d, a): by_hand(np.arange(64).reshape(8, 8), 2, d, a).tobytes() for d in range(5) for a in range(5)}
    seen = [image.astype(x.dtype).tobytes() for image in moved]
    counts = [seen.count(way) for way in ways.values()]
    assert sum(counts) == 2000 and len(counts) == 25 and min(counts) > 40
    np.testing.assert_array_equal(shifted(x[:3, :4], 2, 4, np.random.default_rng(0)).shape, [3, 4])


def test_half_of_the_images_are_mirrored():
    x = np.tile(np.arange(16), [400, 1])
    y = mirrored(x, 4, np.random.default_rng(0))
    other = (y == x.reshape(-1, 4, 4)[:, :, ::-1].reshape(x.shape)).all(1)
    assert (other | (y == x).all(1)).all() and 150 < other.sum() < 250


def test_batches_depend_on_seed_and_step_alone_and_labels_follow_their_images():
    X = np.arange(12)[:, None].repeat(16, 1)  # every image of one colour, so that no variant of it is another
    data = labelled((X, one_hot(12)), None, 42)
    assert len(data.rows) == 11 and set(data.rows) | {int(data.valid[0, 0])} == set(range(12))
    task = tiny_task(FinetuningRecipe(steps=22, n_batch=4), data=data)
    batches = list(task.batches(0))
    for x, mask, y in batches:
        np.testing.assert_array_equal(y, one_hot(12)[x[:, 0]])
        assert (x == x[:, :1]).all() and mask.shape == x.shape
    shown = np.concatenate([x[:, 0] for x, _, _ in batches]).reshape(8, 11)
    assert all(set(epoch) == set(data.rows) for epoch in shown)
    for whole, again in zip(batches[7:], task.batches(7), strict=True):
        for a, b in zip(whole, again, strict=True):
            np.testing.assert_array_equal(a, b)
    other = dataclasses.replace(task.recipe, seed=43)
    assert not np.array_equal(next(tiny_task(other, data=data).batches(0))[0], batches[0][0])


@pytest.mark.parametrize("flip, shift, variants", [(False, 0, 1), (True, 0, 2), (False, 1, 9), (True, 1, 18)])
def test_the_recipe_s_variants_are_those_that_are_shown(flip, shift, variants):
    X = np.arange(16)[None].repeat(2, 0)
    recipe = FinetuningRecipe(steps=1, n_batch=500, flip=flip, shift=shift)
    task = tiny_task(recipe, data=labelled((X, one_hot(2)), (X, one_hot(2)), 42), n_sub_batch=500)
    assert len(np.unique(next(task.batches(0))[0], axis=0)) == variants


def test_validation_images_are_drawn_by_the_seed():
    train, valid = (random_tokens(30), one_hot(30)), (np.arange(40)[:, None].repeat(16, 1), one_hot(40))
    some, same, other = (labelled(train, valid, seed, 7) for seed in (1, 1, 2))
    assert len(some.valid) == 7 and len(some.rows) == 30 and len(labelled(train, valid, 1).valid) == 40
    np.testing.assert_array_equal(some.valid, same.valid)
    np.testing.assert_array_equal(some.valid_labels, one_hot(40)[some.valid[:, 0]])
    assert not np.array_equal(some.valid, other.valid)
    with pytest.raises(InputError, match="all of one class"):
        labelled((random_tokens(4), one_hot(1).repeat(4, 0)), valid, 1)
    with pytest.raises(InputError, match="all of one class"):
        labelled((random_tokens(2), one_hot(2)), None, 1)


@pytest.mark.parametrize("bert", [False, True])
@pytest.mark.parametrize("layer", [1, 2, 3])
def test_a_layer_s_features_are_the_normed_input_of_the_block_behind_it(layer, bert, tmp_path):
    model = random_model(dataclasses.replace(TINY, n_layer=3, bert=bert))
    save_model(model, tmp_path / "model.ckpt-1")
    cut, _ = make_model(tmp_path / "model.ckpt-1", FinetuningRecipe(layer=layer), 3)
    X, mask = random_tokens(5), np.ones([5, 16], np.float32)
    h = model.embed(X, mask=mask)
    for i in range(layer):
        h, _ = block(h, model.block_params(i), lambda q, k, v: attend(q, k, v, causal=not bert))
    gain = model.params["model/ln_f/g" if layer == 3 else f"model/h{layer}/ln_1/g"]
    np.testing.assert_allclose(cut.features(X, mask)[0], norm(h, gain), atol=1e-6)
    assert cut.hparams == dataclasses.replace(model.hparams, n_layer=layer, classes=3)
    assert not np.any(cut.params[HEAD])


@pytest.mark.parametrize(
    "classes, changes, words, kept",
    [
        (7, {}, "the checkpoint's", True),
        (3, {}, "new (the checkpoint's, of 7 classes on layer 2, does not fit)", False),
        (7, {"layer": 1}, "new (the checkpoint's, of 7 classes on layer 2, does not fit)", False),
        (7, {"from_scratch": True}, "new, as are all weights", False),
    ],
)
def test_what_a_classifier_starts_as(classes, changes, words, kept, golden):
    model, prefix, _ = golden["clf"]
    made, said = make_model(prefix, FinetuningRecipe(**changes), classes)
    assert said == words and made.hparams.classes == classes
    assert np.array_equal(made.params[HEAD], model.params[HEAD]) == kept and (kept or not np.any(made.params[HEAD]))
    same = np.array_equal(made.params["model/wte"], model.params["model/wte"])
    assert same != ("from_scratch" in changes)


@pytest.mark.parametrize("name", ["ar", "ar_sharded", "bert", "hf"])
def test_any_model_without_a_trained_classifier_gets_a_new_one(name):
    folder = DATA / name
    made, said = make_model(folder, FinetuningRecipe(), 4, bert_mask_prob=0.3)
    assert said == "new (the checkpoint has no trained one; none of the released ones has)"
    assert made.hparams.classes == 4 and made.hparams.bert_mask_prob == 0.3
    other = load_model(folder, bert_mask_prob=0.3)
    assert all(np.array_equal(made.params[key], value) for key, value in other.params.items())
    with pytest.raises(InputError, match=r"`layer` 9: .* has \d blocks; take 1 to \d"):
        make_model(folder, FinetuningRecipe(layer=9), 4)


def test_a_classifier_of_zeros_counts_as_none(tmp_path):
    model = random_model(CLASSES)
    model.params[HEAD].assign(np.zeros([3, 8]))
    save_model(model, tmp_path / "model.ckpt-1")
    assert "no trained one" in make_model(tmp_path / "model.ckpt-1", FinetuningRecipe(), 3)[1]


@pytest.mark.parametrize(
    "bert, changes",
    [
        (False, {}),
        (True, {"masks": 3}),
        pytest.param(False, {"clf_only": True, "dtype": "bfloat16", "ema": 0.9}, marks=pytest.mark.slow),
        pytest.param(True, {"optimizer": "muon", "dtype": "float16", "warmup_steps": 5}, marks=pytest.mark.slow),
    ],
)
def test_two_kinds_of_images_are_told_apart(bert, changes, tmp_path):
    rng = np.random.default_rng(0)
    Y = one_hot(80, 2)
    X = (3 * Y[:, 1:] + rng.integers(0, 3, [80, 16])).astype(np.int32)  # darker and lighter
    data = labelled((X[:60], Y[:60]), (X[60:], Y[60:]), 42)
    save_model(ImageGPT(dataclasses.replace(TINY, bert=bert)), tmp_path / "model.ckpt-0")
    recipe = FinetuningRecipe(steps=80, n_batch=8, lr=0.01, eval_every=20, patience=2, **changes)
    model, _ = make_model(tmp_path / "model.ckpt-0", recipe, 2)
    run = RunFolder(tmp_path / "run", {"recipe": dataclasses.asdict(recipe)})
    task = Finetuning(model, recipe, data, ONE, 4)
    prefix, accuracy = finetune(task, run, ONE, Intervals(20, recipe.eval_every, 20), quiet)
    assert accuracy >= 95
    log = [json.loads(line) for line in (run.path / "log.jsonl").read_text().splitlines()]
    scored = {row["step"]: row["acc/valid"] for row in log if "acc/valid" in row}
    best = max(scored.values())
    assert accuracy == best and prefix.name == f"model.ckpt-{min(s for s, acc in scored.items() if acc == best)}"
    assert run.done == (max(scored) - int(task.best.step) == 40)
    reread = Evaluator(load_model(prefix), ONE, 4).score(data.valid, data.valid_labels, masks=recipe.masks)
    assert reread["acc"] == pytest.approx(accuracy, abs=5)  # in float32, whatever the training was in


def test_the_best_weights_are_what_is_kept(tmp_path):
    task = tiny_task(FinetuningRecipe(steps=4, n_batch=4, patience=2))
    run = RunFolder(tmp_path, {})
    scored = zip(range(1, 7), [10.0, 30, 20, 30, 40, 40], [False, False, False, True, False, False], strict=True)
    for step, accuracy, last in scored:
        for variable in task.variables:
            variable.assign(tf.fill(variable.shape, float(step)))
        assert task.validated(step, {"acc": accuracy}) == last, step
    run.done = True
    run.restore(**task.trackables)
    run.save(6)
    fresh = tiny_task(task.recipe)  # as after a kill
    prefix, accuracy = finetune(fresh, RunFolder(tmp_path, {}), ONE, Intervals(), quiet)
    assert accuracy == 40 and prefix.name == "model.ckpt-5"
    assert all((v.numpy() == 5).all() for v in load_model(prefix).params.values())


def test_validation_is_of_the_averaged_weights_under_so_many_masks():
    recipe = FinetuningRecipe(steps=3, n_batch=4, lr=0.1, ema=0.5, masks=3)
    task = tiny_task(recipe, dataclasses.replace(CLASSES, bert=True))
    for batch in task.batches(0):
        task.update(*map(tf.constant, batch))
    last, figures = [v.numpy() for v in task.variables], task.validate()
    task.validated(3, figures)
    for variable, value in zip(task.variables, last, strict=True):
        np.testing.assert_array_equal(variable, value)
    with task.averaged():
        for name, variable in task.model.params.items():
            np.testing.assert_array_equal(task.best.params[name], variable)
        three, one = (task.evaluator.score(task.valid, task.tokens.valid_labels, masks=n) for n in (3, 1))
    assert figures == three != one and not np.array_equal(task.best.params[HEAD], task.model.params[HEAD])


def figures_after(strategy, n_sub_batch=2, **changes):
    """Losses, weights and a validation after a few plain steps downhill, which compare to rounding."""
    task = tiny_task(FinetuningRecipe(steps=5, n_batch=8), strategy=strategy, n_sub_batch=n_sub_batch, **changes)
    with strategy.scope():
        task.optimizer = keras.optimizers.SGD(0.1)
        task.optimizer.build(task.variables)
    batches, update = distributed(strategy, lambda: task.batches(0), task.signature), summed(strategy, task.update)
    losses = [[float(value) for value in update(batch).values()] for batch in batches]
    figures = task.validate()
    task.validated(5, figures)
    return [losses, list(figures.values()), *(v.numpy() for v in task.best.params.values())]


@pytest.mark.parametrize("bert", [False, True])
def test_two_devices_and_parts_of_a_batch_give_the_same_figures(bert):
    hparams = dataclasses.replace(CLASSES, n_layer=1, bert=bert)
    one = figures_after(make_strategy(n_cpu=1), 8, hparams=hparams)
    two = figures_after(make_strategy(n_cpu=2), 2, hparams=hparams)
    for a, b in zip(one, two, strict=True):
        np.testing.assert_allclose(a, b, atol=5e-5)
    assert np.abs(one[-1] - list(random_model(hparams).params.values())[-1]).max() > 1e-3


def test_weights_that_diverge_are_an_error():
    task = tiny_task(FinetuningRecipe(steps=1, n_batch=4))
    assert task.check({"gen": 1.9, "clf": 9.0}) is None
    assert "more than twice that of guessing" in task.check({"gen": 4.0, "clf": 1.0})
