"""How large values are: one pass says that all are finite and that their squares can be summed; more where not."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from skmtl.matrix import sum_of_squares

#: Sum of squares whose square is still a number: second moments, and norms of them, are such squares.
_MOST_SQUARES = 1e150


def has_safe_squares(values: NDArray) -> bool:
    """Whether this is float64, finite, and of a size that squares of squares can be summed of."""
    return values.dtype == np.float64 and sum_of_squares(values) <= _MOST_SQUARES


def largest_magnitude(values: NDArray) -> float:
    """Largest absolute value, NaN passed over, without a copy of the values."""
    return max(float(np.fmax.reduce(values, axis=None)), -float(np.fmin.reduce(values, axis=None)))


def refuse_overflow(largest: float, what: str) -> None:
    """ValueError where the square of the square of the largest value would overflow."""
    if largest > np.sqrt(_MOST_SQUARES):
        raise ValueError(
            f"{what} holds values as large as {largest:.3g}, whose squares overflow in sums; divide its columns by "
            "their largest absolute values first, for X by sklearn.preprocessing.MaxAbsScaler."
        )
