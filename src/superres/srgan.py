"""SRGAN's generators (Ledig et al. 2017, arXiv 1609.04802, figure 4) in Keras layers.

They take and give pixels in 0..1. Convolutions are padded, so that a generator's outermost pixels are worthless:
`Upscaler` cuts them off.
"""

import functools
from typing import Any

import keras
import numpy as np
from keras import layers

from src.config import InputError
from src.schema import Integer, OneOf
from src.superres.batch_norm import BatchNormalization
from src.superres.network import FIELDS, Layers, Network, register
from src.superres.subpixel import NearestConv2D, PixelShuffle, SubpixelConv2D, SubpixelPReLU

SLOPE = 0.2  # of leaky activations below zero, where it is learned at first
INCEPTION_SCALE = 0.17  # of what an Inception-A block adds
HALVES = np.float32([[0.25, 0.75, 0], [0, 0.75, 0.25]])  # bilinear weights of three pixels in either half of the middle
GAIN = 0.53  # tanh of it times x is about x / 2


def prelu(make, kind=layers.PReLU, **options):
    return make(kind, keras.initializers.Constant(SLOPE), shared_axes=[1, 2], **options)


def leaky(make):
    return make(layers.LeakyReLU, SLOPE)


def residual_block(make, x):
    """conv 3x3, batch norm, PReLU, conv 3x3, batch norm, added (section 2.1.1); at first it adds nothing."""
    y = prelu(make)(make(BatchNormalization)(make.conv(64, 3)(x)))
    y = make(BatchNormalization, gamma_initializer="zeros")(make.conv(64, 3)(y))
    return make(layers.Add)([x, y])


def inception_block(make, x):
    """Inception-A (`block35` of keras.applications' InceptionResNetV2) added with INCEPTION_SCALE, then ReLU."""

    def branch(*widths_and_maps):
        y = x
        for width, maps in widths_and_maps:
            y = make(BatchNormalization, scale=False)(make.conv(maps, width, use_bias=False)(y))
            y = make(layers.ReLU)(y)
        return y

    branches = branch((1, 32)), branch((1, 32), (3, 32)), branch((1, 32), (3, 48), (3, 64))
    y = make.conv(x.shape[-1], 1)(make(layers.Concatenate)(branches))
    return make(layers.ReLU)(make(layers.Add)([x, make(layers.Rescaling, INCEPTION_SCALE)(y)]))


def shuffle_twice(make, x, convolutions):
    """Conv 3x3x256, pixel shuffle and PReLU, and the same again without the shuffle, which the last layer does."""
    for i, conv in enumerate(convolutions):
        x = prelu(make, SubpixelPReLU, scale=2)(conv(x))
        x = x if i else make(PixelShuffle, scale=2)(x)
    return x


def nearest_twice(make, x, convolutions):
    """Conv 3x3x256, LeakyReLU and nearest upsampling, and again without the upsampling, which the last layer does."""
    for i, conv in enumerate(convolutions):
        x = leaky(make)(conv(x))
        x = x if i else make(layers.UpSampling2D, 2)(x)
    return x


KINDS = {  # how a block of the trunk is built, and how the two upsamplings and the last convolution are
    "srgan": (residual_block, shuffle_twice, SubpixelConv2D),
    "report": (residual_block, nearest_twice, NearestConv2D),
    "inception": (inception_block, nearest_twice, NearestConv2D),
}


@register
class Generator(Network):
    """A network from [b, h, w, 3] to [b, 4 h, 4 w, 3]. A new one begins by interpolating its input.

    Args:
        kind: `srgan`, the paper's; `report`, with nearest upsampling; `inception`, that with Inception-A blocks.
        blocks: residual blocks; 16 in the paper.
        seed: of the first weights.
        dtype: of the layers; pixels come out in float32.
        name: `srresnet` where it was trained on pixels, `srgan` where against a discriminator.
    """

    scale, channels = 4, 3
    context = 12  # low-resolution pixels around a tile
    padded = True
    fields = FIELDS | {"kind": OneOf(tuple(KINDS)), "blocks": Integer(0, 256)}

    def __init__(
        self, kind: str = "srgan", blocks: int = 16, seed: int = 42, dtype: str = "float32", name: str = "srresnet"
    ):
        if fault := self.fields["blocks"].fault(blocks):  # before it is trained: no file of it would be read again
            raise InputError(f"`blocks` {fault}")
        make, (block, upsample_twice, last_kind) = Layers(seed, dtype), KINDS[kind]
        first, last = make.conv(64, 9), make.conv(3, 9, kind=last_kind, scale=2)
        upsampling = make.conv(256, 3), make.conv(256, 3)
        inputs = keras.Input([None, None, 3])
        start = prelu(make)(first(make(layers.Rescaling, 2, -1)(inputs)))
        x = functools.reduce(lambda x, _: block(make, x), range(blocks), start)
        x = make(BatchNormalization, gamma_initializer="zeros")(make.conv(64, 3)(x))
        x = last(upsample_twice(make, make(layers.Add)([start, x]), upsampling))
        x = make(layers.Activation, "tanh", dtype="float32")(x)  # of which the part that is nearly linear is used
        super().__init__(inputs, make(layers.Rescaling, 1, 0.5, dtype="float32")(x), name=name)
        self.kind, self.blocks, self.seed, self.precision = kind, blocks, seed, dtype
        start_as_interpolation(first, upsampling, last, bilinear=kind == "srgan")

    def get_config(self) -> dict[str, Any]:
        config = {name: getattr(self, name) for name in ("kind", "blocks", "seed", "name")}
        return config | {"dtype": self.precision, "contract": self.contract()}


def start_as_interpolation(first, upsampling, last, *, bilinear):
    """Let a new generator begin by interpolating its input, which thousands of steps would go into otherwise.

    Six maps carry the colours x and -x; after a leaky activation a, x = (a(x) - a(-x)) / (1 + SLOPE). The rest of the
    weights stays random.

    Args:
        first: the convolution 9x9 from colours to maps; `last` that from maps to colours.
        upsampling: the convolutions 3x3 before the two upsamplings.
        bilinear: whether they make 2x2 pixels each, or one that is repeated.
    """
    both = np.concatenate([np.eye(3), -np.eye(3)]).astype(np.float32)  # [6, 3]: from colours and back
    convolutions = first, *upsampling, last
    kernels = [layer.kernel.numpy() for layer in convolutions]
    kernels[0][..., :6] = 0
    kernels[0][4, 4, :, :6] = both.T
    for kernel in kernels[1:-1]:
        if bilinear:  # maps [2, 2, 64] become 2x2 pixels
            kernel = kernel.reshape(*kernel.shape[:3], 2, 2, 64)
            weights = np.einsum("yi,xj->ijyx", HALVES, HALVES)
        else:
            weights = np.float32([[0, 0, 0], [0, 1, 0], [0, 0, 0]])
        kernel[..., :6] = 0
        kernel[:, :, :6, ..., :6] = np.einsum("ij...,mn->ijm...n", weights, both @ both.T / (1 + SLOPE))
    kernels[-1] *= 0.1
    kernels[-1][:, :, :6] = 0
    kernels[-1][4, 4, :6] = both * GAIN / (1 + SLOPE)
    for layer, kernel in zip(convolutions, kernels):
        layer.kernel.assign(kernel)
