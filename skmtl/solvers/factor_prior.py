"""Factors under a prior that is learned from all tasks: ``s_t ~ N(mean, covariance)`` (empirical Bayes).

The ridge of the fit shrinks every factor towards zero by the same strength. Given the basis, the factors of many
tasks tell where they lie and how they spread. By the EM algorithm (Dempster, Laird & Rubin 1977; for random
coefficients Laird & Ware 1982, doi:10.2307/2529876), in k x k work without a look at the data::

    E   V_t = (L_t + covariance^-1)^-1       m_t = V_t (h_t + covariance^-1 mean)
    M   mean = average of m_t                covariance = average of V_t + (m_t - mean) (m_t - mean)'

where ``exp(h_t's - s'L_t s / 2)`` is the likelihood of the factors of task t, its intercept (and an own part
that was eliminated) integrated out: exact for the squared loss with the noise of the task; for the other losses the
quadratic model at the present factors (Laplace), renewed until factors and prior agree.

A few tasks cannot tell a covariance: k further tasks with mean zero and the second moments of the fitted factors
are thought to have been seen (a normal inverse Wishart prior at its mode). A task of c classes has c vectors of
factors; softmax sees only their differences and no class is special, so their mean is zero, and they share the
covariance with all other outputs. Weights of tasks (`task_weight`) decided what the basis was learned for; here
every task has the likelihood of its observations.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from skmtl.objective import Block, Problem
from skmtl.observations import Pairs
from skmtl.solvers.basis_step import Point
from skmtl.solvers.solution import FactorPrior

#: EM stops when no entry of mean or covariance moves by more than this, relative to the covariance.
_TOLERANCE = 1e-4
_MAX_EM_ROUNDS = 500
#: Renewals of a quadratic model, and the step, relative to the factors, at which they end.
_MAX_MODELS = 50
_MODEL_TOLERANCE = 1e-7
#: Up to this many factors the classes of a task are worked on together.
_MAX_WHOLE_SYSTEM = 240
#: Curvature of a loss is taken to be at least this.
_LEAST_CURVATURE = 1e-10


def refit_factors(
    problem: Problem, point: Point, counts: NDArray, prior: FactorPrior | None = None
) -> tuple[Point, FactorPrior]:
    """Factors and intercepts of all tasks under a prior, which is learned unless it is given.

    Parameters
    ----------
    problem : Problem
    point : Point
        The fit; its basis, common part and own parts stay.
    counts : ndarray of shape (n_tasks,)
        What the loss of each task is multiplied by to be its negative log-likelihood.
    prior : FactorPrior, optional

    Returns
    -------
    point : Point
        With factors at their posterior mode.
    prior : FactorPrior
    """
    k = point.n_free
    steps = [
        _BlockFactors(problem, block, point, counts[block.tasks], place) for place, block in enumerate(problem.blocks)
    ]
    is_learned = prior is None
    if prior is None:
        free = point.factors[:, :k]
        prior = FactorPrior(np.zeros(k), free.T @ free / max(len(free), 1))
    believed = prior.covariance
    for _ in range(_MAX_MODELS):
        for step in steps:
            step.refresh()
        if is_learned:
            prior = _learn(steps, prior, believed)
        largest = max(step.move(prior) for step in steps)
        if problem.is_quadratic or largest <= _MODEL_TOLERANCE:
            break
    factors, intercepts, slopes = point.factors.copy(), point.intercepts.copy(), []
    for step in steps:
        outputs = step.block.outputs
        factors[outputs, :k] = step.free.reshape(-1, k)
        intercepts[outputs] = step.intercepts.ravel()
        slopes.append(step.block.loss_and_slope(step.raw)[1])
    return replace(point, factors=factors, intercepts=intercepts, slopes=slopes), prior


def factor_curvatures(problem: Problem, point: Point) -> NDArray:
    """Curvature of the loss of every single-output task in its factors, intercept profiled out, (n_tasks, k, k)."""
    steps = [
        _BlockFactors(problem, block, point, np.ones(block.observations.n_tasks), place)
        for place, block in enumerate(problem.blocks)
    ]
    for step in steps:
        step.refresh()
    return np.concatenate([step.curvature for step in steps])


def prior_root(prior: FactorPrior) -> NDArray:
    """L with ``L L' = covariance``, also where that is singular."""
    values, vectors = np.linalg.eigh(prior.covariance)
    return vectors * np.sqrt(np.maximum(values, 0.0))


def _covariances(curvatures: NDArray, root: NDArray) -> NDArray:
    """``(curvature + (root root')^-1)^-1`` for every task, also where the root is singular."""
    inner = root.T @ curvatures @ root
    inner += np.eye(len(root))
    return root @ np.linalg.solve(inner, np.broadcast_to(root.T, inner.shape))


def _learn(steps: list[_BlockFactors], prior: FactorPrior, believed: NDArray) -> FactorPrior:
    """EM on the present quadratic models."""
    k = len(prior.mean)
    n_outputs = sum(step.n_outputs for step in steps)
    n_centred = sum(step.n_outputs for step in steps if step.has_mean)
    for _ in range(_MAX_EM_ROUNDS):
        total, spread, squares = np.zeros(k), k * believed, np.zeros((k, k))
        for step in steps:
            means, covariances = step.posterior(prior)
            spread = spread + step.diagonal_blocks(covariances).sum(axis=0)
            vectors = means.reshape(-1, k)
            squares += vectors.T @ vectors
            total += vectors.sum(axis=0) if step.has_mean else 0.0
        # One of the tasks thought of counts for the mean: that keeps it finite and well determined.
        mean = total / (n_centred + 1)
        squares += (n_centred + 1) * np.outer(mean, mean) - np.outer(mean, total) - np.outer(total, mean)
        new = FactorPrior(mean, (squares + spread) / (n_outputs + k))
        size = np.sqrt(np.maximum(np.diag(new.covariance), 1e-300))
        change = max(
            np.abs((new.covariance - prior.covariance) / np.outer(size, size)).max(),
            np.abs((new.mean - prior.mean) / size).max(),
        )
        prior = new
        if change <= _TOLERANCE:
            break
    return prior


class _BlockFactors:
    """Factors and intercepts of the tasks of a block, and the quadratic model of their log-likelihoods.

    Shapes: n tasks of c outputs and k factors each; ``free`` (n, c, k), ``intercepts`` (n, c).
    """

    def __init__(self, problem: Problem, block: Block, point: Point, counts: NDArray, place: int):
        k, c = point.n_free, block.observations.n_outputs
        n = block.observations.n_tasks
        self.block, self.k, self.c, self.counts = block, k, c, counts
        self.has_mean = c == 1
        self.n_outputs = n * c
        self.columns = problem.with_ones(point.scores[:, :k]) if problem.fit_intercept else point.scores[:, :k]
        # Tied intercepts keep the mean that the fit has given them.
        ridge = problem.penalties.intercepts
        self.tie = ridge if ridge.is_free or ridge.mean is not None else replace(ridge, mean=point.intercepts.mean())
        self.has_intercept = problem.fit_intercept
        self.pairs = Pairs(self.columns)
        self.free = point.factors[block.outputs, :k].reshape(n, c, k)
        self.intercepts = point.intercepts[block.outputs].reshape(n, c)
        frozen = point.factors[block.outputs, k:] * block.output_scale
        self.offset = block.observations.raw(point.scores[:, k:], frozen) if frozen.shape[1] else 0.0
        if point.own_raw is not None:
            self.offset = self.offset + point.own_raw[place]
        self.raw = self._raw(self.free, self.intercepts)

    def refresh(self) -> None:
        """Curvature L (n, c k, c k) and linear term h (n, c k) of the log-likelihoods at the present factors."""
        block, k, c = self.block, self.k, self.c
        n, q = len(self.free), self.columns.shape[1]
        _, slope, second = block.evaluate(self.raw)
        scaling = np.where(np.arange(q) < k, block.scale[:, np.newaxis], 1.0)
        gradient = block.observations.factor_sums(slope, self.columns).reshape(n, c, q)
        if not self.tie.is_free:
            gradient[:, :, k] += self.tie.strength * self.tie.deviations(self.intercepts)
        gradient = gradient * scaling[:, np.newaxis] * self.counts[:, np.newaxis, np.newaxis]
        both = scaling[:, :, np.newaxis] * scaling[:, np.newaxis] * self.counts[:, np.newaxis, np.newaxis]
        hessian = self._hessian(second) * both[:, np.newaxis, :, np.newaxis]
        s_s = hessian[:, :, :k, :, :k].reshape(n, c * k, c * k)
        s_gradient, point = gradient[:, :, :k].reshape(n, c * k), self.free.reshape(n, c * k)
        self.to_intercept = np.zeros((n, c, c * k))
        if self.has_intercept:
            s_b = hessian[:, :, :k, :, k].reshape(n, c * k, c)
            b_b = hessian[:, :, k, :, k] + self.tie.strength * self.counts[:, np.newaxis, np.newaxis] * np.eye(c)
            # Softmax does not see equal shifts of the intercepts.
            ridge = 1e-10 * np.einsum("tii->t", b_b) + 1e-300
            b_b = b_b + ridge[:, np.newaxis, np.newaxis] * np.eye(c)
            self.to_intercept = np.linalg.solve(b_b, np.swapaxes(s_b, 1, 2))
            self.intercept_step = -np.linalg.solve(b_b, gradient[:, :, k:])[:, :, 0]
            s_s = s_s - s_b @ self.to_intercept
            s_gradient = s_gradient + (s_b @ self.intercept_step[:, :, np.newaxis])[:, :, 0]
        self.curvature = s_s
        self.linear = (s_s @ point[:, :, np.newaxis])[:, :, 0] - s_gradient

    def _hessian(self, second: NDArray) -> NDArray:
        """Second derivative of the loss in factors and intercepts, (n, c, q, c, q) with one X-side sum per pair."""
        block, c, q = self.block, self.c, self.columns.shape[1]
        hessian = np.zeros((len(self.free), c, q, c, q))
        is_whole = c * self.k <= _MAX_WHOLE_SYSTEM
        for a in range(c):
            for b in range(a, c) if is_whole else [a]:
                if c == 1:
                    cross = np.maximum(second, _LEAST_CURVATURE)
                elif is_whole:
                    cross = second[..., a] * ((a == b) - second[..., b]) + (a == b) * _LEAST_CURVATURE
                else:
                    # diag(p) - p p' <= diag(p): an upper bound of the curvature without cross terms.
                    cross = second[..., a] + _LEAST_CURVATURE
                part = block.observations.grams(block.weighted(cross), self.pairs)
                hessian[:, a, :, b] = hessian[:, b, :, a] = part
        return hessian

    def posterior(self, prior: FactorPrior) -> tuple[NDArray, NDArray]:
        """Means (n, c k) and covariances (n, c k, c k) of the factors under the quadratic models."""
        root = np.kron(np.eye(self.c), prior_root(prior))
        mean = np.tile(prior.mean, self.c) * self.has_mean
        covariances = _covariances(self.curvature, root)
        pull = self.linear - self.curvature @ mean
        return mean + (covariances @ pull[:, :, np.newaxis])[:, :, 0], covariances

    def diagonal_blocks(self, covariances: NDArray) -> NDArray:
        """Covariances of every output on its own, (n c, k, k)."""
        whole = covariances.reshape(-1, self.c, self.k, self.c, self.k)
        return np.einsum("tcicj->tcij", whole).reshape(-1, self.k, self.k)

    def move(self, prior: FactorPrior) -> float:
        """Towards the posterior means, each task as far as its objective falls; returns the largest relative step."""
        n, c, k = self.free.shape
        target = self.posterior(prior)[0]
        step = target - self.free.reshape(n, c * k)
        intercept_step = np.zeros((n, c))
        if self.has_intercept:
            intercept_step = self.intercept_step - (self.to_intercept @ step[:, :, np.newaxis])[:, :, 0]
        step = step.reshape(n, c, k)
        length = np.ones(n)
        before = None if self.block.loss.is_quadratic else self._values(self.raw, self.free, self.intercepts, prior)
        for _ in range(30):
            free = self.free + length[:, np.newaxis, np.newaxis] * step
            intercepts = self.intercepts + length[:, np.newaxis] * intercept_step
            raw = self._raw(free, intercepts)
            if before is None:
                break
            risen = self._values(raw, free, intercepts, prior) > before + 1e-12 * np.abs(before)
            if not risen.any():
                break
            length[risen] *= 0.5
        self.free, self.intercepts, self.raw = free, intercepts, raw
        return float(np.abs(step).max(initial=0.0) / max(np.abs(free).max(initial=0.0), 1e-300))

    def _values(self, raw: NDArray, free: NDArray, intercepts: NDArray, prior: FactorPrior) -> NDArray:
        """Negative log posterior of every task, (n,)."""
        loss = self.block.evaluate(raw)[0]
        if not self.tie.is_free:
            loss = loss + 0.5 * self.tie.strength * self.tie.deviations(intercepts)[:, 0] ** 2
        loss = loss * self.counts
        values, vectors = np.linalg.eigh(prior.covariance)
        # Directions without variance cannot be left; rounding keeps factors there by next to nothing.
        inverse_root = vectors / np.sqrt(np.maximum(values, 1e-14 * values.max(initial=1e-300)))
        return loss + 0.5 * np.sum(((free - prior.mean * self.has_mean) @ inverse_root) ** 2, axis=(1, 2))

    def _raw(self, free: NDArray, intercepts: NDArray) -> NDArray:
        factors = free.reshape(-1, self.k) * self.block.output_scale
        if self.has_intercept:
            factors = np.concatenate([factors, intercepts.reshape(-1, 1)], axis=1)
        return self.block.observations.raw(self.columns, factors) + self.offset
