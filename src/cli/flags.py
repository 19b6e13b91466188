"""Flags that several scripts share, and what they stand for."""

import os

from src import hosts
from src.cli import cluster
from src.cli.parser import at_most, guidance, natural, non_negative, positive, region, share
from src.config import DOWNLOADS, MOST_PICTURES, InputError

CHECKPOINT = {"ckpt_path", "color_cluster_path"}
DEVICES = {"n_gpu", "n_cpu"}
HOSTED = DEVICES | cluster.FLAGS  # of what several hosts can do
SAMPLING = {"image", "keep_rows", "keep_pixels", "crop", "pad", "n_samples", "temperature", "top_k", "top_p"}
SAMPLING |= {"guide", "guidance", "batch_size", "save_tokens", "animate"}
REPLICAS = max(16, os.cpu_count() or 1), "more devices than the CPU has threads only take longer"
DRAWN = MOST_PICTURES, "each is a file in one folder; draw the rest with another seed, to another folder"


def add_checkpoint_flags(group):
    """The flags CHECKPOINT, which `find_checkpoint` and `load_palette` read."""
    group.add_argument("--ckpt_path", help="checkpoint; default: newest in downloads, else the bundled one")
    group.add_argument("--color_cluster_path", help="palette; default: the one beside the checkpoint")


def add_dtype_flag(group):
    choices = ["float32", "bfloat16", "float16"]
    group.add_argument("--dtype", choices=choices, default="float32", help="of the products; all else stays float32")


def precision(args):
    """Keras' name for the type of products that --dtype asks for."""
    return args.dtype if args.dtype == "float32" else f"mixed_{args.dtype}"


def add_device_flags(p):
    """The flags HOSTED, which `find_devices` and `src.cli.cluster.join` read, in a group, which is returned."""
    group = p.add_argument_group("parallelism")
    group.add_argument("--n_gpu", type=positive, help="GPUs to use; default: all, else the CPU as one device")
    group.add_argument("--n_cpu", type=at_most(*REPLICAS), help="without GPUs: let the CPU stand for so many devices")
    cluster.add_flags(group)
    return group


def add_sampling_flags(group):
    """The flags SAMPLING, which `src.cli.drawing.draw` reads beside --seed and --save_dir."""
    group.add_argument("--image", nargs="+", metavar="PHOTO", help="images or folders of them to complete")
    keep = group.add_mutually_exclusive_group()
    keep.add_argument("--keep_rows", type=natural, metavar="N", help="rows of a photo to keep; default: half")
    keep.add_argument("--keep_pixels", type=natural, metavar="N", help="pixels to keep, in reading order")
    group.add_argument("--crop", type=region, metavar="X,Y,W,H", help="part of a photo to take; default: the centre")
    bands = "keep a photo whole, between two bands; default: white ones"
    group.add_argument("--pad", metavar="COLOUR", nargs="?", const="white", help=bands)
    group.add_argument("--n_samples", type=at_most(*DRAWN), default=16, help="images, or completions of each photo")
    group.add_argument("--temperature", type=non_negative, default=1.0, help="below 1 sharpens; 0: the likeliest")
    group.add_argument("--top_k", type=positive, help="draw among so many likeliest colours")
    group.add_argument("--top_p", type=share, help="draw among the likeliest colours of this probability together")
    guide = "worse checkpoint of the same images, to lead the model away from its mistakes"
    group.add_argument("--guide", metavar="CKPT", help=guide)
    group.add_argument("--guidance", type=guidance, default=0.3, help="how far to go from its logits")
    group.add_argument("--batch_size", type=positive, default=32, help="images drawn at a time")
    group.add_argument("--save_tokens", metavar="FILE.npy", help="write the tokens, too")
    grew = "write how the images grew, too, beside their sheet; default: webp, which keeps every colour"
    group.add_argument("--animate", nargs="?", const="webp", choices=["webp", "gif"], help=grew)


def find_devices(args):
    """The `tf.distribute` strategy that the flags ask for; before any TensorFlow operation has run."""
    from src.devices import make_strategy

    return make_strategy(args.n_gpu, args.n_cpu)


def find_checkpoint(args, positions=None):
    """The checkpoint that --ckpt_path names, or that of the run in --save_dir, else the newest; a line says which.

    Args:
        positions: the pixels of an image, by which a bundled one is chosen where there is no --data_path.
    """
    from src.weights.checkpoint import checkpoint_prefix, run_checkpoint

    if args.ckpt_path:
        return checkpoint_prefix(args.ckpt_path)
    trained = run_checkpoint(args.save_dir) if "save_dir" in args.given else None
    return announced(trained) if trained else find_start(args, positions)


def find_start(args, positions=None):
    """`find_checkpoint` for a command that makes a run in --save_dir, where it does not look for one."""
    from src.data.tokens import positions_of
    from src.weights.checkpoint import checkpoint_prefix, default_checkpoint

    if args.ckpt_path:
        return checkpoint_prefix(args.ckpt_path)
    data = getattr(args, "data_path", None)
    return announced(default_checkpoint(DOWNLOADS, positions_of(data) if data else positions))


def find_guide(args, clusters):
    """The `Guide` that --guide names for a model of such a palette [n_vocab, 3], or None; a line names both flags."""
    from src.drawing.guidance import Guide
    from src.weights.checkpoint import checkpoint_prefix

    if not args.guide:
        if "guidance" in args.given:
            raise InputError("`guidance`: says how far from `guide` to go; name that checkpoint, too")
        return None
    prefix = checkpoint_prefix(args.guide)
    agree_on_checkpoint(prefix, "the guide")
    guide = Guide.load(prefix, args.guidance, clusters, args.dtype)
    print(f"guide: {prefix}, guidance {args.guidance:g}", flush=True)
    return guide


def agree_on_checkpoint(prefix, name="the checkpoint"):
    """Raise InputError where hosts have different ones."""
    from src.weights.checkpoint import fingerprint

    if hosts.current().links:
        hosts.current().agree(**{name: fingerprint(prefix)})


def announced(prefix):
    """A checkpoint that no flag has named, when a line has said so."""
    print(f"checkpoint: {prefix}", flush=True)
    return prefix


def find_data_path(args):
    """The data set that --data_path names, else the newest, and a line says which."""
    from src.data.tokens import default_data_path

    if args.data_path:
        return args.data_path
    path = default_data_path(DOWNLOADS)
    print(f"data: {path}", flush=True)
    return path


def find_palette(args, prefix):
    """The file of the palette that --color_cluster_path names, else of the one beside the checkpoint, or None."""
    from src.weights.checkpoint import palette_beside

    try:
        return args.color_cluster_path or palette_beside(prefix)
    except InputError:
        return None


def load_palette(args, prefix, n_vocab):
    """The palette that --color_cluster_path names, else the one beside the checkpoint: [n_vocab, 3] in -1..1."""
    from src.data.palettes import load_clusters
    from src.weights.checkpoint import palette_beside

    return load_clusters(args.color_cluster_path or palette_beside(prefix), n_vocab)
