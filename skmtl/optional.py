"""Packages that a few functions want: imported where they are used, with advice where they are not there."""

from __future__ import annotations

from typing import Any


def pandas() -> Any:
    """The module; ImportError that says how to get it."""
    try:
        import pandas
    except ImportError:
        raise ImportError("Frames need pandas: pip install pandas.") from None
    return pandas


def pyplot() -> Any:
    """The pyplot of matplotlib; ImportError that says how to get it."""
    try:
        from matplotlib import pyplot
    except ImportError:
        raise ImportError("Pictures need matplotlib: pip install matplotlib.") from None
    return pyplot
