"""Completing photographs: what is given of them, and the files that show what became of it."""

import dataclasses
import functools
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np

from src.config import MOST_PICTURES, HParams, InputError
from src.data.images import read_image, square
from src.data.sheets import enlarged, sheet
from src.drawing.animation import AnimationOptions, concealed, grown
from src.drawing.samples import SHOWN, Part, picture_paths, shown_paths, tile_scale, write_animation, write_picture
from src.drawing.sampling import Sampler, SamplingOptions
from src.files import short_name, unique
from src.utils import color_dequantize, pixel_tokens

Places = tuple[list[Path], Path]  # of the completions of one photograph, and of their sheet


@dataclasses.dataclass(frozen=True)
class CompletionOptions:
    """What is kept of a photograph.

    Args:
        keep_rows: of the model's resolution; half of them where neither this nor `keep_pixels` is given.
        keep_pixels: in reading order.
        crop: x, y, width and height of the part to take; the square in its centre is used.
        pad: colour of the bands that make a whole photograph square, instead of the square in its centre.
    """

    keep_rows: int | None = None
    keep_pixels: int | None = None
    crop: tuple[int, int, int, int] | None = None
    pad: str | None = None

    def given(self, hparams: HParams) -> int:
        """How many positions are given.

        Raises:
            InputError: all of them, so that nothing is left to draw.
        """
        n_px, total = hparams.n_px, hparams.n_positions
        if self.keep_pixels is not None:
            field, value, given, most = "keep_pixels", self.keep_pixels, self.keep_pixels, total - 1
        else:
            value = n_px // 2 if self.keep_rows is None else self.keep_rows
            field, given, most = "keep_rows", value * n_px, n_px - 1
        if given >= total:
            raise InputError(f"`{field}` {value}: the model draws {n_px}x{n_px}; keep at most {most}")
        return given


@dataclasses.dataclass(frozen=True, eq=False)
class Photos:
    """Photographs as a model sees them.

    Attributes:
        names: of their files, without the ending, each once.
        originals: uint8 [n, tile, tile, 3], in the size of a sheet's tile.
        tokens: [n, n_px * n_px].
        clusters: the palette [colours, 3] in -1..1.
    """

    names: list[str]
    originals: np.ndarray
    tokens: np.ndarray
    clusters: np.ndarray

    @classmethod
    def read(cls, paths: Sequence[Path], clusters: np.ndarray, n_px: int, options: CompletionOptions) -> "Photos":
        """Read image files.

        Raises:
            InputError: a file cannot be read, or the crop is not inside it.
        """
        small, originals = [], []
        for path in paths:  # one at a time: they may be large
            photo = read_image(path, options.crop)
            small.append(square(photo, n_px, pad=options.pad))
            originals.append(square(photo, n_px * tile_scale(n_px), pad=options.pad))
        tokens = pixel_tokens(np.stack(small), clusters)
        return cls(unique([short_name(path) for path in paths]), np.stack(originals), tokens, clusters)


def complete(
    sampler: Sampler,
    photos: Photos,
    given: int,
    n_samples: int,
    options: SamplingOptions,
    progress: Callable[[int, int], None] | None = None,
) -> np.ndarray:
    """Draw what follows the first `given` positions of every photograph, `n_samples` times: tokens [n, n_samples, s].

    Completion i of a photograph depends on the seed, i, and what is given of it alone.
    """
    n = len(photos.tokens)
    prefix = photos.tokens[:, :given].repeat(n_samples, axis=0)
    images = np.tile(np.arange(n_samples), n)
    return sampler.draw(options=options, prefix=prefix, images=images, progress=progress).reshape(n, n_samples, -1)


def completion_paths(folder: str | Path, photos: Photos, n_samples: int) -> list[Places]:
    """For every photograph NAME_completion_0.png and so on, and the path of its sheet NAME_completions.png.

    Raises:
        InputError: there are too many for one folder.
    """
    if n_samples * len(photos.names) > MOST_PICTURES:
        most = (
            f"at most {MOST_PICTURES:,} pictures go to one folder, these are {n_samples} of {len(photos.names)} photos"
        )
        raise InputError(f"`n_samples` {n_samples}: {most}; take fewer")
    return [
        (picture_paths(folder, f"{name}_completion", n_samples), Path(folder) / f"{name}_completions.png")
        for name in photos.names
    ]


def completions_sheet(original: np.ndarray, reduced: np.ndarray, given: int, pictures: np.ndarray) -> np.ndarray:
    """The original, the photograph in the model's palette, what the model was given, and the completions on a sheet.

    Args:
        original: uint8 [tile, tile, 3].
        reduced: uint8 [n_px, n_px, 3].
        given: positions.
        pictures: uint8 [n, n_px, n_px, 3], of which the first SHOWN are shown.

    Returns:
        uint8 [height, width, 3].
    """
    tiles = enlarged(np.stack([reduced, concealed(reduced, given), *pictures[:SHOWN]]), tile_scale(len(reduced)))
    captions = ["original", "in the palette", "given", *(str(i) for i in range(len(tiles) - 2))]
    return sheet(np.stack([original, *tiles]), columns=min(len(captions), 10), captions=captions)


def write_completions(
    places: Iterable[Places],
    photos: Photos,
    given: int,
    tokens: np.ndarray,
    part: Part,
    moving: AnimationOptions | None = None,
):
    """Write every photograph's completions, and a sheet of each.

    Args:
        places: as `completion_paths` gives them.
        tokens: [n, n_samples, s], as from `complete`.
        part: as `src.files.together` yields it.
        moving: of an animation of how they grew, where one is wanted, beside each sheet and of its name.
    """
    n_px = int(tokens.shape[2] ** 0.5)
    known = color_dequantize(photos.tokens, photos.clusters, n_px)
    for (paths, shown), original, reduced, drawn in zip(places, photos.originals, known, tokens):
        pictures = color_dequantize(drawn, photos.clusters, n_px)
        for path, picture in zip(paths, pictures):
            write_picture(path, picture, part)
        show = functools.partial(completions_sheet, original, reduced, given)
        write_picture(shown, show(pictures), part)
        if moving:
            write_animation(shown_paths(shown, moving)[1], grown(pictures, given, show), moving, part)
