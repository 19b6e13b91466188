#!/usr/bin/env python3
"""Kill or stop a random one of two hosts at random moments of a training, start both again, until it is done.

    python -m tests.fuzz.chaos --runs 20

Every run has to end with the very weights of the one that was left alone, every survivor within a minute with one line
and an exit code, and nothing half-written may lie in host 0's folder. One run of four stops a host (SIGSTOP) instead.
"""

import argparse
import random
import shutil
import signal
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np

from tests.hosts import addresses, finish, last_line, start

STEPS, ALONE = 80, 60  # updates; seconds a survivor may take
SIZES = ["--n_px", "4", "--n_embd", "8", "--n_head", "2", "--n_layer", "2", "--n_batch", "4", "--ema", "0.9"]
EVERY = ["--log_every", "5", "--eval_every", "30", "--save_every", "10", "--steps", str(STEPS), "--host_wait", "20"]


def make_data(folder):
    """Token files of 4x4 pixels in six colours."""
    rng = np.random.default_rng(0)
    for split in ("tr", "va"):
        np.save(folder / f"tokens_{split}X.npy", rng.integers(0, 6, [50, 16]).astype(np.uint8))
    np.save(folder / "tokens_clusters.npy", np.linspace(-1, 1, 6, dtype=np.float32)[:, None].repeat(3, 1))


def begin(data, folder):
    """The processes of two hosts that train from the newest state."""
    hosts = addresses(2)
    flags = ["run.py", "--train", "--data_path", data / "tokens", *SIZES, *EVERY]
    return [start(hosts, index, folder, *flags) for index in range(2)]


def steps_done(folder):
    """The steps of the newest state of host 0."""
    return max((int(p.stem.split("-")[1]) for p in (folder / "0" / "state").glob("ckpt-*.index")), default=0)


def strike(processes, victim, number):
    """Send a signal to a host: (victim, exit code of the other one, seconds until then, its last line)."""
    processes[victim].send_signal(number)
    struck = time.monotonic()
    code, _, err = finish(processes[1 - victim], 2 * ALONE)
    seconds = time.monotonic() - struck
    processes[victim].kill()
    processes[victim].communicate()
    return victim, code, seconds, last_line(err) if err.strip() else ""


def disturb(processes, number, rng, most):
    """Strike a random host at a random moment; None if all was done before."""
    time.sleep(rng.uniform(0, most))
    victim = rng.randrange(2)
    return strike(processes, victim, number) if processes[victim].poll() is None else None


def one_run(data, folder, number, rng, most):
    """Disturb a training twice, then let it end: [(seconds to the survivor's end)], all checked."""
    seconds = []
    for attempt in range(20):
        processes = begin(data, folder)
        found = disturb(processes, number, rng, most) if attempt < 2 else None
        if found is None:
            ends = [finish(process) for process in processes]
            assert [code for code, *_ in ends] == [0, 0], [err[-300:] for *_, err in ends]
            return seconds
        victim, code, waited, line = found
        print(
            f"  host {victim} {signal.Signals(number).name} at step {steps_done(folder)}: {waited:.1f} s, {line}",
            flush=True,
        )
        if code == 0:  # it had done all it had to
            continue
        assert waited < ALONE and line.startswith("run.py: "), (waited, code, line)
        seconds.append(waited)
    raise AssertionError("20 attempts were not enough")


def result(folder):
    """The bytes of the checkpoint, when nothing half-written lies beside it."""
    left = [path for path in (folder / "0").rglob("*") if ".part" in path.name]
    assert not left, left
    assert not (folder / "1").exists()
    return (folder / "0" / f"model.ckpt-{STEPS}.data-00000-of-00001").read_bytes()


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--runs", type=int, default=20)
    p.add_argument("--seed", type=int, default=0)
    args = p.parse_args()
    root, seconds = Path(tempfile.mkdtemp()), []
    make_data(root)
    begun = time.monotonic()
    for process in begin(root, root / "alone"):
        assert finish(process)[0] == 0
    alone, whole = result(root / "alone"), time.monotonic() - begun
    print(f"left alone: {whole:.0f} s", flush=True)
    for run in range(args.runs):
        number = signal.SIGSTOP if run % 4 == 3 else signal.SIGKILL
        folder = root / str(run)
        seconds += one_run(root, folder, number, random.Random(f"{args.seed} {run}"), whole)
        assert result(folder) == alone, f"run {run} has other weights"
        print(f"run {run + 1}: the same weights", flush=True)
    shutil.rmtree(root)
    spread = f"median {statistics.median(seconds):.1f} s, longest {max(seconds):.1f} s"
    print(f"{args.runs} runs, {len(seconds)} losses: survivors ended after {spread}; all ended with the same weights")


if __name__ == "__main__":
    main()
