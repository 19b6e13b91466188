#!/usr/bin/env python3
"""Images to palette tokens: a folder of images, MNIST, Fashion-MNIST or CIFAR-10 into the files that run.py reads."""

from pathlib import Path

from src.cli import Parser, import_tensorflow, natural, output_folder, positive, run
from src.config import DOWNLOADS


def parse(argv):
    p = Parser(prog="dataset.py", description=__doc__)
    p.add_argument(
        "source", help="folder of images (nested or not), or of the raw files of MNIST, Fashion-MNIST or CIFAR-10"
    )
    p.add_argument("--name", help="name of the data set; default: the folder's")
    p.add_argument("--save_dir", default=str(DOWNLOADS), help="where NAME_trX.npy and the others go")
    p.add_argument("--n_px", type=positive, default=32, help="image height and width in pixels")
    palette = p.add_mutually_exclusive_group(required=True)
    palette.add_argument("--clusters", metavar="FILE", help="palette to use: .npy of [colours, 3] in -1..1")
    palette.add_argument("--fit_clusters", metavar="N", type=positive, help="fit a palette of N colours by k-means")
    p.add_argument(
        "--augment",
        metavar="N",
        type=natural,
        default=0,
        help="write N random crops of each training image instead of its centre",
    )
    p.add_argument("--classes", action="store_true", help="a sub-folder is a class")
    p.add_argument("--valid_fraction", type=float, default=0.04, help="share of the training images held out as valid")
    p.add_argument("--test_fraction", type=float, default=0.0, help="share held out as test, where the source has none")
    p.add_argument("--seed", type=int, default=42, help="of splits, crops and k-means")
    args = p.parse_args(argv)
    for name in ("valid_fraction", "test_fraction"):
        if not 0 <= getattr(args, name) < 0.5:
            p.error(f"--{name} must lie in 0..0.5, not {getattr(args, name)}")
    return args


def main(argv=None):
    args = parse(argv)
    folder = output_folder(args.save_dir, "--save_dir")
    import_tensorflow()
    from src import data, sources, utils

    splits = sources.open_source(
        args.source,
        by_class=args.classes,
        valid_fraction=args.valid_fraction,
        test_fraction=args.test_fraction,
        seed=args.seed,
    )
    clusters = (
        utils.load_clusters(args.clusters)
        if args.clusters
        else data.fit_palette(splits["tr"], args.n_px, args.fit_clusters, args.seed)
    )
    prefix = folder / (args.name or Path(args.source).resolve().name)
    classes = max(
        (int(s.labels.max()) + 1 for s in splits.values() if s.labels is not None and len(s.labels)), default=0
    )
    skipped = []
    for split, source in sorted(splits.items(), key=lambda item: list(data.SPLITS).index(item[0])):
        if len(source.items):
            augment = args.augment if split == "tr" else 0
            n, bad = data.write_split(
                source, f"{prefix}_{split}", clusters, args.n_px, augment=augment, classes=classes, seed=args.seed
            )
            skipped += bad
            print(
                f"{prefix}_{split}X.npy: {n} images of {args.n_px}x{args.n_px}, {len(clusters)} colours"
                + (f", {classes} classes" if classes else "")
            )
    data.save_array(f"{prefix}_clusters.npy", clusters)
    if skipped:
        print(f"{len(skipped)} unreadable images skipped")


if __name__ == "__main__":
    run(main)
