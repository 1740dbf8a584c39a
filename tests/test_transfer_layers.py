"""Networks with a shared hidden layer in a report, in groups of tasks and in scikit-learn's own displays."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.inspection import partial_dependence
from sklearn.metrics import r2_score

from skmtl import (
    GroupedTasks,
    LowRankMultiTask,
    SharedLayerClassifier,
    SharedLayerMultiTask,
    SharedLayerRegressor,
    transfer_report,
)
from skmtl.datasets import make_multitask
from skmtl.model_selection import TaskKFold, stack_tasks
from skmtl.scoring import score_task

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
FEW_STEPS = {"n_hidden": 8, "n_linear": 2, "alpha": 0.01, "cv": 2, "max_iter": 10}
#: What an opponent is: its strength is chosen for it.
TUNED_ANEW = FEW_STEPS | {"alpha": "auto"}
KINDS = {"price": "regression", "sold": "binary", "type": "multiclass"}


@pytest.fixture(scope="module")
def mixed():
    return make_multitask(60, 4, kinds=KINDS, missing=0.1, signal=2.0, random_state=0)


@pytest.fixture(scope="module")
def own():
    return make_multitask(20, 3, 3, n_components=1, own_rows=True, random_state=0)


def alone_by_hand(network, X, y, name):
    """Held-out score of one network of the same kind that sees one task only."""
    rows = np.flatnonzero(~pd.isna(np.asarray(y[name])))
    predicted = np.full(len(X), None, dtype=object)
    for train, test in TaskKFold(2, shuffle=True, random_state=0).split(X, y):
        seen = np.intersect1d(train, rows)
        predicted[test] = clone(network).fit(X[seen], {name: np.asarray(y[name])[seen]}).predict(X[test])[name]
    dtype = float if KINDS.get(name, "regression") == "regression" else np.asarray(y[name])[rows].dtype
    return score_task(KINDS.get(name, "regression"), np.asarray(y[name])[rows], predicted[rows].astype(dtype))


@pytest.mark.parametrize("kinds", [None, KINDS])
def test_independent_is_the_same_kind_of_network_for_each_task(mixed, kinds):
    X, y = mixed
    report = transfer_report(SharedLayerMultiTask(**FEW_STEPS, kinds=kinds), X, y, cv=2)
    assert [one.kind for one in report.tasks] == list(KINDS.values())
    assert list(report.estimators) == ["joint", "independent"]
    for one in report.tasks:
        network = SharedLayerMultiTask(**TUNED_ANEW, kinds={one.task: KINDS[one.task]})
        assert one.independent == pytest.approx(alone_by_hand(network, X, y, one.task))


def test_kinds_of_others_are_read_in_groups_and_left_out_of_a_fit_of_one_task(mixed):
    X, y = mixed
    few = {name: y[name] for name in ("price", "sold")}
    estimator = LowRankMultiTask(n_components=1, kinds={"price": "regression", "sold": "regression"})
    report = transfer_report(GroupedTasks(estimator, n_groups=1), X, few, cv=2)
    assert [one.kind for one in report.tasks] == ["regression", "regression"]


def test_pooled_is_one_network_on_the_rows_of_all_tasks(own):
    X, y = own
    labels = {name: np.where(column > 0, "yes", "no") for name, column in y.items()}
    report = transfer_report(SharedLayerMultiTask(**FEW_STEPS, kinds=dict.fromkeys(y, "binary")), X, labels, cv=2)
    stacked, truth = np.vstack(list(X.values())), np.concatenate(list(labels.values()))
    predicted = np.empty_like(truth)
    folds = TaskKFold(2, shuffle=True, random_state=0).split(*stack_tasks(X, labels))
    for train, test in folds:
        network = SharedLayerMultiTask(**TUNED_ANEW).fit(stacked[train], {"all": truth[train]})
        predicted[test] = network.predict(stacked[test])["all"]
    by_hand = (predicted == truth).reshape(3, 20).mean(axis=1)
    np.testing.assert_allclose([one.pooled for one in report.tasks], by_hand)


def test_rows_of_their_own_and_the_long_form_are_compared_alike(own):
    X, y = own
    long = pd.DataFrame(np.vstack(list(X.values())), columns=list("abc")).assign(task=np.repeat(list(X), 20))
    network = SharedLayerRegressor(**FEW_STEPS)
    by_form = [
        transfer_report(network, X, y, cv=2),
        transfer_report(clone(network).set_params(task_col="task"), long, np.concatenate(list(y.values())), cv=2),
    ]
    for one, other in zip(*(report.tasks for report in by_form), strict=True):
        assert (one.independent, one.joint) == pytest.approx((other.independent, other.joint))


def test_classes_are_compared_by_their_probabilities(mixed):
    X, y = mixed
    report = transfer_report(SharedLayerClassifier(**FEW_STEPS), X, {"sold": y["sold"], "type": y["type"]}, cv=2)
    assert all(np.isfinite(one.fine_gain) and one.fine_gain != one.gain for one in report.tasks)


def test_a_network_per_group_of_tasks_with_rows_of_their_own(own):
    X, y = own
    network = SharedLayerRegressor(**FEW_STEPS)
    model = GroupedTasks(network, n_groups=2).fit(X, y)
    for names in model.groups_:
        by_hand = clone(network).fit({t: X[t] for t in names}, {t: y[t] for t in names})
        for name in names:
            np.testing.assert_allclose(model.predict(X)[name], by_hand.predict({name: X[name]})[name])
            r2 = r2_score(y[name], model.split()[name].predict(X[name]))
            assert model.score_tasks(X, y)[name] == pytest.approx(r2)


def test_a_network_per_group_of_numbers_and_classes(mixed):
    X, y = mixed
    network = SharedLayerMultiTask(**FEW_STEPS, kinds=KINDS)
    model = GroupedTasks(network, n_groups=2).fit(X, y)
    probabilities = model.predict_proba(X)
    for names in model.groups_:
        part = {name: KINDS[name] for name in names}
        by_hand = clone(network).set_params(kinds=part).fit(X, {name: y[name] for name in names})
        for name in set(names) - {"price"}:
            np.testing.assert_allclose(probabilities[name], by_hand.predict_proba(X)[name])


def test_partial_dependence_of_a_task_is_the_mean_of_the_joint_models_answers(mixed):
    X = pd.DataFrame(mixed[0], columns=list("abcd"))
    model = SharedLayerMultiTask(**FEW_STEPS, kinds=KINDS).fit(X, mixed[1])
    for name, predictor in model.split().items():
        found = partial_dependence(predictor, X, ["b"], grid_resolution=3)
        for value, average in zip(found["grid_values"][0], found["average"].T, strict=True):
            moved = X.assign(b=value)
            given = (
                model.predict(moved)[name] if name == "price" else model.predict_proba(moved)[name][:, -len(average) :]
            )
            np.testing.assert_allclose(average, np.mean(given, axis=0), rtol=1e-9, err_msg=name)
