"""scikit-learn's searches over parameters, for targets in a plain dict."""

from __future__ import annotations

from typing import Any

from sklearn import model_selection

from skmtl.model_selection.default_splitter import as_rows, default_splitter


class _NamedTargets:
    """What is added to a search of scikit-learn: a dict of targets, and folds that hold every task."""

    cv: Any
    estimator: Any

    def fit(self, X: Any, y: Any = None, **params: Any) -> Any:
        """Try all candidates, then fit the best one on everything.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_features), or dict with a table per task
            A dict is stacked by `stack_tasks`.
        y : dict of targets, TaskTargets, DataFrame or array
        **params : dict
            As in scikit-learn: ``sample_weight`` and the like. Weights per task come as `TaskTargets`.

        Returns
        -------
        self : object
        """
        X, y = as_rows(X, y)
        given = self.cv
        self.cv = default_splitter(given, self.estimator, X, y)  # read by fit only, hence put back after it
        try:
            return super().fit(X, y, **params)  # type: ignore[misc]
        finally:
            self.cv = given


class GridSearchCV(_NamedTargets, model_selection.GridSearchCV):
    """`sklearn.model_selection.GridSearchCV` that takes targets in a plain dict.

    Everything is as in scikit-learn, but: y may be a dict {task: column}, X a dict of tables beside it; and
    for named targets, for the long form (unless a pipeline's steps stand before the one that knows `task_col` by
    position) and for arrays with gaps ``cv=None`` and a number mean `TaskKFold`, so that every training part has
    every task and class.

    Parameters
    ----------
    estimator, param_grid, scoring, n_jobs, refit, cv, verbose, pre_dispatch, error_score, return_train_score
        See `sklearn.model_selection.GridSearchCV`. For scores per task give
        ``scoring=MultiTaskScorer({...})`` with ``refit="mean"`` or the name of the task that matters.

    See Also
    --------
    skmtl.TaskTargets : Makes a dict work in every other search of scikit-learn.
    skmtl.MultiTaskScorer : Scores of all tasks.

    Examples
    --------
    >>> from skmtl import LowRankMultiTask
    >>> from skmtl.datasets import make_multitask
    >>> from skmtl.model_selection import GridSearchCV
    >>> X, y = make_multitask(n_samples=60, n_tasks=4, random_state=0)[:2]
    >>> search = GridSearchCV(LowRankMultiTask(), {"n_components": [1, 2]}, cv=3).fit(X, y)
    >>> sorted(search.best_params_)
    ['n_components']
    """


class RandomizedSearchCV(_NamedTargets, model_selection.RandomizedSearchCV):
    """`sklearn.model_selection.RandomizedSearchCV` that takes targets in a plain dict.

    It differs from scikit-learn's as `GridSearchCV` does.

    Parameters
    ----------
    estimator, param_distributions, n_iter, scoring, n_jobs, refit, cv, verbose, pre_dispatch, random_state, \
error_score, return_train_score
        See `sklearn.model_selection.RandomizedSearchCV`.
    """
