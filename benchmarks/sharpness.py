#!/usr/bin/env python3
"""Are SRGAN's pictures as sharp as photographs? The distribution of gradients, beside bicubic, ESPCN and SRResNet.

Photographs are shrunk to a quarter and enlarged again. Of every pixel the gradient's magnitude in luma goes into a
histogram with bins of one grey level. Reported is its distance to that of the originals: the share of pixels in
other bins (total variation), and the mean way that magnitudes would have to be moved (earth mover's distance,
grey levels). PSNR stands beside it, since one can be bought with the other.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

SCALE, BINS = 4, np.arange(256)


def histogram(images):
    """Shares [255] of the gradient magnitudes in luma of uint8 images [h, w, 3], `SCALE` border pixels cut off."""
    from src.measuring.metrics import luma

    counts = np.zeros(len(BINS) - 1)
    for image in images:
        y = luma(image)[SCALE:-SCALE, SCALE:-SCALE]
        magnitude = np.hypot(np.diff(y, axis=1)[:-1], np.diff(y, axis=0)[:, :-1])
        counts += np.histogram(magnitude.clip(0, BINS[-1]), BINS)[0]
    return counts / counts.sum()


def distances(a, b):
    """(total variation, earth mover's distance in grey levels) between two histograms."""
    return 0.5 * np.abs(a - b).sum(), np.abs(np.cumsum(a - b)).sum()


def photographs(folder=None):
    """The image files below a folder, by default the two photographs that come with scikit-learn."""
    import sklearn.datasets

    from src.data.images import image_files

    return image_files(folder or Path(sklearn.datasets.__file__).parent / "images")


def enlarged(pairs, weights=(), degradation="clean"):
    """Name to what bicubic, the bundled networks and those in files make of the low resolution of (low, high) pairs."""
    from src.superres.bundled import bundled_file
    from src.superres.degradation import resized
    from src.superres.files import load_network
    from src.superres.upscaler import Upscaler

    files = {name: bundled_file(name.lower(), SCALE, degradation) for name in ("ESPCN", "SRResNet", "SRGAN")}
    networks = {name: Upscaler(load_network(path, SCALE)) for name, path in (files | {w: w for w in weights}).items()}
    made = {"bicubic": [resized(low, high.shape) for low, high in pairs]}
    return made | {name: [network(low[None])[0] for low, _ in pairs] for name, network in networks.items()}


def mean_psnr(images, pairs):
    """The mean over images of the PSNR in dB to the high resolution of their pairs."""
    from src.measuring.metrics import psnr

    return np.mean([psnr(image, high, border=SCALE) for image, (_, high) in zip(images, pairs)])


def write_pictures(path, pairs, made):
    """A sheet of the middle of every image: input, bicubic, what networks make of it, original; what stands where."""
    from PIL import Image

    from src.data.sheets import side_by_side, write_sheet

    columns = [[Image.fromarray(x) for x in images] for images in list(made.values())[1:]]
    shown = zip(*columns, [Image.fromarray(high) for _, high in pairs])
    captions = ["input", *(Path(name).name for name in made), "original"]
    write_sheet(path, [side_by_side(low, images, SCALE) for (low, _), images in zip(pairs, shown)], captions)
    print(f"{path}: {', '.join(captions)}, from left to right")


def main(argv=None):
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("photos", nargs="?", help="folder of photographs (default: the two that come with scikit-learn)")
    p.add_argument("--weights", help="measure this generator, too")
    p.add_argument("--sheet", metavar="FILE.png", help="write the middle of every photograph, enlarged by each")
    args = p.parse_args(argv)
    from src.cli.process import import_tensorflow

    import_tensorflow()
    from src.data.images import read_image
    from src.superres.validation import validation_pairs

    pairs = list(validation_pairs(map(read_image, photographs(args.photos)), SCALE))
    made = enlarged(pairs, [args.weights] if args.weights else [])
    originals = histogram(high for _, high in pairs)
    print(f"{'':12}{'total variation':>16}{'earth mover':>13}{'PSNR':>8}   {len(pairs)} photographs, x{SCALE}")
    for name, images in made.items():
        variation, shift = distances(histogram(images), originals)
        print(f"{name:12}{variation:>16.4f}{shift:>13.3f}{mean_psnr(images, pairs):>8.2f}", flush=True)
    if args.sheet:
        write_pictures(args.sheet, pairs, made)


if __name__ == "__main__":
    main()
