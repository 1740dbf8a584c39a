"""What scales from residuals, the learned prior, intervals and the group norm are worth on planted tasks.

``python -m benchmarks.planted [--seeds N]`` prints, for every strength of a grid, mean excess risks: the squared
error of coefficients and intercept, which for standard normal X is the expected squared error beyond the noise.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.baselines.posterior_mean import posterior_mean
from skmtl import LowRankRegressor
from skmtl.datasets import make_multitask


class Planted:
    """Tasks with rows of their own; `unit` multiplies every target, `intercepts` says whether there are any."""

    def __init__(self, n: int, d: int, n_tasks: int, k: int, seed: int, unit: Any = 1.0, intercepts=True, **options):
        X, y, truth = make_multitask(
            n, d, n_tasks, n_components=k, own_rows=True, return_truth=True, random_state=seed, **options
        )
        unit = np.broadcast_to(unit, n_tasks)
        intercept = np.array([truth.intercept[t] for t in y])
        shift = np.zeros(n_tasks) if intercepts else intercept
        self.X, self.k = X, k
        self.y = {t: (v - s) * u for (t, v), s, u in zip(y.items(), shift, unit, strict=True)}
        self.coef = np.array([truth.coef[t] for t in y]) * unit[:, np.newaxis]
        self.intercept = (intercept - shift) * unit
        self.noise = np.array([truth.noise[t] for t in y]) * unit

    def fit(self, **options: Any) -> LowRankRegressor:
        return LowRankRegressor(n_components=self.k, tol=1e-5, **options).fit(self.X, self.y)

    def errors(self, model: LowRankRegressor, unit: Any = 1.0) -> NDArray:
        """Excess risk of every task, in squared multiples of `unit`."""
        coef, intercept = (np.array(list(part.values())) for part in (model.coef_, model.intercept_))
        return (np.sum((coef - self.coef) ** 2, axis=1) + (intercept - self.intercept) ** 2) / np.square(unit)


def show(title: str, grid: list[float], rows: dict[str, list[list[float]]]) -> None:
    print(f"\n{title}\n{'strength':>24} " + " ".join(f"{a:6g}" for a in grid) + "    best")
    for name, values in rows.items():
        mean = np.mean(values, axis=0)
        print(f"{name:>24} " + " ".join(f"{v:6.3f}" for v in mean) + f"  {mean.min():6.3f}")


def scales(seeds: range) -> None:
    grid = [0.1, 0.15, 0.2, 0.3, 0.45, 0.7]
    for differ in ("units", "noise"):
        rows: dict[str, list] = {"true noise": [], "residual": [], "std": [], "None": []}
        for seed in seeds:
            spread = np.exp(np.random.RandomState(100 + seed).uniform(-1.2, 1.2, 60))
            options = {"noise": spread} if differ == "noise" else {"unit": spread}
            data = Planted(40, 30, 60, 3, seed, **options)
            even = Planted(40, 30, 60, 3, seed, **options)
            even.y = {t: v / s for (t, v), s in zip(even.y.items(), data.noise, strict=True)}
            even.coef, even.intercept = even.coef / data.noise[:, np.newaxis], even.intercept / data.noise
            rows["true noise"].append([even.errors(even.fit(alpha=a, scale_targets=None)).mean() for a in grid])
            for name, scale in (("residual", "residual"), ("std", "std"), ("None", None)):
                fits = [data.fit(alpha=a, scale_targets=scale) for a in grid]
                rows[name].append([data.errors(model, data.noise).mean() for model in fits])
        show(f"{differ} differ by up to exp(2.4): n_t=40, d=30, T=60, k=3, risk over noise^2", grid, rows)


def priors(seeds: range) -> None:
    """Where intercepts and common part are not to be learned, also about the least risk that an estimator can have."""
    grid = [0.5, 0.8, 1.1, 1.5, 2.0, 2.6, 3.3]
    for signal, common, intercepts in ((0.7, 0.0, False), (1.0, 0.0, False), (1.0, 0.0, True), (1.0, 1.0, True)):
        rows: dict[str, list] = {"ridge": [], "learned": []} | ({} if intercepts else {"posterior mean": []})
        for seed in seeds:
            data = Planted(15, 40, 400, 4, seed, intercepts=intercepts, signal=signal, common=common)
            data.k += common > 0
            for prior in ("ridge", "learned"):
                options = {"factor_prior": prior, "fit_intercept": intercepts, "scale_targets": None}
                rows[prior].append([data.errors(data.fit(alpha=a, **options)).mean() for a in grid])
            if not intercepts:
                X, y = (np.stack(list(part.values())) for part in (data.X, data.y))
                coef = posterior_mean(X, y, 4, signal, random_state=seed)
                risk = float(np.mean(np.sum((coef - data.coef) ** 2, axis=1)))
                rows["posterior mean"].append([risk] * len(grid))
        which = f"signal {signal}, common part {common}, {'with' if intercepts else 'no'} intercepts"
        show(f"n_t=15, d=40, T=400, k=4, noise 1, {which}", grid, rows)


def intervals(seeds: range) -> None:
    print("\nshare of new targets within 1.645 standard deviations, mean over tasks")
    for n, d, n_tasks, k in ((40, 30, 60, 3), (20, 40, 100, 4), (15, 40, 400, 4), (15, 40, 100, 4), (100, 28, 139, 5)):
        for prior in ("ridge", "learned"):
            shares = []
            for alpha in (0.1, 0.3, 1.0):
                inside = []
                for seed in seeds:
                    data = Planted(n, d, n_tasks, k, seed)
                    model = data.fit(alpha=alpha, factor_prior=prior)
                    rng = np.random.RandomState(1000 + seed)
                    new = rng.standard_normal((300, d))
                    mean, std = (np.column_stack(list(part.values())) for part in model.predict(new, return_std=True))
                    raw = new @ data.coef.T + data.intercept
                    inside.append(np.mean(np.abs(raw + rng.standard_normal(raw.shape) - mean) < 1.645 * std))
                shares.append(np.mean(inside))
            print(
                f"n_t={n} d={d} T={n_tasks} k={k} {prior:>8}: alpha 0.1, 0.3, 1.0: "
                + " ".join(f"{s:.3f}" for s in shares)
            )


def outliers(seeds: range) -> None:
    grid = {"group": [0.6, 0.7, 0.8, 0.9, 1.0, 1.25], "ridge": [1.0, 2.0, 3.0, 4.0, 6.0, 8.0]}
    drawn = [Planted(40, 30, 60, 3, seed, n_outliers=6) for seed in seeds]
    for penalty, strengths in grid.items():
        rows: dict[str, list] = {f"alpha {a}": [] for a in (0.3, 0.45, 0.7)}
        for data in drawn:
            for name, found in rows.items():
                options = {"alpha": float(name[6:]), "own_penalty": penalty, "scale_targets": None}
                found.append([data.errors(data.fit(alpha_own=a, **options)).mean() for a in strengths])
        show(f"six outliers among 60 tasks, n_t=40, d=30, k=3: alpha_own, own_penalty={penalty!r}", strengths, rows)
    alphas = [0.2, 0.3, 0.45, 0.7]
    fits = [[data.errors(data.fit(alpha=a, scale_targets=None)).mean() for a in alphas] for data in drawn]
    show("the same, no own parts: alpha", alphas, {"": fits})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seeds", type=int, default=5)
    seeds = range(parser.parse_args().seeds)
    for table in (scales, priors, intervals, outliers):
        table(seeds)


if __name__ == "__main__":
    main()
