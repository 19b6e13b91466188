"""Which model run.py's flags mean: one that is there, checked against what they say of it, or a new one."""

import dataclasses

from src import hosts
from src.cli import flags
from src.config import SIZES, HParams, InputError
from src.memory import FLOAT, STATE, activation_bytes, batch_bytes, check_fits, parameters

MOST_BLOCKS = 1000
SAVING = {"train", "finetune", "probe", "sample"}  # modes that write to --save_dir

SIZE_FLAGS = {
    "n_embd": "width",
    "n_head": "attention heads",
    "n_layer": "blocks",
    "n_px": "image height and width in pixels",
    "n_vocab": "colours",
}


def sizes(args):
    """The size flags that were given."""
    return {name: getattr(args, name) for name in SIZE_FLAGS if getattr(args, name) is not None}


def new_hparams(args, n_vocab):
    """The HParams of a new model: --model, the flags given over it, and the palette's number of colours."""
    fields = {name: getattr(SIZES[args.model or "s"], name) for name in SIZE_FLAGS} | {"n_vocab": n_vocab}
    return HParams(**fields | sizes(args), bert=args.bert, bert_mask_prob=args.bert_mask_prob)


def check_new(hparams):
    """Raise InputError where a new model is more than this machine could train."""
    if hparams.n_layer > MOST_BLOCKS:
        most = f"at most {MOST_BLOCKS}, each of which TensorFlow traces by itself (L, the largest released, has 48)"
        raise InputError(f"`n_layer` {hparams.n_layer}: {most}; take fewer")
    count = parameters(hparams)
    shape = (
        f"`n_embd` {hparams.n_embd}, `n_layer` {hparams.n_layer}, `n_px` {hparams.n_px}, `n_vocab` {hparams.n_vocab}"
    )
    check_fits(count * STATE * FLOAT, f"{shape}: training {count:,} parameters", "take a smaller model")


def check_batches(args, hparams, n_batch, part):
    """Raise InputError where batches of so many images, in parts of so many on a device, are more than memory holds."""
    given = "n_batch" if args.n_batch else "n_sub_batch"
    check_fits(n_batch * batch_bytes(hparams.n_positions), f"`{given}` {getattr(args, given)}")
    item = FLOAT if args.dtype == "float32" else FLOAT // 2
    kept = activation_bytes(hparams, item, training=True, recompute=args.recompute)
    check_fits(part * kept, f"`n_sub_batch` {args.n_sub_batch}")


def check_scored(args, model, part):
    """Raise InputError where so many images to evaluate on a device at a time are more than memory holds."""
    check_fits(part * activation_bytes(model.hparams, model.dtype.size), f"`n_sub_batch` {args.n_sub_batch}")


def check_expected(args, hparams, prefix):
    """Raise InputError where flags that describe a model contradict a checkpoint's, or would have no effect on it."""
    if args.model:
        wanted, found = (
            {n: getattr(h, n) for n in ("n_embd", "n_head", "n_layer")} for h in (SIZES[args.model], hparams)
        )
        if wanted | sizes(args) != found | sizes(args):
            raise InputError(f"{prefix}: `model` {args.model} was given but the checkpoint has {found}; leave it out")
    if args.bert and not hparams.bert:
        raise InputError(f"{prefix}: `bert` was given but this checkpoint is autoregressive; leave it out")
    if args.clf and not (hparams.classes or "finetune" in args.modes):
        raise InputError(f"{prefix}: `clf` was given but this checkpoint has no model/clf/wclf; leave it out")
    check_masks(args, hparams)


def check_masks(args, hparams):
    """Raise InputError where flags of BERT's masks were given for an autoregressive model."""
    for name in ("bert_mask_prob", "masks"):
        if name in args.given and not hparams.bert:
            raise InputError(f"`{name}`: an autoregressive model has no masks; leave it out, or give `bert`")
    if "seed" in args.given and not (hparams.bert or args.modes - {"eval"}):
        raise InputError("`seed`: nothing is drawn in evaluating an autoregressive model; leave it out")


def load(args, positions=None):
    """The model that the flags name, and its prefix; `positions` as for `flags.find_checkpoint`."""
    from src.weights.checkpoint import load_model, run_checkpoint

    if "save_dir" in args.given and not (args.modes & SAVING or run_checkpoint(args.save_dir)):
        raise InputError(f"`save_dir` {args.save_dir}: no trained run is there; name a checkpoint with `ckpt_path`")
    prefix = flags.find_checkpoint(args, positions)
    flags.agree_on_checkpoint(prefix)
    model = load_model(prefix, bert_mask_prob=args.bert_mask_prob, sizes=sizes(args), dtype=args.dtype)
    check_expected(args, model.hparams, prefix)
    return model, prefix


def agree_on_tokens(splits):
    """Raise InputError where hosts have read different splits, name to (X, Y or None)."""
    from src.data.tokens import fingerprint

    if hosts.current().links:
        found = {name: [fingerprint(part) for part in parts if part is not None] for name, parts in splits.items()}
        hosts.current().agree(**{"the data": found})


def planned(args):
    """What the flags ask --train for: HParams, palette, and the checkpoint to start from or None."""
    from src.data.palettes import load_clusters
    from src.data.tokens import check_there, palette_of_tokens
    from src.weights import checkpoint

    if not args.ckpt_path:
        if args.clf:
            raise InputError("`clf`: pre-training makes no classifier; leave it out, or name a checkpoint that has one")
        check_there(args.data_path)
        palette = args.color_cluster_path or palette_of_tokens(args.data_path)
        hparams = new_hparams(args, len(load_clusters(palette)))
        check_masks(args, hparams)
        check_new(hparams)
        hosts.current().agree(**{"the model": dataclasses.asdict(hparams)})  # its palette is compared with the data
        return hparams, load_clusters(palette, hparams.n_vocab), None
    prefix = checkpoint.checkpoint_prefix(args.ckpt_path)
    flags.agree_on_checkpoint(prefix)
    hparams, _ = checkpoint.open_checkpoint(prefix, bert_mask_prob=args.bert_mask_prob, sizes=sizes(args))
    check_expected(args, hparams, prefix)
    return hparams, flags.load_palette(args, prefix, hparams.n_vocab), prefix
