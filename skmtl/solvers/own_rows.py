"""Rows that belong to one task each, of squared losses: centred per task, at most n_features of them, no own parts."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from skmtl.matrix import FeatureMatrix
from skmtl.objective import Block, Problem
from skmtl.observations import ListedObservations
from skmtl.penalties import Penalties
from skmtl.solvers.compression import Compressed, factor_moments, is_long, whiten
from skmtl.tasks import TaskData

#: Doubles of centred rows that are made at a time.
_CACHED_ELEMENTS = 1 << 16


@dataclass(frozen=True)
class Tables:
    """Rows of every task about their means, one task after the other, of which no more are kept than features.

    Attributes
    ----------
    rows, targets : ndarrays of shape (n, n_features) and (n,)
        Multiplied by the roots of their weights.
    offsets : int ndarray of shape (n_tasks + 1,)
    centres, means, totals : ndarrays of shape (n_tasks, n_features), (n_tasks,) and (n_tasks,)
        What was taken off, zero without intercepts, and the weights behind it.
    constant : float
        Part of the loss that no coefficient reaches.
    """

    rows: NDArray
    targets: NDArray
    offsets: NDArray
    centres: NDArray
    means: NDArray
    totals: NDArray
    constant: float

    @property
    def between(self) -> NDArray:
        """Scatter of the means, which has left the rows."""
        spread = self.centres - self.totals @ self.centres / self.totals.sum()
        return (spread * self.totals[:, np.newaxis]).T @ spread


def tables_of(data: TaskData, block: Block, fit_intercept: bool) -> Tables:
    """Tasks with their own dense rows and squared loss: centre per task, then at most n_features rows each."""
    observations = block.observations
    assert isinstance(observations, ListedObservations)
    X = data.X if observations.rows_in_order else data.X[observations.rows]
    y, weights = block.y, np.asarray(block.weights)
    offsets: NDArray = observations.offsets
    n_tasks, n_features = observations.n_tasks, data.n_features
    # Weights that are all alike can wait until there are fewer rows.
    unit, roots = (float(np.sqrt(weights)), None) if not weights.ndim else (1.0, np.sqrt(weights))
    totals = np.diff(offsets).astype(float) if roots is None else np.add.reduceat(weights, offsets[:-1])
    centres, means = np.zeros((n_tasks, n_features)), np.zeros(n_tasks)
    if fit_intercept:
        weighted_X, weighted_y = (X, y) if roots is None else (X * weights[:, np.newaxis], y * weights)
        centres = np.add.reduceat(weighted_X, offsets[:-1], axis=0, dtype=float) / totals[:, np.newaxis]
        means = np.add.reduceat(weighted_y, offsets[:-1]) / totals
    targets, constant = y - means[observations.tasks], 0.0
    if roots is not None:
        targets *= roots
    if is_long(data):
        grams, moments = _task_moments(X, targets, offsets, centres, roots)
        grams *= unit**2
        squares = unit**2 * np.add.reduceat(targets**2, offsets[:-1])
        small_rows, small_targets = factor_moments(grams, unit**2 * moments[:, :, np.newaxis])
        del grams  # as large as the rows
        constant = 0.5 * float(np.sum(np.maximum(squares - np.sum(small_targets**2, axis=(1, 2)), 0.0)))
        rows, targets = small_rows.reshape(-1, n_features), small_targets.ravel()
        offsets = np.arange(n_tasks + 1) * n_features
    else:
        rows = X - np.repeat(centres, np.diff(offsets), axis=0)
        if roots is not None:
            rows *= roots[:, np.newaxis]
        elif unit != 1.0:
            rows, targets = unit * rows, unit * targets
    return Tables(rows, targets, offsets, centres, means, unit**2 * totals, constant)


def compress_labelled(data: TaskData, block: Block, penalties: Penalties, fit_intercept: bool) -> Compressed:
    """The `tables_of` tasks, own parts eliminated."""
    tables = tables_of(data, block, fit_intercept)
    between = tables.between if fit_intercept and not penalties.has_own else None
    problem = labelled_problem(block, tables.rows, tables.targets, tables.offsets, penalties, tables.constant, between)
    return Compressed(problem, lambda W: tables.means - np.einsum("td,dt->t", tables.centres, W))


def labelled_problem(
    block: Block,
    rows: NDArray,
    targets: NDArray,
    offsets: NDArray,
    penalties: Penalties,
    constant: float,
    between: NDArray | None = None,
    ones: NDArray | None = None,
) -> Problem:
    """That of weighted rows of tasks, own parts eliminated; `ones` is the column of the intercepts, if they stay."""
    columns = targets[:, np.newaxis] if ones is None else np.stack([targets, ones], axis=1)
    if penalties.has_own:
        rows, columns = whiten(rows, columns, offsets, np.broadcast_to(penalties.own, len(offsets) - 1))
    listed = ListedObservations(len(rows), np.arange(len(rows)), offsets)
    compressed = replace(block, observations=listed, y=np.ascontiguousarray(columns[:, 0]), weights=1.0)
    left = None if ones is None else np.ascontiguousarray(columns[:, 1])
    penalties = replace(penalties, own=np.inf)
    return Problem(FeatureMatrix(rows), (compressed,), penalties, ones is not None, constant, between, left)


def _task_moments(
    X: NDArray, targets: NDArray, offsets: NDArray, centres: NDArray, roots: NDArray | None
) -> tuple[NDArray, NDArray]:
    """``X_t'X_t`` (n_tasks, d, d) and ``X_t'y_t`` (n_tasks, d) of rows about the centres, times the roots.

    Tasks of one length are worked on together as far as the cache holds them; centred rows are not kept.
    """
    n_tasks, n_features = centres.shape
    grams = np.empty((n_tasks, n_features, n_features))
    moments = np.empty((n_tasks, n_features))
    lengths = np.diff(offsets)
    step = max(1, _CACHED_ELEMENTS // (int(lengths[0]) * n_features)) if np.ptp(lengths) == 0 else 1
    for first in range(0, n_tasks, step):
        tasks = slice(first, min(first + step, n_tasks))
        part, count = slice(offsets[tasks.start], offsets[tasks.stop]), tasks.stop - tasks.start
        tables = X[part].reshape(count, -1, n_features) - centres[tasks, np.newaxis]
        if roots is not None:
            tables *= roots[part].reshape(count, -1, 1)
        turned = np.swapaxes(tables, 1, 2)
        np.matmul(turned, tables, out=grams[tasks])
        moments[tasks] = (turned @ targets[part].reshape(count, -1, 1))[:, :, 0]
    return grams, moments
