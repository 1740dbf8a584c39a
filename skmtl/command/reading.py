"""A file to a data frame, and its targets checked: whatever is wrong with it is told in one sentence."""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

#: Numeric targets with at most so many distinct whole numbers might be classes.
_FEW = 10
#: A class needs so many labels on average for a column of texts to be a target.
_LABELS_PER_CLASS = 4


class BadData(Exception):
    """The data cannot be used; the message says why, and what to do."""


def read_file(path: Path) -> Any:
    """The table in a file.

    Parameters
    ----------
    path : Path
        ``.parquet`` / ``.pq``, or text with a header line: ``.tsv`` / ``.tab`` with tabs, anything else with
        commas or semicolons; compressed as pandas understands it.

    Returns
    -------
    frame : pandas.DataFrame

    Raises
    ------
    BadData
    """
    try:
        import pandas as pd
    except ImportError:
        raise BadData('reading files needs pandas: pip install "skmtl[report]"') from None
    if path.is_dir():
        raise BadData(f"{path} is a folder; give a .csv, .tsv or .parquet file")
    if not path.exists():
        raise BadData(f"there is no file {path}{_similar_file(path)}")
    try:
        if path.suffix.lower() in (".parquet", ".pq"):
            frame = pd.read_parquet(path)
        else:
            frame = _read_text(pd, path)
    except pd.errors.EmptyDataError:
        raise BadData(f"{path} is empty") from None
    except ImportError:
        raise BadData('reading Parquet needs pyarrow: pip install "skmtl[report]"') from None
    except UnicodeDecodeError:
        raise BadData(f"{path} is no text in UTF-8; save it as CSV in UTF-8, or as Parquet (.parquet)") from None
    except (OSError, ValueError, MemoryError) as error:  # pandas' and Arrow's own errors are ValueErrors or OSErrors
        raise BadData(f"{path} cannot be read: {_first_line(error)}") from None
    if not len(frame.columns) or not len(frame):
        raise BadData(f"{path} has {len(frame)} rows and {len(frame.columns)} columns; there is nothing to learn from")
    frame.columns = [str(name) for name in frame.columns]
    return frame.reset_index(drop=True)


def _read_text(pd: Any, path: Path) -> Any:
    if path.suffix.lower() in (".csv", ".tsv", ".tab", ".txt"):
        with path.open("rb") as file:
            if b"\0" in file.read(4096):
                raise BadData(f"{path} is no text file; give CSV, or Parquet with the ending .parquet")
    tabs = path.name.lower().removesuffix(".gz").endswith((".tsv", ".tab"))
    separator = "\t" if tabs else ","
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pd.errors.DtypeWarning)  # columns of mixed types become texts below
        header = pd.read_csv(path, sep=separator, header=None, nrows=1, dtype=str, encoding="utf-8-sig")
        if header.shape[1] == 1 and ";" in str(header.iat[0, 0]):
            separator = ";"
            header = pd.read_csv(path, sep=separator, header=None, nrows=1, dtype=str, encoding="utf-8-sig")
        names = [str(name) for name in header.iloc[0].dropna()]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise BadData(f"{path} has several columns called {', '.join(map(repr, twice))}; rename them")
        # Semicolons stand where commas are decimal, but not only there: what makes more columns numbers is right.
        decimals = (",", ".") if separator == ";" else (".",)
        frames = [pd.read_csv(path, sep=separator, decimal=decimal, encoding="utf-8-sig") for decimal in decimals]
    frame = max(frames, key=lambda one: one.select_dtypes("number").shape[1])
    if not isinstance(frame.index, pd.RangeIndex):
        raise BadData(f"{path} has lines with more fields than its header has names ({len(names)}); name every column")
    return frame


def require_columns(frame: Any, wanted: Sequence[str], flag: str) -> None:
    """BadData that names the first column that is not there, and those that look like it."""
    for name in wanted:
        if name not in frame.columns:
            near = difflib.get_close_matches(name, frame.columns, n=3)
            some = ", ".join(map(repr, list(frame.columns)[:12])) + (" ..." if len(frame.columns) > 12 else "")
            hint = f"did you mean {' or '.join(map(repr, near))}?" if near else f"the columns are {some}"
            raise BadData(f"{flag}: the table has no column {name!r}; {hint}")


def read_target(column: Any, name: str, kind: str | None) -> tuple[Any, str | None, str | None]:
    """A target ready to be learned, its kind where it was declared or had to be decided, and a remark on it.

    Parameters
    ----------
    column : pandas.Series
    name : str
        In messages.
    kind : str or None
        Declared by the user.

    Raises
    ------
    BadData
        If nothing can be learned of it.
    """
    present = column.dropna()
    if not len(present):
        raise BadData(f"target {name!r} has no value at all; leave it out")
    n_distinct = present.nunique()
    if n_distinct == 1:
        raise BadData(f"target {name!r} has the same value in every row, {present.iloc[0]!s:.40}; leave it out")
    is_numeric = column.dtype.kind in "iufb"
    if column.dtype.kind in "Mm":
        raise BadData(f"target {name!r} holds dates or durations; turn them into numbers first")
    if kind in ("regression", "count") and not is_numeric:
        example = next(value for value in present if not _is_number(value))
        raise BadData(f"--kinds {name}={kind}: {name!r} holds texts such as {str(example)[:40]!r}, no numbers")
    if kind == "count" and ((present < 0).any() or (present == 0).all()):
        raise BadData(f"--kinds {name}=count: counts are >= 0 and not all zero; the smallest is {present.min():.6g}")
    if kind == "binary" and n_distinct != 2:
        raise BadData(f"--kinds {name}=binary: {name!r} has {n_distinct} distinct values, not two")
    if is_numeric and column.dtype.kind != "b" and np.isinf(present.to_numpy(dtype=float)).any():
        raise BadData(f"target {name!r} holds infinity; leave the cell empty where the value is not known")
    is_classes = kind in ("binary", "multiclass") or not is_numeric
    if is_classes and n_distinct > 2 and n_distinct * _LABELS_PER_CLASS > len(present):
        raise BadData(
            f"target {name!r} has {n_distinct} distinct values in {len(present)} rows, too many for classes; "
            f"is it a number with stray texts, such as {str(present.iloc[0])[:40]!r}?"
        )
    if not is_numeric and column.dtype.name != "category":
        column = column.map(str, na_action="ignore").astype(object)
    if is_numeric and kind is None and 2 < n_distinct <= _FEW and bool((present == np.floor(present)).all()):
        few = f"target {name!r} holds {n_distinct} whole numbers, taken as numbers"
        return column, "regression", f"{few}; for classes: --kinds {name}=multiclass"
    return column, kind, None


def _is_number(value: Any) -> bool:
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    return True


def _similar_file(path: Path) -> str:
    folder = path.absolute().parent
    if not folder.is_dir():
        return f": there is no folder {folder}"
    near = difflib.get_close_matches(path.name, [other.name for other in folder.iterdir()], n=1)
    return f"; did you mean {near[0]}?" if near else ""


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
