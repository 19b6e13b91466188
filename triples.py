#!/usr/bin/env python3
"""Triples of an image, an instruction and the edited image, out of emoji, photographs, or InstructPix2Pix' files."""

from src.cli.outputs import output_folder
from src.cli.parser import Number, Parser, at_most, options, positive, seed
from src.cli.process import progress_bar, run, show_skipped

SIZE = Number(int, 4, 4096, "no network learns from whole photographs")
CROPS = at_most(10_000, "no photograph has so many crops that differ")
LINES = at_most(1000, "no emoji has so many that differ from it in a word")


def parse(argv):
    p = Parser(prog="triples.py", description=__doc__)
    sources = p.add_subparsers(dest="source", required=True, metavar="SOURCE", help="what triples are made of")
    emoji = sources.add_parser("emoji", help="pictures of one set whose names differ in a word")
    emoji.add_argument("folder", help="as download.py --dataset emoji makes it")
    lines = "of an image for training at most; for validation and tests all"
    emoji.add_argument("--n_lines", type=LINES, default=12, metavar="N", help=lines)
    photographs = sources.add_parser("photographs", help="random crops, brighter, blurred, mirrored and so on")
    photographs.add_argument("folder", help="folder of images, nested or not")
    photographs.add_argument("--crops", type=CROPS, default=40, metavar="N", help="of each photograph")
    wording = "of instructions; both: two lines of each edited crop"
    photographs.add_argument("--phrasings", choices=["seen", "held_out", "both"], default="seen", help=wording)
    photographs.add_argument("--seed", type=seed, default=42, help="of the crops")
    rows = sources.add_parser("instructpix2pix", help="that data set's Parquet files")
    rows.add_argument("files", nargs="+", metavar="FILE", help="Parquet file, on this machine")
    rows.add_argument("--limit", type=positive, metavar="N", help="triples at most; default: all")
    for source in (emoji, photographs, rows):
        source.add_argument("--save_dir", required=True, metavar="DIR", help="where NAME.jsonl and images/NAME go")
        source.add_argument("--size", type=SIZE, default=128, help="image height and width in pixels, a multiple of 4")
        if source is not emoji:
            source.add_argument("--name", default="train", help="what NAME is")
    return p.parse_args(argv)


def write(writer, args):
    """Make the triples of a source."""
    if args.source == "emoji":
        from src.data.emoji_edits import EmojiOptions, write_emoji

        write_emoji(writer, args.folder, options(EmojiOptions, args), progress_bar("draw", "image"), show_skipped)
    elif args.source == "photographs":
        from src.data.images import image_files
        from src.data.photo_edits import CropOptions, write_photographs

        work, paths = progress_bar("crop", "photograph"), image_files(args.folder)
        crops = write_photographs(writer, args.name, paths, options(CropOptions, args), work, show_skipped)
        print(f"{crops} crops of {len(paths)} photographs")
    else:
        from src.data.pix2pix import write_rows

        work = progress_bar("read", "row")
        write_rows(writer, args.name, args.files, (args.size, args.limit), work, show_skipped)


def main(argv=None):
    args = parse(argv)
    from src.data.triples import check_new, check_size, new_triples

    names = ["train", "valid", "test"] if args.source == "emoji" else [args.name]
    check_size(args.size)
    check_new(args.save_dir, names)
    folder = output_folder(args.save_dir, "save_dir")
    with new_triples(folder, names) as writer:
        write(writer, args)
        counts = writer.counts()
    for name in filter(counts.get, names):
        kinds = counts[name]
        each = ", ".join(f"{kind} {n}" for kind, n in sorted(kinds.items()) if kind)
        print(f"{folder / name}.jsonl: {kinds.total()} triples{f' ({each})' if each else ''}")


if __name__ == "__main__":
    run(main)
