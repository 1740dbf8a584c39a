"""R² and accuracy per task: what scikit-learn's metrics say on the rows that have a target."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.metrics import accuracy_score, r2_score

from skmtl.scoring import mean_score, score_task, score_tasks
from skmtl.tasks import Task


@pytest.mark.parametrize("weighted", [False, True])
def test_scores_are_those_of_scikit_learn_where_there_is_a_target(weighted):
    rng = np.random.RandomState(1)
    tasks = [Task("r", "regression"), Task("c", "count"), Task("b", "binary"), Task("m", "multiclass")]
    y = np.column_stack(
        [rng.normal(size=50), rng.poisson(3.0, 50), rng.randint(2, size=50), rng.randint(3, size=50)]
    )
    y[rng.uniform(size=y.shape) < 0.3] = np.nan
    predicted = np.column_stack(
        [rng.normal(size=50), rng.uniform(1, 5, 50), rng.randint(2, size=50), rng.randint(3, size=50)]
    )
    weight = rng.uniform(size=50) if weighted else None
    expected = []
    for t, metric in enumerate([r2_score, r2_score, accuracy_score, accuracy_score]):
        rows = ~np.isnan(y[:, t])
        expected.append(
            metric(y[rows, t], predicted[rows, t], sample_weight=None if weight is None else weight[rows])
        )
    np.testing.assert_allclose(score_tasks(tasks, y, predicted, sample_weight=weight), expected, rtol=1e-12)
    one_by_one = [score_task(task.kind, y[:, t], predicted[:, t], weight) for t, task in enumerate(tasks)]
    np.testing.assert_allclose(one_by_one, expected, rtol=1e-12)


def test_labelled_rows_score_as_the_matrix_does():
    rng = np.random.RandomState(2)
    tasks = [Task(t, "regression" if t % 2 else "binary") for t in range(4)]
    task_of_row = np.repeat(np.arange(4), 15)
    y, predicted, weight = rng.randint(2, size=(3, 60)).astype(float)
    matrix = np.full((60, 4), np.nan)
    matrix[np.arange(60), task_of_row] = y
    same = np.repeat(predicted[:, np.newaxis], 4, axis=1)
    np.testing.assert_allclose(
        score_tasks(tasks, y, predicted, task_of_row, weight), score_tasks(tasks, matrix, same, None, weight)
    )


def test_a_weight_per_row_and_task_counts_for_that_task():
    y, predicted = np.array([[0.0, 1.0], [1.0, 1.0]]), np.array([[0.0, 0.0], [0.0, 1.0]])
    weight = np.array([[3.0, 1.0], [1.0, 1.0]])
    tasks = [Task("a", "binary"), Task("b", "binary")]
    np.testing.assert_allclose(score_tasks(tasks, y, predicted, sample_weight=weight), [0.75, 0.5])


@pytest.mark.parametrize(("predicted", "score"), [([2.0, 2.0], 1.0), ([2.0, 3.0], 0.0)])
def test_constant_targets_score_as_in_scikit_learn(predicted, score):
    assert score_task("regression", [2.0, 2.0], predicted) == r2_score([2.0, 2.0], predicted) == score


def test_scores_that_are_not_defined_are_nan_and_left_out_of_the_mean():
    assert np.isnan(score_task("regression", [np.nan, 1.0], [1.0, 1.0]))
    assert np.isnan(score_task("binary", [None, None], ["a", "b"]))
    assert mean_score([0.5, np.nan, 1.0]) == 0.75
    with pytest.warns(UndefinedMetricWarning, match="No task has a defined score"):
        assert np.isnan(mean_score([np.nan]))
