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

After a step of the basis the first model expands the loss around the linear predictor before that step (iteratively
reweighted least squares): its minimiser is as near as that of a model at the old factors, which would have to be
evaluated first. Where the objective does not fall that way, it is evaluated after all.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from skmtl.objective import Problem
from skmtl.solvers.gauge import Gauge
from skmtl.solvers.task_models import LossState, NewtonStep, QuadraticStep

#: Rounds between factors and gauge.
_MAX_ROUNDS = 30


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
    states : list of (LossState or None)
        The loss of every block there; None for squared losses, which are quickly evaluated.
    own : ndarray of shape (n_features, n_outputs), or None
        Own parts, where they were eliminated too.
    """

    factors: NDArray
    intercepts: NDArray
    gauge: NDArray
    inverse_gauge: NDArray
    value: float
    slopes: list[NDArray]
    states: list[LossState | None]
    own: NDArray | None = None


@dataclass(frozen=True)
class OwnColumns:
    """Own parts as further free factors: their scores are the columns of X, their penalty a plain ridge.

    Attributes
    ----------
    scores : ndarray of shape (n_rows, n_features)
        X in the units of own parts.
    own : ndarray of shape (n_features, n_outputs)
        Where to start.
    """

    scores: NDArray
    own: NDArray

    def beside(self, scores: NDArray, factors: NDArray, k: int) -> tuple[NDArray, NDArray]:
        """Scores and factors with own columns after the k free ones, before the frozen ones."""
        return (
            np.concatenate([scores[:, :k], self.scores, scores[:, k:]], axis=1),
            np.concatenate([factors[:, :k], self.own.T, factors[:, k:]], axis=1),
        )


@dataclass(frozen=True)
class Expansion:
    """Where the loss has been evaluated before.

    Attributes
    ----------
    states : list of (LossState or None), one per block
    value : float
        Objective there (as `Eliminated.value`); NaN where the states belong to the very factors handed over.
    """

    states: list[LossState | None]
    value: float = math.nan

    @property
    def is_here(self) -> bool:
        return math.isnan(self.value)


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
    expansion: Expansion | None = None,
    own_columns: OwnColumns | None = None,
) -> Eliminated:
    """Minimise over factors, intercepts and gauge, and over own parts where they are handed over as columns.

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
    expansion : Expansion, optional
        Where the loss is known already, so that the first model need not evaluate it.
    own_columns : OwnColumns, optional
    """
    n_basis = len(basis_gram)
    given_scores, given_factors = scores, factors
    if own_columns is not None:
        scores, factors = own_columns.beside(scores, factors, n_basis)
    gauge = Gauge(basis_gram, problem.penalties.reference, prior, scores.shape[1] - given_scores.shape[1])
    k = gauge.k
    known = [None] * len(problem.blocks) if expansion is None else expansion.states
    steps: list[QuadraticStep | NewtonStep] = []
    for place, block in enumerate(problem.blocks):
        given = block, scores, factors, intercepts, k, 0.0 if own_raw is None else own_raw[place]
        if block.loss.is_quadratic:
            steps.append(QuadraticStep(problem, *given))
        else:
            steps.append(NewtonStep(problem, *given, known[place], expansion is None or expansion.is_here))
    if expansion is not None and not expansion.is_here and not problem.is_quadratic:
        for step in steps:
            step.refresh()
        candidates, precision = _minimise_model(steps, gauge, tolerance)
        for step, free in zip(steps, candidates, strict=True):
            step.jump(free, precision)
        value = sum(step.loss() for step in steps) + problem.constant + gauge.best_penalty(_all_free(steps))
        if not value <= expansion.value:
            anew = problem, given_scores, basis_gram, given_factors, intercepts, tolerance, own_raw, prior, polish
            return eliminate(*anew, own_columns=own_columns)
    penalty = gauge.best_penalty(_all_free(steps))
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
        before = [copy(step) for step in steps]
        for step, free in zip(steps, candidates, strict=True):
            step.move(free, precision)
        if problem.is_quadratic:
            break
        new_penalty = gauge.best_penalty(_all_free(steps))
        losses = [step.loss_relative() for step in before]
        change = new_penalty - penalty + sum(step.loss_relative() for step in steps) - sum(losses)
        if not gauge.is_fixed and change > 1e-12 * (penalty + sum(map(abs, losses))):
            # Far from its minimiser a model may want a gauge that the loss does not thank for. Under the best gauge
            # of the present factors a step that lowers each task's objective lowers the whole.
            steps = before
            gauge.fit(_all_free(steps))
            for step in steps:
                step.move(step.solve(gauge.precision), gauge.precision)
            new_penalty = gauge.best_penalty(_all_free(steps))
        penalty = new_penalty
    new_factors, new_intercepts = factors.copy(), intercepts.copy()
    value, slopes, states = problem.constant, [], []
    for step in steps:
        new_factors[step.block.outputs, :k] = step.free
        loss, slope, state = step.finish()
        new_intercepts[step.block.outputs] = step.intercepts
        value += loss
        slopes.append(slope)
        states.append(state)
    free = new_factors[:, :k]
    value += gauge.best_penalty(free)
    turn, inverse_turn = gauge.balance(free)
    own = None
    if own_columns is not None:
        own = np.ascontiguousarray(new_factors[:, n_basis:k].T)
        new_factors = np.delete(new_factors, np.s_[n_basis:k], axis=1)
    return Eliminated(new_factors, new_intercepts, turn, inverse_turn, value, slopes, states, own)


def _all_free(steps: Sequence[QuadraticStep | NewtonStep]) -> NDArray:
    return np.concatenate([step.free for step in steps])


def _minimise_model(
    steps: Sequence[QuadraticStep | NewtonStep], gauge: Gauge, tolerance: float
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
