"""`make_multitask`: tasks drawn from the model itself, so that the truth can be compared with a fit."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import Bunch, check_random_state

from skmtl.targets import TaskTargets
from skmtl.tasks import KINDS

#: Standard deviation of the intercepts.
INTERCEPT_SCALE = 0.5


def make_multitask(
    n_samples: int = 100,
    n_features: int = 20,
    n_tasks: int = 5,
    *,
    n_components: int = 2,
    kinds: str | Sequence[str] | Mapping[Hashable, str] = "regression",
    n_classes: int = 3,
    missing: float = 0.0,
    own_rows: bool = False,
    common: float = 0.0,
    own: float = 0.0,
    n_outliers: int = 0,
    noise: ArrayLike | Mapping[Hashable, float] = 1.0,
    signal: float = 1.0,
    return_truth: bool = False,
    random_state: Any = None,
) -> Any:
    """Draw related tasks whose coefficients share a basis of few components.

    The rows of X are standard normal, and with one column of W per output ::

        W   = common_ + basis @ factors + own_                        (n_features, n_outputs)
        raw = X @ W + intercept

    basis has orthonormal columns; factors, own_ and the direction of common_ are normal. Before W is
    scaled, the parts have the expected sizes (root mean square norm of a column) ``common`` : 1 : ``own``;
    then W is scaled so that `signal` is the standard deviation of raw, as root mean square over
    the outputs. Given raw, a target is

    - regression: ``raw + noise * e`` with e standard normal,
    - binary: 1 with probability ``1 / (1 + exp(-raw))``, else 0,
    - multiclass: class c with probability ``softmax(raw)[c]``, the columns of W of one task adding to zero,
    - count: Poisson with mean ``exp(raw)``.

    Parameters
    ----------
    n_samples : int, default=100
        Rows; with `own_rows`, rows of every task.
    n_features : int, default=20
    n_tasks : int, default=5
        Number of tasks; not used if `kinds` lists them.
    n_components : int, default=2
        Columns of the shared basis, at most `n_features`.
    kinds : str, sequence of str or mapping {task: str}, default="regression"
        "regression", "binary", "multiclass" or "count": one for all tasks, one per task, or with
        the names of the tasks. Names are else ``"task_0"``, ``"task_1"`` ...
    n_classes : int, default=3
        Classes of each multiclass task, ``"class_0"``, ``"class_1"`` ...
    missing : float in [0, 1), default=0.0
        Share of the targets of each task that is missing, at random; one target at least remains.
    own_rows : bool, default=False
        Whether every task has rows of its own instead of sharing one X.
    common, own : float, default=0.0
        Size of the part common to all tasks and of every task's own part, where the low-rank
        part has size 1. Multiclass tasks have no common part, since softmax would not see it.
    n_outliers : int, default=0
        Number of tasks, the last ones, whose column of W is unrelated to all others (own part only,
        in a random direction) and of size `signal`.
    noise : float, array-like of shape (n_tasks,) or mapping {task: float}, default=1.0
        Standard deviation of the noise of regression targets.
    signal : float, default=1.0
        Standard deviation of raw, as defined above.
    return_truth : bool, default=False
        Whether the coefficients behind the data are returned too.
    random_state : int, RandomState instance or None, default=None

    Returns
    -------
    X : ndarray of shape (n_samples, n_features), or dict {task: such an array} with `own_rows`
    y : TaskTargets, or dict {task: ndarray of shape (n_samples,)} with `own_rows`
        Regression targets, and targets with gaps, are float and NaN where missing; complete binary
        and count targets are integers; multiclass targets are strings, None where missing.
    truth : Bunch
        Only if `return_truth`: ``basis`` (n_features, n_components), ``factors`` {task:
        (n_components, n_outputs)}, ``common`` (n_features,), ``own`` {task: (n_features, n_outputs)},
        ``coef`` and ``intercept`` {task: as scikit-learn shapes them for the kind}, ``kinds``
        {task: str}, ``noise`` {task: float} and ``outliers``, a list of tasks.

    Raises
    ------
    ValueError
        If an argument is out of its range; the message names it, or the task.

    Examples
    --------
    >>> from skmtl.datasets import make_multitask
    >>> X, y = make_multitask(50, kinds={"price": "regression", "sold": "binary"}, random_state=0)
    >>> X.shape, list(y)
    ((50, 20), ['price', 'sold'])
    """
    kind_of = _named_kinds(kinds, n_tasks)
    _check_sizes(n_samples, n_features, n_components, n_classes, n_outliers, len(kind_of))
    _check_range("missing", missing, upper=1.0)
    for name, value in (("common", common), ("own", own), ("signal", signal)):
        _check_range(name, value)
    noise_of = _noise_per_task(noise, list(kind_of))

    rng = check_random_state(random_state)
    layout = _Outputs(kind_of, n_classes, n_outliers)
    parts = _draw_coefficients(rng, layout, n_features, n_components, common, own, signal)
    shape = (n_samples, n_features)
    X = rng.standard_normal((layout.n_tasks, *shape) if own_rows else shape)
    columns = _draw_targets(rng, X, layout, parts, noise_of)
    columns = _with_gaps(rng, columns, n_samples, missing)

    y: Any = columns if own_rows else TaskTargets(columns)
    X_given: Any = dict(zip(kind_of, X, strict=True)) if own_rows else X
    if not return_truth:
        return X_given, y
    return X_given, y, _truth(layout, parts, noise_of)


class _Outputs:
    """Which columns of W belong to which task: `start[t]` up to `start[t] + width[t]`."""

    def __init__(self, kind_of: dict[Hashable, str], n_classes: int, n_outliers: int) -> None:
        self.kind_of = kind_of
        self.n_classes = n_classes
        self.n_tasks = len(kind_of)
        self.kinds = np.array(list(kind_of.values()))
        self.width = np.where(self.kinds == "multiclass", n_classes, 1)
        self.start = np.concatenate([[0], np.cumsum(self.width)[:-1]])
        self.n_outputs = int(self.width.sum())
        self.task_of_output = np.repeat(np.arange(self.n_tasks), self.width)
        self.is_outlier = self.task_of_output >= self.n_tasks - n_outliers
        self.outliers = list(kind_of)[self.n_tasks - n_outliers :]

    def columns(self, positions: NDArray[np.intp]) -> NDArray[np.intp]:
        """Return the columns of tasks of one width: (n_positions, width)."""
        return self.start[positions][:, None] + np.arange(self.width[positions[0]])

    def centred(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return `values` (n, n_outputs) with sum zero, and the same size, inside multiclass tasks."""
        positions = np.flatnonzero(self.kinds == "multiclass")
        if len(positions):
            columns = self.columns(positions)
            block = values[:, columns]
            shrinkage = np.sqrt(1 - 1 / self.n_classes)
            values[:, columns] = (block - block.mean(axis=2, keepdims=True)) / shrinkage
        return values


def _draw_coefficients(
    rng: np.random.RandomState,
    layout: _Outputs,
    n_features: int,
    n_components: int,
    common: float,
    own: float,
    signal: float,
) -> Bunch:
    """Draw the parts of W and the intercepts, as matrices with one column per output."""
    n_outputs = layout.n_outputs
    basis = np.linalg.qr(rng.standard_normal((n_features, n_components)))[0]
    factors = layout.centred(rng.standard_normal((n_components, n_outputs)) / np.sqrt(n_components))
    direction = rng.standard_normal(n_features)
    common_part = common * direction / np.linalg.norm(direction)
    own_part = layout.centred(own * rng.standard_normal((n_features, n_outputs)) / np.sqrt(n_features))
    unrelated = layout.centred(rng.standard_normal((n_features, n_outputs)))
    intercept = layout.centred(INTERCEPT_SCALE * rng.standard_normal((1, n_outputs)))[0]

    # Softmax does not see what all classes share.
    has_common = (layout.width[layout.task_of_output] == 1) & ~layout.is_outlier
    coef = np.outer(common_part, has_common) + basis @ factors + own_part
    related = ~layout.is_outlier
    scale = signal / _column_size(coef[:, related]) if related.any() else 0.0
    factors, common_part, own_part = scale * factors * related, scale * common_part, scale * own_part
    if layout.is_outlier.any():
        unrelated = unrelated[:, layout.is_outlier]
        own_part[:, layout.is_outlier] = signal / _column_size(unrelated) * unrelated
    return Bunch(
        basis=basis,
        factors=factors,
        common=common_part * has_common.any(),
        own=own_part,
        coef=np.outer(common_part, has_common) + basis @ factors + own_part,
        intercept=intercept,
    )


def _column_size(matrix: NDArray[np.float64]) -> float:
    """Return the root mean square of the columns' Euclidean norms."""
    return float(np.sqrt(np.mean(np.sum(matrix**2, axis=0))))


def _draw_targets(
    rng: np.random.RandomState,
    X: NDArray[np.float64],
    layout: _Outputs,
    parts: Bunch,
    noise_of: dict[Hashable, float],
) -> dict[Hashable, NDArray]:
    """Draw the targets of all tasks, kind by kind: {task: (n_samples,)}."""
    names = np.empty(layout.n_tasks, dtype=object)
    names[:] = list(layout.kind_of)
    noise = np.array(list(noise_of.values()))
    columns: dict[Hashable, Any] = dict.fromkeys(layout.kind_of)
    for kind in sorted(set(layout.kind_of.values())):
        positions = np.flatnonzero(layout.kinds == kind)
        outputs = layout.columns(positions)
        W = parts.coef[:, outputs]  # (n_features, n_positions, width)
        if X.ndim == 3:
            raw = np.matmul(X[positions], W.transpose(1, 0, 2)).transpose(1, 0, 2)
        else:
            raw = np.tensordot(X, W, axes=1)
        raw = raw + parts.intercept[outputs]
        targets = _DRAW[kind](rng, raw, noise[positions])
        columns.update(zip(names[positions], np.ascontiguousarray(targets.T), strict=True))
    return columns


def _draw_regression(rng: np.random.RandomState, raw: NDArray, noise: NDArray) -> NDArray:
    return raw[..., 0] + noise * rng.standard_normal(raw.shape[:2])


def _draw_binary(rng: np.random.RandomState, raw: NDArray, noise: NDArray) -> NDArray:
    return (rng.logistic(size=raw.shape[:2]) < raw[..., 0]).astype(np.int64)


def _draw_multiclass(rng: np.random.RandomState, raw: NDArray, noise: NDArray) -> NDArray:
    # The largest of raw plus Gumbel noise is a draw from the softmax of raw.
    labels = np.array([f"class_{c}" for c in range(raw.shape[2])])
    return labels[np.argmax(raw + rng.gumbel(size=raw.shape), axis=2)]


def _draw_count(rng: np.random.RandomState, raw: NDArray, noise: NDArray) -> NDArray:
    return rng.poisson(np.exp(raw[..., 0])).astype(np.int64)


_DRAW = {
    "regression": _draw_regression,
    "binary": _draw_binary,
    "multiclass": _draw_multiclass,
    "count": _draw_count,
}


def _with_gaps(
    rng: np.random.RandomState, columns: dict[Hashable, NDArray], n_samples: int, missing: float
) -> dict[Hashable, NDArray]:
    """Return the columns with the same number of targets, chosen at random, missing in each."""
    n_missing = min(round(missing * n_samples), n_samples - 1)
    if n_missing == 0:
        return columns
    order = np.argsort(rng.random_sample((len(columns), n_samples)), axis=1)
    gapped: dict[Hashable, NDArray] = {}
    for (task, column), rows in zip(columns.items(), order[:, :n_missing], strict=True):
        is_text = column.dtype.kind == "U"
        gapped[task] = column.astype(object if is_text else np.float64)
        gapped[task][rows] = None if is_text else np.nan
    return gapped


def _truth(layout: _Outputs, parts: Bunch, noise_of: dict[Hashable, float]) -> Bunch:
    """Return the parts of W per task, coefficients in the shapes scikit-learn uses."""
    spans = {
        task: slice(start, start + width)
        for task, start, width in zip(layout.kind_of, layout.start, layout.width, strict=True)
    }
    coef, intercept = {}, {}
    for task, kind in layout.kind_of.items():
        by_output = parts.coef[:, spans[task]].T
        is_classes = kind in ("binary", "multiclass")
        coef[task] = by_output if is_classes else by_output[0]
        intercept[task] = parts.intercept[spans[task]] if is_classes else float(parts.intercept[spans[task]][0])
    return Bunch(
        basis=parts.basis,
        factors={task: parts.factors[:, span] for task, span in spans.items()},
        common=parts.common,
        own={task: parts.own[:, span] for task, span in spans.items()},
        coef=coef,
        intercept=intercept,
        kinds=dict(layout.kind_of),
        noise=noise_of,
        outliers=layout.outliers,
    )


def _named_kinds(kinds: Any, n_tasks: int) -> dict[Hashable, str]:
    """Return {task: kind} for any accepted form of `kinds`."""
    if isinstance(kinds, str):
        _check_count("n_tasks", n_tasks)
        kinds = [kinds] * n_tasks
    if not isinstance(kinds, Mapping):
        kinds = {f"task_{t}": kind for t, kind in enumerate(kinds)}
    if not kinds:
        raise ValueError("kinds is empty; it must name at least one task.")
    for task, kind in kinds.items():
        if kind not in KINDS:
            raise ValueError(f"kinds: task {task!r} is {kind!r}; a kind must be one of {', '.join(KINDS)}.")
    return dict(kinds)


def _noise_per_task(noise: Any, tasks: list[Hashable]) -> dict[Hashable, float]:
    """Return {task: standard deviation} for any accepted form of `noise`."""
    if isinstance(noise, Mapping):
        if set(noise) != set(tasks):
            raise ValueError(f"noise names the tasks {list(noise)}; it must name each of {tasks}.")
        noise = [noise[task] for task in tasks]
    values = np.asarray(noise, dtype=np.float64)
    if values.ndim > 1 or (values.ndim == 1 and len(values) != len(tasks)):
        raise ValueError(f"noise has shape {values.shape}; it must be one number or one per task ({len(tasks)}).")
    noise_of = dict(zip(tasks, np.broadcast_to(values, len(tasks)).tolist(), strict=True))
    for task, value in noise_of.items():
        _check_range(f"noise of task {task!r}", value)
    return noise_of


def _check_sizes(
    n_samples: int, n_features: int, n_components: int, n_classes: int, n_outliers: int, n_tasks: int
) -> None:
    for name, value in (("n_samples", n_samples), ("n_features", n_features), ("n_components", n_components)):
        _check_count(name, value)
    _check_count("n_classes", n_classes, lower=2)
    _check_count("n_outliers", n_outliers, lower=0)
    if n_components > n_features:
        raise ValueError(f"n_components is {n_components}; it must be at most n_features, {n_features}.")
    if n_outliers > n_tasks:
        raise ValueError(f"n_outliers is {n_outliers}; there are only {n_tasks} tasks.")


def _check_count(name: str, value: Any, lower: int = 1) -> None:
    if not isinstance(value, Integral) or isinstance(value, bool) or value < lower:
        raise ValueError(f"{name} is {value!r}; it must be an integer of at least {lower}.")


def _check_range(name: str, value: Any, upper: float = np.inf) -> None:
    if not 0 <= value < upper:
        raise ValueError(f"{name} is {value!r}; it must be at least 0 and below {upper:g}.")
