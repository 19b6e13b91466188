"""run.py --finetune as a user runs it."""

import dataclasses
import json
import re

import numpy as np
import pytest

import run
from src.weights.checkpoint import load_model, save_model
from tests.conftest import TINY, files, random_model, run_here

QUICK = ["--n_batch", 4, "--n_sub_batch", 2, "--steps", 4, "--eval_every", 2, "--patience", 9]


def flags(folder, *more):
    places = ["--data_path", folder / "tokens", "--ckpt_path", folder / "tiny", "--save_dir", folder / "run"]
    return [str(flag) for flag in ("--finetune", *places, *QUICK, *more)]


def test_ends_with_a_checkpoint_that_the_release_s_flags_evaluate(project, capsys):
    run.main(flags(project))
    said = capsys.readouterr().out
    assert f"{project}/run: from step 0 to 4 at most, 1,832 parameters, 13 images, batches of 4 in parts of 2" in said
    assert "classifier: 3 classes on layer 2 of 2, new (the checkpoint has no trained one" in said
    assert "augment: crop, because the palette is grey" in said
    assert "validation: 13 images, every 2 steps; the training ends after 9 without a higher accuracy" in said
    accuracy, prefix = re.search(r"^valid acc: (.+)\ncheckpoint: (.+)$", said, re.MULTILINE).groups()
    command = re.search(r"^python run.py (--clf --eval --splits test .*)$", said, re.MULTILINE)[1].split()
    run.main([*command, "--json", str(project / "figures.json")])
    assert re.search(r"^test gen: \S+ clf: \S+ acc: \S+$", capsys.readouterr().out, re.MULTILINE)
    valid = ["--clf", "--eval", "--splits", "valid", "--data_path", str(project / "tokens")]
    run.main([*valid, "--save_dir", str(project / "run")])
    assert f"acc: {accuracy}\n" in capsys.readouterr().out
    assert json.loads((project / "figures.json").read_text())["checkpoint"] == prefix
    recipe = json.loads((project / "run" / "recipe.json").read_text())["recipe"]
    paper = {"lr": 0.0003, "schedule": "constant", "warmup_steps": 0, "beta1": 0.9, "beta2": 0.95, "optimizer": "adam"}
    assert paper.items() <= recipe.items()


def test_a_tenth_is_held_out_where_no_images_are_for_validation_on_two_devices(project, capsys):
    for array in "XY":
        (project / f"tokens_va{array}.npy").unlink()
    run.main(flags(project, "--n_cpu", 2, "--eval", "--clf"))
    said = capsys.readouterr().out
    assert "new (the checkpoint has no trained one" in said
    assert "validation: 1 images of those to train on, for" in said and "12 images, batches" in said
    assert re.search(r"^test gen: \S+ clf: \S+ acc: ", said, re.MULTILINE)  # of the fine-tuned model


def test_layer_random_weights_and_augmentation_are_what_the_flags_say(project, capsys):
    colours = np.random.default_rng(0).uniform(-1, 1, [TINY.n_vocab, 3]).astype(np.float32)
    for path in ("tokens_clusters.npy", "tiny/clusters.npy"):
        np.save(project / path, colours)
    run.main(flags(project, "--layer", 1, "--from_scratch", "--clf_only", "--lr", 1e-9))
    said = capsys.readouterr().out
    assert "3 classes on layer 1 of 2, new, as are all weights" in said
    assert "augment: cifar, because the palette has colours" in said and "train gen" not in said
    model = load_model(project / "run")
    assert model.hparams.n_layer == 1 and np.abs(model.params["model/wpe"]).max() < 0.1  # the checkpoint's: 0.3 times
    run.main(flags(project, "--augment", "flip", "--save_dir", project / "other"))
    recipe = json.loads((project / "other" / "recipe.json").read_text())["recipe"]
    assert (recipe["flip"], recipe["shift"]) == (True, 0) and "augment:" not in capsys.readouterr().out


def labels(folder, split="tr", array=None):
    path = folder / f"tokens_{split}Y.npy"
    path.unlink()
    if array is not None:
        np.save(path, array)


def one_class(folder):
    labels(folder, array=np.eye(3, dtype=np.float32)[np.zeros(13, int)])


def other_classes(folder):
    labels(folder, "va", np.eye(4, dtype=np.float32)[np.arange(13) % 4])


def another_run(folder):
    run.main(flags(folder, "--seed", 1))


def pretrained_there(folder):
    sizes = ["--n_px", 4, "--n_embd", 8, "--n_head", 2, "--n_layer", 1, "--steps", 1, "--n_sub_batch", 2]
    run.main([*map(str, ["--train", "--data_path", folder / "tokens", "--save_dir", folder / "run", *sizes])])


def nothing(folder):
    pass


MISTAKES = {
    "no labels": (lambda f: labels(f), [], "tokens_trY.npy: no such file, but labels are needed"),
    "none for validation": (lambda f: labels(f, "va"), [], "tokens_vaY.npy: no such file, but labels are needed"),
    "one class": (one_class, [], "all of one class"),
    "too few labels": (lambda f: labels(f, array=np.eye(3)[[0, 1]]), [], "labels [2, 3] do not fit the 13 images"),
    "other classes": (other_classes, [], "tokens_vaY.npy: labels of 4 classes, but those of train are of 3"),
    "layer": (nothing, ["--layer", 3], "--layer 3: "),
    "layer's range": (nothing, ["--layer", 3], "has 2 blocks; take 1 to 2"),
    "rate of masks": (nothing, ["--bert_mask_prob", 0.2], "--bert_mask_prob: an autoregressive model has no masks"),
    "masks": (nothing, ["--masks", 5], "--masks: an autoregressive model has no masks"),
    "sizes": (nothing, ["--n_embd", 9], "--n_embd 9 was given but the checkpoint has 8"),
    "parts": (nothing, ["--n_batch", 5], "--n_batch 5: not a multiple of --n_sub_batch 2"),
    "another run": (another_run, [], "the run in this folder has other settings (seed 1 -> 42"),
    "a pre-training": (pretrained_there, [], "the run in this folder has other settings ("),
}


SLOW = {"a pre-training"}


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow) if n in SLOW else n for n in MISTAKES])
def test_a_mistake_is_one_line_and_changes_nothing(name, project, capsys):
    prepare, more, line = MISTAKES[name]
    prepare(project)
    before = files(project)
    capsys.readouterr()
    code, said = run_here(run.main, flags(project, *more), capsys)
    assert code == 1 and line in said and said.count("\n") == 1, said
    assert files(project) == before


@pytest.mark.parametrize(
    "more, line",
    [
        (["--train"], "--finetune: not with --train"),
        (["--flip"], "--flip: --finetune does not read it; it belongs to --train"),
        (["--clf"], "--clf: --finetune does not read it"),
        (["--layer", "0"], "--layer: must be at least 1"),
        (["--augment", "mixup"], "--augment: invalid choice"),
    ],
)
def test_flags_that_cannot_be_are_refused(more, line, project, capsys):
    code, said = run_here(run.main, flags(project, *more), capsys)
    assert code == 2 and line in said and said.count("\n") == 1


def test_a_classifier_that_fits_is_gone_on_with(project, capsys):
    save_model(random_model(dataclasses.replace(TINY, classes=3)), project / "tiny" / "model.ckpt-1")
    run.main(flags(project))
    assert "3 classes on layer 2 of 2, the checkpoint's\n" in capsys.readouterr().out
    reached = load_model(project / "run").params["model/clf/wclf"]
    assert np.abs(reached - load_model(project / "tiny").params["model/clf/wclf"]).max() < 0.01
