"""What the low-rank estimators have in common: the solver."""

from __future__ import annotations

import warnings
from dataclasses import replace
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.utils import check_random_state

from skmtl.estimators.base import Given, JointModel
from skmtl.estimators.parameters import TUNED
from skmtl.estimators.ties import require_same_kind, require_ties
from skmtl.matrix import column_deviations
from skmtl.solvers import (
    Solution,
    Strengths,
    alpha_of_noise,
    feature_units,
    fit_jointly,
    fit_new_tasks,
    in_units,
    out_of_units,
    start_in_units,
)
from skmtl.tasks import TaskData
from skmtl.tuning import Candidate, FitOptions, prior_share


def _says_nothing(solution: Solution) -> bool:
    return solution.rank == 0 and solution.common is None and (solution.own is None or not solution.own.any())


def _could_say_something(data: TaskData, solution: Solution) -> bool:
    """Whether any penalty is weak enough: constant targets, and constant features, have nothing to say."""
    return solution.objective > 0.0 and bool(column_deviations(data.X, data.row_weights).any())


class LowRankModel(JointModel):
    """A joint linear model found by the alternating solver, with the parameters of the constructor."""

    if TYPE_CHECKING:
        scale_features: bool
        alpha: float | str
        alpha_common: float | None
        alpha_own: float | None
        alpha_intercept: Any
        alpha_: float

    @property
    def _keeps_spread(self) -> bool:
        """Whether a fit keeps what the standard deviation of a new target needs."""
        return False

    def _solve(self, data: TaskData, given: Given, report: Any) -> tuple[Solution | None, dict[str, Any]]:
        self._require_ties(data)
        given = replace(given, start=self._start(data))
        if not self.scale_features and not self._is_free_of_units:
            return self._solve_as_given(data, given, report)
        units = feature_units(data)
        start = None if given.start is None else start_in_units(given.start, units)
        scaled = replace(given, units=units, start=start)
        solution, found = self._solve_as_given(in_units(data, units), scaled, report)
        return None if solution is None else out_of_units(solution, units), found

    @property
    def _is_free_of_units(self) -> bool:
        """Whether no coefficient bears a penalty: units are then a matter of rounding, and deviations the best ones."""
        is_free = isinstance(self.alpha, Real) and self.alpha == 0.0  # not where it is a list of values
        return is_free and self.alpha_common is None and self.alpha_own is None

    def _require_ties(self, data: TaskData) -> None:
        """ValueError where intercepts cannot be tied as the parameters demand."""
        if self.alpha_intercept is not None:
            require_ties(data, self.fit_intercept, self.alpha_intercept)

    def _solve_as_given(self, data: TaskData, given: Given, report: Any) -> tuple[Solution | None, dict[str, Any]]:
        """As `_solve`, of features that need no scaling any more."""
        alpha = self._strength(data)
        parameters = {name: getattr(self, name) for name in TUNED} | {"alpha": alpha}
        solution = self._solve_at(data, report, given.start, **parameters)
        if _says_nothing(solution) and np.isfinite(alpha) and _could_say_something(data, solution):
            warnings.warn(
                f"Nothing is learned from X: at alpha={alpha:.3g} every task is predicted by its intercept alone. "
                "Give a smaller alpha, which the tuned classes choose by themselves; rare classes and tasks of few "
                "rows beside large ones need one.",
                UserWarning,
                stacklevel=6,
            )
        return solution, {"alpha_": alpha}

    def _strength(self, data: TaskData) -> float:
        """`alpha`, or what "auto" means for these data."""
        if not isinstance(self.alpha, str):
            return float(self.alpha)
        pools_scales = self.alpha_common is not None or self.alpha_intercept is not None
        return alpha_of_noise(data, getattr(self, "scale_targets", "std"), pools_scales)

    def _solve_at(
        self,
        data: TaskData,
        report: Any,
        start: Solution | None,
        n_components: int | None,
        alpha: float,
        alpha_common: float | None,
        alpha_own: float | None,
        alpha_intercept: float | None,
        factor_prior: str,
        feature_prior: str,
    ) -> Solution:
        """Fit at these values of the tuned parameters; everything else is as the constructor says."""
        share = 1.0
        if factor_prior == "learned":
            candidate = Candidate(n_components, alpha, alpha_common, alpha_own)
            options = FitOptions(self.fit_intercept, getattr(self, "scale_targets", "std"))
            seed = self.random_state if isinstance(self.random_state, int) else 0
            share = prior_share(data, candidate, options, seed)
        return fit_jointly(
            data,
            Strengths(alpha, alpha_common, alpha_own, getattr(self, "own_penalty", "ridge"), alpha_intercept),
            n_components=n_components,
            factor_prior=factor_prior,
            feature_prior=feature_prior,
            prior_share=share,
            with_spread=self._keeps_spread,
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

    def _solve_new(self, data: TaskData) -> Solution:
        if self._solution.tie is not None:
            require_same_kind(self._tasks, data.tasks)
        # Where strengths were tuned, those that were chosen.
        alpha, alpha_common = self.alpha_, getattr(self, "alpha_common_", self.alpha_common)
        return fit_new_tasks(
            data,
            self._solution,
            alpha=alpha,
            alpha_common=alpha_common,
            fit_intercept=self.fit_intercept,
            scale_targets=getattr(self, "scale_targets", "std"),
        )
