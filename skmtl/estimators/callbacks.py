"""Progress of a fit: scikit-learn's callbacks where it has them (1.9), one printed line per few steps or candidate."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

try:
    from sklearn.callback import CallbackSupportMixin, with_callbacks
except ImportError:  # scikit-learn < 1.9 has no callbacks

    class CallbackSupportMixin:  # type: ignore[no-redef]
        """Stands in for scikit-learn's mixin of this name, and supports nothing."""

    def with_callbacks(method: Callable) -> Callable:  # type: ignore[no-redef]
        """The same method."""
        return method


__all__ = ["CallbackSupportMixin", "FitProgress", "SearchProgress", "with_callbacks"]

#: Steps of the solver from one printed line to the next.
_STEPS_PER_LINE = 5

Report = Callable[[int, float, float], None]


class FitProgress:
    """What a running fit tells: to the callbacks of its estimator, and on the screen.

    Parameters
    ----------
    estimator : estimator instance
        Its `max_iter` is the length of the progress bar.
    X, y : as handed to `fit`
    """

    def __init__(self, estimator: Any, X: Any, y: Any) -> None:
        self._estimator = estimator
        self._verbose = int(estimator.verbose)
        self._room = int(estimator.max_iter)
        self._context = None
        if hasattr(estimator, "_init_callback_context"):
            self._context = estimator._init_callback_context(max_subtasks=self._room)
            self._context.call_on_fit_task_begin(estimator=estimator, X=X, y=y)

    @property
    def report(self) -> Report | None:
        """What the solver calls after every step; None where nobody listens."""
        return self._step if self._verbose or self._context is not None else None

    def finish(self, X: Any, y: Any, fitted: dict[str, Any]) -> None:
        """Tell the callbacks that the fit ended with these attributes."""
        if self._context is not None:
            self._context.call_on_fit_task_end(estimator=self._estimator, X=X, y=y, reconstruction_attributes=fitted)

    def _step(self, iteration: int, objective: float, decrement: float) -> None:
        if self._verbose and (self._verbose > 1 or iteration % _STEPS_PER_LINE == 0):
            name = type(self._estimator).__name__
            print(f"[{name}] step {iteration:4d}  objective {objective:.10g}  to gain {decrement:.1e}")
        if self._context is not None and self._room > 0:
            # Steps that precede a truncation of the basis count too, so there can be more than max_iter.
            self._room -= 1
            step = self._context.subcontext(task_name="step")
            step.call_on_fit_task_begin(estimator=self._estimator)
            step.call_on_fit_task_end(estimator=self._estimator)


class SearchProgress:
    """What a running cross-validation prints on the standard output, as scikit-learn's searches do; nothing with 0.

    Parameters
    ----------
    estimator : estimator instance
        Its `verbose` says whether anything is printed.
    """

    def __init__(self, estimator: Any) -> None:
        self._name = type(estimator).__name__
        self._speaks = int(estimator.verbose) > 0
        self._n_candidates = 0

    def stage(self, text: str) -> None:
        """One line for a stage of the search."""
        if self._speaks:
            print(f"[{self._name}] {text}", flush=True)

    def candidate(self, params: dict[str, Any], score: float, n_folds: int, seconds: float) -> None:
        """One line for a candidate, with the strengths of a fit on all rows, as in ``cv_results_["params"]``."""
        self._n_candidates += 1
        folds = f"{n_folds} fold{'s' * (n_folds != 1)}"
        said = f"candidate {self._n_candidates:3d}  score {score:.6g}  {self.described(params)}"
        self.stage(f"{said}  ({folds}, {seconds:.2f}s)")

    @staticmethod
    def described(params: dict[str, Any]) -> str:
        """``name=value`` of every parameter, strengths with four digits."""
        values = {name: f"{value:.4g}" if isinstance(value, float) else repr(value) for name, value in params.items()}
        return " ".join(f"{name}={value}" for name, value in values.items())
