"""Checkpoints: the release's format in and out, Hugging Face's folders in.

The release's is named by its prefix (`.../model.ckpt-1000000`): one `.index` beside one or many `.data-NNNNN-of-MMMMM`.
"""

import contextlib
import dataclasses
import glob
import os
import re
from pathlib import Path

import tensorflow as tf

from src import files
from src.config import BUNDLED, BUNDLED_GREY, GREY_POSITIONS, InputError, check_shapes, hparams_from_shapes, one_line
from src.model import ImageGPT
from src.weights import huggingface
from src.weights.index import damaged, read_index
from src.weights.numbers import as_float32
from src.weights.shards import shards
from src.writing import writing

STATE = "state"  # the folder of a run's state, whose checkpoints are of more than a model
PALETTES = ("clusters.npy", "kmeans_centers.npy")
COUNTER = re.compile(r"(^|/)(global_step|beta\d_power|iterations?|learning_rate)$")


def checkpoint_prefix(path: str | Path) -> str:
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
    """The file that was changed last, or None; not one that was still being written when its process was killed."""
    return max((p for p in paths if p.name[0] != "."), key=lambda p: p.stat().st_mtime, default=None)


def candidates(folder: str | Path) -> list[Path]:
    """The indices and configurations of checkpoints below a folder; not a stopped run's state, nor another network."""
    ours = (path for path in Path(folder).rglob("*.index") if path.name[0] != "." and path.parent.name != STATE)
    theirs = (path for path in Path(folder).rglob(huggingface.CONFIG) if huggingface.is_image_gpt(path.parent))
    return [*ours, *theirs]


def default_checkpoint(downloads: str | Path, positions: int | None = None) -> str:
    """The newest checkpoint anywhere below `downloads`, else the bundled one that takes images of so many pixels."""
    found = newest(candidates(downloads))
    if found and found.name == huggingface.CONFIG:
        found = found.parent
    return checkpoint_prefix(found or (BUNDLED_GREY if positions == GREY_POSITIONS else BUNDLED))


def run_checkpoint(folder: str | Path) -> str | None:
    """The newest checkpoint of the training run in a folder, or None."""
    found = newest(Path(folder).glob("model.ckpt-*.index")) if (Path(folder) / "recipe.json").exists() else None
    return found and str(found.with_suffix(""))


def fingerprint(path: str | Path) -> str:
    """A few digits that another checkpoint's weights do not have; of the release's format only the index is read."""
    prefix = Path(checkpoint_prefix(path))
    theirs = huggingface.is_folder(prefix)  # the index of ours holds a checksum of every variable
    return files.fingerprint([prefix / name for name in shards(prefix)] if theirs else [f"{prefix}.index"])


def palette_beside(prefix: str | Path) -> Path:
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
        f"{prefix}: no palette ({' or '.join(PALETTES)}) lies beside it; name one with `color_cluster_path`"
    )


@contextlib.contextmanager
def readable(prefix):
    """Whatever is wrong with a checkpoint, TensorFlow's complaints too, as one line that names it."""
    try:
        yield
    except InputError as error:
        raise InputError(str(error) if prefix in str(error) else f"{prefix}: {error}") from error
    except (tf.errors.OpError, RuntimeError, ValueError, IndexError, TypeError) as error:
        reason = str(getattr(error, "message", error)).split("\n")[0]
        raise damaged(prefix, reason) from error


def model_shapes(shapes, hparams):
    """The variables in `shapes` that are the model's own; optimizer slots and counters are left out.

    A slot is named after the variable that it belongs to (`model/wpe/Adam_1`, `training/model/wpe/m`).

    Raises:
        InputError: what is left holds a name that is not the model's.
    """
    expected = hparams.variable_shapes()
    own = {name: shape for name, shape in shapes.items() if name in expected}
    extra = [name for name in shapes if name not in own and not COUNTER.search(name) and not is_slot(name, expected)]
    if extra:
        raise InputError(f"unexpected variables: {', '.join(map(one_line, sorted(extra)[:8]))}")
    return own


def is_slot(name, expected):
    """Whether a name is one of those expected with more before or behind it."""
    parts = name.split("/")
    spans = ((a, b) for a in range(len(parts)) for b in range(a + 2, a + 6))  # names have two to five parts
    return any("/".join(parts[a:b]) in expected for a, b in spans)


def check_sizes(hparams, sizes):
    """Raise InputError where the user's sizes (field to value) contradict the checkpoint's."""
    for name, wanted in sizes.items():
        if getattr(hparams, name) != wanted:
            raise InputError(
                f"`{name}` {wanted} was given but the checkpoint has {getattr(hparams, name)}; leave it out"
            )


def open_release(prefix):
    """(HParams, pairs of name and value read one at a time) of a checkpoint in the release's format, checked."""
    variables = read_index(prefix)
    shapes = {name: shape for name, (shape, _) in variables.items()}
    hparams = hparams_from_shapes(shapes)
    own = model_shapes(shapes, hparams)
    check_shapes(own, hparams.variable_shapes())
    for name in own:
        if variables[name][1] != "float32":
            raise InputError(f"{name} is {variables[name][1]}, expected float32")
    reader = tf.train.load_checkpoint(prefix)
    return hparams, ((name, as_float32(name, reader.get_tensor(name))) for name in own)


def open_checkpoint(path: str | Path, *, bert_mask_prob: float = 0.15, sizes: dict | None = None) -> tuple:
    """HParams of a checkpoint and its values, not yet read; arguments and errors are those of `load_model`."""
    prefix = checkpoint_prefix(path)
    with readable(prefix):
        hparams, values = (huggingface.open_folder if huggingface.is_folder(prefix) else open_release)(prefix)
        check_sizes(hparams, sizes or {})
    return dataclasses.replace(hparams, bert_mask_prob=bert_mask_prob), values


def load_model(path: str | Path, *, bert_mask_prob: float = 0.15, sizes: dict | None = None, **options) -> ImageGPT:
    """An ImageGPT from a checkpoint, its sizes read from the variables' shapes or from config.json.

    Args:
        path: a prefix, one of the checkpoint's files, a folder with checkpoints (the newest is taken), or a folder in
            Hugging Face's layout.
        bert_mask_prob: not stored in a checkpoint.
        sizes: HParams fields that the caller expects, such as `{"n_embd": 512}`.
        options: passed on to `ImageGPT` (dtype, recompute).

    Raises:
        InputError: no checkpoint, a damaged one, a variable missing, unexpected, not finite or of the wrong shape or
            type, or `sizes` that differ.
    """
    hparams, values = open_checkpoint(path, bert_mask_prob=bert_mask_prob, sizes=sizes)
    with readable(checkpoint_prefix(path)):
        return ImageGPT(hparams, values=values, **options)


def save_model(model: ImageGPT, prefix: str | Path):
    """Write `model` in the release's format, one shard.

    The folder must exist. A checkpoint of that name is replaced: stopped at any moment, by a power cut too, the old one
    is there, or none, or the new one, never a mixture.

    Raises:
        InputError: it cannot be written.
    """
    prefix = Path(prefix)
    part = prefix.with_name(f".{prefix.name}.{os.getpid()}")
    names = sorted(model.params)
    try:
        with writing(prefix):
            tf.raw_ops.SaveV2(
                prefix=f"{part}-00000",
                tensor_names=names,
                shape_and_slices=[""] * len(names),
                tensors=[model.params[n].read_value() for n in names],
            )
            tf.raw_ops.MergeV2Checkpoints(
                checkpoint_prefixes=[f"{part}-00000"], destination_prefix=str(part), delete_old_dirs=False
            )
            move_into_place(part, prefix)
    finally:
        for path in prefix.parent.glob(f"{glob.escape(part.name)}*"):  # after an error
            os.remove(path)


def move_into_place(part: str | Path, prefix: str | Path):
    """Give the checkpoint `part` the name `prefix` in the same folder; it is on the disk when this returns.

    Without an index there is no checkpoint: that of an older one of this name goes before its data does, and the new
    one comes when all data are on the disk.
    """
    part, prefix = Path(part), Path(prefix)
    old = sorted(prefix.parent.glob(f"{glob.escape(prefix.name)}.data-*-of-*"))
    data = {
        path: Path(f"{prefix}{path.name[len(part.name) :]}")
        for path in part.parent.glob(f"{glob.escape(part.name)}.data-*")
    }
    for path in [*data, Path(f"{part}.index")]:
        files.sync(path)
    Path(f"{prefix}.index").unlink(missing_ok=True)
    files.sync(prefix.parent)
    for path in old:
        path.unlink()
    for path, place in data.items():
        os.replace(path, place)
    files.sync(prefix.parent)
    os.replace(f"{part}.index", f"{prefix}.index")
    files.sync(prefix.parent)
