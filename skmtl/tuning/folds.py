"""The folds: every candidate fitted on the training part, from the fit of a near one, and its held-out losses.

Complete squared targets are seen through moments: those of a training part are the moments of all rows minus those
of the test part, so that all folds together need one pass over the data. Elsewhere a fold works on its rows.

A task whose training part has no target, or lacks one of its classes, sits out the fold: it is neither fitted nor
judged there.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from skmtl.matrix import FeatureMatrix
from skmtl.solvers import (
    Moments,
    Prepared,
    Solution,
    Strengths,
    TaskMoments,
    complete_moments,
    feature_scales,
    formulate,
    has_long_tasks,
    in_given_features,
    in_scaled_features,
    is_complete_squared,
    merge_solutions,
    prepare,
    scaled_data,
    solve_prepared,
    squared_errors,
    task_moments,
    with_learned_prior,
    with_noise,
)
from skmtl.solvers.build import ScaleTargets, make_blocks, output_order
from skmtl.solvers.preconditioner import Preconditioner
from skmtl.tasks import TaskData
from skmtl.tuning.candidates import Candidate

#: A fit on a fold is as exact as held-out losses can tell.
_TOLERANCE = 3e-4
_MAX_ITER = 100
#: Doubles of training data that all folds together keep between candidates.
_KEPT_ELEMENTS = 1 << 27
#: Ranks beyond this are all the same distance from a low one.
_NO_LIMIT = 1000
#: Strengths below this are all the same distance from a strong one.
_LEAST = 1e-9
#: Starts that a fold remembers.
_N_STARTS = 12


@dataclass(frozen=True)
class FitOptions:
    """What the fits of all candidates have in common.

    Attributes
    ----------
    fit_intercept : bool
    scale_targets : {"std", None} or ndarray of shape (n_tasks,)
        "residual" is taken as "std" until the residuals are known.
    """

    fit_intercept: bool
    scale_targets: ScaleTargets


class HeldOut:
    """Test rows of some tasks, and the loss of a solution on them.

    Parameters
    ----------
    data : TaskData
        Of the test rows; every task has a target.
    columns : intp ndarray of shape (n_outputs,)
        Outputs of the solutions that belong to the tasks of `data`.
    scales : ndarray of shape (n_tasks,)
        Units of the targets: a squared error is divided by the square.
    """

    def __init__(self, data: TaskData, columns: NDArray, scales: NDArray):
        self.X = FeatureMatrix(data.X)
        self.blocks, _ = make_blocks(data, None)
        order = output_order(self.blocks, data)
        self.outputs = [columns[order[block.outputs]] for block in self.blocks]
        self.scales = [scales[block.tasks] for block in self.blocks]
        self._weight_per_task = data.weight_per_task

    def losses(self, solution: Solution) -> list[NDArray]:
        """Loss of every observation, block by block, in the units of the objective."""
        return self.losses_at(self.raw(solution))

    def raw(self, solution: Solution) -> list[NDArray]:
        """Linear predictor of every observation, block by block."""
        return [self._raw(solution, block, outputs) for block, outputs in zip(self.blocks, self.outputs, strict=True)]

    def raw_of_heads(self, scores: NDArray, heads: NDArray) -> list[NDArray]:
        """As `raw`, from scores (n_rows, p) of the test rows and heads (n_outputs, p) on them."""
        blocks = zip(self.blocks, self.outputs, strict=True)
        return [block.observations.raw(scores, heads[outputs]) for block, outputs in blocks]

    def losses_at(self, raw: Sequence[NDArray]) -> list[NDArray]:
        """As `losses`, at a linear predictor."""
        return [
            block.loss.evaluate(block.y, one)[0] / block.observations.spread(scale**2)
            for block, one, scale in zip(self.blocks, raw, self.scales, strict=True)
        ]

    def row_sums(self, values: Sequence[NDArray]) -> tuple[NDArray, NDArray]:
        """Weighted sum of `values` over the observations of every row, and the sum of the weights; (n_rows,) each."""
        sums, weights = np.zeros(self.X.shape[0]), np.zeros(self.X.shape[0])
        for block, value in zip(self.blocks, values, strict=True):
            of_observation = np.broadcast_to(block.weights, block.y.shape)
            sums += block.observations.row_totals(of_observation * value)
            weights += block.observations.row_totals(of_observation)
        return sums * self._weight_per_task, weights * self._weight_per_task

    def task_sums(self, values: Sequence[NDArray], n_tasks: int) -> tuple[NDArray, NDArray]:
        """Weighted sum of `values` over the observations of every task, and the sum of the weights."""
        sums, weights = np.zeros(n_tasks), np.zeros(n_tasks)
        for block, value in zip(self.blocks, values, strict=True):
            sums[block.tasks] = block.observations.task_sums(block.weighted(value))
            weights[block.tasks] = block.weight_sums()
        return sums, weights

    def flattened(self, values: Sequence[NDArray]) -> tuple[NDArray, NDArray]:
        """Task and value of every observation, times its weight over the mean weight of the task."""
        tasks, flat = [], []
        for block, value in zip(self.blocks, values, strict=True):
            weights = np.broadcast_to(block.weights, block.y.shape)
            seen = weights > 0
            count = block.observations.task_sums(seen.astype(float))
            relative = weights / block.observations.spread(block.weight_sums() / count)
            task = np.broadcast_to(block.observations.spread(block.tasks), block.y.shape)
            tasks.append(task[seen])
            flat.append((value * relative)[seen])
        return np.concatenate(tasks), np.concatenate(flat)

    def _raw(self, solution: Solution, block: Any, outputs: NDArray) -> NDArray:
        single = block.observations.n_outputs == 1
        if solution.own is not None:
            raw = block.observations.coefficient_raw(self.X, solution.coef[:, outputs])
        else:
            basis, factors = solution.basis[:, : solution.rank], solution.factors[: solution.rank, outputs].T
            if solution.common is not None and single:
                basis = np.concatenate([basis, solution.common[:, np.newaxis]], axis=1)
                factors = np.concatenate([factors, np.ones((len(factors), 1))], axis=1)
            raw = block.observations.raw(self.X.times(basis), factors)
        intercept = solution.intercept[outputs]
        if not single:
            intercept = intercept.reshape(-1, block.observations.n_outputs)
        return raw + block.observations.spread(intercept)


class Fold:
    """One training part and its test part.

    Attributes
    ----------
    number : int
        Among the splits.
    tasks : intp ndarray
        Tasks that are fitted here.
    train_rows, test_rows : intp ndarrays
    """

    def __init__(
        self,
        number: int,
        data: TaskData,
        train_rows: NDArray,
        test_rows: NDArray,
        scales: NDArray,
        options: FitOptions,
        moments: Moments | None,
        test_moments: Moments | None,
    ):
        self._data, self.train_rows, self._options, self._moments = data, train_rows, options, moments
        self._scales, self._test_moments = scales, test_moments
        self.number, self.test_rows = number, test_rows
        self.tasks = trainable_tasks(data, train_rows)
        judged = self.tasks[n_targets(data, test_rows)[self.tasks] > 0]
        self._judged = judged
        self.held_out: HeldOut | None = None
        if len(judged):
            position = np.searchsorted(self.tasks, judged)
            offsets = np.cumsum([0, *(data.tasks[t].n_outputs for t in self.tasks)])
            columns = np.concatenate([np.arange(offsets[p], offsets[p + 1]) for p in position])
            self.held_out = HeldOut(data.take(test_rows, judged), columns, scales[judged])
        self._prepared: dict[tuple, Prepared] = {}
        self._parts: dict[bool, tuple[TaskData, Moments | None]] = {}
        self._task_moments: dict[bool, TaskMoments] = {}
        self._curvature: Preconditioner | None = None
        self._starts: dict[Candidate, Solution] = {}

    @cached_property
    def training_share(self) -> float:
        """Share of the targets of the tasks fitted here that stands in the training part."""
        everything = np.arange(self._data.n_rows)
        trained, all_targets = (n_targets(self._data, rows)[self.tasks] for rows in (self.train_rows, everything))
        return float(trained.sum() / all_targets.sum())

    def fit(self, candidate: Candidate) -> Solution:
        """The candidate's model of the training part, its tasks being `tasks`."""
        solution = solve_prepared(
            self._prepare(candidate),
            n_components=candidate.n_components,
            alpha=candidate.alpha,
            alpha_common=candidate.alpha_common,
            max_iter=_MAX_ITER,
            tol=_TOLERANCE,
            start=self._start(candidate),
            certified=False,
        )
        if candidate.factor_prior == "learned" and solution.rank:
            solution = self.with_prior(candidate, solution)
        if candidate.feature_prior == "learned":
            solution = in_given_features(solution, self._feature_scale)
        if candidate.has_shared and solution.rank:
            empty = np.empty((len(solution.basis), 0))
            self._starts.pop(candidate, None)
            self._starts[candidate] = replace(solution, coef=empty, own=None, basis=solution.basis[:, : solution.rank])
            while len(self._starts) > _N_STARTS:
                del self._starts[next(iter(self._starts))]
        return solution

    def with_prior(self, candidate: Candidate, solution: Solution, share: float = 1.0) -> Solution:
        """The candidate's fit under the ridge with its factors under `share` of the prior that they teach."""
        prepared, (data, moments) = self._prepare(candidate), self._training(candidate)
        strengths = Strengths(
            candidate.alpha, candidate.alpha_common, candidate.alpha_own, alpha_intercept=self._tie(candidate)
        )
        solution, _ = with_noise(data, prepared, solution, strengths.penalties, self._options.fit_intercept, moments)
        formulation = prepared.at(candidate.alpha, candidate.alpha_common)
        return with_learned_prior(data, solution, formulation, share)

    def _training(self, candidate: Candidate) -> tuple[TaskData, Moments | None]:
        """The training part in the features that the candidate sees; moments stand for its rows where there are any."""
        scaled = candidate.feature_prior == "learned"
        if scaled not in self._parts:
            if scaled:
                data, moments = self._training(replace(candidate, feature_prior="ridge"))
                self._parts[True] = (
                    scaled_data(data, self._feature_scale) if moments is None else data,
                    None if moments is None else moments.scaled(self._feature_scale),
                )
            else:
                data = self._data if self._moments is not None else self._data.take(self.train_rows, self.tasks)
                self._parts[False] = data, self._moments
        return self._parts[scaled]

    def _moments_beside_own(self, candidate: Candidate) -> TaskMoments | None:
        """What serves all strengths of own parts on long tasks with gaps."""
        data, scaled = self._training(candidate)[0], candidate.feature_prior == "learned"
        if candidate.alpha_own is None or candidate.alpha_intercept is not None or not has_long_tasks(data):
            return None
        if scaled not in self._task_moments:
            self._task_moments[scaled] = task_moments(data)
        return self._task_moments[scaled]

    @cached_property
    def _feature_scale(self) -> NDArray:
        return feature_scales(*self._training(Candidate(None, np.inf, None, None)))

    def task_losses(self, solution: Solution, n_tasks: int) -> tuple[NDArray, NDArray]:
        """Sums of held-out losses and of weights of every task, zero for tasks that are not judged here."""
        if self._test_moments is not None:
            weights = np.ones(n_tasks) if self._data.task_weights is None else self._data.task_weights
            means = squared_errors(self._test_moments, solution) / self._test_moments.total
            return 0.5 * weights * means / self._scales**2, weights
        sums, weights = np.zeros(n_tasks), np.zeros(n_tasks)
        if self.held_out is not None:
            judged = self.held_out.task_sums(self.held_out.losses(solution), len(self._judged))
            sums[self._judged], weights[self._judged] = judged
        return sums, weights

    def loss_differences(self, one: Solution, other: Solution) -> tuple[NDArray, NDArray]:
        """Task of every held-out observation, and its loss under `one` minus that under `other`.

        Times its weight, whose mean is 1 in every task.
        """
        if self.held_out is None:
            return np.empty(0, dtype=np.intp), np.empty(0)
        pairs = zip(self.held_out.losses(one), self.held_out.losses(other), strict=True)
        tasks, differences = self.held_out.flattened([first - second for first, second in pairs])
        return self._judged[tasks], differences

    def expand(self, solution: Solution) -> Solution:
        """The solution with every task, those that are not fitted here having coefficients of zero."""
        tasks = self._data.tasks
        if len(self.tasks) == len(tasks):
            return solution
        return merge_solutions(tasks, [(self.tasks, solution)])

    def release(self) -> None:
        """Forget the training data that candidates share."""
        self._prepared.clear()
        self._parts.clear()
        self._task_moments.clear()

    def _prepare(self, candidate: Candidate) -> Prepared:
        key = (candidate.alpha_common is None, candidate.alpha_own, candidate.feature_prior, self._tie(candidate))
        if key not in self._prepared:
            # One with and one without own parts serve all neighbours of a candidate.
            for known in [known for known in self._prepared if (known[1] is None) == (key[1] is None)]:
                del self._prepared[known]
            options, scales = self._options, self._options.scale_targets
            data, moments = self._training(candidate)
            prepared = prepare(
                formulate(
                    data,
                    1.0,
                    candidate.alpha_common,
                    candidate.alpha_own,
                    options.fit_intercept,
                    scales[self.tasks] if isinstance(scales, np.ndarray) else scales,
                    moments if moments is not None else self._moments_beside_own(candidate),
                    self._tie(candidate),
                )
            )
            self._prepared[key] = self._with_curvature(prepared, candidate)
        return self._prepared[key]

    def _tie(self, candidate: Candidate) -> float | None:
        """Its `alpha_intercept`; moments of complete targets, of which a row has one, are of a task alone."""
        return None if self._moments is not None else candidate.alpha_intercept

    def _with_curvature(self, prepared: Prepared, candidate: Candidate) -> Prepared:
        """Complete targets have one curvature, which own parts relieve: one decomposition serves all candidates."""
        if self._moments is None or candidate.feature_prior == "learned":
            return prepared
        if self._curvature is None:
            plain = prepared if candidate.alpha_own is None else self._prepare(replace(candidate, alpha_own=None))
            self._curvature = plain.preconditioner
        own = candidate.alpha_own
        return replace(prepared, curvature=self._curvature if own is None else self._curvature.relieved(own))

    def _start(self, candidate: Candidate) -> Solution | None:
        """The fit of the nearest candidate, of which too many components are cut off and too few grow."""

        def distance(known: Candidate) -> float:
            parts = int((known.alpha_common is None) != (candidate.alpha_common is None))
            parts += int((known.alpha_own is None) != (candidate.alpha_own is None))
            parts += int(known.feature_prior != candidate.feature_prior)
            rank = _rank(known) - _rank(candidate)
            change = abs(np.log(max(known.alpha, _LEAST) / max(candidate.alpha, _LEAST)))
            return change + 3.0 * parts + max(-rank, 0.5 * rank)

        if not candidate.has_shared or not self._starts:
            return None
        start = self._starts[min(self._starts, key=distance)]
        return start if candidate.feature_prior == "ridge" else in_scaled_features(start, self._feature_scale)


def make_folds(
    data: TaskData, splits: Iterable[tuple[NDArray, NDArray]], scales: NDArray, options: FitOptions
) -> list[Fold]:
    """The folds of `splits`, pairs of positions (train, test) among the rows of `data`, that can judge a task.

    Raises
    ------
    ValueError
        If there is none.
    """
    pairs = [(np.sort(np.asarray(train)), np.sort(np.asarray(test))) for train, test in splits]
    complete = is_complete_squared(data)
    folds = []
    everyone = np.arange(len(data.tasks))
    total = complete_moments(data, options.fit_intercept) if complete else None
    for number, (train, test) in enumerate(pairs):
        moments = test_moments = None
        if total is not None:
            is_partition = len(train) + len(test) == data.n_rows
            part = data.take(test if is_partition else train, everyone)
            moments = complete_moments(part, options.fit_intercept, total.origin)
            if is_partition:
                # Longer than wide, the test part is judged by its moments too.
                test_moments = moments if len(test) > data.n_features else None
                moments = total - moments
        fold = Fold(number, data, train, test, scales, options, moments, test_moments)
        if fold.held_out is not None:
            folds.append(fold)
    if not folds:
        raise ValueError(
            "No fold can judge a task: each lacks targets, or classes, in the training part, or targets in the test "
            "part of every fold. Give more labels, or fewer folds."
        )
    return folds


def n_kept(data: TaskData) -> int:
    """Number of folds whose training data may stay in memory from one candidate to the next."""
    return int(_KEPT_ELEMENTS // max(n_elements(data), 1))


def n_elements(data: TaskData) -> int:
    """Doubles that the fits on a fold work with, about."""
    X: Any = data.X
    rows = (X.nnz if sparse.issparse(X) else X.size) + data.y.size
    if is_complete_squared(data):
        # Moments stand for the rows.
        return min(rows, data.n_features * (2 * data.n_features + 2 * len(data.tasks)))
    return rows


def _rank(candidate: Candidate) -> float:
    return _NO_LIMIT if candidate.n_components is None else min(candidate.n_components, _NO_LIMIT)


def n_targets(data: TaskData, rows: NDArray) -> NDArray:
    """Targets of every task among some rows, shape (n_tasks,)."""
    if data.task_of_row is not None:
        return np.bincount(data.task_of_row[rows], minlength=len(data.tasks))
    if data.is_complete:
        return np.full(len(data.tasks), len(rows))
    return np.count_nonzero(~np.isnan(data.y[rows]), axis=0)


def trainable_tasks(data: TaskData, rows: NDArray) -> NDArray:
    """Tasks that have a target, and every one of their classes, among the rows."""
    enough = n_targets(data, rows) > 0
    n_classes = np.array([0 if task.classes is None else len(task.classes) for task in data.tasks])
    for code in range(n_classes.max(initial=0)):
        if data.task_of_row is not None:
            seen = np.bincount(data.task_of_row[rows][data.y[rows] == code], minlength=len(data.tasks)) > 0
        else:
            seen = np.any(data.y[rows] == code, axis=0)
        enough &= seen | (code >= n_classes)
    return np.flatnonzero(enough)
