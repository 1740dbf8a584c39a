"""Own parts under a group norm, ``alpha_own sum_t |E_t|``: only tasks that do not belong have one.

For any strengths ``rho_t = 1 / eta_t`` the ridge ``rho_t/2 |E_t|^2`` is solved as usual, infinity meaning no own
part. Since ``alpha |E| = min over eta of |E|^2 / (2 eta) + alpha^2 eta / 2``, the group norm is the best choice of eta:
jointly convex in E and eta, with the derivative ``(alpha^2 - |G_t|^2) / 2`` in eta_t, where G_t is the gradient of the
loss in E_t at the solution of the ridge and ``E_t = -eta_t G_t``. So

- ``|G_t| = alpha`` where there is an own part, ``|G_t| <= alpha`` where eta_t and E_t are zero, exactly;
- along its own direction ``|G_t|`` falls as ``g / (1 + h eta)``: its reciprocal is all but linear in eta_t, and a
  secant step on it (the secular equation of More & Sorensen 1983, doi:10.1137/0904038) meets alpha in a few rounds,
  each one fit from the basis of the last.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from skmtl.objective import Block
from skmtl.solvers.basis_step import Point
from skmtl.solvers.formulation import Formulation, point_of
from skmtl.solvers.solution import Solution
from skmtl.solvers.start import null_point

#: Fits, at most.
_MAX_ROUNDS = 40
#: The norms of the gradients agree with alpha to this share of it.
_TOLERANCE = 1e-6
#: A step changes eta by no more than this factor.
_LONGEST_STEP = 10.0

Fit = TypeVar("Fit")


@dataclass(frozen=True)
class _Gradients:
    """Norms of the gradients in the own parts, and the curvatures of the loss along them; (n_tasks,) in data order."""

    norms: NDArray
    curvatures: NDArray


def solve_group(
    plain: Formulation,
    fit: Callable[[NDArray, Solution | None], tuple[Solution, Fit]],
    start: Solution | None,
    eta: NDArray | None = None,
) -> tuple[Solution, Fit, NDArray]:
    """The fit under a group norm on own parts.

    Parameters
    ----------
    plain : Formulation
        The problem on the rows as they are, with penalties of which `own` is the strength of the group norm.
    fit : callable
        Maps strengths ``rho`` (n_tasks,) and a solution to start from to the fit under these ridges.
    start : Solution, optional
        For the first fit.
    eta : ndarray of shape (n_tasks,), optional
        Where to start; else what every task alone would want.

    Returns
    -------
    solution : Solution
        Objective and duality gap are those of the group norm.
    last : what `fit` returned beside it
    eta : ndarray of shape (n_tasks,)
        Reciprocal strengths; zero for tasks without an own part.
    """
    alpha = float(plain.problem.penalties.own)  # type: ignore[arg-type]
    if eta is None:
        first = _gradients(plain, null_point(plain.problem))
        eta = np.maximum(first.norms / alpha - 1.0, 0.0) / first.curvatures
    earlier: tuple[NDArray, NDArray] | None = None
    path = []
    for _ in range(_MAX_ROUNDS):
        solution, last = fit(np.divide(1.0, eta, out=np.full(len(eta), np.inf), where=eta > 0), start)
        point = point_of(plain, solution)
        path.append(_objective(plain, point, solution, eta, alpha))
        now = _gradients(plain, point)
        error = np.where(eta > 0, np.abs(now.norms / alpha - 1.0), np.maximum(now.norms / alpha - 1.0, 0.0))
        if error.max(initial=0.0) <= _TOLERANCE:
            break
        earlier, eta, start = (eta, now.norms), _next(eta, now, earlier, alpha), solution
    certified = _certified(plain, point, solution, path)
    if error.max(initial=0.0) > _TOLERANCE and certified.convergence is not None:
        reason = (
            f"{_MAX_ROUNDS} rounds left own parts whose gradients differ from alpha_own by a share of "
            f"{error.max():.1e}; the duality gap, {certified.dual_gap:.1e}, still holds."
        )
        # What is left is far below what data can tell; only a large difference is a failure.
        converged = certified.convergence.converged and bool(error.max() <= 1e-3)
        certified = replace(certified, convergence=replace(certified.convergence, converged=converged, reason=reason))
    return certified, last, eta


def _next(eta: NDArray, now: _Gradients, earlier: tuple[NDArray, NDArray] | None, alpha: float) -> NDArray:
    """Where ``1 / |G_t|`` is expected to be ``1 / alpha``, zero where it is more without an own part."""
    # d(1 / |G|) / d eta = h / g with g = |G| (1 + h eta), h the curvature along the own part at most.
    slope = now.curvatures / (now.norms * (1.0 + now.curvatures * eta))
    if earlier is not None:
        moved = np.abs(eta - earlier[0]) > 1e-12 * np.maximum(eta, earlier[0])
        rise = 1.0 / now.norms - 1.0 / earlier[1]
        secant = np.divide(rise, eta - earlier[0], out=np.zeros_like(eta), where=moved)
        # The basis moves as well: a secant that contradicts the curvature altogether is that.
        is_plausible = (secant > 0.0) & (secant < 2.0 * slope)
        slope = np.where(is_plausible, np.maximum(secant, 1e-3 * slope), slope)
    target = eta + (1.0 / alpha - 1.0 / now.norms) / slope
    # What is set to zero too early comes back; a step that only shrinks or grows does so by a bounded factor.
    shortest = np.where(target <= 0.0, 0.0, eta / _LONGEST_STEP)
    longest = np.where(eta > 0, _LONGEST_STEP * eta, np.inf)
    return np.clip(np.maximum(target, 0.0), shortest, longest)


def _gradients(plain: Formulation, point: Point) -> _Gradients:
    problem = plain.problem
    slopes = _slopes(plain, point)
    gradient = problem.coefficient_gradient(slopes)
    norms = np.maximum(problem.task_norms(gradient), 1e-300)
    widths = [np.full(block.observations.n_tasks, block.observations.n_outputs) for block in problem.blocks]
    directions = gradient / np.repeat(norms, np.concatenate(widths))
    curvatures = [
        _curvature(block, raw, along)
        for block, raw, along in zip(problem.blocks, _raws(plain, point), problem.own_raw(directions), strict=True)
    ]
    order = np.concatenate([block.tasks for block in problem.blocks])
    result = np.empty((2, len(order)))
    result[:, order] = norms, np.maximum(np.concatenate(curvatures), 1e-300)
    return _Gradients(*result)


def _curvature(block: Block, raw: NDArray, along: NDArray) -> NDArray:
    """Second derivative of each task's loss along a change of the linear predictor, (n_tasks,)."""
    if block.loss.is_quadratic:
        return block.observations.task_sums(block.weighted(along**2))
    second = block.evaluate(raw)[2]
    if block.observations.n_outputs == 1:
        return block.observations.task_sums(block.weighted(second * along**2))
    spread = np.sum(second * along**2, axis=-1) - np.sum(second * along, axis=-1) ** 2
    return block.observations.task_sums(block.weighted(spread))


def _raws(plain: Formulation, point: Point) -> list[NDArray]:
    problem = plain.problem
    return [
        problem.raw(block, point.scores, point.factors[block.outputs], point.intercepts[block.outputs])
        + (0.0 if point.own_raw is None else point.own_raw[place])
        for place, block in enumerate(problem.blocks)
    ]


def _slopes(plain: Formulation, point: Point) -> list[NDArray]:
    return [block.loss_and_slope(raw)[1] for block, raw in zip(plain.problem.blocks, _raws(plain, point), strict=True)]


def _objective(plain: Formulation, point: Point, solution: Solution, eta: NDArray, alpha: float) -> float:
    """That of the group norm, from that of the ridges."""
    problem = plain.problem
    order = np.concatenate([block.tasks for block in problem.blocks])
    assert point.own is not None
    sizes = np.empty(len(eta))
    sizes[order] = problem.task_norms(point.own * problem.penalties.own_factor)
    ridge = 0.5 * np.divide(sizes**2, eta, out=np.zeros(len(eta)), where=eta > 0)
    return solution.objective + float(np.sum(alpha * sizes - ridge))


def _certified(plain: Formulation, point: Point, solution: Solution, path: list[float]) -> Solution:
    """With the objectives of the group norm after every round, and a duality gap for the last."""
    slopes = _slopes(plain, point)
    gap = plain.problem.duality_gap(slopes, plain.problem.coefficient_gradient(slopes), path[-1])
    return replace(solution, objective=path[-1], objective_path=np.array(path), dual_gap=gap)
