"""PNG files, sheets of images, plots."""

import json
from pathlib import Path

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


def plot_log(path, log):
    """Plot every figure of a run's log.jsonl over its steps, one axis each, into a PNG."""
    from matplotlib.figure import Figure

    curves = {}
    for entry in map(json.loads, Path(log).read_text().splitlines()):
        step = entry.pop("step")
        for name, value in entry.items():
            curves.setdefault(name, []).append((step, value))
    figure = Figure(figsize=(5 * len(curves), 4), layout="constrained")
    for axis, (name, points) in zip(figure.subplots(1, len(curves), squeeze=False)[0], curves.items()):
        axis.plot(*zip(*points), marker=".", markersize=3)
        axis.set(xlabel="step", title=name)
        axis.grid(alpha=0.3)
    with whole(path) as part:
        figure.savefig(part, format="png", dpi=100)
