#!/usr/bin/env python3
"""How well does a model predict images? Its bits a pixel on a split, beside what lossless codecs need.

A pixel is a token. The codecs get the same tokens, those of all images in one mosaic, which helps them: one file has no
second header, and learns from all images.

PNG: with a palette in 8 bits where it has 256 colours at most, else in red, green and blue. WebP: method 6 at quality
100, the smaller of two pictures, one of the colours and one whose channels hold the tokens' digits. xz: preset 9e, of
the mosaic's rows; and of image after image, where it finds more. A decoder needs the model's weights, too: their size
is shown.
"""

import argparse
import io
import lzma
import math
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from src.cli.process import import_tensorflow, progress_bar, run  # noqa: E402

import_tensorflow()
import numpy as np  # noqa: E402
from PIL import Image  # noqa: E402

from benchmarks import pictures  # noqa: E402
from src.config import BUNDLED_GREY, DOWNLOADS, InputError  # noqa: E402
from src.data.palettes import load_clusters  # noqa: E402
from src.data.tokens import SPLITS, load_split, token_type  # noqa: E402
from src.devices import make_strategy  # noqa: E402
from src.files import write_json  # noqa: E402
from src.measuring.evaluation import Evaluator  # noqa: E402
from src.utils import color_dequantize, count_parameters  # noqa: E402
from src.weights.checkpoint import palette_beside  # noqa: E402

WEBP_SIDE = 16383  # pixels, at most


def mosaic(X, n_px):
    """The tokens [n, n_px * n_px] of all images as one near square [h, w], filled up with the commonest token."""
    columns = math.isqrt(len(X) - 1) + 1
    rows = -(-len(X) // columns)
    full = np.full([rows * columns, n_px * n_px], np.bincount(X.ravel()).argmax(), X.dtype)
    full[: len(X)] = X
    return full.reshape(rows, columns, n_px, n_px).swapaxes(1, 2).reshape(rows * n_px, columns * n_px)


def digits(tokens):
    """Tokens [h, w] below 2^16 as uint8 [h, w, 3] without loss: the upper eight bits in green, which WebP predicts the
    other channels from, those below, if there are any, in red."""
    low = max(0, int(tokens.max()).bit_length() - 8)
    return np.stack([tokens & (1 << low) - 1, tokens >> low, np.zeros_like(tokens)], axis=-1).astype(np.uint8)


def coloured(tokens, clusters):
    """Tokens [...] as uint8 [..., 3]."""
    return color_dequantize(tokens[..., None], clusters, 1).reshape(*tokens.shape, 3)


def written(image, kind, **options):
    """Bytes of a Pillow image in a file."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.tell()


def webp(tokens, clusters):
    """Bytes of the smaller picture."""
    if max(tokens.shape) > WEBP_SIDE:
        raise InputError(f"a mosaic of {tokens.shape[1]}x{tokens.shape[0]} pixels; WebP takes {WEBP_SIDE} a side")
    pictures = coloured(tokens, clusters), digits(tokens)
    options = {"lossless": True, "method": 6, "quality": 100}
    return min(written(Image.fromarray(picture), "WEBP", **options) for picture in pictures)


def png(tokens, clusters):
    """Bytes with a palette where there is one of 256 colours, else with three channels."""
    if len(clusters) > 256:
        return written(Image.fromarray(coloured(tokens, clusters)), "PNG", optimize=True)
    image = Image.fromarray(tokens.astype(np.uint8)).convert("P")
    image.putpalette(coloured(np.arange(len(clusters)), clusters).tobytes())
    return written(image, "PNG", optimize=True)


def xz(tokens):
    """Bytes of tokens in the order of their array."""
    return len(lzma.compress(tokens.tobytes(), preset=9 | lzma.PRESET_EXTREME))


def codec_bits(X, clusters, n_px, progress):
    """Codec to bits a pixel of the tokens X [n, n_px * n_px]."""
    X = np.asarray(X, token_type(len(clusters)))
    tiles = mosaic(X, n_px)
    codecs = {
        "WebP": lambda: webp(tiles, clusters),
        f"PNG, {'palette' if len(clusters) <= 256 else 'RGB'}": lambda: png(tiles, clusters),
        "xz": lambda: xz(tiles),
        "xz, image after image": lambda: xz(X),
    }
    bits = {}
    for name, size in codecs.items():
        bits[name] = 8 * size() / X.size
        progress(len(bits), len(codecs))
    return bits


def main(argv=None):
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--ckpt_path", default=str(BUNDLED_GREY))
    p.add_argument("--data_path", default=str(DOWNLOADS / "fashion_mnist"))
    p.add_argument("--split", choices=SPLITS, default="test")
    p.add_argument("--n_batch", type=int, default=16)
    p.add_argument("--json", help="write the figures here")
    args = p.parse_args(argv)

    strategy = make_strategy()
    with strategy.scope():
        prefix, model = pictures.model_for(args)
    if model.hparams.bert:
        raise InputError(f"{prefix}: a model with the BERT objective gives an image no probability")
    clusters = load_clusters(palette_beside(prefix), model.hparams.n_vocab)
    X, _ = load_split(args.data_path, SPLITS[args.split], model.hparams, labels=False)
    score = Evaluator(model, strategy, args.n_batch * strategy.num_replicas_in_sync).score
    bits = {"model": score(X, progress=progress_bar("model", "image"))["gen"] / math.log(2)}
    bits |= codec_bits(X, clusters, model.hparams.n_px, progress_bar("codecs", "codec"))
    parameters = count_parameters(model.params.values())
    side, colours = model.hparams.n_px, len(clusters)
    print(f"{args.split} split, {len(X)} images of {side}x{side} in {colours} colours")
    print(f"{'':22}{'bits a pixel':>13}{'MB in all':>11}")
    for name, value in bits.items():
        note = f"   and {4 * parameters / 1e6:.1f} MB of weights" if name == "model" else ""
        print(f"{name:22}{value:>13.3f}{value * X.size / 8e6:>11.3f}{note}")
    if args.json:
        sizes = {"parameters": parameters, "images": len(X), "pixels": int(X.size)}
        write_json(args.json, {"checkpoint": prefix, "data": args.data_path, "bits": bits} | sizes)


if __name__ == "__main__":
    run(main)
