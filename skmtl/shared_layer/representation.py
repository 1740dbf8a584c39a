"""The hidden layer that all tasks share: ``h(x) = [relu(x V + c), x B]``, rectified units first, linear ones after.

It answers three questions, as any representation does: its `scores` of some rows, what slopes in these scores say of
its own parameters (`pull_back`), and how its units look when they are made larger against the heads (`rescale`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Layer:
    """The parameters of a layer, or a gradient in them.

    Attributes
    ----------
    coef : ndarray of shape (n_features, n_units)
        V beside B.
    intercept : ndarray of shape (n_hidden,)
        c, of the rectified units.
    """

    coef: NDArray
    intercept: NDArray

    @property
    def n_hidden(self) -> int:
        return len(self.intercept)

    @property
    def n_units(self) -> int:
        return self.coef.shape[1]

    @classmethod
    def random(cls, n_features: int, n_hidden: int, n_linear: int, rng: np.random.Generator) -> Layer:
        """Units whose coefficients are normal; of standardised features a unit then has a size of about one."""
        size = 1.0 / np.sqrt(n_features)
        coef = size * rng.standard_normal((n_features, n_hidden + n_linear))
        return cls(coef, size * rng.standard_normal(n_hidden))

    @classmethod
    def from_vector(cls, vector: NDArray, n_features: int, n_hidden: int) -> Layer:
        """The layer that `as_vector` wrote down."""
        n_units = (len(vector) - n_hidden) // n_features
        return cls(vector[: n_features * n_units].reshape(n_features, n_units), vector[n_features * n_units :])

    def as_vector(self) -> NDArray:
        return np.concatenate([self.coef.ravel(), self.intercept])

    def scores(self, X: Any) -> NDArray:
        """The output of every unit, and a last column of ones for the heads' intercepts, (n_rows, n_units + 1)."""
        scores = np.empty((X.shape[0], self.n_units + 1))
        scores[:, :-1] = X.times(self.coef)
        scores[:, -1] = 1.0
        rectified = scores[:, : self.n_hidden]
        rectified += self.intercept
        np.maximum(rectified, 0.0, out=rectified)
        return scores

    def pull_back(self, X: Any, scores: NDArray, slopes: NDArray) -> Layer:
        """Gradient in the layer of a function whose gradient in the scores is `slopes` (n_rows, n_units)."""
        slopes[:, : self.n_hidden] *= scores[:, : self.n_hidden] > 0.0
        return Layer(X.transposed_times(slopes), slopes[:, : self.n_hidden].sum(axis=0))

    def rescale(self, factors: NDArray) -> Layer:
        """Every unit times its factor > 0, shape (n_units,); heads divided by the same leave the model as it is."""
        return replace(self, coef=self.coef * factors, intercept=self.intercept * factors[: self.n_hidden])

    def norms(self) -> NDArray:
        """Length of every unit's coefficients, intercept included, shape (n_units,)."""
        squares = np.einsum("ij,ij->j", self.coef, self.coef)
        squares[: self.n_hidden] += self.intercept**2
        return np.sqrt(squares)
