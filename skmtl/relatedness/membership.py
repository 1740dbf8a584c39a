"""Whether tasks belong to a subspace: how much more likely their labels are within it than alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from skmtl.relatedness.subspaces import factors, update_bases, without_own_part
from skmtl.relatedness.task_evidence import TaskEvidence

#: Log odds from which on an answer is clear: labels four or five times as likely.
CLEAR = 1.5
#: Sizes of own parts beside the subspace, as shares of the coefficients that a task would have alone.
_OWN_SHARES = (0.0, 0.2, 1.0)
#: Steps that a subspace needs to forget a task.
_STEPS = 10


class Membership:
    """The odds of tasks to be within subspaces.

    Parameters
    ----------
    evidence : TaskEvidence
    own : ndarray of shape (n_tasks,)
        Prior variance of the coefficients a task would have alone.
    precision : float
        Prior precision of the bases.
    """

    def __init__(self, evidence: TaskEvidence, own: NDArray, precision: float) -> None:
        self.data = without_own_part(evidence, np.zeros_like(own))
        self.precision = precision
        self._within = [without_own_part(evidence, share * own) for share in _OWN_SHARES]
        nothing = np.zeros((1, evidence.gram.shape[1], 1))
        self._alone = factors(without_own_part(evidence, own), nothing).log_likelihood

    def log_odds(self, bases: NDArray) -> NDArray:
        """Of every task within every one of the bases (n_bases, q, r), shape (n_tasks, n_bases).

        Of a task that a basis was learned from they say too much: a subspace that is large enough has room for any.
        """
        likelihoods = [factors(one, bases).log_likelihood for one in self._within]
        return logsumexp(likelihoods, axis=0) - np.log(len(_OWN_SHARES)) - self._alone

    def log_odds_without(self, bases: NDArray, share: NDArray, tasks: NDArray) -> NDArray:
        """Of each of `tasks` within a basis of its own, learned from others, shape (n,).

        Parameters
        ----------
        bases : ndarray of shape (n, q, r)
            Where each begins.
        share : ndarray of shape (n_tasks, n)
            Tasks that it is learned from; the task itself is left out.
        tasks : intp ndarray of shape (n,)
        """
        share = share.copy()
        share[tasks, np.arange(len(tasks))] = 0.0
        for _ in range(_STEPS):
            bases = update_bases(self.data, factors(self.data, bases), share, self.precision)
        return self.log_odds(bases)[tasks, np.arange(len(tasks))]
