"""Groups of tasks: those that were planted are found, and their number."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from planted import planted_groups
from sklearn.metrics import adjusted_rand_score

from skmtl import group_tasks

KINDS = ("regression", "binary", "count")


def declared(y, kinds):
    """Counts have to be declared: whole numbers are regression else."""
    return {name: "count" for t, name in enumerate(y) if kinds[t % len(kinds)] == "count"} or None


def recovered(n_seeds, kinds=("regression",), **options):
    """Adjusted Rand index and number of groups over some seeds."""
    scores, numbers = [], []
    for seed in range(n_seeds):
        X, y, labels, _ = planted_groups(seed, kinds=kinds, **options)
        found = group_tasks(X, y, kinds=declared(y, kinds), random_state=0)
        scores.append(adjusted_rand_score(labels, found.labels))
        numbers.append(found.n_groups)
    return np.array(scores), np.array(numbers)


# 3 groups of 15 tasks, 30 labels each, 40 features, noise 1 and signal 1.5 (mixed kinds: 2): fewer labels than
# features, and within a group of rank 2 coefficient vectors are not parallel. Five seeds each.
@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "index"),
    [({}, 0.9), ({"rank": 1}, 0.9), ({"own_rows": False}, 0.9), ({"kinds": KINDS, "signal": 2.0}, 0.8)],
    ids=["own rows", "rank 1", "one X", "mixed kinds"],
)
def test_planted_groups_and_their_number_are_found(options, index):
    scores, numbers = recovered(5, **options)
    assert scores.mean() >= index
    assert (numbers == 3).all()


@pytest.mark.slow
@pytest.mark.parametrize(
    "options", [{"rank": 1, "per_group": 8}, {"own_rows": False, "per_group": 6, "n_rows": 60, "rank": 1}]
)
def test_small_planted_groups_are_found(options):
    scores, numbers = recovered(1, n_features=20, **options)
    assert scores.min() > 0.9
    assert (numbers == 3).all()


@pytest.mark.parametrize("own_rows", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_tasks_that_all_belong_together_are_one_group(own_rows):
    _, numbers = recovered(1, n_groups=1, per_group=12, n_rows=40, n_features=15, rank=2, own_rows=own_rows)
    assert (numbers == 1).all()


def test_noise_is_not_grouped():
    _, numbers = recovered(1, per_group=4, n_features=10, signal=1e-3)
    assert (numbers == 1).all()


@pytest.mark.slow
def test_an_unrelated_task_with_labels_enough_stands_alone():
    X, y, labels, _ = planted_groups(0, n_groups=2, per_group=8, n_rows=100, n_features=15, rank=1, n_outliers=1)
    found = group_tasks(X, y, random_state=0)
    assert adjusted_rand_score(labels, found.labels[:16]) == 1.0
    assert ["t16"] in found.groups
    assert found.n_groups == 3


@pytest.fixture(scope="module")
def two_groups():
    return planted_groups(1, n_groups=2, per_group=5, n_rows=60, n_features=10, rank=1, own_rows=False)


def test_every_form_of_the_same_data_gives_the_same_groups(two_groups):
    X, y, labels, _ = two_groups
    expected = group_tasks(X, y, 2, random_state=0)
    assert adjusted_rand_score(labels, expected.labels) == 1.0
    for other in (pd.DataFrame(y), np.array(list(y.values())).T):
        assert group_tasks(X, other, 2, random_state=0).labels.tolist() == expected.labels.tolist()


def test_own_rows_and_the_long_form_agree():
    X, y, _, _ = planted_groups(2, n_groups=2, per_group=4, n_rows=50, n_features=8, rank=1)
    table = pd.concat([pd.DataFrame(rows).add_prefix("x").assign(task=name) for name, rows in X.items()])
    long = group_tasks(table, np.concatenate(list(y.values())), task_col="task", n_groups=2, random_state=0)
    assert long.groups == group_tasks(X, y, 2, random_state=0).groups


@pytest.mark.slow
def test_order_of_tasks_does_not_matter_and_a_seed_is_a_result(two_groups):
    X, y, _, _ = two_groups
    found = group_tasks(X, y, 3, random_state=3)
    turned = group_tasks(X, dict(reversed(y.items())), 3, random_state=3)
    assert {frozenset(group) for group in found.groups} == {frozenset(group) for group in turned.groups}
    np.testing.assert_allclose(np.array(found.path), np.array(turned.path), rtol=1e-6, atol=1e-9)
    assert group_tasks(X, y, 3, random_state=3).path == found.path


@pytest.mark.parametrize("n_groups", [1, 2, 3, 10])
def test_a_given_number_of_groups_is_kept(two_groups, n_groups):
    X, y, labels, _ = two_groups
    found = group_tasks(X, y, n_groups, random_state=0)
    assert found.n_groups == n_groups
    assert sorted(name for group in found.groups for name in group) == sorted(y)
    if n_groups == 2:
        assert adjusted_rand_score(labels, found.labels) == 1.0


@pytest.mark.slow
def test_classes_of_three_are_grouped_too():
    X, y, labels, _ = planted_groups(
        3, n_groups=2, per_group=5, n_rows=150, n_features=8, rank=1, own_rows=False, kinds=("multiclass", "regression")
    )
    assert adjusted_rand_score(labels, group_tasks(X, y, random_state=0).labels) == 1.0


def test_the_answer_is_readable(two_groups):
    X, y, _, _ = two_groups
    found = group_tasks(X, y, random_state=0)
    assert repr(found).startswith("TaskGroups of 10 tasks in 2 groups\n  0: t00")
    assert found.to_frame()["task"].tolist() == list(y)
    assert [found.groups[label][0] for label in (0, 1)] == [found.tasks[found.labels.tolist().index(g)] for g in (0, 1)]
    tried = {(number, rank): loss for number, rank, loss, _, _ in found.path}
    assert tried[2, 1] == min(tried.values())


@pytest.mark.parametrize("n_groups", [0, 11, 2.0, True, "two"])
def test_a_bad_number_of_groups_is_refused(two_groups, n_groups):
    X, y, _, _ = two_groups
    with pytest.raises(ValueError, match=r"n_groups must be None or an integer from 1 to 10, the tasks; got"):
        group_tasks(X, y, n_groups)


@pytest.mark.parametrize("n_rows", [1, 30])
def test_features_that_do_not_vary_are_refused(n_rows):
    # 0.1 is no binary fraction: rounding must not pass for variation.
    X, y = np.full((n_rows, 3), 0.1), {name: np.arange(n_rows) * 1.5 for name in "ab"}
    with pytest.raises(ValueError, match="No feature of X differs between rows with a target"):
        group_tasks(X, y)
