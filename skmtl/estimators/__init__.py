"""The estimators: what a user fits."""

from skmtl.estimators.base import JointLinearModel
from skmtl.estimators.low_rank_classifier import LowRankClassifier
from skmtl.estimators.low_rank_cv import LowRankClassifierCV, LowRankMultiTaskCV, LowRankRegressorCV
from skmtl.estimators.low_rank_multi_task import LowRankMultiTask
from skmtl.estimators.low_rank_regressor import LowRankRegressor

__all__ = [
    "JointLinearModel",
    "LowRankClassifier",
    "LowRankClassifierCV",
    "LowRankMultiTask",
    "LowRankMultiTaskCV",
    "LowRankRegressor",
    "LowRankRegressorCV",
]
