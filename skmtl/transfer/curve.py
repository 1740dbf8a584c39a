"""`transfer_curve`: what learning jointly gains as the number of labels per task grows."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from skmtl.model_selection.shuffled_folds import seed_of
from skmtl.optional import pandas
from skmtl.transfer.folds import outer_folds
from skmtl.transfer.report import compare, task_metrics, tasks_for
from skmtl.transfer.results import TransferReport


@dataclass(frozen=True, repr=False)
class TransferCurve:
    """Transfer reports for growing numbers of labels per task: made by :func:`skmtl.transfer_curve`.

    Attributes
    ----------
    reports : dict of {int: TransferReport}
        By number of training labels per task, increasing.
    """

    reports: dict[int, TransferReport]

    #: `skmtl.displays` puts its class here.
    display: ClassVar[Any] = None

    @property
    def n_labels(self) -> NDArray:
        """Numbers of training labels per task, increasing."""
        return np.array(list(self.reports))

    @property
    def gains(self) -> dict[Hashable, NDArray]:
        """{task: gain for every number of labels}, in the measure that verdicts rest on."""
        tasks = next(iter(self.reports.values())).tasks
        return {
            one.task: np.array([report.tasks[t].fine_gain for report in self.reports.values()])
            for t, one in enumerate(tasks)
        }

    def to_frame(self) -> Any:
        """All reports as one pandas DataFrame, indexed by number of labels and task.

        Returns
        -------
        frame : pandas.DataFrame of shape (n_reports * n_tasks, 13)
        """
        pd = pandas()

        frames = {n: report.to_frame() for n, report in self.reports.items()}
        return pd.concat(frames, names=["labels_per_task"])

    def plot(self, ax: Any = None) -> Any:
        """Draw the mean gain with its interval, and the gain of every task.

        Parameters
        ----------
        ax : matplotlib axes, default=None

        Returns
        -------
        display : TransferCurveDisplay
        """
        return type(self).display.from_curve(self, ax=ax)

    def __repr__(self) -> str:
        lines = ["labels  independent   joint             gain  helps  hurts  unclear"]
        for n, report in self.reports.items():
            totals, verdicts = report.totals, list(report.verdicts.values())
            counts = [verdicts.count(one) for one in ("helps", "hurts", "no clear difference")]
            lines.append(
                f"{n:>6}  {totals.independent:>11.3f}  {totals.joint:>6.3f}  {totals.gain:>+6.3f} +- "
                f"{totals.gain_se:.3f}  {counts[0]:>5}  {counts[1]:>5}  {counts[2]:>7}"
            )
        return "\n".join([*lines, "", "Means over the tasks; labels: training labels of every task, at most."])


def transfer_curve(
    estimator: Any,
    X: Any,
    y: Any,
    *,
    n_labels: Sequence[int],
    cv: Any = None,
    groups: Any = None,
    scoring: Any = None,
    sample_weight: Any = None,
    random_state: Any = 0,
    n_jobs: int | None = None,
    verbose: int = 0,
) -> TransferCurve:
    """Compare joint and separate learning for several numbers of training labels per task.

    In every outer fold all models are trained on the same few labels of each task, drawn from the training part
    (of every class at least two, as far as they go), and tested on the whole test part. The draws are nested:
    more labels contain the fewer.

    Parameters
    ----------
    estimator, X, y, cv, groups, scoring, sample_weight, n_jobs, verbose
        See `transfer_report`. The estimator must take missing targets.
    n_labels : sequence of int
        Training labels per task, each at least 2. A task with fewer gives all it has.
    random_state : int, RandomState instance or None, default=0
        Seed of the draws of labels, and of the folds where `cv` is a number or None. None: 0.

    Returns
    -------
    curve : TransferCurve

    Raises
    ------
    ValueError
        As `transfer_report`, and for numbers of labels that are no integers of at least 2.

    Examples
    --------
    >>> from skmtl import LowRankRegressor, transfer_curve
    >>> from skmtl.datasets import make_multitask
    >>> X, y = make_multitask(200, 20, 6, n_components=1, random_state=0)
    >>> curve = transfer_curve(LowRankRegressor(n_components=1), X, y, n_labels=[20, 80])
    >>> [report.totals.gain > 0 for report in curve.reports.values()]
    [True, True]
    """
    sizes = np.unique(np.asarray(n_labels).reshape(-1))
    if not len(sizes) or sizes.dtype.kind not in "iu" or sizes[0] < 2:
        raise ValueError(f"n_labels must hold integers of at least 2, got {n_labels!r}.")
    table = tasks_for(estimator, X, y, sample_weight)
    metrics = task_metrics(scoring, table)
    seed = seed_of(random_state)
    folds = outer_folds(table, cv, groups, seed)
    counts: list[int] = sizes.tolist()
    reports = compare(estimator, table, folds, counts, metrics, seed, n_jobs, verbose)
    return TransferCurve(dict(zip(counts, reports, strict=True)))
