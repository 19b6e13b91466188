"""What a drawing sends to the page: a step for every row, and at the end the files that a command would write."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from src.drawing.animation import AnimationOptions
from src.drawing.completion import CompletionOptions, completion_paths, write_completions
from src.drawing.samples import picture_paths, write_samples
from src.drawing.sampling import SamplingOptions
from src.files import together
from src.page.models import Loaded
from src.page.uploads import Box, encoded, photograph
from src.utils import color_dequantize

COUNTS = 1, 2, 4, 8, 16, 32  # images in a drawing: few sizes, since each is traced by itself


@dataclasses.dataclass(frozen=True)
class DrawingOptions:
    """How many images are drawn, and how; `keep_rows` and `crop` are of the picture that is completed."""

    n_samples: int
    sampling: SamplingOptions
    keep_rows: int | None = None
    crop: Box | None = None


def rows(loaded: Loaded, prefix: np.ndarray, sampling: SamplingOptions) -> Iterator[dict]:
    """A step for every row of images behind a prefix [n, p]; the last one has the tokens [n, n_positions].

    A step says how many positions are drawn, and holds the colours that are new: uint8 [n, new, 3] in base64.

    Raises:
        InputError: as for `Sampler.draw`.
    """
    (n, done), h, palette = prefix.shape, loaded.hparams, loaded.clusters[None]
    loaded.sampler.check_bounds(n, sampling)
    yield {"drawn": done, "of": h.n_positions, "n": n, "n_px": h.n_px, "colours": colours(prefix, palette)}
    for tokens in loaded.sampler.grow(prefix, sampling):
        new, done = tokens[:, done:], tokens.shape[1]
        yield {"drawn": done, "of": h.n_positions, "n": n, "n_px": h.n_px, "colours": colours(new, palette)}
    yield {"tokens": tokens}


def colours(tokens: np.ndarray, palette: np.ndarray) -> str:
    """Tokens [n, t] as colours: uint8 [n, t, 3] in base64."""
    return encoded(color_dequantize(tokens.reshape(-1, 1), palette[0], 1).tobytes())


def samples(loaded: Loaded, options: DrawingOptions, folder: Path) -> Iterator[dict]:
    """Whole images: the steps of `rows`, then the files that sample.py writes for the same options."""
    paths = picture_paths(folder, "sample", options.n_samples)
    for step in rows(loaded, np.zeros([options.n_samples, 0], np.int32), options.sampling):
        if "tokens" not in step:
            yield step
    pictures = color_dequantize(step["tokens"], loaded.clusters, loaded.hparams.n_px)
    with together(durable=False) as part:
        shown = write_samples(paths, pictures, part, AnimationOptions())
    yield files([*paths, *shown])


def completions(loaded: Loaded, options: DrawingOptions, path: Path) -> Iterator[dict]:
    """The rest of a picture in a file: the steps of `rows`, then the files that sample.py writes beside it."""
    photos = photograph(path, loaded.hparams, loaded.clusters, options.crop)
    given = CompletionOptions(options.keep_rows, crop=options.crop).given(loaded.hparams)
    prefix = photos.tokens[:, :given].repeat(options.n_samples, axis=0)
    for step in rows(loaded, prefix, options.sampling):
        if "tokens" not in step:
            yield step
    places = completion_paths(path.parent, photos, options.n_samples)
    with together(durable=False) as part:
        write_completions(places, photos, given, step["tokens"][None], part, AnimationOptions())
    ((paths, sheet),) = places
    yield files([*paths, sheet, sheet.with_suffix(".webp")])


def files(paths: list[Path]) -> dict:
    """Name to content in base64: the pictures, their sheet, their animation."""
    return {"files": {path.name: encoded(path.read_bytes()) for path in paths}}
