"""The shell command ``python -m skmtl``: what learning jointly gains when labels are few, on the bundled data."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.metrics import get_scorer
from sklearn.model_selection import GridSearchCV, KFold, StratifiedKFold, train_test_split

from skmtl.datasets import load_penguins, load_star
from skmtl.estimators import LowRankMultiTask
from skmtl.targets import TaskTargets, observed_values

#: Folds of the searches inside the training labels.
N_FOLDS = 3
#: One strength and one rank for all tasks of the joint model.
JOINT_GRID = [{"n_components": k, "alpha": alpha} for k, alpha in product((1, 3), (0.03, 0.1, 0.3))]
#: A strength for every task that learns on its own.
RIDGE_STRENGTHS = np.logspace(-1.0, 4.0, 11)
LOGISTIC_GRID = {"C": np.logspace(-3.0, 2.0, 11)}
#: What a fold is judged by, on both sides.
CRITERION = {"regression": "neg_mean_squared_error", "binary": "neg_log_loss", "multiclass": "neg_log_loss"}

SHOWN = (("Palmer penguins", load_penguins, 25), ("Tennessee STAR, test scores", load_star, 50))

LEGEND = f"""\
score  R^2 of regression, accuracy of the other tasks, on the rows without any training label
independent  scikit-learn's RidgeCV or LogisticRegression for each task, on the very same labels
gain  joint - independent, +- its standard error over the splits
Both sides are tuned on the training labels alone: RidgeCV by leaving one out, the others by {N_FOLDS} folds."""


@dataclass(frozen=True)
class Comparison:
    """Held-out scores of one task, learned on its own and jointly with the others.

    Attributes
    ----------
    task : hashable
    kind : {"regression", "binary", "multiclass"}
    n_labels : int
        Training labels of the task in every split.
    independent, joint : ndarray of shape (n_splits,)
        R² or accuracy.
    """

    task: Hashable
    kind: str
    n_labels: int
    independent: NDArray
    joint: NDArray


@dataclass(frozen=True)
class Labels:
    """The training labels of one task: rows of X (n_labels,), values (n_labels,), and folds among them."""

    kind: str
    rows: NDArray
    values: NDArray
    folds: list[tuple[NDArray, NDArray]]


def compare(X: NDArray, y: TaskTargets, *, n_labels: int, n_splits: int, seed: int = 0) -> list[Comparison]:
    """Score every task learned on its own and jointly, from a few labels each, on held-out rows.

    In every split each task is given `n_labels` random labels of its own (in the shares of its classes), and
    both sides are scored on the rows that hold no training label of any task.

    Parameters
    ----------
    X : ndarray of shape (n_rows, n_features)
    y : TaskTargets
        Numbers are regression tasks; strings are classes.
    n_labels : int
        Training labels per task; every class needs at least three among them.
    n_splits : int
    seed : int, default=0

    Returns
    -------
    comparisons : list of Comparison, one per task
    """
    rng = np.random.RandomState(seed)
    observed = {task: observed_values(y[task]) for task in y}
    scores: dict[Hashable, list[tuple[float, float]]] = {task: [] for task in y}
    labels: dict[Hashable, Labels] = {}
    for _ in range(n_splits):
        labels = {task: _draw_labels(*observed[task], n_labels, rng) for task in y}
        held_out = np.ones(len(X), dtype=bool)
        held_out[np.concatenate([own.rows for own in labels.values()])] = False
        joint = fit_joint(X, labels)
        for task, (rows, values) in observed.items():
            independent = fit_independent(X, labels[task])
            X_test, y_test = X[rows[held_out[rows]]], values[held_out[rows]]
            scores[task].append((independent.score(X_test, y_test), joint[task].score(X_test, y_test)))
    columns = {task: np.array(pairs).T for task, pairs in scores.items()}
    return [Comparison(task, labels[task].kind, n_labels, *columns[task]) for task in y]


def fit_independent(X: NDArray, labels: Labels) -> Any:
    """A model of one task from its own labels alone, its strength chosen on these labels too."""
    if labels.kind == "regression":
        search: Any = RidgeCV(RIDGE_STRENGTHS)
        return search.fit(X[labels.rows], labels.values)
    model = LogisticRegression(max_iter=1000)
    search = GridSearchCV(model, LOGISTIC_GRID, scoring=CRITERION[labels.kind], cv=labels.folds)
    return search.fit(X[labels.rows], labels.values).best_estimator_


def fit_joint(X: NDArray, labels: Mapping[Hashable, Labels]) -> dict[Hashable, Any]:
    """{task: predictor} of a joint model, its rank and strength chosen on the folds of `labels`."""
    rows = np.unique(np.concatenate([own.rows for own in labels.values()]))
    kinds = {task: own.kind for task, own in labels.items()}

    def fit(parameters: dict[str, Any], fold: int | None) -> dict[Hashable, Any]:
        targets = TaskTargets({task: _target(own, len(X), fold)[rows] for task, own in labels.items()})
        # The last digits of the coefficients matter to no score.
        return LowRankMultiTask(kinds=kinds, tol=1e-4, **parameters).fit(X[rows], targets).split()

    criteria = [
        sum(_criterion(fit(parameters, fold), X, labels, fold) for fold in range(N_FOLDS)) for parameters in JOINT_GRID
    ]
    return fit(JOINT_GRID[int(np.argmax(criteria))], None)


def _draw_labels(rows: NDArray, values: NDArray, n_labels: int, rng: np.random.RandomState) -> Labels:
    """`n_labels` of the observed `values` (n_observed,), which stand in the `rows` of X."""
    kind = _kind(values)
    is_classes = kind != "regression"
    chosen, _ = train_test_split(
        np.arange(len(rows)), train_size=n_labels, stratify=values if is_classes else None, random_state=rng
    )
    splitter = (StratifiedKFold if is_classes else KFold)(N_FOLDS, shuffle=True, random_state=rng)
    return Labels(kind, rows[chosen], values[chosen], list(splitter.split(chosen, values[chosen])))


def _kind(values: NDArray) -> str:
    if np.issubdtype(values.dtype, np.number):
        return "regression"
    return "binary" if len(np.unique(values)) == 2 else "multiclass"


def _target(labels: Labels, n_rows: int, fold: int | None) -> NDArray:
    """Target (n_rows,) with gaps: all labels, or those outside one fold."""
    known = slice(None) if fold is None else labels.folds[fold][0]
    is_number = labels.kind == "regression"
    target = np.full(n_rows, np.nan if is_number else None, dtype=float if is_number else object)
    target[labels.rows[known]] = labels.values[known]
    return target


def _criterion(predictors: dict, X: NDArray, labels: Mapping[Hashable, Labels], fold: int) -> float:
    """What the joint model is tuned by: the criteria of all tasks in one fold, made comparable and added."""
    total = 0.0
    for task, own in labels.items():
        rows, values = own.rows[own.folds[fold][1]], own.values[own.folds[fold][1]]
        score = get_scorer(CRITERION[own.kind])(predictors[task], X[rows], values)
        # A squared error has the square of the target's unit, a log loss none.
        total += score / own.values.var() if own.kind == "regression" else score
    return total


def format_table(comparisons: Sequence[Comparison]) -> str:
    """Aligned text, a line per task and one for their mean."""
    heads = ("task", "kind", "labels", "independent", "joint", "gain")
    scored = [((str(one.task), one.kind, str(one.n_labels)), one.independent, one.joint) for one in comparisons]
    mean_independent = np.mean([one.independent for one in comparisons], axis=0)
    mean_joint = np.mean([one.joint for one in comparisons], axis=0)
    lines = [heads]
    for names, independent, joint in [*scored, (("mean", "", ""), mean_independent, mean_joint)]:
        gains = joint - independent
        error = gains.std(ddof=1) / np.sqrt(len(gains))
        gain = f"{gains.mean():+.3f} +- {error:.3f}"
        lines.append((*names, f"{independent.mean():.3f}", f"{joint.mean():.3f}", gain))
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    align = (str.ljust, str.ljust, str.rjust, str.rjust, str.rjust, str.rjust)
    return "\n".join(
        "  ".join(put(cell, width) for put, cell, width in zip(align, line, widths, strict=True)).rstrip()
        for line in lines
    )


def show_split() -> str:
    """What a joint model of the penguins comes apart into, as a session at the prompt."""
    X, y = load_penguins()
    model = LowRankMultiTask(n_components=3).fit(X, y)
    predictors = model.split()
    joint = model.predict(X)
    equal = all(
        np.allclose(predictors[task].predict(X), joint[task], rtol=0, atol=1e-8)
        if _kind(joint[task]) == "regression"
        else np.array_equal(predictors[task].predict(X), joint[task])
        for task in y
    )
    lines = [
        ">>> X, y = load_penguins()",
        ">>> LowRankMultiTask(n_components=3).fit(X, y).split()",
        "{" + ",\n ".join(f"{task!r}: {predictor!r}" for task, predictor in predictors.items()) + "}",
        f"Their predictions {'equal' if equal else 'DIFFER FROM'} the joint model's.",
    ]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; `arguments` are those of the shell by default. Returns the exit status."""
    options = _parser().parse_args(arguments)
    print("skmtl: few labels per task, learned one by one and jointly")
    for title, load, n_labels in SHOWN:
        X, y = load()
        comparisons = compare(X, y, n_labels=n_labels, n_splits=options.repeats, seed=options.seed)
        sizes = f"{X.shape[0]} rows, {X.shape[1]} features, {len(comparisons)} tasks"
        print(
            f"\n{title} ({sizes}; mean of {options.repeats} held-out splits)\n{format_table(comparisons)}", flush=True
        )
    print(f"\n{LEGEND}")
    print(f"\nThe joint model comes apart into ordinary scikit-learn predictors:\n{show_split()}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m skmtl",
        description="Compare tasks learned jointly with tasks learned one by one, from few labels per task, "
        "on the data that come with skmtl.",
    )
    parser.add_argument(
        "--repeats",
        type=_integer(2, 1000),
        default=5,
        metavar="N",
        help="random held-out splits, from 2 to 1000 (default: %(default)s)",
    )
    parser.add_argument(
        "--seed",
        type=_integer(0, 2**32 - 1),
        default=0,
        metavar="N",
        help="seed of the splits, from 0 (default: %(default)s); the same seed gives the same table",
    )
    return parser


def _integer(lowest: int, highest: int) -> Callable[[str], int]:
    """Type of an argument: an integer within bounds."""

    def integer(text: str) -> int:
        value = int(text) if text.strip().lstrip("+-").isdecimal() else lowest - 1
        if not lowest <= value <= highest:
            raise argparse.ArgumentTypeError(f"{text!r} is no integer from {lowest} to {highest}")
        return value

    return integer


if __name__ == "__main__":
    raise SystemExit(main())
