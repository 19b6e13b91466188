#!/usr/bin/env python3
"""Enlarges images with ESPCN, by default the newest samples of run.py; trains, evaluates and exports the network."""

from src.cli import superres
from src.cli.process import run

READS = superres.READS | {"train": superres.READS["train"] | {"activation", "channels"}}


def parse(argv):
    p, group = superres.make_parser("espcn", __doc__, [2, 3, 4], READS)
    activations = ["tanh", "relu", "leaky_relu"]
    group.add_argument("--activation", choices=activations, default="tanh", help="between the layers")
    group.add_argument("--channels", choices=["y", "rgb"], default="y", help="of the network; y: chroma is bicubic")
    args = p.parse_args(argv)
    superres.check(p, args)
    return args


def train(args):
    from src.superres.espcn import Espcn

    channels = len(args.channels)
    return superres.train_on_pixels(
        args, lambda: Espcn(args.scale or 4, channels, activation=args.activation, seed=args.seed)
    )


def main(argv=None):
    return superres.main(parse(argv), "espcn", train)


if __name__ == "__main__":
    run(main)
