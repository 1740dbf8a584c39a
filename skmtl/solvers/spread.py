"""What a fit of regression tasks leaves open about its coefficients; the formulas are in `predictive`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skmtl.solvers.factor_posterior import FactorPosterior
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
    strengths : ndarray of shape (p,)
        Of the ridge on what `turn` makes of the columns of basis and common part.
    free : float
        Share of the directions seen that no move of the factors reaches.
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
    strengths: NDArray
    free: float
    variance: float
    profile: float
    is_own_eliminated: bool

    def inverse_curvature(self, values: NDArray) -> NDArray:
        """``1 / (lambda_i omega_j + alpha_j)`` for eigenvalues of shape (r, 1), shape (r, p)."""
        return 1.0 / (self.profile * values * self.omega + self.strengths)

    @property
    def mean_form(self) -> NDArray:
        """What the basis leaves open per squared factor, on average over the rows of X, shape (p,)."""
        curvature = self.curvature
        values = np.append(curvature.values, [] if curvature.is_complete else [curvature.rest])
        numbers = np.ones(len(values))
        if not curvature.is_complete:
            numbers[-1] = len(self.centre) - len(curvature.values)
        return self.free * self.variance * ((numbers * values) @ self.inverse_curvature(values[:, np.newaxis]))


@dataclass(frozen=True)
class Spread:
    """Everything `standard_deviations` needs, tasks in order.

    Attributes
    ----------
    shared : SharedSpread
    counts : ndarray of shape (n_tasks,)
        Observations of a task; infinity where no intercept was fitted.
    score_means : ndarray of shape (n_tasks, k), or (1, k) where all are equal
    posterior : FactorPosterior
        Of the factors, in units of scaled targets, as if the basis were known.
    factors : ndarray of shape (n_tasks, p)
        In units of scaled targets, that of the common part last.
    relative_noise : ndarray of shape (n_tasks,)
        Variances of the noise in squared units of scaled targets.
    scales : ndarray of shape (n_tasks,)
        Of the targets.
    own_strengths, own_variances : ndarrays of shape (n_tasks,)
        Ridge of the own part (infinity: there is none), and the noise over the weight of a task.
    """

    shared: SharedSpread
    counts: NDArray
    score_means: NDArray
    posterior: FactorPosterior
    factors: NDArray
    relative_noise: NDArray
    scales: NDArray
    own_strengths: NDArray
    own_variances: NDArray

    @cached_property
    def inflated(self) -> FactorPosterior:
        """The posterior where what the basis leaves open acts as noise does; a look at all tasks, when first asked."""
        of_basis = self._second_moments(self.posterior) @ self.shared.mean_form
        known = self.relative_noise > 0
        more = np.divide(of_basis, self.relative_noise, out=np.zeros(len(of_basis)), where=known)
        return replace(self.posterior, inflation=more)

    @cached_property
    def moments(self) -> NDArray:
        """Of the factors turned by `SharedSpread.turn`, in squared units of the targets, (n_tasks, p)."""
        return self._second_moments(self.inflated) * (self.scales**2)[:, np.newaxis]

    @cached_property
    def mean_covariance(self) -> NDArray:
        """Of the factors, over all tasks, in squared units of the targets, (k, k)."""
        return self.inflated.mean_covariance(self.scales**2)

    def factor_variances(self, scores: NDArray, offsets: NDArray, tasks: NDArray) -> NDArray:
        """``(z - mean_t)' V_t (z - mean_t)`` for all rows and some tasks, shape (n_rows, len(tasks)).

        `offsets` are as `score_means`.
        """
        return self.inflated.forms(scores, offsets, tasks) * self.scales[tasks] ** 2

    def _second_moments(self, posterior: FactorPosterior) -> NDArray:
        turn = self.shared.turn
        return (self.factors @ turn) ** 2 + posterior.variances_along(turn[: posterior.k])


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
