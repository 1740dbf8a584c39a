"""The guard against negative transfer: tasks that are clearly better off with a model of their own.

For every task the held-out losses of the joint and of the independent model are compared row by row. What one task
says alone is weak, so that the tasks' mean differences d_t, with standard errors s_t, inform each other: a normal
distribution of the true differences is estimated from all of them (empirical Bayes, Efron & Morris 1973,
doi:10.1080/01621459.1973.10481350), and a task is guarded where its posterior says that the joint model is worse.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

#: Posterior probability of harm from which on a task learns alone.
_SURE = 0.9


def harmed_tasks(weights: NDArray, squared_weights: NDArray, linear: NDArray, square: NDArray) -> NDArray:
    """Positions of the tasks that the joint model harms.

    Parameters
    ----------
    weights, squared_weights : ndarrays of shape (n_tasks,)
        Sums of the weights of a task's held-out rows, and of their squares; zero for tasks that are not judged.
    linear, square : ndarrays of shape (n_tasks,)
        Sums of weight times d and of weight times d², d being the joint minus the independent loss of a row.

    Returns
    -------
    tasks : intp ndarray
    """
    n_rows = np.divide(weights**2, squared_weights, out=np.zeros_like(weights), where=squared_weights > 0)
    judged = n_rows > 1.5
    if judged.sum() < 2:
        return np.empty(0, dtype=np.intp)
    mean = linear[judged] / weights[judged]
    variance = np.maximum(square[judged] / weights[judged] - mean**2, 0.0) / (n_rows[judged] - 1.0)
    # A task whose few rows happen to agree is not certain: variances are drawn towards their median.
    variance = 0.5 * (variance + np.median(variance))
    spread = max(float(np.var(mean, ddof=1) - variance.mean()), 0.0)
    if variance.max() + spread <= 0.0:
        return np.empty(0, dtype=np.intp)
    precision = 1.0 / np.maximum(variance + spread, 1e-300)
    centre = float(precision @ mean / precision.sum())
    posterior_mean = (spread * mean + variance * centre) / np.maximum(spread + variance, 1e-300)
    posterior_deviation = np.sqrt(spread * variance / np.maximum(spread + variance, 1e-300))
    harm = np.where(posterior_deviation > 0, norm.cdf(posterior_mean / np.maximum(posterior_deviation, 1e-300)), 0.0)
    return np.flatnonzero(judged)[harm > _SURE]
