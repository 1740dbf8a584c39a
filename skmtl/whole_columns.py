"""What a part of the rows still knows of the whole: enough values of every column to tell its kind."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skmtl.target_columns import is_missing

#: Distinct values that are kept: one more than are "few whole numbers".
N_VALUES = 11
#: Rows looked at before all of them.
_SAMPLE = 256


def telling_values(columns: Iterable[Any]) -> NDArray | None:
    """A few distinct numbers that tell the kind of a task as all of its targets do; None where they are no numbers.

    Parameters
    ----------
    columns : iterable of array-like of shape (n_rows,)
        Columns of one task, as `TaskTargets` keeps them.

    Returns
    -------
    values : object ndarray of shape (n_values,)
        Sorted. Of every column at most 11 distinct numbers, and one fraction where there is one.
    """
    found: list[NDArray] = []
    for column in columns:
        if not isinstance(column, np.ndarray) or column.ndim != 1:
            return None
        present = column[~is_missing(column)]
        if present.dtype.kind not in "iufO" or any(isinstance(one, (bool, np.bool_)) for one in present[:1].tolist()):
            return None
        try:
            numbers = present.astype(np.float64)
            distinct = np.unique(present[:_SAMPLE])
            distinct = distinct if len(distinct) >= N_VALUES else np.unique(present)
        except (TypeError, ValueError):  # texts, or a mixture: no number is read there
            return None
        found += [distinct[:N_VALUES].astype(object), numbers[np.floor(numbers) < numbers][:1].astype(object)]
    return np.unique(np.concatenate(found)) if found else None
