#!/usr/bin/env python3
"""Enlarges images with ESPCN, by default the newest samples of run.py; trains, evaluates and exports the network."""

from src.cli import superres
from src.cli.parser import positive
from src.cli.process import run

READS = superres.READS | {"train": superres.READS["train"] | {"activation", "channels", "widths", "residual"}}


def parse(argv):
    p, group = superres.make_parser("espcn", __doc__, [2, 3, 4], READS)
    activations = ["tanh", "relu", "leaky_relu"]
    group.add_argument("--activation", choices=activations, default="tanh", help="between the layers")
    group.add_argument("--channels", choices=["y", "rgb"], default="y", help="of the network; y: chroma is bicubic")
    wider = "maps of the layers before the last; each more sees a pixel further"
    group.add_argument("--widths", nargs="+", type=positive, default=[64, 32], metavar="MAPS", help=wider)
    adds = "add to bicubic interpolation, and layers of like maps to each other"
    group.add_argument("--residual", action="store_true", help=adds)
    args = p.parse_args(argv)
    superres.check(p, args)
    return args


def train(args):
    from src.superres.espcn import Espcn
    from src.superres.files import load_network

    scale = args.scale or (load_network(args.weights[0]).scale if args.weights else 4)

    def make_network():
        options = {"activation": args.activation, "widths": args.widths, "residual": args.residual, "seed": args.seed}
        return Espcn(scale, len(args.channels), **options)

    return superres.train_on_pixels(args, make_network)


def main(argv=None):
    return superres.main(parse(argv), "espcn", train)


if __name__ == "__main__":
    run(main)
