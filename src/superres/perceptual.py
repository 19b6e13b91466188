"""Content losses of SRGAN (Ledig et al. 2017, section 2.2.1): distances in a classifier's features, or in pixels."""

from collections.abc import Callable
from pathlib import Path

import keras
import tensorflow as tf

from src.superres.imagenet import application
from src.superres.vgg16 import LAYERS, vgg16

VGG_LAYERS = {"vgg54": "block5_conv4", "vgg22": "block2_conv2"}  # after their ReLU: the paper's phi_5,4 and phi_2,2
VGG_SCALE = 1 / 12.75  # of features (section 3.2)
VGG16_SCALES = {"vgg16_22": 1 / 30, "vgg16_33": 1 / 14, "vgg16_43": 1 / 4}  # their root mean square on photographs is 1
DISTANCE_LAYERS = "block1_conv2", "block2_conv2", "block3_conv3", "block4_conv3"  # those of LPIPS (`make_distance`)
DISTANCE_SCALE = 1 / 7  # that of SRResNet to photographs is 1
GRID_WINDOW = 6  # low-resolution pixels, on a side or in a row, over which the means are taken
TINY = 1e-10  # of a pixel without features
INCEPTION_LAYER, INCEPTION_SIDE = "block35_10_ac", 75  # the last Inception-A block; the fewest pixels Keras allows


Loss = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]


def squared_distance(a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    """Mean squared difference of each example of [b, ...], in float32: [b]."""
    difference = tf.cast(a, tf.float32) - tf.cast(b, tf.float32)
    return tf.reduce_mean(difference**2, axis=range(1, difference.shape.rank))


def absolute_distance(a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    """Mean absolute difference of each example of [b, ...], in float32: [b]."""
    difference = tf.cast(a, tf.float32) - tf.cast(b, tf.float32)
    return tf.reduce_mean(tf.abs(difference), axis=range(1, difference.shape.rank))


def grid_distance(a: tf.Tensor, b: tf.Tensor, scale: int) -> tf.Tensor:
    """How much of the difference of images [b, h, w, c] repeats from one low-resolution pixel to the next: [b].

    Sub-pixel convolution has kernels of its own for each of the `scale`^2 places in such a pixel. So a network can lay
    a grid over all that it draws, which distances in features hardly see, or even welcome. Detail differs from pixel
    to pixel: over some of them its mean is the same at all places. In the units of the images, whose sides are
    multiples of the scale.
    """
    return repeated_distance(a, b, scale, (GRID_WINDOW, GRID_WINDOW), axes=(3, 4))


def line_distance(a: tf.Tensor, b: tf.Tensor, scale: int) -> tf.Tensor:
    """How much of the difference of images [b, h, w, c] repeats along rows, and along columns, of pixels: [b].

    Dots along a straight edge are few in an area, of which `grid_distance` takes the means, and there it mostly sees
    how sharp the edge is, for that differs from place to place across it. Along the edge only dots do.
    """
    along_rows = repeated_distance(a, b, scale, (1, GRID_WINDOW), axes=4)
    return along_rows + repeated_distance(a, b, scale, (GRID_WINDOW, 1), axes=3)


def repeated_distance(a, b, scale, window, axes):
    """How much the means of the difference over windows of low-resolution pixels differ from place to place in these.

    Args:
        axes: which places are compared: 3 those of a column of such a pixel, 4 of a row.
    """
    places = tf.nn.space_to_depth(tf.cast(a, tf.float32) - tf.cast(b, tf.float32), scale)
    window = [min(*sides) for sides in zip(window, places.shape[1:3])]
    means = tf.nn.avg_pool2d(places, window, 1, "VALID")
    means = tf.reshape(means, [-1, *means.shape[1:3], scale, scale, a.shape[-1]])
    return absolute_distance(means, tf.reduce_mean(means, axis=axes, keepdims=True))


def make_content_loss(
    kind: str, weights: str | Path | None = None, random_features: bool = False, dtype: str = "float32"
) -> Loss:
    """A function of two batches of images [b, h, w, 3] in 0..1: their distance [b].

    Args:
        kind: `vgg54` or `vgg22` (of VGG19), `vgg16_22`, `vgg16_33`, `vgg16_43`, `vgg16` (`make_distance`),
            `inception_resnet_v2` or `pixel`.
        weights: a file of ImageNet weights without the top, for VGG16's layers also of an edge detector that began with
            them (`vgg16.vgg16`); default: Keras' own, from its cache or downloaded.
        random_features: of a network that was never trained: to try the code, not to train with.
        dtype: of the network's layers.

    Raises:
        InputError: the weights can be neither found nor downloaded.
    """
    if kind == "pixel":
        return squared_distance
    weights = None if random_features else weights or "imagenet"
    if kind == "vgg16":
        distance = make_distance(weights, dtype)
        return lambda a, b: DISTANCE_SCALE * distance(a, b)
    features = make_features(kind, weights, dtype)
    return lambda a, b: squared_distance(features(a), features(b))


def make_distance(weights: str | Path | None, dtype: str = "float32") -> Loss:
    """LPIPS (Zhang et al. 2018, arXiv 1801.03924, equation 1) with VGG16 and without its learned weights.

    Each pixel's features are normed to length 1 over the channels, their squared difference is summed over channels,
    averaged over pixels and summed over relu1_2, relu2_2, relu3_3 and relu4_3.

    Args:
        weights: as `vgg16.vgg16`.
    """
    network = vgg16(DISTANCE_LAYERS, weights, dtype)

    def of_layer(a, b):
        return tf.reduce_mean(tf.reduce_sum((normed(a) - normed(b)) ** 2, axis=-1), axis=[1, 2])

    return lambda a, b: tf.add_n([of_layer(x, y) for x, y in zip(network(a), network(b))])


def normed(x):
    """Features [b, h, w, c] of length 1 over the channels, in float32."""
    x = tf.cast(x, tf.float32)
    return x / tf.sqrt(tf.reduce_sum(x**2, axis=-1, keepdims=True) + TINY)


def make_features(kind, weights, dtype):
    """A function of images [b, h, w, 3] in 0..1: what a frozen network makes of them.

    VGG16's layers are scaled to a root mean square of 1 on photographs, so that the distance is a share of their power,
    0.13 to 0.18 from SRResNet to the original at each of them, and one weight of the adversarial loss suits them all.

    Args:
        weights: `imagenet`, a file, or None for random ones.
    """
    if kind in VGG16_SCALES:
        network, scale = vgg16([LAYERS[kind]], weights, dtype), VGG16_SCALES[kind]
        return lambda x: scale * tf.cast(network(x, training=False), tf.float32)
    if kind == "inception_resnet_v2":
        network = frozen(keras.applications.InceptionResNetV2, weights, INCEPTION_LAYER, dtype)
        return lambda x: network(large_enough(x) * 2 - 1, training=False)
    network = frozen(keras.applications.VGG19, weights, VGG_LAYERS[kind], dtype)
    preprocess = keras.applications.vgg19.preprocess_input  # BGR, minus ImageNet's means
    return lambda x: VGG_SCALE * network(preprocess(x * 255), training=False)


def large_enough(x):
    """Images enlarged to at least INCEPTION_SIDE pixels a side."""
    h, w = x.shape[1:3]
    return x if min(h, w) >= INCEPTION_SIDE else tf.image.resize(x, [max(h, INCEPTION_SIDE), max(w, INCEPTION_SIDE)])


def frozen(make, weights, layer, dtype):
    """A network of keras.applications up to a layer."""
    network = application(make, weights)
    network = in_precision(dtype, keras.Model(network.input, network.get_layer(layer).output))
    network.trainable = False
    return network


def in_precision(dtype, network):
    """A copy of a network whose layers compute in a type, float32 being what they are made in."""
    if dtype == "float32":
        return network
    copy = keras.models.clone_model(
        network, clone_function=lambda layer: type(layer).from_config(layer.get_config() | {"dtype": dtype})
    )
    copy.set_weights(network.get_weights())
    return copy
