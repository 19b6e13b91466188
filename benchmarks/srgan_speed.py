#!/usr/bin/env python3
"""Is SRGAN's generator as fast here as the same one in PyTorch, forward and in a training step?

The paper's generator with 16 blocks, float32, CPU, the same weights: forward from 128x128 to 512x512, and an update by
Adam on the squared error of 16 pairs of 24x24 and 96x96. Outputs and losses are compared. Each measurement is a process
of its own, the sides taking turns; reported is the fastest of the repetitions.
"""

import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.child import race  # noqa: E402

RATE = 1e-4


def batch():
    """(low [16, 24, 24, 3], high [16, 96, 96, 3], an image [1, 128, 128, 3]) in 0..1."""
    rng = np.random.default_rng(0)
    return [rng.random(shape, np.float32) for shape in ([16, 24, 24, 3], [16, 96, 96, 3], [1, 128, 128, 3])]


def network():
    """Our generator; no weight is at its start, the same every time."""
    from src.cli.process import import_tensorflow

    import_tensorflow()
    from src.superres.srgan import Generator

    net, rng = Generator(), np.random.default_rng(1)
    net.set_weights([w + 0.02 * rng.random(w.shape, np.float32) for w in net.get_weights()])
    return net


def ours(task):
    """A function that does the task with this project and returns a few numbers of the result."""
    net = network()
    import keras
    import tensorflow as tf

    from src.superres.cutting import Cutting
    from src.superres.pairs import Pairs
    from src.superres.photographs import TrainingData
    from src.superres.pixel import PixelRecipe, PixelTask
    from src.superres.upscaler import Upscaler
    from src.training.loop import summed

    low, high, image = map(tf.constant, batch())
    if task == "step":
        data = TrainingData(Pairs((), Cutting(4, patch=low.shape[1]), channels="rgb"), [], {})
        task = PixelTask(net, data, PixelRecipe(n_batch=len(low)), Path("unused"))
        task.optimizer = keras.optimizers.Adam(RATE)
        task.optimizer.build(net.trainable_variables)
        step = summed(tf.distribute.get_strategy(), task.update)
        return lambda: [float(step((low, high))["loss"])]
    upscaler = Upscaler(net)
    forward = tf.function(lambda x: upscaler.network(x, 1), autograph=False)
    return lambda: forward(image).numpy()[0, 16:-16:64, 16:-16:64].ravel().tolist()  # its edge of 48 is cut off


def torch(task):
    """The same with PyTorch."""
    import torch
    from torch import nn
    from torch.nn import functional as F

    def conv(i, o, width):
        return nn.Conv2d(i, o, width, padding=width // 2)

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv1, self.norm1, self.act = conv(64, 64, 3), norm(), nn.PReLU(64)
            self.conv2, self.norm2 = conv(64, 64, 3), norm()

        def forward(self, x):
            return x + self.norm2(self.conv2(self.act(self.norm1(self.conv1(x)))))

    def norm():
        return nn.BatchNorm2d(64, eps=1e-3, momentum=0.01)

    class Generator(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.act = conv(3, 64, 9), nn.PReLU(64)
            self.blocks = nn.Sequential(*(Block() for _ in range(16)))
            self.trunk, self.norm = conv(64, 64, 3), norm()
            self.up = nn.ModuleList()
            for _ in range(2):
                self.up += [conv(64, 256, 3), nn.PReLU(64)]
            self.last = conv(64, 3, 9)

        def forward(self, x):
            first = self.act(self.first(2 * x - 1))
            x = first + self.norm(self.trunk(self.blocks(first)))
            for up, act in zip(self.up[::2], self.up[1::2]):
                x = act(F.pixel_shuffle(up(x), 2))
            return torch.tanh(self.last(x)) + 0.5

    net = Generator()
    copy_weights(network(), net)
    low, high, image = (torch.tensor(np.moveaxis(x, -1, 1)) for x in batch())
    if task == "forward":
        net.eval()

        @torch.inference_mode()
        def forward():
            return np.moveaxis(net(image).numpy(), 1, -1)[0, 64:-64:64, 64:-64:64].ravel().tolist()

        return forward
    optimizer = torch.optim.Adam(net.parameters(), RATE, eps=1e-7)

    def step():
        loss = F.mse_loss(net(low), high)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return [loss.item()]

    return step


def copy_weights(source, target):
    """From the Keras generator into PyTorch's, layer by layer in the order in which they are applied."""
    import torch

    convs, norms, acts = ([x for x in source.layers if type(x).__name__.endswith(kind)] for kind in KINDS)
    modules = [m for m in target.modules() if not list(m.children())]
    own = [[m for m in modules if type(m).__name__ == kind] for kind in ("Conv2d", "BatchNorm2d", "PReLU")]
    with torch.no_grad():
        for theirs, layer in zip(own[0], convs):
            kernel, bias = layer.get_weights()
            theirs.weight.copy_(shuffled(np.transpose(kernel, [3, 2, 0, 1])))
            theirs.bias.copy_(shuffled(bias))
        for theirs, layer in zip(own[1], norms):
            for tensor, value in zip(
                (theirs.weight, theirs.bias, theirs.running_mean, theirs.running_var), layer.get_weights()
            ):
                tensor.copy_(torch.tensor(value))
        for theirs, layer in zip(own[2], acts):
            theirs.weight.copy_(torch.tensor(layer.get_weights()[0].ravel()))


KINDS = "Conv2D", "BatchNormalization", "PReLU"  # ends of names


def shuffled(weights):
    """The maps of an upsampling in PyTorch's order, [64, 2, 2] instead of [2, 2, 64]; others as they are."""
    import torch

    if len(weights) == 256:
        weights = np.moveaxis(weights.reshape(2, 2, 64, *weights.shape[1:]), 2, 0).reshape(weights.shape)
    return torch.tensor(np.ascontiguousarray(weights))


SIDES = {"this project": ours, "PyTorch": torch}
TASKS = {"128x128 to 512x512": "forward", "update, 16 of 24x24": "step"}

if __name__ == "__main__":
    race(__file__, __doc__, SIDES, TASKS, repeats=5, atol=1e-3)
