"""Files are written whole, or together, or not at all."""

import os
import time

import pytest

from src import files
from src.config import InputError
from tests.conftest import files as contents


def test_an_error_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt), files.whole(path) as part:
        part.write_text("new")
        raise KeyboardInterrupt
    assert contents(tmp_path) == {path.relative_to(tmp_path): b"old"}


def test_a_file_is_on_the_disk_before_it_has_its_name_and_its_name_before_we_go_on(tmp_path, monkeypatch):
    done, fsync, replace = [], os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda n: (done.append(os.readlink(f"/proc/self/fd/{n}")), fsync(n)))
    monkeypatch.setattr(os, "replace", lambda a, b: (done.append(str(b)), replace(a, b)))
    files.write_json(tmp_path / "a.json", {})
    part, name, folder = done
    assert part.startswith(f"{tmp_path}/.part-") and (name, folder) == (str(tmp_path / "a.json"), str(tmp_path))
    done.clear()
    with files.whole(tmp_path / "b.png", durable=False) as part:
        part.touch()
    assert done == [str(tmp_path / "b.png")]


def test_two_processes_do_not_write_to_one_file(tmp_path, monkeypatch):
    with files.whole(tmp_path / "a.txt") as mine:
        monkeypatch.setattr(os, "getpid", lambda: 1)
        with files.whole(tmp_path / "a.txt") as other:
            assert mine != other and mine.suffix == other.suffix == ".txt"
            other.write_text("other")
        mine.write_text("mine")
    assert (tmp_path / "a.txt").read_text() == "mine"


def test_what_a_killed_process_left_long_ago_goes(tmp_path):
    old, new, else_ = (tmp_path / f".part-{name}" for name in ("1-a[1].txt", "2-a[1].txt", "1-b.txt"))
    for path in (old, new, else_):
        path.touch()
    for durable in (True, False):
        os.utime(old, (time.time() - 2 * files.DAY,) * 2)
        with files.whole(tmp_path / "a[1].txt", durable=durable) as part:
            part.touch()
        assert (old.exists(), new.exists(), else_.exists()) == (False, True, True)
        old.touch()


def test_files_that_belong_together_are_replaced_together(tmp_path):
    a, b, c = (tmp_path / name for name in "abc")
    for path in (a, b):
        path.write_text("old")
    with pytest.raises(InputError), files.together([a, b]) as part:
        part(a).write_text("new")
        part(c).write_text("new")
        raise InputError("a bad image")
    assert contents(tmp_path) == {p.relative_to(tmp_path): b"old" for p in (a, b)}
    with files.together([a, b]) as part:
        part(a).write_text("new")
        part(c).write_text("new")
        assert a.read_text() == "old" and not c.exists()
    assert contents(tmp_path) == {p.relative_to(tmp_path): b"new" for p in (a, c)}


def test_json_files(tmp_path):
    files.write_json(tmp_path / "a.json", {"é": [1, None]})
    assert files.read_json(tmp_path / "a.json") == {"é": [1, None]}
    files.write_json(tmp_path / "a.json", {"a": [float("inf"), {"b": float("nan")}], "c": (1, 2.5)})
    assert files.read_json(tmp_path / "a.json") == {"a": [None, {"b": None}], "c": [1, 2.5]}
    (tmp_path / "b.json").write_text("{")
    for name, message in (("b.json", "not JSON"), ("c.json", "no such file")):
        with pytest.raises(InputError, match=f"{name}: {message}"):
            files.read_json(tmp_path / name)


def test_names_of_which_no_two_are_the_same():
    assert files.unique(["a", "b", "a", "a-2", "a", "b"]) == ["a", "b", "a-3", "a-2", "a-4", "b-2"]
    assert len(set(files.unique(["x"] * 1000))) == 1000
