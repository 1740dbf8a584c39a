"""The strength of the shared part that stands for noise: what ``alpha="auto"`` means.

Were the targets nothing but noise, the gradient at the null model would be a matrix of independent entries, and an
`alpha` above its spectral norm would leave the shared part out. The norm is at most the sum of two terms, one for the
outputs and one for the features [1]_; of that order is the strength at which trace-norm estimates are near the best
that can be had [2]_. The targets are not noise alone, and what predicts best is weaker than what recovers the rank:
shares from 0.35 to 0.5 of the level have the least regret (``python -m benchmarks.defaults``).

References
----------
.. [1] Chevet, S. (1978). Séries de variables aléatoires gaussiennes à valeurs dans E ⊗ F. Séminaire Maurey-Schwartz.
.. [2] Negahban, S. & Wainwright, M. J. (2011). Estimation of (near) low-rank matrices with noise and high-dimensional
       scaling. The Annals of Statistics, 39(2). doi:10.1214/10-AOS850
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from skmtl.matrix import column_deviations
from skmtl.solvers.build import ScaleTargets, null_scale, observe, regression_scale, tasks_alike
from skmtl.tasks import TaskData

#: Share of the noise level that has about the least regret over the problems of `benchmarks.defaults` (.35 to .5).
SHARE = 0.44


def alpha_of_noise(data: TaskData, scale_targets: ScaleTargets, pools_scales: bool) -> float:
    """0.44 of the spectral norm that the gradient at the null model has where targets are noise.

    ``0.44 (max_j d_j |s| + |d| max_o s_o)`` with d the deviations of the features and s the noise of every output in
    its mean gradient: for features of deviation 1 and T tasks of n rows,
    ``0.44 sigma (sqrt(n_features) + sqrt(T)) / sqrt(n)``. Columns in larger units than most count as those in between
    do: a strength that fits them would leave out all others, while one that is too weak for a few costs little.
    """
    features = column_deviations(data.X, data.row_weights)
    features = np.sort(features[features > 0.0])
    if not len(features):
        features = np.ones(1)
    features = np.minimum(features, features[(len(features) - 1) // 2])
    outputs = _noise_of_outputs(data, scale_targets, pools_scales)
    level = features[-1] * np.linalg.norm(outputs) + np.linalg.norm(features) * outputs.max()
    return float(SHARE * level)


def _noise_of_outputs(data: TaskData, scale_targets: ScaleTargets, pools_scales: bool) -> NDArray:
    """Deviation of every output's gradient for a feature of deviation 1, shape (n_outputs,) in the blocks' order."""
    alike = tasks_alike(data)
    is_mixed = len({kind for kind, _, _ in alike}) > 1
    noise = []
    for kind, n_outputs, tasks in alike:
        observations, y, weights = observe(data, tasks, n_outputs)
        variance = np.ones(len(tasks))
        if kind != "regression":
            # Several kinds are brought to unit information.
            if scale_targets is None or not is_mixed:
                variance = null_scale(kind, n_outputs, observations, y, weights) ** -2.0
        elif scale_targets is None or pools_scales:
            deviations = null_scale(kind, n_outputs, observations, y, weights)
            scale = np.ones(len(tasks))
            if scale_targets is not None:
                scale = regression_scale(scale_targets, tasks, deviations, np.nan)
            variance = (deviations / scale) ** 2
        # A mean gradient of n rows is n times one; the weight of a task multiplies it.
        per_task = data.weight_of_tasks[tasks] / data.weight_per_task
        sums, rows = _rows_of_tasks(observations, np.broadcast_to(weights, y.shape), per_task, kind)
        noise.append(np.repeat(sums * np.sqrt(variance / rows), n_outputs))
    return np.concatenate(noise)


def _rows_of_tasks(observations: Any, weights: NDArray, per_task: NDArray, kind: str) -> tuple[NDArray, NDArray]:
    """Sums of `weights`, which hold the factors `per_task`, and for how many rows they stand, shape (n_tasks,).

    A weight of two is a row twice. Of weights below one, such as those that sum to one, rows are not less than their
    effective number, except of counts, where a weight is an exposure.
    """
    sums = observations.task_sums(weights)
    rows = sums / per_task
    if kind != "count":
        rows = np.maximum(rows, sums**2 / observations.task_sums(weights**2))
    return sums, rows
