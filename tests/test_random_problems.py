"""Whatever a user hands over: a model without NaN, or an error of ours.

Problems are drawn at random: forms x gaps x weights x scales of columns and targets x parameters, of numbers so far.
"""

from __future__ import annotations

import traceback
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning, UndefinedMetricWarning

from skmtl import LowRankClassifier, LowRankMultiTask, LowRankRegressor, TaskTargets

KINDS = ("regression", "binary", "multiclass", "count")
FORMS = ("named", "gaps", "own rows", "long", "csr", "array")


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
    factor_prior: str
    scale_targets: str | None
    fit_intercept: bool


@st.composite
def problems(draw: Any, kinds: Any = KINDS, forms: Any = FORMS) -> Problem:
    form = draw(st.sampled_from(forms))
    n_tasks = draw(st.integers(1, 4))
    if form in ("long", "array"):  # one kind only
        drawn = (draw(st.sampled_from(kinds)),) * (1 if form == "array" else n_tasks)
    else:
        drawn = tuple(draw(st.lists(st.sampled_from(kinds), min_size=n_tasks, max_size=n_tasks)))
    d = draw(st.integers(1, 6))
    strength = st.one_of(st.none(), st.sampled_from([0.01, 0.3, 10.0]))
    return Problem(
        kinds=drawn,
        form=form,
        n=draw(st.integers(2, 30)),
        d=d,
        seed=draw(st.integers(0, 2**16)),
        column_scales=tuple(draw(st.lists(st.integers(-6, 6), min_size=d, max_size=d))),
        target_scale=draw(st.integers(-6, 6)),
        weights=draw(st.sampled_from([None, "some zero", "twelve orders"])),
        alpha=draw(st.sampled_from([0.0, 1e-4, 0.1, 10.0, np.inf])),
        n_components=draw(st.one_of(st.none(), st.integers(1, 3))),
        alpha_common=draw(strength),
        alpha_own=draw(strength),
        factor_prior=draw(st.sampled_from(["ridge", "ridge", "learned"])),
        scale_targets=draw(st.sampled_from(["std", "residual", None])),
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
    scales = 10.0 ** np.array(problem.column_scales)
    plain = rng.standard_normal((n, d)) + rng.standard_normal(d)
    drawn = {name: targets(problem, kind, plain, rng) for name, kind in zip(names, problem.kinds)}
    kinds = dict(zip(names, problem.kinds))
    X = plain * scales
    weight = {
        None: None,
        "some zero": rng.integers(0, 3, n).astype(float),
        "twelve orders": 10.0 ** rng.uniform(-6, 6, n),
    }[problem.weights]
    if problem.form == "own rows":
        order = [rng.permutation(n)[: max(2, n - 3 * t)] for t in range(len(names))]
        tables = {name: X[rows] for name, rows in zip(names, order)}
        weights = None if weight is None else {name: weight[rows] for name, rows in zip(names, order)}
        return tables, {name: drawn[name][rows] for name, rows in zip(names, order)}, weights, kinds
    if problem.form == "long":
        at = np.arange(n) % len(names)
        y = np.choose(at, [drawn[name] for name in names])
        return np.column_stack([X, at.astype(float)]), y, weight, {str(t): kind for t, kind in enumerate(problem.kinds)}
    if problem.form == "array":
        return X, drawn[names[0]], weight, kinds
    if problem.form == "gaps":
        drawn = {name: np.where(rng.random(n) < 0.4, np.nan, y) for name, y in drawn.items()}
    if problem.form == "csr":
        return sparse.csr_matrix(np.where(rng.random(X.shape) < 0.5, 0.0, X)), TaskTargets(drawn), weight, kinds
    return X, TaskTargets(drawn), weight, kinds


def estimator(problem: Problem, kinds: dict[str, str], **changes: Any) -> Any:
    options: dict[str, Any] = {
        "alpha": problem.alpha,
        "n_components": problem.n_components,
        "alpha_common": problem.alpha_common,
        "alpha_own": problem.alpha_own,
        "factor_prior": problem.factor_prior,
        "fit_intercept": problem.fit_intercept,
        "max_iter": 100,
        "tol": 1e-6,
        "task_col": problem.d if problem.form == "long" else None,
    } | changes
    only = set(problem.kinds)
    if only <= {"binary", "multiclass"}:
        options.pop("scale_targets", None)
        return LowRankClassifier(**options)
    options.setdefault("scale_targets", problem.scale_targets)
    if len(only) == 1:
        return LowRankRegressor(loss="poisson" if only == {"count"} else "squared", **options)
    return LowRankMultiTask(kinds=kinds, **options)


def is_ours(error: BaseException) -> bool:
    """A ValueError that skmtl raised, or scikit-learn's validation on its behalf."""
    frame = traceback.extract_tb(error.__traceback__)[-1].filename.replace("\\", "/")
    return isinstance(error, ValueError) and ("/skmtl/" in frame or "/sklearn/utils/" in frame)


def fitted(model: Any, X: Any, y: Any, weight: Any) -> Any:
    """The fitted model; None where it was refused with an error of ours. NumPy's warnings are errors."""
    with warnings.catch_warnings():
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


@given(problems(kinds=("regression",)))
@settings(suppress_health_check=list(HealthCheck), phases=[Phase.generate], max_examples=40)
def test_a_fit_is_a_model_without_nan_or_an_error_of_ours(problem):
    X, y, weight, kinds = handed_over(problem)
    model = fitted(estimator(problem, kinds), X, y, weight)
    if model is None:
        return
    assert all_finite([model.coef_, model.intercept_, model.basis_, model.factors_, model.objective_])
    assert all_finite(model.predict(X))
    if hasattr(model, "predict_proba"):
        assert all_finite(model.predict_proba(X))
    assert np.isnan(model.dual_gap_) or model.dual_gap_ >= 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UndefinedMetricWarning)
        model.score(X, y)
    assert model.split().keys() == dict.fromkeys(model.tasks_).keys()
