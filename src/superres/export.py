"""A trained network in the formats that other programs run: one image in, the enlarged one out."""

import shutil
import tempfile
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from src.config import InputError
from src.superres.networks import load_network, save_network
from src.superres.upscale import cut

TOLERANCE = 1e-3  # of pixels in 0..1: a quarter of a grey level


def whole_image(upscaler):
    """A Keras model [b, h, w, c] -> [b, scale * h, scale * w, c] in 0..1 that reflects the image's borders itself.

    h and w are more than `upscaler.context`.
    """
    m = upscaler.context
    inputs = keras.Input([None, None, upscaler.net.input_shape[-1]])
    y = upscaler.net(keras.ops.pad(inputs, [(0, 0), (m, m), (m, m), (0, 0)], mode="reflect"))
    return keras.Model(inputs, cut(y, upscaler.edge), name=upscaler.net.name)


def export_network(upscaler, kind, path):
    """Write a network to `path` in one of FORMATS, and check that it gives the same pixels.

    Raises:
        InputError: no such format, an unsuitable or existing path, a package that is missing, or other pixels.
    """
    if kind not in FORMATS:
        raise InputError(f"--export {kind}: must be one of {', '.join(FORMATS)}")
    path, (write, ending, run) = Path(path), FORMATS[kind]
    if path.suffix != ending and ending:
        raise InputError(f"--export {kind} {path}: the name must end in {ending}")
    if path.exists():
        raise InputError(f"--export {kind} {path}: is there already; name another path")
    model = upscaler.net if kind == "float16" else whole_image(upscaler)
    x = np.random.default_rng(0).random([1, 24, 20, model.input_shape[-1]], np.float32)
    expected = model(x).numpy()
    try:
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            part = Path(folder) / path.name
            write(model, part)
            difference = np.abs(run(str(part), x) - expected).max()
            if difference > TOLERANCE:
                raise InputError(f"--export {kind}: pixels differ by {difference:.2g} from the network's; not written")
            shutil.move(part, path)
    except ImportError as error:
        raise InputError(f"--export {kind}: needs the package {error.name}; install it with pip") from error
    except OSError as error:
        raise InputError(f"--export {kind} {path}: cannot be written ({error.strerror})") from error
    print(f"{path}: {kind} of {upscaler.net.name} x{upscaler.scale}, pixels within {difference:.1g} of the network's")


def exported(kind):
    """A function of a model and a path that writes it by Keras' own export."""
    return lambda model, path: model.export(path, format=kind, verbose=False)


def write_float16(model, path):
    save_network(path, model, "float16")


def run_float16(path, x):
    return load_network(path).net(x).numpy()


def run_saved_model(path, x):
    model = tf.saved_model.load(path)
    return model.serve(tf.constant(x)).numpy()


def run_onnx(path, x):
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: x})[0]


def run_litert(path, x):
    interpreter = tf.lite.Interpreter(model_path=path)
    place = interpreter.get_input_details()[0]["index"]
    interpreter.resize_tensor_input(place, x.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(place, x)
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])


FORMATS = {  # how to write it, the ending of the file, how to run it
    "saved_model": (exported("tf_saved_model"), "", run_saved_model),
    "onnx": (exported("onnx"), ".onnx", run_onnx),
    "litert": (exported("litert"), ".tflite", run_litert),
    "float16": (write_float16, ".keras", run_float16),
}
