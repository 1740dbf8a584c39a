"""The shell command ``python -m skmtl``: does learning together help, for a file or the bundled data."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Sequence
from typing import Any

from skmtl.command.arguments import parse
from skmtl.command.bundled import show_bundled
from skmtl.command.file_report import report_file
from skmtl.command.reading import BadData

#: Exit status: wrong arguments or data; a fault of the program; interrupted; nobody reads the output any more.
BAD_DATA, FAULT, INTERRUPTED, BROKEN_PIPE = 2, 1, 130, 141


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; `arguments` are those of the shell by default. Returns the exit status."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # names of tasks need not fit the encoding of the terminal
            stream.reconfigure(errors="backslashreplace")
    options = parse(arguments)
    try:
        with warnings.catch_warnings():
            # What concerns the data or a fit; what concerns programmers is none of a shell user's business.
            warnings.simplefilter("ignore")
            warnings.simplefilter("always", UserWarning)
            warnings.showwarning = _tell_warning
            (show_bundled if options.data is None else report_file)(options)
        sys.stdout.flush()
    except (BadData, ValueError) as error:
        return _fail(BAD_DATA, str(error))
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains at its end
        return BROKEN_PIPE
    except KeyboardInterrupt:
        return _fail(INTERRUPTED, "interrupted")
    except Exception as error:
        return _fail(FAULT, f"{type(error).__name__}: {error}. This should not happen; please report it.")
    return 0


def _fail(status: int, message: str) -> int:
    print(f"python -m skmtl: error: {message}", file=sys.stderr)
    return status


def _tell_warning(message: Any, category: Any, *where: Any, **more: Any) -> None:
    print(f"warning: {message}", file=sys.stderr)


if __name__ == "__main__":
    raise SystemExit(main())
