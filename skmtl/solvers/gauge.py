"""The gauge of a factored model: which of all ``(B R)(R^-1 S)`` has the smallest penalty."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


class Gauge:
    """The penalty ``alpha/2 (tr(B'B N) + tr(S S' N^-1))`` of a basis B, and the N that makes it smallest."""

    def __init__(self, basis_gram: NDArray, alpha: float, prior: NDArray | None):
        self.basis_gram, self.alpha, self.k = basis_gram, alpha, len(basis_gram)
        self.is_fixed = prior is not None or not self.k
        self.metric = np.eye(self.k) if prior is None else prior
        self.precision = alpha * _inverse(self.metric)
        self.root, self.inverse_root = _sqrt_and_inverse(basis_gram)

    def penalty(self, free: NDArray) -> float:
        """Penalty of factors (n_outputs, k) under the present N."""
        return 0.5 * float(
            self.alpha * np.sum(self.basis_gram * self.metric) + np.sum((free.T @ free) * self.precision)
        )

    def best_penalty(self, free: NDArray) -> float:
        """Penalty under the best N: alpha times the trace norm of ``B S``."""
        if self.is_fixed:
            return self.penalty(free)
        squares = np.linalg.eigvalsh(self.root @ (free.T @ free) @ self.root)
        return self.alpha * float(np.sum(np.sqrt(np.maximum(squares, 0.0))))

    def fit(self, free: NDArray) -> float:
        """Make N the best one for these factors; returns by how much the penalty fell."""
        before = self.penalty(free)
        middle, inverse_middle = _sqrt_and_inverse(self.root @ (free.T @ free) @ self.root)
        if np.trace(middle) <= 0.0:
            return 0.0
        self.metric = self.inverse_root @ middle @ self.inverse_root
        self.precision = self.alpha * (self.root @ inverse_middle @ self.root)
        return before - self.alpha * float(np.trace(middle))

    def balance(self, free: NDArray) -> tuple[NDArray, NDArray]:
        """R with ``R' B'B R = R^-1 S S' R^-T`` diagonal, largest first, and its inverse."""
        if self.is_fixed:
            return np.eye(self.k), np.eye(self.k)
        squares, vectors = np.linalg.eigh(self.root @ (free.T @ free) @ self.root)
        squares, vectors = np.maximum(squares[::-1], 0.0), vectors[:, ::-1]
        quarter = np.maximum(squares, max(1e-24 * squares[0], 1e-300)) ** 0.25
        return self.inverse_root @ (vectors * quarter), (vectors / quarter).T @ self.root


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
