"""SciPy's L-BFGS on basis, factors and intercepts at once: what one writes first."""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize

from benchmarks.baselines.factored import spectral_start, trace_norm
from benchmarks.baselines.layouts import layout
from benchmarks.baselines.stopping import Watch


def joint_lbfgs(problem):
    watch, alpha = Watch(problem.target, problem.budget), problem.alpha
    data = layout(problem)
    B, S, b, _ = spectral_start(data, problem.n_components, alpha)
    shapes = [B.shape, S.shape, b.shape]
    ends = np.cumsum([np.prod(shape) for shape in shapes])

    def parts(theta):
        return [part.reshape(shape) for part, shape in zip(np.split(theta, ends[:-1]), shapes)]

    def value(theta):
        B, S, b = parts(theta)
        Z = np.asarray(data.X @ B)
        loss, slope, _ = data.loss(data.raw(Z, S, b))
        in_b = data.task_sums(slope) if data.means is None else np.zeros_like(b)
        gradient = [data.basis_gradient(slope, S) + alpha * B, data.gradient(slope, Z) + alpha * S, in_b]
        penalty = 0.5 * alpha * (np.vdot(B, B) + np.vdot(S, S))
        return loss + penalty, np.concatenate([np.ravel(part) for part in gradient])

    def after_step(intermediate_result):
        B, S, _ = parts(intermediate_result.x)
        slack = 0.5 * (np.vdot(B, B) + np.vdot(S, S)) - trace_norm(B, S)
        if watch.done(float(intermediate_result.fun) - alpha * slack):
            raise StopIteration

    options = {"maxcor": 10, "maxiter": 10**6, "maxfun": 10**7, "ftol": 0.0, "gtol": 1e-14}
    start = np.concatenate([np.ravel(part) for part in (B, S, b)])
    found = minimize(value, start, jac=True, method="L-BFGS-B", callback=after_step, options=options)
    B, S, b = parts(found.x)
    coef, intercept = data.in_rows_of_the_user(S @ B.T, b)
    return coef, intercept, watch.seconds
