"""What the estimators with a shared hidden layer have in common: networks on folds, the linear model beside them."""

from __future__ import annotations

import copy
from collections.abc import Callable, Hashable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator

from skmtl.estimators.additional import join_solutions
from skmtl.estimators.attributes import by_task, class_attributes, output_slices, public_intercepts
from skmtl.estimators.base import Given, JointModel
from skmtl.estimators.callbacks import SearchProgress, with_callbacks
from skmtl.estimators.cross_validated import LowRankModelCV
from skmtl.estimators.parameters import check_shared_layer_parameters
from skmtl.estimators.splits import Splits, data_splits, user_splits
from skmtl.inputs import Form
from skmtl.model_selection.shuffled_folds import seed_of
from skmtl.shared_layer import (
    MEAN_SHARE,
    Evaluation,
    LinearCandidate,
    NetworkFold,
    NetworkOptions,
    NetworkSolution,
    Outcome,
    StandardisedFeatures,
    add_heads,
    average,
    make_networks,
    natural_unit,
    network_results,
    residual_scales,
    search,
    wins,
    with_heads,
)
from skmtl.solvers import Solution
from skmtl.solvers.build import make_blocks
from skmtl.tasks import Task, TaskData
from skmtl.tuning import Evaluation as LinearEvaluation
from skmtl.tuning import moderated_scales

#: Rectified units where there is a layer and their number is not given.
_N_HIDDEN = 32


class SharedLayerModel(JointModel):
    """Networks with one hidden layer that all tasks share, averaged over folds, or the tuned linear model.

    A subclass names that model's class (`_linear_class`).
    """

    _linear_class: type[LowRankModelCV]
    linear_model_: LowRankModelCV | None

    def _check_parameters(self) -> None:
        check_shared_layer_parameters(self)

    @with_callbacks
    def fit(self, X: Any, y: Any, sample_weight: Any = None, groups: Any = None) -> Any:
        """Choose strengths and layer by cross-validation; the networks of the folds are the model.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features), or dict of {task: such a table}
            A dict gives every task its own rows. With `task_col`, one column of X holds the task of each row.
        y : dict of {task: array-like}, TaskTargets, DataFrame, or array-like of shape (n_samples,) or \
(n_samples, n_tasks)
            Missing targets are NaN, None, NaT or pandas' NA.
        sample_weight : array-like of shape (n_samples,) or (n_samples, n_tasks), TaskTargets, DataFrame, \
or (where X is one) a dict, default=None
            Weights >= 0, of the fits and of the held-out losses.
        groups : array-like of shape (n_samples,), default=None
            For splitters that need them. Rows of one group are one when the layer is compared with the linear model.

        Returns
        -------
        self : object

        Raises
        ------
        ValueError
            Before any work, naming the parameter or the task, what was given and what is allowed; or if no fold has
            something to train and something to test on.

        Warns
        -----
        ConvergenceWarning
            If a network stopped at `max_iter` steps.
        """
        return self._fit(X, y, sample_weight, groups)

    def _solve(self, data: TaskData, given: Given, report: Any) -> tuple[Any, dict[str, Any]]:
        splits = user_splits(self, given, data)
        _, pairs = data_splits(splits, data)
        progress = SearchProgress(self)
        found: dict[str, Any] = {"linear_model_": None}
        evaluation = None
        if self._tries("layer"):
            evaluation = self._search(data, pairs, progress)
            found["cv_results_"] = network_results(list(evaluation.outcomes.values()), evaluation.options)
            found["n_splits_"] = len(evaluation.folds)
        if self._tries("linear"):
            linear, groups = self._linear(splits), _labels(given.groups, data)

            def is_beaten(searched: LinearEvaluation) -> bool:
                return evaluation is not None and wins(evaluation, LinearCandidate.of(searched), groups)

            solution, attributes = linear._solve(data, replace(given, is_beaten=is_beaten), report)
            if solution is not None:
                progress.stage("the linear model answers")
                linear._learn(attributes | given.features | linear._attributes(solution, data.tasks, given.form))
                of_linear = {"cv_results_": linear.cv_results_, "n_splits_": linear.n_splits_}
                return solution, of_linear | found | {"linear_model_": linear}
        assert evaluation is not None
        progress.stage("the networks answer")
        best = evaluation.best()
        return average(best.members, data, best.strengths), found

    def _tries(self, what: str) -> bool:
        """Whether "linear" or "layer" is among the candidates."""
        return self.n_hidden == "auto" or (what == "linear") == (self.n_hidden == 0)

    def _linear(self, splits: Splits) -> LowRankModelCV:
        """The tuned linear estimator on the same folds, with what both classes have as parameters."""
        linear = self._linear_class()
        names = set(linear.get_params(deep=False)) & set(self.get_params(deep=False))
        shared = names - {"alpha", "alpha_common", "max_iter", "tol", "cv"}
        return linear.set_params(**{name: copy.copy(getattr(self, name)) for name in shared}, cv=splits)

    def _search(self, data: TaskData, pairs: Splits, progress: SearchProgress) -> Evaluation:
        """All networks' outcomes."""
        means = self._means(data)
        scale_targets = getattr(self, "scale_targets", "std")
        deviations, scales = self._scales(data, "std" if scale_targets == "residual" else scale_targets, means)
        evaluation = self._evaluated(data, pairs, means, deviations, scales, progress)
        is_number = np.array([task.kind == "regression" for task in data.tasks])
        if scale_targets == "residual" and is_number.any():
            noise = residual_scales(evaluation, len(data.tasks), deviations)
            deviations = np.where(is_number & (noise > 0), noise, deviations)
            _, scales = self._scales(data, deviations, means)
            evaluation = self._evaluated(data, pairs, means, deviations, scales, progress)
        return evaluation

    def _evaluated(
        self, data: TaskData, pairs: Splits, means: list, deviations: NDArray, scales: Any, progress: SearchProgress
    ) -> Evaluation:
        n_hidden = _N_HIDDEN if self.n_hidden == "auto" else int(self.n_hidden)
        seed = seed_of(self.random_state)
        options = NetworkOptions(n_hidden, int(self.n_linear), int(self.max_iter), float(self.tol), seed, scales)
        folds = [NetworkFold(number, data, *pair, deviations) for number, pair in enumerate(pairs)]
        folds = [fold for fold in folds if fold.judges]
        progress.stage(f"networks: {len(folds)} folds of {data.n_rows} rows, {len(data.tasks)} tasks")

        def tell(outcome: Outcome) -> None:
            progress.candidate(outcome.params(options), -outcome.loss, len(outcome.members), sum(outcome.seconds))

        evaluation = Evaluation(folds, options, self.n_jobs, tell if self.verbose else None)
        alpha = None if self.alpha == "auto" else float(self.alpha)
        unit = 1.0
        if alpha is None:
            blocks, _ = make_blocks(data, scales)
            X = StandardisedFeatures(data.X, data.row_weights)
            share = MEAN_SHARE if means[0](1.0) is not None else None
            unit = natural_unit(X, blocks, options.start(data.n_features, 0), share)
        search(evaluation, alpha, means, unit)
        return evaluation

    def _means(self, data: TaskData) -> list[Callable[[float], float | None]]:
        """The strengths of a common mean of the heads that are tried, for a given alpha."""
        given = self.alpha_common
        if given is None:
            return [lambda alpha: None]
        reason = _no_common_mean(data)
        if given == "auto":
            may = reason is None and _has_own_rows(data) and len(data.tasks) > 1
            return [lambda alpha: MEAN_SHARE * alpha, lambda alpha: None] if may else [lambda alpha: None]
        if reason is not None:
            raise ValueError(f"alpha_common={given!r} needs tasks of one kind with one output each; {reason}.")
        return [lambda alpha: float(given)]

    def _scales(self, data: TaskData, scale_targets: Any, means: list) -> tuple[NDArray, Any]:
        """Units of held-out losses, and what the targets of a fit are divided by: with a common mean, all by one."""
        has_mean, is_number = means[0](1.0) is not None, np.array([task.kind == "regression" for task in data.tasks])
        if has_mean and is_number.all() and not isinstance(scale_targets, np.ndarray):
            units = moderated_scales(data)
        else:
            deviations = make_blocks(data, "std" if scale_targets is None else scale_targets)[1]
            units = np.where(is_number, deviations, 1.0)
        if scale_targets is None:
            return units, None
        return units, make_blocks(data, scale_targets, np.nan)[1] if has_mean else units

    def _attributes(self, solution: Any, tasks: tuple[Task, ...], form: Form) -> dict[str, Any]:
        is_linear = isinstance(solution, Solution)
        names = [task.name for task in tasks]
        factors = solution.factors if is_linear else solution.heads.factors
        intercept = solution.intercept if is_linear else solution.heads.intercept
        scales = solution.target_scale if is_linear else solution.heads.target_scale
        convergence = solution.convergence
        n_units = solution.n_scores
        if is_linear:
            coef, intercepts, n_hidden, strengths = solution.basis, np.zeros(n_units), 0, (None, None)
        else:
            coef, intercepts = solution.units.coef, solution.units.intercept
            n_hidden = _N_HIDDEN if self.n_hidden == "auto" else int(self.n_hidden)
            strengths = solution.strengths.alpha, solution.strengths.alpha_common
        return {
            "tasks_": names,
            "hidden_coef_": coef,
            "hidden_intercept_": intercepts,
            "factors_": by_task(names, output_slices(tasks), factors),
            "intercept_": public_intercepts(intercept, tasks, form),
            "alpha_": strengths[0],
            "alpha_common_": strengths[1],
            "n_hidden_": n_hidden,
            "n_units_": n_units,
            "target_scale_": dict(zip(names, scales.tolist())),
            "objective_": solution.objective,
            "convergence_": convergence,
            "n_iter_": 1 if convergence is None else max(convergence.n_iter, 1),
            "_solution": solution,
            "_tasks": tasks,
            "_form": form,
            **class_attributes(tasks, form),
        }

    def split(self) -> dict[Hashable, BaseEstimator]:
        """One genuine fitted scikit-learn estimator per task, predicting what this model predicts.

        The average of networks is one wide network, and a linear unit two rectified ones, ``u = relu(u) - relu(-u)``.
        They convert to ONNX. Of counts, skl2onnx 1.20 knows no exponential output: with the attribute
        ``out_activation_`` of a part set to "identity", the ONNX model gives the logarithm of the prediction.

        Returns
        -------
        predictors : dict of {task: MLPRegressor or MLPClassifier}
            Where the linear model answers, its parts. They take X without the column of task labels.

        Raises
        ------
        ValueError
            For counts, where scikit-learn's MLPRegressor has no Poisson loss (before 1.7).
        """
        if isinstance(getattr(self, "_solution", None), NetworkSolution):
            return make_networks(self._tasks, self._solution, self._names_of_features())
        return super().split()

    def _solve_new(self, data: TaskData) -> Any:
        if self.linear_model_ is not None:
            return self.linear_model_._solve_new(data)
        scale_targets = getattr(self, "scale_targets", "std")
        return add_heads(self._solution, data, "std" if scale_targets == "residual" else scale_targets)

    def _joined(self, new: Any) -> Any:
        if isinstance(self._solution, Solution):
            return join_solutions(self._solution, new)
        return with_heads(self._solution, new)

    def add_tasks(self, X: Any, y: Any, sample_weight: Any = None, *, kinds: Any = None) -> Any:
        """Learn new tasks from few labels: the layer of every network stays, only heads are fitted.

        Parameters
        ----------
        X, y, sample_weight : as in `fit`, holding new tasks only
            After a fit on an array, the columns of `y` become further tasks.
        kinds : dict of {task: kind}, default=None
            Of the new tasks, where the estimator has the parameter `kinds`.

        Returns
        -------
        self : object

        Raises
        ------
        ValueError
            If a task exists already. The estimator is then as it was.
        """
        super().add_tasks(X, y, sample_weight, kinds=kinds)
        if self.linear_model_ is not None:
            linear = copy.copy(self.linear_model_)
            linear._learn(linear._attributes(self._solution, self._tasks, self._form))
            self.linear_model_ = linear
        return self


def _labels(groups: Any, data: TaskData) -> NDArray | None:
    """Group of every row of `data`, as numbers."""
    if groups is None:
        return None
    labels = np.unique(np.asarray(groups), return_inverse=True)[1].reshape(-1)
    return labels if data.rows is None else labels[data.rows]


def _no_common_mean(data: TaskData) -> str | None:
    """Why heads cannot have a common mean; None where they can."""
    first = data.tasks[0]
    for task in data.tasks:
        if task.n_outputs > 1:
            return f"task {task.name!r} has {task.n_outputs} classes"
        if task.kind != first.kind:
            return f"task {first.name!r} is {first.kind}, task {task.name!r} {task.kind}"
        if task.classes is not None and not np.array_equal(task.classes, first.classes):  # type: ignore[arg-type]
            return f"tasks {first.name!r} and {task.name!r} have different classes"
    return None


def _has_own_rows(data: TaskData) -> bool:
    """Whether no row has two targets."""
    if data.task_of_row is not None or data.y.ndim == 1:
        return True
    return bool(np.max(np.count_nonzero(~np.isnan(data.y), axis=1)) <= 1)
