"""The tables that are printed and written: a line per method on a problem, a line per goal."""

from __future__ import annotations

from benchmarks.goals import GOALS, seconds, verdict

HEADER = (
    f"{'problem':21s} {'method':28s} {'seconds':>9s} {'/ ours':>8s} {'x unit':>8s} "
    f"{'objective':>10s} {'test error':>10s}  verdict"
)


def title(record) -> str:
    """Size, units and memory of a problem."""
    units = ", ".join(f"{name} = {1e3 * value:.3g} ms" for name, value in record["units"].items())
    memory = "" if record.get("memory") is None else f", peak memory {record['memory'] / record['bytes_X']:.2f} X"
    growth = "" if record.get("growth") is None else f", {record['growth']:.1f} times the time at a tenth of the tasks"
    when = f"{record['clock']}, load {record['load']:.1f}, {record['date']}, commit {record['commit']}"
    return f"{record['name']}: {record['size']}; {units}{memory}{growth}; {when}"


def table(record):
    """Every method on one problem; those that cannot do it, by reason."""
    yield title(record)
    yield HEADER
    left_out: dict[str, list[str]] = {}
    for method, kept in record["methods"].items():
        if kept["note"].startswith("left out"):
            left_out.setdefault(kept["note"], []).append(method)
        else:
            yield line(record, method)
    for reason, methods in left_out.items():
        yield f"{'':21s} {reason}: {', '.join(methods)}"


def line(record, method: str) -> str:
    """One method on one problem."""
    peer = record["methods"][method]
    start = f"{record['name']:21s} {method:28s}"
    if peer.get("seconds") is None:
        return f"{start} {peer['note']}"
    unit = record["units"].get("tG", record["units"]["tP"])
    return (
        f"{start} {peer['seconds']:9.4f} {peer['seconds'] / seconds(record):8.2f} {peer['seconds'] / unit:8.1f} "
        f"{peer['excess']:+10.1e} {peer['test_error']:10.4f}  {peer['note'] or verdict(record, method)}"
    )


def summary(records: dict):
    """Every goal with its figure and bound, then the peers of every problem; full sizes only."""
    if any(record["quick"] for record in records.values()):
        yield "The goals are for the full sizes."
        return
    if any(record["clock"] != "wall time" for record in records.values()):
        yield "The goals are for wall time on two quiet cores, what follows is partly processor time."
    yield f"{'problem':21s} {'figure':36s} {'measured':>10s} {'bound':>9s}"
    for goal in GOALS:
        if goal.problem in records:
            value = goal.figure(records[goal.problem])
            found = f"{'-' if value is None else format(value, '.3g'):>10s} {'<=' if goal.at_most else '>='}"
            said = "not measured" if value is None else "reached" if goal.reached(value) else "NOT REACHED"
            yield f"{goal.problem:21s} {goal.what:36s} {found}{goal.bound:7.3g}  {said}"
    for name, record in records.items():
        yield f"{name:21s} {peers_in_short(record)}"


def peers_in_short(record) -> str:
    """How many peers are beaten, and which are not; the convex problem apart."""
    verdicts = {method: verdict(record, method) for method in record["methods"]}
    said = {method: what for method, what in verdicts.items() if what}
    ahead = [f"{method} ({what})" for method, what in said.items() if what not in ("beaten", "cut off")]
    convex = [seconds(record, method) for method in ("trace-norm FISTA", "skmtl, rank unlimited")]
    ratio = "" if None in convex else f"; at unlimited rank FISTA takes {convex[0] / convex[1]:.2g} times ours"
    count = f"{len(said) - len(ahead)} of {len(said)} peers slower and no better"
    return f"{count}{'; not: ' if ahead else ''}{', '.join(ahead)}{ratio}"


def markdown(results: dict) -> str:
    """The results file for readers."""
    lines = [
        "# Measured",
        "",
        "Written by `python -m benchmarks.run --out benchmarks/results.json`; how to read it: "
        "`python -m benchmarks.run --help`. Every problem is one run, with its date and the load of the machine.",
        "",
        *(f"- {key}: {value}" for key, value in results["machine"].items()),
        "",
        "```",
        *summary(results["problems"]),
    ]
    for record in results["problems"].values():
        lines += ["", *table(record)]
    return "\n".join(line.rstrip() for line in [*lines, "```", ""])
