"""What the shell command is asked, checked before any work."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from skmtl.tasks import KINDS

DESCRIPTION = """\
Does learning several targets together help, and which? Every target is learned on its own, jointly with the
others, and (where they are of one kind) by one pooled model, all tuned alike, and scored on the same held-out rows.
Without DATA, the data that come with skmtl are shown."""

EXAMPLES = """\
examples:
  python -m skmtl
  python -m skmtl pupils.csv --targets reading maths passed --kinds passed=binary --plot gains.png
  python -m skmtl export.csv --sep ";" --decimal , --encoding latin-1 --missing ? -999 --targets price rent
  python -m skmtl sales.parquet --task-col store --target revenue --drop receipt_id --html report.html

exit status: 0 when the report was made, 2 for wrong arguments or data that cannot be used, 1 for anything else."""


_FORMAT = ("sep", "decimal", "encoding", "missing", "skip_rows")


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The arguments, of the shell by default; exits with status 2 where they contradict each other.

    Attributes of the result: data (Path or None), targets (list of str), task_col, target (str or None), kinds
    ({target: kind}), drop (list of str), sep, decimal, encoding (str or None), missing (list of str), skip_rows (int),
    plot, html (Path or None), cv, seed, jobs (int).
    """
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.data is None:
        for name in ("targets", "task_col", "target", "kinds", "drop", "plot", "html", *_FORMAT):
            if getattr(options, name):
                parser.error(f"--{name.replace('_', '-')} needs a file: python -m skmtl DATA.csv ...")
        return options
    if bool(options.targets) == bool(options.target or options.task_col):
        parser.error("say what to learn: either --targets A B ..., or --task-col TASK --target VALUE")
    if bool(options.target) != bool(options.task_col):
        given, other = ("--target", "--task-col") if options.target else ("--task-col", "--target")
        parser.error(f"{given} needs {other}: the first says which column holds the values, the other the tasks")
    targets = options.targets or [options.target]
    twice = [name for name in targets if targets.count(name) > 1]
    if twice:
        parser.error(f"--targets names {twice[0]!r} twice")
    if options.task_col == targets[0]:
        parser.error(f"--task-col and --target are the same column, {targets[0]!r}")
    for name in options.kinds:
        if name not in targets:
            parser.error(f"--kinds names {name!r}, which is no target; the targets are {', '.join(targets)}")
    for name in options.drop:
        if name in targets or name == options.task_col:
            parser.error(f"--drop names {name!r}, which is to be learned from or predicted; it is no feature anyway")
    if options.sep is not None and options.sep == options.decimal:
        parser.error(f"--sep and --decimal are the same, {options.sep!r}")
    is_text = options.data.suffix.lower() not in (".parquet", ".pq", ".xlsx", ".xlsm")
    for name in ("sep", "decimal", "encoding"):
        if getattr(options, name) and not is_text:
            parser.error(f"--{name} says how a text file is written, which {options.data.name} is not")
    options.kinds = dict(options.kinds)
    _check_outputs(parser, options)
    return options


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m skmtl",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "data", nargs="?", type=Path, metavar="DATA", help="a table with a header: .csv, .tsv, .xlsx, .parquet"
    )
    parser.add_argument("--targets", nargs="+", default=[], metavar="COLUMN", help="columns to predict, one task each")
    parser.add_argument("--task-col", metavar="COLUMN", help="column that says which task a row belongs to")
    parser.add_argument("--target", metavar="COLUMN", help="with --task-col: the column to predict")
    parser.add_argument(
        "--kinds",
        nargs="+",
        action=_Kinds,
        default={},
        metavar="COLUMN=KIND",
        help=f"what a target is, where its values do not show it: {', '.join(KINDS)}",
    )
    parser.add_argument("--drop", nargs="+", default=[], metavar="COLUMN", help="columns that are no features")
    _add_format(parser)
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw the gains: .png, .svg or .pdf")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write the report as a page")
    _add_number(parser, "--cv", 5, 2, 1000, "folds")
    _add_number(parser, "--seed", 0, 0, 2**32 - 1, "seed of the folds; the same seed gives the same report")
    _add_number(parser, "--jobs", 1, 1, 1024, "fits at the same time")
    return parser


def _add_format(parser: argparse.ArgumentParser) -> None:
    """How the file is written, where that cannot be found out."""
    group = parser.add_argument_group("how the file is written (found out where not given)")
    group.add_argument("--sep", type=_separator, metavar="CHAR", help="between fields: , ; | or tab")
    group.add_argument("--decimal", choices=[".", ","], help="decimal point or comma")
    group.add_argument("--encoding", metavar="NAME", help="such as latin-1, cp1252, utf-16 (default: utf-8)")
    group.add_argument(
        "--missing", nargs="+", default=[], metavar="MARK", help="what means missing, beside NA, NaN, null and nothing"
    )
    _add_number(group, "--skip-rows", 0, 0, 10**6, "lines before the header")


def _separator(text: str) -> str:
    """Type of an argument: one character."""
    character = {"tab": "\t", "\\t": "\t"}.get(text.lower(), text)
    if len(character) != 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not one character, nor the word tab")
    return character


def _add_number(parser: Any, flag: str, default: int, low: int, high: int, text: str) -> None:
    help_text = f"{text} (default: %(default)s)"
    parser.add_argument(flag, type=_integer(low, high), default=default, metavar="N", help=help_text)


def _integer(lowest: int, highest: int) -> Callable[[str], int]:
    """Type of an argument: an integer within bounds."""

    def integer(text: str) -> int:
        value = int(text) if text.strip().lstrip("+-").isdecimal() else lowest - 1
        if not lowest <= value <= highest:
            raise argparse.ArgumentTypeError(f"{text!r} is no integer from {lowest} to {highest}")
        return value

    return integer


class _Kinds(argparse.Action):
    """``a=binary b=count`` as a dict."""

    def __call__(self, parser, namespace, values, option_string=None):  # type: ignore[no-untyped-def]
        kinds = dict(getattr(namespace, self.dest))
        for text in values:
            name, _, kind = text.rpartition("=")
            if not name:
                parser.error(f"--kinds takes COLUMN=KIND, such as passed=binary; got {text!r}")
            if kind not in KINDS:
                parser.error(f"--kinds {text}: {kind!r} is no kind; a kind is one of {', '.join(KINDS)}")
            kinds[name] = kind
        setattr(namespace, self.dest, kinds)


def _check_outputs(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """A report that took minutes must not fail at its last step."""
    for flag, path, endings in (
        ("--plot", options.plot, (".png", ".svg", ".pdf")),
        ("--html", options.html, (".html", ".htm")),
    ):
        if path is None:
            continue
        if path.suffix.lower() not in endings:
            parser.error(f"{flag} {path}: the name must end in {' or '.join(endings)}")
        if not path.absolute().parent.is_dir():
            parser.error(f"{flag} {path}: there is no folder {path.absolute().parent}")
        if path.is_dir():
            parser.error(f"{flag} {path}: that is a folder")
    if options.plot is not None and find_spec("matplotlib") is None:
        parser.error('--plot needs matplotlib: pip install "skmtl[report]"')
