"""`score_tasks`: scores of all tasks of a fitted pipeline or search, or of the parts of a split model."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

from skmtl.scoring import metrics_of, score_one, takes_weights, task_names, warn_undefined
from skmtl.single_task import Responses
from skmtl.targets import column_names, is_named, listed


def score_tasks(
    estimator: Any, X: Any, y: Any, sample_weight: Any = None, *, scoring: Any = None
) -> dict[Hashable, float]:
    """Score of every task of a fitted pipeline or search, or of the parts of a split model.

    Parameters
    ----------
    estimator : fitted multi-task estimator, a pipeline or search with one, or dict of {task: predictor}
        A dict: what `split` gives; y is then named, and X one table or a dict of tables.
    X, y : as in `fit`
        `y` may hold some of the tasks only.
    sample_weight : array-like of shape (n_samples,), or per task in the form of y, default=None
    scoring : str, callable, dict of {task: such} or None, default=None
        None: R² of numbers, accuracy of classes. One metric: all tasks that it fits, the others being left out. A dict
        has a metric for each of its tasks.

    Returns
    -------
    scores : dict of {task: float}
        NaN for a task without a target, or for which the metric is undefined.

    Raises
    ------
    ValueError
        If the metric fits no task.

    Examples
    --------
    >>> import skmtl
    >>> from skmtl.datasets import load_penguins
    >>> X, y = load_penguins()
    >>> model = skmtl.LowRankMultiTask(n_components=3).fit(X, y)
    >>> sorted(skmtl.score_tasks(model, X, y, scoring="neg_log_loss"))
    ['sex', 'species']
    >>> sorted(skmtl.score_tasks(model.split(), X, y))
    ['body_mass', 'sex', 'species']
    """
    if isinstance(estimator, Mapping):
        return _score_parts(estimator, X, y, sample_weight, scoring)
    responses = Responses(estimator, X)
    metrics = metrics_of(scoring, task_names(y, responses), estimator)
    params = {} if sample_weight is None else {"sample_weight": sample_weight}
    return {
        task: score_one(task, one, responses, y, params if takes_weights(one) else {}) for task, one in metrics.items()
    }


def _score_parts(parts: Mapping[Hashable, Any], X: Any, y: Any, sample_weight: Any, scoring: Any) -> dict:
    """Scores of predictors of one task each."""
    if not is_named(y):
        raise ValueError(f"y must name its tasks, as the parts of a model do: some of {listed(list(parts))}.")
    names = list(y) if isinstance(y, Mapping) else list(column_names(y) or ())
    scores = {}
    for task, one in metrics_of(scoring, names, parts).items():
        if task not in parts:
            warn_undefined(f"Task {task!r} is not scored: there is no predictor of it.")
            continue
        answers = _Part(parts[task], task)
        own = X[task] if isinstance(X, Mapping) else X
        params = {} if sample_weight is None or not takes_weights(one) else {"sample_weight": sample_weight}
        scores[task] = score_one(task, one, Responses(answers, own), y, params)
    if not scores:
        raise ValueError(f"y holds the task {names[0]!r}; the predictors are of {listed(list(parts))}.")
    return scores


class _Part:
    """A predictor of one task, answering as a model of several."""

    def __init__(self, predictor: Any, task: Hashable) -> None:
        self.predictor, self.task = predictor, task
        classes = getattr(predictor, "classes_", None)
        self.classes_by_task_ = {} if classes is None else {task: classes}

    def __getattr__(self, method: str) -> Any:
        if method not in ("predict", "predict_proba", "predict_log_proba", "decision_function"):
            raise AttributeError(method)
        ask = getattr(self.predictor, method)
        return lambda X: {self.task: ask(X)}
