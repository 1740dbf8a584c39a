"""Which kind every task is, read off its targets or declared, and its targets encoded accordingly.

A kind is a property of the task: it is decided once, on all rows that were handed over (also those of weight zero),
and what is encoded, fitted and scored afterwards may be any part of them.
"""

from __future__ import annotations

import warnings
from collections.abc import Hashable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from skmtl.inputs.number_texts import MANY_NUMBERS
from skmtl.inputs.observed import Observed
from skmtl.inputs.statistics import (
    Statistics,
    as_one_column,
    column_statistics,
    extremes,
    n_distinct,
    row_statistics,
)
from skmtl.targets import listed
from skmtl.tasks import KINDS, Task

#: Integers with at most this many distinct values might well be classes: say how to declare them.
FEW_DISTINCT = 10


@dataclass(frozen=True)
class TargetRules:
    """What an estimator accepts as targets.

    Attributes
    ----------
    estimator : str
        Its name in errors.
    accepts : {"numbers", "classes", "any"}
    number_kind : {"regression", "count"}
        Kind of a numeric task where `accepts` is "numbers".
    kinds : dict of {task: kind}, one kind for all tasks, or None
        Declared by the user; overrides what is read off the targets.
    needs_classes : bool
        Whether zeros alone, or ones alone, are one class and hence an error; else they are a constant number.
    """

    estimator: str
    accepts: str
    number_kind: str = "regression"
    kinds: Mapping[Hashable, str] | str | None = None
    needs_classes: bool = True

    def others(self, *estimators: str) -> str:
        """Estimators that take other targets, as advice: the tuned ones of a tuned one, a layer where there is one."""
        family = "SharedLayer" if self.estimator.startswith("SharedLayer") else "LowRank"
        tuned = "CV" if self.estimator.endswith("CV") else ""
        return " or ".join(family + name + tuned for name in estimators)


def encode(observed: Observed, kinds: list[str], rules: TargetRules) -> tuple[tuple[Task, ...], NDArray]:
    """Tasks with their kinds, and targets as numbers or class codes 0 .. n_classes - 1.

    Parameters
    ----------
    observed : Observed
        Every task has at least one target.
    kinds : list of str, length n_tasks
        What `decide_kinds` found on all rows.
    rules : TargetRules

    Returns
    -------
    tasks : tuple of Task
    y : float64 ndarray, in the layout of ``observed.values``
        The very same array where nothing had to be encoded.

    Raises
    ------
    ValueError
        Naming the task whose targets do not fit its kind or the estimator.
    """
    declared = declared_kinds(rules.kinds, observed.names)
    values = _counts_checked(_labels_as_numbers(observed, kinds), kinds)
    is_class = np.array([kind == "classes" for kind in kinds])
    if not is_class.any():
        return tuple(map(Task, observed.names, kinds)), values.values
    if observed.task_of_row is None:
        classes, y = _encode_columns(values, is_class)
    else:
        classes, y = _encode_rows(values, is_class)
    tasks = []
    for t, (name, kind) in enumerate(zip(observed.names, kinds, strict=True)):
        if kind != "classes":
            tasks.append(Task(name, kind))
            continue
        _check_n_classes(name, classes[t], declared.get(name), rules)
        tasks.append(Task(name, "binary" if len(classes[t]) == 2 else "multiclass", classes[t]))
    return tuple(tasks), y


def declared_kinds(
    kinds: Mapping[Hashable, str] | str | None, names: tuple[Hashable, ...] | list[Hashable]
) -> dict[Hashable, str]:
    """{task: kind} of the tasks whose kind was declared, one by one or all by one string.

    Raises
    ------
    ValueError
        Unless every declared task exists and its kind is one of `KINDS`.
    """
    if kinds is None:
        return {}
    if isinstance(kinds, str):
        if kinds not in KINDS:
            raise ValueError(f"kinds must be one of {list(KINDS)}, or a dict of them by task, got {kinds!r}.")
        return dict.fromkeys(names, kinds)
    if not isinstance(kinds, Mapping):
        raise ValueError(
            f"kinds must be a dict such as {{'task': 'binary'}}, one kind for all tasks or None, got {kinds!r}."
        )
    for name, kind in kinds.items():
        if name not in names:
            raise ValueError(f"kinds names the unknown task {name!r}; the tasks are {listed(names)}.")
        if kind not in KINDS:
            raise ValueError(f"kinds[{name!r}] must be one of {list(KINDS)}, got {kind!r}.")
    return dict(kinds)


def decide_kinds(observed: Observed, rules: TargetRules) -> list[str]:
    """Per task "regression", "count" or "classes" (how many is not yet known).

    Parameters
    ----------
    observed : Observed
        All rows: a subset of them may look like another kind.
    rules : TargetRules

    Raises
    ------
    ValueError
        Naming the task whose targets do not fit the estimator or what was declared.
    """
    if observed.whole is not None:
        return decide_kinds(observed.whole, rules)
    declared = declared_kinds(rules.kinds, observed.names)
    if rules.accepts == "numbers":
        _refuse_labels(observed, rules)
        return [rules.number_kind] * len(observed.names)
    _refuse_number_texts(observed, declared, rules)
    numbers = np.array([labels is None for labels in observed.labels])
    open_ = numbers & np.array([name not in declared for name in observed.names])
    if rules.accepts == "classes":
        _refuse_fractions(observed, open_, rules)
        return ["classes"] * len(observed.names)
    looks = _looks_like_classes(observed, open_, rules.needs_classes)
    kinds = []
    for t, name in enumerate(observed.names):
        kind = declared.get(name)
        if kind in ("regression", "count"):
            labels = observed.labels[t]
            if labels is not None and labels.dtype.kind not in "biuf" and t not in observed.long_integers:
                raise ValueError(
                    f"Task {name!r} is declared {kind!r} but holds {_example(labels)}; a {kind} task needs numbers."
                )
            kinds.append(kind)
        else:
            kinds.append("classes" if name in declared or looks[t] else "regression")
    return kinds


def _looks_like_classes(observed: Observed, open_: NDArray, needs_classes: bool) -> NDArray:
    """Which tasks are classes by their targets; of numbers without labels only those in `open_` are looked at.

    Two distinct whole numbers are classes, two fractions are not. Zeros alone, or ones alone, are one class: to
    learn them as a number would be to hide that the other one is missing.
    """
    looks = np.array([labels is not None for labels in observed.labels])
    few: list[int] = []
    for t in observed.long_integers:
        labels = observed.labels[t]
        assert labels is not None
        looks[t] = len(labels) == 2
        few += [t] if 2 < len(labels) <= FEW_DISTINCT else []
    if open_.any():
        if observed.one_column:
            column = as_one_column(observed)
            one = column_statistics(column, np.array([True]))
            found = one.spread(len(open_))
            suspects = np.flatnonzero(one.more_than_two & ~one.fractional)
            if len(suspects) and n_distinct(column, suspects, FEW_DISTINCT + 1)[0] <= FEW_DISTINCT:
                few += np.flatnonzero(open_).tolist()
        else:
            found = _statistics_of_tasks(observed, open_)
            suspects = np.flatnonzero(found.more_than_two & ~found.fractional)
            few += suspects[n_distinct(observed, suspects, FEW_DISTINCT + 1) <= FEW_DISTINCT].tolist()
        two = found.differ & ~found.more_than_two & ~found.fractional
        one_of_two = ~found.differ & np.isin(found.low, (0.0, 1.0))
        looks |= open_ & (two | (one_of_two & needs_classes))
    if few:
        _warn_of_few_integers(observed, sorted(few))
    return looks


def _statistics_of_tasks(observed: Observed, asked: NDArray) -> Statistics:
    return (column_statistics if observed.task_of_row is None else row_statistics)(observed, asked)


def _refuse_labels(observed: Observed, rules: TargetRules) -> None:
    for t, (name, labels) in enumerate(zip(observed.names, observed.labels, strict=True)):
        if labels is not None and labels.dtype.kind != "b" and t not in observed.long_integers:
            advice = f"For classes use {rules.others('Classifier', 'MultiTask')}."
            if t in observed.number_texts:
                advice = "Convert them with pandas.to_numeric or .astype(float)."
            raise ValueError(
                f"Task {name!r} holds {_example(labels)}; {rules.estimator} accepts numbers only. {advice}"
            )


def _refuse_number_texts(observed: Observed, declared: Mapping[Hashable, str], rules: TargetRules) -> None:
    for t, text in observed.number_texts.items():
        name = observed.names[t]
        if name in declared:
            continue
        if rules.accepts == "classes":
            classes = "if they are classes, give a pandas column of dtype 'category'"
        else:
            declaration = "'multiclass'" if observed.one_column else f"{{{name!r}: 'multiclass'}}"
            classes = f"if they are classes, declare kinds={declaration}"
        raise ValueError(
            f"Task {name!r} holds numbers written as text (for example {text!r}), more than {MANY_NUMBERS} different "
            f"ones: convert them with pandas.to_numeric or .astype(float); {classes}."
        )


def _refuse_fractions(observed: Observed, open_: NDArray, rules: TargetRules) -> None:
    if not open_.any():
        return
    found = _statistics_of_tasks(observed, open_)
    if not found.fractional.any():
        return
    t = int(np.argmax(found.fractional))
    raise ValueError(
        f"Unknown label type: task {observed.names[t]!r} holds continuous numbers (for example "
        f"{found.fraction[t]:.6g}); {rules.estimator} expects classes. For numbers use "
        f"{rules.others('Regressor', 'MultiTask')}."
    )


def _warn_of_few_integers(observed: Observed, tasks: list[int]) -> None:
    few = [observed.names[t] for t in tasks]
    classes, numbers = f"{{{few[0]!r}: 'multiclass'}}", f"{{{few[0]!r}: 'regression'}}"
    if observed.one_column:
        classes, numbers = "'multiclass'", "'regression'"
    warnings.warn(
        f"Tasks {listed(few)} hold whole numbers with at most {FEW_DISTINCT} distinct values and are "
        f"learned as regression. If they are classes, declare kinds={classes}; to "
        f"keep them as they are without this warning, kinds={numbers}.",
        UserWarning,
        stacklevel=2,
    )


def _check_n_classes(name: Hashable, classes: NDArray, declared: str | None, rules: TargetRules) -> None:
    if len(classes) < 2:
        (only,) = classes.tolist()
        advice = ""
        if rules.accepts == "any" and declared is None and classes.dtype.kind in "iuf":
            advice = f" Leave it out, or declare kinds={{{name!r}: 'regression'}} if it is a number."
        raise ValueError(
            f"Task {name!r} has one class only ({only!r}); {rules.estimator} needs at least two "
            f"classes in every classification task.{advice}"
        )
    if declared == "binary" and len(classes) > 2:
        raise ValueError(
            f"Task {name!r} is declared 'binary' but has {len(classes)} classes: {listed(classes.tolist())}."
        )


def _labels_as_numbers(observed: Observed, kinds: list[str]) -> Observed:
    """Numeric tasks whose targets came as labels (booleans, numeric categories) get the labels' numbers."""
    number_of_label = {
        t: labels.astype(np.float64)
        for t, (kind, labels) in enumerate(zip(kinds, observed.labels, strict=True))
        if kind != "classes" and labels is not None
    }
    if not number_of_label:
        return observed
    observed = observed.writable()
    if observed.task_of_row is None:
        for t, numbers in number_of_label.items():
            rows = observed.rows_of(t)
            observed.values[rows, t] = numbers[observed.values[rows, t].astype(np.intp)]
        return observed
    # One table of all tasks' labels, in which every task's codes start at its own offset.
    numbers = np.concatenate(list(number_of_label.values()))
    offset = np.full(len(kinds), -1)
    offset[list(number_of_label)] = np.cumsum([0, *map(len, number_of_label.values())])[:-1]
    rows = np.flatnonzero(offset[observed.tasks_by_row] >= 0)
    codes = observed.values[rows].astype(np.intp)
    observed.values[rows] = numbers[offset[observed.tasks_by_row[rows]] + codes]
    return observed


def _counts_checked(observed: Observed, kinds: list[str]) -> Observed:
    """The same; ValueError where a count task has a negative target or nothing but zeros."""
    tasks = np.flatnonzero([kind == "count" for kind in kinds])
    if not len(tasks):
        return observed
    low, high = extremes(observed, tasks)
    if (low < 0).any():
        t = int(np.argmax(low < 0))
        raise ValueError(
            f"Task {observed.names[tasks[t]]!r} is a count task but holds the negative target "
            f"{low[t]:.6g}; counts are >= 0."
        )
    if (high == 0).any():
        t = int(np.argmax(high == 0))
        raise ValueError(
            f"Task {observed.names[tasks[t]]!r} is a count task but all its targets are zero; a "
            "count task needs at least one positive target."
        )
    return observed


def _encode_columns(observed: Observed, is_class: NDArray) -> tuple[dict[int, NDArray], NDArray]:
    """Classes per classification task, and the matrix with codes in their columns."""
    classes = {}
    for t in np.flatnonzero(is_class).tolist():
        column = observed.values[:, t]
        rows = observed.rows_of(t)
        targets = column if len(rows) == len(column) else column[rows]
        low, high = targets.min(), targets.max()
        codes: NDArray
        if np.all((targets == low) | (targets == high)):  # two classes need no sorting
            numbers = np.array([low, high] if low < high else [low])
            codes = (targets == high) & (low < high)
        else:
            numbers, codes = np.unique(targets, return_inverse=True)
        classes[t] = _class_labels(observed, t, numbers)
        if not np.array_equal(numbers, np.arange(len(numbers))):
            observed = observed.writable()
            observed.values[rows, t] = codes
    return classes, observed.values


def _encode_rows(observed: Observed, is_class: NDArray) -> tuple[dict[int, NDArray], NDArray]:
    """Classes per classification task, and labelled rows with codes; nothing is sorted per task."""
    rows = np.flatnonzero(is_class[observed.tasks_by_row])
    task = observed.tasks_by_row[rows]
    numbers, position = np.unique(observed.values[rows], return_inverse=True)
    # One integer per (task, number): the distinct ones, sorted, are every task's classes in a row.
    pairs, pair = np.unique(task * len(numbers) + position.reshape(-1), return_inverse=True)
    bounds = np.searchsorted(pairs, np.arange(len(is_class) + 1) * len(numbers))
    y = observed.values.copy()
    y[rows] = pair.reshape(-1) - bounds[task]
    number_of_pair = numbers[pairs % len(numbers)]
    classes = {
        t: _class_labels(observed, t, number_of_pair[bounds[t] : bounds[t + 1]])
        for t in np.flatnonzero(is_class).tolist()
    }
    return classes, y


def _class_labels(observed: Observed, task: int, numbers: NDArray) -> NDArray:
    """What the user called the classes that `numbers` stand for."""
    labels = observed.labels[task]
    return numbers.astype(observed.dtypes[task]) if labels is None else labels[numbers.astype(np.intp)]


def _example(labels: NDArray) -> str:
    label = labels.tolist()[0]  # a Python object: NumPy's repr would say np.str_('no')
    given = "strings" if isinstance(label, str) else f"labels of type {type(label).__name__}"
    return f"{given} (for example {label!r})"
