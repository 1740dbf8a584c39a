"""A class or a task that a training part lacks is a wrong prediction, or a task left out with a warning: no error."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn import model_selection
from sklearn.base import clone
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, log_loss, mean_absolute_error, r2_score, roc_auc_score
from sklearn.model_selection import KFold, LeaveOneGroupOut, PredefinedSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import skmtl
from skmtl import (
    LowRankClassifier,
    LowRankMultiTask,
    LowRankRegressor,
    LowRankRegressorCV,
    MultiTaskScorer,
    TaskScorer,
    TaskTargets,
)
from skmtl.datasets import load_penguins, make_multitask
from skmtl.model_selection import GridSearchCV, cross_val_predict, cross_val_score


def long_table(n_tasks=5, n_each=30, seed=0):
    rng = np.random.default_rng(seed)
    school = np.repeat(np.arange(n_tasks), n_each)
    Z = rng.normal(size=(len(school), 3))
    return np.column_stack([school, Z]), Z @ [1.0, 2.0, 3.0] + rng.normal(size=len(school)), school


def with_gap(seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(60, 4))
    a, b = ((X[:, j] + 0.5 * rng.normal(size=60) > 0).astype(float) for j in range(2))
    a[7] = np.nan
    return X, a, b


# -- classes ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("labels", [["a", "b", "c"], [0, 1, 2]], ids=str)
def test_accuracy_counts_an_unseen_class_as_scikit_learn_does(labels):
    rng = np.random.default_rng(0)
    X, code = rng.normal(size=(60, 3)), rng.integers(0, 3, size=60)
    y = np.array(labels, dtype=object)[code]
    seen = code < 2
    model = LowRankMultiTask().fit(X[seen], {"t": y[seen].tolist()})
    predicted = np.asarray(model.predict(X)["t"], dtype=object)
    expected = np.mean([one == other for one, other in zip(y, predicted, strict=True)])
    assert model.score(X, {"t": y.tolist()}) == pytest.approx(expected)
    if labels[0] == "a":
        alone = LogisticRegression().fit(X[seen], y[seen].astype(str))
        assert alone.score(X, y.astype(str)) == accuracy_score(y.astype(str), alone.predict(X))  # no error there


def test_a_flat_array_of_classes_too():
    X, code = np.random.default_rng(0).normal(size=(60, 3)), np.arange(60) % 3
    model = LowRankClassifier().fit(X[code < 2], code[code < 2])
    assert model.score(X, code) == accuracy_score(code, model.predict(X))
    scores = model_selection.cross_val_score(LowRankClassifier(), X, np.sort(code), cv=KFold(3), error_score="raise")
    assert np.all(scores == 0)  # the one class that is tested is the one that is not trained


def test_a_metric_that_wants_every_class_is_undefined_with_a_warning():
    X, code = np.random.default_rng(0).normal(size=(60, 3)), np.arange(60) % 3
    y = TaskTargets({"t": np.array(["a", "b", "c"])[code], "number": X[:, 0] + 1.0})
    model = LowRankMultiTask().fit(X[code < 2], y[code < 2])
    with pytest.warns(UndefinedMetricWarning, match="Task 't' is not scored by 'neg_log_loss'"):
        scores = MultiTaskScorer({"t": "neg_log_loss", "number": "r2"})(model, X, y)
    assert np.isnan(scores["t"])
    assert scores["mean"] == scores["number"]


@pytest.mark.parametrize("scoring", [None, "accuracy", "neg_log_loss"])
def test_a_search_goes_on_where_a_fold_lacks_a_class(scoring):
    X, a, b = with_gap()
    a[:3] = 2.0  # all in the first fold
    y = TaskTargets({"a": a, "b": b})
    metric = None if scoring is None else MultiTaskScorer(scoring)
    refit = True if scoring is None else "mean"
    grid = {"alpha": [10.0, 0.01]}
    search = GridSearchCV(LowRankClassifier(), grid, cv=KFold(3), scoring=metric, refit=refit, error_score="raise")
    if scoring == "neg_log_loss":
        with pytest.warns(UserWarning, match="is not scored by|non-finite"):
            search.fit(X, y)
    else:
        search.fit(X, y)
    assert search.best_params_ == {"alpha": 0.01}


# -- tasks ------------------------------------------------------------------------------------------


def test_leave_one_group_out_scores_unseen_tasks_by_the_common_part():
    X, y, school = long_table()
    model = LowRankRegressor(task_col=0, alpha_common=0.1)
    scores = model_selection.cross_val_score(model, X, y, groups=school, cv=LeaveOneGroupOut(), error_score="raise")
    for k, (train, test) in enumerate(LeaveOneGroupOut().split(X, y, school)):
        fitted = LowRankRegressor(task_col=0, alpha_common=0.1).fit(X[train], y[train])
        assert scores[k] == pytest.approx(r2_score(y[test], fitted.predict(X[test])))


def test_several_unseen_tasks_are_told_apart_and_rows_may_stand_in_any_order():
    X, y, school = long_table()
    model = LowRankRegressor(task_col=0, alpha_common=0.1).fit(X[school < 2], y[school < 2])
    order = np.random.default_rng(0).permutation(len(X))
    for scores in (
        model.score_tasks(X[order], y[order]),
        model.score_tasks(X[order], y[order], scoring="r2"),
        MultiTaskScorer("r2")(model, X[order], y[order]),
    ):
        for task in range(5):
            expected = r2_score(y[school == task], model.predict(X[school == task]))
            assert scores[task] == pytest.approx(expected)


def test_probabilities_of_an_unseen_task_are_scored_by_the_common_part():
    X, y, school = long_table()
    label = (y > 0).astype(int)
    model = LowRankClassifier(task_col=0, alpha_common=0.1).fit(X[school < 3], label[school < 3])
    inside = school == 4
    expected = -log_loss(label[inside], model.predict_proba(X[inside]))
    assert TaskScorer(4, "neg_log_loss")(model, X, label) == pytest.approx(expected)


@pytest.mark.parametrize(
    "model",
    [
        LowRankRegressor(alpha_common=0.1),
        LowRankRegressor(alpha_common=0.1, alpha_own=0.3, scale_features=True),
        LowRankRegressor(alpha_common=0.1, factor_prior="learned", feature_prior="learned"),
        LowRankRegressor(alpha_common=0.1, loss="poisson"),
        LowRankRegressorCV(
            alpha=[1.0], alpha_common=[0.1], alpha_own=[0.3], n_components=1, alpha_intercept=None, cv=3
        ),
        LowRankClassifier(alpha_common=0.1),
    ],
    ids=lambda model: f"{type(model).__name__}-{len(str(model))}",
)
def test_moving_a_feature_changes_nothing_of_an_unseen_task(model):
    # Its level is the mean of those of all tasks where rows are, not at zero, where no row need be.
    X, y, school = long_table()
    X[:, 1:] += [10.0, -5.0, 1.0]
    y = y + 3.0 * school
    if isinstance(model, LowRankClassifier):
        y = (y > np.median(y) + 3.0 * (school - 2)).astype(int)
    elif "poisson" in str(model):
        y = np.round(np.abs(y))
    moved, new = X + np.array([0.0, 1000.0, -50.0, 7.0]), school == 0
    raw = []
    for table in (X, moved):
        fitted = clone(model).set_params(task_col=0, tol=1e-10).fit(table[~new], y[~new])
        centre, tasks = table[~new, 1:].mean(axis=0), fitted.tasks_
        levels = [centre @ np.ravel(fitted.coef_[t]) + np.ravel(fitted.intercept_[t])[0] for t in tasks]
        raw.append(np.mean(levels) + (table[new, 1:] - centre) @ fitted.common_)
        answer = fitted.decision_function(table[new]) if hasattr(fitted, "classes_") else fitted.predict(table[new])
        np.testing.assert_allclose(answer, np.exp(raw[-1]) if "poisson" in str(model) else raw[-1], rtol=1e-6)
        before = fitted.predict(table[new])
        fitted.add_tasks(np.column_stack([np.full(40, 77), table[:40, 1:]]), y[:40])
        np.testing.assert_array_equal(fitted.predict(table[new]), before)
    np.testing.assert_allclose(raw[1], raw[0], rtol=1e-5, atol=1e-6)


def test_without_a_common_part_unseen_tasks_are_left_out():
    X, y, school = long_table()
    model = LowRankRegressor(task_col=0).fit(X[school < 3], y[school < 3])
    with pytest.warns(UndefinedMetricWarning, match=r"left out of the score: \[3, 4\]"):
        assert model.score(X, y) == pytest.approx(model.score(X[school < 3], y[school < 3]))
    with pytest.warns(UndefinedMetricWarning, match=r"Task [34] is not scored"):
        scores = MultiTaskScorer()(model, X, y)
    assert np.isnan(scores[4])
    with pytest.raises(ValueError, match="X holds the task 3 in column 0, which fit did not see"):
        model.score(X[school >= 3], y[school >= 3])


@pytest.mark.parametrize("form", ["names", "own rows"])
def test_a_named_task_that_fit_did_not_see_is_left_out(form):
    X, y = make_multitask(40, 4, 3, random_state=0, own_rows=form == "own rows")
    part = {name: X[name] for name in ("task_0", "task_1")} if form == "own rows" else X
    model = LowRankRegressor().fit(part, {name: y[name] for name in ("task_0", "task_1")})
    with pytest.warns(UndefinedMetricWarning, match=r"\['task_2'\]"):
        assert set(model.score_tasks(X, y)) == {"task_0", "task_1"}


def test_a_tuned_search_does_not_judge_a_task_where_it_is_not_fitted():
    X, y = make_multitask(60, 4, 3, n_components=1, random_state=0)
    y["task_2"] = y["task_2"] + 1000.0
    y["task_2"][20:] = np.nan  # the first fold holds all its labels: there its coefficients are zero
    model = LowRankRegressorCV(
        n_components=1, alpha=[0.3, 0.01], alpha_common=None, alpha_own=None, factor_prior="ridge", cv=KFold(3),
        scoring="r2",
    ).fit(X, y)  # fmt: skip
    assert np.isnan(model.cv_results_["split0_test_score"]).sum() == 0
    assert np.isnan(model.cv_results_["mean_test_task_2"]).all()
    assert model.best_score_ > 0.2


# -- gaps in the targets of a classifier --------------------------------------------------------------


@pytest.mark.parametrize("names", ["a", "ab"])
def test_scikit_learns_own_functions_take_a_classifier_with_gaps_as_task_targets(names):
    X, *columns = with_gap()
    y = TaskTargets(dict(zip(names, columns)))
    scores = model_selection.cross_val_score(LowRankClassifier(), X, y, cv=5, error_score="raise")
    by_hand = [LowRankClassifier().fit(X[train], y[train]).score(X[test], y[test]) for train, test in KFold(5).split(X)]
    np.testing.assert_allclose(scores, by_hand)
    grid = {"alpha": [10.0, 0.01]}
    search = model_selection.GridSearchCV(LowRankClassifier(), grid, cv=3, error_score="raise").fit(X, y)
    assert search.best_params_ == {"alpha": 0.01}


FORMS = {
    "dict": lambda a, b: {"a": a, "b": b},
    "frame": lambda a, b: pd.DataFrame({"a": a, "b": b}),
    "array": lambda a, b: np.column_stack([a, b]),
    "flat": lambda a, b: a,
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_those_of_skmtl_take_them_in_every_form(form):
    X, a, b = with_gap()
    y = form(a, b)
    scores = cross_val_score(LowRankClassifier(), X, y, cv=5, error_score="raise")
    assert scores.shape == (5,)
    assert scores.mean() > 0.7
    assert GridSearchCV(LowRankClassifier(), {"alpha": [10.0, 0.01]}, cv=3).fit(X, y).best_params_ == {"alpha": 0.01}
    assert len(cross_val_predict(LowRankClassifier(), X, y, cv=3)) == 60


def test_a_name_is_the_mean_over_tasks_in_cross_val_score():
    X, a, b = with_gap()
    cv = PredefinedSplit(np.arange(60) % 3)
    y = TaskTargets({"a": a, "b": b})
    found = cross_val_score(LowRankClassifier(), X, dict(y), cv=cv, scoring="roc_auc", error_score="raise")
    for score, (train, test) in zip(found, cv.split(), strict=True):
        p = LowRankClassifier().fit(X[train], y[train]).predict_proba(X[test])
        aucs = [roc_auc_score(y[test][t][~np.isnan(y[test][t])], p[t][~np.isnan(y[test][t]), 1]) for t in "ab"]
        assert score == pytest.approx(np.mean(aucs))


def test_whole_numbers_with_gaps_stay_numbers_where_they_are_asked_for():
    y = TaskTargets({"a": [0.0, np.nan, 1.0]})
    assert np.asarray(y, dtype=float).dtype == np.float64
    assert np.asarray(TaskTargets({"a": [0.5, np.nan]})).dtype == np.float64


# -- scores -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def penguins():
    X, y = load_penguins()
    return X, y, make_pipeline(StandardScaler(), LowRankMultiTask(n_components=3)).fit(X, y)


def test_one_metric_is_for_all_tasks_that_it_fits(penguins):
    X, y, model = penguins
    seen = ~pd.isna(np.asarray(y["sex"], dtype=object))
    auc = roc_auc_score(np.asarray(y["sex"])[seen].astype(str), model.predict_proba(X)["sex"][seen, 1])
    assert MultiTaskScorer("roc_auc")(model, X, y) == {"sex": pytest.approx(auc), "mean": pytest.approx(auc)}
    assert list(MultiTaskScorer("r2")(model, X, y)) == ["body_mass", "mean"]
    assert list(MultiTaskScorer("neg_log_loss")(model, X, y)) == ["species", "sex", "mean"]
    with pytest.raises(ValueError, match=r"scoring='roc_auc' fits none of the tasks \['body_mass'\]"):
        MultiTaskScorer("roc_auc")(model, X, {"body_mass": y["body_mass"]})
    assert repr(MultiTaskScorer("roc_auc")) == "MultiTaskScorer('roc_auc')"


def test_score_tasks_takes_metrics(penguins):
    X, y, pipeline = penguins
    model, Z = pipeline[-1], pipeline[:-1].transform(X)
    seen = ~np.isnan(y["body_mass"])
    error = mean_absolute_error(y["body_mass"][seen], model.predict(Z)["body_mass"][seen])
    metrics = {"body_mass": "neg_mean_absolute_error", "species": None}
    scores = model.score_tasks(Z, y, scoring=metrics)
    assert scores == {"body_mass": pytest.approx(-error), "species": model.score_tasks(Z, y)["species"]}
    assert skmtl.score_tasks(pipeline, X, y, scoring=metrics) == pytest.approx(scores)
    assert skmtl.score_tasks(pipeline, X, y) == pytest.approx(model.score_tasks(Z, y))
    assert model.score_tasks(Z, y, scoring="roc_auc").keys() == {"sex"}


def test_so_do_the_parts_of_a_split_model(penguins):
    X, y, pipeline = penguins
    parts = skmtl.split(pipeline)
    assert skmtl.score_tasks(parts, X, y) == pytest.approx(skmtl.score_tasks(pipeline, X, y))
    for scoring in ("neg_log_loss", {"sex": "roc_auc"}):
        expected = skmtl.score_tasks(pipeline, X, y, scoring=scoring)
        assert skmtl.score_tasks(parts, X, y, scoring=scoring) == pytest.approx(expected, rel=1e-6)
    with pytest.raises(ValueError, match="y must name its tasks"):
        skmtl.score_tasks(parts, X, np.zeros((len(X), 3)))
