"""Mutated configurations, shard indices, headers and checkpoint indices: nothing but `InputError` may leave a parser.

python -m tests.fuzz.fuzz_weights --n 100000 --seed 0
"""

import argparse
import json
import shutil
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from safetensors.numpy import save

from src.config import InputError
from src.data.palettes import json_clusters
from src.weights.huggingface import CONFIG, read_hparams
from src.weights.index import read_index
from src.weights.shards import INDEX, header, shards

DATA = Path(__file__).parent.parent / "data"
ODD = [
    '"a"',
    "1.5",
    "null",
    "[]",
    "{}",
    "true",
    "-1",
    "0",
    "1e999",
    "5000000",
    "9" * 400,
    "NaN",
    '"../x"',
    '"\\ud800"',
    "[" * 3000,
]


def mutated(content: bytes, rng: np.random.Generator) -> bytes:
    """The content with a few bits flipped, cut off, spliced, or with a value that is odd."""
    data = bytearray(content)
    for _ in range(rng.integers(1, 4)):
        kind, at = rng.integers(5), int(rng.integers(len(data) + 1))
        if kind == 0 and at < len(data):
            data[at] ^= 1 << int(rng.integers(8))
        elif kind == 1:
            del data[at:]
        elif kind == 2:
            data[at:at] = rng.bytes(int(rng.integers(1, 9)))
        elif kind == 3:
            start = int(rng.integers(len(data) + 1))
            data[at:at] = data[start : start + int(rng.integers(1, 40))]
        else:
            colon = data.find(b":", at)
            if colon >= 0:
                end = min((e for e in (data.find(b",", colon), data.find(b"}", colon)) if e > 0), default=len(data))
                data[colon + 1 : end] = ODD[int(rng.integers(len(ODD)))].encode()
    return bytes(data)


def parsers(folder: Path) -> dict:
    """Name to (a good file's content, where it is written to, what parses it)."""
    index = json.dumps({"metadata": {"total_size": 9}, "weight_map": {"wte.weight": "a.safetensors"}}).encode()
    processor = json.dumps({"clusters": [[-1, 0, 1], [0.5, 0, 0]], "size": {"height": 4, "width": 4}}).encode()
    prefix = folder / "model.ckpt-1"
    shutil.copy(DATA / "ar" / "model.ckpt-1000000.data-00000-of-00001", f"{prefix}.data-00000-of-00001")
    tensors = save({"wte.weight": np.ones([2, 3], np.float32), "ln_f.weight": np.ones(3, np.float16)})
    return {
        "configuration": ((DATA / "hf" / CONFIG).read_bytes(), folder / CONFIG, lambda path: read_hparams(folder)),
        "shard index": (index, folder / INDEX, lambda path: shards(folder)),
        "palette": (processor, folder / "preprocessor_config.json", json_clusters),
        "header": (tensors, folder / "a.safetensors", header),
        "index": (
            (DATA / "ar" / "model.ckpt-1000000.index").read_bytes(),
            folder / "model.ckpt-1.index",
            lambda path: read_index(prefix),
        ),
    }


def fuzz(n: int, seed: int, folder: Path) -> dict[str, tuple[int, float]]:
    """Run n mutated inputs through each parser; name to (how many were refused, seconds)."""
    counts, rng = {}, np.random.default_rng(seed)
    for name, (good, path, parse) in parsers(folder).items():
        start, refused = time.perf_counter(), 0
        path.write_bytes(good)
        parse(path)
        for _ in range(n):
            path.write_bytes(mutated(good, rng))
            try:
                parse(path)
            except InputError:
                refused += 1
            except BaseException:
                kept = Path(tempfile.gettempdir()) / f"fuzz-{path.name}"
                shutil.copy(path, kept)
                print(f"{name}: the input is kept as {kept}", file=sys.stderr)
                raise
        counts[name] = refused, time.perf_counter() - start
    return counts


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--n", type=int, default=100_000, help="inputs for each parser")
    p.add_argument("--seed", type=int, default=0)
    args = p.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for name, (refused, seconds) in fuzz(args.n, args.seed, Path(folder)).items():
            print(f"{name}: {args.n} inputs, {refused} refused, {seconds:.0f} s")


if __name__ == "__main__":
    main()
