"""Tasks that help a main task: the helpers that were planted, and hardly anything else."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from planted import planted_helpers, planted_relatives
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from skmtl import select_tasks


def counted(n_seeds, **options):
    """Helpers found and others picked, over some seeds."""
    helpers, others = [], []
    for seed in range(n_seeds):
        X, y = planted_helpers(seed, **options)
        selected = select_tasks(X, y, "main", random_state=0).selected
        helpers.append(sum(name.startswith("helper") for name in selected))
        others.append(len(selected) - helpers[-1])
    return np.array(helpers), np.array(others)


# A main task of 60 labels (rank 1: 40), 5 helpers and 25 other tasks of 100 labels each, 30 features, noise 1, signal
# 1.5. In two dimensions a helper may be all but orthogonal to the main task, and to be missed is right.
@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "found"),
    [
        pytest.param({}, 4.6, id="rank 2"),
        pytest.param({"rank": 1, "n_main": 40}, 4.9, id="rank 1", marks=pytest.mark.slow),
    ],
)
def test_helpers_are_found_among_many_other_tasks(options, found):
    helpers, others = counted(3, **options)
    assert helpers.mean() >= found
    assert others.mean() <= 0.5


@pytest.mark.slow
def test_helpers_in_two_and_three_dimensions_are_found_and_nothing_else():
    helpers, others = counted(10)
    assert helpers.mean() >= 4.8
    assert others.mean() <= 0.2
    helpers, others = counted(10, rank=3, n_helpers=8)
    assert helpers.mean() >= 6
    assert others.mean() <= 0.3


def test_noise_that_tasks_share_on_the_same_rows_does_not_help():
    for seed in range(3):
        rng = np.random.RandomState(seed)
        X, coef = rng.randn(80, 20), rng.randn(20, 12)
        noise = rng.randn(80, 1) + 0.5 * rng.randn(80, 12)
        y = X @ (1.5 * coef / np.linalg.norm(coef, axis=0)) + noise
        assert select_tasks(X, y, 0, random_state=0).selected == []


def test_helpers_are_found_among_a_few_other_tasks():
    helpers, others = counted(2, rank=1, n_main=30, n_rows=100, n_features=25, n_helpers=3, n_others=5)
    assert (helpers == 3).all()
    assert (others == 0).all()


def auc_with(tasks, X, y, coef):
    """Of the main task on new rows, by one logistic regression on the rows of some tasks."""
    model = LogisticRegression(C=0.1).fit(np.vstack([X[t] for t in tasks]), np.concatenate([y[t] for t in tasks]))
    rng = np.random.RandomState(99)
    rows = rng.randn(4000, len(coef["main"]))
    return roc_auc_score(rows @ coef["main"] + rng.logistic(size=4000) > 0, model.decision_function(rows))


@pytest.mark.parametrize("seeds", [range(2), pytest.param(range(2, 10), marks=pytest.mark.slow)])
def test_weak_relatives_are_found_that_only_help_together(seeds):
    """Main task alone: an AUC of .71; with one relative .74; with all eleven .79."""
    alone, one, found, everyone, n_found = [], [], [], [], []
    for seed in seeds:
        X, y, coef = planted_relatives(seed)
        selected = select_tasks(X, y, "main").selected
        n_found.append(len(selected))
        for tasks, to in ((["main"], alone), (["main", "relative0"], one), (["main", *selected], found), (y, everyone)):
            to.append(auc_with(list(tasks), X, y, coef))
    gain = np.mean(everyone) - np.mean(alone)
    assert np.mean(one) - np.mean(alone) < 0.7 * gain
    assert np.mean(found) - np.mean(alone) > 0.8 * gain
    assert np.median(n_found) >= 8


@pytest.mark.slow
def test_tasks_that_do_not_belong_are_rarely_chosen():
    def chosen(seed, **tasks):
        return select_tasks(*planted_relatives(seed, **tasks)[:2], "main").selected

    assert sum(bool(chosen(seed, n_relatives=0, n_others=7)) for seed in range(8)) <= 1
    among = [chosen(seed, n_relatives=6, n_others=5) for seed in range(8)]
    picked = [sum(name.startswith(kind) for names in among for name in names) / 8 for kind in ("relative", "other")]
    assert picked[0] > 3
    assert picked[1] <= 0.5


def test_nothing_is_selected_where_nothing_helps():
    _, others = counted(3, n_rows=60, n_features=10, n_helpers=0, n_others=6)
    assert others.mean() <= 0.4


@pytest.fixture(scope="module")
def problem():
    return planted_helpers(0, rank=1, n_main=30, n_rows=60, n_features=10, n_helpers=2, n_others=3)


def test_the_main_task_is_predicted_better_with_what_was_selected(problem):
    found = select_tasks(*problem, "main", random_state=0)
    errors = [error for _, error, _, _ in found.path]
    assert errors[-1] < 0.9 * found.alone
    assert all(gain > 0 and error > 0 for _, _, gain, error in found.path)
    assert found.rank == 1


def test_the_long_form_and_the_order_of_tasks_give_the_same_selection(problem):
    X, y = problem
    expected = select_tasks(X, y, "main", random_state=0)
    turned = select_tasks(dict(reversed(X.items())), dict(reversed(y.items())), "main", random_state=0)
    assert turned.selected == expected.selected
    table = pd.concat([pd.DataFrame(rows).add_prefix("x").assign(task=name) for name, rows in X.items()])
    long = select_tasks(table, np.concatenate(list(y.values())), "main", task_col="task", random_state=0)
    assert long.selected == expected.selected


def test_one_x_with_gaps_and_classes_is_taken():
    rng = np.random.RandomState(0)
    X = rng.randn(120, 6)
    raw = X @ rng.randn(6)
    y = {"main": raw + rng.randn(120), "twin": np.where(raw > 0, "yes", "no"), "noise": rng.randn(120)}
    y["main"][40:] = np.nan
    assert select_tasks(X, y, "main", random_state=0).selected == ["twin"]


def test_the_answer_is_readable(problem):
    found = select_tasks(*problem, "main", random_state=0)
    assert repr(found).startswith("TaskSelection: 2 tasks that help 'main'\n  alone: held-out error 0.")
    assert found.to_frame().columns.tolist() == ["task", "error", "gain", "standard_error"]
    X, y = planted_helpers(1, n_rows=50, n_features=5, n_helpers=0, n_others=0)
    assert repr(select_tasks(X, y, "main")).startswith("TaskSelection: no task that helps 'main'")


def test_an_unknown_main_task_is_refused(problem):
    with pytest.raises(ValueError, match=r"main must be one of the tasks \['main', 'helper0',.*got 'chief'"):
        select_tasks(*problem, "chief")


@pytest.mark.parametrize("n_rows", [1, 30])
def test_features_that_do_not_vary_are_refused(n_rows):
    # 0.1 is no binary fraction: rounding must not pass for variation.
    X, y = np.full((n_rows, 3), 0.1), {name: np.arange(n_rows) * 1.5 for name in "ab"}
    with pytest.raises(ValueError, match="No feature of X differs between rows with a target"):
        select_tasks(X, y, "a")


def test_constant_targets_neither_help_nor_are_helped(problem):
    X, y = problem
    y = {**y, "helper0": np.full(len(y["helper0"]), 0.1)}
    assert "helper0" not in select_tasks(X, y, "main", random_state=0).selected
    assert select_tasks(X, y, "helper0", random_state=0).selected == []


def test_the_answer_says_what_gain_could_have_been_seen():
    """Four times the rows: errors about half as large, and so the smallest gain that is seen."""
    found = []
    for n_rows in (100, 400):
        several = []
        for seed in range(3):
            rng = np.random.default_rng(seed)
            X = rng.standard_normal((n_rows, 5))
            y = X @ rng.standard_normal((5, 6)) * 0.3 + rng.standard_normal((n_rows, 6))
            selection = select_tasks(X, y, main=0, random_state=seed)
            assert f"gain below about {selection.detectable:.3f} could not be told from none" in repr(selection)
            several.append(selection.detectable)
        found.append(np.mean(several))
    assert 0 < found[1] < 0.75 * found[0]
    X, constant = np.random.default_rng(0).standard_normal((30, 3)), np.ones(30)
    y = {"a": X[:, 0] + 0.1 * X[:, 1], "b": constant}
    assert np.isnan(select_tasks(X, y, "a", kinds="regression").detectable)
