"""The files of one drawing: numbered PNGs, a sheet, and a list that says which of the files in a folder they are.

They are written together: `part` is what `src.files.together` yields, from a file's path to where it is to be written.
"""

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import imageio.v3 as imageio
import numpy as np

from src.config import InputError
from src.data.sheets import sheet
from src.data.tokens import token_type
from src.drawing.animation import AnimationOptions, animation, grown
from src.files import read_json
from src.schema import ListOf, Text, check
from src.writing import writing

LIST, SHEET = "samples.json", "samples.png"
SHOWN = 1024  # pictures on a sheet, which would become larger than viewers open
FILES = ListOf(Text(r"[^/\\]+", "the name of a file in its folder"), 0, 1 << 24)
TILE = 128  # pixels, about, of an image on a sheet

Part = Callable[[str | Path], Path]


def tile_scale(n_px: int) -> int:
    """How many times as large a sheet shows an image."""
    return max(1, TILE // n_px)


def picture_paths(folder: str | Path, name: str, n: int) -> list[Path]:
    """NAME_0.png and so on."""
    return [Path(folder) / f"{name}_{i}.png" for i in range(n)]


def shown_paths(shown: Path, moving: AnimationOptions | None) -> list[Path]:
    """The path of a sheet, and that of its animation, if one is wanted."""
    return [shown, shown.with_suffix(f".{moving.kind}")] if moving else [shown]


def check_places(folder: str | Path, paths: list[Path], tokens: str | Path | None = None, photos: Sequence[Path] = ()):
    """See that the files of a drawing can take their places in a folder, before anything is drawn.

    Args:
        tokens: the file of the tokens, if they are wanted, wherever it is.
        photos: what is completed.

    Raises:
        InputError: a folder, or anything else that is no file, or a photo lies in such a place, or the tokens' is
            another file's.
    """
    with os.scandir(folder) as entries:
        taken = {entry.name for entry in entries if not entry.is_file()}
    for path in paths:
        if path.name in taken:
            raise InputError(f"{path}: is not a file but in the way of one; move it, or give another `save_dir`")
    places = {os.path.realpath(path) for path in [*paths, *([tokens] if tokens else [])]} if photos else ()
    for photo in photos:
        if os.path.realpath(photo) in places:
            raise InputError(f"{photo}: is a photo to complete, and a file of the drawing would replace it; move it")
    beside = tokens and Path(tokens).parent.resolve() == Path(folder).resolve()
    if beside and Path(tokens).name in {path.name for path in paths}:
        raise InputError(f"`save_tokens` {tokens}: is a file of the drawing itself; name another one")


def write_picture(path: Path, picture: np.ndarray, part: Part):
    """Write a uint8 picture [height, width, 3] as a PNG."""
    with writing(path):
        imageio.imwrite(part(path), picture, extension=".png")


def samples_sheet(pictures: np.ndarray) -> np.ndarray:
    """The first SHOWN pictures, uint8 [n, height, width, 3], on a sheet: uint8 [h, w, 3]."""
    return sheet(pictures[:SHOWN], scale=tile_scale(pictures.shape[1]))


def write_samples(
    paths: list[Path], pictures: np.ndarray, part: Part, moving: AnimationOptions | None = None
) -> list[Path]:
    """Write PNGs at the model's own resolution, and beside them the sheet `samples.png` with the first.

    Args:
        paths: as `picture_paths` gives them.
        pictures: uint8 [n, height, width, 3].
        moving: of an animation of how they grew, where one is wanted, which has the sheet's name.

    Returns:
        The paths of the sheet and of the animation, if any.
    """
    for path, picture in zip(paths, pictures):
        write_picture(path, picture, part)
    shown = shown_paths(paths[0].with_name(SHEET), moving)
    write_picture(shown[0], samples_sheet(pictures), part)
    if moving:
        write_animation(shown[1], grown(pictures, 0, samples_sheet), moving, part)
    return shown


def write_animation(path: Path, frames: Sequence[np.ndarray], moving: AnimationOptions, part: Part):
    """Write frames, uint8 [height, width, 3], as an animation."""
    write_file(path, lambda f: f.write(animation(frames, moving)), part)


def write_tokens(path: str | Path, tokens: np.ndarray, n_vocab: int, part: Part):
    """Write tokens [n, n_positions] of a palette of so many colours as a .npy file."""
    write_file(path, lambda f: np.save(f, tokens.astype(token_type(n_vocab))), part)


def list_samples(folder: str | Path, paths: list[Path], part: Part, **origin):
    """Note in the folder which pictures the newest drawing wrote, and what they come from (checkpoint, seed)."""
    listed = json.dumps(origin | {"files": [path.name for path in paths]}, indent=1) + "\n"
    write_file(Path(folder) / LIST, lambda f: f.write(listed.encode()), part)


def write_file(path: str | Path, write: Callable[[BinaryIO], Any], part: Part):
    """Let a function write a file, which is on the disk when this returns."""
    with writing(path), open(part(path), "wb") as f:
        write(f)
        f.flush()
        os.fsync(f.fileno())


def has_drawing(folder: str | Path) -> bool:
    """Whether run.py or sample.py has drawn to a folder, so that `newest_samples` knows what."""
    return Path(folder, LIST).exists()


def newest_samples(folder: str | Path) -> list[Path]:
    """The pictures that the newest drawing in a folder wrote, in order; those of earlier ones may lie beside them.

    Raises:
        InputError: nothing has been drawn there, or a picture is gone.
    """
    folder = Path(folder)
    if not has_drawing(folder):
        raise InputError(f"{folder}: no {LIST} there; draw some images with run.py, or name images")
    listed = read_json(folder / LIST, dict)
    check(listed, {"files": FILES}, folder / LIST)
    paths = [folder / name for name in listed["files"]]
    for path in paths:
        if not path.exists():
            raise InputError(f"{path}: no such file, though {folder / LIST} names it; draw again, or name images")
    return paths
