#!/usr/bin/env python3
"""Draw images from an Image GPT, or complete your own: `python sample.py --image photo.jpg --keep_rows 16`."""

import importlib
from pathlib import Path

from src import cli
from src.config import SAVE_DIR, InputError

TILE = 128  # pixels, about, of an image on a sheet
UNKNOWN = (160, 176, 200)  # what the model was not given


def region(text):
    """An argparse type: x,y,w,h."""
    x, y, w, h = map(int, text.split(","))
    return x, y, w, h


def add_sampling_flags(group):
    """The flags that `draw` reads, but for --seed and --save_dir."""
    group.add_argument("--image", nargs="+", metavar="PHOTO", help="images to complete; without, nothing is given")
    keep = group.add_mutually_exclusive_group()
    keep.add_argument("--keep_rows", type=cli.natural, metavar="N", help="rows of a photo to keep; default: half")
    keep.add_argument("--keep_pixels", type=cli.natural, metavar="N", help="pixels to keep, in reading order")
    group.add_argument("--crop", type=region, metavar="X,Y,W,H", help="part of a photo to take; default: the centre")
    group.add_argument("--n_samples", type=cli.positive, default=16, help="images, or completions of each photo")
    group.add_argument("--temperature", type=cli.non_negative, default=1.0, help="below 1 sharpens; 0: the likeliest")
    group.add_argument("--top_k", type=cli.positive, help="draw among so many likeliest colours")
    group.add_argument("--top_p", type=cli.share, help="draw among the likeliest colours of this probability together")
    group.add_argument("--batch_size", type=cli.positive, default=32, help="images drawn at a time")
    group.add_argument("--save_tokens", metavar="FILE.npy", help="write the tokens, too")


def given_pixels(args, hparams):
    """How many pixels of a photo the flags keep."""
    for flag in ("keep_rows", "keep_pixels", "crop"):
        if getattr(args, flag) is not None and not args.image:
            raise InputError(f"--{flag}: name the photo to complete with --image")
    flag, value, pixels = "--keep_rows", args.keep_rows, hparams.n_px
    if args.keep_pixels is not None:
        flag, value, pixels = "--keep_pixels", args.keep_pixels, 1
    if value is None:
        value = hparams.n_px // 2
    if value * pixels >= hparams.n_positions:
        most = hparams.n_positions // pixels - 1
        raise InputError(f"{flag} {value}: the model draws {hparams.n_px}x{hparams.n_px}; keep at most {most}")
    return value * pixels


def draw(args, model, clusters, strategy):
    """Draw what the flags ask for and write PNGs, sheets and tokens: the paths of the single PNGs."""
    import numpy as np

    from src import data, sampling, utils

    n_px = model.hparams.n_px
    given = given_pixels(args, model.hparams)
    if args.save_tokens:
        cli.output_folder(Path(args.save_tokens).parent, "--save_tokens")
    originals, known = read_photos(args, clusters, n_px)
    prefix = known[:, :given].repeat(args.n_samples, axis=0) if args.image else None
    tokens = sampling.Sampler(model, strategy).draw(
        args.n_samples,
        prefix=prefix,
        images=np.tile(np.arange(args.n_samples), len(originals) or 1),
        n_batch=args.batch_size,
        progress=cli.progress_bar("sample", "pixel"),
        **{name: getattr(args, name) for name in ("seed", "temperature", "top_k", "top_p")},
    )
    if args.save_tokens:
        data.save_array(args.save_tokens, tokens.astype(data.token_type(len(clusters))))
    pictures = utils.color_dequantize(tokens, clusters, n_px)
    if args.image:
        return write_completions(args, originals, utils.color_dequantize(known, clusters, n_px), given, pictures)
    return write_samples(args, pictures)


def read_photos(args, clusters, n_px):
    """Of every photo the square that the model sees, in the size of a tile, and its tokens [photos, n_px * n_px]."""
    import numpy as np

    from src import data, utils

    originals, small = [], []
    for path in args.image or []:
        photo = data.read_image(path, args.crop)
        originals.append(data.square(photo, n_px * tile_scale(n_px)))
        small.append(data.square(photo, n_px))
    colours = np.reshape(small, [-1, n_px * n_px, 3]) / np.float32(127.5) - 1
    return originals, utils.color_quantize(colours, clusters).numpy().reshape(-1, n_px * n_px)


def tile_scale(n_px):
    """How many times as large a sheet shows an image."""
    return max(1, TILE // n_px)


def write_samples(args, pictures):
    """`sample_0.png`, ... at the model's own resolution, and the sheet `samples.png`."""
    from src import images

    folder, n_px = Path(args.save_dir), pictures.shape[1]
    paths = [folder / f"sample_{i}.png" for i in range(len(pictures))]
    for path, picture in zip(paths, pictures):
        images.write_png(path, picture)
    images.write_png(folder / "samples.png", images.sheet(pictures, scale=tile_scale(n_px)))
    print(f"{folder / 'samples.png'}: {len(pictures)} images of {n_px}x{n_px}")
    return paths


def write_completions(args, originals, quantized, given, pictures):
    """For each photo `NAME_completion_0.png`, ... and the sheet `NAME_completions.png`.

    A sheet shows the original, the quantized image, what the model was given, and the completions.
    """
    import numpy as np

    from src import files, images

    folder, n_px = Path(args.save_dir), pictures.shape[1]
    paths, names = [], files.unique([Path(path).stem for path in args.image])
    for name, original, reduced, drawn in zip(names, originals, quantized, np.split(pictures, len(names))):
        shown = np.where(np.arange(n_px**2).reshape(n_px, n_px, 1) < given, reduced, np.uint8(UNKNOWN))
        tiles = images.enlarged(np.stack([reduced, shown, *drawn]), tile_scale(n_px))
        for i, picture in enumerate(drawn):
            paths.append(folder / f"{name}_completion_{i}.png")
            images.write_png(paths[-1], picture)
        sheet = images.sheet(np.stack([original, *tiles]), columns=min(3 + len(drawn), 10))
        path = folder / f"{name}_completions.png"
        images.write_png(path, sheet)
        print(f"{path}: {len(drawn)} completions of {n_px}x{n_px}, {given} of {n_px**2} pixels given")
    return paths


def parse(argv):
    p = cli.Parser(prog="sample.py", description=__doc__)
    add_sampling_flags(p)
    cli.add_checkpoint_flags(p)
    cli.add_dtype_flag(p)
    p.add_argument("--save_dir", default=str(SAVE_DIR), help="where images go")
    p.add_argument("--upscale", choices=["espcn", "srgan"], help="enlarge the images, too, as espcn.py or srgan.py")
    p.add_argument("--seed", type=cli.natural, default=42, help="image i depends on the seed and i alone")
    cli.add_device_flags(p)
    return p.parse_args(argv)


def main(argv=None):
    args = parse(argv)
    cli.output_folder(args.save_dir, "--save_dir")
    cli.import_tensorflow()
    from src.checkpoint import load_model

    strategy, prefix = cli.find_devices(args), cli.find_checkpoint(args)
    with strategy.scope():
        model = load_model(prefix, dtype=args.dtype)
    paths = draw(args, model, cli.load_palette(args, prefix, model.hparams.n_vocab), strategy)
    if args.upscale:
        upscaler = importlib.import_module(args.upscale)
        return upscaler.main(["--upscale", *map(str, paths), "--save_dir", args.save_dir])


if __name__ == "__main__":
    cli.run(main)
