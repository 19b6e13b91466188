"""Triples of emoji: two pictures of one set whose names differ in one word, and an instruction that says the word."""

import collections
import dataclasses
import itertools
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from PIL import Image

from src.config import InputError
from src.data.edits import difference
from src.data.emoji import number
from src.data.emoji_names import Drawing, pronouns, read_name, readings
from src.data.images import image_files, read_image, square
from src.data.phrasings import HELD_OUT, SEEN, instruction
from src.data.triples import Triple, Writer, check_size

PHRASINGS = {"train": (SEEN,), "valid": (SEEN,), "test": (SEEN, HELD_OUT)}  # split to those of a pair's lines
GLANCE = 32  # pixels on a side of what is compared
ALIKE = 0.5  # grey levels: pictures that are nearer to each other in the mean look the same


@dataclasses.dataclass(frozen=True)
class EmojiOptions:
    """What is made of the emoji: `size`, an image's height and width, and at most `n_lines` lines of one for training.

    For validation and tests each image has all of its lines: figures are computed over its edited pictures.
    """

    size: int = 128
    n_lines: int = 12


@dataclasses.dataclass(frozen=True)
class Edit:
    """What makes of one emoji another."""

    image: Drawing
    kind: str
    word: str
    edited: Drawing

    @property
    def line(self) -> str:
        """A text that no other edit has."""
        return f"{self.image.split} {self.image.stem} {self.kind} {self.edited.stem}"


def find_emoji(folder: str | Path) -> list[Drawing]:
    """The emoji in FOLDER/SPLIT/CATEGORY/SET-NAME.png; files that are not named so are left alone.

    Raises:
        InputError: no such folder, or no emoji in it.
    """
    found = {}
    for path in image_files(folder):
        split, *others = path.relative_to(folder).parts
        if split in PHRASINGS and len(others) == 2 and (drawing := read_name(path, split, others[0])):
            found.setdefault((split, path.stem), drawing)
    if not found:
        layout = "train, valid or test / CATEGORY / SET-NAME.png"
        raise InputError(f"{folder}: no emoji in it ({layout}); name the folder that download.py makes of them")
    return list(found.values())


def find_edits(drawings: Iterable[Drawing]) -> list[Edit]:
    """Every way between two emoji of one set and split whose names differ in one word, both directions."""
    siblings = collections.defaultdict(dict)
    for one in drawings:
        for kind, rest, word in readings(one):
            siblings[one.split, one.family, kind, rest].setdefault(word, one)
    return [
        Edit(image, kind, word, edited)
        for (_, _, kind, _), group in siblings.items()
        for image, (word, edited) in itertools.product(group.values(), group.items())
        if image is not edited
    ]


def balanced(edits: list[Edit], most: int) -> list[Edit]:
    """At most so many of an image's edits, of each kind in turn."""
    edits, turns = sorted(edits, key=lambda edit: number(edit.line)), collections.Counter()
    ranked = []
    for edit in edits:
        ranked.append((turns[edit.kind], edit.kind, len(ranked)))
        turns[edit.kind] += 1
    return [edits[i] for _, _, i in sorted(ranked)[:most]]


def write_emoji(
    writer: Writer,
    folder: str | Path,
    options: EmojiOptions,
    progress: Callable[[int, int], None],
    skipped: Callable[[InputError], None],
):
    """Add the triples of a folder of emoji to train, valid and test.

    Args:
        progress: told the pictures done, and all.
        skipped: called with the error of each picture that cannot be read; it is in no triple.

    Raises:
        InputError: no emoji in the folder, or `size` is none that images have.
    """
    check_size(options.size)
    edits = find_edits(find_emoji(folder))
    needed = sorted({one for edit in edits for one in (edit.image, edit.edited)}, key=lambda one: one.path)
    places, looks = {}, {}
    for i, drawing in enumerate(needed):
        try:
            pixels = square(read_image(drawing.path), options.size, pad="white")
        except InputError as error:
            skipped(error)
        else:
            places[drawing] = writer.picture(drawing.split, drawing.stem, pixels)
            looks[drawing] = glance(pixels)
        progress(i + 1, len(needed))
    by_image = collections.defaultdict(list)
    for edit in edits:
        if {edit.image, edit.edited} <= looks.keys() and differ(looks[edit.image], looks[edit.edited]):
            by_image[edit.image].append(edit)
    for image, own in sorted(by_image.items(), key=lambda item: item[0].path):
        for edit in balanced(own, options.n_lines if image.split == "train" else len(own)):
            add(writer, edit, places)


def glance(pixels: np.ndarray) -> np.ndarray:
    """A uint8 image [h, w, 3] at a size of which thousands can be held: [GLANCE, GLANCE, 3]."""
    return np.asarray(Image.fromarray(pixels).resize((GLANCE, GLANCE), Image.Resampling.BOX))


def differ(look: np.ndarray, other: np.ndarray) -> bool:
    """Whether two pictures look different: some sets draw two names alike, or nearly so, which is no edit."""
    return difference(look, other) >= ALIKE


def add(writer, edit, places):
    """Add the lines of an edit."""
    split, words = edit.image.split, {"word": edit.word} | pronouns(edit.image)
    for phrasing in PHRASINGS[split]:
        text = instruction(edit.kind, phrasing, edit.line, words)
        writer.add(split, Triple(places[edit.image], text, places[edit.edited], edit.kind, phrasing))
