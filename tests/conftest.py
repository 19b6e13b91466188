"""Shared fixtures: a tiny model, the release's golden results, and commands run as a user runs them."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from src.cli.process import import_tensorflow, run

import_tensorflow()

import numpy as np  # noqa: E402
import pytest  # noqa: E402
from PIL import Image  # noqa: E402

from src.config import HParams  # noqa: E402
from src.devices import split_cpu  # noqa: E402
from src.model import ImageGPT  # noqa: E402
from src.weights.checkpoint import load_model, save_model  # noqa: E402

split_cpu(2)  # so that tests of two devices need no process of their own; all others use the first one

ROOT = Path(__file__).parent.parent
DATA = Path(__file__).parent / "data"
CPU = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""  # what it can do
TINY = HParams(n_px=4, n_embd=8, n_head=2, n_layer=2, n_vocab=6)


def random_model(hparams, seed=0):
    """A model with no weight at zero, so that nothing can hide."""
    model = ImageGPT(hparams, seed=seed)
    rng = np.random.default_rng(seed)
    for variable in model.params.values():
        variable.assign_add(rng.normal(0, 0.3, variable.shape).astype(np.float32))
    return model


def random_tokens(n, hparams=TINY, seed=0):
    return np.random.default_rng(seed).integers(0, hparams.n_vocab, [n, hparams.n_positions]).astype(np.int32)


@pytest.fixture(scope="session")
def golden():
    """Name to (model, prefix of its checkpoint, what the release computes from it)."""
    out = {}
    for name in ("ar", "ar_sharded", "bert", "clf"):
        prefix = DATA / name / "model.ckpt-1000000"
        out[name] = load_model(prefix), prefix, np.load(DATA / name / "expected.npz")
    return out


@pytest.fixture
def project(tmp_path):
    """A folder with a tiny checkpoint, its palette and token files: `tiny/model.ckpt-1`, `tokens_trX.npy`, ..."""
    (tmp_path / "tiny").mkdir()
    save_model(random_model(TINY), tmp_path / "tiny" / "model.ckpt-1")
    clusters = np.linspace(-1, 1, TINY.n_vocab, dtype=np.float32)[:, None].repeat(3, 1)
    np.save(tmp_path / "tiny" / "clusters.npy", clusters)
    np.save(tmp_path / "tokens_clusters.npy", clusters)
    for i, split in enumerate(("tr", "va", "te")):
        np.save(tmp_path / f"tokens_{split}X.npy", random_tokens(13, seed=i))
        np.save(tmp_path / f"tokens_{split}Y.npy", np.eye(3, dtype=np.float32)[np.arange(13) % 3])
    return tmp_path


def photo(height=60, width=80, seed=0):
    """A smooth image with edges, uint8 [height, width, 3]."""
    y, x = np.mgrid[:height, :width]
    waves = np.sin(x / 6 + seed)[..., None] * np.cos(y / 5)[..., None] * [1, 0.7, -0.8]
    disc = ((x - width / 2) ** 2 + (y - height / 2) ** 2 < 150)[..., None] * [60, -40, 30]
    return (128 + 60 * waves + disc).clip(0, 255).astype(np.uint8)


@pytest.fixture
def samples(tmp_path):
    """A folder with what run.py --sample leaves there: sample_0.png to sample_10.png, 28x28."""
    for i in range(11):
        Image.fromarray(photo(28, 28, i)).save(tmp_path / f"sample_{i}.png")
    return tmp_path


@pytest.fixture
def photos(tmp_path):
    """A folder `photos` with three photographs of 110x90."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for i in range(3):
        Image.fromarray(photo(90, 110, i)).save(folder / f"{i}.png")
    return folder


@pytest.fixture
def folder(photos):
    """A folder with nothing but that one."""
    return photos.parent


def run_command(*args, check=True, cwd=ROOT, **env):
    """Run `python args...`, from the project's root if not elsewhere."""
    result = subprocess.run(
        [sys.executable, *map(str, args)], cwd=cwd, capture_output=True, text=True, env=os.environ | env, check=False
    )
    if check:
        assert result.returncode == 0, result.stderr
    return result


def kill_when(path, *args):
    """Run `python args...` from the project's root and kill it, as the kernel would, as soon as `path` is there."""
    command = [sys.executable, *map(str, args)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not path.exists():
        assert process.poll() is None
        time.sleep(0.001)
    process.kill()
    assert process.wait() == -signal.SIGKILL


def run_here(main, args, capsys):
    """Run a command's main in this process: (exit code, standard error)."""
    with pytest.raises(SystemExit) as stop:
        run(main, [str(a) for a in args])
    return stop.value.code or 0, capsys.readouterr().err


def files(folder):
    """Relative path to contents of everything below a folder: what must not change after a mistake."""
    return {p.relative_to(folder): p.read_bytes() for p in Path(folder).rglob("*") if p.is_file()}
