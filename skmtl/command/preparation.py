"""The columns of a table as features: by scikit-learn's and skrub's own parts, learned anew inside every fold."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from skmtl.command.numbers import is_numeric, read_numbers
from skmtl.command.reading import BadData

#: Categories of one column that get a feature of their own; the rarer ones share one.
MAX_CATEGORIES = 20
#: Distinct texts from which on a column is text (of which letters are counted) and no longer categories.
TEXT_FROM = 40
#: A column of texts of which more than this share is distinct names the rows, unless each is of so many words.
_MOSTLY_DISTINCT, _SENTENCE = 0.5, 4
#: Rows from which on numbers or texts that never repeat mean something.
_MANY_ROWS = 20
#: Numbers that often stand for a missing value.
_SENTINELS = (-99, -999, -9999, -99999)
_NAMED_LIKE_AN_ID = re.compile(r"(^|[_\W])(id|uuid|guid|key|index)$|(?<=[a-z])(Id|ID)$|^Unnamed: \d+$|^(row|nr|no)$")
_ROW_NAMES = "names of rows (an ID)"


@dataclass(frozen=True)
class Preparation:
    """How columns become features.

    Attributes
    ----------
    numbers, categories, dates, texts : list of str
    remarks : list of str
        What was left out or changed, and why; sentences for the user.
    """

    numbers: list[str] = field(default_factory=list)
    categories: list[str] = field(default_factory=list)
    dates: list[str] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    def transformer(self, keep: str | None = None) -> ColumnTransformer:
        """The unfitted transformer; column `keep` goes through unchanged, name included."""
        parts: list[tuple] = []
        if keep is not None:
            parts.append((_KEPT, "passthrough", [keep]))
        if self.numbers:
            parts.append(("numbers", make_pipeline(_imputer(), StandardScaler()), self.numbers))
        others = [*self.categories, *self.dates, *self.texts]
        if others:
            parts.append(("others", make_pipeline(_table_vectorizer(), _imputer(), StandardScaler()), others))
        transformer = ColumnTransformer(parts, verbose_feature_names_out=_feature_name)
        return transformer.set_output(transform="pandas") if keep is not None else transformer

    def described(self) -> str:
        """What is done to the features, in one sentence."""
        done = [
            f"{len(columns)} {what}"
            for columns, what in (
                (self.numbers, "numeric (gaps get the median)"),
                (self.categories, f"categorical (one-hot, at most {MAX_CATEGORIES} categories each)"),
                (self.dates, "dates (year, month, day, seconds)"),
                (self.texts, "texts (components of their letters)"),
            )
            if columns
        ]
        return f"features: {', '.join(done)}, all scaled; learned anew inside every training part"


def prepare(frame: Any, decimal: str = ".") -> tuple[Any, Preparation]:
    """The columns that can be features, and how.

    Parameters
    ----------
    frame : pandas.DataFrame
        Without targets, task column and what the user dropped.
    decimal : {".", ","}

    Returns
    -------
    features : pandas.DataFrame
        Numbers as floats, categories as texts, dates as such.
    preparation : Preparation

    Raises
    ------
    BadData
        If no column can be a feature, or skrub is not there where it is needed.
    """
    import pandas as pd

    numbers, others, remarks, left_out = {}, {}, [], {}
    for name in frame.columns:
        column, remark = read_numbers(frame[name], decimal)
        why = _says_nothing(column)
        if why is not None:
            left_out[name] = why
            continue
        remarks += [] if remark is None else [remark]
        if column.dtype.kind == "m":
            numbers[name] = column.dt.total_seconds()
        elif is_numeric(column):
            if _counts_rows(column, name):
                left_out[name] = _ROW_NAMES
                continue
            remarks += _doubts(column, name)
            values = column.to_numpy(dtype="float64", na_value=float("nan"))
            numbers[name] = pd.Series(values, frame.index).replace([float("inf"), float("-inf")], float("nan"))
        else:
            others[name] = column
    texts = _cleaned(pd.DataFrame(others, index=frame.index)) if others else {}
    dates, categories, free = [], [], []
    for name, column in list(texts.items()):
        if column.dtype.kind == "M":
            dates.append(name)
        elif _names_rows(column):
            left_out[name] = _ROW_NAMES
            del texts[name]
        elif column.nunique() < TEXT_FROM:
            categories.append(name)
            texts[name] = column.astype("category")  # which no fold takes for numbers or dates
        else:
            free.append(name)
    if not numbers and not texts:
        raise BadData("no column is left to learn from; besides the targets the table needs at least one feature")
    by_reason: dict[str, list[str]] = {}
    for name in frame.columns:
        if name in left_out:
            by_reason.setdefault(left_out[name], []).append(str(name))
    remarks += [f"left out as {why}: {_some(names)}" for why, names in by_reason.items()]
    features = pd.DataFrame({**numbers, **texts}, index=frame.index)
    return features, Preparation(list(numbers), categories, dates, free, remarks)


_KEPT = "task"


def _feature_name(part: str, name: str) -> str:
    """Names that cannot collide (category S of `size` beside the column `size_S`); the kept column's stays."""
    return name if part == _KEPT else f"{part}: {name}"


def _imputer() -> SimpleImputer:
    return SimpleImputer(strategy="median", keep_empty_features=True)


def _table_vectorizer() -> Any:
    from skrub import TableVectorizer

    encoder = OneHotEncoder(
        handle_unknown="infrequent_if_exist", max_categories=MAX_CATEGORIES, drop="if_binary", sparse_output=False
    )
    return TableVectorizer(cardinality_threshold=TEXT_FROM, low_cardinality=encoder)


def _cleaned(frame: Any) -> dict[str, Any]:
    """The columns by name with dates read as such, all else as texts; decided once, on all rows."""
    try:
        from skrub import Cleaner
    except ImportError:
        raise BadData(
            f"the columns {_some(list(frame.columns))} hold texts or dates, which skrub makes features of: pip install "
            '"skmtl[report]"; or leave them out with --drop'
        ) from None
    cleaned = Cleaner().fit_transform(frame)
    return {
        name: cleaned[name]
        if cleaned[name].dtype.kind == "M"
        else frame[name].map(str, na_action="ignore").astype(object)
        for name in cleaned.columns
    }


def _says_nothing(column: Any) -> str | None:
    """Why a column is no feature whatever it holds, or None."""
    n_distinct = column.nunique()
    if n_distinct == 0:
        return "empty"
    return "constant" if n_distinct == 1 and not column.isna().any() else None


def _names_rows(column: Any) -> bool:
    """Texts that hardly repeat, short ones: sentences say something."""
    present = column.dropna()
    if len(present) < _MANY_ROWS or present.nunique() <= _MOSTLY_DISTINCT * len(present):
        return False
    return bool(present.map(lambda text: len(str(text).split())).mean() < _SENTENCE)


def _counts_rows(column: Any, name: str) -> bool:
    """Whole numbers that never repeat are an ID where they count the rows, or are called one."""
    if not _never_repeats(column):
        return False
    return column.max() - column.min() < len(column) or bool(_NAMED_LIKE_AN_ID.search(name))


def _never_repeats(column: Any) -> bool:
    """Whole numbers (floats, where some are missing) that are all distinct."""
    present = column.dropna()
    if column.dtype.kind not in "iuf" or len(present) < 3 or present.nunique() < len(present):
        return False
    return bool((present % 1 == 0).all())


def _doubts(column: Any, name: str) -> list[str]:
    """What the user should look at: numbers that may be an ID, and those that may stand for a missing value."""
    doubts = []
    if _never_repeats(column) and len(column) >= _MANY_ROWS:
        doubts.append(f"{name!r} holds whole numbers that never repeat; if it is an ID: --drop {name}")
    lowest = column.min()
    n_lowest = int((column == lowest).sum())
    rest = column[column > lowest]
    if lowest in _SENTINELS and n_lowest > 1 and rest.min() - lowest > 2 * (rest.max() - rest.min()):
        doubts.append(f"{name!r} is {lowest:g} in {n_lowest} rows; if that means missing: --missing {lowest:g}")
    return doubts


def _some(names: list[str], limit: int = 8) -> str:
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more
