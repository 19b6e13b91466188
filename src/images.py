"""PNG files and sheets of images."""

import imageio.v3 as imageio
import numpy as np

from src.files import whole


def write_png(path, image):
    """Write a uint8 image [height, width, 3], complete or not at all."""
    with whole(path) as part:
        imageio.imwrite(part, image, extension=".png")


def enlarged(images, scale):
    """Images [n, height, width, 3] with every pixel `scale` times as high and wide."""
    return images.repeat(scale, axis=1).repeat(scale, axis=2)


def sheet(images, *, columns=None, scale=1, gap=2):
    """Images [n, height, width, 3] on white, enlarged `scale` times, in one uint8 image, near square by default."""
    images = enlarged(images, scale)
    n, height, width, _ = images.shape
    columns = columns or int(np.ceil(np.sqrt(n)))
    height, width = height + gap, width + gap
    canvas = np.full([-(-n // columns) * height + gap, columns * width + gap, 3], 255, np.uint8)
    for i, image in enumerate(images):
        y, x = i // columns * height + gap, i % columns * width + gap
        canvas[y : y + height - gap, x : x + width - gap] = image
    return canvas
