"""`alpha_intercept`: where it is allowed, what it gives, and that everything else goes along with it."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize
from sklearn.base import clone
from sklearn.model_selection import KFold

from skmtl import (
    GroupedTasks,
    LowRankClassifier,
    LowRankMultiTask,
    LowRankRegressor,
    LowRankRegressorCV,
    TaskTargets,
    transfer_report,
)
from skmtl.intercepts import InterceptRidge
from skmtl.tasks import Task, TaskData
from skmtl.tuning.scales import moderated_scales

SHARED_LINE = {"alpha": np.inf, "alpha_common": 1e-9, "tol": 1e-12}
FEW = {"n_components": 1, "alpha": np.inf, "alpha_common": [0.1], "alpha_own": None, "cv": 3}


def schools(seed=0, n_tasks=10, n_rows=3, n_features=2, level=1.0, noise=1.0):
    """Long form, the task in the last column: one line, levels that differ, features far from zero."""
    rng = np.random.default_rng(seed)
    t = rng.permutation(np.repeat(np.arange(n_tasks), n_rows))
    X = rng.normal(size=(len(t), n_features)) + 3.0
    y = X @ np.arange(1.0, n_features + 1) + level * rng.normal(size=n_tasks)[t] + noise * rng.normal(size=len(t))
    return np.column_stack([X, t]), y


def by_task(X, y):
    """The same as own rows."""
    tasks = [f"s{int(t)}" for t in np.unique(X[:, -1])]
    rows = [X[:, -1] == t for t in np.unique(X[:, -1])]
    return {n: X[r, :-1] for n, r in zip(tasks, rows)}, {n: y[r] for n, r in zip(tasks, rows)}


def stacked(X, y):
    """The same as one X and one column per task, with gaps."""
    table = np.full((len(y), int(X[:, -1].max()) + 1), np.nan)
    table[np.arange(len(y)), X[:, -1].astype(int)] = y
    return X[:, :-1], table


# ---- what it is


@pytest.mark.parametrize("ratio", [0.1, 1.0, 30.0])
def test_predictions_are_those_of_the_mixed_model_at_its_ratio_of_variances(ratio):
    """Henderson's mixed model equations on explicit dummy columns: noise / variance of the levels = ratio."""
    X, y = schools()
    levels = (X[:, -1:] == np.arange(10)).astype(float)
    design = np.column_stack([np.ones(len(y)), X[:, :-1], levels])
    penalty = np.diag([0.0, 0.0, 0.0] + [ratio] * 10)
    fitted = design @ np.linalg.solve(design.T @ design + penalty, design.T @ y)
    # F divides the sum of losses by the mean number of rows, three.
    model = LowRankRegressor(task_col=2, alpha_intercept=ratio / 3, scale_targets=None, **SHARED_LINE).fit(X, y)
    np.testing.assert_allclose(model.predict(X), fitted, rtol=1e-6)
    levels_at_mean = [X[:, :-1].mean(axis=0) @ model.coef_[t] + model.intercept_[t] for t in model.tasks_]
    assert model.intercept_mean_ == pytest.approx(np.mean(levels_at_mean))


def test_predictions_are_those_of_statsmodels_at_the_variances_that_it_finds():
    MixedLM = pytest.importorskip("statsmodels.regression.mixed_linear_model").MixedLM
    X, y = schools(seed=3, n_rows=8)
    design = np.column_stack([np.ones(len(y)), X[:, :-1]])
    found = MixedLM(y, design, X[:, -1]).fit()
    ratio = found.scale / float(found.cov_re[0, 0])
    model = LowRankRegressor(task_col=2, alpha_intercept=ratio / 8, scale_targets=None, **SHARED_LINE).fit(X, y)
    np.testing.assert_allclose(model.predict(X), found.fittedvalues, rtol=1e-5)


def few_rows(seed, scales):
    """Numbers in ten tasks of three rows, of these deviations."""
    rng = np.random.default_rng(seed)
    y, task_of_row = rng.normal(size=30) * np.repeat(scales, 3), np.repeat(np.arange(10), 3)
    return TaskData(rng.normal(size=(30, 2)), tuple(Task(t, "regression") for t in range(10)), y, task_of_row)


def test_three_rows_do_not_say_that_tasks_differ_in_noise_unless_they_clearly_do():
    # In units that differ by chance, the tasks whose three targets happen to agree decide every choice.
    alike = [np.ptp(moderated_scales(few_rows(seed, np.ones(10)))) == 0 for seed in range(100)]
    assert np.mean(alike) > 0.95
    ratios = []
    for seed in range(20):
        scales = moderated_scales(few_rows(seed, np.repeat([1.0, 1000.0], 5)))
        ratios.append(np.exp(np.mean(np.log(scales[5:])) - np.mean(np.log(scales[:5]))))
    assert np.exp(np.mean(np.log(ratios))) == pytest.approx(1000.0, rel=0.5)


@pytest.mark.slow
def test_ten_tasks_of_three_rows_are_predicted_as_by_statsmodels_mixed_model():
    """Held-out squared errors over eight draws: 3.25 against 3.14, and 4.18 with free intercepts."""
    MixedLM = pytest.importorskip("statsmodels.regression.mixed_linear_model").MixedLM
    errors = []
    for seed in range(8):
        X, y = schools(seed, n_rows=200, level=3.0, noise=1.5)
        seen = np.concatenate([np.flatnonzero(X[:, -1] == t)[:3] for t in range(10)])
        held_out = np.setdiff1d(np.arange(len(y)), seen)
        line = np.column_stack([np.ones(len(y)), X[:, :-1]])
        mixed = MixedLM(y[seen], line[seen], X[seen, -1]).fit()
        levels = np.array([np.ravel(mixed.random_effects[t])[0] for t in range(10)])
        by_mixed = line @ mixed.fe_params + levels[X[:, -1].astype(int)]
        tied, free = (
            LowRankRegressorCV(task_col=2, alpha_intercept=ties).fit(X[seen], y[seen]).predict(X)
            for ties in ("auto", None)
        )
        errors.append([np.mean((y - one)[held_out] ** 2) for one in (by_mixed, tied, free)])
    of_mixed, of_tied, of_free = np.mean(errors, axis=0)
    assert of_tied < 1.05 * of_mixed
    assert of_tied < 0.85 * of_free


def test_a_strong_tie_is_one_intercept_and_a_weak_one_leaves_them_free():
    X, y = schools()
    strong = LowRankRegressor(task_col=2, alpha_intercept=1e7, **SHARED_LINE).fit(X, y)
    pooled = np.linalg.lstsq(np.column_stack([np.ones(len(y)), X[:, :-1]]), y, rcond=None)[0]
    np.testing.assert_allclose(list(strong.intercept_.values()), pooled[0], rtol=1e-4)
    parts = {"task_col": 2, "alpha": 0.3, "alpha_common": 0.1, "alpha_own": 0.2, "tol": 1e-10}
    weak = LowRankRegressor(alpha_intercept=1e-10, **parts).fit(X, y)
    np.testing.assert_allclose(weak.predict(X), LowRankRegressor(**parts).fit(X, y).predict(X), rtol=1e-5)


@pytest.mark.parametrize("loss", ["squared", "poisson"])
def test_moving_a_feature_changes_nothing(loss):
    X, y = schools(n_features=3)
    y = np.maximum(np.round(np.abs(y)), 0.0) if loss == "poisson" else y
    moved = X + np.array([1000.0, -50.0, 7.0, 0.0])
    model = LowRankRegressor(
        loss=loss, task_col=3, alpha=0.3, alpha_common=0.2, alpha_own=0.5, alpha_intercept=0.4, tol=1e-10
    )
    one, other = clone(model).fit(X, y), clone(model).fit(moved, y)
    np.testing.assert_allclose(other.predict(moved), one.predict(X), rtol=1e-5)
    assert other.intercept_mean_ == pytest.approx(one.intercept_mean_, rel=1e-6)
    assert other.objective_ == pytest.approx(one.objective_, rel=1e-8)


def test_the_unit_of_the_targets_changes_nothing():
    X, y = schools()
    model = LowRankRegressor(task_col=2, alpha=0.3, alpha_common=0.2, alpha_intercept=0.4, tol=1e-10)
    one, other = clone(model).fit(X, y), clone(model).fit(X, 1e5 * y)
    np.testing.assert_allclose(other.predict(X), 1e5 * one.predict(X), rtol=1e-6)


@pytest.mark.parametrize("loss", ["squared", "poisson", "logistic"])
def test_own_rows_long_form_and_gaps_are_one_model(loss):
    X, y = schools(n_rows=6)
    shared = {"alpha": 0.2, "alpha_common": 0.3, "alpha_own": 0.4, "alpha_intercept": 0.5, "tol": 1e-10}
    if loss == "logistic":
        y = (y > np.median(y)).astype(float)
        y[[np.flatnonzero(X[:, -1] == t)[0] for t in range(10)]] = 0.0
        y[[np.flatnonzero(X[:, -1] == t)[1] for t in range(10)]] = 1.0
        model = LowRankClassifier(**shared)
    else:
        y = np.round(np.abs(y)) if loss == "poisson" else y
        model = LowRankRegressor(loss=loss, **shared)
    tables, table = by_task(X, y), stacked(X, y)
    long = clone(model).set_params(task_col=2).fit(X, y)
    own, gaps = clone(model).fit(*tables), clone(model).fit(*table)
    expected = np.array([long.coef_[t] for t in long.tasks_]).reshape(10, -1)
    np.testing.assert_allclose(np.array([own.coef_[f"s{t}"] for t in range(10)]).reshape(10, -1), expected, atol=1e-6)
    np.testing.assert_allclose(np.array(gaps.coef_).reshape(10, -1), expected, atol=1e-6)
    assert own.intercept_mean_ == pytest.approx(long.intercept_mean_, abs=1e-6)
    assert gaps.dual_gap_ <= 1e-6 * abs(gaps.objective_)


# ---- where it is allowed


@pytest.mark.parametrize(
    ("estimator", "y", "says"),
    [
        (LowRankRegressor(), {"a": [1.0, 2.0, 3.5], "b": [np.nan, 1.5, np.nan]}, "row 1 has a target of task 'a'"),
        (LowRankRegressor(fit_intercept=False), [1.0, 2.0, 3.5], "fit_intercept=False"),
        (LowRankClassifier(), {"a": [0, 1, 2]}, "3 classes"),
    ],
    ids=["two targets", "no intercept", "multiclass"],
)
def test_it_is_refused_with_the_reason(estimator, y, says):
    X = np.arange(6.0).reshape(3, 2)
    with pytest.raises(ValueError, match=r"alpha_intercept=0\.5") as caught:
        estimator.set_params(alpha_intercept=0.5).fit(X, y)
    assert says in str(caught.value)
    assert not hasattr(estimator, "coef_")


def test_tasks_of_two_kinds_or_of_other_classes_are_refused_by_name():
    X = {"a": np.arange(8.0).reshape(4, 2), "b": np.arange(8.0).reshape(4, 2)}
    mixed = {"a": [0.5, 1.5, 2.5, 3.7], "b": ["n", "y", "n", "y"]}
    with pytest.raises(ValueError, match=r"task 'a' is of numbers and task 'b' is of the classes \['n', 'y'\]"):
        LowRankMultiTask(alpha_intercept=1.0).fit(X, mixed)
    other = {"a": ["l", "r", "l", "r"], "b": ["n", "y", "n", "y"]}
    with pytest.raises(ValueError, match="one kind and unit"):
        LowRankClassifier(alpha_intercept=1.0).fit(X, other)


@pytest.mark.parametrize("value", [0, -1.0, np.inf, np.nan, "auto", True, [0.1]])
def test_it_is_a_positive_number_or_none(value):
    with pytest.raises(ValueError, match="alpha_intercept"):
        LowRankRegressor(alpha_intercept=value).fit(np.eye(3), [1.0, 2.0, 4.0])


def test_the_tuned_class_leaves_intercepts_free_where_they_cannot_be_tied():
    rng = np.random.default_rng(0)
    X, Y = rng.normal(size=(30, 3)), rng.normal(size=(30, 2))
    model = LowRankRegressorCV(**FEW).fit(X, Y)
    assert model.alpha_intercept_ is None
    assert model.best_params_["alpha_intercept"] is None
    assert model.intercept_mean_ is None
    with pytest.raises(ValueError, match="row 0 has a target"):
        LowRankRegressorCV(**FEW, alpha_intercept=[None, 1.0]).fit(X, Y)


# ---- what goes along


def test_an_unseen_task_is_answered_by_the_mean_intercept_and_the_common_part():
    X, y = schools()
    new = np.array([[2.0, 5.0, 99], [0.0, 0.0, 98]])
    plain = LowRankRegressor(task_col=2, alpha=0.2, alpha_intercept=0.5).fit(X, y)
    np.testing.assert_allclose(plain.predict(new), plain.intercept_mean_)
    model = LowRankRegressor(task_col=2, alpha=0.2, alpha_common=0.01, alpha_intercept=0.5).fit(X, y)
    expected = model.intercept_mean_ + (new[:, :-1] - X[:, :-1].mean(axis=0)) @ model.common_
    np.testing.assert_allclose(model.predict(new), expected)
    with pytest.raises(ValueError, match="did not see"):
        LowRankRegressor(task_col=2, alpha=0.2).fit(X, y).predict(new)


def test_new_tasks_are_shrunk_to_the_mean_however_many_come_at_once():
    X, y = schools(n_rows=12)
    model = LowRankRegressor(alpha_intercept=0.5, alpha=np.inf, alpha_common=0.1, scale_targets=None)
    tables, targets = by_task(X, y)
    rng = np.random.default_rng(5)
    X_new = {"few": rng.normal(size=(2, 2)), "many": rng.normal(size=(500, 2))}
    y_new = {"few": np.full(2, 60.0), "many": np.full(500, 60.0)}
    together, alone = (clone(model).fit(tables, targets) for _ in range(2))
    centre, m, b = X[:, :-1].mean(axis=0), together.common_, together.intercept_mean_
    together.add_tasks(X_new, y_new)
    alone.add_tasks({"few": X_new["few"]}, {"few": y_new["few"]})
    for task, n in (("few", 2), ("many", 500)):
        residual = np.mean(60.0 - (X_new[task] - centre) @ m)
        expected = (n * residual + 0.5 * 12 * b) / (n + 0.5 * 12)
        assert together.intercept_[task] + centre @ m == pytest.approx(expected)
    assert alone.intercept_["few"] == pytest.approx(together.intercept_["few"])
    with pytest.raises(ValueError, match="alpha_intercept"):
        LowRankMultiTask(alpha_intercept=0.5).fit(tables, targets).add_tasks({"c": np.eye(2)}, {"c": ["u", "v"]})


@pytest.mark.parametrize(
    "options",
    [
        {"factor_prior": "learned"},
        {"feature_prior": "learned"},
        {"own_penalty": "group", "alpha_own": 0.3},
        {"scale_features": True, "alpha_own": 0.3},
        {"scale_targets": "residual"},
        {"task_weight": "balanced"},
    ],
    ids=lambda options: next(iter(options)),
)
def test_other_options_split_and_warm_start_go_along(options):
    X, y = schools(n_rows=7)
    tables, targets = by_task(X, y)
    model = LowRankRegressor(n_components=1, alpha=0.1, alpha_intercept=0.5, warm_start=True, **options)
    model.fit(tables, targets)
    first = model.predict(tables)
    for task, predictor in model.split().items():
        np.testing.assert_allclose(predictor.predict(tables[task]), first[task])
    again = model.fit(tables, targets).predict(tables)
    for task in tables:
        np.testing.assert_allclose(again[task], first[task], rtol=1e-3)
    assert model.predict(tables, return_std=True)[1]["s0"].min() > 0


def test_the_uncertainty_of_the_intercepts_is_that_of_the_mixed_model():
    """The inverse of Henderson's equations, the mean eliminated; it reaches `return_std`."""
    rows, strength = np.array([1.0, 3.0, 8.0, 40.0]), 2.5
    centring = np.eye(4) - 0.25
    expected = np.diag(np.linalg.inv(np.diag(rows) + strength * centring))
    np.testing.assert_allclose(InterceptRidge(strength).variances(rows), expected)
    hat = np.linalg.solve(np.diag(rows) + strength * centring, np.diag(rows))
    np.testing.assert_allclose(InterceptRidge(strength).freedom(rows), np.diag(hat))
    X, y = schools(n_tasks=40, n_rows=2, level=0.3)
    model = LowRankRegressor(task_col=2, alpha=np.inf, scale_targets=None)
    free = model.fit(X, y).predict(X, return_std=True)[1].mean()
    tied = model.set_params(alpha_intercept=5.0).fit(X, y).predict(X, return_std=True)[1].mean()
    assert tied < 0.9 * free


def test_logistic_levels_are_the_penalised_likelihood():
    X, y = schools(n_rows=8)
    labels = (y > np.median(y)).astype(int)
    labels[[np.flatnonzero(X[:, -1] == t)[0] for t in range(10)]] = 0
    labels[[np.flatnonzero(X[:, -1] == t)[1] for t in range(10)]] = 1
    t = X[:, -1].astype(int)

    def F(b):
        return np.sum(np.logaddexp(0, b[t]) - labels * b[t]) / 8 + 0.15 * np.sum((b - b.mean()) ** 2)

    model = LowRankClassifier(task_col=2, alpha=np.inf, alpha_intercept=0.3, tol=1e-12).fit(X, labels)
    found = minimize(F, np.zeros(10), method="BFGS", options={"gtol": 1e-9})
    np.testing.assert_allclose(np.ravel([model.intercept_[t] for t in model.tasks_]), found.x, atol=1e-5)
    assert model.objective_ == pytest.approx(found.fun, rel=1e-9)


def test_groups_take_it():
    X, y = schools(n_tasks=6, n_rows=8)
    tables, targets = by_task(X, y)
    grouped = GroupedTasks(LowRankRegressor(n_components=1, alpha=0.1, alpha_intercept=0.5), n_groups=1)
    plain = LowRankRegressor(n_components=1, alpha=0.1, alpha_intercept=0.5)
    np.testing.assert_allclose(
        grouped.fit(tables, targets).predict(tables)["s1"], plain.fit(tables, targets).predict(tables)["s1"], rtol=1e-6
    )


@pytest.mark.slow
def test_a_report_compares_with_free_and_with_pooled_tied_intercepts():
    X, y = schools(n_tasks=6, n_rows=9, level=0.3)
    model = LowRankRegressor(n_components=1, alpha=0.1, alpha_intercept=0.5, task_col=2)
    models = transfer_report(model, X, y, cv=KFold(3, shuffle=True, random_state=0)).estimators
    assert models["joint"].alpha_intercept == 0.5
    assert models["independent"].alpha_intercept is None
    assert models["pooled"].alpha_intercept == "auto"


def test_grid_and_plain_class_agree():
    X, y = schools(n_tasks=8, n_rows=6)
    grid = FEW | {"alpha_intercept": [None, 0.3, 3.0], "task_col": 2, "guard": False}
    tuned = LowRankRegressorCV(**grid).fit(X, y)
    assert set(tuned.cv_results_["param_alpha_intercept"]) == {None, 0.3, 3.0}
    plain = LowRankRegressor(task_col=2, **tuned.best_params_).fit(X, y)
    np.testing.assert_allclose(plain.predict(X), tuned.predict(X), rtol=1e-6)
    targets = TaskTargets({f"s{int(t)}": np.where(X[:, -1] == t, y, np.nan) for t in range(8)})
    assert LowRankRegressorCV(**FEW | {"alpha_intercept": [0.3]}).fit(X[:, :-1], targets).alpha_intercept_ == 0.3
