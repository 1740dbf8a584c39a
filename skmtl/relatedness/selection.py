"""`select_tasks`: which other tasks help a main task, by held-out gain, one after the other."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skmtl.model_selection.shuffled_folds import seed_of
from skmtl.optional import pandas
from skmtl.relatedness.companions import Companions, companions
from skmtl.relatedness.coordinates import feature_coordinates
from skmtl.relatedness.held_out import Fold, folds
from skmtl.relatedness.membership import Membership
from skmtl.relatedness.subspaces import Reduced, factors, fit_bases, without_own_part
from skmtl.relatedness.task_evidence import (
    centre,
    in_order_of_names,
    read_tasks,
    standardised_outputs,
    sum_moments,
)
from skmtl.relatedness.variance import own_variances
from skmtl.relatedness.verbose import say
from skmtl.solvers.threads import has_narrow_set_up, one_blas_thread
from skmtl.targets import listed

_N_FOLDS = 10
#: Size of the tasks' own parts, as a share of the coefficients a task would have alone.
_OWN_SHARE = 0.2
#: Standard errors from which on a gain, or a loss, counts; likelihood and held-out rows must both speak for a task.
_ENOUGH = 0.5
#: Doubles that the systems of one batch of candidates may take.
_BATCH_ELEMENTS = 1 << 22


@dataclass(frozen=True, repr=False)
class TaskSelection:
    """The tasks that help a main task.

    Attributes
    ----------
    main : hashable
    selected : list of hashable
        In the order in which they were found.
    alone : float
        Held-out squared error of the main task by itself, in units of the variance of its target.
    path : list of tuple (task, error, gain, standard_error)
        One per selected task: held-out squared error of the main task with all tasks up to this one; the held-out
        gain, as a share of its error, of the main task over the step before plus that of this task over being
        learned alone; and the standard error of this gain.
    rank : int
        Dimension of the subspace that the tasks share; 0 if no task helps.
    detectable : float
        The gain of one task that would have been told from none: two standard errors of the gain of a task that joins
        the main task alone, in the median of all candidates, in units of the gains in `path`. Where it is large, that
        no task was selected does not mean that none helps. NaN where there is no candidate.
    """

    main: Hashable
    selected: list[Hashable]
    alone: float
    path: list[tuple[Hashable, float, float, float]]
    rank: int
    detectable: float = float("nan")

    def to_frame(self) -> Any:
        """A pandas DataFrame with one row per selected task."""
        pd = pandas()

        return pd.DataFrame(self.path, columns=["task", "error", "gain", "standard_error"])

    def __repr__(self) -> str:
        n = len(self.selected)
        which = f"{n} task{'s' * (n != 1)} that help{'s' * (n == 1)}" if n else "no task that helps"
        lines = [f"TaskSelection: {which} {self.main!r}", f"  alone: held-out error {self.alone:.3f}"]
        lines += [f"  + {task}: {error:.3f} (gain {gain:.3f} ± {se:.3f})" for task, error, gain, se in self.path]
        if not np.isnan(self.detectable):
            lines.append(f"  a task's gain below about {self.detectable:.3f} could not be told from none")
        return "\n".join(lines)


def select_tasks(
    X: Any,
    y: Any,
    main: Hashable,
    *,
    kinds: Any = None,
    task_col: Any = None,
    random_state: Any = None,
    verbose: int = 0,
) -> TaskSelection:
    """Which other tasks help a main task, if learned jointly with it.

    Two steps. By their likelihood, tasks are found that share a subspace with the main task: the labels of each must be
    clearly more likely within what the others span than alone (where most of the tasks belong, as likely). These
    candidates then have to prove themselves on held-out rows: one after the other joins, the clearest gain first, up to
    the last that does not clearly lower the largest sum of gains. What counts is the gain, over being learned alone, of
    the main task and of all that joined: a task that belongs to the others is itself predicted better with them, and
    this is what tells it from one that happens to lower the error of a main task with few labels. Many that resemble it
    a little are found too, though none of them helps by itself. None is selected where the sum is not clearly positive
    (half a standard error), or the gain of the main task is not: its own held-out gain, shrunk to those of the tasks
    that joined, since a few rows say little of it [2]_.

    Parameters
    ----------
    X : array-like or sparse matrix of shape (n_samples, n_features), or dict of {task: such a table}
    y : dict of {task: array-like}, TaskTargets, DataFrame, or array-like of shape (n_samples,) or \
(n_samples, n_tasks)
        Numbers, counts and classes in any mixture. Missing targets are NaN, None, NaT or pandas' NA.
    main : hashable
        Name of the main task; its position where y is an array.
    kinds : dict of {task: kind} or str, default=None
        "regression", "binary", "multiclass" or "count", where it shall not be read off the targets; a string is the
        kind of all tasks.
    task_col : str or int, default=None
        Long form: name or position of the column of X that holds the task of each row.
    random_state : int, RandomState instance or None, default=None
        Seed of the folds; None: 0. A RandomState gives every call a new seed.
    verbose : int, default=0
        1 shows on the standard error what is being done.

    Returns
    -------
    selection : TaskSelection
        With ``selected``, ``path``, ``alone``, ``rank`` and ``to_frame()``.

    Raises
    ------
    ValueError
        If there is no task `main`, and as `fit` of the estimators.

    Notes
    -----
    The models are those of `group_tasks`: coefficients in a shared subspace, with own parts a fifth the size of what a
    task would have alone, in 10-fold cross-validation that leaves out rows of all tasks alike.

    References
    ----------
    .. [1] Standley, T., Zamir, A., Chen, D., Guibas, L., Malik, J. & Savarese, S. (2020). Which tasks should be
           learned together in multi-task learning? Proceedings of the 37th International Conference on Machine
           Learning.
    .. [2] Efron, B. & Morris, C. (1975). Data analysis using Stein's estimator and its generalizations. Journal of
           the American Statistical Association, 70(350), 311-319. :doi:`10.1080/01621459.1975.10479864`

    Examples
    --------
    >>> import numpy as np
    >>> from skmtl import select_tasks
    >>> rng = np.random.RandomState(0)
    >>> X = rng.randn(60, 10)
    >>> coef = rng.randn(10, 6)
    >>> coef[:, [1, 2]] = coef[:, [0]]
    >>> y = X @ coef + 2 * rng.randn(60, 6)
    >>> sorted(select_tasks(X, y, main=0, random_state=0).selected)
    [1, 2]
    """
    data, _ = read_tasks("select_tasks", X, y, kinds, task_col)
    names = [task.name for task in data.tasks]
    if main not in names:
        raise ValueError(f"main must be one of the tasks {listed(names)}, got {main!r}.")
    data, _ = in_order_of_names(data)
    names = [task.name for task in data.tasks]
    with one_blas_thread(has_narrow_set_up(data)):
        outputs = standardised_outputs(data)
        Z = feature_coordinates(data, whiten=False)
        evidence = centre(sum_moments(outputs, Z), outputs.task_of_output)
        row_norm = evidence.row_norm
        say(verbose, f"select_tasks: folds of {len(names)} tasks, {data.n_rows} rows")
        parts = list(folds(data, outputs, Z, min(_N_FOLDS, data.n_rows), seed_of(random_state)))
        trial = _Trial(parts, names.index(main), row_norm)
        membership = Membership(evidence, own_variances(evidence), row_norm)
        found = companions(membership, trial.main, trial.candidates)
        say(verbose, f"select_tasks: {len(found.tasks) - 1} of {len(trial.candidates)} candidates to test on the folds")
        steps = trial.path(found)
        detectable = trial.detectable()
    path = [(names[step.task], step.error, step.gain, step.standard_error) for step in steps]
    rank = steps[-1].rank if steps else 0
    return TaskSelection(main, [task for task, *_ in path], trial.error_alone, path, rank, detectable)


@dataclass(frozen=True)
class _Step:
    """A task that may join."""

    task: int
    rank: int
    error: float
    gain: float
    standard_error: float
    by_fold: NDArray
    main_errors: NDArray

    @property
    def clearness(self) -> float:
        """The gain in standard errors."""
        return self.gain / max(self.standard_error, 1e-12)


class _Trial:
    """What tasks gain on the held-out rows of folds, learned together with a main task."""

    def __init__(self, parts: list[Fold], main: int, row_norm: float) -> None:
        self.parts, self.main, self.row_norm = parts, main, row_norm
        self.of = parts[0].evidence.task_of_output
        self.counts = np.sum([fold.test.count for fold in parts], axis=0)
        self.reduced: list[Reduced] = []
        by_fold = []
        for fold in parts:
            own = own_variances(fold.evidence)
            self.reduced.append(without_own_part(fold.evidence, _OWN_SHARE * own))
            ridge = own[self.of, np.newaxis] * without_own_part(fold.evidence, own).cross
            by_fold.append(self._of_tasks(fold.squared_errors(ridge)))
        #: Squared errors (n_folds, n_tasks) of every task by itself.
        self.alone = np.array(by_fold)
        self.units = np.maximum(self.alone.sum(axis=0), 1e-12)

    @property
    def error_alone(self) -> float:
        return float(self.units[self.main] / self.counts[self.main])

    @property
    def candidates(self) -> NDArray:
        """Tasks that may help: of targets that are all alike nothing is left to be predicted."""
        varies = self._of_tasks(np.sum([fold.test.yy for fold in self.parts], axis=0)) > 0
        others = np.flatnonzero(varies)
        return others[others != self.main] if varies[self.main] else others[:0]

    def _of_tasks(self, per_output: NDArray) -> NDArray:
        """Means over the outputs of a task in the last axis."""
        starts = np.searchsorted(self.of, np.arange(len(self.counts)))
        return np.add.reduceat(per_output, starts, axis=-1) / np.bincount(self.of)

    def path(self, found: Companions) -> list[_Step]:
        """The companions, the clearest gain first, as far as the main task gains; nothing if that is not clear."""
        steps: list[_Step] = []
        left = found.tasks[found.tasks != self.main]
        while len(left):
            steps.append(self._best(steps, left, found.rank))
            left = left[left != steps[-1].task]
        if not steps:
            return []
        together = [self._gains([step.task for step in steps[: i + 1]], step.rank) for i, step in enumerate(steps)]
        sums = np.array([gains.sum(axis=1) for gains in together])
        helps = np.array([gain > _ENOUGH * error for gain, error in map(moderated, together)])
        totals = np.where(helps, sums.sum(axis=1), 0.0)
        best = int(totals.argmax())
        if totals[best] <= _ENOUGH * _error(sums[best]):
            return []
        # Their likelihood spoke for all of them: those stay that do not clearly lower the sum, nor lose by joining.
        kept, since = best, np.zeros(len(self.parts))
        for i in range(best + 1, len(steps)):
            since = since + steps[i].by_fold
            lost = max(sums[best] - sums[i], -since, key=lambda by_fold: by_fold.sum() / max(_error(by_fold), 1e-12))
            if helps[i] and lost.sum() <= _ENOUGH * _error(lost):
                kept = i
        return steps[: kept + 1]

    def _gains(self, others: list[int], rank: int) -> NDArray:
        """What the main task and others gain together, over each alone, shape (n_folds, 1 + n_others)."""
        members = [self.main, *others]
        share = np.zeros((len(self.counts), 1))
        share[members] = 1.0
        errors = np.empty((len(self.parts), len(self.counts)))
        for i, (fold, reduced) in enumerate(zip(self.parts, self.reduced)):
            errors[i] = self._of_tasks(fold.squared_errors(_coefficients(reduced, share, rank, self.row_norm)))[0]
        return ((self.alone - errors) / self.units)[:, members]

    def _best(self, steps: list[_Step], candidates: NDArray, most: int) -> _Step:
        """The candidate of the clearest gain after `steps`, at the better of two ranks."""
        members = [self.main, *(step.task for step in steps)]
        rank = steps[-1].rank if steps else 1
        most = min(most, len(members))
        before = steps[-1].main_errors if steps else self.alone[:, self.main]
        options: list[_Step] = []
        for r in range(min(rank, most), min(rank + 1, most) + 1):
            options += self._in_batches(members, candidates, r, before)
        return min(options, key=lambda step: (-step.clearness, step.task, step.rank))

    def detectable(self) -> float:
        """Two standard errors of the gain of one task that joins the main task, in the median of the candidates."""
        steps = self._in_batches([self.main], self.candidates, 1, self.alone[:, self.main])
        return 2.0 * float(np.median([step.standard_error for step in steps])) if steps else float("nan")

    def _in_batches(self, members: list[int], candidates: NDArray, rank: int, before: NDArray) -> list[_Step]:
        size = max(1, _BATCH_ELEMENTS // (rank * self.parts[0].evidence.gram.shape[1]) ** 2)
        return [
            step
            for start in range(0, len(candidates), size)
            for step in self._with_each(members, candidates[start : start + size], rank, before)
        ]

    def _with_each(self, members: list[int], candidates: NDArray, rank: int, before: NDArray) -> list[_Step]:
        """What every candidate gains beside the members, at a given rank."""
        places = np.arange(len(candidates))
        share = np.zeros((len(self.counts), len(candidates)))
        share[members] = 1.0
        share[candidates, places] = 1.0
        errors = np.empty((len(self.parts), 2, len(candidates)))
        for i, (fold, reduced) in enumerate(zip(self.parts, self.reduced)):
            coefficients = _coefficients(reduced, share, rank, self.row_norm)
            per_task = self._of_tasks(fold.squared_errors(coefficients))
            errors[i] = per_task[:, self.main], per_task[places, candidates]
        main_gain = (before[:, np.newaxis] - errors[:, 0]) / self.units[self.main]
        gain = main_gain + (self.alone[:, candidates] - errors[:, 1]) / self.units[candidates]
        spread = gain.std(axis=0, ddof=1) * np.sqrt(len(gain))
        return [
            _Step(
                int(task),
                rank,
                float(errors[:, 0, j].sum() / self.counts[self.main]),
                float(gain[:, j].sum()),
                float(spread[j]),
                gain[:, j],
                errors[:, 0, j],
            )
            for j, task in enumerate(candidates)
        ]


def _error(by_fold: NDArray) -> float:
    """Standard error of a sum over folds."""
    return float(by_fold.std(ddof=1) * np.sqrt(len(by_fold)))


def moderated(gains: NDArray) -> tuple[float, float]:
    """Posterior mean and deviation of the gain of the first task, given those of all (n_folds, n_tasks).

    The held-out rows of one task with few labels say little of so small a thing as a gain; tasks that belong together
    gain alike. The true gains are taken to be normal; their variance is what is seen beyond the errors, and with few
    tasks some of that, since it is hardly known then.
    """
    total, error = gains.sum(axis=0), np.sqrt(len(gains)) * gains.std(axis=0, ddof=1)
    others = gains[:, 1:].mean(axis=1)
    spread = max(0.0, total.var(ddof=1) - np.mean(error**2)) + np.mean(error[1:] ** 2) / (len(error) - 1)
    prior = max(spread + _error(others) ** 2, 1e-24)
    own = max(error[0] ** 2, 1e-24)
    weight = 1.0 / (1.0 / own + 1.0 / prior)
    return float(weight * (total[0] / own + others.sum() / prior)), float(np.sqrt(weight))


def _coefficients(data: Reduced, share: NDArray, rank: int, precision: float) -> NDArray:
    """Coefficients (n_sets, n_outputs, q) of all tasks under the subspace of every set of tasks."""
    bases = fit_bases(data, share, rank, precision)
    shared = np.einsum("gqr,ogr->goq", bases, factors(data, bases).mean)
    of = data.task_of_output
    fitted = np.squeeze(data.gram[of] @ shared[..., np.newaxis], axis=-1)
    return shared + data.own[of, np.newaxis] * (data.cross - fitted)
