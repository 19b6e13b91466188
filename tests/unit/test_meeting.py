"""How hosts find each other: in any order, past strangers, and with one line on all where it comes to nothing."""

import json
import socket
import struct
import subprocess
import sys
import threading
import time
from functools import partial

import pytest

from src import hosts, meeting
from src.config import InputError
from src.hosts import AGAIN, Disagreement, Hosts
from src.meeting import meet, port_of
from tests.conftest import ROOT
from tests.unit.test_hosts import PATIENCE, at_once, cut, free_addresses, on_all, until

COMER = """
import json, sys
from src.meeting import meet

meet(json.loads(sys.argv[1]), int(sys.argv[2]), {}, 20, print)
"""


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Signs of life and greetings that take no seconds."""
    monkeypatch.setattr(hosts, "BEAT", 0.1)
    monkeypatch.setattr(hosts, "GREETING", 0.6)
    monkeypatch.setattr(meeting, "GREETING", 0.6)
    monkeypatch.setattr(meeting, "RETRY", 0.05)


@pytest.fixture
def party():
    """Hosts that meet in this test, and part after it."""
    started = Party()
    yield started
    for host in started.came:
        cut(host)


class Party:
    """Hosts that meet in this process: who came, and what each was told while waiting (`said`) and later (`told`)."""

    def __init__(self):
        self.came, self.said, self.told = [], {}, {}

    def host(self, addresses, index, about=None, wait=PATIENCE):
        """A call that lets a host come."""
        said, told = self.said.setdefault(index, []), self.told.setdefault(index, [])

        def come():
            host = meet(addresses, index, about or {}, wait, told.append, said.append)
            self.came.append(host)
            return host

        return come

    def all(self, addresses, **options):
        return at_once(*(self.host(addresses, i, **options) for i in range(len(addresses))))


def plain(error):
    """A line with the addresses of IPv4 as they are written, however the system has them."""
    return str(error).replace("::ffff:", "")


def later(seconds, call):
    """A call that waits before it does another."""
    return lambda: time.sleep(seconds) or call()


def work_together(came):
    """See that hosts have met: each knows the others by their numbers, and a value goes round."""
    assert all(isinstance(host, Hosts) for host in came), came
    assert on_all(came, lambda host: host.exchange(host.index)) == [list(range(len(came)))] * len(came)


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 1, 0], [1, 0, 2], [2, 0, 1]], ids=str)
def test_hosts_meet_in_any_order(party, order):
    addresses = free_addresses(3)
    came = at_once(*(later(0.15 * order.index(i), party.host(addresses, i)) for i in range(3)))
    work_together(came)
    assert [(host.index, host.count, host.first) for host in came] == [(0, 3, True), (1, 3, False), (2, 3, False)]
    assert [link.host for link in came[0].links] == [1, 2] and all(host.addresses == tuple(addresses) for host in came)
    assert set(map(tuple, party.said.values())) == {()}, "nobody has waited for long"
    assert [link.host for host in came[1:] for link in host.links] == [0, 0]


@pytest.mark.parametrize("name", ["[::1]", "127.0.0.1", "localhost"])
def test_hosts_meet_at_addresses_of_either_kind(party, name):
    if name == "[::1]" and not socket.has_dualstack_ipv6():
        pytest.skip("this system has no IPv6")
    work_together(party.all(free_addresses(2, name)))


def test_the_ports_are_free_when_all_have_met(party):
    addresses = free_addresses(2)
    work_together(party.all(addresses))
    for address in addresses:  # which TensorFlow needs for its servers
        socket.create_server(("", port_of(address)[1])).close()


@pytest.mark.parametrize(
    "address, found",
    [
        ("node1:1", ("node1", 1)),
        ("10.0.0.1:65535", ("10.0.0.1", 65535)),
        ("[::1]:80", ("::1", 80)),
        ("[fe80::1%eth0]:80", ("fe80::1%eth0", 80)),
    ],
)
def test_an_address_is_host_and_port(address, found):
    assert port_of(address) == found


BAD = [
    "",
    "node1",
    "node1:",
    ":80",
    "node1:0",
    "node1:65536",
    "node1:-1",
    "node1:x",
    "node1:٣",
    "[::1]",
    "a:80 ",
    "a\n",
]


@pytest.mark.parametrize("address", BAD, ids=repr)
def test_what_is_no_address_is_refused_by_name(address):
    with pytest.raises(InputError, match="must be HOST:PORT, the port from 1 to 65535") as told:
        port_of(address)
    assert str(told.value).startswith(f"`hosts` {address.strip()}") and str(told.value).isprintable()
    for index in 0, 1:
        begun = time.monotonic()
        with pytest.raises(InputError, match="must be HOST:PORT"):
            meet([address, address], index, {}, PATIENCE, print)
        assert time.monotonic() - begun < 1


def test_an_address_of_another_host_that_is_none_is_not_waited_for():
    with pytest.raises(InputError, match="must be HOST:PORT"):
        meet([*free_addresses(1), "node1"], 0, {}, 0.5, print)


@pytest.mark.parametrize("index", [0, 1])
def test_a_port_in_use_is_named(index):
    addresses = free_addresses(2)
    with (
        socket.create_server(("", port_of(addresses[index])[1])),
        pytest.raises(
            InputError, match=rf"^`hosts` {addresses[index]}: the port of host {index} cannot .*in use"
        ) as told,
    ):
        meet(addresses, index, {}, PATIENCE, print)
    assert str(told.value).endswith("end what has it, or give another one to all hosts")


@pytest.mark.parametrize("missing", [[2], [1, 3]], ids=str)
def test_hosts_that_do_not_come_are_named_to_all_who_did(party, missing):
    addresses = free_addresses(4)
    begun = time.monotonic()
    came = at_once(*(party.host(addresses, i, wait=2.2 if i == 0 else PATIENCE) for i in range(4) if i not in missing))
    assert 2.1 < time.monotonic() - begun < 5
    names = ", ".join(f"host {i} ({addresses[i]})" for i in missing)
    line = f"{names} did not come within 2 s; see that it was started, or {AGAIN}"
    assert [(type(error), str(error)) for error in came] == [(Disagreement, line)] * len(came)
    assert party.said[0] == [f"waiting for {names}"], "said once"


def test_host_0_that_does_not_come_is_named(party):
    addresses = free_addresses(2)
    begun = time.monotonic()
    (error,) = at_once(party.host(addresses, 1, wait=1.2))
    assert type(error) is InputError and 1.1 < time.monotonic() - begun < 3
    reason = f"did not come within 1 s (Connection refused); see that it was started, or {AGAIN}"
    assert str(error) == f"host 0 ({addresses[0]}) {reason}"
    assert party.said[1] == [f"waiting for host 0 ({addresses[0]})"]


def test_a_name_that_nobody_has_is_no_accident(party, monkeypatch):
    def unknown(address, timeout):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(meeting.socket, "create_connection", unknown)
    address = free_addresses(1)[0]
    (error,) = at_once(party.host(["no-such-host.invalid:12345", address], 1, wait=0.3))
    assert type(error) is InputError and "did not come within 0 s (Name or service not known)" in str(error)


ABOUT = {"the code": "abc", "--lr": 0.1, "--bert": False}
KINDS = {
    "code": ({"the code": "abd"}, "the code is abd on host 2 (127.0.0.1) but abc on host 0"),
    "flag": ({"--lr": 0.2}, "--lr is 0.2 on host 2 (127.0.0.1) but 0.1 on host 0"),
    "more": ({"--n_gpu": 1}, "--n_gpu is 1 on host 2 (127.0.0.1) but None on host 0"),
    "long": ({"--lr": "9\n" * 99}, f"--lr is {'9 ' * 30}... on host 2 (127.0.0.1) but 0.1 on host 0"),
}


@pytest.mark.parametrize("theirs, line", KINDS.values(), ids=KINDS.keys())
def test_a_host_of_another_kind_is_named_to_all(party, theirs, line):
    addresses = free_addresses(3)
    calls = [party.host(addresses, i, ABOUT) for i in (0, 1)]
    came = at_once(*calls, later(0.5, party.host(addresses, 2, ABOUT | theirs)))
    assert {type(error) for error in came} == {Disagreement}, came
    assert {plain(error) for error in came} == {f"{line}; give all hosts the same"}


def test_two_hosts_of_one_index_are_told_so(party):
    addresses = free_addresses(4)
    same = [later(0.5, partial(greet, addresses, 1, ABOUT))] * 2
    came = at_once(party.host(addresses, 0, ABOUT), party.host(addresses, 2, ABOUT), *same)
    line = "`host_index` 1: was given to two hosts; give each its own"
    assert [str(error) for error in came[:2]] == [line] * 2 and came[2:] == [["failed", line, 0]] * 2


def greet(addresses, index, about):
    """What host 0 answers a host on another machine, as it were: it has a port there that is in use here."""
    with connect(addresses) as connection:
        connection.sendall(hello(addresses=addresses, index=index, about=about))
        return json.loads(connection.makefile().readline())


def connect(addresses):
    """A connection to host 0, which may be yet to come."""
    deadline = time.monotonic() + 4
    while True:
        try:
            return socket.create_connection(port_of(addresses[0]), timeout=PATIENCE)
        except ConnectionError:
            assert time.monotonic() < deadline
            time.sleep(0.02)


def hello(**value):
    """The bytes in which a host says who it is."""
    return json.dumps(["hello", value, 0]).encode() + b"\n"


LISTS = {
    "another order": lambda a: [a[0], a[2], a[1]],
    "another port": lambda a: [*a[:2], "127.0.0.1:9"],
    "fewer": lambda a: a[:2],
    "more": lambda a: [*a, "127.0.0.1:9"],
}


@pytest.mark.parametrize("change", LISTS.values(), ids=LISTS.keys())
def test_another_list_of_hosts_is_shown_to_all(party, change):
    addresses = free_addresses(3)
    theirs = change(addresses)
    calls = party.host(addresses, 0), party.host(addresses, 2), later(0.5, partial(greet, theirs, 1, {}))
    *came, answer = at_once(*calls)
    lists = f"{','.join(theirs)}, host 0 {','.join(addresses)}"
    start, end = "`hosts`: host 1 (127.0.0.1) has the list ", "; give all the same"
    for line in map(plain, [*came, answer[1]]):
        assert line.startswith(start + lists[:70]) and line.endswith(f", host 0 {','.join(addresses)}{end}"), line
    assert len({str(came[0]), str(came[1]), answer[1]}) == 1 and answer[0] == "failed"


@pytest.mark.parametrize("index", [0, -1, 3, 10**30])
def test_a_number_that_no_other_host_has_is_refused(party, index):
    addresses = free_addresses(3)
    came = at_once(party.host(addresses, 0), partial(greet, addresses, index, {}))
    assert isinstance(came[0], Disagreement) and came[1] == ["failed", str(came[0]), 0]
    assert f"host {index} (127.0.0.1)" in plain(came[0])


STRANGERS = {
    "scanner": b"",
    "browser": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\x00\n",
    "a long line": b"x" * (1 << 22),
    "a longer one": b"[" + b"1," * (hosts.HEAD // 2) + b"1]\n",
    "a value": b"7\n",
    "two": b'["hello", {}]\n',
    "no words": b'["hello", 7, 0]\n',
    "a list": b'["hello", [], 0]\n',
    "no index": hello(addresses=[], about={}),
    "an index that is none": hello(addresses=[], about={}, index="1"),
    "half a payload": b'["hello", {"index": 1}, 99]\nabc',
    "another word": b'["beat", {"index": 1, "addresses": [], "about": {}}, 0]\n',
    "many digits": b'["hello", 0, ' + b"9" * 9999 + b"]\n",
}
ROUGH = {
    "nested": b"[" * 100_000 + b"\n",
    "more than there is room for": b'["hello", {}, %d]\n' % 2**60,
    "no number of bytes": b'["hello", {}, %d]\n' % 10**30,
    "addresses that are none": hello(addresses=5, about={}, index=1),
}
UNKNOWN = [pytest.param(text, id=name) for name, text in STRANGERS.items()]
UNKNOWN += [pytest.param(text, id=name) for name, text in ROUGH.items()]


def visit(addresses, text, reset=False):
    """Be a program that has nothing to do with the hosts; what host 0 answers."""
    with connect(addresses) as connection:
        connection.settimeout(4)
        if reset:  # no orderly end, as of a scanner that has seen enough
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return connection.sendall(text)
        try:
            connection.sendall(text)
            connection.shutdown(socket.SHUT_WR)
            return connection.recv(1)
        except ConnectionError:
            return b""


@pytest.mark.parametrize("text", UNKNOWN)
def test_strangers_do_no_harm(party, text):
    addresses = free_addresses(2)
    visits = [partial(visit, addresses, text), partial(visit, addresses, text, True)]
    came = at_once(party.host(addresses, 0, wait=6), *visits, later(0.6, party.host(addresses, 1, wait=3)))
    assert came[1:3] == [b"", None], "a stranger is told nothing"
    work_together([came[0], came[3]])


def test_one_who_says_nothing_is_not_waited_for_long(party):
    addresses = free_addresses(2)
    silent = []
    begun = time.monotonic()
    came = at_once(
        party.host(addresses, 0),
        lambda: silent.extend(connect(addresses) for _ in range(2)),
        later(0.3, party.host(addresses, 1)),
    )
    work_together([came[0], came[2]])
    assert 1 < time.monotonic() - begun < 4
    assert [connection.recv(1) for connection in silent] == [b"", b""], "its connection is closed"
    for connection in silent:
        connection.close()


def test_one_who_drips_is_not_waited_for_long(party):
    addresses = free_addresses(2)
    ended = threading.Event()

    def drip():
        with connect(addresses) as connection:
            for _ in range(20):
                if not ended.wait(0.2):
                    connection.sendall(b"x")

    threading.Thread(target=lambda: at_once(drip), daemon=True).start()
    came = at_once(party.host(addresses, 0, wait=3), later(0.5, party.host(addresses, 1, wait=3)))
    ended.set()
    work_together(came)


def test_strangers_at_a_port_whose_hosts_have_met_find_nobody(party):
    addresses = free_addresses(2)
    work_together(party.all(addresses))
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(port_of(addresses[0]), timeout=1)


ANSWERS = {
    "browser": b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "nothing": b"",
    "a word": b"SSH-2.0-OpenSSH\r\n",
    "bytes": b"\xff\n",
}
ODD = {"a number": b"7\n", "nested": b"[" * 100_000 + b"\n", "no go": b'["hello", 1, 0]\n'}
OTHERS = [pytest.param(text, id=name) for name, text in ANSWERS.items()]
OTHERS += [pytest.param(text, id=name) for name, text in ODD.items()]


@pytest.mark.parametrize("text", OTHERS)
def test_another_program_at_the_port_of_host_0_is_not_taken_for_it(party, text):
    addresses = free_addresses(2)
    ended = threading.Event()

    def serve(server):
        server.settimeout(0.1)
        while not ended.is_set():
            try:
                with server.accept()[0] as connection:
                    connection.makefile("rb").readline()
                    connection.sendall(text)
            except OSError:
                continue

    with socket.create_server(("127.0.0.1", port_of(addresses[0])[1])) as server:
        thread = threading.Thread(target=serve, args=(server,))
        thread.start()
        came = at_once(party.host(addresses, 1, wait=0.5))
        ended.set()
        thread.join()
    assert type(came[0]) is InputError and str(came[0]).startswith(f"host 0 ({addresses[0]}) did not come"), came


def test_a_connection_to_oneself_is_no_meeting(party, monkeypatch):
    """Whoever connects to a port of those that the system gives away may get that very port, and talk to itself."""
    addresses = free_addresses(2)
    target = port_of(addresses[0])

    def to_itself(address, timeout):
        connection = socket.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        connection.bind(target)
        connection.settimeout(timeout)
        connection.connect(target)
        return connection

    monkeypatch.setattr(meeting.socket, "create_connection", to_itself)
    came = at_once(party.host(addresses, 1, wait=0.5))
    assert type(came[0]) is InputError, came


@pytest.fixture
def comer():
    """A function that starts a host in a process, which ends with the test."""
    processes = []

    def start(addresses, index):
        command = [sys.executable, "-c", COMER, json.dumps(addresses), str(index)]
        processes.append(subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.wait()


WHILE = 4  # seconds that hosts wait for one that was killed: it may be started again


def killed_while_waiting(party, comer, monkeypatch, then):
    """What comes of hosts 0 and 2, and of what `then(addresses)` calls, host 1 having been killed before they came."""
    addresses = free_addresses(3)
    guests, taken = [], threading.Event()
    hear = meeting.Guests.hear

    def noting(self, connection):
        hear(self, connection)
        guests.extend(self.links)
        taken.set()

    monkeypatch.setattr(meeting.Guests, "hear", noting)
    process = comer(addresses, 1)

    def kill():
        assert taken.wait(PATIENCE) and guests == [1]
        process.kill()
        process.wait()
        time.sleep(0.1)
        return at_once(*then(addresses))

    first, others = at_once(party.host(addresses, 0, wait=WHILE), kill)
    return addresses, [first, *others]


def test_a_host_killed_while_it_waits_is_named_to_all(party, comer, monkeypatch):
    def then(addresses):
        return [party.host(addresses, 2, wait=WHILE)]

    addresses, came = killed_while_waiting(party, comer, monkeypatch, then)
    for index, host in zip((0, 2), came):  # either they do not meet, or they are told right afterwards
        if isinstance(host, Hosts):
            until(lambda index=index: party.told[index])
            line = party.told[index][0]
        else:
            line = str(host)
        assert line.startswith(f"host 1 ({addresses[1]})"), came


def test_a_host_killed_while_it_waits_may_be_started_again(party, comer, monkeypatch):
    def then(addresses):
        return [party.host(addresses, 1, wait=WHILE), party.host(addresses, 2, wait=WHILE)]

    _, came = killed_while_waiting(party, comer, monkeypatch, then)
    work_together(came)


def test_a_host_that_dies_as_it_is_heard_is_not_the_end_of_host_0(party):
    addresses = free_addresses(2)

    def die():
        with connect(addresses):  # which host 0 waits for until all of this has come
            visit(addresses, hello(addresses=addresses, index=1, about={"--lr": 1}), reset=True)
            time.sleep(0.1)

    came = at_once(party.host(addresses, 0, wait=2), die)
    assert isinstance(came[0], InputError), came


def test_host_0_may_be_killed_and_started_again(party, comer):
    addresses = free_addresses(3)
    process = comer(addresses, 0)

    def again():
        with connect(addresses):
            time.sleep(0.5)
        process.kill()
        process.wait()
        return at_once(party.host(addresses, 0), party.host(addresses, 2))

    (first, last), second = at_once(again, later(0.1, party.host(addresses, 1)))
    work_together([first, second, last])
