"""Quadratic models of the losses of all tasks of a block, in factors and intercepts, and their minimisers.

A squared loss is its own model. Any other loss is modelled at a linear predictor where it has been evaluated:
at the present factors (Newton), or at those before a step of the basis (iteratively reweighted least squares).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from skmtl.intercepts import InterceptRidge
from skmtl.objective import Block, Problem
from skmtl.observations import Pairs

#: A curvature serves as long as each step promises this much less than the one before.
_CHORD_RATE = 0.2
#: Curvature of a loss is taken to be at least this in a Newton model: enough for the model to have a minimiser where
#: probabilities saturate. A larger floor would make steps there short, and separable classes slow.
_LEAST_CURVATURE = 1e-11
#: Up to this many unknowns a multinomial task's Newton system is formed whole.
_MAX_WHOLE_SYSTEM = 240


@dataclass(frozen=True)
class LossState:
    """A loss at some linear predictor.

    Attributes
    ----------
    raw : ndarray, one linear predictor per observation and output
    losses : ndarray of shape (n_tasks,)
        Weighted loss of every task.
    slope, curvature : ndarrays of the shape of `raw`
        Weighted gradient; curvature without weights (softmax: the probabilities).
    """

    raw: NDArray
    losses: NDArray
    slope: NDArray
    curvature: NDArray


class QuadraticStep:
    """Squared loss: the normal equations of every task, formed once and solved for any gauge."""

    def __init__(self, problem: Problem, block: Block, scores, factors, intercepts, k: int, offset):
        self.problem, self.block, self.scores, self.k = problem, block, scores, k
        self.link: NDArray | None = None
        self.targets = block.y - offset
        self.frozen = factors[block.outputs, k:]
        observations = block.observations
        columns = problem.with_ones(scores) if problem.fit_intercept else scores
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
            ridge = problem.penalties.intercepts
            divisor = self.total if ridge.is_free else self.total + ridge.strength
            self.grams -= self.ones[:, :, np.newaxis] * (self.ones / divisor[:, np.newaxis])[:, np.newaxis]
            self.moments = self.moments - self.ones * (self.target_sum / divisor)[:, np.newaxis]
            if not ridge.is_free:
                self._tie_intercepts(ridge)
        self.free = factors[block.outputs, :k]
        self.intercepts = intercepts[block.outputs]

    def _tie_intercepts(self, ridge: InterceptRidge) -> None:
        """The mean of the intercepts, eliminated after their deviations, ties the factors of all tasks.

        It leaves ``-(sum_t link_t's_t)^2 / 2`` and a share of the linear terms; a mean that is known the latter only.
        """
        gains = 1.0 / (self.total + ridge.strength)
        mean = ridge.best_mean(self.total, self.target_sum)
        self.moments = self.moments - self.ones * (ridge.strength * mean * gains)[:, np.newaxis]
        if ridge.mean is None:
            unit = np.sqrt(ridge.strength / np.sum(gains * self.total))
            self.link = unit * gains[:, np.newaxis] * self.ones

    def refresh(self) -> None:
        """The quadratic model is the loss itself."""

    def solve(self, precision: NDArray) -> NDArray:
        """Minimiser of the loss under the penalty ``free @ precision @ free' / 2``, shape (n_tasks, k)."""
        return solve_linked(self.grams + precision, self.moments, self.link)

    def model_decrease(self, free: NDArray) -> float:
        """By how much the loss at `free` is below the loss at the present factors."""
        return self._value(self.free) - self._value(free)

    def _value(self, free: NDArray) -> float:
        value = float(0.5 * np.sum((self.grams @ free[:, :, np.newaxis])[:, :, 0] * free) - np.sum(self.moments * free))
        return value if self.link is None else value - 0.5 * float(np.sum(self.link * free)) ** 2

    def move(self, free: NDArray, precision: NDArray) -> None:
        self.free = free

    jump = move

    def loss_relative(self) -> float:
        """Loss at the present factors, but for a constant."""
        return self._value(self.free)

    def loss(self) -> float:
        """Total weighted loss at the present factors."""
        return self._finish()[0]

    def finish(self) -> tuple[float, NDArray, None]:
        """Total weighted loss with the penalty of the intercepts, and the loss's gradient per observation."""
        return (*self._finish(), None)

    def _finish(self) -> tuple[float, NDArray]:
        if self.problem.fit_intercept:
            left = self.target_sum - np.sum(self.ones * self.free, axis=1)
            self.intercepts = self.problem.penalties.intercepts.best(self.total, left)
        factors = np.concatenate([self.free, self.frozen], axis=1)
        raw = self.problem.raw(self.block, self.scores, factors, self.intercepts)
        raw -= self.targets
        loss, slope = self.block.quadratic_loss(raw)
        return loss + self.problem.penalties.intercepts.penalty(self.intercepts), slope


class NewtonStep:
    """Any other loss: damped Newton on the factors and intercepts of all tasks at once.

    The curvature is formed once and kept while it still serves (chord steps): a step needs the loss and its
    gradient, which cost a fraction of the k x k sums over all observations.
    """

    def __init__(
        self,
        problem: Problem,
        block: Block,
        scores: NDArray,
        factors: NDArray,
        intercepts: NDArray,
        k: int,
        offset: NDArray | float,
        known: LossState | None,
        is_here: bool,
    ):
        self.problem, self.block, self.k = problem, block, k
        self.scores, self.offset = scores, offset
        self.columns = problem.with_ones(scores[:, :k]) if problem.fit_intercept else scores[:, :k]
        self.ridge = problem.penalties.intercepts
        self.pairs = Pairs(self.columns)
        self.frozen = factors[block.outputs, k:]
        self.free = factors[block.outputs, :k].copy()
        self.intercepts = intercepts[block.outputs].copy()
        self.state = self._evaluate(self._raw()) if known is None else known
        # Whether `state` belongs to `free`, `intercepts` and `scores`.
        self.is_here = known is None or is_here
        self.curvature: NDArray | None = None
        self.last_decrement = np.inf

    def _raw(self) -> NDArray:
        factors = np.concatenate([self.free, self.frozen], axis=1)
        raw = self.problem.raw(self.block, self.scores, factors, self.intercepts)
        raw += self.offset
        return raw

    def _evaluate(self, raw: NDArray) -> LossState:
        return LossState(raw, *self.block.evaluate(raw))

    def refresh(self) -> None:
        """Quadratic model of the loss around `state`; `point` (n_tasks, c, q) are factors and intercepts now."""
        block, k = self.block, self.k
        n_tasks, c = block.observations.n_tasks, block.observations.n_outputs
        if not self.is_here:
            # Gradient of the model at zero: it moves away from a linear predictor that is not of these scores.
            slope = self.state.slope - self._bent(self.state.raw - self._fixed_raw())
        else:
            slope = self.state.slope
        gradient = block.observations.factor_sums(slope, self.columns).reshape(n_tasks, c, -1)
        gradient[:, :, :k] *= block.scale[:, np.newaxis, np.newaxis]
        if self.curvature is None:
            self.curvature = self._form_curvature(gradient.shape[2])
        if not self.is_here:
            self.linear = -gradient
            return
        point = self.free.reshape(n_tasks, c, k)
        if self.problem.fit_intercept:
            point = np.concatenate([point, self.intercepts.reshape(n_tasks, c, 1)], axis=2)
        self.point, self.gradient = point, gradient
        self.linear = self._times_curvature(point) - gradient

    def _fixed_raw(self) -> NDArray | float:
        """What frozen factors and own parts add to the linear predictor."""
        if not self.frozen.shape[1]:
            return self.offset
        factors = self.frozen * self.block.output_scale
        return self.block.observations.raw(self.scores[:, self.k :], factors) + self.offset

    def _bent(self, raw: NDArray) -> NDArray:
        """Weighted curvature of the loss, as the model has it, times a linear predictor."""
        second = self.state.curvature
        if raw.ndim == self.block.y.ndim:
            return self.block.weighted(np.maximum(second, _LEAST_CURVATURE) * raw)
        product = (second + _LEAST_CURVATURE) * raw
        if not self._is_separable:
            product -= second * np.sum(second * raw, axis=-1, keepdims=True)
        return self.block.weighted(product)

    @property
    def _is_separable(self) -> bool:
        """Whether the classes of a softmax have a Newton system each: all together would be too large."""
        return self.block.observations.n_outputs * self.columns.shape[1] > _MAX_WHOLE_SYSTEM

    def jump(self, free: NDArray, precision: NDArray) -> None:
        """To the minimiser of a model around another linear predictor, wherever that leads."""
        self._take(self.target)
        self.state, self.is_here = self._evaluate(self._raw()), True

    def _take(self, target: NDArray) -> None:
        flat = target.reshape(len(self.free), -1)
        self.free = flat[:, : self.k].copy()
        if self.problem.fit_intercept:
            self.intercepts = flat[:, self.k].copy()

    def loss(self) -> float:
        """Total weighted loss at the present factors, with the penalty of the intercepts."""
        return float(np.sum(self.state.losses)) + self.ridge.penalty(self.intercepts)

    loss_relative = loss

    def solve(self, precision: NDArray) -> NDArray:
        """Minimiser of the model under a penalty; remembers the intercepts, returns the factors (n_tasks, c, k)."""
        assert self.curvature is not None
        n_tasks, c, q = self.linear.shape
        penalty = np.zeros((q, q))
        penalty[: self.k, : self.k] = precision
        if not self.ridge.is_free:
            self.target = self._solve_tied(penalty)
        elif self.curvature.ndim == 4:
            solved = [solve_systems(self.curvature[:, a] + penalty, self.linear[:, a]) for a in range(c)]
            self.target = np.stack(solved, axis=1)
        else:
            whole = self.curvature + (penalty if c == 1 else np.kron(np.eye(c), penalty))
            self.target = solve_systems(whole, self.linear.reshape(n_tasks, c * q)).reshape(self.linear.shape)
        return self.target[:, :, : self.k]

    def _solve_tied(self, penalty: NDArray) -> NDArray:
        """As `solve` for tasks of one output whose intercepts bear a ridge about their mean: that mean is free too."""
        assert self.curvature is not None
        strength, k = self.ridge.strength, self.k
        penalty[k, k] = strength
        systems, right = self.curvature + penalty, self.linear[:, 0]
        unit = np.zeros_like(right)
        unit[:, k] = 1.0
        apart, along = solve_systems(systems, right), solve_systems(systems, unit)
        mean = self.ridge.mean
        if mean is None:
            # The deviations from it add to zero.
            mean = float(np.sum(apart[:, k]) / np.sum(1.0 - strength * along[:, k]))
        return (apart + strength * mean * along)[:, np.newaxis]

    def model_decrease(self, free: NDArray) -> float:
        """By how much the model of the loss at the last solution is below its value here."""
        step = self.target - self.point
        decrease = -float(np.sum(self.gradient * step) + 0.5 * np.sum(self._times_curvature(step) * step))
        if self.ridge.is_free:
            return decrease
        return decrease + self.ridge.penalty(self.intercepts) - self.ridge.penalty(self.target[:, 0, self.k])

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
        if not self.ridge.is_free:
            slope[:, 0, self.k] += self.ridge.strength * self.ridge.deviations(self.intercepts)
        decrement = np.maximum(self._together(-np.sum(slope * step, axis=(1, 2))), 0.0)
        total = float(np.sum(decrement)) if self.ridge.is_free else float(decrement[0])
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
        second = np.maximum(self.state.curvature, _LEAST_CURVATURE) if c == 1 else self.state.curvature
        if c == 1:
            return _floor(observations.grams(block.weighted(second), self.pairs) * scaling, self.k)
        if self._is_separable:
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
        before = self._task_values(self.state.losses, self.free, self.intercepts, precision)
        length = np.ones(observations.n_tasks)
        for _ in range(40):
            spread = observations.spread(length)
            # A full step needs no copy of the step.
            move = raw_step if length.min() == 1.0 else raw_step * _over_outputs(spread, raw_step.ndim > block.y.ndim)
            state = self._evaluate(self.state.raw + move)
            free = self.free + flat[:, :k] * np.repeat(length, observations.n_outputs)[:, np.newaxis]
            intercepts = self.intercepts
            if self.problem.fit_intercept:
                intercepts = intercepts + flat[:, k] * np.repeat(length, observations.n_outputs)
            after = self._task_values(state.losses, free, intercepts, precision)
            # A rounding error's worth of rise is no rise.
            risen = ~(after <= before - 1e-4 * length * decrement + 1e-13 * np.abs(before))
            if not risen.any():
                break
            length[risen] *= 0.5
        else:
            return
        self.state, self.free, self.intercepts = state, free, intercepts

    def _task_values(self, losses: NDArray, free: NDArray, intercepts: NDArray, precision: NDArray) -> NDArray:
        penalty = 0.5 * np.sum((free @ precision) * free, axis=1)
        values = losses + penalty.reshape(len(losses), self.block.observations.n_outputs).sum(axis=1)
        return values if self.ridge.is_free else self._together(values) + self.ridge.penalty(intercepts)

    def _together(self, values: NDArray) -> NDArray:
        """Values of every task; their sum for each where tied intercepts make all tasks move as one."""
        return values if self.ridge.is_free else np.full(len(values), np.sum(values))

    def finish(self) -> tuple[float, NDArray, LossState]:
        """Total weighted loss, its gradient per observation, and all that is known of it."""
        return self.loss(), self.state.slope, self.state


def _over_outputs(values: NDArray, has_outputs: bool) -> NDArray:
    return values[..., np.newaxis] if has_outputs else values


def solve_linked(matrices: NDArray, right: NDArray, link: NDArray | None) -> NDArray:
    """As `solve_systems`, less ``link link'`` of shape (m, q), which ties all systems, in the matrix of them all."""
    solved = solve_systems(matrices, right)
    if link is None or right.shape[1] == 0:
        return solved
    along = solve_systems(matrices, link)
    return solved + along * (np.sum(link * solved) / (1.0 - np.sum(link * along)))


def solve_systems(matrices: NDArray, right: NDArray) -> NDArray:
    """Solve ``matrices[t] x_t = right[t]``; one matrix may stand for all tasks. Shapes (m or 1, q, q), (m, q)."""
    if right.shape[1] == 0:
        return right.copy()
    try:
        if len(matrices) == 1:
            return np.linalg.solve(matrices[0], right.T).T
        return np.linalg.solve(matrices, right[:, :, np.newaxis])[:, :, 0]
    except np.linalg.LinAlgError:
        # Rounding has swallowed a penalty: scores of 1e6 leave none of it. The shortest solution is as good a model.
        return (np.linalg.pinv(matrices, hermitian=True) @ right[:, :, np.newaxis])[:, :, 0]


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
