#!/usr/bin/env python3
"""Enlarges images with ESPCN, by default the newest samples of run.py; trains, evaluates and exports the network."""

from src import cli
from src.config import ROOT
from src.superres import flags

FOLDER = ROOT / "pretrained" / "espcn"
BUNDLED = {(scale, "clean"): FOLDER / f"x{scale}.keras" for scale in (2, 3, 4)} | {
    (4, "palette"): FOLDER / "x4-palette.keras"
}


def parse(argv):
    p, group = flags.make_parser("espcn", __doc__, [2, 3, 4])
    activations = ["tanh", "relu", "leaky_relu"]
    group.add_argument("--activation", choices=activations, default="tanh", help="between the layers")
    group.add_argument("--channels", choices=["y", "rgb"], default="y", help="of the network; y: chroma is bicubic")
    return p.parse_args(argv)


def train(args, clusters):
    from src.superres import mode_train
    from src.superres.espcn import espcn
    from src.superres.upscale import Upscaler

    strategy = cli.find_devices(args)
    with strategy.scope():
        net = espcn(args.scale, channels=len(args.channels), activation=args.activation, seed=args.seed)
    upscaler = Upscaler(net)
    pairs, valid = mode_train.training_set(args, upscaler, clusters, margin=upscaler.context)
    mode_train.train(
        args, upscaler, pairs, valid, strategy, name="espcn", activation=args.activation, channels=args.channels
    )


def main(argv=None):
    return flags.run(parse(argv), "espcn", BUNDLED, train)


if __name__ == "__main__":
    cli.run(main)
