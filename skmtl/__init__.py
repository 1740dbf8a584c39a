"""Multi-task learning for scikit-learn: several targets learned jointly, ordinary predictors handed back."""

from skmtl.estimators import LowRankClassifier, LowRankMultiTask, LowRankRegressor
from skmtl.model_selection import TaskKFold, stack_tasks
from skmtl.predictors import split
from skmtl.scoring import MultiTaskScorer, TaskScorer
from skmtl.targets import TaskTargets

__version__ = "0.1.0"

__all__ = [
    "LowRankClassifier",
    "LowRankMultiTask",
    "LowRankRegressor",
    "MultiTaskScorer",
    "TaskKFold",
    "TaskScorer",
    "TaskTargets",
    "__version__",
    "split",
    "stack_tasks",
]
