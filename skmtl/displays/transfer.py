"""Pictures of what learning jointly gained: `TransferDisplay` task by task, `TransferCurveDisplay` by labels."""

from __future__ import annotations

from typing import Any

import numpy as np

from skmtl.displays.canvas import short, single_axes
from skmtl.transfer import TransferCurve, TransferReport, transfer_report

#: Colours of Okabe & Ito, told apart in every kind of colour blindness, with a marker each for print in grey.
_LOOK = {
    "helps": ("#0072b2", "o"),
    "no clear difference": ("#8c8c8c", "s"),
    "hurts": ("#d55e00", "D"),
}
#: Standard errors on either side.
_INTERVAL = 1.96
#: Up to so many tasks every one is named in full size; beyond, smaller, and from the last on not all.
_ROOMY, _NAMEABLE = 40, 160


class TransferDisplay:
    """Dot plot of the gain of every task with its interval, sorted; colour and marker tell the verdict.

    Made by `from_report` or `from_estimator`, or by :meth:`skmtl.TransferReport.plot`.

    Parameters
    ----------
    report : TransferReport

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    order_ : list
        Tasks from the bottom of the picture to its top: by gain.

    Examples
    --------
    >>> import matplotlib  # doctest: +SKIP
    >>> from skmtl import LowRankMultiTask, TransferDisplay
    >>> from skmtl.datasets import load_penguins
    >>> TransferDisplay.from_estimator(LowRankMultiTask(), *load_penguins())  # doctest: +SKIP
    """

    def __init__(self, report: TransferReport) -> None:
        self.report = report

    @classmethod
    def from_report(cls, report: TransferReport, *, ax: Any = None) -> TransferDisplay:
        """Draw a report.

        Parameters
        ----------
        report : TransferReport
        ax : matplotlib axes, default=None
            None: a new figure, as high as the number of tasks asks for.
        """
        return cls(report).plot(ax)

    @classmethod
    def from_estimator(cls, estimator: Any, X: Any, y: Any, *, ax: Any = None, **options: Any) -> TransferDisplay:
        """Compare joint and separate learning, and draw the report.

        Parameters
        ----------
        estimator, X, y : as in `skmtl.transfer_report`
        ax : matplotlib axes, default=None
        **options : dict
            Further arguments of `skmtl.transfer_report`: cv, scoring, random_state, ...
        """
        return cls.from_report(transfer_report(estimator, X, y, **options), ax=ax)

    def plot(self, ax: Any = None) -> TransferDisplay:
        """Draw.

        Parameters
        ----------
        ax : matplotlib axes, default=None

        Returns
        -------
        display : TransferDisplay
        """
        tasks = [one for one in self.report.tasks if np.isfinite(one.fine_gain)]
        tasks.sort(key=lambda one: one.fine_gain)
        n_tasks = len(tasks)
        ax = single_axes(ax, (7.0, 1.7 + n_tasks * (0.3 if n_tasks <= _ROOMY else 0.13)))
        for verdict, (colour, marker) in _LOOK.items():
            at = [i for i, one in enumerate(tasks) if one.verdict == verdict]
            if not at:
                continue
            gain = np.array([tasks[i].fine_gain for i in at])
            reach = _INTERVAL * np.array([tasks[i].fine_gain_se for i in at])
            width = 1.5 if n_tasks <= _ROOMY else 0.9
            ax.hlines(at, gain - reach, gain + reach, color=colour, linewidth=width, alpha=0.8)
            label = f"{verdict} ({len(at)})"
            ax.scatter(gain, at, color=colour, marker=marker, s=30 if n_tasks <= _ROOMY else 9, zorder=3, label=label)
        ax.axvline(0.0, color="black", linewidth=0.8, zorder=1)
        self._label(ax, tasks)
        self.ax_, self.figure_, self.order_ = ax, ax.figure, [one.task for one in tasks]
        return self

    def _label(self, ax: Any, tasks: list) -> None:
        n_tasks = len(tasks)
        every = 1 if n_tasks <= _NAMEABLE else int(np.ceil(n_tasks / _NAMEABLE))
        shown = range(n_tasks - 1, -1, -every)
        ax.set_yticks(list(shown), [short(tasks[i].task) for i in shown], fontsize=9 if n_tasks <= _ROOMY else 5.5)
        ax.set_ylim(-0.8, n_tasks - 0.2)
        ax.grid(axis="x", linewidth=0.4, alpha=0.6)
        ax.set_axisbelow(True)
        for side in ("top", "right", "left"):
            ax.spines[side].set_visible(False)
        ax.tick_params(axis="y", length=0)
        measure = _measure(self.report)
        ax.set_xlabel(f"gain of learning jointly ({measure})\nlines: ±{_INTERVAL} standard errors", fontsize=9)
        ax.legend(loc="lower right", fontsize=8, framealpha=0.9)


class TransferCurveDisplay:
    """Gain of learning jointly against the number of training labels per task.

    A thin line per task, and their mean with its interval. Made by :meth:`skmtl.TransferCurve.plot`.

    Parameters
    ----------
    curve : TransferCurve

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    """

    def __init__(self, curve: TransferCurve) -> None:
        self.curve = curve

    @classmethod
    def from_curve(cls, curve: TransferCurve, *, ax: Any = None) -> TransferCurveDisplay:
        """Draw a curve.

        Parameters
        ----------
        curve : TransferCurve
        ax : matplotlib axes, default=None
        """
        return cls(curve).plot(ax)

    def plot(self, ax: Any = None) -> TransferCurveDisplay:
        """Draw.

        Parameters
        ----------
        ax : matplotlib axes, default=None

        Returns
        -------
        display : TransferCurveDisplay
        """
        n_labels, reports = self.curve.n_labels, list(self.curve.reports.values())
        ax = single_axes(ax, (6.4, 4.2))
        tasks = self.curve.gains
        for position, gain in enumerate(tasks.values()):
            ax.plot(n_labels, gain, color="#8c8c8c", linewidth=0.7, alpha=0.6, label="" if position else "a task")
        mean = np.array([report.totals.fine_gain for report in reports])
        reach = _INTERVAL * np.array([report.totals.fine_gain_se for report in reports])
        ax.fill_between(n_labels, mean - reach, mean + reach, color="#0072b2", alpha=0.2, linewidth=0)
        ax.plot(n_labels, mean, color="#0072b2", marker="o", linewidth=2, label=f"mean of {len(tasks)} tasks")
        ax.axhline(0.0, color="black", linewidth=0.8)
        drawn = np.concatenate([mean, *tasks.values(), [0.0]])
        margin = 0.08 * np.ptp(drawn[np.isfinite(drawn)])
        ax.set_ylim(np.nanmin(drawn) - margin, np.nanmax(drawn) + margin)  # whatever the intervals of few labels are
        ax.set_xscale("log")
        ax.set_xticks(n_labels, [str(n) for n in n_labels])
        ax.minorticks_off()
        ax.set_xlabel("training labels per task")
        ax.set_ylabel(f"gain of learning jointly\n({_measure(reports[0])})")
        ax.spines[["top", "right"]].set_visible(False)
        ax.legend(fontsize=8)
        self.ax_, self.figure_ = ax, ax.figure
        return self


def _measure(report: TransferReport) -> str:
    """Unit of the gains that are drawn."""
    used = {"R²" if name == "R^2" else name for name in report.scoring.values()}
    if "accuracy" in used and any(one.fine_gain != one.gain for one in report.tasks):
        used = (used - {"accuracy"}) | {"R² of class probabilities"}
    return ", ".join(sorted(used))


# A report draws itself by these, though they stand above it.
TransferReport.display = TransferDisplay
TransferCurve.display = TransferCurveDisplay
