"""Multi-task learning for scikit-learn: several targets learned jointly, ordinary predictors handed back."""

from skmtl.displays import AffinityDisplay, BasisDisplay, PathDisplay
from skmtl.estimators import LowRankClassifier, LowRankMultiTask, LowRankRegressor
from skmtl.model_selection import TaskKFold, stack_tasks
from skmtl.predictors import split
from skmtl.relatedness import GroupedTasks, group_tasks, select_tasks, task_affinity
from skmtl.scoring import MultiTaskScorer, TaskScorer
from skmtl.targets import TaskTargets

__version__ = "0.1.0"

__all__ = [
    "AffinityDisplay",
    "BasisDisplay",
    "GroupedTasks",
    "LowRankClassifier",
    "LowRankMultiTask",
    "LowRankRegressor",
    "MultiTaskScorer",
    "PathDisplay",
    "TaskKFold",
    "TaskScorer",
    "TaskTargets",
    "__version__",
    "group_tasks",
    "select_tasks",
    "split",
    "stack_tasks",
    "task_affinity",
]
