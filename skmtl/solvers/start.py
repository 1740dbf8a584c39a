"""Where the alternation starts: leading singular vectors of a whitened pooled fit, or random directions.

At the null model (intercepts only) the negative gradient in W is G. The reduced-rank ridge fit of all tasks
at once has the basis ``H^-1/2 U_k``, U_k the leading left singular vectors of ``H^-1/2 G`` (Izenman 1975,
doi:10.1016/0047-259X(75)90042-1; Mukherjee & Zhu 2011, doi:10.1002/sam.10138): for complete squared targets
it is often the answer, everywhere else a start far better than a random one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from skmtl.matrix import FeatureMatrix
from skmtl.objective import Problem
from skmtl.penalties import leading_left_vectors
from skmtl.solvers.basis_step import Point
from skmtl.solvers.factor_step import eliminate
from skmtl.solvers.preconditioner import Preconditioner, make_preconditioner
from skmtl.solvers.task_models import LossState

#: Smallest strength, as a share of the gradient at the null model.
_WEAKEST = 1e-11
#: Combinations of outputs that are tried beyond the components, what share of the rows tells which, and how few of
#: them do not: a sample twice as noisy as the data already names nearly the same.
_EXTRA_COLUMNS, _SAMPLED_SHARE, _LEAST_SAMPLE = 5, 0.1, 2000
#: Decrease per output that intercepts alone may leave.
_INTERCEPT_TOLERANCE = 1e-12
#: Doubles that the factor step's systems may hold, own parts included: larger ones cost more than the further steps
#: that own parts take which move with the basis. Counts, whose curvature changes most, take more of those.
_MAX_OWN_ELEMENTS, _SHARE_OF_COUNTS = 1 << 16, 0.25


def null_point(problem: Problem) -> Point:
    """The model with intercepts only; one zero column stands for the common part where there is one."""
    n_rows, n_features = problem.X.shape
    n_frozen = int(np.isfinite(problem.penalties.common))
    factors = np.outer(problem.shares_common, np.full(n_frozen, problem.penalties.common_factor))
    intercepts = np.concatenate([problem.null_raw(block) for block in problem.blocks])
    if not problem.penalties.intercepts.is_free:
        intercepts = _tied_intercepts(problem, intercepts)
    empty = np.zeros((n_rows, n_frozen))
    value, slopes = problem.constant, []
    states: list[LossState | None] = []
    for block in problem.blocks:
        raw = problem.raw(block, empty, factors[block.outputs], intercepts[block.outputs])
        # The start and the preconditioner ask for the same losses.
        if block.loss.is_quadratic:
            states.append(None)
            loss, slope = block.loss_and_slope(raw)
        else:
            state = LossState(raw, *block.evaluate(raw))
            states.append(state)
            loss, slope = float(np.sum(state.losses)), state.slope
        value += loss
        slopes.append(slope)
    value += problem.penalties.intercepts.penalty(intercepts)
    point = Point(np.zeros((n_features, n_frozen)), empty, factors, intercepts, 0, value, slopes, states=states)
    if problem.penalties.has_own:
        point.own = np.zeros((n_features, problem.n_outputs))
        if _eliminates_own(problem):
            point.own_scores = problem.X.centred() * problem.penalties.own_factor
        else:
            point.own_raw = [np.zeros_like(slope) for slope in slopes]
    return point


def _tied_intercepts(problem: Problem, intercepts: NDArray) -> NDArray:
    """The best ones of a model without coefficients."""
    n_outputs = problem.n_outputs
    nothing = np.empty((problem.X.shape[0], 0)), np.empty((0, 0)), np.empty((n_outputs, 0))
    return eliminate(problem, *nothing, intercepts, _INTERCEPT_TOLERANCE * n_outputs, polish=2).intercepts


def _eliminates_own(problem: Problem) -> bool:
    """Whether own parts are worth the systems of all tasks, which have as many unknowns as there are features.

    Those of all tasks share one X in the units of own parts, so that all tasks need one strength.
    """
    n_features, has_one = problem.X.shape[1], np.ndim(problem.penalties.own) == 0
    elements = sum(
        block.observations.n_tasks
        * (block.observations.n_outputs * n_features) ** 2
        * (_SHARE_OF_COUNTS if block.loss.name == "poisson" else 1.0)
        for block in problem.blocks
    )
    return has_one and not problem.X.is_sparse and elements <= _MAX_OWN_ELEMENTS


def curvature_preconditioner(problem: Problem, point: Point) -> Preconditioner:
    """Preconditioner for the mean curvature of an output at `point`."""
    row_weights = np.zeros(problem.X.shape[0])
    for place, block in enumerate(problem.blocks):
        known = None if point.states is None else point.states[place]
        if block.loss.is_quadratic:
            curvature = np.ones_like(block.y)
        elif known is not None:
            curvature = known.curvature
        else:
            factors, intercepts = point.factors[block.outputs], point.intercepts[block.outputs]
            curvature = block.evaluate(problem.raw(block, point.scores, factors, intercepts))[2]
        if block.observations.n_outputs > 1:
            curvature = np.sum(curvature * (1.0 - curvature), axis=-1)
        per_task = block.observations.spread(block.scale**2)
        row_weights += block.observations.row_totals(block.weighted(curvature * per_task))
    between = None if problem.between is None else problem.between / problem.n_outputs
    tells_noise = any(block.loss.is_quadratic for block in problem.blocks)
    return make_preconditioner(problem.X, row_weights / problem.n_outputs, between, tells_noise=tells_noise)


def least_strength(gradient: NDArray) -> float:
    """The shared strength below which a penalty drowns in rounding, given the gradient at the null model."""
    return max(_WEAKEST * float(np.linalg.norm(gradient)), 1e-150)


def sketches_gradient(problem: Problem, n_components: int) -> bool:
    """Whether the gradient of all outputs, some fifth of a fit to sparse X, costs more than `leading_gradient`."""
    n_columns = n_components + _EXTRA_COLUMNS
    enough_rows = _SAMPLED_SHARE * problem.X.shape[0] >= _LEAST_SAMPLE
    return problem.X.is_sparse and enough_rows and 2 * n_columns <= min(problem.n_outputs, problem.X.shape[1])


def leading_gradient(
    problem: Problem, slopes: Sequence[NDArray], preconditioner: Preconditioner, n_components: int
) -> NDArray:
    """The gradient in few combinations of the outputs, which its leading left singular vectors are sought among.

    Those are the leading right singular vectors of the whitened gradient on a sample of rows; one product with all
    rows is then a step of subspace iteration (Halko et al. 2011, doi:10.1137/090771806).

    Returns
    -------
    gradient : ndarray of shape (n_features, n_components and a few more)
    """
    X = problem.X
    # A fixed seed: the start changes the path to the optimum, not the optimum.
    rng = np.random.default_rng(0)
    rows = np.sort(rng.choice(X.shape[0], int(_SAMPLED_SHARE * X.shape[0]), replace=False))
    sampled = [
        block.observations.at_rows(slope, rows) * block.output_scale.T
        for block, slope in zip(problem.blocks, slopes, strict=True)
    ]
    gradient = FeatureMatrix(X.X[rows], X.centre).transposed_times(np.concatenate(sampled, axis=1))
    ridge = max(problem.penalties.reference, least_strength(gradient))
    whitened = preconditioner.inverse_root(gradient, ridge)
    outputs = np.linalg.eigh(whitened.T @ whitened)[1][:, -(n_components + _EXTRA_COLUMNS) :]
    return problem.basis_gradient(slopes, outputs)


def spectral_basis(gradient: NDArray, preconditioner: Preconditioner, ridge: float, n_components: int) -> NDArray:
    """Leading basis of the reduced-rank ridge fit, shape (n_features, n_components)."""
    whitened = preconditioner.inverse_root(gradient, ridge)
    vectors, values = leading_left_vectors(whitened, n_components)
    vectors = vectors * np.where(values > 1e-12 * max(values[0], 1e-300), 1.0, 0.0)
    return preconditioner.inverse_root(vectors, ridge) * np.sqrt(ridge)


def random_basis(
    preconditioner: Preconditioner, ridge: float, n_components: int, n_features: int, rng: np.random.RandomState
) -> NDArray:
    """Random directions, whitened as the spectral ones are."""
    columns = rng.standard_normal((n_features, n_components)) / np.sqrt(n_features)
    return preconditioner.inverse_root(columns, ridge) * np.sqrt(ridge)


def with_free_columns(problem: Problem, point: Point, columns: NDArray) -> Point:
    """`point` with further free columns in its basis, whose factors start at zero."""
    k, m = point.n_free, columns.shape[1]
    basis = np.concatenate([point.basis[:, :k], columns, point.basis[:, k:]], axis=1)
    scores = np.concatenate([point.scores[:, :k], problem.X.times(columns), point.scores[:, k:]], axis=1)
    zeros = np.zeros((len(point.factors), m))
    factors = np.concatenate([point.factors[:, :k], zeros, point.factors[:, k:]], axis=1)
    return replace(point, basis=basis, scores=scores, factors=factors, n_free=k + m)
