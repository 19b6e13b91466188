#!/usr/bin/env python3
"""Train, evaluate and sample an Image GPT. The flags are the release's; sizes are read from the checkpoint."""

from pathlib import Path

from sample import add_sampling_flags, draw
from src import cli
from src.config import DOWNLOADS, SAVE_DIR, SIZES, HParams, InputError

SIZE_FLAGS = {
    "n_embd": "width",
    "n_head": "attention heads",
    "n_layer": "blocks",
    "n_px": "image height and width in pixels",
    "n_vocab": "colours",
}


def add_model_flags(p):
    io = p.add_argument_group("data and files")
    io.add_argument("--data_path", help="token files, up to _trX.npy; default: the newest in downloads")
    cli.add_checkpoint_flags(io)
    io.add_argument("--save_dir", default=str(SAVE_DIR), help="where images and training runs go")
    io.add_argument("--json", metavar="FILE", help="write the figures of --eval unrounded")

    model = p.add_argument_group("model (with a checkpoint: only checked against it)")
    model.add_argument("--model", choices=SIZES, default="s", help="sizes to train where no flag below is given")
    for name, text in SIZE_FLAGS.items():
        model.add_argument(f"--{name}", type=cli.positive, help=text)
    model.add_argument("--bert", action="store_true", help="use the BERT objective")
    model.add_argument("--bert_mask_prob", type=cli.unit_interval, default=0.15, help="probability of masking a token")
    model.add_argument("--clf", action="store_true", help="expect a checkpoint with a classification head")
    cli.add_dtype_flag(model)

    par = cli.add_device_flags(p)
    par.add_argument("--n_sub_batch", type=cli.positive, default=8, help="images per device and step")


def add_training_flags(p):
    train = p.add_argument_group("--train")
    train.add_argument("--steps", type=cli.positive, default=1_000_000, help="updates in all")
    train.add_argument("--lr", type=cli.above_zero, default=0.003, help="highest learning rate")
    train.add_argument("--warmup_steps", type=cli.natural, help="default: one epoch")
    train.add_argument("--beta1", type=cli.unit_interval, default=0.9, help="Adam's")
    train.add_argument("--beta2", type=cli.unit_interval, default=0.95, help="Adam's")
    train.add_argument("--flip", action="store_true", help="mirror half of the training images")
    train.add_argument("--recompute", action="store_true", help="recompute activations: less memory, a third slower")
    train.add_argument("--log_every", type=cli.positive, default=50, help="steps between two reports")
    train.add_argument("--eval_every", type=cli.positive, default=1000, help="steps between two validation losses")
    train.add_argument("--eval_images", type=cli.positive, default=1000, help="validation images in each")
    train.add_argument("--save_every", type=cli.positive, default=500, help="steps between two states to go on from")


def parse(argv):
    p = cli.Parser(prog="run.py", description=__doc__)
    mode = p.add_argument_group("mode (several run in this order)")
    mode.add_argument("--train", action="store_true", help="pre-train on DATA_PATH (from CKPT_PATH, if given)")
    mode.add_argument("--eval", action="store_true", help="print the losses on train, valid and test")
    mode.add_argument("--sample", action="store_true", help="draw images to SAVE_DIR")
    mode.add_argument("--export_hf", metavar="DIR", help="write the checkpoint as a Hugging Face folder")
    add_model_flags(p)
    splits = ["train", "valid", "test"]
    p.add_argument_group("--eval").add_argument("--splits", nargs="+", choices=splits, default=splits, help="which")
    add_sampling_flags(p.add_argument_group("--sample"))
    add_training_flags(p)
    p.add_argument("--seed", type=cli.natural, default=42, help="of everything drawn")
    args = p.parse_args(argv)
    if not (args.train or args.eval or args.sample or args.export_hf):
        p.error("say what to do: --train, --eval, --sample or --export_hf DIR")
    return args


def sizes(args):
    """The size flags that were given."""
    return {name: getattr(args, name) for name in SIZE_FLAGS if getattr(args, name) is not None}


def new_hparams(args, n_vocab):
    """The HParams of a new model: --model, the flags given over it, and the palette's number of colours."""
    fields = {name: getattr(SIZES[args.model], name) for name in SIZE_FLAGS} | {"n_vocab": n_vocab} | sizes(args)
    return HParams(**fields, bert=args.bert, bert_mask_prob=args.bert_mask_prob)


def load(args):
    """The model that the flags name, and its prefix."""
    from src.checkpoint import load_model

    prefix = cli.find_checkpoint(args)
    model = load_model(prefix, bert_mask_prob=args.bert_mask_prob, sizes=sizes(args), dtype=args.dtype)
    if args.bert and not model.hparams.bert:
        raise InputError(f"{prefix}: --bert was given but this checkpoint is autoregressive; leave the flag out")
    if args.clf and not model.hparams.classes:
        raise InputError(f"{prefix}: --clf was given but this checkpoint has no model/clf/wclf; leave the flag out")
    return model, prefix


def train(args, strategy):
    from src import checkpoint, data, training, utils

    palette = args.color_cluster_path or f"{args.data_path}_clusters.npy"
    if args.ckpt_path:
        hparams, _ = checkpoint.open_checkpoint(args.ckpt_path, bert_mask_prob=args.bert_mask_prob, sizes=sizes(args))
    else:
        hparams = new_hparams(args, len(utils.load_clusters(palette)))
    clusters = utils.load_clusters(palette, hparams.n_vocab)
    X, _ = data.load_split(args.data_path, "tr", hparams, labels=False)
    valid = None
    if Path(f"{args.data_path}_vaX.npy").exists():
        valid, _ = data.load_split(args.data_path, "va", hparams, labels=False)
    n_batch = args.n_sub_batch * strategy.num_replicas_in_sync
    recipe = training.Recipe(
        steps=args.steps,
        n_batch=n_batch,
        lr=args.lr,
        warmup_steps=-(-len(X) // n_batch) if args.warmup_steps is None else args.warmup_steps,
        beta1=args.beta1,
        beta2=args.beta2,
        flip=args.flip,
        dtype=args.dtype,
        seed=args.seed,
        start=args.ckpt_path,
    )
    run = training.Run(args.save_dir, hparams, recipe, strategy, recompute=args.recompute)
    count = utils.count_parameters(run.model.params.values())
    print(f"{args.save_dir}: {count:,} parameters, {len(X)} images, step {run.first} to {recipe.steps}", flush=True)
    data.save_array(Path(args.save_dir) / "clusters.npy", clusters)
    reporting = training.Reporting(args.log_every, args.eval_every, args.eval_images, args.save_every)
    args.ckpt_path = str(run.train(X, valid, reporting))  # what --eval and --sample go on with
    print(f"checkpoint: {args.ckpt_path}")


def evaluate(args, strategy):
    from src import data
    from src.evaluation import Evaluator
    from src.files import write_json

    with strategy.scope():
        model, prefix = load(args)
    evaluator = Evaluator(model, strategy, args.n_sub_batch * strategy.num_replicas_in_sync)
    figures = {}
    for split, name in data.SPLITS.items():
        if name in args.splits:
            X, Y = data.load_split(args.data_path, split, model.hparams)
            figures[name] = evaluator.score(X, Y, seed=args.seed, progress=name)
            values = (f"{k}: {v:.{2 if k == 'acc' else 4}f}" for k, v in figures[name].items())
            print(name, *values, flush=True)
    if args.json:
        write_json(args.json, {"checkpoint": str(prefix), "data": args.data_path, "splits": figures})


def sample(args, strategy):
    with strategy.scope():
        model, prefix = load(args)
    draw(args, model, cli.load_palette(args, prefix, model.hparams.n_vocab), strategy)


def export_hf(args, strategy):
    from src import huggingface

    model, prefix = load(args)
    huggingface.export_folder(model, cli.load_palette(args, prefix, model.hparams.n_vocab), args.export_hf)
    print(f"{args.export_hf}: Hugging Face ImageGPT of {prefix}")


def main(argv=None):
    args = parse(argv)
    if args.train or args.sample:
        cli.output_folder(args.save_dir, "--save_dir")
    if args.export_hf:
        cli.output_folder(args.export_hf, "--export_hf")
    if args.json:
        cli.output_folder(Path(args.json).parent, "--json")
    cli.import_tensorflow()
    from src.data import default_data_path

    args.data_path = args.data_path or default_data_path(DOWNLOADS)
    strategy = cli.find_devices(args)
    modes = {"train": train, "eval": evaluate, "sample": sample, "export_hf": export_hf}
    for mode, command in modes.items():
        if getattr(args, mode):
            command(args, strategy)


if __name__ == "__main__":
    cli.run(main)
