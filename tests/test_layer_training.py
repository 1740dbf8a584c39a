"""Training of the shared hidden layer: its objective, heads found exactly, features standardised inside."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose
from problems import FORMS, KINDS, crossed, make_data
from scipy import sparse
from scipy.optimize import approx_fprime
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.preprocessing import StandardScaler

from skmtl.shared_layer.heads import Strengths, newton_heads, raw_predictor, squared_heads
from skmtl.shared_layer.representation import Layer
from skmtl.shared_layer.standardised import StandardisedFeatures
from skmtl.shared_layer.training import JointObjective, SquaredObjective, train
from skmtl.solvers.build import make_blocks

# The objective


@pytest.mark.parametrize(("kind", "layout"), crossed([*KINDS, "mixed"], FORMS))
def test_the_gradient_is_that_of_differences(kind, layout):
    check_gradient(make_data(kind, layout, n=40, d=4, n_tasks=3 if kind != "mixed" else 5), kind, None)


@pytest.mark.parametrize("kind", ["regression", "binary", "count"])
def test_the_gradient_about_a_mean_is_that_of_differences(kind):
    check_gradient(make_data(kind, "labelled", n=40, d=4, n_tasks=3), kind, 0.05)


def check_gradient(data, kind, alpha_common):
    blocks, _ = make_blocks(data, "std")
    X = StandardisedFeatures(data.X, data.row_weights)
    rng = np.random.default_rng(0)
    layer, strengths = Layer.random(4, 3, 2, rng), Strengths(0.1, alpha_common)
    objectives = []
    joint = JointObjective(X, blocks, strengths, layer, (int(data.output_offsets[-1]), layer.n_units + 1))
    heads = rng.normal(size=joint.parameters.shape)
    objectives.append((joint, np.concatenate([layer.as_vector(), joint.parameters.vector_of(heads)])))
    if kind == "regression":
        objectives.append((SquaredObjective(X, blocks[0], strengths, layer), layer.as_vector()))
    for objective, vector in objectives:
        numeric = approx_fprime(vector, lambda v, objective=objective: objective(v)[0], 1e-7)
        assert_allclose(objective(vector)[1], numeric, rtol=1e-4, atol=3e-6)


@pytest.mark.parametrize("layout", FORMS)
def test_eliminated_heads_are_the_ridge_regression_of_every_task_on_the_scores(layout):
    data = make_data("regression", layout)
    (block,), _ = make_blocks(data, None)
    scores = np.column_stack([np.random.default_rng(0).normal(size=(data.n_rows, 4)), np.ones(data.n_rows)])
    heads, mean, penalty = squared_heads(block, scores, Strengths(0.2))
    assert mean is None
    for t, head in enumerate(heads):
        if data.task_of_row is None:
            rows = np.flatnonzero(~np.isnan(data.y[:, t]))
            y = data.y[rows, t]
        else:
            rows = np.flatnonzero(data.task_of_row == t)
            y = data.y[rows]
        ridge = Ridge(alpha=0.2 * data.weight_per_task).fit(scores[rows, :-1], y)
        assert_allclose(head, np.append(ridge.coef_, ridge.intercept_), rtol=1e-8, atol=1e-10)
    assert penalty == pytest.approx(0.1 * np.sum(heads[:, :-1] ** 2))
    assert_allclose(newton_heads([block], scores, 0.2), heads, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("layout", FORMS)
def test_heads_about_a_mean_are_one_ridge_regression_of_all_tasks(layout):
    """Mean and deviations as the coefficients of one long table: [h, 1] once for all tasks, and once per task."""
    data = make_data("regression", layout, n_tasks=3)
    (block,), _ = make_blocks(data, None)
    scores = np.column_stack([np.random.default_rng(0).normal(size=(data.n_rows, 2)), np.ones(data.n_rows)])
    strengths = Strengths(0.2, 0.05)
    heads, mean, _ = squared_heads(block, scores, strengths)
    table, y = [], []
    for t in range(3):
        seen = ~np.isnan(data.y[:, t]) if data.task_of_row is None else data.task_of_row == t
        y.append(data.y[seen, t] if data.task_of_row is None else data.y[seen])
        table.append(np.hstack([scores[seen], *(scores[seen] * (s == t) for s in range(3))]))
    table, y = np.vstack(table), np.concatenate(y)
    ridge = np.diag([0.05, 0.05, 0.0, *[0.2] * 9])
    solved = np.linalg.solve(table.T @ table / data.weight_per_task + ridge, table.T @ y / data.weight_per_task)
    assert_allclose(mean, solved[:3], rtol=1e-6)
    assert_allclose(heads, solved[:3] + solved[3:].reshape(3, 3), rtol=1e-6)


def test_heads_of_classes_are_the_logistic_regression_of_every_task_on_the_scores():
    data = make_data("binary", "gaps")
    blocks, _ = make_blocks(data, "std")
    scores = np.column_stack([np.random.default_rng(0).normal(size=(data.n_rows, 3)), np.ones(data.n_rows)])
    heads = newton_heads(blocks, scores, 0.2)
    for t, head in enumerate(heads):
        rows = np.flatnonzero(~np.isnan(data.y[:, t]))
        C = 1 / (0.2 * data.weight_per_task)
        one = LogisticRegression(C=C, tol=1e-10, max_iter=1000).fit(scores[rows, :-1], data.y[rows, t])
        assert_allclose(head, np.append(one.coef_, one.intercept_), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", [*KINDS, "mixed"])
def test_training_never_ends_above_its_start_and_stops_where_it_is_flat(kind):
    data = make_data(kind, "complete", n=60, d=4)
    blocks, _ = make_blocks(data, "std")
    X = StandardisedFeatures(data.X, data.row_weights)
    start, strengths = Layer.random(data.n_features, 3, 1, np.random.default_rng(0)), Strengths(0.05)
    short = train(X, blocks, start, strengths, max_iter=1, tol=1e-5)
    long = train(X, blocks, start, strengths, max_iter=1000, tol=1e-5)
    assert long.objective < short.objective
    assert long.converged
    assert not short.converged
    raw = [raw_predictor(block, long.layer.scores(X), long.heads) for block in blocks]
    loss = sum(block.loss_and_slope(one)[0] for block, one in zip(blocks, raw))
    vector = long.layer.as_vector()
    penalty = 0.025 * (vector @ vector + np.sum(long.heads[:, :-1] ** 2))
    assert long.objective == pytest.approx(loss + penalty, rel=1e-9)


@pytest.mark.parametrize("make", [np.asarray, sparse.csr_matrix, lambda X: X.astype(np.float32)])
def test_features_are_standardised_as_by_scikit_learn(make):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(50, 4)) * [1, 1e6, 1e-6, 0] + [0, 1e8, 0, 7]
    X[rng.uniform(size=X.shape) < 0.3] = 0.0
    X[:, 3] = 7.0
    X, weights = make(X), rng.integers(1, 4, 50).astype(float)
    dense = X.toarray() if sparse.issparse(X) else X
    ours, columns = StandardisedFeatures(X, weights), rng.normal(size=(4, 2))
    theirs = StandardScaler().fit(dense.astype(float), sample_weight=weights).transform(dense.astype(float))
    theirs[:, 3] = 0.0
    assert_allclose(ours.times(columns), theirs @ columns, rtol=1e-6, atol=1e-6)
    slopes = rng.normal(size=(50, 2))
    assert_allclose(ours.transposed_times(slopes), theirs.T @ slopes, rtol=1e-6, atol=1e-5)
    coef, shift = ours.in_given_features(columns)
    assert_allclose(dense.astype(float) @ coef + shift, theirs @ columns, rtol=1e-6, atol=1e-6)
