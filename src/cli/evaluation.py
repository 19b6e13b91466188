"""run.py --eval: its flags, and from flags to losses on whole splits."""

from src.cli import flags
from src.cli.models import check_scored, load
from src.cli.process import progress_bar
from src.config import InputError

SPLITS = ["train", "valid", "test"]


def add_flags(p):
    p.add_argument_group("--eval").add_argument("--splits", nargs="+", choices=SPLITS, help="default: those there are")


def evaluate(args, strategy):
    from src.data.palettes import check_palette, load_clusters
    from src.data.tokens import SPLITS as LETTERS
    from src.data.tokens import load_split, splits_of
    from src.files import write_json
    from src.measuring.evaluation import Evaluator

    with strategy.scope():
        model, prefix = load(args)
    names = args.splits or splits_of(args.data_path)
    if not names:
        raise InputError(f"{args.data_path}_teX.npy: no such file, nor of another split; name others with `data_path`")
    splits = {name: load_split(args.data_path, LETTERS[name], model.hparams) for name in SPLITS if name in names}
    palette = flags.find_palette(args, prefix)
    if palette:
        check_palette(args.data_path, load_clusters(palette, model.hparams.n_vocab), palette)
    replicas, longest = strategy.num_replicas_in_sync, max(len(X) for X, _ in splits.values())
    part = min(args.n_sub_batch, -(-longest // replicas))
    check_scored(args, model, part)
    evaluator = Evaluator(model, strategy, part * replicas)
    figures = {}
    for name, (X, Y) in splits.items():
        figures[name] = evaluator.score(X, Y, seed=args.seed, progress=progress_bar(name, "image"))
        values = (f"{k}: {v:.{2 if k == 'acc' else 4}f}" for k, v in figures[name].items())
        print(name, *values, flush=True)
    if args.json:
        write_json(args.json, {"checkpoint": str(prefix), "data": args.data_path, "splits": figures})
