"""Verdicts of transfer reports on data whose truth is known, and the advice they come to."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from skmtl import LowRankRegressor, LowRankRegressorCV, TaskTargets, transfer_report
from skmtl.datasets import make_multitask
from skmtl.transfer.results import TaskTransfer, Totals
from skmtl.transfer.text import advice


def told(verdicts, gain=0.0, over_pooled=float("nan")):
    tasks = [
        TaskTransfer(f"t{i}", "regression", 9, 9.0, 0, 0, 0, 0, 0, 0, 0, 0, 0, verdict)
        for i, verdict in enumerate(verdicts)
    ]
    return advice(tasks, Totals(0.1, 0.4, 0.2, gain, 0.01, gain, 0.01, over_pooled, 0.01))


@pytest.mark.parametrize(
    ("verdicts", "gain", "sentence"),
    [
        (["helps", "helps", "hurts"], 0.0, "Learn t0 and t1 jointly; keep t2 apart."),
        (["helps", "helps"], 0.0, "Learn all tasks jointly: it helps every one."),
        (["helps", "no clear difference"], 0.0, "Learn all tasks jointly: it helps t0, and clearly hurts none."),
        (["hurts", "no clear difference"], 0.0, "Keep t0 apart; for the other tasks learning jointly makes no clear"),
        (["hurts", "hurts"], 0.0, "Learn every task on its own"),
        (["no clear difference"] * 3, 0.0, "Learning jointly makes no clear difference to any task"),
        (
            ["no clear difference"] * 3,
            0.3,
            "No single task is clear, but together they gain: +0.300 +- 0.010 on average",
        ),
        (["helps"] * 12 + ["hurts"], 0.0, "Learn t0, t1, t2, t3, t4, t5 and 6 more jointly; keep t12 apart."),
        (["no clear difference"], 0.0, "There is one task only"),
    ],
)
def test_advice_is_a_plain_sentence(verdicts, gain, sentence):
    assert told(verdicts, gain).startswith(sentence)


def test_advice_mentions_a_pooled_model_that_is_better_still():
    assert "One pooled model for all tasks does better still" in told(["helps", "helps"], over_pooled=-0.1)
    assert "pooled" not in told(["helps", "helps"], over_pooled=-0.01)


def test_pure_noise_is_predicted_by_no_model():
    # Whatever leaked from the held-out rows into the training would show as a positive score.
    rng = np.random.RandomState(0)
    X, Y = rng.standard_normal((120, 5)), rng.standard_normal((120, 4))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        report = transfer_report(LowRankRegressor(n_components=1, alpha=0.3), X, Y)
    assert all(max(one.independent, one.pooled, one.joint) < 0.03 for one in report.tasks)


def planted(seed):
    """40 tasks of rank 2 and 10 unrelated ones on one X: 100 rows, 30 features, noise 1, signal 1.5."""
    X, y, truth = make_multitask(
        100, 30, 50, n_components=2, n_outliers=10, noise=1, signal=1.5, return_truth=True, random_state=seed
    )
    return X, y, np.isin(list(y), truth.outliers)


@pytest.mark.slow
def test_related_tasks_are_told_from_unrelated_ones():
    related_helped = []
    for seed in range(5):
        X, y, unrelated = planted(seed)
        verdict = transfer_report(LowRankRegressorCV(), X, y, random_state=0).to_frame()["verdict"].to_numpy()
        assert not np.any(verdict[unrelated] == "helps")
        assert not np.any(verdict[~unrelated] == "hurts")
        related_helped.append(np.mean(verdict[~unrelated] == "helps"))
    assert np.mean(related_helped) >= 0.75  # single seeds give 0.62 to 1


@pytest.mark.slow
def test_a_rank_that_is_known_helps_most_related_tasks_and_hurts_unrelated_ones():
    X, y, unrelated = planted(0)
    report = transfer_report(LowRankRegressor(n_components=2), X, y, random_state=0)
    verdict = report.to_frame()["verdict"].to_numpy()
    assert np.mean(verdict[~unrelated] == "helps") >= 0.75
    assert not np.any(verdict[unrelated] == "helps")
    assert not np.any(verdict[~unrelated] == "hurts")
    assert "apart" in report.advice
    unclear = [one for one in report.tasks if one.verdict == "no clear difference"]
    assert all(one.fine_gain < one.detectable for one in unclear)
    power = np.median([one.detectable for one in unclear])
    assert f"a gain below about {power:.3f} could not have been told from none" in repr(report)
    assert f"a gain below about {power:.3f} could not have been told from none" in report._repr_html_()


def test_where_every_verdict_is_clear_nothing_is_said_of_power():
    X, y = make_multitask(100, 20, 5, n_components=1, random_state=0)
    report = transfer_report(LowRankRegressor(n_components=1, alpha=0.1), X, y, random_state=0)
    assert set(report.verdicts.values()) == {"helps"}
    assert "told from none" not in repr(report)


@pytest.mark.slow
def test_where_nothing_is_shared_and_nothing_lost_there_is_no_verdict():
    called = []
    for seed in range(20):
        rng = np.random.RandomState(seed)
        X, Y = rng.standard_normal((100, 10)), rng.standard_normal((100, 8))
        targets = TaskTargets({f"noise_{t}": column for t, column in enumerate(Y.T)})
        report = transfer_report(LowRankRegressorCV(cv=3), X, targets, random_state=0)
        called += [one.verdict != "no clear difference" for one in report.tasks]
    assert np.mean(called) < 0.1  # of 160 verdicts
