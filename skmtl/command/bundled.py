"""What the command shows without a file: penguins and pupils, the data that come with skmtl."""

from __future__ import annotations

import argparse
import sys

from skmtl.datasets import load_penguins, load_star
from skmtl.estimators import LowRankMultiTask, LowRankRegressor
from skmtl.transfer import transfer_curve, transfer_report

#: Labels per test of the pupils, of about 6,000 each.
STAR_LABELS = (50, 200, 800)


def show_bundled(options: argparse.Namespace) -> None:
    """Print a report on the penguins, and one on few labels of the pupils' tests; ``options``: cv, seed, jobs."""
    how = {
        "cv": options.cv,
        "random_state": options.seed,
        "n_jobs": options.jobs,
        "verbose": int(sys.stderr.isatty()),
    }
    X, y = load_penguins()
    print(f"Palmer penguins ({X.shape[0]} rows, {X.shape[1]} features)\n", flush=True)
    joint = LowRankMultiTask()
    print(transfer_report(joint, X, y, **how), flush=True)

    X, y = load_star()
    print(f"\n\nTennessee STAR, test scores ({X.shape[0]} rows, {X.shape[1]} features), few labels each\n", flush=True)
    curve = transfer_curve(LowRankRegressor(), X, y, n_labels=STAR_LABELS, **how)
    print(curve)
    print(f"\nWith {STAR_LABELS[0]} labels of each test:\n\n{curve.reports[STAR_LABELS[0]]}")

    X, y = load_penguins()
    parts = LowRankMultiTask(n_components=3).fit(X, y).split()
    print("\n\nA joint model comes apart into ordinary scikit-learn predictors:")
    print(">>> LowRankMultiTask(n_components=3).fit(*load_penguins()).split()")
    print("{" + ",\n ".join(f"{task!r}: {part!r}" for task, part in parts.items()) + "}")
