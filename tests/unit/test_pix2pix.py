"""InstructPix2Pix' Parquet files, real ones: rows that can be used, rows that cannot, files that are none."""

import io

import numpy as np
import pyarrow
import pytest
from PIL import Image
from pyarrow import parquet

from src.config import InputError
from src.data import pix2pix
from src.data.pix2pix import write_rows
from src.data.triples import new_triples, read_triples
from tests.conftest import photo


def encoded(pixels, kind="JPEG"):
    f = io.BytesIO()
    Image.fromarray(pixels).save(f, format=kind)
    return f.getvalue()


def row(i=0, **changed):
    """A row as the data set has it."""
    image, edited = encoded(photo(40, 40, i)), encoded(photo(40, 40, i + 50), "PNG")
    whole = {
        "original_image": {"bytes": image, "path": None},
        "edit_prompt": f" make it number {i} ",
        "edited_image": {"bytes": edited, "path": "x.jpg"},
        "original_prompt": "a field",
    }
    return whole | changed


def write_parquet(path, rows, **options):
    parquet.write_table(pyarrow.Table.from_pylist(rows), path, **options)
    return path


def made(folder, *paths, size=16, limit=None):
    said, done = [], []
    with new_triples(folder, ["train"]) as writer:
        write_rows(writer, "train", paths, (size, limit), lambda *n: done.append(n), said.append)
    assert done[-1][0] == done[-1][1]
    return read_triples(folder / "train.jsonl"), [str(error) for error in said]


def test_rows_of_several_files(tmp_path):
    first = write_parquet(tmp_path / "a.parquet", [row(i) for i in range(5)], row_group_size=2)
    second = write_parquet(tmp_path / "b.parquet", [row(i) for i in (5, 6)])
    found, said = made(tmp_path / "out", first, second)
    assert [t.instruction for t in found] == [f"make it number {i}" for i in range(7)] and not said
    assert {(t.kind, t.phrasing) for t in found} == {("", "")}
    for i, triple in enumerate(found):
        expected = Image.fromarray(photo(40, 40, i + 50)).resize((16, 16), Image.Resampling.BICUBIC)
        assert np.array_equal(np.asarray(Image.open(triple.edited)), np.asarray(expected))
        assert Image.open(triple.image).size == (16, 16)


def test_limit(tmp_path):
    path = write_parquet(tmp_path / "a.parquet", [row(0, edit_prompt=None), *(row(i) for i in range(1, 5))])
    found, said = made(tmp_path / "out", path, path, limit=3)
    assert [t.instruction for t in found] == [f"make it number {i}" for i in (1, 2, 3)] and len(said) == 1


def test_rows_that_cannot_be_used(tmp_path, monkeypatch):
    monkeypatch.setattr(pix2pix, "PIXELS", 3000)
    bad = [
        ({"edit_prompt": None}, "row 0: edit_prompt is ''"),
        ({"edit_prompt": "x" * 257}, "expected a text of 1..256"),
        ({"edit_prompt": "a\0b"}, "row 2: edit_prompt"),
        ({"original_image": None}, "row 3: original_image: missing"),
        ({"edited_image": {"bytes": b"", "path": "x"}}, "row 4: edited_image: missing"),
        ({"edited_image": {"bytes": b"no picture", "path": None}}, "row 5: edited_image: not a readable image"),
        ({"original_image": {"bytes": encoded(photo())[:300], "path": None}}, "row 6: original_image: not a readable"),
        ({"original_image": {"bytes": encoded(photo(60, 60)), "path": None}}, "row 7: original_image: not a readable"),
        ({"original_image": {"bytes": encoded(photo(20, 40)), "path": None}}, "row 8: the images are 40x20 and 40x40"),
    ]
    rows = [row(i, **changed) for i, (changed, _) in enumerate(bad)]
    path = write_parquet(tmp_path / "a.parquet", [*rows, row(9)])
    found, said = made(tmp_path / "out", path)
    assert [t.instruction for t in found] == ["make it number 9"] and len(said) == len(bad)
    for line, (_, message) in zip(said, bad):
        assert line.startswith(f"{path}: ") and message in line and len(line.splitlines()) == 1, line
    monkeypatch.setattr(pix2pix, "PICTURE_BYTES", 100)
    with pytest.raises(InputError, match="nothing to write"):
        made(tmp_path / "none", path)
    assert not list((tmp_path / "none").iterdir())


def refused(path, message, folder):
    with pytest.raises(InputError) as caught:
        made(folder, path)
    line = str(caught.value)
    assert line.startswith(f"{path}: ") and message in line and len(line.splitlines()) == 1, line
    assert not list(folder.iterdir())


def test_files_that_are_none(tmp_path, monkeypatch):
    out = tmp_path / "out"
    refused(tmp_path / "none.parquet", "no such file", out)
    whole = write_parquet(tmp_path / "whole.parquet", [row(i) for i in range(3)]).read_bytes()
    for i, content in enumerate((b"", b"PAR1", b"PAR1" + b"\xff" * 100 + b"PAR1", whole[:-100], whole[100:])):
        (tmp_path / f"{i}.parquet").write_bytes(content)
        refused(tmp_path / f"{i}.parquet", "not a Parquet file", out)
    for name, rows in {
        "edit_prompt": [row(edit_prompt=7)],
        "original_image": [row(original_image=b"x")],
        "edited_image": [{n: v for n, v in row().items() if n != "edited_image"}],
    }.items():
        refused(write_parquet(tmp_path / f"{name}.parquet", rows), f"no column {name} as InstructPix2Pix has it", out)
    monkeypatch.setattr(pix2pix, "GROUP_BYTES", 100)
    refused(tmp_path / "whole.parquet", "row group 0 has more than 100 bytes", out)


def test_damaged_bytes_are_one_line_each(tmp_path):
    """Whatever byte is wrong: the triples are made, rows are left out, or a line says what is wrong with the file."""
    whole = write_parquet(tmp_path / "whole.parquet", [row(i) for i in range(2)]).read_bytes()
    rng, path = np.random.default_rng(0), tmp_path / "damaged.parquet"
    for i in range(60):
        content = bytearray(whole)
        last = len(whole) - 1
        for place in rng.integers(last - 2000 if i % 2 else 0, last, 4):
            content[place] = rng.integers(256)
        path.write_bytes(content)
        try:
            made(tmp_path / f"out-{i}", path)
        except InputError as error:
            assert len(str(error).splitlines()) == 1
