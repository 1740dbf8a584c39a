"""What the baselines on ``W = B S'`` share: the start, the exact factor step, the gauge, the objective."""

from __future__ import annotations

import numpy as np
from scipy import linalg


def trace_norm(B, S) -> float:
    """Trace norm of ``B @ S.T``: the least that ``(|B|^2 + |S|^2) / 2`` can be for the same product."""
    return float(np.linalg.svd(np.linalg.qr(B)[1] @ np.linalg.qr(S)[1].T, compute_uv=False).sum())


def balanced(B, S):
    """The gauge with ``B'B = S'S``: same product, smallest penalty; and the matrix that B was multiplied by."""
    B_span, B_root = np.linalg.qr(B)
    S_span, S_root = np.linalg.qr(S)
    left, sizes, right = np.linalg.svd(B_root @ S_root.T)
    left, right = left * np.sqrt(sizes), right.T * np.sqrt(sizes)
    return B_span @ left, S_span @ right, np.linalg.lstsq(B_root, left, rcond=None)[0]


def leading_features(gradient, k):
    """Leading right singular vectors of (n_tasks, d), from the smaller Gram matrix."""
    n_tasks, d = gradient.shape
    if d <= n_tasks:
        return linalg.eigh(gradient.T @ gradient, subset_by_index=(d - k, d - 1))[1]
    values, vectors = linalg.eigh(gradient @ gradient.T, subset_by_index=(n_tasks - k, n_tasks - 1))
    return gradient.T @ (vectors / np.sqrt(np.maximum(values, 1e-300)))


def spectral_start(data, k, alpha):
    """Basis from the gradient at the null model, factors to match, in the balanced gauge: B, S, intercepts, Z."""
    intercepts = data.null_intercepts()
    columns = np.zeros((data.X.shape[0], 1))
    slope = data.loss(data.raw(columns, np.zeros((data.n_tasks, 1)), intercepts))[1]
    B = leading_features(data.gradient(slope, data.X), k)
    Z = np.asarray(data.X @ B)
    S, intercepts = best_factors(data, Z, np.zeros((data.n_tasks, k)), intercepts, alpha)
    B, S, turn = balanced(B, S)
    return B, S, intercepts, Z @ turn


def best_factors(data, Z, S, intercepts, alpha, max_iter=20):
    """Factors and intercepts given ``Z = X @ B``: one linear solve per task, or Newton steps (all tasks at once)."""
    k, has_intercept = Z.shape[1], data.means is None
    full = np.column_stack([Z, np.ones(len(Z))]) if has_intercept else Z
    ridge = alpha * np.eye(full.shape[1])
    ridge[k:, k:] = 1e-12
    theta = np.column_stack([S, intercepts]) if has_intercept else S
    zero = np.zeros(data.n_tasks)

    def value(theta):
        loss, slope, curvature = data.loss(data.raw(full, theta, zero))
        return loss + 0.5 * alpha * np.sum(theta[:, :k] ** 2), slope, curvature

    current, slope, curvature = value(theta)
    for _ in range(max_iter):
        gradient = data.gradient(slope, full) + theta @ ridge
        step = np.linalg.solve(data.systems(curvature, full) + ridge, gradient[:, :, None])[:, :, 0]
        decrement = float(np.vdot(step, gradient))
        size = 1.0
        while True:
            trial, slope, curvature = value(theta - size * step)
            if data.kind == "regression" or trial <= current or size < 1e-6:
                break
            size *= 0.5
        theta, current = theta - size * step, trial
        # Newton's error is squared by every step: this is below 1e-9 after the step just taken.
        if data.kind == "regression" or decrement <= 1e-5 * abs(current):
            break
    return (theta[:, :k], theta[:, k]) if has_intercept else (theta, zero)
