"""`GroupedTasks`: one joint model per group of tasks that belong together, behind the interface of a single one."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, MetaEstimatorMixin, clone
from sklearn.utils import get_tags
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from skmtl.inputs import TargetRules, answerable, as_task_data, scored_targets, union_classes
from skmtl.inputs.features import task_labels
from skmtl.predictors import split as split_estimator
from skmtl.relatedness.group_forms import gather_answers, part_of_query, part_of_training, with_kind
from skmtl.relatedness.groups import TaskGroups, group_task_data
from skmtl.scoring import mean_score, score_task
from skmtl.single_task import column_of, estimator_for, fit_weighted, last_step, require_instance
from skmtl.targets import is_named
from skmtl.task_scores import score_tasks


def _inner_has(method: str) -> Any:
    """Where some group's model (before a fit: the estimator) has the method."""

    def check(self: Any) -> bool:
        inner = self.estimators_ if hasattr(self, "estimators_") else [self.estimator]
        return any(hasattr(one, method) for one in inner)

    return check


class GroupedTasks(MetaEstimatorMixin, BaseEstimator):
    """One clone of an estimator per group of tasks that belong together.

    Tasks that share nothing are better not learned in one low-rank model. `group_tasks` finds the groups, each is
    fitted by a clone of `estimator`, and predictions come back in the form of the fit, as if one model had made them.

    Parameters
    ----------
    estimator : estimator
        A multi-task estimator of skmtl, or a pipeline that ends in one. Its ``task_col`` (long form) and ``kinds``
        are used for grouping too.
    n_groups : int, default=None
        Number of groups. None: chosen by held-out error, as in :func:`group_tasks`.
    random_state : int, RandomState instance or None, default=None
        Seed of the folds and starts of the grouping; None: 0. A RandomState gives every fit a new seed.

    Attributes
    ----------
    groups_ : list of list of hashable
        Names of the tasks of every group.
    n_groups_ : int
    estimators_ : list of estimator
        One fitted clone per group.
    tasks_ : list of hashable
    grouping_ : TaskGroups
        What `group_tasks` found.
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Where the columns of X have names that are strings.

    See Also
    --------
    group_tasks : The grouping alone.

    Notes
    -----
    The grouping reads X as it is handed over, so it must be numeric: put preprocessing of another kind before
    `GroupedTasks` in a pipeline.

    Examples
    --------
    >>> import numpy as np
    >>> from skmtl import GroupedTasks, LowRankRegressor
    >>> rng = np.random.RandomState(0)
    >>> X = rng.randn(100, 10)
    >>> coef = rng.randn(10, 2)[:, [0, 0, 0, 0, 1, 1, 1, 1]]
    >>> Y = X @ coef + rng.randn(100, 8)
    >>> model = GroupedTasks(LowRankRegressor(n_components=1), random_state=0).fit(X, Y)
    >>> model.groups_
    [[0, 1, 2, 3], [4, 5, 6, 7]]
    >>> model.predict(X).shape
    (100, 8)
    """

    def __init__(self, estimator: Any, n_groups: int | None = None, *, random_state: Any = None) -> None:
        self.estimator = estimator
        self.n_groups = n_groups
        self.random_state = random_state

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        inner = get_tags(self.estimator)
        tags.estimator_type = inner.estimator_type
        tags.classifier_tags, tags.regressor_tags = inner.classifier_tags, inner.regressor_tags
        tags.input_tags, tags.target_tags = inner.input_tags, inner.target_tags
        return tags

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "estimators_")

    @property
    def task_col(self) -> Any:
        """Column of task labels of the long form, as the estimator inside names it."""
        return getattr(last_step(self.estimator), "task_col", None)

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> GroupedTasks:
        """Group the tasks, and learn every group jointly.

        Parameters
        ----------
        X, y, sample_weight : as in `fit` of the estimator
            Weights are used by the groups' models, not for the grouping.

        Returns
        -------
        self : object

        Raises
        ------
        TypeError
            For an estimator that knows no names, with named tasks.
        """
        require_instance(self.estimator)
        inner = last_step(self.estimator)
        if is_named(y) and not hasattr(last_step(getattr(inner, "estimator", inner)), "_rules"):
            raise TypeError(
                "Where tasks are named, estimator must be a multi-task estimator of skmtl, or a pipeline or search "
                f"that ends in one; got {self.estimator!r}."
            )
        rules = inner._rules() if hasattr(inner, "_rules") else TargetRules(type(inner).__name__, "any")
        reader: Any = clone(self)
        data, form = as_task_data(reader, X, y, sample_weight, rules=rules, task_col=self.task_col)
        grouping = group_task_data(data, self.n_groups, self.random_state)
        positions = _positions(grouping)
        names = [task.name for task in data.tasks]
        is_array = not (form.named or form.long)
        fitted = []
        for members in positions:
            own = [names[t] for t in members]
            part = part_of_training(form, X, y, sample_weight, own, members)
            one = with_kind(estimator_for(self.estimator, own, names, numbered=is_array), form, data.tasks)
            fitted.append(fit_weighted(one, *part))
        for name in ("n_features_in_", "feature_names_in_"):
            if hasattr(reader, name):
                setattr(self, name, getattr(reader, name))
            elif hasattr(self, name):
                delattr(self, name)
        self.grouping_ = grouping
        self.groups_, self.n_groups_ = grouping.groups, grouping.n_groups
        self.estimators_, self.tasks_ = fitted, names
        self._form, self._tasks, self._members = form, data.tasks, positions
        self._set_classes()
        return self

    def _set_classes(self) -> None:
        self.classes_by_task_ = {task.name: task.classes for task in self._tasks if task.classes is not None}
        classes: Any = list(self.classes_by_task_.values())
        if self._form.long and classes:
            classes = union_classes(self._tasks)
        elif self._form.flat and classes:
            classes = classes[0]
        elif self._form.named or not classes:
            if hasattr(self, "classes_"):
                delattr(self, "classes_")
            return
        self.classes_: Any = classes

    def _answer(self, X: Any, method: str) -> Any:
        check_is_fitted(self)
        answers = []
        for one, members in zip(self.estimators_, self._members):
            names = [self.tasks_[t] for t in members]
            part, rows = part_of_query(self._form, X, names, self.tasks_)
            if part is not None and hasattr(one, method):
                answers.append((one, members, getattr(one, method)(part), rows))
        return gather_answers(self, answers, method)

    def predict(self, X: Any) -> Any:
        """Predict every task by the model of its group, in the form that `fit` was given.

        Parameters
        ----------
        X : as in `predict` of the estimator

        Returns
        -------
        y : as `predict` of the estimator
        """
        return self._answer(X, "predict")

    @available_if(_inner_has("predict_proba"))
    def predict_proba(self, X: Any) -> Any:
        """Class probabilities of every classification task, in the form that `fit` was given."""
        return self._answer(X, "predict_proba")

    @available_if(_inner_has("decision_function"))
    def decision_function(self, X: Any) -> Any:
        """Linear predictors of every classification task, in the form that `fit` was given."""
        return self._answer(X, "decision_function")

    def score_tasks(self, X: Any, y: Any, sample_weight: Any = None, *, scoring: Any = None) -> dict[Hashable, float]:
        """R² of numeric tasks, accuracy of classification tasks, on the rows that have a target.

        Parameters
        ----------
        X, y, sample_weight : as in `fit`
        scoring : str, callable, dict of {task: such} or None, default=None
            Other metrics, as in :func:`skmtl.score_tasks`.

        Returns
        -------
        scores : dict of {task: float}
        """
        check_is_fitted(self)
        X, y, sample_weight = answerable(self._form, X, y, sample_weight, self.tasks_)
        if scoring is not None:
            return score_tasks(self, X, y, sample_weight, scoring=scoring)
        predicted = self.predict(X)
        return {
            task.name: score_task(task.kind, y_true, self._of_task(X, predicted, t)[rows], weight)
            for task, t, rows, y_true, weight in scored_targets(self._form, X, y, sample_weight, self._tasks)
        }

    def _of_task(self, X: Any, predicted: Any, t: int) -> NDArray:
        """One task's predictions, in the order of its rows."""
        if not self._form.long:
            return np.asarray(column_of(predicted, self.tasks_[t]))
        return np.asarray(predicted)[task_labels(X, self.task_col) == self.tasks_[t]]

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Unweighted mean of `score_tasks`.

        Parameters
        ----------
        X, y, sample_weight : as in `fit`

        Returns
        -------
        score : float
        """
        return mean_score(self.score_tasks(X, y, sample_weight).values())

    def split(self) -> dict[Hashable, Any]:
        """One genuine fitted scikit-learn estimator per task, predicting what its group's model predicts.

        Returns
        -------
        predictors : dict of {task: estimator}
        """
        check_is_fitted(self)
        parts: dict[Hashable, Any] = {}
        for one, members in zip(self.estimators_, self._members):
            predictors = list(split_estimator(one).values())
            parts.update({self.tasks_[t]: predictor for t, predictor in zip(members, predictors)})
        return {name: parts[name] for name in self.tasks_}


def _positions(grouping: TaskGroups) -> list[list[int]]:
    """Positions of the tasks of every group."""
    return [np.flatnonzero(grouping.labels == label).tolist() for label in range(grouping.n_groups)]
