"""Whether tuning is ever worse than what a user has already, on real sets handed over as unkindly as they come.

Every set of a directory with a loader is split at random into two thirds and a third, several times; every column
is then multiplied by a random power of ten between -4 and 4, and the training rows come in the order of the first
target. Against the tuned class of the right kind, at its defaults, stand

- one model per task: ``RidgeCV`` or ``LogisticRegressionCV`` on standardised features, gaps of X filled with means;
- one model for all tasks of one kind: the same on all observations, beside an indicator of the task whose scale is
  chosen too, so that the intercepts are shrunk.

Errors are means over tasks: squared errors over the variance of the held-out targets, under a root, and log losses.
The standard error of a difference is the corrected one of Nadeau & Bengio (2003, doi:10.1023/A:1024068626366).
"""

from __future__ import annotations

from dataclasses import dataclass
from time import process_time
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegressionCV, RidgeCV
from sklearn.metrics import log_loss
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks.problems import loaded
from skmtl import LowRankClassifierCV, LowRankMultiTaskCV, LowRankRegressorCV, TaskTargets

#: Sets whose tasks have classes: {set: number of leading numeric targets}.
N_NUMERIC = {"mixed_nhefs": 4, "ml_emotions": 0, "tox21_ecfp4_1024": 0}
SETS = [
    "computer",
    "meats_tecator",
    "mixed_nhefs",
    "ml_emotions",
    "mtr_atp1d",
    "mtr_enb",
    "mtr_jura",
    "mtr_oes10",
    "mtr_oes97",
    "mtr_rf1",
    "mtr_scm20d",
    "mtr_slump",
    "mtr_wq",
    "parkinsons",
    "school",
    "star",
    "tox21_ecfp4_1024",
]
#: Training observations of a grouped task (targets of Parkinson's disease are interpolated in time), and rows of a set.
FEW, MOST_ROWS = 20, 1500
#: Scales of the indicators of a task beside standardised features, and strengths of the ridge.
INDICATORS, STRENGTHS = (0.3, 1.0, 3.0, 10.0), np.logspace(-3, 6, 28)


@dataclass(frozen=True)
class Table:
    """One X and the columns of its targets, NaN where a task has none; every column is one task."""

    X: Any
    Y: NDArray
    n_numeric: int
    names: tuple[str, ...]
    has_own_rows: bool

    def rows(self, t: int, among: NDArray) -> NDArray:
        """Rows of `among` that have a target of task `t`."""
        return among[~np.isnan(self.Y[among, t])]


def table(directory: str, name: str, seed: int) -> Table:
    """A set as one table, of at most `MOST_ROWS` rows (grouped ones: `FEW` per task to train on)."""
    data = loaded(directory, name)
    X, rng = data["X"], np.random.default_rng(seed)
    if "task" in data:
        y = data["y"] if "y" in data else data["Y"][:, 0]
        tasks, place = np.unique(data["task"], return_inverse=True)
        Y = np.full((len(y), len(tasks)), np.nan)
        Y[np.arange(len(y)), place] = y
        if "Y" in data:
            order = rng.permutation(len(y))
            keep = np.concatenate([order[place[order] == t][: 3 * FEW // 2] for t in range(len(tasks))])
            X, Y = X[keep], Y[keep]
        return Table(X, Y, len(tasks), tuple(f"task{t}" for t in tasks), True)
    keep = rng.permutation(X.shape[0])[:MOST_ROWS]
    Y = data["Y"][keep]
    return Table(X[keep], Y, N_NUMERIC.get(name, Y.shape[1]), tuple(f"task{t}" for t in range(Y.shape[1])), False)


def in_random_units(X: Any, rng: np.random.Generator) -> Any:
    units = 10.0 ** rng.uniform(-4, 4, X.shape[1])
    return sparse.csr_matrix(X @ sparse.diags(units)) if sparse.issparse(X) else X * units


def separate(table: Table, train: NDArray, test: NDArray) -> list[NDArray]:
    """Held-out predictions, or probabilities, of one tuned model per task."""
    found = []
    for t in range(len(table.names)):
        rows = table.rows(t, train)
        model = _alone(t < table.n_numeric, sparse.issparse(table.X))
        model.fit(table.X[rows], table.Y[rows, t])
        found.append(_answer(model, table.X[table.rows(t, test)], t < table.n_numeric))
    return found


def pooled(table: Table, train: NDArray, test: NDArray) -> list[NDArray] | None:
    """The same of one model of all tasks with intercepts that are shrunk; None for several kinds or classes."""
    is_numeric, n_tasks = table.n_numeric == len(table.names), len(table.names)
    if not is_numeric and (table.n_numeric or np.nanmax(table.Y) > 1):
        return None
    is_sparse = sparse.issparse(table.X)
    preparation = _preparation(is_sparse).fit(table.X[train])
    known = preparation.transform(table.X[train])
    at, tasks = np.nonzero(~np.isnan(table.Y[train]))
    y = table.Y[train][at, tasks]
    # One unit for tasks that share their rows, as the tasks of such tables have; that of the target for own rows.
    spread = np.ones(n_tasks) if table.has_own_rows or not is_numeric else np.nanstd(table.Y[train], axis=0)
    spread = np.where(spread > 0, spread, 1.0)
    middle = 0.0 if table.has_own_rows or not is_numeric else np.nanmean(table.Y[train], axis=0)
    y = ((table.Y[train] - middle) / spread)[at, tasks]
    best, chosen = -np.inf, None
    for scale in INDICATORS:
        features = _beside(known[at], tasks, n_tasks, scale)
        if is_numeric:
            model = RidgeCV(STRENGTHS).fit(features, y)
            score = model.best_score_
        else:
            model = _logistic().fit(features, y)
            score = float(np.mean([np.max(np.mean(s, axis=0)) for s in model.scores_.values()]))
        if score > best:
            best, chosen = score, (model, scale)
    model, scale = chosen
    found = []
    for t in range(n_tasks):
        rows = table.rows(t, test)
        new = _beside(preparation.transform(table.X[rows]), np.full(len(rows), t), n_tasks, scale)
        raw = _answer(model, new, is_numeric)
        found.append(raw * spread[t] + np.broadcast_to(middle, n_tasks)[t] if is_numeric else raw)
    return found


def tuned(table: Table, train: NDArray, test: NDArray) -> list[NDArray]:
    """The same of the tuned class of the right kind, at its defaults."""
    if table.n_numeric == len(table.names):
        model: Any = LowRankRegressorCV(random_state=0)
    else:
        model = (LowRankMultiTaskCV if table.n_numeric else LowRankClassifierCV)(random_state=0)
    if not sparse.issparse(table.X) and np.isnan(table.X).any():
        model = Pipeline([("fill", SimpleImputer(keep_empty_features=True)), ("model", model)])
    targets = {name: _as_kind(table.Y[train, t], t < table.n_numeric) for t, name in enumerate(table.names)}
    model.fit(table.X[train], TaskTargets(targets))
    found = []
    answers = model.predict(table.X[test]) if table.n_numeric else {}
    probabilities = model.predict_proba(table.X[test]) if table.n_numeric < len(table.names) else {}
    for t, name in enumerate(table.names):
        seen = ~np.isnan(table.Y[test, t])
        found.append(np.asarray(answers[name] if t < table.n_numeric else probabilities[name])[seen])
    return found


def errors(table: Table, train: NDArray, test: NDArray, found: list[NDArray]) -> tuple[float, float]:
    """Means over tasks: root of the relative squared error, log loss; NaN where there is no such task."""
    numeric, classes = [], []
    for t in range(len(table.names)):
        y = table.Y[table.rows(t, test), t]
        if t < table.n_numeric:
            variance = np.nanvar(table.Y[train]) if table.has_own_rows else np.nanvar(table.Y[train, t])
            # A target that is constant where models learn it has no scale to judge them by.
            numeric.append(np.mean((found[t] - y) ** 2) / variance if len(y) and variance else np.nan)
        else:
            classes.append(log_loss(y, found[t], labels=np.unique(table.Y[table.rows(t, train), t])))
    return tuple(float(np.nanmean(part)) if len(part) else np.nan for part in (np.sqrt(numeric), classes))


def compare(directory: str, name: str, n_splits: int) -> dict[str, NDArray]:
    """Errors by opponent, (n_splits,): numbers and classes of one set weigh by how many tasks there are of each."""
    shown: dict[str, list[float]] = {"tuned": [], "separate": [], "pooled": [], "seconds": [], "ratio": []}
    for seed in range(n_splits):
        whole = table(directory, name, seed)
        rng = np.random.default_rng(1000 + seed)
        whole = Table(in_random_units(whole.X, rng), whole.Y, whole.n_numeric, whole.names, whole.has_own_rows)
        order = rng.permutation(whole.X.shape[0])
        train, test = np.split(order, [2 * len(order) // 3])
        first = np.nanmean(whole.Y[train], axis=1) if whole.has_own_rows else whole.Y[train, 0]
        train = train[np.argsort(first, kind="stable")]
        share = whole.n_numeric / len(whole.names)
        for way in (tuned, separate, pooled):
            start = process_time()
            found = way(whole, train, test)
            if way is tuned:
                shown["seconds"].append(process_time() - start)
            both = (np.nan, np.nan) if found is None else errors(whole, train, test, found)
            shown[way.__name__].append(float(np.nansum([share * both[0], (1 - share) * both[1]])) or np.nan)
        shown["ratio"].append(len(test) / len(train))
    return {key: np.array(values) for key, values in shown.items()}


def verdict(figures: dict[str, NDArray]) -> tuple[str, float, float]:
    """The better opponent, by how much (relative) the tuned class is above it, and the corrected standard error."""
    opponents = {name: figures[name] for name in ("separate", "pooled") if not np.isnan(figures[name]).any()}
    best = min(opponents, key=lambda name: float(np.mean(opponents[name])))
    difference = (figures["tuned"] - opponents[best]) / np.mean(opponents[best])
    n_splits = len(difference)
    variance = np.var(difference, ddof=1) * (1 / n_splits + np.mean(figures["ratio"])) if n_splits > 1 else np.nan
    return best, float(np.mean(difference)), float(np.sqrt(variance))


def report(directory: str, names: list[str] | None = None, n_splits: int = 5) -> None:
    """One line per set, and whether the tuned class loses more than 1 % and two standard errors."""
    print(f"{'set':18s}{'tuned':>8s}{'separate':>10s}{'pooled':>8s}   against the better (relative)   seconds")
    for name in names or SETS:
        figures = compare(directory, name, n_splits)
        best, loss, error = verdict(figures)
        cells = "".join(f"{np.mean(figures[key]):{width}.4f}" for key, width in (("tuned", 8), ("separate", 10)))
        word = "WORSE" if loss > 0.01 and loss > 2 * error else ""
        print(
            f"{name:18s}{cells}{np.mean(figures['pooled']):8.4f}   {best:8s} {loss:+.4f} +- {error:.4f} {word:6s}"
            f"   {np.mean(figures['seconds']):.1f}",
            flush=True,
        )


def _preparation(is_sparse: bool) -> Pipeline:
    return make_pipeline(SimpleImputer(keep_empty_features=True), StandardScaler(with_mean=not is_sparse))


def _logistic() -> LogisticRegressionCV:
    return LogisticRegressionCV(Cs=np.logspace(-4, 3, 10), cv=3, scoring="neg_log_loss", max_iter=300)


def _alone(is_numeric: bool, is_sparse: bool) -> Pipeline:
    return make_pipeline(*_preparation(is_sparse), RidgeCV(STRENGTHS) if is_numeric else _logistic())


def _answer(model: Any, X: Any, is_numeric: bool) -> NDArray:
    return model.predict(X) if is_numeric else model.predict_proba(X)


def _as_kind(y: NDArray, is_numeric: bool) -> NDArray:
    """Classes as text with None for gaps, so that no number can be taken for a class or the reverse."""
    if is_numeric:
        return y
    return np.array([None if np.isnan(value) else f"class{int(value)}" for value in y], dtype=object)


def _beside(X: Any, tasks: NDArray, n_tasks: int, scale: float) -> Any:
    """Features and, scaled, the indicators of tasks."""
    indicators = sparse.csr_matrix((np.full(len(tasks), scale), (np.arange(len(tasks)), tasks)), (len(tasks), n_tasks))
    if sparse.issparse(X):
        return sparse.csr_matrix(sparse.hstack([X, indicators]))
    return np.hstack([X, indicators.toarray()])
