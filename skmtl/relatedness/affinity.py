"""`task_affinity`: how alike tasks are in what they ask of the features, corrected for the noise of few labels."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from skmtl.optional import pandas
from skmtl.relatedness.coordinates import feature_coordinates
from skmtl.relatedness.task_evidence import Outputs, TaskEvidence, centre, read_tasks, standardised_outputs, sum_moments
from skmtl.relatedness.variance import explained_shares, spectra
from skmtl.solvers.threads import has_narrow_set_up, one_blas_thread

#: Rows of uncorrelated noise that are assumed beside those that two tasks share.
_PRIOR_ROWS = 10.0
#: Smallest share of its coefficients' expected squares that a task may have in what it sees together with another.
_LEAST_SIZE = 0.05
#: Directions whose second moment on a task's rows is below this share of its largest are constant there.
_NEGLIGIBLE = 1e-9
#: Pairs that ``repr`` lists.
_SHOWN = 5


@dataclass(frozen=True, repr=False)
class TaskAffinity:
    """Similarity of every pair of tasks, and how certain it is.

    Attributes
    ----------
    tasks : list of hashable, length n_tasks
    matrix : ndarray of shape (n_tasks, n_tasks)
        Affinities in [-1, 1], 1 on the diagonal; symmetric. Where a task with more than two classes takes part, in
        [0, 1].
    standard_error : ndarray of shape (n_tasks, n_tasks)
        Of the affinities; 0 on the diagonal.
    explained : ndarray of shape (n_tasks,)
        Share of a task's variance that the features explain linearly, as estimated from all tasks.
    """

    tasks: list[Hashable]
    matrix: NDArray
    standard_error: NDArray
    explained: NDArray

    def to_frame(self) -> Any:
        """A pandas DataFrame of the affinities, tasks by tasks."""
        pd = pandas()

        names = pd.Index(self.tasks, tupleize_cols=False)
        return pd.DataFrame(self.matrix, index=names, columns=names)

    def __repr__(self) -> str:
        n_tasks = len(self.tasks)
        lines = [f"TaskAffinity of {n_tasks} task{'s' * (n_tasks != 1)}"]
        first, second = np.triu_indices(n_tasks, 1)
        values, errors = self.matrix[first, second], self.standard_error[first, second]
        order = np.argsort(-np.abs(values), kind="stable")[:_SHOWN]
        pairs = [f"{self.tasks[first[i]]} ~ {self.tasks[second[i]]}" for i in order]
        width = max(map(len, pairs), default=0)
        lines += [f"  {pair:<{width}}  {values[i]:+.2f} ± {errors[i]:.2f}" for pair, i in zip(pairs, order)]
        if len(values) > _SHOWN:
            lines.append(f"  ... and {len(values) - _SHOWN} more pairs")
        return "\n".join(lines)


def task_affinity(X: Any, y: Any, *, kinds: Any = None, task_col: Any = None) -> TaskAffinity:
    """How alike tasks are in what they ask of the features: correlations of their coefficient vectors.

    For two tasks of one output each, the affinity is the correlation of what they would predict if their coefficients
    were known, with Sigma the covariance of the features::

        affinity_ts = w_t' Sigma w_s / sqrt(w_t' Sigma w_t  w_s' Sigma w_s)

    Directions that are constant on the rows of a task say nothing about it: an affinity is that of the coefficients in
    what both tasks see. So columns that are constant on a task's own rows, an indicator of them say, change nothing,
    nor does it matter in which basis the features come (with ten rows per feature or more; with fewer the
    covariance of the features is shrunk).

    It is estimated without the bias towards zero that the noise of few labels gives to correlations of fitted
    coefficients: few labels make an affinity uncertain, not small [1]_. A task with c > 2 classes has c - 1 coefficient
    vectors W_t; its affinity to others is the root of the RV coefficient of both sets, ``|W_t' Sigma W_s| /
    sqrt(|W_t' Sigma W_t| |W_s' Sigma W_s|)`` in Frobenius norms, which has no sign [2]_.

    Parameters
    ----------
    X : array-like or sparse matrix of shape (n_samples, n_features), or dict of {task: such a table}
    y : dict of {task: array-like}, TaskTargets, DataFrame, or array-like of shape (n_samples,) or \
(n_samples, n_tasks)
        Numbers, counts and classes in any mixture. Missing targets are NaN, None, NaT or pandas' NA.
    kinds : dict of {task: kind} or str, default=None
        "regression", "binary", "multiclass" or "count", where it shall not be read off the targets; a string is the
        kind of all tasks.
    task_col : str or int, default=None
        Long form: name or position of the column of X that holds the task of each row.

    Returns
    -------
    affinity : TaskAffinity
        With ``matrix``, ``standard_error``, ``tasks``, ``explained`` and ``to_frame()``.

    Raises
    ------
    ValueError
        Naming the task, what was given and what is allowed.

    See Also
    --------
    group_tasks : Tasks into groups that belong together.
    AffinityDisplay : The matrix as a picture.

    Notes
    -----
    Every task is seen as a linear regression of its standardised score at the null model (for numbers, two classes
    and counts: of the target itself), in coordinates Z of the features whose covariance is the
    unit matrix. There ``y_t ~ N(0, V_t)`` with ``V_t = r_t Z_t Z_t' + (1 - h_t) I``; the share h_t of explained
    variance is an empirical-Bayes estimate over all tasks, and ``r_t = h_t / mean(|z|^2)`` over the task's own rows
    about their mean. With ``b_t = Z_t' V_t^-1 y_t`` the covariance c_ts of two tasks' coefficients, per direction,
    solves the moment equations::

        b_t' b_s     = c_ts tr(M_t M_s)  + N_ts  tr(K_t G K_s)            M_t = Z_t' V_t^-1 Z_t,  K_t G_t = M_t
        u_t' u_s     = c_ts tr(K_t G K_s) + N_ts tr(V_t^-1 V_s^-1)        u_t = V_t^-1 y_t, over rows of both tasks

    which are the score equations of restricted maximum likelihood at independence; N_ts, the covariance of the noise
    on rows that both tasks observe, is thereby told apart from that of the coefficients. What M_t M_s does not see is
    not asked for. The affinity is ``c_ts`` over the root of both tasks' variances in the same directions,
    ``tr(M_t M_s E[w_t w_t']) / tr(M_t M_s)`` with the posterior's second moments. Standard errors are those of the
    linearised estimate for given coefficients.

    Where there are more features than about 256 (or ``sqrt(2**24 / n_tasks)``), their leading principal components
    take their place.

    References
    ----------
    .. [1] Lee, S. H., Yang, J., Goddard, M. E., Visscher, P. M. & Wray, N. R. (2012). Estimation of pleiotropy
           between complex diseases using SNP-derived genomic relationships and restricted maximum likelihood.
           Bioinformatics, 28(19). :doi:`10.1093/bioinformatics/bts474`
    .. [2] Robert, P. & Escoufier, Y. (1976). A unifying tool for linear multivariate statistical methods: the RV
           coefficient. Applied Statistics, 25(3). :doi:`10.2307/2347233`

    Examples
    --------
    >>> from skmtl import task_affinity
    >>> from skmtl.datasets import load_penguins
    >>> X, y = load_penguins()
    >>> task_affinity(X, y).to_frame().shape
    (3, 3)
    """
    data, _ = read_tasks("task_affinity", X, y, kinds, task_col)
    with one_blas_thread(has_narrow_set_up(data)):
        Z = feature_coordinates(data, whiten=True)
        return affinity_of_outputs(standardised_outputs(data), Z)


def affinity_of_outputs(outputs: Outputs, Z: NDArray) -> TaskAffinity:
    """`TaskAffinity` of standardised outputs in whitened coordinates."""
    evidence = centre(sum_moments(outputs, Z), outputs.task_of_output)
    values, vectors = spectra(evidence)
    shares, uncertainty = explained_shares(evidence, values, vectors)
    correlation, variance = _output_correlations(outputs, Z, evidence, values, vectors, shares)
    single = np.bincount(outputs.task_of_output, minlength=outputs.n_tasks) == 1
    first = np.searchsorted(outputs.task_of_output, np.arange(outputs.n_tasks))
    matrix = np.clip(correlation[np.ix_(first, first)], -1.0, 1.0)
    # What is explained on a task's own rows differs from what would be on all of them.
    of_rows = 2.0 * (1.0 - (evidence.dof + 1.0) / len(Z)) / np.maximum(evidence.dof, 1.0)
    relative = uncertainty[first] / shares[first] ** 2 + of_rows
    error = variance[np.ix_(first, first)] + 0.25 * matrix**2 * (relative[:, np.newaxis] + relative)
    # What the rows say of the covariance of the features is uncertain, too.
    error = np.minimum(np.sqrt(error + (1.0 - matrix**2) ** 2 / len(Z)), 1.0)
    if not single.all():
        scale = np.sqrt(np.outer(shares, shares))
        several, several_error = _subspace_affinity(outputs, correlation * scale, variance * scale**2)
        pairs = ~np.logical_and.outer(single, single)
        matrix[pairs], error[pairs] = several[pairs], several_error[pairs]
    np.fill_diagonal(matrix, 1.0)
    np.fill_diagonal(error, 0.0)
    explained = np.bincount(outputs.task_of_output, shares, outputs.n_tasks) / np.bincount(outputs.task_of_output)
    return TaskAffinity(outputs.names, matrix, error, explained)


def _output_correlations(
    outputs: Outputs, Z: NDArray, evidence: TaskEvidence, values: NDArray, vectors: NDArray, shares: NDArray
) -> tuple[NDArray, NDArray]:
    """Correlations (n_outputs, n_outputs) of the outputs' coefficients in directions that both see, and variances."""
    of = outputs.task_of_output
    n_outputs = len(of)
    noise, spectrum = 1.0 - shares, values[of]
    prior = shares / evidence.row_norms[of]
    inverse = 1.0 / (prior[:, np.newaxis] * spectrum + noise[:, np.newaxis])

    def matrices(diagonal: NDArray) -> NDArray:
        """One matrix per output in the eigenbasis of its task, as a row: their inner products are traces."""
        turned = (vectors[of] * diagonal[:, np.newaxis, :]) @ vectors[of].transpose(0, 2, 1)
        return turned.reshape(n_outputs, -1)

    rotated = inverse * np.einsum("oij,oi->oj", vectors[of], evidence.cross)
    beta = np.einsum("oij,oj->oi", vectors[of], rotated)
    products = beta @ beta.T
    seen = matrices(inverse * spectrum)
    slope = seen @ seen.T
    lengths = np.sqrt(np.diag(slope))
    apart = slope <= _NEGLIGIBLE * np.outer(lengths, lengths)  # nothing is seen by both
    slope[apart] = 1.0
    # The posterior of a task's coefficients says how large they are in the directions that both tasks see.
    curved = np.einsum("oij,oj->oi", vectors[of], inverse * spectrum * rotated)
    squares = (curved[:, :, np.newaxis] * beta[:, np.newaxis, :]).reshape(n_outputs, -1) @ seen.T
    squares = prior[:, np.newaxis] * squares + noise[:, np.newaxis] * (matrices(inverse**2 * spectrum) @ seen.T)
    size = np.maximum(squares / slope, _LEAST_SIZE)
    scale = np.sqrt(np.outer(prior, prior) * size * size.T)
    if outputs.n_tasks_per_row > 1.0:
        # Rows that two tasks share: noise that both have there is no likeness of coefficients.
        shared, dual_products = _on_shared_rows(outputs, Z, beta, prior, noise)
        # Second moments of the features on shared rows: what both tasks say of them.
        moments = spectrum / (evidence.dof[of] + 1.0)[:, np.newaxis]
        half = matrices(inverse * np.sqrt(moments))
        both = matrices(inverse * moments)
        mixed = shared * (half @ half.T)
        traces = prior * np.sum(inverse * moments, axis=1)
        double = shared * (both @ both.T) * np.outer(prior, prior)
        remaining = 1.0 - traces[:, np.newaxis] - traces + double
        dual = (shared * np.maximum(remaining, 0.0) + _PRIOR_ROWS) / np.outer(noise, noise)
        information = slope - mixed**2 / dual
        covariance = (products - dual_products * mixed / dual) / information
        together = np.clip((dual_products - covariance * mixed) / dual / np.sqrt(np.outer(noise, noise)), -1.0, 1.0)
    else:
        information, together = slope, np.zeros_like(slope)
        covariance = products / slope
    dimensions = _dimensions(evidence, values)[of]
    known = 1.0 / np.minimum(dimensions[:, np.newaxis], dimensions)
    variance = np.maximum(1.0 / (information * np.outer(prior, prior)) - known, 0.0) * (1.0 + together**2)
    correlation = covariance / scale
    correlation[apart], variance[apart] = 0.0, 1.0
    diagonal = np.diag_indices(n_outputs)
    variance[diagonal] = 0.0
    correlation[diagonal] = 1.0
    return correlation, variance


def _dimensions(evidence: TaskEvidence, values: NDArray) -> NDArray:
    """Directions that every task's rows would tell if there were more of them, shape (n_tasks,).

    Where a task has more rows than directions in which they differ, the others are constant on them whatever their
    number; where it has few rows, all.
    """
    rank = np.sum(values > _NEGLIGIBLE * values.max(axis=1, keepdims=True), axis=1)
    return np.where(rank < evidence.dof, np.maximum(rank, 1), values.shape[1])


def _on_shared_rows(
    outputs: Outputs, Z: NDArray, beta: NDArray, prior: NDArray, noise: NDArray
) -> tuple[NDArray, NDArray]:
    """Rows that two outputs share, and the products there of ``u = V^-1 y``, each (n_outputs, n_outputs)."""
    obs = outputs.observations
    centre_of = obs.task_sums(np.ones(len(outputs.values)))
    fitted = obs.raw(Z, beta)
    fitted -= obs.spread(obs.task_sums(fitted) / centre_of)
    dual = (outputs.values - obs.spread(prior) * fitted) / obs.spread(noise)
    shape = (obs.n_tasks, obs.n_rows)
    seen = sparse.csr_matrix((np.ones(len(dual)), obs.rows, obs.offsets), shape=shape)
    weighted = sparse.csr_matrix((dual, obs.rows, obs.offsets), shape=shape)
    if outputs.is_complete:
        dense = weighted.toarray()
        return np.full((obs.n_tasks, obs.n_tasks), float(obs.n_rows)), dense @ dense.T
    return (seen @ seen.T).toarray(), (weighted @ weighted.T).toarray()


def _subspace_affinity(outputs: Outputs, covariance: NDArray, variance: NDArray) -> tuple[NDArray, NDArray]:
    """Roots of RV coefficients between the sets of coefficient vectors of every two tasks, and standard errors."""
    member = np.zeros((outputs.n_tasks, len(outputs.task_of_output)))
    member[outputs.task_of_output, np.arange(member.shape[1])] = 1.0
    # A squared covariance is too large by its variance.
    squared = member @ (covariance**2 - variance) @ member.T
    spread = member @ (4.0 * covariance**2 * variance + 2.0 * variance**2) @ member.T
    diagonal = np.diag_indices(outputs.n_tasks)
    own = np.maximum(squared[diagonal], np.bincount(outputs.task_of_output, np.diag(covariance) ** 2) * 0.1)
    scale = np.sqrt(np.outer(own, own))
    affinity = np.sqrt(np.clip(squared / scale, 0.0, 1.0))
    deviation = np.sqrt(spread) / scale
    # Of a root: half the relative error, but no more than the root of the error, which it is at zero.
    return affinity, np.minimum(deviation / (2.0 * np.maximum(affinity, 1e-12)), np.sqrt(deviation))
