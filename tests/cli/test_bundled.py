"""The bundled model, as a newcomer meets it: no flag but the mode."""

import json

import numpy as np
import pytest
from PIL import Image

import run
from src.cli import flags
from src.config import BUNDLED
from src.utils import count_parameters
from src.weights.checkpoint import load_model
from tests.conftest import DATA, ROOT


def test_sample_with_no_other_argument(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(flags, "DOWNLOADS", tmp_path / "nothing downloaded")
    run.main(["--sample", "--save_dir", str(tmp_path)])
    assert f"checkpoint: {BUNDLED}" in capsys.readouterr().out
    assert len(list(tmp_path.glob("sample_?*.png"))) == 16
    assert Image.open(tmp_path / "sample_0.png").size == (28, 28)
    assert np.asarray(Image.open(tmp_path / "samples.png")).std() > 20


LOSS_ON_64_IMAGES = 0.65836557  # nats a token


@pytest.mark.parametrize("n_cpu", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_eval_on_the_first_test_images(n_cpu, tmp_path):
    data, out = ["--data_path", str(DATA / "fashion_mnist")], tmp_path / "figures.json"
    run.main(["--eval", "--ckpt_path", str(BUNDLED), *data, "--n_cpu", str(n_cpu), "--json", str(out)])
    loss = json.loads(out.read_text())["splits"]["test"]["gen"]
    assert loss == pytest.approx(LOSS_ON_64_IMAGES, abs=5e-6)


def test_size_and_model_card():
    assert sum(p.stat().st_size for p in (ROOT / "pretrained").rglob("*") if p.is_file()) < 60e6
    model, card = load_model(BUNDLED), (BUNDLED / "README.md").read_text()
    sizes = model.hparams
    assert f"{sizes.n_layer} blocks, width {sizes.n_embd}, {sizes.n_head} heads" in card
    assert f"{count_parameters(model.params.values()):,} parameters" in card
    assert f"{sizes.n_px}x{sizes.n_px} pixels in {sizes.n_vocab} greys" in card
    assert np.ptp(np.load(BUNDLED / "clusters.npy"), axis=1).max() < 1e-6  # greys they are
