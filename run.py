#!/usr/bin/env python3
"""Train, evaluate and sample an Image GPT. The flags are the release's; sizes are read from the checkpoint."""

from src.cli import cluster, evaluation, fid, finetuning, flags, pretraining, probing
from src.cli.drawing import draw
from src.cli.models import SAVING, SIZE_FLAGS, load
from src.cli.outputs import make_outputs
from src.cli.parser import Parser, fraction, positive, seed
from src.cli.process import import_tensorflow, run
from src.config import SAVE_DIR, SIZES

MODEL = flags.CHECKPOINT | {"save_dir", "model", *SIZE_FLAGS, "bert", "clf"}
TOKENS = {"data_path", "bert_mask_prob", "n_sub_batch", "seed", "dtype"} | flags.HOSTED
READS = {
    "train": MODEL | TOKENS | pretraining.RECIPE | pretraining.INTERVALS | {"recompute"},
    "finetune": MODEL - {"clf"} | TOKENS | finetuning.RECIPE | pretraining.INTERVALS | {"masks", "recompute"},
    "eval": MODEL | TOKENS | {"splits", "masks", "json"},
    "probe": MODEL | TOKENS | probing.FLAGS,
    "predict": probing.PREDICTS,
    "sample": MODEL | flags.SAMPLING | flags.HOSTED | {"seed", "dtype"},
    "fid": MODEL | fid.OF_COMPARISON | fid.OF_SAMPLES,
    "export_hf": MODEL | cluster.FLAGS,
}
ON_TOKENS = {"train", "finetune", "eval", "probe"}  # modes that read --data_path


def add_model_flags(p):
    io = p.add_argument_group("data and files")
    io.add_argument("--data_path", help="token files, up to _trX.npy; default: the newest in downloads")
    flags.add_checkpoint_flags(io)
    io.add_argument("--save_dir", default=str(SAVE_DIR), help="where images and runs go; one trained there is used")
    io.add_argument("--json", metavar="FILE", help="write the figures of --eval, --predict or --fid unrounded")

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


def parse(argv):
    p = Parser(prog="run.py", description=__doc__, reads=READS)
    mode = p.add_argument_group("mode (several run in this order)")
    mode.add_argument("--train", action="store_true", help="pre-train on DATA_PATH (from CKPT_PATH, if given)")
    mode.add_argument("--finetune", action="store_true", help="train CKPT_PATH and a classifier on labelled DATA_PATH")
    mode.add_argument("--eval", action="store_true", help="print the losses on train, valid and test")
    mode.add_argument("--probe", action="store_true", help="print what a linear classifier makes of each layer")
    mode.add_argument("--predict", nargs="+", metavar="IMAGE", help="name images by the probe in SAVE_DIR")
    mode.add_argument("--sample", action="store_true", help="draw images to SAVE_DIR")
    mode.add_argument("--fid", metavar="REAL", help="distance to a folder, tokens, a data path's test or statistics")
    mode.add_argument("--export_hf", metavar="DIR", help="write the checkpoint as a Hugging Face folder")
    add_model_flags(p)
    evaluation.add_flags(p)
    probing.add_flags(p)
    flags.add_sampling_flags(p.add_argument_group("--sample"))
    pretraining.add_flags(p)
    finetuning.add_flags(p)
    fid.add_flags(p)
    p.add_argument("--seed", type=seed, default=42, help="of everything drawn")
    args = p.parse_args(argv)
    cluster.check_flags(p, args)
    fid.check_flags(p, args)
    measures = [f"--{mode}" for mode in READS if mode in args.modes and "json" in READS[mode]]
    if args.json and len(measures) > 1:
        p.error(f"--json: a file for the figures of one of {', '.join(measures)}; give two commands")
    if {"train", "finetune"} <= args.modes:
        p.error("--finetune: not with --train, for both make a run in --save_dir; give two commands")
    if {"save_dir", "ckpt_path"} <= args.given and not args.modes & (SAVING | {"predict"}):
        p.error("--save_dir: read for the run trained there, but --ckpt_path names a checkpoint; give one of them")
    return args


def sample(args, strategy):
    with strategy.scope():
        model, prefix = load(args)
    draw(args, model, prefix, strategy)


def export_hf(args, strategy):
    from src.weights import huggingface

    model, prefix = load(args)
    huggingface.export_folder(model, flags.load_palette(args, prefix, model.hparams.n_vocab), args.export_hf)
    print(f"{args.export_hf}: Hugging Face ImageGPT of {prefix}")


COMMANDS = {  # in the order in which they run
    "train": pretraining.train,
    "finetune": finetuning.finetune,
    "eval": evaluation.evaluate,
    "probe": probing.probe,
    "predict": probing.predict,
    "sample": sample,
    "fid": fid.measure,
    "export_hf": export_hf,
}


def main(argv=None):
    args = parse(argv)
    cluster.join(args, alone={"predict", "fid", "export_hf"})
    folders = {"save_dir": args.save_dir if args.modes & SAVING else None, "export_hf": args.export_hf}
    files = {name: getattr(args, name) for name in ("json", "save_tokens", "save_statistics")}
    make_outputs(folders, files)
    import_tensorflow()
    strategy = flags.find_devices(args)
    if args.modes & ON_TOKENS:
        args.data_path = flags.find_data_path(args)
    for mode, command in COMMANDS.items():
        if mode in args.modes:
            command(args, strategy)


if __name__ == "__main__":
    run(main)
