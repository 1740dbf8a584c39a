"""The same observations give the same model: whatever the form, order, container or weights they come in."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse

from skmtl import LowRankClassifier, LowRankMultiTask, LowRankRegressor, TaskTargets

N_ROWS, N_FEATURES = 60, 6
SETTINGS = {"n_components": 2, "alpha": 0.05, "tol": 1e-12, "max_iter": 2000}


def problem(kind, seed=0):
    """X, and for three tasks of one kind a matrix of targets with gaps."""
    rng = np.random.RandomState(seed)
    X = rng.randn(N_ROWS, N_FEATURES)
    raw = X @ rng.randn(N_FEATURES, 2) @ rng.randn(2, 3) + 0.5 * rng.randn(N_ROWS, 3)
    if kind == "regression":
        Y = raw + [1.0, -2.0, 0.5]
    elif kind == "binary":
        Y = (raw > 0.3).astype(float)
    elif kind == "multiclass":
        Y = np.digitize(raw, [-0.7, 0.7]).astype(float)
    else:
        Y = rng.poisson(np.exp(np.clip(0.4 * raw, -3, 3))).astype(float)
    Y[rng.rand(N_ROWS, 3) < 0.3] = np.nan
    return X, Y


def estimator(kind, **options):
    if kind in ("regression", "count"):
        return LowRankRegressor(loss="squared" if kind == "regression" else "poisson", **SETTINGS, **options)
    return LowRankClassifier(**SETTINGS, **options)


def coefficients(model):
    """{position of the task: (coef, intercept)}, whatever the form of the fit."""
    if isinstance(model.coef_, dict):
        return [(np.atleast_2d(model.coef_[t]), np.ravel(model.intercept_[t])) for t in sorted(model.coef_)]
    return [(np.atleast_2d(w), np.ravel(b)) for w, b in zip(model.coef_, model.intercept_, strict=True)]


def assert_same(model, other, rtol=1e-7):
    for (coef, intercept), (coef2, intercept2) in zip(coefficients(model), coefficients(other), strict=True):
        scale = np.abs(coef).max()
        assert_allclose(coef2, coef, atol=rtol * scale, rtol=0)
        assert_allclose(intercept2, intercept, atol=rtol * max(scale, 1), rtol=0)


def own_rows(X, Y):
    seen = ~np.isnan(Y)
    return {t: X[seen[:, t]] for t in range(3)}, {t: Y[seen[:, t], t] for t in range(3)}


KINDS = ["regression", "binary", "multiclass", "count"]


@pytest.mark.parametrize("kind", KINDS)
def test_the_four_forms_give_the_same_coefficients(kind):
    X, Y = problem(kind)
    array = estimator(kind).fit(X, Y)
    named = estimator(kind).fit(X, {t: Y[:, t] for t in range(3)})
    own = estimator(kind).fit(*own_rows(X, Y))
    stacked = np.column_stack([np.repeat(np.arange(3), N_ROWS), np.tile(X, (3, 1))])
    long = estimator(kind, task_col=0).fit(stacked, Y.T.ravel())
    frame = estimator(kind).fit(X, pd.DataFrame(Y))
    for other in (named, own, long, frame):
        assert_same(array, other)
    # ... and the same predictions, each in its own form.
    predictions = array.predict(X)
    assert_allclose(np.column_stack(list(named.predict(X).values())), predictions, rtol=1e-6)
    assert_allclose(long.predict(stacked).reshape(3, N_ROWS).T, predictions, rtol=1e-6)
    for t, column in own.predict(dict.fromkeys(range(3), X)).items():
        assert_allclose(column, predictions[:, t], rtol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_sparse_features_give_the_same_coefficients(kind):
    X, Y = problem(kind)
    X[np.abs(X) < 0.5] = 0
    dense = estimator(kind).fit(X, Y)
    assert_same(dense, estimator(kind).fit(sparse.csr_array(X), Y))
    assert_same(dense, estimator(kind).fit(sparse.dok_matrix(X), Y))
    tables, columns = own_rows(X, Y)
    as_csr = {t: sparse.csr_array(table) for t, table in tables.items()}
    assert_same(dense, estimator(kind).fit(as_csr, columns))


@pytest.mark.parametrize("kind", KINDS)
def test_the_order_of_rows_and_tasks_is_irrelevant(kind):
    X, Y = problem(kind)
    rng = np.random.RandomState(1)
    rows = rng.permutation(N_ROWS)
    model = estimator(kind).fit(X, {t: Y[:, t] for t in range(3)})
    turned = estimator(kind).fit(X[rows], {t: Y[rows, t] for t in (2, 0, 1)})
    assert_same(model, turned)
    long = np.column_stack([np.repeat(np.arange(3), N_ROWS), np.tile(X, (3, 1))])
    rows = rng.permutation(3 * N_ROWS)
    assert_same(model, estimator(kind, task_col=0).fit(long[rows], Y.T.ravel()[rows]))


@pytest.mark.parametrize("kind", KINDS)
def test_a_whole_weight_is_a_repeated_row(kind):
    X, Y = problem(kind)
    weight = np.random.RandomState(2).randint(0, 4, N_ROWS)
    again = np.repeat(np.arange(N_ROWS), weight)
    repeated = estimator(kind).fit(X[again], Y[again])
    assert_same(repeated, estimator(kind).fit(X, Y, sample_weight=weight))
    per_task = np.tile(weight[:, None], (1, 3))
    assert_same(repeated, estimator(kind).fit(X, Y, sample_weight=per_task))
    tables, columns = own_rows(X, Y)
    seen = ~np.isnan(Y)
    assert_same(repeated, estimator(kind).fit(tables, columns, {t: weight[seen[:, t]] for t in range(3)}))


@pytest.mark.parametrize("kind", KINDS)
def test_weight_zero_is_a_missing_target(kind):
    X, Y = problem(kind)
    absent = np.random.RandomState(3).rand(N_ROWS, 3) < 0.2
    gaps = estimator(kind).fit(X, np.where(absent, np.nan, Y))
    weighted = estimator(kind).fit(X, Y, sample_weight=np.where(absent, 0.0, 1.0))
    assert_same(gaps, weighted)


@pytest.mark.parametrize("kind", KINDS)
def test_rows_without_any_target_change_nothing(kind):
    X, Y = problem(kind)
    more = np.vstack([X, np.random.RandomState(4).randn(7, N_FEATURES) + 3])
    assert_same(estimator(kind).fit(X, Y), estimator(kind).fit(more, np.vstack([Y, np.full((7, 3), np.nan)])))


@pytest.mark.parametrize("container", [np.asarray, sparse.csr_array, pd.DataFrame])
def test_shuffled_rows_of_the_long_form_are_answered_row_by_row(container):
    X, Y = problem("regression")
    long = np.column_stack([np.repeat(np.arange(3), N_ROWS), np.tile(X, (3, 1))])
    model = estimator("regression", task_col=0).fit(long, Y.T.ravel())
    by_hand = np.concatenate([X @ model.coef_[t] + model.intercept_[t] for t in range(3)])
    rows = np.random.RandomState(5).permutation(3 * N_ROWS)
    assert_allclose(model.predict(container(long[rows])), by_hand[rows], rtol=1e-10)
    assert_allclose(model.transform(container(long[rows])), (np.tile(X, (3, 1)) @ model.basis_)[rows], atol=1e-10)


def test_a_mixed_problem_is_the_same_in_every_container_with_names():
    polars = pytest.importorskip("polars")
    X, Y = problem("regression")
    labels = np.where(np.isnan(Y[:, 1]), None, np.where(Y[:, 1] > -2, "much", "little"))
    three = np.array(["a", "b", "c"], dtype=object)[np.digitize(X[:, 0], [-0.5, 0.5])]
    y = {"size": Y[:, 0], "amount": labels, "shape": three}
    model = LowRankMultiTask(**SETTINGS).fit(X, y)
    frame = pd.DataFrame(y)
    lists = {name: [None if v is None or v != v else v for v in column] for name, column in y.items()}
    givens = [TaskTargets(y), frame, frame.convert_dtypes(), frame.astype({"amount": "category"})]
    for given in [*givens, polars.DataFrame(lists)]:
        other = LowRankMultiTask(**SETTINGS).fit(X, given)
        for task in y:
            assert_allclose(other.coef_[task], model.coef_[task], rtol=1e-9, atol=1e-12)
            assert_array_equal(other.predict(X)[task], model.predict(X)[task])
    own = LowRankMultiTask(**SETTINGS).fit(dict.fromkeys(y, X), y)
    for task in y:
        scale = np.abs(model.coef_[task]).max()
        assert_allclose(own.coef_[task], model.coef_[task], rtol=0, atol=1e-7 * scale)
