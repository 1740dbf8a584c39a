"""`stack_tasks`: tasks with rows of their own as one table and one `TaskTargets` with gaps."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from skmtl.inputs.forms import require_same_tasks
from skmtl.target_columns import as_frame
from skmtl.targets import TaskTargets, as_column, column_names, listed


def stack_tasks(X_by_task: Mapping[Hashable, Any], y_by_task: Mapping[Hashable, Any]) -> tuple[Any, TaskTargets]:
    """Tasks with rows of their own, as one X and one y that scikit-learn can split, search and score.

    Parameters
    ----------
    X_by_task : mapping of {task: array-like of shape (n_rows of the task, n_features)}
        NumPy arrays or lists, sparse matrices, pandas frames or polars frames; all of the same sort and with
        the same columns.
    y_by_task : mapping of {task: array-like of shape (n_rows of the task,)}
        The same tasks.

    Returns
    -------
    X : ndarray, CSR matrix or frame of shape (n_rows, n_features)
        The tasks' rows, one task below the other in the order of `X_by_task`; frames stay frames.
    y : TaskTargets of shape (n_rows, n_tasks)
        Missing (NaN, or None for labels, booleans and whole numbers, which stay whole) on the rows of
        the other tasks. That takes n_rows * n_tasks cells: for thousands of tasks prefer the long form.

    Raises
    ------
    ValueError
        Naming the task, when X and y have different tasks or lengths, or tables do not fit together.

    Examples
    --------
    >>> from skmtl.model_selection import stack_tasks
    >>> X, y = stack_tasks({"a": [[1.0], [2.0]], "b": [[3.0]]}, {"a": [0.5, 0.7], "b": ["yes"]})
    >>> X.shape, y["a"], y["b"]
    ((3, 1), array([0.5, 0.7, nan]), array([None, None, 'yes'], dtype=object))
    """
    if not isinstance(X_by_task, Mapping):
        raise ValueError(f"X_by_task must be a dict with a table per task, got {type(X_by_task).__name__}.")
    require_same_tasks(X_by_task, y_by_task)
    tables = {name: _as_table(table, name) for name, table in X_by_task.items()}
    columns = {name: as_column(y_by_task[name], name) for name in tables}
    for name, table in tables.items():
        if columns[name].ndim != 1:
            shape = columns[name].shape
            raise ValueError(f"The targets of task {name!r} must be one-dimensional, got shape {shape}.")
        if len(columns[name]) != table.shape[0]:
            raise ValueError(
                f"X and y of task {name!r} have different lengths: {table.shape[0]} rows and "
                f"{len(columns[name])} targets."
            )
    ends = np.cumsum([table.shape[0] for table in tables.values()])
    n_rows = int(ends[-1])
    y = {
        name: _placed(columns[name], int(end) - len(columns[name]), n_rows)
        for name, end in zip(tables, ends, strict=True)
    }
    return _stacked(tables), TaskTargets(y)


def _as_table(table: Any, name: Hashable) -> Any:
    """A frame or sparse matrix as it is, anything else as an array."""
    if column_names(table) is None and not sparse.issparse(table):
        table = np.asarray(table)
    if len(table.shape) != 2:
        raise ValueError(f"X of task {name!r} must be two-dimensional, got shape {table.shape}.")
    return table


def _stacked(tables: Mapping[Hashable, Any]) -> Any:
    first, *others = tables
    package = _package(tables[first])
    for name in others:
        _require_fit(tables, first, name)
    parts = list(tables.values())
    if package == "scipy":
        return sparse.vstack(parts, format="csr")
    if package == "pandas":
        import pandas as pd

        return pd.concat(parts, ignore_index=True)
    if package == "polars":
        import polars as pl

        return pl.concat(parts, how="vertical_relaxed")
    if package == "pyarrow":
        import pyarrow as pa

        return pa.concat_tables([as_frame(part) for part in parts], promote_options="permissive")
    return np.concatenate(parts)


def _package(table: Any) -> str:
    """Who knows how to stack it: "scipy", "pandas", "polars", "pyarrow" or "numpy"."""
    if sparse.issparse(table):
        return "scipy"
    return type(table).__module__.partition(".")[0] if column_names(table) is not None else "numpy"


def _require_fit(tables: Mapping[Hashable, Any], first: Hashable, name: Hashable) -> None:
    """ValueError unless the table of task `name` has the sort and the columns of the first one."""
    one, other = tables[first], tables[name]
    if _package(one) != _package(other):
        raise ValueError(
            f"X of task {name!r} is a {_package(other)} {type(other).__name__}, but that of task {first!r} a "
            f"{_package(one)} {type(one).__name__}; give all tasks the same sort of table."
        )
    names, others = column_names(one), column_names(other)
    if one.shape[1] != other.shape[1] and names is None:
        raise ValueError(
            f"X of task {name!r} has {other.shape[1]} features, but that of task {first!r} has {one.shape[1]}."
        )
    if names is not None and names != others:
        raise ValueError(
            f"X of task {name!r} has the columns {listed(others or ())}, but that of task {first!r} "
            f"has {listed(names)}; all tasks need the same columns in the same order."
        )


def _placed(column: Any, start: int, n_rows: int) -> Any:
    """`column` from row `start` on, missing elsewhere, among `n_rows` rows."""
    rows = slice(start, start + len(column))
    if not isinstance(column, np.ndarray):  # a pandas Series of categories
        return column.set_axis(range(n_rows)[rows]).reindex(range(n_rows))
    if len(column) == n_rows:
        return column
    gaps: NDArray
    if column.dtype.kind in "fc":
        gaps = np.full(n_rows, np.nan, dtype=column.dtype)
    elif column.dtype.kind in "mM":
        gaps = np.full(n_rows, np.array("NaT", dtype=column.dtype))
    else:
        gaps = np.full(n_rows, None, dtype=object)
    gaps[rows] = column
    return gaps
