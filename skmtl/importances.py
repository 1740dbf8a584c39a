"""How much each feature says of all tasks together, for scikit-learn's feature selection."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from skmtl.single_task import last_step


def feature_importances(estimator: Any) -> NDArray[np.float64]:
    """The norm of every feature's coefficients over all tasks, as :class:`~sklearn.feature_selection.SelectFromModel` \
wants it.

    ``importances[j] = sqrt(sum over tasks t and outputs c of (coef_t[c, j] / scale_t) ** 2)``: what scikit-learn makes
    of a two-dimensional ``coef_`` (``norm_order=2``), with the coefficients of a numeric task divided by its
    `target_scale_`, so that a task in grams weighs no more than one in tonnes; those of classes and counts are
    changes of log-odds and of the logarithm, which have no unit.

    With ``scale_features=True`` (as in the tuned classes) they are per standard deviation of the feature, so that
    units of columns change nothing. Else, as with any coefficients, a feature's importance is per unit of the feature:
    one in grams has a thousandth of the importance of the same in kilograms. Standardise such features before.

    Parameters
    ----------
    estimator : fitted estimator
        An estimator of skmtl with coefficients, a `GroupedTasks`, or a pipeline or search around one; of a pipeline
        the importances are those of the features that its last step is given.

    Returns
    -------
    importances : ndarray of shape (n_features,)
        Of the columns of X in their order. In the long form (`task_col`) the column of task labels comes out just
        above the largest, so that a selector keeps it.

    Raises
    ------
    TypeError
        If the estimator has no coefficients.
    sklearn.exceptions.NotFittedError
        If it is not fitted.

    See Also
    --------
    skmtl.split : One predictor per task, with coefficients of its own.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.feature_selection import SelectFromModel
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from skmtl import LowRankRegressor, feature_importances
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((100, 5))
    >>> y = {"a": X[:, 0] + X[:, 3], "b": 50 * X[:, 3] + rng.standard_normal(100)}
    >>> selection = SelectFromModel(LowRankRegressor(), importance_getter=feature_importances, max_features=2)
    >>> make_pipeline(StandardScaler(), selection).fit(X, y)[-1].get_support().tolist()
    [True, False, False, True, False]
    """
    model = last_step(estimator)
    check_is_fitted(model)
    if hasattr(model, "estimators_") and hasattr(model, "groups_"):
        return np.sqrt(sum(feature_importances(one) ** 2 for one in model.estimators_))
    if not hasattr(model, "coef_") or not hasattr(model, "target_scale_"):
        raise TypeError(
            f"feature_importances takes an estimator of skmtl with coefficients, got {type(model).__name__}, which has "
            "none; sklearn.inspection.permutation_importance asks any estimator."
        )
    importances = np.sqrt(np.square(_scaled_coef(model)).sum(axis=0))
    units = model._solution.feature_unit
    return _with_task_column(model, importances if units is None else importances * units)


def _scaled_coef(model: Any) -> NDArray:
    """Coefficients of all outputs (n_outputs, n_features), targets in units of their scale."""
    coef, tasks = model.coef_, model.tasks_
    if isinstance(coef, Mapping):
        by_task = [coef[task] for task in tasks]
    else:  # of an array y: one entry per task, or the only task's
        by_task = [coef] if len(tasks) == 1 else coef
    rows = [np.atleast_2d(one) / model.target_scale_[task] for task, one in zip(tasks, by_task, strict=True)]
    return np.concatenate([one.reshape(-1, one.shape[-1]) for one in rows])


def _with_task_column(model: Any, importances: NDArray) -> NDArray:
    task_col = getattr(model, "task_col", None)
    if task_col is None:
        return importances
    names = list(getattr(model, "feature_names_in_", []))
    position = names.index(task_col) if task_col in names else task_col % model.n_features_in_
    return np.insert(importances, position, np.nextafter(importances.max(initial=0.0), np.inf))
