#!/usr/bin/env python3
"""Train, evaluate and sample an Image GPT. The flags are the release's; sizes are read from the checkpoint."""

import dataclasses
import shlex
from pathlib import Path

from src.cli import flags
from src.cli.drawing import draw
from src.cli.parser import Parser, above_zero, natural, options, positive, unit_interval
from src.cli.process import import_tensorflow, output_folder, progress_bar, run, show_figures
from src.config import SAVE_DIR, SIZES, HParams, InputError

SIZE_FLAGS = {
    "n_embd": "width",
    "n_head": "attention heads",
    "n_layer": "blocks",
    "n_px": "image height and width in pixels",
    "n_vocab": "colours",
}
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
    model.add_argument("--bert_mask_prob", type=unit_interval, default=0.15, help="probability of masking a token")
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
    train.add_argument("--lr", type=above_zero, default=0.003, help="highest learning rate")
    train.add_argument("--warmup_steps", type=natural, help="default: one epoch")
    train.add_argument("--beta1", type=unit_interval, default=0.9, help="Adam's")
    train.add_argument("--beta2", type=unit_interval, default=0.95, help="Adam's")
    train.add_argument("--ema", type=unit_interval, help="momentum of an average of the weights, which is the result")
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
    p.add_argument("--seed", type=natural, default=42, help="of everything drawn")
    args = p.parse_args(argv)
    if {"save_dir", "ckpt_path"} <= args.given and not (args.train or args.sample):
        p.error("--save_dir: read for the run trained there, but --ckpt_path names a checkpoint; give one of them")
    return args


def sizes(args):
    """The size flags that were given."""
    return {name: getattr(args, name) for name in SIZE_FLAGS if getattr(args, name) is not None}


def new_hparams(args, n_vocab):
    """The HParams of a new model: --model, the flags given over it, and the palette's number of colours."""
    fields = {name: getattr(SIZES[args.model or "s"], name) for name in SIZE_FLAGS} | {"n_vocab": n_vocab}
    return HParams(**fields | sizes(args), bert=args.bert, bert_mask_prob=args.bert_mask_prob)


def check_expected(args, hparams, prefix):
    """Raise InputError where flags that describe a model contradict a checkpoint's, or would have no effect on it."""
    if args.model:
        wanted, found = (
            {n: getattr(h, n) for n in ("n_embd", "n_head", "n_layer")} for h in (SIZES[args.model], hparams)
        )
        if wanted | sizes(args) != found | sizes(args):
            raise InputError(f"{prefix}: `model` {args.model} was given but the checkpoint has {found}; leave it out")
    if args.bert and not hparams.bert:
        raise InputError(f"{prefix}: `bert` was given but this checkpoint is autoregressive; leave it out")
    if args.clf and not hparams.classes:
        raise InputError(f"{prefix}: `clf` was given but this checkpoint has no model/clf/wclf; leave it out")
    check_masks(args, hparams)


def check_masks(args, hparams):
    """Raise InputError where flags of BERT's masks were given for an autoregressive model."""
    if "bert_mask_prob" in args.given and not hparams.bert:
        raise InputError("`bert_mask_prob`: an autoregressive model has no masks; leave it out, or give `bert`")
    if "seed" in args.given and not (hparams.bert or args.train or args.sample):
        raise InputError("`seed`: nothing is drawn in evaluating an autoregressive model; leave it out")


def load(args):
    """The model that the flags name, and its prefix."""
    from src.weights.checkpoint import load_model, run_checkpoint

    if "save_dir" in args.given and not (args.train or args.sample or run_checkpoint(args.save_dir)):
        raise InputError(f"`save_dir` {args.save_dir}: no trained run is there; name a checkpoint with `ckpt_path`")
    prefix = flags.find_checkpoint(args)
    model = load_model(prefix, bert_mask_prob=args.bert_mask_prob, sizes=sizes(args), dtype=args.dtype)
    check_expected(args, model.hparams, prefix)
    return model, prefix


def described(args):
    """What the flags ask --train for: HParams, palette, and the checkpoint to start from or None."""
    from src.data.palettes import load_clusters
    from src.weights import checkpoint

    palette = args.color_cluster_path or f"{args.data_path}_clusters.npy"
    if not args.ckpt_path:
        if args.clf:
            raise InputError("`clf`: pre-training makes no classifier; leave it out, or name a checkpoint that has one")
        hparams = new_hparams(args, len(load_clusters(palette)))
        check_masks(args, hparams)
        return hparams, load_clusters(palette, hparams.n_vocab), None
    prefix = checkpoint.checkpoint_prefix(args.ckpt_path)
    hparams, _ = checkpoint.open_checkpoint(prefix, bert_mask_prob=args.bert_mask_prob, sizes=sizes(args))
    check_expected(args, hparams, prefix)
    return hparams, flags.load_palette(args, prefix, hparams.n_vocab), prefix


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
    from src.training.runs import RunFolder
    from src.utils import count_parameters
    from src.weights import checkpoint

    hparams, clusters, start = described(args)
    check_palette(args.data_path, clusters, args.color_cluster_path or (start and checkpoint.palette_beside(start)))
    tokens = token_data(args, hparams)
    recipe = make_recipe(args, len(tokens.train), strategy.num_replicas_in_sync)
    part = pretraining.part_size(recipe.n_batch, args.n_sub_batch, strategy.num_replicas_in_sync)
    with strategy.scope():
        model = pretraining.make_model(hparams, recipe, start, recompute=args.recompute)
        task = pretraining.Pretraining(model, recipe, tokens, strategy, args.n_sub_batch, args.eval_images)
    data = {"tokens": fingerprint(tokens.train), "palette": fingerprint(clusters)}
    data["start"] = checkpoint.fingerprint(start) if start else None
    record = {"hparams": dataclasses.asdict(hparams), "recipe": dataclasses.asdict(recipe), "data": data}
    folder = RunFolder(args.save_dir, record)
    save_array(folder.path / "clusters.npy", clusters)
    count, first = count_parameters(model.params.values()), max(folder.states(), default=0)
    print(f"{folder.path}: {count:,} parameters, {len(tokens.train)} images", end=", ")
    print(f"batches of {recipe.n_batch} in parts of {part}, step {first} to {recipe.steps}", flush=True)
    if folder.note:
        print(folder.note, flush=True)
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
    evaluator = Evaluator(model, strategy, args.n_sub_batch * strategy.num_replicas_in_sync)
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
    draw(args, model, flags.load_palette(args, prefix, model.hparams.n_vocab), strategy)


def export_hf(args, strategy):
    from src.weights import huggingface

    model, prefix = load(args)
    huggingface.export_folder(model, flags.load_palette(args, prefix, model.hparams.n_vocab), args.export_hf)
    print(f"{args.export_hf}: Hugging Face ImageGPT of {prefix}")


def main(argv=None):
    args = parse(argv)
    if args.train or args.sample:
        output_folder(args.save_dir, "save_dir")
    if args.export_hf:
        output_folder(args.export_hf, "export_hf")
    if args.json:
        output_folder(Path(args.json).parent, "json")
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
