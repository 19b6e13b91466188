"""espcn.py as a user runs it."""

import json
from pathlib import Path

import pytest
import sklearn.datasets
from PIL import Image

import espcn
import srgan
from src.drawing.samples import list_samples
from src.files import together
from src.superres.bundled import FILES
from tests.conftest import files, photo, run_command, run_here

PHOTOGRAPHS = Path(sklearn.datasets.__file__).parent / "images"  # two, of a free licence, which no network has seen


def test_upscales_what_was_drawn_last(samples, capsys):
    """Without a path it once took whatever sample_N.png lay there, those of an earlier and larger run among them."""
    with together() as part:
        list_samples(samples, [samples / f"sample_{i}.png" for i in (0, 1, 10)], part)
    assert espcn.main(["--upscale", "--save_dir", str(samples)]) == 0
    written = {f"sample_{i}_espcn_x4.png" for i in (0, 1, 10)}
    assert {p.name for p in samples.glob("*_x4.png")} == written
    assert Image.open(samples / "sample_10_espcn_x4.png").size == (112, 112)
    assert Image.open(samples / "espcn.png").width > 3 * 112
    assert "input, bicubic, espcn" in capsys.readouterr().out


@pytest.mark.parametrize("scale, gain", [(2, 1.5), (3, 1.0), (4, 0.8)])
def test_bundled_weights_beat_bicubic(scale, gain, tmp_path, capsys):
    espcn.main(["--eval", str(PHOTOGRAPHS), "--scale", str(scale), "--json", str(tmp_path / "scores.json")])
    mean = json.loads((tmp_path / "scores.json").read_text())["mean"]
    assert mean["psnr"] > mean["psnr_bicubic"] + gain
    assert mean["ssim"] > mean["ssim_bicubic"] and mean["mse"] < mean["mse_bicubic"]
    assert f"{scale} border pixels cut off" in capsys.readouterr().out


@pytest.mark.parametrize("scale, gain", [(2, 1.4), (3, 1.1), (4, 1.0)])
def test_palette_weights_beat_bicubic_on_palettes(scale, gain, tmp_path):
    flags = ["--eval", str(PHOTOGRAPHS), "--degradation", "palette", "--n_px", "32", "--scale", str(scale)]
    espcn.main([*flags, "--json", str(tmp_path / "scores.json")])
    mean = json.loads((tmp_path / "scores.json").read_text())["mean"]
    assert mean["psnr"] > mean["psnr_bicubic"] + gain


def test_trains_goes_on_and_upscales_with_the_result(folder, capsys):
    flags = ["--train", folder / "photos", "--scale", 2, "--epochs", 2, "--steps", 3, "--n_batch", 2, "--patch", 8]
    flags = [str(x) for x in [*flags, "--degradation", "mixed", "--save_dir", folder]]
    espcn.main(flags)
    out = capsys.readouterr().out
    best = folder / "espcn_x2" / "best.keras"
    assert f"{best}: " in out and "bicubic" in out and "step 6 valid psnr" in out
    espcn.main(flags)  # nothing left to do
    out = capsys.readouterr().out
    assert f"{best}: " in out and "step" not in out
    assert espcn.main(["--upscale", str(folder / "photos"), "--weights", str(best), "--save_dir", str(folder)]) == 0
    assert Image.open(folder / "0_espcn_x2.png").size == (220, 180)


@pytest.mark.slow
@pytest.mark.parametrize("optimizer, tolerance", [("adam", 1e-4), ("soap", 0.01)])
def test_two_devices_train_as_one(optimizer, tolerance, folder):
    """SOAP's first steps scale directions in which there is nothing but rounding."""
    flags = ["--scale", 2, "--epochs", 2, "--steps", 4, "--n_batch", 4, "--patch", 8, "--optimizer", optimizer]
    flags = [str(x) for x in ["--train", folder / "photos", *flags, "--save_dir"]]
    espcn.main([*flags, str(folder / "1")])
    espcn.main([*flags, str(folder / "2"), "--n_cpu", "2"])
    logs = []
    for n in "12":
        entries = map(json.loads, (folder / n / "espcn_x2" / "log.jsonl").read_text().splitlines())
        logs.append([value for entry in entries for value in entry.values()])
    assert logs[0] == pytest.approx(logs[1], rel=tolerance)


def test_damaged_files_are_skipped_in_every_mode_with_a_line(folder, capsys):
    (folder / "photos" / "1.png").write_bytes((folder / "photos" / "1.png").read_bytes()[:200])
    short = ["--scale", 2, "--epochs", 1, "--steps", 1, "--n_batch", 1, "--patch", 8, "--valid", folder / "photos"]
    out = ["--save_dir", folder / "out"]
    for args, expected in (
        (["--upscale", folder / "photos", *out], 1),
        (["--eval", folder / "photos"], 1),
        (["--train", folder / "photos", *short, *out], 0),
    ):
        code, err = run_here(espcn.main, args, capsys)
        assert code == expected and "skipped: " in err and "1.png: not a readable image" in err
    assert {p.name for p in (folder / "out").glob("*.png")} == {"0_espcn_x4.png", "2_espcn_x4.png", "espcn.png"}


def test_folders_in_folders_and_files_of_one_name(folder):
    """Files of other modes, too; what lies deeper than the folder named was once passed over."""
    for i, mode in enumerate(["L", "RGBA"]):
        (folder / "in" / str(i)).mkdir(parents=True)
        Image.fromarray(photo(20, 30)).convert(mode).save(folder / "in" / str(i) / "a.png")
    espcn.main(["--upscale", str(folder / "in"), "--save_dir", str(folder / "out"), "--scale", "2"])
    names = "a_espcn_x2.png", "a-2_espcn_x2.png"
    assert [Image.open(folder / "out" / name).mode for name in names] == ["L", "RGBA"]


def flag_with_value(action):
    """A flag as it may stand on a command line."""
    number = "0.5" if action.dest == "ema" else "1"  # an average keeps less than all of itself
    values = [str(action.choices[0])] if action.choices else [number] * (2 if action.nargs == 2 else 1)
    return [action.option_strings[0], *(values if action.nargs != 0 else [])]


@pytest.mark.parametrize("script", [espcn, srgan], ids=["espcn", "srgan"])
def test_every_flag_has_an_effect_or_is_refused(script, capsys, monkeypatch):
    """`srgan.py --upscale ... --n_gpu 7 --generator inception --epochs 3 --json F` once did without a word."""
    parsers, make_parser = [], script.superres.make_parser

    def kept(*of):
        parsers.append(make_parser(*of))
        return parsers[-1]

    monkeypatch.setattr(script.superres, "make_parser", kept)
    script.parse(["--eval", "x"])
    actions = {action.dest: action for action in parsers[0][0]._actions if action.dest != "help"}
    flags = actions.keys() - script.READS.keys()
    assert flags == set().union(*script.READS.values())
    for mode, reads in script.READS.items():
        for name in flags - reads:
            with pytest.raises(SystemExit) as stop:
                script.parse([*flag_with_value(actions[mode]), *flag_with_value(actions[name])])
            assert stop.value.code == 2
            assert f"--{name}: --{mode} does not read it" in capsys.readouterr().err


@pytest.mark.parametrize(
    "flags, message",
    [
        (["--eval", "x", "--degradation", "mixed"], "--degradation mixed: for --train"),
        (["--train", "x", "--color_cluster_path", "p.npy"], "--color_cluster_path: only with --degradation palette"),
        (["--upscale", "--weights", "w", "--degradation", "palette"], "--degradation: chooses one of the bundled"),
        (["--export", "onnx", "x", "--weights", "w", "--degradation", "clean"], "--degradation: chooses one of the"),
    ],
)
def test_flags_without_effect_beside_others_are_refused(flags, message, capsys):
    code, err = run_here(espcn.main, flags, capsys)
    assert code == 2 and message in err and len(err.splitlines()) == 1


def test_mistakes(folder, capsys):
    (folder / "empty").mkdir()
    (folder / "file").write_text("")
    photos, x3, out = folder / "photos", FILES["espcn", 3, "clean"], ["--save_dir", folder / "out"]
    for args, message in (
        (["--upscale", folder / "empty", *out], "empty: no image file"),
        (["--upscale", *out], "draw some images with run.py"),
        (["--upscale", folder / "none.png", *out], "none.png: no such file"),
        (["--upscale", photos, "--weights", x3, "--scale", 4, *out], "a network for x3, not for --scale 4"),
        (["--upscale", photos, "--weights", photos / "0.png", *out], "0.png: not a .keras file"),
        (["--eval", photos, "--weights", FILES["srgan", 4, "clean"]], "srgan.keras: a network of the kind of srgan"),
        (["--eval", photos, "--n_px", 5000], "--n_px 5000: 20000 on a side are needed at x4"),
        (["--upscale", photos, "--save_dir", folder / "file" / "x"], "cannot be written"),
        (["--train", folder / "empty", *out], "empty: no image file"),
        (["--train", photos, "--patch", 500, *out], "large enough (2032 pixels on a side for --patch 500)"),
        (["--export", "onnx", folder / "x"], "must end in .onnx"),
        (["--export", "jpeg", folder / "x"], "--export jpeg: must be one of"),
    ):
        before = files(photos)
        code, err = run_here(espcn.main, args, capsys)
        assert code == 1 and message in err and len(err.splitlines()) <= 2, err
        assert files(photos) == before


def test_exports_into_a_new_folder(folder, capsys):
    flags = ["--export", "float16", str(folder / "new" / "x3.keras"), "--scale", "3"]
    assert espcn.main(flags) == 0
    assert "float16 of espcn x3, pixels within" in capsys.readouterr().out
    code, err = run_here(espcn.main, flags, capsys)
    assert code == 1 and "is there already" in err


def test_help_is_quick_and_names_the_modes():
    out = " ".join(run_command("espcn.py", "--help").stdout.split())
    assert all(mode in out for mode in ("--upscale", "--train", "--eval", "--export", "RGB in and out"))
