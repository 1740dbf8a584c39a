"""The estimators: what a user fits."""

from skmtl.estimators.base import JointModel
from skmtl.estimators.low_rank_classifier import LowRankClassifier
from skmtl.estimators.low_rank_classifier_cv import LowRankClassifierCV
from skmtl.estimators.low_rank_multi_task import LowRankMultiTask
from skmtl.estimators.low_rank_multi_task_cv import LowRankMultiTaskCV
from skmtl.estimators.low_rank_regressor import LowRankRegressor
from skmtl.estimators.low_rank_regressor_cv import LowRankRegressorCV
from skmtl.estimators.shared_layer_classifier import SharedLayerClassifier
from skmtl.estimators.shared_layer_multi_task import SharedLayerMultiTask
from skmtl.estimators.shared_layer_regressor import SharedLayerRegressor

__all__ = [
    "JointModel",
    "LowRankClassifier",
    "LowRankClassifierCV",
    "LowRankMultiTask",
    "LowRankMultiTaskCV",
    "LowRankRegressor",
    "LowRankRegressorCV",
    "SharedLayerClassifier",
    "SharedLayerMultiTask",
    "SharedLayerRegressor",
]
