"""Tasks that the other tasks of their group say nothing about."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from skmtl.relatedness.clustering import Clustering
from skmtl.relatedness.membership import CLEAR, Membership
from skmtl.relatedness.task_evidence import TaskEvidence

#: Doubles that the subspaces of the tasks at work take.
_BATCH_ELEMENTS = 1 << 22


def loners(evidence: TaskEvidence, own: NDArray, found: Clustering, labels: NDArray, precision: float) -> NDArray:
    """Which tasks are clearly more likely alone than under the subspace that the rest of their group spans.

    Parameters
    ----------
    own : ndarray of shape (n_tasks,)
        Prior variance of the coefficients a task would have alone.
    labels : ndarray of shape (n_tasks,)

    Returns
    -------
    alone : bool ndarray of shape (n_tasks,)
    """
    membership = Membership(evidence, own, precision)
    odds = np.empty(len(labels))
    step = max(1, _BATCH_ELEMENTS // (len(labels) * found.bases[0].size))
    for start in range(0, len(labels), step):
        tasks = np.arange(start, min(start + step, len(labels)))
        share = (labels[:, np.newaxis] == labels[tasks]).astype(np.float64)
        odds[tasks] = membership.log_odds_without(found.bases[labels[tasks]], share, tasks)
    return odds < -CLEAR
