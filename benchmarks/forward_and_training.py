#!/usr/bin/env python3
"""Is one forward pass and one training step faster than Hugging Face's ImageGPT on PyTorch?

The shape of iGPT-S (24 blocks, width 512, 8 heads, 512 colours), random weights, 1,024 positions, float32, CPU.
Each measurement is a process of its own (so that its peak memory is its own), the two sides taking turns; a step is
forward, backward and Adam. Reported is the fastest of the repetitions, and the highest memory.
"""

import argparse
import json
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.child import peak_gib, run_child  # noqa: E402

SIDES = {"ours": "this project", "hf": "Hugging Face"}


def ours(what, batch):
    """A function that runs one forward pass or training step of this project."""
    from src.cli.process import import_tensorflow

    import_tensorflow()
    import tensorflow as tf

    from src.config import SIZES
    from src.model import ImageGPT
    from src.training.loop import summed
    from src.training.pretraining import Pretraining, Recipe, Tokens

    model = ImageGPT(SIZES["s"])
    x = tf.random.stateless_uniform([batch, 1024], [0, 0], 0, 512, tf.int32)
    if what == "forward":
        forward = tf.function(lambda x: model(x)["gen_logits"])
        return lambda: forward(x).numpy()
    strategy = tf.distribute.get_strategy()
    task = Pretraining(model, Recipe(n_batch=batch, lr=1e-3), Tokens(x.numpy()), strategy, batch)
    step = summed(strategy, task.update)
    return lambda: step((x, tf.ones([batch, 1024])))["loss"].numpy()


def hf(what, batch):
    """The same for transformers' ImageGPT."""
    import torch
    from transformers import ImageGPTConfig, ImageGPTForCausalImageModeling

    model = ImageGPTForCausalImageModeling(ImageGPTConfig(resid_pdrop=0, embd_pdrop=0, attn_pdrop=0, use_cache=False))
    x = torch.randint(0, 512, [batch, 1024])
    if what == "forward":
        model.eval()
        return lambda: torch.no_grad()(model)(input_ids=x).logits
    optimizer = torch.optim.Adam(model.parameters(), 1e-3, betas=(0.9, 0.95))

    def step():
        optimizer.zero_grad(set_to_none=True)
        model(input_ids=x, labels=x).loss.backward()
        optimizer.step()

    return step


def child(side, what, batch, repeats):
    """Measure one side in this process: seconds (fastest) and peak memory as JSON on standard output."""
    call, seconds = {"ours": ours, "hf": hf}[side](what, batch), []
    call()  # traces, allocates
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    print(json.dumps({"seconds": min(seconds), "peak_gib": peak_gib()}))


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--batch", type=int, default=4)
    p.add_argument("--repeats", type=int, default=2, help="timed calls in each process")
    p.add_argument("--rounds", type=int, default=1, help="processes for each side")
    p.add_argument("--child", nargs=2, metavar=("SIDE", "WHAT"), help=argparse.SUPPRESS)
    args = p.parse_args()
    if args.child:
        return child(*args.child, args.batch, args.repeats)
    print(f"iGPT-S, random weights, batch {args.batch}, float32, CPU\n")
    print(f"{'':15}{'this project':>24}{'Hugging Face':>24}{'ratio':>8}")
    for what in ("forward", "training step"):
        best = {}
        for side in list(SIDES) * args.rounds:
            flags = ["--batch", args.batch, "--repeats", args.repeats]
            new = run_child(__file__, *flags, "--child", side, what)
            old = best.get(side, new)
            best[side] = {
                "seconds": min(old["seconds"], new["seconds"]),
                "peak_gib": max(old["peak_gib"], new["peak_gib"]),
            }
        cells = "".join(f"{b['seconds']:>12.2f} s {b['peak_gib']:>5.1f} GiB" for b in (best["ours"], best["hf"]))
        print(f"{what:15}{cells}{best['hf']['seconds'] / best['ours']['seconds']:>7.1f}x", flush=True)


if __name__ == "__main__":
    main()
