"""Triples to learn edits from: an image, an instruction, the edited image. A folder of them, written and read.

NAME.jsonl has a JSON object a line, which names two RGB PNGs of one size below `images/NAME`, beside the file:
{"image": "images/NAME/0.png", "instruction": "make it darker", "edited": "images/NAME/0-darker.png"}, and optionally
"kind", what sort of edit that is, and "phrasing", `seen` or `held out`, by which figures can be told apart.
"""

import collections
import contextlib
import dataclasses
import json
import os
import re
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from src.config import InputError, one_line
from src.data.images import write_png
from src.data.phrasings import HELD_OUT, SEEN
from src.files import lock_of, locked, open_regular, parse_json
from src.schema import OneOf, Text, check
from src.writing import writing

IMAGES = "images"
MULTIPLE = 4  # of which both sides of an image are one: networks enlarge so many times
LINE_BYTES = 1 << 14  # of a line at most
LINES = 1 << 20  # of a file
CHARACTERS = r"[^\x00-\x1f\x7f\ud800-\udfff]"  # no control character, and no half of one
WORDS = Text(rf"(?=.*\S){CHARACTERS}{{1,256}}", "a text of 1..256 printable characters")
NOTE = Text(rf"{CHARACTERS}{{1,64}}", "a text of 1..64 printable characters")
PLACE = Text(
    r"(?!/)(?!(?:.*/)?\.\.(?:/|$))(?:(?![\\:])" + CHARACTERS + "){1,512}",
    "the path of a file below the folder of this one, such as images/0.png",
)
FIELDS = {"image": PLACE, "instruction": WORDS, "edited": PLACE, "kind": NOTE, "phrasing": OneOf((SEEN, HELD_OUT))}
OPTIONAL = "kind", "phrasing"


@dataclasses.dataclass(frozen=True, slots=True)
class Triple:
    """Paths of two images, what makes the second of the first; what sort of edit that is, how it is said, or ""."""

    image: Path
    instruction: str
    edited: Path
    kind: str = ""
    phrasing: str = ""


def read_triples(path: str | Path) -> list[Triple]:
    """The triples of a NAME.jsonl; names beyond those known are left alone, the images are not opened.

    Raises:
        InputError: no such file, or a line of it is too long, no JSON object, lacks a field, or has one that is not
            what it should be or names a file that is not there.
    """
    folder, found, places = Path(path).parent, [], {}
    for line, content in enumerate(bounded_lines(path), 1):
        where = f"{path}: line {line}"
        fields = parse_json(content, where, dict)
        check(fields, FIELDS, where, OPTIONAL)
        for name in ("image", "edited"):
            place = fields[name]
            if place not in places:  # one path for all lines that name it: an image has up to 48
                places[place] = folder / place
                if not os.path.isfile(places[place]):  # a name that is too long for one is no file's
                    raise InputError(f"{where}: {name} names {one_line(place)}, which is no file in {folder}")
            fields[name] = places[place]
        found.append(Triple(**{name: fields[name] for name in FIELDS if name in fields}))
    if not found:
        raise InputError(f"{path}: there is no triple in it; make it again, or name another file")
    return found


def bounded_lines(path: str | Path) -> Iterator[bytes]:
    """The lines of a file, of which none is too long to be held, and not too many."""
    with open_regular(path) as f:
        for number in range(1, LINES + 2):
            line = f.readline(LINE_BYTES + 1)
            if len(line) > LINE_BYTES:
                raise InputError(f"{path}: line {number}: more than {LINE_BYTES} bytes, which no triple has")
            if not line:
                return
            if number > LINES:
                raise InputError(f"{path}: more than {LINES} lines; divide it into several files")
            yield line


def check_size(size: int):
    """InputError if no image of a triple has so many pixels on a side."""
    if size < MULTIPLE or size % MULTIPLE:
        near = max(1, size // MULTIPLE) * MULTIPLE
        raise InputError(f"`size` {size}: images are multiples of {MULTIPLE} pixels wide; take {near}")


def check_new(folder: str | Path, names: Iterable[str]):
    """See that a folder has no triples of these names yet, before any work is done for them.

    Raises:
        InputError: it has, or a name is not one of a file.
    """
    for name in names:
        if not re.fullmatch(r"[\w-][\w.-]{0,63}", name, re.ASCII):
            raise InputError(f"`name` {one_line(name)}: letters, digits, hyphens, dots and underscores alone, up to 64")
        for path in (Path(folder, f"{name}.jsonl"), Path(folder, IMAGES, name)):
            if os.path.lexists(path):
                raise InputError(f"{path}: is there already; remove it, or name another place as `save_dir`")


class Writer:
    """Triples on their way to a folder: pictures first, then the lines that name them."""

    def __init__(self, folder: Path, part: Path):
        self.folder, self.part = folder, part
        self.lines: dict[str, list[Triple]] = collections.defaultdict(list)

    def picture(self, name: str, stem: str, pixels: np.ndarray) -> Path:
        """Write a uint8 image [h, w, 3] as images/NAME/STEM.png: the path that it will have."""
        place = Path(IMAGES, name, f"{stem}.png")
        (self.part / place).parent.mkdir(parents=True, exist_ok=True)
        write_png(self.part / place, pixels)
        return self.folder / place

    def add(self, name: str, triple: Triple):
        """A line of NAME.jsonl, of pictures that have been written."""
        self.lines[name].append(triple)

    def counts(self) -> dict[str, collections.Counter[str]]:
        """Name to kind to the number of its lines."""
        return {name: collections.Counter(t.kind for t in triples) for name, triples in self.lines.items()}

    def write_lines(self):
        """Write the .jsonl files."""
        for name, triples in self.lines.items():
            with open(self.part / f"{name}.jsonl", "w", encoding="utf-8", newline="\n") as f:
                f.writelines(f"{json.dumps(as_fields(t, self.folder), ensure_ascii=False)}\n" for t in triples)


def as_fields(triple: Triple, folder: Path) -> dict[str, str]:
    """A triple as a line has it."""
    fields = {name: getattr(triple, name) for name in FIELDS if getattr(triple, name)}
    return fields | {name: fields[name].relative_to(folder).as_posix() for name in ("image", "edited")}


@contextlib.contextmanager
def new_triples(folder: str | Path, names: Iterable[str]) -> Iterator[Writer]:
    """A writer of NAME.jsonl and images/NAME for these names, which all take their places at the end or none does.

    A name without lines gets no file.

    Raises:
        InputError: one of them is there or being made, or cannot be written, or nothing has been added.
    """
    folder, names = Path(folder), list(names)
    part, moved = folder / f".part-{os.getpid()}-{'-'.join(names)}", []
    with writing(folder), contextlib.ExitStack() as locks:
        for name in names:
            locks.enter_context(locked(lock_of(folder / name)))
        check_new(folder, names)
        (folder / IMAGES).mkdir(parents=True, exist_ok=True)
        try:
            writer = Writer(folder, part)
            yield writer
            if not writer.lines:
                raise InputError(f"{folder}: there is nothing to write: not one triple could be made")
            writer.write_lines()
            for place in [Path(IMAGES, n) for n in writer.lines] + [Path(f"{n}.jsonl") for n in writer.lines]:
                os.rename(part / place, folder / place)
                moved.append(place)
            moved.clear()
        finally:
            for place in moved:  # not all of them
                remove(folder / place)
            remove(part)
            with contextlib.suppress(OSError):  # others' pictures are in it
                (folder / IMAGES).rmdir()


def remove(path: Path):
    """Remove a file or a folder, if it is there."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
