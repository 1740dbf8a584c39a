"""Sample weights in a transfer report: in the fits of all columns, in the scores and in what verdicts rest on."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn import config_context
from sklearn.base import clone
from sklearn.linear_model import Ridge
from sklearn.metrics import make_scorer, max_error, r2_score
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from skmtl import (
    GroupedTasks,
    LowRankMultiTask,
    LowRankRegressor,
    LowRankRegressorCV,
    TaskTargets,
    transfer_curve,
    transfer_report,
)
from skmtl.datasets import make_multitask
from skmtl.evidence import Paired, gains
from skmtl.model_selection import stack_tasks
from skmtl.transfer.paired import weighted

N = 12
#: Alone, pooled and joint fits of which nothing depends on folds inside.
PLAIN = GroupedTasks(LowRankMultiTask(n_components=1, alpha=0.1), n_groups=1)
KINDS = {"a": "regression", "b": "regression", "c": "binary"}
COLUMNS = ["independent", "pooled", "joint", "gain", "fine_gain"]


def folds_of(fold_of_row):
    return [(np.flatnonzero(fold_of_row != k), np.flatnonzero(fold_of_row == k)) for k in range(3)]


def weights_of(shape, seed=0):
    return np.random.default_rng(seed).integers(0, 4, shape).astype(float)


def repeated(form):
    """(estimator, X, y, folds, weights) and the same with rows repeated in place of weights."""
    rng = np.random.default_rng(1)
    fold = np.arange(3 * N) % 3
    weights = weights_of(3 * N)
    times = np.repeat(np.arange(3 * N), weights.astype(int))
    if form in ("own", "long"):
        X, y = make_multitask(N, 4, 3, n_components=1, own_rows=True, random_state=0)
        if form == "own":
            parts = {name: weights[i * N : (i + 1) * N] for i, name in enumerate(X)}
            again = {name: np.repeat(np.arange(N), part.astype(int)) for name, part in parts.items()}
            more = {name: X[name][rows] for name, rows in again.items()}, {t: y[t][rows] for t, rows in again.items()}
            return (PLAIN, X, y, folds_of(fold), parts), (PLAIN, *more, folds_of(fold[times]), None)
        frame = pd.DataFrame(np.vstack(list(X.values())), columns=list("abcd")).assign(task=np.repeat(list(X), N))
        column = np.concatenate(list(y.values()))
        model = clone(PLAIN).set_params(estimator__task_col="task")
        return (model, frame, column, folds_of(fold), weights), (
            model, frame.iloc[times], column[times], folds_of(fold[times]), None,
        )  # fmt: skip
    X, y = make_multitask(3 * N, 4, kinds=KINDS, missing=0.1, random_state=0)
    if form == "rows":
        return (PLAIN, X, y, folds_of(fold), weights), (PLAIN, X[times], y[times], folds_of(fold[times]), None)
    # Weights per task: a row of one task only is repeated for it.
    Y = np.asarray(make_multitask(3 * N, 4, 2, n_components=1, missing=0.1, random_state=0)[1], dtype=float)
    table = weights_of(Y.shape)
    table[rng.integers(0, 3 * N, 4), 0] = 0.0
    own = [np.repeat(np.arange(3 * N), column.astype(int)) for column in table.T]
    gaps = [np.where(np.arange(2) == t, Y[rows], np.nan) for t, rows in enumerate(own)]
    model = clone(PLAIN).set_params(estimator=LowRankRegressor(n_components=1, alpha=0.1))
    many = np.concatenate(own)
    stacked = np.vstack(gaps)
    if form == "named":
        y, given = TaskTargets({"a": Y[:, 0], "b": Y[:, 1]}), TaskTargets({"a": table[:, 0], "b": table[:, 1]})
        return (model, X, y, folds_of(fold), given), (
            model, X[many], {"a": stacked[:, 0], "b": stacked[:, 1]}, folds_of(fold[many]), None,
        )  # fmt: skip
    return (model, X, Y, folds_of(fold), table), (model, X[many], stacked, folds_of(fold[many]), None)


FORMS = ["rows", "own", *(pytest.param(form, marks=pytest.mark.slow) for form in ("named", "array", "long"))]


@pytest.mark.parametrize("form", FORMS)
def test_whole_weights_are_rows_given_so_often(form):
    one, other = (
        transfer_report(model, X, y, cv=folds, sample_weight=weights).to_frame()
        for model, X, y, folds, weights in repeated(form)
    )
    np.testing.assert_allclose(one[COLUMNS], other[COLUMNS], rtol=1e-4, atol=1e-5)
    assert not np.allclose(one["joint"], transfer_report(*repeated(form)[0][:3], cv=repeated(form)[0][3]).totals.joint)


@pytest.mark.slow
def test_all_three_columns_are_weighted_scores_of_weighted_fits():
    X, y = stack_tasks(*make_multitask(20, 3, 3, n_components=1, common=1.0, own_rows=True, random_state=0))
    weights = np.random.default_rng(0).uniform(0.2, 5.0, 60)
    tuned = LowRankRegressorCV(n_components=1, alpha=[0.1], alpha_common=[None, 0.1, 1], alpha_own=[None, 0.1, 1], cv=2)
    folds = folds_of(np.arange(60) % 3)[:2]
    report = transfer_report(tuned, X, y, cv=folds, sample_weight=weights)
    assert list(report.estimators) == ["joint", "independent", "pooled"]
    for name, estimator in report.estimators.items():
        predicted = {task: np.full(60, np.nan) for task in y}
        for train, test in folds:
            model = clone(estimator).fit(X[train], y[train], sample_weight=weights[train])
            for task, answers in model.predict(X[test]).items():
                predicted[task][test] = answers
        for one in report.tasks:
            rows = ~np.isnan(y[one.task]) & (np.arange(60) % 3 < 2)
            by_hand = r2_score(y[one.task][rows], predicted[one.task][rows], sample_weight=weights[rows])
            assert getattr(one, name) == pytest.approx(by_hand)
    for one in report.tasks:
        assert one.gain == pytest.approx(one.joint - one.independent)


def test_only_ratios_of_weights_matter_and_equal_ones_are_none():
    X, Y = make_multitask(60, 4, 3, n_components=1, random_state=0)
    weights = np.random.default_rng(0).uniform(0.5, 2.0, 60)
    figures = [
        transfer_report(PLAIN, X, Y, cv=2, sample_weight=given).to_frame()[[*COLUMNS, "gain_se", "p_better"]]
        for given in (weights, 1e6 * weights, None, np.full(60, 7.0))
    ]
    np.testing.assert_allclose(figures[0], figures[1], rtol=1e-5)
    np.testing.assert_allclose(figures[2], figures[3], rtol=1e-5)
    assert not np.allclose(figures[0], figures[2], rtol=1e-2)


def test_the_error_of_a_weighted_gain_is_that_of_a_weighted_mean():
    """Over many draws, gains vary as their standard errors say."""
    rng = np.random.default_rng(0)
    weights, fold = np.exp(rng.normal(0, 1, 500)), np.arange(500) % 5
    found = [
        gains([Paired(np.arange(500), fold, weighted(rng.normal(0.1, 1, 500), weights), np.inf)])[:2]
        for _ in range(300)
    ]
    mean, se = np.array(found)[:, :, 0].T
    assert np.mean(se) == pytest.approx(np.std(mean), rel=0.15)
    assert np.mean(mean) == pytest.approx(0.1, abs=0.02)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda model: make_pipeline(FunctionTransformer(), model),
        lambda model: make_pipeline(FunctionTransformer(), GridSearchCV(model, {"n_groups": [1]}, cv=2)),
        lambda model: GridSearchCV(make_pipeline(FunctionTransformer(), model), {"groupedtasks__n_groups": [1]}, cv=2),
    ],
)
def test_weights_reach_the_last_step_of_pipelines_and_searches(wrap):
    X, Y = make_multitask(45, 4, 2, n_components=1, random_state=0)
    y, weights = TaskTargets(Y), weights_of(45) + 0.5
    plain, wrapped = (
        transfer_report(one, X, y, cv=2, sample_weight=weights).to_frame()[COLUMNS] for one in (PLAIN, wrap(PLAIN))
    )
    np.testing.assert_allclose(plain, wrapped)


@pytest.mark.slow
def test_weights_are_routed_where_scikit_learn_routes_metadata():
    X, Y = make_multitask(45, 4, 2, n_components=1, random_state=0)
    y, weights = TaskTargets(Y), weights_of(45) + 0.5
    plain = transfer_report(LowRankRegressor(n_components=1), X, y, cv=2, sample_weight=weights).to_frame()
    with config_context(enable_metadata_routing=True):
        model = LowRankRegressor(n_components=1).set_fit_request(sample_weight=True)
        wrapped = transfer_report(
            make_pipeline(FunctionTransformer(), model), X, y, cv=2, sample_weight=weights
        ).to_frame()
    np.testing.assert_allclose(plain[COLUMNS[:4]], wrapped[COLUMNS[:4]])


def test_a_metric_of_ones_own_is_weighted_where_it_takes_weights():
    X, Y = make_multitask(45, 3, 2, n_components=1, random_state=0)
    Y, weights = np.column_stack(list(Y.values())), weights_of(45) + 0.5
    folds = folds_of(np.arange(45) % 3)
    report = transfer_report(
        Ridge(), X, Y, cv=folds, scoring={0: "r2", 1: make_scorer(max_error)}, sample_weight=weights
    )
    r2, largest = [], []
    for train, test in folds:
        model = Ridge().fit(X[train], Y[train], weights[train])
        r2.append(r2_score(Y[test, 0], model.predict(X[test])[:, 0], sample_weight=weights[test]))
        largest.append(max_error(Y[test, 1], model.predict(X[test])[:, 1]))
    assert [one.joint for one in report.tasks] == pytest.approx([np.mean(r2), np.mean(largest)])


def test_a_curve_takes_weights():
    X, y = make_multitask(40, 4, 2, n_components=1, random_state=0)
    weights = weights_of(40)
    curve = transfer_curve(PLAIN, X, y, n_labels=[10, 40], cv=2, sample_weight=weights)
    report = transfer_report(PLAIN, X, y, cv=2, random_state=0, sample_weight=weights)
    assert [one.joint for one in curve.reports[40].tasks] == [one.joint for one in report.tasks]
    assert [one.n_labels for one in report.tasks] == [np.count_nonzero(weights)] * 2


class Unfittable(LowRankRegressor):
    def fit(self, X, y, sample_weight=None):
        raise AssertionError("a bad question was let through to a fit")


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (np.ones(39), r"sample_weight must have shape \(40,\)"),
        (-np.ones(40), "sample_weight"),
        (np.full(40, np.nan), "sample_weight"),
        ({"task_0": np.ones(40), "task_1": np.ones(40)}, "TaskTargets"),
        (TaskTargets({"task_0": np.ones(40)}), "must have the tasks of y"),
        (TaskTargets({"task_0": np.ones(40), "task_1": np.zeros(40)}), "'task_1' has zero weights only"),
    ],
)
def test_bad_weights_are_refused_before_any_fit(weights, message):
    X, y = make_multitask(40, 3, 2, random_state=0)
    with pytest.raises(ValueError, match=message):
        transfer_report(Unfittable(), X, y, sample_weight=weights)


def test_an_estimator_without_weights_is_named():
    X, y = make_multitask(40, 3, 2, random_state=0)
    with pytest.raises(ValueError, match=r"KNeighborsRegressor.fit takes no weights"):
        transfer_report(
            make_pipeline(KNeighborsRegressor()), X, np.column_stack(list(y.values())), sample_weight=np.ones(40)
        )
