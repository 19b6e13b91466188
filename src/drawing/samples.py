"""The files of one drawing: numbered PNGs, a sheet, and a list that says which of the files in a folder they are."""

from pathlib import Path

import numpy as np

from src.config import InputError
from src.data.images import write_png
from src.data.sheets import sheet
from src.files import read_json, write_json
from src.schema import ListOf, Text, check

LIST = "samples.json"
FILES = ListOf(Text(r"[^/\\]+", "the name of a file in its folder"), 0, 1 << 24)
TILE = 128  # pixels, about, of an image on a sheet


def tile_scale(n_px: int) -> int:
    """How many times as large a sheet shows an image."""
    return max(1, TILE // n_px)


def write_pictures(folder: Path, name: str, pictures: np.ndarray) -> list[Path]:
    """Write uint8 pictures [n, height, width, 3] as NAME_0.png, ...: their paths."""
    paths = [folder / f"{name}_{i}.png" for i in range(len(pictures))]
    for path, picture in zip(paths, pictures):
        write_png(path, picture)
    return paths


def write_samples(folder: str | Path, pictures: np.ndarray) -> tuple[list[Path], Path]:
    """Write `sample_0.png`, ... at the model's own resolution, and the sheet `samples.png`: their paths."""
    folder = Path(folder)
    paths = write_pictures(folder, "sample", pictures)
    write_png(folder / "samples.png", sheet(pictures, scale=tile_scale(pictures.shape[1])))
    return paths, folder / "samples.png"


def list_samples(folder: str | Path, paths: list[Path], **origin):
    """Note in the folder which pictures the newest drawing wrote, and what they come from (checkpoint, seed)."""
    write_json(Path(folder) / LIST, origin | {"files": [path.name for path in paths]})


def newest_samples(folder: str | Path) -> list[Path]:
    """The pictures that the newest drawing in a folder wrote, in order; those of earlier ones may lie beside them.

    Raises:
        InputError: nothing has been drawn there, or a picture is gone.
    """
    folder = Path(folder)
    if not (folder / LIST).exists():
        raise InputError(f"{folder}: no {LIST} there; draw some images with run.py, or name images")
    listed = read_json(folder / LIST, dict)
    check(listed, {"files": FILES}, folder / LIST)
    paths = [folder / name for name in listed["files"]]
    for path in paths:
        if not path.exists():
            raise InputError(f"{path}: no such file, though {folder / LIST} names it; draw again, or name images")
    return paths
