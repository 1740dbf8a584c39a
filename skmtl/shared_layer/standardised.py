"""Features of mean zero and standard deviation one, as an operator on narrow matrices; X is not copied."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from skmtl.matrix import FeatureMatrix, column_deviations, column_means


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
        deviations = column_deviations(X, row_weights)
        varies = deviations > np.finfo(float).tiny
        self.scale = np.divide(1.0, deviations, out=np.zeros_like(deviations), where=varies)
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
