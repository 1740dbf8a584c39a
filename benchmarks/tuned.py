"""What tuning without a thought costs: ``python -m benchmarks.tuned [--seeds 3] [--data DIR]``.

Regret is the excess risk of a choice over that of the best one: here the planted rank and the strength that the
truth itself would pick. Every column is an estimator as a user would call it; risks are mean squared errors of
coefficients and intercepts, for standard normal features. With ``--data DIR`` also, through ``DIR/load.py``, the set
`school` with its published splits and the set `computer` (15 of 20 products to train on, 20 draws): mean over tasks of
the root mean squared error, and explained variance over all rows; then all sets of the directory with their columns in
random units and their rows in order, against separate and pooled models (`benchmarks.hostile`).
"""

from __future__ import annotations

import argparse
import warnings
from time import perf_counter

import numpy as np

from benchmarks import hostile
from benchmarks.problems import loaded
from skmtl import LowRankRegressor, LowRankRegressorCV
from skmtl.datasets import make_multitask

PLANTED = {
    "n_t=40 d=30 T=60 k=3": {"n_samples": 40, "n_features": 30, "n_tasks": 60, "n_components": 3},
    "n_t=20 d=40 T=100 k=4": {"n_samples": 20, "n_features": 40, "n_tasks": 100, "n_components": 4},
    "n_t=15 d=40 T=400 k=4": {"n_samples": 15, "n_features": 40, "n_tasks": 400, "n_components": 4},
    "n_t=100 d=28 T=139 k=5": {"n_samples": 100, "n_features": 28, "n_tasks": 139, "n_components": 5},
    "six outliers of 60": {"n_samples": 40, "n_features": 30, "n_tasks": 60, "n_components": 3, "n_outliers": 6},
    "nothing shared": {"n_samples": 40, "n_features": 15, "n_tasks": 30, "n_components": 1, "n_outliers": 30},
    "one common part": {"n_samples": 20, "n_features": 15, "n_tasks": 30, "n_components": 1, "common": 3.0},
}
CHOICES = {
    "default": {},
    "learned prior": {"factor_prior": "learned"},
    "features alike": {"feature_prior": "ridge"},
    "residual scales": {"scale_targets": "residual"},
    "no scales": {"scale_targets": None},
    "no guard": {"guard": False},
    "low rank alone": {"alpha_common": None, "alpha_own": None},
    "independent": {"alpha": np.inf, "alpha_common": None},
    "pooled": {"alpha": np.inf, "alpha_own": None},
}


def excess_risk(model, truth) -> float:
    """Mean over tasks of the squared error of coefficients and intercept."""
    errors = [
        np.sum((model.coef_[t] - truth.coef[t]) ** 2) + (model.intercept_[t] - truth.intercept[t]) ** 2
        for t in model.tasks_
    ]
    return float(np.mean(errors))


def planted(options: dict, seeds: int) -> tuple[dict[str, list[float]], list[tuple[int, int]]]:
    """Excess risks of every choice, and of the rank-k fit at the strength that the truth picks ("oracle").

    Also how many of the outliers, and of the other tasks, the default sets apart.
    """
    risks: dict[str, list[float]] = {"oracle": [], **{name: [] for name in CHOICES}}
    apart = []
    for seed in range(seeds):
        X, y, truth = make_multitask(own_rows=True, return_truth=True, random_state=seed, **options)
        k = options["n_components"]
        strengths = 1.5 * 2.0 ** -np.arange(0, 7, 0.5)
        fits = [LowRankRegressor(n_components=k, alpha=alpha, tol=1e-5).fit(X, y) for alpha in strengths]
        risks["oracle"].append(min(excess_risk(fit, truth) for fit in fits))
        for name, choice in CHOICES.items():
            model = LowRankRegressorCV(**choice).fit(X, y)
            risks[name].append(excess_risk(model, truth))
            if name == "default":
                found = set(model.guarded_)
                apart.append((len(found & set(truth.outliers)), len(found - set(truth.outliers))))
    return risks, apart


def on_products(data: dict, choice: dict) -> tuple[float, float, float]:
    """As `on_splits` for 20 draws of 15 products of `computer`."""
    X, Y, figures = data["X"][:, 1:], data["Y"], []
    for seed in range(20):
        order = np.random.RandomState(seed).permutation(len(X))
        train, test = order[:15], order[15:]
        start = perf_counter()
        model = LowRankRegressorCV(**choice).fit(X[train], Y[train])
        seconds = perf_counter() - start
        residual = model.predict(X[test]) - Y[test]
        by_task = np.sqrt(np.mean(residual**2, axis=0))
        figures.append((np.mean(by_task), 1 - np.mean(residual**2) / np.var(Y[test]), seconds))
    return tuple(np.mean(figures, axis=0))


def on_splits(data: dict, choice: dict) -> tuple[float, float, float]:
    """Mean over splits: RMSE per task, explained variance of all rows, seconds."""
    columns = np.flatnonzero(data["X"].std(axis=0) > 0)
    figures = []
    for train in data["splits"]:
        X = data["X"][:, columns]
        spread = X[train].std(axis=0)
        X = (X - X[train].mean(axis=0)) / np.where(spread > 0, spread, 1.0)
        X, y, task = np.column_stack([X, data["task"]]), data["y"], data["task"][~train]
        start = perf_counter()
        model = LowRankRegressorCV(task_col=len(columns), **choice).fit(X[train], y[train])
        seconds = perf_counter() - start
        residual = model.predict(X[~train]) - y[~train]
        by_task = [np.sqrt(np.mean(residual[task == one] ** 2)) for one in np.unique(task)]
        figures.append((np.mean(by_task), 1 - np.mean(residual**2) / np.var(y[~train]), seconds))
    return tuple(np.mean(figures, axis=0))


def main(arguments=None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tuned", description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="planted problems (default: all)")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--data", metavar="DIR", help="also the sets of this directory")
    parser.add_argument("--sets", nargs="*", metavar="SET", help="only these sets of the directory, against others")
    parser.add_argument("--splits", type=int, default=5, help="random splits of every set")
    options = parser.parse_args(arguments)
    warnings.simplefilter("ignore")
    if options.data and options.sets is not None:
        hostile.report(options.data, options.sets, options.splits)
        return
    print(f"{'excess risk (regret)':26s}" + "".join(f"{name:>18s}" for name in ["oracle", *CHOICES]))
    for name in options.names or PLANTED:
        risks, apart = planted(PLANTED[name], options.seeds)
        oracle = np.mean(risks["oracle"])
        cells = [f"{np.mean(values):.3f} ({np.mean(values) / oracle:.2f})" for values in risks.values()]
        print(f"{name:26s}" + "".join(f"{cell:>18s}" for cell in cells), flush=True)
        outliers, others = np.mean(apart, axis=0)
        print(f"{'':26s}  set apart by default: {outliers:.1f} outliers, {others:.1f} others", flush=True)
    for data_set, measure in (("school", on_splits), ("computer", on_products)) if options.data else ():
        data = loaded(options.data, data_set)
        for name, choice in CHOICES.items():
            error, explained, seconds = measure(data, choice)
            print(f"{data_set:9s} {name:18s} RMSE {error:.3f}  explained {explained:.4f}  {seconds:.1f} s", flush=True)
    if options.data:
        hostile.report(options.data, n_splits=options.splits)


if __name__ == "__main__":
    main()
