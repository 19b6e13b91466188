"""A server on loopback that behaves like the release's bucket and like the hub, faults included."""

import base64
import contextlib
import hashlib
import socketserver
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def do_GET(self):
        server, path = self.server, self.path
        with server.lock:
            server.requests[path] += 1
            faults = server.faults.get(path, [])
            fault = faults.pop(0) if faults else None
        body = server.content.get(path)
        if isinstance(fault, int):
            return self.answer(fault, {}, b"sorry")
        if body is None:
            return self.answer(404, {}, b"no such blob")
        if path in server.redirects:  # as the hub: the checksum here, the bytes elsewhere
            sha = hashlib.sha256(body).hexdigest() if fault != "checksum" else "0" * 64
            return self.answer(302, {"Location": server.redirects[path], "X-Linked-ETag": f'"{sha}"'}, b"")
        etag = f'"{hashlib.sha1(body).hexdigest()}"'
        headers, status, start = {"ETag": etag}, 200, 0
        if "Range" in self.headers and self.headers.get("If-Range") in (None, etag):
            start = int(self.headers["Range"][len("bytes=") : -1])
            if start >= len(body):
                return self.answer(416, {"Content-Range": f"bytes */{len(body)}"}, b"")
            status = 206
            headers["Content-Range"] = f"bytes {start}-{len(body) - 1}/{len(body)}"
        elif path not in server.without_md5:
            digest = hashlib.md5(body).digest() if fault != "checksum" else bytes(16)
            headers["Content-MD5"] = base64.b64encode(digest).decode()
        self.answer(status, headers, body[start:], fault)

    def answer(self, status, headers, body, fault=None):
        self.send_response(status)
        length = len(body) + (7 if fault == "length" else 0)
        for name, value in (headers | {"Content-Length": length}).items():
            self.send_header(name, value)
        self.end_headers()
        sent = body[: len(body) // 2] if fault == "cut" else body
        try:
            for i in range(0, len(sent), self.server.piece):
                with self.server.lock:
                    self.server.bytes_sent += len(sent[i : i + self.server.piece])
                self.wfile.write(sent[i : i + self.server.piece])
                self.server.slow.wait(self.server.delay)
        except OSError:
            pass
        if fault in ("cut", "length"):
            self.close_connection = True


class Server(ThreadingHTTPServer):
    def handle_error(self, request, client_address):
        """A client that hangs up is no matter; standard error is the client's, whose lines the tests count."""


@contextlib.contextmanager
def serving(content, *, faults=None, redirects=None, without_md5=(), piece=1 << 20, delay=0):
    """Serve `content` (path to bytes) on loopback.

    Args:
        faults: path to a list of faults, used up one a request: a status, "cut", "length" or "checksum".
        redirects: path to the path that has its bytes.
        piece, delay: bytes sent at a time, and seconds between two pieces.
    """
    server = Server(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.content, server.faults, server.redirects = content, faults or {}, redirects or {}
    server.without_md5, server.piece, server.delay = without_md5, piece, delay
    server.requests, server.bytes_sent = Counter(), 0
    server.lock, server.slow = threading.Lock(), threading.Event()
    with running(server, server.slow):
        yield server


@contextlib.contextmanager
def running(server, ended):
    """Let a server answer, its address in `url`; at the end set the event that its slow answers wait for."""
    server.url = f"http://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
    try:
        yield
    finally:
        ended.set()
        server.shutdown()
        server.server_close()


class RawHandler(socketserver.StreamRequestHandler):
    """Reads a request up to its empty line, and sends what the server's `answer` makes of it."""

    def handle(self):
        lines = []
        while (line := self.rfile.readline().strip()) and len(lines) < 100:
            lines.append(line.decode("latin-1"))
        if not lines:
            return
        headers = dict(line.split(": ", 1) for line in lines[1:])
        self.server.requests[lines[0].split()[1]] += 1
        try:
            for piece in self.server.answer(lines[0].split()[1], headers):
                self.wfile.write(piece)
                if self.server.ended.wait(0):
                    return
        except OSError:
            pass


class RawServer(socketserver.ThreadingTCPServer):
    allow_reuse_address, daemon_threads, block_on_close = True, True, False

    def handle_error(self, request, client_address):
        """As above."""


@contextlib.contextmanager
def lying(answer):
    """Serve on loopback what no HTTP library would send.

    Args:
        answer: a function of (path, headers) to the pieces of bytes that are sent, after which the connection ends.
    """
    server = RawServer(("127.0.0.1", 0), RawHandler)
    server.answer, server.requests, server.ended = answer, Counter(), threading.Event()
    with running(server, server.ended):
        yield server
