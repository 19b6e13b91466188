"""Training in a run folder: on pixels (ESPCN, SRResNet), and from there on against a discriminator (SRGAN)."""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import tensorflow as tf

from src import files, hosts
from src.config import InputError
from src.measuring import metrics
from src.superres.adversarial import AdversarialTask, GanRecipe
from src.superres.bundled import bundled_file
from src.superres.degradation import resized
from src.superres.files import LAST, load_mean
from src.superres.keepsakes import Keepsakes
from src.superres.network import Network
from src.superres.photographs import DataOptions, TrainingData, load_data
from src.superres.pixel import PixelRecipe, PixelTask
from src.superres.srgan import Generator
from src.training.loop import Figures, Intervals, Task, train
from src.training.runs import RunFolder, open_run, plot_log


@dataclasses.dataclass(frozen=True)
class Reports:
    """Who hears of a training.

    Attributes:
        line: called with how a run goes on.
        skipped: called with the error of each photograph that cannot be read.
        figures: called with a step and figures such as `{"loss/train": 0.01}`.
        progress: called with the steps done and all steps.
    """

    line: Callable[[str], None] = lambda line: None
    skipped: Callable[[InputError], None] = lambda error: None
    figures: Callable[[int, Figures], None] = lambda step, figures: None
    progress: Callable[[int, int], None] = lambda done, total: None


@dataclasses.dataclass(frozen=True)
class Trained:
    """The file of a trained network, and its PSNR in dB on so many validation images.

    Attributes:
        baseline: that of bicubic; for a prompt-guided network that of the unedited images.
    """

    path: Path
    psnr: float
    baseline: float
    images: int


@dataclasses.dataclass(frozen=True)
class Session:
    """Where a training runs: `save_dir`/NAME_xN is its folder, `weights` the files that it starts from, if any."""

    save_dir: str | Path
    weights: tuple[str, ...] = ()
    strategy: tf.distribute.Strategy = dataclasses.field(default_factory=tf.distribute.get_strategy)
    reports: Reports = Reports()


def train_on_pixels(net: Network, options: DataOptions, recipe: PixelRecipe, session: Session) -> Trained:
    """Train a network, made under the session's strategy, until its validation PSNR no longer rises.

    Raises:
        InputError: unsuitable photographs or `weights`, or the folder holds another run.
    """
    data = load_data(options, net, session.reports.skipped)
    if session.weights:
        start_from(session.weights, net)
    with find_run(net, data, recipe, session) as run:
        with session.strategy.scope():
            task = PixelTask(net, data, recipe, run.path / "best.keras")
        learn(task, run, recipe, session)
        return finish(run, task.path, float(task.best.numpy()), net.scale, data)


def train_against_discriminator(
    net: Generator,
    options: DataOptions,
    recipe: GanRecipe,
    session: Session,
    keep_every: int = 50,
    picture_every: int = 10,
) -> Trained:
    """Train a generator, made under the session's strategy, against a new discriminator.

    Args:
        keep_every, picture_every: epochs, as for `Keepsakes`.

    Raises:
        InputError: unsuitable photographs, no weights for the content loss, or the folder holds another run.
    """
    data = load_data(options, net, session.reports.skipped)
    with session.strategy.scope():
        folder = Path(session.save_dir) / run_name(net)
        task = AdversarialTask(net, data, recipe, Keepsakes(folder, keep_every, picture_every))
    with find_run(net, data, recipe, session) as run:
        learn(task, run, recipe, session)
        return finish(run, run.path / LAST, float(task.psnr.numpy()), net.scale, data)


def starting_generator(
    save_dir: str | Path, weights: Sequence[str], dtype: str, degradation: str = "clean"
) -> tuple[Generator, tuple[str, ...]]:
    """What the adversarial stage starts from, and its files: `weights`, else the newest SRResNet, else the bundled one.

    Args:
        degradation: of low resolution; `palette` has a bundled one of its own.

    Raises:
        InputError: not a generator.
    """
    trained = Path(save_dir) / "srresnet_x4" / "best.keras"
    bundled = bundled_file("srresnet", degradation="palette" if degradation == "palette" else "clean")
    paths = tuple(weights) or (str(trained if trained.exists() else bundled),)
    net = load_mean(paths)
    if not isinstance(net, Generator):
        raise InputError(f"`weights` {paths[0]}: not a generator; train one on pixels first")
    return net.copy_with(name="srgan", dtype=dtype), paths


def start_from(paths: Sequence[str], net: Network):
    """Give a network the weights of the same network in a file, or their mean in several."""
    trained = load_mean(paths, net.scale)
    if trained.architecture() != net.architecture():
        raise InputError(f"`weights` {paths[0]}: another network than the one to be trained")
    net.set_weights(trained.get_weights())


def run_name(net):
    return f"{net.name}_x{net.scale}"


@contextlib.contextmanager
def find_run(
    net: Network, data: TrainingData, recipe: PixelRecipe | GanRecipe, session: Session
) -> Iterator[RunFolder]:
    """The folder of a run, found again by all that decides its result."""
    start = {"weights": files.fingerprint(session.weights) if session.weights else None, "dtype": net.precision}
    parts = {"network": net.architecture(), "start": start, "recipe": described(recipe), "data": data.description}
    with open_run(Path(session.save_dir) / run_name(net), parts) as run:
        for note in run.notes:
            session.reports.line(note)
        yield run


def described(recipe):
    """A recipe, with the contents of a file in place of its name."""
    found = asdict(recipe)
    trained = found.get("vgg_weights")
    return found | ({"vgg_weights": files.fingerprint([trained])} if trained else {})


def learn(task: Task, run: RunFolder, recipe: PixelRecipe | GanRecipe, session: Session) -> int:
    """The loop, with a report, a validation and a state after every epoch."""
    epoch = Intervals(*[recipe.steps] * 3)
    return train(task, run, session.strategy, epoch, session.reports.figures, session.reports.progress)


def finish(run: RunFolder, path: Path, psnr: float, scale: int, data: TrainingData) -> Trained:
    """Compare what a run reached to bicubic, and plot it."""
    scores = [metrics.bounded_psnr(resized(low, high.shape), high, border=scale) for low, high in data.valid]
    return plotted(run, Trained(path, psnr, data.mean(scores), len(data.valid)))


def plotted(run: RunFolder, trained: Trained) -> Trained:
    """Plot a run; host 0 does, others have nothing to plot.

    Raises:
        InputError: the file of the network has been removed, which the run has not found a better one than since.
    """
    if hosts.current().first:
        if not trained.path.exists():
            since = "missing, and the run has made no better network since; train in another `save_dir`"
            raise InputError(f"{trained.path}: {since}")
        plot_log(run.path / "log.png", run.path / "log.jsonl")
    return trained
