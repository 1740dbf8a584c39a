"""`TaskKFold`: folds that hold an equal share of every task's targets, and of every class of a task."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.model_selection import BaseCrossValidator
from sklearn.utils import check_random_state

from skmtl.inputs.features import task_labels, task_positions
from skmtl.targets import TaskTargets, as_column, is_missing, is_named

#: Rounds of moving rows between folds, and the relative imbalance of a task that needs no further move.
_MAX_ROUNDS = 50
_IMBALANCE = 0.02


class TaskKFold(BaseCrossValidator):
    """K folds, each with an equal share of every task.

    An unshuffled `sklearn.model_selection.KFold` on rows stacked by task trains without the very task it
    tests; with many missing targets even a shuffled one may. Here the rows of every task are dealt out
    like cards. Which task a row belongs to is read from, in this order,

    1. column `task_col` of X (the long form),
    2. ``groups``: one task label per row,
    3. the gaps of y (`TaskTargets`, a dict, a DataFrame, an array with NaN): a row belongs to every task
       that has a target there.

    Classification targets are stratified: every class of every task is dealt out equally too.

    Parameters
    ----------
    n_splits : int, default=5
        Number of folds, at least 2.
    shuffle : bool, default=False
        Deal rows of the same task and class in random order, instead of the order they have.
    random_state : int, RandomState instance or None, default=None
        Seed of the shuffle.
    task_col : str, int or None, default=None
        Name or position of the column of X with the task labels.

    Notes
    -----
    Where every row belongs to one task, the number of a task's rows in two folds differs by one at most.
    Where rows belong to several tasks that is not always possible, and folds are moved towards it until no
    move of a single row improves them. A task with fewer targets than folds is absent from some test parts;
    with at least two targets (of rows of their own) it is in every training part.

    Examples
    --------
    >>> import numpy as np
    >>> from skmtl.model_selection import TaskKFold
    >>> school = np.repeat(["a", "b"], [4, 2])
    >>> for train, test in TaskKFold(n_splits=2).split(np.zeros((6, 1)), groups=school):
    ...     print(school[train], school[test])
    ['a' 'a' 'b'] ['a' 'a' 'b']
    ['a' 'a' 'b'] ['a' 'a' 'b']
    """

    __metadata_request__split = {"groups": True}  # noqa: RUF012 - how scikit-learn's routing is told

    def __init__(
        self,
        n_splits: int = 5,
        *,
        shuffle: bool = False,
        random_state: Any = None,
        task_col: Any = None,
    ) -> None:
        if isinstance(n_splits, bool) or not isinstance(n_splits, (int, np.integer)) or n_splits < 2:
            raise ValueError(f"n_splits must be an integer of at least 2, got {n_splits!r}.")
        if not isinstance(shuffle, (bool, np.bool_)):
            raise TypeError(f"shuffle must be True or False, got {shuffle!r}.")
        if not shuffle and random_state is not None:
            raise ValueError("random_state has no effect without shuffle=True; leave it None.")
        self.n_splits = n_splits
        self.shuffle = shuffle
        self.random_state = random_state
        self.task_col = task_col

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        """Number of folds; the arguments are there for compatibility."""
        return int(self.n_splits)

    def split(self, X: Any, y: Any = None, groups: Any = None) -> Iterator[tuple[NDArray, NDArray]]:
        """Row positions of the training and the test part of every fold.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_features)
        y : array-like of shape (n_rows,) or (n_rows, n_tasks), or mapping of such columns, default=None
        groups : array-like of shape (n_rows,), default=None
            Task label of every row.

        Yields
        ------
        train, test : intp ndarrays
            Sorted; the test parts are disjoint and together all rows.

        Raises
        ------
        ValueError
            If nothing says which row belongs to which task, lengths differ, or there are fewer rows than
            folds.
        """
        fold = self._fold_of_rows(X, y, groups)
        for k in range(self.n_splits):
            yield np.flatnonzero(fold != k), np.flatnonzero(fold == k)

    def _fold_of_rows(self, X: Any, y: Any, groups: Any) -> NDArray:
        n_rows = _n_rows(X, y)
        if n_rows < self.n_splits:
            raise ValueError(f"There are {n_rows} rows, fewer than n_splits={self.n_splits} folds.")
        order = None
        if self.shuffle:
            order = check_random_state(self.random_state).permutation(n_rows)
        if self.task_col is not None or groups is not None:
            return _dealt(self._labelled_strata(X, y, groups, n_rows), order, self.n_splits)
        if y is None:
            raise ValueError("TaskKFold must know the tasks: give task_col, groups (a label per row) or y.")
        strata = _strata_of_tasks(y, n_rows, self.n_splits)
        if _n_tasks_of_row(strata).max() <= 1:
            task, of_task = np.zeros(n_rows, dtype=np.intp), np.zeros(n_rows, dtype=np.intp)
            for t, stratum in enumerate(strata):
                task[stratum >= 0] = t + 1
                of_task += np.maximum(stratum, 0)
            return _dealt([task, of_task], order, self.n_splits)
        membership = _membership(strata, n_rows)
        # Rows with the same tasks and classes get the same number.
        pattern = membership @ np.random.RandomState(0).uniform(size=membership.shape[1])
        return _balanced(membership, _dealt([pattern], order, self.n_splits), self.n_splits)

    def _labelled_strata(self, X: Any, y: Any, groups: Any, n_rows: int) -> list[NDArray]:
        """Task, and class where y is one column, of every row."""
        labels = _group_labels(groups) if self.task_col is None else task_labels(X, self.task_col)
        _require_length(labels, n_rows, "groups")
        strata = [task_positions(labels)[1]]
        if y is not None and not is_named(y) and np.ndim(y) == 1:
            _require_length(y, n_rows, "y")
            strata.append(_stratum(as_column(y), self.n_splits))
        return strata


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


def _stratum(column: Any, n_splits: int) -> NDArray:
    """Position of every target among the classes of its column; 0 for numbers, -1 for missing targets."""
    missing = is_missing(column)
    stratum = np.where(missing, -1, 0)
    present = np.asarray(column)[~missing]
    if present.dtype.kind == "f" and not np.all(present == np.floor(present)):
        return stratum
    try:
        classes, codes = np.unique(present, return_inverse=True)
    except TypeError:  # labels that cannot be ordered are for the estimator to refuse
        return stratum
    # Whole numbers of which most occur once are measurements, as for scikit-learn's StratifiedKFold.
    if present.dtype.kind not in "iuf" or len(classes) * n_splits <= max(len(present), 2 * n_splits):
        stratum[~missing] = codes.reshape(-1)
    return stratum


def _strata_of_tasks(y: Any, n_rows: int, n_splits: int) -> list[NDArray]:
    """`_stratum` of every task of y."""
    if not is_named(y):
        array = np.asarray(y)
        y = dict(enumerate([array] if array.ndim == 1 else array.T))
    columns = TaskTargets(y)
    _require_length(columns, n_rows, "y")
    return [_stratum(column, n_splits) for column in columns.values()]


def _n_tasks_of_row(strata_of_tasks: list[NDArray]) -> NDArray:
    """How many tasks have a target on each row."""
    n_tasks = np.zeros(len(strata_of_tasks[0]), dtype=np.intp)
    for stratum in strata_of_tasks:
        n_tasks += stratum >= 0
    return n_tasks


def _membership(strata_of_tasks: list[NDArray], n_rows: int) -> sparse.csr_array:
    """Ones where a row is in a stratum, (n_rows, n_strata): all rows, every task, every class of a task."""
    rows, strata, n_strata = [np.arange(n_rows)], [np.zeros(n_rows, dtype=np.intp)], 1
    for stratum in strata_of_tasks:
        present = np.flatnonzero(stratum >= 0)
        rows.append(present)
        strata.append(np.full(len(present), n_strata))
        n_strata += 1
        n_classes = int(stratum.max(initial=0)) + 1
        if n_classes > 1:
            rows.append(present)
            strata.append(stratum[present] + n_strata)
            n_strata += n_classes
    entries = (np.concatenate(rows), np.concatenate(strata))
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


def _group_labels(groups: Any) -> NDArray:
    column = as_column(groups)
    if is_missing(column).any():
        raise ValueError("groups holds missing task labels; every row needs one.")
    return np.asarray(column)


def _n_rows(X: Any, y: Any) -> int:
    table = X if X is not None else y
    return int(table.shape[0]) if hasattr(table, "shape") else len(table)


def _require_length(rows: Any, n_rows: int, what: str) -> None:
    if len(rows) != n_rows:
        raise ValueError(f"{what} has {len(rows)} rows, but X has {n_rows}.")
