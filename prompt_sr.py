#!/usr/bin/env python3
"""Enlarges images four times and edits them as a prompt says, by default the newest samples of run.py."""

from src.cli import cluster, prompting, superres
from src.cli.flags import HOSTED, add_device_flags, add_dtype_flag
from src.cli.outputs import make_outputs
from src.cli.parser import Number, Parser, at_most, positive, seed
from src.cli.process import import_tensorflow, run
from src.config import SAVE_DIR

DATA = {"triples", "patch", "noise", "word_noise", "seed", "stage", "freeze_words"}
READS = {  # mode to the flags that it reads
    "upscale": prompting.PROMPTS | {"weights", "save_dir"} | cluster.FLAGS,
    "train": superres.RECIPE | HOSTED | DATA | {"text", "weights", "skip", "maps", "save_dir", "dtype"},
    "eval": {"text", "weights", "seed", "json"} | cluster.FLAGS,
}
NOISE = Number(float, 0, 1, "no picture is left in more")
SKIPS = "none", "first", "sixth", "attention"
STAGES = "words", "small", "large"


def parse(argv):
    p = Parser(prog="prompt_sr.py", description=__doc__, reads=READS)
    mode = p.add_argument_group("mode").add_mutually_exclusive_group()
    mode.add_argument("--upscale", nargs="*", metavar="PATH", help="images or folders; default: the newest samples")
    mode.add_argument("--train", metavar="DIR", help="train on the triples below DIR, such as triples.py makes")
    mode.add_argument("--eval", nargs="+", metavar="FILE.jsonl", help="score edits on triples, beside other edits")
    prompting.add_prompt_flags(p)
    files = "a trained network, or one to go on from; of several the mean; default: the bundled one"
    p.add_argument("--weights", nargs="+", metavar="FILE.keras", help=files)
    p.add_argument("--save_dir", default=str(SAVE_DIR), help="where images and training runs go")
    p.add_argument("--json", metavar="FILE", help="write the figures of --eval unrounded")
    p.add_argument("--seed", type=seed, default=42, help="of everything drawn")
    add_device_flags(p)
    add_training_flags(p.add_argument_group("--train"))
    p.set_defaults(optimizer="adam", lr=0.001, epochs=40, steps=100)
    args = p.parse_args(argv)
    cluster.check_flags(p, args)
    if "strength" in args.given and not args.prompt:
        p.error("--strength: is that of an edit; say what to make of the picture with --prompt")
    if "text" in args.given and args.upscale is not None and not args.prompt:
        p.error("--text: hears a prompt, and there is none; give --prompt")
    if args.freeze_words and (args.stage == "words" or not args.weights):
        p.error("--freeze_words: is for --stage small or large, from the --weights of the stage words")
    args.weights = tuple(args.weights or ())
    return args


def add_training_flags(group):
    """The flags of --train."""
    lines = "files of triples, of DIR; default: every train.jsonl in it, a valid.jsonl beside it for validation"
    group.add_argument("--triples", nargs="+", metavar="FILE.jsonl", help=lines)
    stages = "train what a prompt decides alone; all, on small pictures; all, on large ones. Default: large"
    group.add_argument("--stage", choices=STAGES, default="large", help=stages)
    group.add_argument("--freeze_words", action="store_true", help="leave what --stage words has trained as it is")
    group.add_argument("--skip", choices=SKIPS, default="attention", help="what the decoder sees of earlier blocks")
    group.add_argument("--maps", type=at_most(128, "the network has no more"), default=64, help="of the first block")
    group.add_argument("--patch", type=positive, default=32, help="low-resolution pixels on a side of a crop")
    group.add_argument("--noise", type=NOISE, default=0.0, help="deviation of noise added to low resolution, of 0..1")
    words = "the same of a prompt's embeddings, as a share of their size, so that other words for it are heard, too"
    group.add_argument("--word_noise", type=NOISE, default=0.0, help=words)
    superres.add_recipe_flags(group)
    add_dtype_flag(group)


def main(argv=None):
    args = parse(argv)
    cluster.join(args, alone={"upscale", "eval"})
    make_outputs({"save_dir": None if args.eval else args.save_dir}, {"json": args.json})
    import_tensorflow()
    if args.train:
        return prompting.train(args)
    return prompting.evaluate(args) if args.eval else prompting.upscale(args)


if __name__ == "__main__":
    run(main)
