"""`PathDisplay`: how a fit came to its end, and how the score depends on what was tuned."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skmtl.displays.canvas import single_axes
from skmtl.single_task import last_step

#: Values below this share of the first are rounding.
_ROUNDING = 1e-16
_MARKERS = "osD^vPX*<>"


class PathDisplay:
    """Objective and gap by iteration of one fit, or scores by strength and rank of a tuned one.

    `from_estimator` draws the tuning curves of an estimator with `cv_results_`, and the path of the objective of any
    other; `from_cv_results` and `from_path` choose.

    Parameters
    ----------
    objective_path : ndarray of shape (n_steps + 1,), default=None
        Objective after every step.
    dual_gap : float, default=None
        Upper bound of the last objective minus the optimum over models of every rank.
    cv_results : dict, default=None
        As scikit-learn's ``cv_results_``.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure

    Examples
    --------
    >>> import matplotlib  # doctest: +SKIP
    >>> from skmtl import LowRankMultiTask, PathDisplay
    >>> from skmtl.datasets import load_penguins
    >>> model = LowRankMultiTask(n_components=2).fit(*load_penguins())
    >>> PathDisplay.from_estimator(model)  # doctest: +SKIP
    """

    def __init__(
        self, *, objective_path: Any = None, dual_gap: float | None = None, cv_results: Mapping[str, Any] | None = None
    ) -> None:
        self.objective_path = objective_path
        self.dual_gap = dual_gap
        self.cv_results = cv_results

    @classmethod
    def from_estimator(cls, estimator: Any, *, score: str = "score", ax: Any = None) -> PathDisplay:
        """Draw the tuning curves of a tuned estimator or search, or the path of a plain one.

        Parameters
        ----------
        estimator : fitted estimator, pipeline or search
        score : str, default="score"
            Which score of `cv_results_`: a task, or the name of a scorer.
        ax : matplotlib axes, default=None

        Raises
        ------
        ValueError
            If the estimator has neither a path nor results.
        """
        tuned = next((one for one in _layers(estimator) if hasattr(one, "cv_results_")), None)
        if tuned is not None:
            return cls.from_cv_results(tuned.cv_results_, score=score, ax=ax)
        inner = last_step(estimator)
        if not hasattr(inner, "objective_path_"):
            raise ValueError(
                f"{type(inner).__name__} has neither cv_results_ nor objective_path_; fit an estimator of skmtl, "
                "or a search over one, first."
            )
        return cls.from_path(inner.objective_path_, inner.dual_gap_, ax=ax)

    @classmethod
    def from_path(cls, objective_path: Any, dual_gap: float, *, ax: Any = None) -> PathDisplay:
        """Draw the objective above what is proven to be out of reach, and above its last value.

        Parameters
        ----------
        objective_path : array-like of shape (n_steps + 1,)
        dual_gap : float
        ax : matplotlib axes, default=None
        """
        return cls(objective_path=np.asarray(objective_path, dtype=float), dual_gap=float(dual_gap)).plot(ax)

    @classmethod
    def from_cv_results(cls, cv_results: Mapping[str, Any], *, score: str = "score", ax: Any = None) -> PathDisplay:
        """Draw the score by strength, a line per rank.

        Parameters
        ----------
        cv_results : dict
            With ``param_alpha``, ``param_n_components`` or both (also behind the name of a step),
            ``mean_test_<score>`` and ``std_test_<score>``.
        score : str, default="score"
        ax : matplotlib axes, default=None
        """
        return cls(cv_results=cv_results).plot(ax, score=score)

    def plot(self, ax: Any = None, *, score: str = "score") -> PathDisplay:
        """Draw.

        Parameters
        ----------
        ax : matplotlib axes, default=None
        score : str, default="score"

        Returns
        -------
        display : PathDisplay
        """
        # Whatever is wrong with the results is said before a figure is opened.
        curves = None if self.cv_results is None else _curves(self.cv_results, score)
        ax = single_axes(ax, (6.4, 4.2))
        if curves is None:
            self._draw_path(ax)
        else:
            self._draw_curves(ax, *curves, score)
        ax.spines[["top", "right"]].set_visible(False)
        ax.grid(linewidth=0.4, alpha=0.6)
        ax.set_axisbelow(True)
        self.ax_, self.figure_ = ax, ax.figure
        return self

    def _draw_path(self, ax: Any) -> None:
        path, gap = np.asarray(self.objective_path, dtype=float), float(self.dual_gap or 0.0)
        steps = np.arange(len(path))
        floor = _ROUNDING * max(float(np.abs(path).max()), 1e-300)
        above = np.maximum(path - path[-1] + gap, floor)
        label = f"above a lower bound for every rank (duality gap {gap:.1e})"
        ax.plot(steps, above, color="#0072b2", marker="o", markersize=4, label=label)
        if len(path) > 1:
            left = path[:-1] - path[-1]
            shown = left > floor
            label = "above the value reached"
            ax.plot(steps[:-1][shown], left[shown], color="#d55e00", marker="s", markersize=4, ls="--", label=label)
        ax.axhline(max(gap, floor), color="#0072b2", linewidth=0.8, linestyle=":")
        ax.set_yscale("log")
        ax.xaxis.get_major_locator().set_params(integer=True)
        ax.set_xlabel("iteration")
        ax.set_ylabel("objective less ...")
        ax.legend(fontsize=8)

    def _draw_curves(self, ax: Any, x_name: str, lines: list, score: str) -> None:
        from matplotlib import colormaps

        best_x, best_y, best_rank = max(
            ((x[i], mean[i], rank) for rank, x, mean, _ in lines for i in range(len(x))), key=lambda point: point[1]
        )
        colours = colormaps["viridis"](np.linspace(0.0, 0.85, len(lines)))
        for i, ((rank, x, mean, std), colour) in enumerate(zip(lines, colours)):
            label = "score" if rank is _NOTHING else f"rank {'free' if rank is None else rank}"
            marker = _MARKERS[i % len(_MARKERS)]
            ax.plot(x, mean, color=colour, marker=marker, markersize=4, linewidth=1.4, label=label)
            if rank == best_rank or len(lines) == 1:
                ax.fill_between(x, mean - std, mean + std, color=colour, alpha=0.15, linewidth=0)
        ax.scatter([best_x], [best_y], s=140, facecolors="none", edgecolors="black", linewidths=1.3, zorder=4)
        ax.annotate("best", (best_x, best_y), xytext=(0, 9), textcoords="offset points", ha="center", fontsize=8)
        if x_name == "alpha" and all(np.all(x > 0) for _, x, _, _ in lines):
            _log_ticks(ax)
        ax.set_xlabel(x_name)
        ax.set_ylabel(f"held-out {score}")
        ax.set_title("band: ±1 standard deviation over folds", fontsize=8, loc="right")
        ax.legend(fontsize=8, ncols=1 if len(lines) <= 8 else 2)


def _log_ticks(ax: Any) -> None:
    """A logarithmic x axis with as many numbers as stand side by side."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    ax.set_xscale("log")
    low, high = ax.get_xlim()
    decades = np.log10(high / low)
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if decades < 2 else (1, 3) if decades < 4 else (1,)))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.xaxis.set_minor_formatter(NullFormatter())


#: Stands for a rank where there is only one line.
_NOTHING = object()


def _layers(estimator: Any) -> list:
    """The estimator and what it holds, from the outside in."""
    layers = [estimator]
    while True:
        one = layers[-1]
        if hasattr(one, "cv_results_"):
            return layers
        if isinstance(getattr(one, "steps", None), list):
            layers.append(one.steps[-1][1])
        elif hasattr(one, "best_estimator_"):
            layers.append(one.best_estimator_)
        else:
            return layers


def _curves(results: Mapping[str, Any], score: str) -> tuple[str, list[tuple[Any, NDArray, NDArray, NDArray]]]:
    """What is on the x axis, and a line (rank, x, mean, standard deviation) for every rank."""
    known = [name.removeprefix("mean_test_") for name in results if name.startswith("mean_test_")]
    if score not in known:
        raise ValueError(f"score must be one of {known}, got {score!r}.")
    mean, std = (np.asarray(results[f"{what}_test_{score}"], dtype=float) for what in ("mean", "std"))
    alpha, rank = _parameter(results, "alpha"), _parameter(results, "n_components")
    if alpha is None and rank is None:
        given = [name for name in results if name.startswith("param_")]
        raise ValueError(f"cv_results has neither param_alpha nor param_n_components, only {given}.")
    keys = [_NOTHING] * len(mean) if rank is None or alpha is None else rank
    x_name, x = ("n_components", rank) if alpha is None else ("alpha", alpha)
    numbers = np.array([np.nan if one is None else float(one) for one in x])  # type: ignore[union-attr]
    lines = []
    for key in sorted(dict.fromkeys(keys), key=lambda one: (one is None, 0 if one in (None, _NOTHING) else one)):
        at = np.array(
            [i for i, one in enumerate(keys) if one == key and np.isfinite(numbers[i]) and np.isfinite(mean[i])]
        )
        if len(at):
            at = _best_per_x(at, numbers, mean)
            lines.append((key, numbers[at], mean[at], std[at]))
    if not lines:
        raise ValueError(f"cv_results has no finite mean_test_{score} to draw.")
    return x_name, lines


def _best_per_x(at: NDArray, x: NDArray, mean: NDArray) -> NDArray:
    """Of candidates that differ only in what is not drawn, the best; sorted by x."""
    order = at[np.lexsort((-mean[at], x[at]))]
    return order[np.unique(x[order], return_index=True)[1]]


def _parameter(results: Mapping[str, Any], name: str) -> list | None:
    """Values of a parameter, also of one behind the names of steps."""
    column = next((key for key in results if key == f"param_{name}" or key.endswith(f"__{name}")), None)
    return None if column is None else list(results[column])
