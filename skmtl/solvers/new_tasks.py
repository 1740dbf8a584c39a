"""New tasks under a basis that stays: only their factors and intercepts are fitted."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from skmtl.intercepts import InterceptRidge
from skmtl.matrix import FeatureMatrix
from skmtl.objective import Problem
from skmtl.penalties import Penalties
from skmtl.solvers.basis_step import Point
from skmtl.solvers.build import ScaleTargets, make_blocks, make_problem
from skmtl.solvers.factor_prior import refit_factors
from skmtl.solvers.factor_step import eliminate
from skmtl.solvers.formulation import Formulation, describe, point_of, restore
from skmtl.solvers.noise import N_ROUNDS, estimate_noise, likelihood_counts, residual_scales
from skmtl.solvers.predictive import task_spread
from skmtl.solvers.solution import Solution
from skmtl.solvers.start import null_point, with_free_columns
from skmtl.solvers.task_sums import TaskSums, sums_of_data
from skmtl.tasks import TaskData

#: Newton stops when the objective can fall by no more than this share of it.
_TOLERANCE = 1e-12


def fit_factors(
    data: TaskData,
    solution: Solution,
    *,
    alpha: float,
    fit_intercept: bool = True,
    scale_targets: ScaleTargets = "std",
) -> Solution:
    """Factors and intercepts of new tasks under the basis and the common part of `solution`.

    Where its intercepts are tied, those of new tasks bear the same ridge about their mean, which stays.
    Own parts of new tasks are zero: what basis and common part cannot say stays in the residuals.

    Parameters
    ----------
    data : TaskData
        Of the new tasks only, with the features of the fit.
    solution : Solution
    alpha : float
        Ridge strength on the factors, as in the fit.

    Returns
    -------
    Solution
        Of the new tasks; basis and common part are those of `solution`.
    """
    formulation = _formulate(data, solution, alpha, fit_intercept, scale_targets)
    problem = formulation.problem
    point = null_point(problem)
    if solution.common is not None:
        column = solution.common[:, np.newaxis] / (_shared_scale(solution) * problem.penalties.common_factor)
        point = replace(point, basis=column, scores=problem.X.times(column))
    point = with_free_columns(problem, point, solution.basis[:, : solution.rank])
    basis = point.basis[:, : solution.rank]
    done = eliminate(
        problem,
        point.scores,
        basis.T @ basis,
        point.factors,
        point.intercepts,
        _TOLERANCE * abs(point.value),
        prior=np.eye(solution.rank),
    )
    fitted = replace(point, factors=done.factors, intercepts=done.intercepts, value=done.value, slopes=done.slopes)
    return _restored(formulation, fitted, solution)


def fit_new_tasks(
    data: TaskData,
    solution: Solution,
    *,
    alpha: float,
    alpha_common: float | None = None,
    fit_intercept: bool = True,
    scale_targets: str | None = "std",
) -> Solution:
    """As `fit_factors`, with noise, scales and spread of new regression tasks, and under the prior that was learned.

    Parameters
    ----------
    alpha, alpha_common : float
        As in the fit.
    scale_targets : {"std", "residual", None}
    """
    # New tasks have no own part.
    ridge = InterceptRidge() if solution.tie is None else solution.tie.ridge(data.weight_per_task)
    penalties = Penalties(alpha, np.inf if alpha_common is None else alpha_common, intercepts=ridge)
    ratio = None if solution.noise is None else solution.noise.ratio
    scales: ScaleTargets = "std" if scale_targets == "residual" else scale_targets

    def fit(scales: ScaleTargets) -> tuple[Solution, TaskSums | None]:
        new = fit_factors(data, solution, alpha=alpha, fit_intercept=fit_intercept, scale_targets=scales)
        sums = sums_of_data(data, new, fit_intercept)
        if sums is None:
            return new, None
        # The basis was learned elsewhere: it takes no degrees of freedom from the new tasks.
        noise = estimate_noise(data, sums, new, penalties, None, fit_intercept=fit_intercept, ratio=ratio)
        return replace(new, noise=noise), sums

    new, sums = fit(scales)
    if scale_targets == "residual" and new.noise is not None:
        spread = new.target_scale
        for _ in range(N_ROUNDS):
            scales = residual_scales(new, spread)
            new, sums = fit(scales)
    formulation = _formulate(data, solution, alpha, fit_intercept, scales)
    counts = likelihood_counts(data, new)
    if solution.prior is not None and solution.rank > 0:
        point, _ = refit_factors(formulation.problem, point_of(formulation, new), counts, solution.prior)
        refitted = _restored(formulation, point, solution)
        new = replace(refitted, noise=new.noise, prior=solution.prior)
    if solution.spread is not None and sums is not None:
        tasks = task_spread(data, new, sums, solution.spread.shared, formulation, penalties, fit_intercept)
        new = replace(new, spread=tasks)
    return new


def _formulate(
    data: TaskData,
    solution: Solution,
    alpha: float,
    fit_intercept: bool,
    scale_targets: ScaleTargets,
) -> Formulation:
    has_common, tie = solution.common is not None, solution.tie
    # Any finite strength does: the common part is not fitted here.
    penalties = Penalties(alpha if np.isfinite(alpha) else 1.0, 1.0 if has_common else np.inf)
    is_pooled = has_common or tie is not None
    blocks, scales = make_blocks(data, scale_targets, _shared_scale(solution) if is_pooled else None)
    if tie is None:
        return describe(make_problem(data, blocks, penalties, fit_intercept), data, scales)
    # Intercepts are those at the mean of X in the fit, which the rows of new tasks need not have.
    unit = float(scales[0]) if blocks[0].loss.is_quadratic else 1.0
    penalties = replace(penalties, intercepts=tie.ridge(data.weight_per_task, unit))
    problem = Problem(FeatureMatrix(data.X, tie.centre), tuple(blocks), penalties, fit_intercept)
    return describe(problem, data, scales)


def _shared_scale(solution: Solution) -> float:
    """The one scale of all tasks where they have one."""
    return float(solution.target_scale[0]) if np.ptp(solution.target_scale) == 0 else 1.0


def _restored(formulation: Formulation, point: Point, solution: Solution) -> Solution:
    new = restore(formulation, point, solution.basis.shape[1])
    # The signs of the basis are those of the features that it was fitted to, which need not be these.
    signs = np.where(np.einsum("ij,ij->j", new.basis, solution.basis) < 0.0, -1.0, 1.0)
    return replace(
        new,
        factors=new.factors * signs[:, np.newaxis],
        basis=solution.basis,
        common=solution.common,
        feature_scale=solution.feature_scale,
        feature_unit=solution.feature_unit,
        dual_gap=np.nan,
    )
