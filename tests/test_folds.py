"""``cv=5`` means shuffled folds, balanced by task and class, seeded, and the same in every form of the same data."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse
from sklearn.linear_model import Ridge, RidgeCV
from sklearn.model_selection import GroupKFold, KFold, StratifiedKFold, TimeSeriesSplit

from skmtl import (
    LowRankClassifierCV,
    LowRankMultiTask,
    LowRankRegressorCV,
    TaskKFold,
    TaskTargets,
    group_tasks,
    select_tasks,
    stack_tasks,
    transfer_curve,
    transfer_report,
)
from skmtl.datasets import make_multitask
from skmtl.model_selection.shuffled_folds import shuffled_folds
from skmtl.tasks import Task, TaskData
from skmtl.transfer.folds import outer_folds
from skmtl.transfer.report import tasks_for

GRID = {"n_components": 1, "alpha": [1.0, 0.1, 0.01], "alpha_common": None, "alpha_own": None, "factor_prior": "ridge"}
SHUFFLED = TaskKFold(5, shuffle=True, random_state=0)


def fold_scores(model):
    """Scores of all candidates on all folds: rows that move from one fold to another change them."""
    return np.array([model.cv_results_[f"split{k}_test_score"] for k in range(model.n_splits_)])


def assert_same_folds(one, other, rtol=1e-6):
    np.testing.assert_allclose(fold_scores(one), fold_scores(other), rtol=rtol)
    assert one.best_params_ == other.best_params_


def fold_of_rows(splits, n_rows):
    fold = np.full(n_rows, -1)
    for k, (train, test) in enumerate(splits):
        np.testing.assert_array_equal(np.sort(np.concatenate([train, test])), np.arange(n_rows))
        fold[test] = k
    return fold


def task_data(y, classes=None):
    """`TaskData` of a matrix of targets without features: of numbers, or of classes."""
    labels = None if classes is None else np.arange(classes)
    kind = {None: "regression", 2: "binary"}.get(classes, "multiclass")
    return TaskData(np.empty((len(y), 0)), tuple(Task(t, kind, labels) for t in range(y.shape[1])), y)


def two_targets_of_three_classes(seed=0):
    """As large as edm, whose array and dict forms were split in different ways."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(154, 16))
    raw = X[:, :2] @ rng.normal(size=(2, 2)) + rng.normal(size=(154, 2))
    return X, np.digitize(raw, [-1.0, 0.8]) - 1


# -- a number stands for the folds of a splitter that is there for all ------------------------------


@pytest.mark.parametrize("cv", [None, 5])
def test_a_number_means_task_kfold_shuffled_from_the_seed_zero(cv):
    X, y = make_multitask(60, 5, 4, missing=0.3, random_state=0)
    assert_same_folds(LowRankRegressorCV(**GRID, cv=cv).fit(X, y), LowRankRegressorCV(**GRID, cv=SHUFFLED).fit(X, y))


def test_the_folds_follow_random_state():
    X, y = make_multitask(60, 5, 4, random_state=0)
    seeded = LowRankRegressorCV(**GRID, random_state=3).fit(X, y)
    splitter = TaskKFold(5, shuffle=True, random_state=3)
    assert_same_folds(seeded, LowRankRegressorCV(**GRID, cv=splitter).fit(X, y))
    default = LowRankRegressorCV(**GRID).fit(X, y)
    assert_same_folds(default, LowRankRegressorCV(**GRID, random_state=0).fit(X, y))
    assert np.abs(fold_scores(default) - fold_scores(seeded)).max() > 1e-3


def test_a_random_state_gives_every_fit_a_seed():
    X, y = make_multitask(60, 5, 4, random_state=0)
    model = LowRankRegressorCV(**GRID, random_state=np.random.RandomState(0))
    first, second = (fold_scores(model.fit(X, y)) for _ in range(2))
    assert np.abs(first - second).max() > 1e-3
    again = LowRankRegressorCV(**GRID, random_state=np.random.RandomState(0)).fit(X, y)
    np.testing.assert_array_equal(fold_scores(again), first)


@pytest.mark.parametrize("cv", [KFold(3), TimeSeriesSplit(3), TaskKFold(3)], ids=lambda cv: type(cv).__name__)
def test_a_splitter_is_taken_as_it_is(cv):
    X, y = make_multitask(60, 5, 4, random_state=0)
    given = LowRankRegressorCV(**GRID, cv=cv).fit(X, y)
    assert_same_folds(given, LowRankRegressorCV(**GRID, cv=list(cv.split(X, TaskTargets(y)))).fit(X, y))


def test_groups_are_for_splitters_and_a_number_of_folds_says_so():
    X, y = make_multitask(60, 5, 4, random_state=0)
    groups = np.arange(60) // 6
    by_groups = LowRankRegressorCV(**GRID, cv=GroupKFold(5)).fit(X, y, groups=groups)
    assert_same_folds(by_groups, LowRankRegressorCV(**GRID, cv=list(GroupKFold(5).split(X, groups=groups))).fit(X, y))
    with pytest.warns(UserWarning, match=r"groups have no effect on cv=5; .*GroupKFold\(5\)"):
        LowRankRegressorCV(**GRID, cv=5).fit(X, y, groups=groups)


# -- the same folds in every form --------------------------------------------------------------------


ONE_X = {
    "array": lambda X, Y: (X, Y),
    "dict": lambda X, Y: (X, {"speed": Y[:, 0], "depth": Y[:, 1]}),
    "TaskTargets": lambda X, Y: (X, TaskTargets({"speed": Y[:, 0], "depth": Y[:, 1]})),
    "pandas": lambda X, Y: (pd.DataFrame(X), pd.DataFrame(Y, columns=["speed", "depth"])),
    "nullable": lambda X, Y: (X, pd.DataFrame(Y, columns=["speed", "depth"]).astype("Int8")),
    "floats": lambda X, Y: (X, Y.astype(np.float32)),
    "words": lambda X, Y: (X, np.array(["low", "mid", "top"], dtype=object)[Y + 1]),
    "sparse X": lambda X, Y: (sparse.csc_matrix(X), Y),
    "rows without a target": lambda X, Y: (np.vstack([X, X[:9]]), np.vstack([Y, np.full((9, 2), np.nan)])),
}


@pytest.fixture(scope="module")
def classified():
    X, Y = two_targets_of_three_classes()
    return X, Y, LowRankClassifierCV(**GRID).fit(X, Y)


@pytest.mark.parametrize("form", ONE_X.values(), ids=ONE_X)
def test_one_x_has_the_same_folds_whatever_holds_the_classes(classified, form):
    X, Y, expected = classified
    if form is ONE_X["floats"]:  # numbers with a fraction could be measurements: these have none
        form = lambda X, Y: (X, Y.astype(float))  # noqa: E731
    assert_same_folds(LowRankClassifierCV(**GRID).fit(*form(X, Y)), expected, rtol=1e-5)


@pytest.mark.parametrize("missing", [0.0, 0.4])
def test_so_have_numbers_with_and_without_gaps(missing):
    X, y = make_multitask(50, 6, 5, missing=missing, random_state=0)
    expected = LowRankRegressorCV(**GRID).fit(X, y)
    frame = pd.DataFrame(dict(y))
    for form in (np.column_stack(list(y.values())), frame, frame.astype("Float64")):
        assert_same_folds(LowRankRegressorCV(**GRID).fit(X, form), expected)


def own_rows(kinds, seed=0):
    """Tasks of unequal length, not in the order of their names."""
    X, y = make_multitask(25, 5, 4, n_components=1, own_rows=True, kinds=kinds, random_state=seed)
    names = dict(zip(X, ["west", "east", "north", "south"], strict=True))
    sizes = dict(zip(X, [25, 13, 22, 8], strict=True))
    return (
        {name: X[task][: sizes[task]] for task, name in names.items()},
        {name: y[task][: sizes[task]] for task, name in names.items()},
    )


def mixed_up(X, y, seed=0):
    """The long form with the tasks' rows in turn; rows of one task keep their order."""
    rows = pd.concat([pd.DataFrame(X[name]).assign(place=name, target=y[name]) for name in X])
    turn = np.random.default_rng(seed).permutation(np.repeat(list(X), [len(y[name]) for name in X]))
    rows = pd.concat([one for _, one in rows.groupby("place")])
    position = np.empty(len(turn), dtype=int)
    for name in X:
        position[np.flatnonzero(turn == name)] = np.flatnonzero(rows["place"] == name)
    rows = rows.iloc[position].rename(columns=str)
    return rows.drop(columns="target"), rows["target"].to_numpy()


@pytest.mark.parametrize(("kinds", "tuned"), [("regression", LowRankRegressorCV), ("binary", LowRankClassifierCV)])
def test_own_rows_stacked_targets_and_long_form_have_the_same_folds(kinds, tuned):
    X, y = own_rows(kinds)
    expected = tuned(**GRID).fit(X, y)
    assert_same_folds(tuned(**GRID).fit(*stack_tasks(X, y)), expected, rtol=1e-4)
    assert_same_folds(tuned(**GRID, task_col="place").fit(*mixed_up(X, y)), expected, rtol=1e-4)
    turned = dict(reversed(X.items())), dict(reversed(y.items()))
    assert_same_folds(tuned(**GRID).fit(*turned), expected, rtol=1e-4)


def test_rows_of_weight_zero_are_as_good_as_rows_that_are_not_there():
    X, y = make_multitask(60, 5, 4, random_state=0)
    weight = np.r_[np.ones(45), np.zeros(15)]
    weighted = LowRankRegressorCV(**GRID).fit(X, y, sample_weight=weight)
    assert_same_folds(weighted, LowRankRegressorCV(**GRID).fit(X[:45], y[np.arange(45)]))


def test_units_of_the_targets_do_not_matter():
    X, y = own_rows("regression")
    other = {name: 1000 * column + 5 for name, column in y.items()}
    assert_same_folds(LowRankRegressorCV(**GRID).fit(X, other), LowRankRegressorCV(**GRID).fit(X, y), rtol=1e-5)


# -- an equal share of every task and class ----------------------------------------------------------


def test_classes_of_one_task_are_stratified_as_scikit_learn_does():
    y = np.random.default_rng(0).choice(3, size=101, p=[0.6, 0.3, 0.1])
    ours = fold_of_rows(shuffled_folds(task_data(y[:, None].astype(float), 3), 4, 0), 101)
    theirs = fold_of_rows(StratifiedKFold(4, shuffle=True, random_state=0).split(np.zeros((101, 1)), y), 101)
    for label in range(3):
        counts = [np.bincount(fold[y == label], minlength=4) for fold in (ours, theirs)]
        np.testing.assert_array_equal(*map(np.sort, counts))


def test_rows_of_a_class_are_shuffled():
    data = task_data(np.repeat([0.0, 1.0], 50)[:, None], 2)
    folds = [fold_of_rows(shuffled_folds(data, 5, seed), 100) for seed in range(20)]
    # Of neighbours, a fifth are in the same fold by chance; in blocks nearly all would be, dealt in turn none.
    same = np.mean([fold[:-1] == fold[1:] for fold in folds])
    assert 0.15 < same < 0.25


@pytest.mark.parametrize("n_tasks", [2, 12])
def test_so_are_rows_that_all_differ_in_their_classes(n_tasks):
    y = np.random.default_rng(0).integers(0, 2, size=(100, n_tasks)).astype(float)
    y[:, 0] = np.arange(100) % 2
    folds = np.array([fold_of_rows(shuffled_folds(task_data(y, 2), 5, seed), 100) for seed in range(20)])
    assert 0.14 < np.mean(folds[:, :-1] == folds[:, 1:]) < 0.26
    assert len(np.unique(folds, axis=0)) == 20


@given(
    pairs=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2)), min_size=4, max_size=60),
    n_splits=st.integers(2, 4),
    seed=st.integers(0, 3),
)
def test_rows_of_their_own_are_dealt_exactly(pairs, n_splits, seed):
    task, code = np.array(pairs).T
    tasks = tuple(Task(t, "multiclass", np.arange(3)) for t in range(4))
    data = TaskData(np.empty((len(task), 0)), tasks, code.astype(float), task)
    fold = fold_of_rows(shuffled_folds(data, n_splits, seed), len(task))
    for stratum in (np.zeros(len(task)), task, 3 * task + code):
        counts = [np.bincount(fold[stratum == one], minlength=n_splits) for one in np.unique(stratum)]
        assert np.ptp(counts, axis=1).max() <= 1


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("n_rows", "n_tasks", "share"), [(150, 100, 0.03), (300, 40, 0.1), (200, 12, 1.0)])
def test_tasks_that_share_rows_are_balanced_with_their_classes(n_rows, n_tasks, share, seed):
    rng = np.random.default_rng(seed)
    y = (rng.random((n_rows, n_tasks)) < rng.uniform(0.1, 0.5, size=n_tasks)).astype(float)
    y[rng.random(y.shape) > share] = np.nan
    splits = shuffled_folds(task_data(y, 2), 5, seed)
    for of_stratum in (~np.isnan(y), y == 1, y == 0):
        counts = np.array([of_stratum[test].sum(axis=0) for _, test in splits])
        assert np.ptp(counts, axis=0).max() <= 3
        enough = of_stratum.sum(axis=0) >= 2
        assert all(of_stratum[train][:, enough].any(axis=0).all() for train, _ in splits)


def test_fewer_rows_than_folds_are_counted_where_they_have_a_target():
    y = np.full((20, 2), np.nan)
    y[:4] = 1.0
    with pytest.raises(ValueError, match="n_samples=4 rows with a target, fewer than n_splits=5"):
        shuffled_folds(task_data(y), 5, 0)


# -- what shuffling is for ---------------------------------------------------------------------------


def in_time_order(seed, n_rows=240, n_features=10, n_tasks=8):
    """A table in time order: features and targets drift, which says nothing about a time that was not seen."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_rows, n_features)).cumsum(axis=0)
    return X, rng.normal(size=(n_rows, n_tasks)).cumsum(axis=0) / 4 + 0.3 * rng.normal(size=(n_rows, n_tasks))


@pytest.mark.slow
def test_a_table_in_time_order_is_tuned_as_well_as_the_same_rows_in_another_order():
    errors = {"in order": [], "mixed up": [], "RidgeCV": []}
    for seed in range(4):
        X, Y = in_time_order(seed)
        held_out = np.random.default_rng(seed).random(len(X)) < 1 / 3
        X_train, Y_train = X[~held_out], Y[~held_out]
        mixed = np.random.default_rng(100 + seed).permutation(len(X_train))
        free = {"alpha_common": None, "alpha_own": None, "factor_prior": "ridge", "feature_prior": "ridge"}
        models = {
            "in order": LowRankRegressorCV(**free).fit(X_train, Y_train),
            "mixed up": LowRankRegressorCV(**free).fit(X_train[mixed], Y_train[mixed]),
            "RidgeCV": RidgeCV(np.logspace(-3, 4, 22)).fit(X_train, Y_train),  # leaves out single rows
        }
        for name, model in models.items():
            errors[name].append(np.mean((Y[held_out] - model.predict(X[held_out])) ** 2 / Y[held_out].var(axis=0)))
    mean = {name: np.mean(values) for name, values in errors.items()}
    # Folds of neighbours take it from .27 to .35.
    assert mean["in order"] < 1.02 * mean["mixed up"]
    assert mean["in order"] < 1.02 * mean["RidgeCV"]


# -- reports, curves, groups and selections ----------------------------------------------------------


def frames_of(function):
    return [function(random_state=seed).to_frame() for seed in (None, 0, 1)]


@pytest.fixture(scope="module")
def table():
    X, y = make_multitask(60, 5, 3, n_components=1, random_state=0)
    return X, np.column_stack(list(y.values()))


def test_a_report_draws_the_folds_of_the_tuned_classes(table):
    default, seeded, other = frames_of(lambda random_state: transfer_report(Ridge(), *table, random_state=random_state))
    pd.testing.assert_frame_equal(default, seeded)
    assert not default["joint"].equals(other["joint"])
    pd.testing.assert_frame_equal(default, transfer_report(Ridge(), *table, cv=SHUFFLED).to_frame())


def test_a_random_state_gives_every_report_a_seed(table):
    state = np.random.RandomState(0)
    one, two = (transfer_report(Ridge(), *table, random_state=state).to_frame() for _ in range(2))
    assert not one["joint"].equals(two["joint"])
    again = transfer_report(Ridge(), *table, random_state=np.random.RandomState(0)).to_frame()
    pd.testing.assert_frame_equal(again, one)


@pytest.mark.parametrize("kinds", ["regression", "binary"])
def test_own_rows_stacked_targets_and_long_form_are_reported_on_the_same_folds(kinds):
    X, y = own_rows(kinds)
    y["west"] = np.where(np.arange(25) == 3, np.nan, y["west"])  # a row without a target is in no task
    rows_of = []
    for model, form in [
        (LowRankMultiTask(), (X, y)),
        (LowRankMultiTask(), stack_tasks(X, y)),
        (LowRankMultiTask(task_col="place"), mixed_up(X, y)),
    ]:
        table = tasks_for(model, *form)
        folds = outer_folds(table, 3)
        place = dict(zip(table.names, table.rows, strict=True))
        rows_of.append({name: [np.isin(place[name], test).tolist() for _, test in folds] for name in X})
    assert rows_of[0] == rows_of[1] == rows_of[2]


@pytest.mark.slow
def test_a_curve_takes_none_as_the_seed_zero(table):
    strengths = [None, 0.1, 1.0]
    model = LowRankRegressorCV(n_components=1, alpha=0.1, alpha_common=strengths, alpha_own=strengths, cv=2)
    how = {"n_labels": [10], "cv": 2}
    frames = frames_of(lambda random_state: transfer_curve(model, *table, **how, random_state=random_state))
    pd.testing.assert_frame_equal(frames[0], frames[1])
    assert not frames[0].equals(frames[2])


def test_a_selection_needs_no_seed_to_be_the_same_again():
    X, y = make_multitask(40, 3, 4, n_components=1, noise=2.0, random_state=0)
    one, two = (select_tasks(X, y, main="task_0") for _ in range(2))
    assert (one.path, one.alone) == (two.path, two.alone)
    assert one.alone != select_tasks(X, y, main="task_0", random_state=1).alone


@pytest.mark.slow
def test_nor_do_groups():
    X, y = make_multitask(60, 5, 6, n_components=1, noise=2.0, random_state=0)
    one, two = (group_tasks(X, y, 2) for _ in range(2))
    assert (one.groups, one.path) == (two.groups, two.path)
