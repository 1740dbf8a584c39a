"""Long lists of observations by blocks of rows: the scores of a block are in the cache while every task reads them.

A list in the order of its tasks sweeps over the scores of all rows once per task; with more rows than the cache holds,
fetching them takes longer than the sums.
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
    rows, tasks : int ndarrays of shape (n_observations,)
    offsets : int ndarray of shape (n_tasks + 1,)
        Task t has the observations offsets[t]:offsets[t + 1].
    """

    def __init__(self, n_rows: int, rows: NDArray, tasks: NDArray, offsets: NDArray):
        self.n_blocks, self.n_tasks = -(-n_rows // _ROWS), len(offsets) - 1
        piece = rows // _ROWS * self.n_tasks + tasks
        self._order = np.argsort(piece, kind="stable").astype(rows.dtype)
        self._rows, self._shape = rows[self._order], (self.n_blocks * self.n_tasks, n_rows)
        counts = np.bincount(piece, minlength=self._shape[0])
        self._offsets = np.concatenate([[0], np.cumsum(counts)]).astype(rows.dtype)
        lengths = counts.reshape(self.n_blocks, self.n_tasks)
        self._stops = offsets[:-1] + np.cumsum(lengths, axis=0)
        self._starts = self._stops - lengths

    @staticmethod
    def pay(n_rows: int, n_observations: int, n_tasks: int) -> bool:
        """Whether there are rows enough for several blocks, and observations enough in each."""
        return n_rows > 2 * _ROWS and n_observations * _ROWS >= _FEWEST * n_rows * n_tasks

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
        """A row for every piece."""
        return sparse.csr_matrix((values.take(self._order), self._rows, self._offsets), shape=self._shape, copy=False)
