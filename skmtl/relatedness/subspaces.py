"""Groups of tasks, each with a subspace of its own for the coefficients: their likelihoods, and the subspaces.

The model of a task in group g, for each of its outputs::

    y = Z theta + noise      theta = B_g s + e      s ~ N(0, sigma^2 I)      e ~ N(0, sigma^2 own I)
                             noise ~ N(0, sigma^2 I)                        B_g ~ N(0, 1 / precision)

sigma^2 is profiled out per output, so that nothing depends on the units or the noise of a task. e, theta's part outside
the subspace, is eliminated first (`without_own_part`); what is left are r x r systems for all tasks and groups at once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from skmtl.relatedness.task_evidence import TaskEvidence
from skmtl.relatedness.variance import spectra

#: Pseudo-observations, of the variance of a standardised target, that keep a perfect fit finite.
_PRIOR_DOF = 1.0
#: Size of a basis before its first step, on the scale of the standardised targets.
_FIRST_SIZE = 0.3


@dataclass(frozen=True)
class Reduced:
    """`TaskEvidence` with the own parts eliminated: ``y ~ N(0, sigma^2 (I + own ZZ' + Z B B' Z'))``.

    Attributes
    ----------
    gram, cross, total, dof, task_of_output
        As in `TaskEvidence`, with the metric ``(I + own ZZ')^-1`` between observations.
    log_determinant : ndarray of shape (n_tasks,)
        Of ``I + own ZZ'``.
    own : ndarray of shape (n_tasks,)
        Prior variance of an own part, per coordinate and in units of the noise.
    """

    gram: NDArray
    cross: NDArray
    total: NDArray
    dof: NDArray
    task_of_output: NDArray
    log_determinant: NDArray
    own: NDArray

    @property
    def n_tasks(self) -> int:
        return len(self.dof)

    def of_tasks(self, per_output: NDArray) -> NDArray:
        """Sums over the outputs of every task; any trailing shape."""
        starts = np.searchsorted(self.task_of_output, np.arange(self.n_tasks))
        return per_output if self.n_tasks == len(self.task_of_output) else np.add.reduceat(per_output, starts, axis=0)


def without_own_part(evidence: TaskEvidence, own: NDArray) -> Reduced:
    """Eliminate the own parts; `own` has the shape (n_tasks,)."""
    of = evidence.task_of_output
    if not own.any():
        nothing = np.zeros(len(evidence.dof))
        return Reduced(evidence.gram, evidence.cross, evidence.total, evidence.dof, of, nothing, own)
    values, vectors = spectra(evidence)
    shrunk = 1.0 + own[:, np.newaxis] * values
    gram = (vectors * (values / shrunk)[:, np.newaxis, :]) @ vectors.transpose(0, 2, 1)
    rotated = np.einsum("oij,oi->oj", vectors[of], evidence.cross)
    cross = np.einsum("oij,oj->oi", vectors[of], rotated / shrunk[of])
    total = np.maximum(evidence.total - own[of] * np.sum(rotated**2 / shrunk[of], axis=1), 0.0)
    return Reduced(gram, cross, total, evidence.dof, of, np.log(shrunk).sum(axis=1), own)


@dataclass(frozen=True)
class Factors:
    """What every group would make of every task.

    Attributes
    ----------
    log_likelihood : ndarray of shape (n_tasks, n_groups)
    mean : ndarray of shape (n_outputs, n_groups, r)
        Posterior mean of s.
    second : ndarray of shape (n_outputs, n_groups, r, r)
        Posterior second moment of s, over sigma^2.
    noise : ndarray of shape (n_outputs, n_groups)
        sigma^2.
    """

    log_likelihood: NDArray
    mean: NDArray
    second: NDArray
    noise: NDArray


def factors(data: Reduced, bases: NDArray) -> Factors:
    """E step: posterior of the factors under bases of shape (n_groups, q, r), and the likelihoods."""
    n_groups, q, r = bases.shape
    of = data.task_of_output
    columns = bases.transpose(1, 0, 2).reshape(q, n_groups * r)
    if data.gram.strides[0] == 0:
        image = np.broadcast_to(data.gram[0] @ columns, (data.n_tasks, q, n_groups * r))
    else:
        image = data.gram @ columns
    image = image.reshape(data.n_tasks, q, n_groups, r)
    system = np.eye(r) + np.einsum("gqa,tqgb->tgab", bases, image)
    inverse = np.linalg.inv(system)
    projected = (data.cross @ columns).reshape(len(of), n_groups, r)
    mean = np.einsum("ogab,ogb->oga", inverse[of], projected)
    residual = data.total[:, np.newaxis] - np.einsum("oga,oga->og", mean, projected)
    residual = np.maximum(residual, 0.0) + _PRIOR_DOF
    dof = data.dof[of][:, np.newaxis] + _PRIOR_DOF
    noise = residual / dof
    determinant = np.linalg.slogdet(system)[1] + data.log_determinant[:, np.newaxis]
    log_likelihood = data.of_tasks(-0.5 * (dof * np.log(residual) + determinant[of]))
    second = mean[..., :, np.newaxis] * (mean / noise[..., np.newaxis])[..., np.newaxis, :] + inverse[of]
    return Factors(log_likelihood, mean, second, noise)


def update_bases(data: Reduced, found: Factors, share: NDArray, precision: float) -> NDArray:
    """M step: bases (n_groups, q, r) from the posterior of the factors and the tasks' shares (n_tasks, n_groups)."""
    n_tasks, n_groups = share.shape
    q, r = data.gram.shape[1], found.mean.shape[2]
    of = data.task_of_output
    weight = share[of]
    second = data.of_tasks(found.second * weight[..., np.newaxis, np.newaxis])
    if data.gram.strides[0] == 0:
        kron = np.einsum("gab,ij->giajb", second.sum(axis=0), data.gram[0])
    else:
        kron = second.reshape(n_tasks, -1).T @ data.gram.reshape(n_tasks, -1)
        kron = kron.reshape(n_groups, r, r, q, q).transpose(0, 3, 1, 4, 2)
    left = kron.reshape(n_groups, q * r, q * r) + precision * np.eye(q * r)
    scaled = found.mean * (weight / found.noise)[..., np.newaxis]
    right = (data.cross.T @ scaled.reshape(len(of), -1)).reshape(q, n_groups, r).transpose(1, 0, 2)
    bases = np.linalg.solve(left, right.reshape(n_groups, q * r, 1)).reshape(n_groups, q, r)
    # Parameter expansion (Liu, Rubin & Wu 1998): factors of covariance Phi under B are factors of unit covariance
    # under B Phi^1/2, which saves most of the steps.
    members = np.maximum(weight.sum(axis=0), 1e-12)[:, np.newaxis, np.newaxis]
    spread = (found.second * weight[..., np.newaxis, np.newaxis]).sum(axis=0) / members
    return bases @ np.linalg.cholesky(spread + 1e-9 * np.eye(r))


def fit_bases(data: Reduced, share: NDArray, rank: int, precision: float, n_steps: int = 8) -> NDArray:
    """Bases (n_groups, q, rank) of groups whose members are known, by a few steps from `first_bases`."""
    bases = first_bases(data, share, rank)
    for _ in range(n_steps):
        bases = update_bases(data, factors(data, bases), share, precision)
    return bases


def first_bases(data: Reduced, share: NDArray, rank: int) -> NDArray:
    """Leading directions of the gradients of every group's tasks, in the size of a first basis."""
    gradients = data.cross.T[np.newaxis] * share.T[:, np.newaxis, data.task_of_output]
    left = np.linalg.svd(gradients, full_matrices=False)[0][:, :, :rank]
    return _FIRST_SIZE * np.pad(left, ((0, 0), (0, 0), (0, rank - left.shape[2])))
