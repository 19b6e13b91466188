#!/usr/bin/env python3
"""Does transformers compute our logits from an exported model?

Exports a checkpoint (the bundled one of greys by default) with `huggingface.export_folder`, loads the folder with
`ImageGPTForCausalImageModeling.from_pretrained` on PyTorch, and compares the logits on the first test images.
"""

import argparse
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from src.cli.process import import_tensorflow, run  # noqa: E402

import_tensorflow()
import numpy as np  # noqa: E402
import torch  # noqa: E402
from transformers import ImageGPTForCausalImageModeling  # noqa: E402

from src.config import BUNDLED_GREY  # noqa: E402
from src.data.palettes import load_clusters  # noqa: E402
from src.weights import huggingface  # noqa: E402
from src.weights.checkpoint import checkpoint_prefix, load_model, palette_beside  # noqa: E402


def main(argv=None):
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--ckpt_path", default=str(BUNDLED_GREY))
    p.add_argument("--tokens", default=str(ROOT / "tests" / "data" / "fashion_mnist_teX.npy"))
    p.add_argument("--n", type=int, default=4)
    args = p.parse_args(argv)
    prefix = checkpoint_prefix(args.ckpt_path)
    model, X = load_model(prefix), np.load(args.tokens)[: args.n].astype(np.int32)
    with tempfile.TemporaryDirectory() as folder:
        huggingface.export_folder(model, load_clusters(palette_beside(prefix)), folder)
        theirs = ImageGPTForCausalImageModeling.from_pretrained(folder).eval()
    start = np.full([len(X), 1], model.hparams.n_vocab)
    with torch.no_grad():
        logits = theirs(input_ids=torch.tensor(np.concatenate([start, X[:, :-1]], axis=1))).logits.numpy()
    ours = model(X)["gen_logits"].numpy()
    print(f"{len(X)} images, logits {list(ours.shape)}: largest difference {np.abs(ours - logits).max():.2e}", end=" ")
    print(f"(largest logit {np.abs(ours).max():.1f})")


if __name__ == "__main__":
    run(main)
