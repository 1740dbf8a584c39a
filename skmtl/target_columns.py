"""One column of targets: how it is kept, whatever held it, and which of its entries are missing."""

from __future__ import annotations

import datetime
import sys
from collections.abc import Hashable
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: From here on float64 has gaps between whole numbers.
_EXACT = 2**53


def is_missing(column: Any) -> NDArray[np.bool_]:
    """Which entries of a column of targets are missing: NaN, None, NaT or pandas' NA.

    Parameters
    ----------
    column : array-like of shape (n,) or (n, m)
        NumPy array, pandas or polars Series, or list, of any dtype.

    Returns
    -------
    missing : bool ndarray of the same shape

    Examples
    --------
    >>> is_missing(["rain", None, "snow"]).tolist()
    [False, True, False]
    """
    array = column if type(column) is np.ndarray else np.asarray(as_column(column))
    kind = array.dtype.kind
    if kind in "fc":
        return np.isnan(array)
    if kind in "mM":
        return np.isnat(array)
    if kind != "O":
        return np.zeros(array.shape, dtype=bool)
    if sys.modules.get("pandas"):  # NA and NaT can only be there when pandas is
        import pandas as pd

        return np.asarray(pd.isna(array))
    return (np.equal(array, np.asarray(None)) | np.not_equal(array, array)).astype(bool)


def observed_values(column: Any) -> tuple[NDArray[np.intp], NDArray]:
    """The rows of a column that have a target, and the targets there in the dtype natural to them.

    Of an object array scikit-learn's metrics would not know what it holds.

    Parameters
    ----------
    column : array-like of shape (n,) or (n, 1)

    Returns
    -------
    rows : intp ndarray of shape (n_observed,)
    values : ndarray of shape (n_observed,)
    """
    values = np.asarray(as_column(column))
    values = values[:, 0] if values.ndim == 2 and values.shape[1] == 1 else values
    rows = np.flatnonzero(~is_missing(values))
    return rows, natural_dtype(values[rows])


def natural_dtype(values: NDArray) -> NDArray:
    """An object array of numbers as an array of numbers, one of strings as one of strings; else unchanged."""
    if values.dtype != object or not len(values):
        return values
    natural = np.asarray(values.tolist())
    mixture = natural.dtype.kind in "US" and not set(map(type, values.tolist())) <= {str, np.str_}
    return values if mixture or natural.shape != values.shape else natural


def as_column(values: Any, task: Hashable = None) -> Any:
    """One column as `TaskTargets` keeps it: a NumPy array, or a pandas Series where it is categorical.

    Categories say that their numbers are classes, which NumPy could not; all else loses nothing:
    integers, booleans and strings with gaps become object arrays with None.
    """
    package = type(values).__module__.partition(".")[0]
    if package == "pandas":
        return _from_pandas(values)
    if package == "polars":
        return _from_polars(values)
    if package == "pyarrow":
        return _from_pyarrow(values)
    if isinstance(values, np.ma.MaskedArray):
        if values.dtype.kind == "f":
            return np.ma.filled(values, np.nan)
        array = np.array(values.data, dtype=object if np.ma.is_masked(values) else None)
        array[np.ma.getmaskarray(values)] = None
        return array
    refuse_records(values, f"task {task!r}")
    try:
        array = listed_array(values)
    except ValueError as error:
        raise ValueError(f"The targets of task {task!r} are no array: {error}") from None
    if array.dtype.kind in "US" and not isinstance(values, np.ndarray) and array.ndim == 1:
        # NumPy silently turns ["a", nan] into the strings "a" and "nan".
        if not set(map(type, values)) <= {str, np.str_}:
            return np.asarray(values, dtype=object)
    return array


def is_date(kind: type) -> bool:
    """True for the type of a date, a time or a duration: Python's, NumPy's or pandas'."""
    dates = (datetime.date, datetime.time, datetime.timedelta, np.datetime64, np.timedelta64)
    return issubclass(kind, dates) or (kind.__name__ == "Period" and kind.__module__.startswith("pandas"))


def is_pyarrow(values: Any) -> bool:
    """True for an array, chunked array, table or record batch of pyarrow."""
    return type(values).__module__.partition(".")[0] == "pyarrow"


def as_frame(table: Any) -> Any:
    """A record batch of pyarrow as a table, which scikit-learn knows the names of; anything else as it is."""
    if not is_pyarrow(table) or not hasattr(table, "schema"):
        return table
    import pyarrow as pa

    return pa.table(table)


def common_dtype(arrays: list[NDArray]) -> np.dtype:
    """The dtype that holds them all, turns no number into a string and merges no two: objects where there is none."""
    families = {"number" if array.dtype.kind in "biuf" else array.dtype.kind for array in arrays}
    common = np.dtype(object) if len(families) > 1 else np.result_type(*arrays)
    merges = common.kind == "f" and any(array.dtype.kind in "iu" and beyond_floats(array) for array in arrays)
    return np.dtype(object) if merges else common


def beyond_floats(values: NDArray) -> bool:
    """Whether some number is so large that float64 may not tell it from the next whole number."""
    if not values.size:
        return False
    # One pass over each end; NaN is passed over.
    return bool(np.fmax.reduce(values, axis=None) >= _EXACT or np.fmin.reduce(values, axis=None) <= -_EXACT)


def listed_array(values: Any) -> NDArray:
    """`np.asarray`, but objects where it makes floats of the whole numbers in a list with gaps, and digits are lost."""
    array = np.asarray(values)
    if array.dtype.kind == "f" and not hasattr(values, "dtype") and beyond_floats(array):
        return np.asarray(values, dtype=object)
    return array


def refuse_records(values: Any, whose: str) -> None:
    """ValueError for a structured array, whose rows are neither numbers nor labels."""
    fields = getattr(getattr(values, "dtype", None), "names", None)
    if fields:
        some = ", ".join(map(repr, fields[:5])) + (", ..." if len(fields) > 5 else "")
        raise ValueError(
            f"The targets of {whose} are records with the fields {some}; give every field as a task of its own: "
            "{field: y[field] for field in y.dtype.names}."
        )


def _from_pandas(values: Any) -> Any:
    import pandas as pd

    if isinstance(values, pd.DataFrame):
        return values.to_numpy()
    series = values if isinstance(values, pd.Series) else pd.Series(values)
    dtype = series.dtype
    if isinstance(dtype, np.dtype):
        return series.to_numpy()
    if isinstance(dtype, pd.CategoricalDtype):
        return series.reset_index(drop=True)
    if isinstance(dtype, pd.SparseDtype):
        return np.asarray(series)
    if dtype.kind == "f":
        return series.to_numpy(dtype=np.float64, na_value=np.nan)
    if dtype.kind in "biu" and not series.hasnans:
        return series.to_numpy(dtype={"b": bool, "i": np.int64, "u": np.uint64}[dtype.kind])
    return series.to_numpy(dtype=object, na_value=None)


def _from_polars(values: Any) -> Any:
    if values.dtype.is_integer() and values.null_count():
        return np.array(values.to_list(), dtype=object)  # to_numpy would make floats of them
    return values.to_numpy()


def _from_pyarrow(values: Any) -> Any:
    """A (chunked) array; of a table or record batch all columns side by side."""
    if not hasattr(values, "type"):
        columns = [np.asarray(as_column(column)) for column in values.itercolumns()]
        common = common_dtype(columns)
        return np.stack([column.astype(common, copy=False) for column in columns], axis=1)
    kind = str(values.type)
    if kind.startswith("dictionary<values=") and "string" not in kind:
        return as_column(values.to_pandas())  # categories, whose numbers are classes
    if kind.startswith(("float", "double", "halffloat", "date", "timestamp", "duration")):
        return np.asarray(values)
    if values.null_count or not kind.startswith(("int", "uint")):
        column = np.fromiter(values.to_pylist(), dtype=object, count=len(values))
        return column if values.null_count else natural_dtype(column)
    return np.asarray(values)
