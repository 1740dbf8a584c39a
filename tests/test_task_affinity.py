"""Affinities of tasks: the correlation of what they ask of the features, whatever the number of labels."""

from __future__ import annotations

import copy

import numpy as np
import pandas as pd
import pytest
from planted import correlated_tasks
from scipy import sparse
from sklearn.linear_model import LinearRegression, Ridge

from skmtl import TaskTargets, task_affinity


def pairs(matrix):
    return matrix[np.triu_indices(len(matrix), 1)]


def over_seeds(n_seeds, **options):
    """Estimates, truth and standard errors of all pairs over some seeds."""
    rows = []
    for seed in range(n_seeds):
        X, y, truth = correlated_tasks(seed, **options)
        found = task_affinity(X, y)
        rows.append([pairs(found.matrix), pairs(truth), pairs(found.standard_error)])
    return np.concatenate(rows, axis=1)


def test_few_labels_do_not_look_like_unrelatedness():
    estimate, truth, _ = over_seeds(10)  # 30 labels, 40 features
    ridge = []
    for seed in range(10):
        X, y, _ = correlated_tasks(seed)
        ridge.append(pairs(np.corrcoef([Ridge(40.0).fit(X[t], y[t]).coef_ for t in X])))
    assert truth.mean() == pytest.approx(0.6, abs=0.05)
    assert estimate.mean() == pytest.approx(truth.mean(), abs=0.05)
    assert np.mean(ridge) < 0.3  # what correlating the fitted coefficients would say


# 190 or 45 pairs of dependent estimates and ten seeds: the share within two standard errors has a spread of about 2 %.
@pytest.mark.parametrize(
    "options",
    [
        {"n_rows": 200, "n_features": 20},
        {"n_rows": 2000, "n_features": 10, "n_tasks": 10, "noise": 0.3},
        {"n_rows": 100, "n_features": 30, "own_rows": False},
        {"n_rows": 60, "n_features": 20, "covariance": 0.6 ** np.abs(np.subtract.outer(np.arange(20), np.arange(20)))},
    ],
    ids=["own", "many labels", "one X", "correlated features"],
)
def test_standard_errors_are_honest(options):
    estimate, truth, error = over_seeds(6, **options)
    assert np.mean(np.abs(estimate - truth) < 1.96 * error) > 0.9
    assert np.sqrt(np.mean((estimate - truth) ** 2)) > 0.5 * np.sqrt(np.mean(error**2))


def test_noise_that_tasks_share_on_the_same_rows_is_no_affinity():
    estimate, truth, _ = over_seeds(6, n_rows=100, n_features=30, own_rows=False, correlation=0.0, shared_noise=0.8)
    naive = []
    for seed in range(6):
        X, y, _ = correlated_tasks(seed, n_rows=100, n_features=30, own_rows=False, correlation=0.0, shared_noise=0.8)
        naive.append(pairs(np.corrcoef([LinearRegression().fit(X, column).coef_ for column in y.values()])))
    assert abs(estimate.mean() - truth.mean()) < 0.06
    assert np.mean(naive) > 0.2


def test_without_noise_it_is_the_correlation_of_least_squares_coefficients():
    # Many rows: what the sample says of the covariance of the features is then what is true of it.
    X, y, _ = correlated_tasks(0, n_tasks=6, n_rows=20000, n_features=10, own_rows=False, noise=1e-3)
    coef = np.array([LinearRegression().fit(X, column).coef_ for column in y.values()])
    expected = np.corrcoef((X - X.mean(axis=0)) @ coef.T, rowvar=False)
    found = task_affinity(X, y)
    np.testing.assert_allclose(found.matrix, expected, atol=0.02)
    assert found.standard_error.max() < 0.05


@pytest.fixture
def complete():
    X, y, _ = correlated_tasks(1, n_tasks=5, n_rows=60, n_features=8, own_rows=False)
    return X, y


def test_every_form_of_the_same_data_gives_the_same_affinities(complete):
    X, y = complete
    expected = task_affinity(X, y).matrix
    for other in (TaskTargets(y), pd.DataFrame(y), np.array(list(y.values())).T):
        np.testing.assert_allclose(task_affinity(X, other).matrix, expected)
    np.testing.assert_allclose(task_affinity(sparse.csr_matrix(X), y).matrix, expected, atol=1e-8)


def test_own_rows_and_the_long_form_agree():
    X, y, _ = correlated_tasks(2, n_tasks=4, n_rows=40, n_features=6)
    table = pd.concat([pd.DataFrame(rows).add_prefix("x").assign(task=name) for name, rows in X.items()])
    long = task_affinity(table, np.concatenate(list(y.values())), task_col="task")
    np.testing.assert_allclose(long.matrix, task_affinity(X, y).matrix, atol=1e-8)
    assert long.tasks == list(X)


def test_gaps_are_rows_of_other_tasks():
    X, y, _ = correlated_tasks(3, n_tasks=3, n_rows=50, n_features=6)
    stacked = np.concatenate(list(X.values()))
    gaps = {name: np.full(150, np.nan) for name in y}
    for i, name in enumerate(y):
        gaps[name][50 * i : 50 * i + 50] = y[name]
    np.testing.assert_allclose(task_affinity(stacked, gaps).matrix, task_affinity(X, y).matrix, atol=1e-8)


def test_order_of_tasks_and_units_of_targets_do_not_matter(complete):
    X, y = complete
    expected = task_affinity(X, y)
    turned = task_affinity(X, {name: 7.0 - 3.0 * y[name] for name in reversed(y)})
    np.testing.assert_allclose(turned.matrix[::-1, ::-1], expected.matrix, atol=1e-8)
    flipped = task_affinity(X, {name: -column if name == "t00" else column for name, column in y.items()})
    np.testing.assert_allclose(flipped.matrix[0, 1:], -expected.matrix[0, 1:], atol=1e-8)


def test_kinds_are_compared_by_what_they_ask_of_the_features():
    rng = np.random.RandomState(0)
    X = rng.randn(600, 8)
    a, b = X @ rng.randn(2, 8).T[:, 0], X @ np.r_[np.zeros(7), 2.0]
    scores = np.stack([a, -a, 0 * a], axis=1) + rng.gumbel(size=(600, 3))
    y = {
        "number": a + rng.randn(600),
        "two": np.where(a + rng.logistic(size=600) > 0, "yes", "no"),
        "three": np.array(["u", "v", "w"])[scores.argmax(axis=1)],
        "events": rng.poisson(np.exp(np.clip(0.3 * a, -3, 3))).astype(float),
        "other": b + rng.randn(600),
    }
    found = task_affinity(X, y, kinds={"events": "count"})
    frame = found.to_frame()
    related = ["number", "two", "three", "events"]
    assert (frame.loc[related, related] > 0.65).all(axis=None)  # of "three" only one of two vectors is shared
    truth = abs(np.corrcoef(a, b)[0, 1])
    assert (frame.loc["other", related].abs() < truth + 0.3).all()
    assert (np.diag(found.matrix) == 1).all()


def test_a_task_without_signal_is_uncertain_not_unrelated():
    X, y, _ = correlated_tasks(4, n_tasks=6, n_rows=200, n_features=10)
    y["t00"] = np.random.RandomState(0).randn(200)
    found = task_affinity(X, y)
    assert found.explained[0] < 0.1
    assert (found.standard_error[0, 1:] > 0.3).all()
    assert (found.standard_error[1:, 1:] < 0.2).all()


def test_constant_targets_and_single_tasks_are_answered(complete):
    X, y = complete
    found = task_affinity(X, y | {"flat": np.ones(60) * 2.5})
    assert np.isfinite(found.matrix).all()
    assert np.isfinite(found.standard_error).all()
    assert task_affinity(X, y["t00"]).matrix.tolist() == [[1.0]]


def test_the_answer_is_readable(complete):
    X, y = complete
    found = task_affinity(X, y)
    assert list(found.to_frame().columns) == found.tasks == list(y)
    assert repr(found).startswith("TaskAffinity of 5 tasks\n  t")
    assert "±" in repr(found)
    assert "... and 5 more pairs" in repr(found)


def test_inputs_stay_as_they_were(complete):
    X, y = complete
    before = copy.deepcopy((X, y))
    task_affinity(X, y)
    np.testing.assert_array_equal(X, before[0])
    assert all(np.array_equal(y[name], before[1][name]) for name in y)


def test_bad_input_is_refused_in_its_own_name(complete):
    X, y = complete
    holes = X.copy()
    holes[3, 2] = np.nan
    with pytest.raises(ValueError, match=r"task_affinity needs complete features: impute them first.*SimpleImputer"):
        task_affinity(holes, y)
    with pytest.raises(ValueError, match=r"Task 't00' has no target at all"):
        task_affinity(X, y | {"t00": np.full(60, np.nan)})
    with pytest.raises(ValueError, match=r"kinds names the unknown task 'nobody'"):
        task_affinity(X, y, kinds={"nobody": "count"})


@pytest.mark.parametrize("n_rows", [1, 30])
def test_features_that_do_not_vary_are_refused(n_rows):
    # 0.1 is no binary fraction: rounding must not pass for variation.
    X, y = np.full((n_rows, 3), 0.1), {name: np.arange(n_rows) * 1.5 for name in "ab"}
    with pytest.raises(ValueError, match="No feature of X differs between rows with a target"):
        task_affinity(X, y)
