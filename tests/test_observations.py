"""Sums over lists of observations, against the same sums over a table of all rows and tasks with zeros in its gaps."""

import numpy as np
import pytest

from skmtl import row_blocks
from skmtl.observations import ListedObservations, Pairs


@pytest.mark.parametrize("n_outputs", [1, 3])
@pytest.mark.parametrize("rows_at_once", [7, 64, 10**6], ids=["many blocks", "few blocks", "no blocks"])
def test_sums_over_long_lists_do_not_depend_on_the_blocks_of_rows(monkeypatch, rows_at_once, n_outputs):
    rng = np.random.default_rng(0)
    monkeypatch.setattr(row_blocks, "_ROWS", rows_at_once)
    monkeypatch.setattr(row_blocks, "_FEWEST", 1)
    n_rows, n_tasks, p = 6000, 3, 4
    seen = rng.random((n_tasks, n_rows)) < [[0.3], [0.9], [0.6]]
    tasks, rows = np.nonzero(seen)
    listed = ListedObservations(n_rows, rows, np.concatenate([[0], np.cumsum(seen.sum(axis=1))]), n_outputs)
    assert (listed._row_blocks.n_blocks == 1) == (rows_at_once > n_rows)
    scores, factors = rng.standard_normal((n_rows, p)), rng.standard_normal((n_tasks * n_outputs, p))
    table = np.zeros((n_rows, n_tasks, n_outputs))
    table[rows, tasks] = rng.standard_normal((len(rows), n_outputs))
    values = table[rows, tasks][:, 0] if n_outputs == 1 else table[rows, tasks]

    raw = (scores @ factors.T).reshape(n_rows, n_tasks, n_outputs)[rows, tasks].reshape(values.shape)
    np.testing.assert_allclose(listed.raw(scores, factors), raw, atol=1e-12)
    np.testing.assert_allclose(listed.factor_sums(values, scores), table.reshape(n_rows, -1).T @ scores, atol=1e-9)
    np.testing.assert_allclose(listed.row_sums(values, factors), table.reshape(n_rows, -1) @ factors, atol=1e-12)
    curvature = table[rows, tasks, 0]
    grams = np.einsum("nt,ni,nj->tij", table[:, :, 0], scores, scores)
    np.testing.assert_allclose(listed.grams(curvature, Pairs(scores)), grams, atol=1e-9)
