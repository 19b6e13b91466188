"""Fine-tuning with the paper's recipe (section 2.3): pre-training's step with a classifier's loss beside its own."""

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import tensorflow as tf

from src.config import HParams, InputError
from src.data.augmentation import mirrored, shifted
from src.data.tokens import chunks
from src.model import ImageGPT
from src.training.loop import Figures, Intervals, train
from src.training.pretraining import Pretraining, Recipe, Tokens, draw_masks, is_missing, shuffled
from src.training.runs import RunFolder
from src.weights.checkpoint import checkpoint_prefix, open_checkpoint, readable, save_model

HEAD, FINAL_NORM = "model/clf/wclf", "model/ln_f/g"


@dataclasses.dataclass(frozen=True)
class FinetuningRecipe(Recipe):
    """What decides a run's result, with the sizes, the start and the data; the defaults are the paper's.

    Adam on L_GEN + L_CLF at a constant rate, a tenth of pre-training's; no dropout; images moved and mirrored (the
    paper: on CIFAR); the weights of the highest validation accuracy are the result.
    """

    steps: int = 100_000
    schedule: str = "constant"
    lr: float = 0.0003
    flip: bool = True
    shift: int = 4  # pixels, at most
    clf_only: bool = False  # L_CLF alone
    layer: int | None = None  # whose features the classifier reads, from 1; None: the last one's
    from_scratch: bool = False  # initial weights by the seed instead of the start's, for comparison
    eval_every: int = 1000  # steps
    patience: int = 5  # validations without a higher accuracy
    masks: int = 1  # of BERT, in a validation; the most frequent class counts


@dataclasses.dataclass(frozen=True, kw_only=True)
class Labelled(Tokens):
    """Token data [n, s] with one-hot labels [n, c]: to train on, which `rows` of it, and for validation."""

    train_labels: np.ndarray
    valid_labels: np.ndarray
    rows: np.ndarray


def labelled(
    train: tuple[np.ndarray, np.ndarray],
    valid: tuple[np.ndarray, np.ndarray] | None,
    seed: int,
    eval_images: int | None = None,
) -> Labelled:
    """The data of a fine-tuning.

    Args:
        train: tokens [n, s] and one-hot labels [n, c].
        valid: those for validation; None: a tenth of the training images, drawn by the seed, which are not trained on.
        eval_images: at most so many are validated on, drawn by the seed; None: all.

    Raises:
        InputError: the images to train on are all of one class.
    """
    X, Y = valid or train
    order = np.random.default_rng([seed, 2]).permutation(len(X))
    held = order if valid else order[: max(1, len(X) // 10)]
    rows = np.arange(len(train[0])) if valid else np.sort(order[len(held) :])
    seen = sum(train[1][part].sum(0) > 0 for part in chunks(rows))  # an array for each class, or 0 where there are none
    if np.count_nonzero(seen) < 2:
        raise InputError("the images to train on are all of one class; a classifier takes two or more")
    chosen = np.sort(held[:eval_images])
    return Labelled(train[0], X[chosen], train_labels=train[1], valid_labels=Y[chosen], rows=rows)


def make_model(
    start: str,
    recipe: FinetuningRecipe,
    classes: int,
    *,
    bert_mask_prob: float = 0.15,
    recompute: bool = False,
) -> tuple[ImageGPT, str]:
    """A model to fine-tune from the checkpoint `start`, and in a few words what its classifier starts as.

    With the recipe's `layer` l it is the network cut after l blocks, whose final norm is the first one of block l (from
    0): the classifier reads the mean of the features that the paper probes as those of layer l.

    Raises:
        InputError: no such layer, or as `load_model`.
    """
    found, values = open_checkpoint(start, bert_mask_prob=bert_mask_prob)
    layer = found.n_layer if recipe.layer is None else recipe.layer
    if not 1 <= layer <= found.n_layer:
        raise InputError(f"`layer` {layer}: {start} has {found.n_layer} blocks; take 1 to {found.n_layer}")
    hparams = dataclasses.replace(found, n_layer=layer, classes=classes)
    options = {"dtype": recipe.dtype, "recompute": recompute}
    if recipe.from_scratch:
        return ImageGPT(hparams, seed=recipe.seed, **options), "new, as are all weights"
    with readable(checkpoint_prefix(start)):
        model = ImageGPT(hparams, values=cut(values, found, hparams), **options)
    return model, origin(found, hparams, model)


def cut(values: Iterator, found: HParams, hparams: HParams) -> Iterator[tuple[str, np.ndarray]]:
    """Of the (name, value) pairs of a network those of its first blocks, with a new head where its own does not fit."""
    shorter = hparams.n_layer < found.n_layer
    keep = hparams.variable_shapes().keys() - ({FINAL_NORM} if shorter else set())
    fits = not shorter and hparams.classes == found.classes
    for name, value in values:
        if name == f"model/h{hparams.n_layer}/ln_1/g":
            yield FINAL_NORM, value
        elif name in keep and (name != HEAD or fits):
            yield name, value
    if not fits:
        yield HEAD, np.zeros([hparams.classes, hparams.n_embd], np.float32)


def origin(found, hparams, model):
    """What the classifier starts as."""
    if np.any(model.params[HEAD].numpy()):
        return "the checkpoint's"
    if found.classes and (found.classes, found.n_layer) != (hparams.classes, hparams.n_layer):
        return f"new (the checkpoint's, of {found.classes} classes on layer {found.n_layer}, does not fit)"
    return "new (the checkpoint has no trained one; none of the released ones has)"


class Best(tf.Module):
    """The weights of the highest validation accuracy so far; they are part of a run's states.

    Attributes:
        accuracy: theirs, in percent.
        step: updates until then.
        waited: validations since then.
    """

    def __init__(self, params: dict[str, tf.Variable]):
        super().__init__()
        self.accuracy = tf.Variable(-np.inf, dtype=tf.float64, trainable=False)
        self.step = tf.Variable(0, dtype=tf.int64, trainable=False)
        self.waited = tf.Variable(0, trainable=False)
        self.params = {name: tf.Variable(v, name=f"best/{name}", trainable=False) for name, v in params.items()}

    def keep(self, params: dict[str, tf.Variable]):
        """Take the values of these for the best."""
        for name, variable in self.params.items():
            variable.assign(params[name])


class Finetuning(Pretraining):
    """Image GPT with a classifier on labelled tokens. To be made, like its model, in the scope of the strategy."""

    def __init__(
        self,
        model: ImageGPT,
        recipe: FinetuningRecipe,
        data: Labelled,
        strategy: tf.distribute.Strategy,
        n_sub_batch: int = 8,
    ):
        """Arguments and errors are those of `Pretraining`; all of the validation images are scored."""
        super().__init__(model, recipe, data, strategy, n_sub_batch, None)
        self.names = ("loss", "clf", "acc") if recipe.clf_only else ("loss", "gen", "clf", "acc")
        self.best = Best(model.params)
        self.trackables["best"] = self.best
        self.signature += (tf.TensorSpec([recipe.n_batch, data.train_labels.shape[1]]),)

    def idle(self) -> set[str]:
        return {"model/wtet"} if self.recipe.clf_only else set()

    def batches(self, first: int) -> Iterator[tuple[np.ndarray, ...]]:
        """Yield (tokens [n_batch, s] int32, masks [n_batch, s], labels [n_batch, c]), the latter two float32."""
        data, recipe, hparams = self.tokens, self.recipe, self.model.hparams
        for places, rng in shuffled(len(data.rows), recipe, first):
            rows = data.rows[places]
            x = data.train[rows].astype(np.int32)
            if recipe.shift:
                x = shifted(x, hparams.n_px, recipe.shift, rng)
            if recipe.flip:
                x = mirrored(x, hparams.n_px, rng)
            yield x, draw_masks(x, hparams, rng), data.train_labels[rows].astype(np.float32)

    def losses(self, x, mask, y):
        """Name to figures [b] of tokens [b, s] under BERT's masks [b, s] and of labels [b, c]."""
        out = self.model(x, y, mask=mask if self.model.hparams.bert else None)
        figures = {"gen": out["gen_losses"], "clf": out["clf_losses"], "acc": 100 * out["correct"]}
        figures["loss"] = figures["clf"] + (0 if self.recipe.clf_only else figures["gen"])
        return {name: figures[name] for name in self.names}

    def validate(self) -> Figures:
        with self.averaged():
            drawn = {"masks": self.recipe.masks, "seed": self.recipe.seed}
            return self.evaluator.score(self.valid, self.tokens.valid_labels, **drawn)

    def validated(self, step: int, figures: Figures) -> bool:
        """Keep the weights if they are the best so far; True after too many validations without better ones."""
        best = self.best
        better = figures["acc"] > best.accuracy
        best.waited.assign(0 if better else best.waited + 1)
        if better:
            best.accuracy.assign(figures["acc"])
            best.step.assign(step)
            with self.averaged():
                best.keep(self.model.params)
        return bool(best.waited >= self.recipe.patience)

    def check(self, losses: Figures) -> str | None:
        return None if self.recipe.clf_only else super().check({"loss": losses["gen"]})


def finetune(
    task: Finetuning,
    run: RunFolder,
    strategy: tf.distribute.Strategy,
    intervals: Intervals,
    report: Callable[[int, Figures], None],
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Path, float]:
    """Train until validation accuracy no longer rises; arguments and errors are those of `train`.

    Returns:
        The prefix of the checkpoint of the best weights, in the release's format, named by their step, and their
        validation accuracy in percent.
    """
    train(task, run, strategy, intervals, report, progress)
    prefix = run.path / f"model.ckpt-{task.best.step.numpy()}"
    if is_missing(prefix):
        for name, variable in task.model.params.items():
            variable.assign(task.best.params[name])
        save_model(task.model, prefix)
    return prefix, float(task.best.accuracy.numpy())
