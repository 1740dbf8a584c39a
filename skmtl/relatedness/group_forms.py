"""Parts of the tasks in each of the four input forms, and answers of several models as one."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skmtl.inputs import Form
from skmtl.inputs.features import is_dict_of_tables, task_labels
from skmtl.inputs.forms import named_columns, spread_classes
from skmtl.single_task import last_step
from skmtl.target_columns import common_dtype
from skmtl.targets import TaskTargets, is_named, take_rows
from skmtl.tasks import Task

#: (model, positions of its tasks, what it answers, rows it answers for or None for all).
Answer = tuple[Any, list[int], Any, NDArray | None]


def part_of_training(
    form: Form, X: Any, y: Any, sample_weight: Any, names: list[Hashable], positions: list[int]
) -> tuple[Any, Any, Any]:
    """X, y and weights of some tasks, in the form in which all were handed over."""
    if form.long:
        rows = _rows_of(X, form.task_col, names)  # type: ignore[attr-defined]
        weight = None if sample_weight is None else take_rows(sample_weight, rows)
        return take_rows(X, rows), take_rows(y, rows), weight
    if is_dict_of_tables(X):
        weight = None if sample_weight is None else {name: sample_weight[name] for name in names}
        return {name: X[name] for name in names}, {name: y[name] for name in names}, weight
    if form.named:
        columns = named_columns(y)
        part = {name: columns[name] for name in names}
        targets = y.remembering(part) if isinstance(y, TaskTargets) else TaskTargets(part)
        return X, targets, _weights(sample_weight, names, positions)
    if form.flat:
        return X, y, sample_weight
    array = y.to_numpy() if hasattr(y, "to_numpy") else np.asarray(y)
    return X, array[:, positions], _weights(sample_weight, names, positions)


def with_kind(estimator: Any, form: Form, tasks: tuple[Task, ...]) -> Any:
    """The estimator, told the kind of the whole column in the long form: rows of a group might look like another."""
    inside = last_step(estimator)
    kinds = {task.kind for task in tasks}
    if form.long and getattr(inside, "kinds", "") is None and kinds in ({"regression"}, {"count"}):
        inside.set_params(kinds=tasks[0].kind)
    return estimator


def _weights(sample_weight: Any, names: list[Hashable], positions: list[int]) -> Any:
    """Weights per row as they are, weights per row and task of some tasks."""
    if is_named(sample_weight):
        columns = named_columns(sample_weight)
        return TaskTargets({name: columns[name] for name in names})
    if sample_weight is None or np.ndim(sample_weight) < 2:
        return sample_weight
    return np.asarray(sample_weight)[:, positions]


def part_of_query(form: Form, X: Any, names: list[Hashable], known: list[Hashable]) -> tuple[Any, NDArray | None]:
    """What of X to ask the model of some tasks, and which rows that is; (None, None) for nothing.

    Labels of tasks that were not in fit go to the first model, which answers or refuses.
    """
    if form.long:
        labels = task_labels(X, form.task_col)  # type: ignore[attr-defined]
        wanted = np.isin(labels, np.array(names))
        if names[0] == known[0]:
            wanted |= ~np.isin(labels, np.array(known))
        rows = np.flatnonzero(wanted)
        return (take_rows(X, rows), rows) if len(rows) else (None, None)
    if is_dict_of_tables(X):
        first = names[0] == known[0]
        part = {name: table for name, table in X.items() if name in names or (first and name not in known)}
        return (part, None) if part else (None, None)
    return X, None


def _rows_of(X: Any, task_col: Any, names: list[Hashable]) -> NDArray:
    return np.flatnonzero(np.isin(task_labels(X, task_col), np.array(names)))


def gather_answers(grouped: Any, answers: list[Answer], method: str) -> Any:
    """Answers of the groups' models in the form of the fit."""
    form = grouped._form
    if form.long:
        return _gather_rows(grouped, answers, method)
    if form.named:
        parts = {name: column for _, _, answer, _ in answers for name, column in answer.items()}
        ordered = {name: parts[name] for name in grouped.tasks_ if name in parts}
        return TaskTargets(ordered) if all(isinstance(answer, TaskTargets) for _, _, answer, _ in answers) else ordered
    if form.flat:
        return answers[0][2]
    columns: dict[int, NDArray] = {}
    for _, members, answer, _ in answers:
        if isinstance(answer, list):
            members = [t for t in members if grouped._tasks[t].classes is not None]
            columns.update(zip(members, answer))
        else:
            columns.update({t: np.asarray(answer)[:, i] for i, t in enumerate(members)})
    ordered_columns = [columns[t] for t in sorted(columns)]
    if method != "predict":
        return ordered_columns
    dtype = common_dtype(ordered_columns)
    return np.stack([column.astype(dtype, copy=False) for column in ordered_columns], axis=1)


def _gather_rows(grouped: Any, answers: list[Answer], method: str) -> NDArray:
    """Long form: every row answered by its own model; probabilities and decisions in the columns of all classes."""
    blocks = [np.asarray(answer) for _, _, answer, _ in answers]
    if method != "predict":
        blocks = [
            spread_classes(block, last_step(one).classes_, grouped.classes_, method)
            for block, (one, *_) in zip(blocks, answers)
        ]
    dtype = common_dtype(blocks)
    n_rows = sum(len(block) for block in blocks)
    result = np.empty((n_rows, *blocks[0].shape[1:]), dtype=dtype)
    for block, (_, _, _, rows) in zip(blocks, answers):
        result[rows] = block
    return result
