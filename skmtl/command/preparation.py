"""The columns of a table as features: imputed, encoded and scaled by scikit-learn's own parts, inside every fold."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from skmtl.command.reading import BadData

#: Categories of one column that get a feature of their own; the rarer ones share one.
MAX_CATEGORIES = 20
#: A column of texts of which more than this share is distinct names the rows, and says nothing about others.
_MOSTLY_DISTINCT = 0.5
_NAMED_LIKE_AN_ID = re.compile(r"(^|[_\W])(id|uuid|guid|key|index)$|(?<=[a-z])(Id|ID)$|^Unnamed: \d+$|^(row|nr|no)$")


@dataclass(frozen=True)
class Preparation:
    """How columns become features.

    Attributes
    ----------
    numbers, categories : list of str
    remarks : list of str
        What was left out, and why; sentences for the user.
    """

    numbers: list[str]
    categories: list[str]
    remarks: list[str]

    def transformer(self, keep: str | None = None) -> ColumnTransformer:
        """The unfitted transformer; column `keep` goes through unchanged, and names are kept with it."""
        parts: list[tuple] = []
        if keep is not None:
            parts.append(("task", "passthrough", [keep]))
        if self.numbers:
            parts.append(("numbers", make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), self.numbers))
        if self.categories:
            encoder = OneHotEncoder(
                handle_unknown="infrequent_if_exist",
                max_categories=MAX_CATEGORIES,
                drop="if_binary",
                sparse_output=False,
            )
            parts.append(("categories", encoder, self.categories))
        transformer = ColumnTransformer(parts, verbose_feature_names_out=keep is None)
        return transformer.set_output(transform="pandas") if keep is not None else transformer

    def described(self) -> str:
        """What is done to the features, in one sentence."""
        done = []
        if self.numbers:
            done.append(f"{len(self.numbers)} numeric (gaps get the median, then scaled)")
        if self.categories:
            done.append(f"{len(self.categories)} categorical (one-hot, at most {MAX_CATEGORIES} categories each)")
        return f"features: {' and '.join(done)}; learned anew inside every training part"


def prepare(frame: Any) -> tuple[Any, Preparation]:
    """The columns that can be features, and how.

    Parameters
    ----------
    frame : pandas.DataFrame
        Without targets, task column and what the user dropped.

    Returns
    -------
    features : pandas.DataFrame
        Numbers as floats, categories as texts.
    preparation : Preparation

    Raises
    ------
    BadData
        If no column can be a feature.
    """
    numbers, categories, remarks = {}, {}, []
    for name in frame.columns:
        column = frame[name]
        n_distinct = column.nunique()
        why = _useless(column, str(name), n_distinct)
        if why is not None:
            remarks.append((why, str(name)))
        elif column.dtype.kind in "iufb":
            numbers[name] = column.astype("float64").replace([float("inf"), float("-inf")], float("nan"))
        else:
            categories[name] = column.map(str, na_action="ignore").astype(object)
    if not numbers and not categories:
        raise BadData("no column is left to learn from; besides the targets the table needs at least one feature")
    import pandas as pd

    features = pd.DataFrame({**numbers, **categories}, index=frame.index)
    by_reason: dict[str, list[str]] = {}
    for why, name in remarks:
        by_reason.setdefault(why, []).append(name)
    sentences = [f"left out as {why}: {_some(names)}" for why, names in by_reason.items()]
    return features, Preparation(list(numbers), list(categories), sentences)


def _useless(column: Any, name: str, n_distinct: int) -> str | None:
    """Why a column is no feature, or None."""
    if n_distinct == 0:
        return "empty"
    if n_distinct == 1 and not column.isna().any():
        return "constant"
    if column.dtype.kind in "Mm":
        return "dates or durations"
    n_present = int(column.notna().sum())
    if column.dtype.kind not in "iufb":
        distinct_texts = n_present >= 20 and n_distinct > _MOSTLY_DISTINCT * n_present
        return "names of rows (an ID or free text)" if distinct_texts else None
    # Whole numbers that never repeat are an ID where they count the rows, or are called one.
    if column.dtype.kind in "iu" and n_distinct == len(column) and len(column) > 2:
        counts_rows = int(column.max()) - int(column.min()) == len(column) - 1
        if counts_rows or _NAMED_LIKE_AN_ID.search(name):
            return "names of rows (an ID or free text)"
    return None


def _some(names: list[str], limit: int = 8) -> str:
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more
