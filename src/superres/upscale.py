"""Upscaling with a network: images of any size, in tiles of bounded memory, batches together."""

import functools
import itertools

import numpy as np
import tensorflow as tf
from PIL import Image

from src.config import InputError
from src.metrics import YCBCR, YCBCR_OFFSET
from src.superres.pictures import canvas_for, finished, read_picture

TILE = 384  # low-resolution pixels on a side of a tile, without its context
PADDED_TILE = 192  # the same for a padded network, which works in high resolution, with more memory
CONTEXT = 12  # low-resolution pixels around a tile for a network whose convolutions are padded
BANDS = 8  # of rows in a tile at most, which a CPU's cores work on side by side
BATCH_PIXELS = 1 << 18  # low-resolution pixels that go through the network at a time, about


class Upscaler:
    """A network and how to apply it to whole images.

    Args:
        net: a Keras model [b, h, w, c] -> [b, about scale * h, about scale * w, c] in 0..1; with c = 1 it sees luma,
            and chroma is scaled bicubically.

    Attributes:
        scale: how many times as large its output is.
        context: pixels that an image is extended by (reflected) on every side: those that unpadded convolutions use up;
            of a padded network, whose border is worthless, CONTEXT, which are cut off again.
        edge: pixels that are cut off the network's output on every side.
        tile: low-resolution pixels on a side of a tile, without its context.
    """

    def __init__(self, net):
        small, large = (net.compute_output_shape([1, n, n, net.input_shape[-1]])[1] for n in (64, 128))
        self.net, self.scale = net, (large - small) // 64
        self.padded = small == 64 * self.scale
        self.context = CONTEXT if self.padded else (64 - small // self.scale) // 2
        self.edge = (small - self.scale * (64 - 2 * self.context)) // 2
        self.tile = PADDED_TILE if self.padded else TILE
        self.compiled = functools.cache(self.compile)

    def compile(self, dtype, channels, bands):
        """`enlarged` for images of a type and number of channels, of any size."""
        signature = [tf.TensorSpec([None, None, None, channels], dtype)]
        return tf.function(functools.partial(self.enlarged, bands=bands), input_signature=signature, autograph=False)

    def bands(self, rows):
        """How many bands an image of so many rows is cut into; with few rows overlaps cost more than they save."""
        return 1 if self.padded or tf.config.list_logical_devices("GPU") else min(BANDS, max(1, rows // 40))

    def network(self, x, bands):
        """What the network makes of x [b, h, w, c] in 0..1 without its context, in so many bands of rows."""
        rows, m = tf.shape(x)[1] - 2 * self.context, self.context
        edges = [rows * i // bands for i in range(bands + 1)]
        parts = [x[:, a : b + 2 * m] for a, b in itertools.pairwise(edges)] if bands > 1 else [x]
        return tf.concat([cut(self.net(part), self.edge) for part in parts], axis=1)

    def enlarged(self, x, bands):
        """uint8 or uint16 [b, h, w, 1 or 3] with its context to [b, scale * h, scale * w, 1 or 3] without."""
        peak, grey = float(x.dtype.max), x.shape[-1] == 1
        rgb = tf.cast(x, tf.float32) / peak
        if self.net.input_shape[-1] == 3:
            y = self.network(tf.repeat(rgb, 3, axis=-1) if grey else rgb, bands)
            y = tf.reduce_mean(y, axis=-1, keepdims=True) if grey else y
        elif grey:  # its luma, there and back
            y = (self.network(rgb * (219 / 255) + 16 / 255, bands) - 16 / 255) * (255 / 219)
        else:
            matrix, offset = (tf.constant(a / 255, tf.float32) for a in (YCBCR, YCBCR_OFFSET))
            ycbcr = tf.tensordot(rgb, matrix, [[3], [1]]) + offset
            chroma = tf.image.resize(ycbcr[..., 1:], self.scale * tf.shape(x)[1:3], "bicubic")
            y = tf.concat([self.network(ycbcr[..., :1], bands), cut(chroma, self.scale * self.context)], axis=-1)
            y = tf.tensordot(y - offset, tf.linalg.inv(matrix), [[3], [1]])
        return tf.cast(tf.round(tf.clip_by_value(y * peak, 0, peak)), x.dtype)

    def strips(self, images):
        """Images [n, h, w, 1 or 3], uint8 or uint16, any size from 1x1 up, `scale` times as large in the same type.

        Yields:
            (first row, [n, rows, scale * w, 1 or 3]) from top to bottom.
        """
        (n, h, w, c), r, m, tile = images.shape, self.scale, self.context, self.tile
        padded = np.pad(images, [(0, 0), (m, m), (m, m), (0, 0)], mode="reflect")
        together = max(1, (BATCH_PIXELS // 16 if self.padded else BATCH_PIXELS) // (min(h, tile) * min(w, tile)))
        enlarge = self.compiled(images.dtype.name, c, self.bands(min(h, tile)))
        for y in range(0, h, tile):
            strip = np.empty([n, min(h - y, tile) * r, w * r, c], images.dtype)
            for i in range(0, n, together):
                for x in range(0, w, tile):
                    part = padded[i : i + together, y : y + tile + 2 * m, x : x + tile + 2 * m]
                    strip[i : i + together, :, x * r : (x + tile) * r] = enlarge(part)
            yield y * r, strip

    def __call__(self, images):
        """All `strips` of images as one array [n, scale * h, scale * w, 1 or 3]."""
        return np.concatenate([strip for _, strip in self.strips(images)], axis=1)


def cut(y, edge):
    """Images y [b, h, w, c] without `edge` pixels on every side."""
    return y[:, edge:-edge, edge:-edge] if edge else y


def upscale_files(paths, upscaler_for):
    """Upscale image files, those of equal sizes together, in bounded memory.

    Args:
        paths: of image files.
        upscaler_for: a function of a `Picture` that returns the `Upscaler` to use.

    Yields:
        Lists of (path, picture, the enlarged Pillow image), with (path, InputError, None) for a file that is not a
        readable image.
    """
    waiting, pixels = {}, 0
    for path in paths:
        try:
            picture = read_picture(path)
        except InputError as error:
            yield [(path, error, None)]
            continue
        key = upscaler_for(picture), picture.colours.shape, picture.colours.dtype
        waiting.setdefault(key, []).append((path, picture))
        pixels += picture.colours[..., 0].size
        if pixels >= BATCH_PIXELS:
            yield from upscaled(waiting)
            waiting, pixels = {}, 0
    yield from upscaled(waiting)


def upscaled(groups):
    """Lists of (path, picture, the enlarged Pillow image) of groups (upscaler, ...) -> [(path, picture), ...]."""
    for (upscaler, *_), entries in groups.items():
        canvases = [canvas_for(picture, upscaler.scale) for _, picture in entries]
        for y, strip in upscaler.strips(np.stack([picture.colours for _, picture in entries])):
            for canvas, rows in zip(canvases, strip):
                canvas.paste(Image.fromarray(rows[..., 0] if rows.shape[2] == 1 else rows), (0, y))
        yield [(path, picture, finished(canvas, picture)) for (path, picture), canvas in zip(entries, canvases)]
