"""What every joint model can do: fit, answer in the form of the fit, score, split, learn new tasks."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from skmtl.estimators.additional import join_solutions, join_tasks, rules_for_new_tasks
from skmtl.estimators.attributes import OPTIONAL, fitted_attributes
from skmtl.estimators.callbacks import CallbackSupportMixin, FitProgress, with_callbacks
from skmtl.estimators.parameters import check_parameters
from skmtl.estimators.responses import Parts, decisions, linear_predictors, predictions, probabilities
from skmtl.inputs import Form, Query, TargetRules, answerable, as_task_data, scored_targets
from skmtl.inputs.features import is_dict_of_tables
from skmtl.predictors import make_predictors
from skmtl.scoring import mean_score, score_task
from skmtl.solvers import Solution
from skmtl.task_scores import score_tasks
from skmtl.tasks import Task, TaskData


def _has_probabilities(estimator: Any) -> bool:
    """Where a task has classes; before a fit, where that is certain."""
    if hasattr(estimator, "_tasks"):
        return any(task.classes is not None for task in estimator._tasks)
    rules = estimator._rules()
    kinds = rules.kinds or {}
    declared = {kinds} if isinstance(kinds, str) else set(kinds.values())
    return rules.accepts == "classes" or bool(declared & {"binary", "multiclass"})


def _has_decisions(estimator: Any) -> bool:
    """As scikit-learn: not for several columns of an array, whose `classes_` is a list."""
    if not _has_probabilities(estimator):
        return False
    if not hasattr(estimator, "_tasks"):
        return True
    return estimator._form.named or estimator._form.flat or estimator._form.long


def _learned_from_features(reader: Any) -> dict[str, Any]:
    """What scikit-learn left on the estimator that read X."""
    names = ("n_features_in_", "feature_names_in_")
    return {name: getattr(reader, name) for name in names if hasattr(reader, name)}


@dataclass(frozen=True)
class Given:
    """What `fit` was handed: features, targets and groups as they came, and the form that they have.

    Attributes
    ----------
    units : ndarray of shape (n_features,), or None for ones
        What the features are divided by before they are fitted.
    start : Solution or None
        Where a fit begins, in the features that are fitted.
    features : dict
        The fitted attributes that describe X.
    is_beaten : callable or None
        Asked, after a search, whether something else answers better than what it found: then nothing is fitted.
    """

    X: Any
    y: Any
    groups: Any
    form: Form
    units: NDArray | None = None
    start: Solution | None = None
    features: dict[str, Any] = field(default_factory=dict)
    is_beaten: Callable[[Any], bool] | None = None


def _is_fitted_name(name: str) -> bool:
    return name in ("_solution", "_tasks", "_form") or (name.endswith("_") and not name.startswith("_"))


class JointModel(CallbackSupportMixin, ClassNamePrefixFeaturesOutMixin, TransformerMixin):
    """Mixin for estimators whose tasks share one `Solution`.

    A subclass says which targets it accepts (`_rules`), how `TaskData` becomes a `Solution` (`_solve`), and how
    new tasks do beside it (`_solve_new`). Where its solution is of another kind, which has `raw`, `common_raw`,
    `scores` and `convergence` too, also what is public of it (`_attributes`), its parts (`split`) and how it grows
    (`_joined`).
    """

    def _rules(self) -> TargetRules:
        raise NotImplementedError

    def _check_parameters(self) -> None:
        check_parameters(self)

    def _solve(self, data: TaskData, given: Given, report: Any) -> tuple[Any, dict[str, Any]]:
        """The joint model, None if none is wanted, and further fitted attributes."""
        raise NotImplementedError

    def _solve_new(self, data: TaskData) -> Any:
        raise NotImplementedError

    @with_callbacks
    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Any:
        """Learn all tasks jointly.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features), or dict of {task: such a table}
            A dict gives every task its own rows. With `task_col`, one column of X holds the task of each row.
        y : dict of {task: array-like}, TaskTargets, DataFrame, or array-like of shape (n_samples,) or \
(n_samples, n_tasks)
            Missing targets are NaN, None, NaT or pandas' NA.
        sample_weight : array-like of shape (n_samples,) or (n_samples, n_tasks), TaskTargets, DataFrame, \
or (where X is one) a dict, default=None
            Weights >= 0; a weight of 0 is as good as a row (or a target) that is not there.

        Returns
        -------
        self : object

        Raises
        ------
        ValueError
            Before any work, naming the parameter or the task, what was given and what is allowed.

        Warns
        -----
        ConvergenceWarning
            If the solver stopped before `tol` was reached.
        """
        return self._fit(X, y, sample_weight)

    def _fit(self, X: Any, y: Any, sample_weight: Any, groups: Any = None) -> Any:
        self._check_parameters()
        # What is learned from X goes to a copy: a failure leaves an earlier fit as it was.
        reader: Any = copy.copy(self)
        data, form = as_task_data(
            reader,
            X,
            y,
            sample_weight,
            rules=self._rules(),
            task_col=self.task_col,
            class_weight=getattr(self, "class_weight", None),
            task_weight=self.task_weight,
        )
        progress = FitProgress(self, X, y)
        features = _learned_from_features(reader)
        solution, fitted = self._solve(data, Given(X, y, groups, form, features=features), progress.report)
        fitted |= features
        if solution is not None:
            fitted |= self._attributes(solution, data.tasks, form)
        self._learn(fitted)
        progress.finish(X, y, fitted)
        convergence = None if solution is None else solution.convergence
        if convergence is not None and not convergence.converged:
            warnings.warn(convergence.reason, ConvergenceWarning, stacklevel=4)
        return self

    def _attributes(self, solution: Any, tasks: tuple[Task, ...], form: Form) -> dict[str, Any]:
        """Everything public that a solution says."""
        return fitted_attributes(solution, tasks, form)

    def _joined(self, new: Any) -> Any:
        """The solution with that of new tasks beside it."""
        return join_solutions(self._solution, new)

    def _start(self, data: TaskData) -> Solution | None:
        """The earlier solution under `warm_start`, as long as it has as many features."""
        earlier = getattr(self, "_solution", None) if self.warm_start else None
        return earlier if earlier is not None and len(earlier.basis) == data.n_features else None

    def _learn(self, fitted: dict[str, Any]) -> None:
        """The only place that sets fitted attributes: all of them at once."""
        # Without a model (refit=False) nothing of an earlier one may stay.
        earlier = OPTIONAL if "_solution" in fitted else [name for name in vars(self) if _is_fitted_name(name)]
        for name in earlier:
            if hasattr(self, name) and name not in fitted:
                delattr(self, name)
        for name, value in fitted.items():
            setattr(self, name, value)

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "_solution")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.target_tags.required = True
        tags.target_tags.multi_output = True
        return tags

    @property
    def _n_features_out(self) -> int:
        return self._solution.n_scores

    def _query(self, X: Any, unseen: bool) -> Query:
        check_is_fitted(self)
        return self._form.query(self, X, tuple(self.tasks_), unseen)

    def _raw(self, X: Any) -> tuple[Query, Parts]:
        check_is_fitted(self)
        query = self._query(X, self._solution.has_common)
        return query, linear_predictors(query, self._tasks, self._solution)

    def predict(self, X: Any) -> Any:
        """Predict every task in the form that `fit` was given.

        Parameters
        ----------
        X : as in `fit`
            After a fit on own rows, one X asks every task, a dict of X each task for its own rows. In the
            long form a task that was not in fit is predicted by the common part, if there is one, about the mean
            level of the tasks at the mean of X; a model with neither a common part nor tied intercepts refuses it.

        Returns
        -------
        y : TaskTargets of {task: ndarray of shape (n_samples,)}, dict, or ndarray of shape (n_samples,) or \
(n_samples, n_tasks)
            Numbers in the units of the targets, expected counts, class labels.
        """
        query, raw = self._raw(X)
        return self._form.gather(query, self._tasks, predictions(raw, self._tasks), "predict")

    @available_if(_has_probabilities)
    def predict_proba(self, X: Any) -> Any:
        """Class probabilities of every classification task.

        Parameters
        ----------
        X : as in `predict`

        Returns
        -------
        probabilities : TaskTargets of {task: ndarray of shape (n_samples, n_classes)}, dict, ndarray, or list
            Columns in the order of ``classes_by_task_[task]``; in the long form in that of `classes_`, all
            classes of all tasks. One y of shape (n_samples,): an array; several columns: a list of arrays.
        """
        query, raw = self._raw(X)
        return self._form.gather(query, self._tasks, probabilities(raw, self._tasks), "predict_proba")

    @available_if(_has_decisions)
    def decision_function(self, X: Any) -> Any:
        """Linear predictors of every classification task: log-odds for two classes, scores for more.

        Parameters
        ----------
        X : as in `predict`

        Returns
        -------
        decisions : TaskTargets of {task: ndarray of shape (n_samples,) or (n_samples, n_classes)}, dict or \
ndarray
            In the long form in the columns of `classes_` where there are more than two: classes that are none of a
            row's task have the least number there is, and the softmax of a row is its `predict_proba`.
        """
        query, raw = self._raw(X)
        return self._form.gather(query, self._tasks, decisions(raw, self._tasks), "decision_function")

    def score_tasks(self, X: Any, y: Any, sample_weight: Any = None, *, scoring: Any = None) -> dict[Hashable, float]:
        """R² of numeric tasks, accuracy of classification tasks, on the rows that have a target.

        Parameters
        ----------
        X, y, sample_weight : as in `fit`
            `y` may hold some of the tasks only. A class that fit did not see is a wrong prediction. In the long form
            a task that fit did not see is scored by the common part, if there is one.
        scoring : str, callable, dict of {task: such} or None, default=None
            Other metrics, as in :func:`skmtl.score_tasks`.

        Returns
        -------
        scores : dict of {task: float}
            Tasks of `y` that have a target.

        Warns
        -----
        UndefinedMetricWarning
            If a task that fit did not see is left out; if all are, that is a ValueError.
        """
        check_is_fitted(self)
        unseen = getattr(self, "common_", None) is not None
        X, y, sample_weight = answerable(self._form, X, y, sample_weight, self.tasks_, unseen)
        if scoring is not None:
            return score_tasks(self, X, y, sample_weight, scoring=scoring)
        predicted = predictions(self._raw(X)[1], self._tasks)
        return {
            task.name: score_task(task.kind, y_true, predicted[t][rows], weight)
            for task, t, rows, y_true, weight in scored_targets(self._form, X, y, sample_weight, self._tasks)
        }

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Unweighted mean of `score_tasks`: R² of numeric tasks, accuracy of classification tasks.

        What `predict` answers is scored. A class that fit did not see is a wrong prediction; tasks that it did not see,
        and that no common part predicts, are left out with a warning.

        Parameters
        ----------
        X, y, sample_weight : as in `fit`

        Returns
        -------
        score : float
        """
        return mean_score(self.score_tasks(X, y, sample_weight).values())

    def transform(self, X: Any) -> NDArray:
        """The learned representation: ``X @ basis_``, or the output of a hidden layer.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)

        Returns
        -------
        Z : ndarray of shape (n_samples, n_components), or (n_samples, n_units_)
        """
        check_is_fitted(self)
        if is_dict_of_tables(X):
            raise ValueError("transform takes one table X; transform the tables of a dict one by one.")
        query = self._query(X, unseen=True)
        Z = self._solution.scores(query.X)
        if query.order is None:
            return Z
        in_place = np.empty_like(Z)
        in_place[query.order] = Z
        return in_place

    def split(self) -> dict[Hashable, BaseEstimator]:
        """One genuine fitted scikit-learn estimator per task, predicting what this model predicts.

        Returns
        -------
        predictors : dict of {task: LinearRegression, LogisticRegression or PoissonRegressor}
            They take X without the column of task labels.
        """
        check_is_fitted(self)
        return make_predictors(self._tasks, self._solution.coef, self._solution.intercept, self._names_of_features())

    def _names_of_features(self) -> NDArray | None:
        """Names of the columns of X without that of the task labels, where they have any."""
        names = getattr(self, "feature_names_in_", None)
        if names is None or not self._form.long:
            return names
        by_name = names == self.task_col
        return names[~by_name] if by_name.any() else np.delete(names, self.task_col)

    def add_tasks(self, X: Any, y: Any, sample_weight: Any = None, *, kinds: Any = None) -> Any:
        """Learn new tasks from few labels: the basis and the common part stay, only new factors are fitted.

        Parameters
        ----------
        X, y, sample_weight : as in `fit`, holding new tasks only
            After a fit on an array, the columns of `y` become further tasks.
        kinds : dict of {task: kind} or str, default=None
            Of the new tasks, where the estimator has the parameter `kinds`; None: its own where that is one kind for
            all tasks, else what the targets look like.

        Returns
        -------
        self : object

        Raises
        ------
        ValueError
            If a task exists already. The estimator is then as it was.
        """
        check_is_fitted(self)
        rules, class_weight = rules_for_new_tasks(self, kinds)
        data, form = as_task_data(
            self,
            X,
            y,
            sample_weight,
            rules=rules,
            task_col=self.task_col,
            class_weight=class_weight,
            reset=False,
        )
        tasks, form = join_tasks(self._tasks, self._form, data.tasks, form)
        solution = self._joined(self._solve_new(data))
        self._learn(_learned_from_features(self) | self._attributes(solution, tasks, form))
        return self
