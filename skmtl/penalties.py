"""The ridge penalties of the model and what they become in the dual.

The primal penalty is ``alpha/2 (|B|^2 + |S|^2) + alpha_common/2 |m|^2 + alpha_own/2 |E|^2``. Minimised
over all ways to write ``B S = L`` its first part is ``alpha |L|_*`` (trace norm), whose conjugate bounds
the spectral norm of ``G = -(gradient of the loss in W)``; the two ridges become squares of G.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse.linalg import ArpackError, aslinearoperator, eigsh, svds

from skmtl.intercepts import InterceptRidge

#: Up to this size a Gram matrix is decomposed whole, beyond by Lanczos steps; and the largest one that is formed.
_WHOLE_LIMIT, _GRAM_LIMIT = 150, 1500
#: Where nothing ties them.
FREE_INTERCEPTS = InterceptRidge()
#: Power steps after which a bound that they have not passed is compared with the norm itself.
_GLANCES = 8


@dataclass(frozen=True)
class Penalties:
    """Strengths of the three parts; a part that is absent has strength infinity.

    Attributes
    ----------
    shared, common, own : float in (0, inf]
        ``alpha``, ``alpha_common`` and ``alpha_own``.
    own : float or ndarray of shape (n_outputs,)
        As an array, a strength for every output.
    is_group : bool
        Whether ``alpha_own sum_t |E_t|`` (Frobenius norm of each task's own part) stands in place of the ridge.
        Solvers know the ridge only; this decides the certificate.
    intercepts : InterceptRidge
        How the intercepts of the tasks are tied.
    """

    shared: float
    common: float = np.inf
    own: float | NDArray = np.inf
    is_group: bool = False
    intercepts: InterceptRidge = FREE_INTERCEPTS

    @property
    def has_own(self) -> bool:
        """Whether any output has an own part."""
        return bool(np.any(np.isfinite(self.own)))

    @property
    def reference(self) -> float:
        """The strength in whose units the solver works: columns are scaled so that all share it."""
        own = float(self.own.min()) if isinstance(self.own, np.ndarray) else self.own
        return next(strength for strength in (self.shared, self.common, own, 1.0) if math.isfinite(strength))

    @property
    def common_factor(self) -> float:
        """Factor q of the common part written as a column ``m / q`` with penalty `reference`; 0 if absent."""
        return float(np.sqrt(self.reference / self.common))

    @property
    def own_factor(self) -> float | NDArray:
        """As `common_factor`, for the own parts."""
        return np.sqrt(self.reference / self.own)

    def dual_cost(self, gradient: NDArray, shares_common: NDArray) -> float:
        """``|G|_F^2 / (2 alpha_own) + |sum_t G_t|^2 / (2 alpha_common)``, absent parts and a group norm being zero."""
        cost = 0.0
        if self.has_own and not self.is_group:
            cost += float(np.sum(gradient**2 / (2.0 * self.own)))
        if np.isfinite(self.common):
            cost += float(np.sum(gradient[:, shares_common].sum(axis=1) ** 2)) / (2.0 * self.common)
        return cost

    def dual_limit(self, gradient: NDArray, task_norms: NDArray) -> float:
        """Largest c <= 1 for which ``c G`` is in the domain of the conjugates.

        ``c |G|_op <= alpha`` for the trace norm, and ``c |G_t|_F <= alpha_own`` for a group norm on own parts:
        the conjugate of ``alpha_own |E_t|`` is zero up to there and infinite beyond.
        """
        excess = spectral_norm(gradient) / max(self.shared, 1e-300)
        if self.is_group:
            excess = max(excess, float(np.max(task_norms / self.own, initial=0.0)))
        return 1.0 if excess <= 1.0 else 1.0 / excess


def leading_left_vectors(matrix: NDArray, n_vectors: int) -> tuple[NDArray, NDArray]:
    """Leading left singular vectors (rows, n_vectors) and singular values, largest first.

    Through the smaller Gram matrix: a few leading vectors are needed, to no more than square-root precision.
    """
    rows, columns = matrix.shape
    n_vectors = min(n_vectors, rows, columns)
    if min(rows, columns) > _GRAM_LIMIT and _are_few(n_vectors, min(rows, columns)):
        size = float(np.linalg.norm(matrix))  # ARPACK takes values below 1e-11 for zero
        if size == 0.0:
            return np.eye(rows, n_vectors), np.zeros(n_vectors)
        scaled = aslinearoperator(matrix) * (1.0 / size)
        left, values, _ = svds(scaled, k=n_vectors, v0=_lanczos_start(min(rows, columns)))
        order = np.argsort(values)[::-1]
        return left[:, order], values[order] * size
    squares, vectors = _leading_eigenpairs(_smaller_gram(matrix), n_vectors)
    values = np.sqrt(np.maximum(squares, 0.0))
    if rows > columns:
        tiny = values <= 1e-12 * max(values[0], 1e-300)
        vectors = matrix @ (vectors / np.where(tiny, 1.0, values))
        vectors[:, tiny] = 0.0
    return vectors, values


def spectral_norm(matrix: NDArray) -> float:
    """Largest singular value, to full precision."""
    if min(matrix.shape) > _GRAM_LIMIT:
        return float(leading_left_vectors(matrix, 1)[1][0])
    gram = _smaller_gram(matrix)
    found = _few_eigenpairs(gram, 1)
    values = np.linalg.eigvalsh(gram) if found is None else found[0]
    return float(np.sqrt(max(values[-1], 0.0)))


def exceeds(matrix: NDArray, bound: float) -> bool:
    """Whether the largest singular value is above `bound`, without its digits where a glance tells."""
    if np.linalg.norm(matrix) <= bound:
        return False
    # Any |M'u| of a unit vector u is at most the norm.
    along = matrix @ _lanczos_start(matrix.shape[1])
    for _ in range(_GLANCES):
        back = (along / max(float(np.linalg.norm(along)), 1e-300)) @ matrix
        if np.linalg.norm(back) > bound:
            return True
        along = matrix @ back
    return spectral_norm(matrix) > bound


def _smaller_gram(matrix: NDArray) -> NDArray:
    """``M M'`` or ``M'M``, whichever is smaller: their eigenvalues are the squared singular values."""
    return matrix @ matrix.T if matrix.shape[0] <= matrix.shape[1] else matrix.T @ matrix


def _leading_eigenpairs(gram: NDArray, n_vectors: int) -> tuple[NDArray, NDArray]:
    """Eigenvalues (n_vectors,), largest first, and eigenvectors (rows, n_vectors), to full precision."""
    found = _few_eigenpairs(gram, n_vectors)
    squares, vectors = np.linalg.eigh(gram) if found is None else found
    return squares[::-1][:n_vectors], vectors[:, ::-1][:, :n_vectors]


def _few_eigenpairs(gram: NDArray, n_vectors: int) -> tuple[NDArray, NDArray] | None:
    """The leading ones by Lanczos, in ascending order; None where a whole decomposition comes sooner.

    At the optimum the leading singular values of a gradient are all but equal, as many as the rank: Lanczos would
    take thousands of products to tell them apart.
    """
    size = float(np.trace(gram))  # ARPACK takes values below 1e-11 for zero
    if size <= 0 or len(gram) <= _WHOLE_LIMIT or not _are_few(n_vectors, len(gram)):
        return None
    n_products, n_basis = len(gram) // 2, max(2 * n_vectors + 1, 20)
    try:
        squares, vectors = eigsh(
            gram / size, k=n_vectors, v0=_lanczos_start(len(gram)), maxiter=max(n_products // n_basis, 2)
        )
    except ArpackError:
        return None
    order = np.argsort(squares)
    return squares[order] * size, vectors[:, order]


def _are_few(n_vectors: int, size: int) -> bool:
    return n_vectors < size // 10


def _lanczos_start(size: int) -> NDArray:
    """Always the same, so that the same data give the same result, and without a pattern that data could share."""
    return np.random.default_rng(0).standard_normal(size)


def shrink_singular_values(matrix: NDArray, amount: float) -> tuple[NDArray, NDArray, NDArray]:
    """Proximal map of ``amount`` times the trace norm, in factors.

    Through the smaller Gram matrix, several times faster than a singular value decomposition, except where `amount`
    is so small that values near it would drown in the rounding of their squares.

    Returns
    -------
    left, values, right : ndarrays of shape (rows, r), (r,) and (r, columns)
        ``left * values @ right``; positive values only, the largest first.
    """
    rows, columns = matrix.shape
    squares, vectors = np.linalg.eigh(_smaller_gram(matrix))
    largest = np.sqrt(max(squares[-1], 0.0))
    if amount < 1e-5 * largest:
        left, values, right = np.linalg.svd(matrix, full_matrices=False)
        kept = int(np.count_nonzero(values > amount))
        return left[:, :kept], values[:kept] - amount, right[:kept]
    kept = int(np.count_nonzero(squares > amount**2))
    values, vectors = np.sqrt(squares[::-1][:kept]), vectors[:, ::-1][:, :kept]
    if rows <= columns:
        return vectors, values - amount, (vectors / values).T @ matrix
    return matrix @ (vectors / values), values - amount, vectors.T
