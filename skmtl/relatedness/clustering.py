"""The best groups for a given number of groups and rank: expectation maximisation from several starts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import SpectralClustering

from skmtl.relatedness.subspaces import Factors, Reduced, factors, first_bases, update_bases

#: Steps of one start: the first soften the assignment, so that no group settles too early.
_MAX_STEPS = 40
_SOFT_STEPS = 8
_SOFTEST = 3.0
#: A start ends when the log posterior rises by less than this per task.
_TOLERANCE = 1e-3
#: Starts that go on after those.
_N_FINISHED = 2
#: Largest rank of the joint model whose coefficients the starts are read from.
_JOINT_RANK = 10


@dataclass(frozen=True)
class Clustering:
    """Bases, what they make of every task, and how probable that is.

    Attributes
    ----------
    bases : ndarray of shape (n_groups, q, r)
    factors : Factors
    share : ndarray of shape (n_tasks, n_groups)
        Probability that a task is of a group.
    objective : float
        Log posterior.
    """

    bases: NDArray
    factors: Factors
    share: NDArray
    objective: float

    @property
    def labels(self) -> NDArray:
        """The most probable group of every task."""
        return self.factors.log_likelihood.argmax(axis=1)

    def coefficients(self, data: Reduced) -> NDArray:
        """Expected coefficients (n_outputs, q), averaged over the groups that a task may be of, own parts included."""
        of = data.task_of_output
        weighted = self.factors.mean * self.share[of][..., np.newaxis]
        n_groups, q, r = self.bases.shape
        shared = weighted.reshape(len(of), -1) @ self.bases.transpose(0, 2, 1).reshape(n_groups * r, q)
        if not data.own.any():
            return shared
        # The posterior mean of an own part, given the shared one.
        return shared + data.own[of, np.newaxis] * (data.cross - np.einsum("oij,oj->oi", data.gram[of], shared))


def cluster(
    data: Reduced, n_groups: int, rank: int, precision: float, random_state: np.random.RandomState, n_random: int = 2
) -> Clustering:
    """The most probable of several starts: spectral ones and random ones.

    After a few steps only the most promising of them go on.
    """
    if n_groups == 1:
        return _ascend(data, first_bases(data, np.ones((data.n_tasks, 1)), rank), precision, soft=False)
    starts = _starts(data, n_groups, rank, precision, random_state, n_random)
    begun = [_ascend(data, first_bases(data, np.eye(n_groups)[labels], rank), precision, True) for labels in starts]
    begun.sort(key=lambda ascent: -ascent.objective)
    ascents = [_ascend(data, ascent.bases, precision, soft=False) for ascent in begun[:_N_FINISHED]]
    return max(ascents, key=lambda ascent: ascent.objective)


def _ascend(data: Reduced, bases: NDArray, precision: float, soft: bool) -> Clustering:
    """Expectation maximisation: a few steps with softened assignments, or as many as it takes."""
    found = factors(data, bases)
    before = -np.inf
    for step in range(_SOFT_STEPS if soft else _MAX_STEPS):
        softness = max(1.0, _SOFTEST * (1.0 - step / _SOFT_STEPS)) if soft else 1.0
        bases = update_bases(data, found, _shares(found.log_likelihood / softness), precision)
        found = factors(data, bases)
        objective = _log_posterior(found, bases, precision)
        if not soft and objective - before < _TOLERANCE * data.n_tasks:
            break
        before = objective
    return Clustering(bases, found, _shares(found.log_likelihood), _log_posterior(found, bases, precision))


def _shares(log_likelihood: NDArray) -> NDArray:
    """Probability of every group for every task, all groups being as likely beforehand."""
    share = np.exp(log_likelihood - log_likelihood.max(axis=1, keepdims=True))
    return share / share.sum(axis=1, keepdims=True)


def _log_posterior(found: Factors, bases: NDArray, precision: float) -> float:
    most = found.log_likelihood.max(axis=1)
    likelihood = np.sum(most + np.log(np.exp(found.log_likelihood - most[:, np.newaxis]).sum(axis=1)))
    return float(likelihood - 0.5 * precision * np.sum(bases**2))


def _starts(
    data: Reduced, n_groups: int, rank: int, precision: float, random_state: np.random.RandomState, n_random: int
) -> list[NDArray]:
    """First assignments, each of shape (n_tasks,).

    One low-rank model of all tasks takes most of the noise out of their coefficients. Of tasks from independent
    subspaces, the projection onto the row space of the coefficients vanishes between groups (Costeira & Kanade 1998);
    where subspaces overlap or the rank is uncertain, squared correlations are the safer guide. Both are tried.
    """
    of = data.task_of_output
    everyone = first_bases(data, np.ones((data.n_tasks, 1)), min(n_groups * rank, _JOINT_RANK, len(of)))
    coefficients = _ascend(data, everyone, precision, soft=False).coefficients(data)
    directions = coefficients / np.maximum(np.linalg.norm(coefficients, axis=1, keepdims=True), 1e-12)
    left = np.linalg.svd(directions, full_matrices=False)[0][:, : n_groups * rank]
    starts = []
    for vectors in (directions, left):
        likeness = data.of_tasks(data.of_tasks((vectors @ vectors.T) ** 2).T) + 1e-6
        # Clusters are read off the pivots of a QR decomposition (Damle, Minden & Ying 2019): nothing random.
        spectral = SpectralClustering(n_groups, affinity="precomputed", assign_labels="cluster_qr", random_state=0)
        starts.append(spectral.fit_predict(likeness))
    starts += [random_state.randint(n_groups, size=data.n_tasks) for _ in range(n_random)]
    return starts
