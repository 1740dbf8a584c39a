"""The problems that are measured, by name: generated with a planted rank, or real data from a directory.

Planted: ``W = B S`` with Gaussian factors, scaled so that the linear predictor has unit variance (2 for
classes); squared targets get noise of standard deviation 1. ``alpha`` is half the size that pure noise reaches in
the gradient, ``sigma |x| (sqrt(d) + sqrt(T)) / sqrt(nbar)``, so that signal and some noise pass the trace norm.
"""

from __future__ import annotations

import importlib.util
import itertools
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import sparse

ALPHA_FACTOR = 0.5


@dataclass
class Problem:
    """One joint fit: data, strengths, and fresh rows to test on.

    Attributes
    ----------
    X : ndarray or CSR matrix of shape (n, d)
    y : ndarray of shape (n, T), NaN where missing, or (n,) where every task has its own rows
        Numbers, or 0 / 1 for `kind` "binary".
    task_of_row : intp ndarray of shape (n,), ascending, or None when all tasks share the rows
    X_test, y_test, task_test : the same for the rows held out
    ridge : float
        Ridge for one model per task on the summed loss: the ratio of noise to coefficient variance.
    target, convex_target : float or None
        Objective of ours, and the optimum without a limit on the rank: baselines stop within 1e-6 of theirs.
    budget : float
        Seconds after which an iterative baseline gives up.
    """

    name: str
    kind: str
    X: np.ndarray
    y: np.ndarray
    task_of_row: np.ndarray | None
    n_tasks: int
    n_components: int
    alpha: float
    ridge: float
    X_test: np.ndarray
    y_test: np.ndarray
    task_test: np.ndarray | None
    target: float | None = None
    convex_target: float | None = None
    budget: float = 20.0

    @property
    def complete(self) -> bool:
        return self.task_of_row is None and not np.isnan(self.y).any()

    @property
    def nbar(self) -> float:
        """Observations per task."""
        return float(np.count_nonzero(~np.isnan(self.y))) / self.n_tasks

    def tasks(self):
        """X and y of every task, one after the other."""
        if self.task_of_row is not None:
            ends = np.searchsorted(self.task_of_row, np.arange(self.n_tasks + 1))
            for start, stop in itertools.pairwise(ends):
                yield self.X[start:stop], self.y[start:stop]
        else:
            for column in self.y.T:
                seen = ~np.isnan(column)
                yield (self.X, column) if seen.all() else (self.X[seen], column[seen])

    def objective(self, coef, intercept) -> float:
        """F with the trace norm of the coefficients (n_tasks, d) in place of ``(|B|^2 + |S|^2) / 2``."""
        raw = linear_predictor(self.X, self.task_of_row, coef, intercept)
        return total_loss(self.kind, self.y, raw) / self.nbar + self.alpha * trace_norm(coef)

    def test_error(self, coef, intercept) -> float:
        """Root mean squared error, or share of wrong classes, over all held-out observations."""
        raw = linear_predictor(self.X_test, self.task_test, coef, intercept)
        seen = ~np.isnan(self.y_test)
        if self.kind == "binary":
            return float(np.mean((raw > 0)[seen] != self.y_test[seen]))
        return float(np.sqrt(np.mean((raw - self.y_test)[seen] ** 2)))


def trace_norm(matrix) -> float:
    """Sum of singular values, from the smaller Gram matrix (far quicker for 100,000 x 50)."""
    gram = matrix @ matrix.T if matrix.shape[0] <= matrix.shape[1] else matrix.T @ matrix
    return float(np.sqrt(np.maximum(np.linalg.eigvalsh(gram), 0)).sum())


def total_loss(kind, y, raw) -> float:
    """Sum of the losses of all observations that are there."""
    if kind == "binary":
        loss = np.logaddexp(0, raw)
        loss -= y * raw
    else:
        loss = 0.5 * (raw - y) ** 2
    return float(np.nansum(loss))


def linear_predictor(X, task_of_row, coef, intercept):
    """Raw predictions: (n, n_tasks) for shared rows, (n,) where each row has its task (ascending)."""
    if task_of_row is None:
        return np.asarray(X @ coef.T) + intercept
    n_tasks, d = coef.shape
    if len(X) % n_tasks == 0 and np.array_equal(task_of_row, np.repeat(np.arange(n_tasks), len(X) // n_tasks)):
        blocks = X.reshape(n_tasks, -1, d)
        return (np.matmul(blocks, coef[:, :, None])[:, :, 0] + intercept[:, None]).ravel()
    ends = np.searchsorted(task_of_row, np.arange(n_tasks + 1))
    parts = [X[start:stop] @ w + b for start, stop, w, b in zip(ends[:-1], ends[1:], coef, intercept)]
    return np.concatenate(parts)


def strengths(kind, noise, X, n_tasks, nbar) -> tuple[float, float]:
    """`alpha`, and the ridge per task that suits a linear predictor of unit variance (4 for classes)."""
    square = X.multiply(X).mean() if sparse.issparse(X) else np.mean(X[:2000] ** 2)
    sigma, variance = (0.5, 4.0) if kind == "binary" else (noise, 1.0)
    largest = sigma * np.sqrt(square) * (np.sqrt(X.shape[1]) + np.sqrt(n_tasks)) / np.sqrt(nbar)
    return ALPHA_FACTOR * largest, (1.0 if kind == "binary" else noise**2) * square * X.shape[1] / variance


def planted(name, *, n, d, n_tasks, k, kind="regression", own_rows=False, missing=0.0, density=None, seed=0):
    """A problem with a known rank; `n` counts all rows, for own rows those of all tasks together."""
    rng = np.random.RandomState(seed)
    n_test = n_tasks * max(1, 4000 // n_tasks) if own_rows else 2000

    def features(rows):
        if density is None:
            return rng.standard_normal((rows, d))
        per_row = max(1, round(density * d))
        columns = rng.randint(d, size=rows * per_row)
        starts = np.arange(rows + 1) * per_row
        matrix = sparse.csr_matrix((rng.standard_normal(rows * per_row), columns, starts), shape=(rows, d))
        matrix.sum_duplicates()
        return matrix

    per_row = d if density is None else max(1, round(density * d))
    spread = 2.0 if kind == "binary" else 1.0
    coef = rng.standard_normal((n_tasks, k)) @ rng.standard_normal((k, d)) * (spread / np.sqrt(per_row * k))
    intercept = 0.5 * rng.standard_normal(n_tasks)

    def sample(rows, gaps):
        X = features(rows)
        task_of_row = np.repeat(np.arange(n_tasks), rows // n_tasks) if own_rows else None
        raw = linear_predictor(X, task_of_row, coef, intercept)
        if kind == "binary":
            y = (rng.uniform(size=raw.shape) < 1 / (1 + np.exp(-raw))).astype(float)
        else:
            y = raw + rng.standard_normal(raw.shape)
        if gaps:
            y[rng.uniform(size=y.shape) < gaps] = np.nan
        return X, y, task_of_row

    X, y, task_of_row = sample(n, missing)
    X_test, y_test, task_test = sample(n_test, 0.0)
    nbar = np.count_nonzero(~np.isnan(y)) / n_tasks
    alpha, ridge = strengths(kind, 1.0, X, n_tasks, nbar)
    return Problem(name, kind, X, y, task_of_row, n_tasks, k, alpha, ridge, X_test, y_test, task_test)


#: Full and quick sizes: n, d, n_tasks, k and what else `planted` should know.
SIZES = {
    "shared-complete": (
        {"n": 20000, "d": 500, "n_tasks": 500, "k": 10},
        {"n": 2000, "d": 100, "n_tasks": 100, "k": 10},
    ),
    "tall": ({"n": 200000, "d": 200, "n_tasks": 100, "k": 10}, {"n": 20000, "d": 50, "n_tasks": 30, "k": 5}),
    "gaps-2%": ({"n": 20000, "d": 500, "n_tasks": 500, "k": 5}, {"n": 4000, "d": 80, "n_tasks": 100, "k": 3}),
    "gaps-30%": ({"n": 20000, "d": 500, "n_tasks": 200, "k": 10}, {"n": 2000, "d": 100, "n_tasks": 50, "k": 5}),
    "own-rows-school-like": (
        {"n": 13900, "d": 28, "n_tasks": 139, "k": 5},
        {"n": 3900, "d": 28, "n_tasks": 39, "k": 5},
    ),
    "own-rows-wide": ({"n": 20000, "d": 500, "n_tasks": 200, "k": 10}, {"n": 4000, "d": 150, "n_tasks": 40, "k": 5}),
    "logistic-own-rows": ({"n": 5000, "d": 200, "n_tasks": 50, "k": 5}, {"n": 2000, "d": 60, "n_tasks": 20, "k": 3}),
    "shared-logistic": ({"n": 5000, "d": 100, "n_tasks": 30, "k": 5}, {"n": 1000, "d": 40, "n_tasks": 10, "k": 3}),
    "many-tasks": ({"n": 100000, "d": 100, "n_tasks": 5000, "k": 5}, {"n": 10000, "d": 40, "n_tasks": 500, "k": 3}),
    "csr-logistic": ({"n": 200000, "d": 100000, "n_tasks": 50, "k": 5}, {"n": 5000, "d": 2000, "n_tasks": 10, "k": 3}),
}
#: The share of targets that is seen stands in the names of the gaps problems.
KINDS = {
    "gaps-2%": {"missing": 0.98},
    "gaps-30%": {"missing": 0.7},
    "own-rows-school-like": {"own_rows": True},
    "own-rows-wide": {"own_rows": True},
    "logistic-own-rows": {"own_rows": True, "kind": "binary"},
    "shared-logistic": {"kind": "binary"},
    "many-tasks": {"own_rows": True},
    "csr-logistic": {"kind": "binary", "missing": 0.8, "density": 0.0005},
}
NAMES = tuple(SIZES)


def make(name: str, quick: bool = False, **changes) -> Problem:
    """The planted problem of that name; `changes` to its size."""
    options = dict(KINDS.get(name, {}), **SIZES[name][1 if quick else 0])
    options.update(changes)
    if quick and "density" in options:
        options["density"] = 0.01
    return planted(name, **options)


def real_names(directory) -> list[str]:
    """Names of the sets that the directory's ``load.py`` offers."""
    return list(_loader(directory).names())


def loaded(directory, name: str) -> dict:
    """A real set as its loader gives it."""
    return _loader(directory).load(name)


def real(directory, name: str, n_components: int = 5, seed: int = 0) -> Problem:
    """A real set through ``DIR/load.py``, features and numeric targets standardised, a quarter of the rows held out.

    ``load(name)`` gives a dict with X, and y with task (n,) or Y (n, n_targets) with NaN for gaps; gaps in X are
    filled with the column's mean. ValueError for a mixture of numbers and classes, which no peer can fit.
    """
    data = loaded(directory, name)
    X = data["X"]
    task = np.unique(data["task"], return_inverse=True)[1] if "task" in data else None
    y = np.asarray(data["y"] if "y" in data else data["Y"], dtype=float)
    if y.ndim == 2 and task is not None:
        y = y[:, 0]
    binary = np.array([np.isin(column[~np.isnan(column)], (0.0, 1.0)).all() for column in np.atleast_2d(y.T)])
    if binary.any() and not binary.all():
        raise ValueError("numbers and classes mixed")
    binary = binary.all()
    train = np.random.RandomState(seed).uniform(size=len(y)) < 0.75
    if not sparse.issparse(X):
        spread = np.nanstd(X[train], axis=0)
        X = np.nan_to_num((X - np.nanmean(X[train], axis=0)) / np.where(spread > 0, spread, 1.0))
    if not binary:
        y = (y - np.nanmean(y[train], axis=0)) / np.nanstd(y[train], axis=0)
    if task is not None:
        order = np.argsort(task, kind="stable")
        X, y, task, train = X[order], y[order], task[order], train[order]
    n_tasks = y.shape[1] if task is None else int(task.max()) + 1
    kind = "binary" if binary else "regression"
    nbar = np.count_nonzero(~np.isnan(y[train])) / n_tasks
    alpha, ridge = strengths(kind, 0.7, X, n_tasks, nbar)
    pick = (lambda part: None) if task is None else (lambda part: task[part])
    return Problem(
        name,
        kind,
        X[train],
        y[train],
        pick(train),
        n_tasks,
        n_components,
        alpha,
        ridge,
        X[~train],
        y[~train],
        pick(~train),
    )


def _loader(directory):
    path = Path(directory) / "load.py"
    spec = importlib.util.spec_from_file_location("benchmark_data", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
