"""One task of a fitted multi-task estimator, seen as an ordinary estimator of scikit-learn."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from functools import cached_property
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn import get_config
from sklearn.base import BaseEstimator, clone
from sklearn.frozen import FrozenEstimator
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import has_fit_parameter

from skmtl.inputs.features import task_labels, task_positions
from skmtl.target_columns import natural_dtype
from skmtl.targets import column_names, is_named, listed, take_rows

#: Parameters that may be dicts with an entry per task.
_BY_TASK = ("kinds", "task_weight", "class_weight", "scoring")


def task_classes(estimator: Any, task: Hashable) -> NDArray | None:
    """Class labels of a task of a fitted estimator, searched through pipelines and searches; None if numeric.

    Parameters
    ----------
    estimator : fitted multi-task estimator, or a pipeline, search or frozen estimator around one
    task : hashable

    Returns
    -------
    classes : ndarray of shape (n_classes,), or None
    """
    estimator = last_step(estimator)
    by_task = getattr(estimator, "classes_by_task_", None)
    if by_task is None:
        by_task = getattr(estimator, "classes_", None)
    if isinstance(by_task, Mapping):
        if task not in by_task and answers_new_tasks(estimator):
            return next(iter(by_task.values()), None)  # the common part predicts what all tasks have in common
        return by_task.get(task)
    return by_task[task] if isinstance(by_task, list) else by_task  # type: ignore[call-overload]


def answers_new_tasks(estimator: Any) -> bool:
    """Whether a fitted estimator predicts tasks that it did not see: in the long form, by a common part."""
    inside = last_step(estimator)
    return getattr(inside, "task_col", None) is not None and getattr(inside, "common_", None) is not None


def knows_task(estimator: Any, task: Hashable) -> bool:
    """Whether a fitted estimator predicts a task; one that does not list its tasks is taken to."""
    tasks = getattr(last_step(estimator), "tasks_", None)
    return tasks is None or task in tasks or answers_new_tasks(estimator)


def last_step(estimator: Any) -> Any:
    """The estimator that does the predicting inside pipelines, searches and frozen estimators."""
    while True:
        if hasattr(estimator, "best_estimator_"):
            estimator = estimator.best_estimator_
        elif isinstance(getattr(estimator, "steps", None), list):
            estimator = estimator.steps[-1][1]
        elif isinstance(estimator, FrozenEstimator):
            estimator = estimator.estimator
        else:
            return estimator


def require_instance(estimator: Any) -> None:
    """TypeError for a class or anything else that cannot fit, ValueError for what will have no model to ask."""
    if isinstance(estimator, type):
        raise TypeError(f"estimator must be an instance, not a class: give {estimator.__name__}().")
    if not hasattr(estimator, "fit"):
        raise TypeError(f"estimator must have fit and predict, got {estimator!r}.")
    if getattr(last_step(estimator), "refit", True) is False:
        raise ValueError(f"{type(estimator).__name__} must be given refit=True: it is asked for predictions.")


def require_weights(estimator: Any) -> None:
    """ValueError for an estimator whose `fit` takes no weights."""
    inside = _fitting_part(estimator)[1]
    if not has_fit_parameter(inside, "sample_weight"):
        raise ValueError(f"sample_weight is given, but {type(inside).__name__}.fit takes no weights.")


def fit_weighted(estimator: Any, X: Any, y: Any, sample_weight: Any = None) -> Any:
    """The estimator fitted, its last step given the weights where it is a pipeline, also inside a search."""
    if sample_weight is None:
        return estimator.fit(X, y)
    prefix = "" if get_config()["enable_metadata_routing"] else _fitting_part(estimator)[0]
    return estimator.fit(X, y, **{f"{prefix}sample_weight": sample_weight})


def _fitting_part(estimator: Any) -> tuple[str, Any]:
    """What stands before a parameter of `fit` that is meant for the last step of pipelines, and that step."""
    prefix = ""
    while True:
        if isinstance(getattr(estimator, "steps", None), list):
            name, estimator = estimator.steps[-1]
            prefix += f"{name}__"
        elif hasattr(estimator, "param_grid") or hasattr(estimator, "param_distributions"):
            estimator = estimator.estimator
        else:
            return prefix, estimator


class Responses:
    """What an estimator answers for one X, every method asked once however many tasks are scored."""

    def __init__(self, estimator: Any, X: Any) -> None:
        self.estimator = estimator
        self.X = X
        #: Column of task labels; None unless every row belongs to one task (long form).
        self.task_col = getattr(last_step(estimator), "task_col", None)
        self._known: dict[str, Any] = {}

    def of_task(self, task: Hashable, method: str) -> NDArray:
        """Response for all rows of X (of the task's own X, where X is a dict)."""
        if method not in self._known:
            self._known[method] = self._asked(method)
        return self._pick(self._known[method], task, method)

    def elsewhere(self, task: Hashable, method: str, X: Any) -> NDArray:
        """Response for another X."""
        return self._pick(getattr(self.estimator, method)(X), task, method)

    def _asked(self, method: str) -> Any:
        """Response for X; long form: of rows of tasks that fit did not see it is never looked at."""
        ask = getattr(self.estimator, method)
        if self.task_col is None or all(knows_task(self.estimator, task) for task in self.rows_of_label):
            return ask(self.X)
        known = [rows for task, rows in self.rows_of_label.items() if knows_task(self.estimator, task)]
        rows = np.sort(np.concatenate(known))
        answered = np.asarray(ask(take_rows(self.X, rows)))
        whole = np.empty((sum(map(len, self.rows_of_label.values())), *answered.shape[1:]), dtype=answered.dtype)
        whole[rows] = answered
        return whole

    def _pick(self, response: Any, task: Hashable, method: str) -> NDArray:
        """The task's part of a response, in whichever form the estimator answers."""
        if is_named(response):
            return np.asarray(column_of(response, task))
        if isinstance(response, list):  # of an array: one entry per classification task
            by_task = getattr(last_step(self.estimator), "classes_by_task_", None)
            return np.asarray(response[list(by_task).index(task) if by_task else task])  # type: ignore[call-overload]
        if np.ndim(response) == 2 and self.task_col is not None:
            # Long form: a column per class of any task; those of this task are wanted.
            inside: Any = last_step(self.estimator)
            classes: Any = task_classes(inside, task)
            return np.asarray(response)[:, np.searchsorted(inside.classes_, classes)]
        if np.ndim(response) == 2 and method == "predict":
            return np.asarray(column_of(response, task))
        return np.asarray(response)

    @cached_property
    def rows_of_label(self) -> dict[Hashable, NDArray]:
        """Long form: the rows of every task."""
        labels, position = task_positions(task_labels(self.X, self.task_col))
        order = np.argsort(position, kind="stable")
        bounds = np.searchsorted(position[order], np.arange(1, len(labels)))
        return dict(zip(labels, np.split(order, bounds), strict=True))


class SingleTask(BaseEstimator):
    """One task of a fitted multi-task estimator, in the shape scikit-learn's scorers expect: one X, one y.

    What it is asked of `X`, the `rows` with a target, is taken from `responses`, which all tasks share.
    """

    def __init__(self, responses: Responses, task: Hashable, X: Any, rows: NDArray) -> None:
        self.responses = responses
        self.task = task
        self.X = X
        self.rows = rows
        classes = task_classes(responses.estimator, task)
        if classes is not None:
            self.classes_ = natural_dtype(np.asarray(classes))  # objects would be labels of unknown type

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.estimator_type = "classifier" if hasattr(self, "classes_") else "regressor"
        return tags

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def _response(self, method: str, X: Any) -> NDArray:
        if X is self.X:
            return self.responses.of_task(self.task, method)[self.rows]
        return self.responses.elsewhere(self.task, method, X)

    def predict(self, X: Any) -> NDArray:
        return natural_dtype(self._response("predict", X))

    @available_if(lambda self: self._answers("predict_proba"))
    def predict_proba(self, X: Any) -> NDArray:
        return self._response("predict_proba", X)

    @available_if(lambda self: self._answers("predict_log_proba"))
    def predict_log_proba(self, X: Any) -> NDArray:
        return self._response("predict_log_proba", X)

    @available_if(lambda self: self._answers("decision_function"))
    def decision_function(self, X: Any) -> NDArray:
        return self._response("decision_function", X)

    def _answers(self, method: str) -> bool:
        return hasattr(self, "classes_") and hasattr(self.responses.estimator, method)


def column_of(values: Any, task: Hashable) -> Any:
    """Column of a task, by name or, in an array, by position."""
    if is_named(values):
        names: Any = values if isinstance(values, Mapping) else column_names(values)
        if task not in names:
            raise KeyError(f"there is no task {task!r}; the tasks are {listed(names)}")
        return values[task]
    array = values if hasattr(values, "shape") else np.asarray(values)
    n_tasks = array.shape[1] if array.ndim == 2 else 1
    if not isinstance(task, (int, np.integer)) or not 0 <= task < n_tasks:
        raise KeyError(
            f"there is no task {task!r}: the targets are an array without names, whose tasks are 0 to {n_tasks - 1}"
        )
    return array[:, int(task)] if array.ndim == 2 else array


def estimator_for(estimator: Any, names: list[Hashable], known: list[Hashable], *, numbered: bool = False) -> Any:
    """A clone whose parameters by task, at any depth, speak of the tasks in `names` only, a part of those in `known`.

    Where tasks are `numbered`, as columns of an array are, they are renumbered in the order of `names`.
    """
    one = clone(estimator)
    if list(names) == list(known):
        return one
    others = set(known) - set(names)
    renamed = {name: i if numbered else name for i, name in enumerate(names)}
    for name, value in one.get_params().items():
        if name.rpartition("__")[2] not in _BY_TASK or not isinstance(value, Mapping) or not value:
            continue
        is_by_class = name.endswith("class_weight") and all(isinstance(weight, Real) for weight in value.values())
        if not is_by_class:
            of_tasks = {renamed.get(task, task): own for task, own in value.items() if task not in others}
            one.set_params(**{name: of_tasks or None})
    return one
