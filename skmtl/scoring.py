"""Scores of tasks: R² and accuracy where there is a target, their mean, and scorers for any search."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from inspect import signature
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn import get_config
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.metrics import get_scorer
from sklearn.utils.metadata_routing import (
    MetadataRouter,
    MethodMapping,
    get_routing_for_object,
    process_routing,
)

from skmtl.single_task import Responses, SingleTask, column_of, knows_task, task_classes
from skmtl.target_columns import as_column, observed_values
from skmtl.targets import column_names, is_named, listed, take_rows

#: Kinds whose score is R²; the others have accuracy. (R² for counts too, so that the mean over tasks is
#: a mean of like with like.)
NUMERIC = ("regression", "count")
#: Metrics whose plain names ("roc_auc", "f1") say nothing about more than two classes.
_OF_TWO_CLASSES = ("roc_auc_score", "f1_score", "precision_score", "recall_score", "jaccard_score", "brier_score_loss")


def score_task(kind: str, y_true: Any, y_pred: Any, sample_weight: Any = None) -> float:
    """R² (regression, count) or accuracy (binary, multiclass) of one task on the rows that have a target.

    ``R² = 1 - sum v (y - predicted)² / sum v (y - mean of y)²`` and ``accuracy = sum v [y = predicted] / sum v``
    with the weights v.

    Parameters
    ----------
    kind : {"regression", "binary", "multiclass", "count"}
    y_true : array-like of shape (n_rows,)
        Numbers or class labels; missing: NaN, None, NaT or pandas' NA.
    y_pred : array-like of shape (n_rows,)
    sample_weight : array-like of shape (n_rows,), default=None

    Returns
    -------
    score : float
        NaN without a target (of positive weight), and for R² of a single one.

    Examples
    --------
    >>> from skmtl.scoring import score_task
    >>> score_task("binary", ["yes", None, "no", "no"], ["yes", "yes", "no", "yes"])
    0.6666...
    """
    rows, y_true = observed_values(y_true)
    y_pred = np.asarray(y_pred)[rows]
    weight = np.ones(len(rows))
    if sample_weight is not None:
        weight = np.asarray(sample_weight, dtype=np.float64)[rows]
    needed = 2 if kind in NUMERIC else 1
    if np.count_nonzero(weight > 0) < needed:
        return float("nan")
    if kind not in NUMERIC:
        return float(weight @ (y_true == y_pred) / weight.sum())
    residual = weight @ (y_true - y_pred) ** 2
    centred = y_true.astype(np.float64) - y_true[0]  # exactly zero for constant targets, whatever rounding does
    spread = weight @ (centred - weight @ centred / weight.sum()) ** 2
    if spread == 0:  # as scikit-learn has it
        return 1.0 if residual == 0 else 0.0
    return float(1 - residual / spread)


def mean_score(scores: Iterable[float]) -> float:
    """Unweighted mean over the tasks whose score is defined.

    Warns
    -----
    UndefinedMetricWarning
        If there is none; the mean is then NaN.
    """
    values = np.fromiter(scores, dtype=np.float64)
    defined = values[~np.isnan(values)]
    if not len(defined):
        warnings.warn(
            "No task has a defined score: every one has too few targets.",
            UndefinedMetricWarning,
            stacklevel=2,
        )
        return float("nan")
    return float(defined.mean())


class TaskScorer:
    """Score of one task of a multi-task estimator, by any metric for single-task estimators.

    A scorer as ``scoring=`` takes it everywhere in scikit-learn. Rows without a target of the task are left
    out of X, y and the weights.

    Parameters
    ----------
    task : hashable
        Name of the task; for targets in an array, its column.
    scoring : str, callable or None, default=None
        A name that `sklearn.metrics.get_scorer` knows ("roc_auc", "neg_mean_absolute_error", ...), a scorer
        made by `sklearn.metrics.make_scorer`, or a callable ``(estimator, X, y) -> float``; it is shown an
        estimator of the one task. None: R² or accuracy. Under metadata routing, request weights of the
        scorer given here: ``get_scorer("r2").set_score_request(sample_weight=True)``.

    Raises
    ------
    KeyError
        When called, if y does not have the task.

    See Also
    --------
    MultiTaskScorer : Several tasks at once, and their mean.

    Examples
    --------
    >>> from skmtl.scoring import TaskScorer
    >>> TaskScorer("sex", "roc_auc")
    TaskScorer('sex', 'roc_auc')
    """

    def __init__(self, task: Hashable, scoring: str | Callable | None = None) -> None:
        self.task = task
        self.scoring = scoring
        as_scorer(scoring)  # an unknown name is told now, not in the middle of a search

    def __call__(self, estimator: Any, X: Any, y: Any, sample_weight: Any = None, **params: Any) -> float:
        """Score of a fitted `estimator`.

        Parameters
        ----------
        estimator : fitted multi-task estimator, or a pipeline or search with one
        X : array-like of shape (n_rows, n_features), or dict {task: such}
        y : the targets in any form that ``estimator.fit`` takes
        sample_weight : array-like of shape (n_rows,), or per task in the form of y, default=None
        **params : dict
            Further metadata for `scoring`.

        Returns
        -------
        score : float
            NaN when no row has a target of the task.
        """
        if sample_weight is not None:
            params = {**params, "sample_weight": sample_weight}
        return score_one(self.task, self.scoring, Responses(estimator, X), y, params)

    def __repr__(self) -> str:
        scoring = "" if self.scoring is None else f", {self.scoring!r}"
        return f"TaskScorer({self.task!r}{scoring})"

    def get_metadata_routing(self) -> Any:
        """Metadata that `scoring` asks for."""
        return get_routing_for_object(as_scorer(self.scoring))

    def _accept_sample_weight(self) -> bool:
        # scikit-learn asks its scorers this way before it passes weights without metadata routing.
        return takes_weights(self.scoring)


class MultiTaskScorer:
    """Scores of several tasks, and their unweighted mean, in one call.

    For ``scoring=`` where scikit-learn takes several metrics: `cross_validate`, and the searches with
    ``refit="mean"`` or a task's name. Every task is predicted once for all.

    Parameters
    ----------
    scoring : str, callable, dict {task: str, callable or None}, or None, default=None
        Metric of every task, as in `TaskScorer`. One metric: all tasks of y that it fits, the others being left out
        (metrics of numbers fit numeric tasks, those of classes classification tasks). None: every task of y by R² or
        accuracy.

    Raises
    ------
    ValueError
        If a task is called "mean"; when called, if one metric fits no task.

    Examples
    --------
    >>> from skmtl.scoring import MultiTaskScorer
    >>> MultiTaskScorer({"sex": "roc_auc", "body_mass": None})
    MultiTaskScorer({'sex': 'roc_auc', 'body_mass': None})
    """

    def __init__(self, scoring: Mapping[Hashable, str | Callable | None] | None = None) -> None:
        if scoring is not None and not isinstance(scoring, Mapping) and not isinstance(scoring, str):
            if not callable(scoring):
                raise TypeError(f"scoring must be a metric's name, a dict {{task: metric}} or None, got {scoring!r}")
        if isinstance(scoring, Mapping) and not scoring:
            raise ValueError("scoring is an empty dict; name at least one task, or give None for all")
        self.scoring = dict(scoring) if isinstance(scoring, Mapping) else scoring
        _refuse_task_named_mean(self.scoring if isinstance(self.scoring, dict) else ())
        for one in self._metrics():
            as_scorer(one)

    def _metrics(self) -> list:
        """The metrics that were given."""
        if isinstance(self.scoring, dict):
            return list(self.scoring.values())
        return [] if self.scoring is None else [self.scoring]

    def __call__(self, estimator: Any, X: Any, y: Any, sample_weight: Any = None, **params: Any) -> dict:
        """Scores of a fitted `estimator`; the parameters are those of `TaskScorer`.

        Returns
        -------
        scores : dict {task: float, ..., "mean": float}
            NaN for a task without a target here, or for which the metric is undefined; the mean is over the others.
        """
        responses = Responses(estimator, X)
        scoring = metrics_of(self.scoring, task_names(y, responses), responses.estimator)
        _refuse_task_named_mean(scoring)
        without_weights = params
        if sample_weight is not None:
            params = {**params, "sample_weight": sample_weight}
        wanted = {task: params if takes_weights(one) else without_weights for task, one in scoring.items()}
        if get_config()["enable_metadata_routing"] and self.scoring is not None:
            routed = process_routing(self, "score", **params)
            single = not isinstance(self.scoring, dict)
            wanted = {task: routed[_child(0 if single else i)].score for i, task in enumerate(scoring)}
        scores = {task: score_one(task, one, responses, y, wanted[task]) for task, one in scoring.items()}
        return {**scores, "mean": mean_score(scores.values())}

    def __repr__(self) -> str:
        return f"MultiTaskScorer({'' if self.scoring is None else repr(self.scoring)})"

    def get_metadata_routing(self) -> MetadataRouter:
        """Metadata that the metrics of the tasks ask for."""
        scorers = {_child(i): as_scorer(one) for i, one in enumerate(self._metrics())}
        mapping = MethodMapping().add(caller="score", callee="score")
        return MetadataRouter(owner=self).add(method_mapping=mapping, **scorers)

    def _accept_sample_weight(self) -> bool:
        return any(map(takes_weights, self._metrics() or [None]))


def score_one(task: Hashable, scoring: Any, responses: Responses, y: Any, params: dict) -> float:
    """Score of a task on the rows that have a target of it."""
    rows, y_true = _rows_of_task(task, responses, y)
    if not len(rows):
        return float("nan")
    if not knows_task(responses.estimator, task):
        warn_undefined(f"Task {task!r} is not scored: fit did not see it.")
        return float("nan")
    X = responses.X[task] if isinstance(responses.X, Mapping) else responses.X
    weights = params.get("sample_weight")
    if weights is not None:
        weights = column_of(weights, task) if is_named(weights) or np.ndim(weights) == 2 else weights
        params = {**params, "sample_weight": np.asarray(weights, dtype=np.float64)[rows]}
    X = take_rows(X, rows)
    return ask_scorer(scoring, SingleTask(responses, task, X, rows), y_true, **params)


def ask_scorer(scoring: str | Callable | None, one: SingleTask, y_true: Any, **params: Any) -> float:
    """What a metric says of one task on the rows `one.X`.

    Raises
    ------
    ValueError
        Naming the task and the metric, where this one does not fit the task.
    """
    try:
        return float(as_scorer(scoring)(one, one.X, y_true, **params))
    except (ValueError, AttributeError) as error:
        reason = str(error)
        classes = getattr(one, "classes_", None)
        if isinstance(error, ValueError) and classes is not None and set(np.unique(y_true)) != set(classes.tolist()):
            # Some metrics want every class, and none that fit did not see.
            warn_undefined(
                f"Task {one.task!r} is not scored by {scoring!r}: it is undefined where targets have not the classes "
                f"of the fit ({reason})."
            )
            return float("nan")
        if isinstance(error, AttributeError):
            if type(one).__name__ not in reason:
                raise
            reason = f"its model has no {reason.rpartition(': ')[2].rstrip('.').replace(', ', ' or ')}"
        called = scoring if isinstance(scoring, str) else as_scorer(scoring)
        raise ValueError(f"Task {one.task!r} cannot be scored by {called!r}: {reason}") from error


def _rows_of_task(task: Hashable, responses: Responses, y: Any) -> tuple[NDArray, NDArray]:
    """The rows with a target of the task, and the targets there."""
    if responses.task_col is None:
        return observed_values(column_of(y, task))
    own = responses.rows_of_label.get(task, np.empty(0, dtype=np.intp))
    rows, y_true = observed_values(take_rows(as_column(y), own))
    return own[rows], y_true


def task_names(y: Any, responses: Responses) -> list:
    if responses.task_col is not None:
        return list(responses.rows_of_label)
    if is_named(y):
        return list(y) if isinstance(y, Mapping) else column_names(y) or []
    return list(range(np.shape(y)[1] if np.ndim(y) == 2 else 1))


def metrics_of(scoring: Any, names: Sequence[Hashable], estimator: Any) -> dict[Hashable, Any]:
    """{task: metric}: those of a dict, or one metric for all tasks that it fits.

    Raises
    ------
    ValueError
        If it fits none.
    """
    if isinstance(scoring, Mapping):
        return dict(scoring)
    if scoring is None:
        return dict.fromkeys(names)
    as_scorer(scoring)
    fitting = [name for name in names if _fits(scoring, _classes_of(estimator, name))]
    if not fitting:
        raise ValueError(f"scoring={scoring!r} fits none of the tasks {listed(list(names))}.")
    return dict.fromkeys(fitting, scoring)


def _classes_of(estimator: Any, task: Hashable) -> Any:
    if isinstance(estimator, Mapping):
        return getattr(estimator.get(task), "classes_", None)
    return task_classes(estimator, task)


def _fits(scoring: Any, classes: Any) -> bool:
    """Whether a metric is one of numbers, or of classes, as the task is; those of others are taken to fit."""
    scorer = as_scorer(scoring)
    function = getattr(scorer, "_score_func", None)
    kind = getattr(function, "__module__", "").rpartition(".")[2]
    if kind == "_regression":
        return classes is None
    if kind in ("_classification", "_ranking"):
        # The plain names of these are for two classes; roc_auc_ovr and the like have parameters.
        two_only = getattr(function, "__name__", "") in _OF_TWO_CLASSES and not getattr(
            as_scorer(scoring), "_kwargs", None
        )
        return classes is not None and (len(classes) == 2 or not two_only)
    return True


def warn_undefined(text: str) -> None:
    warnings.warn(text, UndefinedMetricWarning, stacklevel=3)


def require_known_tasks(scoring: Mapping[Hashable, Any], names: Sequence[Hashable]) -> None:
    """ValueError for a metric of a task that is not among `names`."""
    for task in scoring:
        if task not in names:
            raise ValueError(f"scoring names the unknown task {task!r}; the tasks are {listed(names)}.")


def as_scorer(scoring: str | Callable | None) -> Any:
    """Something to call as (estimator, X, y)."""
    if scoring is None:
        return _default_score
    if isinstance(scoring, str):
        return get_scorer(scoring)
    if not callable(scoring):
        raise TypeError(f"scoring must be a metric's name, a callable or None, got {scoring!r}")
    return scoring


def takes_weights(scoring: str | Callable | None) -> bool:
    scorer = as_scorer(scoring)
    if hasattr(scorer, "_accept_sample_weight"):
        return scorer._accept_sample_weight()
    # Scorers of scikit-learn before 1.7 take anything, and hand it to the metric.
    parameters = signature(getattr(scorer, "_score_func", scorer)).parameters.values()
    return any(one.name == "sample_weight" or one.kind is one.VAR_KEYWORD for one in parameters)


def _default_score(estimator: Any, X: Any, y: Any, sample_weight: Any = None) -> float:
    kind = "regression" if getattr(estimator, "classes_", None) is None else "multiclass"
    return score_task(kind, y, estimator.predict(X), sample_weight)


def _refuse_task_named_mean(tasks: Iterable[Hashable]) -> None:
    if "mean" in tasks:
        raise ValueError("a task is called 'mean', which is the name of the mean over tasks; rename the task")


def _child(position: int) -> str:
    return f"task_{position}"
