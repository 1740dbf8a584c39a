"""Networks against the tuned linear model on the same held-out rows, and what the folds found in one table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from skmtl.shared_layer.folds import NetworkOptions
from skmtl.shared_layer.search import Evaluation, Outcome
from skmtl.tuning import Evaluation as LinearEvaluation
from skmtl.tuning import choose

#: Standard errors of the paired differences by which a layer must win.
_WORTH = 1.0


@dataclass(frozen=True)
class LinearCandidate:
    """Linear predictors of the chosen linear model on the test rows, block by block, by the number of the fold."""

    raw: dict[int, list[NDArray]]

    @classmethod
    def of(cls, evaluation: LinearEvaluation) -> LinearCandidate:
        chosen = choose(evaluation, False)
        folds = [fold for fold in evaluation.folds if fold.held_out is not None]
        return cls({fold.number: fold.held_out.raw(fold.fit(chosen)) for fold in folds})  # type: ignore[union-attr]


def wins(evaluation: Evaluation, linear: LinearCandidate, groups: NDArray | None) -> bool:
    """Whether the best networks' loss is lower by a standard error of the paired differences per row, or per group.

    Parameters
    ----------
    groups : intp ndarray of shape (n_rows,), or None
        Rows of one group are one observation.
    """
    differences, labels = [], []
    for fold, losses in zip(evaluation.folds, evaluation.best().row_losses, strict=True):
        if fold.number in linear.raw:
            held_out = fold.held_out()
            of_linear, _ = held_out.row_sums(held_out.losses_at(linear.raw[fold.number]))
            differences.append(of_linear - losses)
            labels.append(fold.test_rows if groups is None else groups[fold.test_rows])
    if not differences:
        return False
    _, places = np.unique(np.concatenate(labels), return_inverse=True)
    by_group = np.bincount(places.reshape(-1), np.concatenate(differences))
    if len(by_group) < 2:
        return False
    return bool(by_group.mean() > _WORTH * by_group.std(ddof=1) / np.sqrt(len(by_group)))


def residual_scales(evaluation: Evaluation, n_tasks: int, scales: NDArray) -> NDArray:
    """Root mean squared held-out residual of every regression task under the best networks, shape (n_tasks,).

    Of other tasks it means nothing. `scales` are the units of the losses. Zero where a task is judged nowhere.
    """
    sums, weights = np.zeros(n_tasks), np.zeros(n_tasks)
    for fold, member in zip(evaluation.folds, evaluation.best().members, strict=True):
        of_fold = fold.losses_of_tasks(member, n_tasks)
        sums += of_fold[0]
        weights += of_fold[1]
    return scales * np.sqrt(2.0 * np.divide(sums, weights, out=np.zeros(n_tasks), where=weights > 0))


def network_results(outcomes: Sequence[Outcome], options: NetworkOptions) -> dict[str, Any]:
    """One entry per candidate, in the order in which they were tried, as scikit-learn's ``cv_results_``."""
    params = [one.params(options) for one in outcomes]
    results: dict[str, Any] = {"params": params}
    for name in params[0]:
        column = np.ma.empty(len(params), dtype=object)
        column[:] = [one[name] for one in params]
        results[f"param_{name}"] = column
    n_folds = max(len(one.members) for one in outcomes)
    scores = -np.array([one.fold_losses(n_folds) for one in outcomes])
    results["mean_fit_time"] = np.array([np.mean(one.seconds) for one in outcomes])
    results["std_fit_time"] = np.array([np.std(one.seconds) for one in outcomes])
    results |= {f"split{fold}_test_score": column for fold, column in enumerate(scores.T)}
    results["mean_test_score"] = -np.array([one.loss for one in outcomes])
    results["std_test_score"] = np.nanstd(scores, axis=1)
    results["rank_test_score"] = rankdata(-results["mean_test_score"], method="min").astype(np.int32)
    return results
