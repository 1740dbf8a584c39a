"""What ``cv=None`` and ``cv=5`` mean to tuned classes and transfer reports: shuffled folds, the same in all forms.

They are read off the encoded targets, so that neither the container of y, nor its dtype, nor rows without a target
make a difference.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_random_state

from skmtl.model_selection.dealing import folds_of_labelled_rows, folds_of_shared_rows, order_of_names
from skmtl.tasks import TaskData

Splits = list[tuple[NDArray, NDArray]]

#: Number of folds where none is given.
_N_SPLITS = 5


def number_of_folds(cv: Any) -> int | None:
    """The number that `cv` is, 5 for None; None where it is a splitter or something else.

    Raises
    ------
    ValueError
        If the number is less than 2.
    """
    if cv is None:
        return _N_SPLITS
    if isinstance(cv, (bool, np.bool_)) or not isinstance(cv, (int, np.integer)):
        return None
    if cv < 2:
        raise ValueError(f"cv={cv!r}: n_splits, the number of folds, must be at least 2.")
    return int(cv)


def seed_of(random_state: Any) -> int:
    """One seed for all that a fit draws its folds by: 0 for None, a new one from a RandomState."""
    if isinstance(random_state, np.random.RandomState):
        return int(random_state.randint(np.iinfo(np.int32).max))
    if random_state is None:
        return 0
    check_random_state(random_state)  # refuses what is no seed
    return int(random_state)


def shuffled_folds(data: TaskData, n_splits: int, seed: int) -> Splits:
    """Shuffled folds with an equal share of every task, and of every class of a task.

    The folds that `TaskKFold(n_splits, shuffle=True, random_state=seed)` makes of the same targets, where it takes the
    same for classes: a splitter is told no kinds, and numbers that repeat often are classes to it.

    Parameters
    ----------
    data : TaskData
    n_splits : int
    seed : int

    Returns
    -------
    splits : list of pairs of intp ndarrays
        (train, test) as positions among the rows of `data`, increasing. The test parts are disjoint and together
        all rows.

    Raises
    ------
    ValueError
        If there are fewer rows than folds.
    """
    shuffle = np.random.RandomState(seed)
    names = [task.name for task in data.tasks]
    has_classes = np.array([task.classes is not None for task in data.tasks])
    if data.task_of_row is not None:
        _require_rows(data.n_rows, n_splits)
        place = np.empty(len(names), dtype=np.intp)
        place[order_of_names(names)] = np.arange(len(names))
        code = np.where(has_classes[data.task_of_row], data.y, 0.0).astype(np.intp)
        return _parts(folds_of_labelled_rows(place[data.task_of_row], code, n_splits, shuffle), n_splits)
    _require_rows(int(np.count_nonzero(~np.isnan(data.y).all(axis=1))), n_splits)
    strata = [_stratum(column, classes) for column, classes in zip(data.y.T, has_classes, strict=True)]
    return _parts(folds_of_shared_rows(strata, names, n_splits, shuffle), n_splits)


def _parts(fold: NDArray, n_splits: int) -> Splits:
    """(train, test) of every fold, from the fold that tests each row."""
    return [(np.flatnonzero(fold != k), np.flatnonzero(fold == k)) for k in range(n_splits)]


def _require_rows(n_rows: int, n_splits: int) -> None:
    """ValueError where there are fewer rows with a target than folds."""
    if n_rows < n_splits:
        raise ValueError(f"y has n_samples={n_rows} rows with a target, fewer than n_splits={n_splits} folds.")


def _stratum(column: NDArray, has_classes: bool) -> NDArray:
    seen = ~np.isnan(column)
    return np.where(seen, column if has_classes else 0.0, -1.0).astype(np.intp)
