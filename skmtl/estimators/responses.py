"""Rows to answers: the linear predictor of every task that is asked, and what its kind makes of it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from skmtl.inputs import Query
from skmtl.losses import LOSSES
from skmtl.solvers import Solution, standard_deviations
from skmtl.tasks import Task

#: Responses by position of the task; -1 stands for the tasks that were not in fit.
Parts = dict[int, NDArray]


def linear_predictors(query: Query, tasks: tuple[Task, ...], solution: Any) -> Parts:
    """The linear predictor of every task asked, each of shape (n_rows, n_outputs).

    Raises
    ------
    ValueError
        If tasks that were not in fit are asked, and the fitted tasks differ in kind or classes.
    """
    # Plain ints: slicing by NumPy's is several times slower, and there may be thousands of tasks.
    offsets = np.cumsum([0, *(task.n_outputs for task in tasks)]).tolist()
    if query.tasks is None:
        raw = solution.raw(query.X, slice(None))
        return {t: raw[:, offsets[t] : offsets[t + 1]] for t in range(len(tasks))}
    assert query.bounds is not None
    bounds = query.bounds.tolist()
    parts = {}
    for i, t in enumerate(query.tasks):
        X = query.X[bounds[i] : bounds[i + 1]]
        if t < 0:
            parts[t] = _common_raw(X, tasks, solution)
        else:
            parts[t] = solution.raw(X, slice(offsets[t], offsets[t + 1]))
    return parts


def deviations(query: Query, tasks: tuple[Task, ...], solution: Solution) -> Parts:
    """Standard deviation of a new target of every task asked, each of shape (n_rows,)."""
    if query.tasks is None:
        everything = standard_deviations(solution, query.X, np.arange(len(tasks)))
        return {t: everything[:, t] for t in range(len(tasks))}
    assert query.bounds is not None
    bounds = query.bounds.tolist()
    return {
        t: standard_deviations(solution, query.X[bounds[i] : bounds[i + 1]], np.array([t]))[:, 0]
        for i, t in enumerate(query.tasks)
    }


def predictions(raw: Parts, tasks: tuple[Task, ...]) -> Parts:
    """Numbers, and class labels in the dtype they had in fit, each of shape (n_rows,)."""
    return {t: _predicted(tasks[t], part) for t, part in raw.items()}


def probabilities(raw: Parts, tasks: tuple[Task, ...]) -> Parts:
    """Classification tasks only: shape (n_rows, n_classes)."""
    return {t: _probabilities(tasks[t], part) for t, part in raw.items() if tasks[t].classes is not None}


def decisions(raw: Parts, tasks: tuple[Task, ...]) -> Parts:
    """Classification tasks only: shape (n_rows,) for two classes, (n_rows, n_classes) for more."""
    return {t: part if part.shape[1] > 1 else part[:, 0] for t, part in raw.items() if tasks[t].classes is not None}


def _common_raw(X: Any, tasks: tuple[Task, ...], solution: Any) -> NDArray:
    """What the solution says of a task that it was not fitted on, shape (n_rows, 1)."""
    first = tasks[0]
    alike = all(task.kind == first.kind and _same_classes(task, first) for task in tasks)
    if not alike or first.n_outputs > 1:
        raise ValueError(
            "X holds a task that fit did not see. The common part can answer for it only if all fitted tasks "
            "are of one kind: numbers, or the same two classes."
        )
    return solution.common_raw(X)


def _same_classes(task: Task, other: Task) -> bool:
    if task.classes is None or other.classes is None:
        return task.classes is other.classes
    return np.array_equal(task.classes, other.classes)


def _predicted(task: Task, raw: NDArray) -> NDArray:
    if task.classes is None:
        return LOSSES[task.kind].inverse_link(raw[:, 0])
    codes = raw.argmax(axis=1) if raw.shape[1] > 1 else (raw[:, 0] > 0).astype(np.intp)
    return task.classes[codes]


def _probabilities(task: Task, raw: NDArray) -> NDArray:
    if task.kind == "binary":
        # Both sides by the link: 1 - p would lose every digit of a small probability.
        raw = np.concatenate([-raw, raw], axis=1)
    return LOSSES[task.kind].inverse_link(raw)
