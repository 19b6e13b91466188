"""ESPCN, its training pairs, tiles, modes of pictures, training and export."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from src import metrics
from src.config import InputError
from src.runs import RunFolder
from src.superres import training
from src.superres.data import Pairs, in_palette, low_resolution, resized
from src.superres.espcn import espcn
from src.superres.networks import load_network
from src.superres.pictures import read_picture, write_image
from src.superres.subpixel import NearestConv2D, PixelShuffle, SubpixelConv2D, SubpixelPReLU
from src.superres.upscale import Upscaler, upscale_files
from tests.conftest import photo


@pytest.mark.parametrize(
    "scale, channels, count", [(2, 1, 21284), (3, 1, 22729), (4, 1, 24752), (2, 3, 26796), (3, 3, 31131), (4, 3, 37200)]
)
def test_parameters_and_shapes(scale, channels, count):
    net = espcn(scale, channels=channels)
    assert net.count_params() == count
    assert net(np.zeros([2, 15, 18, channels])).shape == (2, 7 * scale, 10 * scale, channels)
    upscaler = Upscaler(net)
    assert (upscaler.scale, upscaler.context) == (scale, 4)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("c, dtype", [(1, np.uint8), (3, np.uint8), (1, np.uint16)])
def test_tiles_have_no_seams_and_borders_no_frame(channels, c, dtype, monkeypatch):
    upscaler = Upscaler(espcn(3, channels=channels))
    image = np.random.default_rng(0).integers(0, np.iinfo(dtype).max, [2, 37, 50, c]).astype(dtype)
    whole = upscaler(image)
    assert whole.shape == (2, 111, 150, c) and whole.dtype == dtype
    upscaler.tile = 16
    np.testing.assert_allclose(upscaler(image).astype(int), whole, atol=1)
    np.testing.assert_array_equal(upscaler(image[:, ::-1])[1], upscaler(np.stack([image[1, ::-1]] * 3))[2])
    flat = upscaler(np.full([1, 9, 9, c], 100, dtype))
    np.testing.assert_array_equal(flat[0, :3, :3], flat[0, 12:15, 12:15])


def test_bands_have_no_seams(monkeypatch):
    upscaler, image = Upscaler(espcn(2)), np.random.default_rng(0).integers(0, 256, [1, 130, 20, 3]).astype(np.uint8)
    assert upscaler.bands(130) == 3 and upscaler.bands(32) == 1
    banded = upscaler(image)
    monkeypatch.setattr("src.superres.upscale.BANDS", 1)
    np.testing.assert_allclose(banded.astype(int), upscaler(image), atol=1)


@pytest.mark.parametrize("scale, channels", [(2, 1), (3, 4)])
def test_pixel_shuffle_is_depth_to_space(scale, channels):
    x = np.random.default_rng(0).random([2, 3, 5, scale**2 * channels], np.float32)
    layer = PixelShuffle(scale=scale)
    np.testing.assert_array_equal(layer(x), tf.nn.depth_to_space(x, scale))
    assert layer.compute_output_shape(x.shape) == (2, 3 * scale, 5 * scale, channels)


@pytest.mark.parametrize("scale, width", [(2, 9), (2, 3), (3, 5), (2, 1), (3, 1)])
@pytest.mark.parametrize("upsampling", ["shuffle", "nearest"])
def test_layers_before_an_upsampling_do_what_others_do_after_it(upsampling, scale, width):
    conv, prelu = keras.layers.Conv2D(3, width, padding="same"), keras.layers.PReLU(shared_axes=[1, 2])
    if upsampling == "shuffle":
        before = [SubpixelPReLU(shared_axes=[1, 2], scale=scale), SubpixelConv2D(3, width, scale=scale)]
        after = [PixelShuffle(scale=scale), prelu, conv]
    else:
        before = [prelu, NearestConv2D(3, width, scale=scale)]
        after = [keras.layers.UpSampling2D(scale), prelu, conv]
    x = tf.constant(0.1 * np.random.default_rng(0).standard_normal([2, 4, 5, scale**2 * 6]), tf.float32)
    results = []
    for net in (keras.Sequential(before), keras.Sequential([type(x).from_config(x.get_config()) for x in after])):
        net.build(x.shape)
        net.set_weights([0.1 * np.random.default_rng(i).standard_normal(w.shape) for i, w in enumerate(net.weights)])
        with tf.GradientTape() as tape:
            y = net(x)
            loss = tf.reduce_mean(y**2)
        assert net.compute_output_shape(x.shape) == y.shape
        results.append([y, *tape.gradient(loss, net.trainable_variables)])
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("size", [(1, 1), (1, 5), (3, 2)])
def test_tiny_images(size):
    assert Upscaler(espcn(2))(np.full([1, *size, 3], 7, np.uint8)).shape == (1, 2 * size[0], 2 * size[1], 3)


def test_pairs_show_the_same_place_and_repeat(photos):
    paths = tuple(sorted(photos.iterdir()))
    pairs = Pairs(paths, 2, patch=9, margin=4)
    batches = list(pairs.batches(4, 0, 6))
    for low, high in batches:
        assert low.shape == (4, 17, 17, 1) and high.shape == (4, 18, 18, 1)
        shrunk = tf.image.resize(high, [9, 9], "bicubic", antialias=True).numpy()
        assert np.abs(shrunk - low[:, 4:-4, 4:-4]).mean() < 0.01
    for a, b in zip(batches[3], next(Pairs(paths, 2, patch=9, margin=4).batches(4, 3, 4))):
        np.testing.assert_array_equal(a, b)
    assert (next(Pairs(paths, 2, patch=9, margin=4, seed=1).batches(4, 3, 4))[0] != batches[3][0]).any()


def test_palette_degradation(photos):
    clusters = np.linspace(-1, 1, 5, dtype=np.float32)[:, None].repeat(3, 1)
    image = in_palette(photo(), clusters)
    assert set(np.unique(image)) <= {0, 64, 128, 191, 255}
    paths = tuple(sorted(photos.iterdir()))
    values = {share: set() for share in (0.0, 1.0)}
    for share, seen in values.items():
        pairs = Pairs(paths, 2, patch=9, margin=4, channels="rgb", clusters=clusters, share=share)
        seen.update(np.unique(np.rint(255 * next(pairs.batches(8, 0, 1))[0])))
    assert values[1.0] <= {0, 64, 128, 191, 255} and len(values[0.0]) > 20


MODES = ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"]


@pytest.mark.parametrize("mode", MODES)
def test_pictures_come_out_in_their_own_mode(mode, tmp_path):
    base = Image.fromarray(photo(20, 30))
    alpha = Image.linear_gradient("L").resize((30, 20))
    if mode == "I;16":
        image = Image.fromarray(np.asarray(base.convert("L")).astype(np.uint16) * 200)
    else:
        image = base.quantize(64) if mode == "P" else base.convert(mode)
        if mode.endswith("A"):
            image.putalpha(alpha)
    image.save(tmp_path / "in.png")
    upscaler = Upscaler(espcn(2))
    (((_, _, enlarged),),) = upscale_files([tmp_path / "in.png"], lambda picture: upscaler)
    write_image(tmp_path / "out.png", enlarged)
    out = Image.open(tmp_path / "out.png")
    assert out.size == (60, 40)
    assert out.mode == {"1": "L"}.get(mode, mode)
    if mode.endswith("A"):
        expected = alpha.resize((60, 40), Image.Resampling.BICUBIC)
        np.testing.assert_array_equal(np.asarray(out.getchannel("A")), np.asarray(expected))


@pytest.mark.parametrize("mode", ["P", "RGB", "RGBA"])
def test_a_picture_without_colour_gets_none(mode, tmp_path):
    Image.fromarray(photo(9, 8)).convert("L").convert(mode).save(tmp_path / "in.png")
    upscaler = Upscaler(espcn(2, channels=3))
    (((_, picture, enlarged),),) = upscale_files([tmp_path / "in.png"], lambda picture: upscaler)
    assert enlarged.mode == mode and picture.colours.shape == (9, 8, 1)
    colours = np.asarray(enlarged.convert("RGB"))
    assert (colours == colours[..., :1]).all()
    if mode != "P":
        np.testing.assert_array_equal(colours[..., :1], upscaler(picture.colours[None])[0])


def test_files_of_several_sizes_and_broken_ones(tmp_path):
    sizes = [(8, 9), (5, 5), (8, 9), (30, 4)]
    for i, (h, w) in enumerate(sizes):
        write_image(tmp_path / f"{i}.png", Image.fromarray(photo(h, w, i)))
    (tmp_path / "9.png").write_bytes(b"no image")
    upscaler = Upscaler(espcn(4))
    paths = sorted(tmp_path.iterdir())
    batches = list(upscale_files(paths, lambda _: upscaler))
    assert [len(batch) for batch in batches] == [1, 2, 1, 1]
    results = {path.name: (picture, enlarged) for batch in batches for path, picture, enlarged in batch}
    assert isinstance(results["9.png"][0], InputError) and "9.png: not a readable image" in str(results["9.png"][0])
    for i, (h, w) in enumerate(sizes):
        expected = upscaler(photo(h, w, i)[None])[0]
        assert expected.shape == (4 * h, 4 * w, 3)
        np.testing.assert_allclose(np.asarray(results[f"{i}.png"][1]).astype(int), expected, atol=1)


def run_for(folder, pairs, known, epochs, stop=None):
    keras.utils.set_random_seed(0)
    upscaler = Upscaler(espcn(2))
    recipe = training.Recipe(lr=0.002, epochs=epochs, steps=5, n_batch=2, patience=epochs)
    run = RunFolder(folder, {"recipe": {"epochs": epochs}})
    if stop:
        save = run.save

        def save_and_stop(step):
            save(step)
            if step == stop:
                raise KeyboardInterrupt

        run.save = save_and_stop
    best = training.train_pixels(upscaler, pairs, known, recipe, run, tf.distribute.get_strategy())
    return upscaler.net.get_weights(), best


def test_training_learns_and_resumes_exactly(photos, tmp_path):
    pairs = Pairs(tuple(sorted(photos.iterdir())), 2, patch=9, margin=4)
    high, low = low_resolution(photo(), 2)
    whole, best = run_for(tmp_path / "one", pairs, [(low, high)], 6)
    with pytest.raises(KeyboardInterrupt):
        run_for(tmp_path / "two", pairs, [(low, high)], 6, stop=15)
    logs = [tmp_path / name / "log.jsonl" for name in ("one", "two")]
    with open(logs[1], "a") as log:  # as of a process that was killed before it kept its state
        log.write('{"step": 20, "loss/train": 1.0}\n{"step": 20, "psn')
    halves, again = run_for(tmp_path / "two", pairs, [(low, high)], 6)
    assert logs[0].read_text() == logs[1].read_text()
    assert best == again
    for a, b in zip(whole, halves):
        np.testing.assert_array_equal(a, b)
    rows = map(json.loads, logs[0].read_text().splitlines())
    scores = [row["psnr/valid"] for row in rows if "psnr/valid" in row]
    assert len(scores) == 6 and scores[-1] > scores[0] + 1
    kept = load_network(tmp_path / "one" / "best.keras", 2)
    assert metrics.psnr(kept(low[None])[0], high, border=2) == pytest.approx(best, abs=1e-6)


def test_early_stopping(photos, tmp_path):
    pairs = Pairs(tuple(sorted(photos.iterdir())), 2, patch=9, margin=4)
    upscaler = Upscaler(espcn(2))
    recipe = training.Recipe(lr=1e-12, epochs=9, steps=2, n_batch=2, patience=2)
    high, low = low_resolution(photo(), 2)
    run = RunFolder(tmp_path / "run", {})
    training.train_pixels(upscaler, pairs, [(low, high)], recipe, run, tf.distribute.get_strategy())
    assert int(run.step) < 18


def test_networks_that_cannot_be_used(tmp_path):
    espcn(3).save(tmp_path / "x3.keras")
    (tmp_path / "bad.keras").write_bytes(b"PK nothing")
    for path, scale, message in (
        ("x3.keras", 4, "a network for x3, not for --scale 4"),
        ("bad.keras", None, "not a network of this project"),
        ("none.keras", None, "no such file"),
    ):
        with pytest.raises(InputError, match=message):
            load_network(tmp_path / path, scale)
    assert load_network(tmp_path / "x3.keras", 3).scale == 3


@pytest.mark.parametrize("border, psnr, ssim", [(2, 31.52139853, 0.73938048), (4, 31.52175703, 0.73848793)])
def test_metrics_equal_scikit_images(border, psnr, ssim):
    """Pinned: scikit-image 0.26 on the luma of its own `rgb2ycbcr`, data_range 255, Gaussian weights of sigma 1.5."""
    clean = photo(61, 83)
    noise = np.random.default_rng(0).integers(-20, 21, clean.shape)
    noisy = (clean.astype(int) + noise).clip(0, 255).astype(np.uint8)
    assert metrics.psnr(clean, noisy, border=border) == pytest.approx(psnr, abs=1e-3)
    assert metrics.ssim(clean, noisy, border=border) == pytest.approx(ssim, abs=1e-4)
    assert metrics.mse(clean, noisy, border=border) == pytest.approx(255**2 / 10 ** (psnr / 10), rel=1e-6)
    assert metrics.psnr(clean, clean, border=border) == np.inf


def test_bicubic_is_pillows():
    low = photo(12, 10)
    expected = np.asarray(Image.fromarray(low).resize((40, 48), Image.Resampling.BICUBIC))
    np.testing.assert_array_equal(resized(low, (48, 40)), expected)


def test_reading_names_the_file(tmp_path):
    with pytest.raises(InputError, match=r"none\.png: no such file"):
        read_picture(tmp_path / "none.png")
