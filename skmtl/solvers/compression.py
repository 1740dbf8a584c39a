"""Smaller problems with the same solution: the row space of a wide X, the moments of a long one.

Squared losses see the data through second moments only. ``X = Q R`` with few rows in R stands for all rows,
so that after one pass over the data no cost depends on their number. The own parts leave here as well::

    min over e of  |y - X B s - X e|^2 / 2 + alpha_own/2 |e|^2  =  |K^-1/2 (y - X B s)|^2 / 2,
    K = 1 + X X' / alpha_own,    e = X' K^-1 (y - X B s) / alpha_own

so that whitening each task's rows by K eliminates e exactly, and what remains is an ordinary problem.
Each function returns the smaller problem and the map of its intercepts back to the user's rows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.linalg import solve_triangular

from skmtl.losses import LOSSES
from skmtl.matrix import FeatureMatrix, column_means, row_chunks
from skmtl.objective import Block, Problem
from skmtl.observations import MatrixObservations
from skmtl.penalties import Penalties
from skmtl.solvers.build import ScaleTargets, deviations_of, regression_scale
from skmtl.solvers.threads import one_blas_thread
from skmtl.tasks import TaskData

#: Row spaces of more rows than this are not formed; that of a sparse X has no more rows than this either, and no more
#: elements per feature.
MAX_ROW_SPACE, _MAX_SPARSE_ROW_SPACE, _SPARSE_SHARE = 5000, 2000, 32
#: Largest entry of a kernel with a diagonal of ones that is worked on as it is: rounding leaves six digits of the ones.
_LARGEST_KERNEL = 1e9
#: Largest ratio of two columns' squares that the kernel of a table may hold.
_LARGEST_RATIO = 1e8
#: Relative size of the diagonal that keeps a Cholesky factor of collinear columns finite.
_JITTER = 1e-13
#: Share of a sum of squares that the mean may have: the variance then loses two of sixteen digits.
_MAX_SHARE = 0.99
#: Share of a sum of squares below which a difference of two such sums is nothing but rounding.
_ROUNDING = 1e-12
#: Tables of fewer elements are copied as they are centred, which costs nothing there and keeps all digits.
_COPIED_ELEMENTS = 1 << 20
#: Observations per feature, on average over the tasks, from which moments of every task pay.
LONG = 1.3
#: Widest sparse X whose dense Gram matrix is formed.
_MAX_SPARSE_WIDTH = 1000


@dataclass(frozen=True)
class Compressed:
    """A problem without intercepts and how to get them back.

    Attributes
    ----------
    problem : Problem
    intercepts : callable
        Maps W (n_features, n_outputs) of the compressed problem to intercepts (n_outputs,).
    """

    problem: Problem
    intercepts: Callable[[NDArray], NDArray]


class SparseDirections:
    """Orthonormal directions in the row space of a centred sparse X, ``(X - 1 centre')' turn``, as an operator.

    Parameters
    ----------
    X : FeatureMatrix of shape (n_rows, n_features)
    turn : ndarray of shape (n_rows, rank)
    """

    def __init__(self, X: FeatureMatrix, turn: NDArray, is_transposed: bool = False):
        self._X, self._turn, self._is_transposed = X, turn, is_transposed

    @property
    def T(self) -> SparseDirections:
        return SparseDirections(self._X, self._turn, not self._is_transposed)

    def __matmul__(self, columns: NDArray) -> NDArray:
        if columns.ndim == 1:
            return (self @ columns[:, np.newaxis])[:, 0]
        if self._is_transposed:
            return self._turn.T @ self._X.times(columns)
        return self._X.transposed_times(self._turn @ columns)


def is_wide(data: TaskData) -> bool:
    """Whether X has fewer rows than columns, and its row space is worth its price.

    Steps in the row space of a sparse X, which is dense, cost the square of the number of rows, those outside some
    passes over all coefficients; and it is known by its kernel only, where columns of small numbers drown.
    """
    if not sparse.issparse(data.X):
        return data.n_rows < data.n_features and data.n_rows <= MAX_ROW_SPACE
    is_short = data.n_rows <= _MAX_SPARSE_ROW_SPACE and data.n_rows**2 <= _SPARSE_SHARE * data.n_features
    return is_short and data.n_rows < data.n_features and _survive_squares(FeatureMatrix(data.X))


def _survive_squares(X: FeatureMatrix) -> bool:
    """Whether a kernel of X keeps enough digits of every column: it has half of those of X."""
    squares = X.squared_column_norms(np.ones(X.shape[0]))
    return bool(squares.max(initial=0.0) <= _LARGEST_RATIO * squares[squares > 0].min(initial=np.inf))


def to_row_space(data: TaskData, row_weights: NDArray | None) -> tuple[TaskData, NDArray | SparseDirections, NDArray]:
    """Write an X with fewer rows than columns in an orthonormal basis of its row space.

    Parameters
    ----------
    data : TaskData
    row_weights : ndarray of shape (n_rows,), or None
        Weights of the rows in the means that X is centred by; None for no centring.

    Returns
    -------
    data : TaskData
        With ``X = (X - centre) @ directions``.
    directions : ndarray of shape (n_features, rank), or such an operator where X is sparse
        Coefficients in the user's features are ``directions @`` those found.
    centre : ndarray of shape (n_features,)
    """
    centre = np.zeros(data.n_features) if row_weights is None else column_means(data.X, row_weights)
    X = FeatureMatrix(data.X, centre)
    rows = None if X.is_sparse else data.X - centre
    with one_blas_thread():
        if rows is None or _survive_squares(FeatureMatrix(rows)):
            squares, vectors = np.linalg.eigh(X.row_kernel() if rows is None else rows @ rows.T)
        else:
            vectors, values, right = np.linalg.svd(rows, full_matrices=False)
            kept = values > len(values) * np.finfo(float).eps * max(values[0], 1e-300)
            kept[0] = True
            return replace(data, X=vectors[:, kept] * values[kept]), right[kept].T, centre
    kept = squares > len(squares) * np.finfo(float).eps * max(squares[-1], 1e-300)
    # At least one column, so that a table of constants still has a shape.
    kept[-1] = True
    roots = np.sqrt(np.maximum(squares[kept], 1e-300))
    turn = vectors[:, kept] / roots
    directions = SparseDirections(X, turn) if rows is None else rows.T @ turn
    return replace(data, X=vectors[:, kept] * roots), directions, centre


def is_complete_squared(data: TaskData) -> bool:
    """Whether every task is a regression on every row, with weights per row at most."""
    return (
        data.task_of_row is None
        and all(task.kind == "regression" for task in data.tasks)
        and (data.weights is None or data.weights.ndim == 1)
        and (not sparse.issparse(data.X) or data.n_features <= _MAX_SPARSE_WIDTH)
        and data.is_complete
    )


def is_long(data: TaskData) -> bool:
    """Whether tasks with own rows have clearly more of them than features, so that compression pays."""
    return data.n_rows > LONG * len(data.tasks) * data.n_features


@dataclass(frozen=True)
class Moments:
    """Sums over weighted rows, which say all of complete squared targets; x and y are taken from an origin.

    Attributes
    ----------
    origin : tuple of ndarrays of shape (n_features,) and (n_tasks,)
    total : float
        Sum of the row weights.
    x_sum, y_sum : ndarrays of shape (n_features,) and (n_tasks,)
    gram, cross : ndarrays of shape (n_features, n_features) and (n_features, n_tasks)
        ``sum x x'`` and ``sum x y'``.
    squares : ndarray of shape (n_tasks,)
        ``sum y^2``.
    """

    origin: tuple[NDArray, NDArray]
    total: float
    x_sum: NDArray
    y_sum: NDArray
    gram: NDArray
    cross: NDArray
    squares: NDArray

    def __sub__(self, other: Moments) -> Moments:
        """Without some of the rows, whose moments about the same origin are `other`."""
        return Moments(
            self.origin,
            self.total - other.total,
            self.x_sum - other.x_sum,
            self.y_sum - other.y_sum,
            *self._less(other.gram, other.cross, other.squares),
        )

    def _less(self, gram: NDArray, cross: NDArray, squares: NDArray) -> tuple[NDArray, NDArray, NDArray]:
        """`gram`, `cross` and `squares` less these; zero for columns and targets of which only rounding is left."""
        gram, cross, squares = self.gram - gram, self.cross - cross, self.squares - squares
        no_x = np.diag(gram) <= _ROUNDING * np.diag(self.gram)
        no_y = squares <= _ROUNDING * self.squares
        gram[no_x], gram[:, no_x], cross[no_x], cross[:, no_y], squares[no_y] = 0.0, 0.0, 0.0, 0.0, 0.0
        return gram, cross, squares

    def scaled(self, scales: NDArray) -> Moments:
        """Of the same rows with every feature multiplied by its scale."""
        return replace(
            self,
            origin=(self.origin[0] * scales, self.origin[1]),
            x_sum=self.x_sum * scales,
            gram=self.gram * scales * scales[:, np.newaxis],
            cross=self.cross * scales[:, np.newaxis],
        )

    def orthogonal_rows(self, fit_intercept: bool) -> tuple[NDArray, NDArray, NDArray]:
        """Orthogonal rows that stand for all, their targets, their squared lengths; kept, as own parts ask again."""
        if fit_intercept not in self._orthogonal:
            gram, cross = self.centred()[2:4] if fit_intercept else (self.gram, self.cross)
            rows, targets = factor_moments(gram[np.newaxis], cross[np.newaxis])
            values, vectors = np.linalg.eigh(rows[0] @ rows[0].T)
            self._orthogonal[fit_intercept] = vectors.T @ rows[0], vectors.T @ targets[0], np.maximum(values, 0.0)
        return self._orthogonal[fit_intercept]

    @cached_property
    def _orthogonal(self) -> dict[bool, tuple[NDArray, NDArray, NDArray]]:
        return {}

    @property
    def cancels(self) -> bool:
        """Whether some column has a variance that is small beside its square about the origin."""
        columns = (self.x_sum, np.diag(self.gram)), (self.y_sum, self.squares)
        return any(bool(np.any(sums**2 > _MAX_SHARE * self.total * squares)) for sums, squares in columns)

    @property
    def means(self) -> tuple[NDArray, NDArray]:
        """Of x and y."""
        return self.origin[0] + self.x_sum / self.total, self.origin[1] + self.y_sum / self.total

    def centred(self) -> tuple[NDArray, NDArray, NDArray, NDArray, NDArray]:
        """Means of x and y; gram, cross and squares about them."""
        x, y = self.x_sum / self.total, self.y_sum / self.total
        return (
            *self.means,
            *self._less(np.outer(self.x_sum, x), np.outer(self.x_sum, y), self.y_sum * y),
        )


def complete_moments(data: TaskData, fit_intercept: bool, origin: tuple[NDArray, NDArray] | None = None) -> Moments:
    """Moments of complete targets in one pass over the rows.

    Unless it is given the origin is the mean; zero, which saves a copy of the data, for large or sparse tables where
    variances do not drown in the squares of means.
    """
    ones = np.ones(data.n_rows) if data.weights is None else data.weights
    total = float(ones.sum())
    if origin is not None:
        return _moments_about(origin, data, ones, total)
    if not fit_intercept or sparse.issparse(data.X) or data.X.size > _COPIED_ELEMENTS:
        found = _moments_about((np.zeros(data.n_features), np.zeros(len(data.tasks))), data, ones, total)
        if not fit_intercept or not found.cancels:
            return found
    return _moments_about((column_means(data.X, data.weights), ones @ data.y / total), data, ones, total)


def _moments_about(origin: tuple[NDArray, NDArray], data: TaskData, ones: NDArray, total: float) -> Moments:
    gram, cross, squares = _moments(data, origin[0], origin[1], data.weights)
    x_sum = np.asarray(ones @ data.X).ravel() - total * origin[0]
    return Moments(origin, total, x_sum, ones @ data.y - total * origin[1], gram, cross, squares)


def compress_complete(
    data: TaskData,
    moments: Moments,
    penalties: Penalties,
    fit_intercept: bool,
    scale_targets: ScaleTargets,
    pool_scales: bool,
) -> tuple[Compressed, NDArray]:
    """Complete squared targets: from n rows to at most n_features, and the scale of every task."""
    n_tasks, total = len(data.tasks), moments.total
    means = moments.means[1]
    if fit_intercept:
        centre, target_means, gram, cross, squares = moments.centred()
    else:
        centre, target_means = np.zeros(data.n_features), np.zeros(n_tasks)
        gram, cross, squares = moments.gram, moments.cross, moments.squares
    scales = np.ones(n_tasks)
    if scale_targets is not None:
        # About its mean, whether or not an intercept is fitted.
        deviations = deviations_of(moments.centred()[4], total, means)
        scales = regression_scale(scale_targets, np.arange(n_tasks), deviations, np.nan if pool_scales else None)
    per_task = data.weight_of_tasks / total
    if penalties.has_own:
        rows, targets, values = moments.orthogonal_rows(fit_intercept)
        targets = targets / scales
    else:
        tables = factor_moments(gram[np.newaxis], (cross / scales)[np.newaxis])
        rows, targets = tables[0][0], tables[1][0]
    constant = 0.5 * float(np.sum(per_task * np.maximum(squares / scales**2 - np.sum(targets**2, axis=0), 0.0)))
    weights: NDArray | float = float(per_task[0])
    if penalties.has_own:
        # 1 where a strength is infinite.
        damping = 1.0 / (1.0 + values[:, np.newaxis] * (per_task / penalties.own))
        if np.all(per_task == per_task[0]) and np.ndim(penalties.own) == 0:
            root = np.sqrt(damping[:, :1])
            rows, targets = rows * root, targets * root
        else:
            weights = damping * per_task
    elif not np.all(per_task == per_task[0]):
        weights = np.broadcast_to(per_task, targets.shape).copy()
    observations = MatrixObservations(len(rows), n_tasks)
    block = Block(
        LOSSES["regression"], observations, targets, weights, np.ones(n_tasks), np.arange(n_tasks), slice(0, n_tasks)
    )
    problem = Problem(FeatureMatrix(rows), (block,), replace(penalties, own=np.inf), False, constant)
    return Compressed(problem, lambda W: target_means / scales - centre @ W), scales


def _moments(data: TaskData, centre: NDArray, target_means: NDArray, row_weights: NDArray | None):
    """``X'X``, ``X'Y`` and ``sum y^2`` of the centred, weighted data, in one pass over chunks of rows."""
    if sparse.issparse(data.X):
        ones = np.ones(data.n_rows) if row_weights is None else row_weights
        X = FeatureMatrix(data.X, centre)
        centred = data.y - target_means
        weighted = centred * ones[:, np.newaxis]
        return X.gram(ones), X.transposed_times(weighted), np.einsum("ij,ij->j", centred, weighted)
    if data.X.dtype == np.float64 and row_weights is None and not centre.any() and not target_means.any():
        return data.X.T @ data.X, data.X.T @ data.y, np.einsum("ij,ij->j", data.y, data.y)
    gram = np.zeros((data.n_features, data.n_features))
    moments = np.zeros((data.n_features, data.y.shape[1]))
    squares = np.zeros(data.y.shape[1])
    for rows in row_chunks(data.n_rows, max(data.n_features, 512) // 4):
        chunk = data.X[rows] - centre
        targets = data.y[rows] - target_means
        if row_weights is not None:
            roots = np.sqrt(row_weights[rows])[:, np.newaxis]
            chunk, targets = chunk * roots, targets * roots
        gram += chunk.T @ chunk
        moments += chunk.T @ targets
        squares += np.einsum("ij,ij->j", targets, targets)
    return gram, moments, squares


def factor_moments(grams: NDArray, moments: NDArray) -> tuple[NDArray, NDArray]:
    """Rows R and targets z with ``R'R = gram`` and ``R'z = moments``, for a stack of Gram matrices.

    By Cholesky of the correlations, which the scales of the columns cannot spoil; collinear columns
    are held apart by a diagonal at the level of rounding. Where differences of moments have more of it, by their
    eigenvectors, without those that cannot be told from it.
    """
    scale = np.sqrt(np.einsum("tii->ti", grams))
    scale = np.where(scale > 0, scale, 1.0)
    correlations = grams / scale[:, :, np.newaxis]
    correlations /= scale[:, np.newaxis]
    diagonal = np.einsum("tii->ti", correlations)
    diagonal[...] = np.where(diagonal > 0, diagonal, 1.0) + _JITTER * grams.shape[1]
    right = moments / scale[:, :, np.newaxis]
    try:
        lower = np.linalg.cholesky(correlations)
    except np.linalg.LinAlgError:
        values, vectors = np.linalg.eigh(correlations)
        roots = np.sqrt(np.where(values > -2.0 * values[:, :1], np.maximum(values, 0.0), 0.0))[:, :, np.newaxis]
        turned = np.swapaxes(vectors, 1, 2)
        rows = roots * turned * scale[:, np.newaxis]
        inverses = np.divide(1.0, roots, out=np.zeros_like(roots), where=roots > 0)
        targets = inverses * (turned @ right)
    else:
        if len(lower) == 1:
            targets = solve_triangular(lower[0], right[0], lower=True)[np.newaxis]
        else:
            targets = np.linalg.solve(lower, right)
        lower *= scale[:, :, np.newaxis]
        rows = np.swapaxes(lower, 1, 2)
    # A constant column has been given a unit diagonal; its row must not reach the data.
    rows *= (np.einsum("tii->ti", grams) > 0)[:, np.newaxis]
    return rows, targets


def whiten(rows: NDArray, targets: NDArray, offsets: NDArray, strengths: NDArray) -> tuple[NDArray, NDArray]:
    """Multiply every task's rows, and columns beside them, by ``K^-1/2``; tasks of equal size go together."""
    rows, targets, d = rows.copy(), targets.copy(), rows.shape[1]
    sizes = np.diff(offsets)
    for size in np.unique(sizes):
        # Tasks without an own part stay as they are.
        here = (sizes == size) & np.isfinite(strengths)
        places, ridges = offsets[:-1][here][:, np.newaxis] + np.arange(size), strengths[here]
        # About 100 MB of kernels at a time.
        step = max(1, int(1.2e7 // size**2))
        for start in range(0, len(places), step):
            part = places[start : start + step]
            stack = np.concatenate([rows[part], targets[part]], axis=2)
            kernel = stack[:, :, :d] @ np.swapaxes(stack[:, :, :d], 1, 2)
            kernel /= ridges[start : start + step, np.newaxis, np.newaxis]
            kernel += np.eye(size)
            stack = _whitened(kernel, stack, ridges[start : start + step], d)
            rows[part], targets[part] = stack[:, :, :d], stack[:, :, d:]
    return rows, targets


def _whitened(kernel: NDArray, stack: NDArray, ridges: NDArray, d: int) -> NDArray:
    """``K^-1/2`` times rows and, from the d-th on, other columns, but for turns; ``K = 1 + rows rows' / ridge``."""
    if np.einsum("tii->ti", kernel).max(initial=0.0) < _LARGEST_KERNEL:
        return np.linalg.solve(np.linalg.cholesky(kernel), stack)
    # The square has lost what the rows say beside their largest column: their singular values have not.
    left, values, right = np.linalg.svd(stack[:, :, :d], full_matrices=False)
    damping = 1.0 / np.sqrt(1.0 + values**2 / ridges[:, np.newaxis])
    rows, targets = (left * (damping * values)[:, np.newaxis]) @ right, stack[:, :, d:]
    inside = np.swapaxes(left, 1, 2) @ targets
    return np.concatenate([rows, targets - left @ ((1.0 - damping)[:, :, np.newaxis] * inside)], axis=2)
