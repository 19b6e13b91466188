"""Commands on several hosts: processes on loopback, or in network namespaces of their own."""

import socket
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
MOST = 300  # seconds that a command may take, on busy cores


def addresses(n):
    """n addresses on loopback whose ports are free."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(n)]
    found = [f"127.0.0.1:{each.getsockname()[1]}" for each in sockets]
    for each in sockets:
        each.close()
    return found


def start(hosts, index, folder, *args, within=()):
    """Start `python args...` as one of the hosts, its own --save_dir being `folder`/INDEX, if it reads one.

    Args:
        within: a command that runs it, such as `ip netns exec NAME`.
    """
    place = ["--hosts", ",".join(hosts), "--host_index", index]
    place += ["--save_dir", Path(folder) / str(index)] if folder else []
    command = [*within, sys.executable, *args, *place]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([str(part) for part in command], cwd=ROOT, **pipes)


def finish(process, timeout=MOST):
    """(exit code, standard output, standard error) of a process that ends by itself."""
    try:
        out, err = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        raise AssertionError(f"a host did not end within {timeout} s: {process.communicate()[1][-300:]}") from None
    return process.returncode, out, err


def run_hosts(n, folder, *args, each=lambda index: ()):
    """What the hosts of a command end with, which is to be exit code 0: their standard outputs.

    Args:
        each: more flags of the host of an index.
    """
    hosts = addresses(n)
    processes = [start(hosts, index, folder, *args, *each(index)) for index in range(n)]
    ends = [finish(process) for process in processes]
    assert [code for code, *_ in ends] == [0] * n, [err[-300:] for *_, err in ends]
    return [out for _, out, _ in ends]


def last_line(err):
    """The last line of a standard error, behind any progress bar."""
    return err.replace("\r", "\n").strip().splitlines()[-1]
