"""What every baseline needs of the data, in the layout that is cheapest for it.

`Table` for shared rows of which most cells are seen, `Scattered` for few seen cells and for own rows, both with the
same methods; complete squared targets are compressed to second moments first, as anybody would. Z stands for X or
for ``X @ B``, S for one row of coefficients per task; slopes and curvatures are those of the loss divided by nbar.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse

from benchmarks.problems import linear_predictor

#: Share of seen cells above which a full table of predictions is cheaper than the cells one by one.
_DENSE = 0.1
#: Columns up to which the rows of scattered cells are gathered.
_GATHER = 64


def layout(problem):
    """The layout for a problem."""
    X, y = problem.X, problem.y
    if problem.complete and problem.kind == "regression" and X.shape[0] > X.shape[1] and not sparse.issparse(X):
        return compressed(X, y)
    if problem.task_of_row is not None:
        return Scattered(X, np.arange(len(y)), problem.task_of_row, y, problem.n_tasks, problem.kind, own_rows=True)
    seen = ~np.isnan(y)
    if seen.mean() > _DENSE:
        return Table(X, y, problem.kind, seen=None if seen.all() else seen, nbar=problem.nbar)
    tasks, rows = np.nonzero(seen.T)
    return Scattered(X, rows, tasks, y[rows, tasks], problem.n_tasks, problem.kind)


def compressed(X, Y):
    """The same squared loss on d rows: ``|Y - X W|^2 = |V'Y - sqrt(L) V'W|^2 + rest`` with ``X'X = V L V'``."""
    n = len(X)
    x_mean, y_mean = X.mean(axis=0), Y.mean(axis=0)
    values, vectors = np.linalg.eigh(X.T @ X - n * np.outer(x_mean, x_mean))
    kept = values > 1e-12 * values[-1]
    roots, vectors = np.sqrt(values[kept]), vectors[:, kept]
    targets = (vectors.T @ (X.T @ Y - n * np.outer(x_mean, y_mean))) / roots[:, None]
    total = np.einsum("ij,ij->", Y, Y) - n * (y_mean @ y_mean)
    rest = max(0.0, 0.5 * (total - np.vdot(targets, targets))) / n
    data = Table(roots[:, None] * vectors.T, targets, "regression", seen=None, nbar=n, constant=rest)
    data.means = (x_mean, y_mean)
    return data


class Loss:
    """Squared or logistic loss of all observations, divided by nbar."""

    kind: str
    y: np.ndarray
    nbar: float
    constant = 0.0
    #: Means of X and Y that were taken out; then there are no intercepts to fit.
    means: tuple | None = None

    def _masked(self, values):
        return values

    def loss(self, raw):
        """Value, slope and curvature per observation."""
        if self.kind == "regression":
            slope = self._masked(raw - self.y)
            value = 0.5 * np.vdot(slope, slope)
            return value / self.nbar + self.constant, slope / self.nbar, self._curvature_of_squares
        small = np.exp(-np.abs(raw))
        value = np.log1p(small) + np.maximum(raw, 0.0) - self.y * raw
        share = np.where(raw >= 0, 1.0, small) / (1.0 + small)
        slope, curvature = self._masked(share - self.y), self._masked(share * (1.0 - share))
        return float(self._masked(value).sum()) / self.nbar, slope / self.nbar, curvature / self.nbar

    def null_intercepts(self):
        """Best constant of every task."""
        ones = self._masked(np.ones_like(self.y))
        mean = self.task_sums(self._masked(self.y)) / self.task_sums(ones)
        if self.means is not None:
            return np.zeros(self.n_tasks)
        return mean if self.kind == "regression" else np.log(mean + 1e-9) - np.log(1.0 - mean + 1e-9)

    def in_rows_of_the_user(self, coef, intercept):
        """Coefficients with the means put back."""
        return (coef, intercept) if self.means is None else (coef, self.means[1] - coef @ self.means[0])


class Table(Loss):
    """Shared rows, predictions as a table (n, n_tasks), unseen cells masked."""

    def __init__(self, X, y, kind, seen, nbar, constant=0.0):
        self.X, self.kind, self.seen, self.nbar, self.constant = X, kind, seen, nbar, constant
        self.y = y if seen is None else np.where(seen, y, 0.0)
        self.n_tasks = y.shape[1]
        self._curvature_of_squares = self._masked(np.ones(y.shape)) / nbar

    def _masked(self, values):
        return values if self.seen is None else values * self.seen

    def raw(self, Z, S, intercepts):
        table = np.asarray(Z @ S.T)
        table += intercepts
        return table

    def gradient(self, slope, Z):
        """Gradient in S, (n_tasks, columns of Z)."""
        return np.asarray((Z.T @ slope).T)

    def basis_gradient(self, slope, S):
        return np.asarray(self.X.T @ (slope @ S))

    def task_sums(self, values):
        return values.sum(axis=0)

    def systems(self, curvature, Z):
        """``sum_i curvature_ti z_i z_i'`` for every task, (n_tasks, k, k)."""
        k = Z.shape[1]
        pairs = (Z[:, :, None] * Z[:, None, :]).reshape(len(Z), k * k)
        return (curvature.T @ pairs).reshape(-1, k, k)


class Scattered(Loss):
    """Observations one by one, sorted by task: few cells of a table, or own rows."""

    def __init__(self, X, rows, tasks, y, n_tasks, kind, own_rows=False):
        self.X, self.rows, self.tasks, self.y = X, rows, tasks, y
        self.n_tasks, self.kind, self.own_rows = n_tasks, kind, own_rows
        self.starts = np.searchsorted(tasks, np.arange(n_tasks + 1))
        self.nbar = len(y) / n_tasks
        self._curvature_of_squares = np.full(len(y), 1.0 / self.nbar)

    def _cells(self, values):
        return sparse.csc_matrix((values, self.rows, self.starts), shape=(self.X.shape[0], self.n_tasks))

    def raw(self, Z, S, intercepts):
        if self.own_rows and Z.shape[1] > _GATHER:
            return linear_predictor(Z, self.tasks, S, intercepts)
        if Z.shape[1] > _GATHER:
            return np.asarray(Z @ S.T)[self.rows, self.tasks] + intercepts[self.tasks]
        gathered = Z if self.own_rows else Z[self.rows]
        return np.einsum("ij,ij->i", gathered, S[self.tasks]) + intercepts[self.tasks]

    def gradient(self, slope, Z):
        product = self._cells(slope).T @ Z
        return product.toarray() if sparse.issparse(product) else product

    def basis_gradient(self, slope, S):
        return self.X.T @ (self._cells(slope) @ S)

    def task_sums(self, values):
        return np.add.reduceat(values, self.starts[:-1])

    def task_by_task(self):
        """The same with a product per task, as MALSAR's loops have it; own rows only."""
        return TaskByTask(self.X, self.rows, self.tasks, self.y, self.n_tasks, self.kind, own_rows=True)

    def systems(self, curvature, Z):
        gathered = Z if self.own_rows else Z[self.rows]
        pairs = gathered[:, :, None] * gathered[:, None, :]
        pairs *= curvature[:, None, None]
        return np.add.reduceat(pairs, self.starts[:-1], axis=0)


class TaskByTask(Scattered):
    """Own rows, a product per task."""

    def _parts(self):
        return [slice(start, stop) for start, stop in zip(self.starts[:-1], self.starts[1:])]

    def raw(self, Z, S, intercepts):
        return np.concatenate([Z[part] @ s + b for part, s, b in zip(self._parts(), S, intercepts)])

    def gradient(self, slope, Z):
        return np.stack([Z[part].T @ slope[part] for part in self._parts()])
