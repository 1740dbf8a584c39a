"""A task that a fold cannot judge is left out of that fold, with one warning and a line in the report: no error."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.dummy import DummyRegressor
from sklearn.metrics import r2_score

from skmtl import (
    GroupedTasks,
    LowRankClassifier,
    LowRankMultiTask,
    LowRankMultiTaskCV,
    LowRankRegressor,
    group_tasks,
    select_tasks,
    transfer_curve,
    transfer_report,
)
from skmtl.model_selection import TaskKFold
from skmtl.single_task import estimator_for

N = 60
rng = np.random.default_rng(0)
X = rng.standard_normal((N, 4))
SIGNAL = X @ [1.0, -1.0, 0.5, 0.0]
NUMBER = SIGNAL + rng.standard_normal(N)
COUNT = rng.poisson(np.exp(0.5 * SIGNAL)).astype(float)
ONE_EVENT = np.where(np.arange(N) == 7, 1.0, 0.0)
CLASS = np.where(SIGNAL + rng.standard_normal(N) > 0, "yes", "no")
ONCE = np.where(np.arange(N) == 3, "yes", "no")
TWICE = np.where(np.arange(N) < 2, "yes", "no")
FOLDS = [(np.setdiff1d(np.arange(N), test), test) for test in np.arange(N).reshape(3, 20)]  # row 7, row 3 in the first


FOLDS_OF_ROW_3 = [(np.r_[10:40], np.r_[:10]), (np.r_[20:40], np.r_[:20])]
TWO_COUNTS = {"kinds": {"rare": "count"}}
Y_OF_TWO = {"rare": ONE_EVENT, "a": NUMBER, "b": NUMBER + rng.standard_normal(N)}


def report_of(estimator, X, y, **options):
    """The report, and the texts of its warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        report = transfer_report(estimator, X, y, **{"cv": FOLDS, **options})
    return report, [str(one.message) for one in caught]


def stacked(*columns):
    """The long form, task i in column 4."""
    rows = np.vstack([np.column_stack([X, np.full(N, t)]) for t in range(len(columns))])
    return rows, np.concatenate(columns)


def own_folds(n_tasks):
    return [tuple(np.concatenate([t * N + part for t in range(n_tasks)]) for part in fold) for fold in FOLDS]


COUNTS = {
    "named": (LowRankMultiTask(kinds={"rare": "count", "b": "count"}), X, {"rare": ONE_EVENT, "b": COUNT}, FOLDS),
    "array": (
        LowRankMultiTask(kinds={0: "count", 1: "count", 2: "regression"}, task_weight={0: 1.0, 1: 2.0, 2: 3.0}),
        X,
        np.column_stack([ONE_EVENT, COUNT, NUMBER]),
        FOLDS,
    ),
    "own rows": (
        LowRankMultiTask(kinds={"rare": "count", "b": "count"}),
        {"rare": X, "b": X},
        {"rare": ONE_EVENT, "b": COUNT},
        own_folds(2),
    ),
    "long": (LowRankRegressor(loss="poisson", task_col=4), *stacked(ONE_EVENT, COUNT), own_folds(2)),
}
CLASSES = {
    "named": (LowRankClassifier(class_weight={"rare": "balanced"}), X, {"rare": ONCE, "b": CLASS}, FOLDS),
    "array": (
        LowRankClassifier(class_weight={0: {"no": 1.0, "yes": 5.0}, 1: {"no": 2.0, "yes": 1.0}}),
        X,
        np.column_stack([ONCE, CLASS]),
        FOLDS,
    ),
    "own rows": (LowRankClassifier(), {"rare": X, "b": X}, {"rare": ONCE, "b": CLASS}, own_folds(2)),
    "long": (LowRankClassifier(task_col=4), *stacked(ONCE, CLASS), own_folds(2)),
}
QUICK = {"counts": ("named", "array"), "classes": ("own rows",)}
CASES = [
    pytest.param(forms[form], lacking, id=f"{kind}, {form}", marks=() if form in QUICK[kind] else pytest.mark.slow)
    for kind, forms, lacking in (("counts", COUNTS, "no event"), ("classes", CLASSES, "one class only"))
    for form in forms
]


@pytest.mark.parametrize(("case", "lacking"), CASES)
def test_task_of_one_event_or_class_is_left_out_of_its_fold_and_the_others_are_judged(case, lacking):
    estimator, features, targets, folds = case
    report, said = report_of(estimator, features, targets, cv=folds)
    rare, other = report.tasks[:2]
    assert report.left_out == {rare.task: {0: lacking}}
    (warning,) = [text for text in said if "left out" in text]
    assert f"training part of fold 0 holds {lacking} of task {rare.task!r}" in warning
    assert f"left out     {rare.task}, of 1 fold whose training part holds {lacking} of it" in str(report)
    assert np.isnan(rare.joint)  # no event, or one class, is left to test on
    assert rare.verdict == "no clear difference"
    assert np.isfinite([other.independent, other.joint, other.gain_se]).all()
    assert np.isfinite(report.totals.joint)


@pytest.mark.parametrize("form", ["named", "array"])
def test_other_tasks_are_scored_as_by_hand(form):
    """In the first fold the rare task is not there; the array's other columns keep their kinds and weights."""
    weight = {"rare": 1.0, "b": 2.0, "c": 3.0}
    kinds = {"rare": "count", "b": "count", "c": "regression"}
    named = LowRankMultiTask(n_components=1, alpha=0.02, kinds=kinds, task_weight=weight)
    y = {"rare": ONE_EVENT, "b": COUNT, "c": NUMBER}
    by_hand = np.empty(N)
    for k, (train, test) in enumerate(FOLDS):
        names = ["b", "c"] if k == 0 else ["rare", "b", "c"]
        part = {"task_weight": {t: weight[t] for t in names}, "kinds": {t: kinds[t] for t in names}}
        model = clone(named).set_params(**part).fit(X[train], {t: y[t][train] for t in names})
        by_hand[test] = model.predict(X[test])["c"]
    if form == "array":
        y = np.column_stack(list(y.values()))
        named.set_params(task_weight=dict(enumerate(weight.values())), kinds=dict(enumerate(kinds.values())))
    report, _ = report_of(named, X, y)
    assert report.tasks[2].joint == pytest.approx(r2_score(NUMBER, by_hand), abs=1e-6)


@pytest.mark.slow
def test_a_class_seen_twice_is_judged_where_it_can_be():
    report, _ = report_of(LowRankClassifier(), X, {"twice": TWICE, "b": CLASS}, cv=TaskKFold(2))
    assert report.left_out == {}  # one in every training part
    report, _ = report_of(LowRankClassifier(), X, {"twice": TWICE, "b": CLASS})  # both in the first test part
    assert report.left_out == {"twice": {0: "one class only"}}


def test_no_target_in_a_training_part():
    few = np.where(np.arange(N) < 4, NUMBER, np.nan)
    cv = [*FOLDS, (np.r_[:2, 20:N], np.r_[2:20]), (np.r_[2:N], np.r_[:2])]
    report, (warning,) = report_of(LowRankRegressor(), X, {"few": few, "a": NUMBER}, cv=cv)
    assert report.left_out == {"few": {0: "no target"}}
    assert "of task 'few', which has 4 targets" in warning
    assert np.isfinite(report.tasks[0].joint)  # of the two folds that can judge it


def test_tuned_estimator():
    tuned = LowRankMultiTaskCV(n_components=1, alpha=[0.1], kinds={"rare": "count"}, cv=2, alpha_common=None)
    report, said = report_of(tuned, X, {"rare": ONE_EVENT, "once": ONCE, "a": NUMBER, "b": NUMBER + SIGNAL})
    assert report.left_out == {"rare": {0: "no event"}, "once": {0: "one class only"}}
    assert sum("left out there; so is one more of the tasks" in text for text in said) == 1
    assert np.isfinite([one.joint for one in report.tasks[2:]]).all()


def test_someone_elses_estimator_on_arrays():
    few = np.where(np.arange(N) < 4, NUMBER, 0.0)
    report, said = report_of(DummyRegressor(), X, np.column_stack([few, NUMBER]))
    assert report.left_out == {}  # constant numbers can be learned
    assert said == []


def test_where_nothing_is_left_the_error_names_a_task():
    with pytest.raises(ValueError, match=r"one class only of task 'once'.*'no': 39, 'yes': 1.*no fold can judge"):
        transfer_report(LowRankClassifier(), X[:40], {"once": ONCE[:40]}, cv=FOLDS_OF_ROW_3)


@pytest.mark.slow
def test_curve_warns_once_for_all_sizes():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        curve = transfer_curve(LowRankMultiTask(**TWO_COUNTS), X, Y_OF_TWO, n_labels=[10, 30], cv=FOLDS)
    assert sum("left out" in str(one.message) for one in caught) == 1
    assert all("rare" in report.left_out for report in curve.reports.values())


@pytest.mark.slow
def test_relatedness_of_tasks_that_folds_cannot_judge():
    y = {**Y_OF_TWO, "once": ONCE}
    assert "rare" not in select_tasks(X, y, "a", kinds={"rare": "count"}).selected
    groups = group_tasks(X, y, kinds={"rare": "count"}).groups
    assert sorted(task for group in groups for task in group) == sorted(y)
    assert select_tasks(X, y, "rare", kinds={"rare": "count"}).selected == []


def test_parameters_of_array_tasks_follow_their_columns():
    """A part of an array numbers its columns anew."""
    whole = LowRankMultiTask(kinds={2: "count"}, task_weight={0: 1.0, 1: 2.0, 2: 3.0}, class_weight={1: "balanced"})
    part = estimator_for(whole, [1, 2], [0, 1, 2], numbered=True)
    assert (part.kinds, part.task_weight, part.class_weight) == ({1: "count"}, {0: 2.0, 1: 3.0}, {0: "balanced"})
    by_class = LowRankClassifier(class_weight={0: 1.0, 1: 5.0})
    assert estimator_for(by_class, [1], [0, 1], numbered=True).class_weight == {0: 1.0, 1: 5.0}
    Y = np.column_stack([NUMBER, NUMBER + SIGNAL, COUNT])
    grouped = GroupedTasks(LowRankMultiTask(kinds={2: "count"}, task_weight={0: 1.0, 1: 1.0, 2: 2.0}), 2).fit(X, Y)
    assert grouped.groups_ == [[0, 1], [2]]
    assert np.all(np.asarray(grouped.predict(X))[:, 2] > 0)  # a mean of counts
