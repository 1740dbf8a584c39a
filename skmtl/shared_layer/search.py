"""The strengths of the networks, chosen by held-out losses: a walk along alpha, and whether heads have a common mean.

Strengths are powers of the root of ten below the one at which the first unit of a start would leave zero. The walk
begins at a tenth of it, and goes on, in the direction in which the held-out loss falls, until it rises. Where rows are
many it walks on two folds, and the others see only what these leave open.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
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
#: Folds that a walk sees, if they judge at least so many rows, and how many strengths all folds see at most.
_RACING, _RACED_ROWS, _FINISHERS = 2, 200, 3
#: Strength of the common mean as a share of that of the deviations.
MEAN_SHARE = 0.1


@dataclass(frozen=True)
class Outcome:
    """What the folds, or the first of them, say of some strengths; smaller losses are better.

    Attributes
    ----------
    strengths : Strengths
    loss : float
        Mean held-out loss of an observation, in the units of the objective. Where only the first folds were asked,
        that of the best strengths and how much more it is on these folds.
    members : list of Member
        The network of every fold that was asked.
    row_losses, row_weights : list of ndarray
        Of the test rows of every such fold: weighted sum of the losses of its targets, and the sum of the weights.
    seconds : list of float
    """

    strengths: Strengths
    loss: float
    members: list[Member]
    row_losses: list[NDArray]
    row_weights: list[NDArray]
    seconds: list[float]

    def mean_loss(self, n_folds: int) -> float:
        """On the first folds."""
        return float(sum(map(np.sum, self.row_losses[:n_folds])) / sum(map(np.sum, self.row_weights[:n_folds])))

    def params(self, options: NetworkOptions) -> dict[str, Any]:
        """What the estimators call it."""
        alpha, alpha_common = self.strengths.alpha, self.strengths.alpha_common
        return {"alpha": alpha, "alpha_common": alpha_common, "n_hidden": options.n_hidden}

    def fold_losses(self, n_folds: int) -> NDArray:
        """Mean loss of every fold, NaN where it judges nothing or was not asked, shape (n_folds,)."""
        found = np.full(n_folds, np.nan)
        for fold, (losses, weights) in enumerate(zip(self.row_losses, self.row_weights, strict=True)):
            if weights.sum() > 0:
                found[fold] = losses.sum() / weights.sum()
        return found


class Evaluation:
    """Outcomes by strengths, each evaluated once: on the first folds when called, on all by `finish`.

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
        is_race = sum(len(fold.test_rows) for fold in folds[:_RACING]) >= _RACED_ROWS
        self._n_first = min(_RACING, len(folds)) if is_race else len(folds)

    def __call__(self, strengths: Strengths) -> float:
        """The mean held-out loss on the first folds."""
        if strengths not in self.outcomes:
            self._ask(Outcome(strengths, np.nan, [], [], [], []), self._n_first)
        return self.outcomes[strengths].mean_loss(self._n_first)

    def finish(self) -> None:
        """Let all folds see what the first folds do not tell from the best by a standard error."""
        if self._n_first == len(self.folds):
            return
        ranked = sorted(self.outcomes.values(), key=lambda one: one.loss)
        leader = ranked[0]
        for one in [leader, *(one for one in ranked[1:_FINISHERS] if not self._is_behind(one, leader))]:
            self._ask(one, len(self.folds))
        best = self.best()
        for one in self.outcomes.values():
            if len(one.members) < len(self.folds):
                behind = one.mean_loss(self._n_first) - best.mean_loss(self._n_first)
                self.outcomes[one.strengths] = replace(one, loss=best.loss + behind)

    def best(self) -> Outcome:
        """Of those that all folds have seen."""
        return min((one for one in self.outcomes.values() if len(one.members) == len(self.folds)), key=lambda o: o.loss)

    def _is_behind(self, one: Outcome, leader: Outcome) -> bool:
        first = slice(self._n_first)
        more = np.concatenate(one.row_losses[first]) - np.concatenate(leader.row_losses[first])
        return bool(more.mean() > more.std() / np.sqrt(len(more)))

    def _ask(self, known: Outcome, n_folds: int) -> None:
        """Let as many of the folds see it, those that have not yet."""
        # One thread for the BLAS, whatever n_jobs: sums then have one order.
        with one_blas_thread():
            jobs = [delayed(self._on_fold)(fold, known.strengths) for fold in self.folds[len(known.members) : n_folds]]
            results = Parallel(n_jobs=self.n_jobs, prefer="threads")(jobs)
        members, losses, weights, seconds = map(list, zip(*results, strict=True))
        outcome = replace(
            known,
            members=known.members + members,
            row_losses=known.row_losses + losses,
            row_weights=known.row_weights + weights,
            seconds=known.seconds + seconds,
        )
        self.outcomes[known.strengths] = outcome = replace(outcome, loss=outcome.mean_loss(n_folds))
        if self._listener is not None:
            self._listener(outcome)

    def _on_fold(self, fold: NetworkFold, strengths: Strengths) -> tuple[Member, NDArray, NDArray, float]:
        began = perf_counter()
        member = fold.fit(strengths, self.options)
        losses, weights = fold.losses_of_rows(member)
        return member, losses, weights, perf_counter() - began


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
    evaluation.finish()


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
