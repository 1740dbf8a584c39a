"""One target column, from whatever holds it (NumPy, pandas, polars, a list) to numbers and labels."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skmtl.inputs.number_texts import number_text
from skmtl.target_columns import (
    as_column,
    beyond_floats,
    is_date,
    is_missing,
    is_pyarrow,
    listed_array,
    refuse_records,
)


@dataclass(frozen=True)
class Column:
    """Targets of one task as read, before anything is decided about its kind.

    Attributes
    ----------
    values : float64 ndarray of shape (n,)
        Numbers, or positions in `labels`; NaN = missing.
    labels : ndarray of shape (n_labels,), or None for numbers
        Distinct strings, booleans or categories, sorted; or the distinct whole numbers of a column in which some lie
        beyond 2**53, where float64 cannot tell neighbours apart.
    dtype : numpy dtype
        What the numbers were before they became float64: class labels are given back in it.
    is_number : bool
        Whether these are numbers, with or without labels.
    number_text : str or None
        An example, where the labels are numbers that were read as text.
    """

    values: NDArray
    labels: NDArray | None
    dtype: np.dtype
    is_number: bool = False
    number_text: str | None = None


def read_column(column: Any, whose: str) -> Column:
    """Numbers as float64, everything else as positions in its sorted labels; missing becomes NaN.

    Parameters
    ----------
    column : array-like of shape (n,) or (n, 1)
        NumPy array, pandas or polars Series, pyarrow array, or a list; any dtype.
    whose : str
        Whose targets they are, in errors: ``"task 'price'"``.

    Returns
    -------
    Column

    Raises
    ------
    ValueError
        If the column is not one-dimensional, or holds records, dates, complex numbers or a mixture of
        strings and numbers. (Infinity is refused by `observed.py`, for all tasks at once.)
    """
    if is_pyarrow(column):
        column = as_column(column)
    kind = getattr(getattr(column, "dtype", None), "kind", None)
    if not isinstance(column, np.ndarray) and kind is not None and not isinstance(column.dtype, np.dtype):
        return _read_extension(column, kind, whose)
    array = _one_column(column, whose)
    if array.dtype.kind in "iuf":
        values = array.astype(np.float64, copy=False)
        whole = _is_polars_integer(column)
        if (whole or array.dtype.kind in "iu") and beyond_floats(values):
            return _read_objects(np.asarray(as_column(column)).reshape(-1), whose)
        return Column(values, None, np.dtype(np.int64) if whole else array.dtype, is_number=True)
    if array.dtype.kind == "b":
        return Column(array.astype(np.float64), np.array([False, True]), array.dtype)
    if array.dtype.kind in "US":
        labels, codes = np.unique(array, return_inverse=True)
        return _texts(labels, codes.reshape(-1), np.ones(len(array), dtype=bool), array.dtype)
    if array.dtype.kind == "c":
        raise ValueError(f"Complex data not supported: the targets of {whose} are {array.dtype}.")
    if array.dtype.kind in "Mm":
        raise _refused_dates(whose, str(array.dtype))
    return _read_objects(array, whose)


def as_array(values: Any, whose: str = "y") -> NDArray:
    """A NumPy array in which nothing became a string by accident and what is masked is missing."""
    if is_pyarrow(values):
        return np.asarray(as_column(values))
    if hasattr(values, "to_numpy") and not isinstance(values, np.ndarray):
        return values.to_numpy()
    if isinstance(values, np.ma.MaskedArray):
        values = as_column(values)
    refuse_records(values, whose)
    try:
        array = listed_array(values)
    except ValueError as error:
        raise ValueError(f"The targets are no array: {error}") from None
    if array.dtype.kind in "US" and not isinstance(values, np.ndarray):
        array = np.asarray(values, dtype=object)  # NumPy turns [1, "a"] and ["a", nan] into strings silently
        if all(isinstance(value, str) for value in array.ravel().tolist()):
            array = array.astype(str)
    return array


def _one_column(column: Any, whose: str) -> NDArray:
    array = as_array(column, whose)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        raise ValueError(f"The targets of {whose} must be one-dimensional, got shape {array.shape}.")
    return array


def _read_extension(column: Any, kind: str, whose: str) -> Column:
    """A pandas column of a dtype that NumPy does not have: category, nullable, string, Arrow."""
    if hasattr(column, "array"):
        column = column.array
    if column.dtype.name == "category":
        labels = np.asarray(column.categories)
        codes = np.asarray(column.codes, dtype=np.float64)
        codes[codes < 0] = np.nan
        order = _argsort_labels(labels, whose)
        rank = np.empty(len(labels))
        rank[order] = np.arange(len(labels))
        present = ~np.isnan(codes)
        codes[present] = rank[codes[present].astype(np.intp)]
        return Column(codes, labels[order], labels.dtype)
    if kind in "iuf":
        values = column.to_numpy(dtype=np.float64, na_value=np.nan)
        if kind != "f" and beyond_floats(values):
            return _read_objects(np.asarray(as_column(column)), whose)
        dtype = np.dtype({"i": np.int64, "u": np.uint64, "f": np.float64}[kind])
        return Column(values, None, dtype, is_number=True)
    if kind in "Mm":
        return read_column(np.asarray(column, dtype=f"{kind}8[ns]"), whose)
    return _read_objects(np.asarray(column, dtype=object), whose)


def _read_objects(array: NDArray, whose: str) -> Column:
    """An array of objects: booleans, numbers or strings, told apart by the types that occur."""
    missing = is_missing(array)
    present = array[~missing]
    types = set(map(type, present.tolist()))
    values = np.full(len(array), np.nan)
    if types <= {bool, np.bool_}:
        values[~missing] = present.astype(np.float64)
        return Column(values, np.array([False, True]), np.dtype(bool))
    if all(issubclass(given, (Real, np.number, Decimal)) for given in types):
        values[~missing] = present.astype(np.float64)
        whole = all(issubclass(given, (int, np.integer)) for given in types)
        if whole and beyond_floats(values):
            return _read_long_integers(present, missing)
        return Column(values, None, np.dtype(np.int64 if whole else np.float64), is_number=True)
    if any(issubclass(given, (complex, np.complexfloating)) for given in types):
        raise ValueError(f"Complex data not supported: the targets of {whose} hold complex numbers.")
    dates = [given for given in types if is_date(given)]
    if dates:
        raise _refused_dates(whose, dates[0].__name__)
    if types & {list, tuple, dict, set, np.ndarray}:
        raise ValueError(f"The targets of {whose} hold several values in one cell; give every value a column.")
    try:
        labels, codes = np.unique(present, return_inverse=True)
    except TypeError:
        given = ", ".join(sorted(one.__name__ for one in types))
        raise ValueError(
            f"The targets of {whose} mix types that cannot be ordered ({given}); give all numbers, or all strings."
        ) from None
    return _texts(labels, codes.reshape(-1), ~missing, array.dtype)


def _texts(labels: NDArray, codes: NDArray, present: NDArray, dtype: np.dtype) -> Column:
    """Labels, and the position of the target among them in every row that has one."""
    values = np.full(len(present), np.nan)
    values[present] = codes
    return Column(values, labels, dtype, number_text=number_text(labels, codes))


def _read_long_integers(present: NDArray, missing: NDArray) -> Column:
    """Whole numbers some of which float64 would merge with their neighbours: positions among them."""
    labels, codes = np.unique(present, return_inverse=True)
    for dtype in (np.int64, np.uint64):
        limits = np.iinfo(dtype)
        if limits.min <= labels[0] and labels[-1] <= limits.max:
            labels = labels.astype(dtype)
            break
    values = np.full(len(missing), np.nan)
    values[~missing] = codes.reshape(-1)
    return Column(values, labels, labels.dtype, is_number=True)


def _refused_dates(whose: str, given: str) -> ValueError:
    return ValueError(
        f"The targets of {whose} are dates or durations ({given}); give numbers (for example days since a date) or "
        "class labels."
    )


def _argsort_labels(labels: NDArray, whose: str) -> NDArray:
    try:
        return np.argsort(labels)
    except TypeError:
        raise ValueError(
            f"The categories of {whose} mix types that cannot be ordered; give all numbers, or all strings."
        ) from None


def _is_polars_integer(column: Any) -> bool:
    """True for an integer polars Series, whose nulls turn it into float on the way to NumPy."""
    is_integer = getattr(getattr(column, "dtype", None), "is_integer", None)
    return callable(is_integer) and bool(is_integer())
