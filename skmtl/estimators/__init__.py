"""The estimators: what a user fits."""

from skmtl.estimators.base import JointLinearModel
from skmtl.estimators.low_rank import LowRankClassifier, LowRankMultiTask, LowRankRegressor

__all__ = ["JointLinearModel", "LowRankClassifier", "LowRankMultiTask", "LowRankRegressor"]
