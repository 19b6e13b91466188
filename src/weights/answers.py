"""What a server says of a file, and whether what arrives is that."""

import base64
import binascii
import contextlib
import hashlib
import queue
import re
import threading
import time

from src.weights.arrivals import algorithm

CHUNK = 1 << 20
STALL = 60  # seconds of waiting in which at least PROGRESS must arrive
PROGRESS = 60 << 10  # bytes: a kilobyte a second


class PassingFault(Exception):
    """What may be gone at the next try."""


def version(response):
    """What tells this version of the file from others: a strong ETag, else a date, else None."""
    etag = response.headers.get("ETag", "W/")
    return response.headers.get("Last-Modified") if etag.startswith("W/") else etag


def said(response, hops, packed=False):
    """What a server says of a whole file: `version` and `size`, and where it does `md5` or the hub's `sha256`.

    Args:
        hops: the answers that led there.
        packed: whether the file itself is gzipped, so that saying so is no fault.

    Raises:
        PassingFault: it says what cannot be.
    """
    headers = response.headers
    facts = {"version": version(response), "size": None}
    length = headers.get("Content-Length")
    if length is not None and not re.fullmatch(r"[0-9]{1,18}", length):
        raise PassingFault(f"the server announces a length of {length[:40]!r}")
    if length is not None and "Transfer-Encoding" not in headers:
        facts["size"] = int(length)
    check_coding(headers, packed)
    if headers.get("Content-MD5"):
        with contextlib.suppress(binascii.Error, ValueError):
            facts["md5"] = base64.b64decode(headers["Content-MD5"], validate=True).hex()
        if len(facts.get("md5", "")) != 32:
            raise PassingFault(f"the server's Content-MD5 is {headers['Content-MD5'][:40]!r}, which is none")
    for answer in (*hops, response):  # the hub tells it where it redirects
        linked = answer.headers.get("X-Linked-ETag", "").strip('"').lower()
        if re.fullmatch("[0-9a-f]{64}", linked):
            facts["sha256"] = linked
    return facts


def check_coding(headers, packed):
    """Raise PassingFault for a body that is coded, though nothing but the file's own bytes was asked for."""
    coding = headers.get("Content-Encoding", "identity").strip().lower()
    if coding != "identity" and not (packed and coding in ("gzip", "x-gzip")):
        raise PassingFault(f"the server sends the file coded as {coding[:40]!r}, which was not asked for")


def readable_facts(facts):
    """What `said` returned, back from a file that may have been damaged; else an empty dict."""
    if not isinstance(facts, dict) or type(facts.get("size")) not in (int, type(None)):
        return {}
    kinds = {"version": "[!-~][ -~]{0,1000}", "md5": "[0-9a-f]{32}", "sha256": "[0-9a-f]{64}"}
    texts = {name: facts[name] for name in kinds if facts.get(name) is not None}
    good = all(isinstance(text, str) and re.fullmatch(kinds[name], text) for name, text in texts.items())
    return facts if good else {}


class Pace:
    """How long a transfer has waited for the network since it last made progress."""

    def __init__(self):
        self.waited, self.fresh, self.since = 0.0, 0, None

    @contextlib.contextmanager
    def waiting(self):
        self.since = time.monotonic()
        try:
            yield
        finally:
            since, self.since = self.since, None
            self.waited += time.monotonic() - since

    def add(self, n):
        self.fresh += n
        if self.fresh >= PROGRESS:
            self.waited, self.fresh = 0.0, 0

    def stalled(self):
        """Whether it has waited too long; asked from another thread, for a wait may have no end."""
        since = self.since
        return self.waited + (time.monotonic() - since if since is not None else 0) > STALL


class Checksum:
    """The checksum of what arrives, computed in a thread beside the transfer; `fault` says at the end what is wrong.

    Args:
        facts: what the server said; without a checksum in it nothing is computed.
        pin: a checksum that counts more than the server's, or None.
        part, have: a file, and how many of its bytes come first.
    """

    def __init__(self, facts, pin, part, have):
        self.name = algorithm(pin) if pin else next((n for n in ("sha256", "md5") if facts.get(n)), None)
        self.source = "the published one is" if pin else "the server announces"
        self.expected, self.part, self.have, self.fault = pin or facts.get(self.name), part, have, None
        self.chunks = queue.Queue(16)  # bounds the memory where hashing is slower than the network
        self.thread = threading.Thread(target=self.work, daemon=True)

    def work(self):
        digest = hashlib.new(self.name)
        if self.have:
            with open(self.part, "rb") as f:  # the transfer appends to it meanwhile
                for start in range(0, self.have, CHUNK):
                    digest.update(f.read(min(CHUNK, self.have - start)))
        while chunk := self.chunks.get():
            digest.update(chunk)
        if digest.hexdigest() != self.expected:
            self.fault = f"the {self.name} checksum is {digest.hexdigest()}, {self.source} {self.expected}"

    def add(self, chunk):
        if self.name:
            self.chunks.put(chunk)

    def __enter__(self):
        if self.name:
            self.thread.start()
        return self

    def __exit__(self, *error):
        if self.name:
            self.chunks.put(b"")
            self.thread.join()
