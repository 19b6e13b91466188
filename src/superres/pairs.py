"""Photographs to pairs of low and high resolution, made while training."""

import dataclasses
import functools
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import tensorflow as tf
from PIL import Image

from src.config import InputError
from src.data.images import read_image
from src.measuring.metrics import luma
from src.utils import color_dequantize, pixel_tokens

SHRINKS = (1.0, 0.6, 0.45, 0.33, 0.25)  # a photograph made smaller is sharper: better pairs than the original alone
FADES = 0.3, 1.0  # contrast that is left
POOL = 64  # photographs, in one size each, held in memory at a time
MOST = 1 << 26  # pixels of a photograph
HELD = 1 << 29  # pixels of a pool, of which the last photograph is the first beyond: 2 GB, or POOL times 24 megapixels
ROUND = 512  # batches drawn from one pool


def resized(image: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """A uint8 image [h, w, c] in another size (h, w, ...) by Pillow's bicubic filter, antialiased."""
    return np.asarray(Image.fromarray(image).resize(shape[1::-1], Image.Resampling.BICUBIC))


def low_resolution(image: np.ndarray, scale: int) -> tuple[np.ndarray, np.ndarray]:
    """(the uint8 image [h, w, 3] cut to a multiple of the scale, the same at 1/scale of its size)."""
    height, width = (n // scale * scale for n in image.shape[:2])
    image = image[:height, :width]
    return image, resized(image, (height // scale, width // scale))


def in_palette(image: np.ndarray, clusters: np.ndarray) -> np.ndarray:
    """A uint8 image [h, w, 3] in the nearest colours of a palette [colours, 3] in -1..1, as Image GPT sees it."""
    tokens = pixel_tokens(image.reshape(1, 1, -1, 3), clusters)
    return color_dequantize(tokens.T, clusters, 1).reshape(image.shape)


@dataclasses.dataclass(frozen=True, eq=False)
class Pairs:
    """Random pairs of crops from photographs; a batch depends on the seed and its step alone.

    Attributes:
        paths: the photographs.
        scale: how many times as large the high resolution is.
        patch: height and width of a low-resolution crop without its margin.
        margin: pixels of context around it, which the network's unpadded convolutions use up.
        channels: `y` for luma, `rgb`.
        clusters: a palette [colours, 3] in -1..1 that low resolution is reduced to, or None.
        share: of the crops that are reduced.
        seed: of photographs, places, flips and turns.
        varied: draw sizes between the SHRINKS, crops by area, and exchange, invert and fade colours, for networks that
            are large enough to learn photographs by heart.
        skipped: called once with the error of each photograph that cannot be read.
    """

    paths: tuple[Path, ...]
    scale: int
    patch: int = 17
    margin: int = 0
    channels: str = "y"
    clusters: np.ndarray | None = None
    share: float = 1.0
    seed: int = 42
    varied: bool = False
    skipped: Callable[[InputError], None] = lambda error: None
    unreadable: set[Path] = dataclasses.field(default_factory=set, init=False, repr=False)
    held: dict[int, list] = dataclasses.field(default_factory=dict, init=False, repr=False)  # the pool in use

    def signature(self, n_batch: int) -> tuple[tf.TensorSpec, tf.TensorSpec]:
        """What `batches` yields."""
        low, high, c = self.patch + 2 * self.margin, self.patch * self.scale, 1 if self.channels == "y" else 3
        return tf.TensorSpec([n_batch, low, low, c]), tf.TensorSpec([n_batch, high, high, c])

    def batches(self, n_batch: int, first: int, stop: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield (low [n, p + 2 m, p + 2 m, c], high [n, s p, s p, c]), float32 in 0..1, for the steps first..stop-1."""
        for step in range(first, stop):
            pool = self.pool(step // ROUND)
            rng = np.random.default_rng([self.seed, 1, step])
            areas = np.array([high[..., 0].size for *_, high in pool], float)
            pick = functools.partial(rng.choice, p=areas / areas.sum()) if self.varied else rng.integers
            low, high = zip(*(self.crop(pool[pick(len(pool))], rng) for _ in range(n_batch)))
            yield np.stack(low), np.stack(high)

    def pool(self, turn: int) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """(low resolution, the same reduced, high resolution), uint8, of up to POOL photographs in one of their sizes.

        Raises:
            InputError: no photograph is readable and large enough.
        """
        if turn not in self.held:
            self.held.clear()
            self.held[turn] = self.drawn(turn)
        return self.held[turn]

    def drawn(self, turn):
        """A new pool."""
        rng = np.random.default_rng([self.seed, 0, turn])
        sizes = [(path, shrink) for path in self.paths for shrink in SHRINKS]
        chosen = [sizes[i] for i in rng.permutation(len(sizes))[:POOL]]
        if self.varied:
            chosen = [(path, rng.uniform(SHRINKS[-1], SHRINKS[0])) for path, _ in chosen]
        pool, held = [], 0
        for path, shrink in chosen:
            if held < HELD and (pair := self.pair(path, shrink)):
                pool.append(pair)
                held += pair[-1][..., 0].size
        if not pool:
            side = (self.patch + 2 * self.margin) * self.scale
            sizes = f"{side} pixels on a side for `patch` {self.patch}"
            raise InputError(f"{self.paths[0].parent}: no photograph is readable and large enough ({sizes})")
        return pool

    def pair(self, path, shrink):
        """(low resolution clean, the same reduced to the palette, high resolution); None if unreadable or too small."""
        if path in self.unreadable:
            return None
        try:
            photo = read_image(path, most=MOST)
        except InputError as error:
            self.unreadable.add(path)
            return self.skipped(error)
        size = [round(n * shrink) for n in photo.size]
        high, low = low_resolution(np.asarray(photo.resize(size, Image.Resampling.BICUBIC)), self.scale)
        if min(low.shape[:2]) < self.patch + 2 * self.margin:
            return None
        return low, low if self.clusters is None else in_palette(low, self.clusters), high

    def crop(self, pair, rng):
        """One crop, flipped and turned at random, in numbers."""
        clean, reduced, high = pair
        low = reduced if rng.random() < self.share else clean
        side = self.patch + 2 * self.margin
        y, x = rng.integers(0, [low.shape[0] - side + 1, low.shape[1] - side + 1])
        top, left, inner = (y + self.margin) * self.scale, (x + self.margin) * self.scale, self.patch * self.scale
        turns, flip = rng.integers(4), 1 - 2 * rng.integers(2)
        cut = low[y : y + side, x : x + side], high[top : top + inner, left : left + inner]
        cut = [self.numbers(np.rot90(a, turns)[:, ::flip]) for a in cut]
        return recoloured(cut, rng) if self.varied else cut

    def numbers(self, image):
        """A uint8 image [h, w, 3] as float32 [h, w, c] in 0..1, luma in 16/255..235/255."""
        return np.float32(luma(image)[..., None] if self.channels == "y" else image) / 255


def recoloured(images, rng):
    """Images [h, w, c] in 0..1 with the same exchange of channels, inversion and loss of contrast."""
    order, contrast = rng.permutation(images[0].shape[-1]), np.float32(rng.uniform(*FADES))
    black = np.float32(rng.uniform(0, 1 - contrast))
    inverted = rng.random() < 0.5
    return [black + contrast * (1 - x[..., order] if inverted else x[..., order]) for x in images]
