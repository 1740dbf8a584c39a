"""The Kronecker preconditioner of the basis step: ``(H (x) S S' + alpha)^-1`` through two eigendecompositions.

The exact curvature of the projected objective in B is ``sum_t H_t (x) s_t s_t' + alpha`` with
``H_t = X' U_t X``; all tasks' ``H_t`` are replaced by their mean H. Depending on the width of X, H is
eigendecomposed whole, approximated by its leading eigenvectors and a flat rest, or by its diagonal.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skmtl.matrix import FeatureMatrix
from skmtl.solvers.threads import one_blas_thread

#: Widest X whose Gram matrix is eigendecomposed whole, and the eigenvectors kept beyond. The products of a sparse X
#: cost less than those with many eigenvectors: few are kept up to the width from which on the diagonal has to do.
_MAX_WHOLE, _MAX_WHOLE_SPARSE = 1200, 200
_N_LEADING, _MAX_LEADING_SPARSE = 100, 1200

#: From this many rows on a second thread shortens a decomposition, by a third.
_WORTH_THREADS = 400


@dataclass(frozen=True)
class Preconditioner:
    """``H ~ vectors diag(values) vectors' + rest (1 - vectors vectors')``.

    Attributes
    ----------
    vectors : ndarray of shape (n_features, r), or None where H is taken as diagonal
    values : ndarray of shape (r,)
    rest : float
        Curvature outside the span of `vectors`; unused where that is everything.
    """

    vectors: NDArray | None
    values: NDArray
    rest: float

    @property
    def is_complete(self) -> bool:
        return self.vectors is None or self.vectors.shape[0] == self.vectors.shape[1]

    def spectrum(self, n_features: int) -> NDArray:
        """Eigenvalues of H, the flat rest included, shape (n_features,)."""
        return np.concatenate([self.values, np.full(n_features - len(self.values), self.rest)])

    def relieved(self, strength: float) -> Preconditioner:
        """Of ``H - H (H + strength)^-1 H``: what is left of H when a ridge of this strength fits along."""

        def left(values: NDArray | float) -> Any:
            return values * strength / (values + strength)

        return Preconditioner(self.vectors, left(self.values), left(self.rest))

    def solve(self, gradient: NDArray, factor_gram: NDArray, alpha: float) -> NDArray:
        """``(H (x) factor_gram + alpha)^-1 gradient`` for a gradient of shape (n_features, p)."""
        omega, P = np.linalg.eigh(factor_gram)
        return self.solve_columns(gradient @ P, np.maximum(omega, 0.0), alpha) @ P.T

    def solve_columns(self, gradient: NDArray, omega: NDArray | float, alpha: float) -> NDArray:
        """``(omega_j H + alpha)^-1 gradient_j`` for every column j."""
        if self.vectors is None:
            return gradient / (self.values[:, np.newaxis] * omega + alpha)
        inner = self.vectors.T @ gradient
        scaled = inner / (self.values[:, np.newaxis] * omega + alpha)
        if self.is_complete:
            return self.vectors @ scaled
        outside = 1.0 / (self.rest * omega + alpha)
        return gradient * outside + self.vectors @ (scaled - inner * outside)

    def share_of(self, columns: NDArray, ridge: NDArray | float) -> NDArray:
        """``H (H + ridge)^-1 columns``, with a ridge for every column or one for all."""
        ridges = np.broadcast_to(ridge, columns.shape[1])
        if self.vectors is None:
            return columns * (self.values[:, np.newaxis] / (self.values[:, np.newaxis] + ridges))
        inner = self.vectors.T @ columns
        scaled = inner * (self.values[:, np.newaxis] / (self.values[:, np.newaxis] + ridges))
        if self.is_complete:
            return self.vectors @ scaled
        outside = self.rest / (self.rest + ridges)
        return columns * outside + self.vectors @ (scaled - inner * outside)

    def inverse_root(self, gradient: NDArray, ridge: float) -> NDArray:
        """``(H + ridge)^-1/2 gradient``."""
        if self.vectors is None:
            return gradient / np.sqrt(self.values + ridge)[:, np.newaxis]
        inner = self.vectors.T @ gradient
        scaled = inner / np.sqrt(self.values + ridge)[:, np.newaxis]
        if self.is_complete:
            return self.vectors @ scaled
        outside = 1.0 / np.sqrt(self.rest + ridge)
        return gradient * outside + self.vectors @ (scaled - inner * outside)


def make_preconditioner(
    X: FeatureMatrix, row_weights: NDArray, between: NDArray | None = None, *, tells_noise: bool = False
) -> Preconditioner:
    """Preconditioner for ``H = X' diag(row_weights) X + between``, of the kind that the width of X affords.

    Where it `tells_noise`, degrees of freedom are counted by its eigenvalues, which a flat rest would miscount.
    """
    n_rows, n_features = X.shape
    if n_features <= (_MAX_WHOLE_SPARSE if X.is_sparse and not tells_noise else _MAX_WHOLE):
        gram = X.gram(row_weights)
        with one_blas_thread(n_features < _WORTH_THREADS):  # a chain of narrow steps, unlike the product before
            values, vectors = np.linalg.eigh(gram if between is None else gram + between)
        return Preconditioner(vectors, np.maximum(values, 0.0), 0.0)
    if X.is_sparse and n_features > _MAX_LEADING_SPARSE:
        return Preconditioner(None, X.squared_column_norms(row_weights), 0.0)
    return _leading(X, row_weights, min(_N_LEADING, n_rows, n_features))


def _leading(X: FeatureMatrix, row_weights: NDArray, rank: int) -> Preconditioner:
    """Leading eigenvectors by one randomised subspace iteration (Halko et al. 2011, doi:10.1137/090771806)."""
    # A fixed seed: the preconditioner changes the path to the optimum, not the optimum.
    rng = np.random.default_rng(0)
    weights = row_weights[:, np.newaxis]
    trace = float(X.squared_column_norms(row_weights).sum())
    sketch = X.transposed_times(weights * X.times(rng.standard_normal((X.shape[1], rank))))
    span = np.linalg.qr(sketch)[0]
    projected = np.sqrt(weights) * X.times(span)
    values, vectors = np.linalg.eigh(projected.T @ projected)
    values = np.maximum(values, 0.0)
    rest = max(trace - float(values.sum()), 0.0) / max(X.shape[1] - rank, 1)
    return Preconditioner(span @ vectors, values, rest)
