"""Tasks that the other tasks of their group say nothing about."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from skmtl.relatedness.clustering import Clustering
from skmtl.relatedness.subspaces import Reduced, factors, update_bases, without_own_part
from skmtl.relatedness.task_evidence import TaskEvidence

#: Sizes of own parts beside the subspace of the group, as shares of the coefficients that a task would have alone.
_OWN_SHARES = (0.0, 0.2, 1.0)
#: How much more likely its labels must be alone (natural logarithm).
_LEVEL = 1.5
#: Steps that a subspace needs to forget a task, and tasks whose subspaces are held in memory at once.
_STEPS = 10
_BATCH_ELEMENTS = 1 << 22


def loners(evidence: TaskEvidence, own: NDArray, found: Clustering, labels: NDArray, precision: float) -> NDArray:
    """Which tasks are clearly more likely alone than under the subspace that the rest of their group spans.

    A group's subspace is compared as learned without the task, since with it a large enough subspace has room for
    any task.

    Parameters
    ----------
    own : ndarray of shape (n_tasks,)
        Prior variance of the coefficients a task would have alone.
    labels : ndarray of shape (n_tasks,)

    Returns
    -------
    alone : bool ndarray of shape (n_tasks,)
    """
    plain = without_own_part(evidence, np.zeros_like(own))
    variants = [without_own_part(evidence, share * own) for share in _OWN_SHARES]
    no_basis = np.zeros((1, found.bases.shape[1], 1))
    alone = factors(without_own_part(evidence, own), no_basis).log_likelihood[:, 0]
    within = np.empty(len(labels))
    step = max(1, _BATCH_ELEMENTS // (len(labels) * found.bases[0].size))
    for start in range(0, len(labels), step):
        tasks = np.arange(start, min(start + step, len(labels)))
        bases = _without(plain, found.bases[labels[tasks]], labels, tasks, precision)
        likelihoods = [_own_likelihood(one, bases, tasks) for one in variants]
        within[tasks] = logsumexp(likelihoods, axis=0) - np.log(len(variants))
    return alone - within > _LEVEL


def _without(data: Reduced, bases: NDArray, labels: NDArray, tasks: NDArray, precision: float) -> NDArray:
    """For each of `tasks` the basis (q, r) of its group when the task is left out, shape (n, q, r)."""
    share = (labels[:, np.newaxis] == labels[tasks]).astype(np.float64)
    share[tasks, np.arange(len(tasks))] = 0.0
    for _ in range(_STEPS):
        bases = update_bases(data, factors(data, bases), share, precision)
    return bases


def _own_likelihood(data: Reduced, bases: NDArray, tasks: NDArray) -> NDArray:
    """Log-likelihood of each of `tasks` under its own basis, shape (n,)."""
    return factors(data, bases).log_likelihood[tasks, np.arange(len(tasks))]
