"""The convex problem by proximal steps: against the alternation, another solver and plain singular values."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose
from problems import LAYOUTS, LOSSES, PARTS, convex_optimum, crossed, make_data, objective

from skmtl.penalties import shrink_singular_values
from skmtl.solvers import alternating, descent, formulate, prepare, solve, solve_prepared
from skmtl.solvers.anderson import Memory, Place
from skmtl.solvers.convex_loss import GramLoss, RowLoss, convex_loss


def fit(data, alpha=0.2, n_components=None, **settings):
    settings = {"scale_targets": None, "tol": 1e-10, **settings}
    return solve(data, n_components=n_components, alpha=alpha, **settings)


@pytest.fixture
def by_the_alternation(monkeypatch):
    """`fit` without proximal steps."""

    def fitted(*args, **settings):
        with monkeypatch.context() as patch:
            patch.setattr(alternating, "is_affordable", lambda problem: False)
            return fit(*args, **settings)

    return fitted


@pytest.mark.parametrize(("kind", "layout", "parts"), crossed(LOSSES, LAYOUTS, PARTS))
def test_proximal_steps_and_alternation_find_the_same_optimum(kind, layout, parts, by_the_alternation):
    data = make_data(kind, layout)
    parts = PARTS[parts]
    proximal, alternated = fit(data, **parts), by_the_alternation(data, **parts)
    assert proximal.objective <= alternated.objective + 1e-8 * abs(alternated.objective)
    assert_allclose(objective(data, proximal, 0.2, **parts), proximal.objective, rtol=1e-9)
    assert_allclose(proximal.coef, alternated.coef, atol=1e-4 * np.abs(alternated.coef).max())
    assert_allclose(proximal.intercept, alternated.intercept, atol=1e-4 * np.abs(alternated.intercept).max())


@pytest.mark.parametrize(("kind", "layout"), [("regression", "few"), ("binary", "gaps"), ("count", "labelled")])
def test_the_gap_bounds_the_distance_from_the_optimum_of_another_solver(kind, layout):
    data = make_data(kind, layout, n=30, d=4, n_tasks=4)
    optimum = convex_optimum(data, 0.2)
    for tol in (1e-2, 1e-5):
        solution = fit(data, tol=tol)
        assert solution.objective - optimum <= solution.dual_gap + 1e-8 * abs(optimum)
        assert solution.dual_gap <= tol * abs(solution.objective)


@pytest.mark.parametrize("parts", PARTS.values(), ids=PARTS)
@pytest.mark.parametrize("kind", LOSSES)
def test_the_objective_never_rises(kind, parts):
    path = fit(make_data(kind, "gaps"), alpha=0.02, **parts).objective_path
    assert np.all(np.diff(path) <= 1e-12 * np.abs(path[:-1]))


def wide_tables(n_tasks=30, n_rows=40, d=20, seed=0):
    """Own rows, more of them than features, and complete targets: what `GramLoss` is for."""
    rng = np.random.RandomState(seed)
    labelled = make_data("regression", "labelled", n=n_tasks * n_rows, d=d, n_tasks=n_tasks, seed=seed)
    complete = make_data("regression", "complete", n=3 * d, d=d, n_tasks=n_tasks, seed=seed)
    return {"own rows": labelled, "complete": complete}, rng


@pytest.mark.parametrize("which", ["own rows", "complete"])
def test_second_moments_say_of_the_loss_what_the_rows_say(which):
    tables, rng = wide_tables()
    prepared = prepare(formulate(tables[which], 0.1, None, None, True, "std"))
    problem, null = prepared.formulation.problem, prepared.null
    short = convex_loss(problem, null.value, prepared.gradient, prepared.preconditioner)
    long = RowLoss(problem)
    assert isinstance(short, GramLoss)
    W = 0.1 * rng.randn(*prepared.gradient.shape)
    inside = short.inward(W)
    one, other = (
        loss.evaluate(matrix, loss.images(matrix), np.zeros(problem.n_outputs))
        for loss, matrix in ((short, inside), (long, W))
    )
    assert_allclose(one.value, other.value, rtol=1e-10)
    assert_allclose(short.outward(short.gradient(one)), long.gradient(other), atol=1e-9)


@pytest.mark.parametrize("which", ["own rows", "complete"])
def test_well_conditioned_problems_take_few_steps_and_no_basis_step(which, monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("a basis step")

    monkeypatch.setattr(descent, "minimise_basis", refuse)
    solution = fit(wide_tables()[0][which], alpha=0.5, tol=1e-6)
    assert solution.convergence.converged
    assert solution.rank > 0
    assert solution.convergence.n_iter <= 100
    assert len(solution.objective_path) == solution.convergence.n_iter + 1


def test_a_neighbouring_solution_is_a_better_start():
    data = wide_tables()[0]["own rows"]
    prepared = prepare(formulate(data, 0.5, None, None, True, "std"))
    neighbour = solve_prepared(prepared, n_components=None, alpha=0.52)
    cold = solve_prepared(prepared, n_components=None, alpha=0.5)
    warm = solve_prepared(prepared, n_components=None, alpha=0.5, start=neighbour)
    assert warm.convergence.n_iter < cold.convergence.n_iter
    assert_allclose(warm.objective, cold.objective, rtol=2e-6)


@pytest.mark.parametrize("kind", ["regression", "binary"])
def test_badly_scaled_features_are_left_to_the_alternation(kind):
    data = make_data(kind, "gaps")
    data = replace(data, X=data.X * np.logspace(-3, 3, data.n_features))
    solution = fit(data, alpha=1e-3, tol=1e-6)
    assert solution.convergence.converged, solution.convergence.reason
    assert_allclose(objective(data, solution, 1e-3), solution.objective, rtol=1e-7)
    assert np.all(np.diff(solution.objective_path) <= 1e-12 * solution.objective_path[0])


@pytest.mark.parametrize("kind", LOSSES)
def test_the_order_of_tasks_and_rows_changes_rounding_only(kind):
    data = make_data(kind, "gaps")
    rows, tasks = np.random.RandomState(0).permutation(data.n_rows), np.array([3, 0, 4, 2, 1])
    turned = replace(data, X=data.X[rows], y=data.y[np.ix_(rows, tasks)], tasks=tuple(data.tasks[t] for t in tasks))
    one, other = fit(data), fit(turned)
    places = np.concatenate(
        [np.arange(data.output_offsets[t], data.output_offsets[t] + data.tasks[t].n_outputs) for t in tasks]
    )
    assert_allclose(other.coef, one.coef[:, places], atol=1e-5 * np.abs(one.coef).max())
    assert other.rank == one.rank


@pytest.mark.parametrize("shape", [(7, 4), (4, 7), (5, 5), (3, 1)])
@pytest.mark.parametrize("amount", [1e-9, 0.5, 1.5, 100.0])
def test_singular_values_are_shrunk_as_by_their_definition(shape, amount):
    matrix = np.random.RandomState(0).randn(*shape)
    left, values, right = np.linalg.svd(matrix, full_matrices=False)
    expected = (left * np.maximum(values - amount, 0.0)) @ right
    found = shrink_singular_values(matrix, amount)
    assert_allclose((found[0] * found[1]) @ found[2], expected, atol=1e-12)
    assert_allclose(found[1], (values - amount)[values > amount], atol=1e-12)


def test_the_memory_solves_a_linear_iteration_in_as_many_steps_as_it_has_dimensions():
    """Anderson acceleration of ``x -> A x + b`` is GMRES: exact after n + 1 steps in n dimensions."""
    rng = np.random.RandomState(0)
    A, b = 0.9 * np.linalg.qr(rng.randn(4, 4))[0], rng.randn(4)
    memory, x = Memory(5), np.zeros(4)
    for _ in range(5):
        end = A @ x + b
        memory.add(Place([end], end, [2.0 * end], np.zeros(1)), [end - x])
        ahead = memory.combination()
        x = ahead.parts[0]
        assert_allclose(ahead.images[0], 2.0 * x, atol=1e-12)
    assert_allclose(x, np.linalg.solve(np.eye(4) - A, b), atol=1e-6)
