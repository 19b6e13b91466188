"""What a server says of a file, and whether what arrives is that."""

import base64
import hashlib
import queue
import threading

CHUNK = 1 << 20


def said(response):
    """What a server says of a whole file: `version` and `size`, and where it does `md5` or the hub's `sha256`."""
    etag = response.headers.get("ETag", "W/")
    facts = {"version": response.headers.get("Last-Modified") if etag.startswith("W/") else etag, "size": None}
    if response.headers.get("Content-Length", "").isdigit():
        facts["size"] = int(response.headers["Content-Length"])
    if response.headers.get("Content-MD5"):
        facts["md5"] = base64.b64decode(response.headers["Content-MD5"]).hex()
    for answer in (*response.history, response):  # the hub tells it where it redirects
        linked = answer.headers.get("X-Linked-ETag", "").strip('"')
        if len(linked) == 64:
            facts["sha256"] = linked.lower()
    return facts


class Checksum:
    """The checksum of what arrives, computed in a thread beside the transfer; `fault` says at the end what is wrong.

    Args:
        facts: what the server said; without a checksum in it nothing is computed.
        part, have: a file, and how many of its bytes come first.
    """

    def __init__(self, facts, part, have):
        self.name = next((n for n in ("sha256", "md5") if facts.get(n)), None)
        self.expected, self.part, self.have, self.fault = facts.get(self.name), part, have, None
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
            self.fault = f"the {self.name} checksum is {digest.hexdigest()}, the server announces {self.expected}"

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
