"""The basis step: L-BFGS on the projected objective, where factors and gauge are already eliminated.

``f(B) = min over S, b, gauge of F`` (variable projection, Golub & Pereyra 1973, doi:10.1137/0710036) has the
gradient ``X' (slopes S') + alpha B``. Each iteration costs one product with X and one with its transpose,
whatever the line search does: ``X (B + t D) = X B + t X D`` is linear in t.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from skmtl.objective import Problem
from skmtl.solvers.factor_step import Eliminated, eliminate
from skmtl.solvers.preconditioner import Preconditioner

_MEMORY = 10
#: A component this much smaller than the largest is dropped.
_PRUNE = 1e-5


@dataclass
class Point:
    """Where the alternation stands, in the balanced gauge; the only thing that moves.

    Attributes
    ----------
    basis : ndarray of shape (n_features, p)
        B, then (where there is a common part) the column m / q.
    scores : ndarray of shape (n_rows, p)
        ``X @ basis``.
    factors : ndarray of shape (n_outputs, p)
    intercepts : ndarray of shape (n_outputs,)
    n_free : int
        k, the columns of `basis` whose factors are free.
    value : float
        The objective.
    slopes : list of ndarray
    """

    basis: NDArray
    scores: NDArray
    factors: NDArray
    intercepts: NDArray
    n_free: int
    value: float = np.inf
    slopes: list[NDArray] = field(default_factory=list)


def settle(problem: Problem, point: Point, tolerance: float) -> tuple[Point, NDArray, NDArray]:
    """Eliminate at `point`; returns the balanced point, the gauge and its inverse (pruned to the rank)."""
    k = point.n_free
    gram = point.basis[:, :k].T @ point.basis[:, :k]
    done = eliminate(problem, point.scores, gram, point.factors, point.intercepts, tolerance)
    return balanced_point(problem, point, done)


def frozen_penalty(problem: Problem, basis: NDArray, k: int) -> float:
    """Penalty of the common part."""
    return 0.5 * problem.penalties.reference * float(np.sum(basis[:, k:] ** 2))


def balanced_point(problem: Problem, point: Point, done: Eliminated) -> tuple[Point, NDArray, NDArray]:
    """Carry out the gauge of a factor step and drop the components that have vanished."""
    k, p = point.n_free, point.basis.shape[1]
    sizes = np.sum((point.basis[:, :k] @ done.gauge) ** 2, axis=0)
    kept = int(np.sum(sizes > _PRUNE * sizes.max(initial=0.0)))
    if k and sizes[0] <= 1e-12 * max(done.value, 1e-300) / problem.penalties.reference:
        kept = 0
    gauge = _with_frozen(done.gauge[:, :kept], p - k)
    inverse = _with_frozen(done.inverse_gauge[:kept], p - k)
    value = done.value + frozen_penalty(problem, point.basis, k)
    moved = Point(
        point.basis @ gauge, point.scores @ gauge, done.factors @ inverse.T, done.intercepts, kept, value, done.slopes
    )
    return moved, gauge, inverse


def _with_frozen(gauge: NDArray, n_frozen: int) -> NDArray:
    whole = np.zeros((gauge.shape[0] + n_frozen, gauge.shape[1] + n_frozen))
    whole[: gauge.shape[0], : gauge.shape[1]] = gauge
    whole[gauge.shape[0] :, gauge.shape[1] :] = np.eye(n_frozen)
    return whole


def minimise_basis(
    problem: Problem,
    preconditioner: Preconditioner,
    point: Point,
    *,
    tolerance: float,
    max_iter: int,
    report: Callable[[float, float], None],
) -> tuple[Point, float, int]:
    """L-BFGS from `point` until the promised decrease is below `tolerance` times the objective.

    Returns
    -------
    point : Point
    decrement : float
        Half of ``g' H^-1 g`` with the preconditioner for H: the decrease still promised, in units of F.
    n_iter : int
    """
    alpha = problem.penalties.reference
    scale = max(abs(point.value), 1e-300)
    pairs: list[tuple[NDArray, NDArray]] = []
    gradient = problem.basis_gradient(point.slopes, point.factors) + alpha * point.basis
    decrement, inner = np.inf, 1e-4
    for iteration in range(max_iter + 1):
        factor_gram = point.factors.T @ point.factors
        newton = preconditioner.solve(gradient, factor_gram, alpha)
        decrement = 0.5 * float(np.sum(gradient * newton))
        report(point.value, decrement / scale)
        if decrement <= tolerance * scale or iteration == max_iter or point.basis.shape[1] == 0:
            return point, decrement, iteration
        direction = -_two_loop(gradient, pairs, lambda g: preconditioner.solve(g, factor_gram, alpha))
        slope = float(np.sum(gradient * direction))
        if slope > -0.1 * decrement:
            pairs.clear()
            direction, slope = -newton, -2.0 * decrement
        longest = 2.0 * np.linalg.norm(point.basis)
        if pairs and longest > 0:
            direction *= min(1.0, longest / np.linalg.norm(direction))
            slope = float(np.sum(gradient * direction))
        found = _line_search(problem, point, direction, slope, inner * decrement)
        if found is None:
            if not pairs:
                return point, decrement, iteration
            pairs.clear()
            continue
        length, trial, done = found
        moved, gauge, inverse = balanced_point(problem, trial, done)
        new_gradient = problem.basis_gradient(moved.slopes, moved.factors) + alpha * moved.basis
        if moved.n_free < point.n_free:
            pairs.clear()
        else:
            pairs.append((length * direction, new_gradient @ gauge.T - gradient))
            pairs[:] = [(s @ gauge, y @ inverse.T) for s, y in pairs[-_MEMORY:]]
            if np.sum(pairs[-1][0] * pairs[-1][1]) <= 1e-12 * np.linalg.norm(pairs[-1][0]) * np.linalg.norm(pairs[-1][1]):
                pairs.pop()
        point, gradient = moved, new_gradient
    raise AssertionError("unreachable")


def _line_search(
    problem: Problem, point: Point, direction: NDArray, slope: float, tolerance: float
) -> tuple[float, Point, Eliminated] | None:
    """Backtrack from 1 until the projected objective falls enough; None when rounding allows no fall."""
    k = point.n_free
    direction_scores = problem.X.times(direction)
    length = 1.0
    for _ in range(30):
        basis = point.basis + length * direction
        trial = Point(basis, point.scores + length * direction_scores, point.factors, point.intercepts, k)
        gram = basis[:, :k].T @ basis[:, :k]
        done = eliminate(problem, trial.scores, gram, point.factors, point.intercepts, tolerance)
        value = done.value + frozen_penalty(problem, basis, k)
        change = value - point.value
        if change <= 1e-4 * length * slope:
            return length, trial, done
        if length * abs(slope) <= 1e-15 * abs(point.value):
            return None
        # Minimum of the parabola through value, slope and the trial, kept away from both ends.
        length *= float(np.clip(-0.5 * slope * length / max(change - slope * length, 1e-300), 0.1, 0.5))
    return None


def _two_loop(gradient: NDArray, pairs: list[tuple[NDArray, NDArray]], solve: Callable[[NDArray], NDArray]) -> NDArray:
    """L-BFGS product (Nocedal 1980, doi:10.1090/S0025-5718-1980-0572855-7), scaled by the last pair."""
    q = gradient.copy()
    weights = []
    for s, y in reversed(pairs):
        weight = np.sum(s * q) / np.sum(s * y)
        q -= weight * y
        weights.append(weight)
    r = solve(q)
    if pairs:
        s, y = pairs[-1]
        r *= np.sum(s * y) / np.sum(y * solve(y))
    for (s, y), weight in zip(pairs, reversed(weights), strict=True):
        r += (weight - np.sum(y * r) / np.sum(s * y)) * s
    return r
