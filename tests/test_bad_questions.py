"""Questions that a fitted model refuses: tasks, classes and forms that fit did not see."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from skmtl import LowRankClassifierCV, LowRankMultiTask, LowRankRegressor, LowRankRegressorCV

X = np.random.RandomState(0).randn(8, 3)
NUMBERS = np.array([0.3, -0.2, 1.7, 0.9, -1.1, 0.4, 0.8, 2.5])
LABELS = np.array(["no", "yes", "no", "no", "yes", "yes", "no", "yes"])
Y = {"size": NUMBERS, "ripe": LABELS}
LONG = pd.DataFrame(X, columns=["x", "y", "z"]).assign(school=["u", "v"] * 4)


def put(values, position, value):
    values = np.array(values)
    values[position] = value
    return values


def frame(names):
    return pd.DataFrame(X, columns=names)


@pytest.fixture(scope="module")
def mixed():
    return LowRankMultiTask().fit(frame(["u", "v", "w"]), Y)


def test_a_class_that_fit_did_not_see_is_a_wrong_prediction(mixed):
    table = frame(["u", "v", "w"])
    right = mixed.predict(table)["ripe"] == LABELS
    found = mixed.score(table, {"ripe": put(LABELS.astype(object), 3, "maybe")})
    assert found == (right.sum() - right[3]) / len(right)


def test_labels_of_another_type_than_the_classes_are_told(mixed):
    with pytest.raises(ValueError, match=r"y holds labels of task 'ripe' such as 0.*, of another type than.*'yes'"):
        mixed.score(frame(["u", "v", "w"]), {"ripe": np.arange(len(LABELS)) % 2})


def test_labels_are_no_score_for_a_numeric_task(mixed):
    with pytest.raises(ValueError) as refusal:
        mixed.score(frame(["u", "v", "w"]), {"size": LABELS})
    assert str(refusal.value) == "Task 'size' was fitted on numbers, but y holds labels such as 'no'."


def test_an_unknown_task_cannot_be_scored(mixed):
    with pytest.raises(ValueError) as refusal:
        mixed.score(frame(["u", "v", "w"]), {"colour": LABELS})
    assert str(refusal.value) == (
        "y holds the task 'colour', which fit did not see; the known tasks are ['size', 'ripe']."
    )


def test_a_model_of_named_tasks_is_scored_by_named_targets(mixed):
    with pytest.raises(ValueError) as refusal:
        mixed.score(frame(["u", "v", "w"]), NUMBERS)
    assert str(refusal.value) == (
        "y must name its tasks, as it did in fit (a dict, TaskTargets or a "
        "DataFrame with "
        "some of ['size', 'ripe']), got ndarray."
    )


def test_an_unknown_task_cannot_be_predicted():
    own = LowRankRegressor().fit({"a": X, "b": X}, {"a": NUMBERS, "b": -NUMBERS})
    with pytest.raises(ValueError) as refusal:
        own.predict({"a": X, "c": X})
    assert str(refusal.value) == ("X holds the task 'c', which fit did not see; the known tasks are ['a', 'b'].")
    with pytest.raises(ValueError) as refusal:
        own.predict({})
    assert str(refusal.value) == "X is an empty dict; give a table for at least one of the tasks ['a', 'b']."
    long = LowRankRegressor(task_col="school").fit(LONG, NUMBERS)
    with pytest.raises(ValueError) as refusal:
        long.predict(LONG.assign(school=["u", "w"] * 4))
    assert str(refusal.value) == (
        "X holds the task 'w' in column 'school', which fit did not see; the known "
        "tasks are ['u', 'v']. A model with alpha_common or alpha_intercept predicts "
        "new tasks by the common part and the mean intercept."
    )


def test_many_tasks_are_listed_in_part():
    tables = {f"t{t}": X for t in range(30)}
    model = LowRankRegressor().fit(tables, dict.fromkeys(tables, NUMBERS))
    with pytest.raises(ValueError) as refusal:
        model.predict({"other": X})
    assert str(refusal.value).endswith("'t8', 't9', ... (30 in all)].")


@pytest.mark.parametrize(
    ("estimator", "targets", "advice"),
    [
        (LowRankRegressorCV(), LABELS, "For classes use LowRankClassifierCV or LowRankMultiTaskCV."),
        (LowRankRegressor(), LABELS, "For classes use LowRankClassifier or LowRankMultiTask."),
        (LowRankClassifierCV(), NUMBERS, "For numbers use LowRankRegressorCV or LowRankMultiTaskCV."),
    ],
)
def test_tuned_estimators_advise_tuned_ones(estimator, targets, advice):
    with pytest.raises(ValueError) as refusal:
        estimator.fit(X, {"a": targets})
    assert str(refusal.value).endswith(advice)


@pytest.mark.parametrize("n_jobs", [2.5, 0, "x", True])
def test_a_number_of_jobs_is_whole(n_jobs):
    with pytest.raises(ValueError, match="'n_jobs' of LowRankRegressor must be an integer other than 0"):
        LowRankRegressor(n_jobs=n_jobs).fit(X, NUMBERS)


@pytest.mark.parametrize("estimator", [LowRankRegressor(), LowRankRegressorCV(), LowRankMultiTask()])
def test_values_whose_squares_overflow_are_refused(estimator):
    with pytest.raises(ValueError, match=r"X holds values as large as 1e\+200, whose squares overflow"):
        estimator.fit(put(X, (3, 1), 1e200), NUMBERS)
    with pytest.raises(ValueError, match=r"y holds values as large as 1e\+200"):
        estimator.fit(X, {"a": put(NUMBERS, 0, np.nan), "b": put(NUMBERS, 2, -1e200)})


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (np.ones((4, 2, 2)), "Found array with dim 3"),
        (np.ma.masked_array(np.full((4, 2), np.nan), mask=True), "Input X contains NaN"),
        (put(np.ones((4, 1 << 19)), (3, 1), np.nan), "Input X contains NaN"),
        (put(np.ones((4, 1 << 19)), (3, 1), -np.inf), "Input X contains infinity"),
        (put(np.ones((4, 1 << 19)).T.copy().T, (3, 1), np.nan), "Input X contains NaN"),
    ],
    ids=["three dimensions", "masked", "large", "infinite", "by columns"],
)
def test_one_pass_for_all_values_overlooks_none(table, message):
    with pytest.raises(ValueError, match=message):
        LowRankRegressor().fit(table, np.ones(4))


def test_large_values_whose_squares_are_numbers_are_fitted():
    # Features so many times as large ask for an alpha as many times as large.
    large = LowRankRegressor(alpha=1e69).fit(1e70 * X, NUMBERS)
    assert large.score(1e70 * X, NUMBERS) == pytest.approx(
        LowRankRegressor(alpha=0.1).fit(X, NUMBERS).score(X, NUMBERS)
    )


def test_a_tuned_model_is_scored_on_known_tasks_by_metrics_that_fit():
    y = {"a": NUMBERS, "b": -NUMBERS}
    with pytest.raises(ValueError, match=r"scoring names the unknown task 'c'; the tasks are \['a', 'b'\]"):
        LowRankRegressorCV(scoring={"c": "r2"}).fit(X, y)
    with pytest.raises(ValueError, match="Task 'a' cannot be scored by 'roc_auc': its model has no"):
        LowRankRegressorCV(scoring={"a": "roc_auc"}, cv=2).fit(X, y)
