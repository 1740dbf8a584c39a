"""Features to a few orthogonal coordinates in which coefficient vectors of different tasks can be compared."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse.linalg import LinearOperator, svds

from skmtl.matrix import FeatureMatrix, column_means, row_chunks
from skmtl.tasks import TaskData

#: Most coordinates, and most doubles that one Gram matrix per task may take.
_MAX_COORDINATES = 256
_GRAM_ELEMENTS = 1 << 24
#: Up to this size second moments are formed and decomposed in full, beyond the leading part only.
_DENSE_LIMIT = 2000
#: Directions whose variance is below this share of the largest are rounding, not features.
_NEGLIGIBLE = 1e-10


def feature_coordinates(data: TaskData, whiten: bool) -> NDArray:
    """Principal components of the standardised features, shape (n_rows, n_coordinates).

    Every row counts as often as tasks observe it. Where there are more directions than
    ``min(256, sqrt(2**24 / n_tasks))``, those of the largest variance are kept.

    Parameters
    ----------
    data : TaskData
    whiten : bool
        True: coordinates in which the inner product of coefficients is that of X's covariance,
        ``w' Sigma v``, with Sigma shrunk towards its diagonal as far as the rows fail to tell it (Ledoit & Wolf,
        2004). False: those in which it is ``w' v`` for standardised features.

    Returns
    -------
    Z : float64 ndarray of shape (n_rows, n_coordinates)
        Squares of a row sum to about n_coordinates if `whiten`, else to about n_features.

    Raises
    ------
    ValueError
        If no feature varies.
    """
    weights = data.row_weights
    centre = column_means(data.X, weights)
    X = FeatureMatrix(data.X, centre)
    deviations, rounding = _deviations(X, weights)
    present = deviations > rounding * np.maximum(np.abs(centre), 1e-300)
    if not present.any():
        raise ValueError(
            f"No feature of X differs between rows with a target (there are {data.n_rows}), so that nothing can be "
            "said of how tasks depend on the features; give more rows, or features that vary."
        )
    inverse = np.where(present, 1.0 / np.where(present, deviations, 1.0), 0.0)
    most = int(min(_MAX_COORDINATES, max(2.0, np.sqrt(_GRAM_ELEMENTS / len(data.tasks)))))
    shares = weights / weights.sum()
    variances, directions = _principal_directions(X, shares, inverse, most)
    kept = variances > _NEGLIGIBLE * max(variances.max(initial=0.0), 1e-300)
    variances, directions = variances[kept], directions[:, kept]
    Z = X.times(directions * inverse[:, np.newaxis])
    if whiten:
        shrinkage = _shrinkage(Z, shares, variances, int(present.sum()))
        Z /= np.sqrt((1.0 - shrinkage) * variances + shrinkage)
    return Z


def _deviations(X: FeatureMatrix, weights: NDArray) -> tuple[NDArray, float]:
    """Standard deviation of every feature, and the share of its mean below which that is rounding."""
    if X.is_sparse:  # centred by algebra, where squares cancel
        return np.sqrt(X.squared_column_norms(weights) / weights.sum()), 1e-7
    squares = sum(weights[rows] @ (X.X[rows] - X.centre) ** 2 for rows in row_chunks(*X.shape))
    return np.sqrt(squares / weights.sum()), 1e-12


def _principal_directions(X: FeatureMatrix, weights: NDArray, inverse: NDArray, most: int) -> tuple[NDArray, NDArray]:
    """Variances (m,), largest first, and orthonormal directions (n_features, m) of the standardised features."""
    n_rows, n_features = X.shape
    if n_features <= _DENSE_LIMIT:
        covariance = X.gram(weights) * inverse * inverse[:, np.newaxis]
        variances, directions = np.linalg.eigh(covariance)
        return np.maximum(variances[::-1][:most], 0.0), directions[:, ::-1][:, :most]
    roots = np.sqrt(weights)[:, np.newaxis]
    operator = LinearOperator(
        X.shape,
        matvec=lambda v: (roots * X.times((inverse * v.ravel())[:, np.newaxis])).ravel(),
        rmatvec=lambda u: inverse * X.transposed_times(roots * u.reshape(-1, 1)).ravel(),
        dtype=np.float64,
    )
    n_kept = min(most, n_rows - 1)
    # The start vector is fixed: the same data give the same result.
    _, values, directions = svds(operator, k=n_kept, v0=np.ones(min(X.shape)) / np.sqrt(min(X.shape)))
    order = np.argsort(values)[::-1]
    return values[order] ** 2, directions[order].T


def _shrinkage(Z: NDArray, weights: NDArray, variances: NDArray, n_features: int) -> float:
    """Share in [0, 1] of the unit matrix in the Ledoit-Wolf estimate of the correlation matrix S of the features.

    ``min(1, sum_i p_i^2 (|z_i|^4 - |S|^2) / |S - I|^2)`` with p the weights of the rows, which add to one, and z_i
    the row in principal components.
    """
    squares = float(np.sum(variances**2))
    distance = squares - 2.0 * float(variances.sum()) + n_features
    if distance <= 0.0:
        return 1.0
    fourth = np.sum(Z**2, axis=1) ** 2
    spread = float(weights**2 @ (fourth - squares))
    return float(np.clip(spread / distance, 0.0, 1.0))
