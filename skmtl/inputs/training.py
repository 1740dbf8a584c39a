"""What `fit` is given, in any form, to `TaskData` and the form to answer in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from skmtl.inputs.columns import as_array
from skmtl.inputs.features import (
    is_dict_of_tables,
    read_features,
    split_task_column,
    stack_features,
    task_positions,
)
from skmtl.inputs.forms import (
    ArrayForm,
    Form,
    LongForm,
    NamedForm,
    OwnRowsForm,
    named_columns,
    own_targets,
    require_same_tasks,
)
from skmtl.inputs.kinds import TargetRules, decide_kinds, encode
from skmtl.inputs.observed import Observed, observed_array, observed_long, observed_matrix
from skmtl.inputs.weights import class_weights, drop_unobserved, task_weights
from skmtl.targets import column_names, is_named
from skmtl.tasks import TaskData


def as_task_data(
    estimator: Any,
    X: Any,
    y: Any,
    sample_weight: Any = None,
    *,
    rules: TargetRules,
    task_col: Any = None,
    class_weight: Any = None,
    task_weight: Any = None,
    reset: bool = True,
) -> tuple[TaskData, Form]:
    """Everything a solver needs, and the form in which predictions are wanted.

    Parameters
    ----------
    estimator : estimator instance
        Gets (or is compared in, with ``reset=False``) `n_features_in_` and `feature_names_in_`; its
        class is named in errors.
    X, y, sample_weight
        As handed to `fit`; never modified, and not copied where they can be used as they are.
    rules : TargetRules
        Which kinds of targets the estimator accepts.
    task_col, class_weight, task_weight
        The constructor parameters of these names.
    reset : bool, default=True

    Returns
    -------
    data : TaskData
    form : Form

    Raises
    ------
    ValueError
        Naming the task, what was given and what is allowed.
    """
    form, features, observed, weights = _read(estimator, X, y, sample_weight, task_col, reset)
    kinds = decide_kinds(observed, rules)  # before any row is dropped
    features, observed, weights, rows = drop_unobserved(features, observed, weights)
    tasks, targets = encode(observed, kinds, rules)
    task_of_row = observed.task_of_row
    weights = class_weights(class_weight, tasks, targets, task_of_row, weights)
    factors = task_weights(task_weight, tasks, targets, task_of_row, weights)
    return TaskData(features, tasks, targets, task_of_row, weights, factors, rows), form


def _read(
    estimator: Any, X: Any, y: Any, sample_weight: Any, task_col: Any, reset: bool
) -> tuple[Form, Any, Observed, NDArray | None]:
    """The only place that asks in which form tasks were handed over."""
    if y is None:
        raise ValueError(
            f"This {type(estimator).__name__} estimator requires y to be passed, but the target y is None."
        )
    form: Form
    if is_dict_of_tables(X):
        form = OwnRowsForm()
        if task_col is not None:
            raise ValueError(
                f"task_col={task_col!r} is for one X in the long form; a dict of X names its tasks itself."
            )
        require_same_tasks(X, y)
        observed = own_targets(X, y)
        features, _ = stack_features(estimator, X, reset=reset)
    elif task_col is not None:
        form = LongForm(task_col)
        if is_named(y) and (isinstance(y, Mapping) or len(column_names(y) or ()) != 1):
            raise ValueError(
                f"With task_col={task_col!r} y must be one column with the target of each row, got {type(y).__name__}."
            )
        labels, features = split_task_column(estimator, X, task_col, reset=reset)
        observed = observed_long(y, *task_positions(labels))
    else:
        form = NamedForm() if is_named(y) else ArrayForm(flat=as_array(y).ndim == 1)
        features = read_features(estimator, X, reset=reset)
        observed = observed_matrix(named_columns(y)) if form.named else observed_array(y)
        if observed.n_rows != features.shape[0]:
            whose = f"task {observed.names[0]!r} in y" if form.named else "y"
            raise ValueError(
                "Found input variables with inconsistent numbers of samples: X has "
                f"{features.shape[0]} rows, {whose} has {observed.n_rows}."
            )
    return form, features, observed, form.weights(sample_weight, observed)
