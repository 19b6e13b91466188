"""run.py --probe and --predict: their flags, and from flags to a table, a plot and a probe that names images."""

import argparse

from src import hosts
from src.cli import flags
from src.cli.models import agree_on_tokens, check_scored, load
from src.cli.parser import at_most, natural
from src.cli.process import progress_bar
from src.config import InputError

FLAGS = {"layers", "labels_per_class", "masks"}
PREDICTS = flags.CHECKPOINT | flags.HOSTED | {"save_dir", "crop", "pad", "n_sub_batch", "json"}
LABELS = 10**6, "few labels are what it is about"
CONCAT = "concat"
SHOWN = 3  # classes of an image
FEW = 100  # images to choose by


def layer(text):
    """An argparse type: a layer's number, or CONCAT."""
    if text == CONCAT:
        return text
    try:
        return natural(text)
    except argparse.ArgumentTypeError as error:
        raise argparse.ArgumentTypeError(f"{error}; or give {CONCAT}") from None


def add_flags(p):
    """The flags FLAGS but for --masks, which is --eval's."""
    group = p.add_argument_group("--probe")
    layers = f"from 0, the first block's input; {CONCAT}: five around the best; default: all of these"
    group.add_argument("--layers", nargs="+", type=layer, metavar="LAYER", help=layers)
    few = "also with so few labels, five random subsets of each number"
    group.add_argument("--labels_per_class", nargs="+", type=at_most(*LABELS), default=[], metavar="N", help=few)


def options_of(args, hparams):
    """The ProbeOptions of the flags, for a model of these sizes."""
    from src.measuring.probe import ProbeOptions

    named = [each for each in args.layers or [] if each != CONCAT]
    for each in named:
        if each > hparams.n_layer:
            raise InputError(f"`layers` {each}: the model has layers 0 to {hparams.n_layer}; name one of them")
    layers = sorted(set(named)) or range(hparams.n_layer + 1)
    return ProbeOptions(
        layers=tuple(layers),
        concat=not args.layers or CONCAT in args.layers,
        labels_per_class=tuple(sorted(set(args.labels_per_class))),
        seed=args.seed,
    )


def together(parts):
    """Tokens [n, s] and class numbers [n] of several splits."""
    import numpy as np

    return np.concatenate([X for X, _ in parts]), np.concatenate([Y.argmax(1) for _, Y in parts])


def make_features(args, model, strategy, longest):
    """A `Features` of the model for at most so many images, which fits into memory."""
    from src.measuring.features import Features

    replicas = strategy.num_replicas_in_sync
    part = min(args.n_sub_batch, -(-longest // replicas))
    check_scored(args, model, part)
    return Features(model, strategy, part * replicas, args.seed)


def probe(args, strategy):
    from src.data.palettes import check_palette
    from src.data.tokens import label_names, load_labelled, splits_of
    from src.measuring.features import pixel_values
    from src.measuring.probe import Images, Prober, check_labels
    from src.measuring.probe_files import FIGURES, PLOT, WEIGHTS, write_probe
    from src.weights.checkpoint import fingerprint

    with strategy.scope():
        model, prefix = load(args)
    clusters, options = flags.load_palette(args, prefix, model.hparams.n_vocab), options_of(args, model.hparams)
    check_palette(args.data_path, clusters, flags.find_palette(args, prefix))
    names = ["train", *({"valid"} & splits_of(args.data_path).keys()), "test"]
    *train, test = load_labelled(args.data_path, names, model.hparams).values()
    (X, labels), (test_X, test_labels), classes = together(train), together([test]), test[1].shape[1]
    check_labels(labels, classes, options)
    agree_on_tokens({"train": (X, labels), "test": (test_X, test_labels)})
    names = label_names(args.data_path, classes)
    features, mark = make_features(args, model, strategy, max(len(X), len(test_X))), fingerprint(prefix)

    def kept(split, tokens, number=0):
        return features.kept(args.save_dir, mark, tokens, number, progress_bar(f"features of {split}", "image"))

    found = [kept("train", X)], [kept("test", test_X, number) for number in range(args.masks)]
    if not hosts.current().first:
        return  # the regressions are host 0's, which has all features
    train = Images(found[0], pixel_values(X, clusters), labels)
    test = Images(found[1], pixel_values(test_X, clusters), test_labels)
    prober = Prober(train, test, classes, options, progress_bar("probe", "fit"))
    scores = prober.scores()
    few = prober.few_labels(scores)
    counts = {"train": len(X), "choosing": len(prober.choosing), "test": len(test_X)}
    show(args.data_path, counts, scores, few)
    origin = {"checkpoint": str(prefix), "fingerprint": mark, "classes": names}
    origin |= {name: getattr(args, name) for name in ("dtype", "masks", "seed", "bert_mask_prob")}
    write_probe(args.save_dir, scores, few, origin, {"data": args.data_path, "images": counts})
    print(f"{args.save_dir}: {FIGURES}, {PLOT} and, for --predict, {WEIGHTS}")


def show(data_path, counts, scores, few):
    """Print the tables."""
    from src.measuring.probe_files import best

    train, choosing, test = counts.values()
    print(f"{data_path}: {train} training images, {choosing} of which chose C and the layer (valid);")
    print(f"then fitted to all and tested on {test} images; per cent right")
    print(f"{'':14}{'C':>8}{'valid':>8}{'test':>8}")
    chosen = best(scores)
    for score in scores:
        mark = " chosen" if score is chosen else ""
        print(f"{score.name:14}{score.strength:>8g}{score.valid:>8.2f}{score.test:>8.2f}{mark}")
    if choosing < FEW:
        print(f"{choosing} images are few to choose C and a layer by: more labels would make the choice less of a lot")
    for each in few:
        mean, spread = each.mean_and_spread()
        figures = f"test {mean:.2f}, standard deviation {spread:.2f} over {len(each.test)} subsets"
        print(f"{each.name:14}{each.labels_per_class} labels a class: {figures}")


def saved_model(args, saved, strategy, images):
    """The model that a saved probe is one of, or that --ckpt_path names, for so many images, and its palette."""
    from src.measuring.features import Features
    from src.measuring.probe_files import check_model
    from src.weights.checkpoint import checkpoint_prefix, fingerprint, load_model

    prefix, origin = checkpoint_prefix(args.ckpt_path or saved.origin["checkpoint"]), saved.origin
    with strategy.scope():
        model = load_model(prefix, bert_mask_prob=origin["bert_mask_prob"], dtype=origin["dtype"])
    replicas = strategy.num_replicas_in_sync
    features = Features(model, strategy, min(args.n_sub_batch, images) * replicas, origin["seed"])
    check_model(saved, fingerprint(prefix), features.shape, args.save_dir)
    return features, flags.load_palette(args, prefix, model.hparams.n_vocab)


def predict(args, strategy):
    import numpy as np

    from src.data.images import find_images, read_image, square
    from src.files import write_json
    from src.measuring.probe_files import read_probe
    from src.utils import pixel_tokens

    saved, paths = read_probe(args.save_dir), find_images(args.predict)
    features, clusters = saved_model(args, saved, strategy, len(paths))
    n_px, names = features.model.hparams.n_px, saved.origin["classes"]
    pictures = np.stack([square(read_image(path, args.crop), n_px, pad=args.pad) for path in paths])
    X = pixel_tokens(pictures, clusters)
    found = [np.empty([len(X), *features.shape], np.float32) for _ in range(saved.origin["masks"])]
    for number, out in enumerate(found):
        features.write(X, out, number, progress_bar("predict", "image"))
    probabilities = saved.probabilities(found)
    for path, row in zip(paths, probabilities):
        print(f"{path}:", ", ".join(f"{names[k]} {row[k]:.3f}" for k in np.argsort(-row)[:SHOWN]))
    if args.json:
        rows = [dict(zip(names, map(float, row))) for row in probabilities]
        write_json(args.json, {str(path): row for path, row in zip(paths, rows)})
