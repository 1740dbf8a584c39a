"""Features in units of their standard deviations: the way into them, and back (``scale_features``).

A ridge shrinks the coefficient of a column in metres a million times as much as that of the same column in
millimetres. In units of their deviations, columns are shrunk alike whatever their units. The deviations are those over
the observations, a row counting once for every task that sees it, so that they are the same in every input form.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from skmtl.matrix import column_deviations
from skmtl.solvers.relevance import in_scaled_features, scaled_data
from skmtl.solvers.solution import Solution, with_columns_times
from skmtl.solvers.spread import MergedSpread
from skmtl.tasks import TaskData


def feature_units(data: TaskData) -> NDArray:
    """Standard deviation of every feature over all observations, by their weights; 1 where it is constant."""
    deviations = column_deviations(data.X, data.row_weights)
    # A deviation that has no reciprocal is none.
    return np.where(deviations > np.finfo(float).tiny, deviations, 1.0)


def in_units(data: TaskData, units: NDArray) -> TaskData:
    """The data with every feature divided by its unit."""
    return scaled_data(data, 1.0 / units)


def start_in_units(solution: Solution, units: NDArray) -> Solution:
    """A solution of the features as given as a start among features in these units."""
    return in_scaled_features(solution, 1.0 / units)


def out_of_units(solution: Solution, units: NDArray) -> Solution:
    """A solution of features in units as one of the features as given."""
    given = replace(with_columns_times(solution, 1.0 / units), feature_unit=units)
    if isinstance(solution.spread, MergedSpread):
        parts = tuple((positions, out_of_units(part, units)) for positions, part in solution.spread.parts)
        given = replace(given, spread=MergedSpread(parts))
    return given
