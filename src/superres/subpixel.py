"""The pixel shuffle (Shi et al. 2016, arXiv 1609.05158), and layers that do before it what others do after it.

Maps [b, h, w, r * r * c] hold the image [b, r * h, r * w, c] that the shuffle makes of them. A convolution 9x9 that
reads them as they are takes a quarter more arithmetic at r = 2 but gives 4 times the maps: the last one of SRGAN's
generator, with 3 maps after the shuffle, leaves a CPU's vectors mostly empty; with 12 before it is three times as fast.
"""

from keras import layers, ops

from src.superres.network import register


class Scaled:
    """A layer's `scale`, the r of its shuffle, kept in its configuration."""

    def __init__(self, *args, scale, **options):
        super().__init__(*args, **options)
        self.scale = scale

    def get_config(self):
        return super().get_config() | {"scale": self.scale}


class BeforeShuffle(Scaled):
    """A layer that takes maps [b, h, w, r * r * c], with the weights of one that would follow their shuffle."""

    def build(self, shape):
        super().build(shuffled_shape(shape, self.scale))
        self.input_spec = None


@register
class PixelShuffle(Scaled, layers.Layer):
    """[b, h, w, r * r * c] -> [b, r * h, r * w, c], the paper's periodic shuffling (section 3.2)."""

    def call(self, x):
        return shuffled(x, self.scale)

    def compute_output_shape(self, shape):
        return shuffled_shape(shape, self.scale)


@register
class SubpixelPReLU(BeforeShuffle, layers.PReLU):
    """PReLU before the shuffle, its slopes shared by pixels (`shared_axes` [1, 2])."""

    def call(self, x):
        slopes = ops.tile(ops.cast(self.alpha, x.dtype), [1, 1, self.scale**2])
        return ops.where(x > 0, x, slopes * x)


@register
class SubpixelConv2D(BeforeShuffle, layers.Conv2D):
    """The shuffle and a padded convolution of odd width in one: [b, h, w, r * r * c] -> [b, r * h, r * w, filters]."""

    def call(self, x):
        y = shuffled(ops.conv(x, self.kernel_before(), padding="same"), self.scale)
        return self.activation(y + ops.cast(self.bias, y.dtype) if self.use_bias else y)

    def kernel_before(self):
        return before_shuffle(self.kernel, self.scale)

    def compute_output_shape(self, shape):
        return *shuffled_shape(shape, self.scale)[:3], self.filters


@register
class NearestConv2D(SubpixelConv2D):
    """The same with nearest upsampling in place of the shuffle: [b, h, w, c] -> [b, r * h, r * w, filters]."""

    def build(self, shape):
        super().build([*shape[:3], shape[3] * self.scale**2])

    def kernel_before(self):
        kernel = super().kernel_before()  # pixels of one place are alike
        n, _, c, o = kernel.shape
        return ops.sum(ops.reshape(kernel, [n, n, self.scale**2, c // self.scale**2, o]), axis=2)


def shuffled(x, r):
    b, h, w, c = ops.shape(x)
    x = ops.reshape(x, [b, h, w, r, r, c // r**2])  # faster on a CPU than TensorFlow's depth_to_space
    return ops.reshape(ops.transpose(x, [0, 1, 3, 2, 4, 5]), [b, h * r, w * r, c // r**2])


def shuffled_shape(shape, r):
    b, h, w, c = shape
    return b, h and h * r, w and w * r, c // r**2


def before_shuffle(kernel, r):
    """The kernel [n, n, r * r * c, r * r * o] that does before a shuffle what `kernel` [w, w, c, o] does after it.

    Along either axis, tap t from the middle of `kernel` leads from pixel u of the r at one place to pixel p of those at
    the i-th place from there, r * i + p = u + t.
    """
    w, _, c, o = kernel.shape
    reach = -(-(w // 2) // r)  # neighbours on a side
    n, first = 2 * reach + 1, r * reach + r - 1 - w // 2
    kernel = ops.pad(kernel, [(first, n * r + r - 1 - w - first)] * 2 + [(0, 0)] * 2)
    shifts = [slice(r - 1 - u, r - 1 - u + n * r) for u in range(r)]
    kernel = ops.stack([ops.stack([kernel[y, x] for x in shifts], axis=-2) for y in shifts], axis=-3)
    kernel = ops.transpose(ops.reshape(kernel, [n, r, n, r, c, r * r * o]), [0, 2, 1, 3, 4, 5])
    return ops.reshape(kernel, [n, n, r * r * c, r * r * o])
