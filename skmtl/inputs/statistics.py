"""What the kind of a numeric task depends on, found by reading as few of its targets as possible."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from skmtl.inputs.observed import Observed

#: Rows looked at before all of them: most numeric targets show at a glance that they are no classes.
SAMPLE_SIZES = (64, 2048)
#: Rows read at once by a full pass, so that its intermediate arrays stay in the cache.
BLOCK = 4096


@dataclass(frozen=True)
class Statistics:
    """Per task; meaningful where asked for. All arrays of shape (n_tasks,).

    Attributes
    ----------
    differ, more_than_two : bool ndarray
        At least two, at least three distinct values.
    fractional : bool ndarray
        Some value is no whole number.
    fraction : float64 ndarray
        Such a value, for error messages.
    low : float64 ndarray
        The smallest value; of tasks that were decided by a sample, that of the sample.
    """

    differ: NDArray
    more_than_two: NDArray
    fractional: NDArray
    fraction: NDArray
    low: NDArray

    def spread(self, n_tasks: int) -> Statistics:
        """The statistics of one column as those of `n_tasks` tasks that share it."""
        return Statistics(*(np.repeat(getattr(self, one.name), n_tasks) for one in fields(self)))


def column_statistics(observed: Observed, asked: NDArray) -> Statistics:
    """Statistics of the columns of a matrix: a sample decides most columns, the rest are read in full."""
    n_tasks = len(observed.names)
    nothing = np.zeros(n_tasks, dtype=bool)
    found = Statistics(nothing.copy(), nothing.copy(), nothing.copy(), np.zeros(n_tasks), np.zeros(n_tasks))
    undecided = np.flatnonzero(asked)
    for size in (*SAMPLE_SIZES, observed.n_rows):
        step = max(1, observed.n_rows // size)
        _read_columns(observed.values[::step], undecided, found)
        undecided = undecided[~(found.more_than_two & found.fractional)[undecided]]
        if step == 1 or not len(undecided):
            break
    return found


def _read_columns(values: NDArray, columns: NDArray, found: Statistics) -> None:
    """Fill in what the given rows say of `columns`."""
    low, high = _column_extremes(values, columns)
    found.differ[columns] = low < high
    found.low[columns] = low
    for part in _blocks(values, columns):
        found.more_than_two[columns] |= ((part > low) & (part < high)).any(axis=0)
        fractional = np.floor(part) < part  # False for NaN, so no mask is needed
        some = fractional.any(axis=0)
        fresh = np.flatnonzero(some & ~found.fractional[columns])
        found.fraction[columns[fresh]] = part[fractional.argmax(axis=0)[fresh], fresh]
        found.fractional[columns] |= some


def row_statistics(observed: Observed, asked: NDArray) -> Statistics:
    """Statistics of labelled rows, all tasks at once."""
    task, values, n_tasks = observed.tasks_by_row, observed.values, len(observed.names)
    low, high = _row_extremes(observed)
    more = np.zeros(n_tasks, dtype=bool)
    more[task[(values > low[task]) & (values < high[task])]] = True
    fractional, fraction = np.zeros(n_tasks, dtype=bool), np.zeros(n_tasks)
    rows = np.flatnonzero(np.floor(values) < values)
    fractional[task[rows]] = True
    fraction[task[rows]] = values[rows]
    return Statistics((low < high) & asked, more & asked, fractional & asked, fraction, low)


def as_one_column(observed: Observed) -> Observed:
    """The long form as one task: its whole column."""
    return replace(
        observed, names=("the long form",), values=observed.values[:, np.newaxis], task_of_row=None, owned=False
    )


def extremes(observed: Observed, tasks: NDArray) -> tuple[NDArray, NDArray]:
    """Smallest and largest target of each of `tasks` (positions)."""
    if observed.task_of_row is None:
        return _column_extremes(observed.values, tasks)
    low, high = _row_extremes(observed)
    return low[tasks], high[tasks]


def n_distinct(observed: Observed, tasks: NDArray, enough: int) -> NDArray:
    """Number of distinct targets of each of `tasks` (positions); a count may stop short at `enough`."""
    if observed.task_of_row is not None:
        asked = np.zeros(len(observed.names), dtype=bool)
        asked[tasks] = True
        rows = np.flatnonzero(asked[observed.tasks_by_row])
        numbers, position = np.unique(observed.values[rows], return_inverse=True)
        pairs = np.unique(observed.tasks_by_row[rows] * len(numbers) + position.reshape(-1))
        return np.bincount(pairs // max(1, len(numbers)), minlength=len(observed.names))[tasks]
    counts = []
    for task in tasks:
        values = observed.values[:, task]
        values = values[~np.isnan(values)]
        sample = len(np.unique(values[: SAMPLE_SIZES[0]]))
        counts.append(sample if sample >= enough else len(np.unique(values)))
    return np.array(counts, dtype=np.intp)


def _blocks(values: NDArray, columns: NDArray) -> Iterator[NDArray]:
    everything = len(columns) == values.shape[1]
    for start in range(0, len(values), BLOCK):
        block = values[start : start + BLOCK]
        yield block if everything else block[:, columns]


def _column_extremes(values: NDArray, columns: NDArray) -> tuple[NDArray, NDArray]:
    low, high = np.full(len(columns), np.inf), np.full(len(columns), -np.inf)
    for part in _blocks(values, columns):
        low = np.fmin(low, np.fmin.reduce(part, axis=0))
        high = np.fmax(high, np.fmax.reduce(part, axis=0))
    return low, high


def _row_extremes(observed: Observed) -> tuple[NDArray, NDArray]:
    low, high = np.full(len(observed.names), np.inf), np.full(len(observed.names), -np.inf)
    np.fmin.at(low, observed.tasks_by_row, observed.values)
    np.fmax.at(high, observed.tasks_by_row, observed.values)
    return low, high
