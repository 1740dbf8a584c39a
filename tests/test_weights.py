"""Weights of rows, cells, classes and tasks: zero is absent, two is twice, balanced is scikit-learn's."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import BaseEstimator, clone

from skmtl import LowRankClassifier, LowRankRegressor
from skmtl.inputs import TargetRules, as_task_data
from skmtl.inputs.weights import class_weights, task_weights
from skmtl.targets import TaskTargets

ANY = TargetRules("LowRankMultiTask", "any")
CLASSES = TargetRules("LowRankClassifier", "classes")


def read(X, y, sample_weight=None, rules=ANY, **options):
    return as_task_data(BaseEstimator(), X, y, sample_weight, rules=rules, **options)[0]


def features(n_rows=8, n_features=3, seed=0):
    return np.random.RandomState(seed).randn(n_rows, n_features)


def test_weight_zero_is_as_if_absent_and_leaves_no_class_behind():
    X, y = features(6), np.array(["a", "b", "c", "a", "b", "b"])
    weight = np.array([1.0, 2, 0, 1, 1, 1])
    kept = weight > 0
    for data, alone in [
        (read(X, {"t": y}, weight), read(X[kept], {"t": y[kept]}, weight[kept])),
        (read({"t": X}, {"t": y}, {"t": weight}), read({"t": X[kept]}, {"t": y[kept]}, {"t": weight[kept]})),
    ]:
        assert_array_equal(data.X, alone.X)
        assert_array_equal(data.y, alone.y)
        assert_array_equal(data.weights, alone.weights)
        assert data.tasks[0].classes.tolist() == ["a", "b"]
    per_task = TaskTargets({"t": weight, "u": np.ones(6)})
    data = read(X, {"t": y, "u": np.arange(6) / 5}, per_task)
    assert np.isnan(data.y[2, 0])
    assert not np.isnan(data.y[:, 1]).any()
    assert data.tasks[0].classes.tolist() == ["a", "b"]


def as_array(columns):
    return np.column_stack(list(columns.values()))


@pytest.mark.parametrize("container", [TaskTargets, pd.DataFrame, as_array])
def test_weights_per_row_and_task_in_every_container(container):
    columns = {"a": np.array([1.0, 2, 3]), "b": np.array([4.0, 5, 6])}
    data = read(features(3), {name: np.arange(3) / 2 for name in columns}, container(columns))
    assert_array_equal(data.weights, np.column_stack(list(columns.values())))


def test_named_weights_are_matched_by_name():
    weights = pd.DataFrame({"b": [4.0, 5, 6], "a": [1.0, 2, 3]})
    data = read(features(3), {"a": np.arange(3) / 2, "b": np.arange(3) / 3}, weights)
    assert_array_equal(data.weights, [[1, 4], [2, 5], [3, 6]])


def test_a_weight_may_be_missing_where_the_target_is():
    y = {"a": [0.1, np.nan, 0.3, 0.4], "b": [0.1, 0.2, 0.3, 0.5]}
    data = read(features(4), y, TaskTargets({"a": [1, np.nan, 1, 2], "b": [1, 1, 1, 3]}))
    assert np.isfinite(data.weights).all()


def test_balanced_class_weights_are_those_of_scikit_learn():
    from sklearn.utils.class_weight import compute_sample_weight

    y = np.array([0, 0, 0, 1, 2, 2])
    expected = compute_sample_weight("balanced", y)
    X = features(6)
    assert_allclose(read(X, y, rules=CLASSES, class_weight="balanced").weights[:, 0], expected)
    assert_allclose(read({"t": X}, {"t": y}, rules=CLASSES, class_weight="balanced").weights, expected)
    chosen = {0: 2.0, 2: 0.5}
    expected = np.array([2, 2, 2, 1, 0.5, 0.5])
    assert_allclose(read(X, y, rules=CLASSES, class_weight=chosen).weights[:, 0], expected)
    named = read(X, {"t": y, "u": y[::-1]}, rules=CLASSES, class_weight={"t": chosen, "u": None})
    assert_allclose(named.weights, np.column_stack([expected, np.ones(6)]))


def test_integer_weights_count_as_repeated_rows_for_balanced_classes_and_tasks():
    y, repeats = np.array(["a", "b", "b", "c"]), np.array([3, 1, 2, 1])
    size = np.array([0.1, np.nan, 0.3, 0.7])
    again = np.repeat(np.arange(4), repeats)
    options = {"class_weight": "balanced", "task_weight": "balanced"}
    weighted = read(features(4), {"t": y, "u": size}, repeats, **options)
    repeated = read(features(4)[again], {"t": y[again], "u": size[again]}, **options)
    assert_allclose(weighted.weights[again] / repeats[again, None], repeated.weights)
    assert_allclose(weighted.task_weights, repeated.task_weights)


def test_balanced_tasks_count_alike():
    Y = np.random.RandomState(0).randn(10, 3)
    Y[4:, 0] = np.nan
    data = read(features(10), Y, task_weight="balanced")
    n_seen = (~np.isnan(Y)).sum(axis=0)
    assert_allclose(data.task_weights * n_seen, n_seen.mean())
    own = read(
        {t: features(n) for t, n in enumerate(n_seen)},
        {t: np.arange(n) / n for t, n in enumerate(n_seen)},
        task_weight="balanced",
    )
    assert_allclose(own.task_weights, data.task_weights)
    assert_allclose(read(features(10), Y, task_weight={1: 3.0}).task_weights, [1, 3, 1])


def test_no_weights_cost_nothing():
    data = read(features(5), np.arange(5) / 4)
    assert data.weights is None
    assert data.task_weights is None
    assert class_weights(None, data.tasks, data.y, None, None) is None
    assert task_weights(None, data.tasks, data.y, None, None) is None


@pytest.mark.parametrize(
    ("options", "weight", "said"),
    [
        ({}, 1e-310, r"sample_weight must be zero or lie between 1e-50 and 1e\+50.* got 1e-310 in row 3"),
        ({}, 1e300, r"sample_weight must be zero or lie between 1e-50 and 1e\+50.* got 1e\+300 in row 3"),
        ({"task_weight": {"t": 1e300}}, 1.0, r"task_weight\['t'\] must lie between 1e-50 and 1e\+50, got 1e\+300"),
        ({"class_weight": {1: 1e300}}, 1.0, r"class_weight of task 't' must hold numbers between 1e-50 and 1e\+50"),
        ({"alpha": 1e300}, 1.0, r"'alpha' of LowRankClassifier must be at most 1e\+100, or infinity.* got 1e\+300"),
        ({"alpha_own": 1e300}, 1.0, r"'alpha_own' of LowRankClassifier must be at most 1e\+100.* got 1e\+300"),
    ],
)
def test_numbers_whose_squares_overflow_are_refused_by_name(options, weight, said):
    X, y = features(6), {"t": np.array([0, 1, 1, 0, 1, 0])}
    with pytest.raises(ValueError, match=said):
        LowRankClassifier(**options).fit(X, y, sample_weight=np.where(np.arange(6) == 3, weight, 1.0))


@pytest.mark.parametrize("model", [LowRankRegressor(), LowRankClassifier(), LowRankRegressor(loss="poisson")])
def test_the_largest_weights_and_strengths_that_are_allowed_make_a_model(model):
    X, y = features(6), {"t": np.array([0, 1, 1, 0, 1, 0]), "u": np.array([1, 1, 0, 0, 1, 0])}
    weight = np.where(np.arange(6) < 3, 1e50, 1e-50)
    options = {"alpha": 1e100, "alpha_own": 1e100, "task_weight": {"t": 1e50, "u": 1e-50}}
    model = clone(model).set_params(**options).fit(X, y, sample_weight=weight)
    assert np.isfinite(model.objective_)
    assert all(np.isfinite(model.coef_[name]).all() and np.isfinite(model.intercept_[name]).all() for name in y)
