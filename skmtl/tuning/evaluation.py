"""Scores of candidates on the folds, each evaluated once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray

from skmtl.solvers import Solution
from skmtl.tasks import TaskData
from skmtl.tuning.candidates import Candidate
from skmtl.tuning.folds import Fold, keeps_data

#: Share of a score below which two candidates are alike.
_NEGLIGIBLE = 2e-4

#: Score of a fold's solution, and of its tasks (n_tasks,), by its position among the folds: greater is better.
Scorer = Callable[[int, Solution], tuple[float, NDArray]]


@dataclass(frozen=True)
class Outcome:
    """What cross-validation says of one candidate; greater scores are better.

    Attributes
    ----------
    scores : ndarray of shape (n_folds,)
        NaN where a fold judges no task.
    task_scores : ndarray of shape (n_folds, n_tasks)
        NaN where a task is not judged.
    fit_seconds, score_seconds : ndarrays of shape (n_folds,)
    """

    candidate: Candidate
    scores: NDArray
    task_scores: NDArray
    fit_seconds: NDArray
    score_seconds: NDArray

    @property
    def mean(self) -> float:
        return float(np.nanmean(self.scores))


class Evaluation:
    """Outcomes by candidate.

    Parameters
    ----------
    data : TaskData
    folds : list of Fold
    scorer : callable or None
        None: minus the mean held-out loss, in the units of the objective.
    n_jobs : int or None
        Folds worked on at a time, in threads.
    """

    def __init__(self, data: TaskData, folds: Sequence[Fold], scorer: Scorer | None = None, n_jobs: int | None = None):
        self.data, self.folds, self.scorer, self.n_jobs = data, folds, scorer, n_jobs
        self.outcomes: dict[Candidate, Outcome] = {}
        self._keeps_data = keeps_data(data, len(folds))

    def __call__(self, candidates: Sequence[Candidate]) -> None:
        """Evaluate those that are not known yet, in the given order on every fold."""
        new = [candidate for candidate in dict.fromkeys(candidates) if candidate not in self.outcomes]
        if not new:
            return
        by_fold = Parallel(n_jobs=self.n_jobs, prefer="threads")(
            delayed(self._on_fold)(place, new) for place in range(len(self.folds))
        )
        for candidate, results in zip(new, zip(*by_fold, strict=True), strict=True):
            scores, task_scores, fit_seconds, score_seconds = map(np.array, zip(*results, strict=True))
            if np.isnan(scores).all():
                raise ValueError("scoring gives NaN on every fold, which tells no candidate from another.")
            self.outcomes[candidate] = Outcome(candidate, scores, task_scores, fit_seconds, score_seconds)

    @property
    def training_share(self) -> float:
        """Share of the targets that a fold trains on, on average."""
        return float(np.mean([fold.training_share for fold in self.folds]))

    def mean(self, candidate: Candidate) -> float:
        return self.outcomes[candidate].mean

    def best(self, candidates: Sequence[Candidate] | None = None) -> Candidate:
        """The candidate with the greatest mean score; of those that differ by rounding's worth the simplest."""
        known = list(self.outcomes) if candidates is None else candidates
        top = max(map(self.mean, known))
        return min(
            (candidate for candidate in known if not self.is_better(top, self.mean(candidate))),
            key=lambda candidate: candidate.simplicity,
        )

    @staticmethod
    def is_better(one: float, other: float) -> bool:
        """Whether a mean score is greater by more than no data could tell."""
        return one - other > _NEGLIGIBLE * abs(other)

    def is_close(self, one: Candidate, other: Candidate, n_errors: float = 1.0) -> bool:
        """Whether two mean scores differ by no more than `n_errors` standard errors of their difference over folds."""
        difference = self.outcomes[one].scores - self.outcomes[other].scores
        difference = difference[~np.isnan(difference)]
        error = difference.std(ddof=1) / np.sqrt(len(difference)) if len(difference) > 1 else np.inf
        return bool(abs(difference.mean()) <= n_errors * error)

    def on_folds(self, function: Callable[[Fold], Any]) -> list[Any]:
        """The function of every fold."""

        def on_fold(fold: Fold) -> Any:
            result = function(fold)
            self._tidy(fold)
            return result

        return Parallel(n_jobs=self.n_jobs, prefer="threads")(delayed(on_fold)(fold) for fold in self.folds)

    def _on_fold(self, place: int, candidates: Sequence[Candidate]) -> list[tuple[float, NDArray, float, float]]:
        fold, results = self.folds[place], []
        for candidate in candidates:
            began = perf_counter()
            solution = fold.fit(candidate)
            fitted = perf_counter()
            score, task_scores = self._score(place, solution)
            results.append((score, task_scores, fitted - began, perf_counter() - fitted))
        self._tidy(fold)
        return results

    def _score(self, place: int, solution: Solution) -> tuple[float, NDArray]:
        if self.scorer is not None:
            fold = self.folds[place]
            return self.scorer(fold.number, fold.expand(solution))
        sums, weights = self.folds[place].task_losses(solution, len(self.data.tasks))
        judged = weights > 0
        task_scores = -np.divide(sums, weights, out=np.full(len(sums), np.nan), where=judged)
        return -float(sums.sum() / weights.sum()) if judged.any() else np.nan, task_scores

    def _tidy(self, fold: Fold) -> None:
        if not self._keeps_data:
            fold.release()
