"""dataset.py as its users run it."""

import numpy as np
import pytest

import dataset
from tests.conftest import run_command, run_here
from tests.unit.test_data import write_mnist, write_photos


def test_mnist_with_a_fitted_palette(tmp_path):
    (tmp_path / "raw").mkdir()
    write_mnist(tmp_path / "raw", ending=".gz")
    out = tmp_path / "out"
    flags = ["--name", "m", "--save_dir", out, "--n_px", 28, "--fit_clusters", 5, "--valid_fraction", 0.2]
    result = run_command("dataset.py", tmp_path / "raw", *flags)
    assert "m_trX.npy: 20 images of 28x28, 5 colours, 10 classes" in result.stdout
    names = ["m_clusters", *(f"m_{s}{a}" for s in ("te", "tr", "va") for a in "XY")]
    assert sorted(p.stem for p in out.iterdir()) == sorted(names)
    assert np.load(out / "m_clusters.npy").shape == (5, 3)
    assert np.load(out / "m_teX.npy").max() < 5 and np.load(out / "m_teY.npy").shape == (7, 10)


def test_folder_with_a_given_palette(tmp_path):
    write_photos(tmp_path / "raw", 6)
    (tmp_path / "raw" / "bad.jpg").write_bytes(b"")
    np.save(tmp_path / "p.npy", np.linspace(-1, 1, 300)[:, None].repeat(3, 1))
    flags = ["--save_dir", tmp_path, "--n_px", 8, "--clusters", tmp_path / "p.npy", "--valid_fraction", 0]
    result = run_command("dataset.py", tmp_path / "raw", *flags)
    assert "1 unreadable images skipped" in result.stdout and "bad.jpg" in result.stderr
    assert np.load(tmp_path / "raw_trX.npy").dtype == np.uint16


@pytest.mark.parametrize(
    "flags, code, message",
    [
        (["{}/raw"], 2, "--clusters"),
        (["{}/nowhere", "--fit_clusters", 4], 1, "/nowhere: no such folder"),
        (["{}/raw", "--clusters", "{}/nothing.npy"], 1, "/nothing.npy: no such file"),
        (["{}/raw", "--fit_clusters", 4, "--valid_fraction", 0.9], 2, "--valid_fraction"),
        (["{}/raw", "--fit_clusters", 100000], 1, "--fit_clusters 100000"),
    ],
)
def test_mistakes(flags, code, message, tmp_path, capsys):
    write_photos(tmp_path / "raw", 2)
    flags = [f.format(tmp_path) if isinstance(f, str) else f for f in flags]
    got, stderr = run_here(dataset.main, [*flags, "--save_dir", tmp_path / "out"], capsys)
    assert got == code and message in stderr
    assert stderr.splitlines()[-1].startswith("dataset.py: ")
    assert not list((tmp_path / "out").glob("*"))
