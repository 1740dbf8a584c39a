"""The three low-rank estimators: all numbers, all classes, any mixture."""

from __future__ import annotations

from typing import Any

from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils import check_random_state

from skmtl.estimators.base import JointLinearModel
from skmtl.inputs import TargetRules
from skmtl.solvers import Solution, solve
from skmtl.tasks import TaskData


class _LowRank(JointLinearModel):
    """What the three have in common: the solver."""

    def _solve(self, data: TaskData, start: Solution | None, report: Any) -> Solution:
        return solve(
            data,
            n_components=self.n_components,
            alpha=self.alpha,
            alpha_common=self.alpha_common,
            alpha_own=self.alpha_own,
            fit_intercept=self.fit_intercept,
            scale_targets=getattr(self, "scale_targets", "std"),
            max_iter=self.max_iter,
            tol=self.tol,
            n_init=self.n_init,
            random_state=check_random_state(self.random_state),
            start=start,
            n_jobs=self.n_jobs,
            report=report,
        )


class LowRankRegressor(_LowRank, RegressorMixin, BaseEstimator):
    def __init__(
        self,
        *,
        n_components: int | None = None,
        alpha: float = 0.05,
        alpha_common: float | None = None,
        alpha_own: float | None = None,
        loss: str = "squared",
        task_weight: Any = None,
        scale_targets: str | None = "std",
        n_init: int = 1,
        fit_intercept: bool = True,
        max_iter: int = 500,
        tol: float = 1e-6,
        warm_start: bool = False,
        random_state: Any = None,
        verbose: int = 0,
        n_jobs: int | None = None,
        task_col: Any = None,
    ) -> None:
        self.n_components = n_components
        self.alpha = alpha
        self.alpha_common = alpha_common
        self.alpha_own = alpha_own
        self.loss = loss
        self.task_weight = task_weight
        self.scale_targets = scale_targets
        self.n_init = n_init
        self.fit_intercept = fit_intercept
        self.max_iter = max_iter
        self.tol = tol
        self.warm_start = warm_start
        self.random_state = random_state
        self.verbose = verbose
        self.n_jobs = n_jobs
        self.task_col = task_col

    def _rules(self) -> TargetRules:
        kind = "count" if self.loss == "poisson" else "regression"
        return TargetRules(type(self).__name__, "numbers", kind)


class LowRankClassifier(_LowRank, ClassifierMixin, BaseEstimator):
    def __init__(
        self,
        *,
        n_components: int | None = None,
        alpha: float = 0.05,
        alpha_common: float | None = None,
        alpha_own: float | None = None,
        task_weight: Any = None,
        class_weight: Any = None,
        n_init: int = 1,
        fit_intercept: bool = True,
        max_iter: int = 500,
        tol: float = 1e-6,
        warm_start: bool = False,
        random_state: Any = None,
        verbose: int = 0,
        n_jobs: int | None = None,
        task_col: Any = None,
    ) -> None:
        self.n_components = n_components
        self.alpha = alpha
        self.alpha_common = alpha_common
        self.alpha_own = alpha_own
        self.task_weight = task_weight
        self.class_weight = class_weight
        self.n_init = n_init
        self.fit_intercept = fit_intercept
        self.max_iter = max_iter
        self.tol = tol
        self.warm_start = warm_start
        self.random_state = random_state
        self.verbose = verbose
        self.n_jobs = n_jobs
        self.task_col = task_col

    def _rules(self) -> TargetRules:
        return TargetRules(type(self).__name__, "classes")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags


class LowRankMultiTask(_LowRank, BaseEstimator):
    def __init__(
        self,
        *,
        n_components: int | None = None,
        alpha: float = 0.05,
        alpha_common: float | None = None,
        alpha_own: float | None = None,
        kinds: dict | None = None,
        task_weight: Any = None,
        class_weight: Any = None,
        scale_targets: str | None = "std",
        n_init: int = 1,
        fit_intercept: bool = True,
        max_iter: int = 500,
        tol: float = 1e-6,
        warm_start: bool = False,
        random_state: Any = None,
        verbose: int = 0,
        n_jobs: int | None = None,
        task_col: Any = None,
    ) -> None:
        self.n_components = n_components
        self.alpha = alpha
        self.alpha_common = alpha_common
        self.alpha_own = alpha_own
        self.kinds = kinds
        self.task_weight = task_weight
        self.class_weight = class_weight
        self.scale_targets = scale_targets
        self.n_init = n_init
        self.fit_intercept = fit_intercept
        self.max_iter = max_iter
        self.tol = tol
        self.warm_start = warm_start
        self.random_state = random_state
        self.verbose = verbose
        self.n_jobs = n_jobs
        self.task_col = task_col

    def _rules(self) -> TargetRules:
        return TargetRules(type(self).__name__, "any", kinds=self.kinds)
