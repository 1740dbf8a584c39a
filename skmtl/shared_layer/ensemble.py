"""The fitted model: the average of the linear predictors of several networks, which is one wide network.

Everything here is in the user's features and units: `hidden_coef` of X as it is, heads that give linear predictors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skmtl.matrix import FeatureMatrix
from skmtl.shared_layer.heads import Strengths, newton_heads, squared_heads
from skmtl.shared_layer.standardised import StandardisedFeatures
from skmtl.shared_layer.training import Network
from skmtl.solvers.build import ScaleTargets, make_blocks, output_order
from skmtl.solvers.solution import Convergence
from skmtl.tasks import TaskData


@dataclass(frozen=True)
class Units:
    """Units of the hidden layer.

    Attributes
    ----------
    coef : ndarray of shape (n_features, n_units)
    intercept : ndarray of shape (n_units,)
    is_rectified : bool ndarray of shape (n_units,)
        The others are linear.
    """

    coef: NDArray
    intercept: NDArray
    is_rectified: NDArray

    def scores(self, X: Any) -> NDArray:
        """``relu(X coef + intercept)`` of rectified units, without the relu of linear ones, (n_rows, n_units)."""
        scores = FeatureMatrix(X).times(self.coef)
        scores += self.intercept
        np.maximum(scores, 0.0, out=scores, where=self.is_rectified)
        return scores

    @classmethod
    def side_by_side(cls, parts: Sequence[Units]) -> Units:
        """All units, in the order of the parts."""
        return cls(
            np.concatenate([part.coef for part in parts], axis=1),
            np.concatenate([part.intercept for part in parts]),
            np.concatenate([part.is_rectified for part in parts]),
        )


@dataclass(frozen=True)
class Heads:
    """Heads of some outputs, in the user's order and units.

    Attributes
    ----------
    factors : ndarray of shape (n_units, n_outputs)
    intercept : ndarray of shape (n_outputs,)
    target_scale : ndarray of shape (n_tasks,)
        What the linear predictor was divided by inside.
    """

    factors: NDArray
    intercept: NDArray
    target_scale: NDArray


@dataclass(frozen=True)
class Member:
    """One trained network.

    Attributes
    ----------
    units : Units
    heads : Heads
        Of the tasks that were trained.
    tasks : intp ndarray
        Their positions among all tasks.
    outputs : intp ndarray
        Positions of their outputs among all outputs.
    mean : ndarray of shape (n_units + 1,), or None
        What the heads are shrunk to, in scaled targets, the intercept last.
    objective : float
    n_iter : int
    converged : bool
    """

    units: Units
    heads: Heads
    tasks: NDArray
    outputs: NDArray
    mean: NDArray | None
    objective: float
    n_iter: int
    converged: bool


@dataclass(frozen=True)
class NetworkSolution:
    """The average of the networks.

    Attributes
    ----------
    units : Units
        Those of all networks.
    bounds : intp ndarray of shape (n_networks + 1,)
        Network i has the units bounds[i]:bounds[i + 1].
    heads : Heads
        Already divided by the number of networks.
    means : list of ndarray, or None
        What each network's heads are shrunk to, in scaled targets.
    strengths : Strengths
    objective : float
        Mean over the networks.
    convergence : Convergence
    """

    units: Units
    bounds: NDArray
    heads: Heads
    means: list[NDArray] | None
    strengths: Strengths
    objective: float
    convergence: Convergence

    @property
    def has_common(self) -> bool:
        """Whether a task that was not in fit has an answer: the mean of the heads."""
        return self.means is not None

    @property
    def n_scores(self) -> int:
        return len(self.units.intercept)

    def scores(self, X: Any) -> NDArray:
        """The layer's output, (n_rows, n_units)."""
        return self.units.scores(X)

    def raw(self, X: Any, outputs: slice) -> NDArray:
        """Linear predictors of some outputs, (n_rows, n_outputs)."""
        return self.scores(X) @ self.heads.factors[:, outputs] + self.heads.intercept[outputs]

    def common_raw(self, X: Any) -> NDArray:
        """The linear predictor of the mean of the heads, (n_rows, 1)."""
        assert self.means is not None
        scale, n = self.heads.target_scale[0], len(self.means)
        mean = np.concatenate([one[:-1] for one in self.means]) * (scale / n)
        return (self.scores(X) @ mean + scale * np.mean([one[-1] for one in self.means]))[:, np.newaxis]


def as_member(
    network: Network,
    X: StandardisedFeatures,
    data: TaskData,
    blocks: Sequence,
    scales: NDArray,
    tasks: NDArray,
    outputs: NDArray,
) -> Member:
    """A network in the user's features, units and order of outputs; `tasks` and `outputs` are its own among all."""
    layer = network.layer
    coef, intercept = X.in_given_features(layer.coef)
    intercept[: layer.n_hidden] += layer.intercept
    units = Units(coef, intercept, np.arange(layer.n_units) < layer.n_hidden)
    heads = in_units(network.heads, data, blocks, scales)
    return Member(units, heads, tasks, outputs, network.mean, network.objective, network.n_iter, network.converged)


def in_units(heads: NDArray, data: TaskData, blocks: Sequence, scales: NDArray) -> Heads:
    """Heads (n_outputs, n_units + 1) in the order of blocks and scaled targets, as the user has outputs and units."""
    ordered = np.empty_like(heads)
    ordered[output_order(list(blocks), data)] = heads
    of_output = np.repeat(scales, data.n_outputs)
    is_number = np.repeat([task.kind == "regression" for task in data.tasks], data.n_outputs)
    intercept = ordered[:, -1] * np.where(is_number, of_output, 1.0)
    return Heads(np.ascontiguousarray((ordered[:, :-1] * of_output[:, np.newaxis]).T), intercept, scales)


def average(members: Sequence[Member], data: TaskData, strengths: Strengths) -> NetworkSolution:
    """The mean of the networks; of a task that some of them lack, the mean of the others.

    Raises
    ------
    ValueError
        Naming a task that all of them lack.
    """
    n_outputs, n_tasks = data.output_offsets[-1], len(data.tasks)
    count, task_count, scale = np.zeros(n_outputs), np.zeros(n_tasks), np.zeros(n_tasks)
    for member in members:
        count[member.outputs] += 1.0
        task_count[member.tasks] += 1.0
        scale[member.tasks] += member.heads.target_scale
    if not task_count.all():
        task = data.tasks[int(np.argmin(task_count))]
        raise ValueError(
            f"Task {task.name!r} lacks a target, or one of its classes, in the training part of every fold; give more "
            "labels, or another cv."
        )
    bounds = np.cumsum([0, *(len(member.units.intercept) for member in members)])
    factors, intercept = np.zeros((bounds[-1], n_outputs)), np.zeros(n_outputs)
    for member, start, stop in zip(members, bounds[:-1], bounds[1:], strict=True):
        factors[start:stop, member.outputs] = member.heads.factors / count[member.outputs]
        intercept[member.outputs] += member.heads.intercept / count[member.outputs]
    means = [member.mean for member in members if member.mean is not None]
    return NetworkSolution(
        Units.side_by_side([member.units for member in members]),
        bounds,
        Heads(factors, intercept, scale / task_count),
        means if len(means) == len(members) else None,
        strengths,
        float(np.mean([member.objective for member in members])),
        _convergence(members),
    )


def _convergence(members: Sequence[Member]) -> Convergence:
    n_iter, n_short = max(member.n_iter for member in members), sum(not member.converged for member in members)
    reason = "In every network, the last ten steps lowered the objective by no more than ten times tol of it."
    if n_short:
        reason = (
            f"{n_short} of {len(members)} networks stopped at max_iter steps, before the objective had settled to tol; "
            "increase max_iter or tol."
        )
    return Convergence(not n_short, reason, n_iter, 2 * sum(member.n_iter for member in members))


def add_heads(solution: NetworkSolution, data: TaskData, scale_targets: ScaleTargets) -> Heads:
    """Heads of new tasks on every network's units, which stay; averaged as those of the fit are."""
    has_mean = solution.means is not None
    blocks, scales = make_blocks(data, scale_targets, float(solution.heads.target_scale[0]) if has_mean else None)
    scores = np.concatenate([solution.scores(data.X), np.ones((data.n_rows, 1))], axis=1)
    n_networks = len(solution.bounds) - 1
    found = []
    for i, (start, stop) in enumerate(zip(solution.bounds[:-1], solution.bounds[1:], strict=True)):
        own = np.ascontiguousarray(scores[:, [*range(start, stop), -1]])
        if solution.means is None and all(block.loss.is_quadratic for block in blocks):
            heads, _, _ = squared_heads(blocks[0], own, Strengths(solution.strengths.alpha))
        else:
            mean = None if solution.means is None else solution.means[i]
            heads = newton_heads(blocks, own, solution.strengths.alpha, mean)
        found.append(in_units(heads, data, blocks, scales))
    factors = np.concatenate([heads.factors for heads in found]) / n_networks
    return Heads(factors, np.mean([heads.intercept for heads in found], axis=0), scales)


def with_heads(solution: NetworkSolution, new: Heads) -> NetworkSolution:
    """The solution with further outputs; objective and convergence stay those of the fit."""
    known = solution.heads
    heads = Heads(
        np.concatenate([known.factors, new.factors], axis=1),
        np.concatenate([known.intercept, new.intercept]),
        np.concatenate([known.target_scale, new.target_scale]),
    )
    return replace(solution, heads=heads)
