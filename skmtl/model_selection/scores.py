"""`cross_val_score` for targets in a plain dict, and for arrays with gaps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn import model_selection

from skmtl.model_selection.default_splitter import as_rows, default_splitter, has_gaps
from skmtl.scoring import MultiTaskScorer
from skmtl.targets import is_named


def cross_val_score(
    estimator: Any,
    X: Any,
    y: Any = None,
    *,
    groups: Any = None,
    scoring: Any = None,
    cv: Any = None,
    n_jobs: int | None = None,
    verbose: int = 0,
    params: dict | None = None,
    pre_dispatch: Any = "2*n_jobs",
    error_score: Any = np.nan,
) -> NDArray:
    """Score of every fold, as `sklearn.model_selection.cross_val_score`, which refuses a dict y and arrays with gaps.

    Parameters
    ----------
    estimator : estimator
    X : array-like of shape (n_rows, n_features), or dict with a table per task
        A dict is stacked by `stack_tasks`.
    y : dict of targets, TaskTargets, DataFrame or array
    scoring : str, callable, dict of {task: str or callable} or None, default=None
        None: the estimator's `score`. For targets of several tasks a name, or a dict, is a metric per task, of which
        the mean counts, as in `MultiTaskScorer`.
    cv : int, splitter or iterable of splits, default=None
        None and a number of folds mean `TaskKFold` for named targets, for the long form and for arrays with gaps.
    groups, n_jobs, verbose, params, pre_dispatch, error_score
        See scikit-learn.

    Returns
    -------
    scores : ndarray of shape (n_folds,)

    Examples
    --------
    >>> from skmtl import LowRankMultiTask
    >>> from skmtl.datasets import load_penguins
    >>> from skmtl.model_selection import cross_val_score
    >>> X, y = load_penguins()
    >>> cross_val_score(LowRankMultiTask(), X, y, cv=3, scoring="accuracy").shape
    (3,)
    """
    X, y = as_rows(X, y)
    cv = default_splitter(cv, estimator, X, y)
    metric: Any = scoring
    if isinstance(scoring, Mapping) or (isinstance(scoring, str) and (is_named(y) or has_gaps(y))):
        metric = _MeanOfTasks(scoring)  # type: ignore[arg-type]
    return model_selection.cross_val_score(
        estimator,
        X,
        y,
        groups=groups,
        scoring=metric,
        cv=cv,
        n_jobs=n_jobs,
        verbose=verbose,
        params=params,
        pre_dispatch=pre_dispatch,
        error_score=error_score,
    )


class _MeanOfTasks(MultiTaskScorer):
    """The mean over tasks alone, where scikit-learn takes one number."""

    def __call__(self, estimator: Any, X: Any, y: Any, sample_weight: Any = None, **params: Any) -> Any:
        return super().__call__(estimator, X, y, sample_weight, **params)["mean"]
