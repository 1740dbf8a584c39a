"""scikit-learn's own contract, for every estimator and without a single expected failure at its defaults.

One variant leaves one check out: how far a prior learned from classes is believed is decided on held-out folds, and
rows repeated are dealt to other folds than rows weighted, as inside of scikit-learn's own cross-validated classes.
"""

from __future__ import annotations

import pytest
from sklearn.utils.estimator_checks import estimator_checks_generator

from skmtl import (
    LowRankClassifier,
    LowRankClassifierCV,
    LowRankMultiTask,
    LowRankMultiTaskCV,
    LowRankRegressor,
    LowRankRegressorCV,
    SharedLayerClassifier,
    SharedLayerMultiTask,
    SharedLayerRegressor,
)

#: Few candidates and folds: the checks fit hundreds of times.
# Strengths at which the checks' 15 rows of 30 features end where rounding does not show: weights and repeated rows are
# to agree to 1e-7, and a weaker fit, of some 70 steps, takes a few more or fewer from one processor to another.
FEW = {"n_components": 2, "alpha": [0.3, 0.1], "alpha_common": None, "factor_prior": "ridge", "cv": 2}
#: A single strength, at which rounding does not grow along the way of the networks.
FEW_UNITS = {"n_hidden": 4, "n_linear": 2, "alpha": 0.3, "cv": 3, "max_iter": 40, "tol": 0.01}
ESTIMATORS = [
    LowRankRegressor(),
    LowRankClassifier(),
    LowRankMultiTask(),
    LowRankRegressorCV(**FEW, alpha_own=[None, 0.1]),
    # Weights and repeated rows are to agree to 1e-7: a fit at a binding rank is stationary to `tol`, not as exact.
    LowRankClassifierCV(**FEW | {"n_components": None}, alpha_own=None),
    LowRankMultiTaskCV(**FEW, alpha_own=[None, 0.1]),
    SharedLayerRegressor(**FEW_UNITS),
    SharedLayerClassifier(**FEW_UNITS),
    SharedLayerMultiTask(**FEW_UNITS),
]
#: The same classes in other moods.
VARIANTS = [
    LowRankRegressor(scale_targets="residual"),
    LowRankMultiTask(scale_targets="residual", factor_prior="learned"),
    LowRankRegressor(factor_prior="learned", feature_prior="learned"),
    LowRankClassifier(factor_prior="learned"),
    LowRankMultiTask(alpha_own=0.05, own_penalty="group"),
]


def _asks_folds(estimator):
    return isinstance(estimator, LowRankClassifier) and estimator.factor_prior == "learned"


# What parametrize_with_checks would collect; written out because pytest refuses the generator of scikit-learn 1.6.
CHECKS = [
    pytest.param(estimator, check, id=f"{estimator}-{check.func.__name__}", marks=marks)
    for one, marks in [*((one, ()) for one in ESTIMATORS), *((one, pytest.mark.slow) for one in VARIANTS)]
    for estimator, check in estimator_checks_generator(one)
    if not (_asks_folds(one) and check.func.__name__.startswith("check_sample_weight_equivalence"))
]


# The checks hand over small integers as targets, and being told so is a promise of its own.
@pytest.mark.filterwarnings("ignore:Tasks .* hold whole numbers:UserWarning")
@pytest.mark.parametrize(("estimator", "check"), CHECKS)
def test_scikit_learns_own_checks_pass(estimator, check):
    check(estimator)
