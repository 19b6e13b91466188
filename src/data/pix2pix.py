"""Triples out of InstructPix2Pix' Parquet files, whose rows are an image, an instruction and the edited image."""

import contextlib
import io
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from src.config import InputError, one_line
from src.data.images import square
from src.data.pictures import decoded
from src.data.triples import WORDS, Triple, Writer, check_size
from src.files import open_regular

COLUMNS = "original_image", "edit_prompt", "edited_image"
PICTURE_BYTES = 1 << 25  # of an encoded image at most
PIXELS = 1 << 24  # of a decoded one
GROUP_BYTES = 1 << 31  # of a row group by its own account; those of the data set have a hundredth
THRIFT = 1 << 26  # bytes, and items, that a file's account of itself may have
BUFFER = 1 << 20  # bytes of a column that are read at a time


def write_rows(
    writer: Writer,
    name: str,
    paths: Sequence[str | Path],
    options: tuple[int, int | None],
    progress: Callable[[int, int], None],
    skipped: Callable[[InputError], None],
):
    """Add the triples of Parquet files to NAME.

    Args:
        options: the height and width of images, of which the centre square is taken, and at most how many triples
            there are, or None.
        progress: told the triples or rows done, and all.
        skipped: called with an error for each row that has no instruction, or an image that is none.

    Raises:
        InputError: a file is no such Parquet file, or the size is none that images have.
    """
    size, limit = options
    check_size(size)
    files = [(path, rows_in(path)) for path in paths]  # complains before any work
    rows, made, done = sum(n for _, n in files), 0, 0
    for path, _ in files:
        for i, row in enumerate(read_rows(path)):
            if limit is not None and made == limit:
                progress(rows, rows)
                return
            try:
                image, text, edited = triple_of(row, size, f"{path}: row {i}")
            except InputError as error:
                skipped(error)
            else:
                places = [writer.picture(name, f"{made:07d}{end}", p) for end, p in (("", image), ("-edited", edited))]
                writer.add(name, Triple(places[0], text, places[1]))
                made += 1
            done += 1
            progress(done, rows)


@contextlib.contextmanager
def opened(path: str | Path) -> Iterator[Any]:
    """A Parquet file of such rows, as pyarrow's.

    Raises:
        InputError: it is none, then or while it is read.
    """
    import pyarrow
    from pyarrow import parquet

    limits = {"thrift_string_size_limit": THRIFT, "thrift_container_size_limit": THRIFT}
    with open_regular(path) as f:
        try:
            yield parquet.ParquetFile(f, buffer_size=BUFFER, **limits)
        except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
            raise InputError(f"{path}: not a Parquet file that can be read ({one_line(error)})") from error


def rows_in(path: str | Path) -> int:
    """The number of rows in a Parquet file, of which it has been seen that they are as they should be.

    Raises:
        InputError: they are not.
    """
    from pyarrow import types

    with opened(path) as file:
        schema, about = file.schema_arrow, file.metadata
        for column in COLUMNS:
            kind = schema.field(column).type if schema.names.count(column) == 1 else None
            if column == "edit_prompt":
                fits = kind is not None and (types.is_string(kind) or types.is_large_string(kind))
            else:
                fits = kind is not None and types.is_struct(kind) and kind.get_field_index("bytes") >= 0
                fits = fits and types.is_binary(kind.field("bytes").type)
            if not fits:
                wanted = "original_image and edited_image with their bytes, and the text edit_prompt"
                raise InputError(f"{path}: no column {column} as InstructPix2Pix has it; its files have {wanted}")
        for i in range(about.num_row_groups):
            if not 0 <= about.row_group(i).total_byte_size <= GROUP_BYTES:
                raise InputError(f"{path}: row group {i} has more than {GROUP_BYTES} bytes; write it in smaller ones")
        return about.num_rows


def read_rows(path: str | Path) -> Iterator[dict[str, Any]]:
    """The rows of a Parquet file one by one, so that no more than a part of a row group is held."""
    with opened(path) as file:
        for batch in file.iter_batches(batch_size=1, columns=list(COLUMNS)):
            yield from batch.to_pylist()


def triple_of(row: dict[str, Any], size: int, where: str) -> tuple[np.ndarray, str, np.ndarray]:
    """(image, instruction, edited image) of a row, the images uint8 [size, size, 3].

    Raises:
        InputError: there is no instruction or it is too long, or an image is missing, damaged, too large, or of another
            shape than the other one.
    """
    text = (row["edit_prompt"] or "").strip()
    if fault := WORDS.fault(text):
        raise InputError(f"{where}: edit_prompt {fault}")
    image, edited = (picture((row[c] or {}).get("bytes"), f"{where}: {c}") for c in ("original_image", "edited_image"))
    if image.size != edited.size:
        raise InputError(f"{where}: the images are {image.width}x{image.height} and {edited.width}x{edited.height}")
    return square(image, size), text, square(edited, size)


def picture(content: bytes | None, where: str):
    """An encoded image as Pillow's, RGB on white.

    Raises:
        InputError: it is missing, damaged or too large.
    """
    if not content or len(content) > PICTURE_BYTES:
        raise InputError(f"{where}: {'missing' if not content else f'{len(content)} bytes, too many for an image'}")
    with warnings.catch_warnings(action="ignore"):  # of broken EXIF
        try:
            return decoded(io.BytesIO(content), PIXELS).on_white()
        except Exception as error:  # no list holds all that Pillow raises on damaged images
            raise InputError(f"{where}: not a readable image ({one_line(error)})") from error
