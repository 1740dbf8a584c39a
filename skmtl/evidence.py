"""From paired held-out losses to gains, their standard errors, and verdicts in which the tasks inform each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr
from scipy.stats import t as student

#: A verdict is given where the probability that its sign is wrong is below this.
LEVEL = 0.05
#: And where the task's own gain has that sign, and at least this many of its standard errors.
OWN_EVIDENCE = 1.0
#: Observations by which the prior distribution of gains is pulled towards "no difference" (half, as Jeffreys).
_NULL_OBSERVATIONS = 0.5
#: Ratio of neighbouring widths in the prior distribution of gains, and the smallest in standard errors.
_WIDTH_RATIO = np.sqrt(2.0)
_SMALLEST_WIDTH = 0.1
_MAX_ROUNDS = 2000


@dataclass(frozen=True)
class Paired:
    """Paired differences of one task between two models, in favour of the second one, on held-out entries.

    Attributes
    ----------
    entry : intp ndarray of shape (n_entries,)
        What was held out, numbered through all folds alike for all tasks: a row of a fold, or a group of rows.
    fold : intp ndarray of shape (n_entries,)
    difference : ndarray of shape (n_entries,)
    train_over_test : float
        Labels in the training parts for each label in the test parts.
    """

    entry: NDArray
    fold: NDArray
    difference: NDArray
    train_over_test: float


@dataclass(frozen=True)
class Evidence:
    """Gains of all tasks and what can be said about their signs; arrays of shape (n_tasks,).

    Attributes
    ----------
    gain, se : ndarray
        Mean paired difference and its standard error.
    p_better, p_worse : ndarray
        Posterior probabilities that the gain is above and below zero, given the gains of all tasks.
    """

    gain: NDArray
    se: NDArray
    p_better: NDArray
    p_worse: NDArray


def gains(tasks: Sequence[Paired]) -> tuple[NDArray, NDArray, NDArray]:
    """Mean difference of every task, its corrected standard error, and its degrees of freedom.

    With J folds, the variance s² of the differences inside folds, n of them in a fold, and r training
    labels per test label::

        se² = phi s² / n (1 / J + 1 / r)

    The last factor is that of Nadeau & Bengio [1]_: models from overlapping training sets err together, and
    plain ``1 / J`` is too small. They take the variance of the J fold means, which has J - 1 degrees of freedom;
    here it is ``phi s² / n``, where phi, how much more the fold means vary than their rows explain (at
    least 1), is estimated from all tasks together. That leaves nearly as many degrees of freedom as
    there are rows.

    References
    ----------
    .. [1] Nadeau, C. & Bengio, Y. (2003). Inference for the generalization error. Machine Learning, 52,
           239-281. :doi:`10.1023/A:1024068626366`
    """
    within = [_within(one) for one in tasks]
    phi = _fold_inflation(within)
    mean = np.array([one.difference.mean() if len(one.difference) else np.nan for one in tasks])
    se = np.array([_standard_error(own, phi, one.train_over_test) for own, one in zip(within, tasks, strict=True)])
    return mean, se, np.array([own.df for own in within])


def total_gain(tasks: Sequence[Paired]) -> tuple[float, float]:
    """Unweighted mean over tasks of their gains, and its standard error.

    Tasks that are tested on the same rows err together, so the differences are added up row by row first.
    """
    seen = [one for one in tasks if len(one.difference)]
    if not seen:
        return float("nan"), float("nan")
    entries = np.concatenate([one.entry for one in seen])
    shares = np.concatenate([one.difference / (len(one.difference) * len(seen)) for one in seen])
    folds = np.concatenate([one.fold for one in seen])
    distinct, first, position = np.unique(entries, return_index=True, return_inverse=True)
    added = np.bincount(position.reshape(-1), shares) * len(distinct)
    ratio = float(np.mean([one.train_over_test for one in seen]))
    rows = Paired(distinct, folds[first], added, ratio)
    mean, se, _ = gains([rows])
    return float(mean[0]), float(se[0])


def weigh(gain: NDArray, se: NDArray, df: NDArray) -> Evidence:
    """Posterior probabilities of the signs of the gains by empirical Bayes, as in adaptive shrinkage [1]_.

    The true gains are taken as draws from one distribution, which is estimated from all tasks: a mixture of a
    point at zero and of uniform distributions from zero to either side, of many widths. So it has
    its mode at zero and may be skew, and many tasks that gain make a small gain of another more credible.
    The point at zero stands for gains too small to have a sign: half of it counts for either side.

    Parameters
    ----------
    gain, se, df : ndarray of shape (n_tasks,)
        NaN for a task without any held-out label: it has no verdict.

    References
    ----------
    .. [1] Stephens, M. (2017). False discovery rates: a new deal. Biostatistics, 18(2), 275-294.
           :doi:`10.1093/biostatistics/kxw041`
    """
    p_better, p_worse = np.full(len(gain), np.nan), np.full(len(gain), np.nan)
    usable = np.isfinite(gain) & np.isfinite(se) & (se > 0)
    exact = np.isfinite(gain) & ~usable & (gain == 0)  # the very same predictions
    p_better[exact] = p_worse[exact] = 0.5
    if usable.any():
        # A normal error of the size that excludes zero as often as Student's t does at its 95 % point.
        wide = se[usable] * student.ppf(0.975, np.maximum(df[usable], 1.0)) / student.ppf(0.975, np.inf)
        p_better[usable], p_worse[usable] = _signs(gain[usable], wide)
    return Evidence(gain, se, p_better, p_worse)


def _signs(gain: NDArray, se: NDArray) -> tuple[NDArray, NDArray]:
    """Posterior probabilities of a positive and a negative gain under the estimated prior."""
    smallest = _SMALLEST_WIDTH * se.min()
    largest = max(2.0 * np.sqrt(np.max(np.maximum(gain**2 - se**2, 0.0))), 8.0 * smallest)
    n = int(np.ceil(np.log(largest / smallest) / np.log(_WIDTH_RATIO))) + 1
    widths = largest / _WIDTH_RATIO ** np.arange(n)
    z, ends = (gain / se)[:, np.newaxis], widths / se[:, np.newaxis]
    at_zero = np.exp(-0.5 * z**2) / (np.sqrt(2 * np.pi) * se[:, np.newaxis])
    likelihood = np.hstack([at_zero, _normal_mass(z - ends, z) / widths, _normal_mass(z, z + ends) / widths])
    posterior = _posterior(np.maximum(likelihood, 1e-300))
    half_zero = 0.5 * posterior[:, 0]
    return posterior[:, 1 : n + 1].sum(axis=1) + half_zero, posterior[:, n + 1 :].sum(axis=1) + half_zero


def _normal_mass(low: NDArray, high: NDArray) -> NDArray:
    """Standard normal probability between `low` and `high`, in the tail where nothing cancels."""
    in_upper_tail = low > 0
    return np.where(in_upper_tail, ndtr(-low) - ndtr(-high), ndtr(high) - ndtr(low))


def _posterior(likelihood: NDArray) -> NDArray:
    """Probabilities of the components (first: zero) for every task, the mixture estimated by EM."""
    mixture = np.full(likelihood.shape[1], 1.0 / likelihood.shape[1])
    for _ in range(_MAX_ROUNDS):
        weighted = likelihood * mixture
        share = (weighted / weighted.sum(axis=1, keepdims=True)).sum(axis=0)
        share[0] += _NULL_OBSERVATIONS
        previous, mixture = mixture, share / share.sum()
        if np.abs(mixture - previous).max() < 1e-5:
            break
    weighted = likelihood * mixture
    return weighted / weighted.sum(axis=1, keepdims=True)


@dataclass(frozen=True)
class _Within:
    """Spread of a task's differences: inside folds (mean square, df, how many per fold), and between folds."""

    square: float
    df: int
    n_folds: int
    per_fold: float
    between: float


def _within(one: Paired) -> _Within:
    if not len(one.difference):
        return _Within(np.nan, 0, 0, 0.0, np.nan)
    _, fold = np.unique(one.fold, return_inverse=True)
    fold = fold.reshape(-1)
    sizes = np.bincount(fold)
    means = np.bincount(fold, one.difference) / sizes
    n_folds, n = len(sizes), len(fold)
    # With one entry per fold there is no spread inside: the folds' own spread has to do.
    df = n - n_folds
    between = sizes @ (means - one.difference.mean()) ** 2 / max(n_folds - 1, 1)
    square = np.sum((one.difference - means[fold]) ** 2) / df if df else between
    return _Within(float(square), df or n_folds - 1, n_folds, n / n_folds, float(between) if df else np.nan)


def _fold_inflation(within: Sequence[_Within]) -> float:
    """The phi of `gains`: mean square between folds over that inside, all tasks pooled, at least 1."""
    ratios, weights = [], []
    for own in within:
        if own.df > 2 and own.n_folds > 1 and own.square > 0 and np.isfinite(own.between):
            ratios.append(own.between / own.square * (own.df - 2) / own.df)  # the mean of an F ratio is df / (df - 2)
            weights.append(own.n_folds - 1)
    return max(1.0, float(np.average(ratios, weights=weights))) if ratios else 1.0


def _standard_error(own: _Within, phi: float, train_over_test: float) -> float:
    if not own.n_folds or own.df < 1:
        return float("nan")
    return float(np.sqrt(phi * own.square / own.per_fold * (1.0 / own.n_folds + 1.0 / train_over_test)))
