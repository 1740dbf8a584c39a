"""How many new targets lie where intervals say: ``python -m benchmarks.coverage [--seeds 20]``.

Planted complete tables with a tenth to four times as many features as rows, of 8 and 50 tasks that share three
components: the share of new targets within 1.645 and 1.96 standard deviations of ``predict(X, return_std=True)``, mean
over tasks and seeds, for the tuned class and for the plain one. 0.90 and 0.95 are right.
"""

from __future__ import annotations

import argparse
import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skmtl import LowRankRegressor, LowRankRegressorCV
from skmtl.datasets import make_multitask

#: Rows, features and tasks.
SETTINGS = {
    f"{n} x {d}, {n_tasks} tasks": (n, d, n_tasks)
    for n, d in ((200, 20), (100, 50), (60, 90), (50, 200))
    for n_tasks in (8, 50)
}
MODELS: dict[str, Any] = {
    "tuned": LowRankRegressorCV(),
    "three components": LowRankRegressor(n_components=3, alpha=0.1, tol=1e-5),
    "unlimited rank": LowRankRegressor(alpha=0.1, tol=1e-5),
}
#: Standard deviations on both sides of 90 and 95 % of a normal variable.
WIDTHS = np.array([1.645, 1.96])


def coverage(model: Any, setting: tuple[int, int, int], seed: int, n_new: int = 400) -> NDArray:
    """Shares of new targets within each of `WIDTHS` standard deviations, mean over tasks."""
    n, d, n_tasks = setting
    X, y, truth = make_multitask(n, d, n_tasks, n_components=3, signal=2.0, return_truth=True, random_state=seed)
    mean, std = model.fit(X, y).predict(new := np.random.RandomState(1000 + seed).randn(n_new, d), return_std=True)
    rng, inside = np.random.RandomState(2000 + seed), []
    for t in y:
        target = new @ truth.coef[t] + truth.intercept[t] + truth.noise[t] * rng.randn(n_new)
        inside.append(np.abs(target - mean[t])[:, np.newaxis] <= WIDTHS * std[t][:, np.newaxis])
    return np.mean(inside, axis=(0, 1))


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.coverage", description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(map(repr, SETTINGS))} (default: all)")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--models", nargs="+", choices=list(MODELS), default=list(MODELS))
    options = parser.parse_args(arguments)
    warnings.simplefilter("ignore")
    print(f"{'within 90 % / 95 %':24s}" + "".join(f"{name:>20s}" for name in options.models))
    for name in options.names or SETTINGS:
        cells = []
        for model in options.models:
            shares = [coverage(MODELS[model], SETTINGS[name], seed) for seed in range(options.seeds)]
            cells.append(" / ".join(f"{share:.3f}" for share in np.mean(shares, axis=0)))
        print(f"{name:24s}" + "".join(f"{cell:>20s}" for cell in cells), flush=True)


if __name__ == "__main__":
    main()
