"""The page's server: files that it holds from its start, and answers that come line by line.

It opens no path that a request names, sets no cookie, keeps nothing of a visitor, and lets a browser ask no other host.
TensorFlow is not imported before the first request that needs it.
"""

import base64
import contextlib
import dataclasses
import hmac
import http.server
import json
import select
import socket
import socketserver
import sys
import tempfile
import threading
import traceback
import urllib.parse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

from src.config import InputError
from src.writing import NotWritten, writing

STATIC = Path(__file__).parent / "static"
TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".png": "image/png", ".jpg": "image/jpeg"}
BYTES = 1 << 25  # of a picture that is sent, at most
DIGITS = len(str(BYTES))  # of its length, zeros in front of it too
PIECE = 1 << 16  # bytes of it in memory at a time
CONNECTIONS = 128  # at a time: well above those that may wait
SECONDS = 60  # that a connection may keep silent
HERE = "127.0.0.1", "localhost", "::1"
POLICY = "; ".join(
    [
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'",
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ]
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class Answering(Protocol):
    """What answers requests, such as `src.page.jobs.Desk`."""

    def answer(self, kind: str, text: bytes, path: Path) -> Iterator[dict]: ...


@dataclasses.dataclass(frozen=True)
class PageOptions:
    """Where the page is, and for whom.

    Args:
        host: address to listen on; by default this machine's own, which no other machine reaches.
        port: 0 takes any that is free.
        auth: name and password, USER:PASSWORD, that a visitor must give.
        ckpt_path: a checkpoint that the page offers first.

    Raises:
        InputError: the checkpoint is not there, or `auth` has no name or no password.
    """

    host: str = "127.0.0.1"
    port: int = 7860
    auth: str | None = None
    ckpt_path: str | None = None

    def __post_init__(self):
        if self.auth is not None and not all(self.auth.partition(":")):
            raise InputError("`auth`: must be USER:PASSWORD")
        path = self.ckpt_path
        if path and not (Path(path).exists() or Path(f"{path}.index").exists()):
            raise InputError(f"{path}: no such checkpoint")

    @property
    def open_to_all(self) -> bool:
        """Whether other machines reach the page, and nobody is asked for a password."""
        return self.host not in HERE and not self.auth


def split(address: str) -> urllib.parse.SplitResult | None:
    """The parts of an address that a visitor has sent; None where it is none."""
    try:
        return urllib.parse.urlsplit(address)
    except ValueError:
        return None


class Server(http.server.ThreadingHTTPServer):
    """One thread for each of a bounded number of connections; for a `with` block, at whose end its files are gone.

    Args:
        make_desk: makes what answers requests, when the first one comes.
        report: called with what went wrong that no visitor can mend.

    Raises:
        InputError: the port cannot be opened.
    """

    daemon_threads = True

    def __init__(self, options: PageOptions, make_desk: Callable[[], Answering], report: Callable[[str], None]):
        self.options, self.make_desk, self.report = options, make_desk, report
        self.address_family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
        self.making, self.made, self.free = threading.Lock(), None, threading.Semaphore(CONNECTIONS)
        paths = [path for path in STATIC.rglob("*") if path.suffix in TYPES]
        self.pages = {f"/{p.relative_to(STATIC).as_posix()}": (TYPES[p.suffix], p.read_bytes()) for p in paths}
        self.pages["/"] = self.pages["/index.html"]
        self.folder = tempfile.TemporaryDirectory(prefix="image-gpt-page-")
        try:
            super().__init__((options.host, options.port), Handler)
        except OSError as error:
            where = f"`host` {options.host}, `port` {options.port}"
            raise InputError(f"{where}: cannot be opened ({error.strerror}); give another one") from error

    @property
    def address(self) -> str:
        """Where a browser finds the page."""
        host = f"[{self.options.host}]" if ":" in self.options.host else self.options.host
        return f"http://{host}:{self.server_address[1]}/"

    @property
    def desk(self) -> Answering:
        with self.making:
            self.made = self.made or self.make_desk()
        return self.made

    def server_bind(self):
        socketserver.TCPServer.server_bind(self)  # http.server's asks the network for the host's name

    def server_close(self):
        super().server_close()
        self.folder.cleanup()

    def process_request(self, request, client_address):
        if self.free.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request, client_address):
        try:
            super().process_request_thread(request, client_address)
        finally:
            self.free.release()

    def handle_error(self, request, client_address):
        """That a connection broke is nobody's fault; all else is reported."""
        if not isinstance(sys.exception(), OSError):
            self.report(traceback.format_exc())


class Handler(http.server.BaseHTTPRequestHandler):
    """One request, after which the connection is closed."""

    server: Server
    timeout = SECONDS
    server_version, sys_version = "ImageGPT", ""

    def log_message(self, *args):
        """Requests are not written down."""

    def do_GET(self):
        """A file of the page's own, found by its name in a table."""
        if self.welcome():
            kind, content = self.server.pages.get(self.path.partition("?")[0], (None, b""))
            if kind is None:
                return self.refuse(404, "there is no such page")
            self.begin(200, kind, len(content))
            self.wfile.write(content)

    def do_POST(self):
        """A request with a picture as its body, answered by lines of JSON."""
        address = split(self.path)
        if not self.welcome():
            return
        if address is None or not address.path.startswith("/do/"):
            return self.refuse(404, "there is no such page")
        length = self.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdigit()):
            return self.refuse(411, "the request does not say how long it is")
        if len(length) > DIGITS or int(length) > BYTES:
            return self.refuse(413, f"a file of more than {BYTES >> 20} MB; take a smaller one")
        said = urllib.parse.parse_qs(address.query).get("options", ["{}"])[0].encode()
        with contextlib.ExitStack() as stack:
            try:
                path = stack.enter_context(self.received(int(length)))
            except NotWritten as error:
                self.server.report(f"{error}\n")
                return self.refuse(500, "the picture cannot be kept here; the page's terminal says why")
            if path:
                self.begin(200, "application/x-ndjson")
                self.send(address.path.removeprefix("/do/"), said, path)

    @contextlib.contextmanager
    def received(self, length: int) -> Iterator[Path | None]:
        """A file with the request's body, or None where not all of it came.

        Raises:
            NotWritten: it cannot be written.
        """
        place = Path(self.server.folder.name)
        with contextlib.ExitStack() as stack:
            with writing(place):
                place.mkdir(mode=0o700, exist_ok=True)  # somebody may have tidied up
                path = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=place))) / "photo"
                file = stack.enter_context(open(path, "wb", buffering=0))
            while length and (piece := self.rfile.read(min(length, PIECE))):
                length -= len(piece)
                with writing(path):
                    while piece:  # a disk that becomes full takes a part without a word
                        piece = piece[file.write(piece) :]
            yield None if length else path

    def send(self, kind: str, said: bytes, path: Path):
        """Send the steps of an answer, as long as somebody is there to see them."""
        try:
            with contextlib.closing(self.server.desk.answer(kind, said, path)) as steps:
                for step in steps:
                    self.line(step)
                    if self.gone():
                        return
            self.line({"end": True})
        except InputError as error:
            self.line({"error": str(error)})
        except OSError:  # the connection's
            pass
        except Exception:
            self.server.report(traceback.format_exc())
            self.line({"error": "this went wrong; the terminal that the page was started from says why"})

    def line(self, step: dict):
        self.wfile.write(json.dumps(step).encode() + b"\n")

    def gone(self) -> bool:
        """Whether the other side has closed the connection."""
        readable, _, _ = select.select([self.connection], [], [], 0)
        return bool(readable) and not self.connection.recv(1, socket.MSG_PEEK)

    def welcome(self) -> bool:
        """Whether a request comes from the page itself, and from somebody who may see it; else it is refused.

        A page of another site can make a browser send requests here: they name its origin, or its host,
        which can be told from the page's own only where that is this machine.
        """
        host, origin = self.headers.get("Host", ""), self.headers.get("Origin")
        address, theirs = split(f"//{host}"), split(origin or "")
        if self.server.options.host in HERE and (address is None or address.hostname not in HERE):
            return self.refuse(403, "this page is for the machine that it runs on")
        if origin is not None and (theirs is None or theirs.netloc != host):
            return self.refuse(403, "this page answers no other page's requests")
        auth = self.server.options.auth
        expected = f"Basic {base64.b64encode(auth.encode()).decode()}" if auth else ""
        if auth and not hmac.compare_digest(self.headers.get("Authorization", "").encode(), expected.encode()):
            return self.refuse(401, "name and password, please")
        return True

    def refuse(self, code: int, why: str) -> bool:
        """Answer with one sentence."""
        content = f"{why}\n".encode()
        more = {"WWW-Authenticate": 'Basic realm="Image GPT", charset="UTF-8"'} if code == 401 else {}
        self.begin(code, "text/plain", len(content), more)
        self.wfile.write(content)
        return False

    def begin(self, code: int, kind: str, length: int | None = None, more: dict | None = None):
        """Send status and headers."""
        self.send_response(code)
        lengths = {} if length is None else {"Content-Length": str(length)}
        for name, value in {"Content-Type": f"{kind}; charset=utf-8", **lengths, **HEADERS, **(more or {})}.items():
            self.send_header(name, value)
        self.end_headers()
