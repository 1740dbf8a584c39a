"""BLAS threads of a fit: one where all products are narrow, the user's number where X is large and dense.

A second thread cannot shorten a product of a few microseconds, but where other processes use the cores, waiting for
it makes the product many times slower. The user's number of threads is only ever lowered, and comes back at the end.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from threadpoolctl import ThreadpoolController

#: A dense X of fewer doubles than this is multiplied faster than threads are woken.
_FEW_ELEMENTS = 1 << 21

_lock = threading.Lock()
_fits_inside = 0
_limits: Any = None


@cache
def _controller() -> ThreadpoolController:
    """All libraries of the process; looking for them takes longer than a small fit."""
    return ThreadpoolController()


def is_narrow(X: Any) -> bool:
    """Whether products with a `FeatureMatrix`, or the X of `TaskData`, gain nothing from BLAS threads."""
    n_rows, n_features = X.shape
    return getattr(X, "is_sparse", hasattr(X, "indptr")) or n_rows * n_features < _FEW_ELEMENTS


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
