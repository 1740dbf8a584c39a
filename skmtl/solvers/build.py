"""From `TaskData` to the `Problem` of the solver: blocks, scales and weights."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from skmtl.losses import LOSSES
from skmtl.matrix import FeatureMatrix, column_means
from skmtl.objective import Block, Problem
from skmtl.observations import ListedObservations, MatrixObservations
from skmtl.penalties import Penalties
from skmtl.tasks import TaskData

#: "std", None, or a number for each task.
ScaleTargets = str | NDArray | None

#: Matrix targets are worked on as a matrix from this share of observed cells on, else as a list. A matrix
#: has the faster products, a list evaluates the loss (exp, log) where it is needed only.
_MATRIX_SHARE = {"regression": 0.15, "binary": 0.6, "multiclass": 0.6, "count": 0.6}
#: Rows may be repeated, one copy per task, up to this many doubles.
COPY_ELEMENTS = 1 << 23


def make_blocks(
    data: TaskData, scale_targets: ScaleTargets, shared_scale: float | None = None
) -> tuple[list[Block], NDArray]:
    """Blocks of tasks with one loss and number of outputs, and the scale of every task.

    Parameters
    ----------
    scale_targets : {"std", None} or ndarray of shape (n_tasks,)
        An array: what the targets of each regression task are divided by.
    shared_scale : float, optional
        One scale for all regression tasks, because a common coefficient vector has one unit; NaN lets
        the targets decide it.

    Returns
    -------
    blocks : list of Block
    scales : ndarray of shape (n_tasks,)
        ``raw_user = scale * x @ W`` for every task: the standard deviation of a regression target;
        for the other kinds, when several kinds share a fit, what gives the task unit Fisher
        information at the null model.
    """
    blocks, scales, first = [], np.ones(len(data.tasks)), 0
    alike = tasks_alike(data)
    is_mixed = len({kind for kind, _, _ in alike}) > 1
    for kind, n_outputs, tasks in alike:
        observations, y, weights = observe(data, tasks, n_outputs)
        inside = np.ones(len(tasks))
        if scale_targets is not None and (kind == "regression" or is_mixed):
            scale = null_scale(kind, n_outputs, observations, y, weights)
            if kind == "regression":
                scale = regression_scale(scale_targets, tasks, scale, shared_scale)
            scales[tasks] = scale
            if kind == "regression":
                y = y / observations.spread(scale)
            else:
                inside = scale
        outputs = slice(first, first + len(tasks) * n_outputs)
        blocks.append(Block(LOSSES[kind], observations, y, weights, inside, tasks, outputs))
        first = outputs.stop
    return blocks, scales


def tasks_alike(data: TaskData) -> list[tuple[str, int, NDArray]]:
    """Kind, number of outputs and positions of the tasks that have both in common, in the order of the blocks."""
    signatures = list(zip((task.kind for task in data.tasks), data.n_outputs.tolist(), strict=True))
    return [(*one, np.flatnonzero([other == one for other in signatures])) for one in sorted(set(signatures))]


def regression_scale(
    scale_targets: ScaleTargets, tasks: NDArray, deviations: NDArray, shared_scale: float | None
) -> NDArray:
    """Scales of regression tasks, as given or else their deviations; all alike where `shared_scale` asks for it.

    A deviation of zero says that the targets are constant, which have no unit: they take that of the others, or one.
    """
    scale = deviations if isinstance(scale_targets, str) else np.asarray(scale_targets)[tasks]
    if shared_scale is None:
        return np.where(scale > 0, scale, 1.0)
    if np.isnan(shared_scale):
        shared_scale = np.sqrt(np.mean(scale[scale > 0] ** 2)) if np.any(scale > 0) else 1.0
    return np.full(len(tasks), shared_scale)


def deviations_of(squares: NDArray, totals: NDArray | float, means: NDArray) -> NDArray:
    """Standard deviation of every task's targets, exactly zero for what is constant but for rounding."""
    deviations = np.sqrt(squares / totals)
    return np.where(deviations > 1e-12 * np.abs(means), deviations, 0.0)


def as_labelled(data: TaskData, copies: bool) -> TaskData:
    """Matrix targets of which every row has just one are labelled rows; others stay as they are.

    With `copies`, rows that several tasks see are repeated for each, as long as this stays cheap.
    """
    if data.task_of_row is not None or data.y.shape[1] == 1 or data.is_complete:
        return data
    seen = ~np.isnan(data.y)
    n_observed = np.count_nonzero(seen)
    once = n_observed == data.n_rows and bool(np.all(seen.any(axis=1)))
    limit = max(COPY_ELEMENTS, 2 * data.n_rows * data.n_features)
    if not once and not (copies and n_observed * data.n_features <= limit):
        return data
    rows, task_of_row = np.nonzero(seen)
    weights = data.weights
    if weights is not None:
        weights = weights[rows] if weights.ndim == 1 else weights[rows, task_of_row]
    X = data.X if once else data.X[rows]
    return replace(data, X=X, y=data.y[rows, task_of_row], task_of_row=task_of_row, weights=weights)


def as_single_targets(data: TaskData) -> TaskData:
    """Targets of which no row has two as labelled rows; rows without any, which a matrix may hold, are left out.

    Intercepts are tied about the mean of X over the observations, which this makes that over the rows.
    """
    if data.task_of_row is not None:
        return data
    rows, task_of_row = np.nonzero(seen_targets(data))
    weights = data.weights
    if weights is not None:
        weights = weights[rows] if weights.ndim == 1 else weights[rows, task_of_row]
    X = data.X if len(rows) == data.n_rows else data.X[rows]
    return replace(data, X=X, y=data.y[rows, task_of_row], task_of_row=task_of_row, weights=weights, rows=None)


def seen_targets(data: TaskData) -> NDArray:
    """Which targets of a matrix are there; a weight of zero is a missing target."""
    seen = ~np.isnan(data.y)
    if data.weights is not None:
        seen &= (data.weights[:, np.newaxis] if data.weights.ndim == 1 else data.weights) > 0
    return seen


def make_problem(data: TaskData, blocks: list[Block], penalties: Penalties, fit_intercept: bool) -> Problem:
    """The problem on the rows of X as they are."""
    centre = column_means(data.X, data.row_weights) if fit_intercept else None
    return Problem(FeatureMatrix(data.X, centre), tuple(blocks), penalties, fit_intercept)


def output_order(blocks: list[Block] | tuple[Block, ...], data: TaskData) -> NDArray:
    """Positions in the user's order of outputs of the blocks' outputs, shape (n_outputs,)."""
    offsets = data.output_offsets
    parts = [
        (offsets[block.tasks][:, np.newaxis] + np.arange(block.observations.n_outputs)).ravel() for block in blocks
    ]
    return np.concatenate(parts)


def observe(data: TaskData, tasks: NDArray, n_outputs: int):
    """Observations, targets and normalised weights of some tasks."""
    per_task = data.weight_of_tasks
    if data.task_of_row is not None:
        return _observe_labelled(data, tasks, n_outputs, per_task)
    y = data.y if len(tasks) == data.y.shape[1] else data.y[:, tasks]
    # A weight of zero is a missing target.
    seen = ~np.isnan(y)
    weights = data.weights
    if weights is not None:
        weights = weights[:, np.newaxis] if weights.ndim == 1 else weights[:, tasks]
        seen &= weights > 0
    per_task = per_task[tasks] / data.weight_per_task
    share = np.count_nonzero(seen) / seen.size
    if share >= _MATRIX_SHARE[data.tasks[tasks[0]].kind]:
        observations = MatrixObservations(data.n_rows, len(tasks), n_outputs)
        if share == 1.0 and weights is None and np.all(per_task == per_task[0]):
            return observations, y, float(per_task[0])
        matrix_weights = seen * per_task * (1.0 if weights is None else weights)
        return observations, y if share == 1.0 else np.where(seen, y, 0.0), matrix_weights
    cells = np.flatnonzero(seen)
    rows = cells // len(tasks)
    listed_tasks = cells - rows * len(tasks)
    by_task = np.argsort(listed_tasks.astype(np.min_scalar_type(len(tasks))), kind="stable")
    rows, listed_tasks = rows[by_task], listed_tasks[by_task]
    offsets = np.concatenate([[0], np.cumsum(np.bincount(listed_tasks, minlength=len(tasks)))])
    listed = ListedObservations(data.n_rows, rows, offsets, n_outputs)
    if weights is None and np.all(per_task == per_task[0]):
        return listed, y[rows, listed_tasks], float(per_task[0])
    listed_weights = per_task[listed_tasks]
    if weights is not None:
        listed_weights = listed_weights * np.broadcast_to(weights, y.shape)[rows, listed_tasks]
    return listed, y[rows, listed_tasks], listed_weights


def _observe_labelled(data: TaskData, tasks: NDArray, n_outputs: int, per_task: NDArray):
    position = np.full(len(data.tasks), -1)
    position[tasks] = np.arange(len(tasks))
    place = position[data.task_of_row]
    seen = (place >= 0) & ~np.isnan(data.y)
    if data.weights is not None:
        seen &= data.weights > 0
    rows = np.flatnonzero(seen)
    rows = rows[np.argsort(place[rows], kind="stable")]
    place = place[rows]
    offsets = np.concatenate([[0], np.cumsum(np.bincount(place, minlength=len(tasks)))])
    listed, per_task = ListedObservations(data.n_rows, rows, offsets, n_outputs), per_task[tasks] / data.weight_per_task
    if data.weights is None and np.all(per_task == per_task[0]):
        return listed, data.y[rows], float(per_task[0])
    weights = per_task[place]
    return listed, data.y[rows], weights if data.weights is None else weights * data.weights[rows]


def null_scale(kind: str, n_outputs: int, observations, y: NDArray, weights: NDArray | float) -> NDArray:
    """Inverse root of a task's Fisher information when only its intercept is fitted, shape (n_tasks,)."""
    weights = np.broadcast_to(weights, y.shape)
    totals = observations.task_sums(weights)
    if kind == "multiclass":
        one_hot = (np.arange(n_outputs) == y[..., np.newaxis]) * weights[..., np.newaxis]
        share = observations.task_sums(one_hot) / totals[:, np.newaxis]
        return 1.0 / np.sqrt(np.sum(share * (1.0 - share), axis=1) / (n_outputs - 1))
    if kind == "regression":
        _, means, squares = about_means(observations, y, weights)
        return deviations_of(squares, totals, means)
    means = observations.task_sums(weights * y) / totals
    if kind == "binary":
        return 1.0 / np.sqrt(means * (1.0 - means))
    counts = observations.task_sums((weights > 0).astype(float))
    return 1.0 / np.sqrt(np.maximum(means, 0.5 / counts))


def about_means(observations, y: NDArray, weights: NDArray) -> tuple[NDArray, NDArray, NDArray]:
    """Total weight, mean, and weighted squares about the mean of every task's targets, each of shape (n_tasks,)."""
    totals = observations.task_sums(weights)
    means = observations.task_sums(weights * y) / totals
    deviations = y - observations.spread(means)
    # A long sum is off by more than the last digit, which would pass for a variance of targets that are all alike.
    shifts = observations.task_sums(weights * deviations) / totals
    return totals, means + shifts, observations.task_sums(weights * (deviations - observations.spread(shifts)) ** 2)
