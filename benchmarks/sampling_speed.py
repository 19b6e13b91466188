#!/usr/bin/env python3
"""Is drawing images faster than Hugging Face's cached `generate` on PyTorch, and how much memory does it take?

The shape of iGPT-S with random weights (1,024 positions) and the bundled models (1,024 and, of greys, 784), float32,
CPU. Each measurement is a process of its own: the seconds are those of the one call that draws the images, tracing
included; the memory is the peak beyond what the imported libraries take, beside the sum of weights and cache.
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.child import peak_gib, run_child  # noqa: E402


def ours(shape, batch, given):
    """(peak memory of the libraries, the call, bytes of weights and cache) for this project."""
    from src.cli.process import import_tensorflow

    import_tensorflow()
    import numpy as np

    from src.config import BUNDLED, BUNDLED_GREY, SIZES
    from src.drawing.sampling import Sampler
    from src.model import ImageGPT
    from src.utils import count_parameters
    from src.weights.checkpoint import load_model

    libraries = peak_gib()
    paths = {"bundled": BUNDLED, "grey": BUNDLED_GREY}
    model = load_model(paths[shape]) if shape in paths else ImageGPT(SIZES[shape])
    h = model.hparams
    prefix = np.random.default_rng(0).integers(0, h.n_vocab, [batch, given])
    held = 4 * (count_parameters(model.params.values()) + 2 * batch * h.n_layer * h.n_positions * h.n_embd)
    return libraries, lambda: Sampler(model, n_batch=batch).draw(prefix=prefix), held


def hf(shape, batch, given):
    """The same for transformers' ImageGPT."""
    import numpy as np
    import torch
    from transformers import ImageGPTConfig, ImageGPTForCausalImageModeling, logging

    from src.config import SIZES

    logging.set_verbosity_error()
    libraries = peak_gib()
    if shape in ("bundled", "grey"):
        with tempfile.TemporaryDirectory() as folder:
            run_child(__file__, "--child", "export", "--shapes", shape, "--folder", folder)
            model = ImageGPTForCausalImageModeling.from_pretrained(folder)
    else:
        h = SIZES[shape]
        config = ImageGPTConfig(n_embd=h.n_embd, n_layer=h.n_layer, n_head=h.n_head)
        model = ImageGPTForCausalImageModeling(config)
    model.eval()
    c = model.config
    sos = np.full([batch, 1], c.vocab_size - 1)
    prefix = np.concatenate([sos, np.random.default_rng(0).integers(0, c.vocab_size - 1, [batch, given])], axis=1)
    held = 4 * (sum(p.numel() for p in model.parameters()) + 2 * batch * c.n_layer * c.n_positions * c.n_embd)
    options = {"max_length": c.n_positions + 1, "do_sample": True, "top_k": 0, "use_cache": True}
    return libraries, lambda: model.generate(torch.tensor(prefix), **options), held


def export(shape, folder):
    """Write a bundled model in Hugging Face's layout, in a process of its own, whose memory does not count."""
    from src.cli.process import import_tensorflow

    import_tensorflow()
    from src.config import BUNDLED, BUNDLED_GREY
    from src.data.palettes import load_clusters
    from src.weights.checkpoint import checkpoint_prefix, load_model, palette_beside
    from src.weights.huggingface import export_folder

    prefix = checkpoint_prefix({"bundled": BUNDLED, "grey": BUNDLED_GREY}[shape])
    export_folder(load_model(prefix), load_clusters(palette_beside(prefix)), folder)
    return {}


def measure(side, shape, batch, given):
    libraries, call, held = {"ours": ours, "hf": hf}[side](shape, batch, given)
    start = time.perf_counter()
    images = call()
    seconds = time.perf_counter() - start
    assert len(images) == batch
    return {"seconds": seconds, "gib": peak_gib() - libraries, "held": held / 2**30}


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--shapes", nargs="+", default=["s", "bundled"], choices=["s", "m", "l", "bundled", "grey"])
    p.add_argument("--batch", nargs="+", type=int, default=[1, 8, 32])
    p.add_argument("--given", type=int, default=0, help="positions that need not be drawn")
    p.add_argument("--child", choices=["ours", "hf", "export"], help=argparse.SUPPRESS)
    p.add_argument("--folder", help=argparse.SUPPRESS)
    args = p.parse_args()
    if args.child == "export":
        return print(json.dumps(export(args.shapes[0], args.folder)))
    if args.child:
        return print(json.dumps(measure(args.child, args.shapes[0], args.batch[0], args.given)))
    print(f"{'model':8} {'batch':>5}{'this project':>30}{'Hugging Face':>30}{'ratio':>8}   weights + cache")
    for shape in args.shapes:
        for batch in args.batch:
            flags = ["--shapes", shape, "--batch", batch, "--given", args.given]
            a, b = (run_child(__file__, "--child", side, *flags) for side in ("ours", "hf"))
            cells = "".join(f"{x['seconds']:>18.1f} s {x['gib']:>5.2f} GiB" for x in (a, b))
            print(f"{shape:8} {batch:>5}{cells}{b['seconds'] / a['seconds']:>7.1f}x {a['held']:>10.2f} GiB", flush=True)


if __name__ == "__main__":
    main()
