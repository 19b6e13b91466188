"""Figures of quality. Each names its protocol."""

import numpy as np


def frechet_distance(a, b):
    """Fréchet distance of two sets of features, each [n, f] taken as a Gaussian (Heusel et al. 2017; any features).

    |mean_a - mean_b|^2 + trace(cov_a + cov_b - 2 (cov_a cov_b)^(1/2)); 0 for equal sets, no unit.
    """
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    cov_a, cov_b = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    roots = np.sqrt(np.clip(np.linalg.eigvals(cov_a @ cov_b).real, 0, None))  # eigenvalues of a product of covariances
    return float(((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(cov_a) + np.trace(cov_b) - 2 * roots.sum())
