"""From columns of a bundled table to the numbers a linear model takes: names, indicators, unit scale."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import NDArray


def bundled_bytes(name: str) -> bytes:
    """Return the content of the data file `name` that came with the package."""
    return (files("skmtl.datasets") / "data" / name).read_bytes()


def indicators(values: NDArray, levels: Sequence[Any], name: str) -> tuple[NDArray[np.float64], list[str]]:
    """Return one 0/1 column per level, and the columns' names ``name=level``.

    Parameters
    ----------
    values : ndarray of shape (n_rows,)
    levels : sequence of length n_levels
        A value that is no level has zeros in all columns.
    name : str
        Name of the variable.

    Returns
    -------
    columns : ndarray of shape (n_rows, n_levels)
    names : list of str, length n_levels
    """
    columns = (values[:, None] == np.asarray(levels)[None, :]).astype(np.float64)
    return columns, [f"{name}={level}" for level in levels]


def fill_with_median(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return `values` (n_rows,) or (n_rows, n_columns) with every NaN replaced by its column's median."""
    return np.where(np.isnan(values), np.nanmedian(values, axis=0), values)


def standardize(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return `values` (n_rows,) or (n_rows, n_columns) with mean 0 and standard deviation 1 per column."""
    return (values - values.mean(axis=0)) / values.std(axis=0)
