#!/usr/bin/env python3
"""Train, evaluate and sample an Image GPT. The flags are the release's; sizes are read from the checkpoint."""

import dataclasses
import shlex

from src.cli import flags
from src.cli.drawing import draw
from src.cli.models import SIZE_FLAGS, check_batches, check_scored, load, planned
from src.cli.parser import Parser, fraction, natural, options, positive, rate, seed
from src.cli.process import import_tensorflow, make_outputs, progress_bar, run, show_figures
from src.config import SAVE_DIR, SIZES, InputError

SPLITS = ["train", "valid", "test"]

MODEL = flags.CHECKPOINT | {"save_dir", "model", *SIZE_FLAGS, "bert", "clf"}
TOKENS = {"data_path", "bert_mask_prob", "n_sub_batch", "seed", "dtype"} | flags.DEVICES
RECIPE = {"steps", "n_batch", "optimizer", "schedule", "lr", "warmup_steps", "beta1", "beta2", "ema", "flip"}
READS = {
    "train": MODEL | TOKENS | RECIPE | {"recompute", "log_every", "eval_every", "eval_images", "save_every"},
    "eval": MODEL | TOKENS | {"splits", "json"},
    "sample": MODEL | flags.SAMPLING | flags.DEVICES | {"seed", "dtype"},
    "export_hf": MODEL,
}


def add_model_flags(p):
    io = p.add_argument_group("data and files")
    io.add_argument("--data_path", help="token files, up to _trX.npy; default: the newest in downloads")
    flags.add_checkpoint_flags(io)
    io.add_argument("--save_dir", default=str(SAVE_DIR), help="where images and runs go; one trained there is used")
    io.add_argument("--json", metavar="FILE", help="write the figures of --eval unrounded")

    model = p.add_argument_group("model (with a checkpoint: only checked against it)")
    model.add_argument("--model", choices=SIZES, help="sizes to train where no flag below is given; default: s")
    for name, text in SIZE_FLAGS.items():
        model.add_argument(f"--{name}", type=positive, help=text)
    model.add_argument("--bert", action="store_true", help="use the BERT objective")
    model.add_argument("--bert_mask_prob", type=fraction, default=0.15, help="probability of masking a token")
    model.add_argument("--clf", action="store_true", help="expect a checkpoint with a classification head")
    flags.add_dtype_flag(model)
    flags.add_device_flags(p).add_argument(
        "--n_sub_batch", type=positive, default=8, help="images on a device at a time"
    )


def add_training_flags(p):
    train = p.add_argument_group("--train")
    train.add_argument("--steps", type=positive, default=1_000_000, help="updates in all; may grow later")
    train.add_argument("--n_batch", type=positive, help="images an update (the paper: 128); default: one part a device")
    train.add_argument("--optimizer", choices=["adam", "muon"], default="adam", help="muon: of the MLPs' matrices")
    train.add_argument("--schedule", choices=["cosine", "constant"], default="cosine", help="after the warm-up")
    train.add_argument("--lr", type=rate, default=0.003, help="highest learning rate")
    train.add_argument("--warmup_steps", type=natural, help="default: one epoch")
    train.add_argument("--beta1", type=fraction, default=0.9, help="Adam's")
    train.add_argument("--beta2", type=fraction, default=0.95, help="Adam's")
    train.add_argument("--ema", type=fraction, help="momentum of an average of the weights, which is the result")
    train.add_argument("--flip", action="store_true", help="mirror half of the training images")
    train.add_argument("--recompute", action="store_true", help="recompute activations: less memory, a third slower")
    train.add_argument("--log_every", type=positive, default=50, help="steps between two reports")
    train.add_argument("--eval_every", type=positive, default=1000, help="steps between two validation losses")
    train.add_argument("--eval_images", type=positive, default=1000, help="validation images in each")
    train.add_argument("--save_every", type=positive, default=500, help="steps between two states to go on from")


def parse(argv):
    p = Parser(prog="run.py", description=__doc__, reads=READS)
    mode = p.add_argument_group("mode (several run in this order)")
    mode.add_argument("--train", action="store_true", help="pre-train on DATA_PATH (from CKPT_PATH, if given)")
    mode.add_argument("--eval", action="store_true", help="print the losses on train, valid and test")
    mode.add_argument("--sample", action="store_true", help="draw images to SAVE_DIR")
    mode.add_argument("--export_hf", metavar="DIR", help="write the checkpoint as a Hugging Face folder")
    add_model_flags(p)
    p.add_argument_group("--eval").add_argument("--splits", nargs="+", choices=SPLITS, help="default: those there are")
    flags.add_sampling_flags(p.add_argument_group("--sample"))
    add_training_flags(p)
    p.add_argument("--seed", type=seed, default=42, help="of everything drawn")
    args = p.parse_args(argv)
    if {"save_dir", "ckpt_path"} <= args.given and not (args.train or args.sample):
        p.error("--save_dir: read for the run trained there, but --ckpt_path names a checkpoint; give one of them")
    return args


def token_data(args, hparams):
    """The tokens to train on and, where there are any, for validation."""
    from src.data.tokens import load_split, splits_of
    from src.training.pretraining import Tokens

    X, _ = load_split(args.data_path, "tr", hparams, labels=False)
    if "valid" in splits_of(args.data_path):
        return Tokens(X, load_split(args.data_path, "va", hparams, labels=False)[0])
    for name in ("eval_every", "eval_images"):
        if name in args.given:
            raise InputError(f"`{name}`: {args.data_path}_vaX.npy, for the validation loss, is not there; leave it out")
    return Tokens(X)


def make_recipe(args, images, replicas):
    """The recipe by the flags; what is not given depends on the devices and the number of images."""
    from src.training.pretraining import Recipe

    n_batch = args.n_batch or args.n_sub_batch * replicas
    warmup_steps = -(-images // n_batch) if args.warmup_steps is None else args.warmup_steps
    return options(Recipe, args, n_batch=n_batch, warmup_steps=warmup_steps, ema=args.ema or 0.0)


def train(args, strategy):
    from src.data.palettes import check_palette
    from src.data.tokens import fingerprint, save_array
    from src.training import pretraining
    from src.training.loop import Intervals
    from src.training.runs import open_run
    from src.utils import count_parameters
    from src.weights import checkpoint

    hparams, clusters, start = planned(args)
    check_palette(args.data_path, clusters, args.color_cluster_path or (start and checkpoint.palette_beside(start)))
    tokens = token_data(args, hparams)
    recipe = make_recipe(args, len(tokens.train), strategy.num_replicas_in_sync)
    part = pretraining.part_size(recipe.n_batch, args.n_sub_batch, strategy.num_replicas_in_sync)
    check_batches(args, hparams, recipe.n_batch, part)
    with strategy.scope():
        model = pretraining.make_model(hparams, recipe, start, recompute=args.recompute)
        task = pretraining.Pretraining(model, recipe, tokens, strategy, args.n_sub_batch, args.eval_images)
    data = {"tokens": fingerprint(tokens.train), "palette": fingerprint(clusters)}
    data["start"] = checkpoint.fingerprint(start) if start else None
    record = {"hparams": dataclasses.asdict(hparams), "recipe": dataclasses.asdict(recipe), "data": data}
    with open_run(args.save_dir, record) as folder:
        save_array(folder.path / "clusters.npy", clusters)
        count = count_parameters(model.params.values())
        print(f"{folder.path}: {count:,} parameters, {len(tokens.train)} images", end=", ")
        print(f"batches of {recipe.n_batch} in parts of {part}, step {folder.first} to {recipe.steps}", flush=True)
        for note in folder.notes:
            print(note, flush=True)
        bar = progress_bar("train", "step")
        args.ckpt_path = str(pretraining.pretrain(task, folder, strategy, options(Intervals, args), show_figures, bar))
    print(f"checkpoint: {args.ckpt_path}")
    follow = f"--eval --data_path {shlex.quote(args.data_path)}" if hparams.bert else "--sample"
    print(f"python run.py {follow} --ckpt_path {shlex.quote(args.ckpt_path)}")


def evaluate(args, strategy):
    from src.data.palettes import check_palette, load_clusters
    from src.data.tokens import SPLITS as LETTERS
    from src.data.tokens import load_split, splits_of
    from src.files import write_json
    from src.measuring.evaluation import Evaluator

    with strategy.scope():
        model, prefix = load(args)
    names = args.splits or splits_of(args.data_path)
    if not names:
        raise InputError(f"{args.data_path}_teX.npy: no such file, nor of another split; name others with `data_path`")
    splits = {name: load_split(args.data_path, LETTERS[name], model.hparams) for name in SPLITS if name in names}
    palette = flags.find_palette(args, prefix)
    if palette:
        check_palette(args.data_path, load_clusters(palette, model.hparams.n_vocab), palette)
    replicas, longest = strategy.num_replicas_in_sync, max(len(X) for X, _ in splits.values())
    part = min(args.n_sub_batch, -(-longest // replicas))
    check_scored(args, model, part)
    evaluator = Evaluator(model, strategy, part * replicas)
    figures = {}
    for name, (X, Y) in splits.items():
        figures[name] = evaluator.score(X, Y, seed=args.seed, progress=progress_bar(name, "image"))
        values = (f"{k}: {v:.{2 if k == 'acc' else 4}f}" for k, v in figures[name].items())
        print(name, *values, flush=True)
    if args.json:
        write_json(args.json, {"checkpoint": str(prefix), "data": args.data_path, "splits": figures})


def sample(args, strategy):
    with strategy.scope():
        model, prefix = load(args)
    draw(args, model, prefix, strategy)


def export_hf(args, strategy):
    from src.weights import huggingface

    model, prefix = load(args)
    huggingface.export_folder(model, flags.load_palette(args, prefix, model.hparams.n_vocab), args.export_hf)
    print(f"{args.export_hf}: Hugging Face ImageGPT of {prefix}")


def main(argv=None):
    args = parse(argv)
    folders = {"save_dir": args.save_dir if args.train or args.sample else None, "export_hf": args.export_hf}
    make_outputs(folders, {"json": args.json, "save_tokens": args.save_tokens})
    import_tensorflow()
    strategy = flags.find_devices(args)
    if args.train or args.eval:
        args.data_path = flags.find_data_path(args)
    modes = {"train": train, "eval": evaluate, "sample": sample, "export_hf": export_hf}
    for mode, command in modes.items():
        if getattr(args, mode):
            command(args, strategy)


if __name__ == "__main__":
    run(main)
