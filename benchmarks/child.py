"""Measurements in processes of their own, so that each has its own peak memory."""

import json
import subprocess
import sys
import time
from pathlib import Path


def peak_gib():
    """The highest memory of this process so far."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 2**20


def run_child(script, *args):
    """What `script` prints last, as JSON, in a new process; ends this one with its last line if it fails."""
    done = subprocess.run([sys.executable, script, *map(str, args)], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, args))}: {done.stderr.strip().splitlines()[-1]}")
    return json.loads(done.stdout.splitlines()[-1])


def fastest(call, repeats):
    """(what the first call returns, the fastest seconds of `repeats` more)."""
    first, seconds = call(), []  # the first one traces and allocates
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return first, min(seconds)
