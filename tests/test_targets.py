"""`TaskTargets`: a dict of tasks to whoever asks by name, an array of rows to whoever asks by rows."""

from __future__ import annotations

import copy
import pickle
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.utils import resample, shuffle

from skmtl.targets import TaskTargets, is_missing

pd = pytest.importorskip("pandas")

pd = pytest.importorskip("pandas")
pl = pytest.importorskip("polars")


@pytest.fixture
def targets() -> TaskTargets:
    """Four rows of a class with a gap, a number with a gap and a complete category."""
    return TaskTargets(
        {
            "sex": ["f", None, "m", "f"],
            "mass": np.array([3.0, 4.0, np.nan, 5.0]),
            "island": pd.Categorical(["a", "b", "b", "a"]),
        }
    )


# -- one task, asked for by name ---------------------------------------------------------------


def test_iteration_membership_and_keys_speak_of_tasks(targets):
    assert list(targets) == list(targets.keys()) == ["sex", "mass", "island"]
    assert "mass" in targets
    assert 0 not in targets
    assert isinstance(targets, dict)


def test_len_and_shape_speak_of_rows(targets):
    assert len(targets) == 4
    assert targets.shape == (4, 3)
    assert targets.ndim == 2


def test_truth_means_having_a_task(targets):
    assert targets
    assert targets[:0], "no rows, but tasks"
    assert not TaskTargets()


def test_unknown_task_is_told_with_the_known_ones(targets):
    with pytest.raises(KeyError, match=r"no task 'weight'; the tasks are \['sex', 'mass', 'island'\]"):
        targets["weight"]


def test_integer_names_are_names_not_rows():
    targets = TaskTargets({0: [1.0, 2.0], 1: [3.0, 4.0]})
    np.testing.assert_array_equal(targets[1], [3.0, 4.0])
    np.testing.assert_array_equal(targets[[1]][1], [4.0])


def test_tuples_are_names_too():
    targets = TaskTargets({("a", "b"): [1.0, 2.0]})
    np.testing.assert_array_equal(targets["a", "b"], [1.0, 2.0])


# -- rows ---------------------------------------------------------------------------------------

ROWS = {
    "positions": [3, 0],
    "array": np.array([3, 0]),
    "negative": [-1, 0],
    "repeated": [1, 1, 1],
    "mask": np.array([True, False, False, True]),
    "list of booleans": [True, False, False, True],
    "slice": slice(1, None, 2),
    "range": range(2),
    "none": [],
    "pandas mask": pd.Series([True, False, False, True], index=list("wxyz")),
}


@pytest.mark.parametrize("rows", ROWS.values(), ids=ROWS)
def test_rows_are_cut_as_pandas_cuts_them(targets, rows):
    plain = rows.to_numpy() if isinstance(rows, pd.Series) else rows
    expected = targets.to_frame().iloc[plain]
    for cut in (targets[rows], targets[rows, ...], targets.iloc[rows]):
        assert isinstance(cut, TaskTargets)
        assert cut == TaskTargets(expected)


@given(st.lists(st.integers(min_value=-5, max_value=4)))
def test_taking_rows_is_taking_them_of_every_column(rows):
    targets = TaskTargets({"a": np.arange(5.0), "b": np.arange(10).reshape(5, 2), "c": list("vwxyz")})
    taken = targets.take(rows)
    for name, column in targets.items():
        np.testing.assert_array_equal(taken[name], np.asarray(column)[np.array(rows, dtype=int)])


def test_a_mask_of_the_wrong_length_is_refused(targets):
    with pytest.raises(IndexError, match=r"\(4,\), got \(3,\)"):
        targets[np.array([True, False, True])]


def test_columns_cannot_be_taken_by_position(targets):
    with pytest.raises(ValueError, match="axis=1"):
        targets.take([0], axis=1)


def test_names_in_a_list_are_not_rows(targets):
    with pytest.raises((TypeError, KeyError), match="sex"):
        targets[["sex"]]


def test_concatenate_puts_folds_back_together(targets):
    order = np.array([3, 2, 0, 1])
    folds = [targets[order[:1]], targets[order[1:]]]
    assert np.concatenate(folds)[np.argsort(order)] == targets


def test_concatenate_turns_no_number_into_a_string():
    joined = np.concatenate([TaskTargets({"a": [1, 2]}), TaskTargets({"a": ["x"]})])
    assert joined["a"].tolist() == [1, 2, "x"]


def test_concatenate_refuses_different_tasks(targets):
    with pytest.raises(ValueError, match=r"'sex', 'mass', 'island'\] and \['mass'\]"):
        np.concatenate([targets, TaskTargets({"mass": [1.0]})])


def test_concatenate_refuses_probabilities_of_different_classes():
    with pytest.raises(ValueError, match="task 'a'"):
        np.concatenate([TaskTargets({"a": np.ones((1, 2))}), TaskTargets({"a": np.ones((1, 3))})])


@pytest.mark.parametrize("function", [resample, shuffle])
def test_rows_are_resampled_and_shuffled_together_with_X(targets, function):
    X = np.arange(4)
    X_cut, cut = function(X, targets, random_state=0)
    assert cut == targets[X_cut]


# -- as one array or frame -----------------------------------------------------------------------


def test_numbers_become_one_numeric_array():
    array = np.asarray(TaskTargets({"a": [1, 2], "b": [0.5, np.nan], "c": [True, False]}))
    assert array.dtype == np.float64
    np.testing.assert_array_equal(array, [[1, 0.5, 1], [2, np.nan, 0]])


def test_mixed_columns_become_objects(targets):
    array = np.asarray(targets)
    assert array.dtype == object
    assert array[0].tolist() == ["f", 3.0, "a"]


def test_dtype_is_honoured():
    assert np.asarray(TaskTargets({"a": [1, 2]}), dtype=np.float32).dtype == np.float32


def test_numpy_functions_see_an_array():
    targets = TaskTargets({"a": [1, 2], "b": [2, 4]})
    np.testing.assert_array_equal(np.unique(targets), [1, 2, 4])
    assert np.shape(targets) == (2, 2)
    assert np.isnan(targets).sum() == 0


def test_pandas_reads_it_as_the_dict_it_is(targets):
    pd.testing.assert_frame_equal(pd.DataFrame(targets), targets.to_frame())
    assert isinstance(targets.to_frame()["island"].dtype, pd.CategoricalDtype)


def test_probabilities_become_a_block_of_columns_per_task():
    frame = TaskTargets({"a": np.eye(2), "b": [0.5, 0.25]}).to_frame()
    assert list(frame.columns) == [("a", 0), ("a", 1), ("b", 0)]
    np.testing.assert_array_equal(frame.to_numpy(), [[1, 0, 0.5], [0, 1, 0.25]])


def test_a_frame_goes_in_and_comes_out():
    frame = pd.DataFrame({"a": [1.0, np.nan], "b": ["x", "y"], "c": [1, 2]}, index=["r", "s"])
    targets = TaskTargets(frame)
    assert list(targets) == ["a", "b", "c"]
    pd.testing.assert_frame_equal(targets.to_frame().astype(frame.dtypes), frame.reset_index(drop=True))


def test_a_polars_frame_goes_in():
    targets = TaskTargets(pl.DataFrame({"a": [1.0, None], "b": ["x", None], "c": [1, None], "d": [True, None]}))
    gaps = {name: is_missing(column).tolist() for name, column in targets.items()}
    assert gaps == {name: [False, True] for name in "abcd"}
    assert targets["c"].tolist() == [1, None], "whole numbers stay whole"


# -- what counts as missing ----------------------------------------------------------------------

WITH_A_GAP = {
    "list with None": ["x", None, "y"],
    "list with nan": ["x", float("nan"), "y"],
    "floats": np.array([1.0, np.nan, 2.0]),
    "float32": np.array([1.0, np.nan, 2.0], dtype=np.float32),
    "objects with None": np.array([1, None, 2], dtype=object),
    "objects with NaN": np.array(["x", np.nan, "y"], dtype=object),
    "objects with NA": np.array(["x", pd.NA, "y"], dtype=object),
    "objects with NaT": np.array([1, pd.NaT, 2], dtype=object),
    "dates": np.array(["2020-01-01", "NaT", "2021-01-01"], dtype="datetime64[D]"),
    "durations": np.array([1, "NaT", 2], dtype="timedelta64[s]"),
    "masked numbers": np.ma.array([1.0, 2.0, 3.0], mask=[0, 1, 0]),
    "masked integers": np.ma.array([1, 2, 3], mask=[0, 1, 0]),
    "pandas float": pd.Series([1.0, None, 2.0], index=[7, 8, 9]),
    "pandas Float64": pd.array([1.0, None, 2.0], dtype="Float64"),
    "pandas Int64": pd.Series([1, None, 2], dtype="Int64"),
    "pandas boolean": pd.Series([True, None, False], dtype="boolean"),
    "pandas string": pd.Series(["x", None, "y"], dtype="string"),
    "pandas object": pd.Series(["x", None, "y"], dtype=object),
    "pandas default string": pd.Series(["x", None, "y"]),
    "pandas category": pd.Series(["x", None, "y"], dtype="category"),
    "pandas numeric category": pd.Series([1, None, 2], dtype="category"),
    "pandas time zone": pd.Series(pd.to_datetime(["2020-01-01", None, "2021-01-01"]).tz_localize("UTC")),
}


@pytest.mark.parametrize("column", WITH_A_GAP.values(), ids=WITH_A_GAP)
def test_a_gap_is_seen_whatever_holds_it(column):
    assert is_missing(column).tolist() == [False, True, False]
    assert is_missing(TaskTargets({"a": column})[[1, 2]]["a"]).tolist() == [True, False]


@pytest.mark.parametrize("column", [[1, 2], [True, False], ["", "nan"], [0.0, np.inf], range(2), (1, 2)], ids=str)
def test_nothing_else_is_missing(column):
    assert is_missing(column).tolist() == [False, False]


def test_missing_needs_no_pandas(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)  # importing it fails
    targets = TaskTargets({"a": ["x", None, float("nan")], "b": [1.0, np.nan, 2.0]})
    assert is_missing(targets["a"]).tolist() == [False, True, True]
    assert np.concatenate([targets[[0]], targets[1:]]) == targets
    assert "1 observed" in repr(targets[[0, 1]])


def test_missing_is_seen_per_entry_of_a_two_dimensional_column():
    assert is_missing(np.array([[1.0, np.nan]])).tolist() == [[False, True]]


# -- a dict that stays valid ----------------------------------------------------------------------

WRONG = {
    "other length": ({"a": [1, 2], "b": [1, 2, 3]}, ValueError, "task 'b' has 3, task 'a' has 2"),
    "scalar": ({"a": 3.0}, ValueError, "task 'a'.*one value per row"),
    "None": ({"a": None}, ValueError, "task 'a'.*one value per row"),
    "string": ({"a": "yes"}, ValueError, "task 'a'.*one value per row"),
    "ragged": ({"a": [[1, 2], [3]]}, ValueError, "task 'a'"),
    "three dimensions": ({"a": np.zeros((2, 2, 2))}, ValueError, r"task 'a'.*\(2, 2, 2\)"),
    "array": (np.zeros((3, 2)), TypeError, "names.*ndarray"),
    "duplicate names": (pd.DataFrame([[1, 2]], columns=["a", "a"]), ValueError, "'a'"),
}


@pytest.mark.parametrize(("columns", "error", "message"), WRONG.values(), ids=WRONG)
def test_wrong_columns_are_refused_by_name(columns, error, message):
    with pytest.raises(error, match=message):
        TaskTargets(columns)


CHANGES = {
    "setitem": lambda targets, name, column: targets.__setitem__(name, column),
    "update": lambda targets, name, column: targets.update({"fine": [1, 2, 3, 4], name: column}),
    "setdefault": lambda targets, name, column: targets.setdefault(name, column),
    "or": lambda targets, name, column: targets.__ior__({name: column}),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_no_road_puts_a_wrong_column_in_and_a_failed_change_changes_nothing(targets, change):
    before = targets.copy()
    with pytest.raises(ValueError, match="task 'new' has 2"):
        change(targets, "new", [1, 2])
    assert targets == before
    change(targets, "new", [1, 2, None, 4])
    assert is_missing(targets["new"]).sum() == 1


def test_the_only_column_may_be_replaced_by_a_longer_one():
    targets = TaskTargets({"a": [1, 2]})
    targets["a"] = [1, 2, 3]
    assert len(targets) == 3


COPIES = {
    "pickle": lambda targets: pickle.loads(pickle.dumps(targets)),
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "method": TaskTargets.copy,
    "or": lambda targets: targets | {},
    "constructor": TaskTargets,
}


@pytest.mark.parametrize("copied", COPIES.values(), ids=COPIES)
def test_copies_are_equal_and_independent(targets, copied):
    twin = copied(targets)
    assert type(twin) is TaskTargets
    assert twin == targets
    twin["more"] = [1, 2, 3, 4]
    assert "more" not in targets


def test_equality_is_of_targets_and_gaps(targets):
    assert targets == dict(targets)
    assert targets != targets[[1, 0, 2, 3]]
    assert targets != TaskTargets({"sex": targets["sex"]})
    assert TaskTargets({"a": [1.0, np.nan]}) != TaskTargets({"a": [1.0, 2.0]})
    assert targets != "sex"


def test_what_was_handed_in_is_not_modified():
    frame = pd.DataFrame({"a": [1.0, 2.0], "b": pd.Categorical(["x", "y"])}, index=[5, 6])
    given_dict, array = {"a": [1, None]}, np.array([1.0, 2.0])
    before = frame.copy()
    targets = TaskTargets(frame) | given_dict | {"c": array}
    targets["c"] = [3.0, 4.0]
    pd.testing.assert_frame_equal(frame, before)
    assert given_dict == {"a": [1, None]}
    assert array.tolist() == [1.0, 2.0]


def test_repr_shows_tasks_types_and_how_many_targets_each_has(targets):
    lines = repr(targets).splitlines()
    assert lines[0] == "TaskTargets of 4 rows, 3 tasks"
    assert [line.split() for line in lines[1:]] == [
        ["sex", "object", "3", "observed"],
        ["mass", "float64", "3", "observed"],
        ["island", "category", "4", "observed"],
    ]


def test_repr_of_many_tasks_is_short():
    assert len(repr(TaskTargets({i: [0.0] for i in range(1000)})).splitlines()) < 20
