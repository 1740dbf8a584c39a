"""Promise: what a fitted model hands out by `split` predicts what the model itself predicts, in every form."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from skmtl import LowRankClassifier, LowRankMultiTask, LowRankRegressor, TaskTargets, split
from skmtl.model_selection import GridSearchCV

CLOSE = {"rtol": 1e-10, "atol": 1e-10}
KINDS = {"eggs": "count", "stage": "multiclass"}


@pytest.fixture
def X():
    return np.random.default_rng(0).normal(size=(120, 4))


@pytest.fixture
def y(X):
    """Every kind of task, with gaps; two classes declared multiclass; classes of four dtypes."""
    rng = np.random.default_rng(1)
    raw = X @ rng.normal(size=(4, 5)) + 0.3 * rng.normal(size=(120, 5))
    mass = 50 + 20 * raw[:, 0]
    sex = np.where(raw[:, 1] > 0.2, "male", "female").astype(object)
    mass[::5], sex[1::6] = np.nan, None
    return {
        "mass": mass,
        "sex": sex,
        "species": np.array(["Adelie", "Chinstrap", "Gentoo"])[np.digitize(raw[:, 2], [-1, 1])],
        "tagged": raw[:, 3] > 0,
        "stage": np.where(raw[:, 4] > 0, 7, 3),
        "eggs": rng.poisson(np.exp(0.5 * raw[:, 1])),
    }


@pytest.fixture
def mixed():
    return LowRankMultiTask(n_components=3, kinds=KINDS, tol=1e-6)


def assert_equal_to_joint(parts, joint, X):
    """Labels exactly, numbers and probabilities to 1e-10."""
    predicted = joint.predict(X)
    proba = joint.predict_proba(X) if hasattr(joint, "predict_proba") else {}
    assert list(parts) == list(predicted)
    for task, part in parts.items():
        if task in proba:
            np.testing.assert_array_equal(part.predict(X), predicted[task])
            np.testing.assert_allclose(part.predict_proba(X), proba[task], **CLOSE)
        else:
            np.testing.assert_allclose(part.predict(X), predicted[task], **CLOSE)


@pytest.mark.parametrize("container", [dict, TaskTargets, pd.DataFrame])
def test_all_kinds_in_one_fit(container, mixed, X, y):
    joint = mixed.fit(X, container(y))
    assert_equal_to_joint(joint.split(), joint, X)


@pytest.mark.parametrize("parts", [{"alpha_own": 0.1}, {"alpha_common": 0.1}, {"fit_intercept": False}], ids=str)
def test_every_part_of_the_model_goes_along(parts, mixed, X, y):
    joint = mixed.set_params(**parts).fit(X, y)
    assert_equal_to_joint(split(joint), joint, X)


def test_array_of_numbers(X):
    Y = X @ np.random.default_rng(2).normal(size=(4, 3))
    joint = LowRankRegressor(n_components=2).fit(X, Y)
    predicted = np.column_stack([part.predict(X) for part in split(joint).values()])
    np.testing.assert_allclose(predicted, joint.predict(X), **CLOSE)


def test_array_of_classes(X):
    Y = np.column_stack([X[:, 0] > 0, X[:, 1] + X[:, 2] > 0]).astype(int)
    joint = LowRankClassifier(n_components=2).fit(X, Y)
    for part, proba in zip(split(joint).values(), joint.predict_proba(X)):
        np.testing.assert_allclose(part.predict_proba(X), proba, **CLOSE)


def test_own_rows(mixed, X, y):
    own_X = {task: X[i:] for i, task in enumerate(y)}
    joint = mixed.fit(own_X, {task: y[task][i:] for i, task in enumerate(y)})
    assert_equal_to_joint(split(joint), joint, X)


@pytest.fixture
def long_form(X):
    """Two schools in one frame, the column of labels in the middle."""
    frame = pd.DataFrame(X, columns=["a", "b", "c", "d"])
    frame.insert(2, "school", np.where(np.arange(len(X)) % 3 == 0, "north", "south"))
    return frame, np.where(frame["school"] == "north", X[:, 0] - X[:, 1], X[:, 0] + 2 * X[:, 3])


def test_long_form_predictors_take_x_without_the_labels(long_form):
    frame, y = long_form
    joint = LowRankRegressor(n_components=2, task_col="school").fit(frame, y)
    predicted = joint.predict(frame)
    for school, part in split(joint).items():
        of_school = (frame["school"] == school).to_numpy()
        own = frame.loc[of_school].drop(columns="school")
        assert list(part.feature_names_in_) == list(own.columns)
        np.testing.assert_allclose(part.predict(own), predicted[of_school], **CLOSE)


def test_long_form_pipelines_take_x_with_the_labels(long_form):
    """Their steps were fitted with the column of labels, which they let through; the part drops it."""
    frame, y = long_form
    scale = make_column_transformer(
        (StandardScaler(), ["a", "b", "c", "d"]), remainder="passthrough", verbose_feature_names_out=False
    ).set_output(transform="pandas")
    joint = make_pipeline(scale, LowRankRegressor(n_components=2, task_col="school")).fit(frame, y)
    predicted = joint.predict(frame)
    for school, part in split(joint).items():
        of_school = (frame["school"] == school).to_numpy()
        np.testing.assert_allclose(part.predict(frame[of_school]), predicted[of_school], **CLOSE)


@pytest.mark.parametrize("output", ["default", "pandas"])
def test_pipeline_from_a_mixed_frame(output, mixed, X, y):
    frame = pd.DataFrame(X, columns=["a", "b", "c", "d"]).assign(island=np.where(X[:, 0] > 0, "Dream", "Biscoe"))
    columns = make_column_transformer(
        (StandardScaler(), ["a", "b", "c", "d"]), (OneHotEncoder(sparse_output=False), ["island"])
    ).set_output(transform=output)
    joint = make_pipeline(columns, mixed).fit(frame, y)
    parts = split(joint)
    assert_equal_to_joint(parts, joint, frame)
    assert all(part[0] is joint[0] for part in parts.values())
    assert hasattr(parts["mass"][-1], "feature_names_in_") == (output == "pandas")


def test_the_best_of_a_search_is_split(mixed, X, y):
    search = GridSearchCV(make_pipeline(StandardScaler(), mixed), {"lowrankmultitask__alpha": [0.03, 0.3]}, cv=2)
    search.fit(X, y)
    assert_equal_to_joint(split(search), search.best_estimator_, X)


def test_added_tasks_are_handed_out_too(X, y):
    joint = LowRankMultiTask(n_components=2, kinds={"stage": "multiclass"}, tol=1e-6)
    joint.fit(X, {task: y[task] for task in ("mass", "stage")}).add_tasks(X, {"tagged": y["tagged"]})
    assert_equal_to_joint(split(joint), joint, X)


def test_fitted_predictors_travel(mixed, X, y):
    skops_io = pytest.importorskip("skops.io")
    for part in split(make_pipeline(StandardScaler(), mixed).fit(X, y)).values():
        np.testing.assert_array_equal(pickle.loads(pickle.dumps(part)).predict(X), part.predict(X))
        dumped = skops_io.dumps(part)
        assert skops_io.get_untrusted_types(data=dumped) == []
        np.testing.assert_array_equal(skops_io.loads(dumped).predict(X), part.predict(X))


def test_fitted_predictors_convert_to_onnx(mixed, X, y):
    skl2onnx = pytest.importorskip("skl2onnx")
    onnxruntime = pytest.importorskip("onnxruntime")
    single = X.astype(np.float32)
    parts = split(make_pipeline(StandardScaler(), mixed).fit(X, y))
    for task in ("mass", "sex", "species", "stage", "eggs"):
        part = parts[task]
        options = {id(part): {"zipmap": False}} if hasattr(part, "predict_proba") else None
        converted = skl2onnx.to_onnx(part, single[:1], options=options)
        session = onnxruntime.InferenceSession(converted.SerializeToString(), providers=["CPUExecutionProvider"])
        answers = session.run(None, {session.get_inputs()[0].name: single})
        if options:
            np.testing.assert_array_equal(answers[0], part.predict(single))
            np.testing.assert_allclose(answers[1], part.predict_proba(single), rtol=0, atol=1e-5)
        else:
            np.testing.assert_allclose(answers[0].ravel(), part.predict(single), rtol=1e-5, atol=1e-5)


def test_splitting_leaves_the_model_alone(mixed, X, y):
    joint = mixed.fit(X, y)
    before = pickle.dumps(joint.predict(X))
    for part in split(joint).values():
        part.coef_ *= 0
    assert pickle.dumps(joint.predict(X)) == before
    assert clone(joint).get_params() == joint.get_params()
