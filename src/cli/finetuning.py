"""run.py --finetune: its flags, and from flags to a fine-tuned checkpoint."""

import dataclasses
import shlex

from src.cli import flags
from src.cli.models import check_batches, check_expected, sizes
from src.cli.parser import positive
from src.cli.process import close_bars, progress_bar, show_figures

OWN = {"clf_only", "layer", "augment", "patience", "from_scratch"}
RECIPE = OWN | {"steps", "n_batch", "optimizer", "schedule", "lr", "warmup_steps", "beta1", "beta2", "ema"}
EPOCHS = 100  # at most, by default
VARIANTS = {  # what is done to the images: (mirrored, by how many pixels they are moved at most)
    "cifar": (True, 4),
    "crop": (False, 4),
    "flip": (True, 0),
    "none": (False, 0),
}
GREY = 0.01  # apart in -1..1, at most, are the channels of a grey


def add_flags(p):
    """The flags OWN."""
    group = p.add_argument_group("--finetune")
    group.add_argument("--clf_only", action="store_true", help="the classifier's loss alone, without the tokens'")
    group.add_argument("--layer", type=positive, help="cut the network after so many blocks; default: all of them")
    variants = "random crops of images reflected by 4 pixels, mirrored (flip), both (cifar); default: by the palette"
    group.add_argument("--augment", choices=VARIANTS, help=variants)
    group.add_argument("--patience", type=positive, default=5, help="validations without a higher accuracy")
    group.add_argument("--from_scratch", action="store_true", help="from random weights, for comparison")


def starting_point(args):
    """The checkpoint that --ckpt_path names, else the newest, and a line says which: (prefix, HParams, palette)."""
    from src.data.palettes import check_palette
    from src.weights import checkpoint

    start = flags.find_start(args)
    flags.agree_on_checkpoint(start)
    hparams, _ = checkpoint.open_checkpoint(start, bert_mask_prob=args.bert_mask_prob, sizes=sizes(args))
    check_expected(args, hparams, start)
    clusters = flags.load_palette(args, start, hparams.n_vocab)
    check_palette(args.data_path, clusters, args.color_cluster_path or checkpoint.palette_beside(start))
    return start, hparams, clusters


def labelled_data(args, hparams):
    """The labelled images to train on and for validation."""
    from src.data.tokens import load_labelled, splits_of
    from src.training.finetuning import labelled

    names = ["train", "valid"] if "valid" in splits_of(args.data_path) else ["train"]
    splits = load_labelled(args.data_path, names, hparams)
    eval_images = args.eval_images if "eval_images" in args.given else None
    return labelled(splits["train"], splits.get("valid"), args.seed, eval_images)


def make_recipe(args, images, clusters):
    """The recipe by the flags that were given; the rest depends on the number of images and on the palette."""
    from src.training.finetuning import FinetuningRecipe

    fields = {field.name for field in dataclasses.fields(FinetuningRecipe)}
    given = {name: getattr(args, name) for name in fields & args.given}
    epoch = -(-images // given.get("n_batch", FinetuningRecipe.n_batch))
    flip, shift = VARIANTS[args.augment or default_augment(clusters)]
    return FinetuningRecipe(**{"steps": EPOCHS * epoch, "eval_every": epoch} | given, flip=flip, shift=shift)


def default_augment(clusters):
    """The paper's for CIFAR; of greys crops alone, since a mirrored digit or letter is another or none."""
    return "crop" if (clusters.max(1) - clusters.min(1)).max() <= GREY else "cifar"


def record_of(model, recipe, data, clusters, start):
    """All that decides the result."""
    from src.data.tokens import fingerprint
    from src.weights import checkpoint

    arrays = {"tokens": data.train, "labels": data.train_labels, "valid": data.valid, "valid_labels": data.valid_labels}
    found = {name: fingerprint(array) for name, array in (arrays | {"rows": data.rows, "palette": clusters}).items()}
    found["start"] = None if recipe.from_scratch else checkpoint.fingerprint(start)
    return {"hparams": dataclasses.asdict(model.hparams), "recipe": dataclasses.asdict(recipe), "data": found}


def finetune(args, strategy):
    from src.training import finetuning
    from src.training.loop import Intervals
    from src.training.pretraining import part_size
    from src.training.runs import open_run

    start, hparams, clusters = starting_point(args)
    data = labelled_data(args, hparams)
    recipe = make_recipe(args, len(data.rows), clusters)
    args.n_batch, classes = recipe.n_batch, data.train_labels.shape[1]
    part = part_size(recipe.n_batch, args.n_sub_batch, strategy.num_replicas_in_sync)
    with strategy.scope():
        more = {"bert_mask_prob": hparams.bert_mask_prob, "recompute": args.recompute}
        model, head = finetuning.make_model(start, recipe, classes, **more)
        check_batches(args, model.hparams, recipe.n_batch, part)
        task = finetuning.Finetuning(model, recipe, data, strategy, args.n_sub_batch)
    with open_run(args.save_dir, record_of(model, recipe, data, clusters, start)) as folder:
        folder.keep("clusters.npy", clusters)
        print(f"{folder.path}: from step {folder.first} to {recipe.steps} at most", end=", ")
        for line in (*description(task, hparams, head), *choices(args, task, clusters), *folder.notes):
            print(line, flush=True)
        intervals = Intervals(args.log_every, recipe.eval_every, args.save_every)
        bar = progress_bar("finetune", "step")
        prefix, accuracy = finetuning.finetune(task, folder, strategy, intervals, show_figures, bar)
    close_bars()  # for the training may have ended early
    show_result(args, str(prefix), accuracy)


def description(task, hparams, head):
    """Yield in two lines what is trained; `hparams` are those of the checkpoint."""
    from src.utils import count_parameters

    model, count = task.model, count_parameters(task.model.params.values())
    batches = f"batches of {task.recipe.n_batch} in parts of {task.n_sub_batch}"
    yield f"{count:,} parameters, {len(task.tokens.rows)} images, {batches}"
    yield f"classifier: {model.hparams.classes} classes on layer {model.hparams.n_layer} of {hparams.n_layer}, {head}"


def choices(args, task, clusters):
    """Yield a line for each choice that no flag or file has made."""
    recipe, data = task.recipe, task.tokens
    if args.augment is None:
        name = default_augment(clusters)
        yield f"augment: {name}, because the palette {'is grey' if name == 'crop' else 'has colours'}"
    held = (
        "" if len(data.rows) == len(data.train) else f" of those to train on, for {args.data_path}_vaX.npy is not there"
    )
    yield (
        f"validation: {len(data.valid)} images{held}, every {recipe.eval_every} steps; "
        f"the training ends after {recipe.patience} without a higher accuracy"
    )


def show_result(args, prefix, accuracy):
    """Print what was reached, and the command that evaluates it; --eval and --sample behind this take the result."""
    from src.data.tokens import splits_of

    args.ckpt_path = prefix
    print(f"valid acc: {accuracy:.2f}")
    print(f"checkpoint: {prefix}")
    split = "--splits test " if "test" in splits_of(args.data_path) else ""
    place = f"--data_path {shlex.quote(args.data_path)} --ckpt_path {shlex.quote(prefix)}"
    print(f"python run.py --clf --eval {split}{place}")
