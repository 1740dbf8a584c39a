"""Training of one network: the layer, and with it the heads, by L-BFGS.

With the loss of `skmtl.objective` and h the output of the layer, on features that are standardised::

    F = sum_t sum_i u_ti loss_t(y_ti, h(x_i) @ w_t + b_t) + alpha/2 (|V|^2 + |c|^2 + |B|^2) + penalty of the heads

Squared losses: the best heads of a layer are known exactly, and F is a function of the layer alone, whose gradient is
that at fixed heads (variable projection, Golub & Pereyra 1973). Others: layer and heads move together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from skmtl.objective import Block
from skmtl.shared_layer.heads import (
    FreeHeads,
    HeadsAboutAMean,
    Strengths,
    head_slopes,
    newton_heads,
    raw_predictor,
    score_slopes,
    squared_heads,
)
from skmtl.shared_layer.representation import Layer

#: Pairs of steps and gradients that the quasi-Newton method remembers. Four times as many saved no step, and take most
#: of the time where columns are many.
_MEMORY = 5
#: Iterations over which the decrease is looked at.
_WINDOW = 10
#: Factors by which a unit of the start may be made smaller or larger, to be as large as its head.
_LEAST_FACTOR, _LARGEST_FACTOR = 0.1, 3.0


@dataclass(frozen=True)
class Network:
    """A trained layer with its heads, in standardised features and scaled targets.

    Attributes
    ----------
    layer : Layer
    heads : ndarray of shape (n_outputs, n_units + 1)
        In the order of the blocks; the last column holds the intercepts.
    mean : ndarray of shape (n_units + 1,), or None
        What the heads are shrunk to, where they have a common mean.
    objective : float
    n_iter : int
    converged : bool
    """

    layer: Layer
    heads: NDArray
    mean: NDArray | None
    objective: float
    n_iter: int
    converged: bool


def train(X: Any, blocks: Sequence[Block], start: Layer, strengths: Strengths, *, max_iter: int, tol: float) -> Network:
    """The network at the end of the path from `start`.

    Parameters
    ----------
    X : StandardisedFeatures
    blocks : sequence of Block
    start : Layer
    strengths : Strengths
    max_iter : int
        Steps at most.
    tol : float
        Stop when the last ten steps lowered the objective by less than ten times `tol` of it.
    """
    scores = start.scores(X)
    is_squared = all(block.loss.is_quadratic for block in blocks)
    if is_squared:
        heads, _, _ = squared_heads(blocks[0], scores, strengths)
    else:
        heads = newton_heads(blocks, scores, strengths.alpha, tolerance=1e-3)
    factors = balancing_factors(start, heads)
    layer = start.rescale(factors)
    objective: SquaredObjective | JointObjective
    if is_squared:
        objective = SquaredObjective(X, blocks[0], strengths, layer)
        begin = layer.as_vector()
    else:
        heads = heads / np.append(factors, 1.0)
        objective = JointObjective(X, blocks, strengths, layer, heads.shape)
        begin = np.concatenate([layer.as_vector(), objective.parameters.vector_of(heads)])
    stop = _Stop(tol)
    found = minimize(
        objective,
        begin,
        jac=True,
        method="L-BFGS-B",
        callback=stop,
        options={"maxiter": max_iter, "maxfun": 2 * max_iter, "maxcor": _MEMORY, "ftol": 0.0, "gtol": 0.0},
    )
    return objective.network(found.x, int(found.nit), stop.is_reached or found.nit < max_iter)


def balancing_factors(layer: Layer, heads: NDArray) -> NDArray:
    """What makes units about as large as their heads; useless units of a start become small, not zero."""
    units = np.maximum(layer.norms(), 1e-300)
    of_heads = np.linalg.norm(heads[:, :-1], axis=0) + 1e-3 * units
    return np.clip(np.sqrt(of_heads / units), _LEAST_FACTOR, _LARGEST_FACTOR)


class SquaredObjective:
    """F of squared losses as a function of the layer, the heads being the best ones."""

    def __init__(self, X: Any, block: Block, strengths: Strengths, layer: Layer):
        self.X, self.block, self.strengths = X, block, strengths
        self._n_features, self._n_hidden = layer.coef.shape[0], layer.n_hidden

    def network(self, vector: NDArray, n_iter: int, converged: bool) -> Network:
        layer = Layer.from_vector(vector, self._n_features, self._n_hidden)
        heads, mean, _ = squared_heads(self.block, layer.scores(self.X), self.strengths)
        return Network(layer, heads, mean, self(vector)[0], n_iter, converged)

    def __call__(self, vector: NDArray) -> tuple[float, NDArray]:
        layer, alpha = Layer.from_vector(vector, self._n_features, self._n_hidden), self.strengths.alpha
        scores = layer.scores(self.X)
        heads, _, penalty = squared_heads(self.block, scores, self.strengths)
        raw = raw_predictor(self.block, scores, heads)
        raw -= self.block.y
        loss, slope = self.block.quadratic_loss(raw)
        rows = score_slopes([self.block], [slope], heads)
        gradient = layer.pull_back(self.X, scores, rows).as_vector()
        gradient += alpha * vector
        return loss + penalty + 0.5 * alpha * float(vector @ vector), gradient


class JointObjective:
    """F of any losses as a function of layer and heads."""

    def __init__(self, X: Any, blocks: Sequence[Block], strengths: Strengths, layer: Layer, shape: tuple[int, int]):
        self.X, self.blocks, self.strengths = X, blocks, strengths
        self._n_features, self._n_hidden = layer.coef.shape[0], layer.n_hidden
        self._n_layer = layer.coef.size + layer.n_hidden
        self.parameters = (FreeHeads if strengths.alpha_common is None else HeadsAboutAMean)(shape, strengths)

    def network(self, vector: NDArray, n_iter: int, converged: bool) -> Network:
        layer = Layer.from_vector(vector[: self._n_layer], self._n_features, self._n_hidden)
        of_heads = vector[self._n_layer :]
        heads, mean = self.parameters.heads(of_heads), self.parameters.mean(of_heads)
        return Network(layer, heads, mean, self(vector)[0], n_iter, converged)

    def __call__(self, vector: NDArray) -> tuple[float, NDArray]:
        of_layer, of_heads = vector[: self._n_layer], vector[self._n_layer :]
        layer = Layer.from_vector(of_layer, self._n_features, self._n_hidden)
        heads = self.parameters.heads(of_heads)
        scores = layer.scores(self.X)
        value, slopes = 0.0, []
        for block in self.blocks:
            loss, slope = block.loss_and_slope(raw_predictor(block, scores, heads))
            value += loss
            slopes.append(slope)
        penalty, gradient_of_penalty = self.parameters.penalty(of_heads)
        alpha = self.strengths.alpha
        rows = score_slopes(self.blocks, slopes, heads)
        gradient = np.empty_like(vector)
        gradient[: self._n_layer] = layer.pull_back(self.X, scores, rows).as_vector() + alpha * of_layer
        gradient[self._n_layer :] = (
            self.parameters.pull_back(head_slopes(self.blocks, slopes, scores)) + gradient_of_penalty
        )
        return value + penalty + 0.5 * alpha * float(of_layer @ of_layer), gradient


class _Stop:
    """Ends the steps when the last few have lowered the objective by no more than a share of it each, on average."""

    def __init__(self, tol: float):
        self.tol, self.is_reached = tol, False
        self._values: list[float] = []

    def __call__(self, intermediate_result: Any) -> None:
        values = self._values
        values.append(float(intermediate_result.fun))
        if len(values) > _WINDOW and values[-1 - _WINDOW] - values[-1] <= _WINDOW * self.tol * abs(values[-1]):
            self.is_reached = True
            raise StopIteration
