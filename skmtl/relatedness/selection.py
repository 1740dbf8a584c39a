"""`select_tasks`: which other tasks help a main task, by held-out gain, one after the other."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_random_state

from skmtl.optional import pandas
from skmtl.relatedness.coordinates import feature_coordinates
from skmtl.relatedness.held_out import Fold, folds
from skmtl.relatedness.subspaces import Reduced, factors, fit_bases, without_own_part
from skmtl.relatedness.task_evidence import in_order_of_names, read_tasks, standardised_outputs
from skmtl.relatedness.variance import own_variances
from skmtl.targets import listed

_N_FOLDS = 10
#: Largest rank of the subspace that main and selected tasks share.
_MAX_RANK = 3
#: Size of the tasks' own parts, as a share of the coefficients a task would have alone.
_OWN_SHARE = 0.2
#: A task is taken for a gain of so many standard errors; two tasks at once for so many.
_ENOUGH, _ENOUGH_OF_TWO = 0.6, 0.8
#: Candidates after each of which a second one is looked for.
_N_AHEAD = 5
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
    """

    main: Hashable
    selected: list[Hashable]
    alone: float
    path: list[tuple[Hashable, float, float, float]]
    rank: int

    def to_frame(self) -> Any:
        """A pandas DataFrame with one row per selected task."""
        pd = pandas()

        return pd.DataFrame(self.path, columns=["task", "error", "gain", "standard_error"])

    def __repr__(self) -> str:
        n = len(self.selected)
        which = f"{n} task{'s' * (n != 1)} that help{'s' * (n == 1)}" if n else "no task that helps"
        lines = [f"TaskSelection: {which} {self.main!r}", f"  alone: held-out error {self.alone:.3f}"]
        lines += [f"  + {task}: {error:.3f} (gain {gain:.3f} ± {se:.3f})" for task, error, gain, se in self.path]
        return "\n".join(lines)


def select_tasks(
    X: Any, y: Any, main: Hashable, *, kinds: Any = None, task_col: Any = None, random_state: Any = None
) -> TaskSelection:
    """Which other tasks help a main task, if learned jointly with it.

    Forward selection: in every step the candidate with the clearest held-out gain joins. What counts is the gain of
    the main task over the step before, and that of the candidate over being learned alone: a candidate that shares
    a subspace with main and the tasks selected is itself predicted better by it, and this is
    what tells it from one that happens to lower the error of a main task with few labels. The selection ends where no
    candidate gains more than one standard error, and no two together more than one and a half.

    Parameters
    ----------
    X : array-like or sparse matrix of shape (n_samples, n_features), or dict of {task: such a table}
    y : dict of {task: array-like}, TaskTargets, DataFrame, or array-like of shape (n_samples,) or \
(n_samples, n_tasks)
        Numbers, counts and classes in any mixture. Missing targets are NaN, None, NaT or pandas' NA.
    main : hashable
        Name of the main task; its position where y is an array.
    kinds : dict of {task: kind}, default=None
        "regression", "binary", "multiclass" or "count", where it shall not be read off the targets.
    task_col : str or int, default=None
        Long form: name or position of the column of X that holds the task of each row.
    random_state : int, RandomState instance or None, default=None
        For the folds.

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
    outputs = standardised_outputs(data)
    Z = feature_coordinates(data, whiten=False)
    parts = list(folds(data, outputs, Z, min(_N_FOLDS, data.n_rows), check_random_state(random_state)))
    race = _Race(parts, names.index(main), float(np.mean(np.sum(Z**2, axis=1))))
    race.run()
    path = [(names[step.task], step.error, step.gain, step.standard_error) for step in race.steps]
    rank = race.steps[-1].rank if race.steps else 0
    return TaskSelection(main, [task for task, *_ in path], race.error_alone, path, rank)


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


class _Race:
    """Forward selection on the held-out errors of folds."""

    def __init__(self, parts: list[Fold], main: int, row_norm: float) -> None:
        self.parts, self.main, self.row_norm = parts, main, row_norm
        self.of = parts[0].evidence.task_of_output
        self.counts = np.sum([fold.test.count for fold in parts], axis=0)
        self.reduced: list[Reduced] = []
        by_fold = []
        for fold in parts:
            own = own_variances(fold.evidence, row_norm)
            self.reduced.append(without_own_part(fold.evidence, _OWN_SHARE * own))
            ridge = own[self.of, np.newaxis] * without_own_part(fold.evidence, own).cross
            by_fold.append(self._of_tasks(fold.squared_errors(ridge)))
        #: Squared errors (n_folds, n_tasks) of every task by itself.
        self.alone = np.array(by_fold)
        self.units = np.maximum(self.alone.sum(axis=0), 1e-12)
        # Of targets that are all alike nothing is left to be predicted.
        self.varies = self._of_tasks(np.sum([fold.test.yy for fold in parts], axis=0)) > 0
        self.steps: list[_Step] = []

    @property
    def error_alone(self) -> float:
        return float(self.units[self.main] / self.counts[self.main])

    def _of_tasks(self, per_output: NDArray) -> NDArray:
        """Means over the outputs of a task in the last axis."""
        starts = np.searchsorted(self.of, np.arange(len(self.counts)))
        return np.add.reduceat(per_output, starts, axis=-1) / np.bincount(self.of)

    def run(self) -> None:
        while True:
            options = self._options(self.steps)
            if not options:
                return
            best = options[0]
            if best.clearness >= _ENOUGH:
                self.steps.append(best)
                continue
            pair = self._best_pair(options[:_N_AHEAD])
            if pair is None:
                return
            self.steps += pair

    def _best_pair(self, options: list[_Step]) -> list[_Step] | None:
        """Two tasks that help together though neither does alone: a second dimension shows in pairs only."""
        best, pair = _ENOUGH_OF_TWO, None
        for first in options:
            second = next(iter(self._options([*self.steps, first])), None)
            if second is None:
                continue
            both = first.by_fold + second.by_fold
            clearness = both.sum() / max(both.std(ddof=1) * np.sqrt(len(both)), 1e-12)
            if clearness >= best and second.clearness >= 0.5 * _ENOUGH:
                best, pair = clearness, [first, second]
        return pair

    def _options(self, steps: list[_Step]) -> list[_Step]:
        """Every candidate after `steps`, at the better of two ranks, the clearest gain first."""
        members = [self.main, *(step.task for step in steps)]
        candidates = np.setdiff1d(np.flatnonzero(self.varies), np.array(members))
        if not len(candidates) or not self.varies[self.main]:
            return []
        rank = steps[-1].rank if steps else 1
        most = min(_MAX_RANK, len(members), self.parts[0].evidence.gram.shape[1])
        before = steps[-1].main_errors if steps else self.alone[:, self.main]
        options: list[_Step] = []
        for r in range(min(rank, most), min(rank + 1, most) + 1):
            size = max(1, _BATCH_ELEMENTS // (r * self.parts[0].evidence.gram.shape[1]) ** 2)
            for start in range(0, len(candidates), size):
                options += self._with_each(members, candidates[start : start + size], r, before)
        options.sort(key=lambda step: (-step.clearness, step.task, step.rank))
        seen: set[int] = set()
        return [step for step in options if not (step.task in seen or seen.add(step.task))]  # type: ignore[func-returns-value]

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


def _coefficients(data: Reduced, share: NDArray, rank: int, precision: float) -> NDArray:
    """Coefficients (n_sets, n_outputs, q) of all tasks under the subspace of every set of tasks."""
    bases = fit_bases(data, share, rank, precision)
    shared = np.einsum("gqr,ogr->goq", bases, factors(data, bases).mean)
    of = data.task_of_output
    fitted = np.squeeze(data.gram[of] @ shared[..., np.newaxis], axis=-1)
    return shared + data.own[of, np.newaxis] * (data.cross - fitted)
