"""Triples of photographs: random crops, each with all operations done to it."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from src.config import InputError
from src.data.edits import OPERATIONS, difference
from src.data.images import readable
from src.data.phrasings import HELD_OUT, SEEN, instruction
from src.data.pictures import part
from src.data.triples import Triple, Writer, check_size

SHRINKS = 1.0, 0.6, 0.45, 0.33, 0.25  # of a photograph: a crop shows a detail or much of it
MOST = 1 << 26  # pixels of a photograph
VISIBLE = 5.0  # grey levels by which every operation changes a crop in the mean: none can be seen on an empty sky
TRIES = 8  # places looked at for each crop that is wanted
PHRASINGS = {"seen": (SEEN,), "held_out": (HELD_OUT,), "both": (SEEN, HELD_OUT)}


@dataclasses.dataclass(frozen=True)
class CropOptions:
    """What is made of each photograph.

    Attributes:
        size: height and width of a crop.
        crops: how many there are, or fewer where a photograph has not so many on which every edit can be seen.
        phrasings: of instructions: `seen`, `held_out`, or `both`, which makes two lines of each edited crop.
        seed: of the crops.
    """

    size: int = 128
    crops: int = 40
    phrasings: str = "seen"
    seed: int = 42


def write_photographs(
    writer: Writer,
    name: str,
    paths: Sequence[Path],
    options: CropOptions,
    progress: Callable[[int, int], None],
    skipped: Callable[[InputError], None],
) -> int:
    """Add the triples of photographs to NAME: the number of crops.

    Args:
        progress: told the photographs done, and all.
        skipped: called with the error of each photograph that cannot be read, or of which there is no crop.

    Raises:
        InputError: `size` is none that images have.
    """
    check_size(options.size)
    made = 0
    for i, photo in readable(paths, skipped, MOST):
        number = 0
        for crop, edited in chosen_crops(photo, options, np.random.default_rng([options.seed, i])):
            write_crop(writer, name, f"{i:04d}-{number:03d}", {"": crop} | edited, PHRASINGS[options.phrasings])
            number += 1
        if not number:
            skipped(InputError(f"{paths[i]}: no part of it on which every edit can be seen"))
        made += number
        progress(i + 1, len(paths))
    return made


def write_crop(writer, name, stem, pictures, phrasings):
    """Write a crop, which stands under no name among the pictures, those edited, and their lines."""
    places = {
        kind: writer.picture(name, f"{stem}-{kind.replace(' ', '-')}".rstrip("-"), picture)
        for kind, picture in pictures.items()
    }
    image = places.pop("")
    for kind, edited in places.items():
        for phrasing in phrasings:
            text = instruction(kind, phrasing, edited.name)
            writer.add(name, Triple(image, text, edited, kind, phrasing))


def chosen_crops(
    photo: Image.Image, options: CropOptions, rng: np.random.Generator
) -> Iterator[tuple[np.ndarray, dict[str, np.ndarray]]]:
    """(crop, operation to what it makes of it), uint8 [size, size, 3], where every edit can be seen."""
    found = 0
    for _ in range(options.crops * TRIES):
        if found == options.crops:
            return
        crop = random_crop(photo, options.size, rng)
        edited = {}
        for kind, operation in OPERATIONS.items():
            edited[kind] = operation(crop)
            if difference(crop, edited[kind]) < VISIBLE:
                break
        else:
            found += 1
            yield crop, edited


def random_crop(photo: Image.Image, size: int, rng: np.random.Generator) -> np.ndarray:
    """A square part of a photograph (Pillow's, RGB) at a random place and one of the SHRINKS: uint8 [size, size, 3]."""
    side = min(round(size / rng.choice(SHRINKS)), *photo.size)
    x, y = (int(n) for n in rng.integers(0, [photo.width - side + 1, photo.height - side + 1]))
    square = part(photo, (x, y, x + side, y + side))
    return np.asarray(square.resize((size, size), Image.Resampling.BICUBIC))
