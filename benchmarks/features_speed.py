#!/usr/bin/env python3
"""Are the features of every layer faster than through Hugging Face's `output_hidden_states` on PyTorch?

The shape of iGPT-S (24 blocks, width 512, 1,024 positions), the same random weights on both sides, float32, CPU. Both
write the mean over positions of each layer's normed features to a file, batch by batch; theirs needs the norm of each
block behind its hidden state. Each side is a process of its own, with its own peak memory; the first batch, which
traces and allocates, is not timed. The features must agree.
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402

from benchmarks.child import peak_gib, run_child  # noqa: E402

ASKED = 10_000  # images


def model_of_s():
    from src.cli.process import import_tensorflow

    import_tensorflow()
    from src.config import SIZES
    from src.model import ImageGPT

    return ImageGPT(SIZES["s"])


def export(folder):
    """The model in Hugging Face's layout."""
    from src.weights.huggingface import export_folder

    export_folder(model_of_s(), np.linspace(-1, 1, 512, dtype=np.float32)[:, None].repeat(3, 1), folder)
    return {}


def ours(folder, batch):
    """A function from tokens [n, s] and an array [n, 25, 512] that writes the features into it."""
    import tensorflow as tf

    from src.measuring.features import Features

    return Features(model_of_s(), tf.distribute.get_strategy(), batch).write


def hf(folder, batch):
    import torch
    from transformers import ImageGPTModel, logging

    logging.set_verbosity_error()
    model = ImageGPTModel.from_pretrained(folder).eval()

    def write(X, out):
        for i in range(0, len(X), batch):
            x = X[i : i + batch]
            x = torch.tensor(np.concatenate([np.full([len(x), 1], 512), x[:, :-1]], axis=1))  # behind their start token
            with torch.no_grad():
                states = model(input_ids=x, output_hidden_states=True, use_cache=False).hidden_states
                means = [block.ln_1(h).mean(1) for block, h in zip(model.h, states)] + [states[-1].mean(1)]
                out[i : i + batch] = torch.stack(means, dim=1).numpy()

    return write


def measure(side, folder, batch, n):
    """Seconds, peak memory and some of the features of one side."""
    write, X = {"ours": ours, "hf": hf}[side](folder, batch), np.random.default_rng(0).integers(0, 512, [n, 1024])
    out = np.lib.format.open_memmap(Path(folder) / f"{side}.npy", "w+", np.float32, (n, 25, 512))
    write(X[:batch], out[:batch])
    start = time.perf_counter()
    write(X, out)
    return {"seconds": time.perf_counter() - start, "gib": peak_gib(), "sample": out[:2, ::6, ::50].tolist()}


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--n", type=int, default=32, help="images")
    p.add_argument("--batch", type=int, default=4)
    p.add_argument("--child", choices=["export", "ours", "hf"], help=argparse.SUPPRESS)
    p.add_argument("--folder", help=argparse.SUPPRESS)
    args = p.parse_args()
    if args.child == "export":
        return print(json.dumps(export(args.folder)))
    if args.child:
        return print(json.dumps(measure(args.child, args.folder, args.batch, args.n)))
    with tempfile.TemporaryDirectory() as folder:
        run_child(__file__, "--child", "export", "--folder", folder)
        flags = ["--folder", folder, "--n", args.n, "--batch", args.batch]
        a, b = (run_child(__file__, "--child", side, *flags) for side in ("ours", "hf"))
    np.testing.assert_allclose(a["sample"], b["sample"], atol=1e-3)
    print(f"features of {args.n} images, iGPT-S, batch {args.batch}, float32, CPU; of {ASKED:,} by proportion\n")
    for name, run in (("this project", a), ("Hugging Face", b)):
        hours = run["seconds"] / args.n * ASKED / 3600
        print(f"{name:14}{run['seconds']:>8.1f} s{hours:>8.1f} h of {ASKED:,}{run['gib']:>8.2f} GiB at most")
    print(f"{b['seconds'] / a['seconds']:.1f}x")


if __name__ == "__main__":
    main()
