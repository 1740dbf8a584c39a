"""Tasks with planted relations: groups that share a subspace each, a main task with helpers, correlated tasks."""

from __future__ import annotations

import numpy as np


def _directions(rng, n_features, rank, n_tasks):
    """Coefficient vectors of norm one in a random subspace, as columns: every task is equally strong."""
    factors = rng.randn(rank, n_tasks)
    return np.linalg.qr(rng.randn(n_features, rank))[0] @ (factors / np.linalg.norm(factors, axis=0))


def _target(rng, raw, kind, noise=1.0):
    # Log-odds and log means are of a size at which a class or a count says nearly as much as a number.
    if kind == "regression":
        return raw + noise * rng.randn(len(raw))
    if kind == "binary":
        return np.where(2 * raw + rng.logistic(size=len(raw)) > 0, "yes", "no")
    if kind == "count":
        return rng.poisson(np.exp(np.clip(0.7 * raw + 0.5, -5, 3))).astype(float)
    scores = np.stack([raw, -raw, np.zeros(len(raw))], axis=1) + rng.gumbel(size=(len(raw), 3))
    return np.array(["a", "b", "c"])[scores.argmax(axis=1)]


def _tasks(rng, coef, n_rows, own_rows, kinds, names, sizes=None):
    """X and y; with `own_rows` dicts, else one X."""
    n_features = len(coef)
    X = {} if own_rows else rng.randn(n_rows, n_features)
    y = {}
    for t, name in enumerate(names):
        rows = rng.randn(sizes[t] if sizes else n_rows, n_features) if own_rows else X
        y[name] = _target(rng, rows @ coef[:, t], kinds[t % len(kinds)])
        if own_rows:
            X[name] = rows
    return X, y


def planted_groups(seed, n_groups=3, per_group=15, n_rows=30, n_features=40, rank=2, signal=1.5, own_rows=True,
                   kinds=("regression",), n_outliers=0):  # fmt: skip
    """Tasks of `n_groups` groups in random order, then outliers; X, y, the groups' labels, coefficients."""
    rng = np.random.RandomState(seed)
    parts = [_directions(rng, n_features, rank, per_group) for _ in range(n_groups)]
    order = rng.permutation(n_groups * per_group)
    labels = np.repeat(np.arange(n_groups), per_group)[order]
    coef = np.concatenate([np.concatenate(parts, axis=1)[:, order], _directions(rng, n_features, 1, 0)], axis=1)
    outliers = rng.randn(n_features, n_outliers)
    coef = signal * np.concatenate([coef, outliers / np.linalg.norm(outliers, axis=0)], axis=1)
    names = [f"t{t:02d}" for t in range(coef.shape[1])]
    X, y = _tasks(rng, coef, n_rows, own_rows, kinds, names)
    return X, y, labels, coef


def planted_helpers(seed, n_main=60, n_rows=100, n_features=30, rank=2, signal=1.5, n_helpers=5, n_others=25):
    """A main task, helpers that share its subspace and others that do not, each with rows of its own."""
    rng = np.random.RandomState(seed)
    others = rng.randn(n_features, n_others)
    related = _directions(rng, n_features, rank, n_helpers + 1)
    coef = signal * np.concatenate([related, others / np.linalg.norm(others, axis=0)], axis=1)
    names = ["main", *(f"helper{i}" for i in range(n_helpers)), *(f"other{i}" for i in range(n_others))]
    sizes = [n_main] + [n_rows] * (n_helpers + n_others)
    return _tasks(rng, coef, n_rows, True, ("regression",), names, sizes)


def correlated_tasks(seed, n_tasks=20, n_rows=30, n_features=40, correlation=0.6, own_rows=True, noise=1.0,
                     shared_noise=0.0, covariance=None):  # fmt: skip
    """Regression tasks whose coefficients have a common part; X, y and the true affinities."""
    rng = np.random.RandomState(seed)
    root = np.eye(n_features) if covariance is None else np.linalg.cholesky(covariance).T
    common = rng.randn(n_features, 1)
    coef = np.sqrt(correlation) * common + np.sqrt(1 - correlation) * rng.randn(n_features, n_tasks)
    coef /= np.sqrt(n_features)
    truth = coef.T @ root.T @ root @ coef
    truth /= np.sqrt(np.outer(np.diag(truth), np.diag(truth)))
    names = [f"t{t:02d}" for t in range(n_tasks)]
    X = {} if own_rows else rng.randn(n_rows, n_features) @ root
    y, together = {}, rng.randn(n_rows)
    for t, name in enumerate(names):
        rows = rng.randn(n_rows, n_features) @ root if own_rows else X
        errors = np.sqrt(shared_noise) * together + np.sqrt(1 - shared_noise) * rng.randn(n_rows)
        y[name] = rows @ coef[:, t] + noise * errors
        if own_rows:
            X[name] = rows
    return X, y, truth


def planted_relatives(seed, n_relatives=11, n_others=0, n_rows=60, n_features=30):
    """Binary tasks with rows of their own that all resemble a common one, and each other weakly; others do not.

    The others are of the same strength. With 60 rows no single relative tells much of the main task.
    """
    rng = np.random.RandomState(seed)
    names = ["main", *(f"relative{i}" for i in range(n_relatives)), *(f"other{i}" for i in range(n_others))]
    common, X, y, coef = rng.randn(n_features), {}, {}, {}
    for name in names:
        own = rng.randn(n_features)
        own = own if name.startswith("other") else np.sqrt(0.8) * common + np.sqrt(0.2) * own
        coef[name] = 1.8 * own / np.sqrt(n_features)
        X[name] = rng.randn(n_rows, n_features)
        y[name] = (X[name] @ coef[name] + rng.logistic(size=n_rows) > 0).astype(int)
    return X, y, coef
