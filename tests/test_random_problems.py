"""Whatever a user hands over: a model without NaN, or an error of ours, and a certificate that holds.

Problems are drawn at random: kinds x forms x gaps x weights x scales of columns and targets x parameters. A small draw
runs in the suite, the same every time; ``RANDOM_PROBLEMS=500 pytest tests/test_random_problems.py --hypothesis-seed=1``
draws so many others for every test.
"""

from __future__ import annotations

import os
import traceback
import warnings
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from scipy import sparse
from scipy.optimize import minimize
from scipy.special import expit, logsumexp
from sklearn.exceptions import ConvergenceWarning, UndefinedMetricWarning

from skmtl import (
    LowRankClassifier,
    LowRankClassifierCV,
    LowRankMultiTask,
    LowRankMultiTaskCV,
    LowRankRegressor,
    LowRankRegressorCV,
    TaskTargets,
)

KINDS = ("regression", "binary", "multiclass", "count")
FORMS = ("named", "gaps", "frame", "array", "csr", "own rows", "csr own rows", "long")
MANY = int(os.environ.get("RANDOM_PROBLEMS", "0"))


def draws(quick: int) -> settings:
    """So many problems in the suite; no shrinking, since a problem is small enough to be read as it is."""
    checks = list(HealthCheck)
    return settings(
        max_examples=MANY or quick, derandomize=not MANY, suppress_health_check=checks, phases=[Phase.generate]
    )


@dataclass(frozen=True)
class Problem:
    """One draw, small enough to be printed whole by hypothesis."""

    kinds: tuple[str, ...]
    form: str
    n: int
    d: int
    seed: int
    column_scales: tuple[int, ...]
    target_scale: int
    weights: str | None
    alpha: float
    n_components: int | None
    alpha_common: float | None
    alpha_own: float | None
    alpha_intercept: float | None
    own_penalty: str
    factor_prior: str
    feature_prior: str
    scale_features: bool
    scale_targets: str | None
    task_weight: str | None
    class_weight: str | None
    fit_intercept: bool


@st.composite
def problems(draw: Any, forms: Any = FORMS) -> Problem:
    form = draw(st.sampled_from(forms))
    n_tasks = draw(st.integers(1, 3))
    if form in ("long", "array"):  # one kind only
        drawn = (draw(st.sampled_from(KINDS)),) * n_tasks
    else:
        drawn = tuple(draw(st.lists(st.sampled_from(KINDS), min_size=n_tasks, max_size=n_tasks)))
    d = draw(st.integers(1, 4))
    strength = st.one_of(st.none(), st.sampled_from([0.01, 0.3, 10.0]))

    def mostly(usual: Any, other: Any) -> Any:
        return draw(st.sampled_from([usual, usual, usual, other]))

    return Problem(
        kinds=drawn,
        form=form,
        n=draw(st.integers(2, 24)),
        d=d,
        seed=draw(st.integers(0, 2**16)),
        column_scales=tuple(draw(st.lists(st.integers(-6, 6), min_size=d, max_size=d))),
        target_scale=draw(st.integers(-6, 6)),
        weights=draw(st.sampled_from([None, "some zero", "twelve orders"])),
        alpha=draw(st.sampled_from([0.0, 1e-4, 0.1, 10.0, np.inf])),
        n_components=draw(st.one_of(st.none(), st.integers(1, 3))),
        alpha_common=draw(strength),
        alpha_own=draw(strength),
        alpha_intercept=mostly(None, 0.1),
        own_penalty=mostly("ridge", "group"),
        factor_prior=mostly("ridge", "learned"),
        feature_prior=mostly("ridge", "learned"),
        scale_features=mostly(False, True),
        scale_targets=draw(st.sampled_from(["std", "residual", None])),
        task_weight=mostly(None, "balanced"),
        class_weight=mostly(None, "balanced"),
        fit_intercept=draw(st.booleans()),
    )


def targets(problem: Problem, kind: str, X: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    raw = X @ rng.standard_normal(X.shape[1]) + 0.5 * rng.standard_normal(len(X))
    if kind == "regression":
        return 10.0**problem.target_scale * (raw + rng.standard_normal())
    if kind == "count":
        return rng.poisson(np.exp(np.clip(raw, None, 4))).astype(float)
    if kind == "binary":
        return (raw > 0).astype(float)
    return np.digitize(raw, [-0.7, 0.7]).astype(float)


def handed_over(problem: Problem) -> tuple[Any, Any, Any, dict[str, str]]:
    """X, y, sample_weight and the declared kinds, as a user would call `fit`."""
    rng = np.random.default_rng(problem.seed)
    n, d, names = problem.n, problem.d, [f"task{t}" for t in range(len(problem.kinds))]
    plain = rng.standard_normal((n, d)) + rng.standard_normal(d)
    drawn = {name: targets(problem, kind, plain, rng) for name, kind in zip(names, problem.kinds)}
    kinds = dict(zip(names, problem.kinds))
    X = plain * 10.0 ** np.array(problem.column_scales)
    weight = {
        None: None,
        "some zero": rng.integers(0, 3, n).astype(float),
        "twelve orders": 10.0 ** rng.uniform(-6, 6, n),
    }[problem.weights]
    if problem.form.startswith("csr"):
        X = np.where(rng.random(X.shape) < 0.5, 0.0, X)
    if problem.form.endswith("own rows"):
        order = {name: rng.permutation(n)[: max(2, n - 3 * t)] for t, name in enumerate(names)}
        as_given = sparse.csr_matrix if problem.form == "csr own rows" else np.asarray
        weights = None if weight is None else {name: weight[rows] for name, rows in order.items()}
        tables = {name: as_given(X[rows]) for name, rows in order.items()}
        return tables, {name: drawn[name][rows] for name, rows in order.items()}, weights, kinds
    if problem.form == "long":
        at = np.arange(n) % len(names)
        y = np.choose(at, [drawn[name] for name in names])
        return np.column_stack([X, at.astype(float)]), y, weight, kinds
    if problem.form in ("gaps", "array") and len(names) > 1:
        drawn = {name: np.where(rng.random(n) < 0.4, np.nan, y) for name, y in drawn.items()}
    if problem.form == "array":
        return X, drawn[names[0]] if len(names) == 1 else np.column_stack(list(drawn.values())), weight, kinds
    if problem.form == "frame":
        return pd.DataFrame(X, columns=[f"x{j}" for j in range(d)]), pd.DataFrame(drawn), weight, kinds
    return sparse.csr_matrix(X) if problem.form == "csr" else X, TaskTargets(drawn), weight, kinds


def estimator(problem: Problem, kinds: dict[str, str]) -> Any:
    names = ("alpha", "n_components", "alpha_common", "alpha_own", "alpha_intercept", "own_penalty", "factor_prior")
    names += ("feature_prior", "scale_features", "task_weight", "fit_intercept", "scale_targets", "class_weight")
    options = {name: getattr(problem, name) for name in names} | {"max_iter": 30, "tol": 1e-6}
    options["task_col"] = problem.d if problem.form == "long" else None
    only = set(problem.kinds)
    if only <= {"binary", "multiclass"}:
        options.pop("scale_targets")
        return LowRankClassifier(**options)
    if len(only) == 1:
        options.pop("class_weight")
        return LowRankRegressor(loss="poisson" if only == {"count"} else "squared", **options)
    return LowRankMultiTask(kinds=kinds, **options)


def is_ours(error: BaseException) -> bool:
    """A ValueError that skmtl raised, or scikit-learn's validation on its behalf."""
    frame = traceback.extract_tb(error.__traceback__)[-1].filename.replace("\\", "/")
    return isinstance(error, ValueError) and ("/skmtl/" in frame or "/sklearn/utils/" in frame)


def fitted(model: Any, X: Any, y: Any, weight: Any) -> Any:
    """The fitted model; None where it was refused with an error of ours. NumPy's warnings are errors."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.simplefilter("ignore", UserWarning)
        try:
            return model.fit(X, y, sample_weight=weight)
        except Exception as error:
            if not is_ours(error):
                raise
            assert not hasattr(model, "tasks_"), "a failed fit leaves nothing behind"
            return None


def all_finite(value: Any) -> bool:
    if isinstance(value, dict):
        return all(map(all_finite, value.values()))
    if isinstance(value, (list, tuple)):
        return all(map(all_finite, value))
    array = np.asarray(value)
    return array.dtype.kind not in "fc" or bool(np.isfinite(array).all())


def check_answers(model: Any, X: Any, y: Any) -> None:
    assert all_finite([model.coef_, model.intercept_, model.basis_, model.factors_, model.objective_])
    assert all_finite(model.predict(X))
    if hasattr(model, "predict_proba"):
        assert all_finite(model.predict_proba(X))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UndefinedMetricWarning)
        model.score(X, y)
    assert model.split().keys() == dict.fromkeys(model.tasks_).keys()


@given(problems())
@draws(15)
def test_a_fit_is_a_model_without_nan_or_an_error_of_ours(problem):
    X, y, weight, kinds = handed_over(problem)
    model = fitted(estimator(problem, kinds), X, y, weight)
    if model is not None:
        assert np.isnan(model.dual_gap_) or model.dual_gap_ >= 0
        check_answers(model, X, y)


@given(problems())
@draws(2)
def test_a_tuned_fit_is_a_model_without_nan_or_an_error_of_ours(problem):
    X, y, weight, kinds = handed_over(problem)
    model: Any
    options = {"cv": 2, "max_iter": 20, "tol": 1e-4, "task_col": problem.d if problem.form == "long" else None}
    only = set(problem.kinds)
    if only <= {"binary", "multiclass"}:
        model = LowRankClassifierCV(**options)
    elif len(only) == 1:
        model = LowRankRegressorCV(loss="poisson" if only == {"count"} else "squared", **options)
    else:
        model = LowRankMultiTaskCV(kinds=kinds, **options)
    model = fitted(model, X, y, weight)
    if model is not None:
        check_answers(model, X, y)


def loss(kind: str, y: np.ndarray, raw: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Losses of every row and their slopes, as in any textbook."""
    one = raw[:, 0]
    if kind == "regression":
        return 0.5 * (y - one) ** 2, raw - y[:, None]
    if kind == "binary":
        return np.logaddexp(0, one) - y * one, expit(raw) - y[:, None]
    if kind == "count":
        return np.exp(one) - y * one, np.exp(raw) - y[:, None]
    normaliser = logsumexp(raw, axis=1)
    chosen = np.eye(raw.shape[1])[y.astype(int)]
    return normaliser - np.sum(chosen * raw, axis=1), np.exp(raw - normaliser[:, None]) - chosen


@dataclass(frozen=True)
class Seen:
    """What a task sees, in the units that F is stated in."""

    kind: str
    X: np.ndarray
    y: np.ndarray
    weight: np.ndarray
    n_outputs: int
    scale: float  # of the linear predictor inside the loss
    in_units: float  # what public coefficients are divided by


def seen_by(name: str, kind: str, model: Any, X: Any, y: Any, weight: Any) -> Seen:
    table, column = (X[name] if isinstance(X, dict) else X), np.asarray(y[name], dtype=float)
    v = np.ones(len(column)) if weight is None else weight[name] if isinstance(weight, dict) else weight
    table = table.toarray() if sparse.issparse(table) else np.asarray(table)
    # A weight of zero is a missing target.
    there, scale = ~np.isnan(column) & (v > 0), model.target_scale_[name]
    known, n_outputs = column[there], 1
    if kind in ("binary", "multiclass"):
        known = np.searchsorted(model.classes_by_task_[name], known).astype(float)
        n_outputs = len(model.classes_by_task_[name])
        kind, n_outputs = ("binary", 1) if n_outputs == 2 else (kind, n_outputs)
    if kind == "regression":
        return Seen(kind, table[there], known / scale, v[there], 1, 1.0, scale)
    return Seen(kind, table[there], known, v[there], n_outputs, scale, scale)


def improved(problem: Problem, model: Any, tasks: list[Seen]) -> tuple[float, float, float]:
    """F at the model, at what L-BFGS makes of it in all of B, S, m, E, b, with every component allowed, and at zero."""
    nbar = sum(task.weight.sum() for task in tasks) / len(tasks)
    bounds = np.cumsum([0, *(task.n_outputs for task in tasks)])
    d, m = problem.d, bounds[-1]
    single = np.concatenate([np.full(task.n_outputs, task.n_outputs == 1) for task in tasks]).astype(float)
    k = min(d, m)
    shapes = [(d, k), (k, m), (d,), (d, m), (m,)]
    ends = np.cumsum([int(np.prod(shape)) for shape in shapes])
    strengths = [problem.alpha, problem.alpha, problem.alpha_common or 0.0, problem.alpha_own or 0.0, 0.0]
    used = [np.isfinite(problem.alpha)] * 2 + [problem.alpha_common is not None, problem.alpha_own is not None]
    used.append(problem.fit_intercept)

    def value(vector: np.ndarray) -> tuple[float, np.ndarray]:
        parts = [part.reshape(shape) for part, shape in zip(np.split(vector, ends[:-1]), shapes)]
        B, S, common, own, b = parts
        W = B @ S + common[:, None] * single + own
        total, gW, gb = 0.0, np.zeros((d, m)), np.zeros(m)
        for t, task in enumerate(tasks):
            at = slice(bounds[t], bounds[t + 1])
            each, slopes = loss(task.kind, task.y, task.scale * (task.X @ W[:, at]) + b[at])
            total += task.weight @ each / nbar
            slopes = task.weight[:, None] * slopes / nbar
            gW[:, at], gb[at] = task.scale * (task.X.T @ slopes), slopes.sum(axis=0)
        gradient = [gW @ S.T, B.T @ gW, gW @ single, gW, gb]
        for i, (strength, part) in enumerate(zip(strengths, parts)):
            if strength and used[i]:
                total += 0.5 * strength * np.sum(part**2)
                gradient[i] = gradient[i] + strength * part
        return total, np.concatenate([np.ravel(g) * use for g, use in zip(gradient, used)])

    def inside(columns: dict[str, np.ndarray], height: int) -> np.ndarray:
        by_task = zip(model.tasks_, tasks)
        return np.hstack([np.reshape(columns[name], (height, -1)) / task.in_units for name, task in by_task])

    B, S = np.zeros((d, k)), np.zeros((k, m))
    if model.rank_:
        left, values, right = np.linalg.svd(model.basis_ @ inside(model.factors_, model.basis_.shape[1]))
        left, values, right = left[:, :k], values[:k], right[:k]
        B, S = left * np.sqrt(values), np.sqrt(values)[:, None] * right
    common = np.zeros(d) if model.common_ is None else model.common_
    if len({task.in_units for task in tasks}) == 1:
        common = common / tasks[0].in_units
    own = np.zeros((d, m)) if model.own_ is None else inside(model.own_, d)
    b = [np.ravel(model.intercept_[name]) for name in model.tasks_]
    b = np.concatenate([one / (task.in_units if task.kind == "regression" else 1.0) for one, task in zip(b, tasks)])
    start = np.concatenate([np.ravel(part) for part in (B, S, common, own, b)])
    first, best, nothing = value(start)[0], np.inf, value(np.zeros_like(start))[0]
    rng = np.random.default_rng(0)
    moves = np.concatenate([np.full(int(np.prod(shape)), float(use)) for shape, use in zip(shapes, used)])
    options = {"maxiter": 150, "ftol": 1e-15, "gtol": 1e-9}
    with np.errstate(over="ignore", invalid="ignore"):
        for spread in (0.0, 1e-3, 0.1):
            x = start + spread * rng.standard_normal(len(start)) * moves
            done = minimize(value, x, jac=True, method="L-BFGS-B", options=options)
            best = min(best, done.fun) if np.isfinite(done.fun) else best
    return first, best, nothing


@given(problems(forms=("named", "gaps", "csr", "own rows")))
@draws(6)
def test_the_gap_bounds_what_another_solver_still_finds(problem):
    """SciPy starts at the model, in the plain coordinates of the docstring, with components for every rank."""
    usual = {"alpha_intercept": None, "own_penalty": "ridge", "factor_prior": "ridge", "feature_prior": "ridge"}
    problem = replace(problem, scale_features=False, task_weight=None, class_weight=None, **usual)
    X, y, weight, kinds = handed_over(problem)
    model = fitted(estimator(problem, kinds), X, y, weight)
    if model is None:
        return
    tasks = [seen_by(name, kind, model, X, y, weight) for name, kind in zip(model.tasks_, problem.kinds)]
    first, best, nothing = improved(problem, model, tasks)
    # Where targets are interpolated, F is what rounding leaves of the one at zero.
    scale = max(abs(first), abs(model.objective_), 1e-3 * nothing)
    assert first == pytest.approx(model.objective_, abs=1e-7 * scale)
    assert first - best <= model.dual_gap_ + 1e-9 * scale
