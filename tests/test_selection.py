"""Every function of scikit-learn that splits, searches, scores or wraps takes named targets with gaps."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import sklearn
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.frozen import FrozenEstimator
from sklearn.inspection import permutation_importance
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    HalvingGridSearchCV,
    KFold,
    LearningCurveDisplay,
    LeaveOneGroupOut,
    PredefinedSplit,
    RandomizedSearchCV,
    RepeatedKFold,
    ShuffleSplit,
    TimeSeriesSplit,
    ValidationCurveDisplay,
    cross_val_predict,
    cross_val_score,
    cross_validate,
    learning_curve,
    permutation_test_score,
    train_test_split,
    validation_curve,
)
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.utils import resample, shuffle

from skmtl import LowRankMultiTask, MultiTaskScorer, TaskScorer, TaskTargets

pd = pytest.importorskip("pandas")

N_ROWS = 120
CV = KFold(3, shuffle=True, random_state=0)


def make_problem() -> tuple:
    """A number, two classes and three classes that share two directions of six features; a third has gaps."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(N_ROWS, 6))
    shared = X[:, :4] @ rng.normal(size=(4, 2))
    sums = shared.sum(axis=1)
    columns = {
        "price": 100 + 20 * shared[:, 0] + rng.normal(size=N_ROWS),
        "sold": np.where(shared[:, 1] + 0.3 * rng.normal(size=N_ROWS) > 0, "yes", "no").astype(object),
        "kind": np.array(["a", "b", "c"], dtype=object)[np.digitize(sums, np.quantile(sums, [1 / 3, 2 / 3]))],
    }
    for column in columns.values():
        column[rng.random(N_ROWS) < 1 / 3] = np.nan if column.dtype.kind == "f" else None
    return pd.DataFrame(X, columns=list("uvwxyz")), TaskTargets(columns)


X, TARGETS = make_problem()
GROUPS = np.arange(N_ROWS) % 4


@pytest.fixture(params=["TaskTargets", pytest.param("DataFrame", marks=pytest.mark.slow)])
def y(request):
    """The same targets in the two containers that can be cut by rows."""
    return TARGETS if request.param == "TaskTargets" else TARGETS.to_frame()


@pytest.fixture
def model():
    return LowRankMultiTask(n_components=2, alpha=0.1, tol=1e-5)


def rows_of(y, rows):
    return y.iloc[rows]


def scores_by_hand(model, y, splits):
    """What scikit-learn has to compute, in a loop."""
    return [
        clone(model).fit(X.iloc[train], rows_of(y, train)).score(X.iloc[test], rows_of(y, test))
        for train, test in splits
    ]


# -- splitters --------------------------------------------------------------------------------------

SPLITTERS = {
    "KFold": KFold(3),
    "shuffled KFold": CV,
    "ShuffleSplit": ShuffleSplit(2, random_state=0),
    "RepeatedKFold": RepeatedKFold(n_splits=2, n_repeats=2, random_state=0),
    "TimeSeriesSplit": TimeSeriesSplit(2),
    "PredefinedSplit": PredefinedSplit(np.arange(N_ROWS) % 3 - 1),
    "GroupKFold": GroupKFold(2),
    "LeaveOneGroupOut": LeaveOneGroupOut(),
}


@pytest.mark.parametrize("cv", SPLITTERS.values(), ids=SPLITTERS)
def test_cross_val_score_with_every_splitter(model, y, cv):
    groups = GROUPS if "Group" in type(cv).__name__ else None
    scores = cross_val_score(model, X, y, cv=cv, groups=groups, error_score="raise")
    np.testing.assert_allclose(scores, scores_by_hand(model, y, cv.split(X, groups=groups)))
    assert scores.mean() > 0.6


def test_cross_val_score_with_a_number_of_folds(model, y):
    scores = cross_val_score(model, X, y, cv=3, error_score="raise")
    np.testing.assert_allclose(scores, scores_by_hand(model, y, KFold(3).split(X)))


def test_cross_validate_scores_every_task(model, y):
    found = cross_validate(
        model,
        X,
        y,
        cv=CV,
        scoring=MultiTaskScorer({"price": "r2", "sold": "roc_auc"}),
        error_score="raise",
        return_train_score=True,
        return_estimator=True,
        return_indices=True,
    )
    np.testing.assert_allclose(found["test_mean"], (found["test_price"] + found["test_sold"]) / 2)
    assert len(found["estimator"]) == 3
    assert found["train_price"].mean() > found["test_price"].mean() > 0.9


def test_cross_val_predict_gives_every_task_back_in_the_order_of_rows(model, y):
    predicted = cross_val_predict(model, X, y, cv=CV)
    assert isinstance(predicted, TaskTargets)
    assert list(predicted) == list(TARGETS)
    for train, test in CV.split(X):
        by_hand = clone(model).fit(X.iloc[train], rows_of(y, train)).predict(X.iloc[test])
        assert predicted[test] == by_hand


# -- searches ---------------------------------------------------------------------------------------

GRID = {"n_components": [1, 2], "alpha": [0.1, 100.0]}
SEARCHES = {
    "GridSearchCV": lambda model, **how: GridSearchCV(model, GRID, **how),
    "RandomizedSearchCV": lambda model, **how: RandomizedSearchCV(model, GRID, n_iter=3, random_state=0, **how),
    "HalvingGridSearchCV": lambda model, **how: HalvingGridSearchCV(model, GRID, min_resources=60, **how),
}


@pytest.mark.parametrize("search", SEARCHES.values(), ids=SEARCHES)
def test_search(model, y, search):
    found = search(model, cv=CV, error_score="raise").fit(X, y)
    assert found.best_params_["alpha"] == 0.1
    assert found.score(X, y) == found.best_estimator_.score(X, y)
    assert list(found.predict(X)) == list(TARGETS)


@pytest.mark.parametrize("refit", ["mean", "sold"])
def test_search_for_the_mean_or_for_one_task(model, y, refit):
    scoring = MultiTaskScorer({"price": None, "sold": "neg_log_loss"})
    found = GridSearchCV(model, GRID, cv=CV, scoring=scoring, refit=refit, error_score="raise").fit(X, y)
    by_task = np.stack([found.cv_results_[f"mean_test_{task}"] for task in ("price", "sold")])
    np.testing.assert_allclose(found.cv_results_["mean_test_mean"], by_task.mean(axis=0))
    assert found.best_score_ == found.cv_results_[f"mean_test_{refit}"].max()


def test_search_for_one_task_alone(model, y):
    found = GridSearchCV(model, GRID, cv=CV, scoring=TaskScorer("kind"), error_score="raise").fit(X, y)
    assert found.best_score_ > 0.6


def test_nested_search(model, y):
    inner = GridSearchCV(model, {"alpha": [0.1, 100.0]}, cv=2, error_score="raise")
    scores = cross_val_score(inner, X, y, cv=CV, error_score="raise")
    np.testing.assert_allclose(scores, scores_by_hand(inner, y, CV.split(X)))


def test_search_in_two_processes(model, y):
    one, two = (GridSearchCV(model, GRID, cv=CV, n_jobs=n, error_score="raise").fit(X, y) for n in (1, 2))
    # Processes use another number of BLAS threads, hence another rounding of the same optimum.
    np.testing.assert_allclose(one.cv_results_["mean_test_score"], two.cv_results_["mean_test_score"], rtol=1e-5)


# -- curves and permutations ------------------------------------------------------------------------


def test_learning_curve(model, y):
    sizes, train, test = learning_curve(model, X, y, cv=CV, train_sizes=[0.4, 1.0], error_score="raise")
    assert sizes.tolist() == [32, 80]
    np.testing.assert_allclose(test[1], scores_by_hand(model, y, CV.split(X)))
    assert np.all(train.mean(axis=1) > test.mean(axis=1))


def test_validation_curve(model, y):
    _, test = validation_curve(model, X, y, param_name="alpha", param_range=[0.1, 100.0], cv=CV, error_score="raise")
    np.testing.assert_allclose(test[0], scores_by_hand(model, y, CV.split(X)))


def test_learning_curve_display(model, y):
    pytest.importorskip("matplotlib")
    display = LearningCurveDisplay.from_estimator(model, X, y, cv=CV, train_sizes=[0.5, 1.0], error_score="raise")
    assert display.test_scores.shape == (2, 3)


def test_validation_curve_display(model, y):
    pytest.importorskip("matplotlib")
    display = ValidationCurveDisplay.from_estimator(
        model, X, y, param_name="alpha", param_range=[0.1, 1.0], cv=CV, error_score="raise"
    )
    assert display.test_scores.shape == (2, 3)


def test_permutation_test_score(model, y):
    score, permuted, pvalue = permutation_test_score(model, X, y, cv=CV, n_permutations=4, random_state=0)
    assert score > permuted.max()
    assert pvalue == 1 / 5


@pytest.mark.parametrize("scoring", [None, TaskScorer("sold", "roc_auc")], ids=["score", "TaskScorer"])
def test_permutation_importance(model, y, scoring):
    importance = permutation_importance(model.fit(X, y), X, y, scoring=scoring, n_repeats=3, random_state=0)
    assert importance.importances_mean[:4].max() > 10 * np.abs(importance.importances_mean[4:]).max()


# -- cutting ----------------------------------------------------------------------------------------


def test_train_test_split(model, y):
    X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)
    assert type(y_train) is type(y)
    assert TaskTargets(y_test) == TARGETS[X_test.index]
    assert model.fit(X_train, y_train).score(X_test, y_test) > 0.6


@pytest.mark.parametrize("function", [resample, shuffle])
def test_resample_and_shuffle(y, function):
    X_drawn, y_drawn = function(X, y, random_state=0)
    assert TaskTargets(y_drawn) == TARGETS[X_drawn.index]


# -- pipelines and wrappers -------------------------------------------------------------------------


def test_pipeline_is_the_model_on_transformed_features(model, y):
    pipeline = make_pipeline(StandardScaler(), model).fit(X, y)
    scaled = StandardScaler().fit_transform(X)
    assert pipeline.predict(X) == clone(model).fit(scaled, y).predict(scaled)
    assert pipeline.score(X, y) == cross_val_score(pipeline, X, y, cv=[(np.arange(N_ROWS),) * 2])[0]


def test_pipeline_with_memory(model, y, tmp_path):
    steps = [("scale", StandardScaler()), ("model", model)]
    remembered = Pipeline(steps, memory=str(tmp_path))
    scores = cross_val_score(remembered, X, y, cv=CV, error_score="raise")
    np.testing.assert_allclose(scores, cross_val_score(Pipeline(steps), X, y, cv=CV))


def test_column_transformer_before_the_model(model, y):
    mixed = X.assign(region=np.array(["n", "s", "w"])[np.arange(N_ROWS) % 3])
    prepare = ColumnTransformer([("scale", StandardScaler(), list(X.columns)), ("code", OneHotEncoder(), ["region"])])
    scores = cross_val_score(make_pipeline(prepare, model), mixed, y, cv=CV, error_score="raise")
    assert scores.mean() > 0.6


@pytest.mark.parametrize("container", ["pandas", "polars"])
def test_representation_in_the_container_asked_for(model, y, container):
    pytest.importorskip(container)
    pipeline = make_pipeline(StandardScaler(), model).set_output(transform=container).fit(X, y)
    table = pipeline.transform(X)
    assert type(table).__module__.startswith(container)
    assert list(table.columns) == list(pipeline.get_feature_names_out())
    np.testing.assert_allclose(table.to_numpy(), pipeline[:-1].transform(X).to_numpy() @ pipeline[-1].basis_)


def test_clone_is_unfitted_and_learns_the_same(model, y):
    fitted = model.fit(X, y)
    twin = clone(fitted)
    assert not hasattr(twin, "basis_")
    assert twin.fit(X, y).predict(X) == fitted.predict(X)


def test_pickle_predicts_the_same(model, y):
    fitted = model.fit(X, y)
    assert pickle.loads(pickle.dumps(fitted)).predict(X) == fitted.predict(X)


def test_frozen_estimator_is_not_fitted_again(model, y):
    frozen = FrozenEstimator(model.fit(X, y))
    half = np.arange(N_ROWS // 2)
    assert frozen.fit(X.iloc[half], rows_of(y, half)).predict(X) == model.predict(X)
    np.testing.assert_allclose(
        cross_val_score(frozen, X, y, cv=[(half, half)]), model.score(X.iloc[half], y.iloc[half])
    )


# -- weights ----------------------------------------------------------------------------------------

PER_ROW = np.random.default_rng(1).integers(1, 4, size=N_ROWS).astype(float)
PER_TASK = np.random.default_rng(2).integers(1, 4, size=(N_ROWS, 3)).astype(float)
WEIGHTS = {
    "per row": PER_ROW,
    "per row and task": PER_TASK,
    "TaskTargets": TaskTargets(dict(zip(TARGETS, PER_TASK.T, strict=True))),
    "DataFrame": pd.DataFrame(PER_TASK, columns=list(TARGETS)),
}


@pytest.mark.parametrize("routing", [False, True], ids=["plain", "routed"])
@pytest.mark.parametrize("weight", WEIGHTS.values(), ids=WEIGHTS)
def test_weights_are_cut_along_with_the_rows(model, y, weight, routing):
    with sklearn.config_context(enable_metadata_routing=routing):
        if routing:
            model.set_fit_request(sample_weight=True).set_score_request(sample_weight=False)
        predicted = cross_val_predict(model, X, y, cv=CV, params={"sample_weight": weight})
        scores = cross_val_score(model, X, y, cv=CV, params={"sample_weight": weight}, error_score="raise")
    for (train, test), score in zip(CV.split(X), scores, strict=True):
        cut = weight.iloc[train] if hasattr(weight, "iloc") else weight[train]
        by_hand = clone(model).fit(X.iloc[train], rows_of(y, train), sample_weight=cut)
        assert predicted[test] == by_hand.predict(X.iloc[test])
        assert score == by_hand.score(X.iloc[test], rows_of(y, test))


def test_a_plain_dict_of_weights_is_refused_with_the_reason(model, y):
    weight = dict(zip(TARGETS, PER_TASK.T, strict=True))
    with pytest.raises(ValueError, match=r"TaskTargets\(sample_weight\)"):
        cross_val_score(model, X, y, cv=CV, params={"sample_weight": weight}, error_score="raise")


def test_routed_weights_reach_a_search_and_its_scores(model, y):
    with sklearn.config_context(enable_metadata_routing=True):
        model.set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
        search = GridSearchCV(model, {"alpha": [0.1]}, cv=CV, error_score="raise")
        found = search.fit(X, y, sample_weight=PER_ROW)
    expected = [
        clone(model)
        .fit(X.iloc[train], rows_of(y, train), sample_weight=PER_ROW[train])
        .score(X.iloc[test], rows_of(y, test), sample_weight=PER_ROW[test])
        for train, test in CV.split(X)
    ]
    np.testing.assert_allclose(found.best_score_, np.mean(expected))
