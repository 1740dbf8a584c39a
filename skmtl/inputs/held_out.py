"""The targets handed to `score`, task by task, beside the predictions they are compared with."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from skmtl.inputs.forms import Form
from skmtl.inputs.observed import Observed
from skmtl.targets import listed
from skmtl.tasks import Task


class ScoredTask(NamedTuple):
    """Held-out targets of one task.

    Attributes
    ----------
    position : int
        Of the task among the fitted ones.
    rows : intp ndarray of shape (n_observed,)
        Positions in the task's predictions that have a target.
    y_true : ndarray of shape (n_observed,)
        Numbers, or class labels in the dtype of the fitted classes.
    weight : float64 ndarray of shape (n_observed,), or None
    """

    position: int
    rows: NDArray
    y_true: NDArray
    weight: NDArray | None


def scored_targets(form: Form, X: Any, y: Any, sample_weight: Any, tasks: tuple[Task, ...]) -> Iterator[ScoredTask]:
    """Every task of `y` that has a target, in the order of `y`.

    Raises
    ------
    ValueError
        For a task or a class that fit did not see.
    """
    names = tuple(task.name for task in tasks)
    observed = form.observed(X, y, names)
    weights = form.weights(sample_weight, observed)
    position_of = {name: t for t, name in enumerate(names)}
    order, bounds = np.arange(0), np.arange(0)
    if observed.task_of_row is not None:
        order = np.argsort(observed.task_of_row, kind="stable")
        bounds = np.searchsorted(observed.task_of_row[order], np.arange(len(observed.names) + 1))
    for t, name in enumerate(observed.names):
        block = order[bounds[t] : bounds[t + 1]] if len(bounds) else slice(None)
        targets = observed.values[block] if len(bounds) else observed.values[:, t]
        rows = np.flatnonzero(~np.isnan(targets))
        if not len(rows):
            continue
        position = position_of[name]
        y_true = _as_fitted(observed, t, targets[rows], tasks[position])
        weight = None
        if weights is not None:
            weight = (weights[:, t] if weights.ndim == 2 else weights[block])[rows]
        yield ScoredTask(position, rows, y_true, weight)


def _as_fitted(observed: Observed, t: int, targets: NDArray, task: Task) -> NDArray:
    """Targets as numbers or labels of the fitted kind; ValueError for what fit did not see."""
    labels = observed.labels[t]
    if task.classes is None:
        if labels is None:
            return targets
        if labels.dtype.kind not in "biuf":
            raise ValueError(
                f"Task {task.name!r} was fitted on numbers, but y holds labels such as {labels.tolist()[0]!r}."
            )
        return labels.astype(np.float64)[targets.astype(np.intp)]
    distinct, position = np.unique(targets, return_inverse=True)
    given = distinct.tolist() if labels is None else labels[distinct.astype(np.intp)].tolist()
    known = {label: code for code, label in enumerate(task.classes.tolist())}
    for label in given:
        if label not in known:
            raise ValueError(
                f"y holds the class {label!r} of task {task.name!r}, which fit did not see; the "
                f"known classes are {listed(task.classes.tolist())}."
            )
    return task.classes[np.array([known[label] for label in given], dtype=np.intp)][position.reshape(-1)]
