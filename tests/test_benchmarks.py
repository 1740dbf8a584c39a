"""The benchmarks measure what they say: peers that share no code with skmtl reach its objective, and goals bite."""

from __future__ import annotations

import json
import time

import numpy as np
import pytest
from scipy import sparse
from sklearn.linear_model import LogisticRegression, Ridge

ROOMS = ("clock", "cost", "goals", "measure", "ours", "peers", "problems", "run", "baselines.fista")
clock, cost, goals, measure, ours, peers, problems, run, fista = (
    pytest.importorskip(f"benchmarks.{room}") for room in ROOMS
)
posterior = pytest.importorskip("benchmarks.baselines.posterior_mean")
coverage = pytest.importorskip("benchmarks.coverage")
curved = pytest.importorskip("benchmarks.curved")

SAME = [name for name, method in peers.METHODS.items() if method.minimises == "same" and name != "skmtl"]
MAKE = problems.make


def tiny(name):
    """A problem of the layout of that name, a second's work for all methods together."""
    sizes = {"n": 400, "d": 12, "n_tasks": 8, "k": 3}
    changes = {"gaps-2%": {"n": 1500, "missing": 0.93}, "csr-logistic": {"density": 0.3, "missing": 0.3}}
    return MAKE(name, **{**sizes, **changes.get(name, {})})


@pytest.fixture(params=problems.NAMES)
def problem(request):
    """Every layout, small, with the objective of skmtl as the one to reach."""
    found = tiny(request.param)
    coef, intercept, _ = ours.reference(found)
    found.target = found.objective(coef, intercept)
    return found


def test_baselines_of_the_same_objective_reach_that_of_skmtl(problem):
    for name in SAME:
        method = peers.METHODS[name]
        if method.cannot(problem) is None:
            coef, intercept, seconds = method.run(problem)
            assert problem.objective(coef, intercept) == pytest.approx(problem.target, rel=1e-5), name
            assert seconds < problem.budget


def test_proximal_gradient_reaches_the_certified_optimum_without_a_rank_limit(problem):
    coef, intercept, _ = ours.unlimited(problem)
    optimum = problem.objective(coef, intercept)
    problem.convex_target = optimum
    reached = problem.objective(*fista.to_the_convex_optimum(problem)[:2])
    assert reached == pytest.approx(optimum, rel=2e-6)
    assert optimum <= problem.target * (1 + 1e-6)


@pytest.mark.parametrize("name", ["shared-complete", "shared-logistic", "gaps-30%"])
def test_every_adapter_hands_back_one_row_of_coefficients_per_task(name):
    problem = tiny(name)
    problem.target = problem.convex_target = np.inf
    for label, method in peers.METHODS.items():
        # skglm takes half a minute to compile.
        if method.cannot(problem) is None and not label.startswith("skglm"):
            coef, intercept, seconds = method.run(problem)
            assert (coef.shape, intercept.shape) == ((8, 12), (8,)), label
            assert 0 < seconds < 10


@pytest.mark.parametrize("name", ["own-rows-school-like", "logistic-own-rows", "csr-logistic", "gaps-30%"])
def test_one_model_per_task_sees_the_rows_of_its_task(name):
    problem = tiny(name)
    coef, intercept, _ = peers.one_model_per_task(problem)
    X, y = list(problem.tasks())[3]
    model = LogisticRegression(C=1 / problem.ridge) if problem.kind == "binary" else Ridge(problem.ridge)
    model.fit(X, y)
    np.testing.assert_allclose(coef[3], np.ravel(model.coef_))
    np.testing.assert_allclose(intercept[3], np.ravel(model.intercept_)[0])


def test_the_objective_is_the_one_that_skmtl_reports(problem):
    X, y = ours.handed_over(problem)
    model = ours.estimator(problem, tol=1e-10).fit(X, y)
    assert problem.target == pytest.approx(model.objective_, rel=1e-6)


def test_reduced_rank_ridge_is_ridge_when_the_rank_is_no_limit():
    problem = tiny("shared-complete")
    problem.n_components = 8
    coef, intercept, _ = peers.METHODS["reduced-rank ridge"].run(problem)
    ridge = Ridge(problem.ridge).fit(problem.X, problem.y)
    np.testing.assert_allclose(coef, ridge.coef_, atol=1e-8)
    np.testing.assert_allclose(intercept, ridge.intercept_, atol=1e-8)


def sleepy(problem):
    time.sleep(60)


def broken(problem):
    raise RuntimeError("no such thing")


@pytest.mark.slow
def test_the_posterior_mean_is_that_of_quadrature():
    # One task of one feature: w = b s, where b and s have a density each, so that their product is integrated out.
    X, y, signal = np.array([[[0.6], [-0.8], [1.1]]]), np.array([[0.5, -1.2, 0.9]]), 1.5
    at = np.linspace(-9.0, 9.0, 1801)
    b, s = at[:, np.newaxis], at
    squares = sum((target - row[0] * b * s) ** 2 for row, target in zip(X[0], y[0], strict=True))
    density = np.exp(-0.5 * (b**2 + (s / signal) ** 2 + squares))
    expected = np.sum(b * s * density) / np.sum(density)
    found = posterior.posterior_mean(X, y, 1, signal, random_state=0, n_iter=40000)
    assert found == pytest.approx(expected, rel=0.02)


def test_a_method_over_its_budget_is_cut_off_and_said_to_be(monkeypatch):
    monkeypatch.setattr(measure, "GRACE", 0.1)
    done = measure.best_of(sleepy, tiny("tall"), repeats=1, budget=0.1)
    assert done.coef is None
    assert done.note.startswith("cut off after")


def test_a_method_that_fails_says_why():
    assert measure.best_of(broken, tiny("tall"), repeats=1, budget=1.0).note == "RuntimeError: no such thing"


def test_processor_time_does_not_count_waiting(monkeypatch):
    monkeypatch.setattr(clock, "_now", clock._now)  # put back afterwards
    monkeypatch.setattr(clock, "patience", clock.patience)
    monkeypatch.setattr(clock, "threadpool_limits", lambda n_threads: None)
    clock.count_processor_time()
    start = clock.now()
    time.sleep(0.2)
    assert clock.now() - start < 0.1


def test_peak_memory_counts_what_numpy_allocates():
    peak = measure.peak_of(lambda: np.ones(4_000_000).sum())
    # Linux counts resident pages in lots, hence not to the byte.
    assert peak is None or 31e6 < peak < 40e6


def test_goals_tell_reached_from_not_reached():
    goal = goals.Goal("tall", "tG + tC", goals.in_units("tG", "tC"), 2.0)
    record = {"units": {"tG": 1.0, "tC": 0.5}, "methods": {"skmtl": {"seconds": 2.9}}}
    assert goal.reached(goal.figure(record))
    record["methods"]["skmtl"]["seconds"] = 3.1
    assert not goal.reached(goal.figure(record))


@pytest.mark.parametrize(
    ("peer", "said"),
    [
        ({"seconds": 2.0, "test_error": 0.5}, "beaten"),
        ({"seconds": 2.0, "test_error": 0.4}, "slower, better"),
        ({"seconds": 0.5, "test_error": 0.6}, "faster, worse"),
        ({"seconds": 0.5, "test_error": 0.5}, "FASTER"),
        ({"note": "cut off after 9 s"}, "cut off"),
    ],
)
def test_verdict(peer, said):
    record = {"methods": {"skmtl": {"seconds": 1.0, "test_error": 0.5, "excess": 0.0}}}
    record["methods"]["peer"] = {"note": "", "minimises": "own", "excess": 0.0, **peer}
    assert goals.verdict(record, "peer") == said


def test_the_command_prints_the_table_and_keeps_it(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(problems, "make", lambda name, **changes: tiny(name))
    out = tmp_path / "results.json"
    run.main(["own-rows-school-like", "--quick", "--repeats", "1", "--only", "joint L-BFGS", "--out", str(out)])
    kept = json.loads(out.read_text())["problems"]["own-rows-school-like"]["methods"]
    assert set(kept) == {"skmtl", "joint L-BFGS"}
    assert kept["joint L-BFGS"]["excess"] == pytest.approx(0, abs=1e-5)
    printed = capsys.readouterr().out
    assert "joint L-BFGS" in printed
    assert "joint L-BFGS" in out.with_suffix(".md").read_text()


def test_the_command_names_what_it_does_not_know(capsys):
    with pytest.raises(SystemExit):
        run.main(["tall", "wide"])
    assert "unknown problems ['wide']; the problems are shared-complete, tall," in capsys.readouterr().err


def test_real_data_come_through_a_directory(tmp_path):
    loader = (
        "import numpy as np\n"
        "def names(): return ['numbers', 'mixed', 'grouped']\n"
        "def load(name):\n"
        "    X = np.random.RandomState(0).randn(40, 3); X[0, 0] = np.nan\n"
        "    if name == 'grouped': return {'X': X, 'y': X[:, 1], 'task': np.arange(40) % 4}\n"
        "    Y = X[:, 1:] + 0\n"
        "    if name == 'mixed': Y[:, 0] = Y[:, 0] > 0\n"
        "    return {'X': X, 'Y': Y}\n"
    )
    (tmp_path / "load.py").write_text(loader)
    assert problems.real_names(tmp_path) == ["numbers", "mixed", "grouped"]
    numbers = problems.real(tmp_path, "numbers")
    assert numbers.complete
    assert np.isfinite(numbers.X).all()
    grouped = problems.real(tmp_path, "grouped")
    assert grouped.n_tasks == 4
    assert (np.diff(grouped.task_of_row) >= 0).all()
    with pytest.raises(ValueError, match="numbers and classes mixed"):
        problems.real(tmp_path, "mixed")


def test_csr_problems_stay_sparse():
    assert sparse.isspmatrix_csr(tiny("csr-logistic").X)


def test_help_says_how_to_read_the_table_and_names_problems_and_methods(capsys):
    with pytest.raises(SystemExit, match="0"):
        run.main(["--help"])
    printed = capsys.readouterr().out
    assert "How to read it" in printed
    assert "gaps-2%" in printed
    assert "joint L-BFGS" in printed


@pytest.mark.slow
def test_a_tuned_fit_costs_more_than_one_fit_and_less_than_one_for_every_candidate_and_fold():
    whole, fits, candidates, folds, jobs = cost.measure("own rows, 60 x 40", seed=0)
    assert 0 < whole < 60
    assert 1 < fits < 5 * candidates
    assert min(folds, jobs) > 0


def test_coverage_counts_the_targets_that_intervals_hold(capsys):
    class Sure:
        def fit(self, X, y):
            self.tasks = list(y)
            return self

        def predict(self, X, return_std):
            return tuple({t: np.full(len(X), value) for t in self.tasks} for value in (0.0, self.width))

    model = Sure()
    for model.width, share in ((0.0, 0.0), (1e6, 1.0)):
        np.testing.assert_array_equal(coverage.coverage(model, (20, 3, 2), seed=0, n_new=50), share)
    coverage.main(["200 x 20, 8 tasks", "--seeds", "1", "--models", "three components"])
    found = [float(cell) for cell in capsys.readouterr().out.splitlines()[1].split() if cell.startswith("0.")]
    np.testing.assert_allclose(found, [0.9, 0.95], atol=0.04)


def test_curved_tasks_are_compared_by_ratios_of_errors(capsys):
    found = {name: [(one, 1.0) for one in errors] for name, errors in
             {"ridge": [1.0, 2.0], "shared layer": [0.5, 1.0], "linear": [1.0, 1.0]}.items()}  # fmt: skip
    curved.show("bent", found)
    said = capsys.readouterr().out
    assert "shared layer   error 0.7500  of ridge 0.500 +- 0.000" in said
    # The logarithms of 0.5 and 1: mean and deviation by hand, corrected for overlapping training sets.
    spread = np.sqrt(1 / 2 + 1 / 2) * np.std([np.log(0.5), 0.0], ddof=1)
    assert f"shared layer of linear         {np.sqrt(0.5):.3f} +- {spread:.3f}" in said
