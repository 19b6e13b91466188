"""Weights that stand in for those that are trained: a moving average, and that the others come back."""

import contextlib
from collections.abc import Iterator, Sequence

import tensorflow as tf


@contextlib.contextmanager
def restored(variables: Sequence[tf.Variable]) -> Iterator[None]:
    """Variables that may be changed inside, and are as they were afterwards."""
    before = [v.numpy() for v in variables]
    try:
        yield
    finally:
        assign(variables, before)


def assign(variables, values):
    """Give variables their values."""
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


class Average(tf.Module):
    """A moving average of all weights of a network, which begins with those it has.

    Those of batch normalization's statistics are among them, which the average of Keras' optimizers leaves out: a
    network with averaged kernels and the statistics of the last ones would be another than any that was trained.

    Args:
        weights: of the network, made under the run's strategy, as this is to be.
        momentum: what is kept of the average at each update; 0 for none, so that nothing is kept.
    """

    def __init__(self, weights: Sequence[tf.Variable], momentum: float):
        super().__init__()
        self.momentum = momentum
        first = tf.VariableAggregation.ONLY_FIRST_REPLICA  # all replicas have the same
        start = [w.numpy() for w in weights] if momentum else []
        self.kept = [tf.Variable(w, trainable=False, aggregation=first) for w in start]

    def update(self, weights: Sequence[tf.Variable]):
        """Move it to the weights as they are, on a replica, after an update of them."""
        for kept, weight in zip(self.kept, weights):
            kept.assign(kept * self.momentum + tf.convert_to_tensor(weight) * (1 - self.momentum))

    @contextlib.contextmanager
    def used(self, weights: Sequence[tf.Variable]) -> Iterator[None]:
        """The average, if one is kept, in place of the weights; they are as they were afterwards."""
        if not self.kept:
            yield
            return
        with restored(weights):
            assign(weights, [kept.numpy() for kept in self.kept])
            yield
