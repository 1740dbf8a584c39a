"""The splitter that ``cv=None`` and ``cv=5`` stand for when the targets belong to several tasks."""

from __future__ import annotations

from typing import Any

import numpy as np

from skmtl.inputs.features import is_dict_of_tables
from skmtl.model_selection.stacking import stack_tasks
from skmtl.model_selection.task_kfold import TaskKFold
from skmtl.single_task import last_step
from skmtl.targets import TaskTargets, column_names, is_missing, is_named


def default_splitter(cv: Any, estimator: Any, X: Any, y: Any) -> Any:
    """`cv`, or a `TaskKFold` in place of a number of folds where targets belong to several tasks.

    scikit-learn would cut rows in blocks, or stratify by a y that it cannot read: either may leave a
    training part without a task, or without one of its classes.

    Parameters
    ----------
    cv : int, splitter, iterable of splits or None
    estimator : estimator
        Its ``task_col``, if it has one, says where the task labels are; so does that of a pipeline's last step
        where it names a column of X.
    X : array-like of shape (n_rows, n_features)
    y : targets in any form

    Returns
    -------
    cv : as scikit-learn's ``cv``
    """
    if cv is not None and (isinstance(cv, bool) or not isinstance(cv, (int, np.integer))):
        return cv
    n_splits = 5 if cv is None else int(cv)
    task_col = _task_col(estimator, X)
    if task_col is not None:
        return TaskKFold(n_splits, task_col=task_col)
    return TaskKFold(n_splits) if is_named(y) or has_gaps(y) else cv


def has_gaps(y: Any) -> bool:
    """True for targets in an array some of which are missing: scikit-learn takes a gap for a class, or refuses it."""
    return y is not None and not is_named(y) and bool(np.any(is_missing(y)))


def _task_col(estimator: Any, X: Any) -> Any:
    """Name or position of the column of X with the task labels, None if there is none."""
    last = last_step(estimator)
    task_col = getattr(last, "task_col", None)
    # A pipeline may reorder columns on the way to its last step, but a name stays a name.
    names_column = isinstance(task_col, str) and task_col in (column_names(X) or ())
    return task_col if last is estimator or names_column else None


def as_rows(X: Any, y: Any) -> tuple[Any, Any]:
    """X and y that scikit-learn can cut by rows: named targets as `TaskTargets`, own rows stacked.

    Parameters
    ----------
    X : array-like of shape (n_rows, n_features), or dict with a table per task
    y : targets in any form

    Returns
    -------
    X : array-like of shape (n_rows, n_features)
    y : TaskTargets of shape (n_rows, n_tasks) for named targets, else y itself
    """
    if is_dict_of_tables(X):
        return stack_tasks(X, y)
    return X, TaskTargets(y) if is_named(y) else y
