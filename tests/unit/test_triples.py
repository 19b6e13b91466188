"""Folders of triples: what is written is what is read, whole or not at all; lines of strangers are refused in one."""

import json
import tracemalloc

import numpy as np
import pytest
from PIL import Image

from src.config import InputError
from src.data import triples
from src.data.triples import LINE_BYTES, Triple, check_new, check_size, new_triples, read_triples
from tests.conftest import files, photo

GOOD = {"image": "images/0.png", "instruction": "make it darker", "edited": "images/1.png"}
LONG = b'{"image": "images/0.png", "instruction": "' + 10_000_000 * b"x" + b'", "edited": "images/1.png"}'


@pytest.fixture
def pictures(tmp_path):
    (tmp_path / "images").mkdir()
    for i in range(2):
        Image.fromarray(photo(8, 8, i)).save(tmp_path / "images" / f"{i}.png")
    return tmp_path


def fields(**changed):
    return json.dumps({name: value for name, value in (GOOD | changed).items() if value is not None}).encode()


def add_pair(writer, name="train"):
    image, edited = writer.picture(name, "0", photo(8, 8, 0)), writer.picture(name, "0-darker", photo(8, 8, 1))
    writer.add(name, Triple(image, "darker, please", edited, "darker", "seen"))
    writer.add(name, Triple(edited, "l\u00e9ger: brighter", image))


def test_what_is_written_is_read(tmp_path):
    with new_triples(tmp_path / "new", ["train", "test"]) as writer:
        add_pair(writer)
        assert writer.counts() == {"train": {"darker": 1, "": 1}}
    first, second = read_triples(tmp_path / "new" / "train.jsonl")
    assert (first.instruction, first.kind, first.phrasing) == ("darker, please", "darker", "seen")
    assert second == Triple(first.edited, "l\u00e9ger: brighter", first.image)
    assert np.array_equal(np.asarray(Image.open(first.edited)), photo(8, 8, 1))
    assert set(map(str, files(tmp_path / "new"))) == {
        "train.jsonl",
        "images/train/0.png",
        "images/train/0-darker.png",
    }
    line = (tmp_path / "new" / "train.jsonl").read_text(encoding="utf-8").splitlines()[0]
    assert list(json.loads(line)) == ["image", "instruction", "edited", "kind", "phrasing"]


def test_other_names_and_missing_notes_are_fine(pictures):
    (pictures / "a.jsonl").write_bytes(fields(url="x", kind="darker") + b"\r\n" + fields())
    first, second = read_triples(pictures / "a.jsonl")
    assert (first.kind, second.kind, second.phrasing) == ("darker", "", "")
    assert first.image == pictures / "images" / "0.png"


@pytest.mark.parametrize(
    "line, message",
    [
        (b"{", "not JSON"),
        (b"", "not JSON"),
        (b"[" * 10_000, "not JSON that can be used"),
        (b'{"image": "images/0.png", "image": "images/1.png"}', "stands twice"),
        (b"[]", "holds JSON of type list"),
        (b"\xff\xfe", "not JSON"),
        (b"\0" * 100, "not JSON"),
        (LONG, f"more than {LINE_BYTES} bytes"),
        *((fields(**{name: None}), f"{name} missing") for name in GOOD),
        *((fields(**{name: 7}), f"{name} is 7, expected") for name in (*GOOD, "kind", "phrasing")),
        (fields(instruction=""), "instruction is '', expected a text of 1..256"),
        (fields(instruction="  "), "instruction is"),
        (fields(instruction="x" * 257), "expected a text of 1..256"),
        (fields(instruction="a\0b"), "instruction is"),
        (fields(instruction="a\nb"), "instruction is"),
        (fields(instruction="\ud800"), "instruction is"),
        (fields(kind="x" * 65), "expected a text of 1..64"),
        (fields(phrasing="heard"), "'seen' or 'held out'"),
        (fields(image="../a.png"), "the path of a file below the folder"),
        (fields(image="images/../../a.png"), "the path of a file below the folder"),
        (fields(edited=".."), "the path of a file below the folder"),
        (fields(edited="/etc/passwd"), "the path of a file below the folder"),
        (fields(edited="C:\\a.png"), "the path of a file below the folder"),
        (fields(edited="images/\0.png"), "the path of a file below the folder"),
        (fields(edited=""), "the path of a file below the folder"),
        (fields(edited="images/2.png"), "edited names images/2.png, which is no file"),
        (fields(edited="x" * 400), "which is no file"),
        (fields(image="images"), "image names images, which is no file"),
    ],
)
def test_lines_that_are_none(line, message, pictures):
    path = pictures / "a.jsonl"
    path.write_bytes(fields() + b"\n" + line + b"\n" + fields())
    tracemalloc.start()
    with pytest.raises(InputError) as caught:
        read_triples(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    text = str(caught.value)
    assert text.startswith(f"{path}: line 2: ") and message in text and len(text.splitlines()) == 1, text
    assert peak < 4_000_000


def test_files_that_hold_none(pictures, monkeypatch):
    (pictures / "empty.jsonl").write_bytes(b"")
    with pytest.raises(InputError, match=r"empty.jsonl: there is no triple in it"):
        read_triples(pictures / "empty.jsonl")
    with pytest.raises(InputError, match=r"none.jsonl: no such file"):
        read_triples(pictures / "none.jsonl")
    with pytest.raises(InputError, match="cannot be read"):
        read_triples(pictures / "images")
    monkeypatch.setattr(triples, "LINES", 3)
    (pictures / "many.jsonl").write_bytes(4 * (fields() + b"\n"))
    with pytest.raises(InputError, match="more than 3 lines"):
        read_triples(pictures / "many.jsonl")
    (pictures / "many.jsonl").write_bytes(3 * (fields() + b"\n"))
    assert len(read_triples(pictures / "many.jsonl")) == 3


def test_an_error_leaves_nothing(tmp_path):
    for error in (KeyboardInterrupt, ValueError):
        with pytest.raises(error), new_triples(tmp_path, ["train"]) as writer:
            add_pair(writer)
            raise error
    with pytest.raises(InputError, match="nothing to write"), new_triples(tmp_path, ["train"]):
        pass
    assert not list(tmp_path.iterdir())


def test_a_move_that_fails_takes_the_others_back(pictures, monkeypatch):
    before, rename = files(pictures), triples.os.rename

    def failing(old, new):
        if new.name == "test.jsonl":
            raise OSError(28, "No space left on device")
        rename(old, new)

    monkeypatch.setattr(triples.os, "rename", failing)
    with pytest.raises(InputError, match="No space left"), new_triples(pictures, ["train", "test"]) as writer:
        add_pair(writer, "train")
        add_pair(writer, "test")
    assert files(pictures) == before and sorted(p.name for p in pictures.iterdir()) == ["images"]


def test_two_processes_do_not_make_the_same_triples(tmp_path):
    """The second one's clean-up once removed what the first had just finished."""
    with new_triples(tmp_path, ["train"]) as writer:
        add_pair(writer)
        with pytest.raises(InputError, match="another process is at work"), new_triples(tmp_path, ["train"]):
            raise AssertionError("work has begun")
        with new_triples(tmp_path, ["valid"]) as other:
            add_pair(other, "valid")
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["images", "train.jsonl", "valid.jsonl"]


def test_a_place_that_is_taken_meanwhile_keeps_what_is_there(tmp_path):
    with pytest.raises(InputError, match="not empty"), new_triples(tmp_path, ["train"]) as writer:
        add_pair(writer)
        (tmp_path / "images" / "train").mkdir()
        (tmp_path / "images" / "train" / "theirs.png").touch()
    assert [path.name for path in (tmp_path / "images" / "train").iterdir()] == ["theirs.png"]


def test_what_is_there_is_refused_before_any_work(tmp_path):
    with new_triples(tmp_path, ["train"]) as writer:
        add_pair(writer)
    before = files(tmp_path)
    check_new(tmp_path, ["valid"])
    with pytest.raises(InputError, match=r"train.jsonl: is there already"):
        check_new(tmp_path, ["valid", "train"])
    (tmp_path / "train.jsonl").rename(tmp_path / "other.jsonl")
    with pytest.raises(InputError, match=r"images/train: is there already"), new_triples(tmp_path, ["train"]):
        raise AssertionError("work has begun")
    (tmp_path / "other.jsonl").rename(tmp_path / "train.jsonl")
    assert files(tmp_path) == before
    for name in ("", "a/b", "..", ".hidden", "a b", "x" * 65, "\u00e9"):
        with pytest.raises(InputError, match="`name`"):
            check_new(tmp_path, [name])


def test_sizes():
    for size in (4, 128):
        check_size(size)
    for size, near in ((0, 4), (2, 4), (30, 28), (-8, 4)):
        with pytest.raises(InputError, match=f"`size` {size}: .*take {near}$"):
            check_size(size)
