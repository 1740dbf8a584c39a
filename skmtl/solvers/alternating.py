"""The alternation: from data made ready to the best of the descents that its starts lead to.

The road of one fit::

    TaskData --formulate--> Problem --start--> Point --descend (basis steps, certificate, growth of the rank)--> Point
    --restore--> Solution (the user's features, units and order of tasks)

Where nothing limits the rank the problem is convex, and proximal steps (`minimise_trace_norm`) come first; where they
reach the certificate, no basis step is taken, and where they get on slowly, the alternation goes on from their end.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, partial

import numpy as np
from joblib import Parallel, delayed, effective_n_jobs
from numpy.typing import NDArray

from skmtl.objective import Problem
from skmtl.penalties import spectral_norm
from skmtl.solvers.basis_step import Point
from skmtl.solvers.build import ScaleTargets
from skmtl.solvers.convex_loss import convex_loss, has_one_hessian
from skmtl.solvers.descent import CLOSED, FIRST_RANK, Descent, Report, Settings, descend, relative_scale, silent
from skmtl.solvers.formulation import Formulation, columns_of, formulate, restore
from skmtl.solvers.preconditioner import Preconditioner
from skmtl.solvers.proximal import is_affordable, minimise_trace_norm
from skmtl.solvers.solution import Convergence, Solution
from skmtl.solvers.start import (
    curvature_preconditioner,
    leading_gradient,
    least_strength,
    null_point,
    random_basis,
    sketches_gradient,
    spectral_basis,
    with_free_columns,
)
from skmtl.solvers.threads import has_narrow_set_up, has_narrow_steps, one_blas_thread
from skmtl.tasks import TaskData


@dataclass(frozen=True)
class Prepared:
    """Data made ready for fits that differ in rank, `alpha` and the value of `alpha_common` only.

    Attributes
    ----------
    formulation : Formulation
    gradient : ndarray of shape (n_features, n_outputs), or (n_features, some columns)
        Of the loss in W at the null model; of a sparse X perhaps its `leading_gradient` only.
    null : Point
        The model with intercepts only.
    curvature : Preconditioner, optional
        Where it is known.
    """

    formulation: Formulation
    gradient: NDArray
    null: Point
    curvature: Preconditioner | None = None

    @cached_property
    def preconditioner(self) -> Preconditioner:
        """Made when it is first asked for: proximal steps do without."""
        if self.curvature is not None:
            return self.curvature
        return curvature_preconditioner(self.formulation.problem, self.null)

    def at(self, alpha: float, alpha_common: float | None) -> Formulation:
        """The formulation at these strengths.

        A shared strength below rounding is as good as none, and leaves the systems of the factor step solvable.
        """
        problem = self.formulation.problem
        common = np.inf if alpha_common is None else alpha_common
        shared = max(alpha, least_strength(self.gradient))
        problem = replace(problem, penalties=replace(problem.penalties, shared=shared, common=common))
        return replace(self.formulation, problem=problem)

    @property
    def largest_alpha(self) -> float:
        """From this `alpha` on the shared part is zero (next to intercepts alone)."""
        return spectral_norm(self.gradient)


def prepare(formulation: Formulation, n_components: int | None = None) -> Prepared:
    """The passes over the data that precede the first step, done once for any number of fits.

    With `n_components` for fits of this rank only, which may need less of the gradient.
    """
    problem = formulation.problem
    null = null_point(problem)
    curvature = None
    if n_components is not None and sketches_gradient(problem, n_components):
        curvature = curvature_preconditioner(problem, null)
        gradient = leading_gradient(problem, null.slopes, curvature, n_components)
    else:
        gradient = problem.coefficient_gradient(null.slopes)
    return Prepared(formulation, gradient, replace(null, slopes=[]), curvature)


def solve(
    data: TaskData,
    *,
    n_components: int | None,
    alpha: float,
    alpha_common: float | None = None,
    alpha_own: float | None = None,
    fit_intercept: bool = True,
    scale_targets: ScaleTargets = "std",
    max_iter: int = 500,
    tol: float = 1e-6,
    n_init: int = 1,
    random_state: np.random.RandomState | None = None,
    start: Solution | None = None,
    n_jobs: int | None = None,
    report: Report | None = None,
) -> Solution:
    """Fit all tasks jointly.

    Parameters
    ----------
    data : TaskData
    n_components : int or None
        Largest rank of the shared part; None for no limit.
    alpha : float in [0, inf]
        Strength of the shared part; infinity leaves it out, zero is as little as rounding allows.
    alpha_common, alpha_own : float or None
        Strengths of the other parts; None leaves a part out.
    start : Solution, optional
        Begin from its basis.
    report : callable, optional
        ``report(iteration, objective, relative decrease still promised)``, every iteration.

    Returns
    -------
    Solution
    """
    with one_blas_thread(has_narrow_set_up(data)):
        prepared = prepare(formulate(data, alpha, alpha_common, alpha_own, fit_intercept, scale_targets))
        begun = _begin(prepared, n_components, alpha, alpha_common, max_iter, tol, n_init, random_state, start, report)
        del prepared
        return _run(begun, n_jobs, report)


def solve_prepared(
    prepared: Prepared,
    *,
    n_components: int | None,
    alpha: float,
    alpha_common: float | None = None,
    max_iter: int = 500,
    tol: float = 1e-6,
    n_init: int = 1,
    random_state: np.random.RandomState | None = None,
    start: Solution | None = None,
    n_jobs: int | None = None,
    report: Report | None = None,
    certified: bool = True,
) -> Solution:
    """As `solve`, on data made ready; `alpha_common` is None exactly where it was None there.

    Without `certified`, the duality gap of a fit that has all its components is not computed, which may cost more than
    its steps.
    """
    begun = _begin(prepared, n_components, alpha, alpha_common, max_iter, tol, n_init, random_state, start, report)
    begun = replace(begun, settings=replace(begun.settings, certified=certified))
    return _run(begun, n_jobs, report)


@dataclass(frozen=True)
class _Begun:
    """A fit before its first step; the gradient at the null model, as large as all coefficients, is gone.

    Its shared strength was `raised_by` so much, to what rounding allows.
    """

    formulation: Formulation
    null: Point
    preconditioner: Preconditioner | None
    starts: list[Callable[[], Point]]
    convex: Descent | None
    settings: Settings
    n_columns: int
    raised_by: float


def _begin(
    prepared: Prepared,
    n_components: int | None,
    alpha: float,
    alpha_common: float | None,
    max_iter: int,
    tol: float,
    n_init: int,
    random_state: np.random.RandomState | None,
    start: Solution | None,
    report: Report | None,
) -> _Begun:
    formulation = prepared.at(alpha, alpha_common)
    problem = formulation.problem
    limit = min(problem.X.shape[1], problem.n_outputs)
    rank = limit if n_components is None else min(n_components, limit)
    if not np.isfinite(problem.penalties.shared):
        rank = 0
    first = min(rank, FIRST_RANK) if n_components is None else rank
    settings = Settings(rank, rank < limit, first, tol, max_iter)
    null = prepared.null
    if problem.penalties.has_own or np.isfinite(problem.penalties.common):
        # Both stand at the null model in the units of `alpha`.
        null = replace(null_point(problem), slopes=[])
    convex = None
    if not settings.is_limiting and rank and is_affordable(problem):
        with one_blas_thread(has_narrow_steps(problem)):
            convex = _proximal(prepared, formulation, null, settings, start, report or silent)
    starts: list[Callable[[], Point]] = []
    if convex is None:
        rng = np.random.RandomState(0) if random_state is None else random_state
        _ = prepared.preconditioner  # a product with all of X, unlike what follows
        if null is not prepared.null:
            prepared.null.states = None
        with one_blas_thread():
            bases = _bases(formulation, prepared, settings, n_init, rng, start)
        starts = [partial(with_free_columns, problem, null, basis) for basis in bases]
    else:
        null.states = None
        if not convex.converged:
            starts = [partial(_with_scores, problem, convex.point)]
    n_columns = n_components if n_components is not None else limit
    raised_by = problem.penalties.shared - alpha if np.isfinite(alpha) else 0.0
    preconditioner = prepared.preconditioner if starts else None
    return _Begun(formulation, null, preconditioner, starts, convex, settings, n_columns, raised_by)


def _proximal(
    prepared: Prepared,
    formulation: Formulation,
    null: Point,
    settings: Settings,
    start: Solution | None,
    report: Report,
) -> Descent:
    """The convex problem by proximal steps, which hand over to the alternation where they get on slowly."""
    problem = formulation.problem
    curvature = prepared.preconditioner if has_one_hessian(problem) else None
    loss = convex_loss(problem, null.value, prepared.gradient, curvature)
    first = np.zeros_like(prepared.gradient)
    if start is not None:
        basis, factors = columns_of(formulation, start)
        if factors is not None:
            first = basis @ factors.T
    done = minimise_trace_norm(problem, loss, null, first, tol=settings.tol, max_iter=settings.max_iter, report=report)
    scale = relative_scale(done.point.value, null.value)
    return Descent(done.point, done.gap, done.path, done.gap <= settings.tol * scale, CLOSED)


def _run(begun: _Begun, n_jobs: int | None, report: Report | None) -> Solution:
    problem, starts, settings = begun.formulation.problem, begun.starts, begun.settings
    n_workers = max(min(effective_n_jobs(n_jobs), len(starts)), 1)
    if begun.preconditioner is None:
        assert begun.convex is not None
        return _finish(begun, begun.convex)
    given = problem, begun.preconditioner, begun.null
    path = [] if begun.convex is None else begun.convex.path
    with one_blas_thread(has_narrow_steps(problem) or n_workers > 1):
        if len(starts) == 1:
            best = descend(*given, starts[0], settings, report or silent, path)
        else:
            descents = Parallel(n_jobs=n_workers, prefer="threads")(
                delayed(descend)(*given, one, settings, silent, []) for one in starts
            )
            best = min(descents, key=lambda descent: descent.point.value)
        return _finish(begun, best)


def _bases(
    formulation: Formulation,
    prepared: Prepared,
    settings: Settings,
    n_init: int,
    rng: np.random.RandomState,
    start: Solution | None,
) -> list[NDArray]:
    """First bases, one per start, each of shape (n_features, some rank)."""
    problem, preconditioner, gradient = formulation.problem, prepared.preconditioner, prepared.gradient
    n_features = problem.X.shape[1]
    if settings.n_components == 0:
        return [np.empty((n_features, 0))]
    ridge = problem.penalties.reference
    if start is not None:
        return [columns_of(formulation, start)[0][:, : settings.n_components]]
    n_columns = settings.first_rank
    if formulation.is_scarce and settings.first_rank < min(gradient.shape):
        n_columns = min(4 * settings.first_rank, 2 * settings.first_rank + 10, *gradient.shape)
    starts = [spectral_basis(gradient, preconditioner, ridge, n_columns)]
    for _ in range(n_init - 1):
        starts.append(random_basis(preconditioner, ridge, n_columns, n_features, rng))
    return starts


def _with_scores(problem: Problem, point: Point) -> Point:
    """The end of proximal steps, which need no scores, as a start of the alternation."""
    return replace(point, scores=problem.X.times(point.basis))


def _finish(begun: _Begun, descent: Descent) -> Solution:
    """The solution in the user's features, units and order.

    A strength that was raised is taken back in the objective; the optimum without it is lower by about as much.
    """
    point, formulation = descent.point, begun.formulation
    solution = restore(formulation, point, begun.n_columns)
    convergence = Convergence(
        descent.converged, descent.reason, max(len(descent.path) - 1, 0), formulation.problem.X.n_passes
    )
    free = point.basis[:, : point.n_free], point.factors[:, : point.n_free]
    excess = 0.5 * begun.raised_by * sum(float(np.sum(part**2)) for part in free) if begun.raised_by else 0.0
    return replace(
        solution,
        objective=solution.objective - excess,
        dual_gap=descent.gap + excess,
        objective_path=np.array(descent.path),
        convergence=convergence,
    )
