"""The folds of a cross-validated estimator: the user's splits of the rows handed over, as rows of `TaskData`."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import check_cv

from skmtl.estimators.base import Given
from skmtl.inputs.features import is_dict_of_tables
from skmtl.model_selection.shuffled_folds import Splits, number_of_folds, seed_of, shuffled_folds
from skmtl.model_selection.task_kfold import TaskKFold
from skmtl.targets import TaskTargets, is_named
from skmtl.tasks import TaskData


def user_splits(estimator: Any, given: Given, data: TaskData) -> Splits:
    """Positions (train, test) of the rows handed over, by the estimator's `cv`; a dict of tables counts as stacked.

    A number of folds means `shuffled_folds` of `data`, whatever the form of what was handed over.

    Raises
    ------
    ValueError
        If `cv` is none, or a fold has no row to train or to test on.

    Warns
    -----
    UserWarning
        If `groups` are given to a number of folds, which ignores them, as scikit-learn's do.
    """
    n_splits = number_of_folds(estimator.cv)
    if n_splits is not None:
        if given.groups is not None:
            warnings.warn(
                f"groups have no effect on cv={estimator.cv!r}; give a splitter that keeps them together, such as "
                f"GroupKFold({n_splits}).",
                UserWarning,
                stacklevel=5,
            )
        splits = shuffled_folds(data, n_splits, seed_of(estimator.random_state))
        if data.rows is None:
            return splits
        return [(data.rows[train], data.rows[test]) for train, test in splits]
    return _by_splitter(estimator.cv, given)


def _by_splitter(cv: Any, given: Given) -> Splits:
    """As `user_splits`, by a splitter or given splits."""
    X, y, groups = given.X, given.y, given.groups
    splitter = cv if hasattr(cv, "split") and not isinstance(cv, str) else check_cv(_pairs(cv))
    if is_dict_of_tables(X):
        sizes = [table.shape[0] if hasattr(table, "shape") else len(table) for table in X.values()]
        y = np.concatenate([_as_labels(y[task]) for task in X])
        X = np.zeros((sum(sizes), 1))
        if isinstance(splitter, TaskKFold) and groups is None:
            # Tasks are known from the tables: a column per task would grow with n_rows x n_tasks.
            groups = np.repeat(np.arange(len(sizes)), sizes)
    else:
        y = TaskTargets(y) if is_named(y) else y
    n_rows = X.shape[0] if hasattr(X, "shape") else len(np.asarray(X))
    splits = [_checked(pair, number, n_rows, cv) for number, pair in enumerate(splitter.split(X, y, groups))]
    if not splits:
        raise ValueError(f"cv={cv!r} gives no fold at all.")
    for number, parts in enumerate(splits):
        for part, rows in zip(("train", "test"), parts, strict=True):
            if not len(rows):
                raise ValueError(f"Fold {number} of cv={cv!r} has no row to {part} on.")
    return splits


def _pairs(cv: Any) -> Any:
    """An iterable of splits as a list."""
    pairs = list(cv) if hasattr(cv, "__iter__") else [cv]
    if not all(isinstance(pair, (tuple, list)) and len(pair) == 2 for pair in pairs):
        raise ValueError(f"cv must be a number, a splitter or pairs (train, test) of rows; got {cv!r}.")
    return pairs


def data_splits(splits: Splits, data: TaskData) -> tuple[list[int], Splits]:
    """The same splits as rows of `data`, which leaves out rows without an observation.

    Returns
    -------
    kept : list of int
        Which of `splits` have an observation to train and one to test on.
    splits : list of pairs of ndarrays
        Those, as positions in `data`.

    Raises
    ------
    ValueError
        If there is none.
    """
    kept, mapped = list(range(len(splits))), splits
    if data.rows is not None:
        place = np.full(1 + max(max(rows.max() for rows in pair) for pair in splits), -1)
        inside = data.rows[data.rows < len(place)]
        place[inside] = np.arange(len(inside))
        pairs = [tuple(place[rows][place[rows] >= 0] for rows in pair) for pair in splits]
        kept = [number for number, (train, test) in enumerate(pairs) if len(train) and len(test)]
        mapped = [(pairs[number][0], pairs[number][1]) for number in kept]
    if not kept:
        raise ValueError("No fold has both a target to train and a target to test on; give another cv.")
    return kept, mapped


def _as_labels(column: Any) -> NDArray:
    """Targets of one task, only to be told apart."""
    return np.asarray(column, dtype=object).reshape(-1)


def _checked(pair: Any, number: int, n_rows: int, cv: Any) -> tuple[NDArray, NDArray]:
    """Positions of a training and a test part, or masks, as positions of rows that exist and stand in one part only."""
    parts = []
    for rows in map(np.asarray, pair):
        if rows.dtype == bool and rows.shape == (n_rows,):
            rows = np.flatnonzero(rows)
        if rows.ndim != 1 or (rows.size and rows.dtype.kind not in "iu"):
            raise ValueError(f"Fold {number} of cv={cv!r} must hold positions of rows, or masks of {n_rows} rows.")
        if rows.size and (rows.min() < 0 or rows.max() >= n_rows):
            outside = rows.min() if rows.min() < 0 else rows.max()
            raise ValueError(f"Fold {number} of cv={cv!r} names row {outside}; the rows are 0 to {n_rows - 1}.")
        parts.append(rows.astype(np.intp))
    if len(np.intersect1d(parts[0], parts[1])):
        raise ValueError(f"Fold {number} of cv={cv!r} tests on rows that it trains on.")
    return parts[0], parts[1]
