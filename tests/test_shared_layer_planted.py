"""Tasks whose bends are known: a shared layer must find them where models of single tasks and straight ones cannot.

The test targets have no noise, so that their squared error is the excess risk.
"""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPRegressor

from skmtl import LowRankRegressorCV, SharedLayerRegressor

curved = pytest.importorskip("benchmarks.curved")
each, jointly, planted, straight = curved.each, curved.jointly, curved.planted, curved.straight
pytestmark = pytest.mark.slow


def boosted(is_class, n):
    return HistGradientBoostingRegressor(min_samples_leaf=5, random_state=0)


def network(is_class, n):
    one = MLPRegressor(hidden_layer_sizes=(32,), solver="lbfgs", max_iter=200, random_state=0)
    return GridSearchCV(one, {"alpha": [0.1, 1.0, 10.0]}, cv=3)


def risk(answers, data):
    train, test = data
    found = answers(train, test)
    return float(np.mean([np.nanmean((y - p) ** 2) for y, p in zip(test.Y.T, found.T, strict=True)]))


LAYER, LINEAR = jointly(SharedLayerRegressor(), None), jointly(LowRankRegressorCV(), None)


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")  # of the networks of single tasks
def test_forty_tasks_of_sixty_labels_find_the_four_units_that_they_share(seed):
    data = planted(seed)
    others = [risk(answers, data) for answers in (LINEAR, each(boosted), each(network))]
    assert risk(LAYER, data) <= 0.5 * min(others)


@pytest.mark.parametrize("seed", [0, 1])
def test_one_bent_unit_among_nine_straight_ones_is_no_worse_than_the_linear_model(seed):
    data = planted(seed, n_straight=9)
    assert risk(LAYER, data) <= 1.01 * risk(LINEAR, data)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_straight_tasks_are_left_to_the_linear_model(seed):
    train, test = straight(seed)
    model = SharedLayerRegressor().fit(train.X, train.Y)
    assert model.n_hidden_ == 0
    assert risk(LAYER, (train, test)) <= 1.01 * risk(LINEAR, (train, test))
