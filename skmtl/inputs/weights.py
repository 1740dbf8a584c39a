"""Weights of observations, classes and tasks: checked, and brought into the layout of the targets."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skmtl.inputs.observed import Observed
from skmtl.targets import TaskTargets, column_names, is_named, listed
from skmtl.tasks import Task

#: Weights above zero: squares of products of two of them are numbers.
_LEAST, _MOST = 1e-50, 1e50


def shared_weights(sample_weight: Any, names: tuple[Hashable, ...], n_rows: int) -> NDArray | None:
    """Weights for one X: per row (n_rows,), or per row and task (n_rows, n_tasks).

    Raises
    ------
    ValueError
        For a plain dict, another number of rows or other tasks than those of y, and negative weights.
    """
    if sample_weight is None:
        return None
    if isinstance(sample_weight, Mapping) and not isinstance(sample_weight, TaskTargets):
        raise ValueError(
            "sample_weight must not be a plain dict: scikit-learn's splitters hand a dict over "
            "whole instead of cutting it by rows. Wrap it: TaskTargets(sample_weight)."
        )
    if is_named(sample_weight):
        columns = list(sample_weight) if isinstance(sample_weight, Mapping) else column_names(sample_weight) or []
        if len(columns) != len(names) or set(columns) != set(names):
            raise ValueError(f"sample_weight must have the tasks of y, {listed(names)}, got {listed(columns)}.")
        weights = np.stack([_as_numbers(sample_weight[name]) for name in names]).T
    else:
        weights = _as_numbers(sample_weight)
        if weights.ndim == 0:
            weights = np.full(n_rows, float(weights))
    if weights.shape not in ((n_rows,), (n_rows, len(names))):
        raise ValueError(
            f"sample_weight must have shape ({n_rows},), one weight per row, or ({n_rows}, "
            f"{len(names)}), one per row and task; got shape {weights.shape}."
        )
    if weights.ndim == 1:
        _refuse_bad_weights(weights)
        return weights
    for t, name in enumerate(names):  # where the target is missing the weight may be: see drop_unobserved
        _refuse_bad_weights(weights[:, t], f" of task {name!r}", nan_allowed=True)
    return weights


def own_weights(sample_weight: Any, names: tuple[Hashable, ...], sizes: NDArray) -> NDArray | None:
    """Weights for a dict X: a dict with one array per task, stacked like the rows."""
    if sample_weight is None:
        return None
    if not isinstance(sample_weight, Mapping):
        raise ValueError(
            f"sample_weight must be a dict with one array per task, as X and y are, got {type(sample_weight).__name__}."
        )
    if set(sample_weight) != set(names):
        raise ValueError(f"sample_weight must have the tasks of y, {listed(names)}, got {listed(list(sample_weight))}.")
    parts = [_as_numbers(sample_weight[name]) for name in names]
    for name, part, size in zip(names, parts, sizes, strict=True):
        if part.shape != (size,):
            raise ValueError(f"sample_weight of task {name!r} must have shape ({size},), got {part.shape}.")
        _refuse_bad_weights(part, f" of task {name!r}")
    return np.concatenate(parts)


def drop_unobserved(
    X: Any, observed: Observed, weights: NDArray | None
) -> tuple[Any, Observed, NDArray | None, NDArray | None]:
    """Everything without what must act as if absent: weight zero, and labelled rows without a target.

    Returns X, targets and weights, and the positions of the rows that are left, None for all.

    Raises
    ------
    ValueError
        Naming a task without any target, or with zero weights only.
    """
    _require_observations(observed, "has no target at all: every value is missing")
    keep = np.ones(observed.n_rows, dtype=bool)
    if observed.task_of_row is not None:
        keep &= ~np.isnan(observed.values)
    if weights is not None and weights.ndim == 1:
        keep &= weights > 0
    elif weights is not None:
        absent = (weights == 0) | np.isnan(weights)
        if (absent & ~np.isnan(observed.values)).any():
            unweighted = np.isnan(weights) & ~np.isnan(observed.values)
            if unweighted.any():
                t = int(np.argmax(unweighted.any(axis=0)))
                raise ValueError(
                    f"sample_weight is missing where task {observed.names[t]!r} has a target; give a number >= 0 there."
                )
            observed = observed.writable()
            observed.values[absent] = np.nan
        weights = np.where(absent, 0.0, weights) if absent.any() else weights
    rows = None if keep.all() else np.flatnonzero(keep)
    if rows is not None:
        X, observed = X[rows], observed.take(rows)
        weights = None if weights is None else weights[rows]
    if weights is not None:
        _require_observations(observed, "has zero weights only; at least one of its observations needs a weight > 0")
    return X, observed, weights, rows


def class_weights(
    class_weight: Any,
    tasks: tuple[Task, ...],
    y: NDArray,
    task_of_row: NDArray | None,
    weights: NDArray | None,
) -> NDArray | None:
    """`weights` times the weight of each observation's class, in the layout of `y`.

    ``class_weight`` is None, "balanced" (n / (n_classes * n_of_class), counted with `weights`),
    {class: weight} or {task: either}.
    """
    if class_weight is None:
        return weights
    wanted = _class_weight_per_task(class_weight, tasks)
    if task_of_row is None:
        per_row = np.ones(len(y)) if weights is None else weights
        columns = np.array(np.broadcast_to(per_row.T, y.shape[::-1]).T)
        for t, task in enumerate(tasks):
            if wanted[t] is not None:
                rows = np.flatnonzero(~np.isnan(y[:, t]))
                codes = y[rows, t].astype(np.intp)
                columns[rows, t] *= _weight_of_class(wanted[t], task, codes, columns[rows, t])[codes]
        return columns
    result = np.ones(len(y)) if weights is None else weights.copy()
    order = np.argsort(task_of_row, kind="stable")
    bounds = np.searchsorted(task_of_row[order], np.arange(len(tasks) + 1))
    for t, task in enumerate(tasks):
        if wanted[t] is not None:
            rows = order[bounds[t] : bounds[t + 1]]
            codes = y[rows].astype(np.intp)
            result[rows] *= _weight_of_class(wanted[t], task, codes, result[rows])[codes]
    return result


def task_weights(
    task_weight: Any,
    tasks: tuple[Task, ...],
    y: NDArray,
    task_of_row: NDArray | None,
    weights: NDArray | None,
) -> NDArray | None:
    """Factor on every observation of a task: None, "balanced" (every task counts once) or {task: weight}."""
    if task_weight is None:
        return None
    names = [task.name for task in tasks]
    if isinstance(task_weight, Mapping):
        for name, weight in task_weight.items():
            if name not in names:
                raise ValueError(f"task_weight names the unknown task {name!r}; the tasks are {listed(names)}.")
            if not isinstance(weight, Real) or not 0 < float(weight) < np.inf:
                raise ValueError(f"task_weight[{name!r}] must be a finite number > 0, got {weight!r}.")
            if not _LEAST <= float(weight) <= _MOST:
                raise ValueError(f"task_weight[{name!r}] must lie between {_LEAST:g} and {_MOST:g}, got {weight!r}.")
        return np.array([float(task_weight.get(name, 1.0)) for name in names])
    if not isinstance(task_weight, str) or task_weight != "balanced":
        raise ValueError(
            f"task_weight must be None, 'balanced' or a dict such as {{'task': 2.0}}, got {task_weight!r}."
        )
    if task_of_row is not None:
        totals = np.bincount(task_of_row, weights, minlength=len(tasks)).astype(np.float64)
    else:
        seen = ~np.isnan(y)
        if weights is None:
            totals = seen.sum(axis=0).astype(np.float64)
        else:
            totals = weights @ seen if weights.ndim == 1 else np.where(seen, weights, 0.0).sum(axis=0)
    return totals.mean() / totals


def _as_numbers(weights: Any) -> NDArray:
    try:
        return np.asarray(weights, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"sample_weight must be numbers >= 0: {error}.") from None


def _refuse_bad_weights(weights: NDArray, whose: str = "", nan_allowed: bool = False) -> None:
    """ValueError for the first weight that is negative, infinite or (unless allowed) missing."""
    bad = (weights < 0) | np.isinf(weights)
    if not nan_allowed:
        bad |= np.isnan(weights)
    if bad.any():
        row = int(np.argmax(bad))
        raise ValueError(f"sample_weight{whose} must be finite numbers >= 0, got {weights[row]:.6g} in row {row}.")
    beyond = (weights > _MOST) | ((weights > 0) & (weights < _LEAST))
    if beyond.any():
        row = int(np.argmax(beyond))
        raise ValueError(
            f"sample_weight{whose} must be zero or lie between {_LEAST:g} and {_MOST:g}, since products of others "
            f"overflow, got {weights[row]:.6g} in row {row}; a factor on all weights changes nothing."
        )


def _require_observations(observed: Observed, otherwise: str) -> None:
    """ValueError that names the tasks without any observation."""
    if observed.task_of_row is not None:
        present = observed.task_of_row[~np.isnan(observed.values)]
        seen = np.bincount(present, minlength=len(observed.names)) > 0
    else:
        # A few rows show most tasks; only those that are not there are looked up in full.
        seen = ~np.isnan(observed.values[:64]).all(axis=0)
        unseen = np.flatnonzero(~seen)
        seen[unseen] = ~np.isnan(observed.values[:, unseen]).all(axis=0)
    if not seen.all():
        empty = [name for name, one in zip(observed.names, seen, strict=True) if not one]
        others = f" (and {len(empty) - 1} more: {listed(empty[1:])})" if len(empty) > 1 else ""
        raise ValueError(f"Task {empty[0]!r}{others} {otherwise}.")


def _class_weight_per_task(class_weight: Any, tasks: tuple[Task, ...]) -> list:
    """For every task None, "balanced" or {class: weight}."""
    is_class = [task.classes is not None for task in tasks]
    if isinstance(class_weight, str) and class_weight == "balanced":
        return ["balanced" if one else None for one in is_class]
    if not isinstance(class_weight, Mapping):
        raise ValueError(
            "class_weight must be None, 'balanced', a dict {class: weight} or a dict "
            "{task: either}, "
            f"got {class_weight!r}."
        )
    if not any(weight is None or isinstance(weight, (str, Mapping)) for weight in class_weight.values()):
        known = {label for task in tasks if task.classes is not None for label in task.classes.tolist()}
        _refuse_unknown_classes("class_weight", class_weight, known)
        return [class_weight if one else None for one in is_class]
    names = [task.name for task in tasks if task.classes is not None]
    for name, weight in class_weight.items():
        if name not in names:
            raise ValueError(
                f"class_weight names the unknown task {name!r}; the classification tasks are {listed(names)}."
            )
        if not (weight is None or weight == "balanced" or isinstance(weight, Mapping)):
            raise ValueError(
                f"class_weight[{name!r}] must be None, 'balanced' or a dict {{class: weight}}, got {weight!r}."
            )
    wanted = [class_weight.get(task.name) if one else None for task, one in zip(tasks, is_class, strict=True)]
    for task, weight in zip(tasks, wanted, strict=True):
        if isinstance(weight, Mapping) and task.classes is not None:
            _refuse_unknown_classes(f"class_weight[{task.name!r}]", weight, set(task.classes.tolist()))
    return wanted


def _refuse_unknown_classes(what: str, class_weight: Mapping, known: set) -> None:
    """As in scikit-learn, a class that merely does not occur in these rows is no error."""
    unknown = [label for label in class_weight if label not in known]
    if unknown and known - set(class_weight):
        raise ValueError(
            f"{what} names the unknown class {unknown[0]!r}; the classes are {listed(sorted(known, key=str))}."
        )


def _weight_of_class(wanted: Any, task: Task, codes: NDArray, weights: NDArray) -> NDArray:
    """Weight of every class of a task, shape (n_classes,)."""
    assert task.classes is not None
    if isinstance(wanted, str):
        totals = np.bincount(codes, weights, minlength=len(task.classes))
        return weights.sum() / (len(task.classes) * totals)
    result = np.array([wanted.get(label, 1.0) for label in task.classes.tolist()], dtype=np.float64)
    if not np.isfinite(result).all() or (result <= 0).any():
        raise ValueError(
            f"class_weight of task {task.name!r} must hold finite numbers > 0, got {dict(wanted)!r}; to leave a class "
            "out, leave out its rows."
        )
    if result.max() > _MOST or result.min() < _LEAST:
        raise ValueError(
            f"class_weight of task {task.name!r} must hold numbers between {_LEAST:g} and {_MOST:g}, "
            f"got {dict(wanted)!r}."
        )
    return result
