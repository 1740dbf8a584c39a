"""Features to a few orthogonal coordinates in which coefficient vectors of different tasks can be compared."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.linalg import LinearOperator, eigsh

from skmtl.matrix import FeatureMatrix, column_means, row_chunks
from skmtl.tasks import TaskData

#: Most coordinates, and most doubles that one Gram matrix per task may take.
_MAX_COORDINATES = 256
_GRAM_ELEMENTS = 1 << 24
#: Up to this size second moments are formed and decomposed in full, beyond the leading part only.
_DENSE_LIMIT = 2000
#: Directions whose variance is below this share of the largest are rounding, not features.
_NEGLIGIBLE = 1e-10
#: Share of its variance below which what a feature varies on the rows of single tasks is rounding.
_CONSTANT = 1e-12
#: Features per row up to which their covariance is taken as the rows have it.
_ENOUGH = 0.1


def feature_coordinates(data: TaskData, whiten: bool) -> NDArray:
    """Principal components of the standardised features, shape (n_rows, n_coordinates).

    Every row counts as often as tasks observe it, about the mean of each task: an intercept per task takes up what is
    constant on its rows, and a direction that is constant on the rows of every task is no coordinate. Where there are
    more directions than ``min(256, sqrt(2**24 / n_tasks))``, those of the largest variance are kept.

    Parameters
    ----------
    data : TaskData
    whiten : bool
        True: coordinates in which the inner product of coefficients is that of X's covariance,
        ``w' Sigma v``. With fewer than ten rows per feature Sigma is shrunk towards its diagonal, the more the fewer
        they are, as far as the rows fail to tell it (Ledoit & Wolf, 2004); with more it is that of the rows, and
        nothing depends on the basis in which the features come. False: those in which it is ``w' v`` for standardised
        features.

    Returns
    -------
    Z : float64 ndarray of shape (n_rows, n_coordinates)
        Squares of a row sum to about n_coordinates if `whiten`, else to about n_features.

    Raises
    ------
    ValueError
        If no feature varies among the rows of any task.
    """
    seen = _seen(data)
    weights = np.ones(data.n_rows) if seen is None else np.asarray(seen.sum(axis=0)).ravel()
    shares = weights / weights.sum()
    X = FeatureMatrix(data.X, column_means(data.X, weights))
    means, sizes = _task_means(seen, X)
    variances, rounding = _variances(X, shares)
    within = variances - sizes @ means**2
    present = within > np.maximum(rounding, _CONSTANT * variances)
    if not present.any():
        raise ValueError(
            f"No feature of X differs between rows with a target (there are {data.n_rows}), so that nothing can be "
            "said of how tasks depend on the features; give more rows, or features that vary."
        )
    inverse = np.where(present, 1.0 / np.sqrt(np.where(present, within, 1.0)), 0.0)
    most = int(min(_MAX_COORDINATES, max(2.0, np.sqrt(_GRAM_ELEMENTS / len(data.tasks)))))
    about = np.sqrt(sizes)[:, np.newaxis] * means * inverse
    variances, directions = _principal_directions(X, shares, inverse, about, most)
    kept = variances > _NEGLIGIBLE * max(variances.max(initial=0.0), 1e-300)
    variances, directions = variances[kept], directions[:, kept]
    directions *= inverse[:, np.newaxis]
    Z = X.times(directions)
    if data.task_of_row is not None:
        Z -= (means @ directions)[data.task_of_row]
    if whiten:
        scarcity = float(np.clip((len(variances) * (shares @ shares) - _ENOUGH) / (1.0 - _ENOUGH), 0.0, 1.0))
        shrinkage = scarcity and scarcity * _shrinkage(Z, shares, variances, int(present.sum()))
        Z /= np.sqrt((1.0 - shrinkage) * variances + shrinkage)
    return Z


def _seen(data: TaskData) -> sparse.csr_matrix | None:
    """Ones where a task observes a row, (n_tasks, n_rows); None where every task observes every row."""
    if data.task_of_row is not None:
        shape = (len(data.tasks), data.n_rows)
        return sparse.csr_matrix((np.ones(data.n_rows), (data.task_of_row, np.arange(data.n_rows))), shape)
    return None if data.is_complete else sparse.csr_matrix(~np.isnan(data.y.T), dtype=np.float64)


def _task_means(seen: sparse.csr_matrix | None, X: FeatureMatrix) -> tuple[NDArray, NDArray]:
    """Means (n_tasks, n_features) of the features over the rows of every task, and its share of all observations."""
    if seen is None:  # one mean, the origin
        return np.zeros((1, X.shape[1])), np.ones(1)
    sizes = np.asarray(seen.sum(axis=1)).ravel()
    return (X.transposed_times(seen.T.tocsr()) / sizes).T, sizes / sizes.sum()


def _variances(X: FeatureMatrix, shares: NDArray) -> tuple[NDArray, NDArray]:
    """Variance of every feature, and below which that is rounding."""
    assert X.centre is not None
    if X.is_sparse:  # centred by algebra, where squares cancel
        return X.squared_column_norms(shares), 1e-14 * X.centre**2
    variances = sum(shares[rows] @ (X.X[rows] - X.centre) ** 2 for rows in row_chunks(*X.shape))
    return np.asarray(variances), 1e-24 * X.centre**2


def _principal_directions(
    X: FeatureMatrix, shares: NDArray, inverse: NDArray, means: NDArray, most: int
) -> tuple[NDArray, NDArray]:
    """Variances (m,), largest first, and orthonormal directions (n_features, m) of the standardised features.

    About `means`, the standardised means of tasks times the roots of their shares.
    """
    n_rows, n_features = X.shape
    if n_features <= _DENSE_LIMIT:
        covariance = X.gram(shares) * inverse * inverse[:, np.newaxis] - means.T @ means
        variances, directions = np.linalg.eigh(covariance)
        return np.maximum(variances[::-1][:most], 0.0), directions[:, ::-1][:, :most]

    def times(v: NDArray) -> NDArray:
        images = shares[:, np.newaxis] * X.times((inverse * v.ravel())[:, np.newaxis])
        return inverse * X.transposed_times(images).ravel() - means.T @ (means @ v.ravel())

    operator = LinearOperator((n_features, n_features), matvec=times, dtype=np.float64)
    # The start vector is fixed: the same data give the same result.
    start = np.ones(n_features) / np.sqrt(n_features)
    variances, directions = eigsh(operator, k=min(most, n_rows - 1), v0=start)
    order = np.argsort(variances)[::-1]
    return np.maximum(variances[order], 0.0), directions[:, order]


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
