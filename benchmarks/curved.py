"""Curved tasks: ``python -m benchmarks.curved [SET ...] [--splits 5] [--methods NAME ...] [--data DIR] [--labels N]``.

Every method as a user would call it, on random splits of two thirds: mean over tasks of the root mean squared error
over the deviation of the test targets (of classes: log loss), its ratio to ridge or logistic regression tuned per task
on the same splits, with the standard error of that ratio corrected for overlapping training sets (Nadeau & Bengio
2003, doi:10.1023/A:1024068626366), and processor seconds of a fit; then the ratio of the shared layer to each other
method. CatBoost is measured where it is installed. The errors of "bent" sets, squared, are excess risks.
"""

from __future__ import annotations

import argparse
import importlib.util
import time
import warnings
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
)
from sklearn.linear_model import LogisticRegressionCV, RidgeCV
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import SplineTransformer, StandardScaler

from benchmarks.problems import loaded
from skmtl import LowRankClassifierCV, LowRankRegressorCV, SharedLayerClassifier, SharedLayerRegressor
from skmtl.datasets import load_star, make_multitask


@dataclass(frozen=True)
class Data:
    """X and targets (n_rows, n_tasks), NaN where missing; with `task`, every row is seen by that one only."""

    X: Any
    Y: np.ndarray
    is_class: bool = False
    task: np.ndarray | None = None

    def take(self, rows) -> Data:
        return replace(self, X=self.X[rows], Y=self.Y[rows], task=None if self.task is None else self.task[rows])

    def with_labels(self, n_labels: int | None, rng) -> Data:
        """At most so many targets of every task; rows without any go."""
        if n_labels is None:
            return self
        Y = np.full_like(self.Y, np.nan)
        for t, column in enumerate(self.Y.T):
            kept = rng.permutation(np.flatnonzero(~np.isnan(column)))
            if self.is_class:  # two labels of every class first
                ranks = [np.argsort(column[kept] != c, kind="stable")[:2] for c in (0.0, 1.0)]
                kept = kept[np.concatenate([*ranks, np.setdiff1d(np.arange(len(kept)), np.concatenate(ranks))])]
            Y[kept[:n_labels], t] = column[kept[:n_labels]]
        return replace(self, Y=Y).take(np.flatnonzero(~np.isnan(Y).all(axis=1)))


def planted(seed: int, n_tasks=40, n_labels=60, n_straight=0, n_test=1000) -> tuple[Data, Data]:
    """Tasks of own rows that share four units of three of ten features, rectified ones and a product."""
    rng = np.random.default_rng(seed)
    factors = rng.normal(size=(4 + n_straight, n_tasks)) / np.sqrt(4 + n_straight)
    if n_straight:
        factors[1:4] = 0.0
    straight = rng.normal(size=(10, n_straight)) / np.sqrt(10)

    def rows(per_task):
        X = rng.normal(size=(per_task * n_tasks, 10))
        task = np.repeat(np.arange(n_tasks), per_task)
        bent = [np.maximum(X[:, 0], 0), np.maximum(X[:, 1] - X[:, 2], 0), X[:, 0] * X[:, 1], np.abs(X[:, 2])]
        units = np.column_stack([*bent, *(X @ straight).T])
        raw = np.sum(units * factors.T[task], axis=1)
        return X, raw, task

    def data(per_task, noise):
        X, raw, task = rows(per_task)
        Y = np.full((len(X), n_tasks), np.nan)
        Y[np.arange(len(X)), task] = raw + noise * rng.normal(size=len(X))
        return Data(X, Y, task=task)

    # Without noise in the test targets, the error is the excess risk.
    return data(n_labels, 0.5), data(n_test // n_tasks, 0.0)


def straight(seed: int) -> tuple[Data, Data]:
    X, y = make_multitask(n_samples=300, n_features=15, n_tasks=12, n_components=3, random_state=seed)
    Y = np.column_stack(list(y.values()))
    data = Data(X, Y)
    return data.take(np.arange(100)), data.take(np.arange(100, 300))


def star(seed: int) -> tuple[Data, Data]:
    X, y = load_star()
    data, rng = Data(np.asarray(X, dtype=float), np.column_stack(list(y.values()))), np.random.default_rng(seed)
    order = rng.permutation(len(data.Y))
    third = len(order) // 3
    return data.take(order[third:]).with_labels(50, rng), data.take(order[:third])


GENERATED = {
    "bent": planted,
    "one bent, nine straight": lambda seed: planted(seed, n_straight=9),
    "straight": straight,
    "star, 50 labels": star,
}
#: Real sets of a directory: name there, labels per task.
REAL = {
    "enb": ("mtr_enb", None),
    "slump": ("mtr_slump", None),
    "jura": ("mtr_jura", None),
    "wq": ("mtr_wq", None),
    "atp1d": ("mtr_atp1d", None),
    "oes10": ("mtr_oes10", None),
    "emotions": ("ml_emotions", None),
    "wq, 30 labels": ("mtr_wq", 30),
    "jura, 30 labels": ("mtr_jura", 30),
    "emotions, 30 labels": ("ml_emotions", 30),
    "scm20d, 100 labels": ("mtr_scm20d", 100),
    "tox21, 100 labels": ("tox21_ecfp4_1024", 100),
    "school": ("school", None),
}


def real(directory: str, name: str, seed: int, n_labels: int | None = None) -> tuple[Data, Data]:
    """A random two thirds to train on, with at most so many labels of every task (default: the set's), and the rest."""
    file, own_limit = REAL[name]
    n_labels = n_labels or own_limit
    found, rng = loaded(directory, file), np.random.default_rng(seed)
    X, task = found["X"], None
    if "task" in found:
        task = np.unique(found["task"], return_inverse=True)[1]
        Y = np.full((len(task), task.max() + 1), np.nan)
        Y[np.arange(len(task)), task] = found["y"]
    else:
        Y = np.asarray(found["Y"], dtype=float)
    is_class = bool(np.isin(Y[~np.isnan(Y)], (0.0, 1.0)).all())
    order = rng.permutation(X.shape[0])
    third = X.shape[0] // 3
    data = Data(X, Y, is_class, task)
    return data.take(order[third:]).with_labels(n_labels, rng), data.take(order[:third])


# Methods: (training data, test data) -> numbers, or probabilities of class 1, (n_test, n_tasks)


def jointly(regressor, classifier):
    def answers(train: Data, test: Data):
        estimator = classifier if train.is_class else regressor
        if train.task is None:
            model = estimator.fit(train.X, train.Y)
            if not train.is_class:
                return np.asarray(model.predict(test.X)).reshape(test.Y.shape)
            return np.column_stack([one[:, 1] for one in model.predict_proba(test.X)])
        tables = {t: train.X[train.task == t] for t in np.unique(train.task)}
        model = estimator.fit(tables, {t: train.Y[train.task == t, t] for t in tables})
        found = model.predict(test.X)
        return np.column_stack([found[t] for t in tables])

    return answers


def each(make):
    """A model for every task, features standardised."""

    def answers(train: Data, test: Data):
        columns = []
        for column in train.Y.T:
            rows = np.flatnonzero(~np.isnan(column))
            model = make_pipeline(
                StandardScaler(with_mean=not sparse.issparse(train.X)), make(train.is_class, len(rows))
            )
            model.fit(train.X[rows], column[rows])
            columns.append(model.predict_proba(test.X)[:, 1] if train.is_class else model.predict(test.X))
        return np.column_stack(columns)

    return answers


def ridge(is_class, n):
    if is_class:
        return LogisticRegressionCV(Cs=np.logspace(-4, 2, 10), cv=min(5, n // 4), scoring="neg_log_loss", max_iter=2000)
    return RidgeCV(np.logspace(-3, 4, 15))


def extra_trees(is_class, n):
    options = {"n_estimators": 300, "min_samples_leaf": 2 if is_class else 1, "random_state": 0}
    return ExtraTreesClassifier(**options) if is_class else ExtraTreesRegressor(**options)


def boosted_trees(is_class, n):
    options = {"min_samples_leaf": 5, "random_state": 0}
    return HistGradientBoostingClassifier(**options) if is_class else HistGradientBoostingRegressor(**options)


def cat_boost(is_class, n):
    from catboost import CatBoostClassifier, CatBoostRegressor

    options = {"verbose": 0, "thread_count": 1, "random_seed": 0, "allow_writing_files": False}
    return CatBoostClassifier(**options) if is_class else CatBoostRegressor(**options)


def network(train: Data, test: Data):
    """scikit-learn's network of all tasks of a complete table, tuned; one per task elsewhere."""
    grid = {"alpha": [1e-4, 1e-2, 0.1, 1.0, 10.0], "hidden_layer_sizes": [(32,), (100,)]}
    options = {"solver": "lbfgs", "max_iter": 500, "random_state": 0}
    folds = KFold(5, shuffle=True, random_state=0)
    if np.isnan(train.Y).any() or train.is_class:
        scoring = "neg_log_loss" if train.is_class else None
        kind = MLPClassifier if train.is_class else MLPRegressor
        return each(lambda is_class, n: GridSearchCV(kind(**options), grid, cv=folds, scoring=scoring))(train, test)
    mean, scale = train.Y.mean(axis=0), train.Y.std(axis=0)
    search = GridSearchCV(MLPRegressor(**options), grid, cv=folds)
    model = make_pipeline(StandardScaler(), search).fit(train.X, (train.Y - mean) / scale)
    return model.predict(test.X).reshape(test.Y.shape) * scale + mean


def after_splines(train: Data, test: Data):
    splines = make_pipeline(StandardScaler(), SplineTransformer(4, extrapolation="linear"), StandardScaler())
    inside = replace(train, X=splines.fit_transform(train.X))
    linear = jointly(LowRankRegressorCV(), LowRankClassifierCV())
    return linear(inside, replace(test, X=splines.transform(test.X)))


METHODS = {
    "ridge": each(ridge),
    "linear": jointly(LowRankRegressorCV(), LowRankClassifierCV()),
    "splines": after_splines,
    "shared layer": jointly(SharedLayerRegressor(), SharedLayerClassifier()),
    "network": network,
    "extra trees": each(extra_trees),
    "boosted trees": each(boosted_trees),
    "CatBoost": each(cat_boost),
}


def error(test: Data, answers) -> float:
    """Mean over tasks of the relative root mean squared error, or of the log loss."""
    errors = []
    for column, answer in zip(test.Y.T, answers.T, strict=True):
        seen = ~np.isnan(column)
        y, p = column[seen], answer[seen]
        if test.is_class:
            p = np.clip(p, 1e-15, 1 - 1e-15)
            errors.append(-np.mean(y * np.log(p) + (1 - y) * np.log1p(-p)))
        elif len(y) > 1 and np.ptp(y) > 0:
            errors.append(np.sqrt(np.mean((y - p) ** 2)) / y.std())
    return float(np.mean(errors))


def measured(make, methods, n_splits) -> dict[str, list[tuple[float, float]]]:
    """(error, processor seconds) of every method and split."""
    found: dict[str, list] = {name: [] for name in methods}
    for seed in range(n_splits):
        train, test = make(seed)
        for name in methods:
            if name == "splines" and (sparse.issparse(train.X) or train.X.shape[1] > 100):
                continue
            began = time.process_time()
            answers = METHODS[name](train, test)
            found[name].append((error(test, answers), time.process_time() - began))
    return found


def ratio(errors, base) -> str:
    """Geometric mean of the ratios over splits, with its corrected standard error."""
    logs = np.log(errors) - np.log(base)
    spread = np.sqrt((1 / len(logs) + 0.5) * logs.var(ddof=1)) if len(logs) > 1 else np.nan
    return f"{np.exp(logs.mean()):.3f} +- {spread:.3f}"


def show(title: str, found: dict) -> None:
    measured_of = {name: np.array(results).T for name, results in found.items() if results}
    base = measured_of["ridge"][0]
    for name, (errors, seconds) in measured_of.items():
        said = f"{title:24s} {name:14s} error {errors.mean():.4f}  of ridge {ratio(errors, base)}"
        print(f"{said}  {np.median(seconds):7.1f} s", flush=True)
    layer = measured_of.pop("shared layer", None)
    for name, (errors, _) in measured_of.items():
        if layer is not None:
            print(f"{title:24s} shared layer of {name:14s} {ratio(layer[0], errors)}", flush=True)


def draw(path: str) -> None:
    """One task of "bent" along its first feature, the others at zero: the truth, and what 60 labels of 12 tasks say."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    train, _ = planted(1, n_tasks=12)
    tables = {t: train.X[train.task == t] for t in range(12)}
    targets = {t: train.Y[train.task == t, t] for t in tables}
    line = np.zeros((101, 10))
    line[:, 0] = np.linspace(-2.5, 2.5, 101)
    factors = np.random.default_rng(1).normal(size=(4, 12)) / 2.0
    task = int(np.argmax(np.abs(factors[0])))
    figure, panel = pyplot.subplots(figsize=(6, 3.6), layout="constrained")
    panel.plot(line[:, 0], factors[0, task] * np.maximum(line[:, 0], 0), color="black", label="truth")
    seen = tables[task]
    rest = factors[:, task] @ np.stack(
        [
            np.zeros(len(seen)),
            np.maximum(seen[:, 1] - seen[:, 2], 0),
            seen[:, 0] * seen[:, 1],
            np.abs(seen[:, 2]),
        ]
    )
    panel.plot(seen[:, 0], targets[task] - rest, ".", color="grey", label="60 labels, less what other features do")
    for name, model, style in (
        ("tuned linear model", LowRankRegressorCV(), {"color": "tab:orange", "linestyle": "--"}),
        ("shared hidden layer", SharedLayerRegressor(), {"color": "tab:blue"}),
    ):
        panel.plot(line[:, 0], model.fit(tables, targets).predict(line)[task], label=name, **style)
    panel.set_xlabel("feature 0, others at zero")
    panel.set_ylabel(f"task {task}")
    figure.legend(loc="outside upper center", ncols=2, frameon=False)  # inside it would hide labels
    figure.savefig(path, dpi=80)


def main(arguments=None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.curved", description=__doc__.splitlines()[0])
    parser.add_argument("sets", nargs="*", metavar="SET", help="names of sets (default: all)")
    parser.add_argument("--splits", type=int, default=5)
    parser.add_argument("--methods", nargs="+", choices=METHODS, metavar="NAME")
    parser.add_argument("--data", metavar="DIR", help="also the real sets of this directory")
    parser.add_argument("--labels", type=int, metavar="N", help="at most so many labels of every task of real sets")
    parser.add_argument("--plot", metavar="FILE.png", help="draw one bent task instead")
    options = parser.parse_args(arguments)
    warnings.simplefilter("ignore")
    if options.plot:
        draw(options.plot)
        return
    methods = ["ridge", *(name for name in options.methods or METHODS if name != "ridge")]
    if importlib.util.find_spec("catboost") is None:
        methods = [name for name in methods if name != "CatBoost"]
    makers: dict[str, Any] = dict(GENERATED)
    if options.data:
        makers |= {name: lambda seed, name=name: real(options.data, name, seed, options.labels) for name in REAL}
    unknown = set(options.sets) - set(makers)
    if unknown:
        parser.error(f"unknown sets {sorted(unknown)}; there are {list(makers)}")
    for name in options.sets or makers:
        show(name, measured(makers[name], methods, options.splits))


if __name__ == "__main__":
    main()
