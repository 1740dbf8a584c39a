"""The whole of a joint fit: the solver, and around it what the residuals say of scales and noise.

Under ``scale_targets="residual"`` targets are divided by the standard deviation of their own residuals, which only a
fit can tell: a few rounds of solver and estimate, each from the basis of the last.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skmtl.penalties import Penalties
from skmtl.solvers.alternating import Prepared, Report, prepare, solve_prepared
from skmtl.solvers.build import ScaleTargets, weight_per_task
from skmtl.solvers.compression import Moments, complete_moments, is_complete_squared
from skmtl.solvers.factor_prior import refit_factors
from skmtl.solvers.formulation import Formulation, formulate, point_of, restore
from skmtl.solvers.new_tasks import fit_factors
from skmtl.solvers.noise import count_unit, estimate_noise
from skmtl.solvers.solution import Noise, Solution
from skmtl.solvers.task_sums import TaskSums, sums_of_data, sums_of_moments
from skmtl.tasks import TaskData

#: Rescalings after the first fit.
_N_ROUNDS = 3
#: Smallest residual scale, relative to the standard deviation: noise-free targets would have none.
_LEAST_SCALE = 1e-3


@dataclass(frozen=True)
class Strengths:
    """The penalties of a fit as the user gives them; a part that is None is absent."""

    alpha: float
    alpha_common: float | None = None
    alpha_own: float | None = None

    @property
    def penalties(self) -> Penalties:
        common, own = (np.inf if a is None else a for a in (self.alpha_common, self.alpha_own))
        return Penalties(self.alpha, common, own)


def fit_jointly(
    data: TaskData,
    strengths: Strengths,
    *,
    scale_targets: str | None = "std",
    factor_prior: str = "ridge",
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
    factor_prior : {"ridge", "learned"}
    tol, start, n_init, report, **limits
        As in `solve_prepared`.

    Returns
    -------
    Solution
        With its noise and, if it was learned, the prior of its factors.
    """
    solver = _Solver(data, strengths, fit_intercept, _moments(data, fit_intercept))
    options = {"tol": tol, "report": report, **limits}
    first_scale = "std" if scale_targets == "residual" else scale_targets
    solution, prepared = solver.solve(first_scale, start=start, n_init=n_init, **options)
    if scale_targets == "residual" and solution.noise is not None:
        spread, n_iter = solution.target_scale, 0
        for _ in range(_N_ROUNDS):
            n_iter += 0 if solution.convergence is None else solution.convergence.n_iter
            solution, prepared = solver.solve(residual_scales(solution, spread), start=solution, **options)
        if solution.convergence is not None:
            convergence = replace(solution.convergence, n_iter=solution.convergence.n_iter + n_iter)
            solution = replace(solution, convergence=convergence)
    if factor_prior == "learned" and solution.rank:
        return with_learned_prior(data, solution, prepared.formulation)
    return solution


def with_learned_prior(data: TaskData, solution: Solution, formulation: Formulation) -> Solution:
    """The solution with its factors recomputed under the prior that they teach."""
    point = point_of(formulation, solution)
    refit = refit_factors(formulation.problem, point, likelihood_counts(data, solution))
    learned = restore(formulation, refit.point, solution.basis.shape[1])
    return replace(
        solution,
        factors=learned.factors,
        own=learned.own,
        coef=learned.coef,
        intercept=learned.intercept,
        prior=refit.prior,
    )


def likelihood_counts(data: TaskData, solution: Solution) -> NDArray:
    """What each task's part of the objective is multiplied by to be its negative log-likelihood, (n_tasks,)."""
    task_weights = 1.0 if data.task_weights is None else data.task_weights
    variances = np.ones(len(data.tasks))
    if solution.noise is not None:
        relative = (solution.noise.deviations / solution.target_scale) ** 2
        # A target without noise says exactly where its factors lie; a noise this small is as good.
        relative = np.maximum(relative, 1e-8 * max(float(np.nanmax(relative)), 1e-8))
        variances = np.where(np.isnan(relative), 1.0, relative)
    return weight_per_task(data) * count_unit(data) / (task_weights * variances)


def fit_new_tasks(
    data: TaskData,
    solution: Solution,
    *,
    alpha: float,
    fit_intercept: bool = True,
    scale_targets: str | None = "std",
) -> Solution:
    """As `fit_factors`, with noise and residual scales of new regression tasks, and under a prior that was learned."""
    penalties = Strengths(alpha).penalties
    ratio = None if solution.noise is None else solution.noise.ratio

    def fit(scales: ScaleTargets) -> Solution:
        new = fit_factors(data, solution, alpha=alpha, fit_intercept=fit_intercept, scale_targets=scales)
        sums = sums_of_data(data, new, fit_intercept)
        if sums is None:
            return new
        # The basis was learned elsewhere: it takes no degrees of freedom from the new tasks.
        noise = estimate_noise(data, sums, new, penalties, None, fit_intercept=fit_intercept, ratio=ratio)
        return replace(new, noise=noise)

    scales: ScaleTargets = "std" if scale_targets == "residual" else scale_targets
    new = fit(scales)
    if scale_targets == "residual" and new.noise is not None:
        spread = new.target_scale
        for _ in range(_N_ROUNDS):
            scales = residual_scales(new, spread)
            new = fit(scales)
    if solution.prior is None:
        return new
    counts = likelihood_counts(data, new)
    refit = fit_factors(data, solution, alpha=alpha, fit_intercept=fit_intercept, scale_targets=scales, counts=counts)
    return replace(refit, noise=new.noise)


def residual_scales(solution: Solution, spread: NDArray) -> NDArray:
    """What targets are divided by next: their noise, kept off zero; `spread` where there is none to tell."""
    noise = solution.noise
    assert noise is not None
    # NaN (no regression task) and zero (a constant target) both keep the scale they had.
    return np.where(noise.deviations > 0, np.maximum(noise.deviations, _LEAST_SCALE * spread), spread)


@dataclass(frozen=True)
class _Solver:
    """The data and strengths of all rounds."""

    data: TaskData
    strengths: Strengths
    fit_intercept: bool
    moments: Moments | None

    def solve(self, scale_targets: ScaleTargets, **options: Any) -> tuple[Solution, Prepared]:
        """One fit under given scales, and its noise."""
        strengths = self.strengths
        formulation = formulate(
            self.data,
            strengths.alpha,
            strengths.alpha_common,
            strengths.alpha_own,
            self.fit_intercept,
            scale_targets,
            self.moments,
        )
        prepared = prepare(formulation)
        solution = solve_prepared(prepared, alpha=strengths.alpha, alpha_common=strengths.alpha_common, **options)
        noise = noise_of_fit(self.data, prepared, solution, strengths, self.fit_intercept, self.moments)
        return replace(solution, noise=noise), prepared


def noise_of_fit(
    data: TaskData,
    prepared: Prepared,
    solution: Solution,
    strengths: Strengths,
    fit_intercept: bool,
    moments: Moments | None,
) -> Noise | None:
    """Noise of the regression tasks by the residuals of a fit; `moments` of complete squared targets, if known."""
    sums: TaskSums | None
    if moments is None:
        sums = sums_of_data(data, solution, fit_intercept)
    else:
        sums = sums_of_moments(moments, solution, fit_intercept)
    if sums is None:
        return None
    return estimate_noise(
        data, sums, solution, strengths.penalties, prepared.preconditioner, fit_intercept=fit_intercept
    )


def _moments(data: TaskData, fit_intercept: bool) -> Moments | None:
    """Moments of complete squared targets with at least as many rows as features, once for all rounds."""
    if not is_complete_squared(data) or data.n_rows < data.n_features:
        return None
    return complete_moments(data, fit_intercept)
