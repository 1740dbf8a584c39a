"""One descent: basis steps, growth of the rank and the certificate, until one of them says stop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from skmtl.matrix import row_chunks
from skmtl.objective import Problem
from skmtl.penalties import exceeds, leading_left_vectors
from skmtl.solvers.basis_step import Point, minimise_basis, settle
from skmtl.solvers.preconditioner import Preconditioner
from skmtl.solvers.start import with_free_columns

#: Rank that an unlimited fit starts with; it doubles as long as the certificate asks for more.
FIRST_RANK = 10
#: No promise of a decrease below this share of the objective can be told from rounding.
_ROUNDING = 1e-15
#: A fit that may lack components is not worth steps which promise less than this share of the objective.
_ROUGH = 1e-5
CLOSED = "The duality gap is below tol: no model of any rank is better."
_NOT_CERTIFIED = "The basis is stationary; no duality gap was asked for."

Report = Callable[[int, float, float], None]


@dataclass(frozen=True)
class Settings:
    """Limits of one descent."""

    n_components: int
    is_limiting: bool
    first_rank: int
    tol: float
    max_iter: int
    certified: bool = True


@dataclass(frozen=True)
class Descent:
    """Where one start led."""

    point: Point
    gap: float
    path: list[float]
    converged: bool
    reason: str


def relative_scale(value: float, null_value: float) -> float:
    """The objective may cross zero (Poisson) or vanish (a perfect fit); then the fall so far sets the scale."""
    return float(max(abs(value), 1e-3 * (null_value - value), 1e-300))


def silent(iteration: int, objective: float, decrement: float) -> None:
    pass


def descend(
    problem: Problem,
    preconditioner: Preconditioner,
    null: Point,
    start: Callable[[], Point],
    settings: Settings,
    report: Report,
    path: list[float],
) -> Descent:
    """From one start to a stationary point, growing the rank where the certificate asks for it.

    `path` holds what was reported before; it is not changed.
    """
    path, is_handed_over = list(path), bool(path)

    def note(value: float, decrement: float) -> None:
        nonlocal is_handed_over
        if is_handed_over:  # the last point of others, settled
            path.pop()
            is_handed_over = False
        path.append(value)
        report(len(path) - 1, value, decrement)

    def lower(point: Point, tolerance: float, max_iter: int) -> tuple[Point, float]:
        left = min(max_iter, settings.max_iter - max(len(path) - 1, 0))
        point, decrement, _ = minimise_basis(
            problem, preconditioner, point, tolerance=tolerance, max_iter=left, report=note
        )
        return point, decrement

    first = start()
    null.states = None  # as large as all targets, and known for the first factor step only
    point = settle(problem, first, 1e-4 * abs(null.value))
    del first
    if point.n_free > settings.n_components:
        # More columns than allowed find a better valley; the largest of them then go on alone.
        point, _ = lower(point, 1e-3, 20)
        point = _truncate(problem, point, settings.n_components)
        path.clear()
    tolerance, before_growth, may_grow = 0.1 * settings.tol, np.inf, True
    while True:
        may_grow = may_grow and point.n_free < settings.n_components
        point, decrement = lower(point, max(tolerance, _ROUGH) if may_grow else tolerance, settings.max_iter)
        scale = relative_scale(point.value, null.value)
        if not settings.certified and point.n_free >= settings.n_components:
            return Descent(point, np.nan, path, decrement <= settings.tol * scale, _NOT_CERTIFIED)
        gap, outside = np.inf, None
        if settings.is_limiting and point.n_free >= settings.n_components:
            gap, outside = _certificate(problem, point, 0)
        # A gap that the rank limit keeps open needs no digits; a closed one is as small as the slopes are exact.
        if outside is None or gap <= 1e-3 * scale:
            point = settle(problem, point, 1e-14 * scale, polish=2)
            gap, outside = _certificate(problem, point, settings.n_components - point.n_free)
        exhausted = len(path) > settings.max_iter
        if gap <= settings.tol * scale:
            return Descent(point, gap, path, True, CLOSED)
        # A rank that no model can exceed is no limit.
        limited = outside is not None and point.n_free >= settings.n_components and settings.is_limiting
        if limited and decrement <= settings.tol * scale:
            reason = "The basis is stationary; n_components, not alpha, limits the rank."
            return Descent(point, gap, path, True, reason)
        stationary = decrement <= settings.tol * scale
        if exhausted and not (stationary and outside is None):
            reason = (
                f"max_iter={settings.max_iter} steps left a relative duality gap of {gap / scale:.1e} and a promised "
                f"relative decrease of {decrement / scale:.1e}, above tol={settings.tol:g}. Raise max_iter, "
                "standardise the features, or raise alpha."
            )
            return Descent(point, gap, path, False, reason)
        if outside is not None and point.n_free < settings.n_components:
            grown = _grow(problem, point, outside, scale)
            # Directions that vanish at once, or won nothing when last tried, only say that the slopes lack digits.
            wins = grown.n_free > point.n_free and grown.value <= point.value + _ROUNDING * scale
            if wins and point.value < before_growth - 1e-3 * settings.tol * scale:
                point, before_growth = grown, point.value
                continue
        if exhausted or decrement <= _ROUNDING * scale or tolerance <= _ROUNDING:
            reason = f"No step promises a decrease of tol; the relative duality gap is {gap / scale:.1e}."
            return Descent(point, gap, path, stationary, reason)
        if not may_grow:
            tolerance = max(tolerance * 1e-2, _ROUNDING)
        may_grow = False


def _certificate(problem: Problem, point: Point, room: int) -> tuple[float, NDArray | None]:
    """The duality gap, and at most `room` directions outside the basis that would lower the objective.

    None instead of directions says that there are none.
    """
    gradient = problem.coefficient_gradient(point.slopes)
    gap = problem.duality_gap(point.slopes, gradient, point.value)
    alpha = problem.penalties.shared
    basis = point.basis[:, : point.n_free]
    if basis.shape[1]:
        span = np.linalg.qr(basis)[0]
        inside = span.T @ gradient
        for rows in row_chunks(*gradient.shape):  # in place: it may be as large as a wide sparse X
            gradient[rows] -= span[rows] @ inside
    if not exceeds(gradient, alpha * (1.0 + 1e-9)):
        return gap, None
    if not room:
        return gap, gradient[:, :0]
    vectors, values = leading_left_vectors(gradient, min(room, max(FIRST_RANK, point.n_free)))
    return gap, vectors[:, values > alpha]


def _grow(problem: Problem, point: Point, directions: NDArray, scale: float) -> Point:
    sizes = np.linalg.norm(point.basis[:, : point.n_free], axis=0)
    size = float(np.median(sizes)) if len(sizes) else 1.0
    grown = with_free_columns(problem, point, directions * size)
    return settle(problem, grown, 1e-6 * scale)


def _truncate(problem: Problem, point: Point, n_components: int) -> Point:
    """Keep the largest components, and settle again."""
    kept = np.r_[: min(n_components, point.n_free), point.n_free : point.basis.shape[1]]
    smaller = replace(
        point,
        basis=point.basis[:, kept],
        scores=point.scores[:, kept],
        factors=point.factors[:, kept],
        n_free=min(n_components, point.n_free),
        states=None,
    )
    return settle(problem, smaller, 1e-4 * abs(point.value))
