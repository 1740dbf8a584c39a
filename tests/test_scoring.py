"""Scorers: any metric of scikit-learn for one task or all, on the rows that have a target, in every form."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import sklearn
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    get_scorer,
    log_loss,
    make_scorer,
    max_error,
    mean_absolute_error,
    r2_score,
    roc_auc_score,
)
from sklearn.model_selection import GridSearchCV, KFold, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmtl import (
    LowRankClassifier,
    LowRankMultiTask,
    LowRankRegressor,
    MultiTaskScorer,
    TaskScorer,
    TaskTargets,
)
from skmtl.targets import is_missing

N_ROWS = 90


@pytest.fixture(scope="module")
def problem() -> tuple[np.ndarray, TaskTargets, np.ndarray]:
    """X, mixed targets with gaps (a number, strings with None, three classes), and a weight per row."""
    rng = np.random.RandomState(0)
    X = rng.normal(size=(N_ROWS, 5))
    raw = X @ rng.normal(size=(5, 3)) + 0.7 * rng.normal(size=(N_ROWS, 3))
    gap = rng.uniform(size=(N_ROWS, 2)) < 0.25
    y = TaskTargets(
        {
            "mass": np.where(gap[:, 0], np.nan, raw[:, 0]),
            "sex": np.where(gap[:, 1], None, np.where(raw[:, 1] > 0, "male", "female")),
            "species": np.array(["a", "b", "c"])[np.digitize(raw[:, 2], [-0.6, 0.6])],
        }
    )
    return X, y, rng.uniform(0.1, 2.0, size=N_ROWS)


@pytest.fixture(scope="module")
def model(problem) -> LowRankMultiTask:
    """A mixed model of the problem."""
    return LowRankMultiTask(random_state=0).fit(problem[0], problem[1])


def seen(y, task):
    """Mask of the rows that have a target of the task."""
    return ~is_missing(y[task])


# -- one task by any metric ------------------------------------------------------------------------


def expectations(model, X, y):
    """What the metrics of scikit-learn say, computed by hand from the model's answers."""
    mass, sex, species = (np.flatnonzero(seen(y, task)) for task in ("mass", "sex", "species"))
    sex_true, species_true = y["sex"][sex].astype(str), y["species"][species]
    proba, decision = model.predict_proba(X), model.decision_function(X)
    return {
        ("mass", None): r2_score(y["mass"][mass], model.predict(X)["mass"][mass]),
        ("mass", "neg_mean_absolute_error"): -mean_absolute_error(y["mass"][mass], model.predict(X)["mass"][mass]),
        ("sex", None): accuracy_score(sex_true, model.predict(X)["sex"][sex]),
        ("sex", "accuracy"): accuracy_score(sex_true, model.predict(X)["sex"][sex]),
        ("sex", "roc_auc"): roc_auc_score(sex_true, decision["sex"][sex]),
        ("sex", "neg_log_loss"): -log_loss(sex_true, proba["sex"][sex]),
        ("species", "roc_auc_ovr"): roc_auc_score(species_true, proba["species"][species], multi_class="ovr"),
        ("species", "neg_log_loss"): -log_loss(species_true, proba["species"][species]),
    }


CASES = [
    ("mass", None),
    ("mass", "neg_mean_absolute_error"),
    ("sex", None),
    ("sex", "accuracy"),
    ("sex", "roc_auc"),
    ("sex", "neg_log_loss"),
    ("species", "roc_auc_ovr"),
    ("species", "neg_log_loss"),
]


@pytest.mark.parametrize(("task", "scoring"), CASES)
@pytest.mark.parametrize("form", ["dict", "TaskTargets", "DataFrame"])
def test_metrics_by_prediction_probability_and_decision(problem, model, task, scoring, form):
    X, y, _ = problem
    given = {"dict": dict(y), "TaskTargets": y, "DataFrame": y.to_frame}[form]
    given = given() if callable(given) else given
    expected = expectations(model, X, y)[task, scoring]
    assert TaskScorer(task, scoring)(model, X, given) == pytest.approx(expected, rel=1e-12)


def test_metrics_made_by_make_scorer(problem, model):
    X, y, _ = problem
    rows = seen(y, "sex")
    scorer = make_scorer(average_precision_score, response_method="predict_proba", pos_label="female")
    expected = average_precision_score(
        y["sex"][rows].astype(str), model.predict_proba(X)["sex"][rows, 0], pos_label="female"
    )
    assert TaskScorer("sex", scorer)(model, X, y) == pytest.approx(expected)


def test_a_callable_is_shown_an_estimator_of_one_task(problem, model):
    X, y, _ = problem
    rows = seen(y, "sex")

    def share_of_certain(estimator, X_rows, y_rows):
        assert sklearn.base.is_classifier(estimator)
        assert estimator.classes_.tolist() == ["female", "male"]
        np.testing.assert_array_equal(X_rows, X[rows])
        assert y_rows.tolist() == y["sex"][rows].tolist()
        other = estimator.predict_proba(X_rows[::-1])[::-1]  # may ask for any rows
        np.testing.assert_allclose(other, estimator.predict_proba(X_rows))
        return np.mean(other.max(axis=1) > 0.9)

    expected = np.mean(model.predict_proba(X)["sex"][rows].max(axis=1) > 0.9)
    assert TaskScorer("sex", share_of_certain)(model, X, y) == expected


def test_a_numeric_task_has_no_probabilities(problem, model):
    with pytest.raises(
        ValueError, match="Task 'mass' cannot be scored by 'neg_log_loss': its model has no predict_proba"
    ):
        TaskScorer("mass", "neg_log_loss")(model, *problem[:2])


def test_a_task_without_a_target_here_has_no_score(problem, model):
    X, y, _ = problem
    without = y | {"sex": [None] * N_ROWS}
    scores = MultiTaskScorer({"sex": "accuracy", "species": "accuracy"})(model, X, without)
    assert np.isnan(TaskScorer("sex", "roc_auc")(model, X, without))
    assert np.isnan(scores["sex"])
    assert scores["mean"] == scores["species"]


def test_an_unknown_task_is_told_with_the_known_ones(problem, model):
    with pytest.raises(KeyError, match=r"no task 'weight'; the tasks are .*'mass', .*'sex', .*'species'"):
        TaskScorer("weight")(model, *problem[:2])


# -- several tasks -----------------------------------------------------------------------------------


def test_several_tasks_and_their_mean(problem, model):
    X, y, _ = problem
    scoring = {"mass": "neg_mean_absolute_error", "sex": "roc_auc", "species": None}
    scores = MultiTaskScorer(scoring)(model, X, y)
    each = {task: TaskScorer(task, one)(model, X, y) for task, one in scoring.items()}
    assert scores == {**each, "mean": pytest.approx(np.mean(list(each.values())))}


def test_without_metrics_it_is_the_estimators_own_score(problem, model):
    X, y, _ = problem
    scores = MultiTaskScorer()(model, X, y)
    assert scores.pop("mean") == pytest.approx(model.score(X, y))
    assert scores == pytest.approx(model.score_tasks(X, y))


def test_every_method_is_asked_once_for_all_tasks(problem, model):
    class Counting(LowRankMultiTask):
        calls = 0

        def predict(self, X):
            Counting.calls += 1
            return super().predict(X)

    X, y, _ = problem
    counting = copy.copy(model)
    counting.__class__ = Counting
    MultiTaskScorer({"mass": "r2", "sex": "accuracy", "species": "f1_macro"})(counting, X, y)
    assert Counting.calls == 1


# -- every form in which tasks come --------------------------------------------------------------------


def test_own_rows():
    rng = np.random.RandomState(3)
    X = {name: rng.normal(size=(n, 4)) for name, n in (("a", 20), ("b", 35))}
    y = {name: table @ [1.0, 2.0, 0.0, -1.0] + rng.normal(size=len(table)) for name, table in X.items()}
    model = LowRankRegressor().fit(X, y)
    scores = MultiTaskScorer()(model, X, y)
    assert scores["b"] == pytest.approx(r2_score(y["b"], model.predict(X)["b"]))
    assert scores["mean"] == pytest.approx(model.score(X, y))


def test_arrays_name_tasks_by_column(problem):
    X, y, _ = problem
    numbers = np.column_stack([y["mass"], X @ [1.0, 1.0, 0.0, 0.0, 0.0]])
    model = LowRankRegressor().fit(X, numbers)
    rows = seen(y, "mass")
    expected = r2_score(numbers[rows, 0], model.predict(X)[rows, 0])
    assert TaskScorer(0, "r2")(model, X, numbers) == pytest.approx(expected)
    assert MultiTaskScorer()(model, X, numbers)["mean"] == pytest.approx(model.score(X, numbers))
    with pytest.raises(KeyError, match=r"no task 'mass'.*0 to 1"):
        TaskScorer("mass", "r2")(model, X, numbers)


def test_an_array_of_mixed_kinds_has_probabilities_of_its_classes_only(problem):
    X, y, _ = problem
    objects = np.column_stack([np.asarray(y[task], dtype=object) for task in ("mass", "species")])
    model = LowRankMultiTask().fit(X, objects)
    expected = -log_loss(y["species"], model.predict_proba(X)[0])
    assert TaskScorer(1, "neg_log_loss")(model, X, objects) == pytest.approx(expected)


def test_a_single_column_of_classes(problem):
    X, y, _ = problem
    model = LowRankClassifier().fit(X, y["species"])
    expected = get_scorer("roc_auc_ovr")(model, X, y["species"])
    assert TaskScorer(0, "roc_auc_ovr")(model, X, y["species"]) == pytest.approx(expected)


def test_long_form(problem):
    X = problem[0]
    school = np.arange(N_ROWS) % 2
    X_long = np.column_stack([X, school])
    labels = np.where(X[:, 0] + 0.5 * school > 0, "pass", "fail").astype("U5")
    labels[(school == 1) & (X[:, 1] > 0.5)] = "again"  # a class that only task 1 has
    target = labels.astype(object)
    target[[0, 2]] = None
    model = LowRankClassifier(task_col=5).fit(X_long, target)
    rows = (school == 0) & (target != None)  # noqa: E711 - elementwise
    proba = model.predict_proba(X_long)[rows][:, [1, 2]]
    np.testing.assert_array_equal(model.classes_, ["again", "fail", "pass"])
    assert TaskScorer(0, "neg_log_loss")(model, X_long, target) == pytest.approx(-log_loss(labels[rows], proba))
    scores = MultiTaskScorer()(model, X_long, target)
    assert scores == {**model.score_tasks(X_long, target), "mean": pytest.approx(model.score(X_long, target))}


@pytest.mark.parametrize(
    "wrapped",
    [
        lambda model: make_pipeline(StandardScaler(), model),
        FrozenEstimator,
        lambda model: GridSearchCV(model, {"alpha": [0.05]}, cv=2),
    ],
    ids=["pipeline", "frozen", "search"],
)
def test_around_the_estimator(problem, wrapped):
    X, y, _ = problem
    inside = LowRankMultiTask(random_state=0).fit(X, y)
    outside = wrapped(inside).fit(X, y)
    rows = seen(y, "sex")
    expected = roc_auc_score(y["sex"][rows].astype(str), outside.predict_proba(X)["sex"][rows, 1])
    assert TaskScorer("sex", "roc_auc")(outside, X, y) == pytest.approx(expected)
    assert MultiTaskScorer({"sex": "roc_auc"})(outside, X, y)["mean"] == pytest.approx(expected)


# -- weights ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["per row", "TaskTargets", "DataFrame", "array"])
def test_weights_are_cut_like_the_rows(problem, model, form):
    X, y, per_row = problem
    per_task = TaskTargets({"mass": per_row[::-1], "sex": per_row, "species": per_row})
    given = {
        "per row": per_row,
        "TaskTargets": per_task,
        "DataFrame": per_task.to_frame(),
    }.get(form)
    rows = seen(y, "mass")
    weight = per_row if form == "per row" else per_row[::-1]
    expected = r2_score(y["mass"][rows], model.predict(X)["mass"][rows], sample_weight=weight[rows])
    if form == "array":
        numbers = np.column_stack([y["mass"], y["mass"]])
        array_model = LowRankRegressor().fit(X, numbers)
        given = np.column_stack([per_row[::-1], per_row])
        expected = r2_score(y["mass"][rows], array_model.predict(X)[rows, 0], sample_weight=weight[rows])
        assert TaskScorer(0, "r2")(array_model, X, numbers, sample_weight=given) == pytest.approx(expected)
    else:
        assert TaskScorer("mass", "r2")(model, X, y, sample_weight=given) == pytest.approx(expected)
        assert MultiTaskScorer({"mass": None})(model, X, y, sample_weight=given)["mass"] == pytest.approx(expected)


@pytest.mark.parametrize("scorer", ["one", "many"])
def test_weights_reach_the_metrics_that_request_them(problem, scorer):
    X, y, weight = problem
    with sklearn.config_context(enable_metadata_routing=True):
        r2 = get_scorer("r2").set_score_request(sample_weight=True)
        accuracy = get_scorer("accuracy").set_score_request(sample_weight=False)
        scoring = {
            "one": TaskScorer("mass", r2),
            "many": MultiTaskScorer({"mass": r2, "sex": accuracy}),
        }[scorer]
        model = LowRankMultiTask().set_fit_request(sample_weight=False)
        cv = KFold(2)
        result = cross_validate(
            model, X, y, cv=cv, scoring=scoring, params={"sample_weight": weight}, return_estimator=True
        )
        _, test = next(cv.split(X))
        fitted = result["estimator"][0]
    rows = test[seen(y, "mass")[test]]
    expected = r2_score(y["mass"][rows], fitted.predict(X[rows])["mass"], sample_weight=weight[rows])
    assert result["test_score" if scorer == "one" else "test_mass"][0] == pytest.approx(expected)
    if scorer == "many":
        rows = test[seen(y, "sex")[test]]
        expected = accuracy_score(y["sex"][rows].astype(str), fitted.predict(X[rows])["sex"])
        assert result["test_sex"][0] == pytest.approx(expected)


def test_a_search_with_weights_and_metrics_that_know_none(problem):
    X, y, weight = problem
    scoring = MultiTaskScorer({"mass": make_scorer(max_error, greater_is_better=False), "sex": "accuracy"})
    search = GridSearchCV(LowRankMultiTask(), {"alpha": [0.01, 1.0]}, cv=2, scoring=scoring, refit="mean")
    search.fit(X, y, sample_weight=weight)
    assert np.isfinite(search.cv_results_["mean_test_mass"]).all()


# -- in searches --------------------------------------------------------------------------------------


def test_a_search_by_one_task_and_by_all(problem):
    X, y, _ = problem
    grid = {"alpha": [1e-3, 100.0]}
    one = GridSearchCV(LowRankMultiTask(), grid, cv=2, scoring=TaskScorer("sex", "neg_log_loss")).fit(X, y)
    every = GridSearchCV(
        LowRankMultiTask(),
        grid,
        cv=2,
        scoring=MultiTaskScorer({"sex": "neg_log_loss", "mass": "r2"}),
        refit="mean",
    ).fit(X, y)
    named = GridSearchCV(
        LowRankMultiTask(),
        grid,
        cv=2,
        refit="sex",
        scoring={"sex": TaskScorer("sex", "neg_log_loss"), "mass": TaskScorer("mass", "r2")},
    ).fit(X, y)
    np.testing.assert_allclose(every.cv_results_["mean_test_sex"], one.cv_results_["mean_test_score"])
    np.testing.assert_allclose(named.cv_results_["mean_test_sex"], one.cv_results_["mean_test_score"])
    assert every.best_index_ == np.argmax(every.cv_results_["mean_test_mean"])


# -- the scorer as an object ---------------------------------------------------------------------------

SCORERS = [
    TaskScorer("sex"),
    TaskScorer("sex", "roc_auc"),
    TaskScorer("mass", make_scorer(r2_score)),
    MultiTaskScorer(),
    MultiTaskScorer({"sex": "roc_auc", "mass": None}),
]


@pytest.mark.parametrize("scorer", SCORERS, ids=repr)
@pytest.mark.parametrize(
    "copied",
    [
        lambda scorer: pickle.loads(pickle.dumps(scorer)),
        copy.deepcopy,
        lambda scorer: clone(GridSearchCV(LowRankMultiTask(), {}, scoring=scorer)).scoring,
    ],
    ids=["pickle", "deepcopy", "clone"],
)
def test_copies_score_the_same(problem, model, scorer, copied):
    X, y, _ = problem
    twin = copied(scorer)
    assert repr(twin) == repr(scorer)
    assert twin(model, X, y) == scorer(model, X, y)


def test_repr_is_how_it_was_made():
    assert repr(TaskScorer("sex", "roc_auc")) == "TaskScorer('sex', 'roc_auc')"
    assert repr(MultiTaskScorer({"sex": None})) == "MultiTaskScorer({'sex': None})"


WRONG = {
    "unknown metric": (lambda: TaskScorer("sex", "nonsense"), ValueError, "nonsense"),
    "no metric": (lambda: TaskScorer("sex", 3), TypeError, "got 3"),
    "unknown metric of many": (lambda: MultiTaskScorer({"sex": "nonsense"}), ValueError, "nonsense"),
    "no dict": (lambda: MultiTaskScorer(["sex"]), TypeError, r"\['sex'\]"),
    "empty": (lambda: MultiTaskScorer({}), ValueError, "empty"),
    "task called mean": (lambda: MultiTaskScorer({"mean": None}), ValueError, "'mean'"),
}


@pytest.mark.parametrize(("make", "error", "message"), WRONG.values(), ids=WRONG)
def test_mistakes_are_told_when_the_scorer_is_made(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_a_column_as_a_table_is_scored_like_the_column():
    X = np.random.RandomState(0).randn(30, 3)
    y = {"price": X[:, :1] + 1.0}
    model = LowRankRegressor(n_components=1).fit(X, y)
    assert MultiTaskScorer()(model, X, y) == MultiTaskScorer()(model, X, {"price": y["price"][:, 0]})
