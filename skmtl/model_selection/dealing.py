"""Rows dealt out to folds like cards: every fold gets an equal share of every task, and of every class of a task.

A *stratum* is a position >= 0 for rows that belong together, and -1 where a task has no target.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

#: Rounds of moving rows between folds, and the relative imbalance of a task that needs no further move.
_MAX_ROUNDS = 50
_IMBALANCE = 0.02


def folds_of_labelled_rows(
    task_of_row: NDArray, stratum: NDArray, n_splits: int, shuffle: np.random.RandomState | None
) -> NDArray:
    """Fold of every row where each belongs to one task.

    Shuffled, the folds of a task's rows do not depend on which rows of other tasks stand between them, nor on rows
    without a target.

    Parameters
    ----------
    task_of_row : intp ndarray of shape (n_rows,)
        Position of its task; -1 where a row has none.
    stratum : intp ndarray of shape (n_rows,)
        Class of its target inside the task; -1 where a row has none.
    n_splits : int
    shuffle : RandomState or None
        None: a fold gets neighbours.

    Returns
    -------
    fold : intp ndarray of shape (n_rows,)
    """
    if shuffle is None:
        return _dealt([task_of_row, stratum], None, n_splits)
    seen = np.flatnonzero((task_of_row >= 0) & (stratum >= 0))
    by_task = np.argsort(task_of_row[seen], kind="stable")
    order = by_task[shuffle.permutation(len(seen))]
    return _with_others(seen, _dealt([task_of_row[seen], stratum[seen]], order, n_splits), len(task_of_row), n_splits)


def folds_of_shared_rows(
    strata: Sequence[NDArray], names: Sequence[Hashable], n_splits: int, shuffle: np.random.RandomState | None
) -> NDArray:
    """Fold of every row where each belongs to all tasks that have a target there.

    With one target at most on every row these are the folds of `folds_of_labelled_rows`. Else rows are dealt out by
    the pattern of their tasks and classes, and moved between folds until no move of a row improves the balance; the
    names and the order of the tasks do not matter.

    Parameters
    ----------
    strata : sequence of intp ndarray of shape (n_rows,)
        Of every task: class of each target (0 for numbers), -1 where there is none.
    names : sequence of hashable
        Of the tasks.
    n_splits : int
    shuffle : RandomState or None

    Returns
    -------
    fold : intp ndarray of shape (n_rows,)
    """
    n_rows = len(strata[0])
    n_tasks_of_row = np.zeros(n_rows, dtype=np.intp)
    for stratum in strata:
        n_tasks_of_row += stratum >= 0
    if n_tasks_of_row.max() <= 1:
        task, of_task = np.full(n_rows, -1), np.zeros(n_rows, dtype=np.intp)
        for place, t in enumerate(order_of_names(names)):
            task[strata[t] >= 0] = place
            of_task += np.maximum(strata[t], 0)
        return folds_of_labelled_rows(task, of_task, n_splits, shuffle)
    seen = np.flatnonzero(n_tasks_of_row)
    if shuffle is not None and len(seen) < n_rows:
        fold = folds_of_shared_rows([stratum[seen] for stratum in strata], names, n_splits, shuffle)
        return _with_others(seen, fold, n_rows, n_splits)
    order, pattern = None, _patterns(strata)
    if shuffle is not None:
        order = shuffle.permutation(n_rows)
        # Where nearly every row has a pattern of its own, the order of patterns is that of the rows: a random one.
        pattern = _by_appearance(pattern, order)
    fold = _dealt([pattern], order, n_splits)
    if np.ptp(pattern) == 0:
        return fold
    return _balanced(_membership(strata, n_rows), fold, n_splits)


def order_of_names(names: Sequence[Hashable]) -> list[int]:
    """Positions of the tasks in the order of their names; as they are, where names have no order.

    The long form has its tasks in this order, whatever that of a dict of them.
    """
    try:
        return sorted(range(len(names)), key=lambda t: names[t])  # type: ignore[arg-type, return-value]
    except TypeError:
        return list(range(len(names)))


def _with_others(seen: NDArray, fold: NDArray, n_rows: int, n_splits: int) -> NDArray:
    """`fold` of the rows `seen`, those without a target being dealt out after them."""
    whole = np.empty(n_rows, dtype=np.intp)
    whole[seen] = fold
    rest = np.delete(np.arange(n_rows), seen)
    whole[rest] = (len(seen) + np.arange(len(rest))) % n_splits
    return whole


def _patterns(strata: Sequence[NDArray]) -> NDArray:
    """A number for every row, the same for rows with the same tasks and classes."""
    draw = np.random.RandomState(0)
    pattern = np.zeros(len(strata[0]))
    for stratum in strata:
        pattern += draw.uniform(size=int(stratum.max()) + 2)[stratum]  # the last one is that of -1
    return pattern


def _by_appearance(pattern: NDArray, order: NDArray) -> NDArray:
    """`pattern` numbered in the order in which patterns come up in `order`."""
    _, first, number = np.unique(pattern[order], return_index=True, return_inverse=True)
    rank = np.empty(len(first), dtype=np.intp)
    rank[np.argsort(first)] = np.arange(len(first))
    numbered = np.empty(len(order), dtype=np.intp)
    numbered[order] = rank[number.reshape(-1)]
    return numbered


def _dealt(strata: list[NDArray], order: NDArray | None, n_splits: int) -> NDArray:
    """Fold of every row when rows, sorted by strata, are dealt out in turn.

    Any two folds differ by at most one row in each of the first strata, in the last strata inside
    them, and in all. Rows of one stratum are dealt in `order`; without one, a fold gets neighbours,
    as in `sklearn.model_selection.StratifiedKFold`.
    """
    n_rows = len(strata[0])
    position = np.arange(n_rows)
    if order is not None:
        position[order] = np.arange(n_rows)
    by_stratum = np.lexsort((position, *strata[::-1]))
    dealt = np.arange(n_rows) % n_splits
    if order is None:
        is_new = np.zeros(n_rows, dtype=bool)
        for stratum in strata:
            is_new[1:] |= np.diff(stratum[by_stratum]) != 0
        dealt = dealt[np.lexsort((dealt, np.cumsum(is_new)))]
    fold = np.empty(n_rows, dtype=np.intp)
    fold[by_stratum] = dealt
    return fold


def _membership(strata: Sequence[NDArray], n_rows: int) -> sparse.csr_array:
    """Ones where a row is in a stratum, (n_rows, n_strata): all rows, every task, every class of a task.

    Tasks that see all rows have no column of their own, which would outweigh those of the classes.
    """
    rows, columns, n_strata = [np.arange(n_rows)], [np.zeros(n_rows, dtype=np.intp)], 1
    for stratum in strata:
        present = np.flatnonzero(stratum >= 0)
        if len(present) < n_rows:
            rows.append(present)
            columns.append(np.full(len(present), n_strata))
            n_strata += 1
        n_classes = int(stratum.max(initial=0)) + 1
        if n_classes > 1:
            rows.append(present)
            columns.append(stratum[present] + n_strata)
            n_strata += n_classes
    entries = (np.concatenate(rows), np.concatenate(columns))
    return sparse.csr_array((np.ones(len(entries[0])), entries), shape=(n_rows, n_strata))


def _balanced(membership: sparse.csr_array, fold: NDArray, n_splits: int) -> NDArray:
    """`fold` after moving rows, the best moves first, while ``sum_s sum_k counts[s, k]² / n_s`` falls."""
    n_rows = len(fold)
    sizes = np.asarray(membership.sum(axis=0)).reshape(-1)
    weights = 1.0 / np.maximum(sizes, 1.0)
    counts = _counts(membership, fold, n_splits)
    tolerance = np.maximum(1.0, _IMBALANCE * sizes / n_splits)
    batch = n_rows
    for _ in range(_MAX_ROUNDS):
        if np.all(np.ptp(counts, axis=1) <= tolerance):
            break
        cost = membership @ (weights[:, np.newaxis] * counts)
        target = np.argmin(cost, axis=1)
        everyone = np.arange(n_rows)
        change = cost[everyone, target] - cost[everyone, fold] + membership @ weights
        movable = np.flatnonzero((change < -1e-12) & (target != fold))
        if not len(movable):
            break
        batch = min(batch, len(movable))
        value = np.sum(weights[:, np.newaxis] * counts**2)
        while True:  # moves made together get in each other's way: fewer of them until they help
            moved = movable[np.argsort(change[movable], kind="stable")[:batch]]
            trial = fold.copy()
            trial[moved] = target[moved]
            trial_counts = _counts(membership, trial, n_splits)
            if batch == 1 or np.sum(weights[:, np.newaxis] * trial_counts**2) < value:
                break
            batch = max(1, batch // 4)
        fold, counts = trial, trial_counts
    return fold


def _counts(membership: sparse.csr_array, fold: NDArray, n_splits: int) -> NDArray:
    """Rows of every stratum in every fold, shape (n_strata, n_splits)."""
    n_rows = len(fold)
    in_fold = sparse.csr_array((np.ones(n_rows), (np.arange(n_rows), fold)), shape=(n_rows, n_splits))
    return (membership.T @ in_fold).toarray()
