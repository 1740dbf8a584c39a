"""Features scaled by how much their coefficients vary over tasks (automatic relevance determination).

One strength shrinks the coefficients of all features alike, so that a feature that matters to no task costs as much
variance as one that matters to all. With coefficients ``w_tj ~ N(0, v_j)`` of every output t, the spread v_j of each
feature is what all tasks together tell (MacKay 1992, doi:10.1162/neco.1992.4.3.415; Neal 1996)::

    P_t = (H_t / noise^2 + V^-1)^-1        w_t = P_t g_t / noise^2
    v_j = (sum_t w_tj^2 + a v) / (sum_t (1 - P_tjj / v_j) + a)

with the second moments ``H_t = X_t'X_t`` and ``g_t = X_t'z_t`` about the means of the task, targets z_t standardised
(counts by their Poisson deviation, classes by that of their indicators: the working residuals of the null model), and
`a` further features' worth of belief in the mean spread v. Every part of the model is then fitted to the columns
``x_j sqrt(v_j)``, scaled as a whole so that their variances add to what they were.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from skmtl.matrix import FeatureMatrix, column_means, scaled_columns
from skmtl.solvers.compression import Moments
from skmtl.solvers.solution import Solution, with_columns_times
from skmtl.tasks import TaskData

#: Outputs' worth of belief that all features matter alike.
_BELIEF = 1.0
#: Rounds, and the change of a logarithm of v at which they end.
_MAX_ROUNDS = 10
_TOLERANCE = 0.1
#: No spread is less than this share of the largest: a scale of zero could not be undone.
_LEAST_SPREAD = 1e-4
#: Most features whose coefficients are looked at together, for each of some tasks.
MAX_FEATURES = 1000
#: Multiplications of a round, and outputs that are looked at in any case; more are represented by some of them.
_MAX_WORK = 4e6
_N_OUTPUTS = 24


def feature_scales(data: TaskData, moments: Moments | None = None) -> NDArray:
    """What each feature is multiplied by, (n_features,); `moments` stand for the rows of complete squared targets.

    Raises
    ------
    ValueError
        For more features than a Gram matrix per task is affordable for.
    """
    if data.n_features > MAX_FEATURES:
        raise ValueError(
            f"feature_prior='learned' is for at most {MAX_FEATURES} features, got {data.n_features}; "
            "use feature_prior='ridge'."
        )
    grams, cross, counts = _of_moments(moments) if moments is not None else _of_data(data)
    total = np.einsum("tii->i", grams)
    # A constant column has no coefficient to speak of, and keeps its scale.
    varies = total > 1e-12 * max(float(total.max()), 1e-300)
    scales = np.ones(data.n_features)
    if varies.sum() > 1 and cross.any():
        spread = _spreads(grams[:, varies][:, :, varies], cross[:, varies], counts)
        scales[varies] = np.sqrt(spread * total[varies].sum() / np.sum(spread * total[varies]))
    return scales


def scaled_data(data: TaskData, scales: NDArray) -> TaskData:
    """The data with every feature multiplied by its scale."""
    return replace(data, X=scaled_columns(data.X, scales))


def in_given_features(solution: Solution, scales: NDArray) -> Solution:
    """A solution of scaled features as one of the features that were given."""
    return replace(with_columns_times(solution, scales), feature_scale=scales)


def in_scaled_features(solution: Solution, scales: NDArray) -> Solution:
    """The way back of `in_given_features`, for the basis: what a fit starts from, or its scores, needs no more."""
    return replace(solution, basis=solution.basis / scales[:, np.newaxis], feature_scale=None)


def _spreads(grams: NDArray, cross: NDArray, counts: NDArray) -> NDArray:
    """The v of features that vary; targets have unit variance, `grams` may be one for all outputs."""
    n_outputs, d = cross.shape
    squares, noise = counts, 0.5
    spread = np.full(d, 0.5 * len(grams) * counts.mean() / np.einsum("tii->", grams))
    for _ in range(_MAX_ROUNDS):
        root = np.sqrt(spread)
        inner = root[:, np.newaxis] * grams * root / noise
        inverse = np.linalg.inv(inner + np.eye(d))
        coef = root * (inverse @ (cross * root / noise)[:, :, np.newaxis])[:, :, 0]
        determined = 1.0 - np.einsum("tii->ti", inverse)
        residual = squares - 2.0 * np.sum(coef * cross, axis=1)
        residual = residual + np.sum(coef * (grams @ coef[:, :, np.newaxis])[:, :, 0], axis=1)
        left = np.maximum(counts - 1.0 - determined.sum(axis=1), 0.1 * counts)
        noise = max(float(residual.sum() / left.sum()), 1e-6)
        sizes, freedom = np.sum(coef**2, axis=0), determined.sum(axis=0) * (n_outputs / len(grams))
        if freedom.sum() <= 0.0:  # one row has all the weight: the data say nothing of any coefficient
            break
        new = (sizes + _BELIEF * sizes.sum() / freedom.sum()) / (freedom + _BELIEF)
        new = np.maximum(new, _LEAST_SPREAD * new.max())
        change, spread = float(np.abs(np.log(new / spread)).max()), new
        if change <= _TOLERANCE:
            break
    return spread


def _of_moments(moments: Moments) -> tuple[NDArray, NDArray, NDArray]:
    _, _, gram, cross, squares = moments.centred()
    deviations = np.sqrt(squares / moments.total)
    seen = deviations > 0
    standardised = cross[:, seen] / deviations[seen]
    return gram[np.newaxis], standardised.T, np.full(seen.sum(), moments.total)


def _of_data(data: TaskData) -> tuple[NDArray, NDArray, NDArray]:
    """Second moments of some outputs that stand for all: chosen by how much they say, whatever their order."""
    n_chosen = max(_N_OUTPUTS, int(_MAX_WORK // data.n_features**3))
    rows_of = _rows_by_task(data)
    sizes = np.array([len(rows) for rows in rows_of])
    shapes = np.array([np.sum(_targets(data, t, rows)[0] ** 4) for t, rows in enumerate(rows_of)])
    order = np.lexsort((shapes, sizes))
    chosen = order[np.unique(np.linspace(0, len(order) - 1, min(n_chosen, len(order))).round().astype(int))]
    found = [_of_task(data, t, rows_of[t]) for t in np.sort(chosen)]
    grams, cross, counts = zip(*(part for parts in found for part in parts), strict=True)
    return np.array(grams), np.array(cross), np.array(counts)


def _of_task(data: TaskData, t: int, rows: NDArray) -> list[tuple[NDArray, NDArray, float]]:
    targets, weights = _targets(data, t, rows)
    X = FeatureMatrix(data.X[rows], column_means(data.X[rows], weights))
    cross = X.transposed_times(weights[:, np.newaxis] * targets)
    gram, total = X.gram(weights), float(weights.sum())
    return [(gram, column, total) for column in cross.T]


def _targets(data: TaskData, t: int, rows: NDArray) -> tuple[NDArray, NDArray]:
    """Standardised working targets of a task, (n_t, n_outputs), and the weights of its rows."""
    labelled = data.task_of_row is not None
    y = data.y[rows] if labelled else data.y[rows, t]
    weights = np.ones(len(rows))
    if data.weights is not None:
        weights = data.weights[rows] if data.weights.ndim == 1 else data.weights[rows, t]
    task = data.tasks[t]
    columns = (y[:, np.newaxis] == np.arange(task.n_outputs)) * 1.0 if task.n_outputs > 1 else y[:, np.newaxis]
    means = weights @ columns / weights.sum()
    variances = means if task.kind == "count" else weights @ (columns - means) ** 2 / weights.sum()
    return (columns - means) / np.sqrt(np.where(variances > 0, variances, 1.0)), weights


def _rows_by_task(data: TaskData) -> list[NDArray]:
    if data.task_of_row is not None:
        order = np.argsort(data.task_of_row, kind="stable")
        cuts = np.searchsorted(data.task_of_row[order], np.arange(1, len(data.tasks)))
        rows_of = np.split(order, cuts)
        return [rows[~np.isnan(data.y[rows])] for rows in rows_of]
    return [np.flatnonzero(~np.isnan(column)) for column in data.y.T]
