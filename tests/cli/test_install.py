"""The library installed into another folder, and used from there."""

import shutil
import subprocess
import sys

import pytest

from tests.conftest import ROOT, run_command

USE = """
from src.cli.process import import_tensorflow
import_tensorflow()
from src.config import BUNDLED
from src.drawing.sampling import Sampler
from src.weights.checkpoint import load_model
model = load_model(BUNDLED)
print(Sampler(model).draw(prefix=[[0] * 1023]).shape, BUNDLED)
"""


@pytest.mark.slow
def test_installed_library_draws_from_another_folder(tmp_path):
    copy, installed = tmp_path / "copy", tmp_path / "installed"  # setuptools writes into the folder that it builds
    for name in ("src", "pretrained"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "requirements.txt"):
        shutil.copy(ROOT / name, copy)
    run_command("-m", "pip", "install", "--quiet", "--no-deps", "--target", installed, copy)
    assert not list(installed.glob("*.py"))
    modules = {path.relative_to(copy) for path in (copy / "src").rglob("*.py")}
    assert modules <= {path.relative_to(installed) for path in installed.rglob("*.py")}
    used = subprocess.run(
        [sys.executable, "-c", USE], cwd=tmp_path, env={"PYTHONPATH": str(installed)}, capture_output=True, text=True
    )
    assert used.stdout.startswith(f"(1, 1024) {installed}"), used.stderr
