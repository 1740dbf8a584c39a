"""Where the intercepts of tasks may be tied to their mean (`alpha_intercept`), and why not elsewhere."""

from __future__ import annotations

from typing import Any

import numpy as np

from skmtl.solvers.build import seen_targets
from skmtl.tasks import Task, TaskData


def require_ties(data: TaskData, fit_intercept: bool, given: Any) -> None:
    """ValueError where intercepts cannot be tied."""
    reason = why_not_tied(data, fit_intercept)
    if reason is not None:
        raise ValueError(
            f"alpha_intercept={given!r} ties the intercepts of tasks of one kind and unit of which no row has two "
            f"targets, but {reason}. Use alpha_intercept=None."
        )


def can_tie(data: TaskData, fit_intercept: bool) -> bool:
    """Whether there are several intercepts that may be tied."""
    return len(data.tasks) > 1 and why_not_tied(data, fit_intercept) is None


def why_not_tied(data: TaskData, fit_intercept: bool) -> str | None:
    """What forbids to tie the intercepts; None where nothing does."""
    if not fit_intercept:
        return "fit_intercept=False leaves no intercepts"
    first = data.tasks[0]
    other = next((task for task in data.tasks if not are_alike(task, first)), None)
    if other is not None:
        return f"task {first.name!r} is {_described(first)} and task {other.name!r} is {_described(other)}"
    if first.n_outputs > 1:
        return f"task {first.name!r} has {first.n_outputs} classes, and an intercept for each"
    if data.task_of_row is not None:
        return None
    seen = seen_targets(data)
    doubled = np.flatnonzero(np.count_nonzero(seen, axis=1) > 1)
    if not len(doubled):
        return None
    one, two = np.flatnonzero(seen[doubled[0]])[:2]
    row = doubled[0] if data.rows is None else data.rows[doubled[0]]
    return f"row {row} has a target of task {data.tasks[one].name!r} and one of task {data.tasks[two].name!r}"


def require_same_kind(known: tuple[Task, ...], new: tuple[Task, ...]) -> None:
    """ValueError where a new task cannot have an intercept about the mean of those that are known."""
    for task in new:
        if not are_alike(task, known[0]):
            raise ValueError(
                f"Task {task.name!r} is {_described(task)}; the intercepts of the fitted tasks are tied "
                f"(alpha_intercept), and new tasks must be as they are: {_described(known[0])}."
            )


def are_alike(one: Task, other: Task) -> bool:
    """Whether two tasks are of one kind, with the same classes if any."""
    if one.kind != other.kind or (one.classes is None) != (other.classes is None):
        return False
    return one.classes is None or np.array_equal(one.classes, other.classes)  # type: ignore[arg-type]


def _described(task: Task) -> str:
    if task.classes is None:
        return {"count": "of counts"}.get(task.kind, "of numbers")
    return f"of the classes {task.classes.tolist()}"
