"""The pictures: what is drawn is what the report says, on any axes, for few and many tasks."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from skmtl import TransferCurveDisplay, TransferDisplay
from skmtl.displays.canvas import short
from skmtl.transfer.curve import TransferCurve
from skmtl.transfer.results import TaskTransfer, Totals, TransferReport

plt = pytest.importorskip("matplotlib.pyplot")


@pytest.fixture(autouse=True)
def no_figure_is_left():
    yield
    plt.close("all")


def report_of(n_tasks, seed=0):
    rng = np.random.default_rng(seed)
    gains, verdicts = rng.normal(0.05, 0.1, n_tasks), ["helps", "no clear difference", "hurts"]
    tasks = [
        TaskTransfer(
            f"task {i}", "regression", 50, 40.0, 0.2, np.nan, 0.2 + g, g, 0.05, g, 0.05, 0.9, 0.1, verdicts[i % 3]
        )
        for i, g in enumerate(gains.tolist())
    ]
    totals = Totals(0.2, np.nan, 0.25, gains.mean(), 0.02, gains.mean(), 0.02, np.nan, np.nan)
    scoring = {one.task: "R^2" for one in tasks}
    return TransferReport(tasks, totals, scoring, 5, {"joint": Ridge(), "independent": Ridge()})


@pytest.mark.parametrize("n_tasks", [1, 3, 12, 150, 400])
def test_every_task_is_a_point_at_its_gain_in_order(n_tasks):
    report = report_of(n_tasks)
    display = report.plot()
    points = np.vstack([one.get_offsets() for one in display.ax_.collections if one.get_label()[0] != "_"])
    drawn = dict(zip(points[:, 1].round().astype(int), points[:, 0]))
    gains = {one.task: one.fine_gain for one in report.tasks}
    assert [drawn[i] for i in range(n_tasks)] == pytest.approx([gains[task] for task in display.order_])
    assert [gains[task] for task in display.order_] == sorted(gains.values())
    assert len(display.ax_.get_yticklabels()) == min(n_tasks, n_tasks if n_tasks <= 160 else 134)


def test_lines_reach_as_far_as_the_errors_say():
    display = report_of(6).plot()
    for lines in (one for one in display.ax_.collections if hasattr(one, "get_segments")):
        for segment in lines.get_segments():
            assert np.ptp(segment[:, 0]) == pytest.approx(2 * 1.96 * 0.05)


def test_verdicts_differ_in_colour_and_in_marker():
    display = report_of(9).plot()
    points = [one for one in display.ax_.collections if one.get_label()[0] != "_"]
    assert len({tuple(one.get_facecolor()[0]) for one in points}) == 3
    assert len({one.get_paths()[0].vertices.tobytes() for one in points}) == 3
    assert [text.get_text() for text in display.ax_.get_legend().get_texts()] == [
        "helps (3)", "no clear difference (3)", "hurts (3)",
    ]  # fmt: skip


def test_axes_that_are_given_are_drawn_on():
    _, axes = plt.subplots(1, 2)
    display = TransferDisplay.from_report(report_of(3), ax=axes[1])
    assert display.ax_ is axes[1]
    assert display.figure_ is axes[0].figure
    assert not axes[0].has_data()


def test_from_estimator_is_the_picture_of_the_report():
    X = np.random.default_rng(0).standard_normal((40, 3))
    Y = X @ np.ones((3, 2)) + np.arange(80).reshape(40, 2) % 7
    display = TransferDisplay.from_estimator(Ridge(), X, Y, cv=3)
    assert isinstance(display.report, TransferReport)
    assert display.report.n_folds == 3
    assert sorted(display.order_) == [0, 1]


@pytest.mark.parametrize("n_tasks", [3, 12, 150])
def test_no_two_names_of_tasks_overlap(n_tasks):
    display = report_of(n_tasks).plot()
    display.figure_.canvas.draw()
    boxes = [label.get_window_extent() for label in display.ax_.get_yticklabels()]
    bottoms, tops = np.array([box.y0 for box in boxes]), np.array([box.y1 for box in boxes])
    order = np.argsort(bottoms)
    assert np.all(bottoms[order][1:] >= tops[order][:-1] - 1)  # a pixel of antialiasing


def test_a_curve_draws_the_mean_and_every_task():
    curve = TransferCurve({20: report_of(5, 1), 100: report_of(5, 2)})
    display = curve.plot()
    assert isinstance(display, TransferCurveDisplay)
    lines = {line.get_label(): line for line in display.ax_.get_lines()}
    np.testing.assert_allclose(
        lines["mean of 5 tasks"].get_ydata(), [report.totals.fine_gain for report in curve.reports.values()]
    )
    assert sum(len(line.get_xdata()) == 2 and line.get_linewidth() < 0.75 for line in display.ax_.get_lines()) == 5


def test_long_names_that_differ_in_their_ends_stay_different():
    names = [f"share of pupils above the line in school year {i}" for i in range(12)]
    cut = [short(name) for name in names]
    assert len(set(cut)) == 12
    assert all(len(one) <= 28 and one.startswith("share of pupi") for one in cut)
    assert short("short") == "short"
