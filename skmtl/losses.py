"""The four losses: value, derivatives, conjugate and inverse link, elementwise in NumPy.

Every loss is a function of one target ``y`` and the linear predictor ``raw`` (for softmax: one
``raw`` per class in the last axis), convex and twice differentiable in ``raw``. Weights and
scales stay outside. The conjugate is stated at a gradient, ``conjugate(y, -dual)`` with
``dual = -loss'(y, raw)``, since that is the only place where the certificate needs it.

============  ==================  =======================  =======================
loss          domain of y         inverse link             -loss*(-dual), q = y - dual
============  ==================  =======================  =======================
squared       real                raw                      y dual - dual**2 / 2
logistic      {0, 1}              1 / (1 + exp(-raw))      -(q log q + (1 - q) log(1 - q))
multinomial   {0 .. n_classes-1}  softmax(raw)             -sum_c q_c log q_c
poisson       0, 1, 2, ...        exp(raw)                 -(q log q - q)
============  ==================  =======================  =======================
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import entr, expit

#: A log mean beyond this is as good as infinite; curvatures that large still make solvable systems.
_MAX_LOG = 60.0
#: Log-odds beyond this are certain, and their exponential is still finite.
_MAX_ODDS = 700.0


class SquaredLoss:
    """loss = (y - raw)**2 / 2, for real y."""

    name = "squared"
    is_quadratic = True

    def evaluate(self, y: NDArray, raw: NDArray) -> tuple[NDArray, NDArray, NDArray]:
        """Value, gradient and curvature in `raw`, each of the shape of `raw`."""
        gradient = raw - y
        return 0.5 * gradient**2, gradient, np.ones_like(gradient)

    def dual_value(self, y: NDArray, dual: NDArray) -> NDArray:
        """``-loss*(-dual)``: what an observation adds to the dual objective."""
        return dual * (y - 0.5 * dual)

    def inverse_link(self, raw: NDArray) -> NDArray:
        return raw


class LogisticLoss:
    """loss = log(1 + exp(raw)) - y raw, for y in {0, 1}."""

    name = "logistic"
    is_quadratic = False

    def evaluate(self, y: NDArray, raw: NDArray) -> tuple[NDArray, NDArray, NDArray]:
        # One exp and one log serve value, gradient and curvature. All three come from the odds against the
        # label, so that nothing cancels where the label is all but certain.
        sign = 1.0 - 2.0 * y
        against = sign * raw
        odds = np.minimum(against, _MAX_ODDS)
        beyond = against - odds
        np.exp(odds, out=odds)
        total = odds + 1.0
        value = np.log(total)
        value += beyond
        np.reciprocal(total, out=total)
        odds *= total
        total *= odds
        return value, sign * odds, total

    def dual_value(self, y: NDArray, dual: NDArray) -> NDArray:
        q = np.clip(y - dual, 0.0, 1.0)
        return entr(q) + entr(1.0 - q)

    def inverse_link(self, raw: NDArray) -> NDArray:
        return expit(raw)


class PoissonLoss:
    """loss = exp(raw) - y raw, for counts y >= 0 (the log-likelihood without its constant log y!)."""

    name = "poisson"
    is_quadratic = False

    def evaluate(self, y: NDArray, raw: NDArray) -> tuple[NDArray, NDArray, NDArray]:
        mean = self.inverse_link(raw)
        return mean - y * raw, mean - y, mean

    def dual_value(self, y: NDArray, dual: NDArray) -> NDArray:
        q = np.maximum(y - dual, 0.0)
        return entr(q) + q

    def inverse_link(self, raw: NDArray) -> NDArray:
        return np.exp(np.minimum(raw, _MAX_LOG))


class MultinomialLoss:
    """loss = logsumexp(raw) - raw[y], for y in {0 .. n_classes - 1}; raw has the classes last.

    `evaluate` gives value of shape (...), gradient and probabilities of shape (..., n_classes):
    the curvature is ``diag(p) - p p'``, so that the probabilities say it all.
    """

    name = "multinomial"
    is_quadratic = False

    def evaluate(self, y: NDArray, raw: NDArray) -> tuple[NDArray, NDArray, NDArray]:
        shifted = raw - raw.max(axis=-1, keepdims=True)
        probability = np.exp(shifted)
        total = probability.sum(axis=-1, keepdims=True)
        probability /= total
        codes = y.astype(np.intp)[..., np.newaxis]
        value = np.log(total[..., 0]) - np.take_along_axis(shifted, codes, axis=-1)[..., 0]
        gradient = probability.copy()
        np.put_along_axis(gradient, codes, np.take_along_axis(gradient, codes, axis=-1) - 1.0, axis=-1)
        return value, gradient, probability

    def dual_value(self, y: NDArray, dual: NDArray) -> NDArray:
        one_hot = np.arange(dual.shape[-1]) == y[..., np.newaxis]
        return entr(np.maximum(one_hot - dual, 0.0)).sum(axis=-1)

    def inverse_link(self, raw: NDArray) -> NDArray:
        shifted = np.exp(raw - raw.max(axis=-1, keepdims=True))
        return shifted / shifted.sum(axis=-1, keepdims=True)


Loss = SquaredLoss | LogisticLoss | PoissonLoss | MultinomialLoss

#: The loss of every kind of task.
LOSSES: dict[str, Loss] = {
    "regression": SquaredLoss(),
    "binary": LogisticLoss(),
    "multiclass": MultinomialLoss(),
    "count": PoissonLoss(),
}
