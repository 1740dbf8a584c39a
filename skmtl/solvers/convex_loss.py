"""The loss as a function of all coefficients W and intercepts, for methods that move W itself.

Three ways to answer the same questions. `RowLoss` evaluates the rows and works for every problem; `GramLoss` knows a
quadratic by its gradient at zero and its second moments, and needs no rows; `TableLoss` sums the latter over the rows
of a table, where a row for every task is longer than a feature for every task. What is linear in W, the `images`, is
kept beside every W, so that a point between or beyond two others costs no product with X.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from skmtl.matrix import FeatureMatrix
from skmtl.objective import Block, Problem
from skmtl.observations import ListedObservations, MatrixObservations
from skmtl.solvers.preconditioner import Preconditioner

#: From so many rows per feature on, gradients are combined rather than linear predictors.
_LONG = 2


@dataclass(frozen=True)
class LossAt:
    """The loss at some W and intercepts.

    Attributes
    ----------
    value : float
        With the penalty of the intercepts, where they are tied.
    slopes : list of ndarray
        What `gradient` turns into the gradient in W.
    intercepts : ndarray of shape (n_outputs,)
        As given, or the best ones where they come for nothing (squared losses).
    intercept_gradient : ndarray of shape (n_outputs,)
        Zero where they are the best.
    """

    value: float
    slopes: list[NDArray]
    intercepts: NDArray
    intercept_gradient: NDArray


class RowLoss:
    """Any loss, from its observations; intercepts of squared losses are eliminated on the way."""

    def __init__(self, problem: Problem):
        self.problem = problem
        self._totals = [problem.intercept_totals(b) if problem.fit_intercept else None for b in problem.blocks]
        self._ridge = problem.penalties.intercepts

    def predictors(self, W: NDArray, images: list[NDArray]) -> list[NDArray]:
        """Linear predictors without intercepts at W, whose images are given."""
        return images

    def images(self, W: NDArray, left: NDArray | None = None, right: NDArray | None = None) -> list[NDArray]:
        """Linear predictors without intercepts; through the factors ``W = left @ right`` where this is cheaper."""
        problem = self.problem
        if left is None or right is None or not self._is_cheaper(left.shape[1]):
            return problem.own_raw(W)
        scores = problem.X.times(left)
        factors = np.ascontiguousarray(right.T)
        return [b.observations.raw(scores, factors[b.outputs] * b.output_scale) for b in problem.blocks]

    def _is_cheaper(self, rank: int) -> bool:
        """Whether products with a factored W are cheaper: never where tasks have their own rows."""
        if any(getattr(block.observations, "rows_in_order", False) for block in self.problem.blocks):
            return False
        d, m = self.problem.X.shape[1], self.problem.n_outputs
        return rank * (d + m) < 0.8 * d * m

    def evaluate(self, W: NDArray, images: Sequence[NDArray], intercepts: NDArray) -> LossAt:
        """The loss at W, whose images are given."""
        value, slopes = self.problem.constant, []
        new, gradient = intercepts.copy(), np.zeros_like(intercepts)
        for block, raw, totals in zip(self.problem.blocks, images, self._totals, strict=True):
            observations, outputs = block.observations, block.outputs
            if block.loss.is_quadratic:
                residual = raw - block.y
                if totals is not None:
                    new[outputs] = self._ridge.best(
                        totals, -self.problem.intercept_sums(block, block.weighted(residual))
                    )
                    residual += self.problem.intercept_raw(block, new[outputs])
                loss, slope = block.quadratic_loss(residual)
            elif totals is None:
                loss, slope = block.loss_and_slope(raw)
            else:
                loss, slope = block.loss_and_slope(raw + self._spread(block, intercepts))
                gradient[outputs] = observations.task_sums(slope).ravel()
                if not self._ridge.is_free:
                    gradient[outputs] += self._ridge.strength * self._ridge.deviations(intercepts[outputs])
            value += loss
            slopes.append(slope)
        return LossAt(value + self._ridge.penalty(new), slopes, new, gradient)

    def _spread(self, block: Block, intercepts: NDArray) -> NDArray:
        return self.problem.intercept_raw(block, intercepts[block.outputs])

    def gradient(self, at: LossAt) -> NDArray:
        """Gradient in W, shape (n_features, n_outputs)."""
        return self.problem.coefficient_gradient(at.slopes)

    def curvature(self, W_step: NDArray, image_step: Sequence[NDArray], before: LossAt, after: LossAt) -> float:
        """``<step, change of the gradient>`` between two points, intercepts included."""
        total = 0.0
        shift = after.intercepts - before.intercepts
        for block, image, old, new in zip(self.problem.blocks, image_step, before.slopes, after.slopes, strict=True):
            moved = image if not self.problem.fit_intercept else image + self._spread(block, shift)
            total += float(np.vdot(new, moved)) - float(np.vdot(old, moved))
        return total + 2.0 * self._ridge.penalty(shift)

    def intercept_curvature(self, at: LossAt, images: Sequence[NDArray]) -> NDArray:
        """Second derivative in every intercept, zero where intercepts are eliminated; shape (n_outputs,)."""
        result = np.zeros(self.problem.n_outputs)
        for block, raw, totals in zip(self.problem.blocks, images, self._totals, strict=True):
            if totals is None or block.loss.is_quadratic:
                continue
            second = block.evaluate(raw + self._spread(block, at.intercepts))[2]
            if block.observations.n_outputs > 1:
                second = second * (1.0 - second)
            sums = block.observations.task_sums(block.weighted(second))
            floor = 1e-3 * totals.reshape(-1, *[1] * (sums.ndim - 1))
            result[block.outputs] = np.maximum(sums, floor).ravel() + self._ridge.strength
        return result

    def inward(self, columns: NDArray) -> NDArray:
        """Columns of features in the coordinates of W."""
        return columns

    outward = inward


class GramLoss:
    """A quadratic without intercepts: ``value + <gradient, W> + <W, H W> / 2``.

    Parameters
    ----------
    problem : Problem
    value : float
        The loss at zero.
    gradient : ndarray of shape (n_features, n_outputs)
        Its gradient there.
    hessian : ndarray of shape (n_features,) or (n_outputs, n_features, n_features)
        One for all outputs, in the coordinates of its eigenvectors; or one for each.
    vectors : ndarray of shape (n_features, n_features), or None
        The eigenvectors.
    """

    def __init__(
        self, problem: Problem, value: float, gradient: NDArray, hessian: NDArray, vectors: NDArray | None = None
    ):
        self._problem = problem
        self._value, self._hessian, self._vectors = value, hessian, vectors
        self._gradient = self.inward(gradient)

    def images(self, W: NDArray, left: NDArray | None = None, right: NDArray | None = None) -> list[NDArray]:
        """``H W``."""
        if self._hessian.ndim == 1:
            return [self._hessian[:, np.newaxis] * W]
        return [(self._hessian @ np.ascontiguousarray(W.T)[:, :, np.newaxis])[:, :, 0].T]

    def predictors(self, W: NDArray, images: list[NDArray]) -> list[NDArray]:
        """Linear predictors at W."""
        return self._problem.own_raw(self.outward(W))

    def evaluate(self, W: NDArray, images: Sequence[NDArray], intercepts: NDArray) -> LossAt:
        """The loss at W, whose image is given."""
        value = self._value + float(np.sum(self._gradient * W)) + 0.5 * float(np.sum(images[0] * W))
        return LossAt(value, [self._gradient + images[0]], intercepts, np.zeros_like(intercepts))

    def gradient(self, at: LossAt) -> NDArray:
        """Gradient in W, shape (n_features, n_outputs)."""
        return at.slopes[0]

    def curvature(self, W_step: NDArray, image_step: Sequence[NDArray], before: LossAt, after: LossAt) -> float:
        """``<step, change of the gradient>``."""
        return float(np.sum(W_step * image_step[0]))

    def intercept_curvature(self, at: LossAt, images: Sequence[NDArray]) -> NDArray:
        """There are no intercepts."""
        return np.zeros(len(at.intercepts))

    def inward(self, columns: NDArray) -> NDArray:
        """Columns of features in the coordinates of W."""
        return columns if self._vectors is None else self._vectors.T @ columns

    def outward(self, columns: NDArray) -> NDArray:
        """The way back."""
        return columns if self._vectors is None else self._vectors @ columns


class TableLoss(GramLoss):
    """A quadratic on a table of targets with gaps or weights, its intercepts eliminated.

    Parameters
    ----------
    value, gradient
        At zero, as in `GramLoss`.
    problem : Problem
        Of one block.
    """

    def __init__(self, value: float, gradient: NDArray, problem: Problem):
        self._value, self._gradient, self._vectors = value, gradient, None
        self._rows, self._block, self._problem = RowLoss(problem), problem.blocks[0], problem
        # What a constant predictor adds to the gradient, and its weight.
        self._sums = self._totals = None
        if problem.fit_intercept:
            weights = np.broadcast_to(self._block.weights, self._block.y.shape)
            self._sums, self._totals = problem.coefficient_gradient([weights]), self._block.weight_sums()

    def images(self, W: NDArray, left: NDArray | None = None, right: NDArray | None = None) -> list[NDArray]:
        """``H W``, one product with X and one with its transpose."""
        raw = self._rows.images(W, left, right)[0]
        raw *= self._block.weights
        image = self._problem.coefficient_gradient([raw])
        if self._sums is not None:
            image -= self._sums * (self._block.observations.task_sums(raw) / self._totals)
        return [image]


ConvexLoss = RowLoss | GramLoss


def convex_loss(problem: Problem, null_value: float, gradient: NDArray, curvature: Preconditioner | None) -> ConvexLoss:
    """The cheaper of both; `gradient` and `null_value` are those at the null model, `curvature` that of all tasks."""
    block = problem.blocks[0]
    if not problem.is_quadratic or len(problem.blocks) > 1:
        return RowLoss(problem)
    if problem.fit_intercept or problem.X.is_sparse:
        is_long = block.y.size >= _LONG * gradient.size
        is_table = isinstance(block.observations, MatrixObservations)
        return TableLoss(null_value, gradient, problem) if is_long and is_table else RowLoss(problem)
    if curvature is not None and curvature.vectors is not None and has_one_hessian(problem):
        return GramLoss(problem, null_value, gradient, curvature.values, curvature.vectors)
    rows = _square_tables(problem.X, block)
    if rows is not None:
        return GramLoss(problem, null_value, gradient, np.swapaxes(rows, 1, 2) @ rows)
    return RowLoss(problem)


def has_one_hessian(problem: Problem) -> bool:
    """Whether every output has the same second moments, whose eigenvectors are worth their price.

    They cost about as much as 25 products of two matrices of n_features columns, and save two products of
    n_features and n_outputs columns in each of about 25 steps.
    """
    block = problem.blocks[0]
    return (
        problem.is_quadratic
        and not problem.fit_intercept
        and not problem.X.is_sparse
        and isinstance(block.observations, MatrixObservations)
        and isinstance(block.weights, float)
        and 2 * problem.n_outputs >= problem.X.shape[1]
    )


def _square_tables(X: FeatureMatrix, block: Block) -> NDArray | None:
    """X as one square table per task, where a compression has left no more of it; (n_tasks, d, d)."""
    observations, d = block.observations, X.shape[1]
    if (
        not isinstance(observations, ListedObservations)
        or not observations.rows_in_order
        or not isinstance(block.weights, float)
        or block.weights != 1.0
        or X.X.dtype != np.float64
        or X.centre is not None
        or np.any(np.diff(observations.offsets) != d)
    ):
        return None
    return X.X.reshape(-1, d, d)
