"""Files that are read with one clear line of complaint, and written whole or not at all."""

import collections
import contextlib
import hashlib
import itertools
import json
import math
import os
import stat
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, BinaryIO

from src.config import InputError
from src.writing import writing

try:
    import fcntl
except ImportError:  # Windows: nobody is kept out
    fcntl = None

NAME_BYTES = 160  # of a picture's name in those of files made of it; a file system allows 255 in all
DAY = 24 * 3600  # seconds
JSON_BYTES = 1 << 24  # at most in a JSON file: no configuration, index of shards or list of classes comes near it


@contextlib.contextmanager
def whole(path: str | Path, *, durable: bool = True) -> Iterator[Path]:
    """A path to write to, in the folder of `path` and with its ending: moved into place at the end.

    Whatever happens, `path` is what it was before or complete. A `durable` file is on the disk when this returns, so
    that this holds for a power cut, too; thousands of small files would take far longer so.

    Raises:
        InputError: it cannot be written.
    """
    with writing(path), together(durable=durable) as part:
        yield part(path)


@contextlib.contextmanager
def together(old: Iterable[str | Path] = (), *, durable: bool = True) -> Iterator[Callable[[str | Path], Path]]:
    """Write files that belong together: all take their places at the end, or after an error none does.

    Args:
        old: files of an earlier set. They go before the first new one comes, so that the two are never mixed.
        durable: as for `whole`.

    Yields:
        A function of a file's path to the path that it is to be written to.
    """
    parts = {}

    def part(path):
        path = Path(path)
        if durable:
            remove_abandoned([path])
        parts[path] = path.with_name(f".part-{os.getpid()}-{path.name}")
        return parts[path]

    try:
        yield part
        if not durable:
            remove_abandoned(parts)  # of many files at once, for that looks through their folder
        with ThreadPoolExecutor(1) as pool:  # Ctrl-C stops the main thread alone: a move that has begun is finished
            pool.submit(move, parts, list(map(Path, old)), durable).result()
    finally:
        for path in parts.values():
            path.unlink(missing_ok=True)


def remove_abandoned(paths: Iterable[Path]):
    """Remove what processes that were killed a day ago or earlier have left of files."""
    paths = set(paths)
    for part in itertools.chain.from_iterable(folder.glob(".part-*") for folder in {path.parent for path in paths}):
        if part.with_name(part.name.split("-", 2)[-1]) not in paths:
            continue
        with contextlib.suppress(FileNotFoundError):
            if time.time() - part.stat().st_mtime > DAY:
                part.unlink()


def move(parts: dict[Path, Path], old: list[Path], durable: bool):
    """Remove the `old` files and give those written as `parts` (path to where it was written) their names."""
    if durable:
        for part in parts.values():
            sync(part)
    for path in old:
        path.unlink(missing_ok=True)
    for path, part in parts.items():
        os.replace(part, path)
    if durable:
        for folder in {path.parent for path in parts}:
            sync(folder)


@contextlib.contextmanager
def locked(path: str | Path) -> Iterator[None]:
    """Keep other processes from what the lock file `path` stands for; it is there only as long as somebody holds it.

    A lock ends with its process, however that ends.

    Raises:
        InputError: another process, or another caller in this one, holds it.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    held = False
    while not held:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            hold(descriptor, path)
            held = is_named(descriptor, path)  # else its holder has just removed it: somebody may hold a new one
            if held:
                yield
        finally:
            if held:
                path.unlink(missing_ok=True)
            os.close(descriptor)


def checksum(path: str | Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with open_regular(path) as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


def fingerprint(paths: Iterable[str | Path]) -> str:
    """16 hexadecimal digits that stand for the contents of some files."""
    return hashlib.sha256(b"".join(bytes.fromhex(checksum(path)) for path in paths)).hexdigest()[:16]


def lock_of(prefix: str | Path) -> Path:
    """The lock file of what lies in a folder under one name: `.NAME.lock`."""
    return Path(prefix).with_name(f".{Path(prefix).name}.lock")


def hold(descriptor: int, path: Path):
    """Lock an open file, where the system knows such locks."""
    if fcntl is None:
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise InputError(
            f"{path}: another process is at work in this folder; wait until it has ended, or give another folder"
        ) from None


def is_named(descriptor: int, path: Path) -> bool:
    """Whether an open file is still the one of that name."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False


def sync(path: str | Path):
    """Return when a file's contents, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def open_regular(path: str | Path) -> BinaryIO:
    """A file to read, never a folder, a device or a pipe that would have to be waited for.

    Raises:
        InputError: no such file, one of those, or a file that may not be read.
    """
    try:
        f = open(path, "rb", opener=without_waiting)  # noqa: SIM115 (the caller's to close)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (OSError, ValueError) as error:  # ValueError: a name with a null character
        raise InputError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error})") from error
    if not stat.S_ISREG(os.fstat(f.fileno()).st_mode):
        f.close()
        raise InputError(f"{path}: cannot be read (a pipe or a device, not a file)")
    return f


def without_waiting(path: str, flags: int) -> int:
    """`os.open`, which returns at once from a pipe that nobody writes to; Windows has none that look like files."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def file_size(f: BinaryIO) -> int:
    """The bytes of an open file."""
    return os.fstat(f.fileno()).st_size


def read_bytes(path: str | Path, most: int) -> bytes:
    """A whole file.

    Raises:
        InputError: as `open_regular`, or more than `most` bytes.
    """
    with open_regular(path) as f:
        size = file_size(f)
        if size > most:
            raise InputError(f"{path}: {size} bytes, more than any such file has ({most})")
        return f.read(size)


def write_json(path: str | Path, content: Any):
    """Write a JSON file, complete or not at all; numbers that are not finite, which JSON has not, become null."""
    with whole(path) as part:
        part.write_text(json.dumps(finite(content), indent=1, allow_nan=False) + "\n", encoding="utf-8")


def finite(content):
    """What JSON can say of dicts, lists and numbers."""
    if isinstance(content, dict):
        return {name: finite(value) for name, value in content.items()}
    if isinstance(content, (list, tuple)):
        return [finite(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content


def read_json(path: str | Path, kind: type | None = None) -> Any:
    """The contents of a JSON file.

    Args:
        kind: the type that its top level must have, such as `dict`; by default any.

    Raises:
        InputError: as `read_bytes`, with JSON_BYTES, or as `parse_json`.
    """
    return parse_json(read_bytes(path, JSON_BYTES), path, kind)


def parse_json(content: bytes, path: str | Path, kind: type | None = None) -> Any:
    """What JSON in a file says; NaN, infinity and a name twice in one object are none.

    Raises:
        InputError: not JSON, or of another `kind` at its top level.
    """
    try:
        found = json.loads(content.decode("utf-8"), object_pairs_hook=named_once, parse_constant=refuse_constant)
    except RecursionError:
        raise InputError(f"{path}: not JSON that can be used (nested too deeply)") from None
    except ValueError as error:
        raise InputError(f"{path}: not JSON ({error})") from error
    if kind and not isinstance(found, kind):
        raise InputError(f"{path}: holds JSON of type {type(found).__name__}, expected {kind.__name__}")
    return found


def named_once(pairs):
    """A dict of the names and values of a JSON object."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = collections.Counter(name for name, _ in pairs)
        twice = names.most_common(1)[0][0]
        raise ValueError(f"{ascii(twice)[:60]} stands twice in one object")
    return found


def refuse_constant(name):
    raise ValueError(f"{name} is not a number")


def short_name(path: str | Path) -> str:
    """The name of a picture's file without its ending, cut where names made of it would become too long."""
    return os.fsencode(Path(path).stem)[:NAME_BYTES].decode("utf-8", "ignore") or "photo"


def unique(names: list[str]) -> list[str]:
    """The names, each that came before with a number behind that makes it no other's."""
    taken, seen, numbers = set(names), set(), collections.defaultdict(lambda: itertools.count(2))
    found = []
    for name in names:
        if name in seen:
            name = next(other for i in numbers[name] if (other := f"{name}-{i}") not in taken)
            taken.add(name)
        seen.add(name)
        found.append(name)
    return found


def unused(path: Path) -> Path:
    """The path, or the first one with a number behind its name that nothing has."""
    numbered = (path.with_name(f"{path.stem}-{i}{path.suffix}") for i in itertools.count(2))
    return next(p for p in itertools.chain([path], numbered) if not os.path.lexists(p))
