"""Features scaled by the spread of their coefficients over tasks (``feature_prior="learned"``)."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import sparse
from sklearn.base import clone

from skmtl import LowRankClassifier, LowRankMultiTask, LowRankRegressor, LowRankRegressorCV, stack_tasks
from skmtl.datasets import make_multitask

TIGHT = {"tol": 1e-12, "max_iter": 2000}
KINDS = {"a": "regression", "b": "binary", "c": "multiclass", "d": "count"}


def with_idle_features(seed, n, d, n_idle, n_tasks, **options):
    """Own rows; the last `n_idle` features matter to no task. Returns X, y, coefficients (n_tasks, d)."""
    X, y, truth = make_multitask(n, d, n_tasks, own_rows=True, return_truth=True, random_state=seed, **options)
    rng = np.random.RandomState(1000 + seed)
    X = {t: np.column_stack([table, rng.standard_normal((n, n_idle))]) for t, table in X.items()}
    return X, y, np.array([np.r_[truth.coef[t], np.zeros(n_idle)] for t in y])


def columns(values):
    return np.array([np.ravel(value) for value in values.values()])


@pytest.mark.parametrize(
    ("model", "kinds"),
    [
        (LowRankRegressor(alpha_own=0.3, **TIGHT), "regression"),
        (LowRankRegressor(alpha_common=0.5, factor_prior="learned", **TIGHT), "regression"),
        (LowRankClassifier(**TIGHT), "binary"),
        (LowRankMultiTask(kinds={"d": "count"}, **TIGHT), KINDS),
    ],
)
@pytest.mark.parametrize("missing", [0.0, 0.3])
def test_it_is_the_fit_of_scaled_features_in_terms_of_those_given(model, kinds, missing):
    X, y = make_multitask(80, 6, 4, kinds=kinds, missing=missing, random_state=0)
    model = clone(model).set_params(n_components=2, alpha=0.1)
    learned = clone(model).set_params(feature_prior="learned").fit(X, y)
    scales = learned.feature_scale_
    assert scales.std() > 0.1
    plain = clone(model).fit(X * scales, y)
    for task in y:
        assert_allclose(learned.coef_[task], plain.coef_[task] * scales, rtol=1e-6, atol=1e-8)
        assert_allclose(learned.intercept_[task], plain.intercept_[task], rtol=1e-6, atol=1e-8)
    assert_allclose(learned.transform(X), plain.transform(X * scales), rtol=1e-6, atol=1e-8)
    assert learned.objective_ == pytest.approx(plain.objective_)
    assert plain.feature_scale_ is None


def test_the_scales_keep_the_total_variance_of_the_features():
    X, y = make_multitask(80, 6, 4, random_state=0)
    X = X * np.array([1.0, 2.0, 5.0, 0.1, 1.0, 30.0])
    scales = LowRankRegressor(feature_prior="learned").fit(X, y).feature_scale_
    assert np.sum(np.var(X * scales, axis=0)) == pytest.approx(np.sum(np.var(X, axis=0)))


def test_the_spreads_are_a_fixed_point_of_the_marginal_likelihood():
    """Without the belief in a common spread: no EM here, but the likelihood with the coefficients integrated out."""
    from skmtl.solvers import relevance

    rng = np.random.RandomState(0)
    true = np.array([1.0, 0.5, 0.1, 0.05])
    X = rng.standard_normal((60, 50, 4))
    targets = np.array([table @ (rng.standard_normal(4) * np.sqrt(true)) for table in X]) + rng.standard_normal(
        (60, 50)
    )
    X = X - X.mean(axis=1, keepdims=True)
    targets = targets - targets.mean(axis=1, keepdims=True)
    targets /= targets.std(axis=1, keepdims=True)
    grams, cross = np.swapaxes(X, 1, 2) @ X, np.einsum("tij,ti->tj", X, targets)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(relevance, "_BELIEF", 0.0)
        patch.setattr(relevance, "_TOLERANCE", 1e-10)
        patch.setattr(relevance, "_MAX_ROUNDS", 2000)
        spread = relevance._spreads(grams, cross, np.full(60, 50.0))

    def evidence(log_spread, noise):
        total = 0.0
        for table, y in zip(X, targets, strict=True):
            covariance = noise * np.eye(50) + (table * np.exp(log_spread)) @ table.T
            total += -0.5 * (np.linalg.slogdet(covariance)[1] + y @ np.linalg.solve(covariance, y))
        return total

    noises = np.linspace(0.2, 1.0, 81)
    noise = noises[np.argmax([evidence(np.log(spread), one) for one in noises])]
    slopes = [
        (evidence(np.log(spread) + step, noise) - evidence(np.log(spread) - step, noise)) / 2e-3
        for step in 1e-3 * np.eye(4)
    ]
    # Curvature is about half the number of tasks: the optimum is within 5 % of every spread.
    assert_allclose(slopes, 0.0, atol=0.05 * 30)


@pytest.mark.parametrize("seed", range(3))
def test_idle_features_are_told_and_the_risk_falls(seed):
    X, y, coef = with_idle_features(seed, n=25, d=10, n_idle=30, n_tasks=40, n_components=3)
    fits = {
        prior: min(
            (
                LowRankRegressor(n_components=3, alpha=alpha, feature_prior=prior, tol=1e-5).fit(X, y)
                for alpha in (0.3, 0.6, 1.0)
            ),
            key=lambda model: np.sum((columns(model.coef_) - coef) ** 2),
        )
        for prior in ("ridge", "learned")
    }
    risk = {prior: np.mean(np.sum((columns(model.coef_) - coef) ** 2, axis=1)) for prior, model in fits.items()}
    scales = fits["learned"].feature_scale_
    assert np.median(scales[10:]) < 0.6 * np.median(scales[:10])
    assert risk["learned"] < 0.9 * risk["ridge"]


def test_forms_and_tables_give_the_same_scales():
    X, y = make_multitask(20, 6, 8, own_rows=True, random_state=0)
    stacked, targets = stack_tasks(X, y)
    long = np.column_stack([stacked, np.repeat(np.arange(8), 20)])
    model = LowRankRegressor(n_components=2, feature_prior="learned")
    expected = clone(model).fit(X, y).feature_scale_
    others = [
        clone(model).fit(stacked, targets),
        clone(model).fit(sparse.csr_matrix(stacked), targets),
        clone(model).set_params(task_col=6).fit(long, np.concatenate(list(y.values()))),
    ]
    for other in others:
        assert_allclose(other.feature_scale_, expected, rtol=1e-8)


def test_complete_targets_are_seen_through_their_moments():
    X, y = make_multitask(60, 6, 8, random_state=0)
    own = LowRankRegressor(feature_prior="learned").fit(dict.fromkeys(y, X), y)
    assert_allclose(LowRankRegressor(feature_prior="learned").fit(X, y).feature_scale_, own.feature_scale_, rtol=1e-8)


def test_the_order_of_many_tasks_does_not_matter():
    # Of 80 tasks with 50 features a part stands for all.
    X, y = make_multitask(12, 50, 80, own_rows=True, random_state=0)
    model = LowRankRegressor(n_components=2, alpha=1.0, feature_prior="learned", tol=1e-4)
    turned = list(y)[::-1]
    assert_allclose(
        model.fit({t: X[t] for t in turned}, {t: y[t] for t in turned}).feature_scale_,
        clone(model).fit(X, y).feature_scale_,
        rtol=1e-8,
    )


@pytest.mark.parametrize("table", [np.asarray, sparse.csr_matrix])
def test_standard_deviations_and_new_tasks_speak_of_the_features_as_given(table):
    X, y = make_multitask(60, 6, 6, missing=0.2, random_state=0)
    known, new = {t: y[t] for t in list(y)[:5]}, {"task_5": y["task_5"]}
    options = {"n_components": 2, "alpha": 0.1, **TIGHT}
    learned = LowRankRegressor(feature_prior="learned", **options).fit(table(X), known)
    scales = learned.feature_scale_
    plain = LowRankRegressor(**options).fit(table(X * scales), known)
    learned.add_tasks(table(X), new)
    plain.add_tasks(table(X * scales), new)
    for one, other in zip(
        learned.predict(table(X), return_std=True), plain.predict(table(X * scales), return_std=True)
    ):
        for task in y:
            assert_allclose(one[task], other[task], rtol=1e-6)


def test_a_constant_feature_and_a_constant_target_do_no_harm():
    X, y = make_multitask(30, 4, 3, random_state=0)
    X[:, 1] = 7.0
    y["task_0"][:] = 1.0
    model = LowRankRegressor(feature_prior="learned").fit(X, y)
    assert model.feature_scale_[1] == 1.0
    assert np.isfinite(model.predict(X)["task_0"]).all()
    assert (LowRankRegressor(feature_prior="learned").fit(X[:, :2], y).feature_scale_ == 1.0).all()


def test_a_warm_start_begins_at_the_basis_of_the_features_as_given():
    X, y = make_multitask(60, 6, 6, missing=0.2, random_state=0)
    model = LowRankRegressor(n_components=2, alpha=0.1, feature_prior="learned", warm_start=True).fit(X, y)
    first = model.n_iter_
    assert model.fit(X, y).n_iter_ < max(first, 2)


def test_the_tuned_estimator_takes_it_where_features_are_idle_and_only_there():
    X, y, _ = with_idle_features(0, n=25, d=10, n_idle=30, n_tasks=40, n_components=3)
    free = {
        "n_components": 3,
        "alpha_common": None,
        "alpha_own": None,
        "factor_prior": "ridge",
        "cv": 3,
        "guard": False,
    }
    model = LowRankRegressorCV(**free).fit(X, y)
    assert model.feature_prior_ == "learned"
    plain = LowRankRegressor(**model.best_params_).fit(X, y)
    assert_allclose(model.coef_["task_0"], plain.coef_["task_0"])
    X, y = make_multitask(25, 10, 40, n_components=3, own_rows=True, random_state=0)
    assert LowRankRegressorCV(**free).fit(X, y).feature_prior_ == "ridge"


def test_folds_learn_the_scales_from_their_training_part_alone():
    X, y = make_multitask(40, 5, 4, random_state=0)
    train, test = np.arange(30), np.arange(30, 40)
    values = {"n_components": 2, "alpha": 0.1, "alpha_common": None, "alpha_own": 0.5, "factor_prior": "ridge"}
    model = LowRankRegressorCV(**values, feature_prior="learned", cv=[(train, test)], scale_targets=None).fit(X, y)
    fitted = LowRankRegressor(**values, feature_prior="learned", scale_targets=None).fit(X[train], y[train])
    loss = np.mean([0.5 * (y[t][test] - fitted.predict(X[test])[t]) ** 2 for t in y])
    assert model.best_score_ == pytest.approx(-loss, rel=2e-3)


def test_too_many_features_are_refused_before_any_work():
    X, y = np.eye(8, 1001), {"a": np.arange(8.0), "b": np.arange(8.0) ** 2}
    with pytest.raises(ValueError, match=r"feature_prior='learned' is for at most 1000 features, got 1001"):
        LowRankRegressor(feature_prior="learned").fit(X, y)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_where_one_row_has_all_the_weight_nothing_is_learned_and_nothing_is_divided_by_zero():
    X, y, weight = np.array([[0.01, 1000.0], [-0.02, 500.0]]), np.array([1.0, 3.0]), np.array([1e-12, 1.0])
    model = LowRankRegressor(loss="poisson", alpha=1e-4, feature_prior="learned", factor_prior="learned")
    assert np.isfinite(model.fit(X, y, sample_weight=weight).predict(X)).all()
