"""scikit-learn's own contract, for every estimator and without a single expected failure."""

from __future__ import annotations

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from skmtl.estimators import LowRankClassifier, LowRankMultiTask, LowRankRegressor


# The checks hand over small integers as targets, and being told so is a promise of its own.
@pytest.mark.filterwarnings("ignore:Tasks .* hold whole numbers:UserWarning")
@parametrize_with_checks([LowRankRegressor(), LowRankClassifier(), LowRankMultiTask()])
def test_scikit_learns_own_checks_pass(estimator, check):
    check(estimator)
