"""The transfer report: its figures are those of a by-hand cross-validation, whatever the form and the estimator."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, clone
from sklearn.linear_model import LogisticRegression, MultiTaskLasso, Ridge
from sklearn.metrics import accuracy_score, r2_score
from sklearn.model_selection import KFold, ShuffleSplit, cross_val_score
from sklearn.model_selection import cross_val_predict as sklearn_cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmtl import (
    LowRankMultiTaskCV,
    LowRankRegressor,
    LowRankRegressorCV,
    TaskScorer,
    TaskTargets,
    transfer_curve,
    transfer_report,
)
from skmtl.datasets import load_penguins, load_star, make_multitask
from skmtl.model_selection import GridSearchCV, TaskKFold, cross_val_predict, stack_tasks
from skmtl.scoring import score_task
from skmtl.single_task import last_step
from skmtl.transfer.counterparts import opponents
from skmtl.transfer.report import tasks_for

#: A tuned estimator whose inner folds are the same in every form.
FEW_CANDIDATES = LowRankRegressorCV(
    n_components=1,
    alpha=[0.1],
    alpha_common=[None, 0.1, 1.0],
    alpha_own=[None, 0.1, 1.0],
    cv=TaskKFold(3),
)
#: What cv=3 stands for.
THREE_FOLDS = TaskKFold(3, shuffle=True, random_state=0)
KINDS = {"price": "regression", "sold": "binary", "type": "multiclass"}


class Together(BaseEstimator):
    """An estimator of someone else's that takes named targets; what it shares is the mean of all coefficients."""

    def __init__(self, sharing=0.5):
        self.sharing = sharing

    def fit(self, X, y):
        models = {}
        for task, column in y.items():
            seen = ~pd.isna(np.asarray(column))
            is_number = np.asarray(column)[seen].dtype.kind in "if"
            model = Ridge() if is_number else LogisticRegression()
            models[task] = model.fit(X[seen], np.asarray(column)[seen].astype(float if is_number else str))
        shared = np.mean([np.atleast_2d(model.coef_)[:1] for model in models.values()], axis=0)
        for model in models.values():
            model.coef_ = (1 - self.sharing) * model.coef_ + self.sharing * shared.reshape(-1, X.shape[1])[0]
        self.models_ = models
        self.classes_by_task_ = {task: m.classes_ for task, m in models.items() if hasattr(m, "classes_")}
        return self

    def predict(self, X):
        return TaskTargets({task: model.predict(X) for task, model in self.models_.items()})

    def predict_proba(self, X):
        return TaskTargets({task: self.models_[task].predict_proba(X) for task in self.classes_by_task_})


@pytest.fixture(scope="module")
def mixed():
    X, y = make_multitask(90, 6, kinds=KINDS, missing=0.2, signal=2.0, random_state=0)
    words = {0.0: "no", 1.0: "yes"}
    return X, TaskTargets({**y, "sold": [words.get(value) for value in y["sold"].tolist()]})


@pytest.fixture(scope="module")
def numbers():
    return make_multitask(60, 8, 4, n_components=2, missing=0.2, random_state=1)


def figures(report):
    return {one.task: (one.independent, one.joint) for one in report.tasks}


# -- the figures ------------------------------------------------------------------------------


@pytest.mark.slow
def test_scores_are_those_of_cross_val_predict(mixed):
    X, y = mixed
    joint = LowRankMultiTaskCV(n_components=2, alpha=0.1, alpha_common=None, alpha_own=[None, 0.1, 1.0], cv=2)
    report = transfer_report(joint, X, y, cv=2)
    for name, estimator in report.estimators.items():
        predicted = cross_val_predict(estimator, X, y, cv=TaskKFold(2, shuffle=True, random_state=0))
        for one in report.tasks:
            assert getattr(one, name) == pytest.approx(score_task(KINDS[one.task], y[one.task], predicted[one.task]))
    assert [one.kind for one in report.tasks] == list(KINDS.values())
    assert [one.n_labels for one in report.tasks] == [72, 72, 72]


def without_repeats(y):
    """Numbers that repeat are classes to a splitter, which is told no kinds."""
    apart = {t: c if c.dtype.kind in "OUb" else c + 1e-6 * np.arange(len(c)) for t, c in y.items()}
    return TaskTargets(apart)


def few_rows_of_star():
    X, y = load_star()
    return X[:1500], y[np.arange(1500)]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("estimator", "load"),
    [
        (LowRankRegressorCV(), few_rows_of_star),
        (
            LowRankMultiTaskCV(n_components=[1, 3], alpha=0.03, alpha_own=[None, 0.01], alpha_common=None, cv=3),
            load_penguins,
        ),
    ],
    ids=["STAR", "penguins"],
)
def test_a_tuned_report_on_real_data_is_cross_validation_by_hand(estimator, load):
    X, y = load()
    X, y = np.asarray(X), TaskTargets(y)
    report = transfer_report(estimator, X, y)
    for which, model in report.estimators.items():
        true, predicted = ({task: [] for task in y} for _ in range(2))
        for train, test in TaskKFold(5, shuffle=True, random_state=0).split(X, without_repeats(y)):
            answers = clone(model).fit(X[train], y[train]).predict(X[test])
            for task, column in y[test].items():
                seen = ~pd.isna(column)
                true[task].append(np.asarray(column)[seen])
                predicted[task].append(answers[task][seen])
        for one in report.tasks:
            metric = r2_score if one.kind == "regression" else accuracy_score
            by_hand = metric(np.concatenate(true[one.task]), np.concatenate(predicted[one.task]))
            assert getattr(one, which) == pytest.approx(by_hand, abs=1e-9)


def test_a_metric_of_ones_own_is_the_mean_of_cross_val_score(mixed):
    X, y = mixed
    joint = Together()
    report = transfer_report(joint, X, y, cv=3, scoring={"sold": "roc_auc", "price": "neg_mean_absolute_error"})
    for one in report.tasks[:2]:
        scorer = TaskScorer(one.task, report.scoring[one.task])
        by_hand = cross_val_score(joint, X, TaskTargets(y), scoring=scorer, cv=THREE_FOLDS)
        assert one.joint == pytest.approx(by_hand.mean())
        alone = cross_val_score(joint, X, TaskTargets({one.task: y[one.task]}), scoring=scorer, cv=split_of(X, y))
        assert one.independent == pytest.approx(alone.mean())
        assert one.gain == pytest.approx(one.joint - one.independent)
    assert report.scoring["type"] == "accuracy"


def split_of(X, y):
    """The folds of the report, whatever tasks are looked at."""
    return list(THREE_FOLDS.split(X, TaskTargets(y)))


def test_alone_means_fitted_on_the_tasks_own_labels_only(mixed):
    X, y = mixed
    report = transfer_report(Together(), X, y, cv=3)
    predicted = cross_val_predict(Together(), X, {"price": y["price"]}, cv=split_of(X, y))
    assert figures(report)["price"][0] == pytest.approx(score_task("regression", y["price"], predicted["price"]))


def test_the_gain_of_numbers_is_the_difference_of_their_scores(numbers):
    report = transfer_report(Together(), *numbers)
    for one in report.tasks:
        assert one.gain == pytest.approx(one.joint - one.independent)
        assert one.fine_gain == one.gain
    totals = report.totals
    assert totals.gain == pytest.approx(np.mean([one.gain for one in report.tasks]))
    assert totals.gain == pytest.approx(totals.joint - totals.independent)


def test_the_gain_of_classes_counts_rows_and_the_finer_one_their_probabilities(mixed):
    X, y = mixed
    report = transfer_report(Together(), X, y, cv=3)
    one = next(one for one in report.tasks if one.task == "sold")
    assert one.gain == pytest.approx(one.joint - one.independent)
    seen = ~pd.isna(y["sold"])
    truth = np.asarray(y["sold"])[seen] == "yes"
    brier = []
    for targets in ({"sold": y["sold"]}, y):
        p = cross_val_predict(Together(), X, targets, cv=split_of(X, y), method="predict_proba")["sold"][seen]
        brier.append(np.mean((p[:, 1] - truth) ** 2))
    assert one.fine_gain == pytest.approx((brier[0] - brier[1]) / np.var(truth))


def test_pooled_is_one_model_on_the_rows_of_all_tasks():
    X, y = stack_tasks(*make_multitask(40, 5, 2, n_components=1, common=2.0, own_rows=True, random_state=0))
    folds = [(np.flatnonzero(np.arange(80) % 2 != k), np.arange(k, 80, 2)) for k in range(2)]
    report = transfer_report(FEW_CANDIDATES, X, y, cv=folds)
    pooled = report.estimators["pooled"]
    assert pooled.alpha == np.inf
    assert pooled.alpha_own is None
    by_hand = cross_val_predict(pooled, X, y, cv=folds)
    for one in report.tasks:
        assert one.pooled == pytest.approx(score_task("regression", y[one.task], by_hand[one.task]), abs=1e-6)


def test_a_pooled_clone_knows_the_tasks_level_and_unit():
    # The same task in two units: as one they are learned from twice the rows. (Raw, feet would drown metres.)
    advantage = []
    for seed in range(5):
        rng = np.random.default_rng(seed)
        X = {name: rng.standard_normal((15, 8)) for name in ("metres", "feet")}
        y = {name: table @ np.ones(8) + rng.standard_normal(15) for name, table in X.items()}
        y["feet"] = 1000.0 + 3.28 * y["feet"]
        advantage.append([one.pooled - one.independent for one in transfer_report(OwnRows(), X, y).tasks])
    assert np.all(np.mean(advantage, axis=0) > 0)  # with 12 rows for 8 coefficients, and 24


class OwnRows(BaseEstimator):
    """One Ridge per task, whose X may be a dict."""

    def fit(self, X, y):
        self.models_ = {t: Ridge(1e-3).fit(X[t] if isinstance(X, dict) else X, column) for t, column in y.items()}
        return self

    def predict(self, X):
        return {t: m.predict(X[t] if isinstance(X, dict) else X) for t, m in self.models_.items()
                if not isinstance(X, dict) or t in X}  # fmt: skip


def test_an_array_estimator_of_scikit_learn_works_too():
    X, y = make_multitask(60, 8, 3, random_state=1)
    Y = np.asarray(y)
    report = transfer_report(MultiTaskLasso(alpha=0.05), X, Y, cv=KFold(4))
    predicted = sklearn_cross_val_predict(MultiTaskLasso(alpha=0.05), X, Y, cv=KFold(4))
    alone = sklearn_cross_val_predict(MultiTaskLasso(alpha=0.05), X, Y[:, [1]], cv=KFold(4))
    assert figures(report)[1] == pytest.approx(
        (score_task("regression", Y[:, 1], alone[:, 0]), score_task("regression", Y[:, 1], predicted[:, 1]))
    )
    ridge = transfer_report(Ridge(), X, Y)  # which shares nothing
    assert {one.verdict for one in ridge.tasks} == {"no clear difference"}
    assert all(one.gain == 0 for one in ridge.tasks)


# -- the forms --------------------------------------------------------------------------------


def test_the_four_forms_give_the_same_scores_on_the_same_folds():
    X, y = make_multitask(20, 4, 2, n_components=1, own_rows=True, random_state=2)
    stacked, targets = stack_tasks(X, y)
    long = pd.DataFrame(stacked, columns=list("abcd")).assign(task=np.repeat(list(X), 20))
    model = LowRankRegressor(n_components=1)
    reports = [
        transfer_report(model, X, y, cv=2),
        transfer_report(model, stacked, targets, cv=2),
        transfer_report(model, stacked, targets.to_frame(), cv=2),
        transfer_report(model, stacked, np.asarray(targets), cv=2),
        transfer_report(clone(model).set_params(task_col="task"), long, np.concatenate(list(y.values())), cv=2),
    ]
    first = reports[0].to_frame()
    for report in reports[1:]:
        frame = report.to_frame()
        np.testing.assert_allclose(frame["joint"], first["joint"], atol=1e-5)
        np.testing.assert_allclose(
            frame["independent"], first["independent"], atol=1e-3
        )  # tuned on the same inner folds
        assert (
            frame[["kind", "n_labels", "n_train"]].to_numpy().tolist()
            == first[["kind", "n_labels", "n_train"]].to_numpy().tolist()
        )


def test_a_pipeline_with_a_task_column_needs_its_name():
    X, y = make_multitask(20, 3, 2, own_rows=True, random_state=0)
    stacked, _ = stack_tasks(X, y)
    table = np.column_stack([np.repeat([0, 1], 20), stacked])
    model = make_pipeline(StandardScaler(), LowRankRegressor(task_col=0))
    with pytest.raises(ValueError, match="give X as a DataFrame"):
        transfer_report(model, table, np.concatenate(list(y.values())))


def test_pipelines_and_searches_are_compared_with_their_own_kind(numbers):
    def opponent(estimator):
        return opponents(estimator, tasks_for(estimator, *numbers))["independent"].estimator

    pipeline = make_pipeline(StandardScaler(), LowRankRegressor(n_components=2, scale_targets=None))
    found = opponent(pipeline)
    assert found.steps[0][0] == "standardscaler"
    assert isinstance(found[-1], LowRankRegressorCV)
    assert (found[-1].alpha, found[-1].alpha_common, found[-1].alpha_own) == (np.inf, None, "auto")
    assert (found[-1].scale_targets, found[-1].guard) == (None, False)
    grid = {"lowrankregressor__alpha": [0.1, 1.0]}
    assert isinstance(opponent(GridSearchCV(pipeline, grid, cv=2))[-1], LowRankRegressorCV)  # alpha is no longer its
    grid["standardscaler__with_mean"] = [True, False]
    found = opponent(GridSearchCV(pipeline, grid, cv=2))
    assert found.param_grid == {"standardscaler__with_mean": [True, False]}
    assert isinstance(found.estimator[-1], LowRankRegressorCV)


@pytest.mark.parametrize("wrap", [lambda model: model, lambda model: make_pipeline(StandardScaler(), model)])
def test_a_report_is_about_the_joint_model_without_its_guard(numbers, wrap):
    X, y = numbers
    settings = {"n_components": 1, "alpha": [0.1, 0.3], "alpha_common": None, "alpha_own": [None, 0.3], "cv": 3}
    model = wrap(LowRankRegressorCV(**settings))
    report = transfer_report(model, X, y, cv=3)
    inside = last_step(report.estimators["joint"])
    assert inside.guard is False
    assert last_step(model).guard is True
    assert inside.get_params() == {**last_step(model).get_params(), "guard": False}


def test_the_order_of_tasks_threads_and_calls_do_not_matter(numbers):
    X, y = numbers
    folds = split_of(X, y)
    first = transfer_report(Together(), X, y, cv=folds).to_frame()
    turned = TaskTargets({task: y[task] for task in reversed(list(y))})
    pd.testing.assert_frame_equal(transfer_report(Together(), X, turned, cv=folds).to_frame().loc[first.index], first)
    pd.testing.assert_frame_equal(transfer_report(Together(), X, y, cv=folds, n_jobs=2).to_frame(), first)
    shuffled = [transfer_report(Together(), X, y, random_state=3).to_frame() for _ in range(2)]
    pd.testing.assert_frame_equal(*shuffled)


def test_nothing_handed_in_is_changed(mixed):
    X, y = mixed
    X_before, y_before, model = X.copy(), TaskTargets(y).copy(), Together()
    transfer_report(model, X, y, cv=3)
    assert np.array_equal(X, X_before)
    assert y == y_before
    assert not hasattr(model, "models_")


def test_a_constant_target_and_a_task_that_is_never_tested_have_no_verdict():
    X, y = make_multitask(40, 4, 2, random_state=0)
    y["constant"] = np.full(40, 7.0)
    y["untested"] = np.where(np.arange(40) < 20, y["task_0"], np.nan)
    report = transfer_report(Together(), X, y, cv=[(np.arange(30), np.arange(30, 40))])
    constant, untested = report.tasks[2:]
    assert constant.gain == 0
    assert np.isnan(untested.joint)
    assert untested.verdict == constant.verdict == "no clear difference"
    assert not np.isnan(report.totals.joint)
    assert "untested" in repr(report)


def test_repeated_splits_count_rows_as_often_as_they_are_tested(numbers):
    X, y = numbers
    report = transfer_report(Together(), X, y, cv=ShuffleSplit(8, test_size=0.25, random_state=0))
    assert report.n_folds == 8
    assert report.tasks[0].n_train == pytest.approx(36, abs=2)


def test_warnings_of_many_fits_are_told_once(numbers):
    X, y = numbers
    with pytest.warns(Warning) as caught:  # noqa: PT030 - whatever it is
        transfer_report(LowRankRegressor(max_iter=1, tol=1e-14, n_components=2), X, y, cv=3)
    alike = [str(one.message)[:40] for one in caught]
    assert len(alike) == len(set(alike))


# -- what is said -----------------------------------------------------------------------------


def test_text_html_and_frame_tell_the_same(mixed):
    X, y = mixed
    y = TaskTargets({"<price>": y["price"], "sold": y["sold"]})
    report = transfer_report(Together(), X, y, cv=3)
    text = repr(report)
    assert text.isascii()
    assert max(map(len, text.splitlines())) <= 150
    assert text.splitlines()[0].split()[:4] == ["task", "kind", "labels", "independent"]
    assert report.advice in text
    html = report._repr_html_()
    assert "&lt;price&gt;" in html
    assert "<price>" not in html
    frame = report.to_frame()
    assert frame.shape == (2, 13)
    assert f"{frame.loc['sold', 'joint']:.3f}" in text
    assert f"{frame.loc['sold', 'joint']:.3f}" in html


def test_of_many_tasks_the_text_shows_the_ends():
    X, y = make_multitask(30, 3, 50, random_state=0)
    report = transfer_report(Together(), X, y, cv=2)
    shown = [line.split()[0] for line in repr(report).splitlines() if line.startswith("task_")]
    ordered = report.to_frame()["fine_gain"].sort_values(ascending=False).index
    assert shown == [*ordered[:15], *ordered[-15:]]
    assert "... 20 tasks in between ..." in repr(report)
    assert sum(line.startswith("task_") for line in report.to_text(None).splitlines()) == 50


# -- learning curves --------------------------------------------------------------------------


class Counting(Together):
    """Remembers what it was given."""

    seen: list = []  # noqa: RUF012 - shared on purpose

    def fit(self, X, y):
        Counting.seen.append({task: np.flatnonzero(~pd.isna(np.asarray(column))) for task, column in y.items()})
        Counting.seen[-1]["rows"] = X[:, 0]
        return super().fit(X, y)


def test_a_curve_trains_on_the_promised_labels_and_more_contain_fewer(mixed):
    X, y = mixed
    X = np.column_stack([np.arange(len(X)) / 100.0, X])
    Counting.seen = []
    curve = transfer_curve(Counting(), X, y, n_labels=[30, 12], cv=2)
    assert list(curve.reports) == [12, 30]
    joint = [one for one in Counting.seen if len(one) == 4]
    labels = [{task: set(one["rows"][one[task]]) for task in KINDS} for one in joint]
    assert len(labels) == 4  # two sizes by two folds
    for few, many in zip(labels[:2], labels[2:]):
        for task in KINDS:
            assert len(few[task]) == 12
            assert len(many[task]) == 30
            assert few[task] < many[task]
    rows = (100 * np.array([*labels[0]["type"]])).round().astype(int)
    assert min(np.unique(np.asarray(y["type"])[rows].astype(str), return_counts=True)[1]) >= 2
    assert curve.to_frame().shape == (6, 13)
    assert repr(curve).splitlines()[0].split()[0] == "labels"


def test_with_all_labels_a_curve_is_the_report(numbers):
    X, y = numbers
    curve = transfer_curve(Together(), X, y, n_labels=[10, 1000], random_state=0)
    pd.testing.assert_frame_equal(
        curve.reports[1000].to_frame(), transfer_report(Together(), X, y, random_state=0).to_frame()
    )


@pytest.mark.parametrize("n_labels", [[], [1, 5], [2.5], ["many"]])
def test_a_curve_needs_numbers_of_labels(numbers, n_labels):
    with pytest.raises(ValueError, match="n_labels must hold integers of at least 2"):
        transfer_curve(Together(), *numbers, n_labels=n_labels)
