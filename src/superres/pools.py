"""Photographs that training pairs are cut from: which are held in memory for a while, and in which size."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from src.config import InputError
from src.data.images import read_image
from src.data.pictures import part
from src.superres.degradation import in_palette, low_resolution

SHRINKS = (1.0, 0.6, 0.45, 0.33, 0.25)  # a photograph made smaller is sharper: better pairs than the original alone
POOL = 64  # photographs, in one size each, held in memory at a time
SMALL_POOL, SMALL_PIXELS = 512, 1 << 24  # so many if they are small: no more than have these pixels together
SQUARES = 5  # of one photograph in a pool at most
MOST = 1 << 26  # pixels of a photograph
HELD = 1 << 29  # pixels of a pool, of which the last photograph is the first beyond: 2 GB, or POOL times 24 megapixels


@dataclasses.dataclass(frozen=True, eq=False)
class Pools:
    """Photographs of one or several folders, in memory a part at a time; which they are depends on the seed alone.

    Attributes:
        folders: the photographs of each folder; all folders are drawn from alike, however many they have.
        scale: how many times as large the high resolution is.
        patch: height and width of a low-resolution crop without its margin.
        margin: pixels of context around it, which the network's unpadded convolutions use up.
        clusters: a palette [colours, 3] in -1..1 that low resolution is reduced to, or None.
        seed: of photographs, places, flips and turns.
        varied: draw sizes between the SHRINKS (and, in `Pairs`, crops by area and colours), for networks that are large
            enough to learn photographs by heart.
        least: pixels of a photograph's shorter side below which it is not made smaller, so that small pictures stay
            as they are; 0 makes all smaller.
        square: instead take squares of any size and place out of a photograph, made as small as this many pixels.
        skipped: called once with the error of each photograph that cannot be read.
    """

    folders: tuple[tuple[Path, ...], ...]
    scale: int
    patch: int = 17
    margin: int = 0
    clusters: np.ndarray | None = None
    seed: int = 42
    varied: bool = False
    least: int = 0
    square: int = 0
    skipped: Callable[[InputError], None] = lambda error: None
    unreadable: set[Path] = dataclasses.field(default_factory=set, init=False, repr=False)
    held: dict[int, list] = dataclasses.field(default_factory=dict, init=False, repr=False)  # the pools in use

    @property
    def whole(self) -> bool:
        """Whether small pictures go in whole, and so with the margin that a whole one gets when it is enlarged."""
        return bool(self.least or self.square)

    def pools(self, turn: int) -> list[list[tuple[np.ndarray, np.ndarray, np.ndarray]]]:
        """Of each folder, (low resolution, the same reduced, high resolution), uint8, of photographs in one size each.

        Raises:
            InputError: in a folder no photograph is readable and large enough.
        """
        if turn not in self.held:
            self.held.clear()
            self.held[turn] = [self.drawn(turn, i) for i in range(len(self.folders))]
        return self.held[turn]

    def drawn(self, turn, number):
        """A new pool of a folder."""
        paths, small = self.folders[number], self.whole or len(self.folders) > 1
        rng = np.random.default_rng([self.seed, 0, turn, number] if number else [self.seed, 0, turn])
        sizes = [(path, shrink) for path in paths for shrink in SHRINKS[: 1 if self.square else None]]
        chosen = [sizes[i] for i in rng.permutation(len(sizes))[: SMALL_POOL if small else POOL]]
        if self.varied:
            chosen = [(path, rng.uniform(SHRINKS[-1], SHRINKS[0])) for path, _ in chosen]
        pool, held, most = [], 0, HELD // len(self.folders)
        for path, shrink in chosen:
            if held < most and (len(pool) < POOL or held < SMALL_PIXELS):
                found = self.pairs(path, shrink, rng)
                pool += found
                held += sum(high[..., 0].size for _, high in found)
        if not pool:
            side = self.square or (self.patch + 2 * self.margin * (not self.whole)) * self.scale
            sizes = f"{side} pixels on a side for `patch` {self.patch}"
            raise InputError(f"{paths[0].parent}: no photograph is readable and large enough ({sizes})")
        return [self.around(*each) for each in self.reduced(pool)]

    def pairs(self, path, shrink, rng):
        """[(low resolution, high resolution)] of a photograph; none if it is unreadable or too small."""
        if path in self.unreadable:
            return []
        try:
            photo = read_image(path, most=MOST)
        except InputError as error:
            self.unreadable.add(path)
            self.skipped(error)
            return []
        parts = drawn_squares(photo, self.square, rng) if self.square else [shrunk(photo, shrink, self.least)]
        side = (self.patch + 2 * self.margin * (not self.whole)) * self.scale
        return [low_resolution(np.asarray(part), self.scale)[::-1] for part in parts if min(part.size) >= side]

    def reduced(self, pool):
        """(low resolution, the same reduced to the palette, high resolution) of pairs; of small ones all at once."""
        lows = [low for low, _ in pool]
        if self.clusters is None:
            reduced = lows
        elif self.whole:
            pixels = in_palette(np.concatenate([low.reshape(-1, 1, 3) for low in lows]), self.clusters)
            ends = np.cumsum([low[..., 0].size for low in lows])[:-1]
            reduced = [part.reshape(low.shape) for part, low in zip(np.split(pixels, ends), lows)]
        else:
            reduced = [in_palette(low, self.clusters) for low in lows]
        return [(low, less, high) for (low, high), less in zip(pool, reduced)]

    def around(self, low, reduced, high):
        """A pair with the margin that `Upscaler` gives a whole image, if it is one."""
        if not (self.whole and self.margin):
            return low, reduced, high
        sides = [(self.margin, self.margin)] * 2 + [(0, 0)]
        return *(np.pad(each, sides, "reflect") for each in (low, reduced)), high


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
