"""The factor step: given the basis, every task's factors and intercepts, and the gauge, exactly.

The basis enters through its scores ``Z = X B`` only. Eliminated together are the factors ``s_t``, the
intercepts ``b_t`` and the gauge: for any invertible R, ``(B R)(R^-1 S)`` is the same model, and the penalty
is smallest where ``B'B = S S'``. With ``N = R R'`` the problem in the given coordinates is

    min over S, b, N:   loss(Z S + b) + alpha/2 (tr(B'B N) + sum_t s_t' N^-1 s_t)

1. Every loss has a quadratic model with curvature ``H_t = Z' U_t Z``: the squared loss is its own, the others are
   modelled at the present factors (Newton).
2. For fixed N: ``s_t = (H_t + alpha N^-1)^-1 c_t``, all tasks at once.
   For fixed S: ``N = P^-1/2 (P^1/2 S S' P^1/2)^1/2 P^-1/2`` with ``P = B'B``.
   The two alternate on the models, k x k work without a look at the data.
3. Each task moves towards the model's minimiser as far as its own objective falls; back to 1 until nothing is left.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from skmtl.objective import Block, Problem, with_ones
from skmtl.observations import Pairs

#: Rounds between factors and gauge.
_MAX_ROUNDS = 30
#: A curvature serves as long as each step promises this much less than the one before.
_CHORD_RATE = 0.2
#: Curvature of a loss is taken to be at least this in a Newton model.
_LEAST_CURVATURE = 1e-5
#: Up to this many unknowns a multinomial task's Newton system is formed whole.
_MAX_WHOLE_SYSTEM = 240


@dataclass(frozen=True)
class Eliminated:
    """Result of a factor step, in the coordinates of the basis it was given.

    Attributes
    ----------
    factors : ndarray of shape (n_outputs, p)
        The last p - k columns are frozen (the common part).
    intercepts : ndarray of shape (n_outputs,)
    gauge, inverse_gauge : ndarrays of shape (k, k)
        R and its inverse: ``B R`` and ``R^-1 S`` are balanced, largest component first.
    value : float
        Loss and penalties of everything but the common part.
    slopes : list of ndarray
        Weighted loss gradient per observation of every block, at these factors.
    """

    factors: NDArray
    intercepts: NDArray
    gauge: NDArray
    inverse_gauge: NDArray
    value: float
    slopes: list[NDArray]


def eliminate(
    problem: Problem,
    scores: NDArray,
    basis_gram: NDArray,
    factors: NDArray,
    intercepts: NDArray,
    tolerance: float,
    own_raw: Sequence[NDArray] | None = None,
    prior: NDArray | None = None,
    polish: int = 0,
) -> Eliminated:
    """Minimise over factors, intercepts and gauge.

    Parameters
    ----------
    scores : ndarray of shape (n_rows, p)
        ``X @ [B, m / q]``.
    basis_gram : ndarray of shape (k, k)
        ``B'B`` of the free columns.
    factors, intercepts : ndarrays of shape (n_outputs, p) and (n_outputs,)
        Where to start; the columns of `factors` from k on are frozen.
    tolerance : float
        Stop when one more round promises to lower the objective by no more than this.
    own_raw : one array per block, optional
        What the own parts add to the linear predictor.
    prior : ndarray of shape (k, k), optional
        Fix N instead of balancing.
    polish : int
        Newton steps to add at the end. A certificate is linear in the error of the slopes, while the
        promised decrease is quadratic in it and drowns in rounding long before.
    """
    alpha, k = problem.penalties.reference, len(basis_gram)
    steps: list[_QuadraticStep | _NewtonStep] = [
        (_QuadraticStep if block.loss.is_quadratic else _NewtonStep)(
            problem, block, scores, factors, intercepts, k, 0.0 if own_raw is None else own_raw[place]
        )
        for place, block in enumerate(problem.blocks)
    ]
    gauge = _Gauge(basis_gram, alpha, prior)
    penalty = gauge.best_penalty(np.concatenate([step.free for step in steps]))
    for _ in range(_MAX_ROUNDS):
        for step in steps:
            step.refresh()
        candidates, precision = _minimise_model(steps, gauge, tolerance)
        new_penalty = gauge.best_penalty(
            np.concatenate([free.reshape(math.prod(free.shape[:-1]), k) for free in candidates])
        )
        promised = (
            penalty - new_penalty + sum(step.model_decrease(free) for step, free in zip(steps, candidates, strict=True))
        )
        if not problem.is_quadratic and promised <= tolerance:
            if polish == 0:
                break
            polish -= 1
        for step, free in zip(steps, candidates, strict=True):
            step.move(free, precision)
        if problem.is_quadratic:
            break
        penalty = gauge.best_penalty(np.concatenate([step.free for step in steps]))
    new_factors, new_intercepts = factors.copy(), intercepts.copy()
    value, slopes = problem.constant, []
    for step in steps:
        new_factors[step.block.outputs, :k] = step.free
        loss, slope = step.finish()
        new_intercepts[step.block.outputs] = step.intercepts
        value += loss
        slopes.append(slope)
    free = new_factors[:, :k]
    turn, inverse_turn = gauge.balance(free)
    return Eliminated(new_factors, new_intercepts, turn, inverse_turn, value + gauge.best_penalty(free), slopes)


class _Gauge:
    """The penalty ``alpha/2 (tr(B'B N) + tr(S S' N^-1))`` of a basis B, and the N that makes it smallest."""

    def __init__(self, basis_gram: NDArray, alpha: float, prior: NDArray | None):
        self.basis_gram, self.alpha, self.k = basis_gram, alpha, len(basis_gram)
        self.is_fixed = prior is not None or not self.k
        self.metric = np.eye(self.k) if prior is None else prior
        self.precision = alpha * _inverse(self.metric)
        self.root, self.inverse_root = _sqrt_and_inverse(basis_gram)

    def penalty(self, free: NDArray) -> float:
        """Penalty of factors (n_outputs, k) under the present N."""
        return 0.5 * float(
            self.alpha * np.sum(self.basis_gram * self.metric) + np.sum((free.T @ free) * self.precision)
        )

    def best_penalty(self, free: NDArray) -> float:
        """Penalty under the best N: alpha times the trace norm of ``B S``."""
        if self.is_fixed:
            return self.penalty(free)
        squares = np.linalg.eigvalsh(self.root @ (free.T @ free) @ self.root)
        return self.alpha * float(np.sum(np.sqrt(np.maximum(squares, 0.0))))

    def fit(self, free: NDArray) -> float:
        """Make N the best one for these factors; returns by how much the penalty fell."""
        before = self.penalty(free)
        middle, inverse_middle = _sqrt_and_inverse(self.root @ (free.T @ free) @ self.root)
        if np.trace(middle) <= 0.0:
            return 0.0
        self.metric = self.inverse_root @ middle @ self.inverse_root
        self.precision = self.alpha * (self.root @ inverse_middle @ self.root)
        return before - self.alpha * float(np.trace(middle))

    def balance(self, free: NDArray) -> tuple[NDArray, NDArray]:
        """R with ``R' B'B R = R^-1 S S' R^-T`` diagonal, largest first, and its inverse."""
        if self.is_fixed:
            return np.eye(self.k), np.eye(self.k)
        squares, vectors = np.linalg.eigh(self.root @ (free.T @ free) @ self.root)
        squares, vectors = np.maximum(squares[::-1], 0.0), vectors[:, ::-1]
        quarter = np.maximum(squares, max(1e-24 * squares[0], 1e-300)) ** 0.25
        return self.inverse_root @ (vectors * quarter), (vectors / quarter).T @ self.root


def _minimise_model(
    steps: Sequence[_QuadraticStep | _NewtonStep], gauge: _Gauge, tolerance: float
) -> tuple[list[NDArray], NDArray]:
    """Factors and gauge that minimise the quadratic models of all blocks; k x k work only."""
    for _ in range(_MAX_ROUNDS):
        precision = gauge.precision
        candidates = [step.solve(precision) for step in steps]
        if gauge.is_fixed:
            break
        free = np.concatenate([candidate.reshape(math.prod(candidate.shape[:-1]), gauge.k) for candidate in candidates])
        if gauge.fit(free) <= 0.3 * tolerance:
            break
    return candidates, precision


class _QuadraticStep:
    """Squared loss: the normal equations of every task, formed once and solved for any gauge."""

    def __init__(self, problem: Problem, block: Block, scores, factors, intercepts, k: int, offset):
        self.problem, self.block, self.scores, self.k = problem, block, scores, k
        self.targets = block.y - offset
        self.frozen = factors[block.outputs, k:]
        observations = block.observations
        columns = with_ones(scores) if problem.fit_intercept else scores
        # All weights equal and no gaps: every task has the same Gram matrix, which is then formed once.
        if isinstance(block.weights, float) and not hasattr(observations, "rows"):
            grams = (block.weights * (columns.T @ columns))[np.newaxis]
        else:
            grams = observations.grams(np.broadcast_to(block.weights, block.y.shape), Pairs(columns))
        moments = observations.factor_sums(self.targets * block.weights, columns)
        p = scores.shape[1]
        if p > k:
            moments = moments - self.frozen[:, 0, np.newaxis] * grams[:, :, k]
        self.grams, self.moments = grams[:, :k, :k], moments[:, :k]
        if problem.fit_intercept:
            self.ones, self.total = grams[:, :k, p], grams[:, p, p]
            self.target_sum = moments[:, p]
            self.grams = (
                self.grams - self.ones[:, :, np.newaxis] * (self.ones / self.total[:, np.newaxis])[:, np.newaxis]
            )
            self.moments = self.moments - self.ones * (self.target_sum / self.total)[:, np.newaxis]
        self.free = factors[block.outputs, :k]
        self.intercepts = intercepts[block.outputs]

    def refresh(self) -> None:
        """The quadratic model is the loss itself."""

    def solve(self, precision: NDArray) -> NDArray:
        """Minimiser of the loss under the penalty ``free @ precision @ free' / 2``, shape (n_tasks, k)."""
        return solve_systems(self.grams + precision, self.moments)

    def model_decrease(self, free: NDArray) -> float:
        """By how much the loss at `free` is below the loss at the present factors."""
        return self._value(self.free) - self._value(free)

    def _value(self, free: NDArray) -> float:
        return float(0.5 * np.sum((self.grams @ free[:, :, np.newaxis])[:, :, 0] * free) - np.sum(self.moments * free))

    def move(self, free: NDArray, precision: NDArray) -> None:
        self.free = free

    def finish(self) -> tuple[float, NDArray]:
        """Total weighted loss, and its gradient per observation."""
        if self.problem.fit_intercept:
            self.intercepts = (self.target_sum - np.sum(self.ones * self.free, axis=1)) / self.total
        factors = np.concatenate([self.free, self.frozen], axis=1)
        raw = self.problem.raw(self.block, self.scores, factors, self.intercepts)
        raw -= self.targets
        return self.block.quadratic_loss(raw)


class _NewtonStep:
    """Any other loss: damped Newton on the factors and intercepts of all tasks at once.

    The curvature is formed once and kept while it still serves (chord steps): a step needs the loss and its
    gradient, which cost a fraction of the k x k sums over all observations.
    """

    def __init__(self, problem: Problem, block: Block, scores, factors, intercepts, k: int, offset):
        self.problem, self.block, self.k = problem, block, k
        self.columns = with_ones(scores[:, :k]) if problem.fit_intercept else scores[:, :k]
        self.pairs = Pairs(self.columns)
        self.frozen = factors[block.outputs, k:]
        self.free = factors[block.outputs, :k].copy()
        self.intercepts = intercepts[block.outputs].copy()
        self.raw = problem.raw(block, scores, factors[block.outputs], self.intercepts) + offset
        self.state = block.evaluate(self.raw)
        self.curvature: NDArray | None = None
        self.last_decrement = np.inf

    def refresh(self) -> None:
        """Quadratic model of the loss at the present factors and intercepts, `point` of shape (n_tasks, c, q)."""
        block, k = self.block, self.k
        n_tasks, c = block.observations.n_tasks, block.observations.n_outputs
        self.gradient = block.observations.factor_sums(self.state[1], self.columns).reshape(n_tasks, c, -1)
        self.gradient[:, :, :k] *= block.scale[:, np.newaxis, np.newaxis]
        if self.curvature is None:
            self.curvature = self._form_curvature(self.gradient.shape[2])
        point = self.free.reshape(n_tasks, c, k)
        if self.problem.fit_intercept:
            point = np.concatenate([point, self.intercepts.reshape(n_tasks, c, 1)], axis=2)
        self.point = point
        self.linear = self._times_curvature(point) - self.gradient

    def solve(self, precision: NDArray) -> NDArray:
        """Minimiser of the model under a penalty; remembers the intercepts, returns the factors (n_tasks, c, k)."""
        assert self.curvature is not None
        n_tasks, c, q = self.linear.shape
        penalty = np.zeros((q, q))
        penalty[: self.k, : self.k] = precision
        if self.curvature.ndim == 4:
            solved = [solve_systems(self.curvature[:, a] + penalty, self.linear[:, a]) for a in range(c)]
            self.target = np.stack(solved, axis=1)
        else:
            whole = self.curvature + np.kron(np.eye(c), penalty)
            self.target = solve_systems(whole, self.linear.reshape(n_tasks, c * q)).reshape(self.linear.shape)
        return self.target[:, :, : self.k]

    def model_decrease(self, free: NDArray) -> float:
        """By how much the model of the loss at the last solution is below its value here."""
        step = self.target - self.point
        return -float(np.sum(self.gradient * step) + 0.5 * np.sum(self._times_curvature(step) * step))

    def _times_curvature(self, vectors: NDArray) -> NDArray:
        assert self.curvature is not None
        if self.curvature.ndim == 4:
            return (self.curvature @ vectors[..., np.newaxis])[..., 0]
        flat = vectors.reshape(len(vectors), -1, 1)
        return (self.curvature @ flat).reshape(vectors.shape)

    def move(self, free: NDArray, precision: NDArray) -> None:
        """Towards the last solution, each task as far as its objective falls."""
        step = self.target - self.point
        slope = self.gradient.copy()
        slope[:, :, : self.k] += self.point[:, :, : self.k] @ precision
        decrement = np.maximum(-np.sum(slope * step, axis=(1, 2)), 0.0)
        total = float(np.sum(decrement))
        self._line_search(step, decrement, precision)
        # The curvature has served when steps no longer shrink fast.
        if total > _CHORD_RATE * self.last_decrement:
            self.curvature = None
        self.last_decrement = total

    def _form_curvature(self, q: int) -> NDArray:
        """Curvature of the loss: (n_tasks, q, q), or (n_classes or 1, n_tasks, ...) blocks for softmax."""
        block = self.block
        observations, c = block.observations, block.observations.n_outputs
        scaling = np.ones((observations.n_tasks, q))
        scaling[:, : self.k] = block.scale[:, np.newaxis]
        scaling = scaling[:, :, np.newaxis] * scaling[:, np.newaxis]
        # Where probabilities saturate there is no curvature, and a model without curvature has no minimiser.
        second = np.maximum(self.state[2], _LEAST_CURVATURE) if c == 1 else self.state[2]
        if c == 1:
            return _floor(observations.grams(block.weighted(second), self.pairs) * scaling, self.k)
        if c * q > _MAX_WHOLE_SYSTEM:
            # diag(p) - p p' <= diag(p): one system per class, an upper bound of the curvature.
            parts = [
                _floor(observations.grams(block.weighted(one + _LEAST_CURVATURE), self.pairs) * scaling, self.k)
                for one in np.moveaxis(second, -1, 0)
            ]
            return np.stack(parts, axis=1)
        whole = np.empty((observations.n_tasks, c, q, c, q))
        for a in range(c):
            for b in range(a, c):
                cross = second[..., a] * ((a == b) - second[..., b]) + (a == b) * _LEAST_CURVATURE
                part = observations.grams(block.weighted(cross), self.pairs) * scaling
                whole[:, a, :, b] = whole[:, b, :, a] = part
        return _floor_intercepts(whole.reshape(observations.n_tasks, c * q, c * q), c, q, self.k)

    def _line_search(self, step: NDArray, decrement: NDArray, precision: NDArray) -> None:
        """Take the step; halve it for those tasks whose objective would rise."""
        block, k = self.block, self.k
        observations = block.observations
        flat = step.reshape(observations.n_tasks * observations.n_outputs, -1)
        raw_step = observations.raw(
            self.columns, flat * np.where(np.arange(flat.shape[1]) < k, block.output_scale, 1.0)
        )
        before = self._task_values(self.state[0], self.free, precision)
        length = np.ones(observations.n_tasks)
        for _ in range(40):
            spread = observations.spread(length)
            raw = self.raw + raw_step * (spread[..., np.newaxis] if raw_step.ndim > block.y.ndim else spread)
            state = block.evaluate(raw)
            free = self.free + flat[:, :k] * np.repeat(length, observations.n_outputs)[:, np.newaxis]
            after = self._task_values(state[0], free, precision)
            # A rounding error's worth of rise is no rise.
            risen = ~(after <= before - 1e-4 * length * decrement + 1e-13 * np.abs(before))
            if not risen.any():
                break
            length[risen] *= 0.5
        else:
            return
        self.raw, self.state, self.free = raw, state, free
        if self.problem.fit_intercept:
            self.intercepts = self.intercepts + flat[:, k] * np.repeat(length, observations.n_outputs)

    def _task_values(self, losses: NDArray, free: NDArray, precision: NDArray) -> NDArray:
        penalty = 0.5 * np.sum((free @ precision) * free, axis=1)
        return losses + penalty.reshape(len(losses), self.block.observations.n_outputs).sum(axis=1)

    def finish(self) -> tuple[float, NDArray]:
        """Total weighted loss, and its gradient per observation."""
        return float(np.sum(self.state[0])), self.state[1]


def solve_systems(matrices: NDArray, right: NDArray) -> NDArray:
    """Solve ``matrices[t] x_t = right[t]``; one matrix may stand for all tasks. Shapes (m or 1, q, q), (m, q)."""
    if right.shape[1] == 0:
        return right.copy()
    if len(matrices) == 1:
        return np.linalg.solve(matrices[0], right.T).T
    return np.linalg.solve(matrices, right[:, :, np.newaxis])[:, :, 0]


def _floor(hessian: NDArray, k: int) -> NDArray:
    """Keep an intercept's curvature above zero where all probabilities have saturated."""
    if hessian.shape[1] > k:
        hessian[:, k, k] += 1e-10 * hessian[:, k, k] + 1e-14
    return hessian


def _floor_intercepts(whole: NDArray, c: int, q: int, k: int) -> NDArray:
    """As `_floor`, for softmax: equal shifts of all intercepts have no curvature at all."""
    if q > k:
        places = np.arange(c) * q + k
        total = whole[:, places, places].sum(axis=1)
        for place in places:
            whole[:, place, place] += 1e-8 * total + 1e-14
    return whole


def _sqrt_and_inverse(gram: NDArray) -> tuple[NDArray, NDArray]:
    """Symmetric square root of a positive semidefinite matrix and its (pseudo-)inverse."""
    if not len(gram):
        return gram, gram
    values, vectors = np.linalg.eigh(gram)
    root = np.sqrt(np.maximum(values, max(1e-28 * values[-1], 1e-300)))
    return (vectors * root) @ vectors.T, (vectors / root) @ vectors.T


def _inverse(metric: NDArray) -> NDArray:
    """Inverse of a positive definite metric."""
    if not len(metric):
        return metric
    values, vectors = np.linalg.eigh(metric)
    return (vectors / np.maximum(values, 1e-14 * values[-1])) @ vectors.T
