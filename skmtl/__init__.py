"""Multi-task learning for scikit-learn: several targets learned jointly, ordinary predictors handed back."""

from skmtl.displays import AffinityDisplay, BasisDisplay, PathDisplay, TransferCurveDisplay, TransferDisplay
from skmtl.estimators import (
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
from skmtl.importances import feature_importances
from skmtl.model_selection import TaskKFold, stack_tasks
from skmtl.predictors import split
from skmtl.relatedness import GroupedTasks, group_tasks, select_tasks, task_affinity
from skmtl.scoring import MultiTaskScorer, TaskScorer
from skmtl.targets import TaskTargets
from skmtl.task_scores import score_tasks
from skmtl.transfer import TransferCurve, TransferReport, transfer_curve, transfer_report

__version__ = "0.1.0"

__all__ = [
    "AffinityDisplay",
    "BasisDisplay",
    "GroupedTasks",
    "LowRankClassifier",
    "LowRankClassifierCV",
    "LowRankMultiTask",
    "LowRankMultiTaskCV",
    "LowRankRegressor",
    "LowRankRegressorCV",
    "MultiTaskScorer",
    "PathDisplay",
    "SharedLayerClassifier",
    "SharedLayerMultiTask",
    "SharedLayerRegressor",
    "TaskKFold",
    "TaskScorer",
    "TaskTargets",
    "TransferCurve",
    "TransferCurveDisplay",
    "TransferDisplay",
    "TransferReport",
    "__version__",
    "feature_importances",
    "group_tasks",
    "score_tasks",
    "select_tasks",
    "split",
    "stack_tasks",
    "task_affinity",
    "transfer_curve",
    "transfer_report",
]
