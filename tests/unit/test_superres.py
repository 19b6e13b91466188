"""ESPCN, tiles, layers, files of networks, pictures of every mode."""

import json
import zipfile

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from src.config import BUNDLED, InputError
from src.data.images import write_png
from src.measuring import metrics
from src.superres.bundled import FILES, find_network
from src.superres.enlarging import enlarge_files
from src.superres.espcn import Espcn
from src.superres.files import load_mean, load_network, save_network
from src.superres.subpixel import NearestConv2D, PixelShuffle, SubpixelConv2D, SubpixelPReLU
from src.superres.upscaler import Upscaler, bicubic
from src.superres.upscaling import UpscaleOptions, upscale_paths
from src.utils import color_dequantize
from tests.conftest import CPU, DATA, photo


@pytest.mark.parametrize(
    "scale, channels, count", [(2, 1, 21284), (3, 1, 22729), (4, 1, 24752), (2, 3, 26796), (3, 3, 31131), (4, 3, 37200)]
)
def test_parameters_and_shapes(scale, channels, count):
    net = Espcn(scale, channels)
    assert net.count_params() == count
    assert net(np.zeros([2, 15, 18, channels])).shape == (2, 7 * scale, 10 * scale, channels)
    assert net.compute_output_shape([1, 64, 64, channels]) == (1, 56 * scale, 56 * scale, channels)
    assert net.context == 4  # on every side


def test_more_layers_see_further_and_a_residual_network_adds_to_bicubic(tmp_path):
    widths = [24, 24, 16, 16, 16]
    net = Espcn(4, 3, "relu", widths=widths, residual=True)
    assert net.context == 2 + 5
    x = np.random.default_rng(0).random([1, 23, 26, 3], np.float32)
    assert net(x).shape == (1, 36, 48, 3)
    kernels = 25 * 3 * 24, 9 * 24 * 24, 9 * 24 * 16, 9 * 16 * 16, 9 * 16 * 16, 9 * 16 * 48
    assert net.count_params() == sum(kernels) + sum(widths) + 48
    grown = x.copy()
    grown[0, 7 + 7, 7 + 7] = 0  # a pixel in reach of the output's last row and column, and one that is not
    assert (net(grown).numpy() != net(x).numpy())[0, 4 * 7 : 4 * 7 + 4, 4 * 7 : 4 * 7 + 4].all()
    # written out
    y = tf.constant(2 * x - 1)
    for i, layer in enumerate(layer for layer in net.layers if isinstance(layer, keras.layers.Conv2D)):
        before, y = y, tf.nn.conv2d(y, layer.kernel, 1, "VALID") + layer.bias
        y = tf.nn.relu(y) if i < 5 else y
        y = y + before[:, 1:-1, 1:-1] if i in (1, 3, 4) else y
    expected = tf.nn.depth_to_space(y, 4) + tf.image.resize(x, [92, 104], "bicubic")[:, 28:-28, 28:-28]
    np.testing.assert_allclose(net(x), expected, atol=1e-5)
    save_network(tmp_path / "net.keras", net)
    again = load_network(tmp_path / "net.keras")
    assert again.get_config() == net.get_config() and again.get_config()["widths"] == widths
    np.testing.assert_array_equal(again(x), net(x))
    assert again.architecture() != Espcn(4, 3, "relu", widths=widths).architecture()
    with pytest.raises(InputError, match=r"`widths` is a list of 20, expected a list of 1\.\.16"):
        Espcn(4, widths=[8] * 20)


def test_a_new_residual_network_is_near_bicubic():
    low = photo(24, 30)
    made = Upscaler(Espcn(4, 3, widths=[16, 16, 16], residual=True))(low[None])[0]
    expected = np.asarray(Image.fromarray(low).resize((120, 96), Image.Resampling.BICUBIC))
    assert np.abs(made[12:-12, 12:-12].astype(int) - expected[12:-12, 12:-12]).mean() < 2


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("c, dtype", [(1, np.uint8), (3, np.uint8), (1, np.uint16)])
def test_tiles_have_no_seams_and_borders_no_frame(channels, c, dtype, monkeypatch):
    upscaler = Upscaler(Espcn(3, channels))
    image = np.random.default_rng(0).integers(0, np.iinfo(dtype).max, [2, 37, 50, c]).astype(dtype)
    whole = upscaler(image)
    assert whole.shape == (2, 111, 150, c) and whole.dtype == dtype
    upscaler.tile = 16
    np.testing.assert_allclose(upscaler(image).astype(int), whole, atol=1)
    alone = upscaler(np.stack([image[1, ::-1]] * 3))[2].astype(int)
    rounding = int(dtype == np.uint16 and "avx512f" not in CPU)  # other kernels sum in another order for other batches
    np.testing.assert_allclose(upscaler(image[:, ::-1])[1], alone, atol=rounding)
    flat = upscaler(np.full([1, 9, 9, c], 100, dtype))
    np.testing.assert_array_equal(flat[0, :3, :3], flat[0, 12:15, 12:15])


def test_bands_have_no_seams(monkeypatch):
    upscaler, image = Upscaler(Espcn(2)), np.random.default_rng(0).integers(0, 256, [1, 130, 20, 3]).astype(np.uint8)
    assert upscaler.bands(130) == 3 and upscaler.bands(32) == 1
    banded = upscaler(image)
    monkeypatch.setattr("src.superres.upscaler.BANDS", 1)
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
    assert Upscaler(Espcn(2))(np.full([1, *size, 3], 7, np.uint8)).shape == (1, 2 * size[0], 2 * size[1], 3)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_bicubic_as_a_convolution_is_tensorflows(scale):
    x = np.random.default_rng(0).random([2, 9, 12, 2], np.float32)
    inside = np.s_[:, 2 * scale : -2 * scale, 2 * scale : -2 * scale]
    expected = tf.image.resize(x, [9 * scale, 12 * scale], "bicubic")
    np.testing.assert_allclose(bicubic(tf.constant(x), scale)[inside], expected[inside], atol=1e-6)


MODES = ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"]


def enlarge_one(path, upscaler):
    """(the picture in a file, what an upscaler makes of it)."""
    (((entry),),) = enlarge_files([path], lambda picture: upscaler, pytest.fail)
    return entry.picture, entry.image


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
    _, enlarged = enlarge_one(tmp_path / "in.png", Upscaler(Espcn(2)))
    write_png(tmp_path / "out.png", enlarged)
    out = Image.open(tmp_path / "out.png")
    assert out.size == (60, 40)
    assert out.mode == {"1": "L"}.get(mode, mode)
    if mode.endswith("A"):
        expected = alpha.resize((60, 40), Image.Resampling.BICUBIC)
        np.testing.assert_array_equal(np.asarray(out.getchannel("A")), np.asarray(expected))


@pytest.mark.parametrize("mode", ["P", "RGB", "RGBA"])
def test_a_picture_without_colour_gets_none(mode, tmp_path):
    Image.fromarray(photo(9, 8)).convert("L").convert(mode).save(tmp_path / "in.png")
    upscaler = Upscaler(Espcn(2, channels=3))
    picture, enlarged = enlarge_one(tmp_path / "in.png", upscaler)
    assert enlarged.mode == mode and picture.colours.shape == (9, 8, 1)
    colours = np.asarray(enlarged.convert("RGB"))
    assert (colours == colours[..., :1]).all()
    if mode != "P":
        np.testing.assert_array_equal(colours[..., :1], upscaler(picture.colours[None])[0])


def test_files_of_several_sizes_and_broken_ones(tmp_path):
    sizes = [(8, 9), (5, 5), (8, 9), (30, 4)]
    for i, (h, w) in enumerate(sizes):
        write_png(tmp_path / f"{i}.png", photo(h, w, i))
    (tmp_path / "9.png").write_bytes(b"no image")
    upscaler, skipped = Upscaler(Espcn(4)), []
    batches = list(enlarge_files(sorted(tmp_path.iterdir()), lambda _: upscaler, skipped.append))
    assert [len(batch) for batch in batches] == [2, 1, 1]
    assert len(skipped) == 1 and "9.png: not a readable image" in str(skipped[0])
    results = {entry.path.name: entry.image for batch in batches for entry in batch}
    for i, (h, w) in enumerate(sizes):
        expected = upscaler(photo(h, w, i)[None])[0]
        assert expected.shape == (4 * h, 4 * w, 3)
        np.testing.assert_allclose(np.asarray(results[f"{i}.png"]).astype(int), expected, atol=1)


def test_outputs_of_two_networks_stand_side_by_side(tmp_path):
    """srgan.py once overwrote what espcn.py had written."""
    write_png(tmp_path / "sample_0.png", photo(8, 8))
    seen, written = [], []
    for name in ("espcn", "srgan"):
        options = UpscaleOptions(tmp_path)
        done = upscale_paths([tmp_path / "sample_0.png"], name, options, lambda *counts: seen.append(counts))
        written += done.paths
        assert done.sheet == tmp_path / f"{name}.png" and done.sheet.exists() and not done.skipped
    assert [path.name for path in written] == ["sample_0_espcn_x4.png", "sample_0_srgan_x4.png"]
    assert all(Image.open(path).size == (32, 32) for path in written) and seen == [(1, 1), (1, 1)]
    assert done.columns == ["input", "bicubic", "espcn", "srresnet", "srgan"]


def test_an_output_takes_no_inputs_place(tmp_path):
    """A sheet that was enlarged was once lost to the new sheet."""
    inputs = [tmp_path / name for name in ("espcn.png", "photo.png", "photo_espcn_x4.png")]
    for i, path in enumerate(inputs):
        write_png(path, photo(8, 8, i))
    before = [path.read_bytes() for path in inputs]
    done = upscale_paths(inputs, "espcn", UpscaleOptions(tmp_path))
    assert [path.read_bytes() for path in inputs] == before
    names = ["espcn_espcn_x4.png", "photo_espcn_x4-2.png", "photo_espcn_x4_espcn_x4.png"]
    assert [path.name for path in done.paths] == names and done.sheet.name == "espcn-2.png"


def test_the_longest_names_can_be_written(tmp_path):
    long = tmp_path / f"{'写' * 83}.png"  # 253 bytes of 255
    for path in (long, tmp_path / "photo.png"):
        Image.fromarray(photo(8, 8)).save(path)
    done = upscale_paths([long, tmp_path / "photo.png"], "espcn", UpscaleOptions(tmp_path))
    assert [path.name for path in done.paths] == [f"{'写' * 53}_espcn_x4.png", "photo_espcn_x4.png"]


def test_a_grey_photograph_is_none_in_a_palette(tmp_path):
    """All of 8 bits have few enough colours for the palette of a model of colours."""
    grey = np.tile(np.arange(200, dtype=np.uint8), [20, 1])
    write_png(tmp_path / "photo.png", grey)
    write_png(tmp_path / "drawn.png", grey // 16 * 16)
    for name, network in (("photo", "x4.keras"), ("drawn", "x4-palette.keras")):
        lines = []
        upscale_paths([tmp_path / f"{name}.png"], "espcn", UpscaleOptions(tmp_path), report=lines.append)
        assert len(lines) == 1 and lines[0].endswith(network)


def test_a_file_says_what_its_network_is(tmp_path):
    save_network(tmp_path / "net.keras", Espcn(3, channels=3, activation="relu", seed=5))
    with zipfile.ZipFile(tmp_path / "net.keras") as file:
        described = json.loads(file.read("config.json"))
    config = described["config"]
    assert described["class_name"] == "Espcn" and (config["scale"], config["channels"]) == (3, 3)
    assert config["activation"] == "relu" and "red, green, blue, 0..1" in config["contract"]
    assert load_network(tmp_path / "net.keras").get_config() == config


def test_networks_that_cannot_be_used(tmp_path):
    Espcn(3).save(tmp_path / "x3.keras")
    (tmp_path / "bad.keras").write_bytes(b"PK nothing")
    keras.Sequential([keras.Input([3]), keras.layers.Dense(1)]).save(tmp_path / "other.keras")
    for path, scale, message in (
        ("x3.keras", 4, "a network for x3, not for `scale` 4"),
        ("bad.keras", None, "not a network of this project"),
        ("other.keras", None, "registered_name is null"),
        ("none.keras", None, "no such file"),
    ):
        with pytest.raises(InputError, match=message):
            load_network(tmp_path / path, scale)
    assert load_network(tmp_path / "x3.keras", 3).scale == 3


def test_networks_of_one_shape_but_another_kind_have_no_mean(tmp_path):
    """Their weights have the same shapes, by which they were once compared."""
    for activation in ("tanh", "relu"):
        save_network(tmp_path / f"{activation}.keras", Espcn(2, activation=activation))
    with pytest.raises(InputError, match=r"relu\.keras: another network than .*tanh\.keras"):
        load_mean([tmp_path / "tanh.keras", tmp_path / "relu.keras"])


def test_bundled_networks_are_what_their_place_says():
    assert all(path.exists() for path in FILES.values())
    for choice in (("espcn", 3, "clean"), ("espcn", 2, "palette"), ("srgan", 4, "palette")):
        net, listed = find_network(choice[0], (), *choice[1:])
        assert ((net.name, net.scale), listed) == (choice[:2], str(FILES[choice]))
    with pytest.raises(InputError, match="`scale` 2, `degradation` palette: no srgan for that is bundled"):
        find_network("srgan", (), 2, "palette")
    with pytest.raises(InputError, match="a network of the kind of srresnet, not of espcn"):
        find_network("espcn", [FILES["srresnet", 4, "clean"]])


KEPT = [("espcn", 2, 1.8), ("espcn", 3, 1.8), ("espcn", 4, 1.8), ("srresnet", 4, 2.0), ("srgan", 4, 2.0)]


@pytest.mark.parametrize("name, scale, most", KEPT)
def test_networks_for_palettes_keep_colours(name, scale, most):
    """One that had learnt to undo what a palette lacks made neon of another's: 5 levels away, and nearer in PSNR."""
    tokens, clusters = np.load(DATA / "emoji_teX.npy")[:16], np.load(BUNDLED / "clusters.npy")
    images = color_dequantize(tokens, clusters, 32)
    enlarged = Upscaler(find_network(name, (), scale, "palette")[0])(images)
    small = enlarged.reshape(16, 32, scale, 32, scale, 3).mean((2, 4))
    assert np.abs(small - images).mean() < most


@pytest.mark.parametrize("border, psnr, ssim", [(2, 31.52139853, 0.73938048), (4, 31.52175703, 0.73848793)])
def test_metrics_equal_scikit_images(border, psnr, ssim):
    """Pinned: scikit-image 0.26 on the luma of its own `rgb2ycbcr`, data_range 255, Gaussian weights of sigma 1.5."""
    clean = photo(61, 83)
    noise = np.random.default_rng(0).integers(-20, 21, clean.shape)
    noisy = (clean.astype(int) + noise).clip(0, 255).astype(np.uint8)
    assert metrics.psnr(clean, noisy, border=border) == pytest.approx(psnr, abs=1e-3)
    assert metrics.ssim(clean, noisy, border=border) == pytest.approx(ssim, abs=1e-4)
    assert metrics.mse(clean, noisy, border=border) == pytest.approx(255**2 / 10 ** (psnr / 10), rel=1e-6)
    assert (
        metrics.psnr(clean, clean, border=border) == np.inf and metrics.bounded_psnr(clean, clean, border=border) == 99
    )
