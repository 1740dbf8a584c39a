"""The normal posterior of every task's factors given the basis, made from Gram matrices of its scores when asked for.

With the Gram matrix G_t and the prior's covariance ``R R'`` the covariance of task t is ::

    V_t = R (c_t R'G_t R + ridge_t)^-1 R'

where a learned prior has the ridge 1, and the ridge of the fit has R = 1. What acts on the targets as noise does,
``noise^2 inflation``, weakens the likelihood, not the prior: c_t is divided by 1 + inflation. Of all covariances none
is kept: a batch of tasks at a time has theirs, and where one G stands for all tasks its eigenvectors make all of them
diagonal.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from skmtl.solvers.score_grams import ScoreGrams, inverse_roots

#: Of the ridge, relative to the mean trace: a task of fewer rows than factors says nothing about some of them.
_LEAST_RIDGE = 1e-10


@dataclass(frozen=True)
class FactorPosterior:
    """Covariances of the factors of every task, none of them kept.

    Attributes
    ----------
    grams : ScoreGrams
    weights : ndarray of shape (n_tasks,)
        Times G the curvature of a task's part of the objective.
    counts : ndarray of shape (n_tasks,)
        Times that part its negative log-likelihood.
    ridge : float
        Of the objective on the factors, where no prior was learned.
    root : ndarray of shape (k, k), or None
        R of the learned prior.
    k : int
    inflation : ndarray of shape (n_tasks,) or float
    widening : ndarray of shape (n_tasks,)
        Factor on all covariances.
    """

    grams: ScoreGrams
    weights: NDArray
    counts: NDArray
    ridge: float
    root: NDArray | None
    k: int
    widening: NDArray
    inflation: NDArray | float = 0.0

    def variances_along(self, directions: NDArray) -> NDArray:
        """``a' V_t a`` for the columns a of `directions` (k, p), all tasks, shape (n_tasks, p)."""
        tasks = np.arange(len(self.counts))
        diagonal = self._diagonal(tasks)
        if diagonal is not None:
            values, axes = diagonal
            return values @ (axes.T @ directions) ** 2
        result = np.empty((len(tasks), directions.shape[1]))
        for places, roots in self._roots(tasks):
            turned = roots @ directions
            result[places] = np.einsum("tij,tij->tj", turned, turned)
        return result

    def mean_covariance(self, factors: NDArray) -> NDArray:
        """Mean over the tasks of V_t times a factor of each (n_tasks,), shape (k, k)."""
        tasks = np.arange(len(self.counts))
        diagonal = self._diagonal(tasks)
        if diagonal is not None:
            values, axes = diagonal
            return (axes * (factors @ values)) @ axes.T / len(tasks)
        total = np.zeros((self.k, self.k))
        for places, roots in self._roots(tasks):
            rows = roots * np.sqrt(factors[places])[:, np.newaxis, np.newaxis]
            total += np.einsum("tij,til->jl", rows, rows, optimize=True)
        return total / len(tasks)

    def forms(self, scores: NDArray, offsets: NDArray, tasks: NDArray) -> NDArray:
        """``(z - offset_t)' V_t (z - offset_t)`` for rows z of `scores` and some tasks, shape (n_rows, len(tasks)).

        `offsets` has a row for each of all tasks, or one for all.
        """
        diagonal = self._diagonal(tasks) if len(offsets) == 1 else None
        if diagonal is not None:
            values, axes = diagonal
            return ((scores - offsets) @ axes) ** 2 @ values.T
        offsets = np.broadcast_to(offsets, (len(self.counts), self.k))[tasks]
        result = np.empty((len(scores), len(tasks)))
        for places, roots in self._roots(tasks, scores.size):
            turned = (scores - offsets[places, np.newaxis]) @ np.swapaxes(roots, 1, 2)
            result[:, places] = np.einsum("tij,tij->ti", turned, turned).T
        return result

    def _scales(self) -> NDArray:
        """What makes the Gram matrices of all tasks the curvatures of their log-likelihoods, shape (n_tasks,)."""
        return self.weights * self.counts / (1.0 + self.inflation)

    def _strengths(self) -> NDArray:
        """Ridge of the inner system of every task, shape (n_tasks,)."""
        if self.root is not None:
            return np.ones(len(self.counts))
        mean = float(np.sum(self.grams.traces * self.weights * self.counts)) / max(len(self.counts), 1)
        return np.maximum(self.ridge * self.counts, _LEAST_RIDGE * mean + 1e-300)

    def _diagonal(self, tasks: NDArray) -> tuple[NDArray, NDArray] | None:
        """Values (m, k) and axes (k, k) with ``V_t = axes diag(values_t) axes'``, where all tasks have one G."""
        gram = self.grams.shared
        if gram is None:
            return None
        root = np.eye(self.k) if self.root is None else self.root
        values, vectors = np.linalg.eigh(root.T @ gram @ root)
        scales = self._scales()[tasks, np.newaxis]
        inner = scales * np.maximum(values, 0.0) + self._strengths()[tasks, np.newaxis]
        return self.widening[tasks, np.newaxis] / inner, root @ vectors

    def _roots(self, tasks: NDArray, beside: int = 0) -> Iterator[tuple[NDArray, NDArray]]:
        """``V_t = T_t' T_t`` of some tasks, a few at a time: their places in `tasks`, T of shape (m, k, k)."""
        strengths, scales = self._strengths()[tasks], self._scales()[tasks]
        ones = np.arange(self.k)
        for places, grams in self.grams.batches(tasks, beside):
            inner = grams if self.root is None else self.root.T @ grams @ self.root
            inner = inner * scales[places, np.newaxis, np.newaxis]
            inner[:, ones, ones] += strengths[places, np.newaxis]
            roots = inverse_roots(inner, strengths[places])
            roots *= np.sqrt(self.widening[tasks[places], np.newaxis, np.newaxis])
            yield places, roots if self.root is None else roots @ self.root.T
