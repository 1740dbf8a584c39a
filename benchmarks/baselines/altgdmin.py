"""AltGDmin: gradient steps on the basis, exact factors after each; with the ridge, momentum and restarts.

Nayer, S. & Vaswani, N. (2022). Fast and sample-efficient federated low rank matrix recovery from column-wise linear
and quadratic projections. IEEE Transactions on Information Theory 69(2). doi:10.1109/TIT.2022.3212374
The paper's step has neither momentum nor ridge and turns B to orthonormal columns; to reach the optimum of the
penalised objective it is given the ridge, a step that adapts, and Nesterov's momentum with restarts.
"""

from __future__ import annotations

import numpy as np

from benchmarks.baselines.factored import best_factors, spectral_start, trace_norm
from benchmarks.baselines.layouts import layout
from benchmarks.baselines.stopping import Watch


def alt_gd_min(problem):
    watch, alpha = Watch(problem.target, problem.budget), problem.alpha
    data = layout(problem)
    B, S, b, Z = spectral_start(data, problem.n_components, alpha)

    def penalised(B, Z, S, b):
        S, b = best_factors(data, Z, S, b, alpha)
        loss, slope, _ = data.loss(data.raw(Z, S, b))
        return loss, loss + 0.5 * alpha * (np.vdot(B, B) + np.vdot(S, S)), slope, S, b

    V, V_scores = B, Z
    _, at_V, slope, S, b = penalised(V, V_scores, S, b)
    latest, age, step = at_V, 1.0, None
    while True:
        gradient = data.basis_gradient(slope, S) + alpha * V
        gradient_scores = np.asarray(data.X @ gradient)
        square = np.vdot(gradient, gradient)
        step = 0.1 * np.linalg.norm(V) / np.sqrt(square) if step is None else 1.3 * step
        while True:
            new, new_scores = V - step * gradient, V_scores - step * gradient_scores
            loss, value, _, S, b = penalised(new, new_scores, S, b)
            if value <= at_V - 0.5 * step * square + 1e-15 * abs(at_V) or step < 1e-300:
                break
            step *= 0.5
        if watch.done(loss + alpha * trace_norm(new, S)):
            coef, intercept = data.in_rows_of_the_user(S @ new.T, b)
            return coef, intercept, watch.seconds
        older, age = age, 0.5 + np.sqrt(0.25 + age**2)
        if value > latest:
            age = 1.0
        momentum = (older - 1.0) / age if age > 1.0 else 0.0
        V, V_scores = new + momentum * (new - B), new_scores + momentum * (new_scores - Z)
        B, Z, latest = new, new_scores, value
        _, at_V, slope, S, b = penalised(V, V_scores, S, b)
