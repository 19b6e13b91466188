"""Files of trained networks."""

from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np

from src.config import InputError
from src.files import whole
from src.superres.espcn import Espcn  # these two register themselves with Keras
from src.superres.network import Network
from src.superres.srgan import Generator

NETWORKS = Espcn, Generator


def load_network(path: str | Path, scale: int | None = None) -> Network:
    """The network in a .keras file, which computes in float32 whatever type its weights are kept in.

    Raises:
        InputError: no such file, not a network of ours, or one of another scale than `scale`.
    """
    if not Path(path).is_file():
        raise InputError(f"{path}: no such file")
    if Path(path).suffix != ".keras":
        raise InputError(f"{path}: not a .keras file")
    try:
        net = keras.models.load_model(path, compile=False)
    except (ValueError, OSError, TypeError, KeyError) as error:
        raise InputError(f"{path}: not a network of this project ({str(error).splitlines()[0]})") from error
    if not isinstance(net, NETWORKS):
        raise InputError(f"{path}: not a network of this project (its configuration does not say what it is)")
    if scale not in (None, net.scale):
        raise InputError(f"{path}: a network for x{net.scale}, not for `scale` {scale}")
    return in_precision("float32", net)


def load_mean(paths: Sequence[str | Path], scale: int | None = None) -> Network:
    """The network in a file, or the one with the mean of the weights in several (Izmailov et al. 2018).

    Raises:
        InputError: as `load_network`, and for files of different networks.
    """
    nets = [load_network(path, scale) for path in paths]
    for path, net in zip(paths, nets):
        if net.architecture() != nets[0].architecture():
            raise InputError(f"{path}: another network than {paths[0]}; `weights` takes the mean of like ones")
    if len(nets) > 1:
        nets[0].set_weights([np.mean(same, axis=0) for same in zip(*(net.get_weights() for net in nets))])
    return nets[0]


def save_network(path: str | Path, net: Network, dtype: str = "float32"):
    """Write a network as a .keras file with weights of this type, complete or not at all."""
    with whole(path) as part:
        in_precision(dtype, net).save(part)


def in_precision(dtype: str, net: Network) -> Network:
    """The network itself if it computes in a type and keeps its weights so, else a copy that does."""
    return net if net.precision == dtype else net.copy_with(dtype=dtype)
