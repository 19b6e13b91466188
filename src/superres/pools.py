"""Photographs that training pairs are cut from: which are held in memory for a while, and in which size."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np

from src.config import InputError
from src.data.images import read_image
from src.superres.cutting import Cutting
from src.superres.degradation import in_palette

POOL = 64  # photographs, in one size each, held in memory at a time
SMALL_POOL, SMALL_PIXELS = 512, 1 << 24  # so many if they are small: no more than have these pixels together
MOST = 1 << 26  # pixels of a photograph
HELD = 1 << 29  # pixels of a pool, of which the last photograph is the first beyond: 2 GB, or POOL times 24 megapixels

Triplet = tuple[np.ndarray, np.ndarray, np.ndarray]  # low resolution, the same reduced to a palette, high resolution


@dataclasses.dataclass(frozen=True, eq=False)
class Pools:
    """Photographs of one or several folders, in memory a part at a time; which they are depends on the seed alone.

    Attributes:
        folders: the photographs of each folder; all folders are drawn from alike, however many they have.
        cutting: what of them.
        clusters: a palette [colours, 3] in -1..1 that low resolution is reduced to, or None.
        seed: of photographs, places, flips and turns.
        skipped: called once with the error of each photograph that cannot be read.
    """

    folders: tuple[tuple[Path, ...], ...]
    cutting: Cutting
    clusters: np.ndarray | None = None
    seed: int = 42
    skipped: Callable[[InputError], None] = lambda error: None
    unreadable: set[Path] = dataclasses.field(default_factory=set, init=False, repr=False)
    held: dict[int, list] = dataclasses.field(default_factory=dict, init=False, repr=False)  # the pools in use

    def pools(self, turn: int) -> list[list[Triplet]]:
        """Of each folder a pool, uint8, of photographs in one size each.

        Raises:
            InputError: in a folder no photograph is readable and large enough.
        """
        if turn not in self.held:
            self.held.clear()
            self.held[turn] = [self.drawn(turn, i) for i in range(len(self.folders))]
        return self.held[turn]

    def drawn(self, turn, number):
        """A new pool of a folder."""
        paths, small = self.folders[number], self.cutting.whole or len(self.folders) > 1
        rng = np.random.default_rng([self.seed, 0, turn, number] if number else [self.seed, 0, turn])
        sizes = self.cutting.sizes(paths)
        order = rng.permutation(len(sizes))[: SMALL_POOL if small else POOL]
        pool, held, most = [], 0, HELD // len(self.folders)
        for path, shrink in self.cutting.chosen([sizes[i] for i in order], rng):
            if held < most and (len(pool) < POOL or held < SMALL_PIXELS):
                found = self.pairs(path, shrink, rng)
                pool += found
                held += sum(high[..., 0].size for _, high in found)
        if not pool:
            side = f"{self.cutting.square or self.cutting.side} pixels on a side for `patch` {self.cutting.patch}"
            raise InputError(f"{paths[0].parent}: no photograph is readable and large enough ({side})")
        around = self.cutting.around
        return [(around(low), around(reduced), high) for low, reduced, high in self.reduced(pool)]

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
        return self.cutting.pairs(photo, shrink, rng)

    def reduced(self, pool):
        """(low resolution, the same reduced to the palette, high resolution) of pairs; of small ones all at once."""
        lows = [low for low, _ in pool]
        if self.clusters is None:
            reduced = lows
        elif self.cutting.whole:
            pixels = in_palette(np.concatenate([low.reshape(-1, 1, 3) for low in lows]), self.clusters)
            ends = np.cumsum([low[..., 0].size for low in lows])[:-1]
            reduced = [part.reshape(low.shape) for part, low in zip(np.split(pixels, ends), lows)]
        else:
            reduced = [in_palette(low, self.clusters) for low in lows]
        return [(low, less, high) for (low, high), less in zip(pool, reduced)]
