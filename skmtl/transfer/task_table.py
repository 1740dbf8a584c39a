"""X and y as they were handed over, and what of them belongs to which task: cut by rows, tasks or labels."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skmtl.inputs import TargetRules
from skmtl.inputs.columns import as_array
from skmtl.inputs.features import is_dict_of_tables, task_labels, task_positions
from skmtl.inputs.forms import ArrayForm, Form, LongForm, NamedForm, named_columns, own_targets, require_same_tasks
from skmtl.inputs.kinds import decide_kinds, encode
from skmtl.inputs.observed import Observed, observed_array, observed_long, observed_matrix
from skmtl.inputs.weights import drop_unobserved
from skmtl.target_columns import as_column, beyond_floats
from skmtl.targets import TaskTargets, is_named, take_rows
from skmtl.tasks import Task


@dataclass(frozen=True)
class TaskTable:
    """Tasks in the form in which they were handed over.

    Attributes
    ----------
    X, y : in one of the four forms
        Named targets as `TaskTargets`, arrays as arrays.
    form : {"named", "array", "own", "long"}
    tasks : tuple of Task, length n_tasks
    rows : list of intp ndarray of shape (n_labels of the task,)
        Rows with a target of the task, increasing. Of own rows: positions when they are stacked in the order
        of the tasks.
    targets : list of float64 ndarray of shape (n_labels of the task,)
        Numbers, or positions in the classes of the task.
    n_rows : int
    weights : list of float64 ndarray of shape (n_labels of the task,), or None
        Weights > 0 of the targets: those of weight zero are no targets.
    weigh_rows : bool
        Whether a row was given one weight for all tasks.
    """

    X: Any
    y: Any
    form: str
    tasks: tuple[Task, ...]
    rows: list[NDArray]
    targets: list[NDArray]
    n_rows: int
    weights: list[NDArray] | None = None
    weigh_rows: bool = True

    @property
    def names(self) -> list[Hashable]:
        return [task.name for task in self.tasks]

    @property
    def task_of_row(self) -> NDArray:
        """Position of the task of every row, shape (n_rows,); -1 where it has no target. Own rows and long form."""
        position = np.full(self.n_rows, -1, dtype=np.intp)
        for t, rows in enumerate(self.rows):
            position[rows] = t
        return position

    def bounds(self) -> NDArray:
        """Own rows: the rows of task t are ``bounds[t]`` up to ``bounds[t + 1]``."""
        return np.concatenate([[0], np.cumsum([_n_rows(table) for table in self.X.values()])])

    def part(self, rows: NDArray) -> tuple[Any, Any]:
        """X and y of some rows (increasing positions), in the same form; of own rows only tasks that have some."""
        if self.form != "own":
            return take_rows(self.X, rows), take_rows(self.y, rows)
        X, y, bounds = {}, {}, self.bounds()
        cuts = np.searchsorted(rows, bounds)
        for t, name in enumerate(self.X):
            inside = rows[cuts[t] : cuts[t + 1]] - bounds[t]
            if len(inside):
                X[name], y[name] = take_rows(self.X[name], inside), take_rows(self.y[name], inside)
        return X, y

    def labelled(self, labels: Sequence[NDArray]) -> tuple[Any, Any]:
        """X and y with some labels only: of every task those on the rows ``labels[t]`` (increasing positions).

        Rows on which no label is left are left out, and so are tasks of which none is.
        """
        rows = np.unique(np.concatenate(list(labels)))
        X, y = self.part(rows)
        if self.form in ("own", "long"):
            return X, y
        hidden = [np.isin(rows, kept, invert=True) for kept in labels]
        if not any(one.any() for one in hidden):
            return X, y
        if self.form == "named":
            kept = zip(self.names, hidden, strict=True)
            return X, y.remembering({name: _with_gaps(y[name], one) for name, one in kept if not one.all()})
        table = np.reshape(y, (len(rows), -1))
        columns = [_with_gaps(column, one) for column, one in zip(table.T, hidden, strict=True) if not one.all()]
        return X, columns[0] if np.ndim(y) == 1 else np.column_stack(columns)

    def sample_weight(self, labels: Sequence[NDArray]) -> Any:
        """Weights of the rows of `labelled`, in its form; None where there are none."""
        if self.weights is None:
            return None
        own = {t: self.weights_of(t, kept) for t, kept in enumerate(labels) if len(kept)}
        if self.form == "own":
            return {self.names[t]: weights for t, weights in own.items()}
        rows = np.unique(np.concatenate(list(labels)))
        of_row = np.zeros((len(rows), len(own)))
        for column, (t, weights) in enumerate(own.items()):
            of_row[np.searchsorted(rows, labels[t]), column] = weights
        if self.weigh_rows:
            return of_row.max(axis=1)
        if self.form == "named":
            return TaskTargets(dict(zip([self.names[t] for t in own], of_row.T, strict=True)))
        return of_row

    def weights_of(self, t: int, rows: NDArray) -> Any:
        """Weights of a task on some rows with a target of it; None where there are none."""
        return None if self.weights is None else self.weights[t][np.searchsorted(self.rows[t], rows)]

    def alone(self, t: int, rows: NDArray) -> tuple[Any, Any]:
        """X and y of one task on some of its rows, in the same form."""
        name = self.tasks[t].name
        X, y = self.part(rows)
        if self.form == "named":
            return X, y.remembering({name: y[name]})
        return X, (y[:, [t]] if self.form == "array" and np.ndim(y) == 2 else y)


def read_tasks(X: Any, y: Any, rules: TargetRules, task_col: Any = None, sample_weight: Any = None) -> TaskTable:
    """The tasks of X and y in whichever form they come.

    Parameters
    ----------
    X, y : as an estimator's `fit` takes them
        X itself is not looked at: it may hold anything that a pipeline makes ready.
    rules : TargetRules
    task_col : str or int, default=None
    sample_weight : as an estimator's `fit` takes it, default=None

    Raises
    ------
    ValueError
        Naming the task, what was given and what is allowed.
    """
    if y is None:
        raise ValueError("y is None; give the targets of at least one task.")
    observed: Observed
    reader: Form = NamedForm()
    if is_dict_of_tables(X):
        require_same_tasks(X, y)
        y = {name: as_column(y[name], name) for name in X}
        form, observed, n_rows = "own", own_targets(X, y), sum(map(_n_rows, X.values()))
    elif task_col is not None:
        form, y, reader = "long", as_column(y), LongForm(task_col)
        observed, n_rows = observed_long(y, *task_positions(task_labels(X, task_col))), _n_rows(X)
    elif is_named(y):
        form, y = "named", TaskTargets(y)
        observed, n_rows = observed_matrix(named_columns(y)), _n_rows(X)
    else:
        form, y, reader = "array", as_array(y), ArrayForm()
        observed, n_rows = observed_array(y), _n_rows(X)
    if observed.n_rows != n_rows:
        raise ValueError(f"X has {n_rows} rows, but y has {observed.n_rows}.")
    kinds = decide_kinds(observed, rules)
    given = reader.weights(sample_weight, observed)
    everything, observed, weights, _ = drop_unobserved(np.arange(n_rows), observed, given)
    tasks, encoded = encode(observed, kinds, rules)
    rows, targets = [], []
    of_tasks: list[NDArray] = []
    for t, (own, column) in enumerate(_split(observed, encoded)):
        rows.append(everything[own])
        targets.append(column)
        if weights is not None:
            of_tasks.append(weights[own] if weights.ndim == 1 else weights[own, t])
    weigh_rows = weights is None or weights.ndim == 1
    return TaskTable(X, y, form, tasks, rows, targets, n_rows, None if weights is None else of_tasks, weigh_rows)


def _split(observed: Observed, encoded: NDArray) -> Iterator[tuple[NDArray, NDArray]]:
    """(rows, targets) of every task."""
    if observed.task_of_row is None:
        for t in range(encoded.shape[1]):
            rows = np.flatnonzero(~np.isnan(encoded[:, t]))
            yield rows, encoded[rows, t]
        return
    order = np.argsort(observed.task_of_row, kind="stable")
    bounds = np.searchsorted(observed.task_of_row[order], np.arange(len(observed.names) + 1))
    for t in range(len(observed.names)):
        rows = order[bounds[t] : bounds[t + 1]]
        yield rows, encoded[rows]


def _n_rows(table: Any) -> int:
    return int(table.shape[0]) if hasattr(table, "shape") else len(table)


def _with_gaps(column: Any, hidden: NDArray) -> Any:
    """The column with the targets on `hidden` rows (mask) missing."""
    if not hidden.any():
        return column
    if not isinstance(column, np.ndarray):  # a pandas Series of categories
        return column.mask(hidden)
    if column.dtype.kind == "f":
        return np.where(hidden, np.nan, column)
    if column.dtype.kind in "iu" and not beyond_floats(column):
        return np.where(hidden, np.nan, column.astype(np.float64))
    gapped = column.astype(object)
    gapped[hidden] = None
    return gapped
