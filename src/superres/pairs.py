"""Photographs to pairs of low and high resolution, made while training."""

import dataclasses
from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from src.measuring.metrics import luma
from src.superres.pools import Pools

FADES = 0.3, 1.0  # contrast that is left
ROUND = 512  # batches drawn from one pool


@dataclasses.dataclass(frozen=True, eq=False)
class Pairs(Pools):
    """Random pairs of crops from photographs; a batch depends on the seed and its step alone.

    Attributes:
        channels: `y` for luma, `rgb`.
        share: of the crops that are reduced to the palette.
    """

    channels: str = "y"
    share: float = 1.0

    def signature(self, n_batch: int) -> tuple[tf.TensorSpec, tf.TensorSpec]:
        """What `batches` yields."""
        low, high, c = self.cutting.low_side, self.cutting.patch * self.cutting.scale, 1 if self.channels == "y" else 3
        return tf.TensorSpec([n_batch, low, low, c]), tf.TensorSpec([n_batch, high, high, c])

    def batches(self, n_batch: int, first: int, stop: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield (low [n, p + 2 m, p + 2 m, c], high [n, s p, s p, c]), float32 in 0..1, for the steps first..stop-1."""
        for step in range(first, stop):
            picks = [self.picker(pool) for pool in self.pools(step // ROUND)]
            rng = np.random.default_rng([self.seed, 1, step])
            low, high = zip(*(self.crop(picks, rng) for _ in range(n_batch)))
            yield np.stack(low), np.stack(high)

    def picker(self, pool):
        """A function of random numbers that draws one photograph of a pool, by its area where sizes vary."""
        if not self.cutting.varied:
            return lambda rng: pool[rng.integers(len(pool))]
        areas = np.array([high[..., 0].size for *_, high in pool], float)
        return lambda rng: pool[rng.choice(len(pool), p=areas / areas.sum())]

    def crop(self, picks, rng):
        """One crop of one photograph, flipped and turned at random, in numbers."""
        pick = picks[rng.integers(len(picks))] if len(picks) > 1 else picks[0]
        clean, reduced, high = pick(rng)
        low = reduced if rng.random() < self.share else clean
        patch, scale, side = self.cutting.patch, self.cutting.scale, self.cutting.low_side
        margin = 0 if self.cutting.whole else self.cutting.margin
        y, x = rng.integers(0, [low.shape[0] - side + 1, low.shape[1] - side + 1])
        top, left, inner = (y + margin) * scale, (x + margin) * scale, patch * scale
        turns, flip = rng.integers(4), 1 - 2 * rng.integers(2)
        cut = low[y : y + side, x : x + side], high[top : top + inner, left : left + inner]
        cut = [self.numbers(np.rot90(a, turns)[:, ::flip]) for a in cut]
        return recoloured(cut, rng) if self.cutting.varied else cut

    def numbers(self, image):
        """A uint8 image [h, w, 3] as float32 [h, w, c] in 0..1, luma in 16/255..235/255."""
        return np.float32(luma(image)[..., None] if self.channels == "y" else image) / 255


def recoloured(images, rng):
    """Images [h, w, c] in 0..1 with the same exchange of channels, inversion and loss of contrast."""
    order, contrast = rng.permutation(images[0].shape[-1]), np.float32(rng.uniform(*FADES))
    black = np.float32(rng.uniform(0, 1 - contrast))
    inverted = rng.random() < 0.5
    return [black + contrast * (1 - x[..., order] if inverted else x[..., order]) for x in images]
