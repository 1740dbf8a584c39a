"""The one form in which tasks reach the mathematics: one X, encoded targets, no parsing.

Everything a user may hand over (named targets, arrays, a dict of tables, the long form) is
turned into a `TaskData` by :mod:`skmtl.inputs`; nothing after that asks where it came from.
"""

from __future__ import annotations

import math
from collections.abc import Hashable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from skmtl.matrix import sum_of_squares

#: What a task may be.
KINDS = ("regression", "binary", "multiclass", "count")


@dataclass(frozen=True)
class Task:
    """What is known of one task before any solver runs.

    Attributes
    ----------
    name : hashable
        The user's name of the task.
    kind : {"regression", "binary", "multiclass", "count"}
    classes : ndarray of shape (n_classes,), or None for numeric tasks
        Class labels; target code ``c`` stands for ``classes[c]``.
    """

    name: Hashable
    kind: str
    classes: NDArray | None = None

    @property
    def n_outputs(self) -> int:
        """Columns of the linear predictor: one, or one per class of a multiclass task."""
        return len(self.classes) if self.classes is not None and self.kind == "multiclass" else 1


@dataclass(frozen=True)
class TaskData:
    """One X and, for every task, the rows it observes.

    Targets stand in one of two layouts. *Matrix*: ``y`` has a column per task, NaN where a
    task does not observe a row. *Labelled rows*: ``y`` is one column and every row belongs to
    the one task named by ``task_of_row``.

    Attributes
    ----------
    X : ndarray or CSR matrix/array of shape (n_rows, n_features), float64 or float32
    tasks : tuple of Task, length n_tasks
    y : float64 ndarray of shape (n_rows, n_tasks) or (n_rows,)
        Numbers, or class codes 0 .. n_classes - 1; NaN = unobserved (matrix layout only).
    task_of_row : intp ndarray of shape (n_rows,), or None in the matrix layout
        Position in `tasks` of the task each row belongs to.
    weights : float64 ndarray of shape (n_rows,) or (n_rows, n_tasks), or None for ones
        Weight of every observation (sample weight times class weight); >= 0.
    task_weights : float64 ndarray of shape (n_tasks,), or None for ones
        Further factor on every observation of a task.
    rows : intp ndarray of shape (n_rows,), or None where they are all
        Positions, among the rows that were handed over, of those that hold an observation.
    """

    X: NDArray | sparse.csr_matrix | sparse.csr_array
    tasks: tuple[Task, ...]
    y: NDArray
    task_of_row: NDArray | None = None
    weights: NDArray | None = None
    task_weights: NDArray | None = None
    rows: NDArray | None = None

    @property
    def n_rows(self) -> int:
        return self.X.shape[0]

    @property
    def n_features(self) -> int:
        return self.X.shape[1]

    @cached_property
    def is_complete(self) -> bool:
        """Whether no target is missing."""
        return math.isfinite(sum_of_squares(self.y)) or not np.isnan(self.y).any()

    @property
    def weight_of_tasks(self) -> NDArray:
        """`task_weights`, ones where there are none, shape (n_tasks,)."""
        return np.ones(len(self.tasks)) if self.task_weights is None else self.task_weights

    @cached_property
    def weight_per_task(self) -> float:
        """nbar: total weight of all observations over the number of tasks."""
        if self.weights is None:
            total = float(self.y.size if self.is_complete else np.count_nonzero(~np.isnan(self.y)))
        else:
            weights = self.weights if self.weights.ndim == self.y.ndim else self.weights[:, np.newaxis]
            total = float(np.sum(np.where(np.isnan(self.y), 0.0, weights)))
        return total / len(self.tasks)

    @cached_property
    def row_weights(self) -> NDArray:
        """Weight of every row summed over the tasks that see it, shape (n_rows,).

        Centring by these makes a row that two tasks see the same as two rows that one task sees.
        """
        per_task = self.weight_of_tasks
        if self.task_of_row is not None:
            weights = per_task[self.task_of_row] * ~np.isnan(self.y)
            return weights if self.weights is None else weights * self.weights
        if self.weights is not None and self.weights.ndim == 2:
            return np.where(np.isnan(self.y), 0.0, self.weights) @ per_task
        if self.is_complete:
            totals = np.full(self.n_rows, per_task.sum())
        elif self.task_weights is None:
            totals = np.count_nonzero(~np.isnan(self.y), axis=1).astype(float)
        else:
            totals = ~np.isnan(self.y) @ per_task
        return totals if self.weights is None else totals * self.weights

    def take(self, rows: NDArray, tasks: NDArray) -> TaskData:
        """Some of the rows and some of the tasks (ascending positions); other tasks' labelled rows are left out."""
        everything = len(tasks) == len(self.tasks)
        task_of_row = None
        if self.task_of_row is not None:
            place = np.full(len(self.tasks), -1)
            place[tasks] = np.arange(len(tasks))
            rows = rows if everything else rows[place[self.task_of_row[rows]] >= 0]
            task_of_row = place[self.task_of_row[rows]]
        by_task = self.task_of_row is None and not everything
        weights = None if self.weights is None else self.weights[rows]
        return TaskData(
            self.X[rows],
            tuple(self.tasks[t] for t in tasks),
            self.y[np.ix_(rows, tasks)] if by_task else self.y[rows],
            task_of_row,
            weights[:, tasks] if weights is not None and weights.ndim == 2 and by_task else weights,
            None if self.task_weights is None else self.task_weights[tasks],
            rows if self.rows is None else self.rows[rows],
        )

    @cached_property
    def n_outputs(self) -> NDArray:
        """Output columns of every task, shape (n_tasks,)."""
        return np.array([task.n_outputs for task in self.tasks])

    @cached_property
    def output_offsets(self) -> NDArray:
        """Offsets (n_tasks + 1,): task t owns output columns offsets[t]:offsets[t + 1]."""
        return np.concatenate([[0], np.cumsum(self.n_outputs)])
