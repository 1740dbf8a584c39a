"""`cross_val_predict` for named targets, class probabilities included."""

from __future__ import annotations

import warnings
from collections.abc import Hashable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn import model_selection
from sklearn.base import BaseEstimator, clone
from sklearn.utils import get_tags
from sklearn.utils.metadata_routing import get_routing_for_object

from skmtl.model_selection.default_splitter import as_rows, default_splitter, has_gaps
from skmtl.single_task import task_classes
from skmtl.targets import TaskTargets, is_named, observed_values

#: What a class that the training part did not have is given, as in scikit-learn.
_ABSENT = {
    "predict_proba": 0.0,
    "predict_log_proba": float(np.finfo(np.float64).min),
    "decision_function": float(np.finfo(np.float64).min),
}


def cross_val_predict(
    estimator: Any,
    X: Any,
    y: Any = None,
    *,
    groups: Any = None,
    cv: Any = None,
    n_jobs: int | None = None,
    verbose: int = 0,
    params: dict | None = None,
    pre_dispatch: Any = "2*n_jobs",
    method: str = "predict",
) -> Any:
    """Predictions for every row by a model that did not see it, one column per task.

    `sklearn.model_selection.cross_val_predict`, which refuses a dict y and every named y when asked for
    probabilities.

    Parameters
    ----------
    estimator : estimator
    X : array-like of shape (n_rows, n_features), or dict with a table per task
        A dict is stacked by `stack_tasks`: the answer has its rows.
    y : dict of targets, TaskTargets, DataFrame or array
    groups, n_jobs, verbose, params, pre_dispatch
        See scikit-learn.
    cv : int, splitter or iterable of splits, default=None
        None and a number of folds mean `TaskKFold` for named targets, for the long form (unless a pipeline's steps
        stand before the one that knows `task_col` by position) and for arrays with gaps.
    method : {"predict", "predict_proba", "predict_log_proba", "decision_function"}, default="predict"

    Returns
    -------
    predictions : TaskTargets of shape (n_rows, n_tasks) for named targets, else as scikit-learn's
        Of probabilities: per classification task an array (n_rows, n_classes), with a column for each of the
        sorted classes that the task has anywhere in y. For an array y, an array or a list of arrays.

    Warns
    -----
    RuntimeWarning
        If a training part lacks a class of a task; its probability is 0 there.

    Examples
    --------
    >>> from skmtl import LowRankMultiTask
    >>> from skmtl.datasets import load_penguins
    >>> from skmtl.model_selection import cross_val_predict
    >>> X, y = load_penguins()
    >>> cross_val_predict(LowRankMultiTask(), X, y, method="predict_proba")["species"].shape
    (344, 3)
    """
    X, y = as_rows(X, y)
    if method != "predict" and has_gaps(y):
        # scikit-learn would take the gaps of an array for a class of their own.
        named = _named_columns(estimator, y)
        how = {"groups": groups, "n_jobs": n_jobs, "verbose": verbose, "pre_dispatch": pre_dispatch}
        found = cross_val_predict(estimator, X, named, cv=cv, params=params, method=method, **how)
        return found[0] if np.ndim(y) == 1 else list(found.values())
    cv = default_splitter(cv, estimator, X, y)
    if is_named(y) and method != "predict":
        # As "predict" of an estimator that answers by another method: scikit-learn then encodes nothing.
        estimator, method = _Answering(estimator, method, _classes(y)), "predict"
    return model_selection.cross_val_predict(
        estimator,
        X,
        y,
        groups=groups,
        cv=cv,
        n_jobs=n_jobs,
        verbose=verbose,
        params=params,
        pre_dispatch=pre_dispatch,
        method=method,
    )


class _Answering(BaseEstimator):
    """An estimator whose ``predict`` is another method's response, with a column for all classes."""

    def __init__(self, estimator: Any, method: str, classes: dict[Hashable, NDArray]) -> None:
        self.estimator = estimator
        self.method = method
        self.classes = classes

    def __sklearn_tags__(self) -> Any:
        return get_tags(self.estimator)

    def get_metadata_routing(self) -> Any:
        return get_routing_for_object(self.estimator)

    def fit(self, X: Any, y: Any, **params: Any) -> _Answering:
        self.estimator_ = clone(self.estimator).fit(X, y, **params)
        return self

    def predict(self, X: Any) -> TaskTargets:
        responses = TaskTargets(getattr(self.estimator_, self.method)(X))
        return TaskTargets({task: self._aligned(task, response) for task, response in responses.items()})

    def _aligned(self, task: Hashable, response: NDArray) -> NDArray:
        """Columns of the classes of the training part among those of all classes of the task."""
        seen = task_classes(self.estimator_, task)
        if seen is None or (response.ndim == 1 and len(self.classes[task]) == len(seen)):
            return response
        position = {label: j for j, label in enumerate(self.classes[task].tolist())}
        columns = [position[label] for label in np.asarray(seen).tolist()]
        if len(columns) == len(position):
            return response
        if response.ndim == 1:
            raise ValueError(
                f"A training part has two of the {len(position)} classes of task {task!r}, and its "
                f"{self.method} one column, which cannot be aligned with all classes; use predict_proba, or "
                "stratified folds (TaskKFold)."
            )
        warnings.warn(
            f"A training part has {len(columns)} of the {len(position)} classes of task {task!r}: "
            f"{self.method} is {_ABSENT[self.method]:.3g} for the others. Stratified folds (TaskKFold), or "
            "fewer, help.",
            RuntimeWarning,
            stacklevel=2,
        )
        aligned = np.full((len(response), len(position)), _ABSENT[self.method])
        aligned[:, columns] = response
        return aligned


def _named_columns(estimator: Any, y: Any) -> TaskTargets:
    """The columns of an array of targets, each by its position."""
    if getattr(estimator, "task_col", None) is not None:
        raise ValueError(
            "y has missing targets: probabilities of rows in the long form are cross-validated without them only; "
            "leave these rows out of X and y."
        )
    array = np.asarray(y)
    return TaskTargets(enumerate([array] if array.ndim == 1 else array.T))


def _classes(y: TaskTargets) -> dict[Hashable, NDArray]:
    """Distinct targets of every task, sorted; numeric tasks are never asked for theirs."""
    return {task: _distinct(column) for task, column in y.items()}


def _distinct(column: Any) -> NDArray:
    try:
        return np.unique(observed_values(column)[1])
    except TypeError:  # labels that cannot be ordered are for the estimator to refuse
        return np.empty(0)
