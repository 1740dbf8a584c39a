"""The posterior mean under the draws of `make_multitask`: on average over them no estimator has a lower risk.

But for one thing: the basis is normal here and orthonormal there, k (k + 1) / 2 of its d k numbers being known, which
may save as large a share of what learning the basis costs.
Gibbs sampling of factors and basis in turn, with the noise, the variance of the factors and the intercepts known.
Geman, S. & Geman, D. (1984). Stochastic relaxation, Gibbs distributions, and the Bayesian restoration of images. IEEE
Transactions on Pattern Analysis and Machine Intelligence, 6(6), 721-741. doi:10.1109/TPAMI.1984.4767596
"""

from __future__ import annotations

import numpy as np


def posterior_mean(X, y, n_components, signal, random_state, n_iter=4000, n_burnt=1000):
    """Coefficients (n_tasks, d) from own rows X (n_tasks, n, d) and targets (n_tasks, n) with noise 1, no intercepts.

    ``w_t = B s_t``, the factors normal with variance ``signal**2 / n_components``, the entries of B with ``1 / d``.
    """
    rng = np.random.RandomState(random_state)
    n_tasks, _, d = X.shape
    k = n_components
    grams, cross = np.swapaxes(X, 1, 2) @ X, np.einsum("tni,tn->ti", X, y)
    by_task = grams.reshape(n_tasks, d * d)
    B = np.linalg.svd(cross.T, full_matrices=False)[0][:, :k]
    total = np.zeros((n_tasks, d))
    for iteration in range(n_iter):
        precision = B.T @ grams @ B + np.eye(k) * k / signal**2
        mean = np.linalg.solve(precision, (cross @ B)[..., np.newaxis])
        if iteration >= n_burnt:
            total += mean[..., 0] @ B.T
        S = (mean + _drawn(precision, rng))[..., 0]
        pairs = (S[:, :, np.newaxis] * S[:, np.newaxis]).reshape(n_tasks, k * k)
        precision = (pairs.T @ by_task).reshape(k, k, d, d).transpose(0, 2, 1, 3).reshape(k * d, k * d)
        precision += d * np.eye(k * d)
        B = np.linalg.solve(precision, (S.T @ cross).reshape(-1, 1)) + _drawn(precision, rng)
        B = B.reshape(k, d).T
    return total / (n_iter - n_burnt)


def _drawn(precision, rng):
    """Normal columns with mean zero and these precisions (..., q, q), shape (..., q, 1)."""
    lower = np.linalg.cholesky(precision)
    return np.linalg.solve(np.swapaxes(lower, -1, -2), rng.standard_normal((*precision.shape[:-1], 1)))
