"""SOAP: Adam in the eigenbasis of Shampoo's preconditioner (Vyas et al. 2024, arXiv 2409.11321, algorithm 3)."""

import math
import types
from typing import Any

import keras
import tensorflow as tf

LARGEST = 1024  # rows or columns of a kernel for which a basis is worked out


@keras.saving.register_keras_serializable("image_gpt")
class Soap(keras.optimizers.Optimizer):
    """For convolutions on images: neighbouring pixels are so alike that Adam hardly moves what tells them apart.

    A kernel [h, w, in, out] is a matrix [h * w * in, out]; the second moments of its gradient on either side give the
    two bases. Everything else is updated as by Adam.

    Args:
        learning_rate: a number or a schedule.
        beta_1: decay of the mean of gradients.
        beta_2: decay of the mean of their squares, in the bases.
        shampoo_beta: decay of the second moments.
        frequency: steps from one computation of the bases to the next.
        epsilon: is added to the root of the mean square.
    """

    def __init__(
        self,
        learning_rate=0.003,
        beta_1=0.95,
        beta_2=0.99,
        shampoo_beta=0.95,
        frequency=25,
        epsilon=1e-10,
        name="soap",
        **options,
    ):
        super().__init__(learning_rate=learning_rate, name=name, **options)
        self.beta_1, self.beta_2, self.shampoo_beta = beta_1, beta_2, shampoo_beta
        self.frequency, self.epsilon = frequency, epsilon

    def build(self, variables: list[keras.Variable]):
        """Make the slots, which each replica's copy of a variable finds again."""
        if self.built:
            return
        super().build(variables)
        copies = tf.distribute.get_strategy().experimental_local_results
        slots = [(variable, self.slots_of(variable.shape)) for variable in variables]
        found = {copy.ref(): of for variable, of in slots for copy in copies(variable.value)}
        self.slots = types.MappingProxyType(found)  # no dict, which Keras would track

    def slots_of(self, shape):
        """Mean and mean square of the gradient and, for a kernel, {side: (moment, basis)} of its matrix."""
        kernel = len(shape) == 4
        shape = [math.prod(shape[:3]), shape[3]] if kernel else shape
        mean, square = (self.add_variable(shape, name=name) for name in ("mean", "square"))
        sides = [(side, n) for side, n in zip(("left", "right"), shape) if kernel and n <= LARGEST]
        return mean, square, {side: self.moment_and_basis(n) for side, n in sides}

    def moment_and_basis(self, n):
        """Second moment [n, n] and its eigenvectors, at first the axes themselves."""
        return self.add_variable([n, n], name="moment"), self.add_variable([n, n], keras.initializers.Identity())

    def update_step(self, gradient: tf.Tensor, variable: tf.Variable, learning_rate: tf.Tensor):
        mean, square, sides = self.slots[variable.ref()]
        gradient = tf.reshape(gradient, mean.shape)
        bases = {side: self.basis(*slots, gradient, side) for side, slots in sides.items()}
        self.average(mean, gradient, self.beta_1)
        self.average(square, rotated(gradient, bases) ** 2, self.beta_2)
        step = tf.cast(self.iterations + 1, tf.float32)
        rate = learning_rate * tf.sqrt(1 - self.beta_2**step) / (1 - self.beta_1**step)
        change = rotated(tf.convert_to_tensor(mean), bases) / (tf.sqrt(square) + self.epsilon)
        self.assign_sub(variable, tf.reshape(rate * rotated(change, bases, back=True), variable.shape))

    def basis(self, moment, basis, gradient, side):
        """Eigenvectors [n, n] of the second moment on a side, which are worked out now and then."""
        square = tf.matmul(gradient, gradient, transpose_a=side == "right", transpose_b=side == "left")
        self.average(moment, square, self.shampoo_beta)
        now = tf.convert_to_tensor(moment)
        now /= tf.reduce_max(tf.linalg.diag_part(now)) + 1e-30  # or its smallest numbers vanish
        before = tf.convert_to_tensor(basis)
        due = self.iterations % self.frequency == 0
        self.assign(basis, tf.cond(due, lambda: tf.linalg.eigh(now)[1], lambda: before))
        return tf.convert_to_tensor(basis)

    def average(self, slot, value, beta):
        self.assign_add(slot, (1 - beta) * (value - slot))

    def get_config(self) -> dict[str, Any]:
        names = "beta_1", "beta_2", "shampoo_beta", "frequency", "epsilon"
        return super().get_config() | {name: getattr(self, name) for name in names}


def rotated(matrix, bases, back=False):
    """A matrix [m, n] in the bases (`left` [m, m], `right` [n, n], or none) of its sides, or back from them."""
    if "left" in bases:
        matrix = tf.matmul(bases["left"], matrix, transpose_a=not back)
    if "right" in bases:
        matrix = tf.matmul(matrix, bases["right"], transpose_b=back)
    return matrix
