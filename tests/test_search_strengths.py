"""Where the search for strengths looks: columns of any scale, plateaus, edges; and fits that learn nothing from X."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.sparse import csr_matrix
from sklearn.linear_model import RidgeCV
from sklearn.metrics import r2_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmtl import (
    LowRankClassifier,
    LowRankClassifierCV,
    LowRankMultiTask,
    LowRankMultiTaskCV,
    LowRankRegressor,
    LowRankRegressorCV,
    transfer_report,
)
from skmtl.datasets import make_multitask
from skmtl.estimators.cross_validated import LowRankModelCV
from skmtl.tuning import Candidate, candidates


def table(seed, n_train=100, kinds="regression"):
    """X and Y to train on, X and Y to test on."""
    X, y = make_multitask(n_train + 300, 20, 6, n_components=2, signal=2.0, kinds=kinds, random_state=seed)
    Y = np.column_stack(list(y.values()))
    return X[:n_train], Y[:n_train], X[n_train:], Y[n_train:]


def with_column_times(factor, X):
    return X * np.r_[factor, np.ones(X.shape[1] - 1)]


# Units of columns


@pytest.mark.parametrize("factor", [1e-4, 1e3, 1e4, 1e8])
def test_a_column_in_other_units_costs_nothing_even_without_scaled_features(factor):
    """A thousandfold column took R² from .70 to .24: the search ended on the plateau between it and the others."""
    X, Y, X_test, Y_test = table(0)
    few = {"alpha_common": None, "scale_features": False, "feature_prior": "ridge"}
    scores = [
        r2_score(Y_test, LowRankRegressorCV(**few).fit(f(X), Y).predict(f(X_test)))
        for f in (lambda X: X, lambda X: with_column_times(factor, X))
    ]
    assert scores[0] > 0.65
    assert scores[1] > scores[0] - 0.02


@pytest.mark.slow
@pytest.mark.parametrize("scale_features", [True, False])
def test_a_thousandfold_column_leaves_twelve_seeds_above_ridge(scale_features):
    ours, ridge = [], []
    for seed in range(12):
        X, Y, X_test, Y_test = table(seed)
        X, X_test = with_column_times(1e3, X), with_column_times(1e3, X_test)
        tuned = make_pipeline(StandardScaler(), RidgeCV(np.logspace(-3, 5, 30), alpha_per_target=True)).fit(X, Y)
        ridge.append(r2_score(Y_test, tuned.predict(X_test)))
        ours.append(r2_score(Y_test, LowRankRegressorCV(scale_features=scale_features).fit(X, Y).predict(X_test)))
    assert np.sum(np.array(ours) < np.array(ridge)) == 0


@pytest.mark.slow
def test_classes_do_not_lose_accuracy_to_a_thousandfold_column_either():
    X, Y, X_test, Y_test = table(0, 200, "binary")
    found = {
        factor: np.mean(
            LowRankClassifierCV(scale_features=False)
            .fit(X * 1.0 if factor == 1 else with_column_times(factor, X), Y)
            .predict(with_column_times(factor, X_test))
            == Y_test
        )
        for factor in (1, 1e3)
    }
    assert found[1] > 0.7  # half for a coin
    assert found[1e3] > found[1] - 0.02


def test_a_report_and_its_independent_models_do_not_know_units():
    X, Y, _, _ = table(1, 60)
    few = {
        "n_components": 2,
        "alpha_common": None,
        "alpha_own": None,
        "factor_prior": "ridge",
        "feature_prior": "ridge",
    }
    first, second = (
        transfer_report(LowRankRegressorCV(**few, cv=3), table, Y, cv=3).to_frame()
        for table in (X, with_column_times(1e3, X))
    )
    for column in ("joint", "independent"):
        assert_allclose(first[column].astype(float), second[column].astype(float), atol=2e-3)


# Edges


def test_a_strength_at_the_edge_of_what_was_tried_is_told_once(monkeypatch):
    X, Y, _, _ = table(0)
    monkeypatch.setattr(candidates, "_N_OCTAVES", 2)
    few = {"n_components": 2, "factor_prior": "ridge", "feature_prior": "ridge"}
    model = LowRankRegressorCV(alpha_common=None, alpha_own=None, **few)
    with pytest.warns(UserWarning, match="ended at alpha=") as caught:
        model.fit(X, Y)
    assert len(caught) == 1
    assert f"alpha={model.alpha_:.3g}" in str(caught[0].message)
    assert "weakest that was tried" in str(caught[0].message)


def test_no_edge_is_told_of_inside_of_a_list_of_ones_own_or_without_noise():
    X, Y, _, _ = table(0)
    options = {"alpha_common": None, "alpha_own": None, "feature_prior": "ridge", "factor_prior": "ridge"}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        LowRankRegressorCV(**options).fit(X, Y)
        LowRankRegressorCV(**options, alpha=[1.0, 0.5], n_components=2).fit(X, Y)
        LowRankRegressorCV(**options).fit(X, X[:, :3] @ np.ones((3, 2)))


# Tasks set apart


@pytest.mark.parametrize("task_weight", [None, "balanced"])
def test_tasks_set_apart_leave_the_others_as_strongly_shrunk(task_weight, monkeypatch):
    """Strengths are those of a mean over the rows of a task on average, which are others without the large task."""
    rng = np.random.default_rng(0)
    sizes = {"large": 300, "small": 12, "medium": 40}
    X = {task: rng.normal(size=(n, 4)) for task, n in sizes.items()}
    y = {task: table @ rng.normal(size=4) + rng.normal(size=len(table)) for task, table in X.items()}
    options = {"alpha": np.inf, "alpha_common": None, "task_weight": task_weight, "scale_targets": None}
    alone = Candidate(None, np.inf, None, 0.2)
    monkeypatch.setattr(LowRankModelCV, "_guarded", lambda *_: (np.array([0]), alone))
    given = {"n_components": 1, "alpha_own": 0.2, "alpha_intercept": None, "feature_prior": "ridge"}
    tuned = LowRankRegressorCV(**options, **given, scale_features=False)
    found, expected = tuned.fit(X, y), LowRankRegressor(**options, alpha_own=0.2).fit(X, y)
    assert found.guarded_ == ["large"]
    for task in y:
        assert_allclose(found.coef_[task], expected.coef_[task], rtol=1e-6)


# A strength of 1e-6, at which the steps of a rank limit are slow, may win by a hair: that it says so is no failure.
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.slow
@pytest.mark.parametrize("related", [True, False])
def test_the_tuned_class_serves_a_task_of_twelve_rows_beside_one_of_fifty_thousand(related):
    """At the defaults of the plain class the small task is predicted by its mean."""
    gains = []
    for seed in range(3):
        rng = np.random.default_rng(seed)
        w = rng.normal(size=10)
        v = w + 0.3 * rng.normal(size=10) if related else rng.normal(size=10)
        X = {"large": rng.normal(size=(50_000, 10)), "small": rng.normal(size=(12, 10))}
        y = {task: X[task] @ c + 0.3 * rng.normal(size=len(X[task])) for task, c in (("large", w), ("small", v))}
        test = rng.normal(size=(2000, 10))
        model = LowRankRegressorCV().fit(X, y)
        ridge = RidgeCV(np.logspace(-3, 2, 12)).fit(X["small"], y["small"])
        assert r2_score(test @ w, model.predict(test)["large"]) > 0.99
        gains.append(r2_score(test @ v, model.predict(test)["small"]) - r2_score(test @ v, ridge.predict(test)))
    assert np.mean(gains) > -0.02


# Fits that learn nothing from X


@pytest.mark.parametrize(
    "model", [LowRankRegressor(alpha=50.0), LowRankClassifier(alpha=50.0), LowRankMultiTask(alpha=50.0)]
)
def test_a_fit_that_learns_nothing_says_so(model):
    kinds = "binary" if isinstance(model, LowRankClassifier) else "regression"
    X, y = make_multitask(60, 5, 3, kinds=kinds, random_state=0)
    with pytest.warns(UserWarning, match=r"Nothing is learned from X: at alpha=50 every task .* smaller alpha"):
        model.fit(X, y)
    assert model.rank_ == 0


def test_events_of_one_in_two_hundred_are_not_predicted_at_their_share_without_a_word():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(2000, 5))
    Y = (X @ rng.normal(size=(5, 3)) + rng.normal(size=(2000, 3)) > 7.0).astype(int)
    assert 0 < Y.mean() < 0.01
    with pytest.warns(UserWarning, match="rare classes"):
        model = LowRankClassifier(alpha=0.1).fit(X, Y)
    assert model.rank_ == 0
    assert LowRankClassifier().fit(X, Y).rank_ > 0


def test_nothing_is_said_where_no_strength_would_learn_or_the_part_is_left_out():
    X, y = make_multitask(60, 5, 3, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        LowRankRegressor(alpha=np.inf).fit(X, y)
        LowRankRegressor(alpha=50.0, alpha_common=0.1).fit(X, y)
        LowRankRegressor(alpha=50.0, alpha_own=0.1).fit(X, y)
        LowRankRegressor(alpha=50.0).fit(X, np.ones((60, 2)))
        LowRankRegressor(alpha=50.0).fit(np.ones((60, 2)), y)


# Nothing to learn from


SAY_NOTHING = {"ones": np.ones((40, 3)), "tenths": np.full((40, 3), 0.1), "zeros": np.zeros((40, 3))}


@pytest.mark.parametrize("X", [*SAY_NOTHING.values(), csr_matrix((40, 3))], ids=[*SAY_NOTHING, "sparse zeros"])
@pytest.mark.parametrize("scale_features", [True, False])
def test_features_that_say_nothing_are_one_candidate_without_a_warning(X, scale_features):
    """In the mixed class 37 candidates down to alpha_common=1.7e-298 gave hundreds of overflow warnings."""
    rng = np.random.default_rng(0)
    y = {"a": 5.0 + rng.standard_normal(40), "b": np.arange(40) % 2, "c": rng.integers(0, 4, 40)}
    kinds = {"a": "regression", "b": "binary", "c": "count"}
    model = LowRankMultiTaskCV(kinds=kinds, cv=3, scale_features=scale_features).fit(X, y)
    assert len(model.cv_results_["params"]) == 1
    assert not model.coef_["a"].any()
    assert_allclose(model.intercept_["a"], y["a"].mean())
    assert_allclose(model.predict_proba(X)["b"][:, 1], 0.5)
    assert_allclose(model.predict(X)["c"], y["c"].mean())


@pytest.mark.parametrize("unit", [1e-20, 1.0, 1e20])
def test_targets_that_are_all_alike_are_one_candidate_and_others_in_any_unit_are_not(unit):
    X = np.random.default_rng(0).standard_normal((40, 3))
    options = {"cv": 3, "scale_targets": None}
    alike = LowRankRegressorCV(**options).fit(X, unit * np.full((40, 2), [0.1, 7.0]))
    assert len(alike.cv_results_["params"]) == 1
    assert_allclose(alike.predict(X), unit * np.full((40, 2), [0.1, 7.0]))
    other = LowRankRegressorCV(**options).fit(X, unit * (X[:, :2] + 0.1 * X[:, 1:]))
    assert other.score(X, unit * (X[:, :2] + 0.1 * X[:, 1:])) > 0.9


def test_without_an_intercept_a_constant_column_says_something():
    y = 3.0 + np.random.default_rng(0).standard_normal((40, 2))
    model = LowRankRegressorCV(fit_intercept=False, cv=3).fit(np.ones((40, 1)), y)
    assert_allclose(model.predict(np.ones((1, 1))), y.mean(axis=0, keepdims=True), rtol=0.1)


def test_a_part_that_is_demanded_is_there_where_features_say_nothing():
    y = np.random.default_rng(0).standard_normal((40, 2))
    model = LowRankRegressorCV(alpha=[0.1, 1.0], alpha_own=[0.1, 2.0], cv=3).fit(np.ones((40, 2)), y)
    assert (model.alpha_, model.alpha_own_, model.alpha_common_) == (1.0, 2.0, None)
