"""The spread of a new target about its prediction: noise, and what the fit leaves open about the coefficients.

With ``z = x @ basis`` a target of a regression task t has the variance ::

    noise_t^2 (1 + 1 / n_t)                                          noise, and the intercept; where a ridge ties the
                                                                     intercepts, n_t is what it makes of the rows
    + (z - mean_t)' V_t (z - mean_t)                                 factors, V_t their posterior covariance
    + sum_ij (q_i'x)^2 l_tj^2 / (lambda_i omega_j + alpha_j)         basis and common part
    + noise_t^2 / nbar  x' (G + alpha_own)^-1 x                      own part, G the mean over the tasks

x about the mean of X, in the third term without what lies in the span of the basis (moves of the basis there are
moves of the factors), in the last two terms times ``1 + 1 / n_t`` for the mean of the task. The basis has the
curvature ``H (x) S S'`` of the preconditioner with the eigenvalues lambda and omega, and

1. not the strength of the fit says how large a column of the basis is in directions that the rows have little of or,
   with more features than rows, nothing, but the column itself: alpha_j is the noise over its mean square per
   direction, what is open about it included;
2. since each task's rows served its own factors and intercept first, only the share ``1 - df_t / n_t`` of them is
   left to tell the basis, so that lambda is that much smaller;
3. the factors are not known but have a posterior: ``l_tj^2`` is its second moment in the eigenvectors of S S';
4. what the basis leaves open acts on the factors as noise does, and is added to it before V_t is computed;
5. V_t is widened by what basis and factors have open together, in the ratio of the degrees of freedom (`noise`).

All is multiplied by ``1 + 2 / nu_t`` for a noise that was estimated from nu_t degrees of freedom, about the variance
of Student's t. The terms are added as if independent, except that an own part takes over some of what the others
leave open: x is replaced by ``(1 - G (G + alpha_own)^-1) x`` in theirs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from skmtl.matrix import scaled_columns
from skmtl.penalties import Penalties
from skmtl.solvers.factor_posterior import FactorPosterior
from skmtl.solvers.factor_prior import factor_curvatures, prior_root
from skmtl.solvers.formulation import Formulation, point_of
from skmtl.solvers.noise import count_unit, likelihood_counts, scaled_factors
from skmtl.solvers.preconditioner import Preconditioner
from skmtl.solvers.relevance import in_scaled_features
from skmtl.solvers.score_grams import KeptGrams
from skmtl.solvers.solution import Solution
from skmtl.solvers.spread import MergedSpread, SharedSpread, Spread
from skmtl.solvers.task_sums import TaskSums
from skmtl.solvers.threads import one_blas_thread
from skmtl.tasks import TaskData

#: Of the ridge on the basis, relative to the largest curvature: without any, unseen directions would be NaN.
_LEAST_STRENGTH = 1e-10


def shared_spread(
    data: TaskData,
    solution: Solution,
    penalties: Penalties,
    formulation: Formulation,
    preconditioner: Preconditioner,
    centre: NDArray,
) -> SharedSpread:
    """Of a fit whose tasks are all regressions, about the mean of X, or zero without intercepts."""
    factors = scaled_factors(data, solution, penalties)
    omega, turn = np.linalg.eigh(factors.T @ factors)
    assert solution.noise is not None
    variance = float(np.mean((solution.noise.deviations / solution.target_scale) ** 2))
    # Turns of the basis are moves of the factors, which have their own term.
    values = preconditioner.spectrum(formulation.problem.X.shape[1])
    n_directions = max(int(np.count_nonzero(values > 1e-12 * values.max(initial=1e-300))), 1)
    free = max(n_directions - solution.rank, 0) / n_directions
    curvature = preconditioner
    if formulation.directions is not None and preconditioner.vectors is not None:
        curvature = replace(preconditioner, vectors=formulation.directions @ preconditioner.vectors)
    # Own parts of some tasks only leave the mean curvature all but as it was.
    is_eliminated = np.ndim(penalties.own) == 0 and penalties.has_own and not formulation.problem.penalties.has_own
    scale = data.weight_per_task * count_unit(data)
    n_observed = scale * len(data.tasks)
    omega, profile = np.maximum(omega, 0.0), max(1.0 - float(np.sum(solution.noise.freedom)) / n_observed, 0.1)
    strength = max(penalties.reference, _LEAST_STRENGTH * float(values.max(initial=0.0) * omega.max(initial=0.0)))
    seen = values[values > 1e-12 * values.max(initial=1e-300), np.newaxis]
    of_seen = np.sum(free / (profile * seen * omega + strength), axis=0) * variance / scale
    squares = (np.sum((_columns(solution, penalties) @ turn) ** 2, axis=0) + of_seen) / n_directions
    # One step of EM: what a column holds in a direction that no row has is as large as in one that is seen.
    strengths = np.divide(variance / scale, squares, out=np.full_like(omega, strength), where=squares > 0)
    return SharedSpread(curvature, centre, turn, omega, strengths, free, variance / scale, profile, is_eliminated)


def _columns(solution: Solution, penalties: Penalties) -> NDArray:
    """Basis, and the common part by the factor that `scaled_factors` gives it, (n_features, p)."""
    basis = solution.basis[:, : solution.rank]
    if solution.common is None:
        return basis
    unit = solution.target_scale[0] if np.ptp(solution.target_scale) == 0 else 1.0
    # Without any strength of the basis the common part has no share in what the two leave open.
    factor = unit * penalties.common_factor
    column = solution.common / factor if factor > 0 else np.zeros(len(basis))
    return np.concatenate([basis, column[:, np.newaxis]], axis=1)


def task_spread(
    data: TaskData,
    solution: Solution,
    sums: TaskSums,
    shared: SharedSpread,
    formulation: Formulation,
    penalties: Penalties,
    fit_intercept: bool,
) -> Spread:
    """Of regression tasks, in units of their targets."""
    n_tasks, scale = len(data.tasks), solution.target_scale
    assert solution.noise is not None
    unit = count_unit(data)
    counts = np.full(n_tasks, np.inf)
    if fit_intercept:
        weights = data.weight_of_tasks / data.weight_per_task * sums.counts
        counts = sums.counts * unit / (weights * penalties.intercepts.variances(weights))
    has_own = solution.own is not None and penalties.has_own
    return Spread(
        shared,
        counts,
        sums.score_means,
        _posterior(data, solution, sums, formulation),
        scaled_factors(data, solution, penalties),
        (solution.noise.deviations / scale) ** 2,
        # Targets that are all alike have no unit: nothing is open about them.
        np.where(solution.noise.deviations > 0, scale, 0.0),
        np.broadcast_to(penalties.own if has_own else np.inf, n_tasks),
        solution.noise.deviations**2 / (data.weight_per_task * unit),
    )


def _posterior(data: TaskData, solution: Solution, sums: TaskSums, formulation: Formulation) -> FactorPosterior:
    """Of the factors of every task, in the user's order."""
    grams, weights = sums.grams, data.weight_of_tasks / data.weight_per_task
    if solution.own is not None and solution.rank > 0:
        # An own part takes over some of what the factors say.
        inside = factor_curvatures(formulation.problem, point_of(formulation, solution))
        grams, weights = KeptGrams(in_order := np.empty_like(inside)), np.ones(len(weights))
        in_order[formulation.order] = inside
    root = None if solution.prior is None else prior_root(solution.prior)
    ridge = formulation.problem.penalties.reference
    assert solution.noise is not None
    widening = solution.noise.widening if root is None else np.ones(len(weights))
    return FactorPosterior(grams, weights, likelihood_counts(data, solution), ridge, root, solution.rank, widening)


def standard_deviations(solution: Solution, X: Any, tasks: NDArray) -> NDArray:
    """Standard deviation of a new target of each of `tasks` for every row of X, shape (n_rows, len(tasks)).

    A task of position -1 was not in the fit: its factors vary as those of the fitted tasks do about zero, its
    intercept as theirs (at the mean of X, where they are tied there), and its noise is theirs on average.
    """
    spread = solution.spread
    if isinstance(spread, MergedSpread):
        return _merged(spread, X, tasks)
    assert spread is not None
    if (scales := solution.inside_scale) is not None:
        X = scaled_columns(X, scales)
        solution = in_scaled_features(solution, scales)
    variances = np.empty((X.shape[0], len(tasks)))
    is_known = tasks >= 0
    with one_blas_thread():  # the systems of many tasks are small
        if is_known.any():
            variances[:, is_known] = _variances_of_fitted(solution, spread, X, tasks[is_known])
        if not is_known.all():
            variances[:, ~is_known] = _variances_of_new(solution, spread, X)[:, np.newaxis]
    return np.sqrt(np.maximum(variances, 0.0))


def _variances_of_fitted(solution: Solution, spread: Spread, X: Any, tasks: NDArray) -> NDArray:
    """Variances of tasks that were in the fit, shape (n_rows, len(tasks))."""
    shared, basis = spread.shared, solution.basis[:, : solution.rank]
    assert solution.noise is not None
    intercept = 1.0 + 1.0 / spread.counts[tasks]
    variances = solution.noise.deviations[tasks] ** 2 * intercept
    strengths = spread.own_strengths[tasks]
    of_basis: Callable[[NDArray], NDArray] = shared.inverse_curvature
    offsets = spread.score_means - shared.centre @ basis
    if np.isfinite(strengths).any():
        variances = variances + _own_variances(shared, X, strengths) * (spread.own_variances[tasks] * intercept)
        if np.ptp(spread.own_strengths) == 0:
            of_basis = partial(_beside_own, shared, float(strengths[0]))
        if shared.is_own_eliminated:
            basis = _deflated(shared.curvature, basis, float(strengths[0]))
    moments = spread.moments[tasks] * intercept[:, np.newaxis]
    of_basis_term = _quadratic_forms(shared, X, of_basis, solution.basis[:, : solution.rank])
    variances = variances + of_basis_term @ moments.T * shared.variance
    scores = np.asarray(X @ basis) - shared.centre @ basis
    variances += spread.factor_variances(scores, offsets, tasks)
    # The noise is an estimate itself: the variance of Student's t for what it was estimated from.
    return variances * (1.0 + 2.0 / solution.noise.counts[tasks])


def _variances_of_new(solution: Solution, spread: Spread, X: Any) -> NDArray:
    """Variances of a task that was not in the fit, shape (n_rows,)."""
    shared, k = spread.shared, solution.rank
    assert solution.noise is not None
    basis = solution.basis[:, :k]
    of_basis = _quadratic_forms(shared, X, shared.inverse_curvature, basis) @ np.mean(spread.moments, axis=0)
    second = (solution.factors[:k] @ solution.factors[:k].T) / solution.factors.shape[1]
    second = second + spread.mean_covariance
    scores = np.asarray(X @ solution.basis[:, :k])
    of_factors = np.sum((scores @ second) * scores, axis=1)
    noise = solution.noise.deviations**2
    levels = np.var(solution.intercept)
    if solution.tie is not None:
        levels = np.var(solution.intercept + solution.tie.centre @ solution.coef) + np.mean(noise / spread.counts)
    return np.mean(noise) + levels + of_basis * shared.variance + of_factors


def _merged(spread: MergedSpread, X: Any, tasks: NDArray) -> NDArray:
    """Every fit answers for its own tasks, the first one for those that are in none."""
    deviations = np.empty((X.shape[0], len(tasks)))
    for place, (positions, solution) in enumerate(spread.parts):
        own = np.isin(tasks, positions) | ((tasks < 0) & (place == 0))
        if own.any():
            place_of = {int(t): i for i, t in enumerate(positions)}
            inside = np.array([place_of.get(int(t), -1) for t in tasks[own]])
            deviations[:, own] = standard_deviations(solution, X, inside)
    return deviations


def _own_variances(shared: SharedSpread, X: Any, strengths: NDArray) -> NDArray:
    """``x' (G + strength)^-1 x`` for every task, on average over the tasks' G."""
    distinct, place = np.unique(strengths, return_inverse=True)

    def inverse(values: NDArray) -> NDArray:
        if shared.is_own_eliminated:
            # The curvature is G strength / (G + strength) then, and says so exactly.
            return np.maximum(1.0 - values / distinct, 0.0) / distinct
        return 1.0 / (values + distinct)

    return _quadratic_forms(shared, X, inverse)[:, place.ravel()]


def _beside_own(shared: SharedSpread, strength: float, values: NDArray) -> NDArray:
    """`SharedSpread.inverse_curvature` times the squared share of x that own parts of this strength leave."""
    shares = np.maximum(1.0 - values / strength, 0.0) if shared.is_own_eliminated else strength / (values + strength)
    return shares**2 * shared.inverse_curvature(values if shared.is_own_eliminated else values * shares)


def _deflated(curvature: Preconditioner, basis: NDArray, strength: float) -> NDArray:
    """``(1 - H / strength) basis``, with H what own parts of this strength have left of the curvature."""
    if curvature.vectors is None:
        return basis * np.maximum(1.0 - curvature.values / strength, 0.0)[:, np.newaxis]
    inner = curvature.vectors.T @ basis
    shares = np.minimum((curvature.values - curvature.rest) / strength, 1.0)
    return basis * (1.0 - curvature.rest / strength) - curvature.vectors @ (inner * shares[:, np.newaxis])


def _quadratic_forms(
    shared: SharedSpread, X: Any, inverse: Callable[[NDArray], NDArray], basis: NDArray | None = None
) -> NDArray:
    """``(x - centre)' f_j(H) (x - centre)`` for functions f_j of the curvature, shape (n_rows, m).

    `inverse` maps eigenvalues of shape (r, 1) to the values f of shape (r, m). With a `basis`, x is taken without what
    lies in its span: moves of the basis there are moves of the factors, which have their own term.
    """
    curvature, centre = shared.curvature, shared.centre
    if curvature.vectors is None:
        weights = inverse(curvature.values[:, np.newaxis]) * (1.0 if basis is None else shared.free)
        squares = X.multiply(X) if sparse.issparse(X) else X**2
        cross = centre[:, np.newaxis] * weights
        return np.asarray(squares @ weights) - 2.0 * np.asarray(X @ cross) + centre @ cross
    vectors, axes = curvature.vectors, np.zeros((len(centre), 0))
    if basis is not None:
        axes = _orthonormal(basis)
        vectors = vectors - axes @ (axes.T @ vectors)
    inner = (np.asarray(X @ vectors) - centre @ vectors) ** 2
    forms = inner @ inverse(curvature.values[:, np.newaxis])
    if curvature.is_complete:
        return forms
    lengths = X.multiply(X).sum(axis=1) if sparse.issparse(X) else np.einsum("ij,ij->i", X, X)
    lengths = np.asarray(lengths).ravel() - 2.0 * np.asarray(X @ centre) + centre @ centre
    lengths = lengths - np.sum((np.asarray(X @ axes) - centre @ axes) ** 2, axis=1)
    outside = np.maximum(lengths - inner.sum(axis=1), 0.0)
    return forms + outside[:, np.newaxis] * inverse(np.array([[curvature.rest]]))


def _orthonormal(columns: NDArray) -> NDArray:
    """Axes of the span of some columns."""
    axes, values, _ = np.linalg.svd(columns, full_matrices=False)
    return axes[:, values > 1e-10 * values.max(initial=1e-300)]
