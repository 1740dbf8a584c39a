"""What is no number in X, told by the name of its column, and what to do about it."""

from __future__ import annotations

from collections.abc import Hashable
from decimal import Decimal
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from skmtl.target_columns import as_column, is_date, is_missing
from skmtl.targets import column_names

#: Stands for "not of one task", which None could be called.
_NOBODY = object()


def refuse_what_is_no_number(X: Any, estimator: Any, task: Hashable = _NOBODY) -> None:
    """Error that names the first column of X which holds texts, dates or other objects; nothing is converted.

    A frame is judged by the types of its columns and an array of numbers by its own, so that rows are looked at only
    where those say nothing. Texts that are numbers pass, as they do in scikit-learn. Missing values pass, but for
    pandas' NA among objects, which NumPy cannot make a number of.

    Parameters
    ----------
    X : array, sparse matrix, or pandas, polars or pyarrow frame of shape (n_rows, n_features)
    estimator : estimator instance
        Named in the advice.
    task : hashable
        Whose own rows these are, in a dict of X.

    Raises
    ------
    ValueError
        For texts and dates.
    TypeError
        For other objects, as everywhere in scikit-learn.
    """
    names = column_names(X)
    if names is not None:
        columns = ((name, X[name]) for name, dtype in zip(names, _dtypes(X), strict=True) if not _is_numeric(dtype))
    elif isinstance(X, np.ndarray) and X.ndim == 2 and X.dtype.kind in "OUSMmV":
        columns = ((j, X[:, j]) for j in range(X.shape[1]))
    else:
        return
    for name, column in columns:
        column = np.asarray(as_column(column))
        missing = is_missing(column)
        found = _what_else(column[~missing])
        if found is not None:
            what, advice, error = found
            raise error(f"Column {name!r} of {_whose(task)} holds {what}, but features are numbers: {advice}.")
        if missing.any() and not _are_floats(column[missing]):
            raise missing_in(name, task, estimator)


def refuse_no_finite_number(
    table: Any, infinite: bool, estimator: Any, names: list | None = None, task: Hashable = _NOBODY
) -> None:
    """ValueError that names the first column of numbers with a missing value, or with an infinite one.

    Parameters
    ----------
    table : ndarray or sparse matrix of shape (n_rows, n_features)
    infinite : bool
        Which of the two is looked for.
    estimator, task : as in `refuse_what_is_no_number`
    names : list of length n_features, or None
    """
    is_bad = np.isinf if infinite else np.isnan
    if sparse.issparse(table):
        entries = table.tocoo()
        columns = entries.col[is_bad(entries.data)]
    else:
        if table.dtype.kind not in "fc":
            table = table.astype(np.float64)
        columns = np.flatnonzero(is_bad(table).any(axis=0))
    if not len(columns):
        return
    name = int(columns.min()) if names is None else names[int(columns.min())]
    if not infinite:
        raise missing_in(name, task, estimator)
    raise ValueError(
        f"Input {_whose(task)} contains infinity or a value too large for dtype('{table.dtype}') in column {name!r}."
    )


def missing_in(column: Hashable, task: Hashable, estimator: Any) -> ValueError:
    """The error for a missing value in a column of X: what helps."""
    name = type(estimator).__name__
    return ValueError(
        f"Input {_whose(task)} contains NaN in column {column!r}. {name} needs complete features: put an imputer "
        f"before it, for example make_pipeline(sklearn.impute.SimpleImputer(), {name}()). Missing targets are fine."
    )


def _whose(task: Hashable) -> str:
    return "X" if task is _NOBODY else f"X of task {task!r}"


def _dtypes(frame: Any) -> list:
    if hasattr(frame, "schema") and hasattr(frame, "column_names"):
        return list(frame.schema.types)  # pyarrow
    return list(frame.dtypes)


def _is_numeric(dtype: Any) -> bool:
    """Numbers and booleans by their type alone: of NumPy, pandas, polars or pyarrow."""
    kind = getattr(dtype, "kind", None)
    if kind is not None:
        return kind in "biufc"
    is_numeric = getattr(dtype, "is_numeric", None)
    if callable(is_numeric):  # polars
        return bool(is_numeric()) or str(dtype) == "Boolean"
    return str(dtype).startswith(("int", "uint", "float", "double", "halffloat", "bool", "decimal"))


def _what_else(present: NDArray) -> tuple[str, str, type[Exception]] | None:
    """What a column holds that is no number, advice, and the kind of error that it is; None for numbers."""
    if present.dtype.kind in "biufc" or not len(present):
        return None
    if present.dtype.kind in "Mm":
        return _dates(present[0])
    values = present.tolist()
    for value in values:
        if isinstance(value, (Real, Decimal, complex, np.bool_)) and not is_date(type(value)):
            continue
        if is_date(type(value)):
            return _dates(value)
        if isinstance(value, (str, bytes)):
            if not _is_text_of_number(value):
                return _texts(value)
            continue
        return (
            f"objects of type {type(value).__name__}",
            "an argument must be a string of a number or a number, so make columns of numbers of what they hold",
            TypeError,
        )
    return None


def _is_text_of_number(text: str | bytes) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _texts(value: Any) -> tuple[str, str, type[Exception]]:
    shown = f"{value!r:.40}"
    return (
        f"strings (for example {shown})",
        "encode them before, by sklearn.preprocessing.OneHotEncoder or OrdinalEncoder in a ColumnTransformer, or all "
        "columns by skrub.TableVectorizer, in a pipeline",
        ValueError,
    )


def _dates(value: Any) -> tuple[str, str, type[Exception]]:
    return (
        f"dates or durations (for example {value!s:.30})",
        "turn them into numbers before, for example days since a date, or all columns by skrub.TableVectorizer, in a "
        "pipeline",
        ValueError,
    )


def _are_floats(values: NDArray) -> bool:
    """Whether all missing values are of a kind that becomes NaN in an array of floats: None and NaN, not pandas' NA."""
    return values.dtype.kind != "O" or all(value is None or isinstance(value, float) for value in values.tolist())
