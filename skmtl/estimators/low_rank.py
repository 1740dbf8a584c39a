"""What the low-rank estimators have in common: the solver."""

from __future__ import annotations

from typing import Any

from sklearn.utils import check_random_state

from skmtl.estimators.base import Given, JointLinearModel
from skmtl.solvers import Solution, solve
from skmtl.tasks import TaskData


class LowRankModel(JointLinearModel):
    """A joint linear model found by the alternating solver, with the parameters of the constructor."""

    def _solve(self, data: TaskData, given: Given, report: Any) -> tuple[Solution | None, dict[str, Any]]:
        strengths = {name: getattr(self, name) for name in ("n_components", "alpha", "alpha_common", "alpha_own")}
        return self._solve_at(data, strengths, report), {}

    def _solve_at(self, data: TaskData, strengths: dict[str, Any], report: Any) -> Solution:
        """Fit at these values of the four parameters; everything else is as the constructor says."""
        return solve(
            data,
            **strengths,
            fit_intercept=self.fit_intercept,
            scale_targets=getattr(self, "scale_targets", "std"),
            max_iter=self.max_iter,
            tol=self.tol,
            n_init=self.n_init,
            random_state=check_random_state(self.random_state),
            start=self._start(data),
            n_jobs=self.n_jobs,
            report=report,
        )
