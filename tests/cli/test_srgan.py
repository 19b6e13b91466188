"""srgan.py as a user runs it."""

import json

import numpy as np
import pytest
from PIL import Image, ImageDraw

import espcn
import srgan
from benchmarks import sharpness
from src.config import BUNDLED
from src.data.images import image_files, read_image
from src.drawing.samples import list_samples
from src.files import together
from src.superres.bundled import FILES, find_network
from src.superres.degradation import in_palette, low_resolution
from src.superres.files import save_network
from src.superres.perceptual import grid_distance, line_distance
from src.superres.srgan import Generator
from src.superres.upscaler import Upscaler
from src.superres.validation import validation_pairs
from tests.cli.test_espcn import PHOTOGRAPHS
from tests.conftest import files, run_command, run_here

SMALL = ["--patch", "4", "--n_batch", "2", "--epochs", "2", "--steps", "3"]
MORE = [
    "--adversarial",
    "relativistic",
    "--spectral_norm",
    "--freeze_norm",
    "--pixel_weight",
    "0.1",
    "--grid_weight",
    "0.1",
    "--line_weight",
    "0.1",
    "--ema",
    "0.5",
    "--schedule",
    "cosine",
]
GAN = [*SMALL, "--stage", "gan", "--content", "pixel", "--picture_every", "1", "--keep_every", "2"]
VGG = [*SMALL, "--stage", "gan", "--content", "vgg16_22", "--vgg_weights"]


def test_upscales_the_newest_samples_beside_espcn_and_srresnet(samples, capsys):
    with together() as part:
        list_samples(samples, [samples / "sample_10.png"], part)
    for command in (espcn, srgan):
        assert command.main(["--upscale", "--save_dir", str(samples)]) == 0
    assert Image.open(samples / "sample_10_srgan_x4.png").size == (112, 112)
    assert (samples / "sample_10_espcn_x4.png").exists()  # which srgan.py once overwrote
    assert Image.open(samples / "srgan.png").width > 5 * 112
    assert "input, bicubic, espcn, srresnet, srgan" in capsys.readouterr().out


def test_bundled_srresnet_beats_espcn_and_bicubic(tmp_path, capsys):
    means = []
    for command, *flags in ((espcn,), (srgan, "--stage", "pretrain")):
        command.main(["--eval", str(PHOTOGRAPHS), *flags, "--json", str(tmp_path / "scores.json")])
        means.append(json.loads((tmp_path / "scores.json").read_text())["mean"])
    of_espcn, mean = means
    assert mean["psnr"] > of_espcn["psnr"] + 0.2 and mean["ssim"] > of_espcn["ssim"]
    assert mean["psnr"] > mean["psnr_bicubic"] + 0.8 and mean["ssim"] > mean["ssim_bicubic"]


def drawing(seed):
    """A face of flat colours on white, 128x128, its edges smooth."""
    rng = np.random.default_rng(seed)
    image = Image.new("RGB", (512, 512), "white")
    pen = ImageDraw.Draw(image)
    skin, hair, shirt = (tuple(int(c) for c in rng.integers(20, 230, 3)) for _ in range(3))
    pen.ellipse((40, 300, 470, 700), shirt)
    pen.ellipse((110, 50, 400, 400), hair)
    pen.ellipse((140, 110, 370, 390), skin)
    for x in (195, 285):
        pen.ellipse((x, 210, x + 30, 250), "black")
    pen.arc((200, 250, 310, 330), 20, 160, "black", 10)
    return image.resize((128, 128), Image.Resampling.BICUBIC)


def test_networks_for_few_colours_are_nearer_to_drawings_than_those_for_photographs(tmp_path):
    (tmp_path / "drawn").mkdir()
    for seed in range(4):
        drawing(seed).save(tmp_path / "drawn" / f"{seed}.png")
    flags = ["--eval", tmp_path / "drawn", "--degradation", "palette", "--n_px", 32, "--json", tmp_path / "scores.json"]
    means = []
    clean = [["--weights", FILES[name, 4, "clean"]] for name in ("srgan", "srresnet")]
    for more in ([], ["--stage", "pretrain"], *clean):
        srgan.main([str(flag) for flag in (*flags, *more)])
        means.append(json.loads((tmp_path / "scores.json").read_text())["mean"])
    srgan_few, srresnet_few, srgan_clean, srresnet_clean = (mean["psnr"] for mean in means)
    assert srgan_few > srgan_clean + 0.5 and srgan_few > means[0]["psnr_bicubic"] + 3.5
    assert srresnet_few > srgan_few > srresnet_clean


def test_bundled_srgan_is_nearest_to_the_sharpness_of_photographs(capsys):
    sharpness.main([])
    rows = [line.split() for line in capsys.readouterr().out.splitlines()[1:]]
    variation, mean_shift = ({name: float(row[i]) for name, *row in rows} for i in (0, 1))
    for figures in (variation, mean_shift):
        assert min(figures, key=figures.get) == "SRGAN" and len(figures) == 4


def test_bundled_srgan_lays_no_grid_over_photographs():
    """What learns from VGG16's features alone does; where it could hardly be seen it was 6 % above SRResNet's."""
    pairs = list(validation_pairs(map(read_image, image_files(PHOTOGRAPHS)), 4))
    grids = {}
    for name in ("srresnet", "srgan"):
        enlarge = Upscaler(find_network(name)[0])
        grids[name] = np.mean([grid_distance(enlarge(low[None]), high[None], 4)[0] for low, high in pairs])
    assert grids["srgan"] < 1.01 * grids["srresnet"]


def test_bundled_srgan_keeps_straight_edges_of_drawings_even():
    """Nearer to them than SRResNet; an earlier one set dots there, and was 0.98 of SRResNet's way from them."""
    rng, high = np.random.default_rng(0), np.full([24, 128, 128, 3], 255, np.uint8)
    for image in high:
        (y, x), (h, w) = rng.integers(4, 40, 2), rng.integers(40, 80, 2)
        image[y : y + h, x : x + w] = rng.integers(0, 256, 3)
    clusters = np.load(BUNDLED / "clusters.npy")
    low = np.stack([in_palette(low_resolution(image, 4)[1], clusters) for image in high])
    lines = {}
    for name in ("srresnet", "srgan"):
        enlarge = Upscaler(find_network(name, degradation="palette")[0])
        lines[name] = np.mean([line_distance(enlarge(a[None]), b[None], 4)[0] for a, b in zip(low, high)])
    assert lines["srgan"] < 0.96 * lines["srresnet"]


def train(folder, *flags):
    return srgan.main(["--train", str(folder / "photos"), "--save_dir", str(folder / "save"), *flags])


@pytest.mark.slow
def test_both_stages(folder, capsys):
    """Everything else about them stands in tests/unit/test_stages.py."""
    train(folder, *SMALL, "--blocks", "1")
    assert "srresnet_x4/best.keras" in capsys.readouterr().out
    train(folder, *GAN)
    out = capsys.readouterr().out
    assert "generator: " in out and "srresnet_x4/best.keras" in out
    assert "step 6 train adversarial" in out and "srgan_x4/last.keras" in out and "bicubic" in out
    flags = ["--weights", str(folder / "save" / "srgan_x4" / "last.keras"), "--save_dir", str(folder / "out")]
    assert srgan.main(["--upscale", str(folder / "photos" / "0.png"), *flags]) == 0
    assert Image.open(folder / "out" / "0_srgan_x4.png").size == (440, 360)


@pytest.mark.slow
@pytest.mark.parametrize("stage", [["--blocks", "1"], GAN, [*GAN, *MORE]], ids=["pixels", "gan", "more"])
def test_two_devices_train_as_one(stage, folder):
    save_network(folder / "small.keras", Generator(blocks=1))
    flags = [*SMALL, *stage, "--n_batch", "4", "--weights", str(folder / "small.keras"), "--save_dir"]
    for n in "12":
        srgan.main(["--train", str(folder / "photos"), *flags, str(folder / n), "--n_cpu", n])
    logs = []
    for n in "12":
        (log,) = (folder / n).glob("*/log.jsonl")
        logs.append([value for line in log.read_text().splitlines() for value in json.loads(line).values()])
    assert logs[0] == pytest.approx(logs[1], rel=1e-3)


@pytest.mark.slow
def test_without_imagenet_weights_it_says_how_to_supply_them(folder, capsys, monkeypatch):
    save_network(folder / "small.keras", Generator(blocks=1))
    flags = [
        "--train",
        folder / "photos",
        *SMALL,
        "--stage",
        "gan",
        "--content",
        "vgg22",
        "--save_dir",
        folder / "save",
    ]
    flags += ["--weights", folder / "small.keras"]
    with monkeypatch.context() as patch:
        patch.setattr("keras.applications.VGG19", unreachable)
        code, err = run_here(srgan.main, flags, capsys)
    assert code == 1 and "--vgg_weights" in err and "pixel as --content" in err
    assert not (folder / "save" / "srgan_x4").exists()
    code, err = run_here(srgan.main, [*flags, "--random_features"], capsys)
    assert code == 0 and "warning: --random_features" in err


def unreachable(include_top, weights):
    """keras.applications.VGG19 where there is no net."""
    raise Exception("URL fetch failure on https://storage.googleapis.com/vgg19.h5: None -- [Errno -3] name resolution")


unreachable.__name__ = "VGG19"


@pytest.mark.parametrize(
    "flags, message",
    [
        (["--train", "x", "--stage", "gan", "--optimizer", "soap"], "--optimizer: belongs to --stage pretrain"),
        (["--train", "x", "--stage", "gan", "--generator", "srgan"], "--generator: belongs to --stage pretrain"),
        (["--train", "x", "--content", "pixel"], "--content: belongs to --stage gan"),
        (["--train", "x", *GAN, "--vgg_weights", "w.h5"], "--vgg_weights: --content pixel goes without"),
        (["--train", "x", *SMALL, "--stage", "gan", "--vgg_weights", "w", "--random_features"], "leave one out"),
        (["--train", "x", "--spectral_norm"], "--spectral_norm: belongs to --stage gan"),
        (["--train", "x", *GAN, "--ema", "1"], "--ema: must be at most"),
        (["--train", "x", "--squares"], "--squares: of how many pixels? give --n_px"),
        (["--train", "x", "--squares", "--n_px", "32", "--least", "9"], "--least: --squares are never enlarged"),
        (["--train", "x", "--squares", "--n_px", "16"], "--patch 24: larger than the --squares of --n_px 16"),
        (["--eval", "x", "--weights", "w.keras", "--stage", "gan"], "--stage: chooses one of the bundled networks"),
        (
            ["--upscale", "x", "--n_gpu", "7", "--generator", "inception", "--epochs", "3", "--json", "F"],
            "--epochs: --upscale does not read it; it belongs to --train",
        ),
    ],
)
def test_flags_without_effect_beside_others_are_refused(flags, message, capsys):
    code, err = run_here(srgan.main, flags, capsys)
    assert code == 2 and message in err and len(err.splitlines()) == 1


def test_mistakes(folder, capsys):
    (folder / "empty").mkdir()
    (folder / "no.h5").write_bytes(b"no weights")
    photos, of_espcn, out = folder / "photos", FILES["espcn", 4, "clean"], ["--save_dir", folder / "out"]
    for args, message in (
        (["--upscale", folder / "empty", *out], "empty: no image file"),
        (["--upscale", *out], "draw some images with run.py"),
        (["--upscale", photos, "--weights", folder / "none.keras", *out], "none.keras: no such file"),
        (["--train", photos, *SMALL, "--blocks", 1, "--weights", of_espcn, *out], "another network"),
        (["--train", photos, *SMALL, "--blocks", 300, *out], "--blocks is 300, expected an integer in 0..256"),
        (["--train", photos, *GAN, "--weights", of_espcn, *out], "not a generator"),
        (["--train", photos, *GAN, "--patch", 60, *out], "large enough"),
        (["--train", photos, *GAN, "--patch", 4000, *out], "--patch 4000: takes"),
        (["--train", photos, folder / "empty", *SMALL, *out], "empty: no image file"),
        (["--train", photos, *SMALL, "--squares", "--n_px", 32, *out], "no photograph is readable and large enough"),
        (["--train", photos, *VGG, folder / "no.h5", *out], "--vgg_weights"),
        (["--eval", photos, "--weights", of_espcn], "a network of the kind of espcn"),
        (["--export", "float16", folder / "x.h5"], "must end in .keras"),
    ):
        before = files(photos)
        code, err = run_here(srgan.main, args, capsys)
        assert code == 1 and message in err and len(err.splitlines()) <= 2, err
        assert files(photos) == before


def test_exports_the_network_of_a_stage(folder, capsys):
    assert srgan.main(["--export", "float16", str(folder / "x4.keras"), "--stage", "pretrain"]) == 0
    assert "float16 of srresnet x4, pixels within" in capsys.readouterr().out


def test_help_is_quick_and_names_the_stages():
    out = run_command("srgan.py", "--help").stdout
    assert all(flag in out for flag in ("--upscale", "--train", "--stage", "--content", "--vgg_weights"))
