"""The table of features as a linear operator: centred, dense or CSR, float64 or float32.

``FeatureMatrix`` stands for ``X - 1 centre'``, centred by algebra: subtracting would copy a dense X and fill a
sparse one. Where rounding would show, in second moments, chunks of rows are centred one at a time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

#: Rows that are worked on at a time where a pass would otherwise need a copy of X.
_CHUNK_ELEMENTS = 1 << 18
#: A dense table of fewer elements than this is worked through faster than the threads of the BLAS are woken.
FEW_ELEMENTS = 1 << 21
#: From this many columns of a table on, its product with few columns is worth two transposed copies of these.
_WIDE = 128
#: Elements of the narrow side that a sparse X reaches into at random: more of them no longer stay in the cache.
_CACHED_ELEMENTS = 1 << 19
#: A column is constant where its deviation is no larger than this share of its mean: the last digits of its values.
_LEAST_DEVIATION = 1e-13


def row_chunks(n_rows: int, n_columns: int) -> list[slice]:
    """Slices of rows that hold about 2 MB of doubles each, so that a chunk stays in the cache."""
    step = max(64, _CHUNK_ELEMENTS // max(n_columns, 1))
    return [slice(start, min(start + step, n_rows)) for start in range(0, n_rows, step)]


def sum_of_squares(values: NDArray) -> float:
    """Of all values, in one pass without a copy: a number only where all of them are numbers."""
    with np.errstate(over="ignore", invalid="ignore"):
        if values.flags.forc and values.size >= FEW_ELEMENTS:
            flat = values.ravel(order="K")
            return float(flat @ flat)
        axes = "ij"[: values.ndim]
        return float(np.einsum(f"{axes},{axes}->", values, values))


def column_means(X, row_weights: NDArray | None = None) -> NDArray:
    """Weighted mean of every column, shape (n_features,)."""
    n_rows = X.shape[0]
    weights = np.ones(n_rows) if row_weights is None else row_weights
    total = weights.sum()
    if sparse.issparse(X) or X.dtype == np.float64:
        return np.asarray(weights @ X).ravel() / total
    sums = sum(weights[rows] @ X[rows].astype(np.float64) for rows in row_chunks(*X.shape))
    return np.asarray(sums / total)


def second_moments(X: NDArray, centre: NDArray | None, row_weights: NDArray) -> NDArray:
    """``(X - centre)' diag(row_weights) (X - centre)`` of a dense X.

    Works on chunks of rows, so that a centred copy of X never exists: centring after the product
    would cancel where a column is far from zero.
    """
    roots = np.sqrt(row_weights)[:, np.newaxis]
    result = np.zeros((X.shape[1], X.shape[1]))
    chunks = row_chunks(X.shape[0], max(X.shape[1], 512) // 4)
    room = np.empty((chunks[0].stop, X.shape[1]))
    for rows in chunks:
        chunk = room[: rows.stop - rows.start]
        np.subtract(X[rows], 0.0 if centre is None else centre, out=chunk)
        chunk *= roots[rows]
        result += chunk.T @ chunk
    return result


def column_deviations(X: Any, row_weights: NDArray) -> NDArray:
    """Weighted standard deviation of every column, zero where it is constant, shape (n_features,).

    About the mean, value by value: columns far from zero keep their digits, and a sparse X stays sparse.
    """
    used = np.flatnonzero(row_weights > 0)
    if len(used) < len(row_weights):
        X, row_weights = X[used], row_weights[used]
    means, total = column_means(X, row_weights), row_weights.sum()
    if sparse.issparse(X):
        n_features, weights = X.shape[1], np.repeat(row_weights, np.diff(X.indptr))
        shifted = X.data - means[X.indices]
        squares = np.bincount(X.indices, weights * shifted**2, n_features)
        # The zeros that are not stored.
        stored = np.bincount(X.indices, minlength=n_features)
        zeros = np.maximum(total - np.bincount(X.indices, weights, n_features), 0.0)
        variances = (squares + np.where(stored < X.shape[0], zeros, 0.0) * means**2) / total
    else:
        sums, squares = np.zeros(X.shape[1]), np.zeros(X.shape[1])
        for rows in row_chunks(*X.shape):
            shifted = X[rows] - means
            sums += row_weights[rows] @ shifted
            squares += np.einsum("i,ij,ij->j", row_weights[rows], shifted, shifted)
        # What rounding left of the mean would pass for a variance.
        variances = np.maximum(squares / total - (sums / total) ** 2, 0.0)
    deviations = np.sqrt(variances)
    return np.where(deviations > _LEAST_DEVIATION * np.abs(means), deviations, 0.0)


def scaled_columns(X: Any, scales: NDArray) -> Any:
    """X with every column multiplied by its scale; CSR stays CSR, and single precision single where it holds them."""
    limits = np.finfo(X.dtype)
    if X.dtype != scales.dtype and scales.min() > limits.tiny and scales.max() < limits.max:
        scales = scales.astype(X.dtype)
    return (X @ sparse.diags(scales)).tocsr() if sparse.issparse(X) else X * scales


def times_narrow(table: NDArray, columns: NDArray) -> NDArray:
    """``table @ columns`` for a long table and few columns, in the row order of the table."""
    if table.shape[1] < _WIDE or columns.shape[1] == 1:
        return table @ columns
    # BLAS packs the long factor badly where the short one comes second: half the speed for five columns.
    return np.ascontiguousarray((np.ascontiguousarray(columns.T) @ table.T).T)


def transposed_times_narrow(table: NDArray, columns: NDArray) -> NDArray:
    """``table.T @ columns`` for a long table and few columns."""
    return np.ascontiguousarray((columns.T @ table).T)


class FeatureMatrix:
    """``X - 1 centre'`` as an operator on narrow matrices, without a copy of X.

    Parameters
    ----------
    X : ndarray or CSR of shape (n_rows, n_features)
    centre : ndarray of shape (n_features,), or None for no centring
    """

    def __init__(self, X, centre: NDArray | None = None):
        self.is_sparse = sparse.issparse(X)
        self.X = X
        self.centre = centre
        self.shape: tuple[int, int] = X.shape
        self._needs_upcast = not self.is_sparse and X.dtype != np.float64
        self.n_passes = 0

    @property
    def n_stored(self) -> int:
        """Doubles that would take as much memory as X does."""
        arrays = (self.X.data, self.X.indices, self.X.indptr) if self.is_sparse else (self.X,)
        return sum(array.nbytes for array in arrays) // 8

    def times(self, columns: NDArray) -> NDArray:
        """``(X - 1 centre') @ columns``, shape (n_rows, n_columns)."""
        self.n_passes += 1
        if self._needs_upcast:
            result = np.empty((self.shape[0], columns.shape[1]))
            for rows in row_chunks(*self.shape):
                result[rows] = times_narrow(self.X[rows].astype(np.float64), columns)
        else:
            result = self._in_narrow_parts(self.X, columns) if self.is_sparse else times_narrow(self.X, columns)
        if self.centre is not None:
            result -= self.centre @ columns
        return result

    def rows_times(self, columns: NDArray) -> Callable[[slice], NDArray]:
        """`times` of a dense X for some rows at a time."""
        self.n_passes += 1
        shift = 0.0 if self.centre is None else self.centre @ columns
        return lambda rows: self.X[rows].astype(np.float64, copy=False) @ columns - shift

    def transposed_times(self, columns: Any) -> NDArray:
        """``(X - 1 centre')' @ columns``, shape (n_features, n_columns)."""
        self.n_passes += 1
        is_narrow = isinstance(columns, np.ndarray)
        if not is_narrow and not self.is_sparse:
            columns = columns.tocsr()  # by rows, so that each row of X is read once
        if self._needs_upcast:
            result = np.zeros((self.shape[1], columns.shape[1]))
            for rows in row_chunks(*self.shape):
                result += self.X[rows].astype(np.float64).T @ columns[rows]
        elif is_narrow and self.is_sparse:
            result = self._in_narrow_parts(self.X.T, columns)
        elif is_narrow:
            result = transposed_times_narrow(self.X, columns)
        else:
            result = self.X.T @ columns
        if not isinstance(result, np.ndarray):  # sparse columns under a sparse X
            result = np.asarray(result.todense())
        if self.centre is not None:
            sums = np.asarray(columns.sum(axis=0)).ravel()
            for part in row_chunks(*result.shape):
                result[part] -= np.outer(self.centre[part], sums)
        return result

    def _in_narrow_parts(self, matrix: Any, columns: NDArray) -> NDArray:
        """The product with a sparse X or its transpose, a few columns at a time.

        The side which is read or written at random has a row for every feature.
        """
        n_parts = -(-columns.shape[1] // max(_CACHED_ELEMENTS // self.shape[1], 4))
        if n_parts <= 1:
            return matrix @ columns
        result = np.empty((matrix.shape[0], columns.shape[1]))
        bounds = np.linspace(0, columns.shape[1], n_parts + 1).astype(int)
        for part in map(slice, bounds[:-1], bounds[1:]):
            result[:, part] = matrix @ np.ascontiguousarray(columns[:, part])
        return result

    def centred(self) -> NDArray:
        """A dense copy in float64, for a dense X."""
        return np.subtract(self.X, 0.0 if self.centre is None else self.centre, dtype=np.float64)

    @property
    def can_be_cut(self) -> bool:
        """Whether `table_products` and `table_sums` may be asked."""
        return not self.is_sparse and not self._needs_upcast and self.X.flags.c_contiguous

    def table_products(self, columns: NDArray) -> NDArray:
        """Of X cut into tables of equal length, one for every column: each table times its column, shape (n_rows,)."""
        tables = self.X.reshape(columns.shape[1], -1, self.shape[1])
        result = (tables @ np.ascontiguousarray(columns.T)[:, :, np.newaxis])[:, :, 0]
        if self.centre is not None:
            result -= (self.centre @ columns)[:, np.newaxis]
        return result.ravel()

    def table_sums(self, values: NDArray) -> NDArray:
        """Of X cut into tables, one for every row of `values`: each ``table' values``, shape (n_features, n_tables)."""
        self.n_passes += 1
        tables = self.X.reshape(*values.shape, self.shape[1])
        result = (values[:, np.newaxis] @ tables)[:, 0].T
        return result if self.centre is None else result - np.outer(self.centre, values.sum(axis=1))

    def row_products(self, rows: NDArray, columns: NDArray, which: NDArray) -> NDArray:
        """``(X - 1 centre')[rows_i] @ columns[:, which_i]`` for every i, shape (n,); never a product per task."""
        result = np.empty(len(rows))
        by_task = np.ascontiguousarray(columns.T)
        if self.is_sparse:
            X = self.X[rows]
            nonzeros = np.repeat(which, np.diff(X.indptr))
            products = np.append(X.data * by_task[nonzeros, X.indices], 0.0)
            result = np.add.reduceat(products, X.indptr[:-1]) * (np.diff(X.indptr) > 0)
            return result if self.centre is None else result - (self.centre @ columns)[which]
        for part in row_chunks(len(rows), self.shape[1]):
            np.einsum("ij,ij->i", self.X[rows[part]], by_task[which[part]], out=result[part])
        return result if self.centre is None else result - (self.centre @ columns)[which]

    def gram(self, row_weights: NDArray) -> NDArray:
        """``(X - 1 centre')' diag(row_weights) (X - 1 centre')``, dense (n_features, n_features)."""
        if not self.is_sparse:
            return second_moments(self.X, self.centre, row_weights)
        scaled = self.X.multiply(row_weights[:, np.newaxis]).tocsr()
        result = (self.X.T @ scaled).toarray()
        if self.centre is not None:
            sums = np.asarray(scaled.sum(axis=0)).ravel()
            total = row_weights.sum()
            result -= np.outer(self.centre, sums) + np.outer(sums, self.centre)
            result += total * np.outer(self.centre, self.centre)
        return result

    def row_kernel(self) -> NDArray:
        """``(X - 1 centre') (X - 1 centre')'`` of a sparse X, dense (n_rows, n_rows)."""
        X = self.X.astype(np.float64, copy=False)
        kernel = (X @ X.T).toarray()
        if self.centre is not None:
            along = self.X @ self.centre
            kernel += float(self.centre @ self.centre) - along[:, np.newaxis] - along
        return kernel

    def squared_column_norms(self, row_weights: NDArray) -> NDArray:
        """Diagonal of `gram`, without the rest of it."""
        if self.is_sparse:
            squares = type(self.X)((self.X.data**2, self.X.indices, self.X.indptr), shape=self.shape)
        else:
            squares = np.square(self.X, dtype=np.float64)
        result = np.asarray(row_weights @ squares).ravel()
        if self.centre is not None:
            sums = np.asarray(row_weights @ self.X).ravel()
            result += self.centre * (row_weights.sum() * self.centre - 2.0 * sums)
        return np.maximum(result, 0.0)
