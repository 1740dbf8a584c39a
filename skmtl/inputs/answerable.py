"""What of the X and y handed to `score` a model can answer for: tasks that fit did not see are left out."""

from __future__ import annotations

import warnings
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
from sklearn.exceptions import UndefinedMetricWarning

from skmtl.inputs.features import is_dict_of_tables, task_labels, task_positions
from skmtl.inputs.forms import Form, LongForm, named_columns
from skmtl.target_columns import as_column
from skmtl.targets import is_named, listed, take_rows


def answerable(
    form: Form, X: Any, y: Any, sample_weight: Any, names: Sequence[Hashable], unseen: bool = False
) -> tuple[Any, Any, Any]:
    """X, y and weights without the tasks that fit did not see.

    Parameters
    ----------
    form : Form
        Of the fit.
    X, y, sample_weight : as handed to `score`
    names : sequence of hashable
        Tasks that fit saw.
    unseen : bool, default=False
        Whether others are answered too, by a common part (long form).

    Raises
    ------
    ValueError
        If no task is left, naming one.

    Warns
    -----
    UndefinedMetricWarning
        If a task is left out.
    """
    if isinstance(form, LongForm):
        return (X, y, sample_weight) if unseen else _known_rows(form, X, y, sample_weight, names)
    if is_dict_of_tables(X) and isinstance(y, Mapping):
        _require_some(list(X), names)
        return tuple(
            {name: one for name, one in part.items() if name in names} if isinstance(part, Mapping) else part
            for part in (X, y, sample_weight)
        )  # type: ignore[return-value]
    if is_named(y) and form.named:
        if not _require_some(list(named_columns(y)), names):
            return X, y, sample_weight
        known = {name: column for name, column in named_columns(y).items() if name in names}
        if is_named(sample_weight):
            sample_weight = {name: column for name, column in named_columns(sample_weight).items() if name in known}
        return X, known, sample_weight
    return X, y, sample_weight


def _known_rows(form: LongForm, X: Any, y: Any, sample_weight: Any, names: Sequence[Hashable]) -> tuple[Any, Any, Any]:
    distinct, position = task_positions(task_labels(X, form.task_col))
    if not _require_some(list(distinct), names, f"X holds the task {{task!r}} in column {form.task_col!r}"):
        return X, y, sample_weight
    known = set(names)
    rows = np.flatnonzero(np.array([name in known for name in distinct])[position])
    if sample_weight is not None and not isinstance(sample_weight, Mapping):
        sample_weight = np.asarray(sample_weight)[rows]
    return take_rows(X, rows), take_rows(as_column(y), rows), sample_weight


def _require_some(given: list, names: Sequence[Hashable], says: str = "y holds the task {task!r}") -> bool:
    """Whether a task is left out, with a warning; ValueError if all are."""
    known = set(names)
    unknown = [name for name in given if name not in known]
    if not unknown:
        return False
    if len(unknown) == len(given):
        raise ValueError(
            f"{says.format(task=unknown[0])}, which fit did not see; the known tasks are {listed(list(names))}."
        )
    warnings.warn(
        f"Tasks that fit did not see are left out of the score: {listed(unknown)}.",
        UndefinedMetricWarning,
        stacklevel=4,
    )
    return True
