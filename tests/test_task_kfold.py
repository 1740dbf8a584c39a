"""`TaskKFold` deals every task, and every class of a task, out equally; `stack_tasks` makes one table of many."""

from __future__ import annotations

import numpy as np
import pytest
import sklearn
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse
from sklearn.base import clone
from sklearn.linear_model import Ridge
from sklearn.model_selection import KFold, StratifiedKFold, cross_val_score, cross_validate

from skmtl import LowRankMultiTask, LowRankRegressor, TaskKFold, TaskTargets, stack_tasks


def fold_of_rows(splitter, X, y=None, groups=None):
    """Number of the fold that tests each row; train and test must be the two parts of all rows."""
    fold = np.full(X.shape[0], -1)
    for k, (train, test) in enumerate(splitter.split(X, y, groups)):
        assert np.all(fold[test] == -1)
        np.testing.assert_array_equal(np.sort(np.concatenate([train, test])), np.arange(len(fold)))
        fold[test] = k
    assert np.all(fold >= 0)
    return fold


def counts(labels, fold, n_splits):
    """Rows of every label in every fold, shape (n_labels, n_splits)."""
    return np.array([np.bincount(fold[labels == label], minlength=n_splits) for label in np.unique(labels)])


def make_gaps(n_rows, n_tasks, share, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.normal(size=(n_rows, n_tasks))
    y[rng.random(y.shape) > share] = np.nan
    return y


# -- every row belongs to one task ------------------------------------------------------------------

LABELS = st.lists(st.integers(0, 4), min_size=4, max_size=60)


@given(labels=LABELS, n_splits=st.integers(2, 4), shuffle=st.booleans())
def test_two_folds_differ_by_one_row_of_a_task_at_most(labels, n_splits, shuffle):
    labels = np.array(labels)
    splitter = TaskKFold(n_splits, shuffle=shuffle, random_state=0 if shuffle else None)
    fold = fold_of_rows(splitter, np.zeros((len(labels), 1)), groups=labels)
    assert np.ptp(counts(labels, fold, n_splits), axis=1).max() <= 1
    assert np.ptp(np.bincount(fold, minlength=n_splits)) <= 1


@given(pairs=st.lists(st.tuples(st.integers(0, 2), st.sampled_from("xyz")), min_size=3, max_size=60))
def test_so_do_classes_inside_a_task(pairs):
    labels, y = (np.array(column) for column in zip(*pairs, strict=True))
    fold = fold_of_rows(TaskKFold(3), np.zeros((len(y), 1)), y, labels)
    for inside in (labels, np.char.add(labels.astype(str), y)):
        assert np.ptp(counts(inside, fold, 3), axis=1).max() <= 1


def test_a_task_of_two_rows_is_in_every_training_part():
    labels = np.repeat(np.arange(50), 2)
    for train, _ in TaskKFold(5).split(np.zeros((100, 1)), groups=labels):
        assert set(labels[train]) == set(range(50))


@pytest.mark.parametrize("form", ["DataFrame", "array", "CSR"])
def test_task_col_names_the_column_of_labels(form):
    labels = np.random.default_rng(0).integers(0, 6, size=40)
    table = np.column_stack([np.ones(40), labels])
    X = {
        "DataFrame": lambda: pytest.importorskip("pandas").DataFrame(table, columns=["one", "school"]),
        "array": lambda: table,
        "CSR": lambda: sparse.csr_array(table),
    }[form]()
    fold = fold_of_rows(TaskKFold(4, task_col="school" if form == "DataFrame" else 1), X)
    np.testing.assert_array_equal(fold, fold_of_rows(TaskKFold(4), table, groups=labels))


def test_long_form_in_cross_validation():
    # KFold in blocks trains without the task it tests.
    rng = np.random.default_rng(0)
    X = np.column_stack([np.repeat([0, 1, 2], 20), rng.normal(size=(60, 3))])
    y = X[:, 1] + rng.normal(size=60) / 10
    model = LowRankRegressor(n_components=1, task_col=0)
    with pytest.raises(ValueError, match="task 0"):
        cross_val_score(model, X, y, cv=KFold(3), error_score="raise")
    assert cross_val_score(model, X, y, cv=TaskKFold(3, task_col=0), error_score="raise").min() > 0.9


# -- rows belong to the tasks that have a target there -----------------------------------------------


def test_classes_of_one_task_are_dealt_as_stratified_kfold_does():
    y = np.random.default_rng(0).choice(list("abc"), size=101, p=[0.6, 0.3, 0.1])
    X = np.zeros((101, 1))
    found = counts(y, fold_of_rows(TaskKFold(4), X, {"only": y}), 4)
    expected = counts(y, fold_of_rows(StratifiedKFold(4), X, y), 4)
    np.testing.assert_array_equal(np.sort(found, axis=1), np.sort(expected, axis=1))


@pytest.mark.parametrize("n_splits", [2, 5])
@pytest.mark.parametrize("shuffle", [False, True])
def test_tasks_with_gaps_are_balanced(n_splits, shuffle):
    y = make_gaps(300, 40, share=0.1)
    splitter = TaskKFold(n_splits, shuffle=shuffle, random_state=0 if shuffle else None)
    fold = fold_of_rows(splitter, y, y)
    per_task = np.array([np.bincount(fold[~np.isnan(column)], minlength=n_splits) for column in y.T])
    # One row more or less is the best there can be; not every task can have it at once.
    assert np.ptp(per_task, axis=1).max() <= 2
    blind = fold_of_rows(KFold(n_splits, shuffle=True, random_state=0), y)
    by_chance = np.array([np.bincount(blind[~np.isnan(column)], minlength=n_splits) for column in y.T])
    assert np.ptp(per_task, axis=1).mean() < np.ptp(by_chance, axis=1).mean() / 3


def test_rare_tasks_are_in_every_training_part():
    y = make_gaps(150, 100, share=0.03)
    seen = ~np.isnan(y)
    seen = seen[:, seen.sum(axis=0) >= 2]
    for train, _ in TaskKFold(5).split(y, y):
        assert seen[train].any(axis=0).all()


def test_classes_and_numbers_side_by_side_are_balanced():
    rng = np.random.default_rng(0)
    y = TaskTargets(
        {
            "kind": rng.choice(["a", "b", "c", None], size=200, p=[0.5, 0.2, 0.1, 0.2]),
            "flag": rng.choice([0, 1, np.nan], size=200),
            "size": np.where(rng.random(200) < 0.5, np.nan, rng.normal(size=200)),
        }
    )
    fold = fold_of_rows(TaskKFold(5), np.zeros((200, 1)), y)
    kinds = np.array([str(value) for value in y["kind"]])
    assert np.ptp(counts(kinds, fold, 5)[:3], axis=1).max() <= 1
    assert np.ptp(counts(y["flag"], fold, 5)[:2], axis=1).max() <= 1
    assert np.ptp(np.bincount(fold[~np.isnan(y["size"])])) <= 1


def test_the_container_of_y_does_not_matter():
    pandas = pytest.importorskip("pandas")
    y = make_gaps(60, 4, share=0.5)
    named = dict(enumerate(y.T))
    folds = [fold_of_rows(TaskKFold(3), y, one) for one in (y, named, TaskTargets(named), pandas.DataFrame(named))]
    for fold in folds[1:]:
        np.testing.assert_array_equal(fold, folds[0])


def test_rows_without_any_target_are_dealt_too():
    y = np.array([[1.0, np.nan], [np.nan, np.nan], [np.nan, 2.0], [np.nan, np.nan], [3.0, 1.0], [2.0, np.nan]])
    assert np.bincount(fold_of_rows(TaskKFold(2), y, y)).tolist() == [3, 3]


def test_stacked_tasks_are_dealt_exactly():
    sizes = {"a": 7, "b": 2, "c": 11}
    X, y = stack_tasks(
        {name: np.zeros((n, 1)) for name, n in sizes.items()}, {name: np.arange(n) / 3 for name, n in sizes.items()}
    )
    labels = np.repeat(list(sizes), list(sizes.values()))
    assert np.ptp(counts(labels, fold_of_rows(TaskKFold(3), X, y), 3), axis=1).max() <= 1


# -- a splitter like any other ----------------------------------------------------------------------


def test_without_shuffle_a_fold_has_neighbours_of_a_task():
    labels = np.repeat(["a", "b"], [6, 4])
    fold = fold_of_rows(TaskKFold(2), np.zeros((10, 1)), groups=labels)
    assert fold.tolist() == [0, 0, 0, 1, 1, 1, 0, 0, 1, 1]


def test_shuffle_follows_the_seed():
    labels = np.repeat([0, 1], 20)
    one, same, other = (
        fold_of_rows(TaskKFold(4, shuffle=True, random_state=seed), np.zeros((40, 1)), groups=labels)
        for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(one, same)
    assert np.any(one != other)


def test_it_shows_its_parameters_and_counts_its_folds():
    assert repr(TaskKFold(3)) == "TaskKFold(n_splits=3, random_state=None, shuffle=False, task_col=None)"
    assert TaskKFold(3).get_n_splits() == 3


def test_groups_reach_it_with_and_without_routing():
    rng = np.random.default_rng(0)
    X, labels = rng.normal(size=(40, 2)), np.repeat([0, 1], 20)
    plain = cross_validate(Ridge(), X, X[:, 0], cv=TaskKFold(4), groups=labels, return_indices=True)
    with sklearn.config_context(enable_metadata_routing=True):
        routed = cross_validate(Ridge(), X, X[:, 0], cv=TaskKFold(4), params={"groups": labels}, return_indices=True)
    for one, two in zip(plain["indices"]["test"], routed["indices"]["test"], strict=True):
        assert np.bincount(labels[one]).tolist() == [5, 5]
        np.testing.assert_array_equal(one, two)


WRONG = {
    "one fold": (lambda: TaskKFold(1), ValueError, "n_splits must be an integer of at least 2, got 1"),
    "half a fold": (lambda: TaskKFold(2.5), ValueError, "got 2.5"),
    "shuffle": (lambda: TaskKFold(shuffle="yes"), TypeError, "shuffle must be True or False, got 'yes'"),
    "useless seed": (lambda: TaskKFold(random_state=0), ValueError, "shuffle=True"),
    "no tasks": (lambda: next(TaskKFold(2).split(np.zeros((4, 1)))), ValueError, "task_col, groups"),
    "few rows": (lambda: next(TaskKFold(5).split(np.zeros((4, 1)), groups=[0] * 4)), ValueError, "4 rows, fewer"),
    "lengths": (lambda: next(TaskKFold(2).split(np.zeros((4, 1)), groups=[0] * 3)), ValueError, "3 rows, but X has 4"),
    "length of y": (lambda: next(TaskKFold(2).split(np.zeros((4, 1)), {"a": [1.0]})), ValueError, "y has 1 rows"),
    "missing label": (
        lambda: next(TaskKFold(2).split(np.zeros((2, 1)), groups=["a", None])),
        ValueError,
        "missing task labels",
    ),
    "unknown column": (lambda: next(TaskKFold(2, task_col=7).split(np.zeros((4, 1)))), ValueError, "task_col=7"),
}


@pytest.mark.parametrize(("do", "error", "message"), WRONG.values(), ids=WRONG)
def test_wrong_use_is_told(do, error, message):
    with pytest.raises(error, match=message):
        do()


# -- stack_tasks ------------------------------------------------------------------------------------


def test_stacked_targets_stand_on_the_rows_of_their_task():
    X, y = stack_tasks(
        {"a": np.array([[1.0], [2.0]]), "b": np.array([[3.0]]), "c": np.array([[4.0]])},
        {"b": [7], "a": [0.5, np.nan], "c": ["yes"]},
    )
    np.testing.assert_array_equal(X, [[1], [2], [3], [4]])
    assert list(y) == ["a", "b", "c"]
    np.testing.assert_array_equal(y["a"], [0.5, np.nan, np.nan, np.nan])
    assert y["b"].tolist() == [None, None, 7, None]
    assert y["c"].tolist() == [None, None, None, "yes"]


def test_sparse_tables_stay_sparse():
    X, _ = stack_tasks({0: sparse.csc_array(np.eye(2)), 1: sparse.csr_array(np.ones((1, 2)))}, {0: [1, 2], 1: [3]})
    assert sparse.issparse(X)
    assert X.format == "csr"
    np.testing.assert_array_equal(X.toarray(), [[1, 0], [0, 1], [1, 1]])


@pytest.mark.parametrize("package", ["pandas", "polars"])
def test_frames_stay_frames(package):
    frame = pytest.importorskip(package).DataFrame
    X, y = stack_tasks({"s": frame({"u": [1, 2]}), "t": frame({"u": [3.5]})}, {"s": [0.0, 1.0], "t": [2.0]})
    assert isinstance(X, frame)
    assert list(X.columns) == ["u"]
    np.testing.assert_array_equal(X["u"].to_numpy(), [1, 2, 3.5])
    assert len(y) == 3


def test_categories_stay_categories():
    pandas = pytest.importorskip("pandas")
    size = pandas.Series(["s", "l"], dtype=pandas.CategoricalDtype(["s", "m", "l"], ordered=True), index=[4, 5])
    _, y = stack_tasks({"price": [[0.0]], "size": [[1.0], [2.0]]}, {"price": [1.0], "size": size})
    assert y["size"].dtype == size.dtype
    assert y["size"].isna().tolist() == [True, False, False]


def test_stacked_tasks_are_learned_as_they_are_apart():
    rng = np.random.default_rng(0)
    X = {name: rng.normal(size=(20, 3)) for name in "ab"}
    y = {"a": X["a"] @ [1, 2, 3] + rng.normal(size=20), "b": (X["b"] @ [1, 2, 3] > 0).astype(int)}
    model = LowRankMultiTask(n_components=1, alpha=0.1)
    apart, stacked = clone(model).fit(X, y), model.fit(*stack_tasks(X, y))
    together = np.concatenate(list(X.values()))
    np.testing.assert_allclose(stacked.predict(together)["a"], apart.predict(together)["a"], rtol=1e-5)
    assert stacked.predict(together)["b"].dtype.kind == apart.predict(together)["b"].dtype.kind == "i"


A = np.zeros((2, 3))
WRONG_TASKS = {
    "X is no dict": (A, {"a": [1, 2]}, "X_by_task must be a dict"),
    "y is no dict": ({"a": A}, [1, 2], "y must be a dict"),
    "no task": ({}, {}, "empty dict"),
    "only in X": ({"a": A, "b": A}, {"a": [1, 2]}, "'b' is in X but not in y"),
    "only in y": ({"a": A}, {"a": [1, 2], "b": [1]}, "'b' is in y but not in X"),
    "lengths": ({"a": A, "b": A}, {"a": [1, 2], "b": [1]}, "task 'b' have different lengths: 2 rows and 1 targets"),
    "widths": ({"a": A, "b": A[:, :1]}, {"a": [1, 2], "b": [1, 2]}, "X of task 'b' has 1 features.*'a' has 3"),
    "flat X": ({"a": A, "b": A[0]}, {"a": [1, 2], "b": [1, 2, 3]}, r"X of task 'b' must be two-dim.*\(3,\)"),
    "wide y": ({"a": A}, {"a": A}, r"targets of task 'a' must be one-dimensional, got shape \(2, 3\)"),
    "sorts": ({"a": A, "b": sparse.csr_array(A)}, {"a": [1, 2], "b": [1, 2]}, "task 'b' is a scipy csr_array.*'a' a"),
}


@pytest.mark.parametrize(("X", "y", "message"), WRONG_TASKS.values(), ids=WRONG_TASKS)
def test_tasks_that_do_not_fit_are_named(X, y, message):
    with pytest.raises(ValueError, match=message):
        stack_tasks(X, y)


def test_frames_with_other_columns_are_named():
    frame = pytest.importorskip("pandas").DataFrame
    with pytest.raises(ValueError, match=r"X of task 'b' has the columns \['v'\], but that of task 'a' has \['u'\]"):
        stack_tasks({"a": frame({"u": [1]}), "b": frame({"v": [1]})}, {"a": [1], "b": [2]})
