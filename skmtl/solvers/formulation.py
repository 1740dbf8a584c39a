"""The smallest problem that stands for the user's data, chosen in one place, and the way back from it.

============================================  =============================================================
data                                          what the solver works on
============================================  =============================================================
dense X with fewer rows than features         the row space of X; of a sparse X that is wide for its rows where own
                                              parts of other than squared losses need it
squared loss, complete targets                second moments: at most n_features rows (`compress_complete`)
squared loss, own dense rows, n_t > d or own  rows centred per task, compressed where longer than wide; where
                                              intercepts are tied, with one more row for the means
anything else                                 the rows as they are; sparse X stays sparse
============================================  =============================================================
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from skmtl.intercepts import InterceptRidge
from skmtl.objective import Block, Problem
from skmtl.observations import ListedObservations
from skmtl.penalties import Penalties
from skmtl.solvers.basis_step import Point
from skmtl.solvers.build import (
    ScaleTargets,
    as_labelled,
    as_single_targets,
    make_blocks,
    make_problem,
    output_order,
)
from skmtl.solvers.compression import (
    Compressed,
    Moments,
    SparseDirections,
    complete_moments,
    compress_complete,
    is_complete_squared,
    is_long,
    is_wide,
    to_row_space,
)
from skmtl.solvers.own_rows import compress_labelled
from skmtl.solvers.solution import Solution, Tie
from skmtl.solvers.task_moments import TaskMoments, compress_tasks, has_long_tasks, task_moments
from skmtl.solvers.tied_intercepts import tied_problem
from skmtl.tasks import TaskData


@dataclass(frozen=True)
class Formulation:
    """A problem, and what is needed to speak of its solution in the user's terms.

    Attributes
    ----------
    problem : Problem
    order : intp ndarray of shape (n_outputs,)
        User's position of each of the problem's outputs.
    scales : ndarray of shape (n_tasks,)
    output_scales : ndarray of shape (n_outputs,)
        In the problem's order: ``W_user = scale * W``.
    intercept_scales : ndarray of shape (n_outputs,)
        As `output_scales`, for intercepts.
    directions : ndarray of shape (n_features, rank), such an operator, or None
        Row space of X.
    centre : ndarray of shape (n_features,), or None
        What was subtracted from the rows that were handed over.
    compressed : Compressed or None
    blocks : tuple of Block, or None
        The observations before any compression, where they are those of the data as they were handed over.
    alpha_own : float or ndarray of shape (n_outputs,)
    is_scarce : bool
        Whether tasks observe fewer rows than there are (dense) features: then local optima are real.
    weight_per_task : float
        By which the sum of all losses is divided.
    """

    problem: Problem
    order: NDArray
    scales: NDArray
    output_scales: NDArray
    intercept_scales: NDArray
    directions: NDArray | SparseDirections | None = None
    centre: NDArray | None = None
    compressed: Compressed | None = None
    blocks: tuple[Block, ...] | None = None
    alpha_own: float | NDArray = np.inf
    is_scarce: bool = False
    weight_per_task: float = 1.0


def formulate(
    data: TaskData,
    alpha: float,
    alpha_common: float | None,
    alpha_own: float | NDArray | None,
    fit_intercept: bool,
    scale_targets: ScaleTargets,
    moments: Moments | TaskMoments | None = None,
    alpha_intercept: float | None = None,
) -> Formulation:
    """Choose the formulation by the data at hand.

    `moments` stand for the rows of complete squared targets, and for those of long tasks with own parts.
    An array for `alpha_own` (n_tasks,) is a strength for every task, infinity for those without an own part.
    Intercepts that are tied by `alpha_intercept` need targets of which no row has two.
    """
    is_tied = alpha_intercept is not None
    if is_tied:
        data, moments = as_single_targets(data), None
    own_by_task = np.inf if alpha_own is None else alpha_own
    tie = InterceptRidge(alpha_intercept or 0.0)
    penalties = Penalties(alpha, np.inf if alpha_common is None else alpha_common, own_by_task, intercepts=tie)
    # Own parts are eliminated row by row, which squared losses on dense rows of their own allow.
    eliminates_own = (
        alpha_own is not None and not sparse.issparse(data.X) and all(task.kind == "regression" for task in data.tasks)
    )
    is_long_with_own = isinstance(moments, TaskMoments) or (
        eliminates_own and penalties.has_own and has_long_tasks(data)
    )
    given = data
    if not is_long_with_own:
        data = as_labelled(data, copies=eliminates_own and not data.is_complete)
    is_as_given = data is given
    directions = centre = compressed = kept = None
    is_complete = isinstance(moments, Moments) or is_complete_squared(data)
    # Observations against features, before either is compressed. Complete squared targets have no local optima.
    is_scarce = not sparse.issparse(data.X) and data.weight_per_task < data.n_features and not is_complete
    # There own parts of a sparse X need not move with the basis, in steps as long as all coefficients. Squared losses,
    # whose spread is that of directions among all features, do without.
    has_sparse_own = penalties.has_own and not all(task.kind == "regression" for task in data.tasks)
    if moments is None and (has_sparse_own or not sparse.issparse(data.X)) and is_wide(data):
        data, directions, centre = to_row_space(data, data.row_weights if fit_intercept else None)
    pool_scales = alpha_common is not None or is_tied
    if is_complete:
        moments = moments if isinstance(moments, Moments) else complete_moments(data, fit_intercept)
        compressed, scales = compress_complete(data, moments, penalties, fit_intercept, scale_targets, pool_scales)
        problem = compressed.problem
    elif is_long_with_own:
        moments = moments if isinstance(moments, TaskMoments) else task_moments(data)
        compressed, scales = compress_tasks(moments, penalties, fit_intercept, scale_targets, pool_scales)
        problem = compressed.problem
    else:
        blocks, scales = make_blocks(data, scale_targets, np.nan if pool_scales else None)
        kept = tuple(blocks) if is_as_given else None
        if np.ndim(own_by_task):
            by_output = [np.repeat(np.asarray(own_by_task)[b.tasks], b.observations.n_outputs) for b in blocks]
            penalties = replace(penalties, own=np.concatenate(by_output))
        if is_tied:
            problem, rows_centre = tied_problem(data, blocks[0], penalties, _zeros_or_none(centre, data))
            centre = rows_centre if directions is None else centre
        elif (
            len(blocks) == 1
            and blocks[0].loss.is_quadratic
            and data.task_of_row is not None
            and isinstance(blocks[0].observations, ListedObservations)
            and not sparse.issparse(data.X)
            and (alpha_own is not None or is_long(data))
        ):
            compressed = compress_labelled(data, blocks[0], penalties, fit_intercept)
            problem = compressed.problem
        else:
            problem = make_problem(data, blocks, penalties, fit_intercept)
    return replace(
        describe(problem, data, scales),
        is_scarce=is_scarce,
        directions=directions,
        centre=centre,
        compressed=compressed,
        blocks=kept,
        alpha_own=penalties.own,
        weight_per_task=data.weight_per_task,
    )


def _zeros_or_none(centre: NDArray | None, data: TaskData) -> NDArray | None:
    """The mean of rows that have been centred, None of those that have not."""
    return None if centre is None else np.zeros(data.n_features)


def describe(problem: Problem, data: TaskData, scales: NDArray) -> Formulation:
    """The formulation of a problem that works on the user's rows and features as they are."""
    output_scales = [np.repeat(scales[b.tasks], b.observations.n_outputs) for b in problem.blocks]
    intercept_scales = [
        scale if b.loss.is_quadratic else np.ones_like(scale)
        for b, scale in zip(problem.blocks, output_scales, strict=True)
    ]
    return Formulation(
        problem,
        output_order(problem.blocks, data),
        scales,
        np.concatenate(output_scales),
        np.concatenate(intercept_scales),
    )


def restore(formulation: Formulation, point: Point, n_columns: int) -> Solution:
    """The parameters at `point` in the user's features, units and order; basis padded to `n_columns`."""
    problem, k = formulation.problem, point.n_free
    basis = point.basis[:, :k]
    has_common = point.basis.shape[1] > k
    common = point.basis[:, k] * problem.penalties.common_factor if has_common else None
    own = None
    coef = point.basis @ point.factors.T
    if np.isfinite(formulation.alpha_own).any():
        if point.own is None:
            own = -problem.coefficient_gradient(point.slopes) / formulation.alpha_own
        else:
            own = point.own * problem.penalties.own_factor
        coef += own
    if formulation.compressed is not None:
        intercepts = formulation.compressed.intercepts(coef) * formulation.intercept_scales
    else:
        intercepts = point.intercepts * formulation.intercept_scales
        if problem.X.centre is not None:
            intercepts = intercepts - (problem.X.centre @ coef) * formulation.output_scales
    if formulation.directions is not None:
        basis, coef = formulation.directions @ basis, formulation.directions @ coef
        own = None if own is None else formulation.directions @ own
        common = None if common is None else formulation.directions @ common
    if formulation.centre is not None:
        intercepts = intercepts - (formulation.centre @ coef) * formulation.output_scales
    for block in problem.blocks:
        if block.observations.n_outputs > 1:
            # Softmax does not see the mean of a task's intercepts.
            by_task = intercepts[block.outputs].reshape(-1, block.observations.n_outputs)
            intercepts[block.outputs] = (by_task - by_task.mean(axis=1, keepdims=True)).ravel()
    # The largest entry of every column of the basis is positive, whatever the eigensolver chose.
    signs = np.sign(basis[np.abs(basis).argmax(axis=0), np.arange(k)]) if k else np.empty(0)
    signs = np.where(signs == 0, 1.0, signs)
    n_features, n_outputs = coef.shape
    padded_basis, factors = np.zeros((n_features, n_columns)), np.zeros((n_columns, n_outputs))
    padded_basis[:, :k] = basis * signs
    factors[:k, formulation.order] = (point.factors[:, :k] * signs * formulation.output_scales[:, np.newaxis]).T

    def in_order(columns: NDArray) -> NDArray:
        if np.all(np.diff(formulation.order) > 0):
            return columns
        result = np.empty_like(columns)
        result[..., formulation.order] = columns
        return result

    if common is not None and np.ptp(formulation.scales) == 0:
        common = common * formulation.scales[0]
    coef *= formulation.output_scales
    return Solution(
        basis=padded_basis,
        factors=factors,
        common=common,
        own=None if own is None else in_order(own * formulation.output_scales),
        coef=in_order(coef),
        intercept=in_order(intercepts),
        target_scale=formulation.scales,
        objective=point.value,
        dual_gap=np.nan,
        rank=k,
        tie=_tie(formulation, point),
    )


def _tie(formulation: Formulation, point: Point) -> Tie | None:
    """What tied intercepts have in common, in the user's features and units."""
    problem, centre = formulation.problem, np.zeros(1)
    ridge = problem.penalties.intercepts
    if ridge.is_free:
        return None
    if problem.X.centre is not None:
        centre = problem.X.centre if formulation.directions is None else formulation.directions @ problem.X.centre
    if formulation.centre is not None:
        centre = centre + formulation.centre
    mean = float(np.mean(point.intercepts * formulation.intercept_scales))
    return Tie(mean, centre, ridge.strength * formulation.weight_per_task)


def columns_of(formulation: Formulation, solution: Solution) -> tuple[NDArray, NDArray | None]:
    """Basis and factors of a fitted solution as those of the problem: (features, k) and (n_outputs, k).

    No factors where the solution is of other outputs.
    """
    k, scales = max(solution.rank, 1), formulation.output_scales[:, np.newaxis]
    basis, factors = solution.basis[:, :k], None
    if solution.factors.shape[1] == len(scales):
        factors = solution.factors[:k, formulation.order].T / scales
    return basis if formulation.directions is None else formulation.directions.T @ basis, factors


def point_of(formulation: Formulation, solution: Solution) -> Point:
    """The way there of `restore`: a fitted solution as a point of the problem, its own raw predictors included."""
    problem, k, order = formulation.problem, solution.rank, formulation.order
    scales = formulation.output_scales[:, np.newaxis]

    def inside(columns: NDArray) -> NDArray:
        return columns if formulation.directions is None else formulation.directions.T @ columns

    basis, factors = inside(solution.basis[:, :k]), solution.factors[:k, order].T / scales
    if solution.common is not None:
        common = solution.common / (formulation.scales[0] if np.ptp(formulation.scales) == 0 else 1.0)
        q = problem.penalties.common_factor
        basis = np.concatenate([basis, inside(common[:, np.newaxis]) / q], axis=1)
        factors = np.concatenate([factors, q * problem.shares_common[:, np.newaxis]], axis=1)
    intercepts = np.zeros(problem.n_outputs)
    if formulation.compressed is None:
        coef = solution.coef[:, order]
        intercepts = solution.intercept[order]
        if formulation.centre is not None:
            intercepts = intercepts + formulation.centre @ coef
        if problem.X.centre is not None:
            intercepts = intercepts + problem.X.centre @ inside(coef)
        intercepts = intercepts / formulation.intercept_scales
    point = Point(basis, problem.X.times(basis), factors, intercepts, k, solution.objective)
    if problem.penalties.has_own:
        assert solution.own is not None
        own = inside(solution.own[:, order]) / formulation.output_scales
        factor = np.broadcast_to(problem.penalties.own_factor, own.shape)
        point.own = np.divide(own, factor, out=np.zeros_like(own), where=factor > 0)
        point.own_raw = problem.own_raw(own)
    return point
