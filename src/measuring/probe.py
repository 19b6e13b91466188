"""Linear probes: logistic regression on each layer's features, and on the pixels beside them (paper, sections 3.3, 4).

A tenth of the training images choose the strength of the regularisation and the best layer; then each regression is
fitted again to all of them. Features are scaled to unit variance first, without which L-BFGS hardly converges; the
paper does not say which strengths it tried.
"""

import dataclasses
import warnings
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from src.config import InputError
from src.measuring.evaluation import vote

STRENGTHS = 1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0  # that are tried: scikit-learn's C, the inverse of regularisation
ITERATIONS = 1000  # of L-BFGS, at most
TOLERANCE = 3e-5  # of the gradient; at the default of 1e-4 the weakest regularisation ends visibly early
FOLDS, SUBSETS = 5, 5  # of few labels: to choose a strength among them; that are drawn
FEWEST = 10  # training images
AROUND = 2  # layers on each side of the best one that are concatenated with it

Layers = tuple[int, ...]  # whose features are taken together; none: the pixels


@dataclasses.dataclass(frozen=True, eq=False)
class Images:
    """What a classifier may see of labelled images.

    Attributes:
        features: under each of BERT's masks, or once: [n, layers + 1, f].
        pixels: [n, p].
        labels: class numbers [n].
    """

    features: Sequence[np.ndarray]
    pixels: np.ndarray
    labels: np.ndarray

    def views(self, layers: Layers) -> list[np.ndarray]:
        """The inputs [n, d] of a regression on some layers, under each mask."""
        if not layers:
            return [self.pixels]
        return [np.concatenate([each[:, layer] for layer in layers], axis=1) for each in self.features]


@dataclasses.dataclass(frozen=True)
class ProbeOptions:
    """What is probed.

    Args:
        layers: each by itself, from 0, the input of the first block, to the number of blocks, the output of the last.
        concat: whether five of the model's layers, centred on the best of `layers`, are taken together, too.
        labels_per_class: for each number of labels, what so few are worth.
        seed: of the images that choose, of the subsets, and of ties between BERT's masks.
    """

    layers: Layers
    concat: bool = True
    labels_per_class: tuple[int, ...] = ()
    seed: int = 42


@dataclasses.dataclass(frozen=True, eq=False)
class Score:
    """A regression: per cent right among the images that chose its strength, and among the test images."""

    name: str
    layers: Layers
    strength: float
    valid: float
    test: float
    weights: np.ndarray  # [c, d + 1]: see `fit`


@dataclasses.dataclass(frozen=True)
class FewLabels:
    """Per cent of the test images right, for each of the subsets of the training images with so many labels a class."""

    name: str
    labels_per_class: int
    test: tuple[float, ...]

    def mean_and_spread(self) -> tuple[float, float]:
        """The mean and the standard deviation over the subsets."""
        return float(np.mean(self.test)), float(np.std(self.test, ddof=1))


def name_of(layers: Layers) -> str:
    """What a table calls the features of some layers."""
    if len(layers) > 1:
        return f"layers {layers[0]}-{layers[-1]}"
    return f"layer {layers[0]}" if layers else "pixels"


def neighbours(layer: int, n_layer: int) -> Layers:
    """Five layers centred on one of 0..n_layer, or what comes closest to that at an end."""
    first = max(0, min(layer - AROUND, n_layer - 2 * AROUND))
    return tuple(range(first, min(first + 2 * AROUND, n_layer) + 1))


def regressions(x: np.ndarray, labels: np.ndarray, strengths: Iterable[float], classes: int):
    """Yield for each strength the weights of a logistic regression, see `fit`; each starts from the one before."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler
    from threadpoolctl import threadpool_limits

    scaler = StandardScaler()
    scaled = scaler.fit_transform(np.asarray(x, np.float64))  # in float32 the end depends on the processor's rounding
    model = LogisticRegression(max_iter=ITERATIONS, warm_start=True, tol=TOLERANCE)
    # One thread: several wait for each other in busy loops, which takes a hundred times as long beside other work.
    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore", ConvergenceWarning)
        for strength in strengths:
            model.set_params(C=strength).fit(scaled, labels)
            yield unscaled(model, scaler, classes)


def unscaled(model, scaler, classes):
    """The weights [c, d + 1] that do to unscaled features what a fitted scikit-learn model does to scaled ones."""
    coefficients, offsets = model.coef_, model.intercept_
    if len(model.classes_) == 2:  # of which scikit-learn keeps the second's alone
        coefficients, offsets = np.stack([0 * coefficients[0], coefficients[0]]), np.array([0, offsets[0]])
    weights = np.zeros([classes, coefficients.shape[1] + 1])
    weights[:, -1] = -np.finfo(np.float32).max  # a class that has no image is never named
    weights[model.classes_, :-1] = coefficients / scaler.scale_
    weights[model.classes_, -1] = offsets - weights[model.classes_, :-1] @ scaler.mean_
    return weights


def fit(x: np.ndarray, labels: np.ndarray, strength: float, classes: int) -> np.ndarray:
    """Logistic regression by L-BFGS on the features x [n, d], scaled to unit variance.

    Returns:
        Weights [c, d + 1] of the features as they are, the last column the offsets: see `logits`.
    """
    return next(regressions(x, labels, [strength], classes))


def logits(weights: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Features [n, d] to logits [n, c]."""
    return x @ weights[:, :-1].T + weights[:, -1]


def accuracy(weights: np.ndarray, views: Sequence[np.ndarray], labels: np.ndarray, seed: int) -> float:
    """Per cent of images right, each named as under most of its masks, of which `views` holds the features [n, d]."""
    classes = np.stack([logits(weights, x).argmax(1) for x in views])
    return float(100 * np.mean(vote(classes, seed) == labels))


def check_labels(labels: np.ndarray, classes: int, options: ProbeOptions):
    """See that the training images' class numbers [n] are enough for a probe, before their features are computed.

    Raises:
        InputError: too few images, or of one class alone, or fewer of a class than labels are asked for.
    """
    if len(labels) < FEWEST:
        raise InputError(f"`data_path`: {len(labels)} training images; a probe needs at least {FEWEST}")
    counts = np.bincount(labels, minlength=classes)
    if np.sum(counts > 0) < 2:
        raise InputError("`data_path`: all training images are of one class; a probe needs two or more")
    _, fitting = split(len(labels), options.seed)
    if len(np.unique(labels[fitting])) < 2:
        raise InputError("`data_path`: all images but the tenth that chooses are of one class; label more of another")
    for count in options.labels_per_class:
        if count > counts.min():
            raise InputError(
                f"`labels_per_class` {count}: of class {counts.argmin()} there are {counts.min()} training images"
            )


def split(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Which of n training images choose C and the layer, a tenth, and which regressions are fitted to until then."""
    order = np.random.default_rng(seed).permutation(n)
    return np.sort(order[: n // 10]), np.sort(order[n // 10 :])


class Prober:
    """Probes of the layers of one model.

    Args:
        train, test: images; of the first a tenth choose.
        classes: how many there are.
        progress: called with the regressions fitted and all of them.
    """

    def __init__(
        self,
        train: Images,
        test: Images,
        classes: int,
        options: ProbeOptions,
        progress: Callable[[int, int], None] | None = None,
    ):
        self.train, self.test, self.classes, self.options = train, test, classes, options
        self.choosing, self.fitting = split(len(train.labels), options.seed)
        regressions = (1 + len(options.layers) + options.concat) * (len(STRENGTHS) + 1)
        few = (2 + options.concat) * SUBSETS * len(options.labels_per_class)
        self.total, self.done, self.progress = regressions + few, 0, progress or (lambda done, total: None)

    def count(self):
        """One more regression is fitted."""
        self.done += 1
        self.progress(self.done, self.total)

    def score(self, layers: Layers) -> Score:
        """The regression on some layers: its strength chosen, fitted to all training images, tested."""
        (x, *_), labels = self.train.views(layers), self.train.labels
        valid = {}
        found = regressions(x[self.fitting], labels[self.fitting], STRENGTHS, self.classes)
        for strength, weights in zip(STRENGTHS, found):
            chosen = x[self.choosing], labels[self.choosing]
            valid[strength] = accuracy(weights, [chosen[0]], chosen[1], self.options.seed)
            self.count()
        strength = max(valid, key=valid.get)
        weights = fit(x, labels, strength, self.classes)
        test = accuracy(weights, self.test.views(layers), self.test.labels, self.options.seed)
        self.count()
        return Score(name_of(layers), layers, strength, valid[strength], test, weights)

    def scores(self) -> list[Score]:
        """The pixels' score, each layer's, and that of the layers around the best."""
        scores = [self.score(()), *(self.score((layer,)) for layer in self.options.layers)]
        if self.options.concat:
            best = max(scores[1:], key=lambda score: score.valid)
            scores.append(self.score(neighbours(best.layers[0], self.train.features[0].shape[1] - 1)))
        return scores

    def few_labels(self, scores: Sequence[Score]) -> list[FewLabels]:
        """What few labels are worth, to the pixels, the best layer by itself and the layers around it."""
        single = max((s for s in scores if len(s.layers) == 1), key=lambda score: score.valid)
        picked = [s.layers for s in scores if s is single or len(s.layers) != 1]
        return [self.few(layers, count) for count in self.options.labels_per_class for layers in picked]

    def few(self, layers: Layers, count: int) -> FewLabels:
        """A regression fitted to each of some random subsets, which choose its strength by cross-validation, too."""
        (x, *_), test, results = self.train.views(layers), self.test.views(layers), []
        for number in range(SUBSETS):
            rng = np.random.default_rng([self.options.seed, count, number])
            of_class = (np.flatnonzero(self.train.labels == k) for k in range(self.classes))
            rows = np.concatenate([rng.choice(each, count, replace=False) for each in of_class])
            labels = self.train.labels[rows]
            weights = fit(x[rows], labels, cross_validated(x[rows], labels, self.classes), self.classes)
            results.append(accuracy(weights, test, self.test.labels, self.options.seed))
            self.count()
        return FewLabels(name_of(layers), count, tuple(results))


def cross_validated(x: np.ndarray, labels: np.ndarray, classes: int) -> float:
    """The strength that is right most often about a part of the images which the others were fitted without."""
    from sklearn.model_selection import StratifiedKFold

    folds = min(FOLDS, int(np.bincount(labels)[np.unique(labels)].min()))
    if folds < 2:  # one label a class leaves nothing to choose by
        return STRENGTHS[len(STRENGTHS) // 2]
    right = np.zeros(len(STRENGTHS))
    for fitting, choosing in StratifiedKFold(folds, shuffle=True, random_state=0).split(x, labels):
        for i, weights in enumerate(regressions(x[fitting], labels[fitting], STRENGTHS, classes)):
            right[i] += np.sum(logits(weights, x[choosing]).argmax(1) == labels[choosing])
    return STRENGTHS[right.argmax()]
