"""The tuned estimators: what they choose, what they report, that they lose to neither independent nor pooled models."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, GroupKFold, KFold, LeaveOneOut, ShuffleSplit, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmtl import (
    LowRankClassifierCV,
    LowRankMultiTaskCV,
    LowRankRegressor,
    LowRankRegressorCV,
    MultiTaskScorer,
    TaskTargets,
    stack_tasks,
)
from skmtl.datasets import make_multitask
from skmtl.tuning import evaluation

KINDS = {"a": "regression", "b": "binary", "c": "multiclass", "d": "count"}
#: Few candidates, where the search itself is not what a test is about.
FEW = {
    "n_components": [1, 2],
    "alpha": [0.3, 0.05],
    "alpha_common": None,
    "alpha_own": [None, 0.5],
    "factor_prior": "ridge",
    "cv": 3,
}


def excess_risk(model, truth):
    """Mean over tasks of the squared error of coefficients and intercept, for standard normal features."""
    return np.mean(
        [
            np.sum((model.coef_[t] - truth.coef[t]) ** 2) + (model.intercept_[t] - truth.intercept[t]) ** 2
            for t in model.tasks_
        ]
    )


def planted(seed, **options):
    return make_multitask(own_rows=True, return_truth=True, random_state=seed, **options)


# What is chosen


def test_lists_are_tried_in_all_combinations():
    X, y = make_multitask(60, 8, 4, random_state=0)
    model = LowRankRegressorCV(**FEW).fit(X, y)
    results = model.cv_results_
    assert len(results["params"]) == 8
    # The best, or a model of fewer parts within a standard error of it.
    best = np.argmax(results["mean_test_score"])
    folds = np.array([results[f"split{k}_test_score"] for k in range(3)])
    difference = folds[:, best] - folds[:, model.best_index_]
    assert difference.mean() <= difference.std(ddof=1) / np.sqrt(3)
    assert model.best_score_ == results["mean_test_score"][model.best_index_]
    chosen = {name: getattr(model, f"{name}_") for name in model.best_params_}
    assert chosen == model.best_params_ == results["params"][model.best_index_]


def test_the_final_model_is_the_plain_estimator_at_the_chosen_values():
    X, y = make_multitask(60, 8, 4, random_state=1)
    model = LowRankRegressorCV(**FEW, guard=False).fit(X, y)
    plain = LowRankRegressor(**model.best_params_).fit(X, y)
    for task in y:
        np.testing.assert_allclose(model.coef_[task], plain.coef_[task], rtol=1e-6, atol=1e-8)


def test_scores_are_those_of_a_cross_validation_by_hand():
    X, y = make_multitask(60, 8, 4, missing=0.3, random_state=2)
    cv = KFold(3, shuffle=True, random_state=0)
    # Features as given: by hand every training part would have deviations of its own.
    given = {"n_components": 2, "alpha_own": None, "cv": cv, "scale_features": False}
    model = LowRankRegressorCV(**FEW | given).fit(X, y)
    deviations = {task: np.nanstd(y[task]) for task in y}
    for number, params in enumerate(model.cv_results_["params"]):
        for fold, (train, test) in enumerate(cv.split(X)):
            fitted = LowRankRegressor(**params).fit(X[train], y[train])
            predicted = fitted.predict(X[test])
            losses = np.concatenate([0.5 * ((y[test][task] - predicted[task]) / deviations[task]) ** 2 for task in y])
            # Fits on folds stop at a relative 1e-4.
            by_hand = -np.nanmean(losses)
            assert model.cv_results_[f"split{fold}_test_score"][number] == pytest.approx(by_hand, rel=2e-3)


def test_scoring_by_name_is_the_mean_over_tasks_of_that_metric():
    X, y = make_multitask(60, 8, 4, random_state=3)
    cv = KFold(3)
    model = LowRankRegressorCV(**FEW | {"cv": cv}, scoring="r2").fit(X, y)
    search = GridSearchCV(
        LowRankRegressor(alpha_common=None),
        {"n_components": [1, 2], "alpha": [0.3, 0.05], "alpha_own": [None, 0.5]},
        cv=cv,
        scoring=MultiTaskScorer(dict.fromkeys(y, "r2")),
        refit="mean",
    ).fit(X, y)
    assert model.best_score_ == pytest.approx(search.best_score_, abs=2e-3)
    assert model.cv_results_["mean_test_task_0"][model.best_index_] == pytest.approx(
        search.cv_results_["mean_test_task_0"][search.best_index_], abs=5e-3
    )


SLOW = pytest.mark.slow


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=SLOW), pytest.param(2, marks=SLOW)])
def test_the_planted_rank_is_found(seed):
    X, y, _ = planted(seed, n_samples=100, n_features=28, n_tasks=139, n_components=5)
    model = LowRankRegressorCV(alpha_common=None, alpha_own=None).fit(X, y)
    assert model.n_components_ == 5


def test_of_a_grid_the_best_is_taken_whatever_its_parts():
    X, y = make_multitask(60, 8, 6, n_components=2, own=0.3, random_state=4)
    grid = {"n_components": [2], "alpha": [0.02], "alpha_common": [None, 10.0], "alpha_own": [None, 1.0, 0.3]}
    model = LowRankRegressorCV(**grid, factor_prior="auto", feature_prior=["ridge", "learned"]).fit(X, y)
    assert model.cv_results_["rank_test_score"][model.best_index_] == 1
    assert model.alpha_own_ is not None


def test_one_standard_error_takes_a_simpler_model_that_is_nearly_as_good():
    X, y = make_multitask(50, 10, 6, n_components=2, noise=2.0, random_state=0)
    grid = {
        "n_components": [1, 2, 4],
        "alpha": [1.0, 0.3, 0.1],
        "alpha_common": None,
        "alpha_own": None,
        "factor_prior": "ridge",
        "cv": 5,
    }
    best = LowRankRegressorCV(**grid).fit(X, y)
    simple = LowRankRegressorCV(**grid, one_standard_error=True).fit(X, y)
    scores = best.cv_results_
    folds = np.array([scores[f"split{k}_test_score"][best.best_index_] for k in range(5)])
    assert simple.best_score_ >= best.best_score_ - folds.std(ddof=1) / np.sqrt(5)
    assert (simple.n_components_, -simple.alpha_) <= (best.n_components_, -best.alpha_)


def test_what_is_fixed_stays_fixed():
    X, y = make_multitask(60, 8, 4, random_state=0)
    model = LowRankRegressorCV(n_components=2, alpha=0.1, alpha_common=None, cv=3).fit(X, y)
    assert {(one["n_components"], one["alpha"], one["alpha_common"]) for one in model.cv_results_["params"]} == {
        (2, 0.1, None)
    }


def test_a_learned_prior_is_taken_where_it_lowers_the_held_out_loss():
    X, y = make_multitask(12, 10, 40, n_components=2, own_rows=True, common=1.0, random_state=0)
    free = {"n_components": 3, "alpha": 0.05, "alpha_common": None, "alpha_own": None, "cv": 3}
    model = LowRankRegressorCV(**free).fit(X, y)
    scores = dict(zip(model.cv_results_["param_factor_prior"], model.cv_results_["mean_test_score"]))
    assert set(scores) == {"ridge", "learned"}
    assert model.factor_prior_ == max(scores, key=scores.get) == "learned"
    plain = LowRankRegressor(**model.best_params_).fit(X, y)
    np.testing.assert_allclose(model.coef_["task_0"], plain.coef_["task_0"])


@pytest.mark.slow
@pytest.mark.parametrize("priors", [["ridge", "learned"], ["learned", "ridge"]])
def test_a_list_of_both_priors_is_a_free_choice(priors):
    X, y = make_multitask(12, 10, 20, n_components=2, own_rows=True, random_state=0)
    free = {"n_components": 2, "alpha_common": None, "alpha_own": None, "cv": 3}
    listed, auto = (LowRankRegressorCV(factor_prior=prior, **free).fit(X, y) for prior in (priors, "auto"))
    assert listed.cv_results_["params"] == auto.cv_results_["params"]
    assert set(listed.cv_results_["param_factor_prior"]) == {"ridge", "learned"}


def test_free_strengths_are_stated_for_all_rows_and_given_ones_are_taken_as_they_are():
    X, y = make_multitask(60, 8, 4, random_state=1)
    free = {"n_components": 2, "alpha_common": None, "alpha_own": 0.3, "factor_prior": "ridge", "guard": False}
    given = {"feature_prior": "ridge", "scale_features": False}
    model = LowRankRegressorCV(**free, **given, cv=KFold(4), scoring="r2").fit(X, y)
    assert model.alpha_ == model.best_params_["alpha"]
    assert model.alpha_own_ == 0.3
    plain = LowRankRegressor(**model.best_params_).fit(X, y)
    np.testing.assert_allclose(model.coef_["task_0"], plain.coef_["task_0"])
    # On three quarters of the rows the same prior weighs a third more in a mean over rows.
    on_folds = LowRankRegressor(n_components=2, alpha=model.alpha_ / 0.75, alpha_own=0.3)
    by_hand = cross_val_score(on_folds, X, y, cv=KFold(4))
    scores = [model.cv_results_[f"split{fold}_test_score"][model.best_index_] for fold in range(4)]
    np.testing.assert_allclose(scores, by_hand, atol=1e-3)  # fits on folds stop at 1e-4
    as_stated = cross_val_score(on_folds.set_params(alpha=model.alpha_), X, y, cv=KFold(4))
    assert np.abs(as_stated - scores).max() > 1e-3


# Never behind independent or pooled models


@pytest.mark.slow
def test_where_nothing_is_shared_little_is_lost_against_tuned_independent_ridge():
    # Test mean squared errors, noise included, over ten draws.
    ours, independent = [], []
    for seed in range(10):
        X, y, truth = planted(seed, n_samples=40, n_features=15, n_tasks=30, n_components=1, n_outliers=30)
        ours.append(1 + excess_risk(LowRankRegressorCV().fit(X, y), truth))
        alone = LowRankRegressorCV(alpha=np.inf, alpha_common=None).fit(X, y)
        independent.append(1 + excess_risk(alone, truth))
    assert np.mean(ours) <= 1.01 * np.mean(independent)


@pytest.mark.slow
def test_where_all_tasks_are_the_same_little_is_lost_against_a_pooled_model():
    ours, pooled = [], []
    for seed in range(10):
        rng = np.random.RandomState(seed)
        coef = rng.standard_normal(15) / np.sqrt(15)
        X = {t: rng.standard_normal((20, 15)) for t in range(20)}
        y = {t: X[t] @ coef + rng.standard_normal(20) for t in X}
        model = LowRankRegressorCV().fit(X, y)
        ours.append(1 + np.mean([np.sum((model.coef_[t] - coef) ** 2) + model.intercept_[t] ** 2 for t in X]))
        # An intercept per task is what pooled models keep here too.
        one = LowRankRegressorCV(alpha=np.inf, alpha_own=None).fit(X, y)
        pooled.append(1 + np.mean([np.sum((one.coef_[t] - coef) ** 2) + one.intercept_[t] ** 2 for t in X]))
    assert np.mean(ours) <= 1.01 * np.mean(pooled)


def test_a_guarded_task_has_an_independent_model_and_no_factors():
    rng = np.random.RandomState(0)
    X = {t: rng.standard_normal((9 if t != "odd" else 60, 6)) for t in [*range(60), "odd"]}
    coef = {t: np.r_[2.0, np.zeros(5)] if t != "odd" else np.r_[0, 0, 0, 0, 0.6, -0.6] for t in X}
    y = {t: X[t] @ coef[t] + rng.standard_normal(len(X[t])) for t in X}
    # An own part strong enough for the odd task costs the others, with their few rows, more than it gives.
    free = {"n_components": 1, "alpha_common": None, "alpha_own": [None, 0.5], "alpha": [0.3, np.inf]}
    model = LowRankRegressorCV(**free, cv=4, scale_targets=None).fit(X, y)
    assert model.guarded_ == ["odd"]
    assert np.all(model.factors_["odd"] == 0)
    np.testing.assert_allclose(model.own_["odd"][:, 0], model.coef_["odd"])
    assert LowRankRegressorCV(**free, cv=4, guard=False).fit(X, y).guarded_ == []


# Forms, folds and the rest of scikit-learn


def test_own_rows_stacked_targets_and_long_form_choose_the_same():
    X, y = make_multitask(20, 6, 4, own_rows=True, random_state=0)
    stacked, targets = stack_tasks(X, y)
    label = np.repeat(np.arange(4), 20)
    long = np.column_stack([stacked, label])
    flat = np.concatenate(list(y.values()))
    cv = list(GroupKFold(4).split(stacked, groups=np.tile(np.arange(20) % 4, 4)))
    chosen = [
        LowRankRegressorCV(**FEW | {"cv": cv}).fit(X, y),
        LowRankRegressorCV(**FEW | {"cv": cv}).fit(stacked, targets),
        LowRankRegressorCV(**FEW | {"cv": cv}, task_col=6).fit(long, flat),
    ]
    for other in chosen[1:]:
        assert other.best_params_ == chosen[0].best_params_
        np.testing.assert_allclose(
            other.cv_results_["mean_test_score"], chosen[0].cv_results_["mean_test_score"], rtol=1e-4
        )


@pytest.mark.parametrize("kind", ["dense", "csr", "wide"])
def test_every_kind_of_table(kind):
    from scipy import sparse

    X, y = make_multitask(40, 60 if kind == "wide" else 6, 3, random_state=0)
    model = LowRankRegressorCV(**FEW).fit(sparse.csr_matrix(X) if kind == "csr" else X, y)
    assert model.predict(X)["task_0"].shape == (40,)


def test_mixed_kinds_with_gaps():
    X, y = make_multitask(80, 6, kinds=KINDS, missing=0.2, random_state=0)
    model = LowRankMultiTaskCV(kinds={"d": "count"}, **FEW).fit(X, y)
    assert set(model.predict(X)) == set(KINDS)
    assert np.isfinite(model.cv_results_["mean_test_b"]).all()


def test_every_strength_is_chosen_for_classes_too():
    X, y = make_multitask(80, 5, 4, kinds="binary", random_state=0)
    model = LowRankClassifierCV(cv=3).fit(X, y)
    tried = model.cv_results_["params"]
    assert any(np.isinf(one["alpha"]) and one["alpha_own"] is not None for one in tried)
    assert any(np.isinf(one["alpha"]) and one["alpha_common"] is not None for one in tried)
    assert any(np.isfinite(one["alpha"]) for one in tried)


@pytest.mark.parametrize(
    "cv", [3, KFold(3, shuffle=True, random_state=0), ShuffleSplit(3, random_state=0), LeaveOneOut()]
)
def test_any_splitter(cv):
    X, y = make_multitask(12, 3, 3, random_state=0)
    model = LowRankRegressorCV(**FEW | {"cv": cv}).fit(X, y)
    assert model.n_splits_ == (12 if isinstance(cv, LeaveOneOut) else 3)


def test_groups_reach_the_splitter():
    X, y = make_multitask(30, 4, 3, random_state=0)
    groups = np.arange(30) % 3
    by_groups = LowRankRegressorCV(**FEW | {"cv": GroupKFold(3)}).fit(X, y, groups=groups)
    by_splits = LowRankRegressorCV(**FEW | {"cv": list(GroupKFold(3).split(X, groups=groups))}).fit(X, y)
    assert by_groups.best_score_ == by_splits.best_score_


@pytest.mark.parametrize("alpha", [0, [0, 0.1], [0.1, 0, np.inf]])
def test_no_penalty_at_all_is_a_strength_like_others(alpha):
    X, y = make_multitask(30, 4, 3, noise=0.1, random_state=0)
    free = LowRankRegressorCV(alpha=alpha, alpha_common=None, alpha_own=None, cv=2).fit(X, y)
    assert free.alpha_ in (0, 0.1)
    assert 0 in {parameters["alpha"] for parameters in free.cv_results_["params"]}
    grid = LowRankRegressorCV(**FEW | {"alpha": alpha, "factor_prior": ["ridge", "learned"]}).fit(X, y)
    assert np.isfinite(grid.coef_["task_0"]).all()


def test_the_guard_stops_where_no_fold_can_judge_the_tasks_that_are_left():
    X, y = make_multitask(150, 4, 3, n_components=1, n_outliers=3, signal=2.0, random_state=3)
    rare = np.full(150, None, dtype=object)
    rare[[3, 5]] = "a", "b"
    with pytest.warns(UserWarning, match="3 of 4 tasks, more than half, are set apart by the guard"):
        model = LowRankMultiTaskCV(cv=3).fit(X, {**y, "rare": rare})
    assert "rare" not in model.guarded_


def test_a_task_with_fewer_labels_than_folds_sits_out_where_it_has_none():
    X, y = make_multitask(40, 4, 4, random_state=0)
    y["task_3"][2:] = np.nan
    model = LowRankRegressorCV(**FEW | {"cv": KFold(5)}).fit(X, y)  # both labels of task_3 stand in fold 0
    assert np.isnan(model.cv_results_["mean_test_task_3"]).all()
    assert np.isfinite(model.cv_results_["mean_test_score"]).all()
    assert np.isfinite(model.coef_["task_3"]).all()


def test_folds_in_threads_give_the_same_result(monkeypatch):
    monkeypatch.setattr(evaluation, "_WORTH_THREADS", 1)
    X, y = make_multitask(60, 8, 4, random_state=0)
    one, two = LowRankRegressorCV(**FEW).fit(X, y), LowRankRegressorCV(**FEW, n_jobs=2).fit(X, y)
    np.testing.assert_array_equal(one.cv_results_["mean_test_score"], two.cv_results_["mean_test_score"])


def test_it_works_inside_pipelines_and_searches_and_is_cloned():
    X, y = make_multitask(45, 5, 3, random_state=0)
    pipeline = make_pipeline(StandardScaler(), LowRankRegressorCV(**FEW))
    search = GridSearchCV(pipeline, {"lowrankregressorcv__guard": [True, False]}, cv=2).fit(X, TaskTargets(y))
    assert search.best_estimator_[-1].best_score_ < 0
    assert clone(LowRankRegressorCV(**FEW)).get_params()["alpha"] == FEW["alpha"]


def test_without_refit_there_are_results_but_no_model():
    X, y = make_multitask(45, 5, 3, random_state=0)
    model = LowRankRegressorCV(**FEW, refit=False).fit(X, y)
    assert model.alpha_ in FEW["alpha"]
    assert len(model.cv_results_["params"]) == 8
    with pytest.raises(NotFittedError):
        model.predict(X)


def test_without_refit_nothing_of_an_earlier_model_stays():
    X, y = make_multitask(45, 5, 3, random_state=0)
    model = LowRankRegressorCV(**FEW).fit(X, y)
    model.set_params(refit=False).fit(X[:, :4], y)
    assert not hasattr(model, "coef_")
    with pytest.raises(NotFittedError):
        model.predict(X[:, :4])


def test_labels_that_no_fold_can_judge_are_told():
    X = np.random.RandomState(0).standard_normal((20, 3))
    y = {f"t{i}": np.where(np.arange(20) == i, 1.0, np.nan) for i in range(3)}
    with pytest.raises(ValueError, match="No fold can judge a task: each lacks targets, or classes"):
        LowRankRegressorCV(**FEW).fit(X, y)


def test_residual_scales_are_tuned_in_their_own_units():
    X, y = make_multitask(60, 8, 6, noise=[0.2, 0.2, 0.2, 2.0, 2.0, 2.0], random_state=0)
    model = LowRankRegressorCV(scale_targets="residual", alpha_common=None, alpha_own=None, cv=3).fit(X, y)
    assert max(model.target_scale_[f"task_{t}"] for t in range(3)) < min(
        model.target_scale_[f"task_{t}"] for t in range(3, 6)
    )


# Bad questions

WRONG = [
    ({"alpha": []}, "The parameter 'alpha' of LowRankRegressorCV is an empty list; give 'auto', or values to try."),
    (
        {"alpha": [0.1, -1]},
        r"The parameter 'alpha' of LowRankRegressorCV must be 'auto', or a number >= 0 \(infinity: no shared part\), "
        r"or a list of such; got \[0.1, -1\].",
    ),
    ({"n_components": "many"}, "The parameter 'n_components' of LowRankRegressorCV must be 'auto', or an integer >= 1"),
    ({"guard": "yes"}, "The parameter 'guard' of LowRankRegressorCV must be True or False; got 'yes'."),
    ({"cv": 1}, "n_splits"),
    ({"cv": 100}, "fewer than n_splits=100 folds"),
    ({"cv": [([0, 1], [])]}, "Fold 0 of cv=.* has no row to test on."),
    ({"cv": [([0, 1], [2, 99])]}, "Fold 0 of cv=.* names row 99; the rows are 0 to 19."),
    ({"cv": [([0, 1], [-1])]}, "Fold 0 of cv=.* names row -1"),
    ({"cv": [([0, 1], [1, 2])]}, "Fold 0 of cv=.* tests on rows that it trains on."),
    ({"cv": [([0.5], [1])]}, "must hold positions of rows, or masks of 20 rows."),
    ({"cv": [1, 2]}, r"cv must be a number, a splitter or pairs \(train, test\) of rows; got \[1, 2\]."),
    ({"scoring": "accuracy", "cv": 2}, "Task 'task_0' cannot be scored by 'accuracy'"),
    ({"scoring": lambda estimator, X, y: np.nan, "cv": 2}, "scoring gives NaN on every fold"),
    ({"scoring": lambda estimator, X, y: {"a": 1.0}, "cv": 2}, "neither a task nor 'mean'"),
    ({"cv": "kfold"}, r"cv must be a number, a splitter or pairs \(train, test\) of rows; got 'kfold'."),
    ({"cv": 2.5}, r"cv must be a number, a splitter or pairs \(train, test\) of rows; got 2.5."),
    ({"cv": []}, r"cv=\[\] gives no fold at all."),
    ({"scoring": "nonsense"}, "nonsense"),
]


@pytest.mark.parametrize(("wrong", "message"), WRONG, ids=[message[-30:] for _, message in WRONG])
def test_bad_parameters_are_told_before_any_work(wrong, message):
    X, y = make_multitask(20, 3, 2, random_state=0)
    model = LowRankRegressorCV(**wrong)
    with pytest.raises(ValueError, match=message):
        model.fit(X, y)
    assert not hasattr(model, "cv_results_")


@pytest.mark.parametrize("scoring", [3, ["r2"]])
def test_scoring_that_is_no_scorer_is_refused_by_name(scoring):
    X, y = make_multitask(n_samples=30, n_features=3, n_tasks=2, n_components=1, random_state=0)
    with pytest.raises(TypeError, match="scoring must be a metric's name, a dict of them by task, a callable or None"):
        LowRankRegressorCV(scoring=scoring).fit(X, y)


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_columns_that_vary_in_one_fold_only_stop_no_search(seed, fit_intercept):
    rng = np.random.RandomState(seed)
    X = rng.randn(40, 6)
    # The others' moments are the differences of nearly equal numbers.
    X[:, :3] = 10.0 ** rng.uniform(-2, 3, size=3)
    X[3, :3] *= 1.0 + 10.0 ** rng.uniform(-2, 3)
    Y = 1e3 * rng.rand() + X[:, 3:] @ rng.randn(3, 3) + rng.randn(40, 3)
    options = FEW | {"n_components": 3, "alpha_own": None, "cv": KFold(5)}
    model = LowRankRegressorCV(**options, fit_intercept=fit_intercept)
    # Weights per task keep a fit from working on sums over the rows.
    summed, row_by_row = clone(model).fit(X, Y), clone(model).fit(X, Y, sample_weight=np.ones(Y.shape))
    np.testing.assert_allclose(
        summed.cv_results_["mean_test_score"], row_by_row.cv_results_["mean_test_score"], rtol=5e-3
    )


def test_folds_that_do_not_stay_in_memory_give_the_same_result(monkeypatch):
    from skmtl.tuning import folds

    X, y = make_multitask(20, 6, 4, own_rows=True, random_state=0)
    kept = LowRankRegressorCV(cv=3).fit(X, y)
    # Room for one fold of three.
    monkeypatch.setattr(folds, "_KEPT_ELEMENTS", 20 * 4 * 7)
    model = LowRankRegressorCV(cv=3).fit(X, y)
    np.testing.assert_array_equal(model.cv_results_["mean_test_score"], kept.cv_results_["mean_test_score"])
