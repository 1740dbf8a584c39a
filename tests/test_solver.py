"""The solver against the definition of the problem and against a slow solver that shares no code with it."""

import numpy as np
import pytest
from problems import KINDS, LAYOUTS, LOSSES, PARTS, convex_optimum, crossed, make_data, objective
from scipy import sparse

from skmtl.observations import ListedObservations, MatrixObservations
from skmtl.penalties import Penalties
from skmtl.solvers import Strengths, fit_factors, fit_jointly, solve
from skmtl.solvers.build import make_blocks, make_problem
from skmtl.solvers.start import sketches_gradient
from skmtl.tasks import Task, TaskData


def fit(data, alpha=0.2, n_components=None, **settings):
    settings = {"scale_targets": None, "tol": 1e-9, **settings}
    return solve(data, n_components=n_components, alpha=alpha, **settings)


@pytest.mark.parametrize(("kind", "layout", "parts"), crossed(LOSSES, LAYOUTS, PARTS))
def test_objective_is_the_formula_and_the_gap_closes(kind, layout, parts):
    data = make_data(kind, layout)
    solution = fit(data, **PARTS[parts])
    assert solution.convergence.converged, solution.convergence.reason
    for factored in (False, True):  # balanced factors: their ridge is the trace norm
        np.testing.assert_allclose(
            objective(data, solution, 0.2, **PARTS[parts], factored=factored), solution.objective, rtol=1e-7
        )
    assert 0 <= solution.dual_gap <= 1e-6 * abs(solution.objective)


@pytest.mark.slow
@pytest.mark.parametrize("parts", PARTS.values(), ids=PARTS)
@pytest.mark.parametrize(("kind", "layout"), [("regression", "gaps"), ("binary", "labelled"), ("mixed", "complete")])
def test_gap_bounds_the_distance_from_the_optimum_of_another_solver(kind, layout, parts):
    data = make_data(kind, layout, n=30, d=4, n_tasks=4)
    optimum = convex_optimum(data, 0.2, **parts)
    exact = fit(data, **parts)
    np.testing.assert_allclose(exact.objective, optimum, rtol=1e-6)
    for hasty in (fit(data, max_iter=1, **parts), fit(data, n_components=1, **parts)):
        true_gap = hasty.objective - optimum
        assert true_gap <= hasty.dual_gap + 1e-7 * abs(optimum)
        # The bound says something: it is not just any large number.
        assert hasty.dual_gap <= hasty.objective + 1.0


def test_unconverged_fit_says_so():
    solution = fit(make_data("mixed", "gaps"), max_iter=1, alpha=0.01)
    assert not solution.convergence.converged
    assert "max_iter=1" in solution.convergence.reason
    assert solution.convergence.n_iter <= 1


@pytest.mark.slow
@pytest.mark.parametrize("kind", LOSSES)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_objective_never_rises(kind, layout):
    for parts in PARTS.values():
        path = fit(make_data(kind, layout), alpha=0.05, n_components=2, **parts).objective_path
        assert np.all(np.diff(path) <= 1e-12 * np.abs(path[:-1]))


@pytest.mark.parametrize("kind", KINDS)
def test_stationary_when_the_rank_limits(kind):
    """Central differences of F in every entry of the basis, the factors fixed."""
    data = make_data(kind, "gaps", n=40, d=4, n_tasks=4)
    solution = fit(data, alpha=0.02, n_components=1, tol=1e-12)
    from dataclasses import replace

    def value(basis):
        return objective(data, replace(solution, basis=basis, coef=basis @ solution.factors), 0.02, factored=True)

    # Intercepts in `objective` are for rows that are not centred, which is where the basis acts.
    scale = max(1.0, abs(solution.objective))
    for j in range(4):
        shift = np.zeros_like(solution.basis)
        shift[j] = 1e-4
        assert abs(value(solution.basis + shift) - value(solution.basis - shift)) / 2e-4 <= 1e-4 * scale


@pytest.mark.slow
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kind", ["regression", "mixed"])
def test_tighter_tol_gives_a_lower_objective(kind, layout):
    data = make_data(kind, layout)
    values = [fit(data, alpha=0.05, tol=tol).objective for tol in (1e-2, 1e-5, 1e-10)]
    assert values[0] >= values[1] - 1e-12
    assert values[1] >= values[2] - 1e-12
    assert values[1] - values[2] <= 1e-5 * abs(values[2])


@pytest.mark.parametrize("kind", LOSSES)
def test_huge_alpha_gives_exactly_nothing_but_intercepts(kind):
    data = make_data(kind, "gaps")
    solution = fit(data, alpha=1e8)
    assert solution.rank == 0
    assert not solution.coef.any()
    assert solution.dual_gap <= 1e-9 * abs(solution.objective)


@pytest.mark.parametrize("kind", ["regression", "binary", "count"])
def test_infinite_alpha_leaves_the_other_parts(kind):
    data = make_data(kind, "gaps")
    pooled = fit(data, alpha=np.inf, alpha_common=0.1)
    assert np.ptp(pooled.coef, axis=1).max() <= 1e-12  # one coefficient vector for all
    independent = fit(data, alpha=np.inf, alpha_own=0.1)
    almost = fit(data, alpha=1e6, alpha_own=0.1)
    np.testing.assert_allclose(independent.coef, almost.coef, atol=1e-5)


def test_new_tasks_under_the_same_basis_find_the_factors_of_the_fit():
    for kind in ("regression", "mixed"):
        data = make_data(kind, "complete")
        solution = fit(data, alpha=0.05, tol=1e-12, scale_targets="std")
        again = fit_factors(data, solution, alpha=0.05)
        np.testing.assert_allclose(again.coef, solution.coef, atol=1e-4)
        np.testing.assert_allclose(again.intercept, solution.intercept, atol=1e-4)


@pytest.mark.parametrize("kind", ["regression", "binary"])
def test_wide_tables_work_in_their_row_space(kind):
    data = make_data(kind, "gaps", n=15, d=60, n_tasks=4)
    solution = fit(data, alpha=0.1)
    np.testing.assert_allclose(objective(data, solution, 0.1), solution.objective, rtol=1e-7)
    assert solution.dual_gap <= 1e-6 * solution.objective


def test_float32_is_not_upcast_as_a_whole_but_agrees():
    from dataclasses import replace

    data = make_data("binary", "gaps")
    single = replace(data, X=data.X.astype(np.float32))
    double = replace(data, X=single.X.astype(np.float64))
    np.testing.assert_allclose(fit(single).coef, fit(double).coef, atol=1e-6)


@pytest.mark.parametrize("n_init", [1, 4])
def test_same_seed_same_result(n_init):
    data = make_data("mixed", "few")
    first, second = (fit(data, n_components=2, n_init=n_init, random_state=np.random.RandomState(3)) for _ in range(2))
    np.testing.assert_array_equal(first.coef, second.coef)


@pytest.mark.slow
def test_more_starts_are_never_worse():
    data = make_data("regression", "few", n=40, d=20, n_tasks=8)
    one = fit(data, alpha=0.01, n_components=2)
    many = fit(data, alpha=0.01, n_components=2, n_init=6, n_jobs=2)
    assert many.objective <= one.objective + 1e-12


# Numbers that break solvers


@pytest.mark.parametrize("kind", LOSSES)
@pytest.mark.parametrize("alpha", [0.0, 1e-8, 1.0, 1e4])
def test_any_strength_gives_finite_coefficients(kind, alpha):
    solution = fit(make_data(kind, "gaps"), alpha=alpha, tol=1e-6, max_iter=60)
    assert np.all(np.isfinite(solution.coef))
    assert np.all(np.isfinite(solution.intercept))
    assert np.isfinite(solution.dual_gap)
    assert solution.dual_gap >= 0


@pytest.mark.parametrize("kind", ["regression", "binary"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_duplicated_constant_and_badly_scaled_columns(kind, layout):
    from dataclasses import replace

    from scipy import sparse

    data = make_data(kind, layout)
    X = data.X.toarray() if sparse.issparse(data.X) else data.X
    awkward = np.column_stack([X, X[:, 0], np.ones(len(X)), np.zeros(len(X)), 1e6 * X[:, 1], 1e-6 * X[:, 2]])
    data = replace(data, X=sparse.csr_matrix(awkward) if layout == "csr" else awkward)
    solution = fit(data, tol=1e-6, max_iter=30)
    assert np.all(np.isfinite(solution.coef))
    assert np.all(solution.coef[X.shape[1] + 2] == 0) or np.abs(solution.coef[X.shape[1] + 2]).max() < 1e-9
    np.testing.assert_allclose(objective(data, solution, 0.2), solution.objective, rtol=1e-6)


def test_weights_over_twelve_orders_of_magnitude():
    from dataclasses import replace

    for kind in ("regression", "mixed"):
        data = make_data(kind, "complete")
        weights = 10.0 ** np.random.RandomState(0).uniform(-6, 6, size=data.n_rows)
        solution = fit(replace(data, weights=weights), tol=1e-6)
        assert np.all(np.isfinite(solution.coef))
        assert solution.dual_gap <= 1e-5 * abs(solution.objective)


def test_separable_classes_and_a_single_row():
    from dataclasses import replace

    data = make_data("binary", "complete", n_tasks=3)
    y = (data.X[:, [0]] > np.median(data.X[:, 0])).astype(float) @ np.ones((1, 3))
    y[5:, 2] = np.nan  # five rows
    y[:5, 2] = [0, 1, 0, 1, 0]
    solution = fit(replace(data, y=y), alpha=1e-4, tol=1e-6, max_iter=100)
    assert np.all(np.isfinite(solution.coef))
    regression = make_data("regression", "complete", n_tasks=3)
    y = regression.y.copy()
    y[1:, 2] = np.nan
    solution = fit(replace(regression, y=y), scale_targets="std")
    raw = regression.X @ solution.coef + solution.intercept
    np.testing.assert_allclose(raw[0, 2], y[0, 2], rtol=0.5)


@pytest.mark.slow
def test_start_from_part_of_the_gradient_leads_to_the_same_model():
    # Large sparse X: the first basis comes from a few combinations of outputs, which a sample of the rows names.
    rng = np.random.RandomState(0)
    n, d, n_tasks, k = 20000, 300, 20, 2
    X = sparse.random(n, d, 0.03, format="csr", random_state=rng, data_rvs=rng.standard_normal)
    raw = X @ (rng.standard_normal((d, k)) @ rng.standard_normal((k, n_tasks)))
    y = (rng.uniform(size=raw.shape) < 1 / (1 + np.exp(-raw))).astype(float)
    y[rng.uniform(size=y.shape) < 0.5] = np.nan
    data = TaskData(X, tuple(Task(t, "binary", np.array([0, 1])) for t in range(n_tasks)), y)
    quick = fit_jointly(data, Strengths(0.05), n_components=k, tol=1e-8)
    assert sketches_gradient(make_problem(data, make_blocks(data, None)[0], Penalties(0.05), True), k)
    np.testing.assert_allclose(quick.objective, fit(data, alpha=0.05, n_components=k).objective, rtol=1e-7)


@pytest.mark.parametrize("observations", ["matrix", "listed"])
def test_values_at_some_rows(observations):
    cells = np.array([[1.0, 0.0], [2.0, 3.0], [0.0, 4.0]])
    if observations == "matrix":
        found = MatrixObservations(3, 2).at_rows(cells, np.array([1, 2]))
    else:
        listed = ListedObservations(3, np.array([0, 1, 1, 2]), np.array([0, 2, 4]))
        found = listed.at_rows(np.array([1.0, 2.0, 3.0, 4.0]), np.array([1, 2]))
    np.testing.assert_array_equal(found, cells[1:])
