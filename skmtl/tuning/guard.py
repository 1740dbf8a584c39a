"""The guard against negative transfer: tasks that are better off with a model of their own."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from skmtl.tuning.candidates import Candidate
from skmtl.tuning.evaluation import Evaluation
from skmtl.tuning.folds import Fold

#: Points of the distribution of true differences: beside every estimate, in its errors; and the most of them.
_BESIDE = np.array([-1.0, -0.5, 0.0, 0.5, 1.0])
_MAX_POINTS = 300
#: Rounds of its estimation.
_MAX_ROUNDS = 300
#: What the rows of a fold explain of the variance of a difference, times this: models from overlapping training sets
#: err together. (The full correction of Nadeau & Bengio, 2.25 for five folds, would let most harm pass.)
_INFLATION = 1.45


def harmed_tasks(n_rows: NDArray, gain: NDArray, variance: NDArray, loses: NDArray) -> NDArray:
    """Positions of the tasks whose held-out loss is expected to be higher jointly than alone.

    What one task says is weak, so that the tasks inform each other: the distribution of their true differences, of any
    shape, is estimated from all of them [1]_, and a task is harmed where the mean of its posterior is on the wrong
    side, unless its own rows say the contrary: a task of few rows with an enormous gain is not like the others. (A
    transfer report asks whether a difference is beyond doubt; here one of two models must be taken, and both mistakes
    cost what the difference is.)

    Parameters
    ----------
    n_rows, gain, variance : ndarray of shape (n_tasks,)
        What `held_out_gains` gives.
    loses : bool ndarray of shape (n_tasks,)
        Tasks that may be harmed: those that lose in the model of all tasks.

    References
    ----------
    .. [1] Koenker, R. & Mizera, I. (2014). Convex optimization, shape constraints, compound decisions, and
           empirical Bayes rules. Journal of the American Statistical Association, 109(506), 674-685.
           :doi:`10.1080/01621459.2013.869224`
    """
    known = np.flatnonzero(n_rows > 1)
    if len(known) < 2:
        return np.empty(0, dtype=np.intp)
    n_rows, gain, variance, loses = n_rows[known], gain[known], variance[known], loses[known]
    # A task whose few rows happen to agree is not certain.
    error = np.sqrt(0.5 * _INFLATION * (variance + np.median(variance)) / n_rows)
    worse = posterior_means(gain, error) < 0 if error.min() > 0 else gain < 0
    return known[worse & (gain < 0) & loses]


def posterior_means(estimates: NDArray, errors: NDArray) -> NDArray:
    """Means of the true values given all estimates, under the most likely distribution of true values.

    Its points are where the estimates are, at the distances of their errors: a few estimates of another size, as of a
    task with a handful of rows, leave the others as they would be without them.

    Parameters
    ----------
    estimates, errors : ndarray of shape (n,)
        Errors are positive.
    """
    beside = estimates[:, np.newaxis] + _BESIDE * errors[:, np.newaxis]
    points = np.unique(np.clip(beside, estimates.min(), estimates.max()))
    if len(points) > _MAX_POINTS:
        points = points[np.linspace(0, len(points) - 1, _MAX_POINTS).round().astype(int)]
    z = (estimates[:, np.newaxis] - points) / errors[:, np.newaxis]
    likelihood = np.exp(-0.5 * (z**2 - np.min(z**2, axis=1, keepdims=True)))
    mixture = np.full(len(points), 1.0 / len(points))
    for _ in range(_MAX_ROUNDS):
        posterior = likelihood * mixture
        posterior /= posterior.sum(axis=1, keepdims=True)
        mixture = posterior.mean(axis=0)
    return posterior @ points


def held_out_gains(evaluation: Evaluation, joint: Candidate, alone: Candidate) -> tuple[NDArray, NDArray, NDArray]:
    """Held-out rows of every task, and mean and variance of their losses under `alone` minus under `joint`."""

    def on_fold(fold: Fold) -> tuple[NDArray, NDArray]:
        return fold.loss_differences(fold.fit(alone), fold.fit(joint))

    found = evaluation.on_folds(on_fold)
    tasks = np.concatenate([own for own, _ in found])
    differences = np.concatenate([difference for _, difference in found])
    n_tasks = len(evaluation.data.tasks)
    n_rows = np.bincount(tasks, minlength=n_tasks)
    means = np.bincount(tasks, differences, n_tasks) / np.maximum(n_rows, 1)
    squares = np.bincount(tasks, (differences - means[tasks]) ** 2, n_tasks)
    return n_rows, means, squares / np.maximum(n_rows - 1, 1)
