"""Servers that lie, archives that are traps, files kept wrongly by an earlier run: one line, and nothing is taken."""

import contextlib
import gzip
import io
import itertools
import json
import random
import resource
import stat
import struct
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest

import download
from src.config import InputError
from src.weights import addresses, answers, archives, fetching, transfer
from src.weights.archives import unpack
from src.weights.arrivals import CHECKS, File
from src.weights.fetching import fetch
from src.weights.table import shard_sizes
from src.weights.transfer import Unavailable
from tests.conftest import DATA, files, run_here
from tests.server import lying, serving

HTML = b"<!DOCTYPE html><html><head><title>Please log in</title></head><body>...</body></html>"
BODY = np.random.default_rng(0).integers(0, 256, 300_000, np.uint8).tobytes()


def npy(array):
    f = io.BytesIO()
    np.save(f, array)
    return f.getvalue()


def safetensors(**arrays):
    header, body = {"__metadata__": {"format": "pt"}}, b""
    for name, array in arrays.items():
        offsets = [len(body), len(body) + array.nbytes]
        header[name] = {"dtype": "F32", "shape": list(array.shape), "data_offsets": offsets}
        body += array.tobytes()
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + body


def zipped(*members, **options):
    f = io.BytesIO()
    with zipfile.ZipFile(f, "w", **options) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return f.getvalue()


INDEX = (DATA / "ar_sharded" / "model.ckpt-1000000.index").read_bytes()
GOOD = {
    "a.npy": npy(np.ones([5, 3], np.float32)),
    "a.gz": gzip.compress(b"some bytes"),
    "a.tgz": gzip.compress(b"other bytes"),
    "a.zip": zipped(("d/1.png", b"x" * 500), ("d/2.png", b"y" * 700)),
    "a.index": INDEX,
    "a.meta": b"\x0a\x1ba graph that nobody reads..",
    "a.safetensors": safetensors(x=np.ones([3, 4], np.float32), y=np.ones(2, np.float32)),
    "a.json": b'{"model_type": "imagegpt"}',
}
WRONG = {
    "empty": lambda good: b"",
    "a page": lambda good: HTML,
    "a page behind an empty line": lambda good: b"\n" + HTML * 3,
    "packed": lambda good: gzip.compress(good)[4:],
    "a list": lambda good: b"[1, 2]",
    "null": lambda good: b"null",
    "nested": lambda good: b"[" * 100_000,
    "cut": lambda good: good[: len(good) * 2 // 3],
    "cut at the end": lambda good: good[:-1],
    "its beginning is missing": lambda good: good[5:],
    "zeros": lambda good: bytes(len(good)),
}


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(transfer, "PAUSES", [0.001] * 6)
    monkeypatch.setattr(fetching, "WATCH", 0.02)
    monkeypatch.setattr(addresses, "PINS", {})


def refused(file, kind=InputError, match=None, left=()):
    """Assert that a file is not fetched, with one line that names it, and what is left in its folder."""
    with pytest.raises(kind, match=match) as error:
        fetch([file])
    assert file.url in str(error.value) and "\n" not in str(error.value) and len(str(error.value)) < 1000
    assert sorted(files(file.path.parent)) == [Path(name) for name in left]


@pytest.fixture(scope="module")
def server():
    content = {f"/{name}": good for name, good in GOOD.items()}
    content |= {f"/{wrong}/{name}".replace(" ", "_"): WRONG[wrong](GOOD[name]) for name in GOOD for wrong in WRONG}
    with serving(content) as server:
        yield server


@pytest.mark.parametrize("name", GOOD)
def test_what_is_asked_for_arrives(name, server, tmp_path):
    fetch([File(f"{server.url}/{name}", tmp_path / name)])
    assert files(tmp_path) == {Path(name): GOOD[name]}


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("name", GOOD)
def test_another_file_than_asked_for_is_not_kept(name, wrong, server, tmp_path):
    file = File(f"{server.url}/{wrong}/{name}".replace(" ", "_"), tmp_path / name)
    if name in ("a.gz", "a.tgz") and wrong.startswith("cut"):  # only a pin or a size tells: those fetched have one
        file = File(file.url, file.path, pin="0" * 64)
    refused(file)


@pytest.mark.parametrize("name", GOOD)
def test_one_that_was_kept_wrongly_is_fetched_again(name, server, tmp_path):
    file = File(f"{server.url}/{name}", tmp_path / name)
    file.path.write_bytes(HTML)
    bad = File(f"{server.url}/a_page/{name}", tmp_path / name)
    refused(bad, left=[name])
    fetch([file])
    assert files(tmp_path) == {Path(name): GOOD[name]}


@pytest.mark.parametrize("ending", CHECKS)
def test_damaged_files_are_recognised_or_taken_but_raise_nothing_else(ending, tmp_path):
    good, chance, path = GOOD[f"a{ending}"], random.Random(0), tmp_path / f"a{ending}"
    file = File("http://x", path)
    for _ in range(300):
        bad = bytearray(good)
        for _ in range(chance.randrange(1, 4)):
            bad[chance.randrange(len(bad))] = chance.randrange(256)
        path.write_bytes(bad[: chance.choice([len(bad), chance.randrange(1, len(bad))])])
        with contextlib.suppress(InputError):
            file.verify(path)


def test_the_index_knows_how_long_each_shard_is():
    prefix = DATA / "ar_sharded" / "model.ckpt-1000000"
    sizes = shard_sizes(f"{prefix}.index")
    data = sorted(prefix.parent.glob(f"{prefix.name}.data-*"))
    assert sizes == [p.stat().st_size for p in data] and len(sizes) > 1


def reply(body=b"x" * 100, status="200 OK", **headers):
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {status}\r\n{lines}\r\n".encode("latin-1") + body


LIES = {  # of a file of unknown kind: nothing but the headers tells
    "a negative length": (reply(Content_Length=-5), "length of '-5'"),
    "a length in words": (reply(Content_Length="many"), "length of 'many'"),
    "a length in superscript": (reply(Content_Length="\xb2"), "length of"),
    "a length of many digits": (reply(Content_Length="9" * 5000), "length of"),
    "a fraction": (reply(Content_Length="1.5"), "length of"),
    "two lengths": (reply(Content_Length="100, 90"), "contradict each other"),
    "no length": (reply(), "does not say how long"),
    "too short": (reply(Content_Length=200), "100 bytes, 200|breaks again"),
    "more room than there is": (reply(Content_Length=10**13), "10000000000000 bytes are announced, .* are free"),
    "nothing": (reply(b"", Content_Length=0), "empty"),
    "gzip": (reply(gzip.compress(b"x"), Content_Encoding="gzip", Content_Length=21), "coded as 'gzip'"),
    "br": (reply(Content_Encoding="br", Content_Length=100), "coded as 'br'"),
    "MD5 in no alphabet": (reply(Content_MD5="\xe4\xf6", Content_Length=100), "Content-MD5"),
    "MD5 of three bytes": (reply(Content_MD5="abcd", Content_Length=100), "Content-MD5"),
    "MD5 in words": (reply(Content_MD5="none given", Content_Length=100), "Content-MD5"),
    "MD5 padded wrongly": (reply(Content_MD5="abcde", Content_Length=100), "Content-MD5"),
    "another MD5": (reply(Content_MD5="AAAAAAAAAAAAAAAAAAAAAA==", Content_Length=100), "md5 checksum"),
    "no HTTP": (b"SSH-2.0-OpenSSH_9.6\r\n", "breaks again|cannot connect"),
    "nothing at all": (b"", "breaks again|cannot connect"),
    "a thousand headers": (reply(**{f"X{i}": i for i in range(1000)}), "breaks again|cannot connect"),
    "a header of a megabyte": (reply(X="x" * (1 << 20)), "breaks again|cannot connect"),
    "a rest that nobody asked for": (reply(status="206 Partial", Content_Range="bytes 0-99/100"), "another range"),
    "a range without end": (reply(status="416 Range", Content_Length=0), "part does not fit"),
    "no content": (reply(b"", status="204 No Content"), "204"),
    "chunks that are cut": (reply(b"64\r\nabc", Transfer_Encoding="chunked"), "breaks again"),
    "chunks of negative size": (reply(b"-5\r\nabc", Transfer_Encoding="chunked"), "breaks again"),
    "chunks of no size": (reply(b"size\r\nabc", Transfer_Encoding="chunked"), "breaks again"),
    "a circle": (reply(b"", status="302 Found", Location="/", Content_Length=0), "redirects in a circle"),
    "another protocol": (reply(b"", status="302 Found", Location="file:///etc/passwd"), "redirects to 'file:///etc"),
    "no address": (reply(b"", status="302 Found", Location="http://["), r"redirects to 'http://\['"),
    "no port": (reply(b"", status="301 Moved", Location="http://x:99999999/"), "redirects to"),
    "nowhere": (reply(b"", status="302 Found", Content_Length=0), "302"),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_lie_is_one_line(lie, tmp_path):
    answer, message = LIES[lie]
    with lying(lambda path, headers: [answer]) as server:
        file = File(f"{server.url}/", tmp_path / "a")
        with pytest.raises(InputError, match=message) as error:
            fetch([file])
    assert server.url in str(error.value) and len(str(error.value).splitlines()) == 1
    assert not file.path.exists()


def test_a_redirects_body_is_not_read(tmp_path):
    def answer(path, headers):
        if path == "/a":
            return [reply(BODY, Content_Length=len(BODY))]
        return itertools.chain([reply(b"", status="302 Found", Location="/a")], itertools.repeat(bytes(1 << 16)))

    with lying(answer) as server:
        fetch([File(f"{server.url}/", tmp_path / "a")])
    assert files(tmp_path) == {Path("a"): BODY}


def trickle(*start, piece=b"x"):
    """Pieces of one byte, fifty a second, without end."""
    yield from start
    while True:
        time.sleep(0.02)
        yield piece


def silence():
    time.sleep(5)
    yield b""


STALLS = {
    "one byte at a time": lambda: trickle(reply(b"", Content_Length=10**6)),
    "one byte at a time in chunks": lambda: trickle(reply(b"", Transfer_Encoding="chunked"), piece=b"1\r\nx\r\n"),
    "headers without end": lambda: trickle(b"HTTP/1.1 200 OK\r\nX: "),
    "no answer yet, for ever": lambda: trickle(piece=b"HTTP/1.1 100 Continue\r\n\r\n"),
    "chunks' trailer without end": lambda: trickle(reply(b"0\r\n", Transfer_Encoding="chunked"), piece=b"X: y\r\n"),
    "silence": silence,
}


@pytest.mark.parametrize("stall", STALLS)
def test_no_progress_is_an_error(stall, tmp_path, monkeypatch):
    monkeypatch.setattr(answers, "STALL", 0.3)
    with lying(lambda path, headers: STALLS[stall]()) as server:
        start = time.monotonic()
        with pytest.raises(Unavailable, match=r"no progress for 0\.3 s"):
            fetch([File(f"{server.url}/", tmp_path / "a")])
        assert time.monotonic() - start < 2.5
    assert not (tmp_path / "a").exists()


def test_slow_is_no_error_while_there_is_progress(tmp_path, monkeypatch):
    monkeypatch.setattr(answers, "STALL", 0.3)
    with serving({"/a": BODY * 2}, piece=40_000, delay=0.05) as server:
        fetch([File(f"{server.url}/a", tmp_path / "a")])
    assert (tmp_path / "a").read_bytes() == BODY * 2


OTHER = BODY[::-1]
SECOND = {  # what a server that ignores If-Range says of the rest of another version
    "another ETag": {"ETag": '"2"'},
    "no ETag": {},
    "a weak ETag": {"ETag": 'W/"1"'},
    "a date": {"Last_Modified": "Mon, 01 Jan 2024 00:00:00 GMT"},
    "another total": {"ETag": '"1"', "total": len(BODY) + 1},
    "another place": {"ETag": '"1"', "shift": 1},
    "coded": {"ETag": '"1"', "Content_Encoding": "gzip"},
}


@pytest.mark.parametrize("second", SECOND)
def test_two_versions_are_not_spliced(second, tmp_path):
    said, asked = dict(SECOND[second]), []

    def answer(path, headers):
        asked.append(headers)
        if len(asked) == 1:
            return [reply(BODY[:200_000], Content_Length=len(BODY), ETag='"1"')]
        if "Range" not in headers:
            return [reply(OTHER, Content_Length=len(OTHER), ETag='"2"')]
        have = int(headers["Range"][len("bytes=") : -1]) + said.pop("shift", 0)
        span = f"bytes {have}-{len(OTHER) - 1}/{said.pop('total', len(OTHER))}"
        rest = OTHER[have:]
        return [reply(rest, status="206 Partial Content", Content_Range=span, Content_Length=len(rest), **said)]

    with lying(answer) as server:
        if second == "coded":
            return refused(File(f"{server.url}/", tmp_path / "a"), match="coded", left=["a.part", "a.part.json"])
        fetch([File(f"{server.url}/", tmp_path / "a")])
    assert files(tmp_path) == {Path("a"): OTHER}
    assert any("Range" in headers for headers in asked)


FACTS = ["", "{", "null", "[]", "7", "[" * 10**5, '{"version": 5}', '{"version": "\\n"}']
FACTS += ['{"version": "x", "size": "y"}', '{"version": "x", "size": true}', '{"version": "x", "sha256": "z"}']
FACTS += ['{"version": "\\u20ac"}', "\xff"]


@pytest.mark.parametrize("facts", FACTS)
def test_damaged_facts_of_a_part_are_forgotten(facts, server, tmp_path):
    (tmp_path / "a.npy.part").write_bytes(b"old")
    (tmp_path / "a.npy.part.json").write_bytes(facts.encode("latin-1"))
    fetch([File(f"{server.url}/a.npy", tmp_path / "a.npy")])
    assert files(tmp_path) == {Path("a.npy"): GOOD["a.npy"]}


def test_a_pin_counts_more_than_the_server(server, tmp_path):
    pin = "d7a8fbb307d7809469ca9abcb0082e4f8d5651e46d3cdb762d02d0bf37c9e592"
    for pinned in (pin, pin[:32]):
        refused(File(f"{server.url}/a.gz", tmp_path / "a.gz", pin=pinned), match=f"the published one is {pinned}")


def test_pins_are_of_what_is_fetched():
    """The fixture has emptied the table for this file alone, so it is read anew."""
    text = Path(addresses.__file__).read_text()
    for dataset, names in addresses.FILES.items():
        pins = {"div2k": 1, "inception": 0}.get(dataset, 2)  # of the last only the size is known
        assert all(text.count(f'"{name}": "') == pins for name in names)


@pytest.mark.parametrize(
    "address",
    ["nonsense", "ftp://x", "http://", "http://[", "http://x:port", "http://x:99999", "http://a..b", "http://a b", "",
     "//x", "http://x?y", "http://" + "x" * 70, "http://x\n", "file:///etc"],
)  # fmt: skip
def test_an_address_that_is_none(address, tmp_path, capsys):
    code, stderr = run_here(download.main, ["--clusters", "--download_dir", tmp_path, "--base_url", address], capsys)
    assert code == 1 and "--base_url" in stderr and "not the address of a folder" in stderr
    assert len(stderr.splitlines()) == 1 and not files(tmp_path)


def one_line(stderr):
    return [line for line in stderr.replace("\r", "\n").splitlines() if line and not line.startswith("download: ")]


@pytest.mark.parametrize(
    "wanted",
    ["--model s", "--model s --source release", "--model s --source hub", "--model m --bert", "--clusters",
     "--dataset cifar10", "--dataset mnist", "--dataset fashion_mnist", "--dataset div2k"],
)  # fmt: skip
@pytest.mark.parametrize("body", [HTML, b"", b"null"])
def test_a_server_that_says_the_same_to_everything(body, wanted, tmp_path, capsys):
    with lying(lambda path, headers: [reply(body, Content_Length=len(body), Content_Type="text/html")]) as server:
        flags = [*wanted.split(), "--download_dir", tmp_path, "--base_url", server.url]
        code, stderr = run_here(download.main, flags, capsys)
    assert code == 1 and len(one_line(stderr)) == 1 and server.url in one_line(stderr)[0]
    assert not files(tmp_path)


def flagged(archive, offset, value, central=28):
    """An archive whose members' flags (6) or method (8) are others, in both places that say them."""
    data = bytearray(archive)
    for mark, shift in ((b"PK\3\4", 0), (b"PK\1\2", 2)):
        at = data.find(mark)
        while at >= 0:
            struct.pack_into("<H", data, at + offset + shift, value)
            at = data.find(mark, at + 4)
    return bytes(data)


def member(name, kind):
    info = zipfile.ZipInfo(name)
    info.external_attr = kind << 16
    return info


def announced(archive, size):
    """An archive whose list says another unfolded size of its first member."""
    data = bytearray(archive)
    struct.pack_into("<I", data, data.find(b"PK\1\2") + 24, size)
    return bytes(data)


ZIP, PACKED = GOOD["a.zip"], {"compression": zipfile.ZIP_DEFLATED}
FOLDED = zipped(("d/1", b"abc" * 5000), **PACKED)
TRAPS = {
    "encrypted": (flagged(ZIP, 6, 1), "is encrypted"),
    "an unknown method": (flagged(ZIP, 8, 97), "method 97"),
    "a method not read here": (zipped(("d/1", b"x"), compression=zipfile.ZIP_LZMA), "method 14"),
    "a bomb": (zipped(("d/1", bytes(100 << 20)), **PACKED), "unfold to"),
    "a bomb in its list": (announced(ZIP, 4_000_000_000), "unfold to"),
    "more than announced": (announced(FOLDED, 14_000), "damaged archive"),
    "less than announced": (announced(FOLDED, 16_000), "damaged archive"),
    "a link": (zipped((member("d/1", stat.S_IFLNK | 0o777), "/etc/passwd")), "neither a file nor"),
    "a device": (zipped((member("d/1", stat.S_IFBLK | 0o777), "x")), "neither a file nor"),
    "an absolute path": (zipped(("/tmp/evil", b"x")), "leads out"),
    "a path upwards": (zipped(("d/../../evil", b"x")), "leads out"),
    "the folder itself": (zipped(("d/..", b"x")), "leads out"),
    "a long name": (zipped(("d/" + "x" * 5000, b"x")), "damaged|leads out|cannot be unpacked"),
    "twice": (zipped(("d/1", b"x"), ("d/./1", b"y")), "comes twice"),
    "a file in a file": (zipped(("d", b"x"), ("d/1", b"y")), "is a file"),
    "the archive itself": (zipped(("a.zip", b"x")), "replace the archive"),
    "a damaged member": (ZIP.replace(b"x" * 500, b"x" * 499 + b"z"), "damaged archive"),
    "a damaged stream": (FOLDED[:60] + b"\xff\xff\xff" + FOLDED[63:], "damaged archive"),
    "cut": (ZIP[:-30], "damaged archive"),
    "no archive": (HTML, "damaged archive"),
    "a list that is not there": (ZIP[:-6] + b"\xff\xff\xff\x7f" + ZIP[-2:], "damaged archive"),
}


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("trap", TRAPS)
def test_an_archive_that_is_a_trap_is_not_unpacked(trap, tmp_path):
    content, message = TRAPS[trap]
    path = tmp_path / "in" / "a.zip"
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(InputError, match=message) as error:
        unpack(path)
    assert str(path.parent) in str(error.value) and "\n" not in str(error.value)
    assert files(tmp_path) == {Path("in/a.zip"): content}


def test_damaged_archives_are_unpacked_whole_or_not_at_all(tmp_path):
    chance, path, whole = random.Random(0), tmp_path / "a.zip", {}
    for i in range(200):
        folder = tmp_path / str(i)
        folder.mkdir()
        path, bad = folder / "a.zip", bytearray(FOLDED if i % 2 else ZIP)
        for _ in range(chance.randrange(1, 4)):
            bad[chance.randrange(len(bad))] ^= 1 << chance.randrange(8)
        path.write_bytes(bad)
        try:
            unpack(path)
            whole[i] = True
        except InputError:
            assert set(files(folder)) == {Path("a.zip")}
        assert not list(folder.glob(".part*"))
    assert len(whole) < 150


def test_unpacked_again_only_what_is_missing(tmp_path):
    path = tmp_path / "a.zip"
    path.write_bytes(ZIP)
    unpack(path)
    whole = files(tmp_path)
    before = (tmp_path / "d" / "1.png").stat().st_mtime_ns
    unpack(path)
    assert (tmp_path / "d" / "1.png").stat().st_mtime_ns == before
    (tmp_path / "d" / "1.png").write_bytes(b"cut")
    (tmp_path / "d" / "mine.png").write_bytes(b"mine")
    unpack(path)
    assert files(tmp_path) == whole | {Path("d/mine.png"): b"mine"}


def test_a_full_disk_while_unpacking_leaves_the_archive(tmp_path):
    path, limits = tmp_path / "a.zip", resource.getrlimit(resource.RLIMIT_FSIZE)
    path.write_bytes(FOLDED)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limits[1]))
    try:
        with pytest.raises(InputError, match=r"a\.zip: cannot be unpacked \(File too large\); make room"):
            unpack(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert files(tmp_path) == {Path("a.zip"): FOLDED}


def test_no_archive_that_needs_more_than_the_disk_has(tmp_path, monkeypatch):
    usage = archives.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(archives.shutil, "disk_usage", lambda path: usage._replace(free=1000))
    (tmp_path / "a.zip").write_bytes(ZIP)
    with pytest.raises(InputError, match=r"a\.zip: unfolds to 1200 bytes, and 1000 are free"):
        unpack(tmp_path / "a.zip")
