"""What the defaults of the plain estimators cost: ``python -m benchmarks.defaults [--seeds 5]``.

For planted problems of every kind and the bundled sets, what rows that were held out say of every choice of `alpha`,
`n_components` and `scale_targets`: R² of numbers, and of classes the share of the log loss of constant frequencies that
is saved (below zero: worse than knowing nothing of X). The last lines are the regret of a choice: by how much it stays
behind the best choice for the same data, on average over the problems.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np

from skmtl import LowRankMultiTask, LowRankMultiTaskCV, TaskTargets, score_tasks
from skmtl.datasets import load_penguins, load_star, make_multitask

ALPHAS = ("auto", 0.02, 0.05, 0.1, 0.2, 0.5)
RANKS = (None, 3, 10)
SCALES = ("std", "residual", None)
DEFAULT = ("auto", None, "std")

#: (X, y, share of the rows to train on, or their number by task) for a seed.
Draw = Callable[[int], tuple[Any, Any, Any]]


def planted(share: float = 0.5, **options: Any) -> Draw:
    return lambda seed: (*make_multitask(random_state=seed, **options), share)


def rare_events(seed: int) -> tuple[Any, Any, float]:
    """Eight tasks of related events, about one in 200 rows each."""
    rng = np.random.RandomState(seed)
    predictor = (X := rng.randn(8000, 20)) @ rng.randn(20, 2) @ rng.randn(2, 8) * 0.35 - 6.3
    events = rng.uniform(size=predictor.shape) < 1.0 / (1.0 + np.exp(-predictor))
    return X, TaskTargets({f"event{t}": np.where(events[:, t], "yes", "no") for t in range(8)}), 0.5


def two_sizes(n_large: int, n_small: int = 12) -> Draw:
    """Two related tasks of very different numbers of rows; as many rows are held out of both."""

    def draw(seed: int) -> tuple[Any, Any, Any]:
        rng = np.random.RandomState(seed)
        coef = rng.randn(8) / np.sqrt(8)
        coefs = {"large": coef, "small": coef + 0.15 * rng.randn(8)}
        sizes = {"large": n_large, "small": n_small}
        X = {task: rng.randn(size + 1000, 8) for task, size in sizes.items()}
        return X, {task: X[task] @ coefs[task] + 0.4 * rng.randn(len(X[task])) for task in X}, sizes

    return draw


PROBLEMS: dict[str, Draw] = {
    "numbers, 40 of 30 features": planted(n_samples=80, n_features=30, n_tasks=60, n_components=3),
    "numbers, 70 % missing": planted(n_samples=200, n_features=30, n_tasks=60, n_components=3, missing=0.7),
    "numbers, own rows 20": planted(own_rows=True, n_samples=40, n_features=40, n_tasks=100, n_components=4),
    "numbers, own rows 100": planted(own_rows=True, n_samples=200, n_features=28, n_tasks=50, n_components=5),
    "few tasks, many rows": planted(n_samples=1000, n_features=20, n_tasks=4, n_components=2),
    "nothing shared": planted(n_samples=100, n_features=15, n_tasks=20, n_components=1, n_outliers=20),
    "two classes": planted(n_samples=200, n_features=20, n_tasks=20, n_components=2, kinds="binary", signal=2.0),
    "classes, 200 of 400 features": planted(n_samples=400, n_features=400, n_tasks=12, kinds="binary", signal=2.0),
    "classes, 1000 of 20 features": planted(n_samples=2000, n_features=20, n_tasks=12, kinds="binary", signal=2.0),
    "classes, own rows 60": planted(
        own_rows=True, n_samples=120, n_features=20, n_tasks=30, n_components=2, kinds="binary", signal=2.0
    ),
    "one event in 200 rows": rare_events,
    "5,000 and 12 rows": two_sizes(5_000),
    "50,000 and 12 rows": two_sizes(50_000),
    "three classes": planted(n_samples=200, n_features=20, n_tasks=10, kinds="multiclass", signal=2.0),
    "mixed": planted(n_samples=200, n_features=20, kinds=["regression", "binary", "multiclass"] * 4, signal=2.0),
    "penguins": lambda seed: (*load_penguins(), 0.2),
    "star": lambda seed: (*load_star(), 0.05),
}


def halves(X: Any, y: Any, share: Any, seed: int) -> tuple[Any, Any, Any, Any]:
    rng = np.random.RandomState(seed)
    if isinstance(X, dict):
        cut = share if isinstance(share, dict) else {task: int(share * len(table)) for task, table in X.items()}
        parts = [{t: v[: cut[t]] for t, v in X.items()}, {t: v[: cut[t]] for t, v in y.items()}]
        return *parts, {t: v[cut[t] :] for t, v in X.items()}, {t: v[cut[t] :] for t, v in y.items()}
    order = rng.permutation(len(X))
    train, test = np.split(order, [int(share * len(X))])
    spread = np.std(X[train], axis=0)
    X = (X - np.mean(X[train], axis=0)) / np.where(spread > 0, spread, 1.0)
    return X[train], y[train], X[test], y[test]


def losses(model: Any, X: Any, y: Any) -> dict[Any, float]:
    """Of every task: one minus R² of numbers, log loss of classes."""
    scoring = {task: "neg_log_loss" if task in model.classes_by_task_ else "r2" for task in model.tasks_}
    return {
        task: (task not in model.classes_by_task_) - score
        for task, score in score_tasks(model, X, y, scoring=scoring).items()
    }


def scores(draw: Draw, seed: int) -> tuple[dict[tuple, float], float]:
    """Share of the constant prediction's loss that every choice saves, and the tuned estimator."""
    X, y, X_test, y_test = halves(*draw(seed), seed)
    constant = losses(LowRankMultiTask(alpha=np.inf).fit(X, y), X_test, y_test)

    def saved(model: Any) -> float:
        left = losses(model.fit(X, y), X_test, y_test)
        return 1.0 - float(
            np.mean([left[task] / (constant[task] if task in model.classes_by_task_ else 1.0) for task in left])
        )

    found = {
        (alpha, rank, scale): saved(LowRankMultiTask(alpha=alpha, n_components=rank, scale_targets=scale, tol=1e-5))
        for alpha, rank, scale in product(ALPHAS, RANKS, SCALES)
    }
    return found, saved(LowRankMultiTaskCV())


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.defaults", description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    seeds = range(parser.parse_args().seeds)
    warnings.simplefilter("ignore")
    regrets = []
    print(f"{'':30s}{'default':>9s}{'best':>9s}{'tuned':>9s}   best choice of alpha, n_components, scale_targets")
    for name, draw in PROBLEMS.items():
        drawn = [scores(draw, seed) for seed in seeds]
        mean = {choice: float(np.mean([found[choice] for found, _ in drawn])) for choice in drawn[0][0]}
        best = max(mean, key=lambda choice: mean[choice])
        tuned = np.mean([score for _, score in drawn])
        print(f"{name:30s}{mean[DEFAULT]:9.4f}{mean[best]:9.4f}{tuned:9.4f}   {best}", flush=True)
        regrets.append({choice: mean[best] - score for choice, score in mean.items()})
    print("mean regret over the problems:")
    total = {choice: float(np.mean([regret[choice] for regret in regrets])) for choice in regrets[0]}
    for choice in sorted(total, key=lambda choice: total[choice]):
        print(f"{total[choice]:9.4f}  {choice}" + ("  <- default" if choice == DEFAULT else ""))


if __name__ == "__main__":
    main()
