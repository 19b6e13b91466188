"""What reaches the page's server from outside: hostile pictures, paths, hosts, origins, bodies; the server lives on."""

import base64
import io
import os
import re
import signal
import socket
import subprocess
import sys
import time
import types
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import app
from src.page import server as serving
from src.page import turns
from src.page.models import Models
from src.page.server import PageOptions
from tests.conftest import ROOT, photo, run_command, run_here
from tests.fuzz.fuzz_data import encoded
from tests.page.conftest import ask, request, served
from tests.unit.test_doors_images import png
from tests.unit.test_doors_limits import scans, tiff, tiles

DRAW = {"model": "small", "n_samples": 1, "seed": 0, "temperature": 1.0}


def image(mode="RGB", size=(40, 30), kind="png", **options):
    return encoded(Image.new(mode, size, 90 if mode in ("L", "I;16") else None), kind, options)


def written(write):
    """What a function writes to a file."""
    return lambda path: write(path) or path.read_bytes()


PICTURES = {  # bytes, or what makes them at a path; a part of the sentence, or None where it is taken
    "empty": (b"", "the file is empty; choose a picture"),
    "truncated": (image(size=(400, 300))[:200], "not a readable image"),
    "a bomb": (png(1 << 15, 1 << 15, 6), "pixels"),
    "100 megapixels": (png(10_000, 10_000, 2), "10000x10000 pixels"),
    "1x10000000": (png(1 << 27, 1), "pixels"),
    "an SVG with a script": (b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>", "none of the"),
    "a page": (b"<!doctype html><script>alert(1)</script>", "none of the formats"),
    "a PDF": (b"%PDF-1.7\n1 0 obj", "none of the formats"),
    "PostScript": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "none of the formats"),
    "a TIFF of terabytes": (tiff([(i, 7, 4 << 20, 8) for i in range(1000, 9000)], bytes(5 << 20)), "not a readable"),
    "a tile of a gigabyte": (tiles(1 << 15), "tile"),
    "a JPEG of many scans": (written(scans(100)), "scans"),
    "a zip": (b"PK\x03\x04" + bytes(100), "none of the formats"),
    "one pixel": (image(size=(1, 1)), None),
    "1x10000": (image(size=(1, 10_000)), None),
    "16 bits": (encoded(Image.fromarray(np.full([30, 40], 40_000, np.uint16)), "png", {}), None),
    "four inks": (image("CMYK", kind="jpeg"), None),
    "transparent": (image("RGBA"), None),
    "a palette": (image("P"), None),
    "animated": (image(kind="gif", save_all=True, append_images=[Image.new("RGB", (40, 30), "red")]), None),
}


@pytest.mark.parametrize("content, why", PICTURES.values(), ids=PICTURES)
def test_pictures_of_every_kind(server, tmp_path, content, why):
    body = content(tmp_path / "made") if callable(content) else content
    for kind, options in {"open": {}, "complete": DRAW | {"keep_rows": 4}}.items():
        *steps, last = ask(server, kind, options, body)
        if why is None:
            assert last == {"end": True} and steps
        else:
            assert why in last["error"] and last["error"].isprintable() and "/" not in last["error"].split("(")[0]
    assert ask(server, "draw", DRAW)[-1] == {"end": True}
    assert not os.listdir(server.folder.name)


REFUSED = {  # method, path, headers, status
    "outside": ("GET", "/../server.py", {}, 404),
    "outside, encoded": ("GET", "/%2e%2e/server.py", {}, 404),
    "a file of the system": ("GET", "//etc/passwd", {}, 404),
    "a drive": ("GET", "/C:/Windows/win.ini", {}, 404),
    "a null character": ("GET", "/page.css%00.png", {}, 404),
    "a folder": ("GET", "/examples/", {}, 404),
    "posted elsewhere": ("POST", "/page.css", {}, 404),
    "another method": ("PUT", "/", {}, 501),
    "another host": ("GET", "/", {"Host": "evil.example"}, 403),
    "a host that begins like ours": ("GET", "/", {"Host": "127.0.0.1.evil.example"}, 403),
    "a broken host": ("GET", "/", {"Host": "[::1"}, 403),
    "a host that is no address": ("GET", "/", {"Host": "[abc]"}, 403),
    "brackets inside": ("GET", "/", {"Host": "a[b]c"}, 403),
    "an origin that is none": ("POST", "/do/models", {"Origin": "http://["}, 403),
    "another origin": ("POST", "/do/models", {"Origin": "http://evil.example"}, 403),
    "no origin to name": ("POST", "/do/models", {"Origin": "null"}, 403),
    "another port's origin": ("POST", "/do/models", {"Origin": "http://127.0.0.1:1"}, 403),
    "no length": ("POST", "/do/models", {"Content-Length": ""}, 411),
    "a negative length": ("POST", "/do/models", {"Content-Length": "-1"}, 411),
    "a length of other digits": ("POST", "/do/models", {"Content-Length": "\u00b2"}, 411),
    "an oversized body": ("POST", "/do/open", {"Content-Length": str(serving.BYTES + 1)}, 413),
    "an oversized body behind zeros": (
        "POST",
        "/do/open",
        {"Content-Length": 12 * "0" + "99999999"},
        413,
    ),
    "an endless body": ("POST", "/do/open", {"Content-Length": "9" * 400}, 413),
    "a long address": ("GET", "/" + "a" * 70_000, {}, 414),
    "many headers": ("GET", "/", {f"X-{i}": "1" for i in range(200)}, 431),
}


@pytest.mark.parametrize("method, path, headers, status", REFUSED.values(), ids=REFUSED)
def test_requests_that_are_refused(server, method, path, headers, status):
    answered, content, _ = request(server, method, path, headers=headers)
    assert answered == status and (status in (414, 431, 501) or content.count(b"\n") == 1)
    assert request(server, "GET", "/")[0] == 200


def test_an_address_that_is_none(server):
    with socket.create_connection(("127.0.0.1", server.server_address[1])) as connection:
        connection.sendall(b"POST http://[/do/models HTTP/1.0\r\nHost: 127.0.0.1\r\nContent-Length: 0\r\n\r\n")
        assert b" 404 " in connection.recv(100)


def test_only_the_pages_own_files_are_there(server):
    for path, (kind, content) in server.pages.items():
        status, body, headers = request(server, "GET", path)
        assert (status, body) == (200, content) and headers["Content-Type"].startswith(kind)
        assert (
            "default-src 'none'" in headers["Content-Security-Policy"]
            and headers["X-Content-Type-Options"] == "nosniff"
        )
    assert "/index.html" in server.pages and "/examples/flower.jpg" in server.pages
    addresses = re.findall(
        rb"https?://[^\s\"']+", b"".join(content for kind, content in server.pages.values() if "text" in kind)
    )
    assert not addresses


def test_a_password(downloads):
    good = base64.b64encode(b"ann:a:secret").decode()
    bad = ["", "Basic", "Basic ****", f"Bearer {good}", f"Basic {base64.b64encode(b'ann:a').decode()}"]
    with served(Models(downloads), auth="ann:a:secret") as server:
        for header in bad:
            for method, path in (("GET", "/"), ("POST", "/do/models")):
                status, _, headers = request(server, method, path, headers={"Authorization": header})
                assert status == 401 and headers["WWW-Authenticate"].startswith("Basic")
        assert request(server, "GET", "/", headers={"Authorization": f"Basic {good}"})[0] == 200


def test_other_machines_may_be_let_in(downloads):
    with served(Models(downloads), host="0.0.0.0") as server:
        assert server.options.open_to_all
        assert request(server, "GET", "/", headers={"Host": "studio.example"})[0] == 200
        assert request(server, "POST", "/do/models", headers={"Origin": "http://evil.example"})[0] == 403


def begun(server, kind="draw"):
    """A connection on which a drawing has been asked for."""
    connection = socket.create_connection(("127.0.0.1", server.server_address[1]), timeout=20)
    said = '{"model":"small","n_samples":1,"seed":0,"temperature":1}'.replace('"', "%22")
    connection.sendall(
        f"POST /do/{kind}?options={said} HTTP/1.0\r\nHost: 127.0.0.1\r\nContent-Length: 0\r\n\r\n".encode()
    )
    return connection


def read_until(connection, text):
    content = b""
    while text not in content:
        piece = connection.recv(1 << 16)
        assert piece, content
        content += piece
    return content


def queue(server, pace, length, rows):
    """Connections of visitors one behind the other, of whom the first sees so many rows."""
    pace.let(rows)
    visitors = []
    for place in range(length):
        visitors.append(begun(server))
        read_until(visitors[-1], b'"place": %d' % place if place else b'"drawn": %d' % (8 * rows))
    return visitors


def test_who_leaves_frees_the_sampler_within_a_row(server, pace):
    first, second = queue(server, pace, 2, rows=2)
    first.close()
    pace.let(1)
    assert pace.closed.wait(20), "rows were drawn for nobody"
    pace.let(8)
    read_until(second, b'"end": true')
    second.close()


def test_who_leaves_the_queue_is_not_waited_for(server, pace):
    first, second, third = queue(server, pace, 3, rows=1)
    second.close()
    time.sleep(0.5)
    assert len(server.desk.work.tickets) == 2
    pace.let(16)
    read_until(third, b'"end": true')
    for connection in (first, third):
        connection.close()


def test_more_connections_than_there_may_be_are_closed(downloads, monkeypatch):
    monkeypatch.setattr(serving, "CONNECTIONS", 2)
    with served(Models(downloads)) as server:
        silent = [socket.create_connection(("127.0.0.1", server.server_address[1])) for _ in range(2)]
        time.sleep(0.3)
        with pytest.raises(OSError):
            request(server, "GET", "/")
        for connection in silent:
            connection.close()
        time.sleep(0.3)
        assert request(server, "GET", "/")[0] == 200


def test_more_may_wait_than_the_queue_holds_without_shutting_others_out():
    assert serving.CONNECTIONS > 2 * turns.MOST


def test_uploads_are_kept_after_somebody_has_tidied_up_and_a_full_disk_is_said(server, picture, monkeypatch):
    """Every request was once left without an answer, and nobody told why."""
    content, reports = picture.read_bytes(), []
    os.rmdir(server.folder.name)
    assert "picture" in ask(server, "open", {}, content)[0]
    monkeypatch.setattr(server, "report", reports.append)
    monkeypatch.setattr(serving.tempfile, "TemporaryDirectory", full)
    status, said, _ = request(server, "POST", "/do/open", content)
    assert status == 500 and b"cannot be kept here" in said and "No space left on device" in reports[0]


def full(**options):
    raise OSError(28, "No space left on device")


def test_an_error_of_our_own_is_said_to_us_and_not_to_the_visitor(server, monkeypatch):
    reports = []
    monkeypatch.setattr(server, "report", reports.append)
    monkeypatch.setattr(server.desk, "models", None)
    *_, last = ask(server, "models", {})
    assert "terminal" in last["error"] and "AttributeError" in reports[0]


MISTAKES = {  # flags, exit code, a part of the line
    "no password": (["--auth", "ann"], 1, "--auth"),
    "no checkpoint": (["--ckpt_path", "nowhere/model"], 1, "nowhere/model: no such checkpoint"),
    "no port": (["--port", "70000"], 2, "--port"),
    "no host": (["--host", "256.0.0.1"], 1, "--host 256.0.0.1"),
}


@pytest.mark.parametrize("flags, code, line", MISTAKES.values(), ids=MISTAKES)
def test_mistakes_are_one_line(flags, code, line, capsys):
    found, error = run_here(app.main, flags, capsys)
    assert found == code and line in error and error.count("\n") == 1


def test_a_port_that_is_taken(server, capsys):
    code, error = run_here(app.main, ["--port", server.server_address[1]], capsys)
    assert code == 1 and "--port" in error and "give another one" in error


def test_the_command_starts_at_once_and_leaves_nothing(tmp_path):
    command = [sys.executable, "-X", "importtime", "app.py", "--port", "0", "--host", "0.0.0.0"]
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"TMPDIR": str(tmp_path)},
    )
    line = process.stdout.readline()
    assert re.match(r"http://0\.0\.0\.0:\d+/ ", line)
    (folder,) = tmp_path.iterdir()
    assert folder.stat().st_mode & 0o077 == 0
    process.send_signal(signal.SIGTERM)
    _, stderr = process.communicate(timeout=30)
    assert process.returncode == 0 and not list(tmp_path.iterdir())
    assert "--auth asks for a password" in stderr
    assert not re.search(r"\| +(tensorflow|numpy|PIL)$", stderr, re.MULTILINE), "imported before it is needed"


def test_help_is_there_at_once():
    assert "--ckpt_path" in run_command("app.py", "--help").stdout


def resident(process):
    return int(re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{process.pid}/status").read_text())[1])


@pytest.mark.slow
def test_memory_is_bounded_over_many_drawings(downloads):
    """In a process of its own, where no other test has left anything."""
    body, sizes = io.BytesIO(), []
    Image.fromarray(photo(300, 400)).save(body, "png")
    command = [sys.executable, "app.py", "--port", "0", "--ckpt_path", downloads / "small"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        port = re.search(r":(\d+)/", process.stdout.readline())[1]
        server = types.SimpleNamespace(server_address=("127.0.0.1", int(port)))
        for i in range(60):
            options = DRAW | {"n_samples": (1, 4, 16)[i % 3], "seed": i, "keep_rows": i % 8}
            assert ask(server, "complete", options, body.getvalue())[-1] == {"end": True}
            sizes.append(resident(process))
        process.terminate()
    assert sizes[-1] - sizes[9] < 60_000, sizes


def test_options_of_the_page():
    assert not PageOptions().open_to_all and not PageOptions(host="0.0.0.0", auth="a:b").open_to_all
