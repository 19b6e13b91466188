"""Files of trained networks, looked at as a whole before Keras opens them.

A .keras file is a zip archive of three members: two descriptions in JSON, and the weights in HDF5.
"""

import io
import itertools
import math
import warnings
import zipfile
from collections.abc import Sequence
from pathlib import Path

import h5py
import keras
import numpy as np

from src.config import InputError, one_line
from src.files import parse_json, whole
from src.schema import OneOf, check
from src.superres.espcn import Espcn  # these register themselves with Keras
from src.superres.network import Network
from src.superres.prompted import Prompted
from src.superres.srgan import Generator
from src.weights.numbers import is_finite

NETWORKS = {"image_gpt>Espcn": Espcn, "image_gpt>Generator": Generator, "image_gpt>Prompted": Prompted}
LAST = "last.keras"  # of a training run: the network as it was when it was validated last
DESCRIPTION, WEIGHTS = "config.json", "model.weights.h5"
BOUNDS = {"metadata.json": 1 << 16, DESCRIPTION: 1 << 16, WEIGHTS: 1 << 28}  # the members, and bytes of each at most
LINKS = 1 << 14  # in the file of weights at most
BLOCK_BYTES = 120_000  # a block of a generator has more in half floats
HALF_KERNEL = 2 * 3 * 3  # bytes of a convolution's kernel in half floats, for each pair of maps
SCHEMA = {
    "registered_name": OneOf(tuple(NETWORKS)),
    "class_name": OneOf(tuple(kind.__name__ for kind in NETWORKS.values())),
    "build_config": OneOf(({"input_shape": None},)),
}


def load_network(path: str | Path, scale: int | None = None) -> Network:
    """The network in a .keras file, which computes in float32 whatever type its weights are kept in.

    Raises:
        InputError: no such file, not a network of ours, or one of another scale than `scale`.
    """
    if not Path(path).is_file():
        raise InputError(f"{path}: no such file")
    if Path(path).suffix != ".keras":
        raise InputError(f"{path}: not a .keras file")
    look_at(path)
    try:
        with warnings.catch_warnings(action="ignore"):  # what is missing is an error
            net = keras.models.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # Keras', HDF5's or zlib's, of any kind
        raise InputError(f"{path}: not a network of this project ({first_line(error)})") from error
    for weight, value in zip(net.weights, net.get_weights()):
        if not is_finite(value.astype(np.float32, copy=False)):
            raise InputError(f"{path}: {weight.path} holds NaN or infinity; use another file")
    if scale not in (None, net.scale):
        raise InputError(f"{path}: a network for x{net.scale}, not for `scale` {scale}")
    return in_precision("float32", net)


def first_line(error):
    return (str(error).splitlines() or [type(error).__name__])[0]


def look_at(path: str | Path):
    """See that a file is an archive of a network of ours, whose weights are not more than its bytes.

    Raises:
        InputError: it is not.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            check_members(archive.infolist())
            description = parse_json(archive.read(DESCRIPTION), DESCRIPTION, dict)
            weights = archive.read(WEIGHTS)
        with h5py.File(io.BytesIO(weights)) as file:
            check_network(description, stored_bytes(file))
    except Exception as error:  # ours, and the libraries' of any kind
        raise InputError(f"{path}: not a network of this project ({first_line(error)})") from error


def check_members(members):
    """InputError if members of an archive are not a network's, encrypted, compressed or too large."""
    names = sorted(member.filename for member in members)
    if names != sorted(BOUNDS):
        raise InputError(f"an archive of {one_line(', '.join(names), 200)}, expected {', '.join(BOUNDS)}")
    for member in members:
        if member.flag_bits & 1:
            raise InputError(f"{member.filename} is encrypted")
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise InputError(f"{member.filename} is compressed by an unknown method")
        if member.file_size > min(BOUNDS[member.filename], 100 * member.compress_size):
            raise InputError(f"{member.filename} unfolds to {member.file_size} bytes")


def stored_bytes(root):
    """The bytes of all arrays in an HDF5 file, which must lie in it whole: it may promise more, or name other files."""
    total, links, groups = 0, 0, [root]
    while groups:
        group = groups.pop()
        for name in group:
            links += 1
            if links > LINKS or not isinstance(group.get(name, getlink=True), h5py.HardLink):
                raise InputError(f"{WEIGHTS}: {one_line(name)} leads elsewhere")
            found = group[name]
            if isinstance(found, h5py.Group):
                groups.append(found)
                continue
            size = 0 if found.shape is None else math.prod(found.shape) * found.dtype.itemsize
            if found.dtype.kind != "f":
                raise InputError(f"{WEIGHTS}: {one_line(found.name)} is {found.dtype}, expected floating point")
            if found.external or found.is_virtual or found.chunks or size != found.id.get_storage_size():
                raise InputError(f"{WEIGHTS}: {one_line(found.name)} does not lie in the file as it is")
            total += size
    return total


def check_network(description, stored):
    """InputError if a description is not of a network of ours, or of one that is larger than its weights' bytes."""
    check(description, SCHEMA, DESCRIPTION, optional=("build_config",))
    kind, config = NETWORKS[description["registered_name"]], description.get("config")
    if description["class_name"] != kind.__name__ or not isinstance(config, dict):
        raise InputError(f"{DESCRIPTION}: its configuration does not say what it is")
    if unknown := sorted(set(config) - set(kind.fields)):
        raise InputError(f"{DESCRIPTION}: {unknown[0]} is no part of its configuration")
    check(config, kind.fields, DESCRIPTION, optional=tuple(set(kind.fields) - {"scale"}))
    if BLOCK_BYTES * config.get("blocks", 0) > stored:
        raise InputError(f"{DESCRIPTION}: blocks is {config['blocks']}, but the weights have {stored} bytes")
    if HALF_KERNEL * sum(a * b for a, b in itertools.pairwise(config.get("widths", ()))) > stored:
        raise InputError(f"{DESCRIPTION}: widths is {config['widths']}, but the weights have {stored} bytes")


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
