"""When an iterative baseline stops: at the objective to reach, at the budget, or when it no longer moves."""

from __future__ import annotations

from benchmarks.clock import now

PRECISION = 1e-6
#: Steps without a relative decrease of 1e-12 that count as standing still.
_PATIENCE = 30


class Watch:
    """A clock that starts when it is made, and hears every objective that is reached."""

    def __init__(self, target: float | None, budget: float) -> None:
        self.limit = -float("inf") if target is None else target + PRECISION * abs(target)
        self.budget = budget
        self.path: list[float] = []
        self._start = now()

    @property
    def seconds(self) -> float:
        return now() - self._start

    def done(self, objective: float) -> bool:
        self.path.append(objective)
        if objective <= self.limit or self.seconds > self.budget:
            return True
        if len(self.path) <= _PATIENCE:
            return False
        return min(self.path[:-_PATIENCE]) - min(self.path[-_PATIENCE:]) <= 1e-12 * abs(objective)
