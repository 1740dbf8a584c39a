"""Networks on folds: each trained on the training part, judged row by row on the test part.

A task whose training part has no target, or lacks one of its classes, sits out the fold.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from skmtl.shared_layer.ensemble import Member, as_member
from skmtl.shared_layer.heads import Strengths
from skmtl.shared_layer.representation import Layer
from skmtl.shared_layer.standardised import StandardisedFeatures
from skmtl.shared_layer.training import train
from skmtl.solvers.build import make_blocks
from skmtl.tasks import TaskData
from skmtl.tuning.folds import HeldOut, n_targets, trainable_tasks


@dataclass(frozen=True)
class NetworkOptions:
    """What all networks have in common.

    Attributes
    ----------
    n_hidden, n_linear : int
    max_iter : int
    tol : float
    seed : int
        Of the starts; every fold has its own, which does not depend on the order in which folds are worked on.
    scale_targets : {"std", None} or ndarray of shape (n_tasks,)
    """

    n_hidden: int
    n_linear: int
    max_iter: int
    tol: float
    seed: int
    scale_targets: str | NDArray | None

    def start(self, n_features: int, number: int) -> Layer:
        """The layer that the network of a fold begins at."""
        return Layer.random(n_features, self.n_hidden, self.n_linear, np.random.default_rng([self.seed, number]))


class NetworkFold:
    """One training part and its test part.

    Parameters
    ----------
    number : int
        Among the splits.
    data : TaskData
    train_rows, test_rows : intp ndarrays
    scales : ndarray of shape (n_tasks,)
        Units of the targets in held-out losses: a squared error is divided by the square.

    Attributes
    ----------
    tasks : intp ndarray
        Tasks that are trained here.
    test_rows : intp ndarray
        Those that are judged: not the own rows of tasks that are not trained.
    """

    def __init__(self, number: int, data: TaskData, train_rows: NDArray, test_rows: NDArray, scales: NDArray):
        self.number, self._data, self._train_rows = number, data, np.sort(train_rows)
        self.tasks = trainable_tasks(data, self._train_rows)
        rows = np.sort(test_rows)
        self._judged = judged = self.tasks[n_targets(data, rows)[self.tasks] > 0]
        if data.task_of_row is not None:
            rows = rows[np.isin(data.task_of_row[rows], judged)]
        self.test_rows = rows
        offsets = data.output_offsets
        self.outputs = np.concatenate([np.arange(offsets[t], offsets[t + 1]) for t in self.tasks] or [np.arange(0)])
        self.held_out: HeldOut | None = None
        if len(judged):
            of_judged = np.concatenate([np.arange(offsets[t], offsets[t + 1]) for t in judged])
            columns = np.searchsorted(self.outputs, of_judged)
            self.held_out = HeldOut(data.take(rows, judged), columns, scales[judged])

    @cached_property
    def _train(self) -> TaskData:
        return self._data.take(self._train_rows, self.tasks)

    def fit(self, strengths: Strengths, options: NetworkOptions) -> Member:
        """The network of the training part, its heads being those of `tasks`."""
        data, scale_targets = self._train, options.scale_targets
        if isinstance(scale_targets, np.ndarray):
            scale_targets = scale_targets[self.tasks]
        blocks, scales = make_blocks(data, scale_targets)
        X = StandardisedFeatures(data.X, data.row_weights)
        start = options.start(data.n_features, self.number)
        network = train(X, blocks, start, strengths, max_iter=options.max_iter, tol=options.tol)
        return as_member(network, X, data, blocks, scales, self.tasks, self.outputs)

    def losses(self, member: Member) -> list[NDArray]:
        """Held-out loss of every observation, block by block, in the units of the objective."""
        if self.held_out is None:
            return []
        scores = member.units.scores(self.held_out.X.X)
        heads = np.concatenate([member.heads.factors, member.heads.intercept[np.newaxis]]).T
        scores = np.concatenate([scores, np.ones((len(scores), 1))], axis=1)
        return self.held_out.losses_at(self.held_out.raw_of_heads(scores, heads))

    def row_sums(self, losses: Sequence[NDArray]) -> tuple[NDArray, NDArray]:
        """Weighted sum of the losses of every test row's targets, and the sum of the weights; (n_test_rows,) each."""
        if self.held_out is None:
            return np.zeros(len(self.test_rows)), np.zeros(len(self.test_rows))
        return self.held_out.row_sums(losses)

    def task_sums(self, losses: Sequence[NDArray], n_tasks: int) -> tuple[NDArray, NDArray]:
        """Weighted sum of the losses of every task, and the sum of the weights; zero where it is not judged."""
        sums, weights = np.zeros(n_tasks), np.zeros(n_tasks)
        if self.held_out is not None:
            sums[self._judged], weights[self._judged] = self.held_out.task_sums(losses, len(self._judged))
        return sums, weights
