"""Networks in the formats of other programs."""

import json
import zipfile

import numpy as np
import pytest
import tensorflow as tf

from src.config import InputError
from src.superres.bundled import find_network
from src.superres.espcn import Espcn
from src.superres.export import FORMATS, WholeImage, export_network
from src.superres.files import load_network
from src.superres.upscaler import Upscaler
from tests.conftest import photo


def run(kind, path, image):
    """What an exported network makes of an image in 0..1."""
    return FORMATS[kind].run(str(path), image)


def contract_in(kind, path):
    """What an exported file says of itself."""
    if kind == "onnx":
        import onnx

        return {entry.key: entry.value for entry in onnx.load(path).metadata_props}
    if kind == "litert":
        return json.loads(zipfile.ZipFile(path).read("contract.json"))
    return json.loads((path / "assets.extra" / "contract.json").read_text())


@pytest.mark.parametrize("kind, name", [("saved_model", "saved"), ("onnx", "net.onnx"), ("litert", "net.tflite")])
def test_colours_in_and_colours_out(kind, name, tmp_path):
    """Exported networks once took luma in 16/255..235/255, gave it unclipped, and said so nowhere."""
    path, net = tmp_path / "new" / "folder" / name, find_network("espcn", (), 3)[0]
    image = np.stack([photo(21, 18), 255 * (photo(21, 18, 3) > 128).astype(np.uint8)])  # with edges that overshoot
    assert export_network(net, kind, path) < 1e-3
    made = run(kind, path, image / np.float32(255))
    assert made.min() == 0 and made.max() == 1
    expected = Upscaler(net)(image)
    np.testing.assert_allclose(255 * made, expected, atol=0.51)
    assert contract_in(kind, path) == {
        "network": "espcn x3",
        "input": "float32 [batch, height, width, 3]: red, green, blue (sRGB) in 0..1, at least 5 pixels a side",
        "output": "float32 [batch, 3 * height, 3 * width, 3]: the same, clipped to 0..1",
    }


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_bundled_networks_in_float16(scale, tmp_path):
    """x3 and x4 were once refused: their weights, rounded to 11 bits, move noise by up to half a grey level."""
    net = find_network("espcn", (), scale)[0]
    assert export_network(net, "float16", tmp_path / "half.keras") < 1 / 255
    half, image = load_network(tmp_path / "half.keras"), photo()[None]
    assert np.abs(Upscaler(half)(image).astype(int) - Upscaler(net)(image)).max() <= 1
    assert (tmp_path / "half.keras").stat().st_size < 0.8 * 4 * net.count_params()


def test_what_is_exported_is_checked(tmp_path, monkeypatch):
    wrong = FORMATS["float16"].run
    form = type(FORMATS["float16"])(FORMATS["float16"].write, lambda *of: wrong(*of) + 0.01, ".keras", whole=False)
    monkeypatch.setitem(FORMATS, "float16", form)
    with pytest.raises(InputError, match=r"pixels differ by 0\.01"):
        export_network(Espcn(2), "float16", tmp_path / "net.keras")
    assert not list(tmp_path.iterdir())
    (tmp_path / "there.onnx").touch()
    for kind, name, message in (
        ("jpeg", "x", "must be one of saved_model, onnx, litert, float16"),
        ("onnx", "x", "the name must end in .onnx"),
        ("onnx", "there.onnx", "is there already"),
    ):
        with pytest.raises(InputError, match=message):
            export_network(Espcn(2), kind, tmp_path / name)


def test_a_whole_image_is_the_upscalers():
    for channels in (1, 3):
        net, image = Espcn(2, channels), photo(12, 9)[None]
        made = WholeImage(net)(tf.constant(image / np.float32(255)))
        np.testing.assert_allclose(255 * made, Upscaler(net)(image), atol=0.51)


@pytest.mark.parametrize("kind, name", [("saved_model", "saved"), ("onnx", "x.onnx"), ("litert", "x.tflite")])
def test_a_deeper_network_that_adds_to_bicubic(kind, name, tmp_path):
    net, image = Espcn(2, 3, "relu", widths=[16, 16, 8], residual=True), photo(21, 18)[None]
    export_network(net, kind, tmp_path / name)
    made = run(kind, tmp_path / name, image / np.float32(255))
    np.testing.assert_allclose(255 * made, Upscaler(net)(image), atol=0.6)
    assert export_network(net, "float16", tmp_path / "half.keras") < 1 / 255
