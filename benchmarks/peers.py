"""What a user could take instead, from PyPI: scikit-learn, skglm, himalaya; each as a `Method`.

Peers run at strengths that suit the planted data, so that their test errors are their own merit: one ridge per task
at the ratio of noise to coefficient variance, the networks at the penalty for which they minimise nearly the
objective of skmtl, MultiTaskLasso at a tenth of the strength at which it selects nothing.
"""

from __future__ import annotations

import functools
import importlib.util
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import sparse
from sklearn.cross_decomposition import PLSRegression
from sklearn.linear_model import LogisticRegression, MultiTaskLasso, Ridge
from sklearn.neural_network import MLPClassifier, MLPRegressor

from benchmarks import ours
from benchmarks.baselines import alternating_ridge, altgdmin, fista, joint_lbfgs, reduced_rank_ridge
from benchmarks.clock import now


@dataclass(frozen=True)
class Method:
    """A way to fit a problem.

    Attributes
    ----------
    run : callable
        ``(problem) -> (coef (n_tasks, d), intercept (n_tasks,), seconds)``.
    minimises : {"same", "convex", "own"}
        The objective of skmtl, the same without a limit on the rank, or one of its own.
    watches_budget : bool
        Whether it stops at `problem.budget` by itself.
    cannot : callable
        ``(problem) -> reason`` why it cannot do a problem, or None.
    prepare : callable
        What a process needs once before the first fit; not timed.
    """

    run: Callable
    minimises: str = "own"
    watches_budget: bool = False
    cannot: Callable = lambda problem: None
    prepare: Callable = lambda: None


def _complete_numbers(problem, package=None):
    if problem.kind != "regression":
        return "numeric targets only"
    if not problem.complete:
        return "every task needs the same rows" if problem.task_of_row is not None else "no missing targets"
    if sparse.issparse(problem.X):
        return "dense X only"
    if package and importlib.util.find_spec(package) is None:
        return f"{package} is not installed"
    return None


def _complete_classes(problem):
    if problem.kind != "binary":
        return "classes only"
    return None if problem.complete else "no missing targets and no own rows"


def _squared(problem):
    return None if problem.kind == "regression" else "squared loss only"


def _shared_rows(problem):
    return "written for own rows" if problem.task_of_row is None else None


def _timed(model, X, y):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        start = now()
        model.fit(X, y)
        return now() - start


def one_model_per_task(problem):
    """Ridge (all targets in one call where they share the rows) or LogisticRegression for each task alone."""
    if problem.complete and problem.kind == "regression":
        model = Ridge(problem.ridge)
        seconds = _timed(model, problem.X, problem.y)
        return model.coef_, model.intercept_, seconds
    coef, intercept, seconds = np.zeros((problem.n_tasks, problem.X.shape[1])), np.zeros(problem.n_tasks), 0.0
    for t, (X, y) in enumerate(problem.tasks()):
        if problem.kind == "binary" and np.ptp(y) == 0:
            intercept[t] = 10.0 if y[0] else -10.0
            continue
        model = LogisticRegression(C=1.0 / problem.ridge) if problem.kind == "binary" else Ridge(problem.ridge)
        seconds += _timed(model, X, y)
        coef[t], intercept[t] = np.ravel(model.coef_), np.ravel(model.intercept_)[0]
    return coef, intercept, seconds


def _lasso_strength(problem):
    scores = problem.X.T @ (problem.y - problem.y.mean(axis=0)) / len(problem.y)
    return 0.1 * np.linalg.norm(scores, axis=1).max()


def multi_task_lasso(problem):
    model = MultiTaskLasso(alpha=_lasso_strength(problem))
    seconds = _timed(model, problem.X, problem.y)
    return model.coef_, model.intercept_, seconds


@functools.cache
def compile_skglm():
    """Has numba compile, half a minute of it, with arrays laid out as those to come."""
    from skglm import MultiTaskLasso

    rng = np.random.RandomState(0)
    _timed(MultiTaskLasso(alpha=0.1), rng.standard_normal((20, 4)), rng.standard_normal((20, 3)))


def skglm_multi_task_lasso(problem):
    from skglm import MultiTaskLasso

    model = MultiTaskLasso(alpha=_lasso_strength(problem))
    seconds = _timed(model, problem.X, problem.y)
    return model.coef_, np.ravel(model.intercept_), seconds


def himalaya_ridge(problem):
    from himalaya.ridge import Ridge

    model = Ridge(alpha=problem.ridge, fit_intercept=True)
    seconds = _timed(model, problem.X, problem.y)
    return model.coef_.T, model.intercept_, seconds


def pls(problem):
    model = PLSRegression(n_components=problem.n_components, scale=False)
    seconds = _timed(model, problem.X, problem.y)
    centre = model.predict(problem.X[:1])[0]
    return model.coef_, centre - model.coef_ @ problem.X[0], seconds


#: scikit-learn divides the penalty of a network by the rows of a batch.
_BATCH = 200


def _network(kind, problem, strength):
    batch = min(_BATCH, len(problem.y))
    layers = (problem.n_components,)
    rest = {"alpha": strength * batch, "batch_size": batch, "max_iter": 500, "random_state": 0}
    model = kind(hidden_layer_sizes=layers, activation="identity", **rest)
    seconds = _timed(model, problem.X, problem.y)
    (first, second), (b_first, b_second) = model.coefs_, model.intercepts_
    return (first @ second).T, b_first @ second + b_second, seconds


def linear_network(problem):
    """Its squared loss is averaged over rows and targets."""
    return _network(MLPRegressor, problem, problem.alpha / problem.n_tasks)


def linear_network_classifier(problem):
    """Its log-loss is summed over targets and averaged over rows."""
    return _network(MLPClassifier, problem, problem.alpha)


def _for_skglm(problem):
    return _complete_numbers(problem, "skglm")


def _for_himalaya(problem):
    return _complete_numbers(problem, "himalaya")


METHODS = {
    "skmtl": Method(ours.low_rank, "same"),
    "skmtl, rank unlimited": Method(ours.unlimited, "convex"),
    "trace-norm FISTA": Method(fista.to_the_convex_optimum, "convex", True),
    "the same as in MALSAR": Method(fista.as_in_malsar, "convex", True, cannot=_shared_rows),
    "FISTA, to skmtl's objective": Method(fista.to_the_objective_of_ours, "own", True),
    "joint L-BFGS": Method(joint_lbfgs.joint_lbfgs, "same", True),
    "AltGDmin": Method(altgdmin.alt_gd_min, "same", True),
    "alternating ridge, CG": Method(alternating_ridge.alternating_ridge, "same", True, cannot=_squared),
    "reduced-rank ridge": Method(reduced_rank_ridge.reduced_rank_ridge, cannot=_complete_numbers),
    "sklearn, one per task": Method(one_model_per_task),
    "sklearn PLSRegression": Method(pls, cannot=_complete_numbers),
    "sklearn MultiTaskLasso": Method(multi_task_lasso, cannot=_complete_numbers),
    "sklearn MLPRegressor": Method(linear_network, cannot=_complete_numbers),
    "sklearn MLPClassifier": Method(linear_network_classifier, cannot=_complete_classes),
    "skglm MultiTaskLasso": Method(skglm_multi_task_lasso, cannot=_for_skglm, prepare=compile_skglm),
    "himalaya Ridge": Method(himalaya_ridge, cannot=_for_himalaya),
}
