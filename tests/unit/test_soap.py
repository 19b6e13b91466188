"""SOAP against the arithmetic of its paper in NumPy."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from src.superres import soap


def by_hand(kernel, gradients, lr, largest=np.inf, beta_1=0.95, beta_2=0.99, shampoo=0.95, frequency=2, epsilon=1e-3):
    """The kernel after steps with these gradients (algorithm 3, bases by an eigendecomposition)."""
    w = kernel.reshape(-1, kernel.shape[-1]).astype(np.float64)
    mean, square, moments = 0, 0, [0, 0]
    bases = [np.eye(n) for n in w.shape]
    for t, g in enumerate(gradients):
        g = g.reshape(w.shape).astype(np.float64)
        for side, product in enumerate((g @ g.T, g.T @ g)):
            moments[side] = shampoo * moments[side] + (1 - shampoo) * product
            if t % frequency == 0 and w.shape[side] <= largest:
                bases[side] = np.linalg.eigh(moments[side])[1]
        left, right = bases
        mean = beta_1 * mean + (1 - beta_1) * g
        square = beta_2 * square + (1 - beta_2) * (left.T @ g @ right) ** 2
        rate = lr * np.sqrt(1 - beta_2 ** (t + 1)) / (1 - beta_1 ** (t + 1))
        w = w - rate * left @ ((left.T @ mean @ right) / (np.sqrt(square) + epsilon)) @ right.T
    return w.reshape(kernel.shape)


@pytest.mark.parametrize("shape, largest", [((2, 1, 2, 4), 1024), ((2, 1, 4, 4), 4)])
def test_equals_the_arithmetic(shape, largest, monkeypatch):
    """The gradients have full rank where there is a basis: of equal eigenvalues any eigenvectors are right.

    After the first one nothing but rounding is left beside the diagonal, which epsilon must hide.
    """
    monkeypatch.setattr(soap, "LARGEST", largest)
    rng = np.random.default_rng(0)
    kernel = keras.Variable(rng.normal(size=shape).astype("f"))
    start, gradients = kernel.numpy(), rng.normal(size=[5, *shape]).astype("f")
    optimizer = soap.Soap(0.01, frequency=2, epsilon=1e-3)
    for g in gradients:
        optimizer.apply([tf.constant(g)], [kernel])
    np.testing.assert_allclose(kernel.numpy(), by_hand(start, gradients, 0.01, largest), atol=2e-4)


def test_everything_but_kernels_is_updated_by_adam():
    rng = np.random.default_rng(0)
    start, gradients = rng.normal(size=7).astype("f"), rng.normal(size=[4, 7]).astype("f")
    ends = []
    for optimizer in (soap.Soap(0.01), keras.optimizers.Adam(0.01, beta_1=0.95, beta_2=0.99, epsilon=1e-10)):
        bias = keras.Variable(start)
        for g in gradients:
            optimizer.apply([tf.constant(g)], [bias])
        ends.append(bias.numpy())
    np.testing.assert_allclose(*ends, rtol=1e-5)


def loss_after(optimizer, x, y, steps=300):
    """Mean squared error of a 1x1 convolution from x to y after so many steps from zero."""
    kernel = keras.Variable(np.zeros([1, 1, x.shape[-1], y.shape[-1]], "f"))
    optimizer.build([kernel])

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((tf.nn.conv2d(x, kernel, 1, "VALID") - y) ** 2)
        optimizer.apply([tape.gradient(loss, kernel.value)], [kernel])
        return loss

    return float([step() for _ in range(steps)][-1])


def test_learns_a_badly_conditioned_filter_where_adam_does_not():
    """Neighbouring pixels nearly alike, as in photographs: what tells them apart has a thousandth of the variance."""
    rng = np.random.default_rng(0)
    x = (rng.normal(size=[64, 8, 8, 1]) + 0.03 * rng.normal(size=[64, 8, 8, 9])).astype("f")
    y = tf.nn.conv2d(x, rng.normal(size=[1, 1, 9, 4]).astype("f"), 1, "VALID")
    assert loss_after(soap.Soap(0.01), x, y) < loss_after(keras.optimizers.Adam(0.01), x, y) / 10


def test_comes_back_from_its_config():
    optimizer = soap.Soap(0.02, frequency=7)
    again = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    assert again.get_config() == optimizer.get_config() and again.frequency == 7
