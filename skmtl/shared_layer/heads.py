"""The heads: a linear predictor of every output on the scores of the layer, its intercept being the last coefficient.

``raw_t = h(x) @ w_t + b_t`` under ``alpha/2 |w_t|^2``, the intercepts free. With a common mean ``w_t = m + s_t``,
``b_t = b + d_t`` under ``alpha_common/2 |m|^2 + alpha/2 (|s_t|^2 + d_t^2)``, b free.

Squared losses see the heads through normal equations, whose solution is exact. Other losses move them with the layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from skmtl.matrix import FeatureMatrix
from skmtl.objective import Block, Problem
from skmtl.observations import Pairs
from skmtl.penalties import Penalties
from skmtl.solvers.factor_step import eliminate
from skmtl.solvers.task_models import solve_systems

#: Share of the loss that Newton steps of the heads alone may leave.
_TOLERANCE = 1e-12


@dataclass(frozen=True)
class Strengths:
    """The penalties of a network.

    Attributes
    ----------
    alpha : float
        Of the layer, and of the heads (with a common mean: of their deviations from it).
    alpha_common : float or None
        Of the heads' common mean; None: there is none, heads are shrunk to zero.
    """

    alpha: float
    alpha_common: float | None = None


def raw_predictor(block: Block, scores: NDArray, heads: NDArray) -> NDArray:
    """The linear predictor at the observations of a block, from heads (n_outputs of all blocks, n_units + 1)."""
    return block.observations.raw(scores, _inside(block, heads))


def score_slopes(blocks: Sequence[Block], slopes: Sequence[NDArray], heads: NDArray) -> NDArray:
    """Gradient of the loss in the scores, (n_rows, n_units), from that in the linear predictors."""
    pairs = zip(blocks, slopes, strict=True)
    parts = (block.observations.row_sums(slope, _inside(block, heads)[:, :-1]) for block, slope in pairs)
    rows = next(parts)
    for part in parts:
        rows += part
    return rows


def head_slopes(blocks: Sequence[Block], slopes: Sequence[NDArray], scores: NDArray) -> NDArray:
    """Gradient of the loss in the heads, (n_outputs, n_units + 1)."""
    parts = []
    for block, slope in zip(blocks, slopes, strict=True):
        part = block.observations.factor_sums(slope, scores)
        part[:, :-1] *= block.output_scale
        parts.append(part)
    return np.concatenate(parts)


def _inside(block: Block, heads: NDArray) -> NDArray:
    """Heads of a block's outputs as the loss sees them: all but the intercepts times the scale of the kind."""
    own = heads[block.outputs].copy()
    own[:, :-1] *= block.output_scale
    return own


def squared_heads(block: Block, scores: NDArray, strengths: Strengths) -> tuple[NDArray, NDArray | None, float]:
    """The best heads of squared losses, their mean (None: they have none), and their penalty."""
    if isinstance(block.weights, float) and not hasattr(block.observations, "rows"):
        grams = (block.weights * (scores.T @ scores))[np.newaxis]
    else:
        grams = block.observations.grams(np.broadcast_to(block.weights, block.y.shape), Pairs(scores))
    moments = block.observations.factor_sums(block.y * block.weights, scores)
    if strengths.alpha_common is not None:
        return _about_a_mean(grams, moments, strengths)
    # Intercepts are eliminated by centring; they are not penalised.
    ones, total = grams[:, :-1, -1], grams[:, -1, -1]
    centred = grams[:, :-1, :-1] - ones[:, :, np.newaxis] * (ones / total[:, np.newaxis])[:, np.newaxis]
    right = moments[:, :-1] - ones * (moments[:, -1] / total)[:, np.newaxis]
    heads = np.empty(moments.shape)
    heads[:, :-1] = solve_systems(centred + strengths.alpha * np.eye(ones.shape[1]), right)
    heads[:, -1] = (moments[:, -1] - np.sum(ones * heads[:, :-1], axis=1)) / total
    return heads, None, 0.5 * strengths.alpha * float(np.sum(heads[:, :-1] ** 2))


def _about_a_mean(grams: NDArray, moments: NDArray, strengths: Strengths) -> tuple[NDArray, NDArray, float]:
    """Mean and deviations, ``s_t = (G_t + alpha)^-1 (c_t - G_t m)``, the mean from what that leaves of every task."""
    alpha, q = strengths.alpha, moments.shape[1]
    ridge = alpha * np.eye(q)
    kept = alpha * np.linalg.inv(grams + ridge)  # I - (G + alpha)^-1 G
    relieved = kept @ grams
    relieved = relieved[0] * len(moments) if len(relieved) == 1 else relieved.sum(axis=0)
    right = (kept @ moments[:, :, np.newaxis])[:, :, 0].sum(axis=0)
    of_mean = mean_penalty(q, strengths)
    mean = np.linalg.solve(0.5 * (relieved + relieved.T) + np.diag(of_mean), right)
    deviations = solve_systems(grams + ridge, moments - mean @ grams)
    penalty = 0.5 * float(of_mean @ mean**2) + 0.5 * alpha * float(np.sum(deviations**2))
    return mean + deviations, mean, penalty


def mean_penalty(n_coefficients: int, strengths: Strengths) -> NDArray:
    """Ridge of every coefficient of the common mean, of which the last, its intercept, is (all but) free."""
    ridge = np.full(n_coefficients, strengths.alpha_common, dtype=float)
    ridge[-1] = 1e-10 * strengths.alpha
    return ridge


class FreeHeads:
    """Heads as parameters of their own, shrunk to zero.

    Parameters
    ----------
    shape : (n_outputs, n_units + 1)
    """

    def __init__(self, shape: tuple[int, int], strengths: Strengths):
        self.shape, self._alpha = shape, strengths.alpha

    def heads(self, vector: NDArray) -> NDArray:
        return vector.reshape(self.shape)

    def mean(self, vector: NDArray) -> None:
        """None: there is none."""

    def vector_of(self, heads: NDArray) -> NDArray:
        """Parameters that give these heads."""
        return heads.ravel()

    def penalty(self, vector: NDArray) -> tuple[float, NDArray]:
        """Value, and gradient in the parameters."""
        gradient = self._alpha * vector.reshape(self.shape)
        gradient[:, -1] = 0.0
        return 0.5 * float(np.sum(gradient * vector.reshape(self.shape))), gradient.ravel()

    def pull_back(self, slopes: NDArray) -> NDArray:
        """Gradient in the parameters of a function whose gradient in the heads is `slopes`."""
        return slopes.ravel()


class HeadsAboutAMean:
    """As `FreeHeads`, with a mean, first among the parameters, to which they are shrunk."""

    def __init__(self, shape: tuple[int, int], strengths: Strengths):
        self.shape, self._alpha = shape, strengths.alpha
        self._of_mean = mean_penalty(shape[1], strengths)

    def _parts(self, vector: NDArray) -> tuple[NDArray, NDArray]:
        return vector[: self.shape[1]], vector[self.shape[1] :].reshape(self.shape)

    def heads(self, vector: NDArray) -> NDArray:
        mean, deviations = self._parts(vector)
        return mean + deviations

    def mean(self, vector: NDArray) -> NDArray:
        return self._parts(vector)[0]

    def vector_of(self, heads: NDArray) -> NDArray:
        mean = heads.mean(axis=0)
        return np.concatenate([mean, (heads - mean).ravel()])

    def penalty(self, vector: NDArray) -> tuple[float, NDArray]:
        mean, deviations = self._parts(vector)
        gradient = np.concatenate([self._of_mean * mean, self._alpha * deviations.ravel()])
        return 0.5 * float(gradient @ vector), gradient

    def pull_back(self, slopes: NDArray) -> NDArray:
        return np.concatenate([slopes.sum(axis=0), slopes.ravel()])


def newton_heads(
    blocks: Sequence[Block], scores: NDArray, alpha: float, offset: NDArray | None = None, tolerance: float = _TOLERANCE
) -> NDArray:
    """The best heads of any losses on scores that stay, (n_outputs, n_units + 1), by damped Newton steps.

    Parameters
    ----------
    scores : ndarray of shape (n_rows, n_units + 1)
        The last column being ones.
    offset : ndarray of shape (n_units + 1,), optional
        A mean that the heads deviate from: then intercepts too are shrunk, to its last entry.
    """
    has_mean = offset is not None
    problem = Problem(FeatureMatrix(scores), tuple(blocks), Penalties(alpha), fit_intercept=not has_mean)
    columns = scores[:, :-1]
    factors = np.zeros((problem.n_outputs, columns.shape[1]))
    intercepts = np.concatenate([problem.null_raw(block) for block in blocks])
    k = columns.shape[1]
    if offset is not None:
        columns, k = np.concatenate([scores, (scores @ offset)[:, np.newaxis]], axis=1), scores.shape[1]
        factors = np.zeros((problem.n_outputs, k + 1))
        factors[:, -1] = 1.0
    size = abs(sum(float(block.weight_sums().sum()) for block in blocks))
    done = eliminate(problem, columns, np.eye(k), factors, intercepts, tolerance * size, prior=np.eye(k))
    if offset is not None:
        return done.factors[:, :k] + offset
    for block in blocks:
        # Softmax does not see a shift that is the same for all classes; rounding leaves one.
        of_classes = done.intercepts[block.outputs].reshape(-1, block.observations.n_outputs)
        if of_classes.shape[1] > 1:
            of_classes -= of_classes.mean(axis=1, keepdims=True)
    return np.concatenate([done.factors, done.intercepts[:, np.newaxis]], axis=1)
