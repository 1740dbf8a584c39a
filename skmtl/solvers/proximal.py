"""The convex problem, whose rank nothing limits: proximal gradient in W under the trace norm, Anderson accelerated.

At high rank a basis step solves systems of that size for every task, while a proximal step costs one singular value
decomposition of W and the products of a gradient. Here

1. ``W_new = prox(V - gradient(V) / bound)`` lowers the singular values (`shrink_singular_values`); common and own parts
   shrink as ridges do, intercepts take a step in their own metric, or are eliminated (squared losses);
2. `bound` rises until it bounds the curvature along the step, and sinks a little after every one;
3. the next V is the affine combination of the latest W_new whose combined step is shortest (Anderson 1965,
   doi:10.1145/321296.321305; Mai & Johansson 2020, Anderson acceleration of proximal gradient methods, ICML); its
   linear predictor is that combination of known ones, and costs no product with X;
4. where the objective would rise the step is taken back, and the memory starts anew from a plain proximal step
   (Beck & Teboulle 2009, doi:10.1137/080716542), which cannot rise.

To the same duality gap this took 0.45 to 0.85 times the steps of Nesterov's momentum with adaptive restarts (O'Donoghue
& Candes 2015, doi:10.1007/s10208-013-9150-3). Nothing is known here of the curvature in different directions: on badly
scaled features the method is slow, notices it by the fall of the duality gap, and gives up.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from skmtl.objective import Problem
from skmtl.penalties import shrink_singular_values
from skmtl.solvers.anderson import Memory, Place
from skmtl.solvers.basis_step import Point
from skmtl.solvers.convex_loss import ConvexLoss, LossAt
from skmtl.solvers.factor_step import eliminate
from skmtl.solvers.threads import one_blas_thread

#: Share of the curvature bound that is left after a step.
_RELAX = 0.97
#: Steps that are remembered, at least and at most, and the doubles they may take beside a small X.
_DEPTHS = 3, 5
_ROOM = 1 << 22
#: After so many steps the duality gap is looked at in any case.
_PATIENCE = 40
#: Basis steps that the alternation is expected to take in place of the remaining proximal ones.
_BASIS_STEPS = 20
#: Largest Gram matrix whose eigenvectors every step may ask for.
_LARGEST_GRAM = 1000
#: Matrices of the size of W that are held at a time.
_COPIES = 12


@dataclass(frozen=True)
class Proximal:
    """Where the proximal steps led.

    Attributes
    ----------
    point : Point
        Balanced, with optimal intercepts.
    gap : float
        Its duality gap.
    path : list of float
        Objective at the start and after every step.
    """

    point: Point
    gap: float
    path: list[float]


class _Model:
    """Loss and penalties of one problem, as functions of a `Place`."""

    def __init__(self, problem: Problem, loss: ConvexLoss):
        self.problem, self.loss, self.penalties = problem, loss, problem.penalties
        self.has_common = bool(np.isfinite(problem.penalties.common))
        self.has_own = problem.penalties.has_own
        self.shares = problem.shares_common.astype(float)
        # One step of the common part moves all tasks: its curvature is the sum of theirs.
        n_shares = max(float(self.shares.sum()), 1.0)
        self.metric = [1.0, *[n_shares] * self.has_common, *[1.0] * self.has_own]

    def begin(self, start: NDArray, intercepts: NDArray) -> tuple[Place, float]:
        """The low-rank part alone, and the objective there."""
        n_features, n_outputs = start.shape
        parts = [self.loss.inward(start), *[np.zeros(n_features)] * self.has_common]
        parts += [np.zeros((n_features, n_outputs))] * self.has_own
        # No components stand for zero, which then needs no product with X.
        nothing = start[:, :0], np.zeros(0), np.zeros((0, n_outputs))
        here = self.place(parts, intercepts, None if start.any() else nothing)
        norm = float(np.linalg.svd(start, compute_uv=False).sum()) if start.any() else 0.0
        return here, self.evaluate(here).value + self.penalties.shared * norm

    def first_bound(self, here: Place, at: LossAt, gradient: NDArray) -> float:
        """Curvature of the loss along its gradient, from a step that hardly moves a linear predictor."""
        images = self.loss.images(gradient)
        length = 1e-3 / max(1e-300, *(float(np.max(np.abs(image), initial=0.0)) for image in images))
        step, image_step = length * gradient, [length * image for image in images]
        moved = [a + b for a, b in zip(here.images, image_step, strict=True)]
        after = self.loss.evaluate(here.W + step, moved, at.intercepts)
        square = float(np.vdot(step, step))
        bound = self.loss.curvature(step, image_step, at, after) / square if square > 0 else 1.0
        return bound if bound > 0 else 1.0

    def place(
        self,
        parts: Sequence[NDArray],
        intercepts: NDArray,
        factors: tuple[NDArray, NDArray, NDArray] | None = None,
    ) -> Place:
        W = parts[0]
        if self.has_common:
            W = W + np.multiply.outer(parts[1], self.shares)
        if self.has_own:
            W = W + parts[-1]
        if factors is None or len(parts) > 1:
            images = self.loss.images(W)
        else:
            images = self.loss.images(W, factors[0] * factors[1], factors[2])
        return Place(list(parts), W, images, intercepts, factors)

    def evaluate(self, place: Place) -> LossAt:
        return self.loss.evaluate(place.W, place.images, place.intercepts)

    def gradients(self, at: LossAt) -> list[NDArray]:
        """Gradient of the loss in every part."""
        gradient = self.loss.gradient(at)
        return [gradient, *[gradient @ self.shares] * self.has_common, *[gradient] * self.has_own]

    def ridges(self, parts: Sequence[NDArray]) -> float:
        """Penalty of common and own parts."""
        return 0.5 * sum(s * float(np.vdot(p, p)) for s, p in zip(self._strengths, parts[1:], strict=True))

    @property
    def _strengths(self) -> list[float]:
        return [*[self.penalties.common] * self.has_common, *[float(np.min(self.penalties.own))] * self.has_own]

    def prox(self, place: Place, gradients: Sequence[NDArray], bound: float, intercepts: NDArray):
        """The proximal step from `place`, and the trace norm where it ends."""
        target = place.parts[0] - gradients[0] / bound
        with one_blas_thread():  # a decomposition of some hundred rows waits for threads more than they help
            left, values, right = shrink_singular_values(target, self.penalties.shared / bound)
        parts = [(left * values) @ right]
        for part, gradient, strength, metric in zip(
            place.parts[1:], gradients[1:], self._strengths, self.metric[1:], strict=True
        ):
            length = 1.0 / (bound * metric)
            parts.append((part - length * gradient) / (1.0 + length * strength))
        return self.place(parts, intercepts, (left, values, right)), float(np.sum(values))


def is_affordable(problem: Problem) -> bool:
    """Whether W and its singular values are cheap beside the data, and own parts, if any, bear one plain ridge."""
    if problem.penalties.is_group or np.ndim(problem.penalties.own) > 0:
        return False
    n_features, n_outputs = problem.X.shape[1], problem.n_outputs
    room = max(_ROOM, problem.X.n_stored)
    return min(n_features, n_outputs) <= _LARGEST_GRAM and _COPIES * n_features * n_outputs <= room


def _worth(problem: Problem, rank: int) -> float:
    """Proximal steps that cost as much as the alternation from here, in products and sums of doubles.

    A proximal step takes two products of X with all coefficients and the eigenvectors of the smaller Gram matrix of W;
    a basis step two with the basis, the Gram matrices of all tasks' scores and some solutions of their systems.
    """
    n_rows, d = problem.X.shape
    smaller = min(d, problem.n_outputs)
    proximal, basis = 2.0 * d * problem.n_outputs * smaller + 8.0 * smaller**3, 4.0 * n_rows * d * rank
    for block in problem.blocks:
        c, listed = block.observations.n_outputs, hasattr(block.observations, "rows")
        proximal += 4.0 * d * c * (block.y.size if listed else n_rows * block.observations.n_tasks)
        basis += block.y.size * rank**2 * (1.0 if block.loss.is_quadratic else 3.0 * c**2)
        basis += 10.0 * block.observations.n_tasks * (c * rank) ** 3
    return max(_BASIS_STEPS * basis / proximal, _PATIENCE)


class _Watch:
    """When the duality gap, which costs about a step, is looked at, and whether it will get below `tol` in time.

    The decrease that a step promises falls as the square of the gap; mostly its root is about the gap.
    """

    def __init__(self, tol: float, max_iter: int):
        self.tol, self.max_iter = tol, max_iter
        self._threshold = tol**2
        self._seen = [(0, 1.0)]

    def is_due(self, iteration: int, promised: float) -> bool:
        return promised <= self._threshold or iteration - self._seen[-1][0] >= _PATIENCE or iteration == self.max_iter

    def goes_on(self, iteration: int, promised: float, gap: float, worth: float) -> bool:
        """Whether more steps are of use, given the relative gap, and how many the alternation's are worth."""
        if gap <= self.tol or iteration == self.max_iter:
            return False
        rates = [
            math.log(max(old / gap, 1e-300)) / max(iteration - when, 1) for when, old in (self._seen[0], self._seen[-1])
        ]
        self._seen.append((iteration, gap))
        self._threshold = promised * min(max(0.8 * (self.tol / gap) ** 2, 1e-3), 0.5)
        return max(rates) > 0 and math.log(gap / max(self.tol, 1e-300)) / max(rates) <= worth


def minimise_trace_norm(
    problem: Problem,
    loss: ConvexLoss,
    null: Point,
    start: NDArray,
    *,
    tol: float,
    max_iter: int,
    report: Callable[[int, float, float], None],
) -> Proximal:
    """Proximal steps until the duality gap is below `tol` times the objective, or promises not to get there.

    Parameters
    ----------
    problem : Problem
    loss : ConvexLoss
        Of that problem.
    null : Point
        The model with intercepts only.
    start : ndarray of shape (n_features, n_outputs)
        The low-rank part to begin with.
    tol : float
    max_iter : int
        Most steps.
    report : callable
        ``report(iteration, objective, relative decrease still promised)``, every iteration.
    """
    model = _Model(problem, loss)
    here, value = model.begin(start, null.intercepts)
    ahead, at = here, model.evaluate(here)
    gradients = model.gradients(at)
    bound = model.first_bound(here, at, gradients[0])
    metric = loss.intercept_curvature(at, here.images) / bound
    watch, path, memory = _Watch(tol, max_iter), [value], Memory(_depth(problem, here))
    report(0, value, 1.0)
    for iteration in range(1, max_iter + 1):
        step = _step(model, ahead, at, gradients, metric, bound)
        risen, was_plain = not step.value <= value, memory.is_empty
        if risen or step.bound > bound:
            memory.clear()
        if risen:
            ahead = here
        else:
            here, value = step.end, step.value
            memory.add(step.end, step.moves)
            ahead = memory.combination()
        path.append(value)
        scale = max(abs(value), 1e-3 * (path[0] - value), 1e-300)
        promised = 0.5 * step.bound * step.square / scale
        report(iteration, value, promised)
        # A plain step that does not fall has come to the end of what rounding allows.
        is_stuck = risen and was_plain
        if is_stuck or watch.is_due(iteration, promised):
            point, gap = _certified(model, null, here, value)
            if is_stuck or not watch.goes_on(iteration, promised, gap / scale, _worth(problem, point.n_free)):
                break
        at = model.evaluate(ahead)
        gradients = model.gradients(at)
        bound = _RELAX * step.bound
    return Proximal(point, gap, [*path[:-1], min(path[-1], point.value)])


def _depth(problem: Problem, place: Place) -> int:
    """Steps that the memory may hold."""
    size = 2 * sum(part.size for part in place.parts) + sum(image.size for image in place.images)
    return int(np.clip(max(_ROOM, problem.X.n_stored) // size, *_DEPTHS))


@dataclass(frozen=True)
class _Step:
    """A proximal step: its end, the objective there, what moved (in the metric), squared length and bound."""

    end: Place
    value: float
    moves: list[NDArray]
    square: float
    bound: float


def _step(model: _Model, ahead: Place, at: LossAt, gradients: list[NDArray], metric: NDArray, bound: float) -> _Step:
    """A proximal step from `ahead`, with the first bound that bounds the curvature along it."""
    while True:
        shift = np.divide(at.intercept_gradient, bound * metric, out=np.zeros_like(metric), where=metric > 0)
        new, norm = model.prox(ahead, gradients, bound, at.intercepts - shift)
        new_at = model.evaluate(new)
        moves = [a - b for a, b in zip(new.parts, ahead.parts, strict=True)]
        moved = np.where(metric > 0, new_at.intercepts - at.intercepts, 0.0)
        linear = sum(float(np.sum(g * move)) for g, move in zip(gradients, moves, strict=True))
        linear += float(at.intercept_gradient @ moved)
        moves = [move if m == 1.0 else math.sqrt(m) * move for m, move in zip(model.metric, moves, strict=True)]
        moves.append(np.sqrt(metric) * moved)
        square = sum(float(np.vdot(move, move)) for move in moves)
        noise = 1e-12 * abs(at.value)
        if 0.5 * bound * square > 1e3 * noise:
            fits = new_at.value <= at.value + linear + 0.5 * bound * square + noise
        else:
            # Differences of losses drown in rounding; those of gradients do not, and near the optimum say the same.
            images = [a - b for a, b in zip(new.images, ahead.images, strict=True)]
            curvature = model.loss.curvature(new.W - ahead.W, images, at, new_at)
            fits = curvature <= (1.0 + 1e-6) * bound * square
        if fits or not np.isfinite(bound):
            value = new_at.value + model.penalties.shared * norm + model.ridges(new.parts)
            return _Step(new, value, moves, square, bound)
        bound *= 2.0


def _certified(model: _Model, null: Point, here: Place, value: float) -> tuple[Point, float]:
    """The point with optimal intercepts, and its duality gap."""
    problem, loss = model.problem, model.loss
    parts = [loss.outward(part) for part in here.parts]
    left, values, right = here.factors if here.factors is not None else shrink_singular_values(here.parts[0], 0.0)
    root = np.sqrt(values)
    basis, factors = loss.outward(left * root), right.T * root
    if model.has_common:
        q = problem.penalties.common_factor
        basis = np.concatenate([basis, parts[1][:, np.newaxis] / q], axis=1)
        factors = np.concatenate([factors, null.factors], axis=1)
    images = loss.predictors(here.W, here.images)
    nothing = np.empty((problem.X.shape[0], 0)), np.empty((0, 0)), np.empty((problem.n_outputs, 0))
    done = eliminate(problem, *nothing, here.intercepts, 1e-14 * abs(value), images, polish=2)
    penalty = problem.penalties.shared * float(values.sum()) + model.ridges(here.parts)
    scores = np.empty((0, basis.shape[1]))
    point = Point(basis, scores, factors, done.intercepts, len(root), done.value + penalty, done.slopes)
    if model.has_own:
        point.own = parts[-1] / problem.penalties.own_factor
        point.own_scores = null.own_scores
        point.own_raw = None if null.own_raw is None else problem.own_raw(parts[-1])
    gradient = problem.coefficient_gradient(done.slopes)
    with one_blas_thread():
        return point, problem.duality_gap(done.slopes, gradient, point.value)
