"""`group_tasks`: tasks into groups that belong together, the number of groups chosen by held-out error."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skmtl.model_selection.shuffled_folds import seed_of
from skmtl.optional import pandas
from skmtl.relatedness.clustering import Clustering, cluster
from skmtl.relatedness.coordinates import feature_coordinates
from skmtl.relatedness.held_out import Fold, folds
from skmtl.relatedness.loners import loners
from skmtl.relatedness.subspaces import Reduced, without_own_part
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
from skmtl.tasks import TaskData

#: Folds, for tasks of few labels (fewer than so many on average) and of many: of few, none can be spared.
_N_FOLDS, _FEW_LABELS, _N_FOLDS_OF_MANY = 10, 100, 5
#: Most groups that are tried where the number is not given, and how many numbers in a row may fail to improve.
_MAX_GROUPS = 12
_PATIENCE = 2
#: Ranks that are tried, of one group of all tasks and of several groups.
_RANKS_OF_ONE = (1, 2, 3, 4, 6, 8)
_RANKS = (1, 2, 3, 4)
#: Size of the tasks' own parts that is tried, as a share of the coefficients a task would have alone.
_OWN_SHARE = 0.2
#: Random starts of the last fit.
_N_RANDOM = 10
#: How many standard errors worse than the best a model of fewer parameters may be.
_TOLERATED = 0.5


@dataclass(frozen=True, repr=False)
class TaskGroups:
    """Tasks in groups that belong together.

    Attributes
    ----------
    groups : list of list of hashable
        Names of the tasks of every group: groups in the order of their first tasks, tasks in the order given.
    tasks : list of hashable, length n_tasks
    labels : intp ndarray of shape (n_tasks,)
        Position in `groups` of every task's group.
    rank : int
        Dimension of the subspace that the coefficients of a group share.
    path : list of tuple (n_groups, rank, loss, difference, standard_error)
        What was tried: the mean over tasks of the held-out squared error, in units of a target's variance; how
        much worse than the best that is, and the standard error of this difference over tasks. Empty where there
        was nothing to choose.
    """

    groups: list[list[Hashable]]
    tasks: list[Hashable]
    labels: NDArray
    rank: int
    path: list[tuple[int, int, float, float, float]]

    @property
    def n_groups(self) -> int:
        """Number of groups, tasks that stand alone included."""
        return len(self.groups)

    def to_frame(self) -> Any:
        """A pandas DataFrame with the columns "task" and "group"."""
        pd = pandas()

        return pd.DataFrame({"task": pd.Series(self.tasks, dtype=object), "group": self.labels})

    def __repr__(self) -> str:
        n_tasks, n_groups = len(self.tasks), self.n_groups
        lines = [f"TaskGroups of {n_tasks} task{'s' * (n_tasks != 1)} in {n_groups} group{'s' * (n_groups != 1)}"]
        for i, group in enumerate(self.groups):
            more = f", ... ({len(group)} in all)" if len(group) > 8 else ""
            lines.append(f"  {i}: {', '.join(map(str, group[:8]))}{more}")
        return "\n".join(lines)


@dataclass(frozen=True)
class _Model:
    """Number of groups, rank, share of own parts."""

    n_groups: int
    rank: int
    own_share: float = 0.0


def group_tasks(
    X: Any,
    y: Any,
    n_groups: int | None = None,
    *,
    kinds: Any = None,
    task_col: Any = None,
    random_state: Any = None,
    verbose: int = 0,
) -> TaskGroups:
    """Tasks into groups that belong together: tasks of one group share a subspace of coefficients.

    Tasks of one group need not be alike in pairs: what they have in common is a low-rank basis, the very thing that a
    joint model learns. Where no number of groups is given, it is that of the model with the fewest parameters (entries
    of bases and factors) whose held-out error is within half a standard error of the best; one group where all
    belong together. A task whose labels are clearly more likely
    alone than under what the others of its group have in common then becomes a group of its own.

    Parameters
    ----------
    X : array-like or sparse matrix of shape (n_samples, n_features), or dict of {task: such a table}
    y : dict of {task: array-like}, TaskTargets, DataFrame, or array-like of shape (n_samples,) or \
(n_samples, n_tasks)
        Numbers, counts and classes in any mixture. Missing targets are NaN, None, NaT or pandas' NA.
    n_groups : int, default=None
        None: chosen.
    kinds : dict of {task: kind} or str, default=None
        "regression", "binary", "multiclass" or "count", where it shall not be read off the targets; a string is the
        kind of all tasks.
    task_col : str or int, default=None
        Long form: name or position of the column of X that holds the task of each row.
    random_state : int, RandomState instance or None, default=None
        Seed of folds and starts; None: 0. A RandomState gives every call a new seed.
    verbose : int, default=0
        1 shows on the standard error every model that is tried.

    Returns
    -------
    groups : TaskGroups
        With ``groups``, ``labels``, ``n_groups``, ``rank``, ``path`` and ``to_frame()``.

    Raises
    ------
    ValueError
        If `n_groups` is not between 1 and the number of tasks, and as `fit` of the estimators.

    See Also
    --------
    GroupedTasks : An estimator that fits one model per group.
    task_affinity : Tasks in pairs.

    Notes
    -----
    Every task is seen as a linear regression of its standardised score at the null model on the principal
    components Z of the standardised features, and the tasks as a mixture of low-rank models::

        y_t ~ N(0, sigma_t^2 (I + Z_t B_g B_g' Z_t' + own_t Z_t Z_t'))      for task t in group g

    fitted by expectation maximisation from several starts: spectral clusterings of the coefficients under one
    low-rank model of all tasks, and random ones. Number of groups, rank and size of the own parts are those of the
    smallest squared error in cross-validation (10 folds, 5 where tasks have 100 labels or more on average), in which
    clustering is part of what is left out.

    References
    ----------
    .. [1] Tipping, M. E. & Bishop, C. M. (1999). Mixtures of probabilistic principal component analyzers.
           Neural Computation, 11(2). :doi:`10.1162/089976699300016728`
    .. [2] Vidal, R. (2011). Subspace clustering. IEEE Signal Processing Magazine, 28(2).
           :doi:`10.1109/MSP.2010.939739`
    .. [3] Kang, Z., Grauman, K. & Sha, F. (2011). Learning with whom to share in multi-task feature learning.
           Proceedings of the 28th International Conference on Machine Learning.

    Examples
    --------
    >>> import numpy as np
    >>> from skmtl import group_tasks
    >>> rng = np.random.RandomState(0)
    >>> X = rng.randn(100, 10)
    >>> coef = rng.randn(10, 2)[:, [0, 0, 0, 0, 1, 1, 1, 1]]
    >>> y = X @ coef + rng.randn(100, 8)
    >>> group_tasks(X, y, random_state=0)
    TaskGroups of 8 tasks in 2 groups
      0: 0, 1, 2, 3
      1: 4, 5, 6, 7
    """
    data, _ = read_tasks("group_tasks", X, y, kinds, task_col)
    return group_task_data(data, n_groups, random_state, verbose)


def group_task_data(data: TaskData, n_groups: int | None, random_state: Any, verbose: int = 0) -> TaskGroups:
    """As `group_tasks`, for data that have been read."""
    names, n_tasks = [task.name for task in data.tasks], len(data.tasks)
    if n_groups is not None:
        whole = isinstance(n_groups, Integral) and not isinstance(n_groups, (bool, np.bool_))
        if not whole or not 1 <= n_groups <= n_tasks:
            raise ValueError(f"n_groups must be None or an integer from 1 to {n_tasks}, the tasks; got {n_groups!r}.")
    if n_tasks == 1 or n_groups in (1, n_tasks):
        return _result(names, np.zeros(n_tasks, int) if n_groups != n_tasks else np.arange(n_tasks), 0, [])
    sorted_data, order = in_order_of_names(data)
    labels = np.empty(n_tasks, dtype=np.intp)
    with one_blas_thread(has_narrow_set_up(data)):
        labels[order], rank, path = _grouped(sorted_data, n_groups, seed_of(random_state), verbose)
    return _result(names, labels, rank, path)


def _result(names: list[Hashable], labels: NDArray, rank: int, path: list) -> TaskGroups:
    """Groups numbered by their first tasks."""
    _, first, labels = np.unique(labels, return_index=True, return_inverse=True)
    labels = np.argsort(np.argsort(first))[labels.reshape(-1)]
    groups: list[list[Hashable]] = [[] for _ in first]
    for name, label in zip(names, labels.tolist()):
        groups[label].append(name)
    return TaskGroups(groups, names, labels, rank, path)


def _grouped(
    data: TaskData, n_groups: int | None, seed: int, verbose: int
) -> tuple[NDArray, int, list[tuple[int, int, float, float, float]]]:
    """Labels of the tasks, rank and path."""
    outputs = standardised_outputs(data)
    Z = feature_coordinates(data, whiten=False)
    evidence = centre(sum_moments(outputs, Z), outputs.task_of_output)
    row_norm = evidence.row_norm
    labels_per_task = len(outputs.values) / len(outputs.task_of_output)
    n_folds = _N_FOLDS if labels_per_task < _FEW_LABELS else _N_FOLDS_OF_MANY
    parts = list(folds(data, outputs, Z, min(n_folds, data.n_rows), seed))
    rng = np.random.RandomState(seed)
    search = _Search(parts, row_norm, rng.randint(np.iinfo(np.int32).max), verbose)
    if n_groups is not None:
        search.try_ranks(n_groups, _RANKS)
    else:
        search.try_numbers(min(_MAX_GROUPS, len(data.tasks) // 2))
    model = search.best(within_error=n_groups is None)
    own = own_variances(evidence)
    reduced = without_own_part(evidence, model.own_share * own)
    found = cluster(reduced, model.n_groups, model.rank, row_norm, rng, _N_RANDOM)
    labels = found.labels
    if n_groups is None:
        alone = loners(evidence, own, found, labels, row_norm)
        labels = np.where(alone, model.n_groups + np.arange(len(labels)), labels)
    else:
        labels = _without_empty_groups(labels, found)
    return labels, model.rank, search.path()


class _Search:
    """Held-out errors of every model that was tried."""

    def __init__(self, parts: list[Fold], row_norm: float, seed: int, verbose: int = 0) -> None:
        self.verbose = verbose
        self.parts = parts
        self.row_norm = row_norm
        self.seed = seed
        self.own = [own_variances(fold.evidence) for fold in parts]
        self.of = parts[0].evidence.task_of_output
        self.n_tasks = len(parts[0].evidence.dof)
        self.errors: dict[_Model, NDArray] = {}
        self._reduced: dict[float, list[Reduced]] = {}

    def reduced(self, own_share: float) -> list[Reduced]:
        if own_share not in self._reduced:
            self._reduced[own_share] = [
                without_own_part(fold.evidence, own_share * own) for fold, own in zip(self.parts, self.own)
            ]
        return self._reduced[own_share]

    def loss(self, model: _Model) -> float:
        """Mean over tasks of the held-out squared error; remembered."""
        if model not in self.errors:
            rows = [
                cluster(part, model.n_groups, model.rank, self.row_norm, np.random.RandomState(self.seed)).coefficients(
                    part
                )
                for part in self.reduced(model.own_share)
            ]
            self.errors[model] = self._by_fold(rows)
            said = f"{model.n_groups} groups of rank {model.rank}: held-out error {self._per_task(model).mean():.4f}"
            say(self.verbose, f"group_tasks: {said}")
        return float(self._per_task(model).mean())

    def _by_fold(self, coefficients: list[NDArray]) -> NDArray:
        """Squared errors (n_folds, n_tasks), summed over rows and averaged over the outputs of a task."""
        sums = [np.bincount(self.of, fold.squared_errors(rows)) for fold, rows in zip(self.parts, coefficients)]
        return np.array(sums) / np.bincount(self.of)

    def _per_task(self, model: _Model) -> NDArray:
        return self.errors[model].sum(axis=0) / sum(fold.test.count for fold in self.parts)

    def try_ranks(self, n_groups: int, ranks: tuple[int, ...]) -> float:
        """Raise the rank until that has stopped helping; then try own parts."""
        q = self.parts[0].evidence.gram.shape[1]
        most = max(1, min(q, len(self.of) // n_groups))
        best = None
        for rank in ranks:
            if rank > most and best is not None:
                break
            model = _Model(n_groups, rank)
            if best is None or self.loss(model) < self.loss(best):
                best = model
            elif n_groups > 1:
                break
        assert best is not None
        return min(self.loss(best), self.loss(_Model(n_groups, best.rank, _OWN_SHARE)))

    def try_numbers(self, most: int) -> None:
        """One group, two, ... until that has stopped helping."""
        best, since = self.try_ranks(1, _RANKS_OF_ONE), 0
        for n_groups in range(2, most + 1):
            loss = self.try_ranks(n_groups, _RANKS)
            best, since = (loss, 0) if loss < best else (best, since + 1)
            if since == _PATIENCE:
                break

    def _differences(self) -> dict[_Model, tuple[float, float]]:
        """How much worse than the best every model is, and the standard error of that over tasks."""
        best = min(self.errors, key=self.loss)
        differences = {}
        for model in self.errors:
            difference = self._per_task(model) - self._per_task(best)
            error = difference.std(ddof=1) / np.sqrt(self.n_tasks)
            differences[model] = (float(difference.mean()), float(error))
        return differences

    def best(self, within_error: bool) -> _Model:
        """The best model; or, of those not clearly worse, the one of the fewest parameters."""
        if not within_error:
            return min(self.errors, key=self.loss)
        differences = self._differences()
        good = [m for m, (difference, error) in differences.items() if difference <= _TOLERATED * error]
        return min(good, key=lambda model: (self._n_parameters(model), self.loss(model)))

    def _n_parameters(self, model: _Model) -> int:
        """Entries of all bases, and of the factors: many small groups are no more than one large subspace."""
        return model.rank * (model.n_groups * self.parts[0].evidence.gram.shape[1] + len(self.of))

    def path(self) -> list[tuple[int, int, float, float, float]]:
        differences = self._differences()
        kept = {}
        for model in sorted(self.errors, key=self.loss, reverse=True):
            kept[model.n_groups, model.rank] = (self.loss(model), *differences[model])
        return [(*key, *kept[key]) for key in sorted(kept)]


def _without_empty_groups(labels: NDArray, found: Clustering) -> NDArray:
    """Labels of which every group has a task: an empty one takes the task that its group is least sure of."""
    labels = labels.copy()
    likelihood = found.factors.log_likelihood
    for group in range(likelihood.shape[1]):
        sizes = np.bincount(labels, minlength=likelihood.shape[1])
        if sizes[group] == 0:
            margin = likelihood[np.arange(len(labels)), labels] - likelihood[:, group]
            labels[np.where(sizes[labels] > 1, margin, np.inf).argmin()] = group
    return labels
