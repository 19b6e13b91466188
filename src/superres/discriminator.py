"""SRGAN's discriminator (Ledig et al. 2017, arXiv 1609.04802, figure 4), with batch or spectral normalization."""

import functools

import keras
from keras import layers, ops

from src.superres.batch_norm import BatchNormalization
from src.superres.network import Layers, register
from src.superres.srgan import leaky

TINY = 1e-12  # keeps the direction of nothing finite


class Spectral:
    """A layer whose kernel is divided by its largest singular value (Miyato et al. 2018, arXiv 1802.05957, section 2).

    A step of the power iteration at each training call keeps up with that value; the direction it has come to is a
    weight that is not trained. The gradient goes through the division, where Keras' own SpectralNormalization
    overwrites the kernel, which no strategy of several devices allows.
    """

    def build(self, shape):
        super().build(shape)
        start = keras.initializers.RandomNormal(seed=self.kernel_initializer.seed)
        options = {"dtype": "float32", "autocast": False, "trainable": False, "aggregation": "mean"}
        self.direction = self.add_weight(shape=[self.kernel.shape[-1]], initializer=start, name="direction", **options)

    def call(self, x, training=None):
        matrix = ops.reshape(ops.cast(self.kernel, "float32"), [-1, self.kernel.shape[-1]])
        u = ops.convert_to_tensor(self.direction)
        v = unit(ops.matmul(ops.stop_gradient(matrix), u))
        if training:
            u = unit(ops.matmul(v, ops.stop_gradient(matrix)))
            self.direction.assign(u)
        largest = ops.sum(ops.matmul(v, matrix) * u)
        return self.apply(x, ops.cast(ops.reshape(matrix / largest, self.kernel.shape), self.compute_dtype))


def unit(x):
    """A vector of length 1 in the direction of another."""
    return x / (ops.sqrt(ops.sum(x**2)) + TINY)


@register
class SpectralConv2D(Spectral, layers.Conv2D):
    """`Spectral` for a convolution, its kernel seen as a matrix from patches to maps."""

    def apply(self, x, kernel):
        return ops.conv(x, kernel, strides=list(self.strides), padding=self.padding) + self.bias


@register
class SpectralDense(Spectral, layers.Dense):
    """`Spectral` for a matrix."""

    def apply(self, x, kernel):
        return ops.matmul(x, kernel) + self.bias


def least_parameters(side: int) -> int:
    """Of the discriminator of crops of so many pixels on a side, those between its maps and its 1,024 features."""
    return (-(-side // 16)) ** 2 * 512 * 1024


def discriminator(side: int, seed: int = 42, dtype: str = "float32", *, spectral: bool = False) -> keras.Model:
    """A network from crops [b, side, side, 3] in 0..1 to logits [b, 1] in float32, above zero for real ones.

    Args:
        spectral: normalize kernels in place of batches, behind which a kernel's size would have no effect.
    """
    make = Layers(seed, dtype)
    conv = functools.partial(make.conv, kind=SpectralConv2D if spectral else layers.Conv2D)
    dense = SpectralDense if spectral else layers.Dense
    inputs = keras.Input([side, side, 3])
    x = leaky(make)(conv(64, 3)(make(layers.Rescaling, 2, -1)(inputs)))
    for maps, stride in ((64, 2), (128, 1), (128, 2), (256, 1), (256, 2), (512, 1), (512, 2)):
        x = conv(maps, 3, strides=stride)(x)
        x = leaky(make)(x if spectral else make(BatchNormalization)(x))
    x = leaky(make)(make(dense, 1024, kernel_initializer=make.start())(make(layers.Flatten)(x)))
    x = make(dense, 1, dtype="float32", kernel_initializer=make.start())(x)
    return keras.Model(inputs, x, name="discriminator")
