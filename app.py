#!/usr/bin/env python3
"""A page in the browser: complete your own pictures, draw new ones, enlarge them, and look inside the model."""

import signal
import sys

from src.cli.parser import Number, Parser
from src.cli.parser import options as options_of
from src.cli.process import import_tensorflow, run
from src.config import DOWNLOADS
from src.page.server import PageOptions, Server


def parse(argv):
    p = Parser(prog="app.py", description=__doc__)
    port = Number(int, 0, 65_535, "ports end there")
    p.add_argument("--port", type=port, default=7860, help="port of the page; 0 takes a free one")
    p.add_argument("--host", default="127.0.0.1", help="address to listen on; 0.0.0.0 lets other machines in")
    p.add_argument("--auth", metavar="USER:PASSWORD", help="ask visitors for this name and password")
    p.add_argument("--ckpt_path", help="checkpoint to offer first; default: newest in downloads, else the bundled one")
    return p.parse_args(argv)


def main(argv=None):
    page = options_of(PageOptions, parse(argv))

    def make_desk():
        import_tensorflow()
        from src.page.jobs import Desk
        from src.page.models import Models

        return Desk(Models(DOWNLOADS, page.ckpt_path))

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # so that temporary files go away
    with Server(page, make_desk, lambda text: print(text, file=sys.stderr)) as server:
        if page.open_to_all:
            print("app.py: whoever reaches this machine can use the page; --auth asks for a password", file=sys.stderr)
        print(f"{server.address} (Ctrl-C ends it)", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    run(main)
