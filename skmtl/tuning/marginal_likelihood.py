"""Which tasks belong: the evidence of every task's rows for the joint model against that for a model of its own.

For numbers with normal noise both models say how targets are distributed before any coefficient is fitted. With rows X
and targets y of a task about their means, in units of scaled targets::

    joint   y - X common ~ N(0, noise^2 + X (basis C basis' + own) X')       C second moments of the learned prior
    alone   y            ~ N(0, noise^2 + X (own, of the independent model) X')

A ridge of strength alpha_own is the prior ``own = noise^2 / (alpha_own nbar)``. Which share of the tasks is alone, and
how noise is distributed over tasks, is estimated from all of them by the EM algorithm on a grid of levels (empirical
Bayes; Robbins 1956): where no task stands apart, that share is zero, and none is suspected because of few rows.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from skmtl.solvers import Solution
from skmtl.solvers.noise import count_unit
from skmtl.tasks import TaskData
from skmtl.tuning.candidates import Candidate

#: Probability of not belonging from which a task is set apart. It is below one half, since a task that is bent to
#: others loses more than one gains by them that could do without.
_SUSPECT = 0.2
#: Levels of noise variance, relative to the mean over tasks.
_LEVELS = 1.25 ** np.arange(-12, 13)
_MAX_ROUNDS = 500
_TOLERANCE = 1e-6


def has_evidence(data: TaskData) -> bool:
    """Whether all tasks are numbers with normal noise on a dense X."""
    return not sparse.issparse(data.X) and all(task.kind == "regression" for task in data.tasks)


def outsiders(
    data: TaskData,
    joint: Solution,
    joint_candidate: Candidate,
    alone_candidate: Candidate,
    scales: NDArray,
    alone_scale: NDArray | None,
    fit_intercept: bool,
) -> NDArray:
    """Positions of the tasks that a model of their own explains better.

    Parameters
    ----------
    data : TaskData
        All tasks.
    joint : Solution
        The joint model of those that are thought to belong, with the learned prior of its factors.
    joint_candidate, alone_candidate : Candidate
        Both models' strengths on all rows.
    scales : ndarray of shape (n_tasks,)
        Units of the targets.
    alone_scale : ndarray of shape (n_features,), or None for ones
        What the independent model multiplies features by.
    """
    assert joint.noise is not None
    noise = float(np.mean((joint.noise.deviations / joint.target_scale) ** 2))
    if noise <= 0:
        return np.empty(0, dtype=np.intp)
    nbar = data.weight_per_task * count_unit(data)
    joint_root = _root(joint, joint_candidate.alpha_own, joint.feature_scale, noise / nbar)
    alone_root = _ridge_root(alone_candidate.alpha_own, alone_scale, noise / nbar, data.n_features)
    log_evidence = np.empty((len(data.tasks), 2, len(_LEVELS)))
    for tasks, X, y, count in _tables(data, scales, fit_intercept):
        shift = 0.0 if joint.common is None else (X @ joint.common)[:, np.newaxis] / scales[tasks]
        dof = count - float(fit_intercept)
        gram = X.T @ X if len(X) >= X.shape[1] else None
        for h, (root, targets) in enumerate(((joint_root, y - shift), (alone_root, y))):
            spectrum = _wide(X @ root, targets) if gram is None else _long(root, gram, X.T @ targets)
            log_evidence[tasks, h] = _log_evidence(*spectrum, np.sum(targets**2, axis=0), dof, noise * _LEVELS)
    return np.flatnonzero(_probability_alone(log_evidence) > _SUSPECT)


def _root(joint: Solution, alpha_own: float | None, scale: NDArray | None, unit: float) -> NDArray:
    """R with ``R R'`` the prior covariance of a task's coefficients beside the common part, (n_features, r)."""
    parts = [_ridge_root(alpha_own, scale, unit, len(joint.basis))]
    if joint.prior is not None and joint.rank:
        values, vectors = np.linalg.eigh(joint.prior.covariance + np.outer(joint.prior.mean, joint.prior.mean))
        parts.append(joint.basis[:, : joint.rank] @ (vectors * np.sqrt(np.maximum(values, 0.0))))
    return np.concatenate(parts, axis=1)


def _ridge_root(alpha_own: float | None, scale: NDArray | None, unit: float, n_features: int) -> NDArray:
    if alpha_own is None:
        return np.empty((n_features, 0))
    return np.sqrt(unit / alpha_own) * np.diag(np.ones(n_features) if scale is None else scale)


def _tables(data: TaskData, scales: NDArray, fit_intercept: bool) -> Iterator[tuple[NDArray, NDArray, NDArray, float]]:
    """Tasks that see the same rows with the same weights, those rows of X, the scaled targets (n, n_tasks), counts.

    Rows and targets are multiplied by the root of their weight: a weight of 2 is a row twice.
    """
    X, y = np.asarray(data.X), data.y
    if data.task_of_row is not None:
        order = np.argsort(data.task_of_row, kind="stable")
        cuts = np.searchsorted(data.task_of_row[order], np.arange(1, len(data.tasks)))
        groups = [(np.array([t]), rows, y[rows][:, np.newaxis]) for t, rows in enumerate(np.split(order, cuts))]
    elif data.is_complete and (data.weights is None or data.weights.ndim == 1):
        groups = [(np.arange(len(data.tasks)), np.arange(data.n_rows), y)]
    else:
        groups = [
            (np.array([t]), rows, y[rows, t][:, np.newaxis])
            for t, rows in enumerate(np.flatnonzero(~np.isnan(column)) for column in y.T)
        ]
    for tasks, rows, targets in groups:
        weights = np.ones(len(rows))
        if data.weights is not None:
            weights = data.weights[rows] if data.weights.ndim == 1 else data.weights[rows, tasks[0]]
            weights = weights * count_unit(data)
        table, targets = X[rows], targets / scales[tasks]
        if fit_intercept:
            table = table - weights @ table / weights.sum()
            targets = targets - weights @ targets / weights.sum()
        root = np.sqrt(weights)[:, np.newaxis]
        yield tasks, table * root, targets * root, float(weights.sum())


def _wide(Z: NDArray, y: NDArray) -> tuple[NDArray, NDArray]:
    """Eigenvalues of ``Z Z'`` that are not zero, and the squared coordinates of every column of y along them."""
    vectors, values, _ = np.linalg.svd(Z, full_matrices=False)
    kept = values > 1e-10 * max(values.max(initial=0.0), 1e-300)
    return values[kept] ** 2, (vectors[:, kept].T @ y) ** 2


def _long(root: NDArray, gram: NDArray, cross: NDArray) -> tuple[NDArray, NDArray]:
    """As `_wide` for ``Z = X root``, from ``X'X`` and ``X'y``."""
    values, vectors = np.linalg.eigh(root.T @ gram @ root)
    kept = values > 1e-12 * max(values.max(initial=0.0), 1e-300)
    values, vectors = values[kept], vectors[:, kept]
    return values, ((root @ vectors).T @ cross) ** 2 / values[:, np.newaxis]


def _log_evidence(variances: NDArray, inside: NDArray, squares: NDArray, dof: float, noise: NDArray) -> NDArray:
    """Log density of every task's targets under every level of noise, up to a constant, (n_tasks, n_levels)."""
    outside = np.maximum(squares - inside.sum(axis=0), 0.0)
    total = variances[:, np.newaxis] + noise
    logs = np.sum(np.log(total), axis=0) + max(dof - len(variances), 0.0) * np.log(noise)
    return -0.5 * (logs + inside.T @ (1.0 / total) + outside[:, np.newaxis] / noise)


def _probability_alone(log_evidence: NDArray) -> NDArray:
    """Posterior probability that each task is alone; (n_tasks, joint or alone, levels of noise)."""
    likelihood = np.exp(log_evidence - log_evidence.max(axis=(1, 2), keepdims=True))
    share = np.full(2, 0.5)
    levels = np.full(likelihood.shape[2], 1.0 / likelihood.shape[2])
    for _ in range(_MAX_ROUNDS):
        posterior = likelihood * share[:, np.newaxis] * levels
        posterior /= posterior.sum(axis=(1, 2), keepdims=True)
        before, share, levels = share, posterior.sum(axis=2).mean(axis=0), posterior.sum(axis=1).mean(axis=0)
        if abs(share[1] - before[1]) <= _TOLERANCE:
            break
    return posterior[:, 1].sum(axis=1)
