"""What all pictures share: axes of a fitting size, names that fit, ticks that can be read at any number of tasks."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np

from skmtl.optional import pyplot

#: Diverging colours that differ in every kind of colour blindness: blue is negative, red positive, white zero.
DIVERGING = "RdBu_r"
#: Up to so many names a side is labelled in full size, and at all.
ROOMY, NAMEABLE = 30, 160


def single_axes(ax: Any, size: tuple[float, float]) -> Any:
    """`ax`, or the axes of a new figure."""
    return pyplot().subplots(figsize=size, layout="constrained")[1] if ax is None else ax


def short(name: Hashable, limit: int = 28) -> str:
    """A name cut to a length that leaves room for the picture, in its middle: many names differ in their ends."""
    text = str(name)
    end = (limit - 1) // 2
    return text if len(text) <= limit else f"{text[: limit - 1 - end]}…{text[len(text) - end :]}"


def name_ticks(axis: Any, names: Sequence[Hashable], size: float | None = None) -> None:
    """Name the integer positions of an axis: all of them as far as they fit, else every second, third, ..."""
    every = 1 if len(names) <= NAMEABLE else int(np.ceil(len(names) / NAMEABLE))
    at = list(range(0, len(names), every))
    fontsize = size or (9.0 if len(names) <= ROOMY else max(4.5, 9.0 * ROOMY / len(names) * 1.6))
    axis.set_ticks(at, [short(names[i]) for i in at], fontsize=min(fontsize, 9.0))
    axis.set_tick_params(length=0 if len(names) > ROOMY else 2)
