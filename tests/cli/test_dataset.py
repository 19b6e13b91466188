"""dataset.py as its users run it."""

import numpy as np
import pytest

import dataset
from src.cli.process import run
from tests.conftest import files, run_here
from tests.unit.test_data import write_mnist, write_photos


def test_mnist_with_a_fitted_palette(tmp_path, capsys):
    (tmp_path / "raw").mkdir()
    write_mnist(tmp_path / "raw", ending=".gz")
    out = tmp_path / "out"
    flags = ["--name", "m", "--save_dir", out, "--n_px", 28, "--fit_clusters", 5, "--valid_fraction", 0.2]
    dataset.main([str(a) for a in [tmp_path / "raw", *flags]])
    assert capsys.readouterr().out.splitlines() == [
        *(
            f"{out}/m_{s}X.npy: {n} images of 28x28, 5 colours, 10 classes"
            for s, n in (("tr", 20), ("va", 5), ("te", 7))
        ),
        f"{out}/m_classes.json: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9",
    ]
    names = ["m_classes", "m_clusters", *(f"m_{s}{a}" for s in ("te", "tr", "va") for a in "XY")]
    assert sorted(p.stem for p in out.iterdir()) == sorted(names)
    assert np.load(out / "m_clusters.npy").shape == (5, 3)
    assert np.load(out / "m_teX.npy").max() < 5 and np.load(out / "m_teY.npy").shape == (7, 10)


def test_folder_with_a_given_palette(tmp_path, capsys):
    write_photos(tmp_path / "raw", 6)
    (tmp_path / "raw" / "bad.jpg").write_bytes(b"")
    np.save(tmp_path / "p.npy", np.linspace(-1, 1, 300)[:, None].repeat(3, 1))
    flags = ["--save_dir", tmp_path, "--n_px", 8, "--clusters", tmp_path / "p.npy", "--valid_fraction", 0, "--pad"]
    dataset.main([str(a) for a in [tmp_path / "raw", *flags]])
    printed = capsys.readouterr()
    assert printed.out == f"{tmp_path}/raw_trX.npy: 6 images of 8x8, 300 colours\n1 unreadable images skipped\n"
    assert f"skipped: {tmp_path}/raw/bad.jpg: not a readable image (" in printed.err
    X = np.load(tmp_path / "raw_trX.npy").reshape(6, 8, 8)
    assert X.dtype == np.uint16 and (X[:, [0, -1]] == 299).all() and not (X[:, 1:-1] == 299).all()


@pytest.mark.parametrize(
    "flags, code, message",
    [
        (["{}/raw"], 2, "--clusters"),
        (["{}/nowhere", "--fit_clusters", 4], 1, "/nowhere: no such folder"),
        (["{}/raw", "--clusters", "{}/nothing.npy"], 1, "/nothing.npy: no such file"),
        (["{}/raw", "--fit_clusters", 4, "--valid_fraction", 0.9], 1, "--valid_fraction must lie in 0..0.5"),
        (["{}/raw", "--fit_clusters", 60000], 1, "--fit_clusters 60000"),
        (["{}/raw", "--fit_clusters", 4, "--classes"], 1, "--classes needs every image in a sub-folder"),
        (["{}/raw", "--fit_clusters", 4, "--pad", "whitish"], 1, "whitish: not a colour"),
        (["{}/raw", "--fit_clusters", 4, "--pad", "white", "--augment", 2], 2, "not allowed with argument --pad"),
        (["{}/mnist", "--fit_clusters", 4, "--test_fraction", 0.1], 1, "--test_fraction has no effect on"),
        (["{}/mnist", "--fit_clusters", 4, "--classes"], 1, "--classes has no effect on"),
    ],
)
def test_mistakes(flags, code, message, tmp_path, capsys):
    write_photos(tmp_path / "raw", 2)
    (tmp_path / "mnist").mkdir()
    write_mnist(tmp_path / "mnist")
    flags = [f.format(tmp_path) if isinstance(f, str) else f for f in flags]
    got, stderr = run_here(dataset.main, [*flags, "--save_dir", tmp_path / "out"], capsys)
    assert got == code and message in stderr
    assert stderr.splitlines()[-1].startswith("dataset.py: ")
    assert not list((tmp_path / "out").glob("*"))


def test_ctrl_c_leaves_the_old_data_set(tmp_path, capsys, monkeypatch):
    write_photos(tmp_path / "raw", 4)
    flags = [str(tmp_path / "raw"), "--save_dir", str(tmp_path / "out"), "--n_px", "8", "--fit_clusters", "3"]
    dataset.main(flags)
    before = files(tmp_path / "out")

    def interrupted(done, total):
        if done == total - 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(dataset, "progress_bar", lambda *names: interrupted)
    with pytest.raises(SystemExit) as stop:
        run(dataset.main, [*flags, "--seed", "7"])
    assert stop.value.code == 130 and "dataset.py: interrupted" in capsys.readouterr().err
    assert files(tmp_path / "out") == before
