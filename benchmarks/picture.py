"""How the time grows with rows, features and tasks: ``python -m benchmarks.picture`` (about five minutes).

Every curve is one method; every panel changes one size of a base problem by factors of two or four. A curve ends
where the method was cut off; the dotted line has slope one. The figures are kept beside the picture, in a JSON file
of the same name, from which ``--redraw`` draws again.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

from benchmarks import clock, measure, problems
from benchmarks.peers import METHODS

#: What is drawn, with colours that are told apart without seeing red and green.
CURVES = {
    "skmtl": "#0072b2",
    "joint L-BFGS": "#d55e00",
    "AltGDmin": "#009e73",
    "sklearn, one per task": "#999999",
}
AXES = {"n": "rows n", "d": "features d", "n_tasks": "tasks T"}


@dataclass(frozen=True)
class Base:
    """A problem by name, its sizes, and the sizes that each panel puts in their place."""

    name: str
    title: str
    sizes: dict
    panels: dict

    def fixed(self, axis: str) -> str:
        """The sizes that a panel leaves alone."""
        shown = {"n": "n = {n}", "d": "d = {d}", "n_tasks": "T = {n_tasks}", "k": "k = {k}"}
        if axis == "n_tasks" and "own-rows" in self.name:
            shown["n"] = f"{self.sizes['n'] // self.sizes['n_tasks']} rows per task"
        return ", ".join(text.format(**self.sizes) for size, text in shown.items() if size != axis)

    def problem(self, axis: str, value: int):
        sizes = {**self.sizes, axis: value}
        if axis == "n_tasks" and "own-rows" in self.name:
            sizes["n"] = value * self.sizes["n"] // self.sizes["n_tasks"]  # as many rows per task
        return problems.make(self.name, **sizes)


BASES = (
    Base(
        "gaps-30%",
        "numeric targets, shared rows, 30 % seen",
        {"n": 4000, "d": 100, "n_tasks": 50, "k": 5},
        {"n": [1000, 4000, 16000, 64000], "d": [25, 50, 100, 200, 400, 800], "n_tasks": [12, 25, 50, 100, 200, 400]},
    ),
    Base(
        "logistic-own-rows",
        "two classes, own rows",
        {"n": 5000, "d": 50, "n_tasks": 50, "k": 5},
        {"n": [1250, 5000, 20000, 80000], "d": [12, 25, 50, 100, 200, 400], "n_tasks": [12, 25, 50, 100, 200, 400]},
    ),
)


def measured(repeats: int, budget: float) -> list[dict]:
    """One record per base, axis, size and method; a method that was cut off is not tried at larger sizes."""
    found = []
    for base in BASES:
        for axis, values in base.panels.items():
            methods = list(CURVES)
            for value in values:
                done = _point(base.problem(axis, value), methods, repeats, budget)
                methods = [method for method in methods if method in done]
                where = {"base": base.name, "axis": axis, "value": value}
                found += [{**where, "method": method, "seconds": seconds} for method, seconds in done.items()]
                print(*where.values(), *(f"{m} {s:.4f}" for m, s in done.items()), sep="  ", flush=True)
    return found


def _point(problem, methods, repeats, budget) -> dict:
    """Seconds of every method that was done within the budget, skmtl first."""
    done = {}
    for method in methods:
        run = measure.best_of(METHODS[method].run, problem, repeats, budget)
        if run.coef is not None and run.seconds <= budget:
            done[method] = run.seconds
            if method == "skmtl":
                problem.target = problem.objective(run.coef, run.intercept)
    return done


def draw(found: list[dict], unit: str, path) -> None:
    """Log-log panels, a row per base and a column per axis."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(len(BASES), len(AXES), figsize=(10, 6), sharey="row", layout="constrained")
    for base, row in zip(BASES, panels):
        for (axis, label), panel in zip(AXES.items(), row):
            here = [one for one in found if (one["base"], one["axis"]) == (base.name, axis)]
            for method, colour in CURVES.items():
                points = [(one["value"], one["seconds"]) for one in here if one["method"] == method]
                if points:
                    panel.loglog(*zip(*points), "o-", color=colour, markersize=4, label=method)
            panel.set_xlabel(f"{label}\n({base.fixed(axis)})", fontsize=9)
            panel.grid(which="major", color="#dddddd")
            proportional(panel, base.panels[axis])
            # Last, because every curve on a logarithmic axis sets its ticks anew.
            panel.set_xticks(base.panels[axis], [f"{value}" for value in base.panels[axis]], fontsize=8)
            panel.minorticks_off()
        row[0].set_ylabel(unit, fontsize=8)
        row[0].set_title(base.title, loc="left", fontsize=10)
    shown = panels[0][0].get_legend_handles_labels()
    figure.legend(*shown, loc="outside upper center", ncols=len(CURVES), frameon=False)
    figure.savefig(path, dpi=90)


def proportional(panel, values) -> None:
    """A dotted line of slope one below the curves, to read growth against."""
    low = min(min(line.get_ydata()) for line in panel.get_lines())
    panel.loglog([values[0], values[-1]], [0.5 * low, 0.5 * low * values[-1] / values[0]], ":", color="black")


def main(arguments=None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.picture", description=__doc__.splitlines()[0])
    parser.add_argument("--out", metavar="FILE.png", default=str(Path(__file__).parent / "growth.png"))
    parser.add_argument("--repeats", type=int, default=3, help="the best of so many runs counts (default 3)")
    parser.add_argument("--budget", type=float, default=3.0, help="seconds for all runs of a point (default 3)")
    parser.add_argument("--cpu", action="store_true", help="processor time of one thread, for a machine in use")
    parser.add_argument("--redraw", action="store_true", help="from the figures that are there")
    options = parser.parse_args(arguments)
    figures = Path(options.out).with_suffix(".json")
    if options.cpu:
        clock.count_processor_time()
    if not options.redraw:
        unit = "processor seconds, one thread" if options.cpu else "seconds"
        kept = {"unit": unit, "points": measured(options.repeats, options.budget)}
        figures.write_text(json.dumps(kept, indent=0), encoding="utf-8")
    kept = json.loads(figures.read_text(encoding="utf-8"))
    draw(kept["points"], kept["unit"], options.out)


if __name__ == "__main__":
    main()
