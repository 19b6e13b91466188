"""VGG16 (Simonyan and Zisserman 2015, arXiv 1409.1556) as far as a layer, with trained weights from two kinds of file.

Keras' own holds the network that was trained on ImageNet. The other, of an edge detector (Xie and Tu 2015, arXiv
1504.06375), holds the same convolutions after they were trained a little on edges, in groups of their own.
"""

import warnings
from collections.abc import Sequence
from pathlib import Path

import h5py
import keras
import numpy as np

from src.config import InputError
from src.superres.imagenet import application, first_line, set_random
from src.weights.numbers import is_finite

MAPS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))  # of the convolutions of each block
LAYERS = {"vgg16_22": "block2_conv2", "vgg16_33": "block3_conv3", "vgg16_43": "block4_conv3"}  # after their ReLU
EDGES = "block1/layers"  # a group that only the edge detector's file has

Array = np.ndarray


def names(last: str) -> list[str]:
    """The convolutions, as Keras names them, as far as one."""
    every = [f"block{i}_conv{j}" for i, block in enumerate(MAPS, 1) for j, _ in enumerate(block, 1)]
    return every[: every.index(last) + 1]


def vgg16(layers: Sequence[str], weights: str | Path | None, dtype: str = "float32") -> keras.Model:
    """A frozen network from [b, h, w, 3], RGB in 0..1, to the maps of the layers named, after their ReLU.

    Nothing behind the last one is built.

    Args:
        layers: names such as `block2_conv2`, in order.
        weights: a file of one of the two kinds; `imagenet` for Keras' own, from its cache or downloaded; None for
            random ones, the same every time.
        dtype: of the layers.

    Raises:
        InputError: the file is of neither kind, or there is none and none can be downloaded.
    """
    network = build(layers, dtype)
    convolutions = [layer for layer in network.layers if isinstance(layer, keras.layers.Conv2D)]
    if weights is None:
        set_random(network)
    else:
        for layer, pair in zip(convolutions, read_weights(weights, layers[-1]), strict=True):
            layer.set_weights(pair)
    network.trainable = False
    return network


def build(layers, dtype):
    """The network with weights that mean nothing yet."""
    inputs = keras.Input([None, None, 3])
    x, found = Preprocessing(dtype="float32")(inputs), {}
    for name in names(layers[-1]):
        block, i = int(name[5]), int(name[-1])
        if block > 1 and i == 1:
            x = keras.layers.MaxPooling2D(dtype=dtype)(x)
        maps = MAPS[block - 1][i - 1]
        x = keras.layers.Conv2D(maps, 3, padding="same", activation="relu", name=name, dtype=dtype)(x)
        found[name] = x
    return keras.Model(inputs, [found[name] for name in layers])


class Preprocessing(keras.layers.Layer):
    """RGB in 0..1 to what VGG16 was trained on: BGR in 0..255, minus ImageNet's means."""

    def call(self, x):
        return keras.applications.vgg16.preprocess_input(x * 255, data_format="channels_last")


def read_weights(weights: str | Path, last: str) -> list[tuple[Array, Array]]:
    """(kernel, bias) of every convolution as far as the last one, from `imagenet` or a file.

    Raises:
        InputError: as `vgg16`.
    """
    if weights == "imagenet" or not Path(weights).is_file():
        return keras_weights(weights, last)
    try:
        with h5py.File(weights) as file:
            found = edge_weights(file, last) if EDGES in file else None
    except (OSError, ValueError) as error:
        raise InputError(f"`vgg_weights` {weights}: {first_line(error)}; give a file of VGG16's weights") from error
    return found or keras_weights(weights, last)


def edge_weights(file, last):
    """(kernel, bias) of every convolution from the edge detector's file; ValueError if one is not as it should be."""
    found, before = [], 3
    for name in names(last):
        block, i = int(name[5]), int(name[-1])
        maps = MAPS[block - 1][i - 1]
        group = f"block{block}/layers/conv2d{f'_{i - 1}' if i > 1 else ''}/vars"
        found.append(tuple(array(file, f"{group}/{j}", s) for j, s in enumerate([(3, 3, before, maps), (maps,)])))
        before = maps
    return found


def array(file, name, shape):
    """An array of this shape in an HDF5 file."""
    if not isinstance(file.get(name), h5py.Dataset):
        raise ValueError(f"{name} is missing")
    if file[name].shape != shape:
        raise ValueError(f"{name} has the shape {file[name].shape}, expected {shape}")
    value = np.asarray(file[name], np.float32)
    if not is_finite(value):
        raise ValueError(f"{name} holds NaN or infinity")
    return value


def keras_weights(weights, last):
    """(kernel, bias) of every convolution from a file that Keras has written."""
    with warnings.catch_warnings(action="ignore"):  # what is missing is an error
        network = application(keras.applications.VGG16, weights, ", nor of the edge detector with its layers")
    found = [tuple(network.get_layer(name).get_weights()) for name in names(last)]
    if not all(is_finite(each) for pair in found for each in pair):
        raise InputError(f"`vgg_weights` {weights}: holds NaN or infinity; use another file")
    return found
