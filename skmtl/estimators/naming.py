"""Methods that carry the name of the class they are called on, in the errors of Python itself.

``LowRankClassifier().predict(X, return_std=True)`` shall say that ``LowRankClassifier.predict()`` has no such
argument, not that a mixin has none, which its caller has never heard of.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from inspect import getattr_static
from types import CellType, FunctionType
from typing import Any

from sklearn.utils.metaestimators import available_if


def name_methods(owner: type, names: Mapping[str, Callable | None]) -> None:
    """Give `owner` its own copies of inherited methods, under its own name; what they do stays as it is.

    Parameters
    ----------
    names : mapping of {name: condition}
        The condition under which `available_if` shows the method, None where it always is there.
    """
    for name, condition in names.items():
        if name in vars(owner):
            continue
        method = getattr_static(owner, name)
        if condition is None:
            copy = _renamed(method, f"{owner.__name__}.{name}")
        else:
            copy = available_if(condition)(_renamed(method.__wrapped__, f"{owner.__name__}.{name}"))
        setattr(owner, name, copy)


def _renamed(function: Any, name: str) -> Any:
    """A copy with another name; of a decorated function the copy of the decorator calls a copy of what is inside."""
    inner = getattr(function, "__wrapped__", None)
    closure = function.__closure__
    inside = None if inner is None else _renamed(inner, name)
    if inner is not None and closure is not None:
        closure = tuple(CellType(inside) if cell.cell_contents is inner else cell for cell in closure)
    copy = FunctionType(function.__code__, function.__globals__, function.__name__, function.__defaults__, closure)
    copy.__kwdefaults__ = function.__kwdefaults__
    copy.__dict__ = vars(function) | ({} if inside is None else {"__wrapped__": inside})
    copy.__doc__, copy.__annotations__ = function.__doc__, dict(function.__annotations__)
    copy.__qualname__, copy.__module__ = name, function.__module__
    return copy
