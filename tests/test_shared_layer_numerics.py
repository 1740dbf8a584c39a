"""Data that break networks: the shared hidden layer answers without NaN and without a warning that is not ours.

Warnings are errors here as everywhere. Nothing depends on the unit of a column or of a target, nor on the order of
rows, tasks or forms, beyond what rounding makes of the way of a fit.
"""

from __future__ import annotations

import warnings
from itertools import product

import numpy as np
import pytest
from numpy.testing import assert_allclose
from problems import crossed
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import KFold

from skmtl import LowRankRegressor, SharedLayerClassifier, SharedLayerMultiTask, SharedLayerRegressor
from skmtl.shared_layer import NetworkFold, NetworkOptions
from skmtl.shared_layer.heads import Strengths
from skmtl.tasks import Task, TaskData

#: Networks of a moment; "auto" chooses among strengths and asks the linear model too.
SMALL = {"n_hidden": 4, "n_linear": 1, "alpha": 0.03, "cv": 3}
N = 36
SLOW = pytest.mark.slow


def table(n=N, d=4, seed=0):
    return np.random.default_rng(seed).normal(size=(n, d))


def numbers(X, noise=0.2):
    rng = np.random.default_rng(1)
    return np.abs(X[:, :1]) + X[:, 1:2] * [1.0, 0.5, -1.0] + noise * rng.normal(size=(len(X), 3))


def classes(X):
    raw = numbers(X)
    return (raw > np.median(raw, axis=0)).astype(int)


def both(X):
    """A number, two classes and three."""
    raw = numbers(X)
    kinds = np.array(["a", "b", "c"])[np.argsort(np.argsort(raw[:, 1])) * 3 // len(X)]
    return {"size": raw[:, 0], "ripe": np.where(raw[:, 2] > np.median(raw[:, 2]), "yes", "no"), "kind": kinds}


def scaled(factor):
    return lambda X: X * np.array([1.0, factor, *[1.0] * (X.shape[1] - 2)])


CLASSES = {
    "numbers": (SharedLayerRegressor, numbers),
    "counts": (lambda **options: SharedLayerRegressor(loss="poisson", **options), lambda X: np.exp(numbers(X)).round()),
    "classes": (SharedLayerClassifier, classes),
    "mixed": (SharedLayerMultiTask, both),
}
FEATURES = {
    "duplicated and constant columns": lambda X: np.column_stack([X, X[:, 0], X[:, 0], np.ones(len(X)), 0 * X[:, 0]]),
    "a column of millions": scaled(1e6),
    "a column of millionths": scaled(1e-6),
    "columns far from zero": lambda X: X + 1e8,
    "nothing but constants": lambda X: np.full(X.shape, 0.1),
    "nothing but zeros": np.zeros_like,
    "more columns than rows": lambda X: table(len(X), 60),
    "a single column": lambda X: X[:, :1],
    "one enormous cell": lambda X: np.where(np.arange(X.size).reshape(X.shape) == 5, 1e9, X),
}


def answers(model, X):
    """Everything that it says, in one list of arrays of numbers."""
    found = [model.transform(one) for one in (X.values() if isinstance(X, dict) else [X])]
    for method in ("predict", "predict_proba"):
        if hasattr(model, method):
            answer = getattr(model, method)(X)
            found.extend(answer.values() if isinstance(answer, dict) else np.atleast_1d(answer))
    return [one for one in map(np.asarray, found) if one.dtype.kind == "f"]


def fitted(model, X, y, weight=None):
    """A fit that has settled, or says that it has not; and finite throughout."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        model.fit(X, y, weight)
    assert {one.category for one in told} == (set() if model.convergence_.converged else {ConvergenceWarning})
    assert all(np.all(np.isfinite(one)) for one in answers(model, X))
    assert np.isfinite(model.objective_)
    return model


@pytest.mark.parametrize(
    ("what", "how"), crossed(list(FEATURES), list(product(CLASSES, [np.asarray, sparse.csr_array])))
)
def test_features_that_break_solvers(what, how):
    kind, container = how
    make, targets = CLASSES[kind]
    X = table()
    fitted(make(**SMALL), container(FEATURES[what](X)), targets(X))


@pytest.mark.parametrize("kind", CLASSES)
def test_features_that_say_nothing_leave_intercepts(kind):
    make, targets = CLASSES[kind]
    y = targets(table())
    model = fitted(make(**SMALL), np.ones((N, 3)), y)
    if kind in ("numbers", "counts"):  # of counts, the folds' logarithms are averaged
        assert_allclose(model.predict(np.ones((1, 3)))[0], y.mean(axis=0), rtol=1e-6 if kind == "numbers" else 0.02)
    elif kind == "classes":
        assert_allclose([one[0, 1] for one in model.predict_proba(np.ones((1, 3)))], y.mean(axis=0), rtol=1e-6)
    else:
        assert_allclose(model.predict_proba(np.ones((1, 3)))["kind"], 1 / 3, rtol=1e-6)


@SLOW
@pytest.mark.parametrize("what", FEATURES)
@pytest.mark.parametrize("kind", CLASSES)
def test_features_that_break_solvers_where_everything_is_chosen(what, kind):
    make, targets = CLASSES[kind]
    X = table()
    fitted(make(cv=3), FEATURES[what](X), targets(X))


@pytest.mark.parametrize(("kind", "alpha"), crossed(list(CLASSES), [0.03, 1e-7]))
def test_weights_over_twelve_orders_of_magnitude(kind, alpha):
    make, targets = CLASSES[kind]
    X, weight = table(), 10.0 ** np.random.default_rng(2).uniform(-6, 6, N)
    model = fitted(make(**SMALL | {"alpha": alpha}), X, targets(X), weight)
    if alpha == 0.03:  # without a penalty to speak of, rounding leads to another of many optima
        again = fitted(make(**SMALL | {"alpha": alpha}), X, targets(X), 1e-9 * weight)
        assert_allclose(again.objective_, model.objective_, rtol=0.05)  # a factor on all weights is none


@pytest.mark.parametrize(("n_classes", "alpha"), crossed([2, 3], [0.03, 1e-6]))
def test_perfectly_separable_classes(n_classes, alpha):
    X = table()
    Y = {"line": np.digitize(X[:, 0], [-0.4, 0.4][: n_classes - 1]), "bend": (np.abs(X[:, 1]) > 0.7).astype(int)}
    model = fitted(SharedLayerClassifier(**SMALL | {"alpha": alpha, "n_hidden": 16}), X, Y)
    assert model.score(X, Y) >= (0.95 if alpha == 1e-6 else 0.7)
    for probabilities in model.predict_proba(X).values():
        assert_allclose(probabilities.sum(axis=1), 1.0)


def test_a_single_row_a_single_task_and_a_task_of_one_label():
    X = table()
    Y = numbers(X)
    one_fold = [(np.arange(N - 1), np.array([N - 1]))]
    fitted(SharedLayerRegressor(**SMALL), X, Y[:, 0])
    fitted(SharedLayerRegressor(**SMALL | {"cv": one_fold}), X, Y)
    fitted(SharedLayerRegressor(**SMALL | {"cv": [(np.array([0]), np.array([1, 2]))]}), X, Y)  # one row to train on
    Y[1:, 2] = np.nan
    model = fitted(SharedLayerRegressor(**SMALL), X, Y)
    assert_allclose(model.predict(X)[0, 2], Y[0, 2], rtol=1e-6)  # its intercept is free
    with pytest.raises(ValueError, match=r"n_samples=1 row.* with a target, fewer than n_splits=5 folds"):
        SharedLayerRegressor().fit(X[:1], Y[:1, :2])


def few_of_one_task(kind):
    """Five tasks of own rows; the last has one, or one of every class."""
    X = table(30)
    y = numbers(X)[:, 0] if kind == "numbers" else classes(X)[:, 0]
    tables = {t: X[6 * t : 6 * t + 6] for t in range(5)}
    targets = {t: y[6 * t : 6 * t + 6] for t in range(5)}
    few = slice(1) if kind == "numbers" else [np.argmin(targets[4]), np.argmax(targets[4])]
    tables[4], targets[4] = tables[4][few], targets[4][few]
    return tables, targets


def test_own_rows_of_a_task_that_a_fold_cannot_train_are_not_judged():
    tables, targets = few_of_one_task("numbers")
    X, y = np.concatenate(list(tables.values())), np.concatenate(list(targets.values()))
    tasks = tuple(Task(t, "regression", None) for t in tables)
    data = TaskData(X, tasks, y, np.repeat(np.arange(5), [len(one) for one in targets.values()]))
    fold = NetworkFold(0, data, np.arange(0, 24, 2), np.array([*range(1, 24, 2), 24]), np.ones(5))
    assert list(fold.test_rows) == list(range(1, 24, 2))
    sums, weights = fold.losses_of_rows(fold.fit(Strengths(0.1), NetworkOptions(2, 1, 5, 0.1, 0, "std")))
    assert len(sums) == len(weights) == len(fold.test_rows)


@SLOW
@pytest.mark.parametrize("kind", ["numbers", "classes"])
def test_tasks_of_own_rows_that_some_folds_cannot_judge(kind):
    """Their rows are judged neither by the networks nor by the linear model."""
    tables, targets = few_of_one_task(kind)
    make = SharedLayerRegressor if kind == "numbers" else SharedLayerClassifier
    model = fitted(make(n_linear=1, alpha=0.1, alpha_common=0.05, cv=3), tables, targets)
    assert list(model.predict(tables)) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("n_hidden", [2, 0])
def test_folds_whose_test_rows_weigh_nothing_are_none(n_hidden):
    X, weight = table(), np.ones(N)
    weight[:12] = 0.0
    cv = [(np.flatnonzero(np.arange(N) // 6 != k), np.arange(6 * k, 6 * k + 6)) for k in range(6)]
    model = fitted(SharedLayerRegressor(**SMALL | {"n_hidden": n_hidden, "cv": cv}), X, numbers(X)[:, 0], weight)
    assert model.n_splits_ == 4
    assert n_hidden == 0 or model.n_units_ == 4 * (2 + 1)


def test_a_class_that_a_training_part_lacks():
    X, Y = table(), classes(table())
    Y[:, 2] = np.arange(N) < 12
    thirds = np.arange(N) // 12
    cv = [(np.flatnonzero(thirds != k), np.flatnonzero(thirds == k)) for k in range(3)]
    model = fitted(SharedLayerClassifier(**SMALL | {"cv": cv}), X, Y)  # the first has one class of it
    assert set(np.unique(model.predict(X)[:, 2])) <= {0, 1}


@pytest.mark.parametrize("n_hidden", [4, pytest.param("auto", marks=SLOW)])
def test_targets_that_are_all_alike(n_hidden):
    X, Y = table(), numbers(table())
    Y[:, 1], Y[:, 2] = 3.0, 0.0
    model = fitted(SharedLayerRegressor(**SMALL | {"n_hidden": n_hidden}), X, Y)
    assert_allclose(model.predict(X)[:, 1:], Y[:, 1:], atol=1e-10)
    same = fitted(SharedLayerRegressor(**SMALL | {"n_hidden": n_hidden}), X, np.full((N, 2), 0.1))
    assert_allclose(same.predict(X), 0.1, rtol=1e-10)


# Units and orders


@pytest.mark.parametrize(
    ("factor", "offset"),
    [(1e-6, 0.0), *(pytest.param(*units, marks=SLOW) for units in [(1.0, 1e6), (1e6, 1e12), (1e-3, -1e6)])],
)
def test_units_of_targets_do_not_matter(factor, offset):
    X, Y = table(), numbers(table(), noise=0.5)
    options = {"n_hidden": 4, "n_linear": 1, "cv": 2}
    one = fitted(SharedLayerRegressor(**options), X, Y)
    other = fitted(SharedLayerRegressor(**options), X, factor * Y + offset)
    assert_allclose(other.alpha_, one.alpha_, rtol=1e-6)
    # What is left is where rounding leads on the way, to a tolerance of 1e-4 of the objective.
    assert_allclose((other.predict(X) - offset) / factor, one.predict(X), atol=0.05)


@SLOW
@pytest.mark.parametrize("alpha_common", [None, "auto"])
@pytest.mark.parametrize("factor", [1e-6, 1e6])
def test_units_of_targets_do_not_matter_where_a_task_has_one_row_or_is_constant(factor, alpha_common):
    X, Y = table(), numbers(table())
    sizes = np.repeat([0, 1, 2], N // 3)
    tables = {t: X[sizes == t] for t in range(3)} | {"one": X[:1], "alike": X[:4]}
    targets = {t: Y[sizes == t, 0] for t in range(3)} | {"one": Y[:1, 0], "alike": np.full(4, 0.3)}
    options = {"n_hidden": 4, "n_linear": 1, "alpha_common": alpha_common, "cv": 3}
    one = fitted(SharedLayerRegressor(**options), tables, targets)
    other = fitted(SharedLayerRegressor(**options), tables, {t: factor * y for t, y in targets.items()})
    assert other.alpha_ == pytest.approx(one.alpha_, rel=1e-6)
    if alpha_common is None:
        assert one.alpha_common_ is other.alpha_common_ is None
    else:
        assert other.alpha_common_ == pytest.approx(one.alpha_common_, rel=1e-6)
    for t, answer in one.predict(tables).items():
        assert_allclose(other.predict(tables)[t] / factor, answer, atol=1e-4)


@pytest.mark.parametrize("factor", [1e-6, 1e6])
def test_a_common_unit_is_that_of_the_targets_that_vary(factor):
    """A target without a deviation of its own once counted as one of 1.0."""
    X, Y = table(), numbers(table())
    tables = {"a": X[:20], "b": X[20:], "one": X[:1]}
    targets = {"a": Y[:20, 0], "b": Y[20:, 0], "one": Y[:1, 0]}
    one = LowRankRegressor(alpha=0.1, alpha_common=0.1).fit(tables, targets)
    other = LowRankRegressor(alpha=0.1, alpha_common=0.1).fit(tables, {t: factor * y for t, y in targets.items()})
    for t, answer in one.predict(tables).items():
        assert_allclose(other.predict(tables)[t] / factor, answer, atol=1e-5)


@pytest.mark.parametrize("kind", [one if one == "classes" else pytest.param(one, marks=SLOW) for one in CLASSES])
def test_the_order_of_rows_and_of_tasks_does_not_matter(kind):
    make, targets = CLASSES[kind]
    X, order = table(), np.random.default_rng(3).permutation(N)
    y = targets(X)
    y = y if isinstance(y, dict) else dict(enumerate(y.T))
    cv = list(KFold(3).split(X))
    place = np.argsort(order)
    moved = [(place[train], place[test]) for train, test in cv]
    one = fitted(make(**SMALL | {"cv": cv}), X, y)
    other = fitted(make(**SMALL | {"cv": moved}), X[order], {t: y[t][order] for t in reversed(list(y))})
    for t in one.tasks_:
        assert_allclose(other.factors_[t], one.factors_[t], rtol=1e-3, atol=1e-5)
