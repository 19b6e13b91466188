"""The moving average of a network's weights while it is trained."""

import contextlib
from collections.abc import Iterator

import keras
import tensorflow as tf


class Average(tf.Module):
    """A moving average of all weights of a network, which begins with those it has.

    Those of batch normalization's statistics are among them: a network with averaged kernels and the statistics of the
    last ones would be another than any that was trained.

    Args:
        net: the network, made under the run's strategy, as this is to be.
        momentum: what is kept of the average at each update; 0 for none, so that nothing is kept.
    """

    def __init__(self, net: keras.Model, momentum: float):
        super().__init__()
        self.net, self.momentum = Untracked(net), momentum
        first = tf.VariableAggregation.ONLY_FIRST_REPLICA  # all replicas have the same
        start = [w.numpy() for w in net.weights] if momentum else []
        self.kept = [tf.Variable(w, trainable=False, aggregation=first) for w in start]

    def update(self):
        """Move it to the weights as they are, on a replica, after an update of them."""
        for kept, weight in zip(self.kept, self.net.of.weights):
            kept.assign(kept * self.momentum + tf.convert_to_tensor(weight) * (1 - self.momentum))

    @contextlib.contextmanager
    def used(self) -> Iterator[None]:
        """The network with the average in place of its weights; they are as they were afterwards."""
        if not self.kept:
            yield
            return
        before = self.net.of.get_weights()
        self.net.of.set_weights([kept.numpy() for kept in self.kept])
        try:
            yield
        finally:
            self.net.of.set_weights(before)


class Untracked:
    """What a module knows but does not keep in its states."""

    def __init__(self, of):
        self.of = of
