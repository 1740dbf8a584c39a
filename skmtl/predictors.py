"""What `split` hands out: for every task a genuine fitted scikit-learn object, equal to the joint model."""

from __future__ import annotations

import copy
from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LinearRegression, LogisticRegression, PoissonRegressor
from sklearn.pipeline import Pipeline

from skmtl.tasks import Task

#: What these say of the one-feature problem of `_prototype` is untrue of the task, so it goes.
_OF_THE_PROTOTYPE = ("rank_", "singular_", "n_iter_")


def make_predictors(
    tasks: Sequence[Task], coef: ArrayLike, intercept: ArrayLike, feature_names: ArrayLike | None = None
) -> dict[Hashable, BaseEstimator]:
    """One fitted scikit-learn linear model per task from the coefficients of the joint model.

    A regression task becomes a `LinearRegression` (``raw``), a count task a `PoissonRegressor`
    (``exp(raw)``), a binary or multiclass task a `LogisticRegression` (``1 / (1 + exp(-raw))``, or the
    softmax of ``raw`` over the classes), with ``raw = X @ coef_.T + intercept_``.

    Parameters
    ----------
    tasks : sequence of Task, length n_tasks
    coef : array-like of shape (n_features, n_outputs)
        Columns in task order: one per task, one per class of a multiclass task.
    intercept : array-like of shape (n_outputs,)
        In the units of each task's linear predictor, as `coef`.
    feature_names : array-like of shape (n_features,), or None
        Becomes `feature_names_in_`.

    Returns
    -------
    predictors : dict of {task name: fitted scikit-learn estimator}, in the order of `tasks`

    Raises
    ------
    ValueError
        If the shapes of `coef`, `intercept` and `feature_names` do not fit the tasks.

    Examples
    --------
    >>> from skmtl.predictors import make_predictors
    >>> from skmtl.tasks import Task
    >>> predictors = make_predictors([Task("price", "regression")], [[2.0], [1.0]], [0.5])
    >>> predictors["price"]
    LinearRegression()
    >>> predictors["price"].predict([[1.0, 3.0]]).tolist()
    [5.5]
    """
    coef, intercept = np.asarray(coef, dtype=float), np.asarray(intercept, dtype=float)
    ends = np.cumsum([task.n_outputs for task in tasks])
    n_outputs = ends[-1] if len(tasks) else 0
    if coef.ndim != 2 or coef.shape[1] != n_outputs or intercept.shape != (n_outputs,):
        raise ValueError(
            f"{len(tasks)} tasks of {n_outputs} outputs need coef of shape (n_features, "
            f"{n_outputs}) and intercept of shape ({n_outputs},), got {coef.shape} and "
            f"{intercept.shape}."
        )
    names = None if feature_names is None else np.asarray(feature_names, dtype=object)
    if names is not None and names.shape != coef.shape[:1]:
        raise ValueError(f"coef has {coef.shape[0]} features, got {names.size} feature_names.")
    # One fit per kind of object, not per task: with thousands of tasks the fits would dominate.
    prototypes: dict[tuple[type, int], BaseEstimator] = {}
    predictors: dict[Hashable, BaseEstimator] = {}
    for task, end in zip(tasks, ends):
        n_classes = 0 if task.classes is None else len(task.classes)
        key = (_MODELS[task.kind], n_classes)
        if key not in prototypes:
            prototypes[key] = _prototype(*key)
        outputs = slice(end - task.n_outputs, end)
        predictor = _as_predictor(prototypes[key], task, coef[:, outputs], intercept[outputs])
        if names is not None:
            predictor.feature_names_in_ = names.copy()
        predictors[task.name] = predictor
    return predictors


_MODELS = {
    "regression": LinearRegression,
    "count": PoissonRegressor,
    "binary": LogisticRegression,
    "multiclass": LogisticRegression,
}


def _prototype(model: type, n_classes: int) -> Any:
    """`model` fitted on the smallest legal problem, whose solution is all zeros.

    A fit, because some models keep private state that prediction needs (the loss of
    `PoissonRegressor`), and what it is differs between versions of scikit-learn.
    """
    targets = np.arange(n_classes) if n_classes else np.ones(2)
    prototype = model().fit(np.zeros((len(targets), 1)), targets)
    for attribute in _OF_THE_PROTOTYPE:
        vars(prototype).pop(attribute, None)
    return prototype


def _as_predictor(prototype: Any, task: Task, coef: NDArray, intercept: NDArray) -> Any:
    """Copy of `prototype` with one task's coef (n_features, n_outputs) and intercept (n_outputs,)."""
    predictor = copy.copy(prototype)
    predictor.n_features_in_ = coef.shape[0]
    if task.classes is None:
        predictor.coef_ = coef[:, 0].copy()
        predictor.intercept_ = float(intercept[0])
        return predictor
    if len(task.classes) == 2 and task.kind == "multiclass":
        # For two classes scikit-learn wants one column: softmax of two is the logistic of their difference.
        coef, intercept = coef[:, 1:] - coef[:, :1], intercept[1:] - intercept[:1]
    predictor.classes_ = np.array(task.classes)
    predictor.coef_ = coef.T.copy()
    predictor.intercept_ = intercept.copy()
    return predictor


def split(estimator: Any) -> dict[Hashable, Any]:
    """One ordinary, fitted scikit-learn object per task of a fitted multi-task estimator or Pipeline.

    Parameters
    ----------
    estimator : estimator
        A fitted skmtl estimator, a fitted `Pipeline` that ends in one, or a fitted search over either
        (its `best_estimator_` is split).

    Returns
    -------
    predictors : dict of {task name: fitted estimator}
        `LinearRegression`, `LogisticRegression` or `PoissonRegressor`; for a Pipeline, Pipelines that
        end in these and share (do not copy) the fitted steps before. In the long form the predictors take X
        without the column of task labels; a Pipeline takes X with it, as its steps were fitted, and drops it.

    Raises
    ------
    TypeError
        If there is no multi-task estimator to split.
    sklearn.exceptions.NotFittedError
        If it is not fitted.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from skmtl import LowRankRegressor, split
    >>> X = np.arange(20.0).reshape(10, 2) ** 2
    >>> joint = make_pipeline(StandardScaler(), LowRankRegressor()).fit(X, {"a": X[:, 0], "b": X.sum(axis=1)})
    >>> parts = split(joint)
    >>> parts["b"]
    Pipeline(steps=[('standardscaler', StandardScaler()),
                    ('linearregression', LinearRegression())])
    >>> bool(np.allclose(parts["b"].predict(X), joint.predict(X)["b"]))
    True
    """
    return _split(estimator, within="")


def _split(estimator: Any, within: str) -> dict[Hashable, Any]:
    if hasattr(estimator, "best_estimator_"):
        search = type(estimator).__name__
        return _split(estimator.best_estimator_, within=f" as the best_estimator_ of {search}")
    if isinstance(estimator, Pipeline):
        last = estimator.steps[-1][1]
        parts = _split(last, within=" as the last step of a Pipeline")
        last = getattr(last, "best_estimator_", last)
        between = [] if getattr(last, "task_col", None) is None else [("drop_task", _drop_task_column(last))]
        return {task: _pipeline(estimator, between, part) for task, part in parts.items()}
    # Splitters of scikit-learn (KFold, ...) have a split of another meaning, but no fit.
    if isinstance(estimator, type) or not (hasattr(estimator, "split") and hasattr(estimator, "fit")):
        given = f"the class {estimator.__name__}" if isinstance(estimator, type) else type(estimator).__name__
        raise TypeError(
            "split takes a fitted skmtl estimator, a Pipeline that ends in one, or a fitted "
            f"search over either; got {given}{within}."
        )
    return estimator.split()


def _pipeline(joint: Pipeline, between: list, part: Any) -> Pipeline:
    """`joint` with its last step replaced by `between` and `part`, named as `make_pipeline` would."""
    if between and hasattr(part, "feature_names_in_"):
        part = copy.copy(part)
        del part.feature_names_in_  # The step before checks the names, and hands over an array.
    single = copy.copy(joint)
    single.steps = [*joint.steps[:-1], *between, (type(part).__name__.lower(), part)]
    return single


def _drop_task_column(joint: Any) -> ColumnTransformer:
    """Fitted step that takes away the task column of the long form, which all steps before let through."""
    names = getattr(joint, "feature_names_in_", None)
    columns = [] if names is None else list(names)
    named = joint.task_col in columns
    position = columns.index(joint.task_col) if named else joint.task_col % joint.n_features_in_
    drop = ColumnTransformer([("task", "drop", [position])], remainder="passthrough")
    drop.set_output(transform="default").fit(np.zeros((1, joint.n_features_in_)))
    if names is not None:
        drop.feature_names_in_ = names
    return drop
