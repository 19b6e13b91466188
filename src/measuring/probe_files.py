"""What a probe leaves behind: its figures, a plot of them, and the best regression, which names the class of images."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from src.config import InputError
from src.data.arrays import load_array
from src.data.tokens import save_array
from src.files import read_json, together, write_json
from src.measuring.probe import FewLabels, Score, logits
from src.schema import Integer, ListOf, OneOf, Real, Text, check

FIGURES, WEIGHTS, PLOT = "probe.json", "probe.npy", "probe.png"
MOST = 1 << 20  # layers, classes or masks
ORIGIN = {
    "checkpoint": Text(r"[^\0\n]+", "the path of a checkpoint"),
    "fingerprint": Text("[0-9a-f]{16}", "16 hexadecimal digits"),
    "dtype": OneOf(("float32", "bfloat16", "float16")),
    "layers": ListOf(Integer(0, MOST), 1, MOST),
    "classes": ListOf(Text(r"[\s\S]+", "the name of a class"), 2, MOST),
    "masks": Integer(1, MOST),
    "seed": Integer(0, 2**31 - 1),
    "bert_mask_prob": Real(0, 1),
}


@dataclasses.dataclass(frozen=True, eq=False)
class SavedProbe:
    """A regression on some layers of one checkpoint.

    Attributes:
        origin: the values of ORIGIN, which say what features it was fitted to.
        weights: [c, d + 1], see `src.measuring.probe.fit`.
    """

    origin: dict
    weights: np.ndarray

    def probabilities(self, features: Sequence[np.ndarray]) -> np.ndarray:
        """Features [n, layers + 1, f], under each mask, to probabilities [n, c], the mean over the masks."""
        layers, total = self.origin["layers"], 0
        for each in features:
            x = logits(self.weights, each[:, layers].reshape(len(each), -1))
            x = np.exp(x - x.max(axis=1, keepdims=True))
            total = total + x / x.sum(axis=1, keepdims=True)
        return total / len(features)


def best(scores: Sequence[Score]) -> Score:
    """The score of those with features whose accuracy on the images that choose is the highest."""
    return max((score for score in scores if score.layers), key=lambda score: score.valid)


def write_probe(folder: str | Path, scores: Sequence[Score], few: Sequence[FewLabels], origin: dict, counts: dict):
    """Write probe.json (all figures), probe.png (accuracy over layers) and probe.npy (the best regression).

    Args:
        origin: the values of ORIGIN but for `layers`, which are the best ones.
        counts: what else is said of the data, for probe.json alone.
    """
    chosen = best(scores)
    table = [{name: getattr(s, name) for name in ("name", "layers", "strength", "valid", "test")} for s in scores]
    figures = {**origin, "layers": chosen.layers, **counts, "scores": table}
    figures["few_labels"] = [dataclasses.asdict(each) for each in few]
    folder = Path(folder)
    with together([folder / name for name in (FIGURES, WEIGHTS, PLOT)]) as part:
        write_json(part(folder / FIGURES), figures)
        save_array(part(folder / WEIGHTS), chosen.weights)
        plot_scores(part(folder / PLOT), scores)


def plot_scores(path: str | Path, scores: Sequence[Score]):
    """Plot the test accuracy over the layers into a PNG, the pixels' and that of several layers as lines."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    axis = figure.subplots()
    single = [score for score in scores if len(score.layers) == 1]
    axis.plot([s.layers[0] for s in single], [s.test for s in single], marker="o", label="one layer")
    for score in scores:
        if len(score.layers) > 1:
            axis.plot([score.layers[0], score.layers[-1]], [score.test] * 2, label=f"{score.name} together")
        elif not score.layers:
            axis.axhline(score.test, color="grey", linestyle="--", label=score.name)
    axis.set(xlabel="layer", ylabel="test accuracy, per cent")
    axis.xaxis.get_major_locator().set_params(integer=True)
    axis.grid(alpha=0.3)
    axis.legend()
    figure.savefig(path, format="png", dpi=100)


def read_probe(folder: str | Path) -> SavedProbe:
    """The probe that `write_probe` left in a folder.

    Raises:
        InputError: there is none, or it is damaged.
    """
    path, weights = Path(folder) / FIGURES, Path(folder) / WEIGHTS
    if not path.exists():
        raise InputError(f"{path}: no such file; make it with `probe`, or name its folder with `save_dir`")
    origin = read_json(path, dict)
    check(origin, ORIGIN, path)
    found = load_array(weights)
    if found.ndim != 2 or len(found) != len(origin["classes"]) or found.dtype.kind != "f":
        raise InputError(f"{weights}: not the weights of {len(origin['classes'])} classes as {path} has them")
    if not np.isfinite(found).all():
        raise InputError(f"{weights}: weights that are not finite numbers")
    return SavedProbe({name: origin[name] for name in ORIGIN}, np.array(found))


def check_model(probe: SavedProbe, fingerprint: str, shape: tuple[int, int], folder: str | Path):
    """See that a probe is one of the model with this fingerprint, whose features have this shape (layers + 1, f).

    Raises:
        InputError: it is not.
    """
    path, layers = Path(folder) / FIGURES, probe.origin["layers"]
    if fingerprint != probe.origin["fingerprint"]:
        raise InputError(f"{path}: a probe of {probe.origin['checkpoint']}, of other weights than this checkpoint's")
    if max(layers) >= shape[0] or probe.weights.shape[1] != len(layers) * shape[1] + 1:
        raise InputError(f"{Path(folder) / WEIGHTS}: weights of other features than layers {layers} of this model have")
