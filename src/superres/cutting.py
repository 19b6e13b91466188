"""What is cut out of a photograph to train on: all of it in some size, or squares, in low and high resolution."""

import dataclasses
from pathlib import Path

import numpy as np
from PIL import Image

from src.data.pictures import part
from src.superres.degradation import low_resolution

SHRINKS = (1.0, 0.6, 0.45, 0.33, 0.25)  # a photograph made smaller is sharper: better pairs than the original alone
SQUARES = 5  # of one photograph at most


@dataclasses.dataclass(frozen=True)
class Cutting:
    """What of a photograph a network is trained on.

    Attributes:
        scale: how many times as large the high resolution is.
        patch: height and width of a low-resolution crop without its margin.
        margin: pixels of context around it, which the network's unpadded convolutions use up.
        varied: draw sizes between the SHRINKS (and, in `Pairs`, crops by area and colours), for networks that are large
            enough to learn photographs by heart.
        least: pixels of a photograph's shorter side below which it is not made smaller, so that small pictures stay
            as they are; 0 makes all smaller.
        square: instead take squares of any size and place out of a photograph, made as small as this many pixels.
    """

    scale: int
    patch: int = 17
    margin: int = 0
    varied: bool = False
    least: int = 0
    square: int = 0

    @property
    def whole(self) -> bool:
        """Whether small pictures go in whole, and so with the margin that a whole one gets when it is enlarged."""
        return bool(self.least or self.square)

    @property
    def low_side(self) -> int:
        """Pixels on a side of a low-resolution crop with its margin."""
        return self.patch + 2 * self.margin

    @property
    def side(self) -> int:
        """Pixels on a side of what is cut out, at the least, in high resolution."""
        return (self.patch if self.whole else self.low_side) * self.scale

    def sizes(self, paths: tuple[Path, ...]) -> list[tuple[Path, float]]:
        """(photograph, share of its size) for all that may be drawn."""
        return [(path, shrink) for path in paths for shrink in SHRINKS[: 1 if self.square else None]]

    def chosen(self, sizes: list[tuple[Path, float]], rng: np.random.Generator) -> list[tuple[Path, float]]:
        """The sizes that were drawn, or where they vary others in their place."""
        return [(path, rng.uniform(SHRINKS[-1], SHRINKS[0])) for path, _ in sizes] if self.varied else sizes

    def pairs(self, photo: Image.Image, shrink: float, rng: np.random.Generator) -> list[tuple[np.ndarray, np.ndarray]]:
        """[(low, high resolution)] of a photograph, uint8 [h, w, 3]; none if it is too small."""
        parts = drawn_squares(photo, self.square, rng) if self.square else [shrunk(photo, shrink, self.least)]
        return [low_resolution(np.asarray(each), self.scale)[::-1] for each in parts if min(each.size) >= self.side]

    def around(self, image: np.ndarray) -> np.ndarray:
        """Low resolution with the margin that `Upscaler` gives a whole image, if it is one."""
        margin = self.margin * self.whole
        return np.pad(image, [(margin, margin), (margin, margin), (0, 0)], "reflect") if margin else image


def shrunk(photo, shrink, least):
    """A photograph made smaller, but not so that its shorter side has fewer pixels than `least`."""
    shrink = max(shrink, min(1, least / min(photo.size)))
    return photo.resize([max(1, round(n * shrink)) for n in photo.size], Image.Resampling.BICUBIC)


def drawn_squares(photo, side, rng):
    """Squares of a photograph, at random places and of at least `side` pixels, made as small as that.

    Of a large one there are SQUARES, or as many as have its area; of one that is no larger there is one, all of it.
    """
    found = []
    for _ in range(min(SQUARES, photo.width * photo.height // side**2) if min(photo.size) >= side else 0):
        size = rng.integers(side, min(photo.size) + 1)
        x, y = rng.integers(0, [photo.width - size + 1, photo.height - size + 1])
        found.append(part(photo, (x, y, x + size, y + size)).resize((side, side), Image.Resampling.BICUBIC))
    return found
