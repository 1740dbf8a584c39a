"""R² and accuracy per task: what scikit-learn's metrics say on the rows that have a target."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.metrics import accuracy_score, r2_score

from skmtl.scoring import mean_score, score_task

TASKS = {
    "regression": (lambda rng: rng.normal(size=50), lambda rng: rng.normal(size=50), r2_score),
    "count": (lambda rng: rng.poisson(3.0, size=50), lambda rng: rng.uniform(1, 5, size=50), r2_score),
    "binary": (lambda rng: rng.choice([False, True], 50), lambda rng: rng.choice([False, True], 50), accuracy_score),
    "multiclass": (lambda rng: rng.choice(list("abc"), 50), lambda rng: rng.choice(list("abc"), 50), accuracy_score),
}


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("kind", TASKS)
def test_a_score_is_that_of_scikit_learn_where_there_is_a_target(kind, weighted):
    draw, predict, metric = TASKS[kind]
    rng = np.random.RandomState(1)
    complete, predicted, seen = draw(rng), predict(rng), rng.uniform(size=50) < 0.7
    weight = rng.uniform(size=50) if weighted else None
    expected = metric(complete[seen], predicted[seen], sample_weight=weight[seen] if weighted else None)
    y = np.where(seen, complete.astype(object), None)
    assert score_task(kind, y, predicted, weight) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(("predicted", "score"), [([2.0, 2.0], 1.0), ([2.0, 3.0], 0.0)])
def test_constant_targets_score_as_in_scikit_learn(predicted, score):
    assert score_task("regression", [2.0, 2.0], predicted) == r2_score([2.0, 2.0], predicted) == score


def test_constant_targets_are_told_from_rounding():
    assert score_task("regression", [0.1] * 3, [0.2] * 3) == 0.0


@pytest.mark.parametrize(("kind", "predicted"), [("regression", [1.0, 5.0, 3.0]), ("binary", [1, 0, 1])])
def test_a_target_of_weight_zero_is_not_there(kind, predicted):
    y, weight = np.array([1.0, 1.0, 0.0]), np.array([1.0, 0.0, 2.0])
    without = score_task(kind, y[[0, 2]], np.array(predicted)[[0, 2]], weight[[0, 2]])
    assert score_task(kind, y, predicted, weight) == without
    assert np.isnan(score_task(kind, y, predicted, np.zeros(3)))


def test_scores_that_are_not_defined_are_nan_and_left_out_of_the_mean():
    assert np.isnan(score_task("regression", [np.nan, 1.0], [1.0, 1.0]))
    assert np.isnan(score_task("binary", [None, None], ["a", "b"]))
    assert mean_score([0.5, np.nan, 1.0]) == 0.75
    with pytest.warns(UndefinedMetricWarning, match="No task has a defined score"):
        assert np.isnan(mean_score([np.nan]))
