"""Gains, their standard errors and verdicts: what is claimed about the signs of gains holds."""

from __future__ import annotations

import numpy as np
import pytest

from skmtl.evidence import LEVEL, Paired, gains, total_gain, weigh


def paired(difference, n_folds=5, train_over_test=None):
    """Differences of rows dealt out to folds."""
    n = len(difference)
    return Paired(np.arange(n), np.arange(n) % n_folds, np.asarray(difference, float), train_over_test or n_folds - 1.0)


def called(gain, se, df=1000):
    evidence = weigh(np.asarray(gain, float), np.asarray(se, float), np.full(len(gain), df))
    return (evidence.p_better > 1 - LEVEL).astype(int) - (evidence.p_worse > 1 - LEVEL)


def test_the_standard_error_is_that_of_nadeau_and_bengio():
    # Equal fold means: nothing varies between folds beyond the rows, and the formula has closed form.
    difference = np.tile([1.0, -1.0], 50)[np.argsort(np.arange(100) % 5, kind="stable").argsort()]
    one = paired(difference)
    mean, se, df = gains([one])
    spread = np.sum(difference**2) / 95  # five fold means are taken off a hundred rows
    assert mean[0] == difference.mean()
    assert se[0] == pytest.approx(np.sqrt(spread / 20 * (1 / 5 + 1 / 4)), rel=0.05)
    assert df[0] == 95


def test_it_agrees_with_the_textbook_where_folds_differ_by_chance_only():
    # Nadeau & Bengio's own estimate from the fold means has 4 degrees of freedom; on average both are the same.
    rng = np.random.default_rng(0)
    tasks = [paired(rng.standard_normal(100)) for _ in range(2000)]
    _, se, _ = gains(tasks)
    means = np.array([[one.difference[one.fold == k].mean() for k in range(5)] for one in tasks])
    textbook = means.var(axis=1, ddof=1) * (1 / 5 + 1 / 4)
    # The sample variance of 4 df over 2,000 tasks is known to 1.6 %.
    assert np.mean(se**2) == pytest.approx(textbook.mean(), rel=0.06)
    assert np.std(se**2) < 0.3 * np.std(textbook)  # which is the point of rows in place of folds


def test_folds_that_differ_more_than_their_rows_widen_every_error():
    rng = np.random.default_rng(1)
    plain = [rng.standard_normal(100) for _ in range(10)]
    shifted = [one + np.tile(rng.standard_normal(5), 20) for one in plain]
    assert np.all(gains([paired(one) for one in shifted])[1] > 2 * gains([paired(one) for one in plain])[1])


def test_the_error_of_the_mean_gain_knows_that_tasks_share_rows():
    rng = np.random.default_rng(2)
    shared = rng.standard_normal(200)
    alike = [paired(shared) for _ in range(10)]
    other = [paired(rng.standard_normal(200)) for _ in range(10)]
    assert total_gain(alike)[1] == pytest.approx(gains(alike)[1][0], rel=0.1)  # ten copies tell nothing more
    assert total_gain(other)[1] == pytest.approx(np.mean(gains(other)[1]) / np.sqrt(10), rel=0.5)
    assert total_gain(other)[0] == pytest.approx(np.mean(gains(other)[0]))


@pytest.mark.parametrize(("gain", "verdict"), [(0.5, 0), (1.5, 0), (4.0, 1), (-4.0, -1), (-1.0, 0)])
def test_a_task_alone_needs_a_clear_gain(gain, verdict):
    assert called([gain], [1.0])[0] == verdict


def test_many_tasks_that_gain_make_a_small_gain_credible():
    rng = np.random.default_rng(3)
    neighbours = rng.normal(2.0, 1.0, 60)
    assert called([1.2], [1.0])[0] == 0
    assert called([1.2, *neighbours], np.ones(61))[0] == 1


def test_few_degrees_of_freedom_ask_for_more():
    gain, se = np.array([2.9]), np.array([1.0])
    assert weigh(gain, se, np.array([4])).p_better[0] < weigh(gain, se, np.array([400])).p_better[0]


def test_signs_and_order_do_not_matter():
    rng = np.random.default_rng(4)
    gain, se, df = rng.normal(0.5, 1.5, 40), rng.uniform(0.5, 2.0, 40), np.full(40, 50)
    one, mirrored = weigh(gain, se, df), weigh(-gain, se, df)
    np.testing.assert_allclose(one.p_better, mirrored.p_worse, atol=1e-12)
    order = rng.permutation(40)
    np.testing.assert_allclose(weigh(gain[order], se[order], df).p_better, one.p_better[order], atol=1e-9)
    np.testing.assert_allclose(one.p_better + one.p_worse, 1.0)
    scaled = weigh(1e6 * gain, 1e6 * se, df)  # nor do units
    np.testing.assert_allclose(scaled.p_better, one.p_better, atol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("n_tasks", [3, 12, 150])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.8])
def test_at_most_one_sign_in_twenty_is_wrong(n_tasks, share):
    # Gains of a share of the tasks are real and of either sign; the others have none, so that any call is wrong.
    rng = np.random.default_rng(5)
    wrong = n_called = n_tasks_seen = 0
    for _ in range(600 // n_tasks):
        truth = np.where(rng.random(n_tasks) < share, rng.normal(0.0, 3.0, n_tasks), 0.0)
        verdict = called(truth + rng.standard_normal(n_tasks), np.ones(n_tasks))
        wrong += np.sum((verdict != 0) & (verdict != np.sign(truth)))
        n_called += np.count_nonzero(verdict)
        n_tasks_seen += n_tasks
    # Of 600 tasks a rate of 5 % has a standard error of 0.9 %; of few calls only their number is bounded.
    assert wrong <= max(0.07 * n_called, 0.02 * n_tasks_seen)
    if share == 0.8:
        assert n_called > 0.3 * n_tasks_seen


def test_the_same_predictions_and_missing_gains_have_no_verdict():
    evidence = weigh(np.array([0.0, np.nan, 9.0]), np.array([0.0, np.nan, 1.0]), np.array([10, 0, 10]))
    assert evidence.p_better[0] == evidence.p_worse[0] == 0.5
    assert np.isnan(evidence.p_better[1])
    assert evidence.p_better[2] > 0.95
