"""Gram matrices of every task's scores: one for all, one for each, or made from scores that take less room.

A task of 20 rows and 80 components has a Gram matrix larger than its scores, and what is asked of it, the degrees of
freedom of a ridge, is told by the smaller one of its rows. Both kinds give them a few tasks at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.lapack import dtrtri

from skmtl.observations import ListedObservations, MatrixObservations, alike
from skmtl.solvers.threads import one_blas_thread

#: Doubles that a batch of tasks may take, so that it stays in the cache.
_BATCH_ELEMENTS = 1 << 18
#: Of a ridge, relative to the mean trace: a strength of zero needs a system that can be solved all the same.
_LEAST_RIDGE = 1e-12


@dataclass(frozen=True)
class KeptGrams:
    """Gram matrices that stand ready.

    Attributes
    ----------
    grams : ndarray of shape (n_tasks, k, k), or (1, k, k) where all are equal
    """

    grams: NDArray

    @property
    def shared(self) -> NDArray | None:
        """The one of all tasks, shape (k, k)."""
        return self.grams[0] if len(self.grams) == 1 else None

    @property
    def traces(self) -> NDArray:
        """Of every task, or of the one that stands for all."""
        return np.einsum("tii->t", self.grams)

    def batches(self, tasks: NDArray, beside: int = 0) -> Iterator[tuple[NDArray, NDArray]]:
        """Gram matrices of some tasks, a few at a time: their places in `tasks`, (m, k, k).

        `beside` is the number of doubles that the caller needs for every task.
        """
        step = max(1, _BATCH_ELEMENTS // max(self.grams[0].size, beside, 1))
        for start in range(0, len(tasks), step):
            places = np.arange(start, min(start + step, len(tasks)))
            yield places, self.grams[tasks[places]]

    def mean(self, weights: NDArray) -> NDArray:
        """Mean over the tasks of ``w_t G_t``, shape (k, k)."""
        if self.shared is not None:
            return self.shared * np.mean(weights)
        return np.tensordot(weights, self.grams, 1) / len(weights)

    def freedom(self, weights: NDArray, alpha: float) -> NDArray:
        """``tr (w_t G_t + alpha)^-1 w_t G_t`` of every task."""
        if self.grams.shape[1] == 0 or not np.isfinite(alpha):
            return np.zeros(len(weights))
        ridge = max(alpha, _least(self.traces * weights))
        if self.shared is not None:
            values = np.maximum(np.linalg.eigvalsh(self.shared), 0.0) * weights[:, np.newaxis]
            return np.sum(values / (values + ridge), axis=1)
        with one_blas_thread():
            return _freedom(self.batches(np.arange(len(weights))), weights, ridge)


@dataclass(frozen=True)
class KeptScores:
    """Scores of the rows of listed observations, from which Gram matrices are made when they are asked for.

    Attributes
    ----------
    scores : ndarray of shape (n_rows, k)
    rows : int ndarray of shape (n_observations,)
        Sorted by task.
    offsets : int ndarray of shape (n_tasks + 1,)
    roots : ndarray of shape (n_observations,)
        Of the weights.
    means : ndarray of shape (n_tasks, k)
        What the scores of each task are taken about.
    """

    scores: NDArray
    rows: NDArray
    offsets: NDArray
    roots: NDArray
    means: NDArray

    @property
    def shared(self) -> None:
        """There is none for all tasks."""
        return None

    @property
    def traces(self) -> NDArray:
        """Of every task."""
        lengths = np.einsum("ij,ij->i", self.scores, self.scores)
        weights = self.roots**2
        squares = np.add.reduceat(weights * lengths[self.rows], self.offsets[:-1])
        totals = np.add.reduceat(weights, self.offsets[:-1])
        return np.maximum(squares - totals * np.sum(self.means**2, axis=1), 0.0)

    def batches(self, tasks: NDArray, beside: int = 0) -> Iterator[tuple[NDArray, NDArray]]:
        """As those of `KeptGrams`."""
        for places, tables in self._tables(tasks, max(beside, self.scores.shape[1] ** 2)):
            yield places, np.swapaxes(tables, 1, 2) @ tables

    def mean(self, weights: NDArray) -> NDArray:
        """As that of `KeptGrams`."""
        total = np.zeros((self.scores.shape[1],) * 2)
        for places, tables in self._tables(np.arange(len(self.means)), 0):
            rows = (tables * np.sqrt(weights[places])[:, np.newaxis, np.newaxis]).reshape(-1, len(total))
            total += rows.T @ rows
        return total / len(weights)

    def freedom(self, weights: NDArray, alpha: float) -> NDArray:
        """As that of `KeptGrams`, from the smaller Gram matrices."""
        if not np.isfinite(alpha):
            return np.zeros(len(weights))
        ridge = max(alpha, _least(self.traces * weights))
        with one_blas_thread():
            return _freedom(self._smaller(), weights, ridge)

    def _smaller(self) -> Iterator[tuple[NDArray, NDArray]]:
        """Gram matrices of all tasks, of their rows or columns, whichever are fewer."""
        for places, tables in self._tables(np.arange(len(self.means)), 0):
            turned = np.swapaxes(tables, 1, 2)
            yield places, tables @ turned if tables.shape[1] < tables.shape[2] else turned @ tables

    def _tables(self, tasks: NDArray, beside: int) -> Iterator[tuple[NDArray, NDArray]]:
        """Scores of some tasks about their means, times the roots, padded with zeros: places in `tasks`, tables."""
        k = self.scores.shape[1]
        for places, observations, inside in alike(self.offsets, tasks):
            step = max(1, _BATCH_ELEMENTS // max(observations.shape[1] * k, beside, 1))
            for start in range(0, len(places), step):
                here = slice(start, start + step)
                at = observations[here]
                tables = self.scores[self.rows[at]] - self.means[tasks[places[here]], np.newaxis]
                tables *= (self.roots[at] * inside[here])[:, :, np.newaxis]
                yield places[here], tables


ScoreGrams = KeptGrams | KeptScores


def keep_scores(
    observations: ListedObservations | MatrixObservations, weights: NDArray, scores: NDArray, fit_intercept: bool
) -> tuple[KeptScores, NDArray]:
    """Scores with one weight per observation, and their means by task (n_tasks, k)."""
    if not isinstance(observations, ListedObservations):
        tasks, rows = np.nonzero(weights.T)
        offsets = np.searchsorted(tasks, np.arange(observations.n_tasks + 1))
        weights = weights[rows, tasks]
        observations = ListedObservations(observations.n_rows, rows, offsets)
    means = observations.factor_sums(weights, scores) / observations.task_sums(weights)[:, np.newaxis]
    about = means if fit_intercept else np.zeros_like(means)
    return KeptScores(scores, observations.rows, observations.offsets, np.sqrt(weights), about), means


def is_less_than_grams(n_rows: int, n_observations: int, n_tasks: int, k: int) -> bool:
    """Whether scores, rows and roots take less room than a Gram matrix of every task."""
    return n_rows * k + 1.5 * n_observations < n_tasks * k**2


def inverse_roots(systems: NDArray, least: NDArray) -> NDArray:
    """T with ``T'T = systems^-1`` for positive definite systems (m, s, s), eigenvalues of at least `least` (m,)."""
    try:
        roots = np.linalg.cholesky(systems)
    except np.linalg.LinAlgError:  # `least` drowns in rounding
        values, vectors = np.linalg.eigh(systems)
        return np.swapaxes(vectors / np.sqrt(np.maximum(values, least[:, np.newaxis]))[:, np.newaxis], 1, 2)
    for root in roots if roots.size else ():
        # Transposed, a triangle in the order of LAPACK, which is inverted where it stands.
        root[...] = dtrtri(root.T, overwrite_c=True)[0].T
    return roots


def _least(traces: NDArray) -> float:
    return _LEAST_RIDGE * float(traces.sum()) / max(len(traces), 1) + 1e-300


def _freedom(batches: Iterator[tuple[NDArray, NDArray]], weights: NDArray, ridge: float) -> NDArray:
    """From Gram matrices that may lack zero eigenvalues."""
    freedom = np.empty(len(weights))
    for places, grams in batches:
        size = grams.shape[1]
        systems = grams * weights[places, np.newaxis, np.newaxis]
        systems[:, np.arange(size), np.arange(size)] += ridge
        roots = inverse_roots(systems, np.full(len(systems), ridge))
        freedom[places] = size - ridge * np.einsum("tij,tij->t", roots, roots)
    return freedom
