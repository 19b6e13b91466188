"""The bundled models, the first as a newcomer meets it."""

import json

import numpy as np
import pytest
from PIL import Image

import run
from src.cli import flags
from src.config import BUNDLED, BUNDLED_GREY
from src.utils import count_parameters
from src.weights.checkpoint import load_model
from tests.conftest import DATA, ROOT


def test_sample_with_no_model_named(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(flags, "DOWNLOADS", tmp_path / "nothing downloaded")
    run.main(["--sample", "--save_dir", str(tmp_path), "--n_samples", "2"])
    assert f"checkpoint: {BUNDLED}" in capsys.readouterr().out
    pictures = [np.asarray(Image.open(tmp_path / f"sample_{i}.png")) for i in range(2)]
    assert all(picture.shape == (32, 32, 3) and picture.std() > 20 for picture in pictures)
    assert np.ptp(pictures, axis=-1).max() > 40  # colours they are


# nats a token, on the images in tests/data
LOSSES = {"emoji": (BUNDLED, 0.60029596), "fashion_mnist": (BUNDLED_GREY, 0.64463747)}


@pytest.mark.parametrize("n_cpu", [1, pytest.param(2, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", LOSSES)
def test_eval_chooses_the_model_by_the_data(name, n_cpu, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(flags, "DOWNLOADS", tmp_path / "nothing downloaded")
    data, out = ["--data_path", str(DATA / name)], tmp_path / "figures.json"
    run.main(["--eval", *data, "--n_cpu", str(n_cpu), "--json", str(out)])
    folder, loss = LOSSES[name]
    assert f"checkpoint: {folder}" in capsys.readouterr().out
    assert json.loads(out.read_text())["splits"]["test"]["gen"] == pytest.approx(loss, abs=5e-6)


def test_a_guide_lies_beside_the_bundled_model_of_greys(tmp_path, capsys):
    given = ["--ckpt_path", str(BUNDLED_GREY), "--n_samples", "2", "--save_tokens", str(tmp_path / "tokens.npy")]
    tokens = []
    for guided in ([], ["--guide", str(BUNDLED_GREY / "guide")]):
        run.main(["--sample", *given, *guided, "--save_dir", str(tmp_path)])
        tokens.append(np.load(tmp_path / "tokens.npy"))
    assert f"guide: {BUNDLED_GREY / 'guide/model.ckpt-1500'}, guidance 0.3" in capsys.readouterr().out
    assert 0.05 < (tokens[0] != tokens[1]).mean() < 0.95


def test_size():
    assert sum(p.stat().st_size for p in (ROOT / "pretrained").rglob("*") if p.is_file()) < 60e6
    assert max(p.stat().st_size for p in (ROOT / "pretrained").rglob("*") if p.is_file()) < 25e6


@pytest.mark.parametrize(("folder", "colours"), [(BUNDLED, "colours"), (BUNDLED_GREY, "greys")])
def test_model_card(folder, colours):
    model, card = load_model(folder), (folder / "README.md").read_text()
    sizes = model.hparams
    assert f"{sizes.n_layer} blocks, width {sizes.n_embd}, {sizes.n_head} heads" in card
    assert f"{count_parameters(model.params.values()):,} parameters" in card
    assert f"{sizes.n_px}x{sizes.n_px} pixels in {sizes.n_vocab} {colours}" in card
    assert (np.ptp(np.load(folder / "clusters.npy"), axis=1).max() < 1e-6) == (colours == "greys")
