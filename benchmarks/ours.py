"""skmtl as a user calls it: ``(problem) -> (coef, intercept, seconds)``, validation of the input included."""

from __future__ import annotations

import warnings

import numpy as np

from benchmarks.clock import now
from skmtl import LowRankClassifier, LowRankRegressor


def estimator(problem, **changes):
    """The unfitted estimator for a problem; targets are not rescaled, so that objectives compare."""
    parameters = {"n_components": problem.n_components, "alpha": problem.alpha, "tol": 1e-6, **changes}
    if problem.kind == "binary":
        return LowRankClassifier(**parameters)
    return LowRankRegressor(scale_targets=None, **parameters)


def handed_over(problem):
    """X and y in the form for `fit`: arrays for shared rows, dicts of tables for own rows (views, no copies)."""
    if problem.task_of_row is None:
        return problem.X, problem.y
    pairs = list(problem.tasks())
    return {t: X for t, (X, _) in enumerate(pairs)}, {t: y for t, (_, y) in enumerate(pairs)}


def _fitted(problem, **changes):
    X, y = handed_over(problem)
    model = estimator(problem, **changes)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        start = now()
        model.fit(X, y)
        seconds = now() - start
    if isinstance(model.coef_, dict):
        coef = np.stack([np.ravel(model.coef_[t]) for t in model.tasks_])
        intercept = np.array([float(np.ravel(model.intercept_[t])[0]) for t in model.tasks_])
    else:
        coef = np.stack([np.ravel(c) for c in model.coef_])
        intercept = np.array([float(np.ravel(b)[0]) for b in model.intercept_])
    return coef, intercept, seconds


def low_rank(problem):
    """`LowRankRegressor` or `LowRankClassifier` at a relative precision of 1e-6."""
    return _fitted(problem)


def reference(problem):
    """The same at 1e-10: what the objective of all that minimise it is compared with."""
    return _fitted(problem, tol=1e-10)


def unlimited(problem):
    """Without a limit on the rank: the optimum of the convex problem, certified by the duality gap."""
    return _fitted(problem, n_components=None)
