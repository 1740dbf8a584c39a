"""One table of ratios, measured in one run: ``python -m benchmarks.run [NAME ...]``.

How to read it. Every line is one method on one problem: its best time over the repeats; that time in times of
skmtl's ("/ ours") and of a unit ("x unit": one ``X.T @ X``, for CSR one ``X @ (d x k)``); "objective", by how much
of itself F lies above the lowest F that is known, with the trace norm of the coefficients in place of the factors'
ridge; and the error on fresh rows, root mean squared or share of wrong classes. Methods without a limit on the
rank (skmtl with the rank unlimited, trace-norm FISTA) are compared with the optimum of the convex problem, which
is lower than any at rank k, and mostly worse on fresh rows; "FISTA, to skmtl's objective" only passes the
objective of the rank-limited fit on its way there.

The verdict says how a peer stands: "beaten" (slower, and no better in objective or, where it minimises something
else, in test error), "slower, better", "faster, worse" (in test error), "FASTER". Baselines that minimise the same
objective stop within 1e-6 of skmtl's; "cut off" is what the budget ended. The goals follow, with their bounds.

On a machine in use take ``--cpu``, processor time of one thread: comparable between methods, but milder on what is
bound by the BLAS than the wall time on two cores for which the goals are set.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import json
import os
import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import numpy as np

from benchmarks import clock, goals, measure, ours, peers, problems, report
from benchmarks.baselines import fista

HERE = Path(__file__).parent
PACKAGES = ("numpy", "scipy", "scikit-learn", "skglm", "himalaya")


def measured(problem, names, repeats: int, budget: float, quick: bool) -> dict:
    """The record of a problem: sizes, units, and for every method time, objective and test error."""
    n, d = problem.X.shape
    record = {
        "name": problem.name,
        "size": f"n={n} d={d} T={problem.n_tasks} k={problem.n_components}",
        "quick": quick,
        "clock": "wall time" if clock.patience == 1.0 else "processor time of one thread",
        "load": os.getloadavg()[0],
        "date": f"{datetime.datetime.now():%F %R}",
        "commit": commit(),
        "bytes_X": measure.n_bytes(problem.X),
    }
    before = measure.units(problem, repeats)
    own = measure.best_of(ours.low_rank, problem, repeats, budget)
    # Units before and after: what disturbs the machine for a moment is not to flatter the ratio.
    after = measure.units(problem, repeats)
    record["units"] = {name: min(before[name], after[name]) for name in before}
    if own.coef is None:
        raise ValueError(f"skmtl: {own.note}")
    record["methods"] = _all_methods(problem, names, own, repeats, budget)
    if problem.name in goals.MEMORY:
        record["memory"] = measure.peak_memory(problem.name, quick)
    if problem.name in goals.GROWTH:
        smaller = problems.make(problem.name, quick, n=n // 10, n_tasks=problem.n_tasks // 10)
        record["growth"] = own.seconds / measure.best_of(ours.low_rank, smaller, repeats, budget).seconds
    return record


def _all_methods(problem, names, own, repeats, budget) -> dict:
    """What is kept of every method, those of skmtl first; they set the objectives at which the others stop."""
    kept = {"skmtl": _scored(problem, "skmtl", own, budget)}
    problem.target = kept["skmtl"]["objective"]
    for name in names:
        method = peers.METHODS[name]
        cannot = method.cannot(problem)
        if name == "skmtl":
            continue
        if cannot:
            kept[name] = {"minimises": method.minimises, "note": f"left out: {cannot}"}
            continue
        print(f"{problem.name}: {name} ...", file=sys.stderr, flush=True)
        method.prepare()
        if method.minimises == "convex" and problem.convex_target is None and not name.startswith("skmtl"):
            # Two methods that share no code; the lower is the optimum, as far as it is known.
            best = _objective(problem, measure.best_of(fista.to_standstill, problem, 1, budget))
            problem.convex_target = min(best, kept.get("skmtl, rank unlimited", {}).get("objective", np.inf))
        kept[name] = _scored(problem, name, measure.best_of(method.run, problem, repeats, budget), budget)
    reference = _objective(problem, measure.best_of(ours.reference, problem, 1, budget))
    _compare_objectives(kept, {"same": reference, "convex": problem.convex_target or np.inf})
    return kept


def _objective(problem, run) -> float:
    return np.inf if run.coef is None else problem.objective(run.coef, run.intercept)


def _scored(problem, name, run, budget) -> dict:
    """What is kept of a run."""
    kept = {"minimises": peers.METHODS[name].minimises, "note": run.note}
    if run.coef is None:
        return kept
    if peers.METHODS[name].watches_budget and run.seconds > budget:
        kept["note"] = f"cut off after {run.seconds:.0f} s"  # and hands back what it has
    kept.update(seconds=run.seconds, n_runs=run.n_runs, objective=_objective(problem, run))
    return {**kept, "test_error": problem.test_error(run.coef, run.intercept)}


def _compare_objectives(methods, lowest) -> None:
    """Sets "excess": by how much of itself an objective lies above the lowest of its kind."""
    found = {name: kept for name, kept in methods.items() if "objective" in kept}
    for kept in found.values():
        kind = kept["minimises"]
        if kind in lowest:
            lowest[kind] = min(lowest[kind], kept["objective"])
    for kept in found.values():
        kept["excess"] = kept["objective"] / lowest.get(kept["minimises"], lowest["same"]) - 1.0


def commit() -> str:
    """Of the code that is measured, where it is a clone."""
    done = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, cwd=HERE)
    return done.stdout.strip() or "unknown"


def machine() -> dict:
    """What the figures depend on beside the code."""
    model = "unknown"
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), model)
    versions = {}
    for package in PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[package] = metadata.version(package)
    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    return {
        "machine": f"{model}, {os.cpu_count()} cores, {platform.system()} {platform.machine()}",
        "versions": ", ".join(f"{name} {version}" for name, version in versions.items()),
        "Python": platform.python_version(),
        "BLAS": f"{blas['name']} {blas['version']}",
    }


def parsed(arguments):
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.run",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    names = ", ".join(problems.NAMES).replace("%", "%%")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {names}; default: all")
    parser.add_argument("--quick", action="store_true", help="small sizes; the goals are for the full ones")
    parser.add_argument("--repeats", type=int, default=3, help="the best of so many runs counts (default 3)")
    parser.add_argument("--budget", type=float, default=10.0, help="seconds for all runs of a method (default 10)")
    parser.add_argument("--cpu", action="store_true", help="processor time of one thread, for a machine in use")
    parser.add_argument("--data", metavar="DIR", help="the real sets that DIR/load.py offers, instead or by NAME")
    parser.add_argument("--only", nargs="+", metavar="METHOD", help=f"of: {'; '.join(peers.METHODS)}")
    parser.add_argument("--out", metavar="FILE.json", help="add to a results file, and write FILE.md from all of it")
    options = parser.parse_args(arguments)
    offered = problems.real_names(options.data) if options.data else problems.NAMES
    for given, known, what in (
        (options.names, offered, "problems"),
        (options.only or [], peers.METHODS, "methods"),
    ):
        unknown = sorted(set(given) - set(known))
        if unknown:
            parser.error(f"unknown {what} {unknown}; the {what} are {', '.join(known)}")
    options.names = options.names or list(offered)
    return options


def main(arguments=None) -> None:
    options = parsed(arguments)
    if options.cpu:
        clock.count_processor_time()
    methods = [name for name in peers.METHODS if options.only is None or name in {"skmtl", *options.only}]
    results = {"machine": machine(), "problems": {}}
    if options.out and Path(options.out).exists():
        results["problems"] = json.loads(Path(options.out).read_text(encoding="utf-8"))["problems"]
    done = []
    for name in options.names:
        try:
            problem = problems.real(options.data, name) if options.data else problems.make(name, quick=options.quick)
            record = measured(problem, methods, options.repeats, options.budget, options.quick)
        except ValueError as reason:
            print(f"\n{name}: left out: {reason}")
            continue
        results["problems"][name] = record
        done.append(name)
        print("", *report.table(record), sep="\n", flush=True)
        if options.out:
            Path(options.out).write_text(json.dumps(results, indent=1), encoding="utf-8")
            Path(options.out).with_suffix(".md").write_text(report.markdown(results), encoding="utf-8")
    print("", *report.summary({name: results["problems"][name] for name in done}), sep="\n")


if __name__ == "__main__":
    main()
