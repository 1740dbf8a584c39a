"""The clock of all measurements: wall time, or on a shared machine the processor time of one thread.

Beside other programs wall times of the same fit differ by factors of ten, its processor time by a fifth. But a
single thread flatters whatever is bound by the BLAS: goals are for wall times on two quiet cores.
"""

from __future__ import annotations

import time

from threadpoolctl import threadpool_limits

#: Times the wall time allowed when processor time is what counts.
_SHARE = 3.0
_now = time.perf_counter
#: Wall seconds allowed for a second on the clock.
patience = 1.0


def now() -> float:
    """Seconds on the clock."""
    return _now()


def count_processor_time() -> None:
    """From now on, also in processes forked later: seconds of the processor, one thread."""
    global _now, patience
    threadpool_limits(1)
    _now, patience = time.process_time, _SHARE
