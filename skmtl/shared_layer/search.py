"""The strengths of the networks, chosen by held-out losses: a walk along alpha, and whether heads have a common mean.

Strengths are powers of the root of ten below the one at which the first unit of a start would leave zero. The walk
begins at a tenth of it, and goes on, in the direction in which the held-out loss falls, until it rises.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray

from skmtl.matrix import FeatureMatrix
from skmtl.objective import Block, Problem
from skmtl.penalties import Penalties, spectral_norm
from skmtl.shared_layer.ensemble import Member
from skmtl.shared_layer.folds import NetworkFold, NetworkOptions
from skmtl.shared_layer.heads import Strengths
from skmtl.shared_layer.representation import Layer
from skmtl.shared_layer.standardised import StandardisedFeatures
from skmtl.solvers.threads import one_blas_thread

#: Steps of alpha per decade, and the first and the last places of the walk, counted from the unit downwards.
_STEPS_PER_DECADE, _FIRST, _STRONGEST, _WEAKEST = 2, 2, -4, 12
#: A rise of the held-out loss by less than this share is none.
_NEGLIGIBLE = 2e-3
#: Strength of the common mean as a share of that of the deviations.
MEAN_SHARE = 0.1


@dataclass(frozen=True)
class Outcome:
    """What the folds say of some strengths; smaller losses are better.

    Attributes
    ----------
    strengths : Strengths
    members : list of Member
        The network of every fold.
    row_losses, row_weights : list of ndarray
        Of the test rows of every fold: weighted sum of the losses of its targets, and the sum of the weights.
    seconds : ndarray of shape (n_folds,)
    """

    strengths: Strengths
    members: list[Member]
    row_losses: list[NDArray]
    row_weights: list[NDArray]
    seconds: NDArray

    @property
    def loss(self) -> float:
        """Mean held-out loss of an observation, in the units of the objective."""
        return float(sum(map(np.sum, self.row_losses)) / sum(map(np.sum, self.row_weights)))

    def params(self, options: NetworkOptions) -> dict[str, Any]:
        """What the estimators call it."""
        alpha, alpha_common = self.strengths.alpha, self.strengths.alpha_common
        return {"alpha": alpha, "alpha_common": alpha_common, "n_hidden": options.n_hidden}

    @property
    def fold_losses(self) -> NDArray:
        """The same of every fold, NaN where it judges nothing, shape (n_folds,)."""
        weights = np.array([weights.sum() for weights in self.row_weights])
        sums = np.array([losses.sum() for losses in self.row_losses])
        return np.divide(sums, weights, out=np.full(len(sums), np.nan), where=weights > 0)


class Evaluation:
    """Outcomes by strengths, each evaluated once.

    Parameters
    ----------
    folds : sequence of NetworkFold
    options : NetworkOptions
    n_jobs : int or None
        Folds worked on at a time, in threads; the results do not depend on it.
    listener : callable or None
        Called with every outcome as soon as it is there.
    """

    def __init__(
        self,
        folds: Sequence[NetworkFold],
        options: NetworkOptions,
        n_jobs: int | None = None,
        listener: Callable[[Outcome], None] | None = None,
    ):
        self.folds, self.options, self.n_jobs, self._listener = folds, options, n_jobs, listener
        self.outcomes: dict[Strengths, Outcome] = {}

    def __call__(self, strengths: Strengths) -> float:
        """The mean held-out loss."""
        if strengths not in self.outcomes:
            # One thread for the BLAS, whatever n_jobs: sums then have one order.
            with one_blas_thread():
                jobs = [delayed(self._on_fold)(fold, strengths) for fold in self.folds]
                results = Parallel(n_jobs=self.n_jobs, prefer="threads")(jobs)
            members, losses, weights, seconds = map(list, zip(*results, strict=True))
            self.outcomes[strengths] = Outcome(strengths, members, losses, weights, np.array(seconds))
            if self._listener is not None:
                self._listener(self.outcomes[strengths])
        return self.outcomes[strengths].loss

    def _on_fold(self, fold: NetworkFold, strengths: Strengths) -> tuple[Member, NDArray, NDArray, float]:
        began = perf_counter()
        member = fold.fit(strengths, self.options)
        losses, weights = fold.row_sums(fold.losses(member))
        return member, losses, weights, perf_counter() - began

    def best(self) -> Outcome:
        return min(self.outcomes.values(), key=lambda one: one.loss)


def search(
    evaluation: Evaluation, alpha: float | None, means: Sequence[Callable[[float], float | None]], unit: float
) -> None:
    """Evaluate what may be best; the outcomes are left in `evaluation`.

    Parameters
    ----------
    alpha : float or None
        Kept; None: chosen.
    means : sequence of callables
        Strength of the common mean of the heads, or None, for a given alpha; each is tried.
    unit : float
        The alpha that is one.
    """
    place = _FIRST
    for mean in means:
        if alpha is not None:
            evaluation(Strengths(alpha, mean(alpha)))
            continue

        def loss_at(place: int, mean: Callable[[float], float | None] = mean) -> float:
            strength = unit * 10.0 ** (-place / _STEPS_PER_DECADE)
            return evaluation(Strengths(strength, mean(strength)))

        place = _walk(loss_at, place)


def _walk(loss_at: Callable[[int], float], first: int) -> int:
    """The place at which the loss is least, as far as a walk from `first` finds it."""
    best, least = first, loss_at(first)
    for way in (1, -1):
        place = first
        while _STRONGEST <= place + way <= _WEAKEST:
            place += way
            loss = loss_at(place)
            if loss < least:
                best, least = place, loss
            elif loss > least * (1.0 + _NEGLIGIBLE) or abs(place - best) > 1:
                break
        if best > first:
            break
    return best


def natural_unit(X: StandardisedFeatures, blocks: Sequence[Block], start: Layer, mean_share: float | None) -> float:
    """The alpha from which on downwards a unit of the start, or a linear one, leaves zero.

    With G the gradient of the loss of the best constants in the coefficients of linear units, and g_j that in the
    heads of the rectified unit j, it is the largest of ``|G|_op`` and of ``|g_j| / |(v_j, c_j)|``.
    """
    problem = Problem(FeatureMatrix(X.matrix.X), tuple(blocks), Penalties(1.0), True)
    scores = start.scores(X)
    linear, bent = [], []
    for block in blocks:
        ones, null = np.ones((X.shape[0], 1)), problem.null_raw(block)
        _, slope = block.loss_and_slope(block.observations.raw(ones, null[:, np.newaxis]))
        G = block.observations.feature_sums(slope, X.matrix) * block.output_scale.T
        linear.append(G * X.scale[:, np.newaxis])
        bent.append(block.observations.factor_sums(slope, scores)[:, : start.n_hidden] * block.output_scale)
    of_linear, of_bent = np.concatenate(linear, axis=1), np.concatenate(bent)
    if mean_share is not None:
        # A mean of the heads sees the sum over the tasks.
        root = 1.0 / np.sqrt(mean_share)
        of_linear = np.concatenate([of_linear, root * of_linear.sum(axis=1, keepdims=True)], axis=1)
        of_bent = np.concatenate([of_bent, root * of_bent.sum(axis=0, keepdims=True)])
    sizes = np.linalg.norm(of_bent, axis=0) / np.maximum(start.norms()[: start.n_hidden], 1e-300)
    return max(spectral_norm(of_linear), float(sizes.max(initial=0.0)), 1e-12)
