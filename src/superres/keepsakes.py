"""What an adversarial run leaves in its folder beside its states."""

import dataclasses
from pathlib import Path

from PIL import Image

from src.data.sheets import side_by_side, write_sheet
from src.superres.files import LAST, save_network
from src.superres.upscaler import Upscaler
from src.superres.validation import ImagePair

PICTURED = 6  # validation images
CAPTIONS = "input", "bicubic", "output", "original"


@dataclasses.dataclass(frozen=True)
class Keepsakes:
    """LAST always, and now and then more.

    Attributes:
        keep_every: epochs after which the generator stays, too, as `epoch-N.keras`.
        picture_every: epochs after which `epoch-N.png` shows input, bicubic, output and original.
    """

    folder: Path
    keep_every: int = 50
    picture_every: int = 10

    def write(self, epoch: int, upscaler: Upscaler, valid: list[ImagePair]):
        """What is due after so many epochs: of the upscaler's network as it is, and its pictures of some pairs."""
        if epoch % self.picture_every == 0:
            rows = [pictured(upscaler, *pair) for pair in valid[:PICTURED]]
            write_sheet(self.folder / f"epoch-{epoch}.png", rows, CAPTIONS)
        if epoch % self.keep_every == 0:
            save_network(self.folder / f"epoch-{epoch}.keras", upscaler.net)
        save_network(self.folder / LAST, upscaler.net)


def pictured(upscaler, low, high):
    """Tiles of a sheet, as CAPTIONS."""
    output = upscaler(low[None])[0]
    return side_by_side(low, [Image.fromarray(x) for x in (output, high)], upscaler.scale)
