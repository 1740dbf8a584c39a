"""A group norm on own parts (``own_penalty="group"``): only tasks that do not belong have one."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from numpy.testing import assert_allclose
from problems import loss, make_data, observations
from scipy import sparse

from skmtl import LowRankMultiTask, LowRankRegressor, TaskTargets
from skmtl.datasets import make_multitask
from skmtl.solvers import Strengths, fit_jointly


def fit(data, alpha, alpha_own, alpha_common=None, **settings):
    settings = {"n_components": None, "scale_targets": None, "tol": 1e-10, "max_iter": 2000, **settings}
    return fit_jointly(data, Strengths(alpha, alpha_common, alpha_own, "group"), **settings)


def gradients(data, solution):
    """|G_t|: norm of the gradient of the loss in each task's own part; the loss, both of the objective."""
    parts = list(observations(data))
    nbar = sum(len(y) for _, y in parts) / len(parts)
    offsets, norms, total = data.output_offsets, [], 0.0
    for t, (rows, y) in enumerate(parts):
        columns = slice(offsets[t], offsets[t + 1])
        value, slope = loss(data.tasks[t].kind, y, rows @ solution.coef[:, columns] + solution.intercept[columns])
        norms.append(np.linalg.norm(rows.T @ slope) / nbar)
        total += value / nbar
    return np.array(norms), total


def sizes(data, solution):
    offsets = data.output_offsets
    return np.array([np.linalg.norm(solution.own[:, a:b]) for a, b in pairwise(offsets)])


def convex_optimum(data, alpha, alpha_own):
    """Squared loss: proximal gradient with momentum on (L, E), the prox of each norm by itself."""
    parts = [(rows - rows.mean(axis=0), y - y.mean()) for rows, y in observations(data)]
    nbar = sum(len(y) for _, y in parts) / len(parts)
    d, n_tasks = data.n_features, len(parts)
    step = 0.5 / max(np.linalg.eigvalsh(rows.T @ rows)[-1] / nbar for rows, _ in parts)

    def smooth(W):
        residuals = [rows @ W[:, t] - y for t, (rows, y) in enumerate(parts)]
        slopes = np.column_stack([rows.T @ r for (rows, _), r in zip(parts, residuals, strict=True)]) / nbar
        return sum(0.5 * r @ r for r in residuals) / nbar, slopes

    L = E = previous_L = previous_E = np.zeros((d, n_tasks))
    for i in range(3000):
        momentum = i / (i + 3)
        at_L, at_E = L + momentum * (L - previous_L), E + momentum * (E - previous_E)
        slope = smooth(at_L + at_E)[1]
        previous_L, previous_E = L, E
        left, values, right = np.linalg.svd(at_L - step * slope, full_matrices=False)
        L = (left * np.maximum(values - step * alpha, 0.0)) @ right
        moved = at_E - step * slope
        E = moved * np.maximum(1.0 - step * alpha_own / np.maximum(np.linalg.norm(moved, axis=0), 1e-300), 0.0)
    return smooth(L + E)[0] + alpha * np.linalg.norm(L, "nuc") + alpha_own * np.linalg.norm(E, axis=0).sum()


@pytest.mark.parametrize("layout", ["complete", "gaps", "labelled"])
def test_objective_is_that_of_a_slow_solver_and_the_gap_bounds_it(layout):
    data = make_data("regression", layout)
    alpha, alpha_own = 0.8, 0.7
    optimum = convex_optimum(data, alpha, alpha_own)
    solution = fit(data, alpha, alpha_own)
    own = sizes(data, solution)
    assert 0 < np.count_nonzero(own) < 5
    assert solution.objective_path[-1] == solution.objective
    _, value = gradients(data, solution)
    shared = np.linalg.norm(solution.basis @ solution.factors, "nuc")
    assert_allclose(solution.objective, value + alpha * shared + alpha_own * own.sum(), rtol=1e-7)
    assert_allclose(solution.objective, optimum, rtol=1e-6)
    assert -1e-9 * optimum <= solution.objective - optimum <= solution.dual_gap + 1e-9 * optimum
    assert solution.dual_gap < 1e-5 * optimum
    # Far from the optimum, the bound holds as well.
    rough = fit(data, alpha, alpha_own, n_components=1)
    assert rough.objective - optimum <= rough.dual_gap


@pytest.mark.parametrize(
    ("kind", "layout"),
    [
        ("regression", "complete"),
        ("regression", "csr"),
        ("binary", "gaps"),
        ("multiclass", "complete"),
        ("count", "gaps"),
        ("mixed", "csr"),
    ],
)
def test_gradients_are_at_the_strength_where_there_is_an_own_part_and_below_elsewhere(kind, layout):
    data = make_data(kind, layout)
    # Half the tasks would have an own part if this were all there is.
    alone = fit(data, np.inf, 1e6, scale_targets=None)
    alpha_own = float(np.median(gradients(data, alone)[0]))
    solution = fit(data, np.inf, alpha_own)
    norms, own = gradients(data, solution)[0], sizes(data, solution)
    assert 0 < np.count_nonzero(own) < len(own)
    assert_allclose(norms[own > 0], alpha_own, rtol=1e-5)
    assert (norms[own == 0] <= alpha_own * (1 + 1e-5)).all()
    assert solution.dual_gap <= 1e-5 * solution.objective
    if kind == "count":
        return  # hundreds of steps per fit beside a shared part: the README says so
    beside = fit(data, 0.9 * alpha_own, alpha_own, tol=1e-8)
    norms, own = gradients(data, beside)[0], sizes(data, beside)
    assert_allclose(norms[own > 0], alpha_own, rtol=1e-4)
    assert (norms[own == 0] <= alpha_own * (1 + 1e-4)).all()


def test_tasks_that_do_not_belong_are_told_and_fitted():
    # Six outliers among 60 tasks, n_t = 40, d = 30, k = 3.
    risks, told = {"group": [], "ridge": []}, []
    for seed in range(3):
        X, y, truth = make_multitask(
            40, 30, 60, n_components=3, n_outliers=6, own_rows=True, return_truth=True, random_state=seed
        )
        for penalty, alpha_own in (("group", 0.9), ("ridge", 4.0)):
            model = LowRankRegressor(
                n_components=3, alpha=0.45, alpha_own=alpha_own, own_penalty=penalty, scale_targets=None, tol=1e-5
            ).fit(X, y)
            errors = [
                np.sum((model.coef_[t] - truth.coef[t]) ** 2) + (model.intercept_[t] - truth.intercept[t]) ** 2
                for t in y
            ]
            risks[penalty].append(np.mean(errors))
        model.set_params(own_penalty="group", alpha_own=0.9).fit(X, y)
        active = [t for t in y if model.own_[t].any()]
        told.append((len(set(active) & set(truth.outliers)), len(active)))
    assert np.mean(risks["group"]) < 0.95 * np.mean(risks["ridge"])
    found, active = np.sum(told, axis=0)
    assert found >= 17
    assert active - found <= 0.2 * 162


class TestEveryFit:
    OPTIONS = {"n_components": 2, "alpha": 0.2, "alpha_own": 0.2, "own_penalty": "group", "tol": 1e-11}  # noqa: RUF012

    @pytest.fixture
    def table(self):
        return make_multitask(80, 6, 4, n_components=2, n_outliers=1, noise=0.5, missing=0.2, random_state=0)

    @pytest.mark.parametrize("parts", [{}, {"alpha_common": 0.5}])
    def test_four_forms_give_the_same_model(self, table, parts):
        X, y = table
        Y = np.column_stack(list(y.values()))
        seen = ~np.isnan(Y)
        rows, tasks = np.nonzero(seen)
        options = {**self.OPTIONS, **parts}
        first = LowRankRegressor(**options).fit(X, y)
        # The common part, which all tasks but the outlier share, leaves nothing to own parts.
        assert sum(own.any() for own in first.own_.values()) == (0 if parts else 1)
        by_rows = ({t: X[seen[:, t]] for t in range(4)}, {t: Y[seen[:, t], t] for t in range(4)})
        others = [
            LowRankRegressor(**options).fit(X, Y),
            LowRankRegressor(**options).fit(*by_rows),
            LowRankRegressor(task_col=6, **options).fit(np.column_stack([X[rows], tasks]), Y[rows, tasks]),
            LowRankRegressor(**options).fit(X[::-1], TaskTargets(y)[np.arange(79, -1, -1)]),
            LowRankRegressor(**options).fit(sparse.csr_matrix(X), Y),
        ]
        for model in others:
            coef = list(model.coef_.values()) if isinstance(model.coef_, dict) else model.coef_
            assert_allclose(coef, list(first.coef_.values()), rtol=1e-3, atol=1e-4)
            assert_allclose(model.objective_, first.objective_, rtol=1e-6)
            active = [bool(own.any()) for own in model.own_.values()]
            assert active == [bool(own.any()) for own in first.own_.values()]

    @pytest.mark.parametrize("scale_targets", ["std", "residual"])
    @pytest.mark.parametrize("factor_prior", ["ridge", "learned"])
    def test_it_goes_with_every_other_choice(self, table, scale_targets, factor_prior):
        X, y = table
        options = {**self.OPTIONS, "scale_targets": scale_targets, "factor_prior": factor_prior}
        model = LowRankRegressor(**options).fit(X, y)
        _, std = model.predict(X, return_std=True)
        for t in y:
            total = (model.basis_ @ model.factors_[t] + model.own_[t])[:, 0]
            assert_allclose(model.coef_[t], total, rtol=1e-9)
            assert (std[t] >= model.noise_scale_[t]).all()
            assert_allclose(model.noise_scale_[t], 0.5, rtol=0.3)
        model.add_tasks(X, {"new": y["task_0"]})
        assert not model.own_["new"].any()

    def test_no_task_has_one_where_the_strength_is_large_and_all_where_it_is_none(self, table):
        X, y = table
        options = {**self.OPTIONS, "alpha": 0.1}
        none = LowRankRegressor(**{**options, "alpha_own": 1e3}).fit(X, y)
        assert not any(own.any() for own in none.own_.values())
        without = LowRankRegressor(**{**options, "alpha_own": None}).fit(X, y)
        for t in y:
            assert_allclose(none.coef_[t], without.coef_[t], rtol=1e-6, atol=1e-9)
        every = LowRankRegressor(**{**options, "alpha_own": 1e-3}).fit(X, y)
        assert all(own.any() for own in every.own_.values())

    def test_kinds_mixed(self):
        kinds = {"size": "regression", "alive": "binary", "colour": "multiclass", "visits": "count"}
        X, y = make_multitask(120, 6, kinds=kinds, n_components=2, noise=0.5, random_state=0)
        options = {**self.OPTIONS, "tol": 1e-8, "alpha_own": 0.1, "alpha": 0.15}
        model = LowRankMultiTask(kinds={"visits": "count"}, **options).fit(X, y)
        assert sum(own.any() for own in model.own_.values()) > 0
        assert model.convergence_.converged
