"""The one loop of everything that learns here: pre-training, ESPCN, SRResNet, SRGAN."""

import contextlib
import dataclasses
import functools
import signal
import threading
from collections.abc import Callable, Iterator

import numpy as np
import tensorflow as tf

from src import hosts
from src.config import InputError
from src.devices import distributed
from src.hosts import Stopped
from src.training.runs import RunFolder

Figures = dict[str, float]


@dataclasses.dataclass(frozen=True)
class Intervals:
    """How often, in steps, losses are reported, the model is validated, and the state to go on from is kept."""

    log_every: int = 50
    eval_every: int = 1000
    save_every: int = 500


class Task:
    """What is trained, as the loop sees it. A subclass makes its networks and optimizers under the run's strategy.

    Nothing in it may depend on the process: networks and batches take their seed and their precision from the recipe.

    Attributes:
        steps: updates in all.
        trackables: name to network, optimizer or counter: kept and restored together.
        signature: `tf.TensorSpec`s of a global batch, whose first axis the replicas share.
    """

    steps: int
    trackables: dict[str, tf.Module]
    signature: tuple[tf.TensorSpec, ...]

    def batches(self, first: int) -> Iterator[tuple[np.ndarray, ...]]:
        """Global batches from step `first` on; each depends on the seed and its step alone."""
        raise NotImplementedError

    def update_at(self, step: int) -> Callable[..., dict[str, tf.Tensor]]:
        """The function that makes update number `step` (from 0) out of one replica's share of a batch.

        It returns named losses, to be summed over the replicas. One method for all steps, as a rule: each that is
        returned is traced once.
        """
        raise NotImplementedError

    def validate(self) -> Figures:
        """Named figures of the model as it is; none by default."""
        return {}

    def validated(self, step: int, figures: Figures) -> bool:
        """What follows from them after `step` updates; True ends the training."""
        return False

    def keep(self, step: int):
        """Write what this validation leaves beside the states, such as the best network; on host 0 alone."""

    def check(self, losses: Figures) -> str | None:
        """Why these mean losses show that training has gone astray; None where they do not."""
        return None


def train(
    task: Task,
    run: RunFolder,
    strategy: tf.distribute.Strategy,
    intervals: Intervals,
    report: Callable[[int, Figures], None],
    progress: Callable[[int, int], None] | None = None,
) -> int:
    """Train a task to its last step, from the last state in its run folder.

    Args:
        report: called with a step and figures such as `{"loss/train": 2.1}`, which the run folder has logged.
        progress: called with the steps done and all steps, at the start and after every one.

    Returns:
        The steps done: fewer than the task's where its validation has ended the training.

    Raises:
        InputError: a figure is not a finite number, or training has gone astray.
        Stopped: on Ctrl-C or SIGTERM at any of the hosts, when the state has been kept; it says where training goes on.
    """
    step = first = run.restore(**task.trackables)
    if run.done or first >= task.steps:
        return first
    batches = distributed(strategy, lambda: task.batches(first), task.signature)
    update = functools.cache(functools.partial(summed, strategy))
    losses, progress = [], progress or (lambda done, total: None)
    progress(step, task.steps)
    with delayed_interrupt() as interrupted:
        while step < task.steps and not run.done:
            losses.append(update(task.update_at(step))(next(batches)))
            step += 1
            progress(step, task.steps)
            due = after_step(task, run, step, intervals, losses, report)
            number = max(hosts.current().exchange(interrupted.number))
            if due or number:
                check(task, run, step, means(losses))
                run.save(step)
            if number and step < task.steps and not run.done:
                raise Stopped(f"stopped; the same command goes on from step {step} in {run.path}", number)
    return step


def summed(strategy, replica):
    """A `tf.function` from a distributed batch to the named losses of `replica` for each part, summed over them."""

    @tf.function
    def step(inputs):
        losses = strategy.run(replica, args=inputs)
        return {name: strategy.reduce("sum", loss, axis=None) for name, loss in losses.items()}

    return step


def after_step(task, run, step, intervals, losses, report):
    """Report the losses and validate where it is time for it; whether the state is to be kept."""

    def due(every):
        return step % every == 0 or step == task.steps

    def publish(split, figures):
        figures = {f"{name}/{split}": value for name, value in figures.items()}
        run.log(step, figures)
        report(step, figures)

    if due(intervals.log_every):
        publish("train", check(task, run, step, means(losses)))
        losses.clear()
    if due(intervals.eval_every) and (figures := hosts.current().of_first(task.validate())):
        publish("valid", finite(run, step, figures))
        run.done = task.validated(step, figures)
        if hosts.current().first:
            task.keep(step)
    return due(intervals.save_every) or run.done


def means(losses):
    """Name to the mean of the losses of some steps."""
    return {name: float(np.mean([np.float64(each[name]) for each in losses])) for name in (losses[0] if losses else ())}


def finite(run, step, figures):
    """The figures.

    Raises:
        InputError: one is not a finite number.
    """
    for name, value in figures.items():
        if not np.isfinite(value):
            raise astray(run, step, f"{name} is {value}")
    return figures


def check(task, run, step, losses):
    """The losses; InputError where one is not a finite number or the task says that they have gone astray."""
    reason = task.check(finite(run, step, losses)) if losses else None
    if reason:
        raise astray(run, step, reason)
    return losses


def astray(run, step, reason):
    """The error of a training that does not converge."""
    return InputError(
        f"{run.path}: training has diverged, {reason} at step {step}; start again in another `save_dir`, "
        "with a lower `lr` or more steps of warm-up"
    )


class Interrupt:
    """The number of the signal that has asked for the end; 0 where none has."""

    number = 0


@contextlib.contextmanager
def delayed_interrupt():
    """An `Interrupt` that Ctrl-C and SIGTERM set instead of breaking off an update; a second one of them does that."""
    interrupt = Interrupt()

    def handle(number, frame):
        if interrupt.number:
            raise KeyboardInterrupt
        interrupt.number = number

    if threading.current_thread() is not threading.main_thread():  # only the main thread hears signals
        yield interrupt
        return
    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield interrupt
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
