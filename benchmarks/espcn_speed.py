#!/usr/bin/env python3
"""Is ESPCN as fast here as the same network in PyTorch and in onnxruntime?

Luma in, 1920x1080 out, float32, CPU, the same random weights, outputs compared. Each measurement is a process of its
own, the sides taking turns; reported is the fastest of the repetitions.
"""

import sys
import tempfile
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.child import race  # noqa: E402

WIDTH, HEIGHT, CONTEXT = 1920, 1080, 4
SHOWN = np.s_[::270, ::480]  # the pixels that are compared


def image(scale):
    """Low resolution [1, h + 8, w + 8, 1] in 0..1."""
    shape = [1, HEIGHT // scale + 2 * CONTEXT, WIDTH // scale + 2 * CONTEXT, 1]
    return np.random.default_rng(0).random(shape, np.float32)


def network(scale):
    """Our network; its weights are random numbers, the same every time."""
    from src.cli.process import import_tensorflow

    import_tensorflow()
    from src.superres.espcn import Espcn

    net, rng = Espcn(scale), np.random.default_rng(1)
    net.set_weights([0.05 * rng.standard_normal(w.shape, np.float32) for w in net.get_weights()])
    return net


def ours(scale):
    """A function that runs this project's network on its image and returns a few pixels of 1080x1920."""
    net = network(scale)
    import tensorflow as tf

    from src.superres.upscaler import Upscaler

    upscaler, x = Upscaler(net), tf.constant(image(scale))
    forward = tf.function(lambda x: upscaler.network(x, upscaler.bands(HEIGHT // scale)), autograph=False)
    return lambda: forward(x).numpy()[0, ..., 0][SHOWN].tolist()


def torch(scale):
    """The same in PyTorch."""
    import torch
    from torch.nn import functional as F

    tensors = [
        torch.tensor(np.moveaxis(w, [-1, -2], [0, 1]) if w.ndim == 4 else w) for w in network(scale).get_weights()
    ]
    x = torch.tensor(image(scale)[..., 0])[None]

    @torch.inference_mode()
    def forward():
        y = 2 * x - 1
        for kernel, bias in zip(tensors[:4:2], tensors[1:4:2]):
            y = torch.tanh(F.conv2d(y, kernel, bias))
        return F.pixel_shuffle(F.conv2d(y, *tensors[4:]), scale)[0, 0].numpy()[SHOWN].tolist()

    return forward


def onnx(scale):
    """The same in onnxruntime."""
    net = network(scale)
    import onnxruntime
    import tensorflow as tf

    with tempfile.TemporaryDirectory() as folder:
        path, x = str(Path(folder) / "net.onnx"), image(scale)
        net(x[:, :32, :32])
        net.export(path, format="onnx", input_signature=[tf.TensorSpec([1, None, None, 1])], verbose=False)
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda: session.run(None, {name: x})[0][0, ..., 0][SHOWN].tolist()


SIDES = {"this project": ours, "PyTorch": torch, "onnxruntime": onnx}
TASKS = {f"x{scale}": scale for scale in (2, 3, 4)}

if __name__ == "__main__":
    race(__file__, __doc__, SIDES, TASKS, repeats=10, atol=1e-4)
