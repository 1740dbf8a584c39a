"""Anderson acceleration: a fixed-point iteration goes on from the best combination of its latest steps.

With steps ``move_i = end_i - begin_i`` the next one begins at ``sum c_i end_i``, where the shares c_i add to one and
make ``|sum c_i move_i|`` smallest (Anderson 1965, doi:10.1145/321296.321305). What is linear in the parameters is
combined along with them, so that no combination costs a product with the data.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

#: Relative size of the diagonal that keeps a combination of nearly dependent steps finite.
_RIDGE = 1e-12


@dataclass(frozen=True)
class Place:
    """One value of all parameters; W is the sum of the parts.

    Attributes
    ----------
    parts : list of ndarray
        Low-rank part (n_features, n_outputs); common part (n_features,) and own parts as there are.
    W : ndarray of shape (n_features, n_outputs)
    images : list of ndarray
        What is linear in W: linear predictors without intercepts, or curvature times W.
    intercepts : ndarray of shape (n_outputs,)
    factors : tuple of three ndarrays, or None
        Singular vectors and values of the low-rank part, where it comes from a proximal step.
    """

    parts: list[NDArray]
    W: NDArray
    images: list[NDArray]
    intercepts: NDArray
    factors: tuple[NDArray, NDArray, NDArray] | None = None


class Memory:
    """The latest proximal steps, and their affine combination whose combined step is shortest."""

    def __init__(self, depth: int):
        self.depth = depth
        self.clear()

    @property
    def is_empty(self) -> bool:
        return not self._ends

    def clear(self) -> None:
        self._ends: list[Place] = []
        self._moves: list[list[NDArray]] = []
        self._products = np.zeros((0, 0))

    def add(self, end: Place, moves: list[NDArray]) -> None:
        """A step: where it ended, and its moves, in units in which all of them are equally long."""
        keep = slice(max(0, len(self._ends) + 1 - self.depth), None)
        self._ends, self._moves = [*self._ends[keep], end], [*self._moves[keep], moves]
        row = [sum(float(np.vdot(a, b)) for a, b in zip(old, moves, strict=True)) for old in self._moves]
        products = np.empty((len(row), len(row)))
        products[:-1, :-1] = self._products[keep, keep]
        products[-1] = products[:, -1] = row
        self._products = products

    def combination(self) -> Place:
        """Where the next step begins."""
        if len(self._ends) == 1:
            return self._ends[0]
        products = self._products / max(np.trace(self._products), 1e-300)
        products[np.diag_indices(len(products))] += _RIDGE
        shares = np.linalg.solve(products, np.ones(len(products)))
        shares /= shares.sum()

        def combined(arrays: Sequence[NDArray]) -> NDArray:
            result = shares[0] * arrays[0]
            for share, array in zip(shares[1:], arrays[1:], strict=True):
                result += share * array
            return result

        parts = [combined(p) for p in zip(*(end.parts for end in self._ends), strict=True)]
        W = parts[0] if len(parts) == 1 else combined([end.W for end in self._ends])
        images = [combined(i) for i in zip(*(end.images for end in self._ends), strict=True)]
        return Place(parts, W, images, combined([end.intercepts for end in self._ends]))
