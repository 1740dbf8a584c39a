"""Which rows every task sees, and the sums over them that a joint fit is made of.

Tasks of one loss with the same number of outputs form one block of observations. Two layouts
answer the same five questions, in batched products and without a loop over tasks:

- `MatrixObservations`: a value per row and task; unobserved cells carry weight zero.
- `ListedObservations`: a value per observation, sorted by task.

Shapes: ``scores`` (n_rows, p); ``factors`` (n_tasks * n_outputs, p); ``values`` one per
observation, with a last axis of length n_outputs where n_outputs > 1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache, cached_property, reduce
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from skmtl.matrix import row_chunks, times_narrow, transposed_times_narrow
from skmtl.row_blocks import RowBlocks

#: From this share of observed cells on, a product with every task on every row is the cheaper one, of sparse X, whose
#: rows are slow to pick, and of dense X.
_SHARE_FOR_ALL = 0.01
#: Tasks that such a product is made for at a time.
_TASKS_AT_ONCE = 10
#: From so many observations per task on, tasks are worked on one by one: each fills the cache by itself.
_LONG_TASK = 1024
#: And from so many scores on.
_LARGE_TABLE = 1 << 14
#: Tasks whose lengths differ by no more than this factor are worked on in one batch.
_ALIKE = 1.25
#: From so many columns of scores on, every task's own rows cost less than all pairs of columns on every row.
_WIDE_SCORES = 24
#: Multiplications of a Gram matrix that are worth a call of its own.
_LARGE_GRAM = 1 << 19
#: Doubles of scores that are worked on at a time.
_CACHED_ELEMENTS = 1 << 18
#: Doubles of a long task's scores that are picked at a time, to be read again while they are in the cache.
_GATHERED_ELEMENTS = 1 << 15
#: Doubles that a temporary of a batched product may hold.
_BATCH_ELEMENTS = 1 << 21


def pair_columns(scores: NDArray, first: int, last: int) -> NDArray:
    """Products ``scores[:, i] * scores[:, j]`` for first <= i < last and j >= i, side by side."""
    p = scores.shape[1]
    pairs = np.empty((len(scores), (last - first) * p - (last * (last - 1) - first * (first - 1)) // 2))
    place = 0
    for i in range(first, last):
        np.multiply(scores[:, i : i + 1], scores[:, i:], out=pairs[:, place : place + p - i])
        place += p - i
    return pairs


class Pairs:
    """Products of all pairs of score columns, kept where they are small, for Gram matrices of the same scores."""

    def __init__(self, scores: NDArray):
        self.scores = scores
        self.p = scores.shape[1]
        self._bounds = pair_batches(*scores.shape)

    @cached_property
    def _kept(self) -> NDArray | None:
        return pair_columns(self.scores, *self._bounds[0]) if len(self._bounds) == 1 else None

    def grams(self, multiply: Callable[[NDArray], NDArray]) -> NDArray:
        """Gram matrices (m, p, p), where ``multiply(pairs)`` sums the pairs with their curvatures, shape (m, .)."""
        if self._kept is not None:
            return unpack_pairs(multiply(self._kept), self.p)
        packed = [multiply(pair_columns(self.scores, *bounds)) for bounds in self._bounds]
        return unpack_pairs(np.concatenate(packed, axis=1), self.p)


def _weighted_gram(scores: NDArray, curvature: NDArray) -> NDArray:
    """``scores' diag(curvature) scores``; half the products where the curvature has roots."""
    if curvature.size and np.ptp(curvature) == 0.0:
        return curvature[0] * (scores.T @ scores)
    if curvature.min(initial=0.0) < 0.0:
        return (scores * curvature[:, np.newaxis]).T @ scores
    rooted = scores * np.sqrt(curvature)[:, np.newaxis]
    return rooted.T @ rooted


def pair_batches(n_rows: int, p: int) -> list[tuple[int, int]]:
    """Ranges of i so that the columns (i, j >= i) of one batch stay within the memory bound."""
    batches, first, width = [], 0, 0
    for i in range(p):
        if i > first and (width + p - i) * n_rows > _BATCH_ELEMENTS:
            batches.append((first, i))
            first, width = i, 0
        width += p - i
    return [*batches, (first, p)]


@cache
def _upper_triangle(p: int) -> tuple[NDArray, NDArray]:
    """Row and column of every packed pair; asked for at each of the many small steps of a fit."""
    return np.triu_indices(p)


def unpack_pairs(packed: NDArray, p: int) -> NDArray:
    """Symmetric (m, p, p) from the packed upper triangles (m, p (p + 1) / 2)."""
    upper, lower = _upper_triangle(p)
    full = np.empty((packed.shape[0], p, p))
    full[:, upper, lower] = packed
    full[:, lower, upper] = packed
    return full


def task_batches(n_tasks: int) -> list[slice]:
    """Slices of few tasks, so that a column per task for all rows of X stays small."""
    bounds = [*range(0, n_tasks, _TASKS_AT_ONCE), n_tasks]
    return [slice(start, stop) for start, stop in pairwise(bounds)]


def alike(offsets: NDArray, tasks: NDArray) -> list[tuple[NDArray, NDArray, NDArray]]:
    """Tasks of nearly equal length together, padded to the longest one, so that one batch of products does for all.

    Parameters
    ----------
    offsets : int ndarray of shape (n_tasks + 1,)
        Of the observations of all tasks.
    tasks : int ndarray of shape (m,)

    Returns
    -------
    groups : list of (places in `tasks`, observations (m, length), which of them are there)
    """
    lengths = np.diff(offsets)[tasks]
    kinds = np.floor(np.log(lengths) / np.log(_ALIKE)).astype(int)
    groups = []
    for kind in np.unique(kinds):
        places = np.flatnonzero(kinds == kind)
        steps = np.arange(lengths[places].max(), dtype=offsets.dtype)
        inside = steps < lengths[places, np.newaxis]
        groups.append((places, np.where(inside, offsets[tasks[places], np.newaxis] + steps, 0), inside))
    return groups


class MatrixObservations:
    """Every task has a value on every row; weights of zero mark what it does not see."""

    def __init__(self, n_rows: int, n_tasks: int, n_outputs: int = 1):
        self.n_rows, self.n_tasks, self.n_outputs = n_rows, n_tasks, n_outputs

    def raw(self, scores: NDArray, factors: NDArray) -> NDArray:
        """``scores @ factors.T`` at the observations."""
        raw = scores @ factors.T
        return raw if self.n_outputs == 1 else raw.reshape(self.n_rows, self.n_tasks, self.n_outputs)

    def spread(self, per_task: NDArray) -> NDArray:
        """A number per task (n_tasks,), shaped so that it broadcasts against the values' tasks."""
        return per_task

    def task_sums(self, values: NDArray) -> NDArray:
        """Sum of one value per observation over the rows of each task, shape (n_tasks,)."""
        return values.sum(axis=0)

    def add_task_sums(self, sums: NDArray, values: NDArray, part: slice) -> None:
        """Add the `task_sums` of some of the observations."""
        sums += values.sum(axis=0)

    def factor_sums(self, values: NDArray, scores: NDArray) -> NDArray:
        """``values.T @ scores``, shape (n_tasks * n_outputs, p)."""
        return transposed_times_narrow(values.reshape(self.n_rows, -1), scores)

    def row_sums(self, values: NDArray, factors: NDArray) -> NDArray:
        """``values @ factors``, shape (n_rows, p)."""
        return times_narrow(values.reshape(self.n_rows, -1), factors)

    def feature_sums(self, values: NDArray, X: Any) -> NDArray:
        """``X' values``, shape (n_features, n_tasks * n_outputs)."""
        return X.transposed_times(values.reshape(self.n_rows, -1))

    def at_rows(self, values: NDArray, rows: NDArray) -> NDArray:
        """Values of all outputs on some of the rows, shape (len(rows), n_tasks * n_outputs)."""
        return values.reshape(self.n_rows, -1)[rows]

    def coefficient_raw(self, X: Any, coef: NDArray) -> NDArray:
        """``X @ coef`` at the observations, for coef of shape (n_features, n_tasks * n_outputs)."""
        raw = X.times(coef)
        return raw if self.n_outputs == 1 else raw.reshape(self.n_rows, self.n_tasks, self.n_outputs)

    def has_own_rows(self, X: Any) -> bool:
        """Whether every row of a dense X is seen by one task, the tasks one after the other."""
        return False

    def row_totals(self, values: NDArray) -> NDArray:
        """Sum over tasks of one value per observation, shape (n_rows,)."""
        return values.sum(axis=1)

    def grams(self, curvature: NDArray, pairs: Pairs) -> NDArray:
        """``sum_i curvature_ti z_i z_i'`` for every task, shape (n_tasks, p, p)."""
        if pairs.p < _WIDE_SCORES or pairs.scores.size * pairs.p < _LARGE_GRAM:
            return pairs.grams(lambda columns: curvature.T @ columns)
        sums = np.empty((self.n_tasks, pairs.p, pairs.p))
        for task, column in enumerate(curvature.T):
            rows = np.flatnonzero(column)
            sums[task] = _weighted_gram(pairs.scores.take(rows, axis=0), column[rows])
        return sums


class ListedObservations:
    """A list of observations sorted by task: its row, its task.

    Parameters
    ----------
    rows : intp ndarray of shape (n_observations,)
        Ascending within every task.
    offsets : intp ndarray of shape (n_tasks + 1,)
        Task t owns the observations offsets[t]:offsets[t + 1]; no task is empty.
    """

    def __init__(self, n_rows: int, rows: NDArray, offsets: NDArray, n_outputs: int = 1):
        self.n_rows, self.n_tasks, self.n_outputs = n_rows, len(offsets) - 1, n_outputs
        small = max(n_rows, len(rows)) < np.iinfo(np.int32).max
        self.rows = rows.astype(np.int32 if small else np.int64)
        self.offsets = offsets.astype(self.rows.dtype)
        self.tasks = np.repeat(np.arange(self.n_tasks, dtype=self.rows.dtype), np.diff(offsets))
        self._are_equally_long = bool(np.ptp(np.diff(self.offsets)) == 0)
        self._has_long_tasks = len(rows) >= _LONG_TASK * self.n_tasks
        self.rows_in_order = len(rows) == n_rows and bool(np.all(rows == np.arange(n_rows)))

    def _matrix(self, values: NDArray) -> sparse.csr_matrix:
        """Values of one output as a sparse (n_tasks, n_rows) matrix; shares memory."""
        return sparse.csr_matrix((values, self.rows, self.offsets), shape=(self.n_tasks, self.n_rows), copy=False)

    def _outputs(self, values: NDArray) -> list[NDArray]:
        return [values] if self.n_outputs == 1 else [np.ascontiguousarray(v) for v in values.T]

    def _seen(self, scores: NDArray, part: slice) -> NDArray:
        """Rows of `scores` that some of the observations stand in."""
        return scores[part] if self.rows_in_order else scores.take(self.rows[part], axis=0)

    @property
    def _length(self) -> int:
        """Observations of every task, where all have equally many."""
        return len(self.rows) // self.n_tasks

    def _batches(self, p: int) -> Iterator[tuple[slice, slice]]:
        """As many tasks of equal length at a time as stay in the cache with p scores each: tasks, observations."""
        step = max(1, _CACHED_ELEMENTS // max(self._length * p, 1))
        for first in range(0, self.n_tasks, step):
            last = min(first + step, self.n_tasks)
            yield slice(first, last), slice(first * self._length, last * self._length)

    def _one_by_one(self, p: int) -> Iterator[tuple[int, slice]]:
        """Some observations of one task at a time, whose rows of p scores stay in the cache: task, observations."""
        step = max(1, _GATHERED_ELEMENTS // max(p, 1))
        for task, start, stop in self._row_blocks.pieces():
            for first in range(start, stop, step):
                yield task, slice(first, min(first + step, stop))

    def raw(self, scores: NDArray, factors: NDArray) -> NDArray:
        p = scores.shape[1]
        by_output = factors.reshape(self.n_tasks, self.n_outputs, p)
        raw = np.empty((len(self.rows), self.n_outputs))
        if self._has_long_tasks or len(self.rows) * p >= _LARGE_TABLE * self.n_tasks:
            for task, part in self._one_by_one(p):
                np.matmul(self._seen(scores, part), by_output[task].T, out=raw[part])
            return raw[:, 0] if self.n_outputs == 1 else raw
        if self._are_equally_long:
            for tasks, part in self._batches(p):
                seen = self._seen(scores, part).reshape(tasks.stop - tasks.start, self._length, p)
                out = raw[part].reshape(-1, self._length, self.n_outputs)
                np.matmul(seen, np.swapaxes(by_output[tasks], 1, 2), out=out)
            return raw[:, 0] if self.n_outputs == 1 else raw
        step = max(1024, (_BATCH_ELEMENTS >> 3) // max(p, 1))
        for start in range(0, len(self.rows), step):
            part = slice(start, start + step)
            seen, whose = self._seen(scores, part), self.tasks[part]
            for output in range(self.n_outputs):
                np.einsum("ij,ij->i", seen, by_output[whose, output], out=raw[part, output])
        return raw[:, 0] if self.n_outputs == 1 else raw

    def spread(self, per_task: NDArray) -> NDArray:
        return per_task[self.tasks]

    def task_sums(self, values: NDArray) -> NDArray:
        return np.add.reduceat(values, self.offsets[:-1])

    def add_task_sums(self, sums: NDArray, values: NDArray, part: slice) -> None:
        tasks = slice(self.tasks[part.start], self.tasks[part.start + len(values) - 1] + 1)
        sums[tasks] += np.add.reduceat(values, np.maximum(self.offsets[tasks] - part.start, 0))

    def factor_sums(self, values: NDArray, scores: NDArray) -> NDArray:
        if self._are_equally_long and self.rows_in_order:
            by_task = values.reshape(self.n_tasks, self._length, self.n_outputs)
            tables = scores.reshape(self.n_tasks, self._length, scores.shape[1])
            return (np.swapaxes(by_task, 1, 2) @ tables).reshape(self.n_tasks * self.n_outputs, scores.shape[1])
        sums = [self._row_blocks.task_sums(v, scores) for v in self._outputs(values)]
        return np.stack(sums, axis=1).reshape(self.n_tasks * self.n_outputs, scores.shape[1])

    def row_sums(self, values: NDArray, factors: NDArray) -> NDArray:
        by_output = np.moveaxis(factors.reshape(self.n_tasks, self.n_outputs, factors.shape[1]), 1, 0)
        pairs = zip(self._outputs(values), map(np.ascontiguousarray, by_output), strict=True)
        return reduce(np.add, (self._row_blocks.row_sums(v, f) for v, f in pairs))

    @property
    def _is_dense(self) -> bool:
        """Whether so many cells are observed that products with every task on every row pay."""
        return not self.rows_in_order and len(self.rows) >= _SHARE_FOR_ALL * self.n_rows * self.n_tasks

    def feature_sums(self, values: NDArray, X: Any) -> NDArray:
        sums = np.empty((X.shape[1], self.n_tasks, self.n_outputs))
        for output, v in enumerate(self._outputs(values)):
            if self.rows_in_order and self._are_equally_long and X.can_be_cut:
                sums[:, :, output] = X.table_sums(v.reshape(self.n_tasks, -1))
                continue
            if not (X.is_sparse and self._is_dense):
                sums[:, :, output] = X.transposed_times(self._matrix(v).T)
                continue
            # Products of two sparse matrices are slow, a dense right side is filled for a few tasks at a time.
            for tasks in task_batches(self.n_tasks):
                part = slice(self.offsets[tasks.start], self.offsets[tasks.stop])
                dense = np.zeros((self.n_rows, tasks.stop - tasks.start))
                dense[self.rows[part], self.tasks[part] - tasks.start] = v[part]
                sums[:, tasks, output] = X.transposed_times(dense)
        return sums.reshape(X.shape[1], -1)

    def at_rows(self, values: NDArray, rows: NDArray) -> NDArray:
        place = np.full(self.n_rows, -1, dtype=self.rows.dtype)
        place[rows] = np.arange(len(rows))
        here = np.flatnonzero(place[self.rows] >= 0)
        cells = np.zeros((len(rows), self.n_tasks, self.n_outputs))
        cells[place[self.rows[here]], self.tasks[here]] = values[here].reshape(len(here), self.n_outputs)
        return cells.reshape(len(rows), -1)

    def coefficient_raw(self, X: Any, coef: NDArray) -> NDArray:
        by_output = coef.reshape(X.shape[1], self.n_tasks, self.n_outputs)
        raw = np.empty((len(self.rows), self.n_outputs))
        for output in range(self.n_outputs):
            columns = by_output[:, :, output]
            if self.rows_in_order and self._are_equally_long and X.can_be_cut:
                raw[:, output] = X.table_products(columns)
                continue
            if not self._is_dense:
                raw[:, output] = X.row_products(self.rows, columns, self.tasks)
                continue
            if X.is_sparse:
                for tasks in task_batches(self.n_tasks):
                    part = slice(self.offsets[tasks.start], self.offsets[tasks.stop])
                    everywhere = X.times(columns[:, tasks])
                    raw[part, output] = everywhere[self.rows[part], self.tasks[part] - tasks.start]
                continue
            everywhere = X.rows_times(columns)
            for rows, at in self._by_row_chunk(self.n_tasks):
                raw[at, output] = everywhere(rows)[self.rows[at] - rows.start, self.tasks[at]]
        return raw[:, 0] if self.n_outputs == 1 else raw

    def has_own_rows(self, X: Any) -> bool:
        return self.rows_in_order and not X.is_sparse

    def row_totals(self, values: NDArray) -> NDArray:
        return np.bincount(self.rows, weights=values, minlength=self.n_rows)

    def grams(self, curvature: NDArray, pairs: Pairs) -> NDArray:
        p, scores = pairs.p, pairs.scores
        sums = np.empty((self.n_tasks, p, p))
        if self._are_equally_long:
            for batch, part in self._batches(p):
                seen = self._seen(scores, part).reshape(batch.stop - batch.start, self._length, p)
                weighted = seen * curvature[part].reshape(-1, self._length, 1)
                np.matmul(np.swapaxes(weighted, 1, 2), seen, out=sums[batch])
        elif self._has_long_tasks:
            sums[:] = 0.0
            for task, part in self._one_by_one(p):
                seen = self._seen(scores, part)
                sums[task] += _weighted_gram(seen, curvature[part])
        else:
            for tasks, places, inside in self._alike:
                step = max(1, _CACHED_ELEMENTS // max(places.shape[1] * p, 1))
                for start in range(0, len(tasks), step):
                    here = slice(start, start + step)
                    at = places[here]
                    seen = scores[at if self.rows_in_order else self.rows[at]]
                    weighted = seen * (curvature[at] * inside[here])[:, :, np.newaxis]
                    sums[tasks[here]] = np.swapaxes(weighted, 1, 2) @ seen
        return sums

    def _by_row_chunk(self, n_columns: int) -> Iterator[tuple[slice, NDArray]]:
        """Chunks of rows, and the observations in each."""
        chunks = row_chunks(self.n_rows, n_columns)
        ends = np.searchsorted(self.rows[self._by_row], [rows.stop for rows in chunks])
        for rows, start, stop in zip(chunks, [0, *ends[:-1]], ends, strict=True):
            yield rows, self._by_row[start:stop]

    @cached_property
    def _row_blocks(self) -> RowBlocks:
        return RowBlocks(self.n_rows, self.rows, self.offsets, are_close=self.rows_in_order)

    @cached_property
    def _by_row(self) -> NDArray:
        """Observations in the order of their rows."""
        return np.argsort(self.rows, kind="stable")

    @cached_property
    def _alike(self) -> list[tuple[NDArray, NDArray, NDArray]]:
        return alike(self.offsets, np.arange(self.n_tasks))


Observations = MatrixObservations | ListedObservations
