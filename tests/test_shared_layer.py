"""The shared hidden layer: what it chooses, and that nothing depends on form or units."""

from __future__ import annotations

import copy

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GroupKFold, KFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from skmtl import (
    LowRankClassifierCV,
    LowRankRegressorCV,
    SharedLayerClassifier,
    SharedLayerMultiTask,
    SharedLayerRegressor,
    TaskTargets,
    stack_tasks,
)
from skmtl.transfer.counterparts import compared
from skmtl.transfer.task_table import read_tasks

#: Networks of a moment, where what is chosen is not what a test is about.
SMALL = {"n_hidden": 6, "n_linear": 2, "alpha": 0.03, "cv": 3}


def bent(seed=0, n=150, d=3, noise=0.1):
    """Three numeric tasks on the same rows that share one bend."""
    rng = np.random.default_rng(seed)
    X = rng.uniform(-2, 2, (n, d))
    units = np.column_stack([np.abs(X[:, 0]), X[:, 1]])
    Y = units @ rng.normal(size=(2, 3)) + noise * rng.normal(size=(n, 3))
    return X, Y


def any_kind(seed=0, n=150):
    """One X, and a number, two classes, three classes and a count that share a bend; gaps in all of them."""
    X, _ = bent(seed, n)
    rng = np.random.default_rng(seed + 1)
    raw = 2 * (np.abs(X[:, 0]) - 1) + 0.3 * rng.normal(size=n)
    y = {
        "size": 10.0 * raw + 3,
        "ripe": np.where(raw > 0, "yes", "no").astype(object),
        "kind": np.array(["a", "b", "c"], dtype=object)[np.digitize(raw, [-0.7, 0.7])],
        "seeds": rng.poisson(np.exp(np.clip(raw, -3, 2))).astype(float),
    }
    y["size"][:20] = np.nan
    y["ripe"][20:40] = None
    y["kind"][40:60] = None
    y["seeds"][60:80] = np.nan
    return X, y


# What is chosen


def test_a_bend_is_found_and_the_linear_model_left_behind():
    X, Y = bent(n=300)
    model = SharedLayerRegressor().fit(X[:150], Y[:150])
    assert model.n_hidden_ == 32
    assert model.linear_model_ is None
    error = np.mean((model.predict(X[150:]) - Y[150:]) ** 2)
    assert error < 0.2 * np.mean((LowRankRegressorCV().fit(X[:150], Y[:150]).predict(X[150:]) - Y[150:]) ** 2)
    assert error < 2 * 0.1**2  # the noise is 0.1
    results = model.cv_results_
    best = results["params"][int(np.argmax(results["mean_test_score"]))]
    assert (best["alpha"], best["n_hidden"]) == (model.alpha_, 32)


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (1, 2, 3))])
def test_where_nothing_bends_the_tuned_linear_model_answers(seed):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(80, 4))
    Y = X @ rng.normal(size=(4, 3)) + rng.normal(size=(80, 3))
    cv = KFold(4, shuffle=True, random_state=0)
    model = SharedLayerRegressor(cv=cv).fit(X, Y)
    linear = LowRankRegressorCV(cv=cv, random_state=0).fit(X, Y)
    assert model.n_hidden_ == 0
    assert_array_equal(model.predict(X), linear.predict(X))
    assert model.linear_model_.best_params_ == linear.best_params_
    assert [type(part).__name__ for part in model.split().values()] == ["LinearRegression"] * 3
    assert model.transform(X).shape == (80, model.n_units_)


def test_where_rows_are_many_two_folds_ask_first_and_all_folds_what_these_leave_open():
    X, Y = bent(n=510)
    model = SharedLayerRegressor(n_hidden=4, n_linear=1, tol=1e-2, max_iter=50).fit(X, Y[:, 0])
    results = model.cv_results_
    chosen = [one["alpha"] for one in results["params"]].index(model.alpha_)
    asked = ~np.isnan([results[f"split{fold}_test_score"] for fold in range(5)])
    assert asked[:2].all()
    assert asked[:, chosen].all()
    assert not asked[2:].all()
    assert results["rank_test_score"][chosen] == 1
    assert np.isfinite(results["mean_test_score"]).all()
    assert_allclose(
        results["mean_test_score"][chosen], np.mean([results[f"split{k}_test_score"][chosen] for k in range(5)])
    )


def test_no_rectified_units_is_the_linear_model_and_a_number_of_them_is_kept():
    X, Y = bent()
    linear = SharedLayerRegressor(n_hidden=0, cv=3).fit(X, Y)
    assert_array_equal(linear.predict(X), LowRankRegressorCV(cv=3).fit(X, Y).predict(X))
    kept = SharedLayerRegressor(**SMALL).fit(X, Y)
    assert (kept.n_hidden_, kept.n_units_, kept.alpha_) == (6, 3 * 8, 0.03)
    assert len(kept.cv_results_["params"]) == 1


def test_the_model_is_the_mean_of_the_linear_predictors_of_the_networks_of_the_folds():
    X, y = any_kind()
    cv = list(KFold(3).split(X))
    model = SharedLayerMultiTask(**SMALL | {"cv": cv}, kinds={"seeds": "count"}).fit(X, y)
    one = [
        SharedLayerMultiTask(**SMALL | {"cv": [split]}, kinds={"seeds": "count"}).fit(X, y).decision_function(X)
        for split in cv
    ]
    # Starts go by the number of the fold, so that only the first of them is the same network.
    joint = model.decision_function(X)
    assert model.hidden_coef_.shape == (3, 24)
    own = model.hidden_coef_[:, :8], model.hidden_intercept_[:8]
    scores = X @ own[0] + own[1]
    scores[:, :6] = np.maximum(scores[:, :6], 0)
    first = 3 * scores @ model.factors_["ripe"][:8, 0]
    assert_allclose(first - first.mean(), one[0]["ripe"] - one[0]["ripe"].mean(), atol=1e-8)
    assert joint["kind"].shape == (150, 3)


def test_a_common_mean_helps_tasks_of_few_rows_and_answers_for_new_ones():
    rng = np.random.default_rng(0)
    X = rng.uniform(-2, 2, (400, 2))
    school = np.repeat(np.arange(40), 10)
    shift = 0.3 * rng.normal(size=40)
    layer = {"n_hidden": 8, "n_linear": 2, "cv": 3, "task_col": 2}
    y = 5 * (np.abs(X[:, 0]) + shift[school] + 0.3 * rng.normal(size=400))
    table = np.column_stack([X, school])
    model = SharedLayerRegressor(**layer).fit(table, y)
    assert model.alpha_common_ == pytest.approx(0.1 * model.alpha_)
    new = np.column_stack([X[:100], np.full(100, 99)])
    assert np.corrcoef(model.predict(new), np.abs(X[:100, 0]))[0, 1] > 0.97
    assert np.mean((model.predict(new) - 5 * np.abs(X[:100, 0])) ** 2) < 1.0
    without = SharedLayerRegressor(**layer, alpha_common=None, alpha=model.alpha_).fit(table, y)
    assert model.cv_results_["mean_test_score"].max() > without.cv_results_["mean_test_score"].max()
    with pytest.raises(ValueError, match="holds the task 99"):
        without.predict(new)


def test_a_common_mean_is_refused_where_tasks_have_none():
    X, y = any_kind()
    with pytest.raises(ValueError, match=r"alpha_common=0.1 needs tasks of one kind .* 'kind' has 3 classes"):
        SharedLayerClassifier(**SMALL | {"alpha_common": 0.1}).fit(X, {"ripe": y["ripe"], "kind": y["kind"]})
    with pytest.raises(ValueError, match=r"task 'ripe' is binary, task 'size' regression"):
        SharedLayerMultiTask(**SMALL | {"alpha_common": 0.1}).fit(X, {"ripe": y["ripe"], "size": y["size"]})


def test_groups_are_one_observation_each_where_layer_and_linear_model_are_compared():
    """The same rows fifty times over tell no more than once: as single rows they would."""
    rng = np.random.default_rng(3)
    X = rng.normal(size=(24, 2))
    y = X[:, 0] + 0.25 * np.abs(X[:, 1]) + 0.5 * rng.normal(size=24)
    many, groups = np.repeat(X, 50, axis=0), np.repeat(np.arange(24), 50)
    chosen = SharedLayerRegressor(cv=GroupKFold(3), tol=1e-3).fit(many, np.repeat(y, 50), groups=groups)
    assert chosen.n_hidden_ == 0


# The same data in every form, unit and order


def test_all_forms_of_shared_rows_agree():
    X, Y = bent()
    Y = Y.copy()
    Y[:30, 0] = np.nan
    cv = list(KFold(3, shuffle=True, random_state=0).split(X))
    model = SharedLayerRegressor(**SMALL | {"cv": cv})
    expected = model.fit(X, Y).predict(X)
    named = {"a": Y[:, 0], "b": Y[:, 1], "c": Y[:, 2]}
    frame = pd.DataFrame(X, columns=["u", "v", "w"])
    for features, targets in (
        (X, named),
        (frame, pd.DataFrame(named)),
        (sparse.csr_matrix(X), named),
        (sparse.csr_array(X), pd.DataFrame(named)),
    ):
        answer = copy.copy(model).fit(features, targets).predict(features)
        assert_allclose(np.column_stack(list(answer.values())), expected, rtol=1e-4, atol=1e-5)


def as_polars(frame):
    return pytest.importorskip("polars").from_pandas(frame)


def as_arrow(frame):
    return pytest.importorskip("pyarrow").Table.from_pandas(frame)


def with_a_wider_index(frame):
    return frame.set_axis(np.arange(len(frame)) * 7, axis=0)


@pytest.mark.parametrize("container", [as_polars, as_arrow, with_a_wider_index, pd.DataFrame.to_numpy])
def test_all_containers_agree(container):
    X, y = any_kind()
    frame = pd.DataFrame(X, columns=["u", "v", "w"])
    targets = pd.DataFrame(y)[["size", "ripe"]]
    cv = list(KFold(3, shuffle=True, random_state=0).split(X))
    model = SharedLayerMultiTask(**SMALL | {"cv": cv})
    expected = model.fit(frame, targets)
    table = container(frame)
    named = dict(targets) if container is pd.DataFrame.to_numpy else container(targets)
    other = copy.copy(model).fit(table, named)
    assert_allclose(other.predict(table)["size"], expected.predict(frame)["size"], rtol=1e-9)
    assert_allclose(other.predict_proba(table)["ripe"], expected.predict_proba(frame)["ripe"], rtol=1e-9)


@pytest.mark.parametrize("container", [as_polars, sparse.csr_array, lambda frame: frame])
def test_all_containers_of_own_rows_and_of_the_long_form_agree(container):
    X, Y = bent(n=60)
    frame, school = pd.DataFrame(X, columns=["u", "v", "w"]), np.arange(60) % 2
    parts, targets = [np.flatnonzero(school == t) for t in (0, 1)], Y[:, 0]
    cv = list(KFold(3, shuffle=True, random_state=0).split(X))
    options = SMALL | {"tol": 0.01, "alpha_common": None}
    long = SharedLayerRegressor(**options | {"cv": cv}, task_col=3).fit(np.column_stack([X, school]), targets)
    expected = long.predict(np.column_stack([X, school]))
    tables = {t: container(frame.iloc[rows].reset_index(drop=True)) for t, rows in enumerate(parts)}
    # Own rows stand task after task.
    place = np.argsort(np.concatenate(parts))
    moved = [(place[train], place[test]) for train, test in cv]
    own = SharedLayerRegressor(**options | {"cv": moved}).fit(
        tables, {t: targets[rows] for t, rows in enumerate(parts)}
    )
    for t, answer in own.predict(tables).items():
        assert_allclose(answer, expected[parts[t]], rtol=1e-4, atol=1e-5)
    if container is not sparse.csr_array:
        table = container(frame.assign(school=school))
        named = SharedLayerRegressor(**options | {"cv": cv}, task_col="school").fit(table, targets)
        assert_allclose(named.predict(table), expected, rtol=1e-9)


def test_single_precision_is_answered_in_double():
    X, Y = bent()
    X = X.astype(np.float32)
    single, double = SharedLayerRegressor(**SMALL), SharedLayerRegressor(**SMALL)
    answer = single.fit(X, Y).predict(X)
    assert answer.dtype == np.float64
    assert_allclose(answer, double.fit(X.astype(np.float64), Y).predict(X), rtol=1e-4, atol=1e-4)


def test_own_rows_stacked_targets_and_the_long_form_agree():
    X, Y = bent()
    tables = {t: X[50 * t : 50 * t + 50] for t in range(3)}
    targets = {t: Y[50 * t : 50 * t + 50, t] for t in range(3)}
    cv = list(KFold(3, shuffle=True, random_state=0).split(X))
    options = SMALL | {"cv": cv, "alpha_common": 0.01}
    own = SharedLayerRegressor(**options).fit(tables, targets).predict(tables)
    stacked, gaps = stack_tasks(tables, targets)
    by_stack = SharedLayerRegressor(**options).fit(stacked, gaps).predict(stacked)
    school = np.repeat(np.arange(3), 50)
    long = np.column_stack([X, school])
    by_label = SharedLayerRegressor(**options, task_col=3).fit(long, np.concatenate(list(targets.values())))
    order = np.random.default_rng(0).permutation(150)
    for t in range(3):
        assert_allclose(by_stack[t][school == t], own[t], rtol=1e-4, atol=1e-5)
        assert_allclose(by_label.predict(long)[school == t], own[t], rtol=1e-4, atol=1e-5)
    assert_allclose(by_label.predict(long[order]), by_label.predict(long)[order], rtol=1e-12)


@pytest.mark.parametrize("kind", ["regression", "classes"])
def test_units_of_columns_and_targets_do_not_matter(kind):
    X, Y = bent()
    units, of_target = np.array([1e-4, 1.0, 1e5]), np.array([1e-3, 1.0, 1e6])
    if kind == "regression":
        model, y = SharedLayerRegressor(**SMALL), Y
        one = model.fit(X, Y).predict(X)
        other = model.fit(X * units + 10 * units, Y * of_target).predict(X * units + 10 * units) / of_target
    else:
        model, y = SharedLayerClassifier(**SMALL), (Y.mean(axis=0) < Y).astype(int)
        one = np.array(model.fit(X, y).predict_proba(X))
        other = np.array(model.fit(X * units + 10 * units, y).predict_proba(X * units + 10 * units))
    assert_allclose(other, one, rtol=1e-3, atol=1e-4)


def test_the_same_seed_gives_the_same_result_on_any_number_of_threads():
    X, y = any_kind()
    fits = [SharedLayerMultiTask(**SMALL, n_jobs=n_jobs, random_state=3).fit(X, y) for n_jobs in (None, 1, 2)]
    for other in fits[1:]:
        assert_array_equal(other.hidden_coef_, fits[0].hidden_coef_)
        assert_array_equal(other.predict(X)["size"], fits[0].predict(X)["size"])
    another = SharedLayerMultiTask(**SMALL, random_state=4).fit(X, y)
    assert np.abs(another.hidden_coef_ - fits[0].hidden_coef_).max() > 1e-3


def test_a_weight_of_zero_is_a_target_that_is_not_there():
    X, y = any_kind()
    cv = list(KFold(3).split(X))
    weight = TaskTargets({task: np.ones(150) for task in y})
    weight["size"][100:] = 0.0
    model = SharedLayerMultiTask(**SMALL | {"cv": cv})
    weighted = model.fit(X, y, weight).predict(X)["size"]
    less = dict(y, size=np.where(np.arange(150) < 100, y["size"], np.nan))
    assert_allclose(weighted, model.fit(X, less).predict(X)["size"], rtol=1e-5)


# Around the fit


def test_transform_is_the_output_of_the_layer_and_has_names():
    X, Y = bent()
    model = SharedLayerRegressor(**SMALL).fit(X, Y)
    hidden = model.transform(X)
    factors = np.hstack([model.factors_[t] for t in model.tasks_])
    assert_allclose(hidden @ factors + model.intercept_, model.predict(X), rtol=1e-10)
    names = model.get_feature_names_out()
    assert names[0] == "sharedlayerregressor0"
    frame = model.set_output(transform="pandas").transform(X)
    assert list(frame.columns) == list(names)


def test_add_tasks_leaves_the_layer_and_learns_from_few_labels():
    X, Y = bent(n=300)
    rng = np.random.default_rng(5)
    truth = np.abs(X[:, 0]) - 2 * X[:, 1]
    model = SharedLayerRegressor(n_hidden=16, alpha=0.01, cv=3).fit(X[:200], {"a": Y[:200, 0], "b": Y[:200, 1]})
    before = model.predict(X)["a"]
    few = slice(200, 212)
    model.add_tasks(X[few], {"new": 100 * (truth[few] + 0.1 * rng.normal(size=12))})
    assert_array_equal(model.predict(X)["a"], before)
    error = np.mean((model.predict(X[212:])["new"] / 100 - truth[212:]) ** 2)
    alone = SharedLayerRegressor(n_hidden=16, alpha=0.01, cv=3).fit(X[few], 100 * truth[few])
    assert error < 0.2 * np.mean((alone.predict(X[212:]) / 100 - truth[212:]) ** 2)
    with pytest.raises(ValueError, match="'new' is fitted already"):
        model.add_tasks(X[few], {"new": truth[few]})
    assert list(model.split()) == ["a", "b", "new"]


@pytest.mark.parametrize("alpha_common", [None, 0.01])
def test_new_heads_of_all_labels_are_those_of_the_fit(alpha_common):
    """With the labels of a fitted task handed over again, and one fold that trains on all rows."""
    X, Y = bent()
    every = np.arange(150)
    options = SMALL | {"cv": [(every[:140], every[140:])], "alpha_common": alpha_common, "tol": 1e-9, "max_iter": 2000}
    two = {"a": Y[:140, 0], "b": Y[:140, 1]}
    model = SharedLayerRegressor(**options, scale_targets=None).fit(
        X, {task: np.append(column, np.full(10, column.mean())) for task, column in two.items()}
    )
    model.add_tasks(X[:140], {"c": two["a"]})
    assert_allclose(model.predict(X)["c"], model.predict(X)["a"], rtol=1e-4, atol=1e-5)


def test_add_tasks_where_the_linear_model_answers():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 3))
    Y = X @ rng.normal(size=(3, 3)) + 0.1 * rng.normal(size=(60, 3))
    model = SharedLayerRegressor(n_hidden=0).fit(X, {"a": Y[:, 0], "b": Y[:, 1]})
    model.add_tasks(X[:20], {"c": Y[:20, 2]})
    assert model.score_tasks(X, {"c": Y[:, 2]})["c"] > 0.9
    assert list(model.linear_model_.predict(X)) == ["a", "b", "c"]


def test_networks_that_do_not_settle_say_so():
    X, Y = bent()
    with pytest.warns(ConvergenceWarning, match="3 of 3 networks stopped at max_iter steps"):
        model = SharedLayerRegressor(**SMALL, max_iter=2).fit(X, Y)
    assert not model.convergence_.converged
    assert model.n_iter_ == 2


def test_a_refit_leaves_nothing_of_the_earlier_fit():
    X, Y = bent()
    model = SharedLayerClassifier(**SMALL).fit(X, (Y[:, 0] > 0).astype(int))
    assert hasattr(model, "classes_")
    model.set_params(n_hidden=0).fit(X, {"a": (Y[:, 0] > 0).astype(int)})
    assert not hasattr(model, "classes_")
    assert isinstance(model.linear_model_, LowRankClassifierCV)
    model.set_params(n_hidden=4).fit(X, {"a": (Y[:, 0] > 0).astype(int)})
    assert model.linear_model_ is None


@pytest.mark.parametrize(
    ("parameter", "value", "allowed"),
    [
        ("n_hidden", -1, "'auto', or an integer >= 0"),
        ("n_hidden", "many", "'auto', or an integer >= 0"),
        ("n_linear", 1.5, "an integer >= 0"),
        ("alpha", 0.0, "'auto', or a finite number > 0"),
        ("alpha_common", np.inf, "'auto', a finite number > 0, or None"),
        ("max_iter", 0, "an integer >= 1"),
        ("scale_targets", "unit", "'std', 'residual' or None"),
    ],
)
def test_bad_parameters_are_named(parameter, value, allowed):
    X, Y = bent(n=20)
    model = SharedLayerRegressor(**{parameter: value})
    with pytest.raises(ValueError, match=f"The parameter '{parameter}' of SharedLayerRegressor must be {allowed}"):
        model.fit(X, Y)
    assert not hasattr(model, "tasks_")


def test_a_task_that_no_fold_can_train_is_named():
    X, y = any_kind()
    labels = np.array([None] * 150, dtype=object)
    labels[:3] = ["rare", "common", "common"]
    with pytest.raises(ValueError, match="Task 'odd' lacks a target, or one of its classes, in the training part"):
        SharedLayerClassifier(**SMALL | {"cv": [(np.arange(3, 150), np.arange(3))]}).fit(
            X, {"odd": labels, "ripe": y["ripe"]}
        )


def test_residual_scales_give_a_noisy_task_less_say():
    X, Y = bent(noise=0.05)
    noisy = Y + np.array([0.0, 0.0, 3.0]) * np.random.default_rng(0).normal(size=Y.shape)
    model = SharedLayerRegressor(n_hidden=6, scale_targets="residual", cv=3, random_state=1).fit(X, noisy)
    scales = model.target_scale_
    assert scales[2] == pytest.approx(3.0, rel=0.3)
    assert max(scales[0], scales[1]) < 0.3


@pytest.mark.parametrize("inside", [lambda model: model, lambda model: make_pipeline(StandardScaler(), model)])
def test_independent_networks_of_a_report_choose_the_strength_that_the_joint_one_was_given(inside):
    X, Y = bent(n=30)
    model = SharedLayerRegressor(n_hidden=4, alpha=0.3, alpha_common=0.1, scale_targets=None)
    found = compared(inside(model), read_tasks(X, Y, model._rules()))
    for name in ("independent", "pooled"):
        opponent = found[name].estimator
        last = opponent[-1] if isinstance(opponent, Pipeline) else opponent
        assert (last.alpha, last.alpha_common, last.n_hidden, last.scale_targets) == ("auto", "auto", 4, None)
    assert (model.alpha, model.alpha_common) == (0.3, 0.1)
