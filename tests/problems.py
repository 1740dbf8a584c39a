"""Small `TaskData` of every loss and layout, and a slow solver that shares no code with skmtl."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from scipy import sparse
from scipy.optimize import minimize
from scipy.special import expit, logsumexp

from skmtl.tasks import Task, TaskData

KINDS = ("regression", "binary", "multiclass", "count")
LOSSES = (*KINDS, "mixed")
FORMS = ("complete", "gaps", "labelled", "csr")
LAYOUTS = (*FORMS, "few")
PARTS = {
    "neither": {},
    "common": {"alpha_common": 0.3},
    "own": {"alpha_own": 0.4},
    "both": {"alpha_common": 0.3, "alpha_own": 0.4},
}


def crossed(*axes):
    """Every combination of the axes as parameters: a Latin square of them in the quick suite, the rest marked slow."""
    shortest = min(map(len, axes))
    combinations = (zip(*numbered) for numbered in product(*map(enumerate, axes)))
    return [
        pytest.param(*values, marks=[pytest.mark.slow] if sum(places) % shortest else [])
        for places, values in combinations
    ]


def make_data(kind: str, layout: str, n=60, d=8, n_tasks=5, seed=0) -> TaskData:
    """Tasks of one kind (or "mixed") in one layout; columns of X are off-centre and of unequal scale."""
    rng = np.random.RandomState(seed)
    X = rng.randn(n, d) * np.linspace(0.5, 2.0, d) + rng.randn(d)
    raw = (X - X.mean(axis=0)) @ rng.randn(d, 2) @ rng.randn(2, n_tasks) / np.sqrt(d)
    kinds = [KINDS[t % 4] for t in range(n_tasks)] if kind == "mixed" else [kind] * n_tasks
    columns, tasks = [], []
    for t, one in enumerate(kinds):
        classes = {"binary": np.arange(2), "multiclass": np.arange(3)}.get(one)
        tasks.append(Task(f"task{t}", one, classes))
        noisy = raw[:, t] + 0.5 * rng.randn(n)
        if one == "regression":
            columns.append(3.0 * noisy + t)
        elif one == "binary":
            columns.append((noisy > 0).astype(float))
        elif one == "multiclass":
            columns.append(np.digitize(noisy, [-0.5, 0.5]).astype(float))
        else:
            columns.append(rng.poisson(np.exp(np.clip(0.4 * noisy + 0.5, None, 3))).astype(float))
    y = np.stack(columns, axis=1)
    if layout in ("gaps", "csr"):
        y[rng.rand(n, n_tasks) < 0.3] = np.nan
    if layout == "few":
        y[rng.rand(n, n_tasks) < 0.7] = np.nan
    if layout == "labelled":
        task_of_row = np.arange(n) % n_tasks
        return TaskData(X, tuple(tasks), y[np.arange(n), task_of_row], task_of_row)
    return TaskData(sparse.csr_matrix(X) if layout == "csr" else X, tuple(tasks), y)


def observations(data: TaskData):
    """Per task: rows of X (dense), targets, weights; the plain lists that the definition speaks of."""
    X = data.X.toarray() if sparse.issparse(data.X) else data.X
    for t in range(len(data.tasks)):
        if data.task_of_row is None:
            rows = np.flatnonzero(~np.isnan(data.y[:, t]))
            y = data.y[rows, t]
        else:
            rows = np.flatnonzero(data.task_of_row == t)
            y = data.y[rows]
        yield X[rows], y


def loss(kind: str, y, raw):
    """Loss and gradient of one task, as in any textbook."""
    if kind == "regression":
        return 0.5 * np.sum((y - raw[:, 0]) ** 2), raw - y[:, None]
    if kind == "binary":
        return np.sum(np.logaddexp(0, raw[:, 0]) - y * raw[:, 0]), expit(raw) - y[:, None]
    if kind == "count":
        return np.sum(np.exp(raw[:, 0]) - y * raw[:, 0]), np.exp(raw) - y[:, None]
    one_hot = np.eye(raw.shape[1])[y.astype(int)]
    normaliser = logsumexp(raw, axis=1, keepdims=True)
    return np.sum(normaliser) - np.sum(one_hot * raw), np.exp(raw - normaliser) - one_hot


def objective(data: TaskData, solution, alpha, alpha_common=None, alpha_own=None, factored=False) -> float:
    """F of a fit with ``scale_targets=None``, from its coefficients alone (trace norm in place of B and S)."""
    parts = list(observations(data))
    nbar = sum(len(y) for _, y in parts) / len(parts)
    offsets = data.output_offsets
    value = 0.0
    for t, (rows, y) in enumerate(parts):
        columns = slice(offsets[t], offsets[t + 1])
        raw = rows @ solution.coef[:, columns] + solution.intercept[columns]
        value += loss(data.tasks[t].kind, y, raw)[0] / nbar
    shared = solution.basis @ solution.factors
    if factored:
        value += 0.5 * alpha * (np.sum(solution.basis**2) + np.sum(solution.factors**2))
    else:
        value += alpha * np.linalg.norm(shared, "nuc")
    if alpha_common is not None:
        value += 0.5 * alpha_common * np.sum(solution.common**2)
    if alpha_own is not None:
        value += 0.5 * alpha_own * np.sum(solution.own**2)
    return value


def convex_optimum(data: TaskData, alpha, alpha_common=None, alpha_own=None, fit_intercept=True) -> float:
    """Optimal F without a rank limit, by proximal gradient steps on L (trace norm) around L-BFGS on the rest.

    The smooth variational form of the trace norm, ``min over A of tr(L' A^-1 L)/2 + tr(A)/2``, would share the
    idea of skmtl's solver; this is plain FISTA with restarts instead, as in Toh & Yun (2010), on a problem small
    enough to run it to high precision.
    """
    parts = list(observations(data))
    nbar = sum(len(y) for _, y in parts) / len(parts)
    offsets, d = data.output_offsets, data.n_features
    m = offsets[-1]
    single = np.concatenate([np.full(task.n_outputs, task.n_outputs == 1) for task in data.tasks])

    def smooth(W, b):
        value, gradient_W, gradient_b = 0.0, np.zeros((d, m)), np.zeros(m)
        for t, (rows, y) in enumerate(parts):
            columns = slice(offsets[t], offsets[t + 1])
            one, slope = loss(data.tasks[t].kind, y, rows @ W[:, columns] + b[columns])
            value += one / nbar
            gradient_W[:, columns] = rows.T @ slope / nbar
            gradient_b[columns] = slope.sum(axis=0) / nbar
        return value, gradient_W, gradient_b

    def rest(L, start):
        """Minimise over m, E, b for a fixed L."""
        shapes = [(d,) if alpha_common else (0,), (d, m) if alpha_own else (0, 0), (m,) if fit_intercept else (0,)]
        bounds = np.cumsum([0] + [int(np.prod(shape)) for shape in shapes])

        def unpack(vector):
            return [vector[bounds[i] : bounds[i + 1]].reshape(shapes[i]) for i in range(3)]

        def fun(vector):
            common, own, b = unpack(vector)
            W = L.copy()
            if alpha_common:
                W = W + common[:, None] * single
            if alpha_own:
                W = W + own
            value, gW, gb = smooth(W, b if fit_intercept else np.zeros(m))
            gradient = np.zeros_like(vector)
            g = unpack(gradient)
            if alpha_common:
                value += 0.5 * alpha_common * common @ common
                g[0][...] = gW @ single + alpha_common * common
            if alpha_own:
                value += 0.5 * alpha_own * np.sum(own**2)
                g[1][...] = gW + alpha_own * own
            if fit_intercept:
                g[2][...] = gb
            return value, gradient

        done = minimize(fun, start, jac=True, method="L-BFGS-B", options={"maxiter": 5000, "ftol": 1e-16, "gtol": 1e-9})
        common, own, b = unpack(done.x)
        W = L + (common[:, None] * single if alpha_common else 0) + (own if alpha_own else 0)
        return done.fun, smooth(W, b if fit_intercept else np.zeros(m))[1], done.x

    size = (d if alpha_common else 0) + (d * m if alpha_own else 0) + (m if fit_intercept else 0)
    L = previous = np.zeros((d, m))
    momentum, step, best = 1.0, 1.0, np.inf
    value_Y, gradient, start = rest(L, np.zeros(size))
    Y = L
    for _ in range(1500):
        while True:
            left, values, right = np.linalg.svd(Y - step * gradient, full_matrices=False)
            shrunk = np.maximum(values - step * alpha, 0.0)
            candidate = (left * shrunk) @ right
            value, _new_gradient, new_start = rest(candidate, start)
            move = candidate - Y
            if value <= value_Y + np.sum(gradient * move) + np.sum(move**2) / (2 * step) + 1e-13 * abs(value):
                break
            step *= 0.5
        total = value + alpha * shrunk.sum()
        if total > best:  # restart the momentum
            if momentum == 1.0:
                break
            momentum, Y = 1.0, previous
            value_Y, gradient, start = rest(Y, start)
            continue
        done = best - total <= 1e-11 * abs(total) and momentum > 1.0
        best = total
        new_momentum = 0.5 * (1 + np.sqrt(1 + 4 * momentum**2))
        Y = candidate + (momentum - 1) / new_momentum * (candidate - previous)
        previous, momentum = candidate, new_momentum
        value_Y, gradient, start = rest(Y, new_start)
        if done:
            break
    return best
