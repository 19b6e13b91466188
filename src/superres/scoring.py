"""Scores of photographs that were shrunk and enlarged again, beside those of bicubic."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from src.config import InputError
from src.measuring import metrics
from src.superres.degradation import resized
from src.superres.photographs import load_palette, scorable, validation_pairs
from src.superres.upscaler import Upscaler

METRICS = {"psnr": metrics.bounded_psnr, "ssim": metrics.ssim, "mse": metrics.mse}
PROTOCOL = (
    "low resolution: Pillow's bicubic, antialiased, 8 bits; scored: luma of BT.601 (16..235), peak 255, "
    "{scale} border pixels cut off, output rounded to 8 bits, equal images 99 dB; SSIM: Gaussian window 11, sigma 1.5"
)


@dataclasses.dataclass(frozen=True)
class EvaluationOptions:
    """How photographs are made small before they are enlarged again.

    Attributes:
        degradation: `clean`, or `palette`: reduced to the colours of a palette.
        color_cluster_path: that palette; by default the bundled one.
        n_px: take centre squares scaled to so many low-resolution pixels, as Image GPT draws.
    """

    degradation: str = "clean"
    color_cluster_path: str | None = None
    n_px: int | None = None


Scores = dict[str, float]  # psnr, psnr_bicubic, ssim, ssim_bicubic, mse, mse_bicubic


def protocol(scale: int) -> str:
    """What the scores are of, in one line."""
    return PROTOCOL.format(scale=scale)


def score(
    paths: Sequence[Path], upscaler: Upscaler, options: EvaluationOptions, skipped: Callable[[InputError], None]
) -> Iterator[tuple[Path, Scores]]:
    """Scores of every photograph, as soon as they are there, in 4 GB of memory at most.

    Args:
        skipped: called with the error of each one that cannot be read or is too small.

    Raises:
        InputError: none is left, or one is too small for `n_px`.
    """
    clusters, count = load_palette(options.degradation, options.color_cluster_path), 0
    for i, photo in scorable(paths, upscaler.scale, options.n_px, skipped):
        ((low, high),) = validation_pairs([photo], upscaler.scale, clusters, options.n_px)
        outputs = {"": upscaler(low[None])[0], "_bicubic": resized(low, high.shape)}
        yield (
            paths[i],
            {
                f"{name}{of}": measure(output, high, border=upscaler.scale)
                for name, measure in METRICS.items()
                for of, output in outputs.items()
            },
        )
        count += 1
    if not count:
        raise InputError(f"{paths[0].parent}: no photograph is readable and large enough")


def mean_scores(scores: Sequence[Scores]) -> Scores:
    """The mean of each figure over photographs."""
    return {name: float(np.mean([each[name] for each in scores])) for name in scores[0]}
