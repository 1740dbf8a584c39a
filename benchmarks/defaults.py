"""What the defaults of the plain estimators cost: ``python -m benchmarks.defaults [--seeds 5]``.

For planted problems of every kind and the bundled sets, the mean score (R² of numbers, accuracy of classes) on rows
that were held out, of every choice of `alpha`, `n_components` and `scale_targets`. The last lines are the regret of a
choice: by how much its score stays behind the best choice's for the same data, on average over the problems.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np

from skmtl import LowRankMultiTask, LowRankMultiTaskCV
from skmtl.datasets import load_penguins, load_star, make_multitask

ALPHAS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
RANKS = (None, 3, 10)
SCALES = ("std", "residual", None)
DEFAULT = (0.1, None, "std")

#: (X, y, share of the rows to train on) for a seed.
Draw = Callable[[int], tuple[Any, Any, float]]


def planted(share: float = 0.5, **options: Any) -> Draw:
    return lambda seed: (*make_multitask(random_state=seed, **options), share)


PROBLEMS: dict[str, Draw] = {
    "numbers, 40 of 30 features": planted(n_samples=80, n_features=30, n_tasks=60, n_components=3),
    "numbers, 70 % missing": planted(n_samples=200, n_features=30, n_tasks=60, n_components=3, missing=0.7),
    "numbers, own rows 20": planted(own_rows=True, n_samples=40, n_features=40, n_tasks=100, n_components=4),
    "numbers, own rows 100": planted(own_rows=True, n_samples=200, n_features=28, n_tasks=50, n_components=5),
    "few tasks, many rows": planted(n_samples=1000, n_features=20, n_tasks=4, n_components=2),
    "nothing shared": planted(n_samples=100, n_features=15, n_tasks=20, n_components=1, n_outliers=20),
    "two classes": planted(n_samples=200, n_features=20, n_tasks=20, n_components=2, kinds="binary", signal=2.0),
    "three classes": planted(n_samples=200, n_features=20, n_tasks=10, kinds="multiclass", signal=2.0),
    "mixed": planted(n_samples=200, n_features=20, kinds=["regression", "binary", "multiclass"] * 4, signal=2.0),
    "penguins": lambda seed: (*load_penguins(), 0.2),
    "star": lambda seed: (*load_star(), 0.05),
}


def halves(X: Any, y: Any, share: float, seed: int) -> tuple[Any, Any, Any, Any]:
    rng = np.random.RandomState(seed)
    if isinstance(X, dict):
        cut = {task: int(share * len(table)) for task, table in X.items()}
        parts = [{t: v[: cut[t]] for t, v in X.items()}, {t: v[: cut[t]] for t, v in y.items()}]
        return *parts, {t: v[cut[t] :] for t, v in X.items()}, {t: v[cut[t] :] for t, v in y.items()}
    order = rng.permutation(len(X))
    train, test = np.split(order, [int(share * len(X))])
    spread = np.std(X[train], axis=0)
    X = (X - np.mean(X[train], axis=0)) / np.where(spread > 0, spread, 1.0)
    return X[train], y[train], X[test], y[test]


def scores(draw: Draw, seed: int) -> tuple[dict[tuple, float], float]:
    """Score of every choice, and of the tuned estimator."""
    X, y, X_test, y_test = halves(*draw(seed), seed)
    found = {}
    for alpha, rank, scale in product(ALPHAS, RANKS, SCALES):
        model = LowRankMultiTask(alpha=alpha, n_components=rank, scale_targets=scale, tol=1e-5)
        found[alpha, rank, scale] = model.fit(X, y).score(X_test, y_test)
    return found, LowRankMultiTaskCV().fit(X, y).score(X_test, y_test)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.defaults", description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    seeds = range(parser.parse_args().seeds)
    warnings.simplefilter("ignore")
    regrets = []
    print(f"{'':28s}{'default':>9s}{'best':>9s}{'tuned':>9s}   best choice of alpha, n_components, scale_targets")
    for name, draw in PROBLEMS.items():
        drawn = [scores(draw, seed) for seed in seeds]
        mean = {choice: float(np.mean([found[choice] for found, _ in drawn])) for choice in drawn[0][0]}
        best = max(mean, key=lambda choice: mean[choice])
        tuned = np.mean([score for _, score in drawn])
        print(f"{name:28s}{mean[DEFAULT]:9.4f}{mean[best]:9.4f}{tuned:9.4f}   {best}", flush=True)
        regrets.append({choice: mean[best] - score for choice, score in mean.items()})
    print("mean regret over the problems:")
    total = {choice: float(np.mean([regret[choice] for regret in regrets])) for choice in regrets[0]}
    for choice in sorted(total, key=lambda choice: total[choice]):
        print(f"{total[choice]:9.4f}  {choice}" + ("  <- default" if choice == DEFAULT else ""))


if __name__ == "__main__":
    main()
