"""The noise of regression tasks, and targets divided by it (``scale_targets="residual"``)."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import sparse

from skmtl import LowRankMultiTask, LowRankRegressor, TaskTargets
from skmtl.datasets import make_multitask

SETTINGS = {"n_components": 2, "alpha": 0.2, "tol": 1e-12, "max_iter": 2000}


def own_rows(seed, n_tasks=60, **options):
    """Planted tasks with their own rows: X, y and the truth as matrices, in order of the tasks."""
    X, y, truth = make_multitask(
        40,
        30,
        n_tasks,
        n_components=3,
        own_rows=True,
        return_truth=True,
        random_state=seed,
        **options,
    )
    coef = np.array([truth.coef[t] for t in y])
    return X, y, coef, np.array([truth.intercept[t] for t in y])


def risk(model, coef, intercept, unit):
    """Mean over tasks of the excess squared error for standard normal X, in units of `unit`."""
    found = np.array(list(model.coef_.values()))
    errors = np.sum((found - coef) ** 2, axis=1) + (np.array(list(model.intercept_.values())) - intercept) ** 2
    return np.mean(errors / unit**2)


@pytest.mark.parametrize("alpha", [0.02, 0.2, 0.7])
@pytest.mark.parametrize("scale_targets", ["std", "residual"])
def test_noise_is_found_whatever_the_strength(scale_targets, alpha):
    # 3 x 60 tasks of 40 rows: the mean of log s has a standard error of 0.01, the fit's bias may double it.
    ratios = []
    for seed in range(3):
        noise = np.exp(np.random.RandomState(seed).uniform(-0.5, 0.5, 60))
        X, y, *_ = own_rows(seed, noise=noise)
        model = LowRankRegressor(n_components=3, alpha=alpha, scale_targets=scale_targets, tol=1e-5).fit(X, y)
        ratios.append(np.log(np.array(list(model.noise_scale_.values())) / noise))
    assert abs(np.mean(ratios)) < 0.05
    # The estimate from 30 degrees of freedom varies by 13 %.
    assert np.std(ratios) < 0.2


@pytest.mark.parametrize("form", ["complete", "gaps", "sparse"])
def test_noise_with_shared_rows(form):
    X, y = make_multitask(150, 20, 40, n_components=2, noise=2.0, signal=3.0, random_state=0)
    Y = np.column_stack(list(y.values()))
    if form == "gaps":
        Y[np.random.RandomState(0).rand(*Y.shape) < 0.5] = np.nan
    model = LowRankRegressor(n_components=2, alpha=0.1).fit(sparse.csr_matrix(X) if form == "sparse" else X, Y)
    assert_allclose(np.sqrt(np.mean(np.square(list(model.noise_scale_.values())))), 2.0, rtol=0.05)


@pytest.mark.parametrize("n_rows", [30, 12])
def test_own_parts_alone_have_the_degrees_of_freedom_of_ridge(n_rows):
    rng = np.random.RandomState(0)
    X = {t: rng.randn(n_rows, 20) + 1 for t in range(5)}
    y = {t: X[t] @ rng.randn(20) + rng.randn(n_rows) for t in X}
    model = LowRankRegressor(alpha=np.inf, alpha_own=0.3, scale_targets=None).fit(X, y)
    squares, freedom, variances = [], [], []
    for t in X:
        centred = X[t] - X[t].mean(axis=0)
        hat = centred @ np.linalg.solve(centred.T @ centred + 0.3 * n_rows * np.eye(20), centred.T)
        squares.append(np.sum((y[t] - y[t].mean() - hat @ (y[t] - y[t].mean())) ** 2))
        freedom.append(n_rows - 1 - np.trace(hat))
        variances.append(np.var(y[t]))
    squares, freedom, variances = map(np.array, (squares, freedom, variances))
    # As if every task had seen the share of noise of all tasks on two more rows.
    share = np.sum(squares / variances) / np.sum(freedom)
    expected = np.sqrt((squares + 2.0 * share * variances) / (freedom + 2.0))
    assert_allclose(list(model.noise_scale_.values()), expected, rtol=1e-8)


@pytest.mark.parametrize("differ", ["units", "noise"])
def test_units_and_noise_that_differ_lose_little_against_the_true_scales(differ):
    true, found, by_deviation = [], [], []
    for seed in range(3):
        spread = np.exp(np.random.RandomState(seed).uniform(-1.2, 1.2, 60))
        noise = spread if differ == "noise" else np.ones(60)
        unit = spread if differ == "units" else np.ones(60)
        X, y, coef, intercept = own_rows(seed, noise=noise)
        y = {t: v * u for (t, v), u in zip(y.items(), unit, strict=True)}
        coef, intercept, scale = coef * unit[:, np.newaxis], intercept * unit, noise * unit
        options = {"n_components": 3, "alpha": 0.35, "tol": 1e-5}
        model = LowRankRegressor(scale_targets="residual", **options).fit(X, y)
        found.append(risk(model, coef, intercept, scale))
        by_deviation.append(
            risk(LowRankRegressor(n_components=3, alpha=0.2, tol=1e-5).fit(X, y), coef, intercept, scale)
        )
        scaled = {t: v / s for (t, v), s in zip(y.items(), scale, strict=True)}
        oracle = LowRankRegressor(scale_targets=None, **options).fit(X, scaled)
        true.append(risk(oracle, coef / scale[:, np.newaxis], intercept / scale, 1.0))
    assert np.mean(found) <= 1.05 * np.mean(true)
    assert np.mean(found) <= np.mean(by_deviation)


@pytest.fixture(scope="module")
def table():
    return make_multitask(60, 6, 3, n_components=2, noise=[0.5, 1.0, 2.0], missing=0.3, random_state=0)


class TestEveryFit:
    def test_four_forms_give_the_same_scales_and_coefficients(self, table):
        X, y = table
        Y = np.column_stack(list(y.values()))
        seen = ~np.isnan(Y)
        fits = [
            LowRankRegressor(scale_targets="residual", **SETTINGS).fit(X, y),
            LowRankRegressor(scale_targets="residual", **SETTINGS).fit(X, Y),
            LowRankRegressor(scale_targets="residual", **SETTINGS).fit(
                {t: X[seen[:, t]] for t in range(3)}, {t: Y[seen[:, t], t] for t in range(3)}
            ),
        ]
        rows, tasks = np.nonzero(seen)
        long = np.column_stack([X[rows], tasks])
        fits.append(LowRankRegressor(scale_targets="residual", task_col=6, **SETTINGS).fit(long, Y[rows, tasks]))
        for model in fits[1:]:
            coef = list(model.coef_.values()) if isinstance(model.coef_, dict) else model.coef_
            assert_allclose(coef, list(fits[0].coef_.values()), rtol=1e-6)
            assert_allclose(list(model.noise_scale_.values()), list(fits[0].noise_scale_.values()), rtol=1e-7)
            assert_allclose(list(model.target_scale_.values()), list(fits[0].target_scale_.values()), rtol=1e-7)

    @pytest.mark.parametrize("parts", [{}, {"alpha_own": 0.5}])
    def test_order_of_tasks_and_rows_and_units_do_not_matter(self, table, parts):
        X, y = table
        model = LowRankRegressor(scale_targets="residual", **parts, **SETTINGS).fit(X, y)
        order = np.random.RandomState(0).permutation(len(X))
        turned = {t: (1000.0 if t == "task_0" else 1.0) * y[t][order] for t in reversed(y)}
        other = LowRankRegressor(scale_targets="residual", **parts, **SETTINGS).fit(X[order], turned)
        for t in y:
            unit = 1000.0 if t == "task_0" else 1.0
            assert_allclose(other.coef_[t], model.coef_[t] * unit, rtol=1e-6)
            assert_allclose(other.noise_scale_[t], model.noise_scale_[t] * unit, rtol=1e-7)

    def test_a_weight_of_two_is_a_row_twice(self, table):
        X, y = table
        weights = np.random.RandomState(0).randint(1, 3, len(X))
        rows = np.repeat(np.arange(len(X)), weights)
        model = LowRankRegressor(scale_targets="residual", **SETTINGS).fit(X, y, sample_weight=weights)
        other = LowRankRegressor(scale_targets="residual", **SETTINGS).fit(X[rows], TaskTargets(y)[rows])
        for t in y:
            assert_allclose(other.noise_scale_[t], model.noise_scale_[t], rtol=1e-7)
            assert_allclose(other.coef_[t], model.coef_[t], rtol=1e-6)

    def test_weights_that_add_to_one_are_no_counts(self, table):
        X, y = table
        model = LowRankRegressor(scale_targets="residual", **SETTINGS).fit(X, y)
        other = LowRankRegressor(scale_targets="residual", **SETTINGS).fit(X, y, sample_weight=np.full(60, 1 / 60))
        assert_allclose(list(other.noise_scale_.values()), list(model.noise_scale_.values()), rtol=1e-7)

    def test_a_common_part_has_one_scale_for_all(self, table):
        X, y = table
        model = LowRankRegressor(scale_targets="residual", alpha_common=0.5, **SETTINGS).fit(X, y)
        assert len(set(model.target_scale_.values())) == 1
        assert_allclose(
            model.target_scale_["task_0"], np.sqrt(np.mean(np.square(list(model.noise_scale_.values())))), rtol=0.05
        )

    def test_new_tasks_are_scaled_by_their_own_residuals(self, table):
        X, y = table
        model = LowRankRegressor(scale_targets="residual", **SETTINGS).fit(X, y)
        before = dict(model.noise_scale_)
        noisy = X @ model.basis_ @ [1.0, -1.0] + 0.5 * np.random.RandomState(0).randn(60)
        model.add_tasks(X, {"new": noisy})
        assert {t: model.noise_scale_[t] for t in before} == before
        assert 0.35 < model.noise_scale_["new"] < 0.7
        assert_allclose(model.target_scale_["new"], model.noise_scale_["new"], rtol=0.02)


class TestHardCases:
    def test_a_constant_target_has_no_noise_and_a_scale_of_one(self):
        X, y = make_multitask(50, 5, 3, n_components=1, random_state=0)
        y["flat"] = np.full(50, 7.0)
        model = LowRankRegressor(n_components=1, scale_targets="residual").fit(X, y)
        assert model.noise_scale_["flat"] == 0.0
        assert model.target_scale_["flat"] == 1.0
        assert_allclose(model.predict(X)["flat"], 7.0)

    def test_targets_without_noise_are_fitted_all_but_exactly(self):
        X, y = make_multitask(50, 5, 4, n_components=2, noise=0.0, random_state=0)
        model = LowRankRegressor(n_components=2, scale_targets="residual").fit(X, y)
        assert model.score(X, y) > 0.9999
        assert all(0 <= s < 0.02 for s in model.noise_scale_.values())

    def test_a_task_that_interpolates_its_few_rows_is_noisy_all_the_same(self):
        X, y, *_ = own_rows(0)
        X["few"], y["few"] = X["task_0"][:3], y["task_0"][:3]
        X["one"], y["one"] = X["task_1"][:1], y["task_1"][:1]
        model = LowRankRegressor(n_components=3, alpha=0.01, scale_targets="residual", tol=1e-5).fit(X, y)
        # Three targets of variance v: the share of noise is that of all tasks, within the factor that v varies by.
        assert model.noise_scale_["few"] > 0.2 * np.std(y["few"])
        assert model.noise_scale_["one"] == 0.0
        assert np.isfinite(list(model.coef_.values())).all()

    def test_more_features_than_rows_and_no_strength_leave_it_finite(self):
        rng = np.random.RandomState(0)
        X, Y = rng.randn(10, 30), rng.randn(10, 3)
        model = LowRankRegressor(alpha=1e-3, scale_targets="residual").fit(X, Y)
        assert np.isfinite(model.coef_).all()
        assert all(s > 0 for s in model.noise_scale_.values())

    def test_other_kinds_keep_their_scale_and_have_no_noise(self):
        kinds = {"size": "regression", "alive": "binary", "visits": "count", "weight": "regression"}
        X, y = make_multitask(200, 6, kinds=kinds, n_components=2, noise=0.5, random_state=0)
        options = {"n_components": 2, "alpha": 0.05, "kinds": {"visits": "count"}}
        model = LowRankMultiTask(scale_targets="residual", **options).fit(X, y)
        by_deviation = LowRankMultiTask(**options).fit(X, y)
        assert set(model.noise_scale_) == {"size", "weight"}
        assert_allclose(list(model.noise_scale_.values()), 0.5, rtol=0.15)
        for t in ("alive", "visits"):
            assert model.target_scale_[t] == by_deviation.target_scale_[t]

    def test_no_regression_no_noise(self):
        X, y = make_multitask(100, 6, 3, kinds="count", random_state=0)
        model = LowRankRegressor(loss="poisson", scale_targets="residual").fit(X, y)
        assert not hasattr(model, "noise_scale_")
