"""The gauge of a factored model: which of all ``(B R)(R^-1 S)`` has the smallest penalty."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


class Gauge:
    """The penalty ``alpha/2 (tr(B'B N) + tr(S S' N^-1))`` of a basis B, and the N that makes it smallest.

    Parameters
    ----------
    basis_gram : ndarray of shape (m, m)
        ``B'B``.
    alpha : float
    prior : ndarray of shape (m, m), or None
        Fixes N.
    n_ridge : int
        Further columns of the factors, after those of the basis, that bear a plain ridge: own parts.
    """

    def __init__(self, basis_gram: NDArray, alpha: float, prior: NDArray | None, n_ridge: int = 0):
        self.basis_gram, self.alpha, self.n_ridge = basis_gram, alpha, n_ridge
        self._m = len(basis_gram)
        self.k = self._m + n_ridge
        self.is_fixed = prior is not None or not self._m
        self._metric = np.eye(self._m) if prior is None else prior
        self._precision = alpha * _inverse(self._metric)
        self.root, self.inverse_root = _sqrt_and_inverse(basis_gram)

    @property
    def precision(self) -> NDArray:
        """The penalty of factors is ``s' precision s / 2``, shape (k, k)."""
        if not self.n_ridge:
            return self._precision
        whole = np.zeros((self.k, self.k))
        whole[: self._m, : self._m] = self._precision
        places = np.arange(self._m, self.k)
        whole[places, places] = self.alpha
        return whole

    def penalty(self, free: NDArray) -> float:
        """Penalty of factors (n_outputs, k) under the present N."""
        shared = free[:, : self._m]
        of_shared = np.sum((shared.T @ shared) * self._precision)
        return 0.5 * float(self.alpha * np.sum(self.basis_gram * self._metric) + of_shared) + self._ridge(free)

    def best_penalty(self, free: NDArray) -> float:
        """Penalty under the best N: alpha times the trace norm of ``B S``."""
        if self.is_fixed:
            return self.penalty(free)
        squares = np.linalg.eigvalsh(self._turned_gram(free))
        return self.alpha * float(np.sum(np.sqrt(np.maximum(squares, 0.0)))) + self._ridge(free)

    def fit(self, free: NDArray) -> float:
        """Make N the best one for these factors; returns by how much the penalty fell."""
        before = self.penalty(free) - self._ridge(free)
        middle, inverse_middle = _sqrt_and_inverse(self._turned_gram(free))
        if np.trace(middle) <= 0.0:
            return 0.0
        self._metric = self.inverse_root @ middle @ self.inverse_root
        self._precision = self.alpha * (self.root @ inverse_middle @ self.root)
        return before - self.alpha * float(np.trace(middle))

    def balance(self, free: NDArray) -> tuple[NDArray, NDArray]:
        """R with ``R' B'B R = R^-1 S S' R^-T`` diagonal, largest first, and its inverse."""
        if self.is_fixed:
            return np.eye(self._m), np.eye(self._m)
        squares, vectors = np.linalg.eigh(self._turned_gram(free))
        squares, vectors = np.maximum(squares[::-1], 0.0), vectors[:, ::-1]
        quarter = np.maximum(squares, max(1e-24 * squares[0], 1e-300)) ** 0.25
        return self.inverse_root @ (vectors * quarter), (vectors / quarter).T @ self.root

    def _turned_gram(self, free: NDArray) -> NDArray:
        shared = free[:, : self._m]
        return self.root @ (shared.T @ shared) @ self.root

    def _ridge(self, free: NDArray) -> float:
        return 0.5 * self.alpha * float(np.sum(free[:, self._m :] ** 2)) if self.n_ridge else 0.0


def _sqrt_and_inverse(gram: NDArray) -> tuple[NDArray, NDArray]:
    """Symmetric square root of a positive semidefinite matrix and its (pseudo-)inverse."""
    if not len(gram):
        return gram, gram
    values, vectors = np.linalg.eigh(gram)
    root = np.sqrt(np.maximum(values, max(1e-28 * values[-1], 1e-300)))
    return (vectors * root) @ vectors.T, (vectors / root) @ vectors.T


def _inverse(metric: NDArray) -> NDArray:
    """Inverse of a positive definite metric."""
    if not len(metric):
        return metric
    values, vectors = np.linalg.eigh(metric)
    return (vectors / np.maximum(values, 1e-14 * values[-1])) @ vectors.T
