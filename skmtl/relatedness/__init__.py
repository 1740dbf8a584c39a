"""Which tasks belong together: affinities, groups, helpful tasks, and one model per group."""

from skmtl.relatedness.affinity import TaskAffinity, task_affinity
from skmtl.relatedness.grouped_tasks import GroupedTasks
from skmtl.relatedness.groups import TaskGroups, group_tasks
from skmtl.relatedness.selection import TaskSelection, select_tasks

__all__ = [
    "GroupedTasks",
    "TaskAffinity",
    "TaskGroups",
    "TaskSelection",
    "group_tasks",
    "select_tasks",
    "task_affinity",
]
