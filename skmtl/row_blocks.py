"""Listed observations by blocks of rows: the scores of a block are in the cache while every task reads them.

A list in the order of its tasks sweeps over the scores of all rows once per task; with more rows than the cache holds,
fetching them takes longer than the sums. A short list is one block.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

#: Rows of a block: some scores of each stay in the cache.
_ROWS = 1 << 14
#: Observations of a task in a block below which the blocks cost more than they save.
_FEWEST = 512


class RowBlocks:
    """The observations of `rows`, sorted by task and then by row, once more by block of rows and then by task.

    Parameters
    ----------
    n_rows : int
    rows : int ndarray of shape (n_observations,)
    offsets : int ndarray of shape (n_tasks + 1,)
        Task t has the observations offsets[t]:offsets[t + 1].
    are_close : bool
        Whether the observations of a task stand in neighbouring rows, which stay in the cache as they are.
    """

    def __init__(self, n_rows: int, rows: NDArray, offsets: NDArray, are_close: bool):
        self.n_tasks = len(offsets) - 1
        enough = n_rows > 2 * _ROWS and len(rows) * _ROWS >= _FEWEST * n_rows * self.n_tasks
        self.n_blocks = -(-n_rows // _ROWS) if enough and not are_close else 1
        self._shape = (self.n_blocks * self.n_tasks, n_rows)
        lengths = np.diff(offsets)
        if self.n_blocks == 1:
            self._order, self._rows, self._offsets = None, rows, offsets
        else:
            # In the smallest type that holds them, where NumPy sorts by radix.
            piece = rows // _ROWS * self.n_tasks + np.repeat(np.arange(self.n_tasks), lengths)
            piece = piece.astype(np.min_scalar_type(self._shape[0] - 1))
            self._order = np.argsort(piece, kind="stable").astype(rows.dtype)
            self._rows = rows[self._order]
            lengths = np.bincount(piece, minlength=self._shape[0])
            self._offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(rows.dtype)
        lengths = lengths.reshape(self.n_blocks, self.n_tasks)
        self._stops = offsets[:-1] + np.cumsum(lengths, axis=0)
        self._starts = self._stops - lengths

    def pieces(self) -> Iterator[tuple[int, int, int]]:
        """Task, and first and last observation in the order of the tasks, block after block."""
        for starts, stops in zip(self._starts.tolist(), self._stops.tolist(), strict=True):
            yield from zip(range(self.n_tasks), starts, stops, strict=True)

    def task_sums(self, values: NDArray, scores: NDArray) -> NDArray:
        """``sum_i values_i scores[rows_i]`` over the observations of every task, shape (n_tasks, p)."""
        return (self._matrix(values) @ scores).reshape(self.n_blocks, self.n_tasks, -1).sum(axis=0)

    def row_sums(self, values: NDArray, factors: NDArray) -> NDArray:
        """``sum_i values_i factors[tasks_i]`` over the observations of every row, shape (n_rows, p)."""
        return self._matrix(values).T @ np.tile(factors, (self.n_blocks, 1))

    def _matrix(self, values: NDArray) -> sparse.csr_matrix:
        """A row for every piece; shares memory where there is one block."""
        ordered = values if self._order is None else values.take(self._order)
        return sparse.csr_matrix((ordered, self._rows, self._offsets), shape=self._shape, copy=False)
