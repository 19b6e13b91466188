"""SRGAN's generators and discriminator (Ledig et al. 2017, arXiv 1609.04802, figure 4) in Keras layers.

They take and give pixels in 0..1. Convolutions are padded, so that a generator's outermost pixels are worthless:
`Upscaler` cuts them off.
"""

import functools

import keras
import numpy as np
from keras import layers

from src.superres.batch_norm import BatchNormalization
from src.superres.subpixel import NearestConv2D, PixelShuffle, SubpixelConv2D, SubpixelPReLU

SLOPE = 0.2  # of leaky activations below zero, where it is learned at first
INCEPTION_SCALE = 0.17  # of what an Inception-A block adds
HALVES = np.float32([[0.25, 0.75, 0], [0, 0.75, 0.25]])  # bilinear weights of three pixels in either half of the middle
GAIN = 0.53  # tanh of it times x is about x / 2


def conv(maps, width, **options):
    return layers.Conv2D(maps, width, padding="same", **options)


def norm(**options):
    return BatchNormalization(**options)


def prelu():
    return layers.PReLU(keras.initializers.Constant(SLOPE), shared_axes=[1, 2])


def prelu_before_shuffle():
    return SubpixelPReLU(keras.initializers.Constant(SLOPE), shared_axes=[1, 2], scale=2)


def residual_block(x):
    """conv 3x3, batch norm, PReLU, conv 3x3, batch norm, added (section 2.1.1); at first it adds nothing."""
    y = prelu()(norm()(conv(64, 3)(x)))
    return layers.add([x, norm(gamma_initializer="zeros")(conv(64, 3)(y))])


def inception_block(x):
    """Inception-A (`block35` of keras.applications' InceptionResNetV2) added with INCEPTION_SCALE, then ReLU."""

    def branch(*widths_and_maps):
        y = x
        for width, maps in widths_and_maps:
            y = layers.ReLU()(norm(scale=False)(conv(maps, width, use_bias=False)(y)))
        return y

    branches = branch((1, 32)), branch((1, 32), (3, 32)), branch((1, 32), (3, 48), (3, 64))
    y = conv(x.shape[-1], 1)(layers.concatenate(branches))
    return layers.ReLU()(layers.add([x, layers.Rescaling(INCEPTION_SCALE)(y)]))


def shuffled_output(x):
    """Twice conv 3x3x256, pixel shuffle, PReLU, then conv 9x9 (the paper's)."""
    x = PixelShuffle(scale=2)(prelu_before_shuffle()(conv(256, 3)(x)))
    return SubpixelConv2D(3, 9, scale=2)(prelu_before_shuffle()(conv(256, 3)(x)))


def nearest_output(x):
    """Twice conv 3x3x256, nearest upsampling, LeakyReLU, then conv 9x9 (the report's)."""
    x = layers.UpSampling2D(2)(layers.LeakyReLU(SLOPE)(conv(256, 3)(x)))
    return NearestConv2D(3, 9, scale=2)(layers.LeakyReLU(SLOPE)(conv(256, 3)(x)))


GENERATORS = {  # how a block of the trunk is built, and what comes after the trunk
    "srgan": (residual_block, shuffled_output),
    "report": (residual_block, nearest_output),
    "inception": (inception_block, nearest_output),
}


def generator(kind="srgan", blocks=16):
    """A network from [b, h, w, 3] to [b, 4 h, 4 w, 3].

    Args:
        kind: `srgan`, the paper's; `report`, with nearest upsampling; `inception`, that with Inception-A blocks.
        blocks: residual blocks; 16 in the paper.
    """
    block, output = GENERATORS[kind]
    inputs = keras.Input([None, None, 3])
    first = prelu()(conv(64, 9)(layers.Rescaling(2, -1)(inputs)))
    x = functools.reduce(lambda x, _: block(x), range(blocks), first)
    x = layers.add([first, norm(gamma_initializer="zeros")(conv(64, 3)(x))])
    x = layers.Activation("tanh", dtype="float32")(output(x))
    net = keras.Model(inputs, layers.Rescaling(1, 0.5, dtype="float32")(x), name=kind)  # where tanh is nearly linear
    start_as_interpolation(net)
    return net


def start_as_interpolation(net):
    """Let a new generator begin by interpolating its input, which thousands of steps would go into otherwise.

    Six maps carry the colours x and -x; after a leaky activation a, x = (a(x) - a(-x)) / (1 + SLOPE). The rest of the
    weights stays random.
    """
    first, *upsampling, last = (x for x in net.layers if isinstance(x, layers.Conv2D) and is_outside_trunk(x))
    both = np.concatenate([np.eye(3), -np.eye(3)]).astype(np.float32)  # [6, 3]: from colours and back
    kernels = [layer.kernel.numpy() for layer in (first, *upsampling, last)]
    kernels[0][..., :6] = 0
    kernels[0][4, 4, :, :6] = both.T
    for kernel in kernels[1:-1]:
        if net.name == "srgan":  # maps [2, 2, 64] become 2x2 pixels
            kernel = kernel.reshape(*kernel.shape[:3], 2, 2, 64)
            weights = np.einsum("yi,xj->ijyx", HALVES, HALVES)
        else:
            weights = np.float32([[0, 0, 0], [0, 1, 0], [0, 0, 0]])
        kernel[..., :6] = 0
        kernel[:, :, :6, ..., :6] = np.einsum("ij...,mn->ijm...n", weights, both @ both.T / (1 + SLOPE))
    kernels[-1] *= 0.1
    kernels[-1][:, :, :6] = 0
    kernels[-1][4, 4, :6] = both * GAIN / (1 + SLOPE)
    for layer, kernel in zip((first, *upsampling, last), kernels):
        layer.kernel.assign(kernel)


def is_outside_trunk(layer):
    return layer.kernel_size == (9, 9) or layer.filters == 256


def like(net):
    """A generator of the same kind and size as `net`, in the current precision, with its weights; None of another."""
    if net.name not in GENERATORS:
        return None
    copy = generator(net.name, sum(isinstance(layer, layers.Add) for layer in net.layers) - 1)
    copy.set_weights(net.get_weights())
    return copy


def discriminator(side):
    """A network from crops [b, side, side, 3] to logits [b, 1], above zero for real ones."""
    inputs = keras.Input([side, side, 3])
    x = layers.LeakyReLU(SLOPE)(conv(64, 3)(layers.Rescaling(2, -1)(inputs)))
    for maps, stride in ((64, 2), (128, 1), (128, 2), (256, 1), (256, 2), (512, 1), (512, 2)):
        x = layers.LeakyReLU(SLOPE)(norm()(conv(maps, 3, strides=stride)(x)))
    x = layers.LeakyReLU(SLOPE)(layers.Dense(1024)(layers.Flatten()(x)))
    return keras.Model(inputs, layers.Dense(1, dtype="float32")(x), name="discriminator")
