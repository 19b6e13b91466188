"""Upscaling with a network: images of any size, in tiles of bounded memory, batches together."""

import functools
import itertools
from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from src.measuring.metrics import YCBCR, YCBCR_OFFSET
from src.superres.bicubic import bicubic
from src.superres.network import Network

TILE = 384  # low-resolution pixels on a side of a tile, without its context
PADDED_TILE = 192  # the same for a padded network, which works in high resolution; film grain begins anew there
BANDS = 8  # of rows in a tile at most, which a CPU's cores work on side by side
BATCH_PIXELS = 1 << 18  # low-resolution pixels that go through the network at a time, about


class Upscaler:
    """A network and how to apply it to whole images.

    Args:
        net: with a single channel it sees luma, and chroma is scaled bicubically.

    Attributes:
        scale: how many times as large its output is.
        context: pixels that an image is extended by (reflected) on every side.
        edge: pixels that are cut off the network's output on every side.
        tile: low-resolution pixels on a side of a tile, without its context.
    """

    def __init__(self, net: Network):
        self.net, self.scale, self.context = net, net.scale, net.context
        self.edge = net.scale * net.context if net.padded else 0
        self.tile = PADDED_TILE if net.padded else TILE
        self.compiled = functools.cache(self.compile)

    def compile(self, dtype, channels, bands):
        """`enlarged` for images of a type and number of channels, of any size."""
        signature = [tf.TensorSpec([None, None, None, channels], dtype)]
        return tf.function(functools.partial(self.enlarged, bands=bands), input_signature=signature, autograph=False)

    def bands(self, rows: int) -> int:
        """How many bands an image of so many rows is cut into; with few rows overlaps cost more than they save."""
        return 1 if self.net.padded or tf.config.list_logical_devices("GPU") else min(BANDS, max(1, rows // 40))

    def network(self, x: tf.Tensor, bands: int) -> tf.Tensor:
        """What the network makes of x [b, h, w, c] in 0..1 without its context, in so many bands of rows."""
        rows, m = tf.shape(x)[1] - 2 * self.context, self.context
        edges = [rows * i // bands for i in range(bands + 1)]
        parts = [x[:, a : b + 2 * m] for a, b in itertools.pairwise(edges)] if bands > 1 else [x]
        return tf.concat([cut(self.net(part), self.edge) for part in parts], axis=1)

    def enlarged(self, x: tf.Tensor, bands: int) -> tf.Tensor:
        """uint8 or uint16 [b, h, w, 1 or 3] with its context to [b, scale * h, scale * w, 1 or 3] without."""
        peak = float(x.dtype.max)
        y = (self.greys if x.shape[-1] == 1 else self.colours)(tf.cast(x, tf.float32) / peak, bands)
        return tf.cast(tf.round(tf.clip_by_value(y * peak, 0, peak)), x.dtype)

    def greys(self, grey, bands):
        """[b, h, w, 1] in 0..1 with its context to [b, scale * h, scale * w, 1] without, not clipped."""
        if self.net.channels == 3:
            return tf.reduce_mean(self.network(tf.repeat(grey, 3, axis=-1), bands), axis=-1, keepdims=True)
        return (self.network(grey * (219 / 255) + 16 / 255, bands) - 16 / 255) * (255 / 219)  # its luma, there and back

    def colours(self, rgb, bands):
        """[b, h, w, 3] in 0..1 with its context to [b, scale * h, scale * w, 3] without, not clipped."""
        if self.net.channels == 3:
            return self.network(rgb, bands)
        matrix, offset = YCBCR / 255, tf.constant(YCBCR_OFFSET / 255, tf.float32)
        ycbcr = tf.tensordot(rgb, tf.constant(matrix.T, tf.float32), 1) + offset
        chroma = cut(bicubic(ycbcr[..., 1:], self.scale), self.scale * self.context)
        y = tf.concat([self.network(ycbcr[..., :1], bands), chroma], axis=-1)
        return tf.tensordot(y - offset, tf.constant(np.linalg.inv(matrix).T, tf.float32), 1)

    def tiles(self, images: np.ndarray) -> Iterator[tuple[int, int, int, np.ndarray]]:
        """Images [n, h, w, 1 or 3], uint8 or uint16, any size from 1x1 up, `scale` times as large in the same type.

        Yields:
            (first image, first row, first column, [images, rows, columns, 1 or 3]), row by row of tiles of as many
            images as go through the network together: one is in memory at a time.
        """
        (n, h, w, c), r, m, tile = images.shape, self.scale, self.context, self.tile
        together = max(1, (BATCH_PIXELS // 16 if self.net.padded else BATCH_PIXELS) // (min(h, tile) * min(w, tile)))
        enlarge = self.compiled(images.dtype.name, c, self.bands(min(h, tile)))
        for i in range(0, n, together):
            seen = self.net.seen(images[i : i + together])
            padded = np.pad(seen, [(0, 0), (m, m), (m, m), (0, 0)], mode="reflect")
            for y, x in itertools.product(range(0, h, tile), range(0, w, tile)):
                yield i, y * r, x * r, enlarge(padded[:, y : y + tile + 2 * m, x : x + tile + 2 * m]).numpy()

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """All `tiles` of images in one array [n, scale * h, scale * w, 1 or 3]."""
        n, h, w, c = images.shape
        out = np.empty([n, h * self.scale, w * self.scale, c], images.dtype)
        for i, y, x, tile in self.tiles(images):
            out[i : i + len(tile), y : y + tile.shape[1], x : x + tile.shape[2]] = tile
        return out


def cut(y: tf.Tensor, edge: int) -> tf.Tensor:
    """Images y [b, h, w, c] without `edge` pixels on every side."""
    return y[:, edge:-edge, edge:-edge] if edge else y
