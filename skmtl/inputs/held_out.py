"""The targets handed to `score`, task by task, beside the predictions they are compared with."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
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
    task : Task
        As it was fitted; one that fit did not see has the kind and the classes of the others.
    position : int
        Of the task among the fitted ones; -1 for one that fit did not see.
    rows : intp ndarray of shape (n_observed,)
        Positions in the task's predictions that have a target.
    y_true : ndarray of shape (n_observed,)
        Numbers, or class labels: in the dtype of the fitted classes, as objects where fit did not see one of them.
    weight : float64 ndarray of shape (n_observed,), or None
    """

    task: Task
    position: int
    rows: NDArray
    y_true: NDArray
    weight: NDArray | None


def scored_targets(form: Form, X: Any, y: Any, sample_weight: Any, tasks: tuple[Task, ...]) -> Iterator[ScoredTask]:
    """Every task of `y` that has a target, in the order of `y`.

    Raises
    ------
    ValueError
        For labels of another type than the classes that fit saw.
    """
    names = tuple(task.name for task in tasks)
    observed = form.observed(X, y, names)
    weights = form.weights(sample_weight, observed)
    position_of = {name: t for t, name in enumerate(names)}
    order, bounds = np.arange(0), np.arange(0)
    if observed.task_of_row is not None:
        order = np.argsort(observed.task_of_row, kind="stable")
        bounds = np.searchsorted(observed.task_of_row[order], np.arange(len(observed.names) + 1))
    is_new = np.array([name not in position_of for name in observed.names])
    new_rows = np.empty(0, dtype=np.intp)
    if observed.task_of_row is not None and is_new.any():
        new_rows = np.flatnonzero(is_new[observed.task_of_row])  # one block of predictions for all of them
    for t, name in enumerate(observed.names):
        block: Any = order[bounds[t] : bounds[t + 1]] if len(bounds) else slice(None)
        targets = observed.values[block] if len(bounds) else observed.values[:, t]
        rows = np.flatnonzero(~np.isnan(targets))
        if not len(rows):
            continue
        position = position_of.get(name, -1)
        task = tasks[position] if position >= 0 else replace(tasks[0], name=name)
        y_true = _as_fitted(observed, t, targets[rows], task)
        weight = None
        if weights is not None:
            weight = (weights[:, t] if weights.ndim == 2 else weights[block])[rows]
        if position < 0:
            rows = np.searchsorted(new_rows, block[rows])
        yield ScoredTask(task, position, rows, y_true, weight)


def _as_fitted(observed: Observed, t: int, targets: NDArray, task: Task) -> NDArray:
    """Targets as numbers or labels of the fitted kind; ValueError for labels of another type."""
    labels = observed.labels[t]
    if task.classes is None:
        if labels is None:
            return targets
        if labels.dtype.kind not in "biuf" and t not in observed.long_integers:
            raise ValueError(
                f"Task {task.name!r} was fitted on numbers, but y holds labels such as {labels.tolist()[0]!r}."
            )
        return labels.astype(np.float64)[targets.astype(np.intp)]
    distinct, position = np.unique(targets, return_inverse=True)
    given = distinct.tolist() if labels is None else labels[distinct.astype(np.intp)].tolist()
    known = {label: code for code, label in enumerate(task.classes.tolist())}
    codes = [known.get(label) for label in given]
    if None not in codes:
        return task.classes[np.array(codes, dtype=np.intp)][position.reshape(-1)]
    texts = [isinstance(label, str) for label in (*given, *known)]
    if any(texts) and not all(texts) and not any(label in known for label in given):
        raise ValueError(
            f"y holds labels of task {task.name!r} such as {given[0]!r}, of another type than the classes of the "
            f"fit: {listed(task.classes.tolist())}."
        )
    # A class that fit did not see is no prediction of any model: as an object it equals none.
    labels = np.empty(len(given), dtype=object)
    labels[:] = [label if code is None else task.classes[code] for label, code in zip(given, codes, strict=True)]
    return labels[position.reshape(-1)]
