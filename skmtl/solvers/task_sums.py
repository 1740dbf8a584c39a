"""What a fit leaves of every regression task: counts, squares and the moments of its scores, in the user's units.

The noise of a task and the uncertainty of its factors need no more than these sums, which one narrow product with
X gives, or none where complete targets have been summed up in `Moments`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from skmtl.matrix import FeatureMatrix, column_means
from skmtl.objective import Block, with_ones
from skmtl.observations import ListedObservations, MatrixObservations, Observations, Pairs
from skmtl.solvers.build import about_means, make_blocks
from skmtl.solvers.compression import Moments
from skmtl.solvers.formulation import Formulation
from skmtl.solvers.score_grams import KeptGrams, ScoreGrams, is_less_than_grams, keep_scores
from skmtl.solvers.solution import Solution
from skmtl.tasks import TaskData


@dataclass(frozen=True)
class TaskSums:
    """Sums over the observations of m regression tasks, weighted by the observations' own weights.

    Attributes
    ----------
    tasks : intp ndarray of shape (m,)
        Positions in `TaskData.tasks`.
    counts : ndarray of shape (m,)
        Sum of the weights: a weight of 2 is an observation twice.
    total_squares, residual_squares : ndarrays of shape (m,)
        Of the targets about their mean, of the residuals.
    grams : ScoreGrams
        ``sum z z'`` of the scores ``z = x @ basis``, about `score_means` where an intercept is fitted.
    score_means : ndarray of shape (m, k) or (1, k)
    """

    tasks: NDArray
    counts: NDArray
    total_squares: NDArray
    residual_squares: NDArray
    grams: ScoreGrams
    score_means: NDArray


def sums_of_moments(moments: Moments, solution: Solution, fit_intercept: bool) -> TaskSums:
    """Complete squared targets, from their moments."""
    n_tasks, total = len(moments.y_sum), moments.total
    x_mean, y_mean, gram, cross, squares = moments.centred()
    # The squares about the origin, where that is not the mean, have cancelled.
    rounding = np.maximum(1e-24 * total * y_mean**2, 1e-13 * moments.squares)
    about_mean = _beyond_rounding(squares, rounding)
    if not fit_intercept:
        x_mean, y_mean = np.zeros_like(x_mean), np.zeros_like(y_mean)
        gram, cross, squares = moments.gram, moments.cross, moments.squares
    basis = solution.basis[:, : solution.rank]
    return TaskSums(
        np.arange(n_tasks),
        np.full(n_tasks, total),
        about_mean,
        _unless_alike(_residual_squares(solution, gram, cross, squares), about_mean, rounding),
        KeptGrams((basis.T @ gram @ basis)[np.newaxis]),
        (x_mean @ basis)[np.newaxis],
    )


def squared_errors(moments: Moments, solution: Solution) -> NDArray:
    """Sum over the rows that `moments` stand for of every task's squared errors, (n_tasks,)."""
    x_mean, y_mean, gram, cross, squares = moments.centred()
    about_mean = _residual_squares(solution, gram, cross, squares)
    return about_mean + moments.total * (y_mean - x_mean @ solution.coef - solution.intercept) ** 2


def _residual_squares(solution: Solution, gram: NDArray, cross: NDArray, squares: NDArray) -> NDArray:
    """``sum (y - x'w)^2`` of every task from ``sum x x'``, ``sum x y'`` and ``sum y^2``, (n_tasks,)."""
    coef = solution.coef
    if solution.own is None and solution.common is None:
        k = solution.rank
        through = (gram @ solution.basis[:, :k]) @ solution.factors[:k]
    else:
        through = gram @ coef
    return np.maximum(squares + np.einsum("ij,ij->j", coef, through - 2.0 * cross), 0.0)


def _beyond_rounding(squares: NDArray, rounding: NDArray) -> NDArray:
    """Squares about the means; exactly zero for targets that are all alike, whatever rounding leaves of them."""
    return np.where(squares <= rounding, 0.0, squares)


def _unless_alike(residual_squares: NDArray, total_squares: NDArray, rounding: NDArray) -> NDArray:
    """As `_beyond_rounding`, of targets that are all alike: what is left of others may be as small as it is."""
    return np.where(total_squares > 0, residual_squares, _beyond_rounding(residual_squares, rounding))


def sums_of_data(
    data: TaskData, solution: Solution, fit_intercept: bool, formulation: Formulation | None = None
) -> TaskSums | None:
    """Of all regression tasks; None where there is none. A formulation saves looking for the observations."""
    block = regression_block(data, formulation)
    if block is None:
        return None
    observations, tasks = block.observations, block.tasks
    per_task = data.weight_of_tasks
    weights = np.broadcast_to(block.weights, block.y.shape) * observations.spread(
        data.weight_per_task / per_task[tasks]
    )
    counts, means, total_squares = about_means(observations, block.y, weights)
    rounding = 1e-24 * counts * means**2
    total_squares = _beyond_rounding(total_squares, rounding)
    if formulation is not None and formulation.problem.X.X is data.X:
        X = formulation.problem.X
    else:
        X = FeatureMatrix(data.X, column_means(data.X, data.row_weights) if fit_intercept else None)
    residual, scores = _residuals(data, block, solution, X)
    grams, score_means = _score_grams(observations, weights, scores, fit_intercept)
    if X.centre is not None:
        score_means = score_means + X.centre @ solution.basis[:, : solution.rank]
    residual_squares = _unless_alike(observations.task_sums(weights * residual**2), total_squares, rounding)
    return TaskSums(tasks, counts, total_squares, residual_squares, grams, score_means)


def _score_grams(
    observations: Observations, weights: NDArray, scores: NDArray, fit_intercept: bool
) -> tuple[ScoreGrams, NDArray]:
    """Gram matrices of all tasks, or the scores where these are less; and their means (n_tasks, k)."""
    n_observations = int(np.count_nonzero(weights))
    if is_less_than_grams(len(scores), n_observations, observations.n_tasks, scores.shape[1]):
        return keep_scores(observations, weights, scores, fit_intercept)
    grams = observations.grams(weights, Pairs(with_ones(scores)))
    ones, totals, grams = grams[:, :-1, -1], grams[:, -1, -1:], grams[:, :-1, :-1]
    means = ones / totals
    if fit_intercept:
        grams = grams - ones[:, :, np.newaxis] * means[:, np.newaxis]
    return KeptGrams(grams), means


def regression_block(data: TaskData, formulation: Formulation | None = None) -> Block | None:
    """The observations of all regression tasks, targets in their own units."""
    if formulation is None or formulation.blocks is None:
        blocks, scales = tuple(make_blocks(data, None)[0]), None
    else:
        blocks, scales = formulation.blocks, formulation.scales
    block = next((block for block in blocks if block.loss.is_quadratic), None)
    if block is None or scales is None or np.all(scales[block.tasks] == 1.0):
        return block
    return replace(block, y=block.y * block.observations.spread(scales[block.tasks]))


def _residuals(data: TaskData, block: Block, solution: Solution, X: FeatureMatrix) -> tuple[NDArray, NDArray]:
    """``y - raw`` of a block, and the scores ``X @ basis`` (centred as X is), shape (n_rows, k)."""
    outputs = data.output_offsets[block.tasks]
    basis, factors = solution.basis[:, : solution.rank], solution.factors[: solution.rank, outputs].T
    intercepts = solution.intercept[outputs]
    if X.centre is not None:
        intercepts = intercepts + X.centre @ solution.coef[:, outputs]
    own = None if solution.own is None else solution.own[:, outputs]
    if solution.common is not None:
        basis = np.concatenate([basis, solution.common[:, np.newaxis]], axis=1)
        # One scale for all tasks: the common part is in their units; else it is in units of the scaled targets.
        unit = np.ptp(solution.target_scale) == 0
        share = np.ones(len(outputs)) if unit else solution.target_scale[block.tasks]
        factors = np.concatenate([factors, share[:, np.newaxis]], axis=1)
    scores = X.times(basis)
    raw = block.observations.raw(with_ones(scores), np.concatenate([factors, intercepts[:, np.newaxis]], axis=1))
    if own is not None:
        raw = raw + block.observations.coefficient_raw(X, own)
    return block.y - raw, scores[:, : solution.rank]


def own_spectra(data: TaskData, basis: NDArray, fit_intercept: bool, max_work: float) -> list[tuple[NDArray, NDArray]]:
    """Per regression task: eigenvalues of its weighted Gram matrix, and the basis in the eigenvectors' coordinates.

    Empty where this would cost more than `max_work` multiplications, or X is sparse.

    Returns
    -------
    spectra : list of (values of shape (r,), coordinates of shape (r, k)), r = min(n_t, n_features)
    """
    block = regression_block(data)
    if block is None or sparse.issparse(data.X):
        return []
    observations = block.observations
    weights = np.broadcast_to(block.weights, block.y.shape)
    if isinstance(observations, MatrixObservations):
        columns = [(np.flatnonzero(w > 0), w[w > 0]) for w in weights.T]
    else:
        assert isinstance(observations, ListedObservations)
        cuts = observations.offsets[1:-1]
        columns = list(zip(np.split(observations.rows, cuts), np.split(weights, cuts), strict=True))
    d = data.n_features
    if sum(max(len(rows), d) * min(len(rows), d) ** 2 for rows, _ in columns) > max_work:
        return []
    return [_spectrum(data.X[rows], w, basis, fit_intercept) for rows, w in columns]


def _spectrum(X: NDArray, weights: NDArray, basis: NDArray, fit_intercept: bool) -> tuple[NDArray, NDArray]:
    if fit_intercept:
        X = X - weights @ X / weights.sum()
    X = X * np.sqrt(weights)[:, np.newaxis]
    if X.shape[0] >= X.shape[1]:
        values, vectors = np.linalg.eigh(X.T @ X)
        return np.maximum(values, 0.0), vectors.T @ basis
    values, vectors = np.linalg.eigh(X @ X.T)
    kept = values > len(values) * np.finfo(float).eps * max(values[-1], 0.0)
    values, vectors = values[kept], vectors[:, kept]
    return values, (vectors.T @ (X @ basis)) / np.sqrt(values)[:, np.newaxis]
