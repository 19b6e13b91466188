"""The trained networks that come with the project, by name, and others in files that stand in for them."""

from collections.abc import Sequence
from pathlib import Path

from src.config import PRETRAINED, InputError
from src.superres.espcn import Espcn
from src.superres.files import load_mean
from src.superres.network import Network
from src.superres.prompted import Prompted
from src.superres.srgan import Generator

KINDS = {"espcn": Espcn, "srresnet": Generator, "srgan": Generator, "prompted": Prompted}
PALETTE = PRETRAINED / "espcn" / "palette.npy"  # of 512 colours, to which low resolution was reduced in training
FILES = {  # name, scale and degradation of low resolution
    ("espcn", 2, "clean"): PRETRAINED / "espcn" / "x2.keras",
    ("espcn", 3, "clean"): PRETRAINED / "espcn" / "x3.keras",
    ("espcn", 4, "clean"): PRETRAINED / "espcn" / "x4.keras",
    ("espcn", 2, "palette"): PRETRAINED / "espcn" / "x2-palette.keras",
    ("espcn", 3, "palette"): PRETRAINED / "espcn" / "x3-palette.keras",
    ("espcn", 4, "palette"): PRETRAINED / "espcn" / "x4-palette.keras",
    ("srresnet", 4, "clean"): PRETRAINED / "srgan" / "srresnet.keras",
    ("srresnet", 4, "palette"): PRETRAINED / "srgan" / "srresnet-palette.keras",
    ("srgan", 4, "clean"): PRETRAINED / "srgan" / "srgan.keras",
    ("srgan", 4, "palette"): PRETRAINED / "srgan" / "srgan-palette.keras",
    ("prompted", 4, "clean"): PRETRAINED / "prompted" / "prompted.keras",
}


def bundled_file(name: str, scale: int | None = None, degradation: str = "clean") -> Path:
    """The file of a bundled network; the scale is 4 by default.

    Raises:
        InputError: there is none.
    """
    choice = name, scale or 4, degradation
    if choice not in FILES:
        asked = f"`scale` {choice[1]}, `degradation` {degradation}"
        raise InputError(f"{asked}: no {name} for that is bundled; name a file with `weights`")
    return FILES[choice]


def find_network(
    name: str, weights: Sequence[str | Path] = (), scale: int | None = None, degradation: str = "clean"
) -> tuple[Network, str]:
    """A network and the names of its files: the mean of those in `weights`, or else a bundled one.

    Raises:
        InputError: none is bundled, or a file holds no network, or another than the name says.
    """
    paths = list(weights) or [bundled_file(name, scale, degradation)]
    net = load_mean(paths, scale)
    if not isinstance(net, KINDS[name]):
        raise InputError(f"`weights` {paths[0]}: a network of the kind of {net.name}, not of {name}")
    return net, ", ".join(map(str, paths))
