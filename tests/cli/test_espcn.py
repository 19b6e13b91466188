"""espcn.py as a user runs it."""

import json
from pathlib import Path

import numpy as np
import pytest
import sklearn.datasets
from PIL import Image

import espcn
from src.superres.networks import load_network
from tests.conftest import ROOT, files, kill_when, photo, run_command, run_here


def test_upscales_the_newest_samples_by_default(samples, capsys):
    assert espcn.main(["--upscale", "--save_dir", str(samples)]) == 0
    assert Image.open(samples / "sample_10_x4.png").size == (112, 112)
    assert len(list(samples.glob("sample_*_x4.png"))) == 11
    assert Image.open(samples / "espcn.png").width > 3 * 112
    assert "input, bicubic, espcn" in capsys.readouterr().out
    espcn.main(["--upscale", "--save_dir", str(samples)])  # does not take what it wrote itself
    assert len(list(samples.glob("sample_*_x4*.png"))) == 11


PHOTOGRAPHS = Path(sklearn.datasets.__file__).parent / "images"  # two, of a free licence, which no network has seen


@pytest.mark.parametrize("scale, gain", [(2, 1.5), (3, 1.0), (4, 0.8)])
def test_bundled_weights_beat_bicubic(scale, gain, tmp_path, capsys):
    espcn.main(["--eval", str(PHOTOGRAPHS), "--scale", str(scale), "--json", str(tmp_path / "scores.json")])
    mean = json.loads((tmp_path / "scores.json").read_text())["mean"]
    assert mean["psnr"] > mean["psnr_bicubic"] + gain
    assert mean["ssim"] > mean["ssim_bicubic"] and mean["mse"] < mean["mse_bicubic"]
    assert f"{scale} border pixels cut off" in capsys.readouterr().out


def test_palette_weights_beat_bicubic_on_palettes(tmp_path):
    flags = ["--eval", str(PHOTOGRAPHS), "--degradation", "palette", "--n_px", "32", "--save_dir", str(tmp_path)]
    espcn.main([*flags, "--json", str(tmp_path / "scores.json")])
    mean = json.loads((tmp_path / "scores.json").read_text())["mean"]
    assert mean["psnr"] > mean["psnr_bicubic"]


def test_trains_goes_on_and_upscales_with_the_result(folder, capsys):
    flags = ["--train", folder / "photos", "--scale", 2, "--epochs", 2, "--steps", 3, "--n_batch", 2, "--patch", 8]
    flags = [str(x) for x in [*flags, "--degradation", "mixed", "--save_dir", folder]]
    espcn.main(flags)
    out = capsys.readouterr().out
    best = folder / "espcn_x2" / "best.keras"
    assert f"{best}: " in out and "bicubic" in out
    assert (folder / "espcn_x2" / "log.png").stat().st_size > 1000
    espcn.main(flags)  # nothing left to do
    assert espcn.main(["--upscale", str(folder / "photos"), "--weights", str(best), "--save_dir", str(folder)]) == 0
    assert Image.open(folder / "0_x2.png").size == (220, 180)


@pytest.mark.parametrize("optimizer, tolerance", [("adam", 1e-4), ("soap", 0.01)])
def test_two_devices_train_as_one(optimizer, tolerance, folder):
    """SOAP's first steps scale directions in which there is nothing but rounding."""
    logs = []
    for n in (1, 2):
        flags = ["--scale", 2, "--epochs", 2, "--steps", 4, "--n_batch", 4, "--patch", 8, "--optimizer", optimizer]
        run_command("espcn.py", "--train", folder / "photos", *flags, "--save_dir", folder / str(n), "--n_cpu", n)
        entries = map(json.loads, (folder / str(n) / "espcn_x2" / "log.jsonl").read_text().splitlines())
        logs.append([value for entry in entries for value in entry.values()])
    assert logs[0] == pytest.approx(logs[1], rel=tolerance)


@pytest.mark.slow
def test_a_killed_run_goes_on_to_the_same_weights(folder):
    settings = "--scale 2 --epochs 12 --steps 20 --n_batch 4 --patch 8 --patience 12"
    command = ["espcn.py", "--train", folder / "photos", *settings.split(), "--save_dir"]
    run_command(*command, folder / "whole")
    kill_when(folder / "killed" / "espcn_x2" / "state" / "ckpt-120.index", *command, folder / "killed")
    run_command(*command, folder / "killed")
    ends = [folder / name / "espcn_x2" / "best.keras" for name in ("whole", "killed")]
    whole, resumed = (load_network(path).net.get_weights() for path in ends)
    for a, b in zip(whole, resumed):
        np.testing.assert_array_equal(a, b)


def test_a_corrupt_file_among_good_ones(folder):
    (folder / "photos" / "1.png").write_bytes((folder / "photos" / "1.png").read_bytes()[:200])
    result = run_command("espcn.py", "--upscale", folder / "photos", "--save_dir", folder / "out", check=False)
    assert result.returncode == 1
    assert "1.png: not a readable image" in result.stderr and "Traceback" not in result.stderr
    assert {p.name for p in (folder / "out").iterdir()} == {"0_x4.png", "2_x4.png", "espcn.png"}


def test_files_of_one_name_and_several_modes_do_not_meet(folder):
    for i, mode in enumerate(["L", "RGBA"]):
        (folder / str(i)).mkdir()
        Image.fromarray(photo(20, 30)).convert(mode).save(folder / str(i) / "a.png")
    espcn.main(["--upscale", str(folder / "0"), str(folder / "1"), "--save_dir", str(folder / "out"), "--scale", "2"])
    assert [Image.open(folder / "out" / name).mode for name in ("a_x2.png", "a-2_x2.png")] == ["L", "RGBA"]


def test_mistakes(folder, capsys):
    (folder / "empty").mkdir()
    (folder / "file").write_text("")
    espcn_x3, of_srgan = espcn.FOLDER / "x3.keras", ROOT / "pretrained" / "srgan" / "srgan.keras"
    out = ["--save_dir", folder / "out"]
    for args, message in (
        (["--upscale", folder / "empty", *out], "empty: no image files there"),
        (["--upscale", *out], "no sample_0.png there; draw some with run.py --sample"),
        (["--upscale", folder / "none.png", *out], "none.png: no such file"),
        (
            ["--upscale", folder / "photos", "--weights", espcn_x3, "--scale", 4, *out],
            "a network for x3, not for --scale 4",
        ),
        (["--upscale", folder / "photos", "--weights", folder / "photos" / "0.png", *out], "0.png: not a .keras file"),
        (
            ["--eval", folder / "photos", "--weights", of_srgan, *out],
            "srgan.keras: a network of srgan.py",
        ),
        (["--eval", folder / "photos", "--n_px", 5000, *out], "--n_px 5000: 20000 on a side are needed at x4"),
        (["--upscale", folder / "photos", "--save_dir", folder / "file" / "x"], "cannot be written"),
        (["--train", folder / "empty", *out], "empty: no image files there"),
        (["--train", folder / "photos", "--patch", 500, *out], "large enough"),
        (
            ["--eval", folder / "photos", "--degradation", "palette", "--scale", 2, *out],
            "name a network with --weights",
        ),
        (["--eval", folder / "photos", "--degradation", "mixed", *out], "for --train"),
        (["--export", "onnx", folder / "x", *out], "must end in .onnx"),
        (["--export", "jpeg", folder / "x", *out], "must be one of"),
    ):
        before = files(folder / "photos")
        code, err = run_here(espcn.main, args, capsys)
        assert code == 1 and message in err and len(err.splitlines()) <= 2, err
        assert files(folder / "photos") == before


@pytest.mark.parametrize("kind, name", [("saved_model", "saved"), ("onnx", "x3.onnx"), ("litert", "x3.tflite")])
def test_export_gives_the_same_pixels(kind, name, folder, capsys):
    flags = ["--export", kind, str(folder / name), "--scale", "3"]
    assert espcn.main(flags) is None
    assert f"{kind} of espcn x3, pixels within" in capsys.readouterr().out
    code, err = run_here(espcn.main, flags, capsys)
    assert code == 1 and "is there already" in err


def test_help_is_quick_and_names_the_modes():
    out = run_command("espcn.py", "--help").stdout
    assert all(mode in out for mode in ("--upscale", "--train", "--eval", "--export"))
