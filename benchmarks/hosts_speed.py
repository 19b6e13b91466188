#!/usr/bin/env python3
"""How much faster is an update on two hosts? Two processes of one core each against one process of one core.

The bundled 32x32 model's shape with new weights, float32, the same global batch, Adam. Hosts meet on loopback, where
the sum of the gradients costs processor time that a network card would spare. Medians of the seconds that an update
took on host 0, the first ones left out, in turns.
"""

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

LEFT_OUT = 3  # the first updates, which trace and allocate


def child(args):
    """Train on one core as one of the hosts; host 0 prints the seconds of each update."""
    os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[args.child]})
    from src.cli.process import import_tensorflow

    import_tensorflow()
    import numpy as np

    from src import hosts
    from src.config import BUNDLED
    from src.devices import make_strategy
    from src.meeting import meet
    from src.model import ImageGPT
    from src.training import pretraining
    from src.training.loop import Intervals, train
    from src.training.runs import open_run
    from src.weights.checkpoint import checkpoint_prefix, open_checkpoint

    if len(args.hosts) > 1:
        hosts.use(meet(args.hosts, args.child, {}, 300, lambda line: os._exit(1)))
    strategy, times = make_strategy(), []
    hparams, _ = open_checkpoint(checkpoint_prefix(BUNDLED))
    recipe = pretraining.Recipe(steps=LEFT_OUT + args.repeats, n_batch=args.n_batch)
    tokens = np.random.default_rng(0).integers(0, hparams.n_vocab, [64, hparams.n_positions])
    with strategy.scope():
        model = ImageGPT(hparams)
        task = pretraining.Pretraining(model, recipe, pretraining.Tokens(tokens), strategy, args.n_batch)
    often = Intervals(1, 10**9, 10**9)  # a report waits for the update's end
    with tempfile.TemporaryDirectory() as folder, open_run(folder, {"recipe": {"steps": recipe.steps}}) as run:
        train(task, run, strategy, often, lambda *_: times.append(time.perf_counter()))
    if hosts.current().first:
        print(json.dumps(np.diff(times)[LEFT_OUT - 1 :].tolist()), flush=True)
    hosts.current().leave()
    os._exit(0)


def run_hosts(n, args):
    """Seconds of every update on n hosts."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(n)]
    addresses = [f"127.0.0.1:{each.getsockname()[1]}" for each in sockets]
    for each in sockets:
        each.close()
    more = ["--repeats", args.repeats, "--n_batch", args.n_batch, "--hosts", *addresses]
    commands = [[sys.executable, __file__, "--child", index, *more] for index in range(n)]
    processes = [subprocess.Popen(list(map(str, c)), stdout=subprocess.PIPE, text=True) for c in commands]
    outputs = [process.communicate()[0] for process in processes]
    return json.loads(outputs[0])


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--repeats", type=int, default=6, help="timed updates in each process")
    p.add_argument("--rounds", type=int, default=2, help="processes for each side")
    p.add_argument("--n_batch", type=int, default=8, help="images an update, over all hosts")
    p.add_argument("--child", type=int, metavar="INDEX", help=argparse.SUPPRESS)
    p.add_argument("--hosts", nargs="+", help=argparse.SUPPRESS)
    args = p.parse_args()
    if args.child is not None:
        return child(args)
    import numpy as np

    seconds = {1: [], 2: []}
    for n in [1, 2] * args.rounds:
        seconds[n] += run_hosts(n, args)
    one, two = (np.median(each) for each in seconds.values())
    print(f"an update of {args.n_batch} images: one process {one:.2f} s, two {two:.2f} s: {one / two:.2f}x")


if __name__ == "__main__":
    main()
