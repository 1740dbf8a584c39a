"""What a fit of regression tasks leaves open about its coefficients; the formulas are in `predictive`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from skmtl.solvers.preconditioner import Preconditioner


@dataclass(frozen=True)
class SharedSpread:
    """What is uncertain about basis and common part, and the mean curvature of own parts.

    Attributes
    ----------
    curvature : Preconditioner
        Mean curvature of an output in the user's features.
    centre : ndarray of shape (n_features,)
    turn, omega : ndarrays of shape (p, p) and (p,)
        Eigenvectors and eigenvalues of the factors' Gram matrix, the common part's factor included.
    strength : float
        Of the ridge on basis and common part, in the units in which they share it.
    variance : float
        Of the noise in units of scaled targets, over the weight of a task: what turns an inverse curvature into a
        covariance.
    profile : float
        Share of the curvature that the tasks' own factors and intercepts leave to the basis.
    is_own_eliminated : bool
        Whether the curvature is what own parts have left of it.
    """

    curvature: Preconditioner
    centre: NDArray
    turn: NDArray
    omega: NDArray
    strength: float
    variance: float
    profile: float
    is_own_eliminated: bool

    def inverse_curvature(self, values: NDArray) -> NDArray:
        """``1 / (lambda_i omega_j + alpha)`` for eigenvalues of shape (r, 1), shape (r, p)."""
        return 1.0 / (self.profile * values * self.omega + self.strength)


@dataclass(frozen=True)
class Spread:
    """Everything `standard_deviations` needs, tasks in order.

    Attributes
    ----------
    shared : SharedSpread
    counts : ndarray of shape (n_tasks,)
        Observations of a task; infinity where no intercept was fitted.
    score_means : ndarray of shape (n_tasks, k)
    covariances : ndarray of shape (n_tasks, k, k)
        Of the factors, in units of the targets.
    moments : ndarray of shape (n_tasks, p)
        Second moments of the factors turned by `SharedSpread.turn`, in squared units of the targets.
    own_strengths, own_variances : ndarrays of shape (n_tasks,)
        Ridge of the own part (infinity: there is none), and the noise over the weight of a task.
    """

    shared: SharedSpread
    counts: NDArray
    score_means: NDArray
    covariances: NDArray
    moments: NDArray
    own_strengths: NDArray
    own_variances: NDArray


@dataclass(frozen=True)
class MergedSpread:
    """Of tasks that come from several fits.

    Attributes
    ----------
    parts : tuple of (positions, Solution)
        Positions among all tasks of the tasks of each solution, every one with a `Spread`.
    """

    parts: tuple[tuple[NDArray, Any], ...]

    @property
    def shared(self) -> SharedSpread:
        """Of the first fit, under whose basis new tasks are learned."""
        return self.parts[0][1].spread.shared
