#!/usr/bin/env python3
"""Train, evaluate and sample an Image GPT. The flags are the release's; sizes are read from the checkpoint."""

import json
from pathlib import Path

from src.cli import (
    Parser,
    above_zero,
    import_tensorflow,
    natural,
    output_folder,
    positive,
    run,
    unit_interval,
)
from src.config import DOWNLOADS, SAVE_DIR, SIZES, HParams, InputError

SIZE_FLAGS = {
    "n_embd": "width",
    "n_head": "attention heads",
    "n_layer": "blocks",
    "n_px": "image height and width in pixels",
    "n_vocab": "colours",
}


def parse(argv):
    p = Parser(prog="run.py", description=__doc__)
    mode = p.add_argument_group("mode (several may be given: they run in this order)")
    mode.add_argument("--train", action="store_true", help="pre-train on DATA_PATH and write a checkpoint to SAVE_DIR")
    mode.add_argument("--eval", action="store_true", help="print the losses on train, valid and test")
    mode.add_argument("--sample", action="store_true", help="draw images to SAVE_DIR")

    io = p.add_argument_group("data and files")
    io.add_argument(
        "--data_path",
        default=str(DOWNLOADS / "fashion_mnist"),
        help="token files without their ending _trX.npy, as dataset.py writes them",
    )
    io.add_argument(
        "--ckpt_path",
        help="checkpoint (prefix); default: the newest in downloads, else the bundled one; with --train: a start",
    )
    io.add_argument("--color_cluster_path", help="palette; default: the one beside the checkpoint")
    io.add_argument("--save_dir", default=str(SAVE_DIR), help="where images and training runs go")
    io.add_argument("--json", metavar="FILE", help="write the figures of --eval unrounded")

    model = p.add_argument_group("model (with a checkpoint: only checked against it)")
    model.add_argument("--model", choices=SIZES, default="s", help="sizes to train where no flag below is given")
    for name, text in SIZE_FLAGS.items():
        model.add_argument(f"--{name}", type=positive, default=None, help=text)
    model.add_argument("--bert", action="store_true", help="use the BERT objective")
    model.add_argument("--bert_mask_prob", type=unit_interval, default=0.15, help="probability of masking a token")
    model.add_argument("--clf", action="store_true", help="expect a checkpoint with a classification head")
    model.add_argument(
        "--dtype",
        choices=["float32", "bfloat16", "float16"],
        default="float32",
        help="type of the products; norms, softmax and losses stay in float32",
    )

    par = p.add_argument_group("parallelism")
    par.add_argument(
        "--n_gpu", type=positive, default=None, help="devices to use; default: all GPUs, or the CPU where there is none"
    )
    par.add_argument("--n_sub_batch", type=positive, default=8, help="images per device and step")
    par.add_argument(
        "--n_cpu",
        type=positive,
        default=1,
        help="split the CPU into so many logical devices (to try replicas without GPUs)",
    )

    ev = p.add_argument_group("--eval")
    ev.add_argument(
        "--splits",
        nargs="+",
        choices=["train", "valid", "test"],
        default=["train", "valid", "test"],
        help="which to evaluate",
    )

    sample = p.add_argument_group("--sample")
    sample.add_argument("--n_samples", type=positive, default=16, help="images to draw")
    sample.add_argument("--temperature", type=above_zero, default=1.0, help="below 1 sharpens the distribution")
    sample.add_argument(
        "--batch_size", type=positive, default=None, help="images drawn at a time; default: 32 per device"
    )

    train = p.add_argument_group("--train")
    train.add_argument("--steps", type=positive, default=1_000_000, help="updates in all")
    train.add_argument("--lr", type=above_zero, default=0.003, help="highest learning rate")
    train.add_argument("--warmup_steps", type=natural, default=None, help="default: one epoch")
    train.add_argument("--beta1", type=unit_interval, default=0.9, help="Adam's")
    train.add_argument("--beta2", type=unit_interval, default=0.95, help="Adam's")
    train.add_argument("--flip", action="store_true", help="mirror half of the training images")
    train.add_argument(
        "--recompute",
        action="store_true",
        help="recompute activations in the backward pass: less memory, a third slower",
    )
    train.add_argument("--log_every", type=positive, default=50, help="steps between two reports")
    train.add_argument("--eval_every", type=positive, default=1000, help="steps between two validation losses")
    train.add_argument("--eval_images", type=positive, default=1000, help="validation images in each")
    train.add_argument("--save_every", type=positive, default=500, help="steps between two states to go on from")

    p.add_argument("--seed", type=int, default=42, help="of everything drawn")
    args = p.parse_args(argv)
    if not (args.train or args.eval or args.sample):
        p.error("say what to do: --train, --eval or --sample")
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
    from src import checkpoint

    if args.ckpt_path:
        prefix = checkpoint.checkpoint_prefix(args.ckpt_path)
    else:
        prefix = checkpoint.default_checkpoint(DOWNLOADS)
        print(f"checkpoint: {prefix}", flush=True)
    model = checkpoint.load_model(prefix, bert_mask_prob=args.bert_mask_prob, sizes=sizes(args), dtype=args.dtype)
    if args.bert and not model.hparams.bert:
        raise InputError(
            f"{prefix}: --bert was given but this checkpoint is autoregressive (it has model/sos); leave the flag out"
        )
    if args.clf and not model.hparams.classes:
        raise InputError(
            f"{prefix}: --clf was given but this checkpoint has no classifier (model/clf/wclf); leave the flag out"
        )
    return model, prefix


def train(args, strategy):
    from src import checkpoint, data, training, utils

    clusters_path = args.color_cluster_path or f"{args.data_path}_clusters.npy"
    clusters = utils.load_clusters(clusters_path)
    hparams = (
        checkpoint.load_model(args.ckpt_path, bert_mask_prob=args.bert_mask_prob, sizes=sizes(args)).hparams
        if args.ckpt_path
        else new_hparams(args, len(clusters))
    )
    X, _ = data.load_split(args.data_path, "tr", n_px=hparams.n_px, n_vocab=hparams.n_vocab, labels=False)
    valid = None
    if Path(f"{args.data_path}_vaX.npy").exists():
        valid, _ = data.load_split(args.data_path, "va", n_px=hparams.n_px, n_vocab=hparams.n_vocab, labels=False)
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
    print(f"{args.save_dir}: {count:,} parameters, {len(X)} images, step {int(run.step)} to {recipe.steps}", flush=True)
    data.save_array(Path(args.save_dir) / "clusters.npy", clusters)
    prefix = run.train(X, valid, training.Reporting(args.log_every, args.eval_every, args.eval_images, args.save_every))
    print(f"checkpoint: {prefix}")


def evaluate(args, strategy):
    from src import data
    from src.evaluation import evaluate

    with strategy.scope():
        model, prefix = load(args)
    figures = {}
    for split, name in data.SPLITS.items():
        if name not in args.splits:
            continue
        X, Y = data.load_split(args.data_path, split, n_px=model.hparams.n_px, n_vocab=model.hparams.n_vocab)
        n_batch = args.n_sub_batch * strategy.num_replicas_in_sync
        figures[name] = evaluate(model, X, Y, strategy=strategy, n_batch=n_batch, seed=args.seed, progress=name)
        print(" ".join([name] + [f"{k}: {v:.{2 if k == 'acc' else 4}f}" for k, v in figures[name].items()]), flush=True)
    if args.json:
        Path(args.json).write_text(
            json.dumps({"checkpoint": str(prefix), "data": args.data_path, "splits": figures}, indent=1) + "\n"
        )


def sample(args, strategy):
    from src import checkpoint, images, utils
    from src.sampling import Sampler

    with strategy.scope():
        model, prefix = load(args)
    clusters = utils.load_clusters(args.color_cluster_path or checkpoint.palette_beside(prefix), model.hparams.n_vocab)
    batch = args.batch_size or 32 * strategy.num_replicas_in_sync
    tokens = Sampler(model, strategy).draw(
        args.n_samples, seed=args.seed, temperature=args.temperature, n_batch=batch, progress="sample"
    )
    pictures = utils.color_dequantize(tokens, clusters, model.hparams.n_px)
    folder = Path(args.save_dir)
    for i, picture in enumerate(pictures):
        images.write_png(folder / f"sample_{i}.png", picture)
    images.write_png(folder / "samples.png", images.sheet(pictures))
    print(f"{folder / 'samples.png'}: {len(pictures)} images of {model.hparams.n_px}x{model.hparams.n_px}")


def main(argv=None):
    args = parse(argv)
    if args.train or args.sample:
        output_folder(args.save_dir, "--save_dir")
    if args.json:
        output_folder(Path(args.json).parent, "--json")
    import_tensorflow()
    from src.distribute import make_strategy, split_cpu

    split_cpu(args.n_cpu)
    strategy = make_strategy(args.n_gpu or (args.n_cpu if args.n_cpu > 1 else None))
    for wanted, command in ((args.train, train), (args.eval, evaluate), (args.sample, sample)):
        if wanted:
            command(args, strategy)


if __name__ == "__main__":
    run(main)
