"""run.py --train: its flags, and from flags to a trained checkpoint."""

import dataclasses
import shlex

from src.cli.models import check_batches, planned
from src.cli.parser import fraction, natural, options, positive, rate
from src.cli.process import progress_bar, show_figures
from src.config import InputError

RECIPE = {"steps", "n_batch", "optimizer", "schedule", "lr", "warmup_steps", "beta1", "beta2", "ema", "flip"}
INTERVALS = {"log_every", "eval_every", "eval_images", "save_every"}


def add_flags(p):
    """The flags RECIPE and INTERVALS, and --recompute."""
    train = p.add_argument_group("--train (and, but for --flip, --finetune)")
    train.add_argument(
        "--steps",
        type=positive,
        default=1_000_000,
        help="updates in all; may grow later; to fine-tune at most so many, by default 100 epochs",
    )
    train.add_argument(
        "--n_batch",
        type=positive,
        help="images an update (the paper: 128); default: one part a device, to fine-tune 128",
    )
    train.add_argument("--optimizer", choices=["adam", "muon"], default="adam", help="muon: of the MLPs' matrices")
    train.add_argument(
        "--schedule", choices=["cosine", "constant"], default="cosine", help="after the warm-up; to fine-tune: constant"
    )
    train.add_argument("--lr", type=rate, default=0.003, help="highest learning rate; to fine-tune: 0.0003")
    train.add_argument("--warmup_steps", type=natural, help="default: one epoch, to fine-tune 0")
    train.add_argument("--beta1", type=fraction, default=0.9, help="Adam's")
    train.add_argument("--beta2", type=fraction, default=0.95, help="Adam's")
    train.add_argument("--ema", type=fraction, help="momentum of an average of the weights, which is the result")
    train.add_argument("--flip", action="store_true", help="mirror half of the training images")
    train.add_argument("--recompute", action="store_true", help="recompute activations: less memory, a third slower")
    train.add_argument("--log_every", type=positive, default=50, help="steps between two reports")
    train.add_argument(
        "--eval_every", type=positive, default=1000, help="steps between two validations; to fine-tune: an epoch"
    )
    train.add_argument(
        "--eval_images", type=positive, default=1000, help="validation images in each; to fine-tune: all"
    )
    train.add_argument("--save_every", type=positive, default=500, help="steps between two states to go on from")


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
    from src.data.tokens import fingerprint
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
        folder.keep("clusters.npy", clusters)
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
