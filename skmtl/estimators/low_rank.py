"""What the low-rank estimators have in common: the solver."""

from __future__ import annotations

from typing import Any

from sklearn.utils import check_random_state

from skmtl.estimators.base import JointLinearModel
from skmtl.solvers import Solution, Strengths, fit_jointly
from skmtl.tasks import TaskData


class LowRankModel(JointLinearModel):
    """A joint linear model found by the alternating solver, with the parameters of the constructor."""

    def _solve(self, data: TaskData, start: Solution | None, report: Any) -> Solution:
        return fit_jointly(
            data,
            Strengths(self.alpha, self.alpha_common, self.alpha_own),
            n_components=self.n_components,
            factor_prior=self.factor_prior,
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
