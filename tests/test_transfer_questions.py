"""Bad questions to a transfer report, and errors inside its folds: told before any fit, or with the place."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.base import BaseEstimator
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmtl import transfer_report
from skmtl.datasets import make_multitask


class Means(BaseEstimator):
    """An estimator of someone else's that takes named targets."""

    def fit(self, X, y):
        self.means_ = {task: np.nanmean(column) for task, column in dict(y).items()}
        return self

    def predict(self, X):
        return {task: np.full(len(X), mean) for task, mean in self.means_.items()}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scoring": {"tsk_0": "r2"}}, "scoring names the unknown task 'tsk_0'; the tasks are"),
        ({"scoring": "r3"}, "r3"),
        ({"cv": []}, "cv gives no split"),
        ({"y": None}, "y is None"),
        ({"X": np.zeros((59, 8))}, "X has 59 rows, but y has 60"),
    ],
)
def test_bad_questions_are_refused_before_any_fit(change, message):
    X, y = make_multitask(60, 8, 2, random_state=0)
    y["rare"] = np.where(np.arange(60) < 55, np.nan, 1.0 * np.arange(60))
    arguments = {"X": X, "y": y, **change}
    with pytest.raises(ValueError, match=message):
        transfer_report(Unfittable(), **arguments)


@pytest.mark.parametrize("own_rows", [False, True])
def test_estimators_that_know_no_names_are_told_what_they_take(own_rows):
    X, y = make_multitask(40, 3, 2, own_rows=own_rows, random_state=0)
    with pytest.raises(ValueError, match=r"Ridge takes targets as an array.*np.column_stack.*LowRankMultiTaskCV"):
        transfer_report(make_pipeline(StandardScaler(), Ridge()), X, y)


class Failing(Means):
    """Fails where so many tasks are given."""

    def __init__(self, n_tasks=0):
        self.n_tasks = n_tasks

    def fit(self, X, y):
        if len(dict(y)) == self.n_tasks:
            raise RuntimeError("no such thing")
        return super().fit(X, y)


def test_an_error_inside_a_fold_says_where():
    X, y = make_multitask(40, 3, 3, random_state=0)
    with pytest.raises(ValueError, match="fold 1 of 3, joint: RuntimeError: no such thing"):
        transfer_report(Failing(len(dict(y))), X, y, cv=3)
    with pytest.raises(ValueError, match="fold 1 of 3, independent: task 'task_0' alone: RuntimeError: no such"):
        transfer_report(Failing(1), X, y, cv=3)
    with pytest.raises(ValueError, match="fold 1 of 3, joint: Task 'task_1' cannot be scored by 'roc_auc'"):
        transfer_report(Means(), X, y, cv=3, scoring={"task_1": "roc_auc"})


def test_a_number_of_jobs_is_whole():
    with pytest.raises(ValueError, match=r"n_jobs must be an integer other than 0.*got 2.5"):
        transfer_report(Unfittable(), *make_multitask(40, 3, 3, random_state=0), n_jobs=2.5)


class Unfittable(BaseEstimator):
    def fit(self, X, y):
        raise AssertionError("a fit, before everything was checked")


def test_one_class_in_every_training_part_is_named():
    X, y = make_multitask(40, 3, 2, random_state=0)
    y = {"sold": np.where(np.arange(40) < 39, "no", "yes")}
    with pytest.raises(ValueError, match=r"one class only of task 'sold'.*'no': 39, 'yes': 1"):
        transfer_report(Unfittable(), X, y, cv=[(np.arange(20), np.arange(20, 40))])
