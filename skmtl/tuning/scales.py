"""The natural units of strengths and ranks for some data: where a search begins and how far it may go."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import digamma, polygamma

from skmtl.matrix import column_deviations
from skmtl.solvers import Prepared, formulate, is_complete_squared, prepare
from skmtl.solvers.build import as_single_targets
from skmtl.solvers.formulation import Formulation
from skmtl.tasks import TaskData
from skmtl.tuning.folds import FitOptions

#: Columns whose scales are worth learning without being asked.
_MAX_SCALED = 200
#: A gradient is rounding below this share of what the largest target and a typical column could give.
_ROUNDING = 1e-14
#: Standard errors above chance from which on the deviations of tasks are held to differ.
_SURE = 3.0


@dataclass(frozen=True)
class Scales:
    """Natural units of the strengths for some data.

    Attributes
    ----------
    alpha : float
        From this `alpha` on the shared part is zero: the spectral norm of the gradient at the null model.
    alpha_common, alpha_own : float
        Mean curvature of the loss in a coefficient of all tasks together, and of one task: a ridge of
        this strength halves an estimate.
    alpha_intercept : float
        Mean curvature of the loss in the intercept of a task.
    column_octaves : float
        Octaves between the smallest and the largest deviation of a column; zero for scaled features. Strengths that
        speak of any column lie that far apart.
    typical : float
        Deviation of the median column over the largest.
    max_rank : int
    can_share : bool
        Whether a common part reaches more than one task.
    can_scale : bool
        Whether scales of the features can be told, at little cost.
    spectral_rank : int or None
        Number of directions in complete squared targets that stand out of the noise.
    is_null : bool
        Whether no feature says anything of any target, so that no strength changes anything: features or targets are
        constant.
    target : ndarray of shape (n_tasks,)
        Units of the targets: standard deviations of regression targets, unless they are not to be scaled.
    """

    alpha: float
    alpha_common: float
    alpha_own: float
    alpha_intercept: float
    column_octaves: float
    typical: float
    max_rank: int
    can_share: bool
    can_scale: bool
    spectral_rank: int | None
    is_null: bool
    target: NDArray


def natural_scales(data: TaskData, options: FitOptions) -> Scales:
    """Read off the null model of all rows."""
    formulation = formulate(data, 1.0, None, None, options.fit_intercept, options.scale_targets)
    prepared = prepare(formulation)
    n_features = formulation.problem.X.shape[1]
    curvature = float(prepared.preconditioner.spectrum(n_features).mean())
    gradient = np.sqrt(curvature) * _largest_target(data, formulation)
    is_null = not curvature > 0 or prepared.largest_alpha <= _ROUNDING * gradient
    if options.fit_intercept and not is_null:
        is_null = not column_deviations(data.X, data.row_weights).any()
    curvature = max(curvature, 1e-300)
    n_single = sum(task.n_outputs == 1 for task in data.tasks)
    return Scales(
        max(prepared.largest_alpha, 1e-300),
        curvature * max(n_single, 1),
        curvature,
        _intercept_curvature(prepared),
        *_columns(data),
        max(min(n_features, formulation.problem.n_outputs), 1),
        n_single > 1,
        1 < data.n_features <= min(_MAX_SCALED, data.n_rows) and sum(task.n_outputs for task in data.tasks) > 1,
        _spectral_rank(data, formulation) if is_complete_squared(data) else None,
        is_null,
        np.where([task.kind == "regression" for task in data.tasks], formulation.scales, 1.0),
    )


def _largest_target(data: TaskData, formulation: Formulation) -> float:
    """In the units of the problem, where classes and counts are of the order of one."""
    scales = formulation.scales if data.task_of_row is None else formulation.scales[data.task_of_row]
    largest = float(np.nanmax(np.abs(data.y) / scales))
    return largest if all(task.kind == "regression" for task in data.tasks) else max(largest, 1.0)


def _columns(data: TaskData) -> tuple[float, float]:
    """`Scales.column_octaves` and `Scales.typical`."""
    deviations = column_deviations(data.X, data.row_weights)
    deviations = deviations[deviations > 0]
    if not len(deviations):
        return 0.0, 1.0
    largest = deviations.max()
    return float(np.log2(largest / deviations.min())), float(np.median(deviations) / largest)


def moderated_scales(data: TaskData) -> NDArray:
    """Standard deviations of numeric tasks that may have one unit, (n_tasks,): few rows lean on those of all others.

    Of three rows a deviation is off by a factor of two, and held-out errors divided by it say more of that factor than
    of any model. As far as the tasks' log variances differ by no more than such rows make them (DerSimonian & Laird
    1986, doi:10.1016/0197-2456(86)90046-2; less three standard errors), they are taken for one (Smyth 2004,
    doi:10.2202/1544-6115.1027); tasks of different units keep their own.
    """
    data, n_tasks = as_single_targets(data), len(data.tasks)
    t = np.asarray(data.task_of_row)
    weights = np.ones(len(data.y)) if data.weights is None else data.weights
    counts, totals = np.bincount(t, minlength=n_tasks), np.bincount(t, weights, n_tasks)
    means = np.bincount(t, weights * data.y, n_tasks) / totals
    squares = np.bincount(t, weights * (data.y - means[t]) ** 2, n_tasks) / totals
    known = (counts > 1) & (squares > 1e-24 * means**2)
    if not known.any():
        deviation = float(np.std(data.y))
        return np.full(n_tasks, deviation if deviation > 0 else 1.0)
    half = 0.5 * (counts[known] - 1)
    logs = np.log(squares[known] * counts[known] / (2.0 * half)) - digamma(half) + np.log(half)
    errors = polygamma(1, half)
    precision = 1.0 / errors
    centre = float(precision @ logs / precision.sum())
    excess = precision @ (logs - centre) ** 2 - (known.sum() - 1)
    # By chance alone it varies about zero; what that leaves would weigh tasks whose few targets happen to agree.
    excess -= _SURE * np.sqrt(np.sum(2.0 + polygamma(3, half) / errors**2))
    between = max(excess / max(precision.sum() - precision @ precision / precision.sum(), 1e-300), 0.0)
    result = np.full(n_tasks, centre)
    result[known] += between / (between + errors) * (logs - centre)
    return np.exp(0.5 * result)


def _intercept_curvature(prepared: Prepared) -> float:
    """At the null model, on average over the outputs; squared losses have that of their weights, one on average."""
    problem, total = prepared.formulation.problem, 0.0
    for block, state in zip(problem.blocks, prepared.null.states or [], strict=False):
        total += float(len(block.tasks)) if state is None else float(np.sum(block.weighted(state.curvature)))
    return max(total / problem.n_outputs, 1e-300)


def _spectral_rank(data: TaskData, formulation: Formulation) -> int | None:
    """Singular values of the least-squares fit of complete targets above what noise alone gives (Bunea et al. 2011,
    doi:10.1214/11-AOS876): ``sigma (sqrt(n_tasks) + sqrt(n_features))``; None where no residuals tell sigma.
    """
    problem = formulation.problem
    targets = problem.blocks[0].y
    n_features, n_tasks = targets.shape
    freedom = data.n_rows - n_features - 1
    variance = 2.0 * problem.constant * data.n_rows / (n_tasks * max(freedom, 1))
    if freedom < 1 or variance <= 0:
        return None
    values = np.linalg.svd(targets, compute_uv=False)
    return int(np.sum(values > np.sqrt(variance) * (np.sqrt(n_tasks) + np.sqrt(n_features))))
