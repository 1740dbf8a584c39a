"""Data that break solvers: no NumPy warning, no NaN, and a message that says honestly where the fit stopped.

Warnings are errors here as everywhere. A fit that says it converged is held to it: its gap is closed, or the reason
names what keeps it open; a fit that did not converge says so.
"""

from dataclasses import replace

import numpy as np
import pytest
from problems import FORMS, KINDS, LOSSES, crossed, make_data, objective
from scipy import sparse
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge

from skmtl import LowRankClassifier, LowRankMultiTask, LowRankRegressor
from skmtl.penalties import exceeds, leading_left_vectors, spectral_norm
from skmtl.solvers import solve


def fit(data, alpha=0.2, n_components=None, tol=1e-6, max_iter=200, scale_targets="std", **parts):
    solution = solve(
        data,
        n_components=n_components,
        alpha=alpha,
        tol=tol,
        max_iter=max_iter,
        scale_targets=scale_targets,
        **parts,
    )
    for array in (solution.basis, solution.factors, solution.coef, solution.intercept, solution.objective_path):
        assert np.all(np.isfinite(array))
    assert np.isfinite(solution.objective)
    assert 0 <= solution.dual_gap < np.inf
    told = solution.convergence
    if not told.converged:
        assert f"max_iter={max_iter}" in told.reason
    elif "duality gap is below tol" in told.reason:
        # Relative to the objective, or to a thousandth of the fall from the null model (below 10 here).
        assert solution.dual_gap <= tol * max(abs(solution.objective), 1e-2)
    else:
        assert "n_components" in told.reason or "duality gap is" in told.reason
    return solution


def with_columns(data, change):
    """The same tasks with ``change(X)`` for features."""
    X = data.X.toarray() if sparse.issparse(data.X) else data.X
    changed = change(X)
    return replace(data, X=sparse.csr_matrix(changed) if sparse.issparse(data.X) else changed)


@pytest.mark.parametrize(("kind", "form"), crossed(LOSSES, FORMS))
def test_duplicated_and_constant_columns(kind, form):
    data = make_data(kind, form)
    plain = fit(data, scale_targets=None)
    doubled = with_columns(data, lambda X: np.column_stack([X, X[:, 0], np.ones(len(X)), np.zeros(len(X))]))
    solution = fit(doubled, scale_targets=None)
    assert solution.convergence.converged
    d = data.n_features
    np.testing.assert_allclose(solution.coef[0], solution.coef[d], atol=1e-4)  # twins share
    assert np.abs(solution.coef[d + 1 :]).max() <= 1e-6  # what says nothing gets nothing
    assert solution.objective <= plain.objective * (1 + np.sign(plain.objective) * 1e-6)
    np.testing.assert_allclose(objective(doubled, solution, 0.2), solution.objective, rtol=1e-8)


@pytest.mark.parametrize(("factor", "kind", "form"), crossed([1e6, 1e-6], LOSSES, FORMS))
def test_a_column_of_very_large_or_very_small_numbers(kind, form, factor):
    def scaled(X):
        X = X.copy()
        X[:, 1] *= factor
        return X

    data = with_columns(make_data(kind, form), scaled)
    solution = fit(data, scale_targets=None)
    np.testing.assert_allclose(objective(data, solution, 0.2), solution.objective, rtol=1e-6)
    if factor > 1:
        # Its coefficients cost nothing: the fit is that with a column which is penalised a million times less.
        assert solution.objective < fit(make_data(kind, form), scale_targets=None).objective
    else:
        # It is as good as gone.
        without = fit(with_columns(make_data(kind, form), lambda X: np.delete(X, 1, axis=1)), scale_targets=None)
        np.testing.assert_allclose(solution.objective, without.objective, rtol=1e-5)


def test_badly_scaled_columns_are_not_slow():
    """Growing and pruning the same component once went on until max_iter."""
    data = with_columns(make_data("binary", "complete"), lambda X: X * np.array([1, 1e6, 1, 1, 1e-6, 1, 1e3, 1]))
    assert fit(data, max_iter=500).convergence.n_iter <= 200


@pytest.mark.parametrize("form", ["complete", "csr"])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_perfectly_separable_classes(n_classes, form):
    rng = np.random.RandomState(0)
    X = rng.randn(60, 4)
    y = np.digitize(X[:, 0], [-0.4, 0.4][: n_classes - 1])
    Y = {"a": np.array(["x", "y", "z"])[y], "b": (X[:, 1] > 0).astype(int)}
    X = sparse.csr_matrix(X) if form == "csr" else X
    for alpha in (1e-3, 1e-6):
        model = LowRankMultiTask(alpha=alpha, tol=1e-6, max_iter=500).fit(X, Y)
        assert model.score(X, Y) >= 0.98
        for probabilities in model.predict_proba(X).values():
            np.testing.assert_allclose(probabilities.sum(axis=1), 1.0)


def test_a_task_with_one_row():
    data = make_data("regression", "complete")
    y = data.y.copy()
    y[1:, 2] = np.nan
    solution = fit(replace(data, y=y))
    raw = data.X[0] @ solution.coef[:, 2] + solution.intercept[2]
    np.testing.assert_allclose(raw, y[0, 2], rtol=1e-6)  # its intercept is free
    counts = make_data("count", "gaps")
    y = counts.y.copy()
    y[1:, 2], y[0, 2] = np.nan, 3.0
    solution = fit(replace(counts, y=y))
    np.testing.assert_allclose(np.exp(counts.X[0] @ solution.coef[:, 2] + solution.intercept[2]), 3.0, rtol=1e-6)


@pytest.mark.parametrize(("kind", "form"), crossed(LOSSES, FORMS))
def test_a_column_far_from_zero_where_no_intercept_takes_its_mean(kind, form):
    """Rounding leaves nothing of the penalty beside its square, and systems that cannot be inverted."""
    data = make_data(kind, form)
    far = with_columns(data, lambda X: X + 1e6 * (np.arange(X.shape[1]) == 1))
    without = with_columns(data, lambda X: np.delete(X, 1, axis=1))
    for parts in ({}, {"alpha_common": 0.3}):
        solution = fit(far, scale_targets=None, fit_intercept=False, **parts)
        np.testing.assert_allclose(objective(far, solution, 0.2, **parts), solution.objective, rtol=1e-6)
        # A constant column can only help, and it need not be used.
        assert solution.objective <= fit(without, scale_targets=None, fit_intercept=False, **parts).objective


@pytest.mark.parametrize(("kind", "form"), crossed(LOSSES, FORMS))
def test_strengths_over_sixteen_orders_of_magnitude(kind, form):
    data = make_data(kind, form, n=100, d=5)
    objectives = []
    for alpha in 10.0 ** np.arange(-8, 9, 4):
        solution = fit(data, alpha=alpha, max_iter=60)
        objectives.append(solution.objective)
    assert np.all(np.diff(objectives) >= -1e-6 * np.abs(objectives[1:]))  # more penalty, larger objective
    assert solution.rank == 0
    assert not solution.coef.any()
    assert solution.convergence.converged


@pytest.mark.parametrize("kind", LOSSES)
def test_more_components_than_anything_has(kind):
    data = make_data(kind, "gaps")
    solution, free = fit(data, n_components=1000, tol=1e-9), fit(data, tol=1e-9)
    assert solution.basis.shape == (data.n_features, 1000)
    assert solution.rank <= data.n_features
    np.testing.assert_allclose(solution.coef, free.coef, atol=1e-4)


@pytest.mark.parametrize("form", ["complete", "gaps"])
@pytest.mark.parametrize("kind", LOSSES)
def test_weights_over_twelve_orders_of_magnitude(kind, form):
    data = make_data(kind, form)
    weights = 10.0 ** np.random.RandomState(0).uniform(-6, 6, size=data.n_rows)
    solution = fit(replace(data, weights=weights), max_iter=300)
    assert solution.convergence.converged
    # A factor on all weights is none.
    again = fit(replace(data, weights=1e-9 * weights), max_iter=300)
    np.testing.assert_allclose(again.objective, solution.objective, rtol=1e-5)


@pytest.mark.parametrize(("kind", "form"), crossed(LOSSES, FORMS))
def test_more_features_than_rows(kind, form):
    data = make_data(kind, form, n=45, d=70, n_tasks=3)
    solution = fit(data, alpha=0.5, scale_targets=None)
    assert solution.convergence.converged
    np.testing.assert_allclose(objective(data, solution, 0.5), solution.objective, rtol=1e-7)


@pytest.mark.parametrize("form", ["complete", "gaps", "csr"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_single_task(kind, form):
    solution = fit(make_data(kind, form, n_tasks=1), alpha=0.1, tol=1e-8)
    assert solution.convergence.converged
    assert solution.dual_gap <= 1e-8 * max(abs(solution.objective), 1.0)


@pytest.mark.parametrize("form", ["complete", "gaps", "labelled"])
@pytest.mark.parametrize("kind", LOSSES)
def test_single_precision(kind, form):
    data = make_data(kind, form)
    single = replace(data, X=data.X.astype(np.float32))
    double = replace(data, X=single.X.astype(np.float64))
    one, other = fit(single, tol=1e-8), fit(double, tol=1e-8)
    np.testing.assert_allclose(one.objective, other.objective, rtol=1e-8)


def test_an_estimator_warns_when_it_has_not_converged():
    from sklearn.exceptions import ConvergenceWarning

    rng = np.random.RandomState(0)
    X = rng.randn(60, 6)
    y = (X @ rng.randn(6, 3) + rng.randn(60, 3) > 0).astype(int)
    with pytest.warns(ConvergenceWarning, match=r"max_iter=1 steps left a relative duality gap of .*Raise max_iter"):
        LowRankClassifier(alpha=1e-4, max_iter=1).fit(X, y)


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("alpha_own", [None, 1.0])
def test_single_precision_far_from_zero_on_rows_of_their_own(fit_intercept, alpha_own):
    rng = np.random.RandomState(0)
    X = {t: (100.0 + rng.randn(n, 4)).astype(np.float32) for t, n in {"a": 900, "b": 900, "c": 900}.items()}
    y = {t: table @ rng.randn(4) + rng.randn(len(table)) for t, table in X.items()}
    single, double = (
        LowRankRegressor(n_components=2, alpha_own=alpha_own, fit_intercept=fit_intercept, tol=1e-10).fit(tables, y)
        for tables in (X, {t: table.astype(np.float64) for t, table in X.items()})
    )
    for t in X:
        np.testing.assert_allclose(single.coef_[t], double.coef_[t], rtol=1e-8)
        np.testing.assert_allclose(single.intercept_[t], double.intercept_[t], rtol=1e-8)


@pytest.mark.parametrize("unit", [1.0, 1e-20])
def test_singular_values_do_not_depend_on_the_unit(unit):
    matrix = np.random.RandomState(0).randn(300, 200)
    values = np.linalg.svd(matrix, compute_uv=False)
    for table in (matrix, matrix.T):
        np.testing.assert_allclose(spectral_norm(table * unit) / unit, values[0], rtol=1e-12)
        np.testing.assert_allclose(leading_left_vectors(table * unit, 5)[1] / unit, values[:5], rtol=1e-12)


@pytest.mark.parametrize("unit", [1.0, 1e-20])
@pytest.mark.parametrize("share", [0.2, 0.9, 1.0 - 1e-9, 1.0 + 1e-9, 1.1, 20.0])
def test_a_bound_on_singular_values_is_exceeded_by_the_largest_only(share, unit):
    matrix = np.random.RandomState(0).randn(300, 200) * unit
    bound = share * np.linalg.svd(matrix, compute_uv=False)[0]
    for table in (matrix, matrix.T):
        assert exceeds(table, bound) == (share < 1.0)
    assert not exceeds(np.zeros((300, 200)), 0.0)


def test_singular_values_of_a_matrix_whose_gram_matrix_is_too_large():
    rng = np.random.RandomState(0)
    left, right = np.linalg.qr(rng.randn(1600, 8))[0], np.linalg.qr(rng.randn(1550, 8))[0]
    values = np.array([3.0, 3.0, 2.0, 1.9, 1.0, 0.5, 0.4, 0.3]) * 1e-20
    np.testing.assert_allclose(leading_left_vectors((left * values) @ right.T, 5)[1], values[:5], rtol=1e-10, atol=0)
    assert spectral_norm(np.zeros((1600, 1550))) == 0.0


def test_long_targets_that_are_all_alike_have_no_unit_of_their_own():
    # A sum of so many 0.1 is off by more than a rounding error of its mean.
    rng = np.random.RandomState(0)
    X = rng.randn(100_000, 2)
    Y = np.column_stack([X @ [1.0, 2.0] + rng.randn(len(X)), np.full(len(X), 0.1)])
    Y[::3, 0] = np.nan
    model = LowRankRegressor(n_components=1, alpha=1e-3).fit(X, Y)
    assert model.noise_scale_[1] == 0.0
    np.testing.assert_allclose(model.noise_scale_[0], 1.0, rtol=0.02)
    np.testing.assert_allclose(model.intercept_[1], 0.1, rtol=1e-12)
    Y[:, 1] = 0.0
    np.testing.assert_allclose(model.objective_, LowRankRegressor(n_components=1, alpha=1e-3).fit(X, Y).objective_)


@pytest.mark.parametrize("parts", [{}, {"alpha_own": 0.1}, {"alpha_own": 0.1, "own_penalty": "group"}])
@pytest.mark.parametrize("prior", ["ridge", "learned"])
def test_no_penalty_beside_a_common_part_is_the_limit_of_a_small_one(parts, prior):
    rng = np.random.RandomState(0)
    X, W = rng.randn(60, 5), rng.randn(5, 2) @ rng.randn(2, 3)
    y = X @ W + 0.5 * rng.randn(60, 3)
    options = {"n_components": 2, "alpha_common": 0.1, "factor_prior": prior, **parts}
    none, small = (LowRankRegressor(alpha=alpha, **options).fit(X, y) for alpha in (0.0, 1e-7))
    np.testing.assert_allclose(none.coef_, small.coef_, atol=1e-3)


@pytest.mark.parametrize("alpha", [0.0, 1e-12])
@pytest.mark.parametrize("n_components", [2, None])
def test_features_that_say_nothing_leave_intercepts(alpha, n_components):
    y = np.random.RandomState(0).randn(30, 3)
    model = LowRankRegressor(n_components=n_components, alpha=alpha).fit(np.ones((30, 4)), y)
    assert model.rank_ == 0
    np.testing.assert_allclose(model.intercept_, y.mean(axis=0))


@pytest.mark.parametrize("factor", [1e3, 1e6, 1e9, 1e12])
@pytest.mark.parametrize(("n_rows", "n_features"), [(60, 5), (60, 80)])
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_own_parts_beside_a_very_large_column_where_targets_have_gaps(factor, n_rows, n_features, fit_intercept):
    """Rounding once made the kernel of the rows indefinite."""
    rng = np.random.RandomState(0)
    X, Y = rng.randn(n_rows, n_features), rng.randn(n_rows, 4)
    X[:, 0] *= factor
    Y[rng.rand(*Y.shape) < 0.4] = np.nan
    seen = ~np.isnan(Y)
    model = LowRankRegressor(alpha=np.inf, alpha_own=0.5, scale_targets=None, fit_intercept=fit_intercept).fit(X, Y)
    ridge = Ridge(alpha=0.5 * seen.sum() / 4, fit_intercept=fit_intercept, solver="svd")
    expected = [ridge.fit(X[rows], y[rows]).predict(X) for rows, y in zip(seen.T, Y.T, strict=True)]
    # Sums of products with the large column have its rounding.
    np.testing.assert_allclose(model.predict(X), np.transpose(expected), atol=max(1e-5, 1e-15 * factor))
    joint = LowRankRegressor(alpha=0.1, alpha_own=0.5, scale_targets=None, fit_intercept=fit_intercept).fit(X, Y)
    assert joint.convergence_.converged
    assert joint.objective_ <= model.objective_ * (1 + 1e-8)


@pytest.mark.parametrize(("n_rows", "n_features"), [(2, 1), (2, 5), (30, 5)])
@pytest.mark.parametrize("factor", [1e-6, 1.0, 1e5])
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_noise_beside_a_common_part_and_factors_without_a_penalty(n_rows, n_features, factor, fit_intercept):
    """A direction without factors and without a penalty was divided by nothing."""
    rng = np.random.default_rng(0)
    X, y = factor * rng.standard_normal((n_rows, n_features)), rng.standard_normal((n_rows, 1))
    model = LowRankRegressor(alpha=0.0, alpha_common=0.01, fit_intercept=fit_intercept).fit(X, y)
    assert np.isfinite(model.noise_scale_[0])
    if n_rows == 30:
        residuals = y - model.predict(X).reshape(y.shape)
        freedom = n_rows - n_features - fit_intercept
        np.testing.assert_allclose(model.noise_scale_[0], np.sqrt(np.sum(residuals**2) / freedom), rtol=0.15)


@pytest.mark.parametrize("kind", ["regression", "binary"])
def test_without_any_penalty_units_of_columns_change_nothing(kind):
    """The least strength that leaves systems solvable is of the largest column, and once took the small one away."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((80, 3))
    y = X @ np.array([1.0, -1.0, 0.5]) + rng.standard_normal(80)
    scaled = X * np.array([1e6, 1e-6, 1.0])
    if kind == "regression":
        model = LowRankRegressor(alpha=0.0).fit(scaled, y)
        np.testing.assert_allclose(model.predict(scaled), LinearRegression().fit(X, y).predict(X), rtol=1e-6)
        residuals = (y - model.predict(scaled)) / model.target_scale_[0]
        np.testing.assert_allclose(model.objective_, 0.5 * np.mean(residuals**2), rtol=1e-7)
    else:
        model = LowRankClassifier(alpha=0.0, tol=1e-10).fit(scaled, y > 0)
        expected = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(X, y > 0)
        np.testing.assert_allclose(model.predict_proba(scaled), expected.predict_proba(X), atol=1e-4)
