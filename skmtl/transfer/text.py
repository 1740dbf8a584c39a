"""A report in words: aligned plain text, HTML, and a sentence of advice."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from html import escape
from typing import Any

import numpy as np

#: Tasks named in a sentence before it abbreviates.
_NAMED = 6
_EXPLAINED = {
    "R^2": "R^2 of numbers, the share of their variance that is explained",
    "accuracy": "accuracy of classes",
}


def advice(tasks: Sequence[Any], totals: Any) -> str:
    """What the verdicts of all tasks come to."""
    helped = [one.task for one in tasks if one.verdict == "helps"]
    hurt = [one.task for one in tasks if one.verdict == "hurts"]
    rest = len(tasks) - len(helped) - len(hurt)
    if len(tasks) == 1:
        said = {1: "Learning jointly helps.", -1: "Learning jointly hurts."}
        return said.get(len(helped) - len(hurt), "There is one task only: nothing to learn jointly.")
    if helped and hurt:
        sentence = f"Learn {_these(helped)} jointly; keep {_these(hurt)} apart."
    elif helped and rest:
        sentence = f"Learn all tasks jointly: it helps {_these(helped)}, and clearly hurts none."
    elif helped:
        sentence = "Learn all tasks jointly: it helps every one."
    elif hurt and rest:
        sentence = f"Keep {_these(hurt)} apart; for the other tasks learning jointly makes no clear difference."
    elif hurt:
        sentence = "Learn every task on its own: learning jointly, as it was set here, hurts them all."
    elif abs(totals.fine_gain) > 2 * totals.fine_gain_se:
        direction = "gain" if totals.fine_gain > 0 else "lose"
        sentence = (
            f"No single task is clear, but together they {direction}: {_gain(totals.fine_gain, totals.fine_gain_se)} "
            f"on average. Learn {'all tasks jointly' if totals.fine_gain > 0 else 'every task on its own'}."
        )
    else:
        return "Learning jointly makes no clear difference to any task: with these data, either will do."
    if rest and helped and hurt:
        sentence += f" For {_these([one.task for one in tasks if one.task not in {*helped, *hurt}])} it makes no clear "
        sentence += "difference."
    if totals.over_pooled < -2 * totals.over_pooled_se:
        sentence += (
            f" One pooled model for all tasks does better still (mean score {totals.pooled:.3f}, "
            f"jointly {totals.joint:.3f})."
        )
    return sentence


def _these(names: Sequence[Hashable]) -> str:
    """`a`, `a and b`, or `a, b, ... and 12 more`."""
    shown = [str(name) for name in names[:_NAMED]] if len(names) > _NAMED + 1 else [str(name) for name in names]
    if len(shown) < len(names):
        return f"{', '.join(shown)} and {len(names) - len(shown)} more"
    return " and ".join(filter(None, [", ".join(shown[:-1]), shown[-1]]))


def table(report: Any, max_tasks: int | None) -> tuple[list[str], list[list[str]], int]:
    """Heads, rows of cells (tasks, then their mean), and after how many rows tasks were left out (-1: nowhere)."""
    tasks, cut = _shown(report.tasks, max_tasks)
    has_pooled = "pooled" in report.estimators
    finer = any(_is_finer(one) for one in report.tasks)
    heads = ["task", "kind", "labels", "independent", *(["pooled"] if has_pooled else []), "joint", "gain"]
    heads += [*(["of probabilities"] if finer else []), "verdict"]
    rows = []
    for one in tasks:
        row = [str(one.task), one.kind, f"{one.n_train:.0f}", _number(one.independent)]
        row += [*([_number(one.pooled)] if has_pooled else []), _number(one.joint), _gain(one.gain, one.gain_se)]
        row += [*([_gain(one.fine_gain, one.fine_gain_se) if _is_finer(one) else ""] if finer else []), one.verdict]
        rows.append(row)
    totals = report.totals
    row = ["mean", "", "", _number(totals.independent), *([_number(totals.pooled)] if has_pooled else [])]
    row += [_number(totals.joint), _gain(totals.gain, totals.gain_se), *([""] if finer else []), ""]
    return heads, [*rows, row], cut


def as_text(report: Any, max_tasks: int | None) -> str:
    """Aligned columns, totals, advice and what the columns mean; ASCII but for the names of tasks."""
    heads, rows, cut = table(report, max_tasks)
    left = {0, 1, len(heads) - 1}
    cells = [heads, *rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [
        "  ".join(
            cell.ljust(width) if j in left else cell.rjust(width)
            for j, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in cells
    ]
    if cut >= 0:
        lines.insert(cut + 1, f"... {len(report.tasks) - len(rows) + 1} tasks in between ...")
    return "\n".join([*lines, "", *_counts(report), report.advice, "", *_legend(report)])


def as_html(report: Any) -> str:
    """The same as a table of HTML."""
    heads, rows, _ = table(report, None)
    colours = {"helps": "#0072b2", "hurts": "#d55e00"}
    body = []
    for row in rows:
        style = ' style="font-weight:bold"' if row is rows[-1] else ""
        cells = "".join(
            f'<td style="text-align:{"left" if j in (0, 1, len(row) - 1) else "right"};'
            f'color:{colours.get(cell, "inherit") if j == len(row) - 1 else "inherit"}">'
            f"{escape(cell.replace('+-', '±').replace('R^2', 'R²'))}</td>"
            for j, cell in enumerate(row)
        )
        body.append(f"<tr{style}>{cells}</tr>")
    head = "".join(f"<th>{escape(one)}</th>" for one in heads)
    legend = "<br>".join(escape(line.replace("R^2", "R²").replace("+-", "±")) for line in _legend(report))
    return (
        f'<div><p><b>{escape(report.advice)}</b><br>{escape(" ".join(_counts(report)))}</p><table border="0">'
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody></table><p><small>{legend}</small></p></div>"
    )


def _shown(tasks: Sequence[Any], max_tasks: int | None) -> tuple[list, int]:
    if max_tasks is None or len(tasks) <= max_tasks:
        return list(tasks), -1
    ordered = sorted(tasks, key=lambda one: -one.fine_gain if np.isfinite(one.fine_gain) else np.inf)
    top = (max_tasks + 1) // 2
    return [*ordered[:top], *ordered[len(ordered) - (max_tasks - top) :]], top


def _counts(report: Any) -> list[str]:
    """How many verdicts of each kind there are, and what a lack of one can mean."""
    n = {verdict: sum(one.verdict == verdict for one in report.tasks) for verdict in ("helps", "hurts")}
    rest = len(report.tasks) - n["helps"] - n["hurts"]
    counts = (
        f"Learning jointly helps {n['helps']}, hurts {n['hurts']}, makes no clear difference to {rest} of the tasks."
    )
    unclear = np.array([one.detectable for one in report.tasks if one.verdict not in n])
    unclear = unclear[unclear > 0]
    if not len(unclear):
        return [counts]
    power = f"Where it makes none, a gain below about {np.median(unclear):.3f} could not have been told from none."
    return [counts, power]


def _legend(report: Any) -> list[str]:
    used = list(dict.fromkeys(report.scoring.values()))
    own = [name for name in used if name not in _EXPLAINED]
    scores = [text for name, text in _EXPLAINED.items() if name in used]
    scores += [f"{', '.join(own)}: mean of the folds"] if own else []
    lines = [f"scores       on held-out rows, {report.n_folds} folds: {'; '.join(scores)}"]
    lines.append("labels       of the task in the training part of a fold")
    for task, folds in list(report.left_out.items())[:_NAMED]:
        lacking = " / ".join(dict.fromkeys(folds.values()))
        which = "1 fold" if len(folds) == 1 else f"{len(folds)} folds"
        lines.append(f"left out     {task}, of {which} whose training part holds {lacking} of it")
    if len(report.left_out) > _NAMED:
        lines.append(f"             and {len(report.left_out) - _NAMED} more tasks")
    lines.append("independent  the same kind of model (tuned, if it is skmtl's), nothing shared between tasks")
    if "pooled" in report.estimators:
        lines.append("pooled       one model for all tasks, as if they were the same")
    lines.append("gain         joint - independent, +- its standard error (Nadeau & Bengio 2003)")
    if any(_is_finer(one) for one in report.tasks):
        lines.append("of probabilities  gain in the explained share of squared error; verdicts on classes rest on it")
    lines.append(
        "verdict      its sign is wrong with a probability below 5 %, given the gains of all tasks (Stephens 2017)"
    )
    return lines


def _is_finer(one: Any) -> bool:
    return one.fine_gain != one.gain and not (np.isnan(one.fine_gain) and np.isnan(one.gain))


def _number(value: float) -> str:
    return "-" if np.isnan(value) else f"{value:.3f}"


def _gain(gain: float, se: float) -> str:
    if np.isnan(gain):
        return "-"
    return f"{gain:+.3f}" + ("" if np.isnan(se) else f" +- {se:.3f}")
