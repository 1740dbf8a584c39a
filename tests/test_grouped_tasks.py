"""`GroupedTasks`: one model per group, behind the interface of a single estimator."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest
from planted import planted_groups
from sklearn.base import clone
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import estimator_checks_generator

import skmtl
from skmtl import GroupedTasks, LowRankClassifier, LowRankMultiTask, LowRankRegressor, TaskTargets
from skmtl.model_selection import GridSearchCV


def grouped(estimator=None, n_groups=2, **options):
    estimator = LowRankMultiTask(n_components=1) if estimator is None else estimator
    return GroupedTasks(estimator, n_groups, random_state=0, **options)


@pytest.fixture(scope="module")
def problem():
    return planted_groups(1, n_groups=2, per_group=3, n_rows=60, n_features=8, rank=1, own_rows=False)


@pytest.fixture(scope="module")
def own_rows():
    return planted_groups(2, n_groups=2, per_group=4, n_rows=50, n_features=8, rank=1)


def test_it_is_a_fit_per_group(problem):
    X, y, labels, _ = problem
    model = grouped().fit(X, y)
    assert model.n_groups_ == len(model.estimators_) == 2
    assert model.tasks_ == list(y)
    for group in model.groups_:
        assert len({labels[model.tasks_.index(name)] for name in group}) == 1
        alone = LowRankMultiTask(n_components=1).fit(X, {name: y[name] for name in group})
        for name in group:
            np.testing.assert_array_equal(model.predict(X)[name], alone.predict(X)[name])


def test_the_number_of_groups_is_chosen_where_none_is_given(problem):
    X, y, _, _ = problem
    model = grouped(n_groups=None).fit(X, y)
    assert model.n_groups_ == 2
    assert model.grouping_.path


def agreement(model, X, truth):
    """Mean correlation over tasks of predictions (of classes: their log-odds) with the noise-free truth."""
    answers = dict(model.predict(X))
    if hasattr(model, "decision_function"):
        answers |= model.decision_function(X)
    return np.mean([np.corrcoef(answers[name], column)[0, 1] for name, column in truth.items()])


def compared(seed, n_groups, strengths, **options):
    """Grouped, and the best joint and the best independent models: their strengths are picked by the truth itself."""
    X, y, _, coef = planted_groups(seed, **options)
    test = np.random.RandomState(100 + seed).randn(1000, len(coef))
    truth = dict(zip(y, (test @ coef).T, strict=True))
    ranks = (2, 4, 6, 8)
    joint = [LowRankMultiTask(n_components=k, alpha=alpha) for k in ranks for alpha in strengths]
    alone = [LowRankMultiTask(alpha=np.inf, alpha_own=alpha) for alpha in strengths]
    own = grouped(LowRankMultiTask(n_components=2, alpha=0.1), n_groups)
    return [max(agreement(one.fit(X, y), test, truth) for one in models) for models in ([own], joint, alone)]


@pytest.mark.slow
@pytest.mark.parametrize("kinds", [("regression",), ("regression", "binary")])
def test_it_beats_one_joint_model_and_independent_models(kinds):
    options = {"n_groups": 3, "per_group": 8, "n_rows": 60, "n_features": 20, "rank": 2, "kinds": kinds}
    own, joint, alone = compared(1, 3, (0.1, 0.3), **{k: v for k, v in options.items() if k != "n_groups"})
    assert own > joint + 0.005
    assert own > alone + 0.05


@pytest.mark.slow
def test_it_beats_the_best_joint_and_independent_models_on_the_planted_groups():
    # The problem of test_group_tasks: 3 groups of 15 tasks, 30 labels each, 40 features; the number is chosen.
    own, joint, alone = np.mean([compared(seed, None, (0.03, 0.1, 0.3, 1.0)) for seed in range(3)], axis=0)
    assert own > joint + 0.02
    assert own > alone + 0.1


def test_arrays_and_frames_get_the_same_answers(problem):
    X, y, _, _ = problem
    named = grouped().fit(X, y)
    Y = np.array(list(y.values())).T
    array = grouped(LowRankRegressor(n_components=1)).fit(X, Y)
    assert isinstance(named.predict(X), TaskTargets)
    np.testing.assert_allclose(array.predict(X), named.predict(X).to_frame().to_numpy())
    assert array.score(X, Y) == pytest.approx(named.score(X, y))
    frame = grouped().fit(pd.DataFrame(X).add_prefix("x"), pd.DataFrame(y))
    assert frame.feature_names_in_.tolist() == [f"x{i}" for i in range(8)]
    flat = grouped(LowRankRegressor(n_components=1), 1).fit(X, Y[:, 0])
    assert flat.predict(X).shape == (60,)


def test_own_rows_and_the_long_form_get_the_same_answers(own_rows):
    X, y, _, _ = own_rows
    named = grouped().fit(X, y)
    table = pd.concat([pd.DataFrame(rows).add_prefix("x").assign(task=name) for name, rows in X.items()])
    order = np.random.RandomState(0).permutation(len(table))
    targets = np.concatenate(list(y.values()))
    long = grouped(LowRankRegressor(n_components=1, task_col="task")).fit(table.iloc[order], targets[order])
    assert {frozenset(group) for group in long.groups_} == {frozenset(group) for group in named.groups_}
    expected = np.concatenate([named.predict(X)[name] for name in X])[order]
    np.testing.assert_allclose(long.predict(table.iloc[order]), expected, atol=1e-4)
    assert long.score(table.iloc[order], targets[order]) == pytest.approx(named.score(X, y), abs=1e-4)
    one_task = named.predict({"t03": X["t03"]})
    np.testing.assert_array_equal(one_task["t03"], named.predict(X)["t03"])


def test_classes_in_every_form(own_rows):
    X, numbers, _, _ = own_rows
    y = {name: np.where(column > 0, "yes", "no") for name, column in numbers.items()}
    stacked, labels = np.concatenate(list(X.values())), np.repeat(list(X), 50)
    model = grouped(LowRankClassifier(n_components=1)).fit(X, y)
    probabilities = model.predict_proba(X)
    assert probabilities["t05"].shape == (50, 2)
    assert model.classes_by_task_["t05"].tolist() == ["no", "yes"]
    table = pd.DataFrame(stacked).add_prefix("x").assign(task=labels)
    long = grouped(LowRankClassifier(n_components=1, task_col="task")).fit(table, np.concatenate(list(y.values())))
    np.testing.assert_allclose(
        long.predict_proba(table), np.concatenate([probabilities[name] for name in X]), atol=1e-3
    )
    assert long.classes_.tolist() == ["no", "yes"]
    shared = next(iter(X.values()))
    Y = np.array([shared @ np.eye(8)[j] > 0 for j in (0, 0, 0, 1, 1, 1)]).T.astype(int)
    array = grouped(LowRankClassifier(n_components=1)).fit(shared, Y)
    assert [part.shape for part in array.predict_proba(shared)] == [(50, 2)] * 6
    assert len(array.classes_) == 6
    np.testing.assert_array_equal(array.predict(shared)[:, 2], array.predict_proba(shared)[2].argmax(axis=1))


@pytest.mark.slow
def test_it_lives_in_pipelines_searches_and_cross_validation(problem):
    X, y, _, _ = problem
    model = grouped(make_pipeline(StandardScaler(), LowRankMultiTask(n_components=1)))
    assert clone(model).get_params()["estimator__lowrankmultitask__n_components"] == 1
    assert np.isfinite(cross_val_score(model, X, TaskTargets(y), cv=2)).all()
    search = GridSearchCV(grouped(), {"estimator__alpha": [0.01, 100.0]}, cv=2).fit(X, y)
    assert search.best_params_ == {"estimator__alpha": 0.01}
    assert search.best_estimator_.estimators_[0].alpha == 0.01
    outer = make_pipeline(StandardScaler(), grouped()).fit(X, y)
    assert outer.score(X, y) > 0.5


def test_a_pickle_predicts_the_same(problem):
    X, y, _, _ = problem
    model = grouped().fit(X, y)
    again = pickle.loads(pickle.dumps(model))
    assert again.predict(X) == model.predict(X)


def test_split_gives_a_predictor_per_task(problem):
    X, y, _, _ = problem
    model = grouped().fit(X, y)
    predictors = model.split()
    assert list(predictors) == list(y)
    assert all(isinstance(one, LinearRegression) for one in predictors.values())
    np.testing.assert_allclose(predictors["t04"].predict(X), model.predict(X)["t04"])
    piped = grouped(make_pipeline(StandardScaler(), LowRankMultiTask(n_components=1))).fit(X, y)
    assert isinstance(piped.split()["t04"], Pipeline)
    np.testing.assert_allclose(piped.split()["t04"].predict(X), piped.predict(X)["t04"])
    np.testing.assert_allclose(skmtl.split(model)["t04"].predict(X), model.predict(X)["t04"])


def test_weights_reach_the_models(problem):
    X, y, _, _ = problem
    weight = np.r_[np.ones(40), np.zeros(20)]
    weighted = grouped().fit(X, y, sample_weight=weight)
    by_task = grouped().fit(X, y, sample_weight=TaskTargets(dict.fromkeys(y, weight)))
    assert weighted.predict(X)["t00"] == pytest.approx(by_task.predict(X)["t00"])
    group = next(group for group in weighted.groups_ if "t00" in group)
    few = LowRankMultiTask(n_components=1).fit(X[:40], {name: y[name][:40] for name in group})
    np.testing.assert_allclose(weighted.predict(X)["t00"], few.predict(X)["t00"], atol=1e-5)


def test_a_failing_fit_leaves_the_model_as_it_was(problem):
    X, y, _, _ = problem
    model = grouped().fit(X, y)
    before = model.predict(X)
    with pytest.raises(ValueError, match="n_groups must be None or an integer from 1 to 2, the tasks; got 9"):
        model.set_params(n_groups=9).fit(X[:, :3], {"t00": y["t00"], "t01": y["t01"]})
    with pytest.raises(ValueError, match="The parameter 'alpha' of LowRankMultiTask must be"):
        model.set_params(n_groups=2, estimator__alpha=-1.0).fit(X[:, :3], y)
    assert model.predict(X) == before


# What parametrize_with_checks would collect; written out because pytest refuses the generator of scikit-learn 1.6.
CHECKS = [
    pytest.param(estimator, check, id=f"{estimator.estimator}-{check.func.__name__}")
    for one in (LowRankRegressor(), LowRankClassifier())
    for estimator, check in estimator_checks_generator(GroupedTasks(one))
]


@pytest.mark.filterwarnings("ignore:Tasks .* hold whole numbers:UserWarning")
@pytest.mark.parametrize(("estimator", "check"), CHECKS)
def test_scikit_learns_own_checks_pass(estimator, check):
    check(estimator)


@pytest.mark.slow
def test_what_is_said_of_a_task_reaches_the_model_of_its_group(problem):
    X, y, _, _ = problem
    first = next(iter(y))
    said = {"kinds": {first: "regression"}, "task_weight": dict.fromkeys(y, 2.0)}
    model = grouped(make_pipeline(StandardScaler(), LowRankMultiTask(n_components=1, **said))).fit(X, y)
    for one, members in zip(model.estimators_, model.groups_, strict=True):
        inside = one.steps[-1][1]
        assert inside.task_weight == dict.fromkeys(members, 2.0)
        assert inside.kinds == ({first: "regression"} if first in members else None)
    labels = {task: np.where(column > 0, "up", "down") for task, column in y.items()}
    by_class = grouped(LowRankClassifier(n_components=1, class_weight={"up": 2.0})).fit(X, labels)
    assert all(one.class_weight == {"up": 2.0} for one in by_class.estimators_)


def test_an_estimator_that_knows_no_names_takes_arrays_only(problem):
    X, y, _, _ = problem
    with pytest.raises(TypeError, match=r"estimator must be a multi-task estimator of skmtl, or .* got Ridge"):
        grouped(Ridge()).fit(X, y)
    array = np.column_stack(list(y.values()))
    assert grouped(Ridge()).fit(X, array).predict(X).shape == array.shape
