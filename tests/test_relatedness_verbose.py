"""`verbose=1` of `group_tasks` and `select_tasks` speaks; counts that are declared are no regression to warn of."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from skmtl import group_tasks, select_tasks, task_affinity

rng = np.random.default_rng(0)
X = rng.standard_normal((60, 4))
Y = X @ rng.standard_normal((4, 4)) + rng.standard_normal((60, 4))


@pytest.mark.parametrize(
    ("call", "said"),
    [(lambda **v: group_tasks(X, Y, **v), "held-out error"), (lambda **v: select_tasks(X, Y, 0, **v), "folds")],
)
def test_verbose_speaks_on_the_standard_error_and_changes_nothing(call, said, capsys):
    silent = repr(call())
    assert capsys.readouterr() == ("", "")
    assert repr(call(verbose=1)) == silent
    out, err = capsys.readouterr()
    assert out == ""
    assert said in err


@pytest.mark.parametrize("kinds", ["count", {0: "count", 1: "count"}])
def test_declared_counts_are_no_regression(kinds):
    counts = rng.poisson(np.exp(0.3 * X[:, :2]))
    with pytest.warns(UserWarning, match="learned as regression"):
        by_themselves = task_affinity(X, counts)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        declared = task_affinity(X, counts, kinds=kinds)
    assert declared.matrix.shape == by_themselves.matrix.shape
