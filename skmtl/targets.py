"""`TaskTargets`: named targets that scikit-learn can cut by rows."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skmtl.target_columns import as_column, common_dtype, is_missing, is_pyarrow, observed_values
from skmtl.whole_columns import telling_values

__all__ = [
    "TaskTargets",
    "as_column",
    "column_names",
    "is_missing",
    "is_named",
    "listed",
    "observed_values",
    "take_rows",
]

#: Tasks that ``repr`` lists before it abbreviates.
_SHOWN = 10


class TaskTargets(dict):
    """Named targets, one column per task, that scikit-learn can cut by rows.

    A dict {task: column}: iteration, ``in``, ``keys()`` and ``targets["task"]`` speak of tasks. Unlike
    a plain dict it has one length for all tasks: ``len()`` counts rows, ``shape`` is (n_rows, n_tasks) and
    ``targets[rows]`` is the `TaskTargets` of some rows. So it passes through every splitter, search,
    curve and scorer of scikit-learn, where a plain dict is refused. Rows that were cut out remember what they were
    cut from, so that a task has one kind: two prices of a fold, 1 and 2, are no classes. So do copies, pickles and
    rows that are joined again, but not frames (`to_frame`), nor a column that is put in anew.

    Parameters
    ----------
    columns : mapping {task: array-like of shape (n_rows,) or (n_rows, m)}, pandas, polars or pyarrow frame, \
or iterable of (task, column) pairs, default=()
        Columns may be NumPy arrays, lists, pandas or polars Series or pyarrow arrays, of any dtype. A missing target
        is NaN, None, NaT or pandas' NA. Two-dimensional columns hold class probabilities, as ``predict_proba``
        returns them. Columns are kept as NumPy arrays, except that categorical ones stay pandas Series; an
        index is dropped: rows are matched by position.

    Attributes
    ----------
    shape : tuple of int, (n_rows, n_tasks)
    n_rows : int

    Raises
    ------
    ValueError
        If the columns differ in length, or a frame has two columns of the same name.
    TypeError
        If the columns have no names.

    Examples
    --------
    >>> from skmtl.targets import TaskTargets
    >>> y = TaskTargets({"rain": ["yes", "no", None], "mm": [3.5, 0.0, 1.0]})
    >>> y.shape, len(y), list(y)
    ((3, 2), 3, ['rain', 'mm'])
    >>> y[[0, 2]]["mm"]
    array([3.5, 1. ])
    >>> y
    TaskTargets of 3 rows, 2 tasks
      rain  object   2 observed
      mm    float64  3 observed
    """

    ndim = 2

    def __init__(self, columns: Any = (), /) -> None:
        super().__init__()
        #: {task: columns that it was cut from}; a task that is not here is the whole.
        self._wholes: dict[Hashable, tuple[Any, ...]] = {}
        self.update(columns)

    # -- what makes it an array of rows -------------------------------------------------------

    @property
    def n_rows(self) -> int:
        """Number of rows; 0 when there is no task."""
        return next((len(column) for column in self.values()), 0)

    @property
    def shape(self) -> tuple[int, int]:
        """(n_rows, n_tasks)."""
        return self.n_rows, len(self.keys())

    def __len__(self) -> int:
        return self.n_rows

    def __bool__(self) -> bool:
        return len(self.keys()) > 0

    def __getitem__(self, key: Any) -> Any:
        if self._is_task(key):
            return super().__getitem__(key)
        if isinstance(key, tuple) and len(key) == 2 and key[1] is Ellipsis:
            return self._cut(key[0])  # how scikit-learn asks for rows
        if isinstance(key, (slice, range, list)) or (hasattr(key, "__array__") and np.ndim(key)):
            return self._cut(key)
        raise KeyError(f"no task {key!r}; the tasks are {listed(self)}")

    def _cut(self, rows: Any) -> Any:
        if not isinstance(rows, slice):
            rows = np.asarray(rows)
            rows = rows.astype(np.intp) if rows.size == 0 else rows
            if rows.dtype.kind not in "biu" or rows.ndim > 1:
                raise TypeError(
                    f"rows are integers, booleans or a slice, not {rows.tolist()!r}; the tasks are {listed(self)}"
                )
            if rows.dtype.kind == "b" and rows.shape != (self.n_rows,):
                raise IndexError(f"a mask of rows needs shape ({self.n_rows},), got {rows.shape}")
            if rows.ndim == 0:
                return {task: np.asarray(column)[rows] for task, column in self.items()}
        part = _unchecked((task, _rows_of(column, rows)) for task, column in self.items())
        part._wholes = {task: self._wholes.get(task) or (column,) for task, column in self.items()}
        return part

    def remembering(self, columns: Mapping[Hashable, Any]) -> TaskTargets:
        """Other columns for some of these tasks, cut from the same whole: with fewer targets, for example."""
        changed = TaskTargets(columns)
        changed._wholes = {task: self._wholes[task] for task in changed if task in self._wholes}
        return changed

    def telling_values(self) -> dict[Hashable, NDArray]:
        """{task: a few numbers that tell its kind} of the numeric tasks; empty where nothing was cut."""
        if not self._wholes:
            return {}
        found = {task: telling_values((*self._wholes.get(task, ()), column)) for task, column in self.items()}
        return {task: values for task, values in found.items() if values is not None}

    @property
    def iloc(self) -> _Rows:
        """Rows by position, as in pandas: ``targets.iloc[:5]``."""
        return _Rows(self)

    #: Rows have no labels, so that this too goes by position (scikit-learn passes masks here).
    loc = iloc

    def take(self, indices: Any, axis: int = 0) -> TaskTargets:
        """The rows at `indices`."""
        if axis != 0:
            raise ValueError(f"TaskTargets are cut by rows only (axis=0), got axis={axis}")
        return self._cut(indices)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray:
        """All targets as one array of shape (n_rows, n_tasks): of objects unless all are of one family.

        Whole numbers with gaps are objects too, unless `dtype` says otherwise: they may be classes, and scikit-learn,
        which asks what a classifier's targets are before it cuts them, refuses floats with NaN.
        """
        columns = [np.asarray(column) for column in self.values()]
        wide = [task for task, column in zip(self, columns) if column.ndim > 1]
        if wide:
            raise ValueError(
                f"Task {wide[0]!r} has several columns (class probabilities?), so the tasks do "
                "not fit into one array; take them by name"
            )
        if not columns:
            return np.empty((0, 0), dtype=dtype)
        common = common_dtype(columns)
        array = np.stack([column.astype(common) for column in columns], axis=1)
        if dtype is None and array.dtype.kind == "f" and _are_whole_with_gaps(array):
            return array.astype(object)
        return array.astype(dtype or common, copy=False)

    def __array_function__(self, func: Any, types: Any, args: tuple, kwargs: dict) -> Any:
        if func is np.concatenate and kwargs.get("axis", args[1] if len(args) > 1 else 0) == 0:
            if all(isinstance(part, TaskTargets) for part in args[0]):
                return _concatenate(list(args[0]))
        return func(*_plain(args), **_plain(kwargs))

    # -- what keeps it a valid dict -----------------------------------------------------------

    def _is_task(self, key: Any) -> bool:
        try:
            return dict.__contains__(self, key)
        except TypeError:  # not hashable: no name
            return False

    def __setitem__(self, task: Hashable, column: Any) -> None:
        self.update({task: column})

    def update(self, columns: Any = (), /, **more: Any) -> None:  # type: ignore[override]
        """Add or replace columns; nothing is changed when one of them does not fit."""
        new = {task: as_column(column, task) for task, column in [*_pairs(columns), *more.items()]}
        for task, column in new.items():
            if column.ndim not in (1, 2):
                raise ValueError(f"The targets of task {task!r} must have one value per row, got shape {column.shape}")
        stays = next((task for task in self if task not in new), None)
        first = next(iter(new), None) if stays is None else stays
        for task, column in new.items():
            n_rows = len(new[first] if stays is None else self[first])
            if len(column) != n_rows:
                raise ValueError(
                    "All tasks need the same number of rows, NaN or None where a target is "
                    f"missing: task {task!r} has {len(column)}, task {first!r} has {n_rows}"
                )
        super().update(new)
        known = columns._wholes if isinstance(columns, TaskTargets) else {}
        for task in new:
            self._wholes.pop(task, None)
            if task in known and task not in more:
                self._wholes[task] = known[task]

    def setdefault(self, task: Hashable, default: Any = None) -> Any:
        """The column of `task`; `default` is put in where there is none."""
        if not self._is_task(task):
            self[task] = default
        return self[task]

    def copy(self) -> TaskTargets:
        """The same columns in a new container."""
        same = _unchecked(self.items())
        same._wholes = dict(self._wholes)
        return same

    __copy__ = copy

    def __or__(self, other: Any) -> TaskTargets:
        joined = self.copy()
        joined.update(other)
        return joined

    def __ior__(self, other: Any) -> TaskTargets:  # type: ignore[override,misc]
        self.update(other)
        return self

    def __reduce__(self) -> tuple:
        told = self.telling_values()  # in place of whole columns, which may be long
        return TaskTargets, (dict(self),), {"_wholes": {task: (told[task],) for task in self._wholes if task in told}}

    def __eq__(self, other: Any) -> bool:
        """True for the same tasks with the same targets; missing equals missing."""
        if not isinstance(other, Mapping):
            return NotImplemented
        return self.keys() == other.keys() and all(_equal(self[task], other[task]) for task in self)

    def __ne__(self, other: Any) -> bool:
        return not self == other

    def __repr__(self) -> str:
        n_tasks = len(self.keys())
        lines = [f"TaskTargets of {self.n_rows} rows, {n_tasks} task{'s' * (n_tasks != 1)}"]
        table = [
            (
                str(task),
                str(column.dtype) + (f" x {column.shape[1]}" if column.ndim == 2 else ""),
                str(np.count_nonzero(~is_missing(np.asarray(column)).reshape(len(column), -1).any(axis=1))),
            )
            for task, column in list(self.items())[:_SHOWN]
        ]
        widths = [max((len(row[i]) for row in table), default=0) for i in range(3)]
        lines += [
            f"  {name:<{widths[0]}}  {dtype:<{widths[1]}}  {seen:>{widths[2]}} observed" for name, dtype, seen in table
        ]
        if n_tasks > _SHOWN:
            lines.append(f"  ... and {n_tasks - _SHOWN} more")
        return "\n".join(lines)

    def to_frame(self) -> Any:
        """A pandas DataFrame with one column per task, which does not remember what it was cut from.

        Where a task has several columns (class probabilities), the frame's columns are pairs
        (task, position).

        Returns
        -------
        frame : pandas.DataFrame of shape (n_rows, n_tasks)
        """
        import pandas as pd

        if all(column.ndim == 1 for column in self.values()):
            frame = pd.DataFrame(dict(enumerate(self.values())))
            frame.columns = pd.Index(list(self), tupleize_cols=False)
            return frame
        wide = {
            (task, j): np.asarray(column).reshape(len(column), -1)[:, j]
            for task, column in self.items()
            for j in range(1 if column.ndim == 1 else column.shape[1])
        }
        return pd.DataFrame(wide)


class _Rows:
    """``targets.iloc``: cuts by rows, never by names."""

    def __init__(self, targets: TaskTargets) -> None:
        self._targets = targets

    def __getitem__(self, rows: Any) -> Any:
        return self._targets._cut(rows)


def listed(names: Iterable[Hashable], limit: int = _SHOWN) -> str:
    """Names for an error message, the first few of many."""
    names = list(names)
    more = f", ... ({len(names)} in all)" if len(names) > limit else ""
    return "[" + ", ".join(map(repr, names[:limit])) + more + "]"


def is_named(y: Any) -> bool:
    """True for targets that come with names: a mapping, or a pandas, polars or pyarrow frame."""
    return isinstance(y, Mapping) or column_names(y) is not None


def column_names(table: Any) -> list | None:
    """Names of the columns of a pandas or polars DataFrame, or a pyarrow table or record batch; None for all else.

    A column is then ``table[name]``.
    """
    if is_pyarrow(table):
        return list(table.schema.names) if hasattr(table, "schema") else None
    return list(table.columns) if hasattr(table, "columns") and hasattr(table, "to_numpy") else None


def take_rows(table: Any, rows: NDArray) -> Any:
    """Some rows (positions or mask) of an array, sparse matrix, frame, Series, `TaskTargets` or list."""
    rows = np.flatnonzero(rows) if rows.dtype.kind == "b" else rows
    if hasattr(table, "iloc"):
        return table.iloc[rows]
    if is_pyarrow(table):
        return table.take(rows)
    if hasattr(table, "tocsr"):
        return table.tocsr()[rows]
    return table[rows] if hasattr(table, "shape") else np.asarray(table)[rows]


def _are_whole_with_gaps(array: NDArray) -> bool:
    gaps = np.isnan(array)
    return bool(gaps.any()) and bool(np.all(gaps | (array == np.floor(array))))


def _pairs(columns: Any) -> Iterator[tuple[Hashable, Any]]:
    """(task, column) of a mapping, a frame or pairs; ValueError for names that occur twice."""
    if isinstance(columns, Mapping):
        yield from columns.items()
    elif is_named(columns):
        names = column_names(columns) or []
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise ValueError(f"The frame has several columns named {twice!r}; every task needs its own name")
        yield from ((name, columns[name]) for name in names)
    elif isinstance(columns, np.ndarray) or not isinstance(columns, Iterable):
        raise TypeError(
            f"TaskTargets need names: give a dict {{task: column}} or a DataFrame, not {type(columns).__name__}"
        )
    else:
        yield from columns


def _unchecked(columns: Iterable[tuple[Hashable, Any]]) -> TaskTargets:
    """`TaskTargets` of columns that are known to fit: cutting thousands of tasks must be cheap."""
    targets = TaskTargets()
    dict.update(targets, columns)
    return targets


def _rows_of(column: Any, rows: Any) -> Any:
    return column[rows] if isinstance(column, np.ndarray) else column.iloc[rows].reset_index(drop=True)


def _concatenate(parts: list[TaskTargets]) -> TaskTargets:
    """The rows of all parts, one after the other; the order of tasks is that of the first."""
    for part in parts:
        if part.keys() != parts[0].keys():
            raise ValueError(
                f"TaskTargets with different tasks cannot be stacked: {listed(parts[0])} and {listed(part)}"
            )
    joined = {}
    for task in parts[0]:
        columns = [part[task] for part in parts]
        widths = {column.shape[1:] for column in columns}
        if len(widths) > 1:
            raise ValueError(
                f"The parts of task {task!r} cannot be stacked: their rows have the shapes "
                f"{sorted(widths)} (probabilities of different numbers of classes?)"
            )
        if any(isinstance(column, np.ndarray) for column in columns):
            arrays = [np.asarray(column) for column in columns]
            common = common_dtype(arrays)
            joined[task] = np.concatenate([array.astype(common, copy=False) for array in arrays])
        else:
            import pandas as pd

            joined[task] = pd.concat(columns, ignore_index=True)
    whole = _unchecked(joined.items())
    if any(part._wholes for part in parts):
        for task in joined:
            columns = [one for part in parts for one in part._wholes.get(task, (part[task],))]
            whole._wholes[task] = tuple({id(one): one for one in columns}.values())
    return whole


def _plain(value: Any) -> Any:
    """The same argument with arrays in place of `TaskTargets`."""
    if isinstance(value, TaskTargets):
        return np.asarray(value)
    if isinstance(value, (list, tuple)):
        return type(value)(map(_plain, value))
    return {key: _plain(one) for key, one in value.items()} if isinstance(value, dict) else value


def _equal(one: Any, other: Any) -> bool:
    one, other = np.asarray(one), np.asarray(as_column(other))
    missing = is_missing(one)
    return (
        one.shape == other.shape
        and np.array_equal(missing, is_missing(other))
        and bool(np.all(one[~missing] == other[~missing]))
    )
