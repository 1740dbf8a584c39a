"""Accelerated proximal gradient on the trace norm, the method of MALSAR's Least_Trace and Logistic_Trace.

Ji, S. & Ye, J. (2009). An accelerated gradient method for trace norm minimization. ICML. doi:10.1145/1553374.1553434
As in MALSAR: a product per task, a singular value decomposition per step, steps that only shrink. Tuned: all tasks at
once, singular values from the smaller Gram matrix, steps that grow again, with restarts (O'Donoghue & Candes 2015,
doi:10.1007/s10208-013-9150-3). There is no limit on the rank: the objective to reach is the optimum of the convex
problem, or, asked so, that of the rank-limited one, which is higher and reached sooner.
"""

from __future__ import annotations

import numpy as np

from benchmarks.baselines.layouts import layout
from benchmarks.baselines.stopping import Watch


def shrunk(W, amount):
    """Singular values of W (n_tasks, d) lowered by `amount`, and their sum, from the smaller Gram matrix."""
    if W.shape[0] > W.shape[1]:
        turned, norm = shrunk(W.T, amount)
        return turned.T, norm
    values, vectors = np.linalg.eigh(W @ W.T)
    sizes = np.sqrt(np.maximum(values, 0.0))
    kept = sizes > amount
    sizes, vectors = sizes[kept], vectors[:, kept]
    return (vectors * (1.0 - amount / sizes)) @ (vectors.T @ W), float(np.sum(sizes - amount))


def shrunk_by_decomposition(W, amount):
    """The same by a singular value decomposition."""
    left, sizes, right = np.linalg.svd(W, full_matrices=False)
    sizes = np.maximum(sizes - amount, 0.0)
    return (left * sizes) @ right, float(sizes.sum())


def to_the_convex_optimum(problem):
    return _fista(problem, problem.convex_target)


def as_in_malsar(problem):
    return _fista(problem, problem.convex_target, as_published=True)


def to_the_objective_of_ours(problem):
    return _fista(problem, problem.target)


def to_standstill(problem):
    return _fista(problem, None)


def _fista(problem, target, as_published=False):
    watch, alpha = Watch(target, problem.budget), problem.alpha
    data = layout(problem)
    shrink = shrunk
    if as_published:
        data, shrink = data.task_by_task(), shrunk_by_decomposition
    moves_intercept = 1.0 if data.means is None else 0.0
    W, b = np.zeros((data.n_tasks, data.X.shape[1])), data.null_intercepts()
    raw = data.raw(data.X[:, :1], W[:, :1], b)
    V, c, V_raw = W, b, raw
    age, bound, latest = 1.0, None, np.inf
    while True:
        loss_V, slope, curvature = data.loss(V_raw)
        gradient, in_b = data.gradient(slope, data.X), moves_intercept * data.task_sums(slope)
        if bound is None:
            along = data.raw(data.X, gradient, np.zeros_like(b))
            bound = np.vdot(along, curvature * along) / np.vdot(gradient, gradient)
        while True:
            new, norm = shrink(V - gradient / bound, alpha / bound)
            new_b = c - in_b / bound
            new_raw = data.raw(data.X, new, new_b)
            loss = data.loss(new_raw)[0]
            change, change_b = new - V, new_b - c
            model = np.vdot(gradient, change) + in_b @ change_b
            model += 0.5 * bound * (np.vdot(change, change) + change_b @ change_b)
            if loss <= loss_V + model + 1e-14 * abs(loss_V) or watch.seconds > watch.budget:
                break
            bound *= 2.0
        value = loss + alpha * norm
        if watch.done(value):
            coef, intercept = data.in_rows_of_the_user(new, new_b)
            return coef, intercept, watch.seconds
        older, age = age, 0.5 + np.sqrt(0.25 + age**2)
        if value > latest and not as_published:
            older, age = 1.0, 1.0
        momentum = (older - 1.0) / age
        V, c = new + momentum * (new - W), new_b + momentum * (new_b - b)
        V_raw = new_raw + momentum * (new_raw - raw)
        W, b, raw, latest = new, new_b, new_raw, value
        bound *= 1.0 if as_published else 0.95
