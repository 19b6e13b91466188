"""The models that the page offers: the bundled ones, what lies in the downloads, and how to get the others."""

import dataclasses
import functools
import gc
import os
from pathlib import Path

import numpy as np

from src.config import BUNDLED, BUNDLED_GREY, SIZES, HParams, InputError
from src.data.palettes import load_clusters
from src.drawing.sampling import Sampler
from src.files import unique
from src.weights import huggingface
from src.weights.checkpoint import (
    candidates,
    checkpoint_prefix,
    default_checkpoint,
    load_model,
    open_checkpoint,
    palette_beside,
)


@dataclasses.dataclass(frozen=True)
class Entry:
    """A checkpoint that is there.

    Attributes:
        prefix: as `checkpoint_prefix` gives it.
        hparams: its sizes, or None where it cannot be used.
        fault: why it cannot.
    """

    prefix: str
    hparams: HParams | None = None
    fault: str | None = None


@dataclasses.dataclass(frozen=True, eq=False)
class Loaded:
    """A model in memory, what draws from it, and its palette [n_vocab, 3] in -1..1."""

    sampler: Sampler
    clusters: np.ndarray

    @property
    def hparams(self) -> HParams:
        return self.sampler.model.hparams


def checkpoints(downloads: str | Path) -> list[str]:
    """Checkpoints below a folder, the newest of each folder of the release's format, and Hugging Face's folders."""
    return [checkpoint_prefix(folder) for folder in sorted({path.parent for path in candidates(downloads)})]


def looked_at(prefix: str) -> Entry:
    """A checkpoint whose sizes and palette have been looked at, its weights not."""
    try:
        hparams, _ = open_checkpoint(prefix)
        load_clusters(palette_beside(prefix), hparams.n_vocab)
    except InputError as error:
        return Entry(prefix, fault=str(error).replace(f"{Path(prefix).parent}{os.sep}", ""))
    if hparams.bert:
        return Entry(prefix, fault="has the BERT objective: no order to draw in")
    return Entry(prefix, hparams)


def missing(entries: dict[str, Entry]) -> list[str]:
    """Of S, M and L those that no checkpoint has the sizes of."""
    there = [(e.hparams.n_embd, e.hparams.n_layer) for e in entries.values() if e.hparams]
    return [size for size, hparams in SIZES.items() if (hparams.n_embd, hparams.n_layer) not in there]


class Models:
    """What there is to draw with; one model at a time is in memory.

    Args:
        downloads: folder whose checkpoints are offered.
        ckpt_path: a checkpoint that is offered first; else it is the newest in `downloads`, else the bundled one.
    """

    def __init__(self, downloads: str | Path, ckpt_path: str | None = None):
        self.downloads, self.ckpt_path, self.known, self.kept = downloads, ckpt_path, {}, (None, None)

    def entries(self) -> dict[str, Entry]:
        """Name to checkpoint, that to begin with first, looked for anew, as when the page is opened."""
        first = checkpoint_prefix(self.ckpt_path) if self.ckpt_path else default_checkpoint(self.downloads)
        bundled = [checkpoint_prefix(folder) for folder in (BUNDLED, BUNDLED_GREY)]
        prefixes = list(dict.fromkeys([first, *bundled, *checkpoints(self.downloads)]))
        folders = [Path(p) if huggingface.is_folder(p) else Path(p).parent for p in prefixes]
        self.known = dict(zip(unique([f.name for f in folders]), map(entry, prefixes, map(stamp, prefixes))))
        return self.known

    def find(self, name: str) -> Entry:
        """The checkpoint of a name that `entries` gave; a request never names a path.

        Raises:
            InputError: there is none, or it cannot be used.
        """
        found = (self.known or self.entries()).get(name)
        if found is None:
            raise InputError("no such model is here any more; load the page again")
        if found.fault:
            raise InputError(found.fault)
        return found

    def palette(self, name: str) -> tuple[HParams, np.ndarray]:
        """Sizes and palette of a model that need not be in memory; errors as for `find`."""
        found = self.find(name)
        return found.hparams, load_clusters(palette_beside(found.prefix), found.hparams.n_vocab)

    def load(self, name: str) -> Loaded:
        """The model of a name, in memory, in the place of the one before; for one at a time.

        Raises:
            InputError: as for `find`, and where its weights cannot be used.
        """
        _, clusters = self.palette(name)
        prefix = self.find(name).prefix
        key = prefix, stamp(prefix)
        if self.kept[0] != key:
            self.kept = (None, None)  # both together may be more than memory holds
            gc.collect()  # a model and its compiled steps refer to each other
            self.kept = key, Loaded(Sampler(load_model(prefix)), clusters)
        return self.kept[1]


def stamp(prefix: str) -> float:
    """When a checkpoint was changed."""
    return os.stat(Path(prefix) / huggingface.CONFIG if huggingface.is_folder(prefix) else f"{prefix}.index").st_mtime


@functools.lru_cache(256)
def entry(prefix: str, changed: float) -> Entry:
    """`looked_at`, once for every change of a checkpoint."""
    return looked_at(prefix)


def listing(models: Models) -> list[dict]:
    """What the page's menu shows: names with sizes, of those that cannot be used the fault, sizes that are missing."""
    entries, shown = models.entries(), []
    for name, found in entries.items():
        if found.fault:
            shown.append({"name": name, "fault": found.fault})
        else:
            sizes = {"n_px": found.hparams.n_px, "n_vocab": found.hparams.n_vocab, "n_layer": found.hparams.n_layer}
            shown.append({"name": name, **sizes})
    return shown + [{"name": f"Image GPT {size.upper()}", "missing": size} for size in missing(entries)]
