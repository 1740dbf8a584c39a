"""How much of every output's variance its coefficients explain, learned for all outputs together."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from skmtl.relatedness.task_evidence import TaskEvidence

#: Shares of explained variance that are considered.
SHARES = 1.0 / (1.0 + np.exp(-np.linspace(-7.0, 6.0, 131)))


def spectra(evidence: TaskEvidence) -> tuple[NDArray, NDArray]:
    """Eigenvalues (n_tasks, q) and eigenvectors (n_tasks, q, q) of every task's Gram matrix."""
    gram = evidence.gram
    if gram.strides[0] == 0 or len(gram) == 1:  # one matrix that all tasks share
        values, vectors = np.linalg.eigh(gram[:1])
        values = np.broadcast_to(values, gram.shape[:2])
        return np.maximum(values, 0.0), np.broadcast_to(vectors, gram.shape)
    values, vectors = np.linalg.eigh(gram)
    return np.maximum(values, 0.0), vectors


def explained_shares(evidence: TaskEvidence, values: NDArray, vectors: NDArray) -> tuple[NDArray, NDArray]:
    """Posterior mean and variance of the share h of every output's variance that its coefficients explain.

    Under ``y ~ N(0, s^2 (h / row_norm ZZ' + (1 - h) I))`` with row_norm the mean of ``z'z`` about the mean over the
    task's own rows, to which directions that are constant there add nothing, and s profiled out (restricted
    likelihood: one degree of freedom goes to the mean). The prior of h is the distribution, on a grid, that makes the
    outputs of all tasks most likely together (nonparametric empirical Bayes, Kiefer & Wolfowitz 1956): few labels do
    not make a share zero.

    Parameters
    ----------
    values, vectors : `spectra` of the evidence

    Returns
    -------
    shares, variances : ndarray of shape (n_outputs,)
        Shares are inside (0, 1).
    """
    of = evidence.task_of_output
    rotated = np.einsum("oij,oi->oj", vectors[of], evidence.cross) ** 2
    log_likelihood = np.empty((len(of), len(SHARES)))
    for i, share in enumerate(SHARES):
        ratio = (share / ((1.0 - share) * evidence.row_norms))[:, np.newaxis]
        shrunk = 1.0 + ratio * values
        residual = evidence.total - np.sum(ratio[of] * rotated / shrunk[of], axis=1)
        # One pseudo-observation of variance one keeps outputs that are fitted perfectly finite.
        log_likelihood[:, i] = -0.5 * (
            (evidence.dof[of] + 1.0) * np.log(np.maximum(residual, 0.0) + 1.0) + np.log(shrunk).sum(axis=1)[of]
        )
    log_likelihood -= log_likelihood.max(axis=1, keepdims=True)
    likelihood = np.exp(log_likelihood)
    prior = np.full(len(SHARES), 1.0 / len(SHARES))
    for _ in range(100):
        posterior = likelihood * prior
        posterior /= posterior.sum(axis=1, keepdims=True)
        # A tenth of a flat prior stays: a few tasks say little about the others.
        prior = 0.9 * posterior.mean(axis=0) + 0.1 / len(SHARES)
    shares = posterior @ SHARES
    # A narrow posterior sits between points of the grid, whose distance is a tenth on the scale of log-odds.
    grid = (0.1 * shares * (1.0 - shares)) ** 2 / 12.0
    return shares, posterior @ SHARES**2 - shares**2 + grid


def own_variances(evidence: TaskEvidence) -> NDArray:
    """Prior variance of every task's coefficients, per coordinate and in units of its noise, shape (n_tasks,).

    The ridge model that every task would have alone: ``h / ((1 - h) row_norm)`` with h the task's mean
    `explained_shares` and row_norm the task's own.
    """
    shares, _ = explained_shares(evidence, *spectra(evidence))
    of = evidence.task_of_output
    mean = np.bincount(of, shares) / np.bincount(of)
    return mean / ((1.0 - mean) * evidence.row_norms)
