"""The parts of a shared hidden layer are genuine networks of scikit-learn: same answers, and they travel."""

from __future__ import annotations

import pickle
from inspect import signature

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.inspection import partial_dependence
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import skmtl
from skmtl import SharedLayerMultiTask, SharedLayerRegressor
from skmtl.shared_layer import predictors

HAS_POISSON = "loss" in signature(MLPRegressor).parameters
needs_poisson = pytest.mark.skipif(not HAS_POISSON, reason="scikit-learn 1.7 has the Poisson network")
TASKS = ["size", "ripe", "kind", pytest.param("seeds", marks=needs_poisson)]


def make(n=120):
    rng = np.random.default_rng(0)
    X = rng.uniform(-2, 2, (n, 3)) * [1, 1e3, 1e-2] + [0, 5e3, 0]
    raw = 2 * (np.abs(X[:, 0]) - 1) + 0.3 * rng.normal(size=n)
    y = {
        "size": 10 * raw + 300,
        "ripe": np.where(raw > 0, "yes", "no"),
        "kind": np.array(["a", "b", "c"])[np.digitize(raw, [-0.7, 0.7])],
    }
    if HAS_POISSON:
        y["seeds"] = rng.poisson(np.exp(np.clip(raw, -3, 2))).astype(float)
    return pd.DataFrame(X, columns=["u", "v", "w"]), y


@pytest.fixture(scope="module")
def fitted():
    X, y = make()
    kinds = {"seeds": "count"} if HAS_POISSON else None
    return SharedLayerMultiTask(n_hidden=5, n_linear=2, alpha=0.02, cv=3, kinds=kinds).fit(X, y), X


@pytest.mark.parametrize("task", TASKS)
def test_it_answers_as_the_joint_model(fitted, task):
    model, X = fitted
    part = model.split()[task]
    assert type(part) is (MLPRegressor if task in ("size", "seeds") else MLPClassifier)
    # Three networks of five rectified units, and two units for the linear part of every output.
    assert part.hidden_layer_sizes == (3 * 5 + 2 * (3 if task == "kind" else 1),)
    if task in ("size", "seeds"):
        assert_allclose(part.predict(X), model.predict(X)[task], rtol=1e-9, atol=1e-9)
    else:
        assert_array_equal(part.classes_, model.classes_by_task_[task])
        assert_allclose(part.predict_proba(X), model.predict_proba(X)[task], rtol=0, atol=1e-9)
        assert_array_equal(part.predict(X), model.predict(X)[task])


@pytest.mark.parametrize("task", TASKS)
def test_it_has_the_state_of_a_real_fit(fitted, task):
    """Attribute by attribute, in the shapes and types of the class fitted on this task; none that would be untrue."""
    model, X = fitted
    part, (_, y) = model.split()[task], make()
    options = {"hidden_layer_sizes": part.hidden_layer_sizes, "solver": "lbfgs", "max_iter": 2000, "tol": 1.0}
    real = type(part)(**options | ({"loss": "poisson"} if task == "seeds" else {})).fit(
        StandardScaler().fit_transform(X), y[task]
    )
    ours = vars(part)
    assert set(ours) <= set(vars(real)) | {"feature_names_in_"}
    assert not {"loss_", "n_iter_", "best_loss_"} & set(ours)
    for name in ("coefs_", "intercepts_"):
        assert [one.shape for one in ours[name]] == [one.shape for one in getattr(real, name)]
        assert {one.dtype for one in ours[name]} == {np.dtype(float)}
    for name in ("n_layers_", "n_outputs_", "out_activation_", "n_features_in_"):
        assert ours[name] == getattr(real, name)


@pytest.mark.parametrize("task", TASKS)
def test_it_pickles_clones_and_loads_with_skops(fitted, task):
    model, X = fitted
    part = model.split()[task]
    assert_array_equal(pickle.loads(pickle.dumps(part)).predict(X), part.predict(X))
    assert not hasattr(clone(part), "coefs_")
    skops_io = pytest.importorskip("skops.io")
    dumped = skops_io.dumps(part)
    assert skops_io.get_untrusted_types(data=dumped) == []
    assert_array_equal(skops_io.loads(dumped).predict(X), part.predict(X))


@pytest.mark.parametrize("task", ["size", "ripe", "kind"])
def test_onnx_agrees(fitted, task):
    skl2onnx = pytest.importorskip("skl2onnx")
    onnxruntime = pytest.importorskip("onnxruntime")
    model, X = fitted
    part, X = model.split()[task], X.to_numpy(dtype=np.float32)
    del part.feature_names_in_
    options = {id(part): {"zipmap": False}} if hasattr(part, "predict_proba") else None
    converted = skl2onnx.to_onnx(part, X[:1], options=options)
    session = onnxruntime.InferenceSession(converted.SerializeToString(), providers=["CPUExecutionProvider"])
    answers = session.run(None, {session.get_inputs()[0].name: X})
    if task == "size":
        assert_allclose(answers[0].ravel(), part.predict(X), rtol=1e-5, atol=1e-5 * np.abs(part.predict(X)).max())
    else:
        assert_array_equal(answers[0], part.predict(X))
        assert_allclose(answers[1], part.predict_proba(X), rtol=0, atol=1e-5)


@needs_poisson
def test_onnx_of_counts_agrees_or_gives_their_logarithm(fitted):
    """As the docstring of split says: a converter that knows no exponential output takes the linear predictor."""
    skl2onnx = pytest.importorskip("skl2onnx")
    onnxruntime = pytest.importorskip("onnxruntime")
    model, X = fitted
    part, X = model.split()["seeds"], X.to_numpy(dtype=np.float32)
    del part.feature_names_in_
    expected = part.predict(X)
    try:
        converted = skl2onnx.to_onnx(part, X[:1])
    except KeyError:  # 'exp'
        part.out_activation_, expected = "identity", np.log(expected)
        converted = skl2onnx.to_onnx(part, X[:1])
    session = onnxruntime.InferenceSession(converted.SerializeToString(), providers=["CPUExecutionProvider"])
    (answer,) = session.run(None, {session.get_inputs()[0].name: X})
    assert_allclose(answer.ravel(), expected, rtol=1e-5, atol=1e-5)


def test_partial_dependence_sees_the_bend(fitted):
    model, X = fitted
    found = partial_dependence(model.split()["size"], X, ["u"], grid_resolution=9)["average"][0]
    assert found[0] > found[4] + 5
    assert found[-1] > found[4] + 5


def test_parts_of_a_pipeline_are_pipelines():
    X, y = make()
    model = make_pipeline(StandardScaler(), SharedLayerRegressor(n_hidden=3, alpha=0.05, cv=3)).fit(X, y["size"])
    (part,) = skmtl.split(model).values()
    assert_allclose(part.predict(X), model.predict(X), rtol=1e-9)


def test_parts_of_the_long_form_take_no_task_column():
    X, y = make()
    long = X.assign(school=np.arange(len(X)) % 3)
    model = SharedLayerRegressor(n_hidden=3, alpha=0.05, cv=3, task_col="school").fit(long, y["size"])
    for school, part in model.split().items():
        rows = (long["school"] == school).to_numpy()
        assert_allclose(part.predict(X[rows]), model.predict(long)[rows], rtol=1e-9)


def test_counts_are_refused_where_scikit_learn_has_no_network_for_them(monkeypatch):
    X, _ = make()
    y = np.random.default_rng(0).poisson(1.0, len(X)).astype(float)
    model = SharedLayerRegressor(loss="poisson", n_hidden=3, alpha=0.1, cv=3).fit(X, y)
    assert (model.predict(X) > 0).all()

    class Older(MLPRegressor):
        def __init__(self, hidden_layer_sizes=(100,)):
            super().__init__(hidden_layer_sizes)

    monkeypatch.setattr(predictors, "MLPRegressor", Older)
    with pytest.raises(ValueError, match=r"Task 0 holds counts.*scikit-learn 1\.7"):
        model.split()
