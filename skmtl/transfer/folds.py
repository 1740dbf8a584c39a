"""The outer folds that every model of a report is fitted and tested on, and the labels of a learning curve."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import check_cv
from sklearn.utils import check_random_state

from skmtl.model_selection import TaskKFold
from skmtl.model_selection.shuffled_folds import number_of_folds, seed_of, shuffled_folds
from skmtl.tasks import TaskData
from skmtl.transfer.task_table import TaskTable

Fold = tuple[NDArray, NDArray]


def outer_folds(table: TaskTable, cv: Any = None, groups: Any = None, random_state: Any = None) -> list[Fold]:
    """(train, test) row positions of every fold, increasing, each task present in every training part.

    Parameters
    ----------
    table : TaskTable
    cv : int, splitter, iterable of splits or None
        None: 5. A number means shuffled folds, each with an equal share of every task and class. To a splitter, own
        rows are stacked in the order of the tasks.
    groups : array-like of shape (n_rows,), default=None
        Handed to the splitter.
    random_state : int, RandomState instance or None, default=None
        Seed of a number of folds; None: 0.

    Raises
    ------
    ValueError
        Naming the task, if some training part has no target of it, or only one of its classes.
    """
    n_splits = number_of_folds(cv)
    if n_splits is not None:
        data = _targets_alone(table)
        pairs = shuffled_folds(data, n_splits, seed_of(random_state))
        folds = pairs if data.rows is None else [(data.rows[train], data.rows[test]) for train, test in pairs]
        _require_every_task(table, folds)
        return folds
    y = None if table.form == "own" else table.y
    splitter = check_cv(cv)
    if table.form == "own" and groups is None and isinstance(splitter, TaskKFold):  # others warn of groups
        groups = table.task_of_row
    X = np.zeros((table.n_rows, 1)) if table.form == "own" else table.X
    folds = [(np.sort(_positions(train)), np.sort(_positions(test))) for train, test in splitter.split(X, y, groups)]
    _require_every_task(table, folds)
    return folds


def training_labels(table: TaskTable, fold: Fold, n_labels: int | None, random_state: Any) -> list[NDArray]:
    """Rows of the training labels of every task: all of the fold, or `n_labels` drawn from them.

    The draws for different `n_labels` and the same `random_state` are nested. Of a classification task every
    class has two labels first, as far as `n_labels` goes: models that tune themselves need them.
    """
    in_train = np.zeros(table.n_rows, dtype=bool)
    in_train[fold[0]] = True
    labels = []
    rng = check_random_state(random_state) if n_labels is not None else None
    for task, rows, targets in zip(table.tasks, table.rows, table.targets, strict=True):
        inside = in_train[rows]
        own = rows[inside]
        if rng is not None:
            order = rng.permutation(len(own))
            if task.classes is not None:
                order = _classes_first(targets[inside], order)
            own = np.sort(own[order[:n_labels]])
        labels.append(own)
    return labels


def _classes_first(codes: NDArray, order: NDArray) -> NDArray:
    """`order` with the first label of every class moved to its front, then the second of every class."""
    first = np.sort(np.unique(codes[order], return_index=True)[1])
    rest = np.delete(order, first)
    second = np.sort(np.unique(codes[rest], return_index=True)[1])
    return np.concatenate([order[first], rest[second], np.delete(rest, second)])


def _targets_alone(table: TaskTable) -> TaskData:
    """The targets of a table without its features; own rows and the long form without rows that have none."""
    if table.form in ("own", "long"):
        rows = np.sort(np.concatenate(table.rows))
        y = np.empty(table.n_rows)
        for own, targets in zip(table.rows, table.targets, strict=True):
            y[own] = targets
        return TaskData(np.empty((len(rows), 0)), table.tasks, y[rows], table.task_of_row[rows], rows=rows)
    y = np.full((table.n_rows, len(table.tasks)), np.nan)
    for t, (own, targets) in enumerate(zip(table.rows, table.targets, strict=True)):
        y[own, t] = targets
    return TaskData(np.empty((table.n_rows, 0)), table.tasks, y)


def _positions(rows: Any) -> NDArray:
    rows = np.asarray(rows)
    return np.flatnonzero(rows) if rows.dtype.kind == "b" else rows.astype(np.intp)


def _require_every_task(table: TaskTable, folds: list[Fold]) -> None:
    if not folds:
        raise ValueError("cv gives no split at all.")
    for k, (train, test) in enumerate(folds):
        in_train = np.zeros(table.n_rows, dtype=bool)
        in_train[train] = True
        if not len(test):
            raise ValueError(f"Fold {k} of cv has no row to test on.")
        for task, rows, targets in zip(table.tasks, table.rows, table.targets, strict=True):
            seen = targets[in_train[rows]]
            if not len(seen):
                raise ValueError(
                    f"The training part of fold {k} holds no target of task {task.name!r}, which has {len(rows)}; "
                    "use fewer folds, TaskKFold, or leave the task out."
                )
            if task.classes is not None and seen.min() == seen.max():
                counts = dict(zip(task.classes.tolist(), np.bincount(targets.astype(int)).tolist(), strict=True))
                raise ValueError(
                    f"The training part of fold {k} holds one class only of task {task.name!r}, whose classes "
                    f"have these targets: {counts}; use fewer folds, TaskKFold, or leave the task out."
                )
