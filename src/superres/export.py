"""A trained network in the formats that other programs run: an image in, the enlarged one out, and a contract in it."""

import dataclasses
import json
import shutil
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from src.config import InputError
from src.superres.files import load_network, save_network
from src.superres.network import Network
from src.superres.upscaler import Upscaler
from src.writing import writing

SAME = 1e-3  # pixels in 0..1 may differ by so much: a quarter of a grey level
ROUNDED = 1 / 255  # the same for weights of 11 bits instead of 24: a grey level, on noise, which no photograph is
CONTRACT = "contract.json"


class WholeImage(keras.layers.Layer):
    """Colours [b, h, w, 3] in 0..1 to [b, scale * h, scale * w, 3] in 0..1, borders reflected, as `Upscaler` does it.

    h and w are more than the network's context.
    """

    def __init__(self, net: Network, **options: Any):
        super().__init__(**options)
        self.net, self.upscaler = net, Upscaler(net)

    def call(self, rgb):
        m = self.net.context
        padded = tf.pad(rgb, [(0, 0), (m, m), (m, m), (0, 0)], "reflect")
        return tf.clip_by_value(self.upscaler.colours(padded, bands=1), 0, 1)

    def compute_output_shape(self, shape):
        return *(n and n * self.net.scale for n in shape[:3]), 3


def whole_image(net: Network) -> keras.Model:
    """`WholeImage` as a Keras model."""
    inputs = keras.Input([None, None, 3], name="rgb")
    return keras.Model(inputs, WholeImage(net)(inputs), name=net.name)


def contract(net: Network) -> dict[str, str]:
    """What goes into an exported network and what comes out, for whoever finds the file."""
    side = net.context + 1
    return {
        "network": f"{net.name} x{net.scale}",
        "input": f"float32 [batch, height, width, 3]: red, green, blue (sRGB) in 0..1, at least {side} pixels a side",
        "output": f"float32 [batch, {net.scale} * height, {net.scale} * width, 3]: the same, clipped to 0..1",
    }


@dataclasses.dataclass(frozen=True)
class Format:
    """How a network is written, and what it makes of pixels [b, h, w, c] when it is read again.

    Attributes:
        write: a function of a model, a path and a `contract`.
        run: a function of a path and pixels.
        ending: of the file's name.
        tolerance: how far pixels in 0..1 may be from the network's.
        whole: whether it takes colours and whole images, or what the network itself takes.
    """

    write: Callable[[keras.Model, Path, dict[str, str]], None]
    run: Callable[[str, np.ndarray], np.ndarray]
    ending: str
    tolerance: float = SAME
    whole: bool = True


def export_network(net: Network, kind: str, path: str | Path) -> float:
    """Write a network to `path` in one of FORMATS, and check that it gives the same pixels, in 0..1.

    Returns:
        By how much they differ at most.

    Raises:
        InputError: no such format, an unsuitable or existing path, a package that is missing, or other pixels.
    """
    if kind not in FORMATS:
        raise InputError(f"`export` {kind}: must be one of {', '.join(FORMATS)}")
    path, form = Path(path), FORMATS[kind]
    if form.ending and path.suffix != form.ending:
        raise InputError(f"`export` {kind} {path}: the name must end in {form.ending}")
    if path.exists():
        raise InputError(f"`export` {kind} {path}: is there already; name another path")
    pixels = np.random.default_rng(0).random([1, 24, 20, 3 if form.whole else net.channels], np.float32)
    model = whole_image(net) if form.whole else net
    expected = model(pixels).numpy()
    try:
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=".part-", dir=path.parent) as folder:
                part = Path(folder) / path.name
                form.write(model, part, contract(net))
                difference = float(np.abs(form.run(str(part), pixels) - expected).max())
                if difference > form.tolerance:
                    raise InputError(
                        f"`export` {kind}: pixels differ by {difference:.2g} from the network's; not written"
                    )
                shutil.move(part, path)
    except ImportError as error:
        raise InputError(f"`export` {kind}: needs the package {error.name}; install it with pip") from error
    return difference


def write_saved_model(model, path, contract):
    model.export(path, format="tf_saved_model", verbose=False)
    (path / "assets.extra").mkdir()  # the format's folder for what others add
    (path / "assets.extra" / CONTRACT).write_text(json.dumps(contract, indent=1))


def write_onnx(model, path, contract):
    import onnx

    model.export(path, format="onnx", verbose=False)
    written = onnx.load(path)
    onnx.helper.set_model_props(written, contract)
    onnx.save(written, path)


def write_litert(model, path, contract):
    model.export(path, format="litert", verbose=False)
    with zipfile.ZipFile(path, "a") as file:  # the format's place for files that belong to a model
        file.writestr(CONTRACT, json.dumps(contract, indent=1))


def write_float16(net, path, contract):
    save_network(path, net, "float16")  # whose configuration holds its own contract


def run_float16(path, pixels):
    return load_network(path)(pixels).numpy()


def run_saved_model(path, pixels):
    model = tf.saved_model.load(path)
    return model.serve(tf.constant(pixels)).numpy()


def run_onnx(path, pixels):
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: pixels})[0]


def run_litert(path, pixels):
    interpreter = tf.lite.Interpreter(model_path=path)
    place = interpreter.get_input_details()[0]["index"]
    interpreter.resize_tensor_input(place, pixels.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(place, pixels)
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])


FORMATS = {
    "saved_model": Format(write_saved_model, run_saved_model, ""),
    "onnx": Format(write_onnx, run_onnx, ".onnx"),
    "litert": Format(write_litert, run_litert, ".tflite"),
    "float16": Format(write_float16, run_float16, ".keras", tolerance=ROUNDED, whole=False),
}
