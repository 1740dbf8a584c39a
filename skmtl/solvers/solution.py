"""What a solver hands back: the parameters in the user's units, and how good they are."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skmtl.intercepts import InterceptRidge
from skmtl.solvers.spread import MergedSpread, Spread


@dataclass(frozen=True)
class Convergence:
    """Why a fit stopped and what it cost.

    Attributes
    ----------
    converged : bool
    reason : str
        A full sentence; with advice when `converged` is False.
    n_iter : int
        Basis steps taken.
    n_passes : int
        Products with X or its transpose (of n_components columns) used by the iterations.
    """

    converged: bool
    reason: str
    n_iter: int
    n_passes: int


@dataclass(frozen=True)
class Noise:
    """Noise of the regression tasks, in units of their targets.

    Attributes
    ----------
    deviations : ndarray of shape (n_tasks,)
        NaN for tasks of other kinds; zero for a constant target.
    ratio : float
        Share of the variance of a regression target that is noise, all tasks together.
    freedom : ndarray of shape (n_tasks,)
        Degrees of freedom of each regression task's factors and intercept.
    counts : ndarray of shape (n_tasks,)
        Degrees of freedom that the noise was estimated from, those of the belief in `ratio` included.
    widening : ndarray of shape (n_tasks,)
        How much more the factors vary since the basis moves with them, as a factor on their variance.
    """

    deviations: NDArray
    ratio: float
    freedom: NDArray
    counts: NDArray
    widening: NDArray


@dataclass(frozen=True)
class FactorPrior:
    """Normal prior of the factors of an output, learned from all tasks, in units of scaled targets.

    Attributes
    ----------
    mean : ndarray of shape (k,)
        Of single-output tasks; that of the classes of a task is zero.
    covariance : ndarray of shape (k, k)
    """

    mean: NDArray
    covariance: NDArray


@dataclass(frozen=True)
class Tie:
    """What intercepts that learn from each other have in common, in the user's units.

    Attributes
    ----------
    mean : float
        Of the linear predictors of all tasks at `centre`.
    centre : ndarray of shape (n_features,)
        Mean of X over the observations.
    strength : float
        What half a squared deviation costs beside the sum, not the mean, of all losses.
    """

    mean: float
    centre: NDArray
    strength: float

    def ridge(self, weight_per_task: float, scale: float = 1.0) -> InterceptRidge:
        """For intercepts in this unit of further tasks, beside losses divided by that weight."""
        return InterceptRidge(self.strength / weight_per_task, self.mean / scale)


@dataclass(frozen=True)
class Solution:
    """A fitted joint model, outputs in task order (`TaskData.output_offsets`), user's units.

    ``raw = X @ coef + intercept`` with ``coef = shared common part + basis @ factors + own``.

    Attributes
    ----------
    basis : ndarray of shape (n_features, n_components)
        Exactly `n_components` columns; those that were not needed are zero and stand last.
    factors : ndarray of shape (n_components, n_outputs)
    common : ndarray of shape (n_features,), or None
    own : ndarray of shape (n_features, n_outputs), or None
    coef : ndarray of shape (n_features, n_outputs)
    intercept : ndarray of shape (n_outputs,)
    target_scale : ndarray of shape (n_tasks,)
        What the linear predictor was divided by inside (standard deviation of a regression target).
    objective : float
    dual_gap : float
        Upper bound of ``objective - (optimum of the convex problem without rank limit)``.
    rank : int
        Number of components in use.
    objective_path : ndarray of shape (n_iter + 1,)
    convergence : Convergence
    noise : Noise, or None where no task is a regression or it was not asked for
    prior : FactorPrior, or None for the ridge
        Under which the factors were recomputed; objective, gap and convergence are those of the ridge.
    feature_scale : ndarray of shape (n_features,), or None for ones
        What a learned prior of the features multiplied them by, after `feature_unit`.
    feature_unit : ndarray of shape (n_features,), or None for ones
        What the features were divided by before everything else.
    spread : Spread or MergedSpread, or None where it was not asked for
        What is uncertain about the coefficients; all tasks are regressions then.
    tie : Tie, or None where intercepts are free
    level : float
        Where there is a common part: what it lacks, at the mean of X, of the mean over the tasks' linear predictors.
    """

    basis: NDArray
    factors: NDArray
    common: NDArray | None
    own: NDArray | None
    coef: NDArray
    intercept: NDArray
    target_scale: NDArray
    objective: float
    dual_gap: float
    rank: int
    objective_path: NDArray = field(default_factory=lambda: np.empty(0))
    convergence: Convergence | None = None
    noise: Noise | None = None
    prior: FactorPrior | None = None
    feature_scale: NDArray | None = None
    feature_unit: NDArray | None = None
    spread: Spread | MergedSpread | None = None
    tie: Tie | None = None
    level: float = 0.0

    @property
    def inside_scale(self) -> NDArray | None:
        """What the features were multiplied by in all, (n_features,); None for ones."""
        if self.feature_unit is None:
            return self.feature_scale
        return (1.0 if self.feature_scale is None else self.feature_scale) / self.feature_unit

    @property
    def has_common(self) -> bool:
        """Whether a task that was not in fit has an answer: the common part, or the mean of tied intercepts."""
        return self.common is not None or self.tie is not None

    @property
    def n_scores(self) -> int:
        return self.basis.shape[1]

    def scores(self, X: Any) -> NDArray:
        """The representation ``X @ basis``, (n_rows, n_components)."""
        return np.asarray(X @ self.basis)

    def raw(self, X: Any, outputs: slice) -> NDArray:
        """Linear predictors of some outputs, (n_rows, n_outputs)."""
        raw = X @ self.coef[:, outputs]
        raw += self.intercept[outputs]
        return raw

    def common_raw(self, X: Any) -> NDArray:
        """What the common part, if there is one, and the mean level of the tasks say, (n_rows, 1)."""
        slope = np.zeros(len(self.coef)) if self.common is None else self.common
        level = self.level if self.tie is None else self.tie.mean - self.tie.centre @ slope
        return (X @ slope + level)[:, np.newaxis]


def with_columns_times(solution: Solution, factors: NDArray) -> Solution:
    """The solution with what it says of every feature multiplied by a factor of that feature."""
    column = factors[:, np.newaxis]
    return replace(
        solution,
        basis=solution.basis * column,
        common=None if solution.common is None else solution.common * factors,
        own=None if solution.own is None else solution.own * column,
        coef=solution.coef * column,
        tie=None if solution.tie is None else replace(solution.tie, centre=solution.tie.centre / factors),
    )
