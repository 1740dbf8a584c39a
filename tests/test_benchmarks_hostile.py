"""`benchmarks.hostile` judges a tuned class by what a user has already, and does not flatter it."""

from __future__ import annotations

import numpy as np
import pytest

hostile = pytest.importorskip("benchmarks.hostile")
# What LogisticRegressionCV says of its own coming defaults.
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::FutureWarning")]

LOADER = """
import numpy as np
def load(name):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((120, 4))
    raw = X @ rng.standard_normal((4, 3))
    if name == 'grouped':
        return {'X': X, 'y': raw[:, 0] + np.arange(120) % 6, 'task': np.arange(120) % 6}
    if name == 'ml_emotions':
        return {'X': X, 'Y': (raw > 0).astype(float)}
    return {'X': X, 'Y': raw + 0.1 * rng.standard_normal(raw.shape)}
"""


@pytest.fixture
def directory(tmp_path):
    (tmp_path / "load.py").write_text(LOADER)
    return str(tmp_path)


def split(directory, name):
    table = hostile.table(directory, name, seed=0)
    order = np.random.default_rng(0).permutation(table.X.shape[0])
    return table, *np.split(order, [2 * len(order) // 3])


@pytest.mark.parametrize("name", ["numbers", "grouped", "ml_emotions"])
def test_all_ways_answer_the_same_rows_and_are_judged_by_one_yardstick(directory, name):
    table, train, test = split(directory, name)
    for way in (hostile.tuned, hostile.separate, hostile.pooled):
        found = way(table, train, test)
        assert [len(one) for one in found] == [len(table.rows(t, test)) for t in range(len(table.names))]
        numeric, classes = hostile.errors(table, train, test, found)
        assert np.isnan(classes) == (name != "ml_emotions")
        assert np.isnan(numeric) == (name == "ml_emotions")
        if way is not hostile.pooled or name == "grouped":
            assert np.nansum([numeric, classes]) < (0.35 if name != "grouped" else 0.6)


def test_errors_of_numbers_are_relative_to_what_the_mean_leaves(directory):
    table, train, test = split(directory, "numbers")
    means = [np.full(len(table.rows(t, test)), np.mean(table.Y[train, t])) for t in range(len(table.names))]
    assert hostile.errors(table, train, test, means)[0] == pytest.approx(1.0, abs=0.2)


def test_a_tuned_class_that_loses_is_called_worse(directory, capsys, monkeypatch):
    honest = hostile.tuned

    def careless(table, train, test):
        return [0.5 * one for one in honest(table, train, test)]

    careless.__name__ = "tuned"
    hostile.report(directory, ["numbers"], n_splits=2)
    monkeypatch.setattr(hostile, "tuned", careless)
    hostile.report(directory, ["numbers"], n_splits=2)
    first, second = (line for line in capsys.readouterr().out.splitlines() if line.startswith("numbers"))
    assert "WORSE" not in first
    assert "WORSE" in second
