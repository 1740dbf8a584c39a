"""How much of every regression target is noise: residual standard deviations with the degrees of freedom of the fit.

A linear smoother with hat matrix H leaves residuals with ``E |y - H y|^2 = noise^2 (n - tr H)`` where its prior is
right, so that the noise of task t is estimated from its residuals over ``n_t - df_t``. The degrees of freedom are

1. one for the intercept, or the share of one that a ridge leaves it;
2. ``tr A_t (A_t + alpha)^-1`` for the factors, ``A_t`` the curvature of the loss in them; with an own part both
   together, ``tr(1 - K^-1) + tr (Z'K^-1 Z + alpha)^-1 Z'K^-2 Z`` with ``K = 1 + X X' / alpha_own``, ``Z = X B``;
3. the task's share of those of basis and common part, whose curvature is ``H (x) S S'`` (as in the preconditioner):
   ``u_t sum_ij lambda_i s_tj^2 / (lambda_i omega_j + alpha)``, less what turns of the basis and factors share;
4. what is won where basis and factors move together. The trace norm is linear along the k singular values and all but
   linear where two of them turn into each other alike on both sides: such moves are not shrunk. With a_j the
   eigenvalues of the mean curvature in the factors and ``g(a) = a / (a + alpha)``, the k x k moves inside the span
   of both have ``k + sum_{i<j} (1 + g((a_i + a_j) / 2))`` degrees of freedom in place of ``k sum_j g(a_j)`` (the
   divergence of singular value thresholding, Candes, Sing-Long & Trzasko 2013, doi:10.1109/TSP.2013.2270464, with a
   curvature for each direction). A task has its share by the leverage of its factors.

Few rows leave few degrees of freedom, and an interpolating task none. Each task's variance is therefore shrunk
towards the share of its variance that is noise in all tasks together, as if that share had been seen on
`_PRIOR_COUNT` more observations (the moderated variances of Smyth 2004, doi:10.2202/1544-6115.1027).

Targets that are all alike have no unit: nothing but zero scales with them. Only where all tasks have one unit by
declaration (no scaling, or a common part) does a task of a single label have the typical noise of the others.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from skmtl.penalties import Penalties
from skmtl.solvers.preconditioner import Preconditioner
from skmtl.solvers.solution import Noise, Solution
from skmtl.solvers.task_sums import TaskSums, own_spectra
from skmtl.tasks import TaskData

#: Observations' worth of belief that a task has as much noise, relative to its variance, as all tasks together.
_PRIOR_COUNT = 2.0
#: Rounds of scale and fit after the first fit, where residuals set the scales.
N_ROUNDS = 3
#: Smallest residual scale, relative to the standard deviation: noise-free targets would have none.
_LEAST_SCALE = 1e-3
#: Least squares of residuals, relative to those of the targets: sums of moments lose what is smaller to rounding.
_ROUNDING = 1e-15
#: Multiplications that exact degrees of freedom of own parts may cost; beyond, the mean curvature stands for all.
_MAX_WORK = 4e10


def estimate_noise(
    data: TaskData,
    sums: TaskSums,
    solution: Solution,
    penalties: Penalties,
    preconditioner: Preconditioner | None,
    *,
    fit_intercept: bool = True,
    ratio: float | None = None,
) -> Noise:
    """Noise of every regression task of a fit.

    Parameters
    ----------
    preconditioner : Preconditioner or None
        Mean curvature of an output; None where basis and common part were not fitted.
    ratio : float, optional
        Known share of noise; else it is that of all tasks here.
    """
    n_tasks, tasks = len(data.tasks), sums.tasks
    task_weights = data.weight_of_tasks
    scaled_weights = task_weights[tasks] / data.weight_per_task
    own, factors = _task_freedom(data, sums, solution, penalties, scaled_weights, preconditioner, fit_intercept)
    shared = np.zeros(len(tasks))
    if preconditioner is not None:
        shared = _shared_freedom(data, sums, solution, penalties, scaled_weights, preconditioner)
    unit = count_unit(data)
    intercepts = np.zeros(len(tasks))
    if fit_intercept:
        intercepts = penalties.intercepts.freedom(scaled_weights * sums.counts)
    joint = np.zeros(len(tasks))
    if preconditioner is not None:
        joint = _joint_freedom(data, sums, solution, penalties, scaled_weights)
    left = np.maximum(sums.counts * unit - intercepts - own - factors - shared - joint, 0.0)
    variances = sums.total_squares / sums.counts
    varies = sums.total_squares > 0
    squares = np.maximum(sums.residual_squares, _ROUNDING * sums.total_squares) * unit
    # A task that others bend is left with more than its variance.
    shares = np.divide(squares, variances, out=np.zeros(len(tasks)), where=varies)
    shares = np.minimum(shares, sums.counts * unit)
    if ratio is None:
        total_left = float(left[varies].sum())
        seen = float(sums.counts[varies].sum()) * unit
        # Without any freedom left the residuals say nothing but a lower bound.
        ratio = float(shares.sum()) / (total_left if total_left > 0 else max(seen, 1.0))
    noise = (_PRIOR_COUNT * ratio * variances + squares) / (_PRIOR_COUNT + left)
    if varies.any() and np.ptp(solution.target_scale) == 0:
        noise[~varies & (sums.counts * unit < 1.5)] = np.median(noise[varies])
    deviations, freedom, precision = np.full(n_tasks, np.nan), np.zeros(n_tasks), np.full(n_tasks, np.inf)
    widening = np.ones(n_tasks)
    widening[tasks] += np.divide(joint, factors, out=np.zeros(len(tasks)), where=factors > 0)
    deviations[tasks], freedom[tasks] = np.sqrt(noise), factors + intercepts
    precision[tasks] = _PRIOR_COUNT + left
    return Noise(deviations, ratio, freedom, precision, widening)


def residual_scales(solution: Solution, spread: NDArray) -> NDArray:
    """What targets are divided by next: their noise, kept off zero; `spread` where there is none to tell."""
    noise = solution.noise
    assert noise is not None
    # NaN (no regression task) and zero (a constant target) both keep the scale they had.
    return np.where(noise.deviations > 0, np.maximum(noise.deviations, _LEAST_SCALE * spread), spread)


def likelihood_counts(data: TaskData, solution: Solution) -> NDArray:
    """What each task's part of the objective is multiplied by to be its negative log-likelihood, (n_tasks,)."""
    task_weights = data.weight_of_tasks
    variances = np.ones(len(data.tasks))
    if solution.noise is not None:
        relative = (solution.noise.deviations / solution.target_scale) ** 2
        # A target without noise says exactly where its factors lie; a noise this small is as good.
        relative = np.maximum(relative, 1e-8 * max(float(np.nanmax(relative)), 1e-8))
        variances = np.where(np.isnan(relative), 1.0, relative)
    return data.weight_per_task * count_unit(data) / (task_weights * variances)


def count_unit(data: TaskData) -> float:
    """What weights are multiplied by to be counts: those that add to less than one per observation are no counts.

    A weight of 2 is an observation twice, but weights normalised to a sum of 1, say, are brought to a mean of 1.
    """
    if data.weights is None:
        return 1.0
    seen = ~np.isnan(data.y) & ((data.weights if data.weights.ndim == data.y.ndim else data.weights[:, np.newaxis]) > 0)
    return max(1.0, np.count_nonzero(seen) / (data.weight_per_task * len(data.tasks)))


def _task_freedom(
    data: TaskData,
    sums: TaskSums,
    solution: Solution,
    penalties: Penalties,
    scaled_weights: NDArray,
    preconditioner: Preconditioner | None,
    fit_intercept: bool,
) -> tuple[NDArray, NDArray]:
    """Degrees of freedom of own parts and of factors, each of shape (m,)."""
    n_tasks, k = len(sums.tasks), solution.rank
    alpha = penalties.shared
    own = np.zeros(n_tasks)
    if solution.own is None:
        return own, sums.grams.freedom(scaled_weights, alpha)
    spectra = own_spectra(data, solution.basis[:, :k], fit_intercept, _MAX_WORK)
    strengths = np.broadcast_to(penalties.own, len(data.tasks))[sums.tasks]
    if not spectra:
        if preconditioner is not None:
            values = preconditioner.spectrum(data.n_features)
            own = np.array([np.sum(values / (values + strength)) for strength in strengths])
        return own, sums.grams.freedom(scaled_weights, alpha)
    deflated, twice = np.empty((n_tasks, k, k)), np.empty((n_tasks, k, k))
    for t, (values, coordinates) in enumerate(spectra):
        # 1 / (1 + values / strength), also for strength infinity.
        damping = 1.0 / (1.0 + values / strengths[t])
        own[t] = np.sum(1.0 - damping)
        once = (values * damping)[:, np.newaxis] * coordinates
        deflated[t] = coordinates.T @ once
        twice[t] = coordinates.T @ (damping[:, np.newaxis] * once)
    return own, _ridge_trace(deflated, twice, alpha)


def _ridge_trace(grams: NDArray, numerators: NDArray, alpha: float) -> NDArray:
    """``tr (grams + alpha)^-1 numerators`` of every task."""
    if grams.shape[1] == 0 or not np.isfinite(alpha):
        return np.zeros(len(grams))
    # A strength of zero needs a system that can be solved all the same.
    least = 1e-12 * float(np.einsum("tii->", grams)) / max(len(grams), 1) + 1e-300
    ridge = max(alpha, least) * np.eye(grams.shape[1])
    return np.einsum("tii->t", np.linalg.solve(grams + ridge, numerators))


def _shared_freedom(
    data: TaskData,
    sums: TaskSums,
    solution: Solution,
    penalties: Penalties,
    scaled_weights: NDArray,
    preconditioner: Preconditioner,
) -> NDArray:
    """What a regression task bears of the degrees of freedom of basis and common part, shape (m,)."""
    factors = scaled_factors(data, solution, penalties)
    omega, vectors = np.linalg.eigh(factors.T @ factors)
    values = preconditioner.spectrum(data.n_features)
    n_directions = np.count_nonzero(values > 1e-12 * max(float(values.max(initial=0.0)), 1e-300))
    values = values[values > 0]
    # Factors of zero without a penalty bear nothing, whatever is divided by.
    omega = np.maximum(omega, 1e-15 * max(float(omega.max(initial=0.0)), 1e-200))
    per_column = np.array([np.sum(1.0 / (o + penalties.reference / values)) for o in omega])
    turned = (factors[data.output_offsets[sums.tasks]] @ vectors) ** 2
    # Turns of the basis are moves of the factors, which are counted already.
    free = max(n_directions - solution.rank, 0) / max(n_directions, 1)
    weight = scaled_weights * sums.counts
    return free * weight * (turned @ per_column)


def _joint_freedom(
    data: TaskData, sums: TaskSums, solution: Solution, penalties: Penalties, scaled_weights: NDArray
) -> NDArray:
    """What moves of basis and factors together add to those of the factors, shape (m,)."""
    k, alpha = solution.rank, penalties.shared
    if k == 0 or not 0 < alpha < np.inf:
        return np.zeros(len(sums.tasks))
    curvature = np.maximum(np.linalg.eigvalsh(sums.grams.mean(scaled_weights)), 0.0)
    shares = curvature / (curvature + alpha)
    pairs = (curvature[:, np.newaxis] + curvature) / 2.0
    together = np.sum(1.0 + pairs / (pairs + alpha)) - np.sum(1.0 + shares)
    gain = max(k + together / 2.0 - k * float(np.sum(shares)), 0.0)
    factors = scaled_factors(data, solution, penalties)[:, :k]
    loadings = np.linalg.svd(factors, full_matrices=False)[0]
    return gain * np.sum(loadings[data.output_offsets[sums.tasks]] ** 2, axis=1) / k


def scaled_factors(data: TaskData, solution: Solution, penalties: Penalties) -> NDArray:
    """Factors of all outputs in units of the scaled targets, that of the common part last, (n_outputs, p)."""
    n_outputs = data.n_outputs
    factors = (solution.factors[: solution.rank] / np.repeat(solution.target_scale, n_outputs)).T
    if solution.common is None:
        return factors
    shares = np.repeat(n_outputs == 1, n_outputs) * penalties.common_factor
    return np.concatenate([factors, shares[:, np.newaxis]], axis=1)
