"""One table: what is wrong, and the message that says so. Nothing is modified, nothing is half-fitted."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse

from skmtl import LowRankClassifier, LowRankMultiTask, LowRankRegressor, TaskTargets

X = np.random.RandomState(0).randn(8, 3)
NUMBERS = np.array([0.3, -0.2, 1.7, 0.9, -1.1, 0.4, 0.8, 2.5])
LABELS = np.array(["no", "yes", "no", "no", "yes", "yes", "no", "yes"])
Y = {"size": NUMBERS, "ripe": LABELS}
GAPS = np.full(8, np.nan)
LONG = pd.DataFrame(X, columns=["x", "y", "z"]).assign(school=["u", "v"] * 4)


def put(values, position, value):
    values = np.array(values)
    values[position] = value
    return values


def frame(names):
    return pd.DataFrame(X, columns=names)


#: name: (estimator, X, y, sample_weight, message)
# fmt: off
BAD_FITS = {
    # kinds
    "unknown task in kinds": (
        LowRankMultiTask(kinds={"colour": "binary"}), X, Y, None,
        "kinds names the unknown task 'colour'; the tasks are ['size', 'ripe'].",
    ),
    "unknown kind": (
        LowRankMultiTask(kinds={"size": "ordinal"}), X, Y, None,
        "kinds['size'] must be one of ['regression', 'binary', 'multiclass', 'count'], got 'ordinal'.",
    ),
    "kinds is no dict": (
        LowRankMultiTask(kinds=["binary"]), X, Y, None,
        "kinds must be a dict such as {'task': 'binary'}, one kind for all tasks or None, got ['binary'].",
    ),
    "one kind for all tasks that is none": (
        LowRankMultiTask(kinds="ordinal"), X, Y, None,
        "kinds must be one of ['regression', 'binary', 'multiclass', 'count'], or a dict of them by task, got "
        "'ordinal'.",
    ),
    "one kind for all tasks that does not fit one of them": (
        LowRankMultiTask(kinds="count"), X, Y, None,
        "Task 'ripe' is declared 'count' but holds strings (for example 'no'); a count task needs numbers.",
    ),
    "ones only": (
        LowRankMultiTask(), X, {"size": NUMBERS, "sold": np.ones(8)}, None,
        "Task 'sold' has one class only (1.0); LowRankMultiTask needs at least two classes in every classification "
        "task. Leave it out, or declare kinds={'sold': 'regression'} if it is a number.",
    ),
    "three classes declared binary": (
        LowRankMultiTask(kinds={"kind": "binary"}), X, {"size": NUMBERS, "kind": list("abcabcab")}, None,
        "Task 'kind' is declared 'binary' but has 3 classes: ['a', 'b', 'c'].",
    ),
    "strings declared as regression": (
        LowRankMultiTask(kinds={"ripe": "regression"}), X, Y, None,
        "Task 'ripe' is declared 'regression' but holds strings (for example 'no'); a regression task "
        "needs numbers.",
    ),
    # targets
    "a task without a target": (
        LowRankMultiTask(), X, {"size": NUMBERS, "weight": GAPS}, None,
        "Task 'weight' has no target at all: every value is missing.",
    ),
    "two tasks without a target": (
        LowRankMultiTask(), X, {"size": NUMBERS, "weight": GAPS, "taste": [None] * 8}, None,
        "Task 'weight' (and 1 more: ['taste']) has no target at all: every value is missing.",
    ),
    "an own-rows task without a target": (
        LowRankRegressor(), {"a": X, "b": X}, {"a": NUMBERS, "b": GAPS}, None,
        "Task 'b' has no target at all: every value is missing.",
    ),
    "one class only": (
        LowRankMultiTask(), X, {"size": NUMBERS, "ripe": ["yes"] * 8}, None,
        "Task 'ripe' has one class only ('yes'); LowRankMultiTask needs at least two classes in every "
        "classification task.",
    ),
    "one class only in one of the schools": (
        LowRankClassifier(task_col="school"), LONG, np.array([0, 1, 1, 1, 0, 1, 1, 1]), None,
        "Task 'v' has one class only (1); LowRankClassifier needs at least two classes in every "
        "classification task.",
    ),
    "a classification task of one row": (
        LowRankClassifier(), {"a": X, "b": X[:1]}, {"a": LABELS, "b": LABELS[:1]}, None,
        "Task 'b' has one class only ('no'); LowRankClassifier needs at least two classes in every "
        "classification task.",
    ),
    "infinite target": (
        LowRankRegressor(), X, {"size": NUMBERS, "weight": put(NUMBERS, 3, np.inf)}, None,
        "The targets of task 'weight' contain infinity; a target is a finite number, or NaN where it is"
        " missing.",
    ),
    "infinite target in an array": (
        LowRankRegressor(), X, np.column_stack([NUMBERS, put(NUMBERS, 3, -np.inf)]), None,
        "The targets of task 1 contain infinity; a target is a finite number, or NaN where it is "
        "missing.",
    ),
    "infinite target in the long form": (
        LowRankRegressor(task_col="school"), LONG, put(NUMBERS, 3, np.inf), None,
        "The targets of task 'v' contain infinity; a target is a finite number, or NaN where it is "
        "missing.",
    ),
    "strings in a regressor": (
        LowRankRegressor(), X, Y, None,
        "Task 'ripe' holds strings (for example 'no'); LowRankRegressor accepts numbers only. For "
        "classes use LowRankClassifier or LowRankMultiTask.",
    ),
    "floats in a classifier": (
        LowRankClassifier(), X, Y, None,
        "Unknown label type: task 'size' holds continuous numbers (for example 0.3); LowRankClassifier "
        "expects classes. For numbers use LowRankRegressor or LowRankMultiTask.",
    ),
    "strings beside numbers": (
        LowRankMultiTask(), X, {"size": [1.5, "two", 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]}, None,
        "The targets of task 'size' mix types that cannot be ordered (float, str); give all numbers, or"
        " all strings.",
    ),
    "dates": (
        LowRankRegressor(), X, {"day": np.arange(8).astype("M8[s]")}, None,
        "The targets of task 'day' are dates or durations (datetime64[s]); give numbers (for example "
        "days since a date) or class labels.",
    ),
    "negative counts": (
        LowRankMultiTask(kinds={"visits": "count"}), X, {"visits": [0, 1, 3, -2, 4, 0, 1, 1]}, None,
        "Task 'visits' is a count task but holds the negative target -2; counts are >= 0.",
    ),
    "negative counts with loss poisson": (
        LowRankRegressor(loss="poisson"), {"a": X, "b": X}, {"a": np.abs(NUMBERS), "b": NUMBERS}, None,
        "Task 'b' is a count task but holds the negative target -1.1; counts are >= 0.",
    ),
    "no counts at all": (
        LowRankRegressor(loss="poisson"), X, {"visits": np.zeros(8)}, None,
        "Task 'visits' is a count task but all its targets are zero; a count task needs at least one "
        "positive target.",
    ),
    "a table per target": (
        LowRankRegressor(), X, {"size": X}, None,
        "The targets of task 'size' must be one-dimensional, got shape (8, 3).",
    ),
    "no target": (
        LowRankRegressor(), X, None, None,
        "This LowRankRegressor estimator requires y to be passed, but the target y is None.",
    ),
    "empty dict": (
        LowRankMultiTask(), X, {}, None,
        "y holds no task: give at least one, for example {'price': [1.2, 3.4]}.",
    ),
    "duplicate target names": (
        LowRankRegressor(), X, pd.DataFrame(np.column_stack([NUMBERS] * 3), columns=["a", "b", "a"]), None,
        "y has duplicate column names: ['a']; every column needs a name of its own.",
    ),
    # lengths
    "targets of different lengths": (
        LowRankMultiTask(), X, {"size": NUMBERS, "ripe": LABELS[:7]}, None,
        "The targets have different lengths: task 'ripe' has 7, task 'size' has 8. With one X every "
        "task has one target per row, NaN where it is missing; tasks with their own rows need a dict X.",
    ),
    "X and named y of different lengths": (
        LowRankMultiTask(), X[:7], Y, None,
        "Found input variables with inconsistent numbers of samples: X has 7 rows, task 'size' in y has"
        " 8.",
    ),
    "X and array y of different lengths": (
        LowRankRegressor(), X[:7], NUMBERS, None,
        "Found input variables with inconsistent numbers of samples: X has 7 rows, y has 8.",
    ),
    "own rows of different lengths": (
        LowRankRegressor(), {"a": X, "b": X[:5]}, {"a": NUMBERS, "b": NUMBERS}, None,
        "X and y of task 'b' have different lengths: 5 rows and 8 targets.",
    ),
    "long form of different lengths": (
        LowRankRegressor(task_col="school"), LONG, NUMBERS[:5], None,
        "X and y have different lengths: X has 8 rows, y has 5.",
    ),
    # features
    "NaN in X": (
        LowRankRegressor(), put(X, (2, 1), np.nan), NUMBERS, None,
        "Input X contains NaN in column 1. LowRankRegressor needs complete features: put an imputer before it, for "
        "example make_pipeline(sklearn.impute.SimpleImputer(), LowRankRegressor()). Missing targets are"
        " fine.",
    ),
    "NaN in X of a task": (
        LowRankClassifier(), {"a": X, "b": put(X, (2, 1), np.nan)}, {"a": LABELS, "b": LABELS}, None,
        "Input X of task 'b' contains NaN in column 1. LowRankClassifier needs complete features: put an imputer "
        "before it, for example make_pipeline(sklearn.impute.SimpleImputer(), LowRankClassifier()). "
        "Missing targets are fine.",
    ),
    "infinite X": (
        LowRankRegressor(), put(X, (2, 1), np.inf), NUMBERS, None,
        "Input X contains infinity or a value too large for dtype('float64') in column 1.",
    ),
    "infinite X of a task": (
        LowRankRegressor(), {"a": X, "b": put(X, (2, 1), np.inf)}, {"a": NUMBERS, "b": NUMBERS}, None,
        "Input X of task 'b' contains infinity or a value too large for dtype('float64') in column 1.",
    ),
    "duplicate feature names": (
        LowRankRegressor(), frame(["u", "v", "u"]), NUMBERS, None,
        "X has duplicate column names: ['u']; every column needs a name of its own.",
    ),
    "tables with different columns": (
        LowRankRegressor(), {"a": frame(["u", "v", "w"]), "b": frame(["u", "w", "v"])},
        {"a": NUMBERS, "b": NUMBERS}, None,
        "The tables of X must have the same columns in the same order: task 'b' has ['u', 'w', 'v'], "
        "task 'a' has ['u', 'v', 'w'].",
    ),
    "tables of different widths": (
        LowRankRegressor(), {"a": X, "b": X[:, :2]}, {"a": NUMBERS, "b": NUMBERS}, None,
        "The tables of X must have the same number of features: task 'b' has shape (8, 2), task 'a' has "
        "(8, 3).",
    ),
    "a column in place of a table": (
        LowRankRegressor(), {"a": X[:, 0]}, {"a": NUMBERS}, None,
        "X of task 'a' must be two-dimensional, got shape (8,).",
    ),
    "X and y with different keys": (
        LowRankRegressor(), {"a": X, "b": X}, {"a": NUMBERS, "c": NUMBERS}, None,
        "X and y must have the same tasks: 'b' is in X but not in y, which has ['a', 'c'].",
    ),
    "more tasks in y than in X": (
        LowRankRegressor(), {"a": X}, {"a": NUMBERS, "c": NUMBERS}, None,
        "X and y must have the same tasks: 'c' is in y but not in X, which has ['a'].",
    ),
    "dict X without dict y": (
        LowRankRegressor(), {"a": X}, NUMBERS, None,
        "With a dict of X, y must be a dict with the same tasks, got ndarray.",
    ),
    "empty dict X": (
        LowRankRegressor(), {}, {}, None,
        "X is an empty dict; give a table for at least one task.",
    ),
    # long form
    "task_col missing": (
        LowRankRegressor(task_col="class"), LONG, NUMBERS, None,
        "task_col='class' is no column of X; the columns are ['x', 'y', 'z', 'school'].",
    ),
    "task_col beyond the array": (
        LowRankRegressor(task_col=3), X, NUMBERS, None,
        "task_col=3 is no column of X, a ndarray of shape (8, 3); give a position from 0 to 2.",
    ),
    "task_col by name in an array": (
        LowRankRegressor(task_col="school"), X, NUMBERS, None,
        "task_col='school' is no column of X, a ndarray of shape (8, 3); give a position, or X as a "
        "DataFrame.",
    ),
    "a row without its task": (
        LowRankRegressor(task_col="school"), LONG.assign(school=["u", None] * 4), NUMBERS, None,
        "The task column 'school' of X is missing in 4 rows (the first is row 1); every row needs the "
        "label of its task.",
    ),
    "named targets in the long form": (
        LowRankRegressor(task_col="school"), LONG, Y, None,
        "With task_col='school' y must be one column with the target of each row, got dict.",
    ),
    "task_col with a dict X": (
        LowRankRegressor(task_col="school"), {"a": X}, {"a": NUMBERS}, None,
        "task_col='school' is for one X in the long form; a dict of X names its tasks itself.",
    ),
    # weights
    "negative weight": (
        LowRankRegressor(), X, NUMBERS, put(np.ones(8), 5, -1),
        "sample_weight must be finite numbers >= 0, got -1 in row 5.",
    ),
    "negative weight of a task": (
        LowRankMultiTask(), X, Y, TaskTargets({"size": np.ones(8), "ripe": put(np.ones(8), 5, -0.5)}),
        "sample_weight of task 'ripe' must be finite numbers >= 0, got -0.5 in row 5.",
    ),
    "negative weight of an own-rows task": (
        LowRankRegressor(), {"a": X, "b": X},
        {"a": NUMBERS, "b": NUMBERS}, {"a": np.ones(8), "b": put(np.ones(8), 2, -1)},
        "sample_weight of task 'b' must be finite numbers >= 0, got -1 in row 2.",
    ),
    "all weights of a task zero": (
        LowRankMultiTask(), X, Y, TaskTargets({"size": np.zeros(8), "ripe": np.ones(8)}),
        "Task 'size' has zero weights only; at least one of its observations needs a weight > 0.",
    ),
    "all weights zero where there is a target": (
        LowRankRegressor(), X, {"size": NUMBERS, "weight": put(GAPS, 4, 1.5)}, put(np.ones(8), 4, 0),
        "Task 'weight' has zero weights only; at least one of its observations needs a weight > 0.",
    ),
    "weights as a plain dict": (
        LowRankMultiTask(), X, Y, {"size": np.ones(8), "ripe": np.ones(8)},
        "sample_weight must not be a plain dict: scikit-learn's splitters hand a dict over whole "
        "instead of cutting it by rows. Wrap it: TaskTargets(sample_weight).",
    ),
    "weights of other tasks": (
        LowRankMultiTask(), X, Y, TaskTargets({"size": np.ones(8)}),
        "sample_weight must have the tasks of y, ['size', 'ripe'], got ['size'].",
    ),
    "weights of another shape": (
        LowRankMultiTask(), X, Y, np.ones((8, 3)),
        "sample_weight must have shape (8,), one weight per row, or (8, 2), one per row and task; got "
        "shape (8, 3).",
    ),
    "one weight for all own rows": (
        LowRankRegressor(), {"a": X}, {"a": NUMBERS}, np.ones(8),
        "sample_weight must be a dict with one array per task, as X and y are, got ndarray.",
    ),
    "a weight missing beside a target": (
        LowRankMultiTask(), X, Y, TaskTargets({"size": put(np.ones(8), 1, np.nan), "ripe": np.ones(8)}),
        "sample_weight is missing where task 'size' has a target; give a number >= 0 there.",
    ),
    "unknown class in class_weight": (
        LowRankClassifier(class_weight={"maybe": 2}), X, {"ripe": LABELS}, None,
        "class_weight names the unknown class 'maybe'; the classes are ['no', 'yes'].",
    ),
    "unknown task in class_weight": (
        LowRankMultiTask(class_weight={"size": "balanced"}), X, Y, None,
        "class_weight names the unknown task 'size'; the classification tasks are ['ripe'].",
    ),
    "a class of weight zero": (
        LowRankMultiTask(class_weight={"ripe": {"yes": 0}}), X, Y, None,
        "class_weight of task 'ripe' must hold finite numbers > 0, got {'yes': 0}; to leave a class out, leave out "
        "its rows.",
    ),
    "a table that is none": (
        LowRankRegressor(), {"size": None}, {"size": NUMBERS}, None,
        "X of task 'size' must be a table, got None.",
    ),
    "no column beside that of the tasks": (
        LowRankRegressor(task_col="school"), LONG[["school"]], NUMBERS, None,
        "X has no column beside task_col='school'; give at least one feature.",
    ),
    "a table without names before one with names": (
        LowRankRegressor(), {"size": X, "price": frame(["a", "b", "c"])}, {"size": NUMBERS, "price": NUMBERS}, None,
        "The tables of X must have the same columns in the same order: task 'size' has a ndarray without names, "
        "task 'price' has ['a', 'b', 'c'].",
    ),
    "class_weight of no known form": (
        LowRankClassifier(class_weight=2.0), X, {"ripe": LABELS}, None,
        "class_weight must be None, 'balanced', a dict {class: weight} or a dict {task: either}, got "
        "2.0.",
    ),
    "unknown task in task_weight": (
        LowRankMultiTask(task_weight={"colour": 2.0}), X, Y, None,
        "task_weight names the unknown task 'colour'; the tasks are ['size', 'ripe'].",
    ),
    "negative task_weight": (
        LowRankMultiTask(task_weight={"ripe": -2}), X, Y, None,
        "task_weight['ripe'] must be a finite number > 0, got -2.",
    ),
    "task_weight of no known form": (
        LowRankMultiTask(task_weight="equal"), X, Y, None,
        "task_weight must be None, 'balanced' or a dict such as {'task': 2.0}, got 'equal'.",
    ),
    # parameters
    "n_components 0": (
        LowRankRegressor(n_components=0), X, NUMBERS, None,
        "The parameter 'n_components' of LowRankRegressor must be an integer >= 1, or None; got 0.",
    ),
    "n_components not an integer": (
        LowRankRegressor(n_components=2.0), X, NUMBERS, None,
        "The parameter 'n_components' of LowRankRegressor must be an integer >= 1, or None; got 2.0.",
    ),
    "n_components a bool": (
        LowRankRegressor(n_components=True), X, NUMBERS, None,
        "The parameter 'n_components' of LowRankRegressor must be an integer >= 1, or None; got True.",
    ),
    "negative alpha": (
        LowRankRegressor(alpha=-0.1), X, NUMBERS, None,
        "The parameter 'alpha' of LowRankRegressor must be 'auto', or a number >= 0 (infinity: no shared part); "
        "got -0.1.",
    ),
    "alpha_common 0": (
        LowRankRegressor(alpha_common=0), X, NUMBERS, None,
        "The parameter 'alpha_common' of LowRankRegressor must be a finite number > 0, or None (no "
        "common part); got 0.",
    ),
    "unknown factor_prior": (
        LowRankClassifier(factor_prior="normal"), X, LABELS, None,
        "The parameter 'factor_prior' of LowRankClassifier must be 'ridge' or 'learned'; got 'normal'.",
    ),
    "unknown own_penalty": (
        LowRankRegressor(alpha_own=1.0, own_penalty="lasso"), X, NUMBERS, None,
        "The parameter 'own_penalty' of LowRankRegressor must be 'ridge' or 'group'; got 'lasso'.",
    ),
    "unknown scale_targets": (
        LowRankRegressor(scale_targets="unit"), X, NUMBERS, None,
        "The parameter 'scale_targets' of LowRankRegressor must be 'std', 'residual' or None; got 'unit'.",
    ),
    "unknown loss": (
        LowRankRegressor(loss="huber"), X, NUMBERS, None,
        "The parameter 'loss' of LowRankRegressor must be 'squared' or 'poisson'; got 'huber'.",
    ),
    "tol 0": (
        LowRankRegressor(tol=0), X, NUMBERS, None,
        "The parameter 'tol' of LowRankRegressor must be a finite number > 0; got 0.",
    ),
    "max_iter 0": (
        LowRankRegressor(max_iter=0), X, NUMBERS, None,
        "The parameter 'max_iter' of LowRankRegressor must be an integer >= 1; got 0.",
    ),
}
# fmt: on


@pytest.mark.parametrize("case", BAD_FITS)
def test_fit_refuses_with_a_message_that_names_the_culprit(case):
    prototype, features, targets, weight, message = BAD_FITS[case]
    estimator = copy.deepcopy(prototype)
    before, parameters = pickle.dumps((features, targets, weight)), dict(vars(estimator))
    with pytest.raises(ValueError) as refusal:
        estimator.fit(features, targets, sample_weight=weight)
    assert str(refusal.value) == message
    assert pickle.dumps((features, targets, weight)) == before
    assert vars(estimator) == parameters  # no fitted attribute, not even n_features_in_


#: A first fit on one X is possible with the same estimator.
BAD_REFITS = [case for case, (estimator, *_) in BAD_FITS.items() if estimator.task_col is None]


@pytest.mark.parametrize("case", BAD_REFITS)
def test_a_failed_refit_leaves_the_earlier_fit_as_it_was(case):
    prototype, features, targets, weight, _ = BAD_FITS[case]
    estimator = type(prototype)()
    earlier = frame(["p", "q", "r"])
    first = {"ripe": LABELS} if isinstance(prototype, LowRankClassifier) else {"size": NUMBERS}
    estimator.fit(earlier, first)
    estimator.set_params(**prototype.get_params())
    attributes, predictions = dict(vars(estimator)), estimator.predict(earlier)
    with pytest.raises(ValueError):
        estimator.fit(features, targets, sample_weight=weight)
    assert vars(estimator).keys() == attributes.keys()
    assert all(vars(estimator)[name] is value for name, value in attributes.items())
    for task, column in estimator.predict(earlier).items():
        assert_array_equal(column, predictions[task])


@pytest.mark.parametrize("container", [np.asarray, sparse.csr_array])
def test_a_constant_target_and_a_task_of_one_row_are_no_bad_input(container):
    model = LowRankRegressor().fit(
        {"a": container(X), "b": container(X), "c": container(X[:1])},
        {"a": NUMBERS, "b": np.full(8, 3.5), "c": np.array([-2.0])},
    )
    predictions = model.predict(container(X))
    assert_allclose(predictions["b"], 3.5, atol=1e-8)
    assert_allclose(predictions["c"], -2.0, atol=1e-8)
