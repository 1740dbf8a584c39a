"""BLAS threads of a fit: one where all products are narrow, the user's number where they are large and dense.

A second thread cannot shorten a product of a few microseconds, but where other processes use the cores, waiting for
it makes the product many times slower: lists of observations take a third of the processor time with one thread. The
user's number of threads is only ever lowered, and comes back at the end.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from scipy import sparse
from threadpoolctl import ThreadpoolController

from skmtl.matrix import FEW_ELEMENTS
from skmtl.objective import Problem
from skmtl.observations import ListedObservations as Listed
from skmtl.tasks import TaskData

#: Second moments of fewer elements are decomposed sooner by one thread.
_NARROW_MOMENTS = 1 << 17
#: Where observations are listed, only products with an X beyond this are worth threads.
_MANY_ELEMENTS = 1 << 23

_lock = threading.Lock()
_fits_inside = 0
_limits: Any = None


@cache
def _controller() -> ThreadpoolController:
    """All libraries of the process; looking for them takes longer than a small fit."""
    return ThreadpoolController()


def has_narrow_set_up(data: TaskData) -> bool:
    """Whether what precedes the first step (means, second moments, an eigendecomposition) gains nothing."""
    return sparse.issparse(data.X) or data.X.size < FEW_ELEMENTS


def has_narrow_moments(data: TaskData) -> bool:
    """Whether what follows, once second moments stand for all rows, gains nothing."""
    return data.n_features**2 < _NARROW_MOMENTS


def has_narrow_steps(problem: Problem) -> bool:
    """Whether the products of the iterations gain nothing from BLAS threads."""
    if problem.X.is_sparse:
        return True
    dense = sum(b.y.size * b.observations.n_outputs for b in problem.blocks if not isinstance(b.observations, Listed))
    return dense < FEW_ELEMENTS and math.prod(problem.X.shape) < (FEW_ELEMENTS if dense else _MANY_ELEMENTS)


@contextmanager
def one_blas_thread(applies: bool = True) -> Iterator[None]:
    """Within it BLAS uses one thread; the limit is one of the process, so that the last fit to leave lifts it."""
    global _fits_inside, _limits
    if not applies:
        yield
        return
    with _lock:
        _fits_inside += 1
        if _fits_inside == 1:
            _limits = _controller().limit(limits=1, user_api="blas")
    try:
        yield
    finally:
        with _lock:
            _fits_inside -= 1
            if _fits_inside == 0:
                _limits.restore_original_limits()
                _limits = None
