"""The tasks that share a subspace with a main task, as far as all labels tell: what `select_tasks` then tests.

A pair of tasks that shares a subspace of two dimensions with the main task shows by the others: those of the same
subspace are far more likely within what these three span, and it was not learned from them. So pairs (and single
tasks, for one dimension) are tried first, by how many others they explain. Where many tasks resemble each other a
little, no two tell: all together are tried too. From the best of them tasks join or leave until each is more likely
within what the other members span than alone, by odds that ask the less of a task the more of the others belong.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from skmtl.relatedness.membership import CLEAR, Membership
from skmtl.relatedness.subspaces import fit_bases

#: Largest dimension of the subspace.
MAX_RANK = 3
#: Tasks, by themselves the likeliest, of which one is in every pair; the starts that go on.
_N_FIRST, _N_STARTS = 12, 6
#: Steps and rounds of those.
_STEPS, _MAX_ROUNDS = 15, 8
#: Multiplications that the pairs may cost together, and doubles that the systems of one batch may take.
_MAX_WORK, _BATCH_ELEMENTS = 1e11, 1 << 22
_MIN_PAIRS, _MAX_PAIRS = 60, 2000
#: Log odds that are asked of a task even where all others belong.
_LEAST = -0.5
#: Rounds of the estimate of how many belong.
_EM_ROUNDS = 30


@dataclass(frozen=True)
class Companions:
    """A main task and those in its subspace.

    Attributes
    ----------
    tasks : intp ndarray of shape (n,)
        Sorted positions; the main task itself among them.
    rank : int
    log_odds : float
        Sum over the tasks; 0 for the main task alone.
    """

    tasks: NDArray
    rank: int
    log_odds: float


def companions(membership: Membership, main: int, candidates: NDArray) -> Companions:
    """The likeliest set of tasks around `main`; itself alone where no other belongs to it."""
    search = _Search(membership, main, candidates)
    best = Companions(np.array([main]), 0, 0.0)
    for rank, members in search.starts():
        best = max(best, search.settle(rank, members), key=lambda one: one.log_odds)
    while 0 < best.rank < min(MAX_RANK, len(best.tasks) - 1):
        larger = search.settle(best.rank + 1, best.tasks)
        if larger.log_odds <= best.log_odds:
            break
        best = larger
    return best


class _Search:
    def __init__(self, membership: Membership, main: int, candidates: NDArray) -> None:
        self.membership, self.main, self.candidates = membership, main, candidates
        self.n_tasks, self.q = membership.data.n_tasks, membership.data.gram.shape[1]

    def starts(self) -> Iterator[tuple[int, NDArray]]:
        """(rank, tasks) to begin at."""
        if not len(self.candidates):
            return
        if len(self.candidates) > 2 and self._work_to_leave_out(len(self.candidates)) <= _MAX_WORK:
            yield 1, np.insert(self.candidates, 0, self.main)
        with_main = np.insert(self.candidates[:, np.newaxis], 0, self.main, axis=1)
        others, own = self._explained(with_main, 1)
        # Where nothing else tells single tasks apart, their own odds do.
        for place in np.lexsort((-own, -others))[:_N_STARTS]:
            yield 1, with_main[place]
        if len(self.candidates) < 2 or self.q < 2:
            return
        first = np.argsort(-own, kind="stable")[:_N_FIRST]
        pairs = {(min(i, j), max(i, j)) for i in first.tolist() for j in range(len(own)) if i != j}
        # Eight steps for each pair: two columns and four products of them per task, and a system of 2 q unknowns.
        work = 8.0 * (12.0 * self.n_tasks * self.q**2 + (2.0 * self.q) ** 3 / 3.0)
        most = int(np.clip(_MAX_WORK / work, _MIN_PAIRS, _MAX_PAIRS))
        likely = sorted(pairs, key=lambda pair: (-own[list(pair)].sum(), pair))[:most]
        triples = np.insert(self.candidates[np.array(likely)], 0, self.main, axis=1)
        others, _ = self._explained(triples, 2)
        for place in np.argsort(-others, kind="stable")[:_N_STARTS]:
            yield 2, triples[place]

    def _explained(self, sets: NDArray, rank: int) -> tuple[NDArray, NDArray]:
        """Clear log odds of the tasks outside every set (n, m), and all those of the tasks inside."""
        outside, inside = np.empty(len(sets)), np.empty(len(sets))
        size = max(1, _BATCH_ELEMENTS // (rank * self.q) ** 2)
        for start in range(0, len(sets), size):
            part = sets[start : start + size]
            places = np.arange(len(part))[:, np.newaxis]
            share = np.zeros((self.n_tasks, len(part)))
            share[part, places] = 1.0
            odds = self.membership.log_odds(fit_bases(self.membership.data, share, rank, self.membership.precision))
            inside[start : start + size] = odds[part, places].sum(axis=1)
            odds[part, places] = 0.0
            outside[start : start + size] = np.maximum(odds[self.candidates] - CLEAR, 0.0).sum(axis=0)
        return outside, inside

    def settle(self, rank: int, members: NDArray) -> Companions:
        """Let tasks join and leave until nothing changes."""
        nobody = Companions(np.array([self.main]), 0, 0.0)
        members = np.sort(members)
        for _ in range(_MAX_ROUNDS):
            share = np.zeros((self.n_tasks, 1))
            share[members] = 1.0
            membership = self.membership
            bases = fit_bases(membership.data, share, rank, membership.precision, _STEPS)
            odds = membership.log_odds(bases)[:, 0]
            odds[members] = self._odds_without(bases, share, members)
            asked = _asked(odds[self.candidates])
            before, belong = members, self.candidates[odds[self.candidates] > asked]
            members = np.union1d(belong, [self.main])
            if len(members) <= rank:
                return nobody
            if np.array_equal(members, before):
                break
        # The main task must be more likely among them, too, or as likely where most of the others belong.
        return Companions(before, rank, float(odds[before].sum())) if odds[self.main] > min(asked, 0.0) else nobody

    def _odds_without(self, bases: NDArray, share: NDArray, members: NDArray) -> NDArray:
        """Log odds of every member in a subspace learned from the others."""
        size = max(1, _BATCH_ELEMENTS // (bases.shape[2] * self.q) ** 2)
        found = []
        for start in range(0, len(members), size):
            part = members[start : start + size]
            each, shares = np.repeat(bases, len(part), axis=0), np.repeat(share, len(part), axis=1)
            found.append(self.membership.log_odds_without(each, shares, part))
        return np.concatenate(found)

    def _work_to_leave_out(self, n: int) -> float:
        """Multiplications by which each of n members is left out of a subspace of one dimension."""
        return 10.0 * n * (6.0 * self.n_tasks * self.q**2 + self.q**3 / 3.0)


def _asked(odds: NDArray) -> float:
    """Log odds from which on a task belongs: clear ones; less where, as far as all tasks tell, most of them do."""
    belong = 0.5
    for _ in range(_EM_ROUNDS):
        belong = (np.sum(expit(odds + logit(belong))) + 0.5) / (len(odds) + 1.0)
    return CLEAR if belong < 0.5 else max(float(-logit(belong)), _LEAST)
