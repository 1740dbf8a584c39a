"""One model on one fold: fitted on the training part, its answers for every task on the test part."""

from __future__ import annotations

import warnings
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import get_tags

from skmtl.model_selection import stack_tasks
from skmtl.scoring import ask_scorer, takes_weights
from skmtl.single_task import Responses, SingleTask, fit_weighted, task_classes
from skmtl.target_columns import natural_dtype
from skmtl.targets import TaskTargets, take_rows
from skmtl.transfer.counterparts import Opponent, with_kinds
from skmtl.transfer.folds import Fold
from skmtl.transfer.progress import errors_named
from skmtl.transfer.task_table import TaskTable

#: Groups that the test rows of a fold are dealt into, to see how a score of the user's varies.
N_GROUPS = 10
#: Name of the one task that a pooled clone is given.
_POOLED = "all tasks"


@dataclass(frozen=True)
class Answers:
    """What one model said of one task on the test part of one fold.

    Attributes
    ----------
    predicted : ndarray of shape (n_test,), or None
        Numbers, or labels.
    probabilities : ndarray of shape (n_test, n_classes), or None
        In the order of the task's classes.
    score : float
        Of a metric of the user's choice; NaN where it is undefined.
    without_group : ndarray of shape (N_GROUPS,), or None
        That score when a group of test rows is left out.
    """

    predicted: NDArray | None = None
    probabilities: NDArray | None = None
    score: float = float("nan")
    without_group: NDArray | None = None


@dataclass(frozen=True)
class FoldResult:
    """Answers of one model on one fold: {position of task: Answers}, and the warnings of its fits."""

    answers: dict[int, Answers]
    warnings: list[tuple[type[Warning], str]] = field(default_factory=list)


def answer_fold(
    model: Opponent, table: TaskTable, labels: Sequence[NDArray], fold: Fold, scoring: Mapping[Hashable, Any]
) -> FoldResult:
    """Fit a model on the training labels of a fold and ask it every task with a label in the test part.

    Parameters
    ----------
    model : Opponent
    table : TaskTable
    labels : sequence of intp ndarray, length n_tasks
        Rows of the training labels of every task.
    fold : pair of intp ndarray
        Train, test.
    scoring : mapping {task: metric}
        Tasks with a metric of the user's choice.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        in_test = np.zeros(table.n_rows, dtype=bool)
        in_test[fold[1]] = True
        asked = {t: rows[in_test[rows]] for t, rows in enumerate(table.rows) if len(labels[t]) and in_test[rows].any()}
        if not asked:
            return FoldResult({})
        is_one = sum(len(rows) > 0 for rows in labels) == 1
        estimator = model.of_one if is_one and model.of_one is not None else model.estimator
        fitted = _FITS[model.how](estimator, table, labels, fold[1], asked)
        answers = {t: _answer(one, table, t, scoring) for t, one in fitted.items()}
    return FoldResult(answers, [(one.category, str(one.message)) for one in caught])


@dataclass(frozen=True)
class _Asked:
    """A task of a fitted model: the responses, by which name, and which rows of the X asked have a target."""

    responses: Responses
    name: Hashable
    rows: NDArray
    truth_rows: NDArray


def _fit_jointly(estimator: Any, table: TaskTable, labels: Sequence[NDArray], test: NDArray, asked: dict) -> dict:
    learned = [t for t, rows in enumerate(labels) if len(rows)]
    # An array that lacks the columns of the others numbers its columns anew.
    names = {t: i if table.form == "array" else table.tasks[t].name for i, t in enumerate(learned)}
    taught = with_kinds(estimator, table, [table.tasks[t] for t in learned])
    fitted = fit_weighted(taught, *table.labelled(labels), table.sample_weight(labels))
    if table.form != "own":
        if table.form == "long" and len(learned) < len(labels):  # which has no rows to ask others on
            test = np.intersect1d(test, np.concatenate(list(asked.values())))
        responses = Responses(fitted, table.part(test)[0])
        return {t: _Asked(responses, names[t], np.searchsorted(test, rows), rows) for t, rows in asked.items()}
    needed = np.sort(np.concatenate(list(asked.values())))
    responses = Responses(fitted, table.part(needed)[0])
    return {t: _Asked(responses, names[t], np.arange(len(rows)), rows) for t, rows in asked.items()}


def _fit_alone(estimator: Any, table: TaskTable, labels: Sequence[NDArray], test: NDArray, asked: dict) -> dict:
    answers = {}
    for t, rows in asked.items():
        X, y = table.alone(t, labels[t])
        with errors_named(f"task {table.tasks[t].name!r} alone"):
            taught = with_kinds(estimator, table, [table.tasks[t]])
            weights = table.weights_of(t, labels[t])
            if weights is not None and table.form == "own":
                weights = {table.tasks[t].name: weights}
            fitted = fit_weighted(taught, X, _as_taken(estimator, y), weights)
        name = 0 if table.form == "array" else table.tasks[t].name
        answers[t] = _Asked(Responses(fitted, table.part(rows)[0]), name, np.arange(len(rows)), rows)
    return answers


def _fit_pooled(estimator: Any, table: TaskTable, labels: Sequence[NDArray], test: NDArray, asked: dict) -> dict:
    """One clone on the rows of all tasks; numbers are brought to mean 0 and deviation 1 in every task first."""
    level, spread = np.zeros(len(table.tasks)), np.ones(len(table.tasks))
    columns = []
    weights = [table.weights_of(t, rows) for t, rows in enumerate(labels)]
    for t, rows in enumerate(labels):
        y = table.targets[t][np.searchsorted(table.rows[t], rows)]
        if table.tasks[t].classes is None and len(y):
            level[t], spread[t] = np.average(y, weights=weights[t]), deviation(y, weights[t]) or 1.0
            y = (y - level[t]) / spread[t]
        columns.append(y)
    y = np.concatenate(columns)
    classes = table.tasks[0].classes
    y = y if classes is None else classes[y.astype(np.intp)]
    X = take_rows(_one_table(table), np.concatenate(list(labels)))
    name: Hashable = 0 if table.form == "array" else _POOLED
    taught = with_kinds(estimator, table, [replace(table.tasks[0], name=name)])
    given = _as_taken(estimator, y) if table.form == "array" else TaskTargets({name: y})
    fitted = fit_weighted(taught, X, given, None if table.weights is None else np.concatenate(weights))
    answers = {}
    for t, rows in asked.items():
        model = fitted if classes is not None else _Rescaled(fitted, name, level[t], spread[t])
        responses = Responses(model, take_rows(_one_table(table), rows))
        answers[t] = _Asked(responses, name, np.arange(len(rows)), rows)
    return answers


class _Rescaled:
    """A pooled model of numbers, answering in the units of one task."""

    def __init__(self, fitted: Any, name: Hashable, level: float, spread: float) -> None:
        self.fitted, self.name, self.level, self.spread = fitted, name, level, spread

    def predict(self, X: Any) -> dict[Hashable, NDArray]:
        standard = Responses(self.fitted, X).of_task(self.name, "predict")
        return {self.name: self.level + self.spread * standard.astype(np.float64).reshape(-1)}


_FITS = {"jointly": _fit_jointly, "alone": _fit_alone, "pooled": _fit_pooled}


def _answer(asked: _Asked, table: TaskTable, t: int, scoring: Mapping[Hashable, Any]) -> Answers:
    task, responses = table.tasks[t], asked.responses
    if task.name in scoring:
        return _scored(asked, table, t, scoring[task.name])
    predicted = responses.of_task(asked.name, "predict")[asked.rows].reshape(len(asked.rows))
    probabilities = None
    if task.classes is not None and hasattr(responses.estimator, "predict_proba"):
        given = responses.of_task(asked.name, "predict_proba")[asked.rows]
        probabilities = np.zeros((len(asked.rows), len(task.classes)))
        seen = task_classes(responses.estimator, asked.name)
        order = {label: c for c, label in enumerate(task.classes.tolist())}
        columns = [order[label] for label in np.asarray(task.classes if seen is None else seen).tolist()]
        probabilities[:, columns] = given
    return Answers(predicted, probabilities)


def _scored(asked: _Asked, table: TaskTable, t: int, metric: Any) -> Answers:
    """The score of a metric of the user's, and the same without each of a few groups of rows."""
    y_true = true_values(table, t, asked.truth_rows)
    X = take_rows(_one_table(table), asked.truth_rows)
    weights = table.weights_of(t, asked.truth_rows) if takes_weights(metric) else None

    def score(kept: NDArray) -> float:
        X_kept = take_rows(X, kept)
        one = SingleTask(asked.responses, asked.name, X_kept, asked.rows[kept])
        params = {} if weights is None else {"sample_weight": weights[kept]}
        try:
            return ask_scorer(metric, one, y_true[kept], **params)
        except ValueError:
            if len(np.unique(y_true[kept])) < 2:  # of one class some metrics are undefined
                return float("nan")
            raise

    group = asked.truth_rows % N_GROUPS
    everyone = np.arange(len(y_true))
    whole = score(everyone)
    if np.isnan(whole):
        return Answers()
    without = np.full(N_GROUPS, np.nan)
    for g in np.unique(group):
        kept = np.flatnonzero(group != g)
        if len(kept):
            without[g] = score(kept)
    return Answers(score=whole, without_group=without)


def deviation(y: NDArray, weights: NDArray | None) -> float:
    """Root of the mean square of y's distances from its mean; exactly zero where y is constant."""
    if not len(y) or y.min() == y.max():
        return 0.0
    return float(np.sqrt(np.average((y - np.average(y, weights=weights)) ** 2, weights=weights)))


def true_values(table: TaskTable, t: int, rows: NDArray) -> NDArray:
    """Targets of a task on some of its rows: numbers, or labels."""
    values = table.targets[t][np.searchsorted(table.rows[t], rows)]
    classes = table.tasks[t].classes
    return values if classes is None else natural_dtype(classes[values.astype(np.intp)])


def _one_table(table: TaskTable) -> Any:
    """X with a row for every position: own rows stacked in the order of the tasks."""
    if table.form != "own":
        return table.X
    return stack_tasks(table.X, {name: np.zeros(len(column)) for name, column in table.y.items()})[0]


def _as_taken(estimator: Any, y: Any) -> Any:
    """One array column in the shape that the estimator takes: (n, 1) for those of several outputs only."""
    if isinstance(y, Mapping):
        return y
    y = np.asarray(y)
    return y.reshape(len(y), -1)[:, 0] if get_tags(estimator).target_tags.single_output else y.reshape(len(y), -1)
