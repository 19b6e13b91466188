"""Archives from outside: zip files unpacked whole or not at all, once looked through, and one file of a tar."""

import contextlib
import gzip
import os
import shutil
import stat
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from src.config import InputError, one_line
from src.files import file_size, open_regular, whole
from src.weights.arrivals import zip_file
from src.weights.table import Damaged

LARGEST_RATIO, SLACK = 8, 16 << 20  # unfolded at most so many times the archive's size, and so many bytes more
CHUNK = 1 << 20
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


def inside(folder: str | Path, name: str) -> Path:
    """The path `folder / name`.

    Raises:
        InputError: a name, from a server or an archive, that leads out of the folder.
    """
    folder = Path(folder).resolve()
    try:
        path = (folder / name).resolve()
    except (ValueError, OSError, RuntimeError):  # a NUL, too long, links in a circle
        path = folder
    if folder not in path.parents:
        raise InputError(f"{name!r}: this file name leads out of {folder}; the source is not to be trusted")
    return path


def unpack(path: Path):
    """Unpack a zip archive beside itself; what is already there is left alone.

    Raises:
        InputError: a damaged archive, one that is not to be trusted, or no room; nothing is half-unpacked.
    """
    new = path.with_name(f".part-{os.getpid()}-{path.stem}")
    try:
        with opened(path) as (archive, members):
            if all((path.parent / m.filename).is_file() and size_of(path, m) == m.file_size for m in members):
                return
            for member in members:
                extract(archive, member, inside(new, member.filename))
            move(new, path.parent)
    finally:
        shutil.rmtree(new, ignore_errors=True)


@contextlib.contextmanager
def opened(path: Path) -> Iterator[tuple[zipfile.ZipFile, list[zipfile.ZipInfo]]]:
    """A zip archive and its files, looked through.

    Raises:
        InputError: a damaged archive, one that is not to be trusted, or no room, here or while it is open.
    """
    try:
        open_regular(path).close()  # a pipe would be waited for
        zip_file(path)
        with zipfile.ZipFile(path) as archive:
            yield archive, trusted(path, archive.infolist())
    except InputError:
        raise
    except OSError as error:
        where = error.filename or path
        raise InputError(f"{where}: cannot be unpacked ({error.strerror or error}); make room, start again") from error
    except Exception as error:  # whatever the library makes of damaged bytes
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{path}: a damaged archive ({reason}); delete it and start again") from error


def size_of(path, member):
    return (path.parent / member.filename).stat().st_size


def trusted(path, members):
    """The files among an archive's members, all looked at before one is written.

    Raises:
        InputError: what is not unpacked here, a name that leads elsewhere or comes twice, too much for the disk.
    """
    places = {}
    for member in members:
        place = inside(path.parent, member.filename)
        kind = member.external_attr >> 16
        faults = {
            "is encrypted": member.flag_bits & 1,
            f"is packed by method {member.compress_type}, which is not read here": member.compress_type not in METHODS,
            "is neither a file nor a folder": stat.S_IFMT(kind) not in (0, stat.S_IFREG, stat.S_IFDIR),
            "comes twice": place in places,
            "would replace the archive": place == path.resolve(),
        }
        for fault, found in faults.items():
            if found:
                raise InputError(f"{path}: its member {member.filename!r} {fault}; the archive is not to be trusted")
        places[place] = member
    files = {place: member for place, member in places.items() if not member.is_dir()}
    for place in places:
        if any(parent in files for parent in place.parents):
            raise InputError(
                f"{path}: {place.name!r} lies in a member that is a file; the archive is not to be trusted"
            )
    total, archive = sum(m.file_size for m in files.values()), path.stat().st_size
    if total > LARGEST_RATIO * archive + SLACK:
        raise InputError(f"{path}: {archive} bytes that unfold to {total}; the archive is not to be trusted")
    free = shutil.disk_usage(path.parent).free
    if total > free:
        raise InputError(f"{path}: unfolds to {total} bytes, and {free} are free on this disk; make room")
    return list(files.values())


def extract(archive, member, place):
    """Write one member, and raise Damaged where it is not as long as the archive says."""
    place.parent.mkdir(parents=True, exist_ok=True)
    with archive.open(member) as source, open(place, "wb") as f:
        shutil.copyfileobj(source, f, CHUNK)  # no more than is announced; the checksum is compared at the end
        if f.tell() != member.file_size:
            raise Damaged(f"{member.filename} has {f.tell()} bytes, not {member.file_size}")


def move(new, folder):
    """Give what lies in `new` its place in `folder`: at once where nothing has its name, else file by file."""
    for top in sorted(new.iterdir()):
        target = folder / top.name
        if not target.exists():
            os.rename(top, target)
            continue
        for file in [top] if top.is_file() else sorted(p for p in top.rglob("*") if p.is_file()):
            place = folder / file.relative_to(new)
            place.parent.mkdir(parents=True, exist_ok=True)
            os.replace(file, place)


class Bounded:
    """An open file that is read up to a number of bytes, and then raises Damaged."""

    def __init__(self, file: BinaryIO, most: int):
        self.file, self.left = file, most

    def read(self, n: int) -> bytes:
        content = self.file.read(n)
        self.left -= len(content)
        if self.left < 0:
            raise Damaged("it unfolds to far more than it has bytes")
        return content


def take_member(path: Path, name: str, place: Path):
    """Write the file of that name in a gzipped tar archive to `place`; nothing else in it is looked at.

    Raises:
        InputError: a damaged archive, one without such a file, or no room; `place` is whole or what it was.
    """
    try:
        with open_regular(path) as f, gzip.GzipFile(fileobj=f) as unfolded:
            stream = Bounded(unfolded, LARGEST_RATIO * file_size(f) + SLACK)
            with tarfile.open(fileobj=stream, mode="r|") as archive:
                member = next((m for m in archive if m.name.removeprefix("./") == name and m.isreg()), None)
                if member is None:
                    raise InputError(f"{path}: no file {name} in this archive; the source is not to be trusted")
                with whole(place) as part, open(part, "wb") as out:
                    shutil.copyfileobj(archive.extractfile(member), out, CHUNK)
                    while stream.read(CHUNK):  # to the end, where the checksum is compared
                        pass
    except InputError:
        raise
    except Exception as error:  # whatever the library makes of damaged bytes
        reason = one_line(error) or type(error).__name__
        raise InputError(f"{path}: a damaged archive ({reason}); delete it and start again") from error
