#!/usr/bin/env python3
"""Enlarges images four times with SRGAN, by default the newest samples of run.py; trains, evaluates, exports it."""

import sys

from src.cli import superres
from src.cli.flags import add_dtype_flag, find_devices, precision
from src.cli.parser import fraction, natural, options, positive, rate, weight
from src.cli.process import run

NETWORKS = {"pretrain": "srresnet", "gan": "srgan"}  # stage to network
OF_STAGE = {  # flags of --train that only one stage reads
    "pretrain": {"generator", "blocks", "optimizer", "patience"},
    "gan": {
        "content",
        "vgg_weights",
        "random_features",
        "adversarial",
        "adversarial_weight",
        "pixel_weight",
        "grid_weight",
        "line_weight",
        "spectral_norm",
        "freeze_norm",
        "ema",
        "schedule",
        "discriminator_lr",
        "head_start",
        "keep_every",
        "picture_every",
    },
}
READS = {mode: flags | {"stage"} for mode, flags in superres.READS.items()}
READS["train"] = READS["train"].union({"dtype"}, *OF_STAGE.values())


def parse(argv):
    p, group = superres.make_parser("srgan", __doc__, [4], READS)
    p.set_defaults(optimizer="adam", lr=1e-4, patch=24, epochs=100, augment="varied")
    stages = "SRResNet, on pixels, or from there on against a discriminator; the bundled one that is used"
    p.add_argument("--stage", choices=list(NETWORKS), help=f"{stages}; default: gan, of --train pretrain")
    kinds = ["srgan", "report", "inception"]
    trunk = "the paper's; with nearest upsampling; with Inception-A blocks, too"
    group.add_argument("--generator", choices=kinds, default="srgan", help=trunk)
    group.add_argument("--blocks", type=positive, default=16, help="residual blocks of it")
    add_dtype_flag(group)
    group = p.add_argument_group("--train DIR --stage gan", "goes on from --weights, else from the newest SRResNet")
    contents = ["vgg54", "vgg22", "vgg16_22", "vgg16_33", "vgg16_43", "vgg16", "inception_resnet_v2", "pixel"]
    group.add_argument("--content", choices=contents, default="vgg54", help="what is compared for the content loss")
    trained = "ImageNet weights without the top, for vgg16 also an edge detector's; default: Keras' own"
    group.add_argument("--vgg_weights", metavar="FILE", help=trained)
    group.add_argument("--random_features", action="store_true", help="do without weights, only to try the code")
    kinds = ["standard", "relativistic"]
    judged = "whether crops are real, or how much more so than the others"
    group.add_argument("--adversarial", choices=kinds, default="standard", help=judged)
    group.add_argument("--adversarial_weight", type=weight, default=1e-3, help="of the adversarial loss")
    group.add_argument("--pixel_weight", type=weight, default=0.0, help="of the mean difference of pixels, too")
    grid = "of a grid in it, which repeats from one low-resolution pixel to the next"
    group.add_argument("--grid_weight", type=weight, default=0.0, help=grid)
    line = "of dotted lines in it, which repeat so along a row or a column"
    group.add_argument("--line_weight", type=weight, default=0.0, help=line)
    spectral = "of the discriminator's kernels, in place of batch normalization"
    group.add_argument("--spectral_norm", action="store_true", help=spectral)
    group.add_argument("--freeze_norm", action="store_true", help="keep the generator's statistics of the first stage")
    average = "momentum of the weights' average, which is validated and kept; default: no average"
    group.add_argument("--ema", type=fraction, default=0.0, metavar="MOMENTUM", help=average)
    falls = "of both learning rates; cosine: to zero"
    group.add_argument("--schedule", choices=["constant", "cosine"], default="constant", help=falls)
    group.add_argument("--discriminator_lr", type=rate, help="default: that of the generator, --lr")
    group.add_argument("--head_start", type=natural, default=0, help="updates of the discriminator alone, at first")
    group.add_argument("--keep_every", type=positive, default=50, help="epochs from one kept generator to the next")
    group.add_argument("--picture_every", type=positive, default=10, help="epochs from one sheet to the next")
    args = p.parse_args(argv)
    superres.check(p, args)
    check_stage(p, args)
    return args


def check_stage(p, args):
    """Take the default stage; refuse flags that it does not read."""
    if args.train:
        args.stage = args.stage or "pretrain"
        (other,) = OF_STAGE.keys() - {args.stage}
        for name in sorted(args.given & OF_STAGE[other]):
            p.error(f"--{name}: belongs to --stage {other}")
    if args.weights and args.stage and not args.train:
        p.error("--stage: chooses one of the bundled networks, --weights names another; leave one out")
    args.stage = args.stage or "gan"
    features = args.given & {"vgg_weights", "random_features"}
    if features and args.content == "pixel":
        p.error(f"--{min(features)}: --content pixel goes without")
    if args.train and args.stage == "gan" and args.head_start >= args.epochs * args.steps:
        p.error(
            "--head_start: takes all updates, --epochs times --steps, and leaves none for the generator; take fewer"
        )
    if len(features) == 2:
        p.error("--random_features: goes without the weights of --vgg_weights; leave one out")


def train(args):
    if args.stage == "gan":
        return train_gan(args)
    from src.superres.srgan import Generator

    return superres.train_on_pixels(args, lambda: Generator(args.generator, args.blocks, args.seed, precision(args)))


def train_gan(args):
    from src.superres.adversarial import GanRecipe
    from src.superres.photographs import DataOptions
    from src.superres.stages import starting_generator, train_against_discriminator

    if args.random_features:
        print("srgan.py: warning: --random_features: the content loss is that of an untrained network", file=sys.stderr)
    strategy, degradation = find_devices(args), args.degradation or "clean"
    with strategy.scope():
        net, files = starting_generator(args.save_dir, args.weights, precision(args), degradation)
    superres.check_batch(args, net)
    check_discriminator(args, net.scale)
    superres.say(f"generator: {', '.join(files)}")
    data = options(DataOptions, args, degradation=degradation)
    recipe = options(GanRecipe, args, discriminator_lr=args.discriminator_lr or args.lr)
    session = superres.make_session(args, strategy, files)
    return train_against_discriminator(net, data, recipe, session, args.keep_every, args.picture_every)


def check_discriminator(args, scale):
    """Raise InputError where the discriminator of crops so large is more than memory holds."""
    from src.memory import FLOAT, STATE, check_fits
    from src.superres.discriminator import least_parameters

    check_fits(STATE * FLOAT * least_parameters(scale * args.patch), f"the discriminator of `patch` {args.patch}")


def main(argv=None):
    args = parse(argv)
    return superres.main(args, NETWORKS[args.stage], train)


if __name__ == "__main__":
    run(main)
