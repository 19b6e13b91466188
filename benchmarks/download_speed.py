#!/usr/bin/env python3
"""Does a download keep up with curl?

Serves 1 GB on loopback, with Content-MD5 as the bucket does, and fetches it with curl and with `src.weights.transfer`
in turns, each in a process of its own; prints the fastest of each, their ratio, and our peak memory beyond start-up.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))


def child(url, path):
    """Fetch one file; print seconds and megabytes beyond start-up as JSON."""
    from src.weights.arrivals import File
    from src.weights.fetching import fetch

    start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    fetch([File(url, Path(path))])
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps({"seconds": time.perf_counter() - start, "megabytes": (after - before) / 1024}))


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    args = p.parse_args()
    if args.child:
        return child(*args.child)
    from tests.server import serving

    ours, curls, memory = [], [], []
    with tempfile.TemporaryDirectory() as folder, serving({"/a": bytes(10**9)}) as server:
        for i in range(args.rounds):
            start = time.perf_counter()
            subprocess.run(["curl", "-sfo", f"{folder}/curl-{i}", f"{server.url}/a"], check=True)
            curls.append(time.perf_counter() - start)
            command = [sys.executable, __file__, "--child", f"{server.url}/a", f"{folder}/ours-{i}"]
            result = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
            ours.append(result["seconds"])
            memory.append(result["megabytes"])
            for name in ("curl", "ours"):
                Path(folder, f"{name}-{i}").unlink()
    print(f"1 GB from loopback, fastest of {args.rounds}")
    print(f"curl       {min(curls):6.2f} s   (does not check the contents)")
    print(f"download   {min(ours):6.2f} s   {min(curls) / min(ours):.2f} of curl's speed, MD5 checked")
    print(f"peak memory beyond start-up {max(memory):.0f} MB")


if __name__ == "__main__":
    main()
