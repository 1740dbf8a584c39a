"""What the labels of every task say of its coefficients: second moments of coordinates and standardised targets.

Whatever its kind, a task is read through its score at the null model, where only the intercept is fitted: the
gradient of its log-likelihood there is ``X' (y - mean)`` for numbers, two classes and counts alike, and one such
column per class for more classes. Divided by their standard deviation (more classes: by the root of their
covariance matrix, which leaves n_classes - 1 uncorrelated columns) these residuals act as targets of a linear
regression with variance one, the *outputs* of the task; the coefficients of that regression are the one-step
estimates of the task's own. Everything that follows treats them alike.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator

from skmtl.inputs import Form, TargetRules, as_task_data
from skmtl.observations import ListedObservations, Pairs
from skmtl.tasks import TaskData


def read_tasks(who: str, X: Any, y: Any, kinds: Any = None, task_col: Any = None) -> tuple[TaskData, Form]:
    """`TaskData` of targets in any form, for a function called `who`.

    Raises
    ------
    ValueError
        As `fit` of the estimators, in the name of `who`.
    """
    reader = type(who, (BaseEstimator,), {"__init__": lambda self: None})()
    rules = TargetRules(who, "any", kinds=kinds, needs_classes=False)  # of a constant there is nothing to be learned
    try:
        return as_task_data(reader, X, y, rules=rules, task_col=task_col)
    except ValueError as error:
        message = str(error)
        if "needs complete features" in message:
            whose = message.partition(" contains NaN")[0]
            message = (
                f"{whose} contains NaN. {who} needs complete features: impute them first, for example by "
                "sklearn.impute.SimpleImputer().fit_transform(X). Missing targets are fine."
            )
        raise ValueError(message) from None


@dataclass(frozen=True)
class Outputs:
    """Standardised targets of all tasks as one list, sorted by output.

    Attributes
    ----------
    names : list of hashable
        Of the tasks.
    task_of_output : intp ndarray of shape (n_outputs,)
        One output per task; n_classes - 1 of a task with more than two classes.
    observations : ListedObservations
        Of the outputs, each of which has the rows of its task.
    values : float64 ndarray of shape (n_observations,)
        Mean 0 and variance 1 over every output (0 throughout where targets are constant).
    n_tasks_per_row : float
        Mean number of tasks that observe a row.
    is_complete : bool
        Whether every task observes every row.
    """

    names: list[Hashable]
    task_of_output: NDArray
    observations: ListedObservations
    values: NDArray
    n_tasks_per_row: float
    is_complete: bool

    @property
    def n_tasks(self) -> int:
        return len(self.names)


def standardised_outputs(data: TaskData) -> Outputs:
    """The outputs of every task, standardised as the null model of its kind says."""
    order, bounds, targets = _listed(data)
    rows, values, task_of_output, sizes = [], [], [], []
    single = [task.n_outputs == 1 for task in data.tasks]
    counts = np.diff(bounds)
    means = np.add.reduceat(targets, bounds[:-1]) / counts
    centred = targets - np.repeat(means, counts)
    deviations = np.sqrt(np.add.reduceat(centred**2, bounds[:-1]) / counts)
    constant = deviations <= 1e-12 * np.maximum(np.abs(means), 1e-300)
    centred /= np.repeat(np.where(constant, np.inf, deviations), counts)
    for t, task in enumerate(data.tasks):
        part = slice(bounds[t], bounds[t + 1])
        columns = [centred[part]] if single[t] else _class_columns(targets[part], task.n_outputs)
        rows += [order[part]] * len(columns)
        values += columns
        task_of_output += [t] * len(columns)
        sizes += [int(counts[t])] * len(columns)
    observations = ListedObservations(data.n_rows, np.concatenate(rows), np.concatenate([[0], np.cumsum(sizes)]))
    complete = data.task_of_row is None and bool(np.all(counts == data.n_rows))
    return Outputs(
        [task.name for task in data.tasks],
        np.array(task_of_output),
        observations,
        np.concatenate(values),
        float(counts.sum() / data.n_rows),
        complete,
    )


def _listed(data: TaskData) -> tuple[NDArray, NDArray, NDArray]:
    """Rows and targets of all observations sorted by task, and where each task begins."""
    if data.task_of_row is None:
        task, rows = np.nonzero(~np.isnan(data.y.T))
        targets = data.y[rows, task]
    else:
        rows = np.argsort(data.task_of_row, kind="stable")
        task, targets = data.task_of_row[rows], data.y[rows]
    return rows, np.searchsorted(task, np.arange(len(data.tasks) + 1)), targets


def _class_columns(codes: NDArray, n_classes: int) -> list[NDArray]:
    """Indicators of the classes with their mean taken out and their covariance made the unit matrix."""
    indicators = (np.arange(n_classes) == codes[:, np.newaxis]).astype(np.float64)
    shares = indicators.mean(axis=0)
    variances, directions = np.linalg.eigh(np.diag(shares) - np.outer(shares, shares))
    # The smallest is the zero of the direction in which indicators add to one.
    columns = (indicators - shares) @ (directions[:, 1:] / np.sqrt(variances[1:]))
    return list(np.ascontiguousarray(columns.T))


def in_order_of_names(data: TaskData) -> tuple[TaskData, NDArray]:
    """The same tasks sorted by name (and labelled rows by task), and where each of them stood.

    What depends on a seed then does not depend on the order of the tasks.
    """
    order = np.array(sorted(range(len(data.tasks)), key=lambda t: (str(data.tasks[t].name), t)))
    tasks = tuple(data.tasks[t] for t in order)
    if data.task_of_row is None:
        return replace(data, tasks=tasks, y=data.y[:, order]), order
    place = np.empty(len(order), dtype=np.intp)
    place[order] = np.arange(len(order))
    task_of_row = place[data.task_of_row]
    rows = np.argsort(task_of_row, kind="stable")
    return replace(data, X=data.X[rows], tasks=tasks, y=data.y[rows], task_of_row=task_of_row[rows]), order


@dataclass(frozen=True)
class Moments:
    """Sums over the observations of every task, not centred, so that parts of the data can be added and subtracted.

    Attributes
    ----------
    count : ndarray of shape (n_tasks,)
    z : ndarray of shape (n_tasks, q)
    zz : ndarray of shape (n_tasks, q, q)
    y, yy : ndarray of shape (n_outputs,)
    zy : ndarray of shape (n_outputs, q)
    """

    count: NDArray
    z: NDArray
    zz: NDArray
    y: NDArray
    yy: NDArray
    zy: NDArray

    def __sub__(self, other: Moments) -> Moments:
        zz = self.zz - other.zz
        if self.zz.strides[0] == 0:  # the same for every task, and kept once
            zz = np.broadcast_to(self.zz[0] - other.zz[0], self.zz.shape)
        return Moments(
            self.count - other.count, self.z - other.z, zz, self.y - other.y, self.yy - other.yy, self.zy - other.zy
        )


@dataclass(frozen=True)
class TaskEvidence:
    """`Moments` about the means of every task: all that a linear model with an intercept per task needs.

    Attributes
    ----------
    gram : ndarray of shape (n_tasks, q, q)
    cross : ndarray of shape (n_outputs, q)
    total : ndarray of shape (n_outputs,)
        Sums of squares of the targets.
    dof : ndarray of shape (n_tasks,)
        Observations less one.
    task_of_output : intp ndarray of shape (n_outputs,)
    """

    gram: NDArray
    cross: NDArray
    total: NDArray
    dof: NDArray
    task_of_output: NDArray

    @property
    def row_norms(self) -> NDArray:
        """Mean of ``z'z`` about the mean over the rows of every task, shape (n_tasks,); 1 where nothing varies."""
        traces = np.einsum("tii->t", self.gram)
        return np.where(traces > 0, traces, 1.0) / np.where(traces > 0, np.maximum(self.dof, 1.0), 1.0)

    @property
    def row_norm(self) -> float:
        """The same over the rows of all tasks: what is constant on the rows of each adds nothing."""
        traces, dof = np.einsum("tii->", self.gram), self.dof.sum()
        return float(traces / dof) if traces > 0 and dof > 0 else 1.0


def sum_moments(outputs: Outputs, Z: NDArray, weights: NDArray | None = None) -> Moments:
    """Moments of all observations, or with weights (n_rows,) of 0 and 1 of those rows only."""
    obs = outputs.observations
    w = np.ones(len(outputs.values)) if weights is None else weights[obs.rows]
    first = np.searchsorted(outputs.task_of_output, np.arange(outputs.n_tasks))
    z, zz = obs.factor_sums(w, Z), None
    if outputs.is_complete:
        seen = Z if weights is None else Z[weights > 0]
        zz = np.broadcast_to(seen.T @ seen, (outputs.n_tasks, Z.shape[1], Z.shape[1]))
    else:
        by_task = obs if len(first) == obs.n_tasks else _one_output_per_task(obs, first)
        w_by_task = w if by_task is obs else w[np.isin(obs.tasks, first)]
        zz = by_task.grams(w_by_task, Pairs(Z))
    return Moments(
        obs.task_sums(w)[first],
        z[first],
        zz,
        obs.task_sums(w * outputs.values),
        obs.task_sums(w * outputs.values**2),
        obs.factor_sums(w * outputs.values, Z),
    )


def _one_output_per_task(obs: ListedObservations, first: NDArray) -> ListedObservations:
    kept = np.isin(obs.tasks, first)
    sizes = np.diff(obs.offsets)[first]
    return ListedObservations(obs.n_rows, obs.rows[kept], np.concatenate([[0], np.cumsum(sizes)]))


def centre(moments: Moments, task_of_output: NDArray) -> TaskEvidence:
    """Moments about the means; a task without any observation has zero evidence."""
    count = np.maximum(moments.count, 1.0)
    means = moments.z / count[:, np.newaxis]
    if moments.zz.strides[0] == 0:
        gram = np.broadcast_to(moments.zz[0] - np.outer(moments.z[0], means[0]), moments.zz.shape)
    else:
        gram = moments.zz - moments.z[:, :, np.newaxis] * means[:, np.newaxis, :]
    of = task_of_output
    cross = moments.zy - moments.y[:, np.newaxis] * means[of]
    total = np.maximum(moments.yy - moments.y**2 / count[of], 0.0)
    return TaskEvidence(gram, cross, total, np.maximum(moments.count - 1.0, 0.0), of)
