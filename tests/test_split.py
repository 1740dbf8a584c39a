"""Promise: `split` hands out genuine scikit-learn objects that predict, travel and convert as such.

Here on hand-made coefficients; the same promises on fitted models are in test_split_fitted.py.
"""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, softmax
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.inspection import partial_dependence, permutation_importance
from sklearn.linear_model import LinearRegression, LogisticRegression, PoissonRegressor, Ridge
from sklearn.model_selection import KFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import check_is_fitted

import skmtl
from skmtl.predictors import make_predictors
from skmtl.tasks import Task

FEATURES = ("bill", "flipper", "island", "year")
TASKS = (
    Task("mass", "regression"),
    Task("sex", "binary", np.array(["female", "male"])),
    Task("eggs", "count"),
    Task("species", "multiclass", np.array(["Adelie", "Chinstrap", "Gentoo"], dtype=object)),
    Task("tagged", "binary", np.array([False, True])),
    Task("stage", "multiclass", np.array([1, 2, 3, 7])),
)
OFFSETS = np.cumsum([0, *(task.n_outputs for task in TASKS)])
GENUINE = {
    "regression": LinearRegression,
    "count": PoissonRegressor,
    "binary": LogisticRegression,
    "multiclass": LogisticRegression,
}
CLASSIFICATION = [task.name for task in TASKS if task.classes is not None]
EVERY_TASK = pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)


@pytest.fixture
def X():
    return np.random.default_rng(0).normal(size=(50, len(FEATURES)))


@pytest.fixture
def coef():
    return np.random.default_rng(1).normal(size=(len(FEATURES), OFFSETS[-1]))


@pytest.fixture
def intercept():
    return np.random.default_rng(2).normal(size=OFFSETS[-1])


@pytest.fixture
def predictors(coef, intercept):
    return make_predictors(TASKS, coef, intercept)


def raw_of(task, X, coef, intercept):
    position = TASKS.index(task)
    outputs = slice(OFFSETS[position], OFFSETS[position + 1])
    return X @ coef[:, outputs] + intercept[outputs]


def test_order_and_classes_are_those_of_the_tasks(predictors):
    assert list(predictors) == [task.name for task in TASKS]
    for task in TASKS:
        assert type(predictors[task.name]) is GENUINE[task.kind]
        check_is_fitted(predictors[task.name])


@EVERY_TASK
def test_predictions_are_the_formula(task, predictors, X, coef, intercept):
    raw = raw_of(task, X, coef, intercept)
    predictor = predictors[task.name]
    if task.kind == "regression":
        np.testing.assert_allclose(predictor.predict(X), raw[:, 0], rtol=0, atol=1e-12)
    elif task.kind == "count":
        np.testing.assert_allclose(predictor.predict(X), np.exp(raw[:, 0]), rtol=1e-12)
    else:
        proba = softmax(raw, axis=1) if raw.shape[1] > 1 else np.hstack([expit(-raw), expit(raw)])
        np.testing.assert_allclose(predictor.predict_proba(X), proba, rtol=0, atol=1e-12)
        np.testing.assert_array_equal(predictor.predict(X), task.classes[proba.argmax(axis=1)])


@EVERY_TASK
def test_attributes_have_the_shapes_of_a_real_fit(task, predictors, X):
    """Compared with the class really fitted on as many features and classes."""
    y = np.ones(len(X)) if task.classes is None else task.classes[np.arange(len(X)) % len(task.classes)]
    real, ours = GENUINE[task.kind]().fit(X, y), predictors[task.name]
    for name in ("coef_", "intercept_", "classes_", "n_features_in_"):
        assert hasattr(real, name) == hasattr(ours, name)
        assert np.shape(getattr(real, name, 0)) == np.shape(getattr(ours, name, 0))
        assert np.asarray(getattr(real, name, 0)).dtype == np.asarray(getattr(ours, name, 0)).dtype
    assert set(vars(ours)) <= set(vars(real))


@EVERY_TASK
def test_nothing_is_said_of_a_fit_that_never_was(task, predictors):
    assert not {"n_iter_", "rank_", "singular_"} & set(vars(predictors[task.name]))


def test_two_classes_declared_multiclass_become_one_column(X):
    """scikit-learn would take a (2, n_features) coef_ without complaint and predict wrongly."""
    task = Task("sex", "multiclass", np.array(["f", "m"]))
    coef, intercept = np.array([[0.5, -1.0]] * 4), np.array([0.25, -0.5])
    sex = make_predictors([task], coef, intercept)["sex"]
    assert sex.coef_.shape == (1, 4)
    expected = softmax(X @ coef + intercept, axis=1)
    np.testing.assert_allclose(sex.predict_proba(X), expected, rtol=0, atol=1e-12)


def test_parameters_are_copies(coef, intercept, X):
    predictors = make_predictors(TASKS, coef, intercept)
    before = {name: predictor.predict(X) for name, predictor in predictors.items()}
    coef[:], intercept[:] = 0.0, 0.0
    for name, predictor in predictors.items():
        np.testing.assert_array_equal(predictor.predict(X), before[name])
    assert not np.shares_memory(predictors["sex"].classes_, TASKS[1].classes)


def test_feature_names_are_checked(coef, intercept, X):
    mass = make_predictors(TASKS, coef, intercept, feature_names=FEATURES)["mass"]
    frame = pd.DataFrame(X, columns=FEATURES)
    np.testing.assert_allclose(mass.predict(frame), X @ coef[:, 0] + intercept[0], rtol=0, atol=1e-12)
    with pytest.raises(ValueError, match="feature names should match"):
        mass.predict(frame[list(FEATURES[::-1])])
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        mass.predict(X)


def test_wrong_number_of_features_is_refused(predictors, X):
    with pytest.raises(ValueError, match="X has 3 features, but LinearRegression is expecting 4"):
        predictors["mass"].predict(X[:, :3])


@pytest.mark.parametrize(
    ("coef_shape", "intercept_shape", "n_names"),
    [((4, 9), (11,), 4), ((4, 11), (9,), 4), ((11,), (11,), 4), ((4, 11), (11,), 3)],
)
def test_shapes_that_do_not_fit_are_refused(coef_shape, intercept_shape, n_names):
    with pytest.raises(ValueError, match="got"):
        make_predictors(TASKS, np.ones(coef_shape), np.ones(intercept_shape), FEATURES[:n_names])


def test_thousands_of_tasks_cost_one_fit_per_kind(monkeypatch):
    fits = []
    fit = LinearRegression.fit
    monkeypatch.setattr(LinearRegression, "fit", lambda self, *args: fits.append(1) or fit(self, *args))
    tasks = [Task(i, "regression") for i in range(3000)]
    coef = np.arange(6000.0).reshape(2, 3000)
    predictors = make_predictors(tasks, coef, np.zeros(3000))
    assert len(fits) == 1
    assert predictors[2999].predict([[1.0, 0.0]]) == 2999.0


# Travelling: pickle, skops, ONNX


def same_answers(loaded, predictor, X):
    np.testing.assert_array_equal(loaded.predict(X), predictor.predict(X))
    if hasattr(predictor, "predict_proba"):
        np.testing.assert_array_equal(loaded.predict_proba(X), predictor.predict_proba(X))


@EVERY_TASK
def test_pickles(task, predictors, X):
    same_answers(pickle.loads(pickle.dumps(predictors[task.name])), predictors[task.name], X)


def test_pickle_does_not_carry_the_other_tasks():
    tasks = [Task(i, "regression") for i in range(1000)]
    one = make_predictors(tasks, np.ones((100, 1000)), np.zeros(1000))[0]
    assert len(pickle.dumps(one)) < 5_000


@EVERY_TASK
def test_skops_loads_it_with_nothing_to_trust(task, coef, intercept, X):
    skops_io = pytest.importorskip("skops.io")
    predictor = make_predictors(TASKS, coef, intercept, FEATURES)[task.name]
    dumped = skops_io.dumps(predictor)
    assert skops_io.get_untrusted_types(data=dumped) == []
    same_answers(skops_io.loads(dumped), predictor, pd.DataFrame(X, columns=FEATURES))


def run_onnx(model, X):
    """Label (or prediction) and probabilities of `model` under onnxruntime."""
    skl2onnx = pytest.importorskip("skl2onnx")
    onnxruntime = pytest.importorskip("onnxruntime")
    X = X.astype(np.float32)
    options = {id(model): {"zipmap": False}} if hasattr(model, "predict_proba") else None
    converted = skl2onnx.to_onnx(model, X[:1], options=options)
    session = onnxruntime.InferenceSession(converted.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: X})


@EVERY_TASK
def test_onnx_agrees(task, predictors, X):
    predictor, X = predictors[task.name], X.astype(np.float32)
    answers = run_onnx(predictor, X)
    if task.classes is None:
        np.testing.assert_allclose(answers[0].ravel(), predictor.predict(X), rtol=1e-5, atol=1e-5)
    else:
        np.testing.assert_array_equal(answers[0], predictor.predict(X))
        np.testing.assert_allclose(answers[1], predictor.predict_proba(X), rtol=0, atol=1e-5)


# The rest of scikit-learn takes them for its own


@EVERY_TASK
def test_clone_is_an_unfitted_model_of_the_same_class(task, predictors, X):
    fresh = clone(predictors[task.name])
    with pytest.raises(NotFittedError):
        fresh.predict(X)
    y = np.ones(len(X)) if task.classes is None else task.classes[np.arange(len(X)) % len(task.classes)]
    assert fresh.fit(X, y).n_features_in_ == X.shape[1]


@pytest.mark.parametrize("name", CLASSIFICATION)
def test_calibration_of_the_frozen_predictor(name, predictors, X):
    predictor = predictors[name]
    y = predictor.classes_[np.arange(len(X)) % len(predictor.classes_)]
    calibrated = CalibratedClassifierCV(FrozenEstimator(predictor), ensemble=False, cv=3).fit(X, y)
    np.testing.assert_allclose(calibrated.predict_proba(X).sum(axis=1), 1.0)
    np.testing.assert_array_equal(calibrated.classes_, predictor.classes_)


@EVERY_TASK
def test_inspection(task, predictors, X):
    predictor = predictors[task.name]
    average = partial_dependence(predictor, X, [0], grid_resolution=5)["average"]
    assert average.shape[1] == 5
    assert np.ptp(average) > 0
    importances = permutation_importance(predictor, X, predictor.predict(X), n_repeats=2, random_state=0)
    assert importances.importances_mean.max() > 0


@EVERY_TASK
def test_html_representation(task, predictors):
    """Recent versions of scikit-learn list fitted attributes in it."""
    assert GENUINE[task.kind].__name__ in predictors[task.name]._repr_html_()


# skmtl.split: estimator, Pipeline, search; anything else is told what is wanted


class Joint(Ridge):
    """Stands for a fitted skmtl estimator: as much of one as split() sees."""

    task_col = None

    def split(self):
        check_is_fitted(self)
        rng = np.random.default_rng(3)
        n_features = self.n_features_in_ - (self.task_col is not None)
        names = getattr(self, "feature_names_in_", None)
        if names is not None and self.task_col is not None:
            names = names[names != self.task_col]
        coef, intercept = rng.normal(size=(n_features, OFFSETS[-1])), np.zeros(OFFSETS[-1])
        return make_predictors(TASKS, coef, intercept, names)


def test_an_estimator_is_asked_itself(X):
    joint = Joint().fit(X, X[:, 0])
    assert list(skmtl.split(joint)) == [task.name for task in TASKS]


def test_pipelines_share_the_fitted_steps(X):
    joint = make_pipeline(StandardScaler(), Joint()).fit(X, X[:, 0])
    steps = list(joint.steps)
    parts = skmtl.split(joint)
    assert joint.steps == steps
    for task in TASKS:
        part = parts[task.name]
        assert isinstance(part, Pipeline)
        assert part[0] is joint[0]
        expected = joint[-1].split()[task.name].predict(joint[0].transform(X))
        if task.classes is None:
            np.testing.assert_allclose(part.predict(X), expected, rtol=1e-12)
        else:
            np.testing.assert_array_equal(part.predict(X), expected)


def test_pipelines_travel(X):
    skops_io = pytest.importorskip("skops.io")
    part = skmtl.split(make_pipeline(StandardScaler(), Joint()).fit(X, X[:, 0]))["species"]
    same_answers(pickle.loads(pickle.dumps(part)), part, X)
    dumped = skops_io.dumps(part)
    assert skops_io.get_untrusted_types(data=dumped) == []
    same_answers(skops_io.loads(dumped), part, X)
    X = X.astype(np.float32)
    labels, proba = run_onnx(part, X)
    np.testing.assert_array_equal(labels, part.predict(X))
    np.testing.assert_allclose(proba, part.predict_proba(X), rtol=0, atol=1e-5)


def test_pipeline_within_a_pipeline(X):
    inner = make_pipeline(StandardScaler(), Joint())
    parts = skmtl.split(make_pipeline(StandardScaler(with_mean=False), inner).fit(X, X[:, 0]))
    assert [type(step) for _, step in parts["mass"].steps] == [StandardScaler, Pipeline]
    assert parts["mass"].predict(X).shape == (len(X),)


@pytest.mark.parametrize(
    "wrong", [Ridge(), KFold(), Joint, {"a": 1}, None, make_pipeline(Ridge())], ids=lambda wrong: type(wrong).__name__
)
def test_anything_else_is_told_what_is_wanted(wrong):
    with pytest.raises(TypeError, match=r"split takes a fitted skmtl estimator.*; got "):
        skmtl.split(wrong)


@pytest.mark.parametrize("unfitted", [Joint(), make_pipeline(Joint())], ids=["alone", "pipeline"])
def test_not_fitted(unfitted):
    with pytest.raises(NotFittedError):
        skmtl.split(unfitted)


# Long form: the predictors know no task column, the steps of a Pipeline were fitted with it


class LongJoint(Joint):
    task_col = "school"


@pytest.mark.parametrize("at", [0, 2, 4])
def test_long_form_pipeline_takes_the_task_column_and_ignores_it(at, X):
    frame = pd.DataFrame(X, columns=FEATURES)
    frame.insert(at, "school", 7.0)
    scaler = StandardScaler().set_output(transform="pandas")
    joint = make_pipeline(scaler, LongJoint()).fit(frame, X[:, 0])
    mass = skmtl.split(joint)["mass"]
    expected = joint[-1].split()["mass"].predict(scaler.transform(frame)[list(FEATURES)])
    np.testing.assert_allclose(mass.predict(frame), expected, rtol=0, atol=1e-12)
    np.testing.assert_allclose(mass.predict(frame.assign(school=8.0)), expected, rtol=0, atol=1e-12)
    with pytest.raises(ValueError, match="feature names"):
        mass.predict(frame.rename(columns={"bill": "beak"}))


def test_long_form_pipeline_of_arrays(X):
    class ByPosition(Joint):
        task_col = -1

    joint = make_pipeline(StandardScaler(), ByPosition()).fit(X, X[:, 0])
    mass = skmtl.split(joint)["mass"]
    expected = joint[-1].split()["mass"].predict(joint[0].transform(X)[:, :-1])
    np.testing.assert_allclose(mass.predict(X), expected, rtol=0, atol=1e-12)
