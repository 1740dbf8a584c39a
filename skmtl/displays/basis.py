"""`BasisDisplay`: the shared basis, features by components, and what every task makes of it."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from skmtl.displays.canvas import DIVERGING, NAMEABLE, name_ticks
from skmtl.optional import pyplot
from skmtl.single_task import last_step

#: Features that are shown by default.
_N_FEATURES = 20


class BasisDisplay:
    """The learned basis and factors as two signed heat maps that share their components.

    Left: features by components, the features that matter most. Right: tasks by components. Components are brought to
    their canonical form first, by a singular value decomposition of basis times factors: orthogonal, the largest
    first. Each map is scaled to its largest entry; a task's factors are in units of its target's scale. Made by
    `from_estimator`.

    Parameters
    ----------
    basis : ndarray of shape (n_features, n_components)
    factors : ndarray of shape (n_components, n_outputs)
    feature_names : list, length n_features
    output_names : list, length n_outputs

    Attributes
    ----------
    ax_ : ndarray of two matplotlib Axes
    figure_ : matplotlib Figure
    features_ : list
        Names of the features shown, from the top.

    Examples
    --------
    >>> import matplotlib  # doctest: +SKIP
    >>> from skmtl import BasisDisplay, LowRankMultiTask
    >>> from skmtl.datasets import load_penguins
    >>> model = LowRankMultiTask(n_components=2).fit(*load_penguins())
    >>> BasisDisplay.from_estimator(model)  # doctest: +SKIP
    """

    def __init__(self, basis: NDArray, factors: NDArray, feature_names: list, output_names: list) -> None:
        self.basis = basis
        self.factors = factors
        self.feature_names = feature_names
        self.output_names = output_names

    @classmethod
    def from_estimator(
        cls, estimator: Any, *, n_features: int | None = None, feature_names: Any = None, ax: Any = None
    ) -> BasisDisplay:
        """Draw the basis of a fitted estimator.

        Parameters
        ----------
        estimator : fitted estimator with `basis_` and `factors_`, or a pipeline or search that holds one
        n_features : int, default=None
            Features to show, those of the largest coefficients; None: 20 at most.
        feature_names : array-like of shape (n_features,), default=None
            None: those that the estimator saw in fit; else x0, x1, ...
        ax : pair of matplotlib axes, default=None
            None: a new figure.

        Raises
        ------
        ValueError
            If the shared part has rank zero, or `feature_names` are too few or too many.
        """
        inner = last_step(estimator)
        check_is_fitted(inner)
        rank = int(inner.rank_)
        if rank == 0:
            raise ValueError("The fitted model has no shared part (rank_ is 0); there is no basis to draw.")
        given = feature_names is not None
        names = list(feature_names) if given else _feature_names(inner, len(inner.basis_))
        if len(names) != len(inner.basis_):
            raise ValueError(f"feature_names must have {len(inner.basis_)} entries, got {len(names)}.")
        columns, output_names = [], []
        for task in inner.tasks_:
            part = inner.factors_[task][:rank] / inner.target_scale_[task]
            columns.append(part)
            classes = inner.classes_by_task_.get(task)
            several = part.shape[1] > 1
            output_names += [f"{task}: {one}" for one in classes] if several else [task]
        basis, factors = _canonical(inner.basis_[:, :rank], np.concatenate(columns, axis=1))
        return cls(basis, factors, names, output_names).plot(ax, n_features=n_features)

    def plot(self, ax: Any = None, *, n_features: int | None = None) -> BasisDisplay:
        """Draw.

        Parameters
        ----------
        ax : pair of matplotlib axes, default=None
        n_features : int, default=None
            Features to show; None: 20 at most.

        Returns
        -------
        display : BasisDisplay
        """
        shown = min(_N_FEATURES if n_features is None else n_features, len(self.basis))
        strength = np.linalg.norm(self.basis * np.linalg.norm(self.factors, axis=1), axis=1)
        top = np.argsort(-strength, kind="stable")[:shown]
        order = _sorted_outputs(self.factors)
        left, right = self._axes(ax, shown)
        self._map(left, self.basis[top], [self.feature_names[i] for i in top])
        self._map(right, self.factors.T[order], [self.output_names[i] for i in order])
        more = f" (top {shown} of {len(self.basis)})" if shown < len(self.basis) else ""
        left.set_title(f"features{more}", fontsize=10)
        right.set_title("tasks", fontsize=10)
        self.ax_, self.figure_ = np.array([left, right]), left.figure
        self.features_ = [self.feature_names[i] for i in top]
        return self

    def _axes(self, ax: Any, shown: int) -> tuple[Any, Any]:
        if ax is not None:
            pair = np.ravel(ax)
            if len(pair) != 2:
                raise ValueError(f"ax must be two axes, for features and for tasks; got {len(pair)}.")
            return pair[0], pair[1]
        n_outputs = min(self.factors.shape[1], NAMEABLE)
        height = 1.4 + max(0.26 * shown, 0.26 * n_outputs if n_outputs <= 40 else 0.075 * n_outputs)
        width = 5.6 + 0.55 * 2 * len(self.factors)
        pair = pyplot().subplots(1, 2, figsize=(min(width, 14.0), height), layout="constrained")[1]
        return pair[0], pair[1]

    def _map(self, ax: Any, values: NDArray, names: list[Hashable]) -> None:
        largest = max(float(np.abs(values).max()), 1e-300)
        image = ax.imshow(values, cmap=DIVERGING, vmin=-largest, vmax=largest, aspect="auto", interpolation="nearest")
        name_ticks(ax.yaxis, names)
        ax.set_xticks(range(values.shape[1]), [str(i + 1) for i in range(values.shape[1])], fontsize=9)
        ax.set_xlabel("component", fontsize=9)
        ax.figure.colorbar(image, ax=ax, shrink=0.6)


def _canonical(basis: NDArray, factors: NDArray) -> tuple[NDArray, NDArray]:
    """The same product with orthonormal basis columns, the largest component first, and positive largest entries."""
    q, r = np.linalg.qr(basis)
    left, values, right = np.linalg.svd(r @ factors, full_matrices=False)
    basis, factors = q @ left, values[:, np.newaxis] * right
    signs = np.sign(basis[np.abs(basis).argmax(axis=0), np.arange(basis.shape[1])])
    return basis * signs, factors * signs[:, np.newaxis]


def _sorted_outputs(factors: NDArray) -> NDArray:
    """Outputs by the component that they use most, and within it by how much."""
    main = np.abs(factors).argmax(axis=0)
    return np.lexsort((-factors[main, np.arange(factors.shape[1])], main))


def _feature_names(inner: Any, n_features: int) -> list:
    names = getattr(inner, "feature_names_in_", None)
    if names is None:
        return [f"x{i}" for i in range(n_features)]
    names = list(names)
    if len(names) > n_features:  # the column of task labels is no feature
        names.remove(inner.task_col) if inner.task_col in names else names.pop(inner.task_col)
    return names
