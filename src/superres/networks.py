"""Files of trained networks."""

from pathlib import Path

import keras
import numpy as np

import src.superres.batch_norm
import src.superres.subpixel  # noqa: F401  these two register their layers
from src.config import InputError
from src.files import whole
from src.superres.upscale import Upscaler


def load_network(path, scale=None):
    """The Upscaler of a .keras file, which computes in float32 whatever the file holds.

    Raises:
        InputError: no such file, not a network of ours, or one of another scale.
    """
    if not Path(path).is_file():
        raise InputError(f"{path}: no such file")
    if Path(path).suffix != ".keras":
        raise InputError(f"{path}: not a .keras file")
    try:
        upscaler = Upscaler(in_precision("float32", keras.models.load_model(path, compile=False)))
    except (ValueError, OSError, TypeError, KeyError) as error:
        raise InputError(f"{path}: not a network of this project ({str(error).splitlines()[0]})") from error
    if scale not in (None, upscaler.scale):
        raise InputError(f"{path}: a network for x{upscaler.scale}, not for --scale {scale}")
    return upscaler


def load_mean(paths, scale=None):
    """The Upscaler of a .keras file, or of the mean of the weights in several (Izmailov et al. 2018).

    Raises:
        InputError: as `load_network`, and for files of different networks.
    """
    upscalers = [load_network(path, scale) for path in paths]
    for path, upscaler in zip(paths, upscalers):
        if not alike(upscaler.net, upscalers[0].net):
            raise InputError(f"--weights {path}: another network than {paths[0]}")
    net = upscalers[0].net
    net.set_weights([np.mean(same, axis=0) for same in zip(*(upscaler.net.get_weights() for upscaler in upscalers))])
    return upscalers[0]


def alike(net, other):
    """Whether two networks have weights of the same shapes."""
    return [w.shape for w in net.weights] == [w.shape for w in other.weights]


def save_network(path, net, dtype="float32"):
    """Write a network as a .keras file with weights of this type, complete or not at all."""
    with whole(path) as part:
        in_precision(dtype, net).save(part)


def in_precision(dtype, net):
    """The network itself if all its layers compute in a type and keep their weights so, else a copy that does."""
    if all(layer.dtype_policy.name == dtype for layer in net.layers):
        return net
    copy = keras.models.clone_model(
        net, clone_function=lambda layer: type(layer).from_config(layer.get_config() | {"dtype": dtype})
    )
    copy.set_weights(net.get_weights())
    return copy
