"""The basis step: L-BFGS on the projected objective, where factors and gauge are already eliminated.

``f(B) = min over S, b, gauge of F`` (variable projection, Golub & Pereyra 1973, doi:10.1137/0710036) has the
gradient ``X' (slopes S') + alpha B``. Each iteration costs one product with X and one with its transpose,
whatever the line search does: ``X (B + t D) = X B + t X D`` is linear in t.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from skmtl.objective import Problem
from skmtl.solvers.factor_step import Eliminated, Expansion, LossState, OwnColumns, eliminate
from skmtl.solvers.preconditioner import Preconditioner

_MEMORY = 10
#: The factor step is as exact as this share of the decrease that the basis step promises.
_INNER = 1e-2
#: Doubles that the pairs of L-BFGS may hold together in any case, and what share of the doubles of X beyond.
_MEMORY_ELEMENTS = 1 << 20
_MEMORY_SHARE = 0.35
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
        Weighted loss gradient per observation of every block.
    own : ndarray of shape (n_features, n_outputs), or None
        Own parts in the units of `basis`, where no compression has eliminated them.
    own_raw : list of ndarray, or None
        What they add to the linear predictor of every block, where the basis step moves them.
    own_scores : ndarray of shape (n_rows, n_features), or None
        X in the units of own parts, where the factor step eliminates them.
    states : list of (LossState or None), or None
        The loss of every block where it is known.
    """

    @property
    def columns(self) -> NDArray:
        """Everything the basis step moves, side by side: basis, then own parts unless the factor step has them."""
        return self.basis if self.moved_own is None else np.concatenate([self.basis, self.moved_own], axis=1)

    @property
    def moved_own(self) -> NDArray | None:
        """Own parts that the basis step moves."""
        return self.own if self.own_scores is None else None

    @property
    def own_columns(self) -> OwnColumns | None:
        """Own parts that the factor step eliminates."""
        return None if self.own_scores is None or self.own is None else OwnColumns(self.own_scores, self.own)

    basis: NDArray
    scores: NDArray
    factors: NDArray
    intercepts: NDArray
    n_free: int
    value: float = np.inf
    slopes: list[NDArray] = field(default_factory=list)
    own: NDArray | None = None
    own_raw: list[NDArray] | None = None
    states: list[LossState | None] | None = None
    own_scores: NDArray | None = None


def settle(problem: Problem, point: Point, tolerance: float, polish: int = 0) -> Point:
    """Eliminate at `point`, until no component vanishes: the balanced point, whose value is that of what is left."""
    k = point.n_free
    gram = point.basis[:, :k].T @ point.basis[:, :k]
    here = None if point.states is None else Expansion(point.states)
    given = problem, point.scores, gram, point.factors, point.intercepts, tolerance, point.own_raw
    settled = balanced_point(
        problem, point, eliminate(*given, polish=polish, expansion=here, own_columns=point.own_columns)
    )[0]
    return settled if settled.n_free == k else settle(problem, settled, tolerance, polish)


def fixed_penalty(problem: Problem, point: Point) -> float:
    """Penalty of what the factor step does not see: the common part, and own parts that the basis step moves."""
    squares = float(np.sum(point.basis[:, point.n_free :] ** 2))
    if point.moved_own is not None:
        squares += float(np.sum(point.moved_own**2))
    return 0.5 * problem.penalties.reference * squares


def full_gradient(problem: Problem, point: Point, preconditioner: Preconditioner) -> NDArray:
    """Gradient of the projected objective in `Point.columns`."""
    if point.own_scores is not None:
        loss = _settled_gradient(problem, point, preconditioner) @ point.factors
    else:
        loss = problem.basis_gradient(point.slopes, point.factors)
    if point.moved_own is not None:
        own = problem.coefficient_gradient(point.slopes) * problem.penalties.own_factor
        loss = np.concatenate([loss, own], axis=1)
    return loss + problem.penalties.reference * point.columns


def _settled_gradient(problem: Problem, point: Point, preconditioner: Preconditioner) -> NDArray:
    """Gradient of the loss in W where own parts are at their best, although the factor step left them near it only.

    There it is ``-alpha_own E`` as well, but both are off by the error of E, the one in proportion to the curvature h
    and the other to -alpha_own: so that their mean by ``alpha_own : h`` is not off, to first order. On a column of
    large numbers the error of the first alone would pass for a slope which no step of the basis can descend.
    """
    assert point.own is not None
    own, factor = problem.penalties.own, problem.penalties.own_factor
    gradient = problem.coefficient_gradient(point.slopes)
    settled = -own * factor * point.own
    return gradient + preconditioner.share_of(settled - gradient, own)


def balanced_point(problem: Problem, point: Point, done: Eliminated) -> tuple[Point, NDArray, NDArray]:
    """Carry out the gauge of a factor step and drop the components that have vanished."""
    k, p = point.n_free, point.basis.shape[1]
    kept = _n_kept(problem, point, done)
    gauge = _with_frozen(done.gauge[:, :kept], p - k)
    inverse = _with_frozen(done.inverse_gauge[:kept], p - k)
    value = done.value + fixed_penalty(problem, point)
    moved = Point(
        point.basis @ gauge,
        point.scores @ gauge,
        done.factors @ inverse.T,
        done.intercepts,
        kept,
        value,
        done.slopes,
        point.own if done.own is None else done.own,
        point.own_raw,
        done.states if kept == k else None,
        point.own_scores,
    )
    return moved, gauge, inverse


def _n_kept(problem: Problem, point: Point, done: Eliminated) -> int:
    """Number of leading components that have not vanished, from the penalty as well as from the predictor.

    A component of tiny coefficients says much where it stands on a column of large numbers.
    """
    k = point.n_free
    sizes = _squared_norms(point.basis[:, :k] @ done.gauge)
    reach = _squared_norms(point.scores[:, :k] @ done.gauge)
    reach *= _squared_norms(done.factors[:, :k] @ done.inverse_gauge.T) / len(point.scores)
    present = (sizes > _PRUNE * sizes.max(initial=0.0)) | (reach > 1e2 * _PRUNE**2 * reach.max(initial=0.0))
    costs = problem.penalties.reference * sizes + reach
    if costs.max(initial=0.0) <= 1e-12 * max(abs(done.value), 1e-300):
        return 0
    return int(np.flatnonzero(present).max(initial=-1)) + 1


def _squared_norms(columns: NDArray) -> NDArray:
    """Of every column."""
    return np.einsum("ij,ij->j", columns, columns)


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
    scale = max(abs(point.value), 1e-300)
    pairs: list[tuple[NDArray, NDArray]] = []
    room = max(_MEMORY_ELEMENTS, _MEMORY_SHARE * problem.X.n_stored)
    memory = int(np.clip(room / max(2 * point.columns.size, 1), 3, _MEMORY))
    gradient = full_gradient(problem, point, preconditioner)
    for iteration in range(max_iter + 1):
        solve = _curvature_solve(problem, preconditioner, point)
        newton = solve(gradient)
        decrement = 0.5 * _inner(gradient, newton)
        report(point.value, decrement / scale)
        if decrement <= tolerance * scale or iteration == max_iter:
            return point, decrement, iteration
        direction = -_two_loop(gradient, pairs, solve)
        slope = _inner(gradient, direction)
        if slope > -0.1 * decrement:
            pairs.clear()
            direction, slope = -newton, -2.0 * decrement
        longest = 2.0 * np.linalg.norm(point.columns)
        if pairs and longest > 0:
            direction *= min(1.0, longest / np.linalg.norm(direction))
            slope = _inner(gradient, direction)
        found = _line_search(problem, point, direction, slope, _INNER * decrement)
        if found is None:
            if not pairs:
                return point, decrement, iteration
            pairs.clear()
            continue
        length, trial, done = found
        moved, gauge, inverse = balanced_point(problem, trial, done)
        if moved.n_free < point.n_free:
            moved = settle(problem, moved, _INNER * decrement)
        new_gradient = full_gradient(problem, moved, preconditioner)
        if moved.n_free < point.n_free:
            pairs.clear()
        else:
            s, y = length * direction, _turn(new_gradient, gauge.T) - gradient
            if _inner(s, y) > 1e-12 * np.linalg.norm(s) * np.linalg.norm(y):
                pairs.append((s, y))
            pairs[:] = [(_turn(s, gauge), _turn(y, inverse.T)) for s, y in pairs[-memory:]]
        # Callers may still hold the point that is left; what is known of its loss is as large as all targets.
        point.states, point.slopes = None, []
        del found, trial, done
        point, gradient = moved, new_gradient
    raise AssertionError("unreachable")


def _turn(columns: NDArray, gauge: NDArray) -> NDArray:
    """Apply a gauge to the basis columns; those of the own parts stay."""
    p = len(gauge)
    turned = columns[:, :p] @ gauge
    return turned if p == columns.shape[1] else np.concatenate([turned, columns[:, p:]], axis=1)


def _curvature_solve(problem: Problem, preconditioner: Preconditioner, point: Point) -> Callable[[NDArray], NDArray]:
    """The preconditioner at `point`, block by block: basis, own parts."""
    alpha, p = problem.penalties.reference, point.basis.shape[1]
    factor_gram = point.factors.T @ point.factors
    if point.own_scores is not None:
        # What the basis misses, own parts take up in part.
        preconditioner = preconditioner.relieved(float(np.min(problem.penalties.own)))

    def solve(columns: NDArray) -> NDArray:
        basis = preconditioner.solve(columns[:, :p], factor_gram, alpha)
        if p == columns.shape[1]:
            return basis
        own = preconditioner.solve_columns(columns[:, p:], problem.penalties.own_factor**2, alpha)
        return np.concatenate([basis, own], axis=1)

    return solve


def _line_search(
    problem: Problem, point: Point, direction: NDArray, slope: float, tolerance: float
) -> tuple[float, Point, Eliminated] | None:
    """Backtrack from 1 until the projected objective falls enough; None when rounding allows no fall."""
    k, p = point.n_free, point.basis.shape[1]
    basis_step = direction[:, :p]
    score_step = problem.X.times(basis_step)
    own_step = direction[:, p:]
    raw_step = [] if point.moved_own is None else problem.own_raw(own_step * problem.penalties.own_factor)
    length = 1.0
    before = None if point.states is None else Expansion(point.states, point.value - fixed_penalty(problem, point))
    for _ in range(30):
        trial = replace(point, basis=point.basis + length * basis_step, scores=point.scores + length * score_step)
        if point.moved_own is not None and point.own_raw is not None:
            trial.own = point.moved_own + length * own_step
            trial.own_raw = [raw + length * step for raw, step in zip(point.own_raw, raw_step, strict=True)]
        gram = trial.basis[:, :k].T @ trial.basis[:, :k]
        given = problem, trial.scores, gram, point.factors, point.intercepts, tolerance, trial.own_raw
        done = eliminate(*given, expansion=before, own_columns=_countered(problem, point, length * basis_step))
        change = done.value + fixed_penalty(problem, trial) - point.value
        if change <= 1e-4 * length * slope:
            return length, trial, done
        if length * abs(slope) <= 1e-15 * abs(point.value):
            return None
        # Minimum of the parabola through value, slope and the trial, kept away from both ends.
        length *= float(np.clip(-0.5 * slope * length / max(change - slope * length, 1e-300), 0.1, 0.5))
    return None


def _countered(problem: Problem, point: Point, basis_step: NDArray) -> OwnColumns | None:
    """Own parts that take back what a step of the basis does to the linear predictor, for the factor step to start at.

    Where they stand still it moves as far as the columns are large, out of reach of Newton steps.
    """
    if point.own_columns is None:
        return None
    moved = basis_step @ point.factors.T / problem.penalties.own_factor
    return replace(point.own_columns, own=point.own_columns.own - moved)


def _inner(one: NDArray, other: NDArray) -> float:
    """Inner product of two matrices, without a temporary of their size."""
    return float(np.einsum("ij,ij->", one, other))


def _two_loop(gradient: NDArray, pairs: list[tuple[NDArray, NDArray]], solve: Callable[[NDArray], NDArray]) -> NDArray:
    """L-BFGS product (Nocedal 1980, doi:10.1090/S0025-5718-1980-0572855-7), scaled by the last pair."""
    q = gradient.copy()
    weights = []
    for s, y in reversed(pairs):
        weight = _inner(s, q) / _inner(s, y)
        q -= weight * y
        weights.append(weight)
    r = solve(q)
    if pairs:
        s, y = pairs[-1]
        r *= _inner(s, y) / _inner(y, solve(y))
    for (s, y), weight in zip(pairs, reversed(weights), strict=True):
        r += (weight - _inner(y, r) / _inner(s, y)) * s
    return r
