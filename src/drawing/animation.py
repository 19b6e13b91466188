"""How images grew, row by row: frames of a sheet, and the animation that they make."""

import dataclasses
import io
from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image

from src.config import InputError
from src.data.palettes import packed
from src.utils import color_quantize

UNKNOWN = 160, 176, 200  # the colour of positions that are not drawn yet, or were not given
ENCODING = {  # small files in short time: at the highest `quality` and `method`, WebP takes a minute to save a tenth
    "webp": {"lossless": True, "quality": 80, "method": 4, "minimize_size": True},
    "gif": {"optimize": True},
}
MOVING = 64  # images in an animation, at most: all frames are in memory, 300 MB with what encodes them
GIF_COLOURS = 255  # of a frame; the last of 256 stands for what is as it was in the frame before


@dataclasses.dataclass(frozen=True)
class AnimationOptions:
    """What an animation is.

    Args:
        kind: `webp`, which shows every colour as it is, or `gif`, which has 255 of them.
        row: milliseconds that a frame is shown.
        hold: milliseconds that the last frame is shown, before all begins again.

    Raises:
        InputError: another kind.
    """

    kind: str = "webp"
    row: int = 80
    hold: int = 2500

    def __post_init__(self):
        if self.kind not in ENCODING:
            raise InputError(f"`kind` {self.kind}: an animation is one of {', '.join(ENCODING)}")


def concealed(pictures: np.ndarray, known: int) -> np.ndarray:
    """Pictures, uint8 [..., n_px, n_px, 3], of which the first so many positions are known, in reading order."""
    height, width = pictures.shape[-3:-1]
    return np.where(np.arange(height * width).reshape(height, width, 1) < known, pictures, np.uint8(UNKNOWN))


def grown(pictures: np.ndarray, given: int, show: Callable[[np.ndarray], np.ndarray]) -> list[np.ndarray]:
    """What was given of images, then as much more at a time as `Sampler.grow` yields, the last time all of them.

    Args:
        pictures: finished images, uint8 [n, n_px, n_px, 3], of which the first MOVING are shown.
        given: positions.
        show: from such images to their sheet, uint8 [height, width, 3].
    """
    n_px, pictures = pictures.shape[1], pictures[:MOVING]
    known = [given, *range((given // n_px + 1) * n_px, n_px * n_px + 1, n_px)]
    return [show(concealed(pictures, positions)) for positions in known]


def animation(frames: Sequence[np.ndarray], options: AnimationOptions = AnimationOptions()) -> bytes:
    """Frames, uint8 [height, width, 3], as a file that begins again at its end; the same frames give the same bytes.

    Args:
        frames: none with a colour that neither the first nor the last one has, as `grown` makes them.
    """
    first, *others = indexed(frames) if options.kind == "gif" else map(Image.fromarray, frames)
    timing = {"duration": [options.row] * len(others) + [options.hold], "loop": 0}
    file = io.BytesIO()
    first.save(file, options.kind, save_all=True, append_images=others, **timing, **ENCODING[options.kind])
    return file.getvalue()


def indexed(frames: Sequence[np.ndarray]) -> list[Image.Image]:
    """Frames with one palette for all, so that nothing flickers: exact where they have at most GIF_COLOURS colours."""
    ends = np.concatenate([frames[0], frames[-1]])
    chosen = Image.fromarray(ends).quantize(GIF_COLOURS, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    palette = np.array(chosen.getpalette(), np.uint8).reshape(-1, 3)
    codes, places = np.unique(packed(ends.reshape(-1, 3)), return_index=True)
    colours = ends.reshape(-1, 3)[places]
    nearest = color_quantize(colours / np.float32(127.5) - 1, palette / np.float32(127.5) - 1).numpy().astype(np.uint8)
    images = [Image.fromarray(nearest[np.searchsorted(codes, packed(frame))]) for frame in frames]
    for image in images:
        image.putpalette(palette.tobytes())
    return images
