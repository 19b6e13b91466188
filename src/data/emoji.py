"""Emoji of three free sets, out of their own releases, as a folder of splits and categories that `dataset.py` reads.

Noto Emoji (Apache 2.0), Twemoji (CC BY 4.0) and Fluent Emoji (MIT). Split by name, the same for every set, for a name's
pictures resemble each other; of its skin tones, near-copies, one a set watches the loss, and all train or test.
"""

import collections
import dataclasses
import hashlib
import os
import re
import shutil
import unicodedata
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

from src.config import InputError
from src.files import parse_json, read_bytes
from src.schema import ListOf, Text, check
from src.weights.archives import opened

TONES = "Default", "Light", "Medium-Light", "Medium", "Medium-Dark", "Dark"  # in the order of Fluent's lists
TONE = re.compile(r"-?(medium-light|medium-dark|light|medium|dark)-skin-tone")
LINE = re.compile(r"([0-9A-F ]+?) *; fully-qualified +# \S+ E[\d.]+ (.+)")
BY_CODE = {
    "noto": r"[^/]+/png/128/emoji_u([0-9a-f_]+)\.png",
    "twemoji": r"[^/]+/assets/72x72/([0-9a-f-]+)\.png",
}
FLUENT = rf"[^/]+/assets/([^/]+)/(?:({'|'.join(TONES)})/)?3D/[^/]+\.png"
METADATA = r"[^/]+/assets/([^/]+)/metadata\.json"
POINTS = Text("[0-9a-fA-F]+([ -][0-9a-fA-F]+)*", "code points in hexadecimal")
CODES = {"unicode": POINTS, "unicodeSkintones": ListOf(POINTS, 0, 64)}
LIST_BYTES = MEMBER_BYTES = 1 << 24
TEST, VALID = 20, 40  # one name in so many


Progress = Callable[[int, int], None]


@dataclasses.dataclass(frozen=True)
class Emoji:
    """A picture in an archive: its set, name and category (`woman-firefighter-dark-skin-tone` of `people-body`)."""

    kind: str
    name: str
    category: str
    member: zipfile.ZipInfo

    @property
    def base(self) -> str:
        """The name without its skin tones."""
        return TONE.sub("", self.name).strip("-")


def make_folder(raw: Path, folder: Path, progress: Callable[[str], Progress]) -> dict[str, int]:
    """Write train/CATEGORY/SET-NAME.png and so on, at once; a folder that is there is left alone.

    Args:
        raw: folder of the files of `src.weights.addresses.EMOJI`.
        progress: from the name of a set to a function that is told its pictures done and all.

    Returns:
        Split to the number of its pictures.

    Raises:
        InputError: a damaged archive or list, or one without emoji.
    """
    part = folder.with_name(f".part-{os.getpid()}-{folder.name}")
    if not folder.exists():
        names = read_names(raw / "emoji-test.txt")
        try:
            for kind in (*BY_CODE, "fluent"):
                write(kind, raw / f"{kind}.zip", names, part, progress(kind))
            part.rename(folder)
        finally:
            shutil.rmtree(part, ignore_errors=True)
    return {split.name: sum(1 for _ in split.rglob("*.png")) for split in sorted(folder.iterdir())}


def write(kind, path, names, folder, progress):
    """Write those pictures of a set that are chosen."""
    with opened(path) as (archive, members):
        found = fluent(archive, members, names) if kind == "fluent" else by_code(kind, members, names)
        chosen = list(choose(found))
        if not chosen:
            raise InputError(f"{path}: no picture of an emoji in it; delete it and start again")
        for i, (split, emoji) in enumerate(chosen):
            place = folder / split / emoji.category / f"{kind}-{emoji.name}.png"
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(read(archive, emoji.member))
            progress(i + 1, len(chosen))


def read(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    """A small file in an archive."""
    if member.file_size > MEMBER_BYTES:
        raise InputError(
            f"{archive.filename}: {member.filename} has {member.file_size} bytes, far too many for a picture"
        )
    return archive.read(member)


def read_names(path: Path) -> dict[str, tuple[str, str]]:
    """Code points, as in `1f469-200d-1f692`, to name and category, from Unicode's emoji-test.txt.

    Raises:
        InputError: not that list.
    """
    found, category = {}, ""
    for line in read_bytes(path, LIST_BYTES).decode("utf-8", "replace").splitlines():
        if line.startswith("# group: "):
            category = slug(line.removeprefix("# group: "))
        elif (match := LINE.fullmatch(line)) and category:
            found[code(match[1])] = slug(match[2]), category
    if not found:
        raise InputError(f"{path}: not Unicode's list of emoji; delete it and start again")
    return found


def slug(text: str) -> str:
    """A name as part of a file's: `woman firefighter: dark skin tone` as `woman-firefighter-dark-skin-tone`."""
    plain = unicodedata.normalize("NFKD", text.lower().replace("#", "hash").replace("*", "asterisk"))
    return re.sub(r"[^a-z0-9]+", "-", re.sub(r"[\u0300-\u036f\u2019'.]", "", plain)).strip("-")


def code(text: str) -> str:
    """Code points in hexadecimal, however they are separated, without the mark that asks for colour."""
    points = [int(point, 16) for point in re.split("[-_ ]", text)]
    return "-".join(f"{point:x}" for point in points if point != 0xFE0F)


def matching(members, pattern):
    """(match, member) of the files in an archive whose whole name matches."""
    return ((match, member) for member in members if (match := re.fullmatch(pattern, member.filename)))


def by_code(kind: str, members: list[zipfile.ZipInfo], names: dict[str, tuple[str, str]]) -> Iterator[Emoji]:
    """The pictures of a set whose files are named by their code points."""
    for match, member in matching(members, BY_CODE[kind]):
        if (key := code(match[1])) in names:
            yield Emoji(kind, *names[key], member)


def fluent(archive: zipfile.ZipFile, members: list[zipfile.ZipInfo], names: dict) -> Iterator[Emoji]:
    """The pictures of Fluent Emoji, whose metadata.json list the code points of a name's skin tones."""
    codes = {}
    for match, member in matching(members, METADATA):
        about = parse_json(read(archive, member), f"{archive.filename}: {member.filename}", dict)
        check(about, CODES, f"{archive.filename}: {member.filename}", ("unicodeSkintones",))
        codes[match[1]] = about.get("unicodeSkintones") or [about["unicode"]]
    for match, member in matching(members, FLUENT):
        listed, tone = codes.get(match[1], []), TONES.index(match[2] or "Default")
        if tone < len(listed) and (key := code(listed[tone])) in names:
            yield Emoji("fluent", *names[key], member)


def choose(pictures: Iterator[Emoji]) -> Iterator[tuple[str, Emoji]]:
    """Yield (split, picture): all tones of a name for training and tests, and for validation the plain and one more."""
    groups = collections.defaultdict(dict)
    for emoji in pictures:
        groups[emoji.base].setdefault(emoji.name, emoji)
    for base, group in sorted(groups.items()):
        chosen = list(group.values())
        split = "test" if number(base) % TEST == 0 else "valid" if number(f"valid{base}") % VALID == 0 else "train"
        if split == "valid":
            toned = sorted((e for e in chosen if e.name != base), key=lambda e: number(e.kind + e.name))
            chosen = [e for e in chosen if e.name == base] + toned[:1]
        yield from ((split, emoji) for emoji in chosen)


def number(text: str) -> int:
    """A number that is a name's own, on every machine."""
    return int(hashlib.sha256(text.encode()).hexdigest(), 16)
