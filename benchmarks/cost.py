"""What a tuned fit costs, in single fits at the values it chose: ``python -m benchmarks.cost [NAME ...] [--seeds 3]``.

Also the time with twice the folds and with two jobs, as ratios to the time with the defaults. Every figure is the best
of three runs where they are short; of a tuned fit and its single fit the medians over the seeds are taken.
"""

from __future__ import annotations

import argparse
import warnings
from time import perf_counter
from typing import Any

import numpy as np

from skmtl import (
    LowRankClassifier,
    LowRankClassifierCV,
    LowRankMultiTask,
    LowRankMultiTaskCV,
    LowRankRegressor,
    LowRankRegressorCV,
)
from skmtl.datasets import make_multitask

NUMBERS = LowRankRegressorCV, LowRankRegressor
CLASSES = LowRankClassifierCV, LowRankClassifier
MIXED = LowRankMultiTaskCV, LowRankMultiTask
KINDS = ["regression"] * 10 + ["binary"] * 8 + ["multiclass"] * 2

#: Classes, sizes (rows, features, tasks, rank) and what else `make_multitask` is told.
PROBLEMS: dict[str, tuple[tuple[type, type], tuple[int, int, int, int], dict[str, Any]]] = {
    "complete": (NUMBERS, (5000, 200, 100, 5), {}),
    "complete, large": (NUMBERS, (20000, 500, 500, 10), {}),
    "70 % missing": (NUMBERS, (2000, 60, 30, 3), {"missing": 0.7}),
    "70 % missing, large": (NUMBERS, (20000, 100, 50, 5), {"missing": 0.7}),
    "own rows, 60 x 40": (NUMBERS, (40, 30, 60, 3), {"own_rows": True}),
    "own rows, 100 x 20": (NUMBERS, (20, 40, 100, 4), {"own_rows": True}),
    "own rows, 139 x 100": (NUMBERS, (100, 28, 139, 5), {"own_rows": True}),
    "binary, own rows": (CLASSES, (100, 60, 40, 3), {"own_rows": True, "kinds": "binary", "signal": 2.0}),
    "mixed kinds": (MIXED, (1000, 40, 20, 3), {"kinds": KINDS}),
}


def seconds(run, repeats: int = 3) -> tuple[float, Any]:
    """Shortest time of `repeats` runs, of one where it takes seconds; and what the last one gave."""
    best = np.inf
    for _ in range(repeats):
        start = perf_counter()
        result = run()
        best = min(best, perf_counter() - start)
        if best > 5.0:
            break
    return best, result


def measure(name: str, seed: int) -> tuple[float, ...]:
    """Seconds of a tuned fit, single fits that it costs, candidates, ratios for twice the folds and for two jobs."""
    (tuned, single), (n, d, n_tasks, k), options = PROBLEMS[name]
    X, y = make_multitask(n, d, n_tasks, n_components=k, random_state=seed, **options)
    whole, model = seconds(lambda: tuned().fit(X, y))
    once, _ = seconds(lambda: single(**model.best_params_).fit(X, y))
    folds, _ = seconds(lambda: tuned(cv=2 * model.n_splits_).fit(X, y), 1)
    jobs, _ = seconds(lambda: tuned(n_jobs=2).fit(X, y))
    return whole, whole / once, len(model.cv_results_["params"]), folds / whole, jobs / whole


def main(arguments=None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cost", description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(PROBLEMS)} (default: all)")
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args(arguments)
    warnings.simplefilter("ignore")
    print(f"{'problem':22s}   seconds  single fits  candidates  10 folds / 5  2 jobs / 1")
    for name in options.names or PROBLEMS:
        figures = [measure(name, seed) for seed in range(options.seeds)]
        whole, fits, candidates, folds, jobs = np.median(figures, axis=0)
        print(f"{name:22s} {whole:9.2f} {fits:12.0f} {candidates:11.0f} {folds:13.2f} {jobs:11.2f}", flush=True)


if __name__ == "__main__":
    main()
