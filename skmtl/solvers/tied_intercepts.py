"""Problems in which the intercepts of the tasks are tied, made small where squared losses allow.

A task is its rows about their mean and one more for the mean, whose distance to the mean of all rows is worth the
weight of the task: ``sqrt(n_t) (x_t - x)`` with the target ``sqrt(n_t) y_t`` and ``sqrt(n_t)`` where the others have
zero in the column of the intercepts. Own parts leave as everywhere, that column being whitened along.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from skmtl.objective import Block, Problem
from skmtl.observations import ListedObservations
from skmtl.penalties import Penalties
from skmtl.solvers.build import make_problem
from skmtl.solvers.compression import is_long
from skmtl.solvers.own_rows import labelled_problem, tables_of
from skmtl.tasks import TaskData


def tied_problem(
    data: TaskData, block: Block, penalties: Penalties, centre: NDArray | None
) -> tuple[Problem, NDArray | None]:
    """The problem of labelled rows, and the mean of X that was taken off its rows unless its X says so itself.

    Parameters
    ----------
    centre : ndarray of shape (n_features,) or None
        The mean of X where it is known.
    """
    pays = block.loss.is_quadratic and not sparse.issparse(data.X) and (penalties.has_own or is_long(data))
    if not pays or not isinstance(block.observations, ListedObservations):
        return make_problem(data, [block], penalties, True), None
    tables = tables_of(data, block, True)
    roots = np.sqrt(tables.totals)
    centre = tables.totals @ tables.centres / tables.totals.sum() if centre is None else centre
    # After the last of the task's own rows; the end of one task is the beginning of the next.
    ends = tables.offsets[1:]
    rows = np.insert(tables.rows, ends, roots[:, np.newaxis] * (tables.centres - centre), axis=0)
    targets = np.insert(tables.targets, ends, roots * tables.means)
    ones = np.insert(np.zeros(len(tables.targets)), ends, roots)
    offsets = tables.offsets + np.arange(len(tables.offsets))
    return labelled_problem(block, rows, targets, offsets, penalties, tables.constant, ones=ones), centre
