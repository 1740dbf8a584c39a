"""Every accepted input form to `TaskData`, and predictions back into that form."""

from skmtl.inputs.answerable import answerable
from skmtl.inputs.forms import Form, Query, union_classes
from skmtl.inputs.held_out import ScoredTask, scored_targets
from skmtl.inputs.kinds import TargetRules
from skmtl.inputs.training import as_task_data

__all__ = [
    "Form",
    "Query",
    "ScoredTask",
    "TargetRules",
    "answerable",
    "as_task_data",
    "scored_targets",
    "union_classes",
]
