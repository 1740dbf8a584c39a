"""Palmer penguins: one table of 344 birds whose species, sex and weight are three kinds of task."""

from __future__ import annotations

import csv
import io
from typing import Any

import numpy as np

from skmtl.datasets.encoding import bundled_bytes, fill_with_median, indicators, standardize
from skmtl.targets import TaskTargets

#: The four measurements that become features, in the order of the columns of X; year is one of them.
MEASUREMENTS = ("bill_length", "bill_depth", "flipper_length", "year")


def load_penguins(*, standardized: bool = True, as_frame: bool = False) -> tuple[Any, Any]:
    """Load the Palmer penguins: three tasks of three kinds on one small table.

    344 penguins of the Palmer Archipelago, Antarctica, measured in 2007 to 2009. The tasks are
    ``species`` (3 classes), ``sex`` (2 classes, unknown for 11 birds) and ``body_mass``
    (grams, unknown for 2 birds); X holds the rest of the table.

    Parameters
    ----------
    standardized : bool, default=True
        Whether the four measurements of X have mean 0 and standard deviation 1, which a
        penalised model wants. If False they are in their units.
    as_frame : bool, default=False
        Whether X and y are pandas DataFrames, X with the names of the features as columns.

    Returns
    -------
    X : ndarray or DataFrame of shape (344, 7)
        ``bill_length`` (mm), ``bill_depth`` (mm), ``flipper_length`` (mm), ``year`` and the
        indicators ``island=Biscoe``, ``island=Dream``, ``island=Torgersen`` (always 0 or 1). Two
        birds were not measured; they have the median of every measurement, so X has no NaN.
    y : TaskTargets or DataFrame of 344 rows
        ``species`` and ``sex`` are strings, ``body_mass`` is in grams. Unknown sex is None,
        unknown body mass is NaN.

    Notes
    -----
    The rows are in a random order, always the same; the published table is sorted by species, which
    would leave folds of consecutive rows without whole classes.

    The data are in the public domain (CC0) [1]_ [2]_ and come with the package: nothing is
    downloaded.

    References
    ----------
    .. [1] Gorman K. B., Williams T. D. and Fraser W. R. (2014). Ecological sexual dimorphism and
       environmental variability within a community of Antarctic penguins (genus Pygoscelis).
       PLoS ONE 9(3): e90081. :doi:`10.1371/journal.pone.0090081`
    .. [2] Horst A. M., Hill A. P. and Gorman K. B. (2020). palmerpenguins: Palmer Archipelago
       (Antarctica) penguin data. :doi:`10.5281/zenodo.3960218`

    Examples
    --------
    >>> from skmtl.datasets import load_penguins
    >>> X, y = load_penguins()
    >>> X.shape, list(y)
    ((344, 7), ['species', 'sex', 'body_mass'])
    """
    text = bundled_bytes("penguins.csv").decode("ascii")
    rows = list(csv.DictReader(io.StringIO(text)))
    # The file is sorted by species and island: folds of consecutive rows would miss whole classes.
    # RandomState gives the same order in every version of NumPy.
    order = np.random.RandomState(0).permutation(len(rows))
    column = {name: np.array([row[name] for row in rows])[order] for name in rows[0]}

    numbers = np.column_stack([_numbers(column[name]) for name in MEASUREMENTS])
    numbers = fill_with_median(numbers)
    if standardized:
        numbers = standardize(numbers)
    islands, island_names = indicators(column["island"], np.unique(column["island"]).tolist(), "island")
    X = np.hstack([numbers, islands])

    sex = column["sex"].astype(object)
    sex[sex == ""] = None
    y = TaskTargets({"species": column["species"], "sex": sex, "body_mass": _numbers(column["body_mass"])})
    if not as_frame:
        return X, y
    import pandas as pd

    return pd.DataFrame(X, columns=[*MEASUREMENTS, *island_names]), y.to_frame()


def _numbers(cells: np.ndarray) -> np.ndarray:
    """Return text cells (n_rows,) as numbers, NaN where a cell is empty."""
    return np.where(cells == "", "nan", cells).astype(np.float64)
