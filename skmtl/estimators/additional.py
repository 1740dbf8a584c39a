"""New tasks beside the fitted ones: what they may be, and one solution for all of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

import numpy as np

from skmtl.inputs import Form, TargetRules
from skmtl.solvers import Solution, merge_noise, merge_spread
from skmtl.tasks import Task


def rules_for_new_tasks(estimator: Any, kinds: Any) -> tuple[TargetRules, Any]:
    """The estimator's rules and `class_weight` without what they say of the fitted tasks."""
    if kinds is not None and not hasattr(estimator, "kinds"):
        raise ValueError(f"{type(estimator).__name__} has no parameter 'kinds'; it takes one kind of task only.")
    own = getattr(estimator, "kinds", None)
    if kinds is None and isinstance(own, str):
        kinds = own
    class_weight = getattr(estimator, "class_weight", None)
    if isinstance(class_weight, Mapping):
        given = class_weight.values()
        per_task = any(weight is None or isinstance(weight, (str, Mapping)) for weight in given)
        class_weight = None if per_task else class_weight
    return replace(estimator._rules(), kinds=kinds), class_weight


def join_tasks(
    known: tuple[Task, ...], known_form: Form, new: tuple[Task, ...], new_form: Form
) -> tuple[tuple[Task, ...], Form]:
    """All tasks, and the form in which they answer: that of the fit.

    Raises
    ------
    ValueError
        If a new task has the name of a fitted one, or if only one of the two has names.
    """
    if (known_form.named or known_form.long) != (new_form.named or new_form.long):
        raise ValueError(
            "The tasks of fit and of add_tasks must both have names, or both be columns of an array; got "
            f"{type(known_form).__name__} in fit and {type(new_form).__name__} here."
        )
    if not (known_form.named or known_form.long):
        renamed = tuple(replace(task, name=len(known) + i) for i, task in enumerate(new))
        return known + renamed, replace(cast(Any, known_form), flat=False)
    names = {task.name for task in known}
    for task in new:
        if task.name in names:
            raise ValueError(
                f"Task {task.name!r} is fitted already; add_tasks learns new tasks only. To learn a task "
                "anew, fit again."
            )
    return known + new, known_form


def join_solutions(known: Solution, new: Solution) -> Solution:
    """One solution for all tasks; objective, gap and convergence stay those of the fit."""
    n_known, n_new = len(known.target_scale), len(new.target_scale)
    places = np.split(np.arange(n_known + n_new), [n_known])
    own = known.own
    if own is not None:
        own_of_new = np.zeros_like(new.coef) if new.own is None else new.own
        own = np.concatenate([own, own_of_new], axis=1)
    return replace(
        known,
        noise=merge_noise(n_known + n_new, list(zip(places, (known.noise, new.noise), strict=True))),
        spread=merge_spread(list(zip(places, (known, new), strict=True))),
        factors=np.concatenate([known.factors, new.factors], axis=1),
        own=own,
        coef=np.concatenate([known.coef, new.coef], axis=1),
        intercept=np.concatenate([known.intercept, new.intercept]),
        target_scale=np.concatenate([known.target_scale, new.target_scale]),
    )
