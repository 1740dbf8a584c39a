"""Features of mean zero and standard deviation one, as an operator on narrow matrices; X is not copied."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from skmtl.matrix import FeatureMatrix, column_means, row_chunks

#: A column that varies by less than this share of its size is constant, but for rounding.
_LEAST_SHARE = 1e-12


class StandardisedFeatures:
    """``(X - 1 mean') / deviation``; columns that are constant are zero.

    Parameters
    ----------
    X : ndarray or CSR of shape (n_rows, n_features)
    row_weights : ndarray of shape (n_rows,)
        Of mean and deviation.

    Attributes
    ----------
    mean : ndarray of shape (n_features,)
    scale : ndarray of shape (n_features,)
        One over the standard deviation, zero for a constant column.
    """

    def __init__(self, X: Any, row_weights: NDArray):
        self.mean = column_means(X, row_weights)
        deviation, size = column_deviations(X, row_weights, self.mean)
        varies = deviation > _LEAST_SHARE * size
        self.scale = np.divide(1.0, deviation, out=np.zeros_like(deviation), where=varies)
        self.matrix = FeatureMatrix(X, self.mean)
        self.shape = self.matrix.shape

    def times(self, columns: NDArray) -> NDArray:
        """The product with columns (n_features, m), shape (n_rows, m)."""
        return self.matrix.times(columns * self.scale[:, np.newaxis])

    def transposed_times(self, columns: NDArray) -> NDArray:
        """The product of the transpose with columns (n_rows, m), shape (n_features, m)."""
        return self.matrix.transposed_times(columns) * self.scale[:, np.newaxis]

    def in_given_features(self, coef: NDArray) -> tuple[NDArray, NDArray]:
        """Coefficients of standardised features as coefficients (n_features, m), and shifts (m,), of X as it is."""
        given = coef * self.scale[:, np.newaxis]
        return given, -(self.mean @ given)


def column_deviations(X: Any, row_weights: NDArray, mean: NDArray) -> tuple[NDArray, NDArray]:
    """Weighted standard deviation, and largest size, of every column; each of shape (n_features,).

    Deviations are squared one by one: squares less the square of the mean would cancel.
    """
    total = row_weights.sum()
    if sparse.issparse(X):
        columns = X.indices
        of_stored = np.repeat(row_weights, np.diff(X.indptr))
        squares = np.bincount(columns, of_stored * (X.data - mean[columns]) ** 2, minlength=X.shape[1])
        stored = np.bincount(columns, of_stored, minlength=X.shape[1])
        size = abs(X).max(axis=0).toarray().ravel() if X.shape[0] else np.zeros(X.shape[1])
        return np.sqrt((squares + np.maximum(total - stored, 0.0) * mean**2) / total), size
    squares, size = np.zeros(X.shape[1]), np.zeros(X.shape[1])
    for rows in row_chunks(*X.shape):
        part = X[rows].astype(np.float64)
        size = np.maximum(size, np.abs(part).max(axis=0))
        part -= mean
        squares += row_weights[rows] @ np.square(part, out=part)
    return np.sqrt(squares / total), size
