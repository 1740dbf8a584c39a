"""Networks on folds: each trained on the training part, judged row by row on the test part.

A task whose training part has no target, or lacks one of its classes, sits out the fold.
"""

from __future__ import annotations

from dataclasses import dataclass

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
        self.outputs, self._scales = _outputs_of(data, self.tasks), scales

    @property
    def judges(self) -> bool:
        """Whether there is a task to train that has a target to test on."""
        return len(self._judged) > 0

    def held_out(self) -> HeldOut:
        """The test rows. They are copied anew, as is the training part: copies of all folds are several times X."""
        columns = np.searchsorted(self.outputs, _outputs_of(self._data, self._judged))
        return HeldOut(self._data.take(self.test_rows, self._judged), columns, self._scales[self._judged])

    def fit(self, strengths: Strengths, options: NetworkOptions) -> Member:
        """The network of the training part, its heads being those of `tasks`."""
        data, scale_targets = self._data.take(self._train_rows, self.tasks), options.scale_targets
        if isinstance(scale_targets, np.ndarray):
            scale_targets = scale_targets[self.tasks]
        blocks, scales = make_blocks(data, scale_targets)
        X = StandardisedFeatures(data.X, data.row_weights)
        start = options.start(data.n_features, self.number)
        network = train(X, blocks, start, strengths, max_iter=options.max_iter, tol=options.tol)
        return as_member(network, X, data, blocks, scales, self.tasks, self.outputs)

    def losses_of_rows(self, member: Member) -> tuple[NDArray, NDArray]:
        """Weighted sum of the held-out losses of every test row's targets, and the sum of the weights; (n_test_rows,).

        In the units of the objective.
        """
        held_out = self.held_out()
        return held_out.row_sums(_losses(held_out, member))

    def losses_of_tasks(self, member: Member, n_tasks: int) -> tuple[NDArray, NDArray]:
        """As `losses_of_rows`, of every task; zero where it is not judged."""
        sums, weights = np.zeros(n_tasks), np.zeros(n_tasks)
        held_out = self.held_out()
        judged = held_out.task_sums(_losses(held_out, member), len(self._judged))
        sums[self._judged], weights[self._judged] = judged
        return sums, weights


def _losses(held_out: HeldOut, member: Member) -> list[NDArray]:
    """Of every observation, block by block."""
    scores = member.units.scores(held_out.X.X)
    heads = np.concatenate([member.heads.factors, member.heads.intercept[np.newaxis]]).T
    scores = np.concatenate([scores, np.ones((len(scores), 1))], axis=1)
    return held_out.losses_at(held_out.raw_of_heads(scores, heads))


def _outputs_of(data: TaskData, tasks: NDArray) -> NDArray:
    """Positions of the outputs of some tasks."""
    offsets = data.output_offsets
    return np.concatenate([np.arange(offsets[t], offsets[t + 1]) for t in tasks] or [np.arange(0)])
