"""What a comparison of joint and separate learning found: figures per task, totals, a sentence of advice."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from skmtl.optional import pandas
from skmtl.transfer.text import advice, as_html, as_text

HELPS, HURTS, UNCLEAR = "helps", "hurts", "no clear difference"


@dataclass(frozen=True)
class TaskTransfer:
    """What learning jointly did to one task.

    Attributes
    ----------
    task : hashable
    kind : {"regression", "binary", "multiclass", "count"}
    n_labels : int
        Targets of the task.
    n_train : float
        Of these in the training part of a fold, on average.
    independent, pooled, joint : float
        Held-out scores. `pooled` is NaN where tasks have no common meaning.
    gain, gain_se : float
        ``joint - independent`` and its standard error, in units of the score.
    fine_gain, fine_gain_se : float
        What the verdict rests on. For numbers, and for a metric of the user's, the same as `gain`; for classes the
        difference in the share of the squared error of the class probabilities that is explained (Brier
        skill score), which sees more than accuracy.
    p_better, p_worse : float
        Posterior probabilities that the true gain is above and below zero.
    verdict : {"helps", "hurts", "no clear difference"}
    """

    task: Hashable
    kind: str
    n_labels: int
    n_train: float
    independent: float
    pooled: float
    joint: float
    gain: float
    gain_se: float
    fine_gain: float
    fine_gain_se: float
    p_better: float
    p_worse: float
    verdict: str

    @property
    def detectable(self) -> float:
        """About the smallest gain that would have been told from none: two standard errors, in units of `fine_gain`."""
        return 2.0 * self.fine_gain_se


@dataclass(frozen=True)
class Totals:
    """Unweighted means over the tasks, of those with a defined score.

    Attributes
    ----------
    independent, pooled, joint : float
    gain, gain_se : float
        Of the score; the error takes into account that tasks are tested on the same rows.
    fine_gain, fine_gain_se : float
        Of what the verdicts rest on.
    over_pooled, over_pooled_se : float
        Mean of ``joint - pooled``; NaN without a pooled model.
    """

    independent: float
    pooled: float
    joint: float
    gain: float
    gain_se: float
    fine_gain: float
    fine_gain_se: float
    over_pooled: float
    over_pooled_se: float


@dataclass(frozen=True, repr=False)
class TransferReport:
    """Does learning jointly help, task by task: made by :func:`skmtl.transfer_report`.

    Attributes
    ----------
    tasks : list of TaskTransfer
        In the order of y.
    totals : Totals
    scoring : dict of {task: str}
        How each task is scored: "R^2", "accuracy", or the metric given.
    n_folds : int
    estimators : dict of {"joint", "independent", "pooled": estimator}
        The unfitted models that were compared; "pooled" only where tasks share a meaning.
    left_out : dict of {task: {fold: str}}
        Folds in which a task was left out, and what its training labels lacked there: nothing can be learned from no
        target, one class only, or counts without an event. Empty where every task was learned in every fold.
    """

    tasks: list[TaskTransfer]
    totals: Totals
    scoring: dict[Hashable, str]
    n_folds: int
    estimators: dict[str, Any]
    left_out: dict[Hashable, dict[int, str]] = field(default_factory=dict)

    #: `skmtl.displays` puts its class here: the picture stands above the figures it draws.
    display: ClassVar[Any] = None

    @property
    def verdicts(self) -> dict[Hashable, str]:
        """{task: "helps", "hurts" or "no clear difference"}."""
        return {one.task: one.verdict for one in self.tasks}

    @property
    def advice(self) -> str:
        """What to do, in a sentence or two."""
        return advice(self.tasks, self.totals)

    def to_frame(self) -> Any:
        """The figures as a pandas DataFrame, one row per task.

        Returns
        -------
        frame : pandas.DataFrame of shape (n_tasks, 13)
            Indexed by task; columns as the attributes of `TaskTransfer`.
        """
        pd = pandas()

        columns = [name for name in TaskTransfer.__dataclass_fields__ if name != "task"]
        index = pd.Index([one.task for one in self.tasks], name="task", tupleize_cols=False)
        return pd.DataFrame({name: [getattr(one, name) for one in self.tasks] for name in columns}, index=index)

    def to_text(self, max_tasks: int | None = 30) -> str:
        """The report as plain text: ASCII, but for the names of tasks.

        Parameters
        ----------
        max_tasks : int or None, default=30
            With more tasks, those with the largest gains and the largest losses are shown. None: all.
        """
        return as_text(self, max_tasks)

    def plot(self, ax: Any = None) -> Any:
        """Draw the gains with their intervals, sorted.

        Parameters
        ----------
        ax : matplotlib axes, default=None

        Returns
        -------
        display : TransferDisplay
        """
        return type(self).display.from_report(self, ax=ax)

    def __repr__(self) -> str:
        return self.to_text()

    def _repr_html_(self) -> str:
        return as_html(self)


def mean_defined(values: Sequence[float]) -> float:
    """Mean of the values that are numbers; NaN without one."""
    array = np.asarray(values, dtype=np.float64)
    array = array[~np.isnan(array)]
    return float(array.mean()) if len(array) else float("nan")
