"""Measurements in processes of their own, so that each has its own peak memory."""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np


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


def race(script, description, sides, tasks, repeats, atol):
    """The command line of a benchmark: a table of every task's fastest time on every side, this project first.

    Args:
        script: the benchmark's file.
        sides: a heading to a function of a task that returns what is timed, whose results (lists) are compared, too.
        tasks: by name.
        repeats: timed calls in each process, by default.
        atol: by which results may differ.
    """
    p = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--repeats", type=int, default=repeats, help="timed calls in each process")
    p.add_argument("--rounds", type=int, default=2, help="processes for each side")
    p.add_argument("--child", nargs=2, metavar=("SIDE", "TASK"), help=argparse.SUPPRESS)
    args = p.parse_args()
    if args.child:
        side, task = args.child
        result, seconds = fastest(sides[side](tasks[task]), args.repeats)
        return print(json.dumps({"seconds": seconds, "result": result}))
    ours, *others = sides
    print(f"{'':22}" + "".join(f"{side:>16}" for side in sides) + "   ours against the fastest other")
    for task in tasks:
        done = {side: [] for side in sides}
        for side in list(sides) * args.rounds:
            done[side].append(run_child(script, "--repeats", args.repeats, "--child", side, task))
        for side in others:
            np.testing.assert_allclose(done[side][0]["result"], done[ours][0]["result"], rtol=0, atol=atol)
        best = {side: min(run["seconds"] for run in runs) for side, runs in done.items()}
        cells = "".join(f"{1000 * seconds:>13.0f} ms" for seconds in best.values())
        print(f"{task:22}{cells}{min(best[side] for side in others) / best[ours]:>8.2f}x", flush=True)
