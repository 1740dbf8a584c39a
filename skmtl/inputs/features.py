"""The features: every accepted X to one float array or CSR matrix, and the task labels of the long form."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.utils import check_array
from sklearn.utils.validation import validate_data

from skmtl.inputs.feature_faults import refuse_no_finite_number, refuse_what_is_no_number
from skmtl.inputs.magnitude import has_safe_squares, largest_magnitude, refuse_overflow
from skmtl.target_columns import as_column, as_frame, is_missing, is_pyarrow
from skmtl.targets import column_names, listed

#: float32 stays float32; every other dtype becomes float64. Sparse formats become CSR, never dense.
ACCEPTED: dict[str, Any] = {"accept_sparse": "csr", "dtype": (np.float64, np.float32)}
#: One of many tables, which may have few rows: what all must have is asked of them together.
_ANY_SIZE: dict[str, Any] = {**ACCEPTED, "ensure_min_samples": 0, "ensure_min_features": 0}


def is_dict_of_tables(X: Any) -> bool:
    """True for a mapping of tables: scipy's dictionary of keys is a mapping too, but a table."""
    return isinstance(X, Mapping) and not sparse.issparse(X)


def read_features(estimator: Any, X: Any, *, reset: bool) -> Any:
    """One X for all tasks, checked; `n_features_in_` and `feature_names_in_` are set or compared."""
    refuse_duplicate_names(X)
    X = as_frame(X)
    refuse_what_is_no_number(X, estimator)
    try:
        return _checked(X, partial(validate_data, estimator, reset=reset), reset)
    except (TypeError, ValueError) as error:
        raise _with_advice(error, estimator, X) from None


def stack_features(estimator: Any, tables: Mapping[Hashable, Any], *, reset: bool) -> tuple[Any, NDArray]:
    """Own rows per task: the tables stacked one after the other, and the number of rows of each.

    Many small tables are checked as one, which is what makes thousands of tasks cheap.
    """
    names = list(tables)
    # Where one table has names all must: columns without names may stand in any order, whichever table comes first.
    first_name = next((name for name, table in tables.items() if column_names(table) is not None), names[0])
    first = tables[first_name]
    columns = column_names(first)
    for name, table in tables.items():
        if columns is not None and column_names(table) != columns:
            raise ValueError(
                f"The tables of X must have the same columns in the same order: task {name!r} "
                f"has {_described(table)}, task {first_name!r} has {listed(columns)}."
            )
    refuse_duplicate_names(first)
    first = as_frame(first)
    parts = [_table(table, name, estimator) for name, table in tables.items()]
    for name, part in zip(names, parts, strict=True):
        if part.shape[1] != parts[0].shape[1]:
            raise ValueError(
                f"The tables of X must have the same number of features: task {name!r} has shape "
                f"{part.shape}, task {first_name!r} has {parts[0].shape}."
            )
    sizes = np.array([part.shape[0] for part in parts])
    validate_data(estimator, first, reset=reset, skip_check_array=True)  # names and number of features
    some_sparse = any(not isinstance(part, np.ndarray) for part in parts)
    stacked = sparse.vstack(parts, format="csr") if some_sparse else np.concatenate(parts)
    try:
        return _checked(stacked, partial(check_array, estimator=estimator, input_name="X"), reset), sizes
    except ValueError as error:
        raise _with_own_advice(error, estimator, dict(zip(names, parts, strict=True)), columns) from None


def split_task_column(estimator: Any, X: Any, task_col: Any, *, reset: bool) -> tuple[NDArray, Any]:
    """The long form: task label of every row, and the features without the column of labels.

    `n_features_in_` and `feature_names_in_` describe X as it was handed over, labels included.
    """
    refuse_duplicate_names(X)
    X, position = _long_table(as_frame(X), task_col)
    validate_data(estimator, X, reset=reset, skip_check_array=True)
    columns = column_names(X)
    others = np.delete(np.arange(X.shape[1]), position)
    if not len(others):
        raise ValueError(f"X has no column beside task_col={task_col!r}; give at least one feature.")
    table = X[:, others] if columns is None else _columns_of(X, [columns[j] for j in others])
    refuse_what_is_no_number(table, estimator)
    try:
        features = _checked(table, partial(check_array, estimator=estimator, input_name="X"), reset)
    except ValueError as error:
        raise _with_advice(error, estimator, table) from None
    return _labels(X, position, task_col), features


def task_labels(X: Any, task_col: Any) -> NDArray:
    """The long form: task label of every row."""
    X, position = _long_table(X, task_col)
    return _labels(X, position, task_col)


def task_positions(labels: NDArray) -> tuple[tuple[Hashable, ...], NDArray]:
    """Distinct task labels, sorted, and the position of every row's label among them."""
    try:
        distinct, position = np.unique(labels, return_inverse=True)
    except TypeError:
        types = sorted({type(label).__name__ for label in labels.tolist()})
        raise ValueError(
            f"The task labels mix types that cannot be ordered ({', '.join(types)}); give all strings, or all numbers."
        ) from None
    return tuple(distinct.tolist()), position.reshape(-1)


def refuse_duplicate_names(table: Any, what: str = "X") -> None:
    """ValueError that lists the column names a frame has more than once."""
    columns = column_names(table)
    if columns is not None and len(set(columns)) < len(columns):
        twice = sorted({name for name in columns if columns.count(name) > 1}, key=str)
        raise ValueError(f"{what} has duplicate column names: {listed(twice)}; every column needs a name of its own.")


def _checked(X: Any, check: Callable[..., Any], reset: bool) -> Any:
    """What `check`, of scikit-learn, makes of X; it does not look again for what a faster pass has not found."""
    is_safe = type(X) is np.ndarray and X.ndim == 2 and has_safe_squares(X)
    table = check(X, ensure_all_finite=not is_safe, **ACCEPTED)
    if reset and not is_safe:
        values = table.data if sparse.issparse(table) else table
        if values.dtype == np.float64 and values.size and not has_safe_squares(values):
            refuse_overflow(largest_magnitude(values), "X")
    return table


def _columns_of(frame: Any, names: list) -> Any:
    """Some columns of a frame."""
    return frame.select(names) if is_pyarrow(frame) else frame[names]


def _described(table: Any) -> str:
    columns = column_names(table)
    return f"a {type(table).__name__} without names" if columns is None else listed(columns)


def _table(table: Any, name: Hashable, estimator: Any) -> Any:
    """One task's rows as an array or sparse matrix; missing values of a frame become NaN."""
    if sparse.issparse(table):
        return table
    if isinstance(table, np.ndarray):
        array = np.asarray(table)
    elif column_names(table) is None:
        array = np.asarray(table.to_numpy() if hasattr(table, "to_numpy") else table)
    else:
        table = as_frame(table)
        refuse_what_is_no_number(table, estimator, name)
        is_plain = hasattr(table, "to_numpy") and all(type(dtype) is np.dtype for dtype in table.dtypes)
        return table.to_numpy() if is_plain else check_array(table, ensure_all_finite=False, **_ANY_SIZE)
    if array.ndim != 2:
        raise ValueError(f"X of task {name!r} must be two-dimensional, got shape {array.shape}.")
    refuse_what_is_no_number(array, estimator, name)
    return array


def _long_table(X: Any, task_col: Any) -> tuple[Any, int]:
    """X as a frame, a CSR matrix or an array, and the position of its column of task labels."""
    columns = column_names(X)
    if columns is None:
        X = X.tocsr() if sparse.issparse(X) else np.asarray(X)
        if X.ndim != 2:
            raise ValueError(
                f"Expected 2D array, got {X.ndim}D array instead. Reshape your data: the long "
                f"form is a table whose column {task_col!r} holds the task of each row."
            )
    elif task_col in columns:
        return X, columns.index(task_col)
    is_position = isinstance(task_col, (int, np.integer)) and not isinstance(task_col, bool)
    if is_position and -X.shape[1] <= task_col < X.shape[1]:
        return X, int(task_col) % X.shape[1]
    if columns is not None:
        raise ValueError(f"task_col={task_col!r} is no column of X; the columns are {listed(columns)}.")
    allowed = f"a position from 0 to {X.shape[1] - 1}" if is_position else "a position, or X as a DataFrame"
    raise ValueError(
        f"task_col={task_col!r} is no column of X, a {type(X).__name__} of shape {X.shape}; give {allowed}."
    )


def _labels(X: Any, position: int, task_col: Any) -> NDArray:
    """Task labels without gaps; whole floats, as a numeric table holds them, become integers."""
    columns = column_names(X)
    if columns is not None:
        labels = np.asarray(as_column(X[columns[position]]))
    else:
        labels = X[:, [position]].toarray()[:, 0] if sparse.issparse(X) else X[:, position]
    missing = is_missing(labels)
    if missing.any():
        raise ValueError(
            f"The task column {task_col!r} of X is missing in {int(missing.sum())} rows (the "
            f"first is row {int(np.argmax(missing))}); every row needs the label of its task."
        )
    whole = labels.dtype.kind == "f" and np.array_equal(labels, np.floor(labels))
    return labels.astype(np.int64) if whole and np.abs(labels).max(initial=0) < 2**53 else labels


def _with_advice(error: Exception, estimator: Any, X: Any) -> Exception:
    """scikit-learn's error; where X holds no number, NaN or infinity, one that names the column is raised."""
    if isinstance(X, (list, tuple)):
        refuse_what_is_no_number(np.asarray(X, dtype=object), estimator)  # no array could tell texts from numbers
    infinite = _is_about_infinity(error)
    if infinite is not None:
        table = check_array(X, ensure_all_finite=False, **ACCEPTED)
        refuse_no_finite_number(table, infinite, estimator, column_names(X))
    return error


def _with_own_advice(error: Exception, estimator: Any, tables: Mapping[Hashable, Any], columns: Any) -> Exception:
    """The same for own rows: the first task that has it, and the column."""
    infinite = _is_about_infinity(error)
    if infinite is not None:
        for name, table in tables.items():
            refuse_no_finite_number(table, infinite, estimator, columns, name)
    return error


def _is_about_infinity(error: Exception) -> bool | None:
    """Whether scikit-learn found infinity (True) or NaN (False) in X; None for any other error."""
    message = str(error)
    if "infinity" in message:
        return True
    return False if "contains NaN" in message or "contain NaN" in message else None
