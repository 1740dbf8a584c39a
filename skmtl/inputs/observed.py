"""The targets of all tasks as read, in one of the two layouts of `TaskData`, kinds still open."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skmtl.inputs.columns import Column, as_array, read_column
from skmtl.inputs.magnitude import has_safe_squares, largest_magnitude, refuse_overflow
from skmtl.target_columns import beyond_floats
from skmtl.targets import TaskTargets


@dataclass(frozen=True)
class Observed:
    """What was observed of every task: numbers, or positions in its labels.

    Attributes
    ----------
    names : tuple of hashable, length n_tasks
    values : float64 ndarray of shape (n_rows, n_tasks), or (n_rows,) for labelled rows
        NaN = missing.
    labels : list of (ndarray or None), length n_tasks
        Distinct labels of a task whose `values` are positions in them; None for numbers.
    dtypes : list of numpy dtype, length n_tasks
        What a task's numbers were before; its class labels are given back in it.
    task_of_row : intp ndarray of shape (n_rows,), or None in the matrix layout
    owned : bool
        True when `values` is no array of the user's, so that it may be overwritten.
    one_column : bool
        True in the long form: all tasks come from one column, which has one kind.
    long_integers : frozenset of int
        Tasks whose labels are the numbers themselves, because float64 would merge some.
    number_texts : dict of {int: str}
        Tasks whose labels are numbers that were read as text, with an example.
    whole : Observed or None
        A few rows that tell the kinds of tasks, where these rows are a part of others.
    """

    names: tuple[Hashable, ...]
    values: NDArray
    labels: list[NDArray | None]
    dtypes: list[np.dtype]
    task_of_row: NDArray | None = None
    owned: bool = True
    one_column: bool = False
    long_integers: frozenset[int] = frozenset()
    number_texts: Mapping[int, str] = field(default_factory=dict)
    whole: Observed | None = None

    @property
    def n_rows(self) -> int:
        return len(self.values)

    def take(self, rows: NDArray) -> Observed:
        """The same tasks on some of the rows (positions or mask)."""
        task_of_row = None if self.task_of_row is None else self.task_of_row[rows]
        return replace(self, values=self.values[rows], task_of_row=task_of_row, owned=True)

    def writable(self) -> Observed:
        """The same with `values` that may be overwritten: nothing handed in is ever modified."""
        return self if self.owned else replace(self, values=self.values.copy(), owned=True)

    @property
    def tasks_by_row(self) -> NDArray:
        """`task_of_row` where the caller knows that the rows are labelled."""
        assert self.task_of_row is not None
        return self.task_of_row

    def rows_of(self, task: int) -> NDArray:
        """Positions of the rows in which a task has a target."""
        if self.task_of_row is None:
            return np.flatnonzero(~np.isnan(self.values[:, task]))
        return np.flatnonzero((self.task_of_row == task) & ~np.isnan(self.values))


def observed_matrix(columns: Mapping[Hashable, Any]) -> Observed:
    """Named columns of one length (a dict, `TaskTargets`, the columns of a frame)."""
    if not columns:
        raise ValueError("y holds no task: give at least one, for example {'price': [1.2, 3.4]}.")
    names = tuple(columns)
    read = [read_column(column, f"task {name!r}") for name, column in columns.items()]
    lengths = {len(column.values) for column in read}
    if len(lengths) > 1:
        first, n_first = names[0], len(read[0].values)
        other = next(t for t, column in enumerate(read) if len(column.values) != n_first)
        raise ValueError(
            f"The targets have different lengths: task {names[other]!r} has "
            f"{len(read[other].values)}, task {first!r} has {n_first}. With one X every task "
            "has one target per row, NaN where it is missing; tasks with their own rows need a "
            "dict X."
        )
    # Stacked as rows and transposed, every column is one block copy.
    values = read[0].values[:, None] if len(read) == 1 else np.stack([column.values for column in read]).T
    observed = _checked(Observed(names, values, owned=len(read) > 1, **_known_of(read)))
    told = columns.telling_values() if isinstance(columns, TaskTargets) else {}
    return replace(observed, whole=_whole(observed, told)) if told else observed


def _whole(observed: Observed, told: Mapping[Hashable, NDArray]) -> Observed:
    """The tasks as they are in all rows that these were cut from: by a few numbers in place of all."""
    read = {
        t: read_column(told[name], f"task {name!r}")
        for t, name in enumerate(observed.names)
        if name in told and (observed.labels[t] is None or t in observed.long_integers)
    }
    values = np.full((max([1, *(len(column.values) for column in read.values())]), len(observed.names)), np.nan)
    labels = list(observed.labels)
    for t, column in read.items():
        values[: len(column.values), t] = column.values
        labels[t] = column.labels
    long_integers = frozenset(t for t, column in read.items() if column.labels is not None)
    return replace(observed, values=values, labels=labels, long_integers=long_integers, owned=True)


def observed_array(y: Any) -> Observed:
    """An array of shape (n,) or (n, n_tasks); tasks are called 0, 1, 2, ..."""
    if hasattr(y, "to_numpy") and len(getattr(y, "shape", ())) == 1:
        return observed_matrix({0: y})  # a Series, whose dtype NumPy may not have
    array = _as_table(y)
    n_tasks = array.shape[1]
    if n_tasks == 0:
        raise ValueError(f"y holds no task: it has shape {array.shape}.")
    if array.dtype.kind == "f" or (array.dtype.kind in "iu" and not beyond_floats(array)):
        values = array.astype(np.float64, copy=False)
        return _checked(
            Observed(
                tuple(range(n_tasks)),
                values,
                [None] * n_tasks,
                [array.dtype] * n_tasks,
                owned=values is not array,
            )
        )
    return observed_matrix({t: array[:, t] for t in range(n_tasks)})


def observed_rows(columns: Mapping[Hashable, Any]) -> Observed:
    """A dict with own rows per task: stacked one task after the other."""
    names = tuple(columns)
    given = list(columns.values())
    if all(type(one) is np.ndarray and one.ndim == 1 and one.dtype.kind in "iuf" for one in given):
        # Thousands of small arrays: stacked first, so that the checks run once on the whole.
        sizes = [len(column) for column in given]
        stacked = np.concatenate(given)
        whole = any(column.dtype.kind in "iu" for column in given)
        if not (whole and beyond_floats(stacked)):
            task_of_row = np.repeat(np.arange(len(names)), sizes)
            values = stacked.astype(np.float64, copy=False)
            dtypes = [column.dtype for column in given]
            return _checked(Observed(names, values, [None] * len(names), dtypes, task_of_row))
    read = [read_column(column, f"task {name!r}") for name, column in columns.items()]
    task_of_row = np.repeat(np.arange(len(names)), [len(column.values) for column in read])
    values = np.concatenate([column.values for column in read])
    return _checked(Observed(names, values, task_of_row=task_of_row, **_known_of(read)))


def observed_long(y: Any, names: tuple[Hashable, ...], task_of_row: NDArray) -> Observed:
    """One column for all tasks, each row of the task that `task_of_row` says."""
    column = read_column(y, "the long form")
    if len(column.values) != len(task_of_row):
        raise ValueError(f"X and y have different lengths: X has {len(task_of_row)} rows, y has {len(column.values)}.")
    known = _known_of([column] * len(names))
    return _checked(Observed(names, column.values, task_of_row=task_of_row, owned=False, one_column=True, **known))


def _known_of(columns: list[Column]) -> dict[str, Any]:
    """What `Observed` keeps of the columns beside their values."""
    return {
        "labels": [column.labels for column in columns],
        "dtypes": [column.dtype for column in columns],
        "long_integers": frozenset(
            t for t, column in enumerate(columns) if column.is_number and column.labels is not None
        ),
        "number_texts": {t: column.number_text for t, column in enumerate(columns) if column.number_text is not None},
    }


def _checked(observed: Observed) -> Observed:
    """The same; ValueError that names the first task whose targets hold infinity, or where squares overflow."""
    values = observed.values
    if not values.size or has_safe_squares(values):
        return observed
    largest = largest_magnitude(values)
    if np.isinf(largest):
        first = np.argwhere(np.isinf(values))[0]
        task = first[1] if observed.task_of_row is None else observed.task_of_row[first[0]]
        raise ValueError(
            f"The targets of task {observed.names[task]!r} contain infinity; a target is a "
            "finite number, or NaN where it is missing."
        )
    refuse_overflow(largest, "y")
    return observed


def _as_table(y: Any) -> NDArray:
    """An array-like y as a two-dimensional array, a single task being one column."""
    array = as_array(y)
    if array.ndim == 1:
        array = array[:, None]
    if array.ndim != 2:
        shape = array.shape
        raise ValueError(
            "y should be a 1d array or a 2d array of shape (n_samples, n_tasks), got shape "
            f"{shape}. Expected array-like (array or non-string sequence), got "
            f"{type(y).__name__}."
        )
    return array
