"""Splitting, stacking and searching for problems of several tasks."""

from skmtl.model_selection.prediction import cross_val_predict
from skmtl.model_selection.scores import cross_val_score
from skmtl.model_selection.search import GridSearchCV, RandomizedSearchCV
from skmtl.model_selection.stacking import stack_tasks
from skmtl.model_selection.task_kfold import TaskKFold

__all__ = ["GridSearchCV", "RandomizedSearchCV", "TaskKFold", "cross_val_predict", "cross_val_score", "stack_tasks"]
