"""The one place where data, losses and penalties meet: value, gradient and duality gap.

The model of one task, in the letters of the docstrings (code names in brackets)::

    raw_t(x) = scale_t * (x @ W_t) + b_t            W_t = m + B s_t + e_t
    B basis (n_features, k)     s_t factors (k,)    m common (n_features,)    e_t own (n_features,)

    F = sum_t sum_i u_ti loss_t(y_ti, raw_ti) + alpha/2 (|B|^2 + |S|^2) + alpha_common/2 |m|^2 + alpha_own/2 |E|^2
    u_ti = task_weight_t * weight_ti / nbar         nbar = sum of all weights / number of tasks

The solver sees ``B`` and ``m`` as one matrix: the common part is a last column of the basis whose
factor is frozen at q = sqrt(alpha / alpha_common), so that every column bears the same penalty; own parts
that no compression has eliminated are columns of their own, ``e_t / sqrt(alpha / alpha_own)``.
Regression targets arrive divided by their scale, with ``scale_t = 1`` inside the loss.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from skmtl.losses import Loss
from skmtl.matrix import FeatureMatrix
from skmtl.observations import Observations
from skmtl.penalties import Penalties

#: Elements of a linear predictor that a loss is evaluated on at a time.
_CHUNK = 1 << 15
#: A class or a count that never occurs has its optimum at minus infinity; a billionth of an event is as good.
_LEAST_SHARE = 1e-9


@dataclass(frozen=True)
class Block:
    """Observations of the tasks that share a loss and a number of outputs.

    Attributes
    ----------
    loss : Loss
    observations : Observations
    y : ndarray, one target per observation
    weights : ndarray of the shape of `y`, or float when all are equal
        The u_ti of the formula.
    scale : ndarray of shape (n_tasks,)
        Factor of the linear predictor inside the loss.
    tasks : intp ndarray of shape (n_tasks,)
        Positions in `TaskData.tasks`.
    outputs : slice
        The block's columns among all outputs of the problem.
    """

    loss: Loss
    observations: Observations
    y: NDArray
    weights: NDArray | float
    scale: NDArray
    tasks: NDArray
    outputs: slice

    @property
    def output_scale(self) -> NDArray:
        """`scale` repeated for every output of a task, as a column."""
        return np.repeat(self.scale, self.observations.n_outputs)[:, np.newaxis]

    def weighted(self, values: NDArray, out: NDArray | None = None) -> NDArray:
        """Values per observation (a last axis of outputs allowed) times their weights."""
        if isinstance(self.weights, float) or values.ndim == self.y.ndim:
            return np.multiply(values, self.weights, out=out)
        return np.multiply(values, self.weights[..., np.newaxis], out=out)

    def chunks(self) -> list[slice]:
        """Pieces of the observations whose temporaries stay in the cache."""
        step = max(1, _CHUNK // max(1, self.y[:1].size * self.observations.n_outputs))
        return [slice(start, start + step) for start in range(0, len(self.y), step)]

    def part(self, piece: slice) -> Block:
        """`y` and `weights` of a piece, for elementwise work."""
        weights = self.weights if isinstance(self.weights, float) else self.weights[piece]
        return replace(self, y=self.y[piece], weights=weights)

    def evaluate(self, raw: NDArray) -> tuple[NDArray, NDArray, NDArray]:
        """Weighted loss of every task, (n_tasks,); per observation its weighted gradient and plain curvature."""
        values, slope, curvature = np.zeros(self.observations.n_tasks), np.empty(raw.shape), np.empty(raw.shape)
        for piece in self.chunks():
            part = self.part(piece)
            value, gradient, curvature[piece] = self.loss.evaluate(part.y, raw[piece])
            self.observations.add_task_sums(values, part.weighted(value, out=value), piece)
            part.weighted(gradient, out=slope[piece])
        return values, slope, curvature

    def loss_and_slope(self, raw: NDArray) -> tuple[float, NDArray]:
        """Total weighted loss, and its gradient per observation."""
        if self.loss.is_quadratic:
            return self.quadratic_loss(raw - self.y)
        total, slope = 0.0, np.empty(raw.shape)
        for piece in self.chunks():
            part = self.part(piece)
            one, gradient, _ = self.loss.evaluate(part.y, raw[piece])
            part.weighted(gradient, out=slope[piece])
            total += float(np.sum(part.weighted(one, out=one)))
        return total, slope

    def quadratic_loss(self, residual: NDArray) -> tuple[float, NDArray]:
        """As `loss_and_slope` for the squared loss, from ``raw - y``."""
        slope = self.weighted(residual)
        return 0.5 * float(np.vdot(slope, residual)), slope

    def weight_sums(self) -> NDArray:
        """Total weight of every task, shape (n_tasks,)."""
        return self.observations.task_sums(np.broadcast_to(self.weights, self.y.shape))


@dataclass(frozen=True)
class Problem:
    """Everything a solver needs to know.

    Attributes
    ----------
    X : FeatureMatrix of shape (n_rows, n_features)
    blocks : tuple of Block
    penalties : Penalties
    fit_intercept : bool
    constant : float
        Part of the objective that no parameter reaches (left over by a compression).
    between : ndarray of shape (n_features, n_features), or None
        Scatter of the tasks' means that a compression took out of the rows of X. The preconditioner adds it
        again, so that the path to the optimum does not depend on the form in which the data came.
    ones : ndarray of shape (n_rows,), or None for ones
        What a compression has made of the column that intercepts are the coefficients of; every row is then an
        observation of one task, in this order.
    """

    X: FeatureMatrix
    blocks: tuple[Block, ...]
    penalties: Penalties
    fit_intercept: bool
    constant: float = 0.0
    between: NDArray | None = None
    ones: NDArray | None = None

    @property
    def n_outputs(self) -> int:
        return self.blocks[-1].outputs.stop

    @property
    def shares_common(self) -> NDArray:
        """Which outputs the common part reaches: those of single-output tasks."""
        return np.concatenate(
            [np.full(b.outputs.stop - b.outputs.start, b.observations.n_outputs == 1) for b in self.blocks]
        )

    @property
    def is_quadratic(self) -> bool:
        return all(block.loss.is_quadratic for block in self.blocks)

    @property
    def has_own_rows(self) -> bool:
        """Whether every row of a dense X is seen by one task of one output, the tasks one after the other."""
        observations = self.blocks[0].observations
        return len(self.blocks) == 1 and observations.n_outputs == 1 and observations.has_own_rows(self.X)

    def raw(self, block: Block, scores: NDArray, factors: NDArray, intercepts: NDArray) -> NDArray:
        """Linear predictor of a block's observations, from factors (n_outputs of the block, p) and intercepts."""
        factors = factors * block.output_scale
        if self.fit_intercept:
            scores, factors = self.with_ones(scores), np.concatenate([factors, intercepts[:, np.newaxis]], axis=1)
        return block.observations.raw(scores, factors)

    def with_ones(self, scores: NDArray) -> NDArray:
        """`scores` and the column of the intercepts."""
        return with_ones(scores) if self.ones is None else np.concatenate([scores, self.ones[:, np.newaxis]], axis=1)

    def intercept_raw(self, block: Block, intercepts: NDArray) -> NDArray:
        """What the intercepts (n_outputs of the block,) add to the linear predictor."""
        c = block.observations.n_outputs
        raw = block.observations.spread(intercepts if c == 1 else intercepts.reshape(-1, c))
        return raw if self.ones is None else raw * self.ones

    def intercept_sums(self, block: Block, values: NDArray) -> NDArray:
        """Gradient in the intercepts, from one value per observation (and output)."""
        return block.observations.task_sums(values if self.ones is None else values * self.ones)

    def intercept_totals(self, block: Block) -> NDArray:
        """Weights that stand behind every task's intercept, (n_tasks,)."""
        return block.weight_sums() if self.ones is None else self.intercept_sums(block, self.ones * block.weights)

    def basis_gradient(self, slopes: Sequence[NDArray], factors: NDArray) -> NDArray:
        """Gradient of the loss in the basis, ``X' (slopes @ factors)``, shape (n_features, p)."""
        if self.has_own_rows:
            # Every row meets one vector of factors: X' slopes first is one product with X less per component.
            return self.coefficient_gradient(slopes) @ factors
        rows = np.zeros((self.X.shape[0], factors.shape[1]))
        for block, slope in zip(self.blocks, slopes, strict=True):
            rows += block.observations.row_sums(slope, factors[block.outputs] * block.output_scale)
        return self.X.transposed_times(rows)

    def own_raw(self, own: NDArray) -> list[NDArray]:
        """What the own parts (n_features, n_outputs) add to the linear predictor of every block."""
        return [b.observations.coefficient_raw(self.X, own[:, b.outputs] * b.output_scale.T) for b in self.blocks]

    def coefficient_gradient(self, slopes: Sequence[NDArray]) -> NDArray:
        """Gradient of the loss in W, shape (n_features, n_outputs)."""
        parts = [
            block.observations.feature_sums(slope, self.X) * block.output_scale.T
            for block, slope in zip(self.blocks, slopes, strict=True)
        ]
        return np.concatenate(parts, axis=1)

    def task_norms(self, columns: NDArray) -> NDArray:
        """Frobenius norm of each task's columns (n_features, n_outputs), in the order of the blocks, (n_tasks,)."""
        squares = np.einsum("ij,ij->j", columns, columns)
        return np.concatenate(
            [np.sqrt(squares[b.outputs].reshape(b.observations.n_tasks, -1).sum(axis=1)) for b in self.blocks]
        )

    def null_raw(self, block: Block) -> NDArray:
        """Best constant linear predictor of every task of a block, shape (n_outputs of the block,)."""
        observations, n_outputs = block.observations, block.observations.n_outputs
        if not self.fit_intercept:
            return np.zeros(observations.n_tasks * n_outputs)
        totals = block.weight_sums()
        if n_outputs > 1:
            one_hot = (np.arange(n_outputs) == block.y[..., np.newaxis]).astype(float)
            share = observations.task_sums(block.weighted(one_hot)) / totals[:, np.newaxis]
            log_share = np.log(np.maximum(share, _LEAST_SHARE))
            return (log_share - log_share.mean(axis=1, keepdims=True)).ravel()
        means = observations.task_sums(block.y * block.weights) / totals
        if block.loss.name == "logistic":
            means = np.clip(means, _LEAST_SHARE, 1.0 - _LEAST_SHARE)
            return np.log(means) - np.log1p(-means)
        return np.log(np.maximum(means, _LEAST_SHARE)) if block.loss.name == "poisson" else means

    def duality_gap(self, slopes: Sequence[NDArray], gradient: NDArray, objective: float) -> float:
        """Upper bound of ``objective`` minus the optimum without a rank limit.

        Parameters
        ----------
        gradient : ndarray of shape (n_features, n_outputs)
            `coefficient_gradient` of the slopes.
        slopes : one array per block
            Weighted gradient ``u loss'(y, raw)`` at the current point, the intercepts being optimal.
        objective : float
            Value of F there.

        Notes
        -----
        With dual variables ``theta = -slopes`` and any c in [0, 1] such that ``c |G|_op <= alpha``,
        ``dual(c) = sum -loss*(-c theta) - c^2 (penalties' dual cost of G)`` is a lower bound of the optimum. Where
        intercepts are tied, their ridge costs ``c^2 sum_t q_t^2 / (2 strength)``, q_t the sum of theta over task t.
        """
        norms = self.task_norms(gradient) if self.penalties.is_group else np.zeros(0)
        limit = self.penalties.dual_limit(gradient, norms)
        ridge_cost = self.penalties.dual_cost(gradient, self.shares_common)
        ridge_cost += self._dual_cost_of_intercepts(slopes)
        losses = [_dual_of_block(block, slope) for block, slope in zip(self.blocks, slopes, strict=True)]

        def negative_dual(c: float) -> float:
            return c * c * ridge_cost - sum(loss(c) for loss in losses) - self.constant

        # The dual is concave: where it still rises at the limit, the limit is the best.
        best = negative_dual(limit)
        if best > negative_dual(limit * (1.0 - 1e-3)):
            best = min(best, minimize_scalar(negative_dual, bounds=(0.0, limit), method="bounded").fun)
        return max(float(objective + best), 0.0)

    def _dual_cost_of_intercepts(self, slopes: Sequence[NDArray]) -> float:
        strength = self.penalties.intercepts.strength
        if strength == 0.0:
            return 0.0
        pairs = zip(self.blocks, slopes, strict=True)
        return sum(float(np.sum(self.intercept_sums(b, slope) ** 2)) for b, slope in pairs) / (2.0 * strength)


def with_ones(scores: NDArray) -> NDArray:
    """`scores` and a last column of ones, for the intercept."""
    return np.concatenate([scores, np.ones((len(scores), 1))], axis=1)


def _dual_of_block(block: Block, slope: NDArray) -> Callable[[float], float]:
    """``c -> sum -loss*(-c theta)`` of a block, theta = -slope; per unit weight, as the conjugates are stated."""

    def per_unit(piece: slice) -> tuple[Block, NDArray]:
        part = block.part(piece)
        weights = np.asarray(part.weights)
        weights = weights[..., np.newaxis] if weights.ndim and slope.ndim > block.y.ndim else weights
        # Unobserved cells (weight zero) have no dual variable.
        return part, np.divide(slope[piece], weights, out=np.zeros_like(slope[piece]), where=weights > 0)

    if block.loss.is_quadratic:
        # A polynomial in c, so that the data are passed once.
        linear = -float(np.vdot(slope, block.y))
        square = 0.5 * sum(float(np.vdot(slope[piece], per_unit(piece)[1])) for piece in block.chunks())
        return lambda c: c * linear - c * c * square

    def value(c: float) -> float:
        parts = map(per_unit, block.chunks())
        return sum(float(np.sum(part.weighted(block.loss.dual_value(part.y, -c * unit)))) for part, unit in parts)

    return value
