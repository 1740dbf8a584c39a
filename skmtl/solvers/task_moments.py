"""Second moments of what every task sees of a shared X with gaps: all that squared losses say of long tasks.

Own parts of the tasks leave through them whatever their strength is, so that fits which differ in strengths only share
one pass over the data. (Rows that belong to one task each are compressed in `own_rows`.)
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from skmtl.losses import LOSSES
from skmtl.matrix import FeatureMatrix
from skmtl.objective import Block, Problem
from skmtl.observations import ListedObservations
from skmtl.penalties import Penalties
from skmtl.solvers.build import COPY_ELEMENTS, ScaleTargets, deviations_of, regression_scale
from skmtl.solvers.compression import LONG, Compressed, factor_moments, whiten
from skmtl.tasks import TaskData


@dataclass(frozen=True)
class TaskMoments:
    """Sums over the observations of every task about their means, with the weights that they have in the objective.

    Attributes
    ----------
    totals : ndarray of shape (n_tasks,)
        Sums of the weights.
    centres, means : ndarrays of shape (n_tasks, n_features) and (n_tasks,)
        Of x and y.
    grams, cross, squares : ndarrays of shape (n_tasks, n_features, n_features), (n_tasks, n_features) and (n_tasks,)
        Of x with x, of x with y and of y with y.
    """

    totals: NDArray
    centres: NDArray
    means: NDArray
    grams: NDArray
    cross: NDArray
    squares: NDArray

    def about_zero(self) -> tuple[NDArray, NDArray, NDArray]:
        """`grams`, `cross` and `squares` of a model without intercepts."""
        lengths = self.totals[:, np.newaxis] * self.centres
        return (
            self.grams + lengths[:, :, np.newaxis] * self.centres[:, np.newaxis],
            self.cross + lengths * self.means[:, np.newaxis],
            self.squares + self.totals * self.means**2,
        )


def has_long_tasks(data: TaskData) -> bool:
    """Whether numeric tasks with gaps on one dense X see so many rows that their Gram matrices are the smaller."""
    if data.task_of_row is not None or sparse.issparse(data.X) or data.is_complete:
        return False
    if any(task.kind != "regression" for task in data.tasks):
        return False
    n_tasks, n_features = len(data.tasks), data.n_features
    # Memory grows with the data, not with n_tasks x n_features².
    if n_tasks * n_features**2 > max(COPY_ELEMENTS, 2 * data.n_rows * n_features):
        return False
    return bool(np.count_nonzero(~np.isnan(data.y)) > LONG * n_tasks * n_features)


def task_moments(data: TaskData) -> TaskMoments:
    """One pass over what every task sees, a product for each, without a copy of more than one task's rows."""
    n_tasks, d = len(data.tasks), data.n_features
    totals, means, squares = np.empty(n_tasks), np.empty(n_tasks), np.empty(n_tasks)
    centres, cross, grams = np.empty((n_tasks, d)), np.empty((n_tasks, d)), np.empty((n_tasks, d, d))
    for t, column in enumerate(data.y.T):
        rows = np.flatnonzero(~np.isnan(column))
        weights = np.ones(len(rows))
        if data.weights is not None:
            weights = data.weights[rows] if data.weights.ndim == 1 else data.weights[rows, t]
        table, targets = data.X[rows].astype(float, copy=False), column[rows].astype(float)
        totals[t] = weights.sum()
        centres[t], means[t] = weights @ table / totals[t], weights @ targets / totals[t]
        table -= centres[t]
        targets -= means[t]
        if data.weights is not None:
            roots = np.sqrt(weights)
            table *= roots[:, np.newaxis]
            targets *= roots
        np.matmul(table.T, table, out=grams[t])
        np.matmul(table.T, targets, out=cross[t])
        squares[t] = targets @ targets
    unit = data.weight_of_tasks / data.weight_per_task
    return TaskMoments(
        unit * totals,
        centres,
        means,
        unit[:, np.newaxis, np.newaxis] * grams,
        unit[:, np.newaxis] * cross,
        unit * squares,
    )


def compress_tasks(
    moments: TaskMoments, penalties: Penalties, fit_intercept: bool, scale_targets: ScaleTargets, pool_scales: bool
) -> tuple[Compressed, NDArray]:
    """From what every task sees to n_features rows of its own, and the scale of every task."""
    n_tasks, n_features = moments.centres.shape
    scales = np.ones(n_tasks)
    if scale_targets is not None:
        deviations = deviations_of(moments.squares, moments.totals, moments.means)
        scales = regression_scale(scale_targets, np.arange(n_tasks), deviations, np.nan if pool_scales else None)
    grams, cross, squares = moments.grams, moments.cross, moments.squares
    centres, means = moments.centres, moments.means
    if not fit_intercept:
        grams, cross, squares = moments.about_zero()
        centres, means = np.zeros((1, n_features)), np.zeros(n_tasks)
    tables, targets = factor_moments(grams, (cross / scales[:, np.newaxis])[:, :, np.newaxis])
    constant = 0.5 * float(np.sum(np.maximum(squares / scales**2 - np.sum(targets**2, axis=(1, 2)), 0.0)))
    offsets = np.arange(n_tasks + 1) * n_features
    rows, y = tables.reshape(-1, n_features), targets.ravel()
    if penalties.has_own:
        rows, whitened = whiten(rows, y[:, np.newaxis], offsets, np.broadcast_to(penalties.own, n_tasks))
        y = whitened[:, 0]
    listed = ListedObservations(len(rows), np.arange(len(rows)), offsets)
    everyone = np.arange(n_tasks)
    block = Block(LOSSES["regression"], listed, y, 1.0, np.ones(n_tasks), everyone, slice(0, n_tasks))
    problem = Problem(FeatureMatrix(rows), (block,), replace(penalties, own=np.inf), False, constant)
    return Compressed(
        problem, lambda W: means / scales - np.einsum("td,dt->t", np.broadcast_to(centres, W.T.shape), W)
    ), scales
