"""srgan.py as a user runs it."""

import json

import numpy as np
import pytest
from PIL import Image

import srgan
from src.superres.networks import load_network
from tests.cli.test_espcn import PHOTOGRAPHS
from tests.conftest import files, kill_when, run_command, run_here

SMALL = ["--patch", "4", "--n_batch", "2", "--epochs", "2", "--steps", "3"]
GAN = [*SMALL, "--stage", "gan", "--content", "pixel", "--picture_every", "1", "--keep_every", "2"]


def test_upscales_the_newest_samples_beside_espcn(samples, capsys):
    assert srgan.main(["--upscale", "--save_dir", str(samples)]) == 0
    assert Image.open(samples / "sample_10_x4.png").size == (112, 112)
    assert Image.open(samples / "srgan.png").width > 8 * 112
    assert "input, bicubic, espcn, srgan" in capsys.readouterr().out


def test_bundled_srresnet_beats_espcn_and_bicubic(tmp_path, capsys):
    means = []
    for command, *flags in ((srgan.espcn,), (srgan, "--stage", "pretrain")):
        command.main(["--eval", str(PHOTOGRAPHS), *flags, "--json", str(tmp_path / "scores.json")])
        means.append(json.loads((tmp_path / "scores.json").read_text())["mean"])
    espcn, mean = means
    assert mean["psnr"] > espcn["psnr"] + 0.2 and mean["ssim"] > espcn["ssim"]
    assert mean["psnr"] > mean["psnr_bicubic"] + 0.8 and mean["ssim"] > mean["ssim_bicubic"]


def test_bundled_srgan_is_nearest_to_the_sharpness_of_photographs():
    rows = [line.split() for line in run_command("benchmarks/sharpness.py").stdout.splitlines()[1:]]
    variation, way = ({name: float(row[i]) for name, *row in rows} for i in (0, 1))
    for figures in (variation, way):
        assert min(figures, key=figures.get) == "SRGAN" and len(figures) == 4


def train(folder, *flags):
    return srgan.main(["--train", str(folder / "photos"), "--save_dir", str(folder / "save"), *flags])


def test_both_stages(folder, capsys):
    train(folder, *SMALL, "--blocks", "1")
    assert "srresnet_x4/best.keras" in capsys.readouterr().out
    train(folder, *GAN)
    out = capsys.readouterr().out
    assert "srresnet_x4/best.keras" in out and "srgan_x4/last.keras" in out and "bicubic" in out
    kept = {p.name for p in (folder / "save" / "srgan_x4").iterdir() if p.is_file()}
    assert kept == {"recipe.json", "log.jsonl", "log.png", "epoch-1.png", "epoch-2.png", "epoch-2.keras", "last.keras"}
    tags = {tag for line in (folder / "save/srgan_x4/log.jsonl").read_text().splitlines() for tag in json.loads(line)}
    assert tags == {"step", "content/train", "adversarial/train", "discriminator/train", "psnr/valid"}
    weights = [load_network(folder / "save" / name).net for name in ("srresnet_x4/best.keras", "srgan_x4/last.keras")]
    assert all(len(net.layers) == len(weights[0].layers) for net in weights)
    assert any((a != b).any() for a, b in zip(*(net.get_weights() for net in weights)))
    flags = ["--weights", str(folder / "save" / "srgan_x4" / "last.keras"), "--save_dir", str(folder / "out")]
    assert srgan.main(["--upscale", str(folder / "photos"), *flags]) == 0
    assert Image.open(folder / "out" / "0_x4.png").size == (440, 360)


@pytest.mark.slow
def test_a_killed_adversarial_run_goes_on_to_the_same_weights(folder):
    command = ["srgan.py", "--train", folder / "photos", *GAN, "--epochs", 6, "--dtype", "float32", "--save_dir"]
    run_command(*command, folder / "whole")
    kill_when(folder / "killed" / "srgan_x4" / "state" / "ckpt-9.index", *command, folder / "killed")
    run_command(*command, folder / "killed")
    ends = [folder / name / "srgan_x4" / "last.keras" for name in ("whole", "killed")]
    for a, b in zip(*(load_network(path).net.get_weights() for path in ends)):
        np.testing.assert_array_equal(a, b)


@pytest.mark.slow
@pytest.mark.parametrize("stage", [["--blocks", 1], GAN])
def test_two_devices_train_as_one(stage, folder):
    logs = []
    for n in (1, 2):
        flags = [*SMALL, *stage, "--n_batch", 4, "--save_dir", folder / str(n), "--n_cpu", n]
        run_command("srgan.py", "--train", folder / "photos", *flags)
        (log,) = (folder / str(n)).glob("*/log.jsonl")
        logs.append([value for line in log.read_text().splitlines() for value in json.loads(line).values()])
    assert logs[0] == pytest.approx(logs[1], rel=1e-3)


def test_without_imagenet_weights_it_says_how_to_supply_them(folder):
    nowhere = {"KERAS_HOME": str(folder / "keras"), "https_proxy": "http://127.0.0.1:9", "no_proxy": ""}
    flags = [*SMALL, "--stage", "gan", "--save_dir", folder / "save"]
    result = run_command("srgan.py", "--train", folder / "photos", *flags, check=False, **nowhere)
    assert result.returncode == 1 and "Traceback" not in result.stderr
    assert "--vgg_weights FILE" in result.stderr and "--content pixel" in result.stderr
    assert not (folder / "save" / "srgan_x4").exists()
    result = run_command("srgan.py", "--train", folder / "photos", *flags, "--random_features", **nowhere)
    assert "warning: --random_features" in result.stderr


def test_mistakes(folder, capsys):
    (folder / "empty").mkdir()
    out = ["--save_dir", folder / "out"]
    for args, message in (
        (["--upscale", folder / "empty", *out], "empty: no image files there"),
        (["--upscale", *out], "no sample_0.png there; draw some with run.py --sample"),
        (["--upscale", folder / "photos", "--weights", folder / "none.keras", *out], "none.keras: no such file"),
        (["--train", folder / "photos", *SMALL, "--weights", srgan.espcn.FOLDER / "x4.keras", *out], "another network"),
        (["--train", folder / "photos", *GAN, "--optimizer", "soap", *out], "goes with adam alone"),
        (["--train", folder / "photos", *GAN, "--weights", srgan.espcn.FOLDER / "x4.keras", *out], "not a generator"),
        (["--train", folder / "photos", *GAN, "--patch", 500, *out], "large enough"),
        (["--train", folder / "photos", *GAN, "--generator", "report", *out], "--generator: not of --stage gan"),
        (["--train", folder / "photos", *SMALL, "--content", "pixel", *out], "--content: not of --stage pretrain"),
        (["--eval", folder / "photos", "--weights", srgan.espcn.FOLDER / "x4.keras", *out], "a network of espcn.py"),
        (["--export", "float16", folder / "x.h5", *out], "must end in .keras"),
    ):
        before = files(folder / "photos")
        code, err = run_here(srgan.main, args, capsys)
        assert code == 1 and message in err and len(err.splitlines()) <= 2, err
        assert files(folder / "photos") == before


@pytest.mark.parametrize("kind, name", [("onnx", "x4.onnx"), ("float16", "x4.keras")])
def test_export_gives_the_same_pixels(kind, name, folder, capsys):
    assert srgan.main(["--export", kind, str(folder / name)]) is None
    assert f"{kind} of srgan x4, pixels within" in capsys.readouterr().out


def test_help_is_quick_and_names_the_stages():
    out = run_command("srgan.py", "--help").stdout
    assert all(flag in out for flag in ("--upscale", "--train", "--stage", "--content", "--vgg_weights"))
