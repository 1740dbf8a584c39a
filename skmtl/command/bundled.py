"""What the command shows without a file: penguins and pupils, the data that come with skmtl."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from skmtl.datasets import load_penguins, load_star
from skmtl.estimators import LowRankMultiTask, LowRankMultiTaskCV, LowRankRegressorCV
from skmtl.transfer import transfer_curve, transfer_report

#: Labels per test of the pupils, of about 6,000 each.
STAR_LABELS = 50
#: Few candidates and inner folds, so that the show is short.
STAR_CANDIDATES: dict[str, Any] = {"alpha_own": None, "cv": 3}
PENGUIN_CANDIDATES: dict[str, Any] = {
    "n_components": [1, 3],
    "alpha": [0.001, 0.01, 0.1],
    "alpha_own": [None, 0.001, 0.01],
    "alpha_common": None,
    "cv": 3,
}


def show_bundled(options: argparse.Namespace) -> None:
    """Print a report on the penguins, and one on few labels of the pupils' tests; ``options``: cv, seed, jobs."""
    how = {
        "cv": options.cv,
        "random_state": options.seed,
        "n_jobs": options.jobs,
        "verbose": int(sys.stderr.isatty()),
    }
    X, y = load_star()
    print(
        f"Tennessee STAR: test scores of pupils, {X.shape[1]} features, {STAR_LABELS} labels of each test\n", flush=True
    )
    curve = transfer_curve(LowRankRegressorCV(**STAR_CANDIDATES), X, y, n_labels=[STAR_LABELS], **how)
    print(curve.reports[STAR_LABELS], flush=True)

    X, y = load_penguins()
    print(f"\n\nPalmer penguins: three kinds of tasks, {X.shape[1]} features\n", flush=True)
    print(transfer_report(LowRankMultiTaskCV(**PENGUIN_CANDIDATES), X, y, **how), flush=True)

    X, y = load_penguins()
    parts = LowRankMultiTask(n_components=3).fit(X, y).split()
    print("\n\nA joint model comes apart into ordinary scikit-learn predictors:")
    print(">>> LowRankMultiTask(n_components=3).fit(*load_penguins()).split()")
    print("{" + ",\n ".join(f"{task!r}: {part!r}" for task, part in parts.items()) + "}")
