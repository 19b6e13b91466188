#!/usr/bin/env python3
"""How near do enlarged photographs come to the originals in a trained network's features, and not in pixels alone?

Photographs are shrunk to a quarter and enlarged again by bicubic, ESPCN, SRResNet, SRGAN and what other .keras files
are named. Reported is a distance like LPIPS (Zhang et al. 2018) without its learned weights: VGG16's maps after
relu1_2, relu2_2, relu3_3 and relu4_3, each pixel's normed to length 1 over the channels, their squared difference
summed over channels, averaged over pixels, summed over layers. Beside it stand PSNR, the distances of gradients of
sharpness.py, and in grey levels the grid that sub-pixel convolution can lay over a picture and those features miss
(`grid_distance`). With --degradation palette --n_px 32 the inputs are as Image GPT draws.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.sharpness import SCALE, distances, enlarged, histogram, mean_psnr, photographs, write_pictures  # noqa: E402

TILE = 1024  # pixels on a side that go through the network at a time


def over_tiles(of_batches):
    """A function of two uint8 images [h, w, 3]: their distance. Of large ones it is the mean over tiles by area."""
    import tensorflow as tf

    @tf.function(reduce_retracing=True)
    def of_tile(a, b):
        return of_batches(*(tf.cast(image, tf.float32)[None] / 255 for image in (a, b)))[0]

    def distance(a, b):
        corners = [(y, x) for y in range(0, a.shape[0], TILE) for x in range(0, a.shape[1], TILE)]
        tiles = [[image[y : y + TILE, x : x + TILE] for image in (a, b)] for y, x in corners]
        large = [tile for tile in tiles if min(tile[0].shape[:2]) >= 16]  # that is a pixel of the last layer and more
        found, areas = [float(of_tile(*tile)) for tile in large], [tile[0][..., 0].size for tile in large]
        return np.average(found, weights=areas)

    return distance


def figures(images, pairs, originals, distance):
    """What is reported of images, beside the high resolution of their pairs."""
    from src.superres.perceptual import grid_distance

    variation, shift = distances(histogram(images), originals)
    beside = [(image, high) for image, (_, high) in zip(images, pairs)]
    return {
        "distance": float(np.mean([distance(*each) for each in beside])),
        "psnr": float(mean_psnr(images, pairs)),
        "total variation": float(variation),
        "earth mover": float(shift),
        "grid": float(np.mean([grid_distance(image[None], high[None], SCALE)[0] for image, high in beside])),
    }


def make_parser():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("photos", nargs="?", help="folder of photographs (default: the two that come with scikit-learn)")
    p.add_argument("--weights", nargs="+", default=[], metavar="FILE.keras", help="measure these networks, too")
    p.add_argument("--vgg_weights", required=True, metavar="FILE", help="of VGG16, as for srgan.py")
    p.add_argument("--n_px", type=int, help="centre squares of so many low-resolution pixels")
    p.add_argument("--degradation", choices=["clean", "palette"], default="clean", help="of low resolution")
    p.add_argument("--color_cluster_path", help="palette of the degradation (default: the bundled one of 512 colours)")
    p.add_argument("--every", type=int, default=1, help="take every such image of the folder")
    p.add_argument("--sheet", metavar="FILE.png", help="write the middle of every image, enlarged by each")
    p.add_argument("--json", metavar="FILE", help="write the figures unrounded")
    return p


def main(argv=None):
    args = make_parser().parse_args(argv)
    from src.cli.process import import_tensorflow

    import_tensorflow()
    from src.data.images import read_image
    from src.files import write_json
    from src.superres.perceptual import make_distance
    from src.superres.photographs import load_palette
    from src.superres.validation import validation_pairs

    photos = photographs(args.photos)[:: args.every]
    clusters = load_palette(args.degradation, args.color_cluster_path)
    pairs = list(validation_pairs(map(read_image, photos), SCALE, clusters, args.n_px))
    distance, originals = over_tiles(make_distance(args.vgg_weights)), histogram(high for _, high in pairs)
    made, table = enlarged(pairs, args.weights, args.degradation), {}
    head = f"{'distance':>10}{'PSNR':>8}{'total variation':>17}{'earth mover':>13}{'grid':>8}"
    print(f"{'':24}{head}   {len(pairs)} images, x{SCALE}")
    for name, images in made.items():
        table[name] = figures(images, pairs, originals, distance)
        numbers = (f"{x:{f}}" for x, f in zip(table[name].values(), (">10.3f", ">8.2f", ">17.4f", ">13.3f", ">8.3f")))
        print(f"{name[-24:]:24}" + "".join(numbers), flush=True)
    if args.sheet:
        write_pictures(args.sheet, pairs, made)
    if args.json:
        write_json(args.json, table)


if __name__ == "__main__":
    main()
