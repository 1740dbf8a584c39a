"""New tasks under a basis that stays: only their factors and intercepts are fitted."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from skmtl.penalties import Penalties
from skmtl.solvers.build import ScaleTargets, make_blocks, make_problem
from skmtl.solvers.factor_prior import refit_factors
from skmtl.solvers.factor_step import eliminate
from skmtl.solvers.formulation import describe, restore
from skmtl.solvers.solution import Solution
from skmtl.solvers.start import null_point, with_free_columns
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
    counts: NDArray | None = None,
) -> Solution:
    """Factors and intercepts of new tasks under the basis and the common part of `solution`.

    Own parts of new tasks are zero: what basis and common part cannot say stays in the residuals.

    Parameters
    ----------
    data : TaskData
        Of the new tasks only, with the features of the fit.
    solution : Solution
    alpha : float
        Ridge strength on the factors, as in the fit.
    counts : ndarray of shape (n_tasks,), optional
        Fit under ``solution.prior`` instead, with each task's loss times this as its negative log-likelihood.

    Returns
    -------
    Solution
        Of the new tasks; basis and common part are those of `solution`.
    """
    has_common = solution.common is not None
    # Any finite strength does: the common part is not fitted here.
    penalties = Penalties(alpha if np.isfinite(alpha) else 1.0, 1.0 if has_common else np.inf)
    shared_scale = float(solution.target_scale[0]) if np.ptp(solution.target_scale) == 0 else 1.0
    blocks, scales = make_blocks(data, scale_targets, shared_scale if has_common else None)
    problem = make_problem(data, blocks, penalties, fit_intercept)
    point = null_point(problem)
    if solution.common is not None:
        column = solution.common[:, np.newaxis] / (shared_scale * penalties.common_factor)
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
    if counts is not None:
        fitted = refit_factors(problem, fitted, counts, solution.prior).point
    new = restore(describe(problem, data, scales), fitted, solution.basis.shape[1])
    return replace(new, basis=solution.basis, common=solution.common, dual_gap=np.nan)
