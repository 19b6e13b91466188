"""Fréchet's distance and the kernel distance against SciPy's and scikit-learn's own, and how they are taken."""

import numpy as np
import pytest
from sklearn.metrics.pairwise import polynomial_kernel

from src.config import InputError
from src.measuring import frechet
from src.measuring.frechet import Moments, frechet_distance, kernel_distance

linalg = pytest.importorskip("scipy.linalg")  # comes with scikit-learn


def features(n, f, seed):
    """Like those of a network: none negative, correlated, of very different size."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=[n, f]) @ rng.normal(size=[f, f]) / np.sqrt(f) * np.geomspace(0.01, 2, f)
    return np.maximum(x + rng.uniform(0, 1, f), 0).astype(np.float32)


def by_scipy(a, b):
    a, b = np.float64(a), np.float64(b)
    cov_a, cov_b = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    root = linalg.sqrtm(cov_a @ cov_b)
    return ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(cov_a + cov_b - 2 * root.real)


def distance(a, b):
    return frechet_distance(Moments.of(a), Moments.of(b))


@pytest.mark.parametrize("f, n", [(4, 100), (96, 400), (256, 500)])
def test_frechet_distance_is_scipys(f, n):
    a, b = features(n, f, 1), features(n + 7, f, 2)
    assert distance(a, b) == pytest.approx(by_scipy(a, b), rel=1e-6)


def test_frechet_distance_of_known_gaussians():
    x = np.random.default_rng(0).normal(size=[200_000, 3])
    assert distance(x, x) == pytest.approx(0, abs=1e-9)
    assert distance(x, x + [1, 2, 0]) == pytest.approx(5, abs=1e-6)
    assert distance(x, 3 * x) == pytest.approx(3 * 4, rel=0.02)  # (3 - 1)^2 in each of three directions


def test_frechet_distance_is_exact_and_symmetric():
    """Against its trace in closed form for diagonal covariances, in as many directions as images have features."""
    rng = np.random.default_rng(0)
    a = rng.normal(size=[80, 60])
    a = np.linalg.svd(a - a.mean(0), full_matrices=False)[0] * np.sqrt(79)  # whitened: its covariance is the identity
    spread = np.geomspace(1e-4, 1e2, 60)
    assert distance(a, a * spread) == pytest.approx(((1 - spread) ** 2).sum(), rel=1e-9)
    b, c = rng.normal(size=[2, 80, 60])
    c = c * spread @ np.linalg.qr(rng.normal(size=[60, 60]))[0]
    assert distance(b, c) == pytest.approx(distance(c, b), rel=1e-10)
    assert 0 <= distance(b, b) < 1e-6


@pytest.mark.parametrize("n", [2, 100, 1023, 1024, 1025, 2500, 4096])
def test_streamed_equals_whole(n):
    x = features(n, 12, 0) + 1000  # far from the origin, where sums of squares lose their digits
    whole = np.cov(np.float64(x), rowvar=False)
    found = [Moments.streamed(np.split(x, range(size, n, size))) for size in (1, 7, 1024, 5000)]
    for moments in found:
        assert moments.n == n
        np.testing.assert_allclose(moments.mean, np.float64(x).mean(0), rtol=1e-9)
        np.testing.assert_allclose(moments.covariance, whole, rtol=1e-9, atol=1e-9)
        np.testing.assert_array_equal(moments.scatter, found[0].scatter)  # whatever the batches are


def test_rows_are_regrouped():
    held = []
    for rows in frechet.regrouped(np.full([300, 2], i) for i in range(40)):
        held.append(len(rows))
    assert sum(held) == 12_000 and max(held) == frechet.ROWS and len(held) == 12


def by_scikit_learn(a, b):
    m = len(a)
    xx, yy, xy = (polynomial_kernel(x, y, degree=3, coef0=1) for x, y in ((a, a), (b, b), (a, b)))
    return (xx.sum() - np.trace(xx) + yy.sum() - np.trace(yy)) / (m * (m - 1)) - 2 * xy.mean()


def test_kernel_distance_is_scikit_learns():
    a, b = np.float64(features(50, 32, 1)), np.float64(features(50, 32, 2))
    assert kernel_distance(a, b) == (pytest.approx(by_scikit_learn(a, b), rel=1e-9), 0)
    assert frechet.squared_discrepancy(a, b) == pytest.approx(by_scikit_learn(a, b), rel=1e-9)


def test_kernel_distance_over_subsets(monkeypatch):
    monkeypatch.setattr(frechet, "SUBSET", 40)
    a, b, other = features(90, 16, 1), features(90, 16, 2), features(90, 16, 1) + np.float32(0.5)
    whole, calls = by_scikit_learn(*np.float64([a, b])), []
    mean, spread = kernel_distance(a, b, 3, lambda done, total: calls.append((done, total)))
    assert calls[-1] == (100, 100) and abs(mean - whole) < spread and spread > 0
    assert kernel_distance(a, b, 3) == (mean, spread) != kernel_distance(a, b, 4)
    assert kernel_distance(a, other, 3)[0] > 10 * spread  # another distribution is far away
    assert frechet.subsets(90, 90) == (100, 40) and frechet.subsets(30, 90) == (100, 30)


def test_it_is_unbiased():
    """Over many pairs of sets of one distribution it is 0 on the mean, however small they are."""
    rng = np.random.default_rng(0)
    values = [frechet.squared_discrepancy(*rng.normal(size=[2, 10, 4])) for _ in range(4000)]
    assert abs(np.mean(values)) < 3 * np.std(values) / np.sqrt(len(values))


def test_one_feature_is_too_few():
    one, two = np.zeros([1, 3]), np.zeros([2, 3])
    for call in (lambda: distance(one, two), lambda: distance(two, one), lambda: kernel_distance(one, two)):
        with pytest.raises(InputError, match="one image only"):
            call()
    with pytest.raises(InputError, match="no image"):
        Moments.streamed([])
