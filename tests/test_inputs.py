"""Every way of handing over tasks gives the same data, and predictions come back the same way."""

from __future__ import annotations

import warnings
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from scipy import sparse
from sklearn.base import BaseEstimator

from skmtl.inputs import TargetRules, as_task_data, scored_targets, union_classes
from skmtl.targets import TaskTargets

ANY = TargetRules("LowRankMultiTask", "any")
NUMBERS = TargetRules("LowRankRegressor", "numbers")
CLASSES = TargetRules("LowRankClassifier", "classes")


class Carrier(BaseEstimator):
    """Stands for the estimator: carries n_features_in_ and feature_names_in_."""


def read(X, y, sample_weight=None, rules=ANY, **options):
    return as_task_data(Carrier(), X, y, sample_weight, rules=rules, **options)[0]


def kinds_of(data):
    return {task.name: task.kind for task in data.tasks}


def features(n_rows=8, n_features=3, seed=0):
    return np.random.RandomState(seed).randn(n_rows, n_features)


# ---- kinds -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("column", "kind", "classes"),
    [
        (["b", "a", "b", "c"], "multiclass", ["a", "b", "c"]),
        (["b", "a", "b", "a"], "binary", ["a", "b"]),
        ([True, False, True, True], "binary", [False, True]),
        ([True, None, True, False], "binary", [False, True]),
        (["b", None, "a", "c"], "multiclass", ["a", "b", "c"]),
        (pd.Series(["b", pd.NA, "a", "c"], dtype="string"), "multiclass", ["a", "b", "c"]),
        (pd.Series([3, 1, 2, 1]).astype("category"), "multiclass", [1, 2, 3]),
        (pd.Series([True, pd.NA, False, True], dtype="boolean"), "binary", [False, True]),
        ([0, 1, 1, 0], "binary", [0, 1]),
        ([-1.0, 1.0, np.nan, 1.0], "binary", [-1.0, 1.0]),
        ([0.5, 1.5, 0.5, 0.5], "regression", None),
        ([0.5, 1.0, 0.5, 0.5], "regression", None),
        (pd.Series([4, pd.NA, 7, 4], dtype="Int64"), "binary", [4, 7]),
        ([0.1, 0.2, 0.3, 0.4], "regression", None),
        ([1.0, None, 2.5, 3.0], "regression", None),
        (pd.Series([0.1, pd.NA, 0.3, 2.0], dtype="Float64"), "regression", None),
        ([7.0, 7.0, 7.0, np.nan], "regression", None),
        (np.array([0.25, 0.5, 4.0, 1.0], dtype=np.float32), "regression", None),
    ],
)
def test_the_kind_is_read_off_the_targets(column, kind, classes):
    X = features(4)
    for data in (read(X, {"t": column}), read({"t": X}, {"t": column})):
        assert kinds_of(data) == {"t": kind}
        if classes is None:
            assert data.tasks[0].classes is None
        else:
            assert data.tasks[0].classes.tolist() == classes


def test_few_whole_numbers_are_regression_with_a_warning_that_says_how_to_declare_kinds():
    y = {"stars": [1, 2, 3, 4, 5, 1, 2, 3], "size": np.arange(8) / 7}
    for X, given in [(features(), y), (dict.fromkeys(y, features()), y)]:
        message = r"\['stars'\] hold whole numbers .* kinds=\{'stars': 'multiclass'\}"
        with pytest.warns(UserWarning, match=message):
            assert kinds_of(read(X, given)) == {"stars": "regression", "size": "regression"}
    declared = TargetRules("LowRankMultiTask", "any", kinds={"stars": "multiclass"})
    data = read(features(), y, rules=declared)  # silent: warnings are errors
    assert kinds_of(data)["stars"] == "multiclass"
    assert_array_equal(data.y[:, 0], [0, 1, 2, 3, 4, 0, 1, 2])
    declared = TargetRules("LowRankMultiTask", "any", kinds={"stars": "regression"})
    assert kinds_of(read(features(), y, rules=declared))["stars"] == "regression"
    assert kinds_of(read(features(), y, rules=NUMBERS))["stars"] == "regression"


def test_many_whole_numbers_are_regression_without_a_warning():
    assert kinds_of(read(features(40), {"t": np.arange(40)})) == {"t": "regression"}


def test_the_kind_does_not_depend_on_which_rows_a_quick_look_sees():
    # Two classes in the first thousands of rows, one other number at the very end.
    y = np.tile([0.0, 1.0], 5000)
    X = np.ones((10000, 1))
    assert kinds_of(read(X, {"t": y})) == {"t": "binary"}
    late = y.copy()
    late[-1] = 0.5
    assert kinds_of(read(X, {"t": late})) == {"t": "regression"}
    with pytest.raises(ValueError, match=r"Unknown label type: task 't' holds continuous numbers .*0\.5"):
        read(X, {"t": late}, rules=CLASSES)
    rare = np.full(10000, np.nan)
    rare[[4321, 8765]] = [3.0, -1.0]
    assert kinds_of(read(X, {"t": rare})) == {"t": "binary"}


def test_declared_counts_and_booleans_as_numbers():
    rules = TargetRules("LowRankMultiTask", "any", kinds={"visits": "count", "member": "regression"})
    data = read(features(4), {"visits": [0, 1, 0, 1], "member": [True, False, None, True]}, rules=rules)
    assert kinds_of(data) == {"visits": "count", "member": "regression"}
    assert_array_equal(data.y, [[0, 1], [1, 0], [0, np.nan], [1, 1]])
    own = read(
        dict.fromkeys(["visits", "member"], features(4)),
        {"visits": [0, 1, 0, 1], "member": [True, False, None, True]},
        rules=rules,
    )
    assert_array_equal(own.y, [0, 1, 0, 1, 1, 0, 1])


def test_a_multiclass_task_that_shows_two_classes_is_fitted_as_binary():
    rules = TargetRules("LowRankMultiTask", "any", kinds={"t": "multiclass"})
    assert kinds_of(read(features(4), {"t": [1, 2, 1, 2]}, rules=rules)) == {"t": "binary"}


def test_class_codes_follow_the_sorted_labels_in_every_layout():
    labels = np.array(["red", "blue", "green", "red", "blue", "red"])
    X = features(6)
    assert_array_equal(read(X, {"t": labels}).y[:, 0], [2, 0, 1, 2, 0, 2])
    # Own rows: every task has its own classes.
    data = read({"t": X, "u": X}, {"t": labels, "u": ["x", "y", "x", "y", "y", "z"]})
    assert_array_equal(data.y, [2, 0, 1, 2, 0, 2, 0, 1, 0, 1, 1, 2])
    assert [task.classes.tolist() for task in data.tasks] == [["blue", "green", "red"], ["x", "y", "z"]]
    # Classes of a task in the long form are those it shows, not those of all tasks.
    long = np.column_stack([np.repeat([0, 1], 3), X])
    data = read(long, np.array([5, 7, 5, 9, 5, 7]), rules=CLASSES, task_col=0)
    assert [task.classes.tolist() for task in data.tasks] == [[5, 7], [5, 7, 9]]
    assert_array_equal(data.y, [0, 1, 0, 2, 0, 1])


@pytest.mark.parametrize("dtype", [np.int8, np.int64, np.float32, np.float64])
def test_classes_keep_the_dtype_of_the_targets(dtype):
    y = np.array([3, 1, 2, 1], dtype=dtype)
    for data in (read(features(4), y, rules=CLASSES), read({"t": features(4)}, {"t": y}, rules=CLASSES)):
        assert data.tasks[0].classes.dtype == dtype


# ---- the four forms --------------------------------------------------------------------------


def mixed_targets(n_rows=30, seed=1):
    rng = np.random.RandomState(seed)
    return {
        "size": np.where(rng.rand(n_rows) < 0.3, np.nan, rng.randn(n_rows)),
        "ripe": np.where(rng.rand(n_rows) < 0.2, None, rng.choice(["no", "yes"], n_rows)),
        "kind": rng.choice(["a", "b", "c"], n_rows),
        "seeds": rng.randn(n_rows),
    }


def test_dict_task_targets_pandas_and_polars_are_the_same_targets():
    polars = pytest.importorskip("polars")
    y, X = mixed_targets(), features(30)
    expected = read(X, y)
    frame = pd.DataFrame(y)
    for given in (
        TaskTargets(y),
        frame,
        frame.convert_dtypes(),
        frame.astype({"ripe": "category"}),
        polars.DataFrame({name: list(map(none_for_nan, column)) for name, column in y.items()}),
    ):
        data = read(X, given)
        assert kinds_of(data) == kinds_of(expected)
        assert_array_equal(data.y, expected.y)
        for task, other in zip(data.tasks, expected.tasks, strict=True):
            assert (task.classes is None) == (other.classes is None)
            if task.classes is not None:
                assert task.classes.tolist() == other.classes.tolist()


def none_for_nan(value):
    return None if value is None or value != value else value


def test_own_rows_and_long_form_hold_the_observations_of_the_matrix():
    X, names = features(20), ["a", "b", "c"]
    Y = np.random.RandomState(3).randn(20, 3)
    Y[np.random.RandomState(4).rand(20, 3) < 0.4] = np.nan
    seen = ~np.isnan(Y)
    own = read(
        {name: X[seen[:, t]] for t, name in enumerate(names)},
        {name: Y[seen[:, t], t] for t, name in enumerate(names)},
    )
    gappy = read(dict.fromkeys(names, X), {name: Y[:, t] for t, name in enumerate(names)})
    stacked = pd.DataFrame(np.tile(X, (3, 1)), columns=["x", "y", "z"])
    stacked.insert(1, "school", np.repeat(names, 20))
    shuffled = np.random.RandomState(5).permutation(60)
    long = read(stacked.iloc[shuffled], Y.T.ravel()[shuffled], task_col="school")
    for data in (own, gappy, long):
        assert [task.name for task in data.tasks] == names
        assert data.X.shape == (seen.sum(), 3)
        for t in range(3):
            rows = np.flatnonzero(data.task_of_row == t)
            order = np.argsort(data.y[rows])
            expected = np.argsort(Y[seen[:, t], t])
            assert_array_equal(data.y[rows][order], Y[seen[:, t], t][expected])
            assert_array_equal(data.X[rows][order], X[seen[:, t]][expected])


def test_array_forms():
    X, y = features(5), np.array([0.5, 1.5, np.nan, 2.5, 3.5])
    for given in (
        y,
        y[:, None],
        y.tolist(),
        pd.Series(y),
        pd.Series(y).astype("Float64"),
        np.array([0.5, 1.5, None, 2.5, 3.5], dtype=object),
        [0.5, 1.5, None, 2.5, 3.5],
    ):
        data, form = as_task_data(Carrier(), X, given, rules=ANY)
        assert_array_equal(data.y[:, 0], y)
        assert (form.named, form.flat) == (False, np.ndim(given) == 1)
        assert [task.name for task in data.tasks] == [0]
    mixed = np.array([["a", 1.5], ["b", None], ["a", 2.5], [None, 0.5], ["c", 3.5]], dtype=object)
    data = read(X, mixed)
    assert kinds_of(data) == {0: "multiclass", 1: "regression"}
    assert_array_equal(data.y, [[0, 1.5], [1, np.nan], [0, 2.5], [np.nan, 0.5], [2, 3.5]])


def test_what_is_masked_is_missing():
    masked = np.ma.masked_greater([0.5, 9.0, 1.5, 2.5], 5)
    for y in (masked, masked[:, None], {"t": masked}):
        assert_array_equal(read(features(4), y).y[:, 0], [0.5, np.nan, 1.5, 2.5])
    assert read({"t": features(4)}, {"t": masked}).y.tolist() == [0.5, 1.5, 2.5]


def test_a_row_without_any_target_is_legal():
    Y = np.random.RandomState(0).randn(5, 2)
    Y[2] = np.nan
    assert_array_equal(read(features(5), Y).y, Y)
    assert read({"a": features(5)}, {"a": Y[:, 0]}).X.shape == (4, 3)


@pytest.mark.parametrize("given", ["name", "position", "negative", "array", "csr", "polars"])
def test_the_task_column_is_found_and_removed(given):
    X = features(6)
    frame = pd.DataFrame(X, columns=["x", "y", "z"])
    frame.insert(2, "school", [12, 7, 7, 12, 9, 9])
    y, task_col = np.arange(6) + 0.5, {"name": "school", "negative": -2}.get(given, 2)
    table = frame
    if given == "array":
        table = frame.to_numpy()
    if given == "csr":
        table = sparse.csr_array(frame.to_numpy())
    if given == "polars":
        table, task_col = pytest.importorskip("polars").from_dict(frame.to_dict("list")), "school"
    carrier = Carrier()
    data, form = as_task_data(carrier, table, y, rules=ANY, task_col=task_col)
    assert [task.name for task in data.tasks] == [7, 9, 12]
    assert {type(task.name) for task in data.tasks} == {int}  # also where the table is all floats
    assert_array_equal(data.task_of_row, [2, 0, 0, 2, 1, 1])
    assert_array_equal(data.X.toarray() if given == "csr" else data.X, X)
    assert carrier.n_features_in_ == 4  # X as it was handed over
    query = form.query(carrier, table, (7, 9, 12))
    answer = form.gather(query, data.tasks, {t: np.full(2, float(t)) for t in query.tasks}, "predict")
    assert_array_equal(answer, data.task_of_row)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("container", [np.asarray, sparse.csr_array, sparse.csc_matrix, sparse.coo_array, pd.DataFrame])
def test_features_keep_their_precision_and_sparsity(container, dtype):
    X = features(8).astype(dtype)
    X[X < 0.5] = 0
    y = np.arange(8) / 7
    is_sparse = sparse.issparse(container(X))
    for given in (read(container(X), y), read({"a": container(X), "b": container(X)}, {"a": y, "b": y})):
        assert given.X.dtype == dtype
        assert sparse.issparse(given.X) == is_sparse
        if is_sparse:
            assert given.X.format == "csr"
        dense = given.X.toarray() if is_sparse else given.X
        assert_array_equal(dense[:8], X)


def test_what_can_be_used_as_it_is_is_not_copied_and_nothing_is_modified():
    X, Y = features(50), np.random.RandomState(0).randn(50, 3)
    data = read(X, Y)
    assert data.X is X
    assert data.y is Y
    binary = np.where(Y > 0, 1.0, 0.0)
    assert read(X, binary).y is binary
    labelled = np.where(Y > 0, 2.0, -1.0)
    before, weights = labelled.copy(), np.where(Y > 1, 0.0, 1.0)
    weights_before = weights.copy()
    read(X, labelled, sample_weight=weights, class_weight="balanced")
    assert_array_equal(labelled, before)
    assert_array_equal(weights, weights_before)
    tables, columns = {"a": X, "b": X}, {"a": labelled[:, 0], "b": labelled[:, 1]}
    read(tables, columns, sample_weight={"a": weights[:, 0], "b": weights[:, 1]})
    assert_array_equal(labelled, before)
    assert_array_equal(weights, weights_before)


def test_reading_costs_little_more_than_reading_the_numbers_once():
    """Not a benchmark: it fails when someone sorts every column or loops over rows."""
    import time

    X, Y = np.ones((20000, 2)), np.random.RandomState(0).randn(20000, 200)
    small_X = {t: np.ones((20, 5)) for t in range(3000)}
    small_y = {t: Y[:20, t % 200] for t in range(3000)}
    long_X = np.column_stack([np.repeat(np.arange(3000), 20), np.ones((60000, 5))])
    for given in [(X, Y, None), (small_X, small_y, None), (long_X, Y[:, :3].ravel(), 0)]:
        began = time.perf_counter()
        read(*given[:2], task_col=given[2])
        assert time.perf_counter() - began < 1.0  # measured: 2, 15 and 20 ms


# ---- predictions back into the form ----------------------------------------------------------


def test_answers_come_in_the_form_of_the_question():
    X, y = features(6), {"a": np.arange(6) / 5, "b": ["u", "v", "u", "v", "w", "u"]}
    carrier = Carrier()
    data, named = as_task_data(carrier, X, y, rules=ANY)
    parts = {0: np.arange(6.0), 1: np.array(list("uvwuvw"))}
    answer = named.gather(named.query(carrier, X, ("a", "b")), data.tasks, parts, "predict")
    assert isinstance(answer, TaskTargets)
    assert list(answer) == ["a", "b"]
    tables = {"b": X[:2], "a": X[2:]}
    query = named.query(carrier, tables, ("a", "b"))
    assert query.tasks == [1, 0]
    assert query.bounds.tolist() == [0, 2, 6]
    answer = named.gather(query, data.tasks, {1: parts[1][:2], 0: parts[0][2:]}, "predict")
    assert type(answer) is dict
    assert {name: len(part) for name, part in answer.items()} == {"b": 2, "a": 4}
    data, array = as_task_data(carrier, X, np.column_stack([np.arange(6) / 5] * 2), rules=ANY)
    answer = array.gather(array.query(carrier, X, (0, 1)), data.tasks, {0: parts[0], 1: -parts[0]}, "predict")
    assert_array_equal(answer, np.column_stack([parts[0], -parts[0]]))


def test_the_long_form_puts_probabilities_into_the_columns_of_all_classes():
    X = np.column_stack([[1, 0, 1, 0, 1, 0], features(6)])
    carrier = Carrier()
    data, form = as_task_data(carrier, X, np.array([3, 1, 5, 3, 3, 1]), rules=CLASSES, task_col=0)
    assert union_classes(data.tasks).tolist() == [1, 3, 5]
    query = form.query(carrier, X, (0, 1))
    parts = {0: np.tile([0.25, 0.75], (3, 1)), 1: np.tile([0.4, 0.6], (3, 1))}
    answer = form.gather(query, data.tasks, parts, "predict_proba")
    assert_array_equal(answer[0], [0, 0.4, 0.6])  # task 1 knows 3 and 5
    assert_array_equal(answer[1], [0.25, 0.75, 0])  # task 0 knows 1 and 3


def test_rows_of_unseen_tasks_form_one_block_where_they_are_allowed():
    X = np.column_stack([[1, 0, 1, 0], features(4)])
    carrier = Carrier()
    data, form = as_task_data(carrier, X, np.array([0.5, 1.5, 2.5, 3.7]), rules=ANY, task_col=0)
    new = np.column_stack([[8, 1, 9, 0], features(4)])
    query = form.query(carrier, new, (0, 1), unseen=True)
    assert query.tasks == [-1, 0, 1]
    parts = {-1: np.zeros(2), 0: np.full(1, 10.0), 1: np.full(1, 20.0)}
    answer = form.gather(query, data.tasks, parts, "predict")
    assert_array_equal(answer, [0, 20, 0, 10])


@pytest.mark.parametrize("numbers", [np.array([1.5, 2.5]), np.array([1, 2])])
def test_numbers_beside_labels_do_not_become_strings(numbers):
    X = features(2)
    carrier = Carrier()
    y = np.array([["a", 0.1], ["b", 0.2]], dtype=object)
    rules = TargetRules("LowRankMultiTask", "any", kinds={1: "regression"})
    data, form = as_task_data(carrier, X, y, rules=rules)
    parts = {0: np.array(["a", "b"]), 1: numbers}
    answer = form.gather(form.query(carrier, X, (0, 1)), data.tasks, parts, "predict")
    assert answer.dtype == object
    assert answer[0].tolist() == ["a", numbers[0]]


# ---- targets handed to score -----------------------------------------------------------------


def test_scored_targets_stand_beside_their_predictions():
    X, y = features(6), {"a": [0.5, np.nan, 1.5, 2.5, 3.5, 4.5], "b": ["u", "v", None, "u", "v", "u"]}
    carrier = Carrier()
    data, form = as_task_data(carrier, X, y, rules=ANY)
    scored = list(scored_targets(form, X, {"b": y["b"], "a": y["a"]}, np.arange(6.0), data.tasks))
    assert [one.position for one in scored] == [1, 0]
    assert_array_equal(scored[0].rows, [0, 1, 3, 4, 5])
    assert scored[0].y_true.tolist() == ["u", "v", "u", "v", "u"]
    assert_array_equal(scored[1].weight, [0, 2, 3, 4, 5])
    long = np.column_stack([[1, 0, 1, 0, 1, 0], X])
    data, form = as_task_data(carrier, long, np.arange(6) + 0.5, rules=ANY, task_col=0)
    held_out = np.array([0.1, 0.2, np.nan, 0.4, 0.5, 0.6])
    scored = list(scored_targets(form, long, held_out, None, data.tasks))
    query = form.query(carrier, long, (0, 1))
    for one, block in zip(scored, range(2), strict=True):
        rows = query.order[query.bounds[block] : query.bounds[block + 1]][one.rows]
        assert_array_equal(one.y_true, held_out[rows])


def test_a_task_without_target_in_the_scored_rows_is_left_out():
    X, y = features(4), {"a": np.arange(4) / 3, "b": np.arange(4) / 3}
    data, form = as_task_data(Carrier(), X, y, rules=ANY)
    scored = list(scored_targets(form, X, {"a": [np.nan] * 4, "b": y["b"]}, None, data.tasks))
    assert [one.position for one in scored] == [1]


def test_class_labels_of_another_dtype_are_the_same_classes():
    X = features(4)
    data, form = as_task_data(Carrier(), X, {"t": np.array([1, 2, 1, 2])}, rules=ANY)
    (scored,) = scored_targets(form, X, {"t": [1.0, 2.0, np.nan, 2.0]}, None, data.tasks)
    assert scored.y_true.dtype == data.tasks[0].classes.dtype
    assert scored.y_true.tolist() == [1, 2, 2]


def test_reading_is_silent_about_ordinary_data():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read(features(30), mixed_targets())


def test_decimals_are_numbers():
    exact = [Decimal("1.25"), None, Decimal("-3"), Decimal("0.5")] * 2
    data = read(features(), {"price": pd.Series(exact)})
    assert kinds_of(data) == {"price": "regression"}
    assert_array_equal(data.y[:, 0], [1.25, np.nan, -3.0, 0.5] * 2)
