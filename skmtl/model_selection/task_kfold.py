"""`TaskKFold`: folds that hold an equal share of every task's targets, and of every class of a task."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import BaseCrossValidator
from sklearn.utils import check_random_state

from skmtl.inputs.features import task_labels, task_positions
from skmtl.model_selection.dealing import folds_of_labelled_rows, folds_of_shared_rows
from skmtl.targets import TaskTargets, as_column, is_missing, is_named


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
        shuffle = check_random_state(self.random_state) if self.shuffle else None
        if self.task_col is not None or groups is not None:
            return folds_of_labelled_rows(*self._labelled_strata(X, y, groups, n_rows), self.n_splits, shuffle)
        if y is None:
            raise ValueError("TaskKFold must know the tasks: give task_col, groups (a label per row) or y.")
        columns = _columns_of_tasks(y, n_rows)
        strata = [_stratum(column, self.n_splits) for column in columns.values()]
        return folds_of_shared_rows(strata, list(columns), self.n_splits, shuffle)

    def _labelled_strata(self, X: Any, y: Any, groups: Any, n_rows: int) -> tuple[NDArray, NDArray]:
        """Task, and class where y is one column, of every row."""
        labels = _group_labels(groups) if self.task_col is None else task_labels(X, self.task_col)
        _require_length(labels, n_rows, "groups")
        task, stratum = task_positions(labels)[1], np.zeros(n_rows, dtype=np.intp)
        if y is not None and not is_named(y) and np.ndim(y) == 1:
            _require_length(y, n_rows, "y")
            stratum = _stratum(as_column(y), self.n_splits)
        return task, stratum


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


def _columns_of_tasks(y: Any, n_rows: int) -> TaskTargets:
    """The columns of y by task; those of an array are called 0, 1, ..."""
    if not is_named(y):
        array = np.asarray(y)
        y = dict(enumerate([array] if array.ndim == 1 else array.T))
    columns = TaskTargets(y)
    _require_length(columns, n_rows, "y")
    return columns


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
