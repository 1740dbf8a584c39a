"""The outer folds that every model of a report is fitted and tested on, and the labels of a learning curve."""

from __future__ import annotations

import warnings
from collections.abc import Hashable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import check_cv
from sklearn.utils import check_random_state

from skmtl.model_selection import TaskKFold
from skmtl.model_selection.shuffled_folds import number_of_folds, seed_of, shuffled_folds
from skmtl.tasks import Task, TaskData
from skmtl.transfer.task_table import TaskTable

Fold = tuple[NDArray, NDArray]
#: {task: {fold in which it is left out: what its training labels lack}}
LeftOut = dict[Hashable, dict[int, str]]
_ADVICE = "use fewer folds, TaskKFold, or leave the task out"


def outer_folds(table: TaskTable, cv: Any = None, groups: Any = None, random_state: Any = None) -> list[Fold]:
    """(train, test) row positions of every fold, increasing.

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
        If there is no fold, or one without a row to test on.
    """
    n_splits = number_of_folds(cv)
    if n_splits is not None:
        data = _targets_alone(table)
        pairs = shuffled_folds(data, n_splits, seed_of(random_state))
        folds = pairs if data.rows is None else [(data.rows[train], data.rows[test]) for train, test in pairs]
        _require_tests(folds)
        return folds
    y = None if table.form == "own" else table.y
    splitter = check_cv(cv)
    if table.form == "own" and groups is None and isinstance(splitter, TaskKFold):  # others warn of groups
        groups = table.task_of_row
    X = np.zeros((table.n_rows, 1)) if table.form == "own" else table.X
    folds = [(np.sort(_positions(train)), np.sort(_positions(test))) for train, test in splitter.split(X, y, groups)]
    _require_tests(folds)
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


def _require_tests(folds: list[Fold]) -> None:
    if not folds:
        raise ValueError("cv gives no split at all.")
    for k, (_, test) in enumerate(folds):
        if not len(test):
            raise ValueError(f"Fold {k} of cv has no row to test on.")


def _lacking(task: Task, seen: NDArray) -> str | None:
    """What these training targets of a task lack, without which nothing can be learned from them."""
    if not len(seen):
        return "no target"
    if task.classes is not None and seen.min() == seen.max():
        return "one class only"
    if task.kind == "count" and seen.max() <= 0:
        return "no event"
    return None


def leave_out(table: TaskTable, labels: list[list[NDArray]]) -> LeftOut:
    """Take away the training labels (n_folds lists of n_tasks) from which a task cannot be learned.

    Raises
    ------
    ValueError
        Naming a task, if no fold has labels of any task to learn from.
    """
    left_out: LeftOut = {}
    for k, of_fold in enumerate(labels):
        for t, task in enumerate(table.tasks):
            lacking = _lacking(task, table.targets[t][np.searchsorted(table.rows[t], of_fold[t])])
            if lacking is not None:
                left_out.setdefault(task.name, {})[k] = lacking
                of_fold[t] = of_fold[t][:0]
    if all(not len(own) for of_fold in labels for own in of_fold):
        raise ValueError(f"{_what_is_lacking(table, left_out)}, and no fold can judge any task; {_ADVICE}.")
    return left_out


def warn_of_left_out(table: TaskTable, left_out: list[LeftOut]) -> None:
    """One warning of the tasks that `leave_out` found, in one or several sizes of the training parts."""
    some = [one for one in left_out if one]
    if some:
        n_more = len(set().union(*some)) - 1
        others = f"; so {'is one' if n_more == 1 else f'are {n_more}'} more of the tasks" if n_more else ""
        text = f"{_what_is_lacking(table, some[0])}: it is left out there{others}. U{_ADVICE[1:]}."
        warnings.warn(text, stacklevel=4)


def _what_is_lacking(table: TaskTable, left_out: LeftOut) -> str:
    """Of the first task that is left out: in which folds, and why."""
    name, folds = next(iter(left_out.items()))
    part = f"part of fold {next(iter(folds))} holds" if len(folds) == 1 else f"parts of {len(folds)} folds hold"
    lacking = " or ".join(dict.fromkeys(folds.values()))
    return f"The training {part} {lacking} of task {name!r}, {_described(table, name)}"


def _described(table: TaskTable, name: Hashable) -> str:
    t = table.names.index(name)
    classes, targets = table.tasks[t].classes, table.targets[t]
    if classes is None:
        events = f", {np.sum(targets > 0)} of them positive" if table.tasks[t].kind == "count" else ""
        return f"which has {len(targets)} targets{events}"
    counts = dict(zip(classes.tolist(), np.bincount(targets.astype(int)).tolist(), strict=True))
    return f"whose classes have these targets: {counts}"
