"""Intercepts that learn from each other, in the solver: the optimum of F for every loss, part and layout."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import sparse
from scipy.optimize import minimize

from skmtl.solvers import Strengths, fit_jointly
from skmtl.tasks import Task, TaskData

N_TASKS, N_FEATURES, STRENGTH = 6, 3, 0.7
TIGHT = {"n_components": None, "scale_targets": None, "tol": 1e-12, "max_iter": 2000}


def draw(kind: str, seed: int = 0, n_features: int = N_FEATURES, sizes=(1, 2, 4, 5, 7, 9)) -> TaskData:
    """Tasks of differing levels and lengths, their rows in random order, features far from zero."""
    rng = np.random.default_rng(seed)
    t = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    X = rng.normal(size=(len(t), n_features))
    raw = X @ rng.normal(size=n_features) / np.sqrt(n_features) + 1.5 * rng.normal(size=len(sizes))[t]
    if kind == "regression":
        y = raw + rng.normal(size=len(t))
    elif kind == "binary":
        y = (raw + rng.logistic(size=len(t)) > 0).astype(float)
    else:
        y = rng.poisson(np.exp(0.4 * raw)).astype(float)
    classes = np.array([0, 1]) if kind == "binary" else None
    tasks = tuple(Task(i, kind, classes) for i in range(len(sizes)))
    return TaskData(X + 4.0, tasks, y, t, weights=rng.uniform(0.5, 2.0, len(t)))


def objective(data: TaskData, intercepts, W) -> float:
    """Loss, and the penalty of the intercepts, which stand at the mean of X."""
    t, weights = data.task_of_row, data.weights
    raw = np.einsum("ij,ji->i", data.X - weights @ data.X / weights.sum(), W[:, t]) + intercepts[t]
    losses = {
        "regression": 0.5 * (raw - data.y) ** 2,
        "binary": np.logaddexp(0.0, raw) - data.y * raw,
        "count": np.exp(raw) - data.y * raw,
    }[data.tasks[0].kind]
    nbar = weights.sum() / len(data.tasks)
    return weights @ losses / nbar + 0.5 * STRENGTH * np.sum((intercepts - intercepts.mean()) ** 2)


@pytest.mark.parametrize("is_sparse", [False, True], ids=["dense", "csr"])
@pytest.mark.parametrize("parts", [(0.3, None), (None, 0.4), (0.3, 0.4)], ids=["common", "own", "both"])
@pytest.mark.parametrize("kind", ["regression", "binary", "count"])
def test_a_fit_is_the_minimum_that_scipy_finds(kind, parts, is_sparse):
    data, (common, own) = draw(kind), parts

    def F(parameters):
        intercepts, rest = parameters[:N_TASKS], parameters[N_TASKS:]
        m, E = rest[:N_FEATURES], rest[N_FEATURES:].reshape(N_FEATURES, N_TASKS)
        m, E = m * (common is not None), E * (own is not None)
        penalty = 0.5 * (common or 0.0) * m @ m + 0.5 * (own or 0.0) * np.sum(E**2)
        return objective(data, intercepts, m[:, np.newaxis] + E) + penalty

    found = minimize(F, np.zeros(N_TASKS + N_FEATURES * (1 + N_TASKS)), method="BFGS", options={"gtol": 1e-8})
    given = replace(data, X=sparse.csr_matrix(data.X)) if is_sparse else data
    solution = fit_jointly(given, Strengths(np.inf, common, own, alpha_intercept=STRENGTH), **TIGHT)
    assert solution.objective == pytest.approx(found.fun, rel=1e-8)
    assert solution.dual_gap <= 1e-8
    levels = solution.intercept + solution.tie.centre @ solution.coef
    np.testing.assert_allclose(levels, found.x[:N_TASKS], atol=1e-4)
    assert solution.tie.mean == pytest.approx(levels.mean(), abs=1e-9)


@pytest.mark.parametrize("n_features", [3, 60], ids=["long", "wide"])
@pytest.mark.parametrize("n_components", [None, 1])
@pytest.mark.parametrize("kind", ["regression", "binary", "count"])
def test_the_objective_with_a_shared_part_is_that_of_the_formula(kind, n_components, n_features):
    data = draw(kind, n_features=n_features)
    strengths = Strengths(0.2, 0.5, 0.4, alpha_intercept=STRENGTH)
    solution = fit_jointly(data, strengths, **TIGHT | {"n_components": n_components, "tol": 1e-8})
    levels = solution.intercept + solution.tie.centre @ solution.coef
    penalty = 0.1 * (np.sum(solution.basis**2) + np.sum(solution.factors**2))
    penalty += 0.25 * np.sum(solution.common**2) + 0.2 * np.sum(solution.own**2)
    assert solution.objective == pytest.approx(objective(data, levels, solution.coef) + penalty, rel=1e-9)
    if n_components is None:
        assert solution.dual_gap <= 1e-6 * abs(solution.objective)


@pytest.mark.parametrize("alpha_own", [None, 0.4])
@pytest.mark.parametrize("kind", ["regression", "binary", "count"])
def test_a_matrix_with_one_target_per_row_is_the_same_fit(kind, alpha_own):
    data = draw(kind)
    # Rows without a target do not count, not even for the mean of X.
    X = np.concatenate([data.X, np.full((3, N_FEATURES), 100.0)])
    y = np.full((len(X), N_TASKS), np.nan)
    y[np.arange(len(data.y)), data.task_of_row] = data.y
    table = TaskData(X, data.tasks, y, weights=np.concatenate([data.weights, np.ones(3)]))
    strengths = Strengths(0.1, 0.5, alpha_own, alpha_intercept=STRENGTH)
    one, other = (fit_jointly(each, strengths, **TIGHT | {"tol": 1e-9}) for each in (data, table))
    np.testing.assert_allclose(other.coef, one.coef, atol=1e-8)
    np.testing.assert_allclose(other.intercept, one.intercept, atol=1e-7)
    np.testing.assert_allclose(other.tie.centre, one.tie.centre)


@pytest.mark.parametrize("sizes", [(9, 9, 9, 9, 9, 9), (1, 2, 4, 5, 7, 9)], ids=["compressed", "rows"])
def test_group_norms_on_own_parts_keep_their_certificate(sizes):
    strengths = Strengths(0.3, 0.5, 0.2, "group", alpha_intercept=STRENGTH)
    solution = fit_jointly(draw("regression", sizes=sizes), strengths, **TIGHT | {"tol": 1e-10})
    assert solution.dual_gap <= 1e-6 * abs(solution.objective)
