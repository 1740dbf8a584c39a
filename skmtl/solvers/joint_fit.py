"""The whole of a joint fit: the solver, and around it what the residuals say of scales and noise.

Under ``scale_targets="residual"`` targets are divided by the standard deviation of their own residuals, which only a
fit can tell: a few rounds of solver and estimate, each from the basis of the last.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skmtl.intercepts import InterceptRidge
from skmtl.matrix import column_means
from skmtl.penalties import Penalties
from skmtl.solvers.alternating import Prepared, prepare, solve_prepared
from skmtl.solvers.build import ScaleTargets, as_single_targets, make_blocks, make_problem
from skmtl.solvers.compression import Moments, complete_moments, is_complete_squared
from skmtl.solvers.descent import Report
from skmtl.solvers.factor_prior import refit_factors
from skmtl.solvers.formulation import Formulation, describe, formulate, point_of, restore
from skmtl.solvers.group_own import solve_group
from skmtl.solvers.noise import N_ROUNDS, estimate_noise, likelihood_counts, residual_scales
from skmtl.solvers.predictive import shared_spread, task_spread
from skmtl.solvers.relevance import feature_scales, in_given_features, in_scaled_features, scaled_data
from skmtl.solvers.solution import FactorPrior, Solution
from skmtl.solvers.task_sums import TaskSums, sums_of_data, sums_of_moments
from skmtl.solvers.threads import has_narrow_moments, has_narrow_set_up, one_blas_thread
from skmtl.tasks import TaskData


@dataclass(frozen=True)
class Strengths:
    """The penalties of a fit as the user gives them; a part that is None is absent.

    `own_penalty` is "ridge" or "group"; intercepts are free where `alpha_intercept` is None.
    """

    alpha: float
    alpha_common: float | None = None
    alpha_own: float | None = None
    own_penalty: str = "ridge"
    alpha_intercept: float | None = None

    @property
    def is_group(self) -> bool:
        return self.own_penalty == "group" and self.alpha_own is not None

    @property
    def penalties(self) -> Penalties:
        common, own = (np.inf if a is None else a for a in (self.alpha_common, self.alpha_own))
        return Penalties(self.alpha, common, own, self.is_group, InterceptRidge(self.alpha_intercept or 0.0))


def fit_jointly(
    data: TaskData,
    strengths: Strengths,
    *,
    scale_targets: str | None = "std",
    factor_prior: str = "ridge",
    feature_prior: str = "ridge",
    prior_share: float = 1.0,
    with_spread: bool = False,
    fit_intercept: bool = True,
    tol: float = 1e-6,
    start: Solution | None = None,
    n_init: int = 1,
    report: Report | None = None,
    **limits: Any,
) -> Solution:
    """Fit all tasks, and say how much of every regression target is noise.

    Parameters
    ----------
    data : TaskData
    strengths : Strengths
    scale_targets : {"std", "residual", None}
    factor_prior, feature_prior : {"ridge", "learned"}
    prior_share : float
        How much of a learned prior of the factors is believed, as in `with_learned_prior`.
    with_spread : bool
        Whether to keep what `standard_deviations` needs; for regression tasks only.
    tol, start, n_init, report, **limits
        As in `solve_prepared`.

    Returns
    -------
    Solution
        With its noise and, if it was learned, the prior of its factors.
    """
    with one_blas_thread(has_narrow_set_up(data)):
        moments = _moments(data, fit_intercept)
        feature_scale = None
        if feature_prior == "learned":
            feature_scale = feature_scales(data, moments)
            data = scaled_data(data, feature_scale)
            moments = None if moments is None else moments.scaled(feature_scale)
            start = None if start is None else in_scaled_features(start, feature_scale)
        solver = _Solver(data, strengths, fit_intercept, moments)
        options = {"tol": tol, "report": report, **limits}
        last = solver.solve(
            "std" if scale_targets == "residual" else scale_targets, start=start, n_init=n_init, **options
        )
        if scale_targets == "residual" and last.solution.noise is not None:
            spread, n_iter = last.solution.target_scale, 0
            for _ in range(N_ROUNDS):
                n_iter += last.n_iter
                scales = residual_scales(last.solution, spread)
                last = solver.solve(scales, start=last.solution, eta=last.eta, **options)
            last = last.with_earlier_steps(n_iter)
        formulation, solution = last.prepared.formulation, last.solution
        if factor_prior == "learned":
            solution = with_learned_prior(data, solution, formulation, prior_share)
        if solution.common is not None:
            slope = solution.coef.mean(axis=1) - solution.common
            level = float(solution.intercept.mean() + solver.feature_means(formulation) @ slope)
            solution = replace(solution, level=level)
        if with_spread and last.sums is not None:
            penalties = last.penalties
            centre = solver.feature_means(formulation)
            shared = shared_spread(data, solution, penalties, formulation, last.prepared.preconditioner, centre)
            tasks = task_spread(data, solution, last.sums, shared, formulation, penalties, fit_intercept)
            solution = replace(solution, spread=tasks)
        return solution if feature_scale is None else in_given_features(solution, feature_scale)


def with_learned_prior(data: TaskData, solution: Solution, formulation: Formulation, share: float = 1.0) -> Solution:
    """The solution with its factors recomputed under the prior that they teach, or on the way to it from the ridge.

    With a `share` below one mean and covariance are shrunk to those of the ridge, zero and ``1 / alpha`` per unit of
    likelihood.
    """
    if solution.rank == 0:
        return replace(solution, prior=FactorPrior(np.zeros(0), np.zeros((0, 0))))
    point = point_of(formulation, solution)
    counts = likelihood_counts(data, solution)
    refitted, prior = refit_factors(formulation.problem, point, counts)
    alpha = formulation.problem.penalties.shared
    if share < 1.0 and alpha > 0:
        ridge = np.eye(solution.rank) / (alpha * float(np.mean(counts)))
        shrunk = FactorPrior(share * prior.mean, (1.0 - share) * ridge + share * prior.covariance)
        refitted, prior = refit_factors(formulation.problem, point, counts, shrunk)
    learned = restore(formulation, refitted, solution.basis.shape[1])
    return replace(
        solution,
        factors=learned.factors,
        # Where a group norm has left no task an own part, the zeros stay.
        own=solution.own if learned.own is None else learned.own,
        coef=learned.coef,
        intercept=learned.intercept,
        prior=prior,
    )


def with_noise(
    data: TaskData,
    prepared: Prepared,
    solution: Solution,
    penalties: Penalties,
    fit_intercept: bool,
    moments: Moments | None,
) -> tuple[Solution, TaskSums | None]:
    """The solution with the noise of its regression tasks, and the sums that tell it; None without any.

    `moments` stand for the rows of complete squared targets.
    """
    sums: TaskSums | None
    if moments is None:
        sums = sums_of_data(data, solution, fit_intercept, prepared.formulation)
    else:
        sums = sums_of_moments(moments, solution, fit_intercept)
    if sums is None:
        return solution, None
    noise = estimate_noise(data, sums, solution, penalties, prepared.preconditioner, fit_intercept=fit_intercept)
    return replace(solution, noise=noise), sums


@dataclass(frozen=True)
class _Round:
    """One fit and what it was made of.

    Attributes
    ----------
    penalties : Penalties
        The ridges that the solution is the optimum of; with a group norm, an array of own strengths (n_tasks,).
    sums : TaskSums or None
        Of the regression tasks; None without any.
    eta : ndarray of shape (n_tasks,) or None
        Reciprocal own strengths under a group norm.
    """

    solution: Solution
    prepared: Prepared
    penalties: Penalties
    sums: TaskSums | None = None
    eta: NDArray | None = None

    @property
    def n_iter(self) -> int:
        return 0 if self.solution.convergence is None else self.solution.convergence.n_iter

    def with_earlier_steps(self, n_iter: int) -> _Round:
        if self.solution.convergence is None:
            return self
        convergence = replace(self.solution.convergence, n_iter=self.n_iter + n_iter)
        return replace(self, solution=replace(self.solution, convergence=convergence))


@dataclass(frozen=True)
class _Solver:
    """The data and strengths of all rounds."""

    data: TaskData
    strengths: Strengths
    fit_intercept: bool
    moments: Moments | None

    def solve(self, scale_targets: ScaleTargets, eta: NDArray | None = None, **options: Any) -> _Round:
        """One fit under given scales, and its noise; `eta` is where the own strengths of a group norm begin."""
        if self.strengths.is_group:
            found = self._solve_group(scale_targets, eta, **options)
        else:
            found = self._solve_ridge(scale_targets, self.strengths.alpha_own, **options)
        solution, sums = with_noise(
            self.data, found.prepared, found.solution, found.penalties, self.fit_intercept, self.moments
        )
        return replace(found, solution=solution, sums=sums)

    def feature_means(self, formulation: Formulation) -> NDArray:
        """What X is centred by, without a pass over X where it is known."""
        X = formulation.problem.X
        if not self.fit_intercept:
            return np.zeros(self.data.n_features)
        if self.moments is not None:
            return self.moments.means[0]
        if X.X is self.data.X and X.centre is not None:
            return X.centre
        return column_means(self.data.X, self.data.row_weights)

    def _solve_ridge(self, scale_targets: ScaleTargets, alpha_own: float | NDArray | None, **options: Any) -> _Round:
        alpha, alpha_common = self.strengths.alpha, self.strengths.alpha_common
        with one_blas_thread(self.moments is not None and has_narrow_moments(self.data)):
            formulation = formulate(
                self.data,
                alpha,
                alpha_common,
                alpha_own,
                self.fit_intercept,
                scale_targets,
                self.moments,
                self.strengths.alpha_intercept,
            )
            prepared = prepare(formulation, options["n_components"])
            prepared = replace(prepared, formulation=prepared.at(alpha, alpha_common))
            solution = solve_prepared(prepared, alpha=alpha, alpha_common=alpha_common, **options)
        penalties = self.strengths.penalties
        if alpha_own is not None:
            penalties = replace(penalties, own=alpha_own, is_group=False)
        return _Round(solution, prepared, penalties)

    def _solve_group(
        self, scale_targets: ScaleTargets, eta: NDArray | None, start: Solution | None = None, **options: Any
    ) -> _Round:
        strengths, data, n_iter = self.strengths, self.data, 0
        is_tied = strengths.alpha_intercept is not None
        if is_tied:
            data = as_single_targets(data)

        def fit(own: NDArray, start: Solution | None) -> tuple[Solution, _Round]:
            nonlocal n_iter
            found = self._solve_ridge(scale_targets, own, start=start, **options)
            n_iter += found.n_iter
            if found.solution.own is None:
                solution = replace(found.solution, own=np.zeros_like(found.solution.coef))
                found = replace(found, solution=solution)
            return found.solution, found

        pool_scales = strengths.alpha_common is not None or is_tied
        blocks, scales = make_blocks(data, scale_targets, np.nan if pool_scales else None)
        problem = make_problem(data, blocks, strengths.penalties, self.fit_intercept)
        plain = prepare(describe(problem, data, scales)).at(strengths.alpha, strengths.alpha_common)
        solution, last, eta = solve_group(plain, fit, start, eta)
        return replace(last, solution=solution, eta=eta).with_earlier_steps(n_iter - last.n_iter)


def _moments(data: TaskData, fit_intercept: bool) -> Moments | None:
    """Moments of complete squared targets with at least as many rows as features, once for all rounds."""
    if not is_complete_squared(data) or data.n_rows < data.n_features:
        return None
    return complete_moments(data, fit_intercept)
