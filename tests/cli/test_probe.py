"""run.py --probe and --predict as their users run them."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
from PIL import Image

import run
from src.measuring.features import Features
from src.weights.checkpoint import load_model, save_model
from tests.conftest import TINY, files, photo, random_model, run_here


@pytest.fixture
def labelled(project):
    """Token files of 40 images, of which the first pixel tells the class; `photos` to name."""
    rng = np.random.default_rng(0)
    for split, n in (("tr", 40), ("va", 20), ("te", 30)):
        X = rng.integers(0, TINY.n_vocab, [n, TINY.n_positions]).astype(np.uint8)
        np.save(project / f"tokens_{split}X.npy", X)
        np.save(project / f"tokens_{split}Y.npy", np.eye(3, dtype=np.float32)[X[:, 0] // 2])
    (project / "tokens_classes.json").write_text('["dark", "grey", "light"]')
    for i in range(3):
        Image.fromarray(photo(seed=i)).save(project / f"photo_{i}.png")
    return project


def probe(project, *args):
    where = ["--data_path", project / "tokens", "--ckpt_path", project / "tiny", "--save_dir", project / "out"]
    return list(map(str, ["--probe", *where, *args]))


def test_probe_then_predict(labelled, capsys):
    run.main(probe(labelled, "--labels_per_class", "2", "3"))
    lines = capsys.readouterr().out.splitlines()
    assert "60 training images, 6 of which chose" in lines[0] and "tested on 30 images" in lines[1]
    figures = json.loads((labelled / "out" / "probe.json").read_text())
    names = ["pixels", "layer 0", "layer 1", "layer 2", "layers 0-2"]
    assert [score["name"] for score in figures["scores"]] == names
    assert lines[8].startswith("6 images are few to choose C and a layer by")
    for line, score in zip(lines[3:], figures["scores"]):
        assert line.startswith(score["name"]) and f"{score['test']:.2f}" in line
    assert len(figures["few_labels"]) == 2 * 3 and figures["images"] == {"train": 60, "choosing": 6, "test": 30}
    assert Image.open(labelled / "out" / "probe.png").size == (600, 400)
    before = files(labelled / "out")
    predict = ["--predict", *(labelled / f"photo_{i}.png" for i in range(3)), "--save_dir", labelled / "out"]
    run.main(list(map(str, [*predict, "--json", labelled / "named.json"])))
    rows = json.loads((labelled / "named.json").read_text())
    lines = capsys.readouterr().out.splitlines()
    assert len(rows) == 3 and all(abs(sum(row.values()) - 1) < 1e-6 for row in rows.values())
    for line, (path, row) in zip(lines, rows.items()):
        best = max(row, key=row.get)
        assert line.startswith(f"{path}: {best} {row[best]:.3f}, ")
    assert files(labelled / "out") == before


def test_features_are_computed_once(labelled, monkeypatch, capsys):
    run.main(probe(labelled, "--layers", "1"))
    first = capsys.readouterr().out
    monkeypatch.setattr("src.measuring.features.Features.write", lambda *args: pytest.fail("computed again"))
    run.main(probe(labelled, "--layers", "1"))
    assert capsys.readouterr().out == first
    run.main(probe(labelled, "--layers", "2", "concat"))
    assert [line.split("  ")[0] for line in capsys.readouterr().out.splitlines()[4:-2]] == ["layer 2", "layers 0-2"]


def remove_labels(folder):
    (folder / "tokens_trY.npy").unlink()


def one_class(folder):
    for split, n in (("tr", 40), ("va", 20)):
        np.save(folder / f"tokens_{split}Y.npy", np.eye(3, dtype=np.float32)[[1] * n])


def too_short(folder):
    np.save(folder / "tokens_trY.npy", np.eye(3, dtype=np.float32)[[1, 0]])


def more_classes_in_test(folder):
    np.save(folder / "tokens_teY.npy", np.eye(4, dtype=np.float32)[[1] * 30])


def no_test(folder):
    (folder / "tokens_teX.npy").unlink()


@pytest.mark.parametrize(
    ("change", "args", "words"),
    [
        (remove_labels, [], "tokens_trY.npy: no such file, but labels are needed"),
        (one_class, [], "all training images are of one class"),
        (too_short, [], "tokens_trY.npy: labels [2, 3] do not fit the 40 images"),
        (more_classes_in_test, [], "tokens_teY.npy: labels of 4 classes, but those of train are of 3"),
        (no_test, [], "tokens_teX.npy: no such file"),
        (None, ["--layers", 3], "--layers 3: the model has layers 0 to 2"),
        (None, ["--layers", "best"], "must be a whole number, not best; or give concat"),
        (None, ["--labels_per_class", 40], "--labels_per_class 40: of class"),
        (None, ["--masks", 5], "--masks: an autoregressive model has no masks"),
        (None, ["--splits", "test"], "--splits: --probe does not read it"),
    ],
)
def test_mistakes(labelled, capsys, change, args, words):
    if change:
        change(labelled)
    code, error = run_here(run.main, probe(labelled, *args), capsys)
    assert code and words in error and len(error.splitlines()) == 1
    assert not list((labelled / "out").glob("*"))


def another_model(folder):
    save_model(random_model(TINY, seed=1), folder / "tiny" / "model.ckpt-1")


@pytest.mark.parametrize(
    ("change", "args", "words"),
    [
        (another_model, [], "of other weights than this checkpoint's"),
        (lambda folder: (folder / "out" / "probe.json").unlink(), [], "no such file; make it with --probe"),
        (lambda folder: (folder / "out" / "probe.npy").write_bytes(b"x"), [], "probe.npy"),
        (None, ["--predict", "nowhere.png"], "nowhere.png: no such file"),
        (None, ["--layers", 1], "--layers: --predict does not read it"),
        (None, ["--crop", "0,0,900,900"], "photo_0.png"),
    ],
)
def test_mistakes_in_predicting(labelled, capsys, change, args, words):
    run.main(probe(labelled, "--layers", "1"))
    if change:
        change(labelled)
    capsys.readouterr()
    predict = ["--predict", labelled / "photo_0.png", "--save_dir", labelled / "out", *args]
    code, error = run_here(run.main, predict, capsys)
    assert code and words in error and len(error.splitlines()) == 1


def test_a_folder_is_predicted_in_batches_and_the_model_may_lie_elsewhere(labelled, capsys, monkeypatch):
    run.main(probe(labelled, "--layers", "1"))
    (labelled / "photos").mkdir()
    for i in range(5):
        shutil.copy(labelled / "photo_0.png", labelled / "photos" / f"{i}.png")
    made, original = [], Features.__init__
    monkeypatch.setattr(Features, "__init__", lambda self, *args: made.append(args[2]) or original(self, *args))
    moved = (labelled / "tiny").rename(labelled / "moved")
    flags = ["--predict", labelled / "photos", "--save_dir", labelled / "out", "--ckpt_path", moved, "--n_sub_batch", 3]
    assert run_here(run.main, flags, capsys)[0] == 0 and made == [3]


def test_masks_of_bert_vote(labelled, capsys):
    save_model(random_model(dataclasses.replace(TINY, bert=True)), labelled / "tiny" / "model.ckpt-1")
    assert load_model(labelled / "tiny" / "model.ckpt-1").hparams.bert
    run.main(probe(labelled, "--masks", "3", "--layers", "2"))
    assert len(list((labelled / "out").glob("features-*.npy"))) == 4  # the training images' once
    run.main(["--predict", str(labelled / "photo_0.png"), "--save_dir", str(labelled / "out")])
    assert "photo_0.png: " in capsys.readouterr().out
