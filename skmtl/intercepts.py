"""Intercepts that learn from each other: a ridge on their deviations from their mean.

With ``b_t = b + d_t``, b free and ``strength/2 sum d_t^2``, the best b is the mean of the b_t, so that the penalty is
``strength/2 |b_t - mean|^2``. Everything that must know how intercepts are tied is here, and small: eliminated under a
quadratic with curvatures tau_t and linear terms sigma_t, they are ::

    b_t = g_t (sigma_t + strength b)        b = sum_t g_t sigma_t / sum_t g_t tau_t        g_t = 1 / (tau_t + strength)

the shrunk means of a one-way random effects model (Henderson 1975, doi:10.2307/2529430), whose ratio of the variance of
the noise to that of the intercepts is ``strength``, in units of ``tau``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class InterceptRidge:
    """``strength/2 sum_t (b_t - mean)^2``.

    Attributes
    ----------
    strength : float
        Zero: intercepts are free.
    mean : float, optional
        Where it is known, as for tasks that come later; else it is that of the intercepts.
    """

    strength: float = 0.0
    mean: float | None = None

    @property
    def is_free(self) -> bool:
        """Whether every intercept stands for itself."""
        return self.strength == 0.0

    def deviations(self, intercepts: NDArray) -> NDArray:
        """From the mean."""
        return intercepts - (intercepts.mean() if self.mean is None else self.mean)

    def penalty(self, intercepts: NDArray) -> float:
        """At some intercepts, shape (n_tasks,)."""
        return 0.0 if self.is_free else 0.5 * self.strength * float(np.sum(self.deviations(intercepts) ** 2))

    def best_mean(self, curvatures: NDArray, linear: NDArray) -> float:
        """The b of the intercepts that minimise ``sum_t curvature_t b_t^2 / 2 - linear_t b_t + penalty``."""
        if self.mean is not None:
            return self.mean
        gains = 1.0 / (curvatures + self.strength)
        return float(np.sum(gains * linear) / np.sum(gains * curvatures))

    def best(self, curvatures: NDArray, linear: NDArray) -> NDArray:
        """Those intercepts, shape (n_tasks,)."""
        if self.is_free:
            return linear / curvatures
        return (linear + self.strength * self.best_mean(curvatures, linear)) / (curvatures + self.strength)

    def variances(self, curvatures: NDArray) -> NDArray:
        """Of the intercepts, where that of a mean of rows of the weight w is ``1 / w``, (n_tasks,)."""
        if self.is_free:
            return 1.0 / curvatures
        lost = self.strength / (curvatures + self.strength)
        known = 1.0 / (curvatures + self.strength)
        return known if self.mean is not None else known + lost**2 / np.sum(curvatures * lost)

    def freedom(self, curvatures: NDArray) -> NDArray:
        """Degrees of freedom that every task's intercept takes from its rows, (n_tasks,): ones where they are free."""
        if self.is_free:
            return np.ones(len(curvatures))
        kept = curvatures / (curvatures + self.strength)
        if self.mean is not None:
            return kept
        return kept + (1.0 - kept) * kept / np.sum(kept)
