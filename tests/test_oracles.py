"""Special cases whose answer is known: scikit-learn's own models, closed forms, planted truths."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, PoissonRegressor, Ridge

from skmtl import LowRankClassifier, LowRankMultiTask, LowRankRegressor, TaskTargets
from skmtl.datasets import make_multitask

TIGHT = {"tol": 1e-12, "max_iter": 2000}


def table(n=120, d=6, seed=0):
    rng = np.random.RandomState(seed)
    return rng.randn(n, d) + 1.0, rng


# One task with full rank: the trace norm of one vector is its length, so that at the optimum
# alpha |w| acts as a ridge of strength alpha / |w|.


def test_one_regression_is_ridge_at_the_equivalent_strength():
    X, rng = table()
    y = X @ rng.randn(6) + rng.randn(120) + 3
    model = LowRankRegressor(alpha=0.3, scale_targets=None, **TIGHT).fit(X, y)
    ridge = Ridge(alpha=0.3 / np.linalg.norm(model.coef_) * len(X), tol=1e-12).fit(X, y)
    np.testing.assert_allclose(model.predict(X), ridge.predict(X), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_one_classification_is_logistic_regression_at_the_equivalent_strength(n_classes):
    X, rng = table()
    y = np.digitize((X - 1) @ rng.randn(6) + rng.randn(120), [-0.7, 0.7][: n_classes - 1])
    model = LowRankClassifier(alpha=0.05, **TIGHT).fit(X, y)
    # For several classes the trace norm is no ridge unless B'B weighs the directions: compare in those.
    coef = np.atleast_2d(model.coef_)
    gram = coef @ coef.T
    values = np.linalg.eigvalsh(gram)
    if n_classes == 2:
        C = np.sqrt(values[0]) / (0.05 * len(X))
        expected = LogisticRegression(C=C, tol=1e-12, max_iter=10000).fit(X, y)
        np.testing.assert_allclose(model.predict_proba(X), expected.predict_proba(X), rtol=1e-5)
    else:
        # Ridge in the metric W -> (W W')^-1/4 W of the optimum; its features are X scaled in that metric.
        _, singular, right = np.linalg.svd(coef)
        kept = singular > 1e-8
        basis = right[: len(singular)][kept].T * np.sqrt(singular[kept])
        scores = X @ basis
        # Given B, the factors solve an ordinary multinomial ridge of strength alpha.
        expected = LogisticRegression(C=1 / (0.05 * len(X)), tol=1e-12, max_iter=10000).fit(scores, y)
        np.testing.assert_allclose(model.predict_proba(X), expected.predict_proba(scores), rtol=1e-5)


def test_one_count_is_poisson_regression_at_the_equivalent_strength():
    X, rng = table()
    y = rng.poisson(np.exp(0.3 * (X - 1) @ rng.randn(6) + 0.5))
    model = LowRankRegressor(loss="poisson", alpha=0.1, **TIGHT).fit(X, y)
    strength = 0.1 / np.linalg.norm(model.coef_)
    expected = PoissonRegressor(alpha=strength, tol=1e-12, max_iter=10000).fit(X, y)
    np.testing.assert_allclose(model.predict(X), expected.predict(X), rtol=1e-5)


@pytest.mark.parametrize("n_components", [1, 2, 3])
def test_without_penalty_complete_targets_give_reduced_rank_regression(n_components):
    """Izenman (1975): project the least-squares fit on its leading right singular vectors in the metric of X."""
    X, rng = table(n=200, d=8)
    Y = X @ rng.randn(8, 3) @ rng.randn(3, 6) + rng.randn(200, 6)
    centred, targets = X - X.mean(axis=0), Y - Y.mean(axis=0)
    least_squares = np.linalg.lstsq(centred, targets, rcond=None)[0]
    right = np.linalg.svd(centred @ least_squares, full_matrices=False)[2][:n_components]
    expected = least_squares @ right.T @ right
    model = LowRankRegressor(n_components=n_components, alpha=1e-9, scale_targets=None, **TIGHT).fit(X, Y)
    np.testing.assert_allclose(model.coef_, expected.T, atol=1e-5)
    assert model.rank_ == n_components


def test_pooled_model_is_ridge_with_an_intercept_per_task():
    X, rng = table(n=150)
    schools = np.arange(150) % 3
    y = X @ rng.randn(6) + 5.0 * schools + rng.randn(150)
    long = np.column_stack([X, schools])
    model = LowRankRegressor(alpha=np.inf, alpha_common=0.2, task_col=6, scale_targets=None, **TIGHT).fit(long, y)
    # The intercepts are free: so are those of a ridge whose rows are centred within each school.
    means = np.array([X[schools == s].mean(axis=0) for s in range(3)])
    levels = np.array([y[schools == s].mean() for s in range(3)])
    ridge = Ridge(alpha=0.2 * 50, fit_intercept=False, tol=1e-12).fit(X - means[schools], y - levels[schools])
    np.testing.assert_allclose(model.common_, ridge.coef_, rtol=1e-6)


def test_own_parts_alone_are_one_ridge_per_task():
    X, rng = table()
    Y = X @ rng.randn(6, 4) + rng.randn(120, 4)
    model = LowRankRegressor(alpha=np.inf, alpha_own=0.3, scale_targets=None, **TIGHT).fit(X, Y)
    np.testing.assert_allclose(model.coef_, Ridge(alpha=0.3 * 120, tol=1e-12).fit(X, Y).coef_, rtol=1e-6)


def test_own_parts_alone_are_one_logistic_regression_per_task():
    X, rng = table()
    Y = (X @ rng.randn(6, 3) - 1 + rng.randn(120, 3) > 0).astype(int)
    model = LowRankMultiTask(alpha=np.inf, alpha_own=0.1, **TIGHT).fit(X, {f"t{t}": Y[:, t] for t in range(3)})
    for t in range(3):
        expected = LogisticRegression(C=1 / (0.1 * 120), tol=1e-12, max_iter=10000).fit(X, Y[:, t])
        np.testing.assert_allclose(model.coef_[f"t{t}"], expected.coef_, atol=1e-5)


def test_few_labels_per_task_planted_rank_five():
    """100 tasks, 97 % of Y missing: a rank limit beats both independent models and the trace norm alone."""
    rng = np.random.RandomState(0)
    n, d, n_tasks, k = 2000, 100, 100, 5
    W = rng.randn(d, k) @ rng.randn(k, n_tasks) / np.sqrt(d * k)
    X, X_test = rng.randn(n, d), rng.randn(1000, d)
    Y = X @ W + 0.5 * rng.randn(n, n_tasks)
    Y[rng.rand(n, n_tasks) < 0.97] = np.nan
    truth = X_test @ W + 0.5 * rng.randn(1000, n_tasks)

    def error(n_components, alpha):
        # One unit and one noise for all tasks: nothing to scale.
        model = LowRankRegressor(n_components=n_components, alpha=alpha, scale_targets=None, tol=1e-6).fit(X, Y)
        return np.sqrt(np.mean((model.predict(X_test) - truth) ** 2))

    def independent(strength):
        fits = [Ridge(strength).fit(X[seen], column[seen]) for column, seen in zip(Y.T, ~np.isnan(Y).T, strict=True)]
        return np.sqrt(np.mean((np.column_stack([fit.predict(X_test) for fit in fits]) - truth) ** 2))

    limited = min(error(5, alpha) for alpha in (0.1, 0.2, 0.3))
    assert limited <= 0.56
    assert limited + 0.03 < min(error(None, alpha) for alpha in (0.4, 0.6, 0.8))
    assert limited + 0.3 < min(independent(strength) for strength in (10.0, 20.0, 30.0))


def test_planted_basis_is_found():
    X, y, truth = make_multitask(
        n_samples=400, n_features=15, n_tasks=30, n_components=2, noise=0.3, return_truth=True, random_state=0
    )
    model = LowRankRegressor(n_components=2, alpha=0.01).fit(X, y)
    found, planted = (np.linalg.qr(basis)[0] for basis in (model.basis_, truth.basis))
    cosines = np.linalg.svd(found.T @ planted)[1]
    assert cosines.min() >= 0.99


def test_independent_models_are_worse_where_tasks_share_and_labels_are_few():
    X, y, truth = make_multitask(
        n_samples=300, n_features=30, n_tasks=40, n_components=3, missing=0.85, return_truth=True, random_state=1
    )
    joint = LowRankRegressor(n_components=3, alpha=0.2).fit(X, y)
    independent = min(
        sum(
            np.sum((Ridge(alpha=a).fit(X[~np.isnan(v)], v[~np.isnan(v)]).coef_ - truth.coef[t]) ** 2)
            for t, v in TaskTargets(y).items()
        )
        for a in (1.0, 10.0, 30.0, 100.0)
    )
    joint_error = sum(np.sum((joint.coef_[t] - truth.coef[t]) ** 2) for t in y)
    assert joint_error < 0.7 * independent
