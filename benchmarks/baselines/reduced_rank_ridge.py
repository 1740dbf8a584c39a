"""Closed-form reduced-rank ridge regression from the Gram matrix, for complete numeric targets.

Mukherjee, A. & Zhu, J. (2011). Reduced rank ridge regression and its kernel extensions. Statistical Analysis and Data
Mining 4(6). doi:10.1002/sam.10138. Written through one Cholesky factor, quicker than the paper's singular value
decomposition of the fitted values. Its ridge is on the coefficients, where skmtl's is their trace norm.
"""

from __future__ import annotations

import numpy as np
from scipy import linalg

from benchmarks.clock import now


def reduced_rank_ridge(problem):
    start = now()
    X, Y, k = problem.X, problem.y, problem.n_components
    n, d = X.shape
    x_mean, y_mean = X.mean(axis=0), Y.mean(axis=0)
    gram = X.T @ X - n * np.outer(x_mean, x_mean)
    gram[np.diag_indices(d)] += problem.ridge
    lower = linalg.cholesky(gram, lower=True, overwrite_a=True)
    fitted = linalg.solve_triangular(lower, X.T @ Y - n * np.outer(x_mean, y_mean), lower=True)
    if d <= problem.n_tasks:
        vectors = linalg.eigh(fitted @ fitted.T, subset_by_index=(d - k, d - 1))[1]
        reduced = vectors @ (vectors.T @ fitted)
    else:
        last = problem.n_tasks - 1
        vectors = linalg.eigh(fitted.T @ fitted, subset_by_index=(last - k + 1, last))[1]
        reduced = (fitted @ vectors) @ vectors.T
    coef = linalg.solve_triangular(lower, reduced, lower=True, trans="T").T
    return coef, y_mean - coef @ x_mean, now() - start
