#!/usr/bin/env python3
"""What should the decoder of the prompt-guided network see of earlier blocks?

Trains a network with each kind of skip on the same batches of small pictures, from what one has learnt of words alone;
prints how near edits of large ones are to what was asked for, and draws validation images at the same stages of each
training. Goes on where it was stopped.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

STAGE = "small"  # of `prompted.STAGES`
STAGES = 4  # of a training, whose pictures are shown
SHOWN = 6  # validation examples


def beginning(skip, learnt):
    """A new network, but for SRResNet and for what the stage `words` trains, which stays as another has learnt it."""
    from src.superres.prompted import Prompted

    fields = {name: learnt.settings[name] for name in ("maps", "text", "encoder")}
    net = Prompted.around(learnt.base, skip, dtype="mixed_bfloat16", **fields)
    for variable, value in zip(net.part("words").variables, learnt.part("words").variables):
        variable.assign(value)
    net.freeze_words()
    return net


def train(net, data, recipe, folder):
    """The network after a run, and pictures [stage, example, h, w, 3]."""
    from src.superres.prompting import PromptTask
    from src.superres.stages import Session, find_run, learn

    class Watched(PromptTask):
        """Keeps what it makes of some validation examples at each stage."""

        def keep(self, step):
            super().keep(step)
            if step % (self.steps // STAGES) == 0:
                made = [self.predict(*(x[None] for x in inputs))[0] for *inputs, _ in self.data.valid[:SHOWN]]
                np.save(self.path.with_name(f"stage-{step}.npy"), np.stack(made))

    session = Session(folder / net.settings["skip"])
    with find_run(net, data, recipe, session) as run:
        task = Watched(net, data, recipe, run.path / "best.keras", STAGE)
        learn(task, run, recipe, session)
        stages = [run.path / f"stage-{task.steps * i // STAGES}.npy" for i in range(1, STAGES + 1)]
        return net, np.stack([np.load(path) for path in stages])


def pixels(images):
    return np.uint8(np.rint(np.clip(images, 0, 1) * 255))


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("words", metavar="FILE.keras", help="a network that prompt_sr.py --stage words has trained")
    p.add_argument("train", help="folder of triples, such as triples.py makes")
    p.add_argument("test", nargs="+", help="files of triples")
    p.add_argument("--triples", nargs="+", default=[], metavar="FILE.jsonl", help="of it; default: every train.jsonl")
    p.add_argument("--epochs", type=int, default=4, help="of 100 updates, a multiple of 4 (default: 4)")
    p.add_argument("--save_dir", default=str(ROOT / "save" / "skips"), help="where runs, table and sheet go")
    args = p.parse_args()
    if args.epochs % STAGES:
        p.error(f"--epochs: a multiple of {STAGES}, the stages that are shown")
    from src.cli.process import import_tensorflow

    import_tensorflow()
    from src.data.sheets import enlarged, write_sheet
    from src.data.triples import read_triples
    from src.files import write_json
    from src.superres.bundled import find_network
    from src.superres.edit_scoring import by_kind, score_edits
    from src.superres.instructed import InstructedOptions, load_instructed
    from src.superres.nine_blocks import SKIPS
    from src.superres.pixel import PixelRecipe
    from src.text.encoder import TextEncoder

    encoder, (learnt, _), folder = TextEncoder.open(), find_network("prompted", [args.words]), Path(args.save_dir)
    recipe = PixelRecipe("adam", 0.0007, epochs=args.epochs, steps=100, n_batch=64, patience=args.epochs)
    options = InstructedOptions(args.train, tuple(args.triples), stage=STAGE, freeze_words=True)
    data = load_instructed(options, learnt, encoder)
    triples = [t for path in args.test for t in read_triples(path)]
    shown = data.valid[:SHOWN]
    rows, table = [[pixels(low) for low, *_ in shown]], {}
    for skip in SKIPS:
        net, pictures = train(beginning(skip, learnt), data, recipe, folder)
        table[skip] = by_kind(score_edits(net, encoder, triples))["all"]
        print(f"{skip:10} " + ", ".join(f"{name} {value:.4g}" for name, value in table[skip].items()), flush=True)
        rows += [list(pixels(stage)) for stage in pictures]
        write_json(folder / "skips.json", table)
    rows.append([pixels(high) for *_, high in shown])
    write_sheet(folder / "skips.png", [list(enlarged(np.stack(row), 3)) for row in rows])
    print(f"{folder / 'skips.png'}: unedited; {', '.join(SKIPS)} at {STAGES} stages each; what was asked for")


if __name__ == "__main__":
    main()
