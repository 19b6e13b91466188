"""What a file to fetch must be: checks by kind, size and checksum, on what arrives and on what lies there already."""

import hashlib
import mmap
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from src.config import InputError
from src.files import read_json
from src.weights.table import Damaged, fields, shard_sizes

LARGEST_DIRECTORY = 16 << 20  # bytes of a zip archive's list of members


@dataclass(frozen=True)
class File:
    """One file to fetch: where from, where to, and what is known of it.

    Args:
        size: bytes that it must have.
        pin: its SHA-256 or MD5 in hexadecimal, whatever the server says.
    """

    url: str
    path: Path
    size: int | None = None
    pin: str | None = None

    @property
    def part(self):
        return self.path.with_name(self.path.name + ".part")

    @property
    def facts(self):
        """Beside the part: what the server said of the whole (version, size, checksums), as JSON."""
        return self.path.with_name(self.path.name + ".part.json")

    @property
    def check(self) -> Callable[[Path], None] | None:
        """The check of its kind, which raises Damaged or InputError."""
        return next((check for ending, check in CHECKS.items() if self.path.name.endswith(ending)), None)

    @property
    def packed(self) -> bool:
        """Whether the file itself is gzipped."""
        return self.check is gzip_file

    @property
    def known(self) -> bool:
        """Whether a body that was cut would be noticed without the server's word."""
        return self.pin is not None or self.size is not None or self.check not in (None, gzip_file)

    def verify(self, path: Path):
        """Raise InputError where the file `path` is not of this size and kind."""
        size = path.stat().st_size
        try:
            if self.size is not None and size != self.size:
                raise Damaged(f"{size} bytes, not {self.size}")
            if not size and self.size is None:
                raise Damaged("empty")
            if self.check:
                self.check(path)
        except (Damaged, InputError) as error:
            raise InputError(
                f"{self.url}: what arrives is not {self.path.name} ({str(error).removeprefix(f'{path}: ')}); "
                "it is not kept: try another address or source"
            ) from error

    def is_there(self) -> bool:
        """Whether the file lies in its place, and is what it should be."""
        if not self.path.is_file():
            return False
        try:
            self.verify(self.path)
        except InputError:
            return False
        return self.pin is None or checksum(self.path, self.pin) == self.pin


def algorithm(pin: str) -> str:
    """The name of the checksum that has so many digits."""
    return {64: "sha256", 32: "md5"}[len(pin)]


def checksum(path: Path, pin: str) -> str:
    """A file's checksum, of the same kind as `pin`."""
    with open(path, "rb") as f:
        return hashlib.file_digest(f, algorithm(pin)).hexdigest()


def npy_file(path: Path):
    from src.data.arrays import load_array  # NumPy takes its time to be imported

    load_array(path)


def gzip_file(path: Path):
    with open(path, "rb") as f:
        if f.read(3) != b"\x1f\x8b\x08":
            raise Damaged("not a gzip file")


def zip_file(path: Path):
    """An archive whose end record and list of members are there, the list of a size that one reads at once."""
    size = path.stat().st_size
    with open(path, "rb") as f:
        f.seek(max(0, size - 22 - 0xFFFF))  # a comment may follow
        tail = f.read()
    at = tail.rfind(b"PK\5\6", 0, len(tail) - 18)
    if at < 0:
        raise Damaged("no archive, or its end is missing")
    listed, start, comment = struct.unpack_from("<IIH", tail, at + 12)
    if listed > LARGEST_DIRECTORY or start + listed > size - len(tail) + at or at + 22 + comment != len(tail):
        raise Damaged("its list of members does not lie in the file")


def graph_file(path: Path):
    """Protobuf fields from the first byte to the last, no more than a graph's file has."""
    with open(path, "rb") as f, mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ) as data:
        for i, (number, _) in enumerate(fields(data, 0, len(data))):
            if number > 15 or i > 100_000:
                raise Damaged("not a graph of TensorFlow")


def safetensors_file(path: Path):
    from src.weights.shards import header

    header(path)


def json_file(path: Path):
    read_json(path, dict)


CHECKS = {  # ending: what raises Damaged or InputError of another file
    ".npy": npy_file,
    ".gz": gzip_file,
    ".tgz": gzip_file,
    ".zip": zip_file,
    ".index": shard_sizes,
    ".meta": graph_file,
    ".safetensors": safetensors_file,
    ".json": json_file,
}
