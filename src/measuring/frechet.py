"""Distances between two sets of images by the features of a network: Fréchet's, and the kernel distance.

Fréchet inception distance: Heusel et al. 2017, section 3. Kernel inception distance: Binkowski et al. 2018, section 4.
"""

import dataclasses
from collections.abc import Callable, Iterable, Iterator

import numpy as np

from src.config import InputError

ROWS = 1 << 10  # of features that are added at a time, whatever batches they come in
SUBSETS, SUBSET = 100, 1000  # of the kernel distance


@dataclasses.dataclass(frozen=True)
class Moments:
    """What the Fréchet distance needs of n features: their mean [f], and the scatter [f, f] around it, in float64.

    The scatter is the sum of the outer products of what is left without the mean: n - 1 times the covariance.
    """

    n: int
    mean: np.ndarray
    scatter: np.ndarray

    @classmethod
    def of(cls, features: np.ndarray) -> "Moments":
        """Those of features [n, f], of which all are in memory."""
        x = np.asarray(features, np.float64)
        mean = x.mean(0)
        return cls(len(x), mean, (x - mean).T @ (x - mean))

    @classmethod
    def streamed(cls, batches: Iterable[np.ndarray]) -> "Moments":
        """Those of all features in batches [b, f]; how they are cut into batches makes no difference to a bit.

        Raises:
            InputError: no feature at all.
        """
        found = None
        for rows in regrouped(batches):
            found = cls.of(rows).merged(found)
        if found is None:
            raise InputError("there is no image to take features of")
        return found

    def merged(self, earlier: "Moments | None") -> "Moments":
        """Those of both sets together (Chan et al. 1983, equation 2.1, for vectors)."""
        if earlier is None:
            return self
        n, gap = self.n + earlier.n, self.mean - earlier.mean
        between = np.outer(gap, gap) * (self.n * earlier.n / n)
        return Moments(n, earlier.mean + gap * (self.n / n), earlier.scatter + self.scatter + between)

    @property
    def covariance(self) -> np.ndarray:
        """[f, f], by n - 1.

        Raises:
            InputError: there is one feature only.
        """
        if self.n < 2:
            raise InputError("one image only: a covariance takes two or more, and means little of fewer than thousands")
        return self.scatter / (self.n - 1)


def regrouped(batches: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """The rows of all batches [b, f], ROWS at a time, the last partial ones too."""
    waiting = None
    for batch in batches:
        waiting = batch if waiting is None else np.concatenate([waiting, batch])
        while len(waiting) >= ROWS:
            yield waiting[:ROWS]
            waiting = waiting[ROWS:]
    if waiting is not None and len(waiting):
        yield waiting


def frechet_distance(a: Moments, b: Moments) -> float:
    """Fréchet distance of two sets of features, each taken as a Gaussian; no unit, and 0 for equal sets.

    |mean_a - mean_b|^2 + trace(cov_a + cov_b - 2 (cov_a cov_b)^(1/2)), where the last trace is the sum of the square
    roots of the eigenvalues of cov_a^(1/2) cov_b cov_a^(1/2): that matrix is symmetric, and as exact as can be.
    """
    cov_a, cov_b = a.covariance, b.covariance
    root = square_root(cov_a)
    roots = np.sqrt(np.clip(np.linalg.eigvalsh(root @ cov_b @ root), 0, None))
    gap = ((a.mean - b.mean) ** 2).sum()
    return float(max(0.0, gap + np.trace(cov_a) + np.trace(cov_b) - 2 * roots.sum()))  # below 0 by rounding only


def square_root(covariance):
    """The symmetric matrix [f, f] whose product with itself is a covariance."""
    values, vectors = np.linalg.eigh(covariance)
    return (vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T


def cubic_kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(a b^T / f + 1)^3 of features [n, f] and [m, f]: [n, m]."""
    k = a @ b.T / a.shape[1] + 1
    return k * k * k  # `** 3` takes fifty times as long


def squared_discrepancy(a: np.ndarray, b: np.ndarray) -> float:
    """The unbiased estimate of the squared maximum mean discrepancy of m features [m, f] and as many others."""
    m = len(a)
    within = sum(k.sum() - np.trace(k) for k in (cubic_kernel(a, a), cubic_kernel(b, b)))
    return float(within / (m * (m - 1)) - 2 * cubic_kernel(a, b).mean())


def subsets(n: int, m: int) -> tuple[int, int]:
    """How many pairs of subsets the kernel distance of n and m features takes, and how large they are."""
    size = min(SUBSET, n, m)
    return 1 if size == n == m else SUBSETS, size


def kernel_distance(
    a: np.ndarray, b: np.ndarray, seed: int = 42, progress: Callable[[int, int], None] | None = None
) -> tuple[float, float]:
    """Kernel distance of two sets of features [n, f] and [m, f]: mean and standard deviation over random subsets.

    SUBSETS pairs of subsets of SUBSET features, or of as many as the smaller set has; unbiased, so that it may fall
    below 0. Where the subsets would be both sets whole there is one pair, and no spread.

    Args:
        progress: called with the pairs done and all pairs, after each.

    Raises:
        InputError: one feature only.
    """
    pairs, size = subsets(len(a), len(b))
    if size < 2:
        raise InputError("one image only: the kernel distance takes two or more")
    rng, values = np.random.default_rng(seed), []
    for i in range(pairs):
        x, y = (np.float64(s[rng.choice(len(s), size, replace=False)]) for s in (a, b))
        values.append(squared_discrepancy(x, y))
        if progress:
            progress(i + 1, pairs)
    return float(np.mean(values)), float(np.std(values))
