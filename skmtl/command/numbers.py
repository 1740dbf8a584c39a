"""Columns of texts that are numbers but for a few marks: ``?`` for a missing value, ``1,234`` for 1234."""

from __future__ import annotations

from typing import Any

#: Share of a column's values that may be marks with letters or digits (``n/d``, ``<5``) before it is no numbers.
_FEW_MARKS = 0.1
#: Marks that a message shows.
_SHOWN = 3


def is_numeric(column: Any) -> bool:
    """Whether a column holds numbers or booleans by its type."""
    return column.dtype.kind in "iufb"


def read_numbers(column: Any, decimal: str = ".") -> tuple[Any, str | None]:
    """A column of texts as numbers with gaps, where it is that, and what was done; else the column itself.

    Marks without a letter or digit (``?``, ``-``, ``.``) stand for missing values however many there are, others as
    long as they are few. Digits in groups of three (``1,234.5``, ``1 234``) are one number.

    Parameters
    ----------
    column : pandas.Series
    decimal : {".", ","}

    Returns
    -------
    column : pandas.Series
        float64, or as it was.
    remark : str or None
        A sentence for the user, beginning with the name of the column.
    """
    import pandas as pd

    present = column.dropna()
    if is_numeric(column) or column.dtype.kind in "Mm" or column.dtype.name == "category" or not len(present):
        return column, None
    texts = present.map(str).str.strip()
    numbers = pd.to_numeric(_plain(texts, decimal), errors="coerce")
    is_mark = numbers.isna()
    is_named = is_mark & texts.str.contains(r"[^\W_]")
    if numbers.nunique() < 2 or is_named.sum() > _FEW_MARKS * len(texts):
        return column, None
    read = pd.Series(float("nan"), index=column.index, name=column.name)
    read[numbers.index] = numbers.astype("float64")
    return read, _remark(column.name, texts[is_mark]) if is_mark.any() else None


def without_marks(column: Any) -> tuple[Any, str | None]:
    """A column of labels, in which marks without a letter or digit (``?``) are missing, and what was done."""
    is_mark = column.notna() & ~column.map(str, na_action="ignore").astype(object).fillna("x").str.contains(r"[^\W_]")
    if not is_mark.any() or column.dtype.kind in "iufbMm":
        return column, None
    return column.where(~is_mark), _remark(column.name, column[is_mark].map(str).str.strip(), "labels")


def _plain(texts: Any, decimal: str) -> Any:
    """Numbers written without separators of thousands, with a decimal point."""
    group = "," if decimal == "." else "."
    grouped = rf"^[+-]?\d{{1,3}}(?:[{group}' \u00a0\u202f]\d{{3}})+(?:[{decimal}]\d+)?$"
    is_grouped = texts.str.match(grouped)
    plain = texts.where(~is_grouped, texts.str.replace(rf"[{group}' \u00a0\u202f]", "", regex=True))
    return plain.str.replace(decimal, ".", regex=False) if decimal != "." else plain


def _remark(name: Any, marks: Any, what: str = "numbers") -> str:
    distinct = [repr(str(mark))[:24] for mark in marks.unique()[:_SHOWN]]
    more = ", ..." if marks.nunique() > _SHOWN else ""
    return f"{name!r}: {len(marks)} values that are no {what} ({', '.join(distinct)}{more}) are read as missing"
