"""run.py --eval: its flags, and from flags to losses on whole splits."""

from src import hosts
from src.cli import flags
from src.cli.models import agree_on_tokens, check_scored, load
from src.cli.parser import at_most
from src.cli.process import progress_bar
from src.config import InputError, one_line

SPLITS = ["train", "valid", "test"]
MASKS = 1000, "the class that most masks agree on hardly changes with more"
NAME = 40  # characters of a class's name in a line


def add_flags(p):
    group = p.add_argument_group("--eval")
    group.add_argument("--splits", nargs="+", choices=SPLITS, help="default: those there are")
    masks = "of BERT's, of an image; its class is the most frequent one under them (the paper: 5)"
    group.add_argument("--masks", type=at_most(*MASKS), default=1, help=masks)


def extremes(by_class):
    """The lowest and the highest of the accuracies of classes, name to per cent, in words."""
    worst, best = (f(by_class, key=by_class.get) for f in (min, max))
    names = (f"{by_class[name]:.2f} ({one_line(name, NAME)})" for name in (worst, best))
    return f"acc by class: {' to '.join(names)}"


def figures_of(results, Y, names):
    """The figures of a split as --json holds them, from `Evaluator.results`; `acc_by_class` where it has classes."""
    from src.measuring.evaluation import accuracy_by_class, means

    figures = means(results, Y)
    if "classes" in results:
        labels = Y.argmax(1)
        by_class = accuracy_by_class(results["classes"] == labels, labels)
        figures["acc_by_class"] = {names[k]: value for k, value in by_class.items()}
    return figures


def show(split, figures):
    """Print the figures of a split."""
    shown = {name: value for name, value in figures.items() if name != "acc_by_class"}
    print(split, *(f"{k}: {v:.{2 if k == 'acc' else 4}f}" for k, v in shown.items()), flush=True)
    if "acc_by_class" in figures:
        print(split, extremes(figures["acc_by_class"]), flush=True)


def load_splits(args, hparams):
    """The splits to score, name to (X, Y or None), and the names of the classes, if there are any to score."""
    from src.data.tokens import SPLITS as LETTERS
    from src.data.tokens import label_names, load_split, splits_of

    chosen = args.splits or splits_of(args.data_path)
    if not chosen:
        raise InputError(f"{args.data_path}_teX.npy: no such file, nor of another split; name others with `data_path`")
    splits = {name: load_split(args.data_path, LETTERS[name], hparams) for name in SPLITS if name in chosen}
    labelled = hparams.classes and any(Y is not None for _, Y in splits.values())
    return splits, label_names(args.data_path, hparams.classes) if labelled else ()


def evaluate(args, strategy):
    from src.data.palettes import check_palette, load_clusters
    from src.files import write_json
    from src.measuring.evaluation import Evaluator

    with strategy.scope():
        model, prefix = load(args)
    splits, names = load_splits(args, model.hparams)
    palette = flags.find_palette(args, prefix)
    agree_on_tokens(splits)
    if palette:
        check_palette(args.data_path, load_clusters(palette, model.hparams.n_vocab), palette)
    replicas, longest = strategy.num_replicas_in_sync, max(len(X) for X, _ in splits.values())
    part = min(args.n_sub_batch, -(-longest // replicas))
    check_scored(args, model, part)
    evaluator = Evaluator(model, strategy, part * replicas)
    figures = {}
    for name, (X, Y) in splits.items():
        bar = progress_bar(name, "image")
        results = evaluator.results(X, Y, masks=args.masks, seed=args.seed, progress=bar)
        figures[name] = figures_of(results, Y, names)
        show(name, figures[name])
    if args.json and hosts.current().first:
        how = {"masks": args.masks, "seed": args.seed} if model.hparams.bert else {}
        write_json(args.json, {"checkpoint": str(prefix), "data": args.data_path, **how, "splits": figures})
