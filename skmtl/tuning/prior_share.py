"""How much of a prior learned from the factors is believed where targets are classes or counts.

With many features for every label the basis itself fits the labels. Its scores then separate classes that new rows do
not, and the factors' covariance, estimated on the same rows, is too large: probabilities are overconfident. Rows that
were held out tell.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from skmtl.tasks import TaskData
from skmtl.tuning.candidates import Candidate
from skmtl.tuning.folds import FitOptions, make_folds
from skmtl.tuning.scales import natural_scales

#: Shares that are tried, from the prior as it was learned to the ridge.
_SHARES = (1.0, 0.5, 0.25, 0.1, 0.0)
_N_FOLDS = 3


def prior_share(data: TaskData, candidate: Candidate, options: FitOptions, seed: int = 0) -> float:
    """The share of the learned prior whose held-out loss is the least, mean over tasks; 1 where targets are numbers.

    Also 1 where nothing can be held out.
    """
    if not candidate.has_shared or all(task.kind == "regression" for task in data.tasks):
        return 1.0
    try:
        folds = make_folds(data, _splits(data, seed), natural_scales(data, options).target, options)
    except ValueError:
        return 1.0
    ridge, n_tasks = replace(candidate, factor_prior="ridge"), len(data.tasks)
    sums, weights = np.zeros((len(_SHARES), n_tasks)), np.zeros(n_tasks)
    for fold in folds:
        solution = fold.fit(ridge)
        for place, share in enumerate(_SHARES):
            losses, counts = fold.task_losses(fold.with_prior(ridge, solution, share), n_tasks)
            sums[place] += losses
        weights += counts
        fold.release()
    judged = weights > 0
    return _SHARES[int(np.argmin(np.mean(sums[:, judged] / weights[judged], axis=1)))]


def _splits(data: TaskData, seed: int) -> list[tuple[NDArray, NDArray]]:
    """Shuffled folds; of rows that have one target each, balanced by task and target."""
    order = np.random.RandomState(seed).permutation(data.n_rows)
    if data.task_of_row is not None:
        order = order[np.lexsort((data.y[order], data.task_of_row[order]))]
    elif data.y.shape[1] == 1:
        order = order[np.argsort(data.y[order, 0], kind="stable")]
    fold = np.empty(data.n_rows, dtype=np.intp)
    fold[order] = np.arange(data.n_rows) % _N_FOLDS
    return [(np.flatnonzero(fold != k), np.flatnonzero(fold == k)) for k in range(_N_FOLDS)]
