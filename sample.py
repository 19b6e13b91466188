#!/usr/bin/env python3
"""Draw images from an Image GPT, or complete your own: `python sample.py --image photo.jpg --keep_rows 16`."""

from src import hosts
from src.cli import cluster, flags, prompting
from src.cli.drawing import draw
from src.cli.outputs import make_outputs
from src.cli.parser import Parser, seed
from src.cli.process import import_tensorflow, run
from src.config import SAVE_DIR


def parse(argv):
    p = Parser(prog="sample.py", description=__doc__)
    flags.add_sampling_flags(p)
    flags.add_checkpoint_flags(p)
    flags.add_dtype_flag(p)
    p.add_argument("--save_dir", default=str(SAVE_DIR), help="where images go; a model trained there is used")
    enlarge = "enlarge the images, too, as espcn.py, srgan.py or prompt_sr.py"
    p.add_argument("--upscale", choices=["espcn", "srgan", "prompt"], help=enlarge)
    prompting.add_prompt_flags(p)
    p.add_argument("--seed", type=seed, default=42, help="image i depends on the seed and i alone")
    flags.add_device_flags(p)
    args = p.parse_args(argv)
    cluster.check_flags(p, args)
    if args.upscale == "prompt" and not args.prompt:
        p.error("--upscale prompt: say with --prompt what to make of the images")
    for name in sorted(args.given & prompting.PROMPTS) if args.upscale != "prompt" else ():
        p.error(f"--{name}: belongs to --upscale prompt; give it, too")
    return args


def main(argv=None):
    args = parse(argv)
    cluster.join(args)
    make_outputs({"save_dir": args.save_dir}, {"save_tokens": args.save_tokens})
    import_tensorflow()
    from src.weights.checkpoint import load_model

    strategy, prefix = flags.find_devices(args), flags.find_checkpoint(args)
    if args.upscale == "prompt":
        prompting.check_prompts(args)
    flags.agree_on_checkpoint(prefix)
    with strategy.scope():
        model = load_model(prefix, dtype=args.dtype)
    paths = draw(args, model, prefix, strategy)
    if args.upscale and hosts.current().first:
        from src.cli.superres import enlarge
        from src.superres.upscaling import UpscaleOptions

        network = "prompted" if args.upscale == "prompt" else args.upscale
        return enlarge(paths, network, UpscaleOptions(args.save_dir, prompts=prompting.prompts(args)))


if __name__ == "__main__":
    run(main)
