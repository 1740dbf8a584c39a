"""Directions that the rows of a task do not tell say nothing about it: affinities, groups and selections."""

from __future__ import annotations

import numpy as np
import pytest
from planted import correlated_tasks, planted_groups, planted_helpers
from scipy import sparse
from sklearn.linear_model import LinearRegression

from skmtl import group_tasks, select_tasks, stack_tasks, task_affinity
from skmtl.datasets import load_star


def three_tasks(n=4000, p=10, seed=0):
    """Three tasks of the same coefficients: two see the first half of the rows, one the second; their indicator."""
    rng = np.random.default_rng(seed)
    X, w = rng.normal(size=(n, p)), 0.2 * rng.normal(size=p)
    together, z = rng.normal(size=n), rng.normal(size=(3, n))
    Y = np.column_stack([X @ w + together + 0.3 * z[0], X @ w + together + 0.3 * z[1], X @ w + z[2]])
    first = np.arange(n) < n // 2
    Y[~first, :2], Y[first, 2] = np.nan, np.nan
    return X, Y, first.astype(float)


def test_an_indicator_of_the_rows_of_a_task_changes_no_affinity():
    X, Y, indicator = three_tasks()
    plain = task_affinity(X, Y)
    np.testing.assert_allclose(plain.matrix, 1.0, atol=0.1)  # they have the same coefficients
    assert (plain.standard_error < 0.1).all()
    for column in (indicator, 1e6 * indicator, 1e-6 * indicator + 1e-3):
        found = task_affinity(np.column_stack([X, column]), Y)
        np.testing.assert_allclose(found.matrix, plain.matrix, atol=1e-6)
        np.testing.assert_allclose(found.standard_error, plain.standard_error, atol=1e-6)
        np.testing.assert_allclose(found.explained, plain.explained, atol=1e-6)


@pytest.mark.parametrize("kind", ["regression", "binary", "multiclass", "count"])
@pytest.mark.parametrize("with_indicator", [False, True])
def test_the_basis_in_which_features_come_does_not_matter(kind, with_indicator):
    X, Y, indicator = three_tasks(n=600, p=6)
    rng = np.random.default_rng(1)
    y = {}
    for name, column in zip("abc", Y.T):
        seen = ~np.isnan(column)
        if kind == "binary":
            y[name] = np.where(seen, np.where(column > 0.3, "yes", "no"), None)
        elif kind == "multiclass":
            y[name] = np.where(seen, np.digitize(np.nan_to_num(column), [-0.5, 0.5]).astype(str), None)
        else:
            y[name] = column if kind == "regression" else np.where(seen, np.round(np.exp(column)), np.nan)
    kinds = dict.fromkeys("abc", "count") if kind == "count" else None
    plain = task_affinity(X, y, kinds=kinds)
    wide = np.column_stack([X, indicator]) if with_indicator else X
    turned = wide @ rng.normal(size=(wide.shape[1], wide.shape[1])) + 5.0
    for other in (turned, sparse.csr_matrix(turned), np.column_stack([turned, turned[:, :2] @ [2.0, -1.0]])):
        found = task_affinity(other, y, kinds=kinds)
        np.testing.assert_allclose(found.matrix, plain.matrix, atol=1e-5)
        np.testing.assert_allclose(found.standard_error, plain.standard_error, atol=1e-5)


def test_own_rows_and_the_long_form_see_what_their_rows_see():
    X, y, _ = correlated_tasks(0, n_tasks=4, n_rows=60, n_features=6)
    plain = task_affinity(X, y)
    # Two columns that are constant on the rows of every task: tasks at different places.
    places = {
        name: np.column_stack([rows, np.full((60, 2), [i, 100.0 * i**2])]) for i, (name, rows) in enumerate(X.items())
    }
    rng = np.random.RandomState(0)
    turn = rng.randn(8, 8)
    for other in (places, {name: rows @ turn for name, rows in places.items()}):
        np.testing.assert_allclose(task_affinity(other, y).matrix, plain.matrix, atol=1e-6)
        np.testing.assert_allclose(task_affinity(*stack_tasks(other, y)).matrix, plain.matrix, atol=1e-6)


@pytest.mark.parametrize("n_rows", [50, 1000])
def test_a_column_that_only_one_task_sees_is_no_part_of_what_two_have_in_common(n_rows):
    # Task "b" depends on two columns that are constant for "a", and strongly.
    found = []
    for seed in range(12):
        rng = np.random.RandomState(seed)
        X = {name: rng.randn(n_rows, 8) for name in "abc"}
        X["a"][:, 6:] = 1.0
        coef = {name: np.r_[np.ones(6), own] for name, own in zip("abc", [[0, 0], [3, 3], [3, -3]])}
        y = {name: X[name] @ coef[name] + 2 * rng.randn(n_rows) for name in "abc"}
        found.append(task_affinity(X, y).matrix[np.triu_indices(3, 1)])
    # a and b, a and c by the six columns that both see; b and c by all, of which two vary on two thirds of the rows.
    truth = [1.0, 1.0, 6 / (6 + 18 * 2 / 3)]
    np.testing.assert_allclose(np.mean(found, axis=0), truth, atol=0.15 if n_rows == 50 else 0.03)


def test_tasks_that_see_no_direction_in_common_have_an_unknown_affinity():
    rng = np.random.RandomState(0)
    X = {"a": np.c_[rng.randn(80, 2), np.ones((80, 2))], "b": np.c_[np.zeros((80, 2)), rng.randn(80, 2)]}
    y = {name: rows.sum(axis=1) + rng.randn(80) for name, rows in X.items()}
    found = task_affinity(X, y)
    assert found.matrix[0, 1] == 0.0
    assert found.standard_error[0, 1] == 1.0


def disattenuated(X, a, b, rows, n_splits=2):
    """Correlation of what least squares predict of two tasks, each from the half of the rows that the other lacks.

    Noise that both share on a row does not repeat in the other half.
    """
    products = np.zeros(3)
    for seed in range(n_splits):
        half = np.array_split(np.random.RandomState(seed).permutation(rows), 2)
        fits = np.array([[LinearRegression().fit(X[own], y[own]).predict(X[rows]) for own in half] for y in (a, b)])
        fits -= fits.mean(axis=2, keepdims=True)
        crossed = np.mean([fits[0, i] @ fits[1, 1 - i] for i in range(2)])
        products += crossed, fits[0, 0] @ fits[0, 1], fits[1, 0] @ fits[1, 1]
    return products[0] / np.sqrt(products[1] * products[2])


@pytest.mark.slow
def test_reading_and_mathematics_of_a_grade_ask_the_same_of_pupils():
    # The features of STAR hold an indicator of who was missing in each grade.
    X, y = load_star()
    found = task_affinity(X, y)
    frame = found.to_frame()
    for grade in "k123":
        both = np.flatnonzero(~np.isnan(y[f"read{grade}"]) & ~np.isnan(y[f"math{grade}"]))
        assert frame.loc[f"read{grade}", f"math{grade}"] == pytest.approx(
            disattenuated(X, y[f"read{grade}"], y[f"math{grade}"], both), abs=0.08
        )
    assert frame.loc["read3", "math3"] == pytest.approx(0.95, abs=0.05)


def with_places(X):
    """Own rows with three further columns that are constant on the rows of every task and large between them."""
    rng = np.random.RandomState(9)
    return {name: np.column_stack([rows, np.full((len(rows), 3), 50 * rng.randn(3))]) for name, rows in X.items()}


@pytest.mark.slow
def test_groups_do_not_depend_on_columns_that_are_constant_for_every_task():
    X, y, labels, _ = planted_groups(0, n_groups=2, per_group=4, n_rows=60, n_features=6, rank=1)
    found = group_tasks(X, y, n_groups=2, random_state=0)
    assert len(np.unique(np.c_[labels, found.labels], axis=0)) == 2
    other = group_tasks(with_places(X), y, n_groups=2, random_state=0)
    np.testing.assert_array_equal(other.labels, found.labels)
    assert other.rank == found.rank
    np.testing.assert_allclose(np.array(other.path)[:, 2], np.array(found.path)[:, 2], rtol=1e-3)


@pytest.mark.slow
def test_selections_do_not_depend_on_columns_that_are_constant_for_every_task():
    X, y = planted_helpers(0, rank=1, n_main=30, n_rows=60, n_features=10, n_helpers=2, n_others=3)
    found = select_tasks(X, y, "main", random_state=0)
    assert found.selected
    other = select_tasks(with_places(X), y, "main", random_state=0)
    assert other.selected == found.selected
    assert other.alone == pytest.approx(found.alone, rel=1e-6)
