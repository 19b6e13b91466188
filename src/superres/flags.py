"""The command line that espcn.py and srgan.py share: every mode, and what each flag means."""

import functools
from pathlib import Path

from tqdm import tqdm

from src import cli
from src.config import ROOT, SAVE_DIR, InputError

PALETTE = ROOT / "pretrained" / "espcn" / "palette.npy"


def make_parser(name, description, scales):
    """A parser with the modes and the flags that all of them know, and its group for the flags of --train."""
    p = cli.Parser(prog=f"{name}.py", description=description)
    mode = p.add_argument_group("mode").add_mutually_exclusive_group(required=True)
    mode.add_argument("--upscale", nargs="*", metavar="PATH", help="images or folders; default: the newest samples")
    mode.add_argument("--train", metavar="DIR", help="train on the photographs below DIR")
    mode.add_argument("--eval", metavar="DIR", help="PSNR, SSIM and MSE on the photographs below DIR, beside bicubic")
    mode.add_argument(
        "--export",
        nargs=2,
        metavar=("FORMAT", "PATH"),
        help="write as saved_model, onnx, litert, or as a .keras file in float16",
    )
    p.add_argument("--scale", type=int, choices=scales, help="default: 4, or that of --weights")
    p.add_argument(
        "--weights",
        nargs="+",
        metavar="FILE.keras",
        help="a trained network, or one to go on from; of several the mean; default: a bundled one",
    )
    p.add_argument("--save_dir", default=str(SAVE_DIR), help="where images and training runs go")
    choices = ["clean", "palette", "mixed"]
    p.add_argument("--degradation", choices=choices, help="of low resolution; default: clean (--upscale: by image)")
    p.add_argument("--color_cluster_path", help="palette of the degradation; default: the bundled one of 512 colours")
    p.add_argument("--n_px", type=cli.positive, help="score centre squares of so many pixels, as Image GPT draws")
    p.add_argument("--json", metavar="FILE", help="write the figures of --eval unrounded")
    cli.add_device_flags(p)
    group = p.add_argument_group("--train")
    group.add_argument("--valid", metavar="DIR", help="photographs for validation; default: every tenth below --train")
    group.add_argument("--optimizer", choices=["soap", "adam"], default="soap", help="soap learns far faster here")
    group.add_argument("--lr", type=cli.above_zero, default=0.003, help="learning rate, on a cosine to zero")
    group.add_argument("--epochs", type=cli.positive, default=80, help="of --steps updates each")
    group.add_argument("--steps", type=cli.positive, default=256, help="updates in an epoch")
    group.add_argument("--patience", type=cli.positive, default=30, help="epochs without a better validation PSNR")
    group.add_argument("--n_batch", type=cli.positive, default=16, help="pairs in an update")
    group.add_argument("--patch", type=cli.positive, default=17, help="low-resolution pixels on a side of a pair")
    more = "flips and turns; varied: colours and all sizes, too"
    group.add_argument("--augment", choices=["plain", "varied"], default="plain", help=more)
    group.add_argument("--seed", type=cli.natural, default=42, help="of everything drawn")
    return p, group


def run(args, name, bundled, train, beside=None):
    """Do what the flags ask for.

    Args:
        name: of the sheet that --upscale writes.
        bundled: (scale, degradation `clean` or `palette`) to the file of a network.
        train: a function of the flags and the palette or None.
        beside: name to such files of other networks, whose outputs the sheet shows, too.
    """
    cli.output_folder(args.save_dir, "--save_dir")
    if args.json:
        cli.output_folder(Path(args.json).parent, "--json")
    if args.degradation == "mixed" and not args.train:
        raise InputError("--degradation mixed: for --train; here it is either clean or palette")
    cli.import_tensorflow()
    from src.superres import mode_eval
    from src.superres.data import image_files
    from src.superres.export import export_network
    from src.superres.networks import load_mean

    load = functools.cache(lambda *paths: load_mean(paths, args.scale))

    @functools.cache
    def own(*paths):
        tqdm.write(f"network: {', '.join(map(str, paths))}")
        upscaler = load(*paths)
        if (upscaler.net.name == "espcn") != (name == "espcn"):
            raise InputError(f"--weights {paths[0]}: a network of {'srgan' if name == 'espcn' else 'espcn'}.py")
        return upscaler

    def network(degradation):
        return own(*args.weights or [bundled_file(bundled, args.scale or 4, degradation)])

    if args.train:
        args.scale, args.degradation = args.scale or 4, args.degradation or "clean"
        return train(args, load_palette(args))
    if args.eval:
        paths = image_files(args.eval)
        return mode_eval.evaluate(paths, network(args.degradation or "clean"), load_palette(args), args.n_px, args.json)
    if args.export:
        return export_network(network(args.degradation or "clean"), *args.export)
    others = {other: lambda kind, files=files: load(files[4, kind]) for other, files in (beside or {}).items()}
    return upscale(args, name, network, (args.scale or 4, "palette") in bundled, others)


def upscale(args, name, network, palettes, others):
    """--upscale with the `network` for a degradation, one for palettes among them or not, and `others` by name."""
    from src.superres import mode_upscale as mode

    paths = mode.find_images(args.upscale) if args.upscale else mode.newest_samples(args.save_dir)
    chosen = mode.chosen_by_picture(network, args.degradation or (args.weights and "clean"), palettes)
    beside = {other: mode.chosen_by_picture(load, None, palettes=True) for other, load in others.items()}
    return mode.upscale(paths, chosen, Path(args.save_dir), name, beside)


def bundled_file(bundled, scale, degradation):
    """The file of a bundled network, or InputError."""
    if (scale, degradation) not in bundled:
        raise InputError(f"--degradation {degradation} --scale {scale}: none is bundled; name a network with --weights")
    return bundled[scale, degradation]


def load_palette(args):
    """The palette of the degradation that the flags ask for, or None."""
    from src.utils import load_clusters

    return None if args.degradation in (None, "clean") else load_clusters(args.color_cluster_path or PALETTE)
