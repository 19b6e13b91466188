"""How hosts find each other before anything else is done: everyone at host 0, which sees that they belong together."""

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from src.config import InputError, one_line
from src.hosts import AGAIN, GREETING, Disagreement, Hosts, Link, difference

RETRY = 0.2  # seconds between two tries to reach host 0


def meet(
    addresses: Sequence[str],
    index: int,
    about: dict[str, Any],
    wait: float,
    ended: Callable[[str], None],
    waiting: Callable[[str], None] = lambda line: None,
) -> Hosts:
    """Wait until all hosts are there, and see that they are of one kind.

    Args:
        addresses: HOST:PORT of each host, the same list on all.
        index: which of them this is.
        about: plain data that has to be the same on all hosts.
        wait: seconds until a host that has not come is given up.
        ended: as for `Hosts`.
        waiting: called with a line that says which host is waited for, once this takes longer than a moment.

    Raises:
        InputError: this host's port is in use, another host does not come, or is of another kind.
    """
    for address in addresses:
        port_of(address)
    with listener(addresses, index) as listening:
        if index == 0:
            links = Guests(addresses, about, waiting).receive(listening, time.monotonic() + wait)
        else:
            listening.close()  # it has shown that the port is free, for TensorFlow
            links = [greet(addresses, index, about, wait, waiting)]
    return Hosts(index, addresses, links, ended)


def port_of(address: str) -> tuple[str, int]:
    """(host, port) of HOST:PORT, or of [HOST]:PORT as IPv6 has it.

    Raises:
        InputError: it is something else.
    """
    host, _, port = address.rpartition(":")
    if not (host and port.isascii() and port.isdigit() and 0 < int(port) < 1 << 16):
        raise InputError(f"`hosts` {one_line(address)}: must be HOST:PORT, the port from 1 to 65535")
    return host.strip("[]"), int(port)


def listener(addresses, index):
    """A socket at this host's port.

    Raises:
        InputError: another program has it.
    """
    _, port = port_of(addresses[index])
    try:
        if socket.has_dualstack_ipv6():
            return socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True)
        return socket.create_server(("", port))
    except OSError as error:
        raise InputError(
            f"`hosts` {addresses[index]}: the port of host {index} cannot be used ({error.strerror}); end what has it, "
            "or give another one to all hosts"
        ) from error


class Guests:
    """Host 0's side: who has come, and whether they belong to it."""

    def __init__(self, addresses: Sequence[str], about: dict[str, Any], waiting: Callable[[str], None]):
        self.addresses, self.about, self.waiting = list(addresses), about, waiting
        self.links: dict[int, Link] = {}

    def missing(self) -> list[str]:
        """Names of the hosts that have not come, or have gone again."""
        self.links = {index: link for index, link in self.links.items() if not gone(link.connection)}
        numbered = list(enumerate(self.addresses))[1:]
        return [f"host {index} ({address})" for index, address in numbered if index not in self.links]

    def receive(self, listening: socket.socket, deadline: float) -> list[Link]:
        """Connections to all other hosts, in order, when all have come and been told so."""
        said, begun = False, time.monotonic()
        while self.missing():
            listening.settimeout(max(0.01, min(GREETING, deadline - time.monotonic())))
            with contextlib.suppress(TimeoutError):
                self.hear(listening.accept()[0])
            if time.monotonic() > deadline and (missing := self.missing()):
                waited = f"did not come within {deadline - begun:.0f} s"
                self.refuse(f"{', '.join(missing)} {waited}; see that it was started, or {AGAIN}")
            if self.missing() and not said and time.monotonic() > begun + GREETING:
                self.waiting(f"waiting for {', '.join(self.missing())}")
                said = True
        for link in self.links.values():
            with contextlib.suppress(OSError):  # whoever has gone is named to all by its listener
                link.send("go")
        return [self.links[index] for index in sorted(self.links)]

    def hear(self, connection):
        """Take in one who has connected, if it says that it is a host."""
        connection.settimeout(GREETING)
        link = Link(0, connection)
        late = threading.Timer(GREETING, link.cut)
        late.start()
        try:
            kind, hello, _ = link.receive()
            theirs, index = (list(hello["addresses"]), hello["about"]), hello["index"]
            peer = connection.getpeername()[0].removeprefix("::ffff:")
        except (OSError, ValueError, TypeError, KeyError):
            return connection.close()  # some other program
        finally:
            late.cancel()
        if kind != "hello" or not isinstance(index, int):
            return connection.close()
        link.host = index
        name = f"host {index} ({peer})"
        if theirs[0] != self.addresses or not 0 < index < len(self.addresses):
            lists = f"{one_line(','.join(map(str, theirs[0])))}, host 0 {','.join(self.addresses)}"
            self.refuse(f"`hosts`: {name} has the list {lists}; give all the same", link)
        if index in self.links and not gone(self.links[index].connection):
            self.refuse(f"`host_index` {index}: was given to two hosts; give each its own", link)
        if found := difference(self.about, theirs[1]):
            what, ours, other = (one_line(part, 60) for part in found)
            self.refuse(f"{what} is {other} on {name} but {ours} on host 0; give all hosts the same", link)
        self.links[index] = link

    def refuse(self, line, *more):
        """Tell all who have come why there is no going on, and raise it."""
        for link in [*self.links.values(), *more]:
            with contextlib.suppress(OSError):
                link.send("failed", line)
        raise Disagreement(line)


def gone(connection):
    """Whether the other side has ended a connection, over which it has nothing to say yet."""
    try:
        connection.setblocking(False)
        return connection.recv(1, socket.MSG_PEEK) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True
    finally:
        connection.settimeout(GREETING)


def greet(addresses, index, about, wait, waiting):
    """The connection to host 0, when all hosts are there."""
    begun, reason, said = time.monotonic(), "no answer", False
    while time.monotonic() < begun + wait:
        try:
            connection = socket.create_connection(port_of(addresses[0]), timeout=GREETING)
            connection.settimeout(wait + GREETING)
            link = Link(0, connection)
            link.send("hello", {"index": index, "addresses": list(addresses), "about": about})
            kind, line, _ = link.receive()
            if kind not in ("go", "failed"):
                raise ValueError("another program answers")
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        else:
            if kind == "failed":
                raise Disagreement(line)
            return link
        if not said and time.monotonic() > begun + GREETING:
            waiting(f"waiting for host 0 ({addresses[0]})")
            said = True
        time.sleep(RETRY)
    raise InputError(
        f"host 0 ({addresses[0]}) did not come within {wait:.0f} s ({one_line(reason)}); see that it was started, "
        f"or {AGAIN}"
    )
