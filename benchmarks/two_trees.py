#!/usr/bin/env python3
"""Is this tree slower than another one, such as the last release? `python benchmarks/two_trees.py path/to/other/clone`

The same commands run in both, taking turns: drawing, evaluating, enlarging, training. The least processor
time counts, so that other programs hardly matter, and that of the same command with next to nothing to do
(start-up, tracing) is taken off. One line each: the other tree, this one, and how much longer this one takes.
"""

import argparse
import itertools
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
MODEL = ["--ckpt_path", str(ROOT / "pretrained" / "igpt-fashion-mnist")]
SHAPE = ["--n_px", "28", "--n_embd", "128", "--n_head", "2", "--n_layer", "6"]


def commands(folder):
    """Name to a command and the same with next to nothing to do, or None where there is no such thing."""
    data, photo, spot, photos = (str(folder / name) for name in ("data", "photo.png", "spot.png", "photos"))
    draw = ["run.py", "--sample", *MODEL, "--n_samples"]
    evaluate = ["run.py", "--eval", *MODEL, "--splits", "test", "--n_sub_batch", "16", "--data_path"]
    train = ["run.py", "--train", "--data_path", data, *SHAPE, "--warmup_steps", "1", "--n_sub_batch", "8", "--steps"]
    srresnet = ["srgan.py", "--train", photos, "--blocks", "4", "--epochs", "1", "--n_batch", "8", "--steps"]
    gan = [
        "srgan.py",
        "--train",
        photos,
        "--stage",
        "gan",
        "--content",
        "pixel",
        "--epochs",
        "1",
        "--n_batch",
        "4",
        "--steps",
    ]
    return {
        **{f"draw {n}, start-up too": ([*draw, str(n)], None) for n in (1, 8, 32)},
        "evaluate 384 images": ([*evaluate, data], [*evaluate, f"{data}-few"]),
        "24 training steps": ([*train, "26"], [*train, "2"]),
        "ESPCN x4": (["espcn.py", "--upscale", photo], ["espcn.py", "--upscale", spot]),
        "SRGAN x4": (["srgan.py", "--upscale", photo], ["srgan.py", "--upscale", spot]),
        "80 steps of SRResNet": ([*srresnet, "82"], [*srresnet, "2"]),
        "40 steps of SRGAN": ([*gan, "42"], [*gan, "2"]),
    }


def write_inputs(folder):
    """Images and token files for the commands."""
    rng = np.random.default_rng(0)
    (folder / "photos").mkdir()
    for i in range(3):
        smooth = Image.fromarray(rng.integers(0, 256, [30, 40, 3], np.uint8)).resize(
            (400, 300), Image.Resampling.BICUBIC
        )
        smooth.save(folder / "photos" / f"{i}.png")
    smooth.resize((640, 480)).save(folder / "photo.png")
    smooth.resize((16, 16)).save(folder / "spot.png")
    for name, n in (("data", 400), ("data-few", 16)):
        np.save(folder / f"{name}_clusters.npy", np.load(f"{MODEL[1]}/clusters.npy"))
        for split in ("tr", "te"):
            np.save(folder / f"{name}_{split}X.npy", rng.integers(0, 16, [n, 784]).astype(np.uint8))


def processor_seconds(tree, command):
    """Processor time of a command in a tree."""
    with tempfile.TemporaryDirectory() as save_dir:
        before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
        line = [sys.executable, *command, *([] if "--eval" in command else ["--save_dir", save_dir])]
        done = subprocess.run(line, cwd=tree, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(f"{tree}: {' '.join(command)}\n{done.stderr[-2000:]}")
        return resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("other", type=Path, help="another clone")
    p.add_argument("--rounds", type=int, default=3, help="times that each command runs in each tree")
    p.add_argument("--only", nargs="+", default=[""], help="beginnings of the lines to measure")
    args = p.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        write_inputs(Path(folder))
        print(f"{'':22}{'other':>10}{'this':>10}{'longer by':>12}")
        for name, (long, short) in commands(Path(folder)).items():
            if not name.startswith(tuple(args.only)):
                continue
            best = {}
            pair = [command for command in (long, short) if command]
            for _, tree, (i, command) in itertools.product(range(args.rounds), (args.other, ROOT), enumerate(pair)):
                best[tree, i] = min(processor_seconds(tree, command), best.get((tree, i), np.inf))
            old, new = (best[tree, 0] - best.get((tree, 1), 0) for tree in (args.other, ROOT))
            print(f"{name:22}{old:>9.2f}s{new:>9.2f}s{100 * (new / old - 1):>11.1f}%", flush=True)


if __name__ == "__main__":
    main()
