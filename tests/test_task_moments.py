"""Own parts of long tasks with gaps: the same answer as from the rows, whatever moments stand for them."""

import numpy as np
import pytest
from sklearn.linear_model import Ridge
from sklearn.model_selection import KFold

from skmtl import LowRankRegressor, LowRankRegressorCV, TaskTargets
from skmtl.datasets import make_multitask
from skmtl.solvers import has_long_tasks
from skmtl.tasks import Task, TaskData

N, D, T = 400, 8, 5
TIGHT = {"tol": 1e-12, "max_iter": 2000}


@pytest.fixture
def gaps():
    X, y = make_multitask(N, D, T, n_components=2, own=0.3, missing=0.5, random_state=0)
    weights = np.random.RandomState(1).uniform(0.5, 2.0, (N, T))
    return X + 2.0, y, weights


def rows_of(y, column):
    return np.flatnonzero(~np.isnan(y[column]))


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("is_weighted", [False, True])
def test_own_parts_alone_are_ridge_on_what_each_task_sees(gaps, fit_intercept, is_weighted):
    X, y, weights = gaps
    weights = weights if is_weighted else np.ones_like(weights)
    options = {"alpha": np.inf, "alpha_own": 0.4, "scale_targets": None, "fit_intercept": fit_intercept}
    model = LowRankRegressor(**options, **TIGHT).fit(X, y, TaskTargets(dict(zip(y, weights.T, strict=True))))
    mean_weight = sum(weights[rows_of(y, t), j].sum() for j, t in enumerate(y)) / T
    for j, t in enumerate(y):
        rows = rows_of(y, t)
        ridge = Ridge(0.4 * mean_weight, fit_intercept=fit_intercept, tol=1e-12)
        ridge.fit(X[rows], y[t][rows], weights[rows, j])
        np.testing.assert_allclose(model.coef_[t], ridge.coef_, rtol=1e-8, atol=1e-10)
        np.testing.assert_allclose(model.intercept_[t], ridge.intercept_, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("alpha_common", [None, 0.5])
@pytest.mark.parametrize("scale_targets", ["std", None])
@pytest.mark.parametrize("task_weight", [None, "balanced"])
def test_gaps_and_rows_of_ones_own_are_the_same_tasks(gaps, alpha_common, scale_targets, task_weight):
    X, y, weights = gaps
    own_rows = [{t: table[rows_of(y, t)] for t, table in tables} for tables in (((t, X) for t in y), y.items())]
    own_weights = {t: weights[rows_of(y, t), j] for j, t in enumerate(y)}
    model = LowRankRegressor(
        n_components=2,
        alpha=0.05,
        alpha_common=alpha_common,
        alpha_own=0.3,
        scale_targets=scale_targets,
        task_weight=task_weight,
        **TIGHT,
    )
    expected = model.fit(*own_rows, own_weights)
    coef, intercept, objective = expected.coef_, expected.intercept_, expected.objective_
    model.fit(X, y, TaskTargets(dict(zip(y, weights.T, strict=True))))
    assert model.objective_ == pytest.approx(objective, rel=1e-9)
    for t in y:
        np.testing.assert_allclose(model.coef_[t], coef[t], rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(model.intercept_[t], intercept[t], rtol=1e-4, atol=1e-6)


def test_moments_are_taken_where_they_are_the_smaller():
    def data(n, d, missing, kind="regression"):
        y = np.random.RandomState(0).randn(n, T)
        y[: int(missing * n)] = np.nan
        return TaskData(np.ones((n, d)), tuple(Task(f"t{j}", kind) for j in range(T)), y)

    assert has_long_tasks(data(N, D, 0.5))
    assert not has_long_tasks(data(N, D, 0.0))  # complete: one Gram matrix serves all tasks
    assert not has_long_tasks(data(N, D, 0.98))  # eight rows for eight features
    assert not has_long_tasks(data(N, D, 0.5, "count"))


def test_folds_that_share_moments_score_as_separate_fits_do(gaps):
    X, y, _ = gaps
    options = {"alpha": np.inf, "scale_targets": None, "scale_features": False}
    strengths, folds = [2.0, 0.5, 0.1, 0.02], KFold(4)
    tuned = LowRankRegressorCV(alpha_common=None, alpha_own=strengths, n_components=1, guard=False, cv=folds, **options)
    found = tuned.fit(X, y).cv_results_
    for strength, score in zip(found["param_alpha_own"], found["mean_test_score"], strict=True):
        losses = []
        for train, test in folds.split(X):
            fit = LowRankRegressor(alpha_own=strength, **options).fit(X[train], {t: y[t][train] for t in y})
            residuals = [(y[t][test] - column)[~np.isnan(y[t][test])] for t, column in fit.predict(X[test]).items()]
            losses.append(0.5 * np.mean(np.concatenate(residuals) ** 2))
        assert score == pytest.approx(-np.mean(losses), rel=1e-6)
