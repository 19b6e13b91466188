#!/usr/bin/env python3
"""Enlarges images four times with SRGAN, by default the newest samples of run.py; trains, evaluates, exports it."""

import sys
from pathlib import Path

import espcn
from src import cli
from src.config import ROOT, InputError
from src.superres import flags

FOLDER = ROOT / "pretrained" / "srgan"
BUNDLED = {"pretrain": FOLDER / "srresnet.keras", "gan": FOLDER / "srgan.keras"}
OF_STAGE = {  # flags of --train that only one stage knows
    "pretrain": ["generator", "blocks", "patience"],
    "gan": [
        "content",
        "vgg_weights",
        "random_features",
        "adversarial_weight",
        "discriminator_lr",
        "head_start",
        "keep_every",
        "picture_every",
    ],
}


def parse(argv):
    p, group = flags.make_parser("srgan", __doc__, [4])
    p.set_defaults(scale=4, optimizer="adam", lr=1e-4, patch=24, epochs=100, augment="varied")
    stages = "SRResNet, on pixels, or from there on against a discriminator; the bundled one that is used"
    p.add_argument("--stage", choices=list(BUNDLED), help=f"{stages}; default: gan, of --train pretrain")
    kinds = ["srgan", "report", "inception"]
    trunk = "the paper's; with nearest upsampling; with Inception-A blocks, too"
    group.add_argument("--generator", choices=kinds, default="srgan", help=trunk)
    group.add_argument("--blocks", type=cli.positive, default=16, help="residual blocks of it")
    cli.add_dtype_flag(group)
    group = p.add_argument_group("--train DIR --stage gan", "goes on from --weights, else from the newest SRResNet")
    contents = ["vgg54", "vgg22", "inception_resnet_v2", "pixel"]
    group.add_argument("--content", choices=contents, default="vgg54", help="what is compared for the content loss")
    group.add_argument("--vgg_weights", metavar="FILE", help="ImageNet weights without the top; default: Keras' own")
    group.add_argument("--random_features", action="store_true", help="do without weights, only to try the code")
    group.add_argument("--adversarial_weight", type=cli.non_negative, default=1e-3, help="of the adversarial loss")
    group.add_argument("--discriminator_lr", type=cli.above_zero, help="default: that of the generator, --lr")
    group.add_argument("--head_start", type=cli.natural, default=0, help="updates before the generator's first")
    group.add_argument("--keep_every", type=cli.positive, default=50, help="epochs from one kept generator to the next")
    group.add_argument("--picture_every", type=cli.positive, default=10, help="epochs from one sheet to the next")
    args = p.parse_args(argv)
    args.stage = args.stage or ("pretrain" if args.train else "gan")
    unused = [name for stage, names in OF_STAGE.items() if stage != args.stage for name in names]
    given = [name for name in unused if getattr(args, name) != p.get_default(name)]
    if args.train and given:
        raise InputError(f"--{given[0]}: not of --stage {args.stage}")
    return args


def train(args, clusters):
    import keras

    from src.superres import mode_train, srgan
    from src.superres.upscale import Upscaler

    strategy = cli.find_devices(args)
    keras.utils.set_random_seed(args.seed)
    keras.config.set_dtype_policy(args.dtype if args.dtype == "float32" else f"mixed_{args.dtype}")
    gan = args.stage == "gan"
    with strategy.scope():
        net = starting_point(args) if gan else srgan.generator(args.generator, args.blocks)
    upscaler = Upscaler(net)
    pairs, valid = mode_train.training_set(args, upscaler, clusters, margin=0)
    if gan:
        return train_gan(args, upscaler, pairs, valid, strategy)
    what = {name: getattr(args, name) for name in ("generator", "blocks", "dtype")}
    mode_train.train(args, upscaler, pairs, valid, strategy, name="srresnet", **what)


def starting_point(args):
    """The generator that the adversarial stage starts from, on every device."""
    from src.superres import srgan
    from src.superres.networks import load_mean

    trained = Path(args.save_dir) / "srresnet_x4" / "best.keras"
    args.weights = args.weights or [str(trained if trained.exists() else BUNDLED["pretrain"])]
    print(f"generator: {', '.join(args.weights)}", flush=True)
    net = srgan.like(load_mean(args.weights).net)
    if net is None:
        raise InputError(f"--weights {args.weights[0]}: not a generator of srgan.py; train one with --stage pretrain")
    return net


def train_gan(args, upscaler, pairs, valid, strategy):
    """The adversarial stage in `save_dir`/srgan_x4."""
    from src.superres import adversarial, mode_train, perceptual, srgan

    if args.optimizer != "adam":
        raise InputError(f"--optimizer {args.optimizer}: the adversarial stage goes with adam alone")
    if args.random_features:
        print("srgan.py: warning: --random_features: the content loss is that of an untrained network", file=sys.stderr)
    with strategy.scope():
        content_loss = perceptual.make_content_loss(args.content, args.vgg_weights, args.random_features)
        discriminator = srgan.discriminator(4 * args.patch)
    rates = {"lr": args.lr, "discriminator_lr": args.discriminator_lr or args.lr}
    fields = ("adversarial_weight", "head_start", "epochs", "steps", "n_batch")
    recipe = adversarial.GanRecipe(**rates, **{name: getattr(args, name) for name in fields})
    what = {name: getattr(args, name) for name in ("dtype", "content", "vgg_weights", "random_features")}
    run = mode_train.run_folder(args, "srgan_x4", recipe, **what)
    rhythm = args.keep_every, args.picture_every
    psnr = adversarial.train_gan(upscaler, discriminator, content_loss, pairs, valid, recipe, run, strategy, *rhythm)
    mode_train.finish(run, "last.keras", psnr, upscaler.scale, valid)


def main(argv=None):
    args = parse(argv)
    bundled = {(4, degradation): BUNDLED[args.stage] for degradation in ("clean", "palette")}
    return flags.run(args, "srgan", bundled, train, beside={"espcn": espcn.BUNDLED})


if __name__ == "__main__":
    cli.run(main)
