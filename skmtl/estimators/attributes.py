"""From a `Solution` to the public fitted attributes, in the shapes scikit-learn uses for each kind."""

from __future__ import annotations

from collections.abc import Hashable
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skmtl.inputs import Form, union_classes
from skmtl.solvers import Solution
from skmtl.tasks import Task

#: Set by some fits only, so that a refit has to remove what an earlier one left.
OPTIONAL = ("classes_", "feature_names_in_", "noise_scale_")


def fitted_attributes(solution: Solution, tasks: tuple[Task, ...], form: Form) -> dict[str, Any]:
    """{name: value} of everything that a fit or `add_tasks` leaves on the estimator, its X aside."""
    # One contiguous row per output: the views below then are what a linear model would hold.
    rows = np.ascontiguousarray(solution.coef.T)
    outputs = output_slices(tasks)
    names = [task.name for task in tasks]
    convergence = solution.convergence
    fitted = {
        "tasks_": names,
        "basis_": solution.basis,
        "factors_": by_task(names, outputs, solution.factors),
        **_prior(solution),
        "feature_scale_": solution.feature_scale,
        "common_": solution.common,
        "own_": None if solution.own is None else by_task(names, outputs, solution.own),
        "coef_": _public(tasks, form, [_coef(task, rows[o]) for task, o in zip(tasks, outputs)]),
        "intercept_": public_intercepts(solution.intercept, tasks, form),
        "intercept_mean_": None if solution.tie is None else solution.tie.mean,
        "target_scale_": dict(zip(names, solution.target_scale.tolist())),
        "rank_": solution.rank,
        "objective_": solution.objective,
        "objective_path_": solution.objective_path,
        "dual_gap_": solution.dual_gap,
        "convergence_": convergence,
        # scikit-learn expects at least one, also where the start was already the answer.
        "n_iter_": 1 if convergence is None else max(convergence.n_iter, 1),
        "_solution": solution,
        "_tasks": tasks,
        "_form": form,
    }
    if solution.noise is not None:
        deviations = solution.noise.deviations.tolist()
        fitted["noise_scale_"] = {task.name: s for task, s in zip(tasks, deviations) if task.kind == "regression"}
    return fitted | class_attributes(tasks, form)


def class_attributes(tasks: tuple[Task, ...], form: Form) -> dict[str, Any]:
    """`classes_by_task_`, and `classes_` where there is one."""
    classes = {task.name: task.classes for task in tasks if task.classes is not None}
    found: dict[str, Any] = {"classes_by_task_": classes}
    if classes and form.long:
        found["classes_"] = union_classes(tasks)
    elif classes and not form.named:
        found["classes_"] = next(iter(classes.values())) if form.flat else list(classes.values())
    return found


def output_slices(tasks: tuple[Task, ...]) -> list[slice]:
    """Every task's output columns."""
    offsets = np.cumsum([0, *(task.n_outputs for task in tasks)]).tolist()
    return [slice(start, stop) for start, stop in pairwise(offsets)]


def _prior(solution: Solution) -> dict[str, NDArray | None]:
    """Mean and covariance of the factors; zero in components that are not in use."""
    if solution.prior is None:
        return {"factor_mean_": None, "factor_covariance_": None}
    k, rank = solution.basis.shape[1], solution.rank
    mean, covariance = np.zeros(k), np.zeros((k, k))
    mean[:rank], covariance[:rank, :rank] = solution.prior.mean, solution.prior.covariance
    return {"factor_mean_": mean, "factor_covariance_": covariance}


def by_task(names: list[Hashable], outputs: list[slice], columns: NDArray) -> dict[Hashable, NDArray]:
    return {name: columns[:, own] for name, own in zip(names, outputs)}


def _coef(task: Task, rows: NDArray) -> NDArray:
    """(n_features,) of a number, (1, n_features) of two classes, (n_classes, n_features) of more."""
    return rows[0] if task.classes is None else rows


def _intercept(task: Task, intercept: NDArray) -> float | NDArray:
    return float(intercept[0]) if task.classes is None else intercept


def public_intercepts(intercept: NDArray, tasks: tuple[Task, ...], form: Form) -> Any:
    """Intercepts (n_outputs,) in the form of the fit."""
    return _public(tasks, form, [_intercept(task, intercept[o]) for task, o in zip(tasks, output_slices(tasks))])


def _public(tasks: tuple[Task, ...], form: Form, values: list) -> Any:
    """{task: value} where tasks have names; else the value of a flat y, an array of numbers, a list."""
    if form.named or form.long:
        return {task.name: value for task, value in zip(tasks, values)}
    if form.flat:
        return values[0]
    return np.array(values) if all(task.classes is None for task in tasks) else values
