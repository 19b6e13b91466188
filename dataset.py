#!/usr/bin/env python3
"""Images to palette tokens: a folder of images or a published data set into the files that run.py reads."""

from pathlib import Path

from src.cli.outputs import output_folder
from src.cli.parser import Number, Parser, at_most, natural, options, seed
from src.cli.process import import_tensorflow, progress_bar, run, show_skipped
from src.config import DOWNLOADS, one_line

SIDE = 4096, "Image GPT draws pixel by pixel, and no photograph has so many that tell"
COLOURS = 1 << 16, "a palette of more has hardly fewer colours than the photographs"
CROPS = 1000, "no image has so many crops that differ"


def parse(argv):
    p = Parser(prog="dataset.py", description=__doc__)
    sources = "folder of images (nested or not), or of the raw files of MNIST, Fashion-MNIST, CIFAR or STL-10"
    p.add_argument("source", help=sources)
    p.add_argument("--name", help="name of the data set; default: the folder's")
    p.add_argument("--save_dir", default=str(DOWNLOADS), help="where NAME_trX.npy and the others go")
    p.add_argument("--n_px", type=at_most(*SIDE), default=32, help="image height and width in pixels")
    palette = p.add_mutually_exclusive_group(required=True)
    palette.add_argument("--clusters", metavar="FILE", help="palette to use: .npy of [colours, 3] in -1..1")
    palette.add_argument(
        "--fit_clusters", metavar="N", type=at_most(*COLOURS), help="fit a palette of N colours by k-means"
    )
    cut = p.add_mutually_exclusive_group()
    crops = "write N random crops of each training image instead of its centre"
    cut.add_argument("--augment", metavar="N", type=Number(int, 0, *CROPS), default=0, help=crops)
    whole = "keep the sides of images that are not square, filled up with a colour, such as white; default: the centre"
    cut.add_argument("--pad", metavar="COLOUR", nargs="?", const="white", help=whole)
    p.add_argument("--classes", action="store_true", help="a sub-folder is a class")
    p.add_argument("--valid_fraction", type=float, help="share of training images held out as valid; default: 0.04")
    p.add_argument("--test_fraction", type=float, help="share held out as test; default: none")
    p.add_argument("--seed", type=seed, default=42, help="of splits, crops and k-means")
    known = p.add_argument_group("CIFAR-100 and STL-10")
    known.add_argument("--coarse", action="store_true", help="CIFAR-100's 20 superclasses instead of its 100 classes")
    known.add_argument("--unlabeled", action="store_true", help="train on STL-10's 100,000 images without labels")
    known.add_argument("--fold", type=natural, metavar="N", help="train on fold N, 0 to 9, of STL-10's training images")
    return p.parse_args(argv)


def main(argv=None):
    args = parse(argv)
    folder = output_folder(args.save_dir, "save_dir")
    import_tensorflow()
    from src.data.encoding import EncodeOptions, encode_dataset

    prefix = folder / (args.name or Path(args.source).resolve().name)
    made = encode_dataset(
        args.source, prefix, options(EncodeOptions, args), progress_bar("encode", "image"), show_skipped
    )
    classes = f", {len(made.classes)} classes" if made.classes else ""
    for split, n in made.images.items():
        print(f"{prefix}_{split}X.npy: {n} images of {args.n_px}x{args.n_px}, {made.colours} colours{classes}")
    if made.classes:
        names = [one_line(name) for name in made.classes[:12]] + ["..."] * (len(made.classes) > 12)
        print(f"{prefix}_classes.json: {', '.join(names)}")
    if made.skipped:
        print(f"{made.skipped} unreadable images skipped")


if __name__ == "__main__":
    run(main)
