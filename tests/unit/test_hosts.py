"""What hosts do together: the same values on all, bit for bit, and one line where one differs, fails, stops or dies."""

import contextlib
import json
import random
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from functools import partial

import ml_dtypes
import numpy as np
import pytest

from src import hosts as module
from src.hosts import AGAIN, Disagreement, Hosts, Link, difference
from src.meeting import meet
from tests.conftest import ROOT

PATIENCE = 20  # seconds in which whatever is waited for comes, on a busy machine, too
VICTIM = """
import json, sys, time
from src import hosts
from src.meeting import meet

hosts.BEAT = 0.1
meet(json.loads(sys.argv[1]), int(sys.argv[2]), {}, 20, print)
print("met", flush=True)
time.sleep(99)
"""


def free_addresses(count, host="127.0.0.1"):
    """HOST:PORT of ports that nothing has, below those that the system gives to whoever connects."""
    found = set()
    while len(found) < count:
        port = random.SystemRandom().randrange(10000, 32000)
        try:
            socket.create_server(("", port)).close()
        except OSError:
            continue
        found.add(f"{host}:{port}")
    return list(found)


def at_once(*calls):
    """What the calls return, or the exceptions that they raise, each in a thread of its own."""
    results = [TimeoutError(f"still at work after {PATIENCE} s")] * len(calls)

    def keep(i, call):
        try:
            results[i] = call()
        except Exception as error:
            results[i] = error

    threads = [threading.Thread(target=keep, args=pair, daemon=True) for pair in enumerate(calls)]
    deadline = time.monotonic() + PATIENCE
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0, deadline - time.monotonic()))
    return results


def on_all(hosts, work):
    """What `work(host)` makes on each of the hosts at once."""
    return at_once(*(partial(work, host) for host in hosts))


def until(condition):
    """Wait until something is so."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.005)


def cut(host):
    """End the connections of a host that is a thread, as the system does for a process that has died."""
    host.over.set()
    for link in host.links:
        with contextlib.suppress(OSError):  # the other one was first
            link.connection.shutdown(socket.SHUT_RDWR)
    host.links.clear()


@pytest.fixture
def met(monkeypatch):
    """A function that lets hosts meet: (Hosts of each, lines each was told of an end, processes of those `away`)."""
    monkeypatch.setattr(module, "BEAT", 0.1)
    monkeypatch.setattr(module, "GREETING", 3)
    threads, processes = [], []

    def start(count, away=()):
        addresses, told = free_addresses(count), [[] for _ in range(count)]
        here = [i for i in range(count) if i not in away]
        command = [sys.executable, "-c", VICTIM, json.dumps(addresses)]
        for i in away:
            processes.append(subprocess.Popen([*command, str(i)], cwd=ROOT, stdout=subprocess.PIPE, text=True))
        threads.extend(at_once(*(partial(meet, addresses, i, {}, PATIENCE, told[i].append) for i in here)))
        assert all(isinstance(host, Hosts) for host in threads), threads
        assert [process.stdout.readline() for process in processes] == ["met\n"] * len(away)
        return threads, [told[i] for i in here], processes

    yield start
    for process in processes:
        process.kill()
        process.communicate()
    for host in threads:
        if isinstance(host, Hosts):
            cut(host)


@pytest.fixture(params=[1, 2, 3])
def some(request, met):
    """One host alone, two and three that have met."""
    return [Hosts()] if request.param == 1 else met(request.param)[0]


PLAIN = {
    "nothing": (None, None),
    "bool": (True, True),
    "large": (-(2**70), -(2**70)),
    "float": (0.1 + 0.2, 0.1 + 0.2),
    "infinite": (float("-inf"), float("-inf")),
    "text": ("Größe\n\u2028\0\udc80", "Größe\n\u2028\0\udc80"),
    "empty": ([], []),
    "tuples": ((1, (2,)), [1, [2]]),
    "dicts": ({"a": {"b": [None]}, 1: "x"}, {"a": {"b": [None]}, "1": "x"}),
    "long": ("x" * (1 << 20), "x" * (1 << 20)),
}


@pytest.mark.parametrize("value, same", PLAIN.values(), ids=PLAIN.keys())
def test_plain_data_come_from_each_host_in_their_order(some, value, same):
    wanted = [[i, same] for i in range(len(some))]
    assert on_all(some, lambda host: host.exchange((host.index, value))) == [wanted] * len(some)


def test_exchanges_follow_each_other_however_late_a_host_is(met):
    def work(host):
        time.sleep(0.2 * (host.index == 1))
        return [host.exchange(10 * n + host.index) for n in range(50)]

    wanted = [[10 * n, 10 * n + 1, 10 * n + 2] for n in range(50)]
    assert on_all(met(3)[0], work) == [wanted] * 3


def test_what_no_json_holds_is_no_plain_data():
    with pytest.raises(TypeError):
        Hosts().exchange(np.float32(1))


def test_the_first_host_gives_its_own(some):
    assert on_all(some, lambda host: host.of_first({"of": host.index})) == [{"of": 0}] * len(some)


NAN = np.array([0x7FC00001, 0xFF800001, 0x80000000, 1], np.uint32).view(np.float32)  # two NaN, -0.0 and the least
ARRAYS = {
    "bits of float32": NAN,
    "float64": np.array([np.nan, -0.0, np.inf, 5e-324]),
    "bool": np.array([[True, False, True]]),
    "int64": np.array([-(2**63), 2**63 - 1, 0]),
    "bfloat16": np.array([[1.5, -0.0], [np.nan, 3e38]], ml_dtypes.bfloat16),
    "empty": np.zeros([0, 3], np.float32),
    "0-d": np.array(-0.0, np.float32),
    "a step": np.arange(40, dtype=np.int32).reshape(5, 8)[::2, 1::3],
    "turned": np.arange(6, dtype=np.float16).reshape(2, 3).T,
    "large": np.random.default_rng(0).integers(0, 256, 3_000_001).astype(np.uint8),
}


@pytest.mark.parametrize("array", ARRAYS.values(), ids=ARRAYS.keys())
def test_an_array_is_spread_bit_for_bit(some, array):
    def work(host):
        return host.spread(array if host.first else np.ones_like(array)), host.exchange("after")

    for spread, after in on_all(some, work):
        assert (spread.dtype, spread.shape, spread.tobytes()) == (array.dtype, array.shape, array.tobytes())
        assert after == ["after"] * len(some)


@pytest.mark.parametrize("count", range(8))
def test_work_is_divided_and_comes_back_in_order(some, count):
    done = {host.index: [] for host in some}

    def work(host):
        return host.divided(list(range(count)), lambda item: done[host.index].append(item) or [item, host.index])

    n = len(some)
    assert on_all(some, work) == [[[item, item % n] for item in range(count)]] * n
    assert done == {i: list(range(i, count, n)) for i in range(n)}, "an item is not done once"


SAME = {"lr": 0.1, "about": {"a": [1], "b": {"c": None}}}
DIFFERENT = {
    "a value": ({"lr": 0.2}, "lr is 0.2 on {} but 0.1 on {}; give all hosts the same"),
    "inside": ({"about": {"a": [1], "b": {"c": "x"}}}, "c is x on {} but None on {}; "),
    "a list": ({"about": {"a": [1, 2], "b": {"c": None}}}, "a is [1, 2] on {} but [1] on {}; "),
    "missing": ({"about": {"b": {"c": None}}}, "a is None on {} but [1] on {}; "),
    "one more": ({"more": 1}, "more is 1 on {} but None on {}; "),
    "another kind": ({"about": 7}, "about is 7 on {} but {{'a': [1], 'b': {{'c': None}}}} on {}; "),
    "long and broken": ({"lr": "a\n" * 60}, "lr is " + "a " * 30 + "... on {} but 0.1 on {}; "),
}


@pytest.mark.parametrize("theirs, line", DIFFERENT.values(), ids=DIFFERENT.keys())
@pytest.mark.parametrize("other", [1, 2])
def test_hosts_that_differ_are_named_with_what_they_have(met, theirs, line, other):
    hosts, told, _ = met(3)
    errors = on_all(hosts, lambda host: host.agree(**(SAME | theirs if host.index == other else SAME)))
    assert {type(error) for error in errors} == {Disagreement}, errors
    lines = {str(error) for error in errors}
    assert len(lines) == 1 and lines.pop().startswith(line.format(hosts[0].name(other), hosts[0].name(0)))
    assert told == [[], [], []], "each has found it itself"


def test_hosts_that_agree_go_on(some):
    assert on_all(some, lambda host: host.agree(**SAME)) == [None] * len(some)
    assert on_all(some, lambda host: host.exchange(1)) == [[1] * len(some)] * len(some)


def test_a_difference_is_the_first_one():
    assert difference({"a": 1, "b": 2, "c": 3}, {"c": 4, "b": 5, "a": 1}) == ("b", 2, 5)
    assert difference({"a": {"x": 1}}, {"a": {"x": 1}}) is None
    assert difference([1], [2]) == ("", [1], [2])


@pytest.mark.parametrize("failed", [0, 1, 2])
def test_a_host_that_fails_tells_all_others_why(met, failed):
    hosts, told, _ = met(3)
    others = [i for i in range(3) if i != failed]
    waiting = [partial(hosts[i].exchange, 1) for i in others]
    errors = at_once(*waiting, lambda: time.sleep(0.1) or hosts[failed].fail("the disk is full"))[:2]
    assert [(type(error), str(error)) for error in errors] == [(Disagreement, "the disk is full")] * 2
    until(lambda: all(told[i] for i in others))
    cut(hosts[failed])  # as its process ends now, which is no second loss
    time.sleep(0.2)
    assert told == [[] if i == failed else ["the disk is full"] for i in range(3)]


@pytest.mark.parametrize("victim", [0, 1, 2])
def test_a_host_that_is_killed_is_named_once_to_all_others(met, victim):
    hosts, told, (process,) = met(3, away=[victim])
    waiting = [partial(host.exchange, 1) for host in hosts]
    errors = at_once(*waiting, lambda: time.sleep(0.1) or process.kill())[:2]
    line = rf"host {victim} \(127\.0\.0\.1:\d+\) has gone \(.+\); {AGAIN}"
    for error in errors:
        assert isinstance(error, Disagreement) and re.fullmatch(line, str(error)), repr(error)
    until(lambda: all(told))
    time.sleep(0.2)
    assert [len(lines) for lines in told] == [1, 1] and all(re.fullmatch(line, lines[0]) for lines in told), told


@pytest.mark.parametrize("victim", [0, 1])
def test_a_host_that_stops_is_given_up_after_a_while(met, monkeypatch, victim):
    monkeypatch.setattr(module, "SILENCE", 1.5)
    hosts, told, (process,) = met(3, away=[victim])
    time.sleep(2)
    assert told == [[], []], "given up though it gave signs of life"
    begun = time.monotonic()
    process.send_signal(signal.SIGSTOP)
    errors = on_all(hosts, lambda host: host.exchange(1))
    assert 1 < time.monotonic() - begun < 3
    until(lambda: all(told))
    line = f"{hosts[0].name(victim)} has given no sign of life for 2 s; {AGAIN}"
    assert told == [[line], [line]] and [str(error) for error in errors] == [line] * 2


def test_a_loss_is_told_where_nobody_waits_for_that_host(met):
    hosts, told, (process,) = met(2, away=[1])
    process.kill()
    until(lambda: told[0])
    with pytest.raises(Disagreement, match=r"host 1 .*has gone"):
        hosts[0].exchange(1)


def test_the_host_that_has_stopped_is_named_while_it_is_sent_much(met, monkeypatch):
    monkeypatch.setattr(module, "SILENCE", 1.5)
    hosts, told, (process,) = met(3, away=[1])
    process.send_signal(signal.SIGSTOP)
    much = np.zeros(64 << 20, np.uint8)
    errors = on_all(hosts, lambda host: host.spread(much))
    until(lambda: all(told))
    assert [re.match(r"host \d", line)[0] for lines in told for line in lines] == ["host 1"] * 2, told
    assert {type(error) for error in errors} == {Disagreement}, errors


def test_an_orderly_end_is_no_loss_and_host_0_is_the_last(met):
    hosts, told, _ = met(3)
    ended = []

    def slowly(send, host, kind, *rest, **more):
        if kind == "bye":
            time.sleep(0.2 * host.index)
            ended.append(host.index)
        send(kind, *rest, **more)

    def work(host):
        if not host.first:
            host.links[0].send = partial(slowly, host.links[0].send, host)
        host.leave()
        if host.first:
            ended.append(0)
        else:
            cut(host)

    begun = time.monotonic()
    assert on_all(hosts, work) == [None] * 3
    assert 0.4 <= time.monotonic() - begun < 2.5, "host 0 has waited in vain for who has left"
    cut(hosts[0])
    time.sleep(0.2)
    assert ended == [1, 2, 0] and told == [[], [], []]


def test_host_0_waits_for_no_answer_for_ever(met, monkeypatch):
    hosts, told, _ = met(2)
    monkeypatch.setattr(module, "GREETING", 0.5)
    done = at_once(hosts[0].leave, lambda: hosts[1].exchange(None))  # host 1 says no good-bye
    assert done == [None, [None, None]] and told == [[], []]


@pytest.mark.parametrize("lost", [False, True])
def test_who_met_a_loss_first_waits_for_what_is_said_of_it(met, monkeypatch, lost):
    monkeypatch.setattr(module, "SILENCE", 0.5)
    monkeypatch.setattr(module, "GREETING", 0.5)
    here, told = Hosts(), []
    begun = time.monotonic()
    if lost:
        threading.Timer(0.1, lambda: (here.over.set(), told.append(1))).start()
    here.verdict()
    assert (0.6 if lost else 1.5) <= time.monotonic() - begun < (1.4 if lost else 3) and bool(told) == lost


def test_one_host_alone_needs_no_other():
    alone = Hosts()
    array = np.array([np.nan])
    assert (alone.index, alone.count, alone.first, alone.links) == (0, 1, True, [])
    assert alone.spread(array) is array
    assert alone.fail("nobody hears") is None and alone.leave() is None
    assert alone.exchange(1) == [1]  # no end for it
    assert module.current().count == 1


def test_the_current_hosts_are_those_in_use(monkeypatch):
    monkeypatch.setattr(module, "_current", module.current())
    other = Hosts()
    module.use(other)
    assert module.current() is other


@pytest.fixture
def pair(monkeypatch):
    """Host 0 of two, a bare connection in the place of host 1, and the lines that host 0 is told."""
    monkeypatch.setattr(module, "BEAT", 0.1)
    ours = socket.create_server(("127.0.0.1", 0))
    theirs = socket.create_connection(ours.getsockname())
    told = []
    host = Hosts(0, ["a:1", "b:2"], [Link(1, ours.accept()[0])], told.append)
    ours.close()
    yield host, theirs, told
    cut(host)
    theirs.close()


BAD = {
    "cut in its head": (b'["value", 1', "Expecting"),
    "cut in its bytes": (b'["bytes", null, 9]\n1234', "its connection was closed"),
    "no JSON": (b"GET / HTTP/1.1\r\n", "Expecting value"),
    "no UTF-8": (b"\xff\xfe\n", ""),
    "not three": (b'["value"]\n', ""),
    "a number": (b"5\n", ""),
    "a size that is none": (b'["value", 1, "x"]\n', ""),
    "nothing": (b"", "its connection was closed"),
}
DEEP = {
    "nested": (b"[" * 100_000 + b"\n", ""),
    "more than there is room for": (b'["bytes", 1, %d]\n' % 2**60, ""),
    "no number of bytes": (b'["bytes", 1, %d]\n' % 10**30, ""),
}
CASES = [pytest.param(*case, id=name) for name, case in BAD.items()]
CASES += [pytest.param(*case, id=name) for name, case in DEEP.items()]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("message, reason", CASES)
def test_a_damaged_message_is_the_loss_of_its_host(pair, message, reason):
    host, theirs, told = pair
    theirs.sendall(b'["value", "before", 0]\n' + message)
    theirs.shutdown(socket.SHUT_WR)
    assert host.links[0].received.get(timeout=PATIENCE) == "before", "what came whole counts"
    errors = at_once(lambda: host.links[0].received.get(timeout=2))
    assert isinstance(errors[0], Disagreement), errors
    until(lambda: told)
    line = f"host 1 (b:2) has gone ({reason}"
    assert len(told) == 1 and told[0].startswith(line) and told[0].endswith(f"); {AGAIN}")
    assert told[0] == str(errors[0]) and told[0].isprintable()


def test_what_a_newer_one_might_say_is_passed_over(pair):
    host, theirs, told = pair
    theirs.sendall(b'["news", {"a": 1}, 3]\nabc["value", 7, 0]\n["beat", null, 0]\n')
    assert host.exchange(1) == [1, 7] and told == []


def test_two_losses_at_the_same_moment_are_one_end(met):
    hosts, told, _ = met(3)

    class Slow(threading.Event):
        """An event whose answer is a moment old, as it is when the system goes on with another thread."""

        def is_set(self):
            answer = super().is_set()
            time.sleep(0.3)
            return answer

    hosts[0].over = Slow()
    cut(hosts[1])
    cut(hosts[2])
    until(lambda: told[0])
    time.sleep(0.5)
    assert len(told[0]) == 1, told[0]


@pytest.mark.parametrize("call", ["exchange", "spread"])
def test_who_sends_to_a_host_that_has_gone_is_told_so(met, call):
    hosts, told, (process,) = met(2, away=[1])
    hosts[0].links[0].received.put("what it had sent before")
    process.kill()
    until(lambda: told[0])
    with pytest.raises(Disagreement, match=r"host 1 .*has gone"):
        getattr(hosts[0], call)(np.zeros(9) if call == "spread" else 1)
