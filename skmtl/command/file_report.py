"""The report on a file: read, made ready, compared, printed, drawn."""

from __future__ import annotations

import argparse
import base64
import io
import sys
import warnings
from html import escape
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from sklearn.pipeline import make_pipeline

from skmtl.command.numbers import is_numeric
from skmtl.command.preparation import Preparation, prepare
from skmtl.command.reading import BadData, Format, as_labels, read_file, read_target, require_columns
from skmtl.estimators import LowRankMultiTaskCV
from skmtl.targets import TaskTargets
from skmtl.transfer import TransferReport, transfer_report


def report_file(options: argparse.Namespace) -> None:
    """Print the transfer report of ``options.data``, and write the files that were asked for.

    Raises
    ------
    BadData
    """
    how = Format(options.sep, options.decimal, options.encoding, tuple(options.missing), options.skip_rows)
    frame, decimal = read_file(options.data, how)
    targets = options.targets or [options.target]
    require_columns(frame, targets, "--targets" if options.targets else "--target")
    if options.task_col:
        require_columns(frame, [options.task_col], "--task-col")
    require_columns(frame, options.drop, "--drop")
    beside = [*targets, *options.drop, *([options.task_col] if options.task_col else [])]
    print(f"{options.data}: {len(frame)} rows, {len(frame.columns)} columns")
    task = _long_form if options.task_col else _named
    frame, y, kinds = task(frame, options, decimal)
    features, preparation = prepare(frame.drop(columns=beside), decimal)
    print(preparation.described())
    _warn(preparation.remarks)
    if options.task_col:
        features.insert(0, options.task_col, frame[options.task_col])
    sys.stdout.flush()
    # A category that only held-out rows have is what the encoder is set up for.
    warnings.filterwarnings("ignore", message="Found unknown categories")
    report = transfer_report(
        _estimator(preparation, options.task_col, kinds),
        features,
        y,
        cv=options.cv,
        random_state=options.seed,
        n_jobs=options.jobs,
        verbose=int(sys.stderr.isatty()),
    )
    print(f"\n{report.to_text()}", flush=True)
    _write(report, options, features.shape[1])


def _named(frame: Any, options: argparse.Namespace, decimal: str) -> tuple[Any, TaskTargets, dict]:
    """The frame, targets and kinds where every target is a column."""
    columns, kinds = {}, {}
    for name in options.targets:
        columns[name], kind, remarks = read_target(frame[name], name, options.kinds.get(name), decimal)
        if kind is not None:
            kinds[name] = kind
        _warn(remarks)
        _require_labels(columns[name], name, options.cv)
    return frame, TaskTargets(columns), kinds


def _warn(remarks: list[str]) -> None:
    for remark in remarks:
        print(f"warning: {remark}", file=sys.stderr)


def _require_labels(column: Any, name: str, n_folds: int) -> None:
    n_labels = int(column.notna().sum())
    if n_labels < n_folds:
        raise BadData(f"target {name!r} has {n_labels} values, fewer than {n_folds} folds; leave it out, or lower --cv")


def _long_form(frame: Any, options: argparse.Namespace, decimal: str) -> tuple[Any, Any, dict]:
    """The rows that can be used, their targets, and the kind of every task."""
    name, task_col = options.target, options.task_col
    column, kind, remarks = read_target(frame[name], name, options.kinds.get(name), decimal)
    _warn(remarks)
    labels = frame[task_col] if is_numeric(frame[task_col]) else as_labels(frame[task_col])
    if not labels.notna().any():
        raise BadData(f"--task-col: column {task_col!r} is empty")
    counts = column.groupby(labels).agg(["count", "nunique"])
    usable = counts.index[(counts["count"] >= options.cv) & (counts["nunique"] > 1)]
    if len(counts) > 0.5 * len(frame):
        raise BadData(f"--task-col: {task_col!r} has {len(counts)} distinct values in {len(frame)} rows; is it an ID?")
    if len(usable) < 2:
        raise BadData(
            f"--task-col: {len(usable)} of the {len(counts)} tasks in {task_col!r} have {options.cv} or more different "
            "values to learn from; two are needed"
        )
    if len(usable) < len(counts):
        few = (
            f"{len(counts) - len(usable)} of {len(counts)} tasks left out: fewer than {options.cv} values, or all alike"
        )
        _warn([few])
    kept = labels.isin(usable) & column.notna()
    kinds = dict.fromkeys(usable.tolist(), kind) if kind is not None else {}
    frame = frame.assign(**{task_col: labels})
    return frame[kept].reset_index(drop=True), column[kept].reset_index(drop=True), kinds


def _estimator(preparation: Preparation, task_col: str | None, kinds: dict) -> Any:
    model = LowRankMultiTaskCV(kinds=kinds or None, task_col=task_col)
    return make_pipeline(preparation.transformer(keep=task_col), model)


def _write(report: TransferReport, options: argparse.Namespace, n_features: int) -> None:
    """The picture and the page, where they were asked for."""
    for path, write in ((options.plot, _write_picture), (options.html, _write_page)):
        if path is not None:
            try:
                write(report, path, options.data.name)
            except OSError as error:
                raise BadData(f"{path} cannot be written: {error.strerror or error}") from None
            print(f"written: {path}")


def _write_picture(report: TransferReport, path: Path, title: str) -> None:
    path.write_bytes(_picture(report, path.suffix[1:].lower()))


def _picture(report: TransferReport, file_format: str) -> bytes:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    n_tasks = len(report.tasks)
    figure = Figure(figsize=(7.0, 1.7 + n_tasks * (0.3 if n_tasks <= 40 else 0.13)), layout="constrained")
    FigureCanvasAgg(figure)  # no window, whatever the backend of the user's session is
    report.plot(figure.add_subplot())
    buffer = io.BytesIO()
    figure.savefig(buffer, format=file_format, dpi=150)
    return buffer.getvalue()


def _write_page(report: TransferReport, path: Path, title: str) -> None:
    picture = ""
    if find_spec("matplotlib") is not None:
        encoded = base64.b64encode(_picture(report, "png")).decode("ascii")
        picture = f'<p><img alt="gain of every task" style="max-width:100%" src="data:image/png;base64,{encoded}"></p>'
    head = f'<meta charset="utf-8"><title>{escape(title)}: joint learning</title>'
    style = "<style>body{font-family:sans-serif;margin:2em}td,th{padding:2px 8px}</style>"
    path.write_text(
        f"<!doctype html><html><head>{head}{style}</head><body><h1>{escape(title)}</h1>{report._repr_html_()}"
        f"{picture}</body></html>\n",
        encoding="utf-8",
    )
