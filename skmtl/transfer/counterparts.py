"""The models that a joint estimator is compared with: without sharing and pooled, tuned where they are skmtl's."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.pipeline import Pipeline

from skmtl.estimators import (
    LowRankClassifier,
    LowRankClassifierCV,
    LowRankMultiTask,
    LowRankMultiTaskCV,
    LowRankRegressor,
    LowRankRegressorCV,
)
from skmtl.estimators.base import JointModel
from skmtl.estimators.shared_layer import SharedLayerModel
from skmtl.inputs import TargetRules
from skmtl.single_task import estimator_for
from skmtl.tasks import Task
from skmtl.transfer.task_table import TaskTable

#: The tuned version of each of skmtl's estimators.
_TUNED: dict[type, type] = {
    LowRankRegressor: LowRankRegressorCV,
    LowRankClassifier: LowRankClassifierCV,
    LowRankMultiTask: LowRankMultiTaskCV,
    LowRankRegressorCV: LowRankRegressorCV,
    LowRankClassifierCV: LowRankClassifierCV,
    LowRankMultiTaskCV: LowRankMultiTaskCV,
}
#: Parameters by which skmtl's estimators share, or not; whatever else is set is kept.
_SHARING = ("n_components", "alpha", "alpha_common", "alpha_own", "alpha_intercept", "feature_prior")


@dataclass(frozen=True)
class Opponent:
    """What the joint estimator is compared with.

    Attributes
    ----------
    estimator : estimator
    how : {"jointly", "alone", "pooled"}
        "jointly": one fit of all tasks in their form, like the joint estimator itself. "alone": a clone per task.
        "pooled": one clone, to which the rows of all tasks are those of one task.
    of_one : estimator, default=None
        What stands for it in a fold where one task alone is left to learn, if that is another one.
    """

    estimator: Any
    how: str
    of_one: Any = None


def compared(estimator: Any, table: TaskTable) -> dict[str, Opponent]:
    """The models of a report: {"joint": ..., "independent": ..., "pooled": ...}."""
    return {"joint": Opponent(_unguarded(estimator), "jointly"), **opponents(estimator, table)}


def _unguarded(estimator: Any) -> Any:
    """The estimator without its guard, which would leave a task that it sets apart no difference to show."""
    changed = clone(estimator)
    inside = predicting_part(changed)
    if type(inside) in _TUNED and "guard" in inside.get_params(deep=False):
        inside.set_params(guard=False)
    return changed


def opponents(estimator: Any, table: TaskTable) -> dict[str, Opponent]:
    """{"independent": ..., "pooled": ...}; no "pooled" where the tasks have no common meaning.

    For skmtl's linear estimators, alone or as the last step of a pipeline or inside a search, both are one fit of the
    tuned estimator with the shared part off: own parts only, and a common part only. For any other
    estimator, networks with a shared hidden layer among them, they are clones, fitted on each task alone and on the
    rows of all tasks as one.
    """
    found = {}
    inside = predicting_part(estimator)
    if type(inside) in _TUNED:
        found["independent"] = Opponent(_with_last(estimator, _separate(inside)), "jointly")
        if _of_one_meaning(table):
            # One task has nothing in common with others.
            of_one = found["independent"].estimator
            found["pooled"] = Opponent(_with_last(estimator, _pooled(inside)), "jointly", of_one)
        return found
    if isinstance(inside, SharedLayerModel) and inside.alpha != "auto":
        # What many tasks pay for a unit together is too much for one of them.
        estimator = _with_last(estimator, clone(inside).set_params(alpha="auto", alpha_common="auto"))
    found["independent"] = Opponent(estimator, "alone")
    if _of_one_meaning(table) and table.form != "long":
        found["pooled"] = Opponent(estimator, "pooled")
    return found


def predicting_part(estimator: Any) -> Any:
    """The estimator that predicts, inside pipelines and searches that need not be fitted."""
    while True:
        if isinstance(estimator, Pipeline):
            estimator = estimator.steps[-1][1]
        elif _is_search(estimator):
            estimator = estimator.estimator
        else:
            return estimator


def target_rules(estimator: Any) -> TargetRules:
    """What the estimator takes as targets: what it, or the one that it fits to groups of tasks, says, or anything."""
    inside = predicting_part(estimator)
    if not hasattr(inside, "_rules"):
        inside = predicting_part(getattr(inside, "estimator", inside))
    if hasattr(inside, "_rules"):
        return inside._rules()
    return TargetRules(type(inside).__name__, "any", kinds=getattr(inside, "kinds", None))


def with_kinds(estimator: Any, table: TaskTable, tasks: Sequence[Task]) -> Any:
    """A clone for some tasks, told their kinds: few labels of a task might look like another one."""
    names = [task.name for task in tasks]
    is_array = table.form == "array"
    estimator = estimator_for(estimator, names, table.names, numbered=is_array)
    inside: Any = predicting_part(estimator)
    if (
        not isinstance(inside, JointModel)
        or "kinds" not in inside.get_params(deep=False)
        or isinstance(inside.kinds, str)
    ):
        return estimator
    kinds = {i if is_array else task.name: task.kind for i, task in enumerate(tasks)}
    if table.form == "long" and set(kinds.values()) in ({"regression"}, {"count"}):
        inside.set_params(kinds=tasks[0].kind)  # not by name: a fold inside a search may lack a task
    elif table.form != "long" or inside.kinds:
        inside.set_params(kinds=kinds)
    return estimator


def _of_one_meaning(table: TaskTable) -> bool:
    """Several tasks of one kind and one output, with the same classes if any."""
    first = table.tasks[0]
    return len(table.tasks) > 1 and all(
        task.kind == first.kind
        and task.n_outputs == 1
        and (task.classes is None or np.array_equal(task.classes, first.classes))  # type: ignore[arg-type]
        for task in table.tasks
    )


def _separate(inside: Any) -> Any:
    # Scales of the features that all tasks tell together would be something shared.
    alone = {"alpha": np.inf, "alpha_common": None, "alpha_intercept": None, "feature_prior": "ridge"}
    return _tuned(inside, **alone, alpha_own=_candidates(inside.alpha_own))


def _pooled(inside: Any) -> Any:
    common, intercept = _candidates(inside.alpha_common), _candidates(inside.alpha_intercept)
    return _tuned(inside, alpha=np.inf, alpha_own=None, alpha_common=common, alpha_intercept=intercept)


def _candidates(given: Any) -> Any:
    """Strengths to choose from: those that the joint estimator may choose from, where it lists several."""
    several = isinstance(given, (list, tuple, np.ndarray)) and sum(one is not None for one in given) > 1
    return [one for one in given if one is not None] if several else "auto"


def _is_search(estimator: Any) -> bool:
    return hasattr(estimator, "estimator") and (
        hasattr(estimator, "param_grid") or hasattr(estimator, "param_distributions")
    )


def _with_last(estimator: Any, last: Any) -> Any:
    """A clone with another estimator in the predicting place; searches keep what concerns the steps before it."""
    if isinstance(estimator, Pipeline):
        changed = clone(estimator)
        name, old = estimator.steps[-1]
        changed.steps[-1] = (name, _with_last(old, last))
        return changed
    if not _is_search(estimator):
        return last
    attribute = "param_grid" if hasattr(estimator, "param_grid") else "param_distributions"
    kept = _without_sharing(getattr(estimator, attribute))
    within = _with_last(estimator.estimator, last)
    if not kept:
        return within
    changed = clone(estimator)
    return changed.set_params(**{"estimator": within, attribute: kept})


def _without_sharing(grid: Any) -> Any:
    """A grid, or list of grids, without the parameters that say how much is shared; empty if nothing remains."""
    if isinstance(grid, dict):
        return {name: values for name, values in grid.items() if name.rpartition("__")[2] not in _SHARING}
    kept = []
    for one in map(_without_sharing, grid):
        if one and one not in kept:
            kept.append(one)
    return kept


def _tuned(inside: Any, **settings: Any) -> Any:
    """The tuned estimator of the same kind, with what is set for `inside` and these settings.

    Its features are scaled in any case: it stands for the best that can be done without the joint model.
    """
    tuned: Any = _TUNED[type(inside)]
    taken = tuned().get_params(deep=False)
    kept = {name: value for name, value in inside.get_params(deep=False).items() if name in taken}
    made = clone(tuned(**{**kept, "guard": False, "n_components": "auto", "scale_features": True, **settings}))
    if hasattr(inside, "_metadata_request"):  # what metadata it asked for, as clone keeps it
        made._metadata_request = copy.deepcopy(inside._metadata_request)
    return made
