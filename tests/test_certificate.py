"""The certificate: what `dual_gap_` promises, against optima found by a solver that shares no code with skmtl.

Without a shared part the problem is smooth and convex: SciPy finds its optimum to near rounding. With one it is the
trace norm, by the proximal steps of `problems.convex_optimum`, in few features so that they reach high precision.
"""

from dataclasses import replace

import numpy as np
import pytest
from problems import FORMS, LOSSES, PARTS, convex_optimum, crossed, loss, make_data, objective, observations
from scipy import sparse
from scipy.optimize import minimize

from skmtl.solvers import solve

DEFAULT_TOL = 1e-8  # of the estimators
ALPHA = 0.15


def data_of(kind, form):
    """Few features, and tasks of unequal size, so that no two parts of the model coincide."""
    data = make_data(kind, form, n=100 if form == "labelled" else 36, d=3, n_tasks=4, seed=3)
    if data.task_of_row is None:
        y = data.y.copy()
        y[20:, 1] = np.nan
        data = data if form == "complete" else replace(data, y=y)
    # A class that a task never sees would have its optimum at infinity.
    for task, (_, y) in zip(data.tasks, observations(data), strict=True):
        assert task.classes is None or len(np.unique(y)) == len(task.classes)
    return data


def fit(data, alpha=ALPHA, n_components=None, tol=DEFAULT_TOL, max_iter=500, **parts):
    return solve(data, n_components=n_components, alpha=alpha, scale_targets=None, tol=tol, max_iter=max_iter, **parts)


def smooth_optimum(data, alpha_common=None, alpha_own=None) -> float:
    """Optimum without a shared part: SciPy's Newton steps with exact second derivatives by differences of gradients."""
    tasks = list(observations(data))
    nbar = sum(len(y) for _, y in tasks) / len(tasks)
    offsets, d = data.output_offsets, data.n_features
    m = offsets[-1]
    single = np.concatenate([np.full(task.n_outputs, task.n_outputs == 1) for task in data.tasks]).astype(float)
    sizes = np.cumsum([d if alpha_common else 0, d * m if alpha_own else 0])

    def fun(vector):
        common, own, b = np.split(vector, sizes)
        own = own.reshape(d, m) if alpha_own else np.zeros((d, m))
        W = own + (common[:, None] * single if alpha_common else 0.0)
        value, gW, gb = 0.0, np.zeros((d, m)), np.zeros(m)
        for t, (rows, y) in enumerate(tasks):
            at = slice(offsets[t], offsets[t + 1])
            one, slope = loss(data.tasks[t].kind, y, rows @ W[:, at] + b[at])
            value += one / nbar
            gW[:, at], gb[at] = rows.T @ slope / nbar, slope.sum(axis=0) / nbar
        gradient = [gW @ single + alpha_common * common] if alpha_common else []
        value += 0.5 * (alpha_common or 0.0) * common @ common + 0.5 * (alpha_own or 0.0) * np.sum(own**2)
        gradient += [(gW + alpha_own * own).ravel()] if alpha_own else []
        return value, np.concatenate([*gradient, gb])

    x = np.zeros(sizes[-1] + m)
    for _ in range(3):  # restarts shed the memory that rounding has spoiled
        x = minimize(fun, x, jac=True, method="BFGS", options={"gtol": 1e-11, "maxiter": 2000}).x
    return fun(x)[0]


@pytest.mark.parametrize(("parts", "kind", "form"), crossed(PARTS, LOSSES, FORMS))
def test_gap_bounds_the_true_gap_without_a_shared_part(parts, kind, form):
    data, strengths = data_of(kind, form), PARTS[parts]
    optimum = smooth_optimum(data, **strengths)
    scale = max(abs(optimum), 1.0)
    for hasty in (fit(data, alpha=np.inf, max_iter=1, tol=1e-3, **strengths), fit(data, alpha=np.inf, **strengths)):
        assert hasty.rank == 0
        assert hasty.objective >= optimum - 1e-10 * scale  # no model is better than the best
        assert hasty.objective - optimum <= hasty.dual_gap + 1e-10 * scale
    assert hasty.dual_gap <= 1e-6 * scale
    np.testing.assert_allclose(hasty.objective, optimum, atol=1e-6 * scale)


def check_shared(parts, kind, form):
    data, strengths = data_of(kind, form), PARTS[parts]
    optimum = convex_optimum(data, ALPHA, **strengths)
    scale = max(abs(optimum), 1.0)
    exact = fit(data, **strengths)
    assert exact.objective <= optimum + 1e-8 * scale  # the other solver is no better
    assert exact.dual_gap <= 1e-6 * scale  # n_components does not bind
    assert exact.dual_gap >= exact.objective - optimum - 1e-8 * scale
    for rough in (fit(data, max_iter=1, tol=1e-3, **strengths), fit(data, n_components=1, **strengths)):
        # Both solvers' optima are upper bounds of the true one.
        assert rough.objective - min(optimum, exact.objective) <= rough.dual_gap + 1e-10 * scale
    np.testing.assert_allclose(objective(data, exact, ALPHA, **strengths), exact.objective, rtol=1e-9)


#: Every part, loss and form at least once; all combinations are slow.
SOME = [("regression", "gaps"), ("multiclass", "complete"), ("mixed", "csr"), ("binary", "labelled")]


@pytest.mark.parametrize(("parts", "kind", "form"), [(parts, *pair) for parts, pair in zip(PARTS, SOME)])
def test_gap_bounds_the_true_gap_with_a_shared_part(parts, kind, form):
    check_shared(parts, kind, form)


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", LOSSES)
@pytest.mark.parametrize("parts", PARTS)
def test_gap_bounds_the_true_gap_on_every_combination(parts, kind, form):
    check_shared(parts, kind, form)


@pytest.mark.parametrize(("parts", "kind", "form"), crossed(PARTS, LOSSES, FORMS))
def test_gap_is_closed_at_the_default_tol_where_the_rank_is_free(parts, kind, form):
    solution = fit(data_of(kind, form), **PARTS[parts])
    assert solution.convergence.converged, solution.convergence.reason
    assert solution.dual_gap <= 1e-6 * max(abs(solution.objective), 1.0)


def test_gap_stays_open_where_the_rank_limit_binds():
    """The certificate speaks of all ranks: it cannot tell the best model of rank 1 from a bad one."""
    solution = fit(data_of("regression", "gaps"), alpha=0.01, n_components=1)
    assert solution.convergence.converged
    assert "n_components" in solution.convergence.reason
    assert solution.dual_gap > 1e-3 * solution.objective


@pytest.mark.parametrize(("kind", "form"), crossed(LOSSES, FORMS))
def test_tighter_tol_lowers_the_objective_down_to_ten_digits(kind, form):
    data = data_of(kind, form)
    tols = np.array([1e-2, 1e-4, 1e-6, 1e-8, 1e-10, 1e-12])
    values = np.array([fit(data, tol=tol, n_components=2).objective for tol in tols])
    scale = max(abs(values[-1]), 1.0)
    # A loose fit may by luck stop a little lower; never by more than a hundredth of what the tighter tol allows.
    assert np.all(np.diff(values) <= np.maximum(1e-2 * tols[1:], 1e-10) * scale)
    assert np.all(values - values[-1] <= np.maximum(10 * tols, 1e-10) * scale)
    assert abs(values[-1] - values[-2]) <= 1e-10 * scale


@pytest.mark.parametrize(("parts", "kind", "form"), crossed(PARTS, LOSSES, FORMS))
def test_the_projected_objective_never_rises(parts, kind, form):
    path = fit(data_of(kind, form), alpha=0.02, n_components=2, tol=1e-10, **PARTS[parts]).objective_path
    assert np.all(np.diff(path) <= 1e-13 * np.abs(path[:-1]))


@pytest.mark.parametrize("kind", ["regression", "mixed"])
@pytest.mark.parametrize("form", FORMS)
def test_threads_change_no_more_than_rounding(kind, form):
    threadpoolctl = pytest.importorskip("threadpoolctl")
    data = make_data(kind, form, n=300, d=40, n_tasks=12)
    coefs = []
    for n_threads in (1, 2):
        with threadpoolctl.threadpool_limits(n_threads, user_api="blas"):
            coefs.append(fit(data, alpha=0.5, n_components=3, tol=1e-12).coef)
    np.testing.assert_allclose(*coefs, atol=1e-8 * np.abs(coefs[0]).max())


def test_a_fit_leaves_the_number_of_blas_threads_as_it_was():
    threadpoolctl = pytest.importorskip("threadpoolctl")

    def counts():
        return [library["num_threads"] for library in threadpoolctl.threadpool_info()]

    with threadpoolctl.threadpool_limits(2, user_api="blas"):
        before = counts()
        fit(data_of("binary", "gaps"), n_components=2)
        assert counts() == before
        bad = replace(data_of("binary", "gaps"), X=sparse.csr_matrix(np.full((36, 3), np.nan)))
        with np.errstate(all="ignore"), pytest.raises((ValueError, np.linalg.LinAlgError)):
            fit(bad)
        assert counts() == before
