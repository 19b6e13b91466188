"""The command line that espcn.py and srgan.py share: flags to options of `src.superres`, and what is printed."""

from src.cli import cluster
from src.cli.flags import HOSTED, add_device_flags, find_devices
from src.cli.outputs import make_outputs
from src.cli.parser import Parser, options, positive, rate, seed
from src.cli.process import import_tensorflow, progress_bar, show_figures, show_skipped
from src.config import SAVE_DIR
from src.memory import check_fits

DATA = {"valid", "degradation", "color_cluster_path", "n_px", "squares", "least", "patch", "augment", "seed"}
RECIPE = {"optimizer", "lr", "epochs", "steps", "n_batch", "patience"}
READS = {  # mode to the flags that it reads in both commands
    "upscale": {"scale", "weights", "degradation", "save_dir"} | cluster.FLAGS,
    "train": {"scale", "weights", "save_dir"} | DATA | RECIPE | HOSTED,
    "eval": {"scale", "weights", "degradation", "color_cluster_path", "n_px", "json"} | cluster.FLAGS,
    "export": {"scale", "weights", "degradation"} | cluster.FLAGS,
}


def make_parser(name, description, scales, reads):
    """A parser with the modes and the flags that both commands know, and its group for the flags of --train."""
    p = Parser(prog=f"{name}.py", description=description, reads=reads)
    mode = p.add_argument_group("mode").add_mutually_exclusive_group()
    mode.add_argument("--upscale", nargs="*", metavar="PATH", help="images or folders; default: the newest samples")
    alike = "train on the photographs below DIR; several are drawn from alike, one named twice twice as often"
    mode.add_argument("--train", nargs="+", metavar="DIR", help=alike)
    mode.add_argument("--eval", metavar="DIR", help="PSNR, SSIM and MSE on the photographs below DIR, beside bicubic")
    formats = "saved_model, onnx or litert (RGB in and out, float32 in 0..1), or float16 (a .keras file for --weights)"
    mode.add_argument("--export", nargs=2, metavar=("FORMAT", "PATH"), help=f"write the network as {formats}")
    p.add_argument("--scale", type=int, choices=scales, help="default: 4, or that of --weights")
    files = "a trained network, or one to go on from; of several the mean; default: a bundled one"
    p.add_argument("--weights", nargs="+", metavar="FILE.keras", help=files)
    p.add_argument("--save_dir", default=str(SAVE_DIR), help="where images and training runs go")
    choices = ["clean", "palette", "mixed"]
    p.add_argument("--degradation", choices=choices, help="of low resolution; default: clean (--upscale: by image)")
    p.add_argument("--color_cluster_path", help="palette of the degradation; default: the bundled one of 512 colours")
    p.add_argument("--n_px", type=positive, help="score centre squares of so many pixels, as Image GPT draws")
    p.add_argument("--json", metavar="FILE", help="write the figures of --eval unrounded")
    add_device_flags(p)
    return p, add_training_flags(p)


def add_training_flags(p):
    """The flags of --train that both commands know, in a group, which is returned."""
    group = p.add_argument_group("--train")
    held_out = "photographs for validation; default: every tenth below each of --train"
    group.add_argument("--valid", nargs="+", metavar="DIR", help=held_out)
    whole = "train on squares of --n_px, too: drawn from photographs in all sizes, small pictures whole"
    group.add_argument("--squares", action="store_true", help=whole)
    smallest = "pixels of the shorter side below which a photograph is not made smaller, so that small ones stay"
    group.add_argument("--least", type=positive, help=smallest)
    add_recipe_flags(group)
    group.add_argument("--patch", type=positive, default=17, help="low-resolution pixels on a side of a pair")
    more = "flips and turns; varied: colours and all sizes, too"
    group.add_argument("--augment", choices=["plain", "varied"], default="plain", help=more)
    group.add_argument("--seed", type=seed, default=42, help="of everything drawn")
    return group


def add_recipe_flags(group):
    """The flags RECIPE, those of `PixelRecipe`."""
    group.add_argument("--optimizer", choices=["soap", "adam"], default="soap", help="soap learns far faster on pixels")
    group.add_argument("--lr", type=rate, default=0.003, help="learning rate; on pixels on a cosine to zero")
    group.add_argument("--epochs", type=positive, default=80, help="of --steps updates each")
    group.add_argument("--steps", type=positive, default=256, help="updates in an epoch")
    group.add_argument("--patience", type=positive, default=30, help="epochs without a better validation PSNR")
    group.add_argument("--n_batch", type=positive, default=16, help="examples in an update")


def check(p, args):
    """Refuse flags that have no effect beside others."""
    cluster.check_flags(p, args)
    if args.degradation == "mixed" and not args.train:
        p.error("--degradation mixed: for --train; here it is either clean or palette")
    if "color_cluster_path" in args.given and args.degradation in (None, "clean"):
        p.error("--color_cluster_path: only with --degradation palette or, in training, mixed")
    if args.weights and args.degradation and (args.upscale is not None or args.export):
        p.error("--degradation: chooses one of the bundled networks, --weights names another; leave one out")
    if args.squares and not args.n_px:
        p.error("--squares: of how many pixels? give --n_px, 32 as Image GPT draws")
    if args.squares and args.least:
        p.error("--least: --squares are never enlarged; leave one out")
    if args.squares and args.patch > args.n_px:
        p.error(f"--patch {args.patch}: larger than the --squares of --n_px {args.n_px}; take {args.n_px} at most")
    args.weights = tuple(args.weights or ())


def main(args, name, train):
    """Do what the flags ask for.

    Args:
        name: of the bundled network, which --weights stands in for.
        train: a function of the flags.

    Returns:
        Exit code: 1 if a file could not be read.
    """
    cluster.join(args, alone={"upscale", "eval", "export"})
    folders = {"save_dir": args.save_dir if args.upscale is not None or args.train else None}
    make_outputs(folders, {"json": args.json, "export": args.export and args.export[1]})
    import_tensorflow()
    if args.train:
        return show_trained(train(args))
    if args.eval:
        return evaluate(args, name)
    if args.export:
        return export(args, name)
    return upscale(args, name)


def upscale(args, name):
    from src.superres.upscaling import UpscaleOptions

    return enlarge(images_to_enlarge(args), name, options(UpscaleOptions, args))


def images_to_enlarge(args):
    """The files that the flags name, or what run.py or sample.py drew last."""
    if args.upscale:
        from src.data.images import find_images

        return find_images(args.upscale)
    from src.drawing.samples import newest_samples

    return newest_samples(args.save_dir)


def enlarge(paths, name, upscale_options):
    """Enlarge images with the network of a name, and print what was written; the exit code."""
    from src.superres.upscaling import upscale_paths

    done = upscale_paths(paths, name, upscale_options, progress_bar("upscale", "image"), say)
    for error in done.skipped:
        show_skipped(error)
    if done.sheet:
        print(f"{done.paths[-1]}: the last of {len(done.paths)} images")
        print(f"{done.sheet}: {', '.join(done.columns)}, from left to right")
    return 1 if done.skipped else 0


def evaluate(args, name):
    """Print the scores of every photograph and their means, and write them as JSON."""
    from src.data.images import image_files
    from src.files import write_json
    from src.superres.bundled import find_network
    from src.superres.scoring import METRICS, EvaluationOptions, mean_scores, protocol, score
    from src.superres.upscaler import Upscaler

    degradation = args.degradation or "clean"
    paths = image_files(args.eval)
    net, files = find_network(name, args.weights, args.scale, degradation)
    say(f"network: {files}")
    print(protocol(net.scale))
    print(f"{'image':32} " + " ".join(f"{metric.upper():>7} {'bicubic':>8}" for metric in METRICS))
    rows, skipped = {}, []
    evaluation = options(EvaluationOptions, args, degradation=degradation)
    for path, scores in score(paths, Upscaler(net), evaluation, skipped.append):
        rows[str(path)] = scores
        print(score_line(path.name, scores), flush=True)
    for error in skipped:
        show_skipped(error)
    mean = mean_scores(list(rows.values()))
    print(score_line(f"mean of {len(rows)}", mean))
    if args.json:
        write_json(args.json, {"scale": net.scale, "protocol": protocol(net.scale)} | rows | {"mean": mean})
    return 1 if skipped else 0


def score_line(name, scores):
    formats = ["7.2f", "8.2f", "7.4f", "8.4f", "7.1f", "8.1f"]
    return f"{name[:32]:32} " + " ".join(f"{value:{f}}" for value, f in zip(scores.values(), formats))


def export(args, name):
    from src.superres.bundled import find_network
    from src.superres.export import export_network

    kind, path = args.export
    net, files = find_network(name, args.weights, args.scale, args.degradation or "clean")
    say(f"network: {files}")
    difference = export_network(net, kind, path)
    print(f"{path}: {kind} of {net.name} x{net.scale}, pixels within {difference:.1g} of the network's")
    return 0


def make_session(args, strategy, weights):
    """Where a training runs, with reports on the console."""
    from src.superres.stages import Reports, Session

    reports = Reports(say, show_skipped, show_figures, progress_bar("train", "step"))
    return Session(args.save_dir, weights, strategy, reports)


def check_batch(args, net):
    """Raise InputError where what a network keeps of a batch for its gradient is more than memory holds.

    That is, at the least, what every layer makes of a pixel of low resolution.
    """
    maps = sum(layer.output.shape[-1] for layer in net.layers if len(layer.output.shape) == 4)
    item = 4 if net.precision == "float32" else 2
    check_fits(args.n_batch * args.patch**2 * maps * item, f"`n_batch` {args.n_batch} with `patch` {args.patch}")


def train_on_pixels(args, make_network):
    """Train a network on pixels, which the function makes, by the flags."""
    from src.superres.photographs import DataOptions
    from src.superres.pixel import PixelRecipe
    from src.superres.stages import train_on_pixels

    strategy = find_devices(args)
    with strategy.scope():
        net = make_network()
    check_batch(args, net)
    data = options(DataOptions, args, degradation=args.degradation or "clean")
    return train_on_pixels(net, data, options(PixelRecipe, args), make_session(args, strategy, args.weights))


def show_trained(trained):
    compared = f"{trained.psnr:.2f} dB on {trained.images} photographs, bicubic {trained.baseline:.2f} dB"
    print(f"{trained.path}: {compared}")
    return 0


def say(line):
    """Print a line above a progress bar."""
    from tqdm import tqdm

    tqdm.write(line)
