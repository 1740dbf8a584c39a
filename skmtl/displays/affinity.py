"""`AffinityDisplay`: the affinities of all pairs of tasks as a clustered heat map."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import leaves_list, linkage, optimal_leaf_ordering
from scipy.spatial.distance import squareform
from sklearn.utils.validation import check_is_fitted

from skmtl.displays.canvas import DIVERGING, name_ticks, single_axes
from skmtl.relatedness import TaskAffinity, TaskGroups, task_affinity
from skmtl.single_task import last_step, task_classes

#: Up to so many tasks numbers are written into the cells.
_NUMBERS = 12
#: An affinity within so many standard errors of zero is not told from it.
_UNCLEAR = 1.96


class AffinityDisplay:
    """Heat map of the affinities of tasks, like tasks side by side.

    Red is likeness, blue likeness of opposite sign, white none. Affinities that cannot be told from zero at two
    standard errors bear a dot. Made by `from_affinity`, `from_data` or `from_estimator`.

    Parameters
    ----------
    affinity : TaskAffinity
    groups : TaskGroups, default=None
        Frames the groups; else the order is that of a hierarchical clustering of the absolute affinities.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    im_ : matplotlib AxesImage
    order_ : list of hashable
        Tasks from the left to the right.

    See Also
    --------
    skmtl.task_affinity : The numbers.

    Examples
    --------
    >>> import matplotlib  # doctest: +SKIP
    >>> from skmtl import AffinityDisplay
    >>> from skmtl.datasets import load_penguins
    >>> AffinityDisplay.from_data(*load_penguins())  # doctest: +SKIP
    """

    def __init__(self, affinity: TaskAffinity, *, groups: TaskGroups | None = None) -> None:
        self.affinity = affinity
        self.groups = groups

    @classmethod
    def from_affinity(
        cls, affinity: TaskAffinity, *, groups: TaskGroups | None = None, ax: Any = None
    ) -> AffinityDisplay:
        """Draw what `task_affinity` found.

        Parameters
        ----------
        affinity : TaskAffinity
        groups : TaskGroups, default=None
            Of the same tasks.
        ax : matplotlib axes, default=None
            None: a new figure.

        Raises
        ------
        ValueError
            If `groups` are of other tasks.
        """
        if groups is not None and set(groups.tasks) != set(affinity.tasks):
            raise ValueError("groups and affinity must be of the same tasks.")
        return cls(affinity, groups=groups).plot(ax)

    @classmethod
    def from_data(
        cls, X: Any, y: Any, *, groups: TaskGroups | None = None, ax: Any = None, **options: Any
    ) -> AffinityDisplay:
        """Estimate the affinities, and draw them.

        Parameters
        ----------
        X, y : as in `skmtl.task_affinity`
        groups : TaskGroups, default=None
        ax : matplotlib axes, default=None
        **options : dict
            Further arguments of `skmtl.task_affinity`: kinds, task_col.
        """
        return cls.from_affinity(task_affinity(X, y, **options), groups=groups, ax=ax)

    @classmethod
    def from_estimator(
        cls, estimator: Any, X: Any, y: Any, *, groups: TaskGroups | None = None, ax: Any = None
    ) -> AffinityDisplay:
        """Estimate the affinities of tasks that are of the kinds a fitted estimator took them for, and draw them.

        Parameters
        ----------
        estimator : fitted multi-task estimator, or a pipeline or search that holds one
            Its ``task_col`` says where task labels are, its classes and ``kinds`` which tasks are of which kind.
        X, y : as in `fit` of the estimator
        groups : TaskGroups, default=None
            None: those of a `GroupedTasks`.
        ax : matplotlib axes, default=None
        """
        inner = last_step(estimator)
        check_is_fitted(inner)
        classes = {task: classes for task in inner.tasks_ if (classes := task_classes(inner, task)) is not None}
        kinds: Any = {task: "binary" if len(found) == 2 else "multiclass" for task, found in classes.items()}
        declared = getattr(inner, "kinds", None) or {}
        kinds = declared if isinstance(declared, str) else kinds | declared
        groups = getattr(inner, "grouping_", None) if groups is None else groups
        return cls.from_data(X, y, groups=groups, ax=ax, kinds=kinds or None, task_col=inner.task_col)

    def plot(self, ax: Any = None) -> AffinityDisplay:
        """Draw.

        Parameters
        ----------
        ax : matplotlib axes, default=None

        Returns
        -------
        display : AffinityDisplay
        """
        order, bounds = self._order()
        names = [self.affinity.tasks[i] for i in order]
        matrix = self.affinity.matrix[np.ix_(order, order)]
        error = self.affinity.standard_error[np.ix_(order, order)]
        n_tasks = len(names)
        side = float(np.clip(2.2 + 0.32 * n_tasks, 4.2, 13.5))
        ax = single_axes(ax, (side + 1.0, side))
        self.im_ = ax.imshow(matrix, cmap=DIVERGING, vmin=-1.0, vmax=1.0, interpolation="nearest")
        self._mark_cells(ax, matrix, error)
        name_ticks(ax.xaxis, names)
        name_ticks(ax.yaxis, names)
        ax.tick_params(axis="x", rotation=90)
        for start, stop in pairwise(bounds):
            x = [start - 0.5, stop - 0.5, stop - 0.5, start - 0.5, start - 0.5]
            y = [start - 0.5, start - 0.5, stop - 0.5, stop - 0.5, start - 0.5]
            ax.plot(x, y, color="black", linewidth=1.4, clip_on=False)
        bar = ax.figure.colorbar(self.im_, ax=ax, shrink=0.7)
        bar.set_label("affinity (dot: not told from 0)", fontsize=9)
        self.ax_, self.figure_, self.order_ = ax, ax.figure, names
        return self

    def _order(self) -> tuple[NDArray, list[int]]:
        """Order of the tasks and, where groups were given, where each of them begins and ends."""
        strength = np.abs(self.affinity.matrix)
        if self.groups is None:
            return _leaves(strength), []
        position = {name: i for i, name in enumerate(self.affinity.tasks)}
        parts = []
        for group in self.groups.groups:
            members = np.array([position[name] for name in group])
            parts.append(members[_leaves(strength[np.ix_(members, members)])])
        return np.concatenate(parts), np.cumsum([0, *map(len, parts)]).tolist()

    def _mark_cells(self, ax: Any, matrix: NDArray, error: NDArray) -> None:
        n_tasks = len(matrix)
        unclear = np.argwhere((np.abs(matrix) < _UNCLEAR * error) & ~np.eye(n_tasks, dtype=bool))
        if n_tasks <= _NUMBERS:
            size = 8.0 if n_tasks <= _NUMBERS // 2 else 6.0
            for i, j in np.argwhere(~np.eye(n_tasks, dtype=bool)):
                colour = "white" if abs(matrix[i, j]) > 0.6 else "black"
                text = f"{matrix[i, j]:.2f}".replace("-", "−")
                ax.text(j, i, text, ha="center", va="center", color=colour, fontsize=size)
        if len(unclear):
            size = float(np.clip(1200.0 / n_tasks**2, 0.15, 6.0))
            shift = 0.32 if n_tasks <= _NUMBERS else 0.0
            ax.scatter(unclear[:, 1], unclear[:, 0] + shift, s=size, color="#404040", linewidths=0)


def _leaves(strength: NDArray) -> NDArray:
    """Order in which like tasks are neighbours: average linkage, leaves ordered optimally."""
    if len(strength) < 3:
        return np.arange(len(strength))
    distance = squareform(1.0 - strength, checks=False)
    return leaves_list(optimal_leaf_ordering(linkage(distance, method="average"), distance))
