"""Solutions of sets of tasks as one, in the order of all tasks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from skmtl.solvers.solution import Noise, Solution
from skmtl.solvers.spread import MergedSpread
from skmtl.tasks import Task


def merge_solutions(tasks: Sequence[Task], parts: Sequence[tuple[NDArray, Solution]]) -> Solution:
    """One solution for all tasks.

    Parameters
    ----------
    tasks : sequence of Task
        All of them.
    parts : sequence of (positions, Solution)
        Positions in `tasks` of the tasks of each solution. Basis, common part, objective and certificate are
        those of the first; what the others' tasks have is own part throughout. A task of several is that of the last.
        Tasks of no solution get zeros.
    """
    widths = np.array([task.n_outputs for task in tasks])
    offsets = np.concatenate([[0], np.cumsum(widths)])
    first = parts[0][1]
    n_features, n_outputs = len(first.coef), int(offsets[-1])
    factors = np.zeros((first.factors.shape[0], n_outputs))
    coef, intercept, scales = np.zeros((n_features, n_outputs)), np.zeros(n_outputs), np.ones(len(tasks))
    own = None if first.own is None and len(parts) == 1 else np.zeros((n_features, n_outputs))
    for place, (positions, solution) in enumerate(parts):
        outputs = np.concatenate([np.arange(offsets[t], offsets[t + 1]) for t in positions])
        coef[:, outputs], intercept[outputs] = solution.coef, solution.intercept
        scales[positions] = solution.target_scale
        if place == 0:
            factors[:, outputs] = solution.factors
            if own is not None and solution.own is not None:
                own[:, outputs] = solution.own
        elif own is not None:
            factors[:, outputs], own[:, outputs] = 0.0, solution.coef
            if first.common is not None:
                # Own parts stand beside the common one, which single outputs have.
                own[:, outputs] -= first.common[:, np.newaxis] * (np.repeat(widths[positions], widths[positions]) == 1)
    noise = merge_noise(len(tasks), [(positions, solution.noise) for positions, solution in parts])
    return replace(
        first,
        factors=factors,
        coef=coef,
        intercept=intercept,
        own=own,
        target_scale=scales,
        noise=noise,
        spread=merge_spread(parts),
    )


def merge_spread(parts: Sequence[tuple[NDArray, Solution]]) -> MergedSpread | None:
    """Spread of all tasks from that of sets of them; None where a part has none."""
    if any(solution.spread is None for _, solution in parts):
        return None
    return MergedSpread(tuple((np.asarray(positions), solution) for positions, solution in parts))


def merge_noise(n_tasks: int, parts: Sequence[tuple[NDArray, Noise | None]]) -> Noise | None:
    """Noise of all tasks from that of sets of them; None where no part has any."""
    known = [(positions, noise) for positions, noise in parts if noise is not None]
    if not known:
        return None
    deviations, freedom, counts = np.full(n_tasks, np.nan), np.zeros(n_tasks), np.full(n_tasks, np.inf)
    widening = np.ones(n_tasks)
    for positions, noise in known:
        deviations[positions], freedom[positions], counts[positions] = noise.deviations, noise.freedom, noise.counts
        widening[positions] = noise.widening
    return Noise(deviations, known[0][1].ratio, freedom, counts, widening)
