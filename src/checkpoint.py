"""Checkpoints: the release's format in and out, Hugging Face's folders in.

The release's is named by its prefix (`.../model.ckpt-1000000`): one `.index` beside one or many `.data-NNNNN-of-MMMMM`.
"""

import contextlib
import dataclasses
import os
import re
from pathlib import Path

import tensorflow as tf

from src import huggingface
from src.config import BUNDLED, InputError, check_shapes, hparams_from_shapes
from src.model import ImageGPT

PALETTES = ("clusters.npy", "kmeans_centers.npy")


def checkpoint_prefix(path):
    """The checkpoint that `path` means: a prefix, one of its files, a folder's newest, or a Hugging Face folder.

    Raises:
        InputError: there is no checkpoint.
    """
    path = Path(path)
    if huggingface.is_folder(path):
        return str(path)
    if path.suffix == ".safetensors" and huggingface.is_folder(path.parent):
        return str(path.parent)
    if path.is_dir():
        found = newest(path.glob("*.index"))
        if not found:
            raise InputError(f"{path}: no checkpoint (neither *.index nor {huggingface.CONFIG}) in this folder")
        path = found
    prefix = re.sub(r"\.(index|meta|data-\d{5}-of-\d{5})$", "", str(path))
    if not os.path.exists(prefix + ".index"):
        raise InputError(
            f"{prefix}: no such checkpoint ({os.path.basename(prefix)}.index is missing); "
            "give the path up to the step, as in model.ckpt-1000000"
        )
    return prefix


def newest(paths):
    """The file that was changed last, or None."""
    return max(paths, key=lambda p: p.stat().st_mtime, default=None)


def default_checkpoint(downloads):
    """The newest checkpoint anywhere below `downloads`, else the bundled model."""
    found = newest([*Path(downloads).rglob("*.index"), *Path(downloads).rglob(huggingface.CONFIG)])
    if found and found.name == huggingface.CONFIG:
        found = found.parent
    return checkpoint_prefix(found or BUNDLED)


def palette_beside(prefix):
    """The palette file of a checkpoint.

    Raises:
        InputError: none lies beside it.
    """
    if huggingface.is_folder(prefix):
        return Path(prefix) / huggingface.PROCESSOR
    for name in PALETTES:
        path = Path(prefix).parent / name
        if path.exists():
            return path
    raise InputError(
        f"{prefix}: no palette ({' or '.join(PALETTES)}) beside it; give one with --color_cluster_path FILE"
    )


@contextlib.contextmanager
def readable(prefix):
    """TensorFlow's complaints about broken files, as one line that names the checkpoint."""
    try:
        yield
    except (tf.errors.OpError, RuntimeError, ValueError, IndexError) as error:
        if isinstance(error, InputError):
            raise
        reason = str(getattr(error, "message", error)).splitlines()[0]
        raise InputError(
            f"{prefix}: the checkpoint is damaged or incomplete ({reason}); fetch or copy it again"
        ) from error


def model_shapes(shapes, hparams):
    """The variables in `shapes` that are the model's own; optimizer slots and counters are left out.

    A slot is named after the variable that it belongs to (`model/wpe/Adam_1`, `training/model/wpe/m`).

    Raises:
        InputError: what is left holds a name that is not the model's.
    """
    expected = hparams.variable_shapes()
    own = {name: shape for name, shape in shapes.items() if name in expected}
    known = re.compile("|".join(rf"(^|/){re.escape(name)}/|/{re.escape(name)}$" for name in expected))
    counter = re.compile(r"(^|/)(global_step|beta\d_power|iterations?|learning_rate)$")
    extra = [name for name in shapes if name not in own and not known.search(name) and not counter.search(name)]
    if extra:
        raise InputError(f"unexpected variables: {', '.join(sorted(extra))}")
    return own


def check_sizes(hparams, sizes):
    """Raise InputError where the user's sizes (flag to value) contradict the checkpoint's."""
    for name, wanted in sizes.items():
        if getattr(hparams, name) != wanted:
            raise InputError(
                f"--{name} {wanted} was given but the checkpoint has {getattr(hparams, name)}; leave the flag out"
            )


def open_release(prefix):
    """(HParams, pairs of name and value read one at a time) of a checkpoint in the release's format, checked."""
    with readable(prefix):
        reader = tf.train.load_checkpoint(prefix)
        shapes = {name: tuple(shape) for name, shape in reader.get_variable_to_shape_map().items()}
        types = reader.get_variable_to_dtype_map()
    hparams = hparams_from_shapes(shapes)
    own = model_shapes(shapes, hparams)
    check_shapes(own, hparams.variable_shapes())
    for name in own:
        if types[name] != tf.float32:
            raise InputError(f"{name} is {types[name].name}, expected float32")
    return hparams, ((name, reader.get_tensor(name)) for name in own)


def open_checkpoint(path, *, bert_mask_prob=0.15, sizes=None):
    """HParams of a checkpoint and its values, not yet read; arguments and errors are those of `load_model`."""
    prefix = checkpoint_prefix(path)
    try:
        hparams, values = (huggingface.open_folder if huggingface.is_folder(prefix) else open_release)(prefix)
        check_sizes(hparams, sizes or {})
    except InputError as error:
        raise InputError(str(error) if prefix in str(error) else f"{prefix}: {error}") from error
    return dataclasses.replace(hparams, bert_mask_prob=bert_mask_prob), values


def load_model(path, *, bert_mask_prob=0.15, sizes=None, **options):
    """An ImageGPT from a checkpoint, its sizes read from the variables' shapes or from config.json.

    Args:
        path: a prefix, one of the checkpoint's files, a folder with checkpoints (the newest is taken), or a folder in
            Hugging Face's layout.
        bert_mask_prob: not stored in a checkpoint.
        sizes: HParams fields that the caller expects, such as `{"n_embd": 512}`.
        options: passed on to `ImageGPT` (dtype, recompute).

    Raises:
        InputError: no checkpoint, a damaged one, a variable missing, unexpected or of the wrong shape or type, or
            `sizes` that differ.
    """
    hparams, values = open_checkpoint(path, bert_mask_prob=bert_mask_prob, sizes=sizes)
    with readable(checkpoint_prefix(path)):
        return ImageGPT(hparams, values=values, **options)


def save_model(model, prefix):
    """Write `model` in the release's format, one shard, complete or not at all.

    The folder must exist.
    """
    prefix = Path(prefix)
    part = prefix.with_name(f".{prefix.name}.{os.getpid()}")
    names = sorted(model.params)
    tf.raw_ops.SaveV2(
        prefix=f"{part}-00000",
        tensor_names=names,
        shape_and_slices=[""] * len(names),
        tensors=[model.params[n].read_value() for n in names],
    )
    tf.raw_ops.MergeV2Checkpoints(
        checkpoint_prefixes=[f"{part}-00000"], destination_prefix=str(part), delete_old_dirs=False
    )
    for ending in (".data-00000-of-00001", ".index"):  # the index last: without it there is no checkpoint
        os.replace(f"{part}{ending}", f"{prefix}{ending}")
