"""Transfers from a server that cuts, refuses and lies."""

import resource

import numpy as np
import pytest

from src.config import InputError
from src.weights import transfer
from src.weights.archives import inside
from src.weights.arrivals import File
from src.weights.fetching import fetch
from src.weights.transfer import Unavailable
from tests.server import serving

BODY = np.random.default_rng(0).integers(0, 256, 300_000, np.uint8).tobytes()


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(transfer, "PAUSES", [0.01] * 6)
    monkeypatch.setattr(transfer, "CHUNK", 10_000)


def names(folder):
    return sorted(p.name for p in folder.iterdir())


@pytest.mark.parametrize(
    "faults, requests",
    [
        ([], 1),
        (["cut"], 2),
        (["cut"] * 12, 13),  # each brings something new: as many as it takes
        ([503, 500, 429], 4),
        (["length"], 3),  # the rest that was announced is not there: once more from the start
        (["checksum"], 2),
        (["cut", 503, "cut", "checksum"], 4),
    ],
)
def test_arrives_whole_through_faults(faults, requests, tmp_path):
    with serving({"/a": BODY}, faults={"/a": list(faults)}) as server:
        fetch([File(f"{server.url}/a", tmp_path / "a")])
        assert server.requests["/a"] == requests
    assert (tmp_path / "a").read_bytes() == BODY
    assert names(tmp_path) == ["a"]


def test_what_has_arrived_is_not_fetched_twice(tmp_path):
    with serving({"/a": BODY}, faults={"/a": ["cut", "cut"]}) as server:
        fetch([File(f"{server.url}/a", tmp_path / "a")])
        assert server.bytes_sent == len(BODY)
        fetch([File(f"{server.url}/a", tmp_path / "a")])
        assert server.requests["/a"] == 3


def test_a_file_that_changed_between_two_tries_is_fetched_anew(tmp_path):
    with serving({"/a": BODY}, faults={"/a": ["cut", *[404]]}) as server:
        with pytest.raises(Unavailable):
            fetch([File(f"{server.url}/a", tmp_path / "a")])
        assert 0 < (tmp_path / "a.part").stat().st_size < len(BODY)
        server.content["/a"] = BODY[::-1]
        fetch([File(f"{server.url}/a", tmp_path / "a")])
    assert (tmp_path / "a").read_bytes() == BODY[::-1]


def test_a_part_that_is_already_whole_is_only_moved(tmp_path):
    with serving({"/a": BODY}, faults={"/a": ["cut", 404]}) as server:
        with pytest.raises(Unavailable):
            fetch([File(f"{server.url}/a", tmp_path / "a")])
        (tmp_path / "a.part").write_bytes(BODY)
        fetch([File(f"{server.url}/a", tmp_path / "a")])
        assert server.bytes_sent < len(BODY)
    assert (tmp_path / "a").read_bytes() == BODY


def test_the_hubs_checksum_is_that_of_the_redirect(tmp_path):
    content, redirects = {"/resolve": BODY, "/cdn": BODY}, {"/resolve": "/cdn"}
    with serving(content, redirects=redirects, without_md5={"/cdn"}, faults={"/resolve": ["checksum"]}) as server:
        fetch([File(f"{server.url}/resolve", tmp_path / "a")])
        assert server.requests["/cdn"] == 2
        server.content["/cdn"] = BODY[:-1] + b"x"
        with pytest.raises(InputError, match="sha256 checksum"):
            fetch([File(f"{server.url}/resolve", tmp_path / "b")])
    assert names(tmp_path) == ["a"]


def test_lasting_faults_are_one_line_and_leave_the_rest(tmp_path):
    with serving({"/a": BODY, "/b": BODY}, faults={"/b": ["checksum"] * 9}) as server:
        fetch([File(f"{server.url}/a", tmp_path / "a")])
        for path, message in (("/b", "md5 checksum"), ("/c", "404 Not Found")):
            with pytest.raises(InputError, match=message) as error:
                fetch([File(f"{server.url}{path}", tmp_path / path[1:])])
            assert server.url + path in str(error.value) and "\n" not in str(error.value)
    assert names(tmp_path) == ["a"]
    with pytest.raises(Unavailable, match="cannot connect"):
        fetch([File(f"{server.url}/a", tmp_path / "d")])


def test_a_full_disk_leaves_the_part(tmp_path):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    with serving({"/a": BODY}) as server:
        resource.setrlimit(resource.RLIMIT_FSIZE, (123_456, limits[1]))
        try:
            with pytest.raises(InputError, match=r"a\.part: cannot be written .*make room"):
                fetch([File(f"{server.url}/a", tmp_path / "a")])
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert (tmp_path / "a.part").stat().st_size == 123_456
        before = server.bytes_sent
        fetch([File(f"{server.url}/a", tmp_path / "a")])
        assert server.bytes_sent - before < len(BODY)
    assert (tmp_path / "a").read_bytes() == BODY


@pytest.mark.parametrize("name", ["../a", "/etc/a", "x/../../a", "."])
def test_no_name_leads_out_of_the_folder(name, tmp_path):
    with pytest.raises(InputError, match="leads out"):
        inside(tmp_path, name)
    assert inside(tmp_path, "x/a") == tmp_path.resolve() / "x" / "a"
