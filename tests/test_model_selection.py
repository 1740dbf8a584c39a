"""Our own searches and cross_val_predict: a plain dict of targets gives what scikit-learn gives for TaskTargets."""

from __future__ import annotations

import numpy as np
import pytest
import sklearn
from sklearn import model_selection
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmtl import LowRankClassifier, LowRankMultiTask, LowRankRegressor, MultiTaskScorer, TaskKFold, TaskTargets
from skmtl.model_selection import GridSearchCV, RandomizedSearchCV, cross_val_predict, stack_tasks

N_ROWS = 90


def make_problem() -> tuple[np.ndarray, dict]:
    """A number, two classes and three classes that share two directions of five features; a fifth is missing."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(N_ROWS, 5))
    shared = X @ rng.normal(size=(5, 2))
    sums = shared.sum(axis=1) + 0.3 * rng.normal(size=N_ROWS)
    columns = {
        "price": shared[:, 0] + 0.1 * rng.normal(size=N_ROWS),
        "sold": np.where(shared[:, 1] + 0.3 * rng.normal(size=N_ROWS) > 0, "yes", "no").astype(object),
        "kind": np.array(["a", "b", "c"], dtype=object)[np.digitize(sums, np.quantile(sums, [1 / 3, 2 / 3]))],
    }
    for column in columns.values():
        column[rng.random(N_ROWS) < 1 / 5] = np.nan if column.dtype.kind == "f" else None
    return X, columns


X, COLUMNS = make_problem()
CLASSES = {name: COLUMNS[name] for name in ("sold", "kind")}
GRID = {"alpha": [0.1, 100.0]}
OWN_SEARCHES = {
    "grid": (GridSearchCV, model_selection.GridSearchCV, {}),
    "random": (RandomizedSearchCV, model_selection.RandomizedSearchCV, {"n_iter": 2, "random_state": 0}),
}


@pytest.fixture
def model():
    return LowRankMultiTask(n_components=2, alpha=0.1, tol=1e-5)


@pytest.fixture
def classifier():
    return LowRankClassifier(n_components=2, alpha=0.1, tol=1e-5)


# -- searches ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("own", "theirs", "how"), OWN_SEARCHES.values(), ids=OWN_SEARCHES)
def test_a_dict_of_targets_is_searched_as_task_targets_are(model, own, theirs, how):
    found = own(model, GRID, cv=3, error_score="raise", **how).fit(X, COLUMNS)
    expected = theirs(model, GRID, cv=TaskKFold(3), error_score="raise", **how).fit(X, TaskTargets(COLUMNS))
    np.testing.assert_allclose(found.cv_results_["mean_test_score"], expected.cv_results_["mean_test_score"])
    assert found.best_params_ == expected.best_params_ == {"alpha": 0.1}
    assert found.score(X, COLUMNS) == found.best_estimator_.score(X, COLUMNS)


@pytest.mark.parametrize("cv", [None, 2])
@pytest.mark.parametrize("own", [GridSearchCV, RandomizedSearchCV])
def test_a_classifier_of_several_tasks_needs_no_splitter(classifier, own, cv):
    how = {"n_iter": 1} if own is RandomizedSearchCV else {}
    found = own(classifier, {"alpha": [0.1]}, cv=cv, error_score="raise", **how).fit(X, CLASSES)
    assert found.n_splits_ == (5 if cv is None else 2)
    assert found.best_score_ > 0.7


def test_one_named_task_is_searched_like_any_other(classifier):
    found = GridSearchCV(classifier, GRID, cv=3, error_score="raise").fit(X, {"sold": COLUMNS["sold"]})
    assert found.best_score_ > 0.7


def test_a_splitter_of_the_user_is_used(model):
    cv = model_selection.ShuffleSplit(2, random_state=0)
    found = GridSearchCV(model, GRID, cv=cv, error_score="raise").fit(X, COLUMNS)
    expected = model_selection.GridSearchCV(model, GRID, cv=cv).fit(X, TaskTargets(COLUMNS))
    np.testing.assert_allclose(found.cv_results_["mean_test_score"], expected.cv_results_["mean_test_score"])


def test_an_array_is_searched_exactly_as_scikit_learn_does():
    estimator, y = LogisticRegression(), (X[:, 0] > 0).astype(int)
    found = GridSearchCV(estimator, {"C": [0.1, 1.0]}, cv=3).fit(X, y)
    expected = model_selection.GridSearchCV(estimator, {"C": [0.1, 1.0]}, cv=3).fit(X, y)
    np.testing.assert_array_equal(found.cv_results_["mean_test_score"], expected.cv_results_["mean_test_score"])


@pytest.mark.parametrize("n_tasks", [1, 2])
def test_gaps_of_an_array_do_not_keep_a_classifier_from_a_search(classifier, n_tasks):
    # scikit-learn refuses NaN when it looks for classes to stratify by.
    y = (X[:, :n_tasks] > 0).astype(float)
    y[::7, 0] = np.nan
    y = y[:, 0] if n_tasks == 1 else y
    found = GridSearchCV(classifier, GRID, cv=3, error_score="raise").fit(X, y)
    expected = model_selection.GridSearchCV(classifier, GRID, cv=list(TaskKFold(3).split(X, y))).fit(X, y)
    np.testing.assert_array_equal(found.cv_results_["mean_test_score"], expected.cv_results_["mean_test_score"])


def test_scores_of_every_task_choose_the_parameters(model):
    scoring = MultiTaskScorer({"price": "neg_mean_absolute_error", "sold": "roc_auc"})
    found = GridSearchCV(model, GRID, cv=3, scoring=scoring, refit="sold", error_score="raise").fit(X, COLUMNS)
    assert found.best_score_ == found.cv_results_["mean_test_sold"].max() > 0.8


def own_rows() -> tuple[dict, dict]:
    rows = {name: np.arange(N_ROWS)[t::3] for t, name in enumerate(COLUMNS)}
    complete = {
        name: rows[name][[value is not None and value == value for value in COLUMNS[name][rows[name]]]] for name in rows
    }
    return {name: X[own] for name, own in complete.items()}, {
        name: COLUMNS[name][own] for name, own in complete.items()
    }


def test_tasks_with_rows_of_their_own_are_stacked(model):
    X_by_task, y_by_task = own_rows()
    found = GridSearchCV(model, GRID, cv=3, error_score="raise").fit(X_by_task, y_by_task)
    expected = GridSearchCV(model, GRID, cv=3).fit(*stack_tasks(X_by_task, y_by_task))
    np.testing.assert_allclose(found.cv_results_["mean_test_score"], expected.cv_results_["mean_test_score"])
    assert {name: len(part) for name, part in found.predict(X_by_task).items()} == {
        name: len(part) for name, part in y_by_task.items()
    }


def test_the_long_form_is_split_inside_every_task():
    # Sorted by task: blocks of rows, as KFold cuts them, would leave a task out of every training part.
    rng = np.random.default_rng(0)
    table = np.column_stack([X, np.repeat([3, 5, 8], N_ROWS // 3)])
    y = X[:, 0] * table[:, -1] + 0.1 * rng.normal(size=N_ROWS)
    model = LowRankRegressor(n_components=1, alpha=0.01, task_col=5, tol=1e-5)
    found = GridSearchCV(model, {"alpha": [0.01, 1.0]}, cv=3, error_score="raise").fit(table, y)
    assert found.best_params_ == {"alpha": 0.01}
    predicted = cross_val_predict(model, table, y, cv=3)
    assert predicted.shape == y.shape
    assert np.mean((predicted - y) ** 2) < 0.05 * np.var(y)


def test_the_long_form_at_the_end_of_a_pipeline_is_split_inside_every_task():
    frame = pytest.importorskip("pandas").DataFrame(X, columns=list("uvwxy"))
    frame["school"] = np.repeat(["a", "b", "c"], N_ROWS // 3)
    model = LowRankRegressor(n_components=1, alpha=0.1, task_col="school", tol=1e-5)
    scale = ColumnTransformer([("scale", StandardScaler(), list("uvwxy"))], remainder="passthrough")
    pipeline = make_pipeline(scale.set_output(transform="pandas"), model)
    pipeline[0].set_params(verbose_feature_names_out=False)
    predicted = cross_val_predict(pipeline, frame, X[:, 0], cv=3)
    assert np.mean((predicted - X[:, 0]) ** 2) < 0.05


def test_parameters_are_what_the_user_gave_after_a_fit_and_after_a_failed_one(model):
    search = GridSearchCV(model, GRID, cv=3, error_score="raise")
    before = search.get_params()
    search.fit(X, COLUMNS)
    assert search.get_params() == before
    with pytest.raises(ValueError, match="'price'"):
        search.fit(X, {"price": np.full(N_ROWS, np.nan)})
    assert search.get_params() == before
    assert clone(search).get_params()["cv"] == 3


def test_searches_nest_and_take_routed_weights(model):
    weight = np.random.default_rng(0).integers(1, 3, size=N_ROWS).astype(float)
    with sklearn.config_context(enable_metadata_routing=True):
        model.set_fit_request(sample_weight=True).set_score_request(sample_weight=False)
        inner = GridSearchCV(model, {"alpha": [0.1]}, cv=2, error_score="raise")
        outer = GridSearchCV(inner, {"estimator__n_components": [2]}, cv=2, error_score="raise")
        found = outer.fit(X, COLUMNS, sample_weight=weight)
    alone = clone(model).fit(X, COLUMNS, sample_weight=weight)
    assert found.predict(X) == alone.predict(X)


# -- cross_val_predict ------------------------------------------------------------------------------


def test_a_dict_of_targets_is_predicted_as_task_targets_are(model):
    cv = model_selection.KFold(3)
    predicted = cross_val_predict(model, X, COLUMNS, cv=cv)
    assert predicted == model_selection.cross_val_predict(model, X, TaskTargets(COLUMNS), cv=cv)


@pytest.mark.parametrize("pipeline", [False, True], ids=["model", "pipeline"])
@pytest.mark.parametrize("method", ["predict_proba", "decision_function"])
def test_responses_of_the_folds_come_back_in_the_order_of_rows(classifier, method, pipeline):
    estimator = make_pipeline(StandardScaler(), classifier) if pipeline else classifier
    cv = TaskKFold(3)
    found = cross_val_predict(estimator, X, CLASSES, cv=cv, method=method)
    assert list(found) == ["sold", "kind"]
    for train, test in cv.split(X, TaskTargets(CLASSES)):
        fitted = clone(estimator).fit(X[train], TaskTargets(CLASSES)[train])
        by_hand = getattr(fitted, method)(X[test])
        for name in CLASSES:
            np.testing.assert_allclose(found[name][test], by_hand[name])


@pytest.mark.parametrize("container", [dict, TaskTargets, "DataFrame"], ids=["dict", "TaskTargets", "DataFrame"])
def test_probabilities_are_of_classification_tasks(model, container):
    columns = TaskTargets(COLUMNS)
    y = pytest.importorskip("pandas").DataFrame(columns) if container == "DataFrame" else container(columns)
    found = cross_val_predict(model, X, y, method="predict_proba")
    assert {name: part.shape for name, part in found.items()} == {"sold": (N_ROWS, 2), "kind": (N_ROWS, 3)}
    np.testing.assert_allclose(found["kind"].sum(axis=1), 1)


def test_one_task_agrees_with_scikit_learn_on_an_array(classifier):
    y = (X[:, 0] + X[:, 1] > 0).astype(int)
    cv = model_selection.KFold(3)
    named = cross_val_predict(classifier, X, {"only": y}, cv=cv, method="predict_proba")
    array = model_selection.cross_val_predict(classifier, X, y, cv=cv, method="predict_proba")
    np.testing.assert_allclose(named["only"], array)


def test_gaps_of_an_array_are_no_class(classifier):
    # scikit-learn encodes NaN as one more class, and would learn it.
    y = np.column_stack([X[:, 0] > 0, X[:, 1] > 0]).astype(float)
    y[::7, 0] = np.nan
    cv = model_selection.KFold(3)
    both = cross_val_predict(classifier, X, y, cv=cv, method="predict_proba")
    named = cross_val_predict(classifier, X, {"u": y[:, 0], "v": y[:, 1]}, cv=cv, method="predict_proba")
    for found, expected in zip(both, named.values(), strict=True):
        np.testing.assert_allclose(found, expected)
    flat = cross_val_predict(classifier, X, y[:, 0], cv=cv, method="predict_proba")
    assert flat.shape == (N_ROWS, 2)
    classifier.set_params(task_col=0)
    with pytest.raises(ValueError, match="long form"):
        cross_val_predict(classifier, X, y[:, 0], cv=cv, method="predict_proba")


def without_class_b() -> list:
    """Two folds: the first training part has no row of kind "b"."""
    is_b = COLUMNS["kind"] == "b"
    return [
        (np.flatnonzero(~is_b), np.flatnonzero(is_b)),
        (np.flatnonzero(is_b | (X[:, 0] > 0)), np.flatnonzero(~is_b)),
    ]


def test_a_class_that_a_training_part_lacks_has_probability_zero(model):
    cv = without_class_b()
    with pytest.warns(RuntimeWarning, match="2 of the 3 classes of task 'kind'"):
        found = cross_val_predict(model, X, COLUMNS, cv=cv, method="predict_proba")
    train, test = cv[0]
    by_hand = clone(model).fit(X[train], TaskTargets(COLUMNS)[train]).predict_proba(X[test])
    np.testing.assert_array_equal(found["kind"][test, 1], 0)
    np.testing.assert_allclose(found["kind"][test][:, [0, 2]], by_hand["kind"])
    np.testing.assert_allclose(found["sold"][test], by_hand["sold"])


def test_decisions_of_two_classes_are_not_passed_off_as_those_of_three(classifier):
    with pytest.raises(ValueError, match=r"task 'kind'.*predict_proba"):
        cross_val_predict(classifier, X, CLASSES, cv=without_class_b(), method="decision_function")


def test_weights_are_cut_along_with_the_rows(classifier):
    weight = np.random.default_rng(0).integers(1, 4, size=N_ROWS).astype(float)
    cv = TaskKFold(3)
    found = cross_val_predict(classifier, X, CLASSES, cv=cv, method="predict_proba", params={"sample_weight": weight})
    with sklearn.config_context(enable_metadata_routing=True):
        asking = clone(classifier).set_fit_request(sample_weight=True)
        routed = cross_val_predict(asking, X, CLASSES, cv=cv, method="predict_proba", params={"sample_weight": weight})
    train, test = next(cv.split(X, CLASSES))
    fitted = clone(classifier).fit(X[train], TaskTargets(CLASSES)[train], sample_weight=weight[train])
    np.testing.assert_allclose(found["kind"][test], fitted.predict_proba(X[test])["kind"])
    assert routed == found
