"""Pictures that a visitor sends: how large they may be, and what a model sees of them."""

import base64
import io
import re
from pathlib import Path

import numpy as np
from PIL import Image

from src.config import HParams, InputError
from src.data.pictures import Picture, read_picture
from src.drawing.completion import CompletionOptions, Photos
from src.utils import color_dequantize

PIXELS = 1 << 25  # of a picture
SHOWN = 720  # pixels on the longer side of a picture as the page shows it
NAME = "photo"  # of every file: what a visitor calls it does not matter

Box = tuple[int, int, int, int]


def png(image: Image.Image | np.ndarray) -> str:
    """A Pillow image, or uint8 array [h, w, 3], as a PNG in base64."""
    file = io.BytesIO()
    (Image.fromarray(image) if isinstance(image, np.ndarray) else image).save(file, format="PNG")
    return encoded(file.getvalue())


def encoded(content: bytes) -> str:
    """Bytes in base64."""
    return base64.b64encode(content).decode()


def read_upload(path: Path) -> Picture:
    """The picture in a file that a visitor sent.

    Raises:
        InputError: there is none, or it is too large.
    """
    if not path.stat().st_size:
        raise InputError("the file is empty; choose a picture")
    try:
        return read_picture(path, PIXELS)
    except InputError as error:
        raise InputError(str(error).replace(f"{path}: not", "this is not")) from error


def look_at(path: Path) -> dict:
    """A picture as the page shows it, upright on white, and its true size.

    Raises:
        InputError: as for `read_upload`.
    """
    image = read_upload(path).on_white()
    width, height = image.size
    image.thumbnail((SHOWN, SHOWN))
    return {"width": width, "height": height, "picture": png(image)}


def photograph(path: Path, hparams: HParams, clusters: np.ndarray, crop: Box | None) -> Photos:
    """A file that a visitor sent, as a model sees it.

    Args:
        crop: left, top, width and height of the part to take, of which the square in the centre is used.

    Raises:
        InputError: as for `read_upload`, or the crop is not inside.
    """
    read_upload(path)
    try:
        return Photos.read([path], clusters, hparams.n_px, CompletionOptions(crop=crop))
    except InputError as error:
        raise InputError(re.sub(r"^.*: `crop`", "`crop`", str(error))) from error


def seen(photos: Photos, hparams: HParams) -> dict:
    """What a model sees of a picture: its own resolution, its palette."""
    return {"n_px": hparams.n_px, "seen": png(color_dequantize(photos.tokens[0], photos.clusters, hparams.n_px))}
