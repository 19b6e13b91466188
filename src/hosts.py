"""The hosts that share a command's work: how they meet, agree, hand on what one of them has, and notice a loss.

TensorFlow's collective operations carry gradients and results. All else goes over connections of our own, a star around
host 0: they stand before TensorFlow's servers do, they say which host did not come or has gone, and why, and they carry
what is no tensor. Like TensorFlow's they trust the network: whoever reaches the addresses can take part.
"""

import contextlib
import json
import queue
import socket
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, BinaryIO

from src.config import InputError, one_line

BEAT = 1.0  # seconds between two signs of life
SILENCE = 25.0  # seconds without one after which a host is given up
GREETING = 5.0  # seconds in which whoever connects has to say which host it is
HEAD = 1 << 24  # bytes of the JSON at most, and of what an unknown one may say
AGAIN = "start the command on all hosts again"


class Disagreement(InputError):
    """What every host finds at the same point, so that none has to tell the others."""


class Stopped(KeyboardInterrupt):
    """The end of a training that a signal, of this number, has asked one of the hosts for: at the same step on all."""

    def __init__(self, message: str, number: int):
        super().__init__(message)
        self.number = number


class Link:
    """A connection to the host of a number: messages (kind, value, bytes) both ways, and signs of life."""

    def __init__(self, host: int, connection: socket.socket):
        self.host, self.connection = host, connection
        self.file: BinaryIO = connection.makefile("rb")
        self.sending = threading.Lock()
        self.received = queue.SimpleQueue()  # values in order; a Disagreement where no more will come
        self.left = False
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self, kind: str, value: Any = None, payload: bytes | memoryview = b""):
        head = json.dumps([kind, value, len(payload)]).encode() + b"\n"
        with self.sending:
            self.connection.sendall(head)
            self.connection.sendall(payload)

    def receive(self) -> tuple[str, Any, bytes]:
        """The next message; OSError or ValueError where none comes, or it is none."""
        line = self.file.readline(HEAD)
        if not line:
            raise ConnectionError("its connection was closed")
        try:
            kind, value, size = json.loads(line)
            payload = self.file.read(size)
        except (TypeError, RecursionError, MemoryError, OverflowError) as error:
            raise ValueError(f"no message: {one_line(error)}") from error
        if len(payload) < size:
            raise ConnectionError("its connection was closed")
        return kind, value, payload

    def give(self, *message, payload=b""):
        """Send it, or raise the Disagreement that says why the other host takes no more."""
        try:
            self.send(*message, payload=payload)
        except OSError:
            while True:  # what it has sent before its end no longer matters
                self.next()

    def cut(self):
        """End it, also for whoever is sending."""
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)

    def next(self):
        """The next value that the other host gives."""
        value = self.received.get()
        if isinstance(value, Disagreement):
            self.received.put(value)  # for whoever asks again
            raise value
        return value


class Hosts:
    """The hosts of this process's command, seen from one of them.

    Args:
        index: which one this is.
        addresses: HOST:PORT of each; one alone needs none.
        links: to all others on host 0, to host 0 elsewhere.
        ended: called, from another thread, with a line that says why there is no going on: a host has gone or failed.
    """

    def __init__(
        self,
        index: int = 0,
        addresses: Sequence[str] = ("",),
        links: Sequence[Link] = (),
        ended: Callable[[str], None] = lambda line: None,
    ):
        self.index, self.addresses, self.links, self.ended = index, tuple(addresses), list(links), ended
        self.count, self.first = len(self.addresses), index == 0
        self.over = threading.Event()  # nobody's loss counts any more
        self.losing = threading.Lock()
        for link in self.links:
            link.connection.settimeout(SILENCE)
            for work in (self.listen, self.beat):
                threading.Thread(target=work, args=(link,), daemon=True).start()

    def name(self, index: int) -> str:
        return f"host {index} ({self.addresses[index]})"

    def exchange(self, value: Any) -> list:
        """The values, plain data, that all hosts give, in their order; each has to call this at the same point.

        Raises:
            Disagreement: a host has gone.
        """
        if self.first:
            values = json.loads(json.dumps([value, *(link.next() for link in self.links)]))
            for link in self.links:
                link.give("value", values)
            return values
        self.links[0].give("value", value)
        return self.links[0].next()

    def of_first(self, value: Any) -> Any:
        """What host 0 gives, on all."""
        return self.exchange(value if self.first else None)[0]

    def spread(self, array):
        """The NumPy array of host 0 on all, which each calls with one of the same shape and type; bit for bit."""
        import numpy as np  # every command imports this file, before it needs arrays

        if not self.first:
            return np.frombuffer(self.links[0].next(), array.dtype).reshape(array.shape)
        for link in self.links:
            link.give("bytes", payload=memoryview(np.ascontiguousarray(array).reshape(-1).view(np.uint8)))
        return array

    def divided(self, items: Sequence, work: Callable[[Any], Any]) -> list:
        """What `work` makes of every item, in order, plain data; each host does its share."""
        shares = self.exchange([work(item) for item in items[self.index :: self.count]])
        return [shares[i % self.count][i // self.count] for i in range(len(items))]

    def agree(self, **values: Any):
        """See that all hosts give the same.

        Raises:
            Disagreement: they do not; it names the first value that differs, and on which host.
        """
        theirs = self.exchange(values)
        for index, given in enumerate(theirs):
            if found := difference(theirs[0], given):
                name, a, b = (one_line(part, 60) for part in found)
                raise Disagreement(
                    f"{name} is {b} on {self.name(index)} but {a} on {self.name(0)}; give all hosts the same"
                )

    def fail(self, line: str):
        """Tell the others why this host ends."""
        self.over.set()
        for link in self.links:
            with contextlib.suppress(OSError):
                link.send("failed", line)

    def leave(self):
        """End at the same point as all others, host 0 the last."""
        self.exchange(None)
        self.over.set()
        for link in self.links:
            with contextlib.suppress(OSError):
                link.send("bye")
        deadline = time.monotonic() + GREETING
        while self.first and not all(link.left for link in self.links) and time.monotonic() < deadline:
            time.sleep(0.01)

    def verdict(self):
        """Wait until `ended` has been told of what TensorFlow was the first to meet; returns if it is not."""
        self.over.wait(SILENCE + GREETING)
        time.sleep(GREETING)

    def beat(self, link):
        """Give one other host signs of life, which none of the others can hold up, for as long as the process lasts."""
        while True:
            time.sleep(BEAT)
            with contextlib.suppress(OSError):  # a loss is the listener's to notice
                link.send("beat")

    def listen(self, link):
        """Hear one other host, until it has left or is lost."""
        try:
            while True:
                kind, value, payload = link.receive()
                if kind in ("value", "bytes"):
                    link.received.put(payload if kind == "bytes" else value)
                elif kind == "failed":
                    return self.lose(link, value)
                elif kind == "bye":
                    link.left = True
                    return
        except TimeoutError:
            reason = f"given no sign of life for {SILENCE:.0f} s"
        except (OSError, ValueError) as error:
            reason = f"gone ({one_line(error)})"
        link.cut()
        self.lose(link, f"{self.name(link.host)} has {reason}; {AGAIN}")

    def lose(self, link, line):
        """Without this host there is no going on: tell the others, and whoever waits for it."""
        link.left = True
        with self.losing:
            if self.over.is_set():
                return
            self.over.set()
        self.fail(line)
        for each in self.links:
            each.received.put(Disagreement(line))
        self.ended(line)


def difference(a: Any, b: Any, name: str = "") -> tuple[str, Any, Any] | None:
    """(name, value, other value) of what differs first between two pieces of plain data."""
    if isinstance(a, dict) and isinstance(b, dict):
        pairs = ((key, a.get(key), b.get(key)) for key in [*a, *sorted(b.keys() - a.keys())])
        return next((found for key, x, y in pairs if (found := difference(x, y, key))), None)
    return None if a == b else (name, a, b)


_current = Hosts()


def current() -> Hosts:
    """The hosts of this process's command: it alone, unless `use` was called."""
    return _current


def use(hosts: Hosts):
    """Let these be the hosts of this process's command."""
    global _current
    _current = hosts
