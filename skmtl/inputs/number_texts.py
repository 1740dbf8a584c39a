"""Numbers that were read as text: as classes they would be as many as there are numbers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

#: More distinct numbers than this, on more than half of the rows, are no names of classes.
MANY_NUMBERS = 20
#: Labels that are looked at one by one where some are no numbers.
_LOOKED_AT = 1000


def number_text(labels: NDArray, codes: NDArray) -> str | None:
    """One of the labels, where they are numbers written as text; None where they are names.

    Parameters
    ----------
    labels : ndarray of str or object, shape (n_labels,)
        Distinct labels.
    codes : integer ndarray of shape (n_rows,)
        Position of every target among them.
    """
    if len(labels) <= MANY_NUMBERS or not all(isinstance(label, str) for label in labels[:1].tolist()):
        return None
    counts = np.bincount(codes, minlength=len(labels))
    # The most frequent labels speak for all: a column of a million different texts is not read one by one.
    often = np.argsort(-counts, kind="stable")[:_LOOKED_AT]
    is_number = np.array([_is_number(label) for label in labels[often].tolist()])
    rows = counts[often]
    if np.count_nonzero(is_number) <= MANY_NUMBERS or 2 * rows[is_number].sum() <= rows.sum():
        return None
    return str(labels[often[int(np.argmax(is_number))]])


def _is_number(text: object) -> bool:
    if not isinstance(text, str):
        return False
    try:
        return bool(np.isfinite(float(text.replace(",", "."))))
    except ValueError:
        return False
