"""One table, measured in one run: ``python -m benchmarks.run [NAME ...] [--quick] [--repeats 3]``.

For every problem the best time of skmtl and of one scikit-learn model per task at the same strength per row, as
ratios to one ``X.T @ X``, with the error on held-out rows beside every time.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from time import perf_counter

import numpy as np
from sklearn.linear_model import LogisticRegression, Ridge

from benchmarks import ours, problems


def one_model_per_task(problem):
    """Ridge, or LogisticRegression, for each task alone, with the ridge that `alpha` is for unit coefficients."""
    coef, intercept = np.zeros((problem.n_tasks, problem.X.shape[1])), np.zeros(problem.n_tasks)
    strength = problem.alpha * problem.nbar
    start = perf_counter()
    for t, (X, y) in enumerate(problem.tasks()):
        if problem.kind == "binary" and np.ptp(y) == 0:
            intercept[t] = 10.0 if y[0] else -10.0
            continue
        model = LogisticRegression(C=1.0 / strength) if problem.kind == "binary" else Ridge(strength)
        model.fit(X, y)
        coef[t], intercept[t] = np.ravel(model.coef_), np.ravel(model.intercept_)[0]
    return coef, intercept, perf_counter() - start


METHODS: dict[str, Callable] = {**ours.METHODS, "one model per task": one_model_per_task}


def gram_seconds(X, repeats: int) -> float:
    """Best time of one ``X.T @ X``."""
    times = []
    for _ in range(repeats):
        start = perf_counter()
        X.T @ X
        times.append(perf_counter() - start)
    return min(times)


def main(arguments=None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(problems.NAMES)}; default: all")
    parser.add_argument("--quick", action="store_true", help="small sizes")
    parser.add_argument("--repeats", type=int, default=3, help="the best of so many runs counts (default 3)")
    options = parser.parse_args(arguments)
    unknown = sorted(set(options.names) - set(problems.NAMES))
    if unknown:
        parser.error(f"unknown problems {unknown}; the problems are {', '.join(problems.NAMES)}")
    print(f"{'problem':24s} {'method':20s} {'seconds':>9s} {'x X.T@X':>9s} {'test error':>11s}")
    for name in options.names or problems.NAMES:
        problem = problems.make(name, quick=options.quick)
        unit = gram_seconds(problem.X, options.repeats)
        for method, run in METHODS.items():
            coef, intercept, seconds = min((run(problem) for _ in range(options.repeats)), key=lambda done: done[2])
            test = problem.test_error(coef, intercept)
            print(f"{name:24s} {method:20s} {seconds:9.4f} {seconds / unit:9.1f} {test:11.4f}", flush=True)


if __name__ == "__main__":
    main()
