"""A part of the rows, however it was cut, has the kinds of the whole: folds, searches, reports, groups."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score, train_test_split
from sklearn.utils import resample

from skmtl import GroupedTasks, LowRankMultiTask, TaskTargets

N = 40
X = np.random.RandomState(0).randn(N, 3)


def kinds_of(model):
    return {task.name: task.kind for task in model._tasks}


def whole():
    """Ratings in halves of which the first rows show 1 and 2 only; outcomes of which the last rows are all 1."""
    stars = np.resize([1.0, 2.0, 1.0, 2.5], N)
    stars[:10] = np.resize([1.0, 2.0], 10)
    return TaskTargets(
        {
            "stars": stars,
            "size": np.random.RandomState(1).randn(N),
            "sold": np.r_[np.resize([0.0, 1.0], 30), np.ones(10)],
            "code": np.resize([2**60, 2**60 + 1], N),
            "colour": np.resize(["red", "blue"], N),
        }
    )


KINDS = {"stars": "regression", "size": "regression", "sold": "binary", "code": "binary", "colour": "binary"}
HALVES = [1.0, 2.0]


@pytest.mark.parametrize(
    "part",
    [
        lambda y: y[:10],
        lambda y: y[np.arange(10)],
        lambda y: y[np.arange(N) < 10],
        lambda y: y.iloc[:10],
        lambda y: y.take(np.arange(10)),
        lambda y: y[:20][:10],
        lambda y: copy.copy(y[:10]),
        lambda y: copy.deepcopy(y[:10]),
        lambda y: pickle.loads(pickle.dumps(y[:10])),
        lambda y: pickle.loads(pickle.dumps(pickle.loads(pickle.dumps(y[:20]))))[:10],
        lambda y: TaskTargets(y[:10]),
        lambda y: TaskTargets() | y[:10],
        lambda y: np.concatenate([y[:4], y[4:10]]),
        lambda y: resample(y[:10], replace=False, random_state=0),
        lambda y: train_test_split(y, train_size=10, shuffle=False)[0],
        lambda y: y[:10].remembering(dict(y[:10])),
    ],
)
def test_a_part_has_the_kinds_of_the_whole(part):
    y = part(whole())
    assert set(y["stars"]) == set(HALVES)  # alone these are two classes
    assert kinds_of(LowRankMultiTask().fit(X[:10], TaskTargets(dict(y))))["stars"] == "binary"
    assert kinds_of(LowRankMultiTask().fit(X[:10], y)) == KINDS


def test_a_part_of_one_class_is_still_a_task_of_classes():
    y = whole()
    for part in (y[30:], pickle.loads(pickle.dumps(y[30:]))):
        with pytest.raises(ValueError, match="Task 'sold' has one class only"):
            LowRankMultiTask().fit(X[30:], part)


def test_two_to_the_sixty_alone_is_still_one_of_two_classes():
    y = whole()[np.arange(0, N, 2)]
    with pytest.raises(ValueError, match=f"Task 'code' has one class only \\({2**60}\\)"):
        LowRankMultiTask().fit(X[::2], y.remembering({"code": y["code"]}))


def test_a_column_put_in_anew_is_a_whole_of_its_own():
    y = whole()[:10]
    y["stars"] = y["stars"].copy()
    assert kinds_of(LowRankMultiTask().fit(X[:10], y)) == {**KINDS, "stars": "binary"}
    y.update({"stars": np.resize([0.5, 1.5], 10)})
    assert kinds_of(LowRankMultiTask().fit(X[:10], y)) == KINDS


def test_a_part_that_was_changed_in_place_is_looked_at_too():
    y = whole()[np.arange(10)]
    y["sold"][0] = 0.5
    assert kinds_of(LowRankMultiTask().fit(X[:10], y))["sold"] == "regression"


def test_rows_of_two_wholes_joined_are_told_by_both():
    one = TaskTargets({"t": np.resize([0.0, 1.0], N)})[:10]
    other = TaskTargets({"t": np.r_[np.ones(10), 2.0]})[:10]
    assert kinds_of(LowRankMultiTask(kinds=None).fit(X[:20], np.concatenate([one, one]))) == {"t": "binary"}
    with pytest.warns(UserWarning, match="at most 10 distinct values"):
        joined = LowRankMultiTask().fit(X[:20], np.concatenate([one, other]))
    assert kinds_of(joined) == {"t": "regression"}


def test_memory_is_of_kinds_only_and_changes_no_target():
    y = whole()
    part = y[:10]
    assert part == TaskTargets({task: column[:10] for task, column in y.items()})
    assert repr(part) == repr(TaskTargets(dict(part)))
    assert list(part.to_frame().columns) == list(y)
    assert len(pickle.dumps(TaskTargets({"t": np.arange(1e5)})[:10])) < 2000
    assert_array_equal(np.asarray(part.remembering({"size": part["size"]})), part["size"][:, None])


@pytest.mark.parametrize("n_jobs", [None, pytest.param(2, marks=pytest.mark.slow)])
def test_scikit_learn_cuts_folds_that_keep_the_kinds(n_jobs):
    """Of the first ten rows, a training part here, every star is 1 or 2."""
    y = whole()
    y = y.remembering({task: y[task] for task in ("stars", "size")})
    seen = []

    def kinds(model, X, y):
        seen.append(kinds_of(model))
        return float(kinds_of(model)["stars"] == "regression")

    folds = [(np.arange(10), np.arange(10, N)), (np.arange(5, N), np.arange(5))]
    assert_array_equal(cross_val_score(LowRankMultiTask(), X, y, cv=folds, scoring=kinds, n_jobs=n_jobs), 1.0)
    nested = GridSearchCV(LowRankMultiTask(), {"alpha": [0.1, 1.0]}, cv=KFold(2), scoring=kinds)
    assert_array_equal(cross_val_score(nested, X, y, cv=folds, scoring=lambda m, X, y: m.best_score_), 1.0)


def test_groups_of_the_long_form_have_the_kind_of_the_whole_column():
    rng = np.random.RandomState(0)
    table = pd.DataFrame(rng.randn(120, 3), columns=list("xyz")).assign(school=np.repeat(list("abcd"), 30))
    y = np.r_[table["x"][:60].round(1), (table["y"][60:] > 0)].astype(float)  # two schools that show 0 and 1 only
    model = GroupedTasks(LowRankMultiTask(task_col="school"), n_groups=2, random_state=0).fit(table, y)
    for one in model.estimators_:
        assert set(kinds_of(one).values()) == {"regression"}
