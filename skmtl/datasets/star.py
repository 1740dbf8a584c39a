"""Project STAR: eight test scores of 10,786 pupils, of which two in five were never taken."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skmtl.datasets.encoding import bundled_bytes, fill_with_median, indicators, standardize
from skmtl.targets import TaskTargets


def load_star(*, standardized: bool = True, as_frame: bool = False) -> tuple[Any, Any]:
    """Load the Tennessee STAR experiment: eight regression tasks, 43 % of the targets missing.

    From 1985 to 1989 Tennessee assigned pupils at random to small or regular classes and tested
    them each year from kindergarten to grade 3. Pupils came and went, so most took only some of
    the tests. The tasks are the scores in reading and mathematics in the four grades; X says
    who the pupils are and in which class, school and with which teacher they were.

    Parameters
    ----------
    standardized : bool, default=True
        Whether the numeric features (birth and teacher's experience) have mean 0 and standard
        deviation 1, which a penalised model wants. If False they are in years.
    as_frame : bool, default=False
        Whether X and y are pandas DataFrames, X with the names of the features as columns.

    Returns
    -------
    X : ndarray or DataFrame of shape (10786, 90)
        ``birth`` (years, a quarter's start), ``experiencek`` .. ``experience3`` (of the teacher in
        kindergarten .. grade 3, years), then 0/1 indicators ``variable=level`` of gender,
        ethnicity and, for every grade, class type (``star``), free ``lunch``, ``school`` type,
        ``degree`` and ethnicity (``tethnicity``) of the teacher. What is unknown is a level of its
        own, ``variable=missing``; unknown numbers are the median. Indicators that equal an
        earlier one in every row are left out: the class and the school are missing together.
    y : TaskTargets or DataFrame of 10786 rows
        ``readk``, ``read1``, ``read2``, ``read3``, ``mathk``, ``math1``, ``math2``, ``math3``: scaled
        scores of the Stanford Achievement Test (points), NaN where the test was not taken. The
        812 pupils of the source who took no test are left out.

    Notes
    -----
    The data were published by the State of Tennessee and are in the public domain (CC0) [1]_; this
    table was made from the data set ``STAR`` of the R package AER [2]_. It comes with the package:
    nothing is downloaded.

    References
    ----------
    .. [1] Achilles C. M. et al. (2008). Tennessee's Student Teacher Achievement Ratio (STAR)
       project. Harvard Dataverse. :doi:`10.7910/DVN/SIWH9F`
    .. [2] Stock J. H. and Watson M. W. (2007). Introduction to Econometrics, 2nd ed., as in
       Kleiber C. and Zeileis A. (2008). Applied Econometrics with R. Springer.
       :doi:`10.1007/978-0-387-77318-6`

    Examples
    --------
    >>> from skmtl.datasets import load_star
    >>> X, y = load_star()
    >>> X.shape, len(list(y))
    ((10786, 90), 8)
    """
    with np.load(io.BytesIO(bundled_bytes("star.npz")), allow_pickle=False) as stored:
        table = {name: stored[name] for name in stored.files}

    numbers, number_names = _numeric_features(table)
    if standardized:
        numbers = standardize(numbers)
    categories, category_names = _categorical_features(table)
    X = np.hstack([numbers, categories])

    scores = np.where(table["scores"] < 0, np.nan, table["scores"].astype(np.float64))
    y = TaskTargets({str(task): scores[:, t] for t, task in enumerate(table["tasks"])})
    if not as_frame:
        return X, y
    import pandas as pd

    return pd.DataFrame(X, columns=number_names + category_names), y.to_frame()


def _numeric_features(table: dict[str, NDArray]) -> tuple[NDArray[np.float64], list[str]]:
    """Return birth and the teachers' experience (n_rows, 5), in years, without NaN."""
    quarters = np.column_stack([table["birth_quarter"], table["experience"]]).astype(np.float64)
    years = np.where(quarters < 0, np.nan, quarters)
    years[:, 0] = 1977 + years[:, 0] / 4
    return fill_with_median(years), ["birth", *(f"experience{grade}" for grade in "k123")]


def _categorical_features(table: dict[str, NDArray]) -> tuple[NDArray[np.float64], list[str]]:
    """Return the indicators of all categories, each set of rows once, and their names."""
    columns, names = [], []
    for j, category in enumerate(table["categories"]):
        levels = table[f"levels_{category}"]
        block, block_names = indicators(levels[table["codes"][:, j]], levels.tolist(), str(category))
        columns.append(block)
        names += block_names
    matrix = np.hstack(columns)
    _, first = np.unique(matrix, axis=1, return_index=True)
    kept = np.sort(first)
    return matrix[:, kept], [names[j] for j in kept]
