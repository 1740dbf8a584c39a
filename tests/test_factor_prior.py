"""Factors under a prior learned from all tasks (``factor_prior="learned"``)."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import sparse
from scipy.optimize import minimize
from scipy.special import expit, softmax
from scipy.stats import multivariate_normal

from skmtl import LowRankClassifier, LowRankMultiTask, LowRankRegressor, TaskTargets
from skmtl.datasets import make_multitask

TIGHT = {"tol": 1e-12, "max_iter": 2000}


def planted(n, d, n_tasks, k, seed, intercepts=True, **options):
    """Tasks with their own rows; coefficients (n_tasks, d) and intercepts (n_tasks,) of the truth."""
    X, y, truth = make_multitask(
        n, d, n_tasks, n_components=k, own_rows=True, return_truth=True, random_state=seed, **options
    )
    coef = np.array([np.ravel(truth.coef[t]) for t in y])
    intercept = np.array([np.ravel(truth.intercept[t])[0] for t in y])
    if not intercepts:
        y = {t: v - b for (t, v), b in zip(y.items(), intercept, strict=True)}
        intercept = np.zeros(n_tasks)
    return X, y, coef, intercept


def risk(model, coef, intercept):
    """Mean over tasks of the excess squared error for standard normal X."""
    found = np.array([np.ravel(w) for w in model.coef_.values()])
    offsets = np.array([np.ravel(b)[0] for b in model.intercept_.values()])
    return np.mean(np.sum((found - coef) ** 2, axis=1) + (offsets - intercept) ** 2)


def scaled_tasks(model, X, y):
    """Per task, in units of scaled targets: centred scores, centred targets, noise."""
    for t in y:
        scores = X[t] @ model.basis_
        scale = model.target_scale_[t]
        yield scores - scores.mean(axis=0), (y[t] - y[t].mean()) / scale, model.noise_scale_[t] / scale


@pytest.mark.parametrize("scale_targets", ["std", "residual", None])
def test_factors_of_numbers_are_the_posterior_means(scale_targets):
    X, y, *_ = planted(12, 8, 30, 2, seed=0, common=0.5)
    model = LowRankRegressor(n_components=2, alpha=0.3, factor_prior="learned", scale_targets=scale_targets, **TIGHT)
    model.fit(X, y)
    precision = np.linalg.inv(model.factor_covariance_)
    for t, (scores, targets, noise) in zip(y, scaled_tasks(model, X, y), strict=True):
        left = scores.T @ scores / noise**2 + precision
        right = scores.T @ targets / noise**2 + precision @ model.factor_mean_
        assert_allclose(model.factors_[t][:, 0] / model.target_scale_[t], np.linalg.solve(left, right), rtol=1e-6)
        assert_allclose(model.intercept_[t], y[t].mean() - X[t].mean(axis=0) @ model.coef_[t], rtol=1e-9, atol=1e-9)


def test_prior_maximises_the_marginal_likelihood():
    """Integrated over the factors, with k tasks of mean zero thought of besides; no EM here."""
    X, y, *_ = planted(12, 8, 30, 2, seed=0, common=0.5)
    ridge = LowRankRegressor(n_components=2, alpha=0.3, **TIGHT).fit(X, y)
    model = LowRankRegressor(n_components=2, alpha=0.3, factor_prior="learned", **TIGHT).fit(X, y)
    tasks = list(scaled_tasks(model, X, y))
    fitted = np.array([ridge.factors_[t][:, 0] / ridge.target_scale_[t] for t in y])
    believed = fitted.T @ fitted / len(fitted)

    def negative(parameters):
        mean, root = parameters[:2], np.array([[np.exp(parameters[2]), 0.0], [parameters[3], np.exp(parameters[4])]])
        covariance = root @ root.T
        inverse = np.linalg.inv(covariance)
        value = 0.5 * (2 * np.linalg.slogdet(covariance)[1] + np.trace(inverse @ (2 * believed + np.outer(mean, mean))))
        for scores, targets, noise in tasks:
            # Within centred coordinates, so that the covariance of the targets is regular.
            turn = np.linalg.svd(np.eye(len(scores)) - 1 / len(scores))[0][:, :-1]
            scores, targets = turn.T @ scores, turn.T @ targets
            spread = scores @ covariance @ scores.T + noise**2 * np.eye(len(scores))
            value -= multivariate_normal.logpdf(targets, scores @ mean, spread)
        return value

    root = np.linalg.cholesky(model.factor_covariance_)
    found = np.r_[model.factor_mean_, np.log(root[0, 0]), root[1, 0], np.log(root[1, 1])]
    best = minimize(negative, found, method="BFGS").fun
    # EM stops at steps of 1e-4 of the covariance, which are worth next to nothing in likelihood.
    assert negative(found) - best < 1e-3


def test_many_tasks_of_few_rows_need_no_tuning():
    # n_t = 15, d = 40, T = 400, k = 4, signal 0.7, noise 1, no intercepts: the ridge has 0.37 at this strength
    # and 0.26 at its best; with the true basis and the true prior the risk is 0.20.
    risks = {"ridge": [], "learned": []}
    for seed in range(2):
        X, y, *truth = planted(15, 40, 400, 4, seed, intercepts=False, signal=0.7)
        for prior, found in risks.items():
            model = LowRankRegressor(
                n_components=4, alpha=1.1, factor_prior=prior, scale_targets=None, fit_intercept=False, tol=1e-4
            )
            found.append(risk(model.fit(X, y), *truth))
    assert np.mean(risks["ridge"]) > 0.35
    assert np.mean(risks["learned"]) < 0.285


def test_mean_of_the_prior_covers_what_tasks_have_in_common():
    X, y, *truth = planted(15, 30, 150, 3, seed=0, common=1.0)
    options = {"n_components": 4, "scale_targets": None, "tol": 1e-4}
    strengths = (1.0, 1.5, 2.0, 3.0)
    ridge = [risk(LowRankRegressor(alpha=a, **options).fit(X, y), *truth) for a in strengths]
    learned = [risk(LowRankRegressor(alpha=a, factor_prior="learned", **options).fit(X, y), *truth) for a in strengths]
    assert min(learned) < 0.95 * min(ridge)
    assert learned[0] < 0.85 * ridge[0]


@pytest.mark.slow
def test_binary_tasks_lose_less_on_new_rows():
    X, y, coef, intercept = planted(40, 20, 100, 3, seed=0, kinds="binary", signal=1.5)
    new = np.random.RandomState(1).randn(2000, 20)
    raw = new @ coef.T + intercept

    def excess(model):
        found = new @ np.array([w[0] for w in model.coef_.values()]).T + np.ravel(list(model.intercept_.values()))
        return np.mean(np.logaddexp(0, found) - np.logaddexp(0, raw) - expit(raw) * (found - raw))

    fits = {
        prior: LowRankClassifier(n_components=3, alpha=0.06, factor_prior=prior, tol=1e-4).fit(X, y)
        for prior in ("ridge", "learned")
    }
    assert excess(fits["learned"]) < 0.8 * excess(fits["ridge"])


@pytest.mark.parametrize("kind", ["binary", "multiclass", "count"])
def test_factors_of_other_kinds_are_at_the_mode_of_their_posterior(kind):
    X, y, *_ = planted(40, 6, 6, 2, seed=0, kinds=kind)
    estimator = LowRankRegressor(loss="poisson") if kind == "count" else LowRankClassifier()
    model = estimator.set_params(n_components=2, alpha=0.05, factor_prior="learned", **TIGHT).fit(X, y)
    precision = np.linalg.inv(model.factor_covariance_)
    for t in y:
        factors, scores = model.factors_[t], X[t] @ model.basis_
        raw = scores @ factors + np.ravel(model.intercept_[t])
        if kind == "multiclass":
            observed = np.asarray(y[t])[:, np.newaxis] == model.classes_by_task_[t]
            slope = softmax(raw, axis=1) - observed
            # No class is special: the mean of the prior is zero for each.
            assert_allclose(factors.sum(axis=1), 0.0, atol=1e-6)
            pull = precision @ factors
        else:
            slope = (expit(raw) if kind == "binary" else np.exp(raw)) - np.asarray(y[t], dtype=float)[:, np.newaxis]
            pull = precision @ (factors - model.factor_mean_[:, np.newaxis])
        assert_allclose(scores.T @ slope, -pull, atol=1e-5 * np.abs(pull).max())
        assert_allclose(slope.sum(axis=0), 0.0, atol=1e-5)


def test_own_parts_are_the_best_ones_beside_the_new_factors():
    X, y = make_multitask(80, 6, 5, n_components=2, own=0.5, random_state=0)
    model = LowRankRegressor(n_components=2, alpha=0.1, alpha_own=0.4, factor_prior="learned", **TIGHT).fit(X, y)
    for t in y:
        residual = (y[t] - model.predict(X)[t]) / model.target_scale_[t]
        own = model.own_[t][:, 0] / model.target_scale_[t]
        assert_allclose(X.T @ residual / 80, 0.4 * own, rtol=1e-6, atol=1e-9)
        total = (model.basis_ @ model.factors_[t] + model.own_[t])[:, 0]
        assert_allclose(model.coef_[t], total, rtol=1e-9)


OPTIONS = {"n_components": 2, "alpha": 0.05, "factor_prior": "learned", **TIGHT}


class TestEveryFit:
    def test_the_basis_and_what_the_fit_says_of_itself_are_those_of_the_ridge(self):
        X, y = make_multitask(60, 6, 4, n_components=2, missing=0.3, random_state=0)
        model = LowRankRegressor(**OPTIONS).fit(X, y)
        ridge = LowRankRegressor(**{**OPTIONS, "factor_prior": "ridge"}).fit(X, y)
        np.testing.assert_array_equal(model.basis_, ridge.basis_)
        assert (model.objective_, model.dual_gap_) == (ridge.objective_, ridge.dual_gap_)
        assert ridge.factor_mean_ is None
        assert ridge.factor_covariance_ is None
        assert not np.allclose(model.coef_["task_0"], ridge.coef_["task_0"], rtol=1e-3)

    @pytest.mark.parametrize("parts", [{}, {"alpha_own": 0.5}, {"alpha_common": 0.5}])
    def test_four_forms_give_the_same_model(self, parts):
        X, y = make_multitask(60, 6, 3, n_components=2, missing=0.3, random_state=0)
        Y = np.column_stack(list(y.values()))
        seen = ~np.isnan(Y)
        rows, tasks = np.nonzero(seen)
        options = {**OPTIONS, **parts}
        first = LowRankRegressor(**options).fit(X, y)
        by_rows = ({t: X[seen[:, t]] for t in range(3)}, {t: Y[seen[:, t], t] for t in range(3)})
        others = [
            LowRankRegressor(**options).fit(X, Y),
            LowRankRegressor(**options).fit(*by_rows),
            LowRankRegressor(task_col=6, **options).fit(np.column_stack([X[rows], tasks]), Y[rows, tasks]),
            LowRankRegressor(**options).fit(X[::-1], TaskTargets(y)[np.arange(59, -1, -1)]),
        ]
        for model in others:
            coef = list(model.coef_.values()) if isinstance(model.coef_, dict) else model.coef_
            assert_allclose(coef, list(first.coef_.values()), rtol=1e-5, atol=1e-7)
            assert_allclose(model.factor_covariance_, first.factor_covariance_, rtol=1e-4, atol=1e-7)

    @pytest.mark.parametrize("parts", [{}, {"alpha_own": 0.5}, {"alpha_common": 0.5}])
    def test_kinds_mixed_answer_and_split(self, parts):
        kinds = {"size": "regression", "alive": "binary", "colour": "multiclass", "visits": "count"}
        X, y = make_multitask(120, 6, kinds=kinds, n_components=2, missing=0.2, noise=0.5, random_state=0)
        model = LowRankMultiTask(**OPTIONS, kinds={"visits": "count"}, **parts).fit(X, y)
        assert model.factor_covariance_.shape == (2, 2)
        assert np.linalg.eigvalsh(model.factor_covariance_)[0] > 0
        for task, predictor in model.split().items():
            expected = model.predict(X)[task]
            if kinds[task] in ("regression", "count"):
                assert_allclose(predictor.predict(X), expected, rtol=1e-9)
            else:
                np.testing.assert_array_equal(predictor.predict(X), expected)

    def test_new_tasks_get_the_prior_of_the_fitted_ones(self):
        X, y, *_ = planted(15, 10, 60, 2, seed=0, common=1.0)
        model = LowRankRegressor(**OPTIONS, scale_targets=None).fit(X, y)
        rng = np.random.RandomState(0)
        new = {"new": X["task_0"][:4]}, {"new": X["task_0"][:4] @ model.coef_["task_0"] + rng.randn(4)}
        before = model.factor_covariance_, model.factor_mean_
        model.add_tasks(*new)
        assert (model.factor_covariance_, model.factor_mean_)[0] is not None
        assert_allclose(model.factor_mean_, before[1])
        scores, targets, noise = next(scaled_tasks(model, *new))
        precision = np.linalg.inv(model.factor_covariance_)
        left, right = scores.T @ scores / noise**2 + precision, scores.T @ targets / noise**2 + precision @ before[1]
        assert_allclose(model.factors_["new"][:, 0], np.linalg.solve(left, right), rtol=1e-6)

    def test_components_not_in_use_have_no_prior(self):
        X, y = make_multitask(100, 6, 3, n_components=1, random_state=0)
        model = LowRankRegressor(n_components=3, alpha=0.4, factor_prior="learned").fit(X, y)
        assert model.rank_ < 3
        assert model.factor_covariance_.shape == (3, 3)
        assert not model.factor_covariance_[model.rank_ :].any()
        nothing = LowRankRegressor(n_components=3, alpha=1e6, factor_prior="learned").fit(X, y)
        assert not nothing.factor_covariance_.any()

    def test_targets_that_are_constant_or_without_noise_stay_finite(self):
        X, y = make_multitask(50, 5, 3, n_components=2, noise=0.0, random_state=0)
        y["flat"] = np.full(50, 7.0)
        for scale_targets in ("std", "residual", None):
            model = LowRankRegressor(scale_targets=scale_targets, **OPTIONS).fit(X, y)
            assert model.score_tasks(X, y)["task_0"] > 0.98
            assert_allclose(model.predict(X)["flat"], 7.0, atol=1e-3)


def wide_classes(seed, n_features, n_classes=2):
    """12 tasks of classes on 200 rows, and the probabilities of new rows."""
    rng = np.random.RandomState(seed)
    k = n_classes if n_classes > 2 else 1
    coef = 2.0 * rng.randn(n_features, 3) @ rng.randn(3, 12 * k) / np.sqrt(3 * n_features)
    X, new = rng.randn(200, n_features), rng.randn(1000, n_features)

    def probabilities(table):
        raw = (table @ coef).reshape(len(table), 12, k)
        return np.stack([expit(-raw[..., 0]), expit(raw[..., 0])], axis=2) if k == 1 else softmax(raw, axis=2)

    drawn = (rng.rand(200, 12, 1) > np.cumsum(probabilities(X), axis=2)[..., :-1]).sum(axis=2)
    return X, {f"t{t}": drawn[:, t] for t in range(12)}, new, probabilities(new)


def log_loss(model, new, truth):
    """Expected log loss on new rows, mean over tasks."""
    found = model.predict_proba(new)
    return np.mean([-np.mean(np.sum(truth[:, i] * np.log(found[f"t{i}"]), axis=1)) for i in range(12)])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("n_features", "n_classes", "n_components", "form"),
    [
        (100, 2, None, "table"),
        (400, 2, None, "table"),
        (100, 2, 3, "own rows"),
        (100, 2, 3, "sparse"),
        (60, 3, 3, "table"),
    ],
)
def test_classes_with_many_features_lose_nothing_on_new_rows(n_features, n_classes, n_components, form):
    # The basis fits the labels: unshrunk, the prior learned from its factors went from .69 to .92 and from .83 to 1.12.
    X, y, new, truth = wide_classes(0, n_features, n_classes)
    tables = {"table": X, "own rows": dict.fromkeys(y, X), "sparse": sparse.csr_matrix(X)}[form]
    options = {"n_components": n_components, "alpha": 0.1, "tol": 1e-4}
    ridge, learned = (LowRankClassifier(factor_prior=prior, **options).fit(tables, y) for prior in ("ridge", "learned"))
    assert log_loss(learned, new, truth) < 1.01 * log_loss(ridge, new, truth)
    split = learned.split()
    for t, found in learned.predict_proba(new).items():
        assert_allclose(split[t].predict_proba(new), found, atol=1e-9)


def test_a_prior_that_is_not_believed_is_the_ridge():
    X, y, new, _ = wide_classes(0, 400)
    ridge, learned = (LowRankClassifier(factor_prior=p, alpha=0.1, tol=1e-8).fit(X, y) for p in ("ridge", "learned"))
    assert_allclose(learned.factor_covariance_, np.eye(len(learned.factor_mean_)) / (0.1 * 200), atol=1e-12)
    assert not learned.factor_mean_.any()
    assert_allclose(learned.predict_proba(new)["t0"], ridge.predict_proba(new)["t0"], atol=1e-5)
