"""`feature_importances`: what SelectFromModel selects does not depend on form, on units of targets, or on wrapping."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.feature_selection import SelectFromModel
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import skmtl
from skmtl import (
    GroupedTasks,
    LowRankClassifier,
    LowRankMultiTask,
    LowRankRegressor,
    LowRankRegressorCV,
    TaskTargets,
    feature_importances,
)

RELEVANT = [1, 4, 6]


@pytest.fixture
def table():
    """Ten features, three of which say all that there is of a number, another number, and classes."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((200, 10))
    signal = X[:, RELEVANT]
    numbers = {
        "size": signal @ [1.0, 2.0, -1.0] + 0.3 * rng.standard_normal(200),
        "price": 1000 * (signal @ [-1.0, 1.0, 2.0] + 0.3 * rng.standard_normal(200)),
    }
    colour = np.array(["red", "green", "blue"])[np.argmax(signal + 0.3 * rng.standard_normal((200, 3)), axis=1)]
    return X, numbers, colour


def selector(model):
    return SelectFromModel(model, importance_getter=feature_importances)


def test_it_is_what_scikit_learn_makes_of_a_two_dimensional_coef(table):
    X, numbers, _ = table
    Y = np.column_stack(list(numbers.values()))
    model = LowRankRegressor(scale_targets=None).fit(X, Y)
    assert_allclose(feature_importances(model), np.linalg.norm(model.coef_, axis=0), rtol=1e-12)
    ours = selector(clone(model)).fit(X, Y).get_support()
    theirs = SelectFromModel(clone(model), norm_order=2).fit(X, Y).get_support()
    assert_array_equal(ours, theirs)


def test_a_target_in_another_unit_weighs_the_same(table):
    X, numbers, _ = table
    plain = feature_importances(LowRankRegressor().fit(X, numbers))
    numbers["size"] = numbers["size"] * 1e6
    assert_allclose(feature_importances(LowRankRegressor().fit(X, numbers)), plain, rtol=1e-6)


def test_units_of_columns_change_nothing_where_features_are_scaled_inside(table):
    X, numbers, _ = table
    units = 10.0 ** np.arange(-5, 5)
    plain, scaled = (
        feature_importances(LowRankRegressor(scale_features=True).fit(one, numbers)) for one in (X, X * units)
    )
    assert_allclose(scaled, plain, rtol=1e-6)
    by_hand = feature_importances(LowRankRegressor().fit(StandardScaler().fit_transform(X), numbers))
    assert_allclose(plain, by_hand, rtol=1e-6)


@pytest.mark.parametrize("container", [TaskTargets, pd.DataFrame, lambda y: np.column_stack(list(y.values()))])
def test_select_from_model_in_a_pipeline(table, container):
    X, numbers, _ = table
    pipeline = make_pipeline(StandardScaler(), selector(LowRankRegressor()), LowRankRegressor())
    y = container(numbers)
    pipeline.fit(X * 10.0 ** np.arange(-5, 5), y)
    assert_array_equal(np.flatnonzero(pipeline[1].get_support()), RELEVANT)
    assert pipeline[-1].n_features_in_ == 3
    assert cross_val_score(pipeline, X, y, cv=3).min() > 0.9


@pytest.mark.parametrize("flat", [True, False])
def test_classes_in_every_form(table, flat):
    X, _, colour = table
    by_name = feature_importances(LowRankClassifier().fit(X, {"colour": colour}))
    of_array = feature_importances(LowRankClassifier().fit(X, colour if flat else colour[:, None]))
    assert by_name.shape == (10,)
    assert_allclose(of_array, by_name, rtol=1e-6)
    assert set(np.argsort(by_name)[-3:]) == set(RELEVANT)


def test_classes_beside_numbers(table):
    X, numbers, colour = table
    y = TaskTargets({**numbers, "colour": colour, "light": np.where(colour == "red", 1, 0)})
    fitted = selector(LowRankMultiTask()).fit(X, y)
    assert_array_equal(np.flatnonzero(fitted.get_support()), RELEVANT)


def test_one_number_is_its_coefficients(table):
    X, numbers, _ = table
    model = LowRankRegressor(scale_targets=None).fit(X, numbers["size"])
    assert_allclose(feature_importances(model), np.abs(model.coef_), rtol=1e-12)


def test_own_rows_count_as_one_table_with_gaps_does(table):
    X, numbers, _ = table
    first, rest = slice(0, 80), slice(80, None)
    own = LowRankRegressor(tol=1e-10).fit(
        {"size": X[first], "price": X[rest]}, {"size": numbers["size"][first], "price": numbers["price"][rest]}
    )
    gaps = {"size": numbers["size"].copy(), "price": numbers["price"].copy()}
    gaps["size"][rest], gaps["price"][first] = np.nan, np.nan
    shared = LowRankRegressor(tol=1e-10).fit(X, gaps)
    assert_allclose(feature_importances(own), feature_importances(shared), rtol=1e-5)


@pytest.mark.parametrize("as_frame", [True, False])
def test_the_long_form_keeps_its_column_of_tasks(table, as_frame):
    X, numbers, _ = table
    frame = pd.DataFrame(X, columns=[f"x{j}" for j in range(10)])
    frame.insert(2, "shop", np.resize([0.0, 1.0], 200))
    y = numbers["size"]
    task_col = "shop" if as_frame else 2
    long = frame if as_frame else frame.to_numpy()
    pipeline = make_pipeline(selector(LowRankRegressor(task_col=task_col)).set_output(transform="pandas"))
    chosen = pipeline.fit(long, y).transform(long)
    assert_array_equal([int(c[-1]) for c in frame.columns[pipeline[0].get_support()] if c != "shop"], RELEVANT)
    assert chosen.shape == (200, 4)
    assert pipeline[0].get_support()[2]


def test_around_it_a_search_a_pipeline_groups_and_a_tuned_model(table):
    X, numbers, _ = table
    y = TaskTargets(numbers)
    search = GridSearchCV(LowRankRegressor(), {"n_components": [1, 2]}, cv=3).fit(X, y)
    assert_array_equal(feature_importances(search), feature_importances(search.best_estimator_))
    pipeline = make_pipeline(StandardScaler(), LowRankRegressor()).fit(X, y)
    assert_array_equal(feature_importances(pipeline), feature_importances(pipeline[-1]))
    tuned = LowRankRegressorCV(n_components=2, alpha=[0.01, 0.1], alpha_own=None, alpha_common=None, cv=3)
    assert set(np.argsort(feature_importances(tuned.fit(X, y)))[-3:]) == set(RELEVANT)
    grouped = GroupedTasks(LowRankRegressor(), n_groups=2, random_state=0).fit(X, y)
    parts = [LowRankRegressor().fit(X, {task: column}) for task, column in numbers.items()]
    expected = np.linalg.norm([feature_importances(part) for part in parts], axis=0)
    assert_allclose(feature_importances(grouped), expected, rtol=1e-6)
    assert_array_equal(np.flatnonzero(selector(GroupedTasks(LowRankRegressor())).fit(X, y).get_support()), RELEVANT)


def test_what_has_no_coefficients_is_refused(table):
    X, numbers, _ = table
    with pytest.raises(NotFittedError):
        skmtl.feature_importances(LowRankRegressor())
    with pytest.raises(TypeError, match="got Ridge, which has none"):
        feature_importances(Ridge().fit(X, numbers["size"]))
