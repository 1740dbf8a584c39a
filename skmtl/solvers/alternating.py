"""The alternation: variable projection over the shared basis."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from skmtl.solvers.solution import Solution
from skmtl.tasks import TaskData


def solve(
    data: TaskData,
    *,
    n_components: int | None,
    alpha: float,
    alpha_common: float | None = None,
    alpha_own: float | None = None,
    fit_intercept: bool = True,
    scale_targets: str | None = "std",
    max_iter: int = 500,
    tol: float = 1e-6,
    n_init: int = 1,
    random_state: np.random.RandomState | None = None,
    start: Solution | None = None,
    n_jobs: int | None = None,
    report: Callable[[int, float, float], None] | None = None,
) -> Solution:
    """Fit all tasks jointly. `report(iteration, objective, relative projected gradient)` is called every iteration."""
    raise NotImplementedError


def fit_factors(data: TaskData, solution: Solution, *, alpha: float, fit_intercept: bool = True,
                scale_targets: str | None = "std", tol: float = 1e-6, max_iter: int = 100) -> Solution:
    """Factors and intercepts of new tasks under the basis (and common part) of `solution`; basis unchanged."""
    raise NotImplementedError
