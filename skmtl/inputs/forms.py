"""The four forms in which tasks are handed over: how each is read, and how predictions go back into it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skmtl.inputs.features import (
    is_dict_of_tables,
    read_features,
    refuse_duplicate_names,
    split_task_column,
    stack_features,
    task_labels,
    task_positions,
)
from skmtl.inputs.observed import Observed, observed_array, observed_long, observed_matrix, observed_rows
from skmtl.inputs.weights import own_weights, shared_weights
from skmtl.target_columns import common_dtype
from skmtl.targets import TaskTargets, column_names, is_named, listed
from skmtl.tasks import Task


@dataclass(frozen=True)
class Query:
    """Rows to predict. Without `tasks` every task is wanted for every row.

    Attributes
    ----------
    X : ndarray or CSR of shape (n_rows, n_features)
    tasks : list of int, or None
        Position of the task of each block of rows; -1 for a task that was never seen in fit.
    bounds : ndarray of shape (len(tasks) + 1,), or None
        Block i is ``X[bounds[i]:bounds[i + 1]]``.
    order : ndarray of shape (n_rows,), or None
        Row of the caller's X that each row of `X` was.
    """

    X: Any
    tasks: list[int] | None = None
    bounds: NDArray | None = None
    order: NDArray | None = None


class Form(ABC):
    """How tasks were handed over; a fitted estimator remembers it to answer in kind."""

    #: True where predictions and coefficients carry the names of the tasks.
    named = True
    #: True where y was one-dimensional without names.
    flat = False
    #: True where every row belongs to one task.
    long = False

    @abstractmethod
    def query(self, estimator: Any, X: Any, names: tuple[Hashable, ...], unseen: bool = False) -> Query:
        """X as handed to predict; `unseen` allows labels of tasks that were not in fit (long form)."""

    @abstractmethod
    def observed(self, X: Any, y: Any, names: tuple[Hashable, ...]) -> Observed:
        """The y handed to score; tasks in its order."""

    @abstractmethod
    def weights(self, sample_weight: Any, observed: Observed) -> NDArray | None:
        """The sample_weight handed to fit or score, in the layout of `observed`."""

    @abstractmethod
    def gather(self, query: Query, tasks: tuple[Task, ...], parts: Mapping[int, NDArray], what: str) -> Any:
        """Per-task responses (by position) in the form that was handed over; `what` is a method's name."""


@dataclass(frozen=True)
class NamedForm(Form):
    """One X and named targets: a dict, `TaskTargets`, a DataFrame."""

    def query(self, estimator: Any, X: Any, names: tuple[Hashable, ...], unseen: bool = False) -> Query:
        if is_dict_of_tables(X):
            return OwnRowsForm().query(estimator, X, names)
        return Query(read_features(estimator, X, reset=False))

    def observed(self, X: Any, y: Any, names: tuple[Hashable, ...]) -> Observed:
        if is_dict_of_tables(X):
            return OwnRowsForm().observed(X, y, names)
        if not is_named(y):
            raise ValueError(
                "y must name its tasks, as it did in fit (a dict, TaskTargets or a DataFrame "
                f"with some of {listed(names)}), got {type(y).__name__}."
            )
        return _known(observed_matrix(named_columns(y)), names)

    def weights(self, sample_weight: Any, observed: Observed) -> NDArray | None:
        if observed.task_of_row is not None:
            sizes = np.bincount(observed.task_of_row, minlength=len(observed.names))
            return own_weights(sample_weight, observed.names, sizes)
        return shared_weights(sample_weight, observed.names, observed.n_rows)

    def gather(self, query: Query, tasks: tuple[Task, ...], parts: Mapping[int, NDArray], what: str) -> Any:
        if query.tasks is not None:
            return {tasks[t].name: part for t, part in parts.items()}
        return TaskTargets({tasks[t].name: part for t, part in parts.items()})


@dataclass(frozen=True)
class OwnRowsForm(NamedForm):
    """A dict of X and a dict of y: every task has rows of its own. One X asks every task."""

    def query(self, estimator: Any, X: Any, names: tuple[Hashable, ...], unseen: bool = False) -> Query:
        if not is_dict_of_tables(X):
            return super().query(estimator, X, names)
        if not X:
            raise ValueError(f"X is an empty dict; give a table for at least one of the tasks {listed(names)}.")
        positions = _positions(X, names, "X")
        stacked, sizes = stack_features(estimator, X, reset=False)
        return Query(stacked, positions, np.concatenate([[0], np.cumsum(sizes)]))

    def observed(self, X: Any, y: Any, names: tuple[Hashable, ...]) -> Observed:
        if not is_dict_of_tables(X):
            return super().observed(X, y, names)
        require_same_tasks(X, y)
        return _known(own_targets(X, y), names)


@dataclass(frozen=True)
class ArrayForm(Form):
    """One X and an array of shape (n,) or (n, n_tasks)."""

    flat: bool = False
    named = False

    def query(self, estimator: Any, X: Any, names: tuple[Hashable, ...], unseen: bool = False) -> Query:
        return Query(read_features(estimator, X, reset=False))

    def observed(self, X: Any, y: Any, names: tuple[Hashable, ...]) -> Observed:
        observed = observed_array(y)
        if len(observed.names) != len(names):
            raise ValueError(f"y has {len(observed.names)} tasks, but fit saw {len(names)}.")
        return observed

    def weights(self, sample_weight: Any, observed: Observed) -> NDArray | None:
        return shared_weights(sample_weight, observed.names, observed.n_rows)

    def gather(self, query: Query, tasks: tuple[Task, ...], parts: Mapping[int, NDArray], what: str) -> Any:
        if self.flat:
            return parts[0]
        if what != "predict":
            return list(parts.values())
        dtype = common_dtype(list(parts.values()))
        result = np.empty((query.X.shape[0], len(tasks)), dtype=dtype)
        for t, part in parts.items():
            result[:, t] = part
        return result


@dataclass(frozen=True)
class LongForm(Form):
    """One X with a column of task labels, and one y: each row belongs to its own task."""

    task_col: Any
    long = True

    def query(self, estimator: Any, X: Any, names: tuple[Hashable, ...], unseen: bool = False) -> Query:
        labels, features = split_task_column(estimator, X, self.task_col, reset=False)
        distinct, position = task_positions(labels)
        known = {name: t for t, name in enumerate(names)}
        new = [name for name in distinct if name not in known]
        if new and not unseen:
            raise ValueError(
                f"X holds the task {new[0]!r} in column {self.task_col!r}, which fit did not "
                f"see; the known tasks are {listed(names)}. A model with alpha_common or "
                "alpha_intercept predicts new tasks by the common part and the mean intercept."
            )
        # Blocks in the order of the fitted tasks; all rows of unseen tasks (-1) form the first one.
        position = np.array([known.get(name, -1) for name in distinct], dtype=np.intp)[position]
        order = np.argsort(position, kind="stable")
        wanted = np.unique(position)
        bounds = np.append(np.searchsorted(position[order], wanted), len(order))
        in_order = bool(np.all(order[:-1] < order[1:]))
        if in_order:
            return Query(features, wanted.tolist(), bounds)
        return Query(features[order], wanted.tolist(), bounds, order)

    def observed(self, X: Any, y: Any, names: tuple[Hashable, ...]) -> Observed:
        distinct, position = task_positions(task_labels(X, self.task_col))
        return observed_long(y, distinct, position)

    def weights(self, sample_weight: Any, observed: Observed) -> NDArray | None:
        if isinstance(sample_weight, Mapping):
            raise ValueError(
                "sample_weight of the long form must be an array with one weight per row, got "
                f"{type(sample_weight).__name__}."
            )
        return shared_weights(sample_weight, observed.names[:1], observed.n_rows)

    def gather(self, query: Query, tasks: tuple[Task, ...], parts: Mapping[int, NDArray], what: str) -> Any:
        blocks = list(parts.values())
        if what != "predict":
            classes = union_classes(tasks)
            blocks = [spread_classes(block, tasks[t].classes, classes, what) for t, block in parts.items()]
        dtype = common_dtype(blocks)
        stacked = np.concatenate([block.astype(dtype, copy=False) for block in blocks])
        if query.order is None:
            return stacked
        result = np.empty_like(stacked)
        result[query.order] = stacked
        return result


def named_columns(y: Any) -> Mapping[Hashable, Any]:
    """{task: column} of a mapping or a pandas / polars frame."""
    if isinstance(y, Mapping):
        return y
    refuse_duplicate_names(y, "y")
    return {name: y[name] for name in column_names(y) or ()}


def own_targets(X: Mapping[Hashable, Any], y: Mapping[Hashable, Any]) -> Observed:
    """Targets of a dict of y in the order of the dict of X; lengths compared task by task."""
    observed = observed_rows({name: y[name] for name in X})
    sizes = np.bincount(observed.tasks_by_row, minlength=len(observed.names))
    for name, size in zip(X, sizes.tolist(), strict=True):
        try:
            n_rows = X[name].shape[0] if hasattr(X[name], "shape") else len(X[name])
        except TypeError:
            raise ValueError(f"X of task {name!r} must be a table, got {X[name]!r}.") from None
        if n_rows != size:
            raise ValueError(f"X and y of task {name!r} have different lengths: {n_rows} rows and {size} targets.")
    return observed


def union_classes(tasks: tuple[Task, ...]) -> NDArray:
    """All classes of all tasks, sorted: the columns of predict_proba in the long form."""
    present = [task.classes for task in tasks if task.classes is not None]
    dtype = common_dtype(present)
    return np.unique(np.concatenate([classes.astype(dtype) for classes in present]))


def spread_classes(block: NDArray, classes: NDArray | None, everything: NDArray, what: str) -> NDArray:
    """Columns of a task's classes among those of all classes.

    The others have probability zero, and as decision the least number there is, as in scikit-learn's
    ``cross_val_predict``. Log-odds stay as they are where there are no other classes, and become two scores whose
    softmax is the probability where there are.
    """
    assert classes is not None
    if what == "decision_function" and block.ndim == 1:
        if len(everything) == 2:
            return block
        block = np.column_stack([-block / 2, block / 2])
    absent = 0.0 if what == "predict_proba" else np.finfo(np.float64).min
    spread = np.full((len(block), len(everything)), absent)
    spread[:, np.searchsorted(everything, classes)] = block
    return spread


def require_same_tasks(X: Mapping[Hashable, Any], y: Any) -> None:
    if not isinstance(y, Mapping):
        raise ValueError(f"With a dict of X, y must be a dict with the same tasks, got {type(y).__name__}.")
    if not X:
        raise ValueError("X is an empty dict; give a table for at least one task.")
    for name in X:
        if name not in y:
            raise ValueError(
                f"X and y must have the same tasks: {name!r} is in X but not in y, which has {listed(list(y))}."
            )
    for name in y:
        if name not in X:
            raise ValueError(
                f"X and y must have the same tasks: {name!r} is in y but not in X, which has {listed(list(X))}."
            )


def _positions(given: Mapping[Hashable, Any], names: tuple[Hashable, ...], what: str) -> list[int]:
    known = {name: t for t, name in enumerate(names)}
    for name in given:
        if name not in known:
            raise ValueError(
                f"{what} holds the task {name!r}, which fit did not see; the known tasks are {listed(names)}."
            )
    return [known[name] for name in given]


def _known(observed: Observed, names: tuple[Hashable, ...]) -> Observed:
    _positions(dict.fromkeys(observed.names), names, "y")
    return observed
