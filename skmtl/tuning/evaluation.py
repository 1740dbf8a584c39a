"""Scores of candidates on the folds, each evaluated once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from time import perf_counter
from typing import Any

import numpy as np
from joblib import Parallel, delayed, effective_n_jobs
from numpy.typing import NDArray

from skmtl.matrix import FEW_ELEMENTS
from skmtl.solvers import Solution
from skmtl.solvers.threads import one_blas_thread
from skmtl.tasks import TaskData
from skmtl.tuning.candidates import Candidate
from skmtl.tuning.folds import Fold, n_elements, n_kept

#: Elements that a fit works with from which on folds gain from threads: fits to fewer hold the interpreter's lock, and
#: two of them take half as long again as one after the other.
_WORTH_THREADS = 1 << 19
#: Folds, as a share of all and at least, on which a candidate may fall behind.
_FIRST_SHARE, _N_FIRST = 0.4, 2
#: It does where its tasks' scores are lower than those of the best so far by this many standard errors, on at least
#: so many judgements of a task.
_BEHIND, _N_JUDGED = 3.0, 12
#: Standard errors that a further part must win.
_WORTH = 1.0
#: Share of a score below which two candidates are alike.
_NEGLIGIBLE = 2e-4

#: Score of a fold's solution, and of its tasks (n_tasks,), by its position among the folds: greater is better.
Scorer = Callable[[int, Solution], tuple[float, NDArray]]
#: Score of a fold, of its tasks, seconds of fit and score.
Result = tuple[float, NDArray, float, float]


@dataclass(frozen=True)
class Outcome:
    """What cross-validation says of one candidate; greater scores are better.

    Attributes
    ----------
    scores : ndarray of shape (n_folds,)
        NaN where a fold judges no task, and for folds that were left out.
    task_scores : ndarray of shape (n_folds, n_tasks)
        NaN where a task is not judged.
    fit_seconds, score_seconds : ndarrays of shape (n_folds,)
    mean : float
        Mean score. Of a candidate that fell behind another, it is the mean score of that one, less what it fell behind
        on the folds that it was fitted on.
    is_complete : bool
        Whether it was fitted on all folds.
    """

    candidate: Candidate
    scores: NDArray
    task_scores: NDArray
    fit_seconds: NDArray
    score_seconds: NDArray
    mean: float
    is_complete: bool = True


class Evaluation:
    """Outcomes by candidate.

    Parameters
    ----------
    data : TaskData
    folds : list of Fold
    scorer : callable or None
        None: minus the mean held-out loss, in the units of the objective.
    n_jobs : int or None
        Folds worked on at a time, in threads; one after the other where X is small.
    is_race : bool
        Whether a candidate that falls clearly behind the best so far on the first folds is not fitted on the others.
    listener : callable or None
        Called with every outcome as soon as it is there.
    """

    def __init__(
        self,
        data: TaskData,
        folds: Sequence[Fold],
        scorer: Scorer | None = None,
        n_jobs: int | None = None,
        is_race: bool = False,
        listener: Callable[[Outcome], None] | None = None,
    ):
        self.listener = listener
        self.data, self.folds, self.scorer, self.n_jobs, self.is_race = data, folds, scorer, n_jobs, is_race
        self._n_first = max(_N_FIRST, int(np.ceil(_FIRST_SHARE * len(folds)))) if is_race else len(folds)
        self.outcomes: dict[Candidate, Outcome] = {}
        self._released = set(map(id, folds[n_kept(data) :]))

    def __call__(self, candidates: Sequence[Candidate], against: Candidate | None = None) -> None:
        """Evaluate those that are not known yet, in the given order on every fold.

        Candidates that are wanted only where they win something `against` a known one are not fitted on the other
        folds if they win nothing on the first.
        """
        new = [candidate for candidate in dict.fromkeys(candidates) if candidate not in self.outcomes]
        if not self.outcomes or self._n_first >= len(self.folds):
            whole = self._on_folds(new, range(len(self.folds)))
            for candidate, results in zip(new, whole):
                self._keep(self._outcome(candidate, results))
            return
        for candidate in new:
            (first,) = self._on_folds([candidate], range(self._n_first))
            mean = self._behind(first, self.outcomes[self.best()])
            if mean is None and against is not None:
                mean = self._idle(first, self.outcomes[against])
            if mean is None:
                (rest,) = self._on_folds([candidate], range(self._n_first, len(self.folds)))
                self._keep(self._outcome(candidate, [*first, *rest]))
            else:
                outcome = self._outcome(candidate, [*first, *[None] * (len(self.folds) - self._n_first)])
                self._keep(replace(outcome, mean=mean, is_complete=False))

    def _keep(self, outcome: Outcome) -> None:
        self.outcomes[outcome.candidate] = outcome
        if self.listener is not None:
            self.listener(outcome)

    def _on_folds(self, candidates: Sequence[Candidate], places: Sequence[int]) -> list[list[Result]]:
        """Results by candidate and fold."""
        by_fold = self._in_threads([delayed(self._on_fold)(place, candidates) for place in places])
        return [list(results) for results in zip(*by_fold, strict=True)]

    def _in_threads(self, jobs: Sequence[Any]) -> list[Any]:
        """Results of all jobs; several at a time leave the BLAS one thread each, or they would wait for one another."""
        size = n_elements(self.data)
        n_workers = min(effective_n_jobs(self.n_jobs), len(jobs)) if size >= _WORTH_THREADS else 1
        with one_blas_thread(n_workers > 1 or size < FEW_ELEMENTS):
            return Parallel(n_jobs=n_workers, prefer="threads")(jobs)

    def _outcome(self, candidate: Candidate, results: Sequence[Result | None]) -> Outcome:
        left_out = np.nan, np.full(len(self.data.tasks), np.nan), np.nan, np.nan
        scores, task_scores, fit_seconds, score_seconds = map(
            np.array, zip(*(left_out if one is None else one for one in results), strict=True)
        )
        if np.isnan(scores).all():
            raise ValueError("scoring gives NaN on every fold, which tells no candidate from another.")
        return Outcome(candidate, scores, task_scores, fit_seconds, score_seconds, float(np.nanmean(scores)))

    def _behind(self, first: Sequence[Result], best: Outcome) -> float | None:
        """Mean score of a candidate that fell behind the best on the first folds; None where it may still win."""
        n_first = len(first)
        difference = np.array([score for score, *_ in first]) - best.scores[:n_first]
        by_task = np.array([tasks for _, tasks, *_ in first]) - best.task_scores[:n_first]
        judged = ~np.isnan(by_task)
        if np.isnan(difference).any() or judged.sum() < _N_JUDGED:
            return None
        # Each fold's tasks say how sure its difference is.
        squares = [np.var(row[seen]) / seen.sum() for row, seen in zip(by_task, judged, strict=True) if seen.any()]
        is_behind = difference.max() < 0 and difference.sum() < -_BEHIND * np.sqrt(np.sum(squares))
        mean = best.mean + float(difference.mean())
        return mean if is_behind and self.is_better(best.mean, mean) else None

    def _idle(self, first: Sequence[Result], other: Outcome) -> float | None:
        """Mean score of a candidate that wins nothing against another on the first folds; None where it wins."""
        mean = other.mean + float(np.mean([score for score, *_ in first] - other.scores[: len(first)]))
        return mean if other.is_complete and not self.is_better(mean, other.mean) else None

    @cached_property
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

    def worthwhile(self, candidates: Sequence[Candidate] | None = None) -> Candidate:
        """The best candidate without the parts that are not worth their freedom.

        The best of every set of parts (shared, common, own, scales of the features) is compared with the best of all:
        where a part wins less than a standard error, over the folds, the model without it is taken.
        """
        known = list(self.outcomes) if candidates is None else candidates
        best = self.best(known)
        by_parts: dict[tuple, list[Candidate]] = {}
        for candidate in known:
            if self.outcomes[candidate].is_complete:
                by_parts.setdefault((candidate.parts, candidate.feature_prior), []).append(candidate)
        by_parts.pop((best.parts, best.feature_prior), None)
        others = map(self.best, by_parts.values())
        near = [best, *(one for one in others if self.is_close(one, best, _WORTH))]
        return min(near, key=lambda candidate: candidate.simplicity)

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

        return self._in_threads([delayed(on_fold)(fold) for fold in self.folds])

    def _on_fold(self, place: int, candidates: Sequence[Candidate]) -> list[Result]:
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
            score, task_scores = self.scorer(fold.number, fold.expand(solution))
            return _without_unfitted(score, task_scores, fold.tasks)
        sums, weights = self.folds[place].task_losses(solution, len(self.data.tasks))
        judged = weights > 0
        task_scores = -np.divide(sums, weights, out=np.full(len(sums), np.nan), where=judged)
        return -float(sums.sum() / weights.sum()) if judged.any() else np.nan, task_scores

    def _tidy(self, fold: Fold) -> None:
        if id(fold) in self._released:
            fold.release()


def _without_unfitted(score: float, task_scores: NDArray, fitted: NDArray) -> tuple[float, NDArray]:
    """The scores without tasks that sit out a fold, whose coefficients there are zero for want of a fit."""
    if len(fitted) == len(task_scores) or np.isnan(task_scores).all():
        return score, task_scores
    kept = np.full(len(task_scores), np.nan)
    kept[fitted] = task_scores[fitted]
    return (np.nan if np.isnan(kept).all() else float(np.nanmean(kept))), kept
