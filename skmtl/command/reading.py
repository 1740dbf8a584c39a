"""A file to a data frame, and its targets checked: whatever is wrong with it is told in one sentence."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from skmtl.command.numbers import is_numeric, read_numbers, without_marks

#: Numeric targets with at most so many distinct whole numbers might be classes.
_FEW = 10
#: A class needs so many labels on average for a column of texts to be a target.
_LABELS_PER_CLASS = 4


class BadData(Exception):
    """The data cannot be used; the message says why, and what to do."""


@dataclass(frozen=True)
class Format:
    """How a file is written, where that is not to be found out; parameters as in `pandas.read_csv`.

    Attributes
    ----------
    sep, decimal, encoding : str or None
        None: comma, semicolon, tab or bar; point or comma; UTF-8, or UTF-16 where the file says so.
    missing : tuple of str
        What else stands for a missing value, beside an empty cell, NA, NaN, null and the like.
    skip_rows : int
        Lines before the header.
    """

    sep: str | None = None
    decimal: str | None = None
    encoding: str | None = None
    missing: tuple[str, ...] = ()
    skip_rows: int = 0


def read_file(path: Path, how: Format = Format()) -> tuple[Any, str]:
    """The table in a file.

    Parameters
    ----------
    path : Path
        ``.parquet`` / ``.pq``, ``.xlsx`` (first sheet), or text with a header line, compressed as pandas knows it.
    how : Format

    Returns
    -------
    frame : pandas.DataFrame
        Without rows in which everything is missing.
    decimal : {".", ","}
        What its numbers are written with.

    Raises
    ------
    BadData
    """
    try:
        import pandas as pd
    except ImportError:
        raise BadData('reading files needs pandas: pip install "skmtl[report]"') from None
    if path.is_dir():
        raise BadData(f"{path} is a folder; give a .csv, .tsv, .xlsx or .parquet file")
    if not path.exists():
        raise BadData(f"there is no file {path}{_similar_file(path)}")
    ending, decimal = path.suffix.lower(), "."
    try:
        if ending in (".parquet", ".pq"):
            frame = pd.read_parquet(path)
            marks = [*how.missing, *(float(mark) for mark in how.missing if _is_number(mark))]
            frame = frame.mask(frame.isin(marks)) if marks else frame
        elif ending in (".xlsx", ".xlsm"):
            frame = _read_sheet(pd, path, how)
        elif ending in (".xls", ".ods"):
            raise BadData(f"{path}: save the sheet as .xlsx or .csv; {ending} is not read")
        else:
            frame, decimal = _read_text(pd, path, how)
    except pd.errors.EmptyDataError:
        raise BadData(f"{path} is empty") from None
    except ImportError:
        package = "openpyxl" if ending.startswith(".xls") else "pyarrow"
        raise BadData(f'reading {ending} needs {package}: pip install "skmtl[report]"') from None
    except UnicodeDecodeError:
        encoding = how.encoding or "UTF-8"
        raise BadData(f"{path} is no text in {encoding}; say which: --encoding latin-1, cp1252, utf-16 ...") from None
    except LookupError as error:
        raise BadData(f"--encoding: {_first_line(error)}") from None
    except (OSError, ValueError, MemoryError, BadZipFile) as error:  # pandas' and Arrow's errors are some of these
        raise BadData(f"{path} cannot be read: {_first_line(error)}") from None
    if not len(frame.columns) or not len(frame):
        raise BadData(f"{path} has {len(frame)} rows and {len(frame.columns)} columns; there is nothing to learn from")
    frame.columns = [str(name) for name in frame.columns]
    return frame.dropna(how="all").reset_index(drop=True), decimal


def _read_text(pd: Any, path: Path, how: Format) -> tuple[Any, str]:
    encoding = how.encoding or "utf-8-sig"
    if path.suffix.lower() in (".csv", ".tsv", ".tab", ".txt"):
        with path.open("rb") as file:
            start = file.read(4096)
        if start.startswith((b"\xff\xfe", b"\xfe\xff")):
            encoding = how.encoding or "utf-16"
        elif b"\0" in start and not encoding.lower().startswith("utf-16"):
            raise BadData(f"{path} is no text file; give CSV, or Parquet with the ending .parquet")
    form = {"encoding": encoding, "skiprows": how.skip_rows, "skipinitialspace": True}
    separator = how.sep or _separator(pd, path, form)
    header = pd.read_csv(path, sep=separator, header=None, nrows=1, dtype=str, **form)
    names = [str(name).strip() for name in header.iloc[0].dropna()]
    _refuse_duplicates(path, names)
    form |= {"sep": separator, "na_values": [*how.missing], "low_memory": False}
    # Semicolons stand where commas are decimal, but not only there: what makes more columns numbers is right.
    decimals = [how.decimal] if how.decimal else [",", "."] if separator in (";", "\t") else ["."]
    frames = {decimal: pd.read_csv(path, decimal=decimal, **form) for decimal in decimals}
    decimal = max(frames, key=lambda one: frames[one].select_dtypes("number").shape[1])
    frame = frames[decimal]
    if not isinstance(frame.index, pd.RangeIndex):
        raise BadData(
            f"{path} has lines with more fields than its header has names ({len(names)}); name every column, or say "
            "what stands between fields, --sep, or how many lines stand before the header, --skip-rows"
        )
    frame.columns = [str(name).strip() for name in frame.columns]
    return frame, decimal


def _separator(pd: Any, path: Path, form: dict[str, Any]) -> str:
    """What makes the most fields of the header."""
    candidates = [",", ";", "\t", "|"]
    if path.name.lower().removesuffix(".gz").endswith((".tsv", ".tab")):
        return "\t"

    def n_fields(separator: str) -> int:
        return pd.read_csv(path, sep=separator, header=None, nrows=1, dtype=str, **form).shape[1]

    return max(candidates, key=n_fields)


def _read_sheet(pd: Any, path: Path, how: Format) -> Any:
    """The first sheet: cells keep their types, which are a column's where all of its cells have one."""
    cells = pd.read_excel(path, header=None, skiprows=how.skip_rows, na_values=[*how.missing], engine="openpyxl")
    if not len(cells):
        raise BadData(f"{path} is empty")
    is_used = cells.notna().any(axis=0)
    cells = cells.loc[:, is_used]
    names = [f"Unnamed: {j}" if pd.isna(name) else str(name).strip() for j, name in enumerate(cells.iloc[0])]
    _refuse_duplicates(path, names)
    frame = cells.iloc[1:].set_axis(names, axis=1)
    return frame.infer_objects()


def _refuse_duplicates(path: Path, names: list[str]) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise BadData(f"{path} has several columns called {', '.join(map(repr, twice))}; rename them")


def require_columns(frame: Any, wanted: Sequence[str], flag: str) -> None:
    """BadData that names the first column that is not there, and those that look like it."""
    for name in wanted:
        if name not in frame.columns:
            near = difflib.get_close_matches(name, frame.columns, n=3)
            some = ", ".join(map(repr, list(frame.columns)[:12])) + (" ..." if len(frame.columns) > 12 else "")
            hint = f"did you mean {' or '.join(map(repr, near))}?" if near else f"the columns are {some}"
            raise BadData(f"{flag}: the table has no column {name!r}; {hint}")


def read_target(column: Any, name: str, kind: str | None, decimal: str = ".") -> tuple[Any, str | None, list[str]]:
    """A target ready to be learned, its kind where it was declared or had to be decided, and remarks on it.

    Parameters
    ----------
    column : pandas.Series
    name : str
        In messages.
    kind : str or None
        Declared by the user.
    decimal : {".", ","}

    Raises
    ------
    BadData
        If nothing can be learned of it.
    """
    remarks = []
    if kind not in ("binary", "multiclass"):
        column, remark = read_numbers(column, decimal)
        remarks += [] if remark is None else [f"target {remark}"]
    column, remark = without_marks(column)
    remarks += [] if remark is None else [f"target {remark}"]
    present = column.dropna()
    if not len(present):
        raise BadData(f"target {name!r} has no value at all; leave it out")
    n_distinct = present.nunique()
    if len(present) == 1:
        raise BadData(f"target {name!r} has one value only; leave it out, or give more rows")
    if n_distinct == 1:
        raise BadData(f"target {name!r} has the same value in every row, {present.iloc[0]!s:.40}; leave it out")
    if column.dtype.kind in "Mm":
        raise BadData(f"target {name!r} holds dates or durations; turn them into numbers first")
    numeric = is_numeric(column)
    if kind in ("regression", "count") and not numeric:
        example = next(value for value in present if not _is_number(value))
        raise BadData(f"--kinds {name}={kind}: {name!r} holds texts such as {str(example)[:40]!r}, no numbers")
    if kind == "count" and ((present < 0).any() or (present == 0).all()):
        raise BadData(f"--kinds {name}=count: counts are >= 0 and not all zero; the smallest is {present.min():.6g}")
    if kind == "binary" and n_distinct != 2:
        raise BadData(f"--kinds {name}=binary: {name!r} has {n_distinct} distinct values, not two")
    if numeric and column.dtype.kind != "b" and np.isinf(present.to_numpy(dtype=float)).any():
        raise BadData(f"target {name!r} holds infinity; leave the cell empty where the value is not known")
    is_classes = kind in ("binary", "multiclass") or not numeric
    if is_classes and n_distinct > 2 and n_distinct * _LABELS_PER_CLASS > len(present):
        raise BadData(
            f"target {name!r} has {n_distinct} distinct values in {len(present)} rows, too many for classes; "
            f"is it a number with stray texts, such as {str(present.iloc[0])[:40]!r}?"
        )
    if not numeric and column.dtype.name != "category":
        column = as_labels(column)
    if numeric and kind is None and 2 < n_distinct <= _FEW and bool((present == np.floor(present)).all()):
        few = f"target {name!r} holds {n_distinct} whole numbers, taken as numbers"
        return column, "regression", [*remarks, f"{few}; for classes: --kinds {name}=multiclass"]
    return column, kind, remarks


def as_labels(column: Any) -> Any:
    """A column of texts or of texts beside numbers (1, 2, "A7", as spreadsheets have them) as texts."""
    return column.map(_as_text, na_action="ignore").astype(object)


def _as_text(value: Any) -> str:
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value).strip()


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
