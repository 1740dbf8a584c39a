"""The estimators: what a user fits."""

from skmtl.estimators.base import JointLinearModel
from skmtl.estimators.low_rank_classifier import LowRankClassifier
from skmtl.estimators.low_rank_classifier_cv import LowRankClassifierCV
from skmtl.estimators.low_rank_multi_task import LowRankMultiTask
from skmtl.estimators.low_rank_multi_task_cv import LowRankMultiTaskCV
from skmtl.estimators.low_rank_regressor import LowRankRegressor
from skmtl.estimators.low_rank_regressor_cv import LowRankRegressorCV

__all__ = [
    "JointLinearModel",
    "LowRankClassifier",
    "LowRankClassifierCV",
    "LowRankMultiTask",
    "LowRankMultiTaskCV",
    "LowRankRegressor",
    "LowRankRegressorCV",
]
