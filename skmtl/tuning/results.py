"""What cross-validation found, in the shape of scikit-learn's ``cv_results_``, and the choice among it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from skmtl.tuning.candidates import Candidate
from skmtl.tuning.evaluation import Evaluation, Outcome


def choose(evaluation: Evaluation, one_standard_error: bool) -> Candidate:
    """The candidate to fit on everything.

    The best of a grid; of a free search the best without parts that are not worth their freedom; with
    `one_standard_error`, the simplest of all candidates within one standard error of the best.
    """
    if not one_standard_error:
        return evaluation.worthwhile() if evaluation.is_race else evaluation.best()
    best = evaluation.best()
    scores = evaluation.outcomes[best].scores
    scores = scores[~np.isnan(scores)]
    error = scores.std(ddof=1) / np.sqrt(len(scores)) if len(scores) > 1 else 0.0
    near = [one for one in evaluation.outcomes if evaluation.mean(one) >= evaluation.mean(best) - error]
    return min(near, key=lambda candidate: candidate.simplicity)


def cv_results(outcomes: Sequence[Outcome], task_names: Sequence, fixed: dict[str, Any]) -> dict[str, Any]:
    """One entry per candidate, in the order in which they were tried; `fixed` parameters are those of all.

    Returns
    -------
    results : dict of {str: ndarray of shape (n_candidates,)}, and "params", a list of dict
        ``param_*``, ``split*_test_score``, ``mean_test_score``, ``std_test_score``, ``rank_test_score``, the
        fit and score times, and for every task ``mean_test_<task>`` and ``std_test_<task>``.
    """
    params = [outcome.candidate.as_dict() | fixed for outcome in outcomes]
    results: dict[str, Any] = {}
    for what in ("fit", "score"):
        seconds = np.array([getattr(outcome, f"{what}_seconds") for outcome in outcomes])
        results[f"mean_{what}_time"], results[f"std_{what}_time"] = np.nanmean(seconds, 1), np.nanstd(seconds, 1)
    for name in params[0]:
        column = np.ma.empty(len(params), dtype=object)
        column[:] = [one[name] for one in params]
        results[f"param_{name}"] = column
    results["params"] = params
    scores = np.array([outcome.scores for outcome in outcomes])
    results |= {f"split{fold}_test_score": column for fold, column in enumerate(scores.T)}
    results["mean_test_score"] = np.array([outcome.mean for outcome in outcomes])
    results["std_test_score"] = np.nanstd(scores, axis=1)
    results["rank_test_score"] = rankdata(-results["mean_test_score"], method="min").astype(np.int32)
    means, deviations = _over_folds(np.array([outcome.task_scores for outcome in outcomes]))
    for t, task in enumerate(task_names):
        results[f"mean_test_{task}"], results[f"std_test_{task}"] = means[:, t], deviations[:, t]
    return results


def _over_folds(scores: NDArray) -> tuple[NDArray, NDArray]:
    """Mean and standard deviation over the folds that judge a task, NaN where none does: (n_candidates, n_tasks)."""
    judged = ~np.isnan(scores)
    counts = np.where(judged.any(axis=1), judged.sum(axis=1), np.nan)
    means = np.where(judged, scores, 0.0).sum(axis=1) / counts
    squares = np.where(judged, (scores - means[:, np.newaxis]) ** 2, 0.0).sum(axis=1) / counts
    return means, np.sqrt(squares)
