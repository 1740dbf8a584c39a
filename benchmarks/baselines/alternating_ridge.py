"""Alternating ridge regressions: factors exactly, basis by conjugate gradients, balanced after every round.

Hastie, T., Mazumder, R., Lee, J. & Zadeh, R. (2015). Matrix completion and low-rank SVD via fast alternating least
squares. Journal of Machine Learning Research 16. With features on the rows the basis is no longer one small
system per row, hence conjugate gradients, started at the last basis and stopped at a hundredth of the residual.
"""

from __future__ import annotations

import numpy as np

from benchmarks.baselines.factored import balanced, best_factors, spectral_start, trace_norm
from benchmarks.baselines.layouts import layout
from benchmarks.baselines.stopping import Watch

_MAX_CG = 50


def alternating_ridge(problem):
    watch, alpha = Watch(problem.target, problem.budget), problem.alpha
    data = layout(problem)
    B, S, b, Z = spectral_start(data, problem.n_components, alpha)
    no_intercept = np.zeros(data.n_tasks)
    while True:
        loss, slope, curvature = data.loss(data.raw(Z, S, b))
        if watch.done(loss + alpha * trace_norm(B, S)):
            coef, intercept = data.in_rows_of_the_user(S @ B.T, b)
            return coef, intercept, watch.seconds

        def curved(direction, S=S, curvature=curvature):
            scores = np.asarray(data.X @ direction)
            product = data.basis_gradient(curvature * data.raw(scores, S, no_intercept), S) + alpha * direction
            return product, scores

        residual = -(data.basis_gradient(slope, S) + alpha * B)
        direction, square = residual.copy(), np.vdot(residual, residual)
        first = square
        for _ in range(_MAX_CG):
            product, scores = curved(direction)
            size = square / np.vdot(direction, product)
            B, Z = B + size * direction, Z + size * scores
            residual = residual - size * product
            before, square = square, np.vdot(residual, residual)
            if square <= 1e-4 * first or watch.seconds > watch.budget:
                break
            direction = residual + (square / before) * direction
        S, b = best_factors(data, Z, S, b, alpha)
        B, S, turn = balanced(B, S)
        Z = Z @ turn
