"""Signs of life of `select_tasks` and `group_tasks`."""

from __future__ import annotations

import sys


def say(verbose: int, text: str) -> None:
    """A line on the standard error, where that is wanted."""
    if verbose:
        print(text, file=sys.stderr, flush=True)
