"""Independent pieces of work, here or in parallel, with a sign of life while they run."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from sklearn.utils.parallel import Parallel, delayed

from skmtl.estimators.parameters import check_parameter

#: One piece of work: what it is called, a function, and its arguments.
Job = tuple[str, Callable, tuple]


@contextmanager
def errors_named(what: str) -> Iterator[None]:
    """Errors raised inside say where: of a hundred fits it is one that failed.

    Raises
    ------
    ValueError
        In place of any other error, with `what` before its message.
    """
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:
        kind = "" if isinstance(error, ValueError) else f"{type(error).__name__}: "
        raise ValueError(f"{what}: {kind}{error}") from error


def _run(job: Job) -> Any:
    name, function, arguments = job
    with errors_named(name):
        return function(*arguments)


def run_all(jobs: list[Job], n_jobs: int | None = None, verbose: int = 0) -> list[Any]:
    """The results of all jobs, in their order.

    Parameters
    ----------
    jobs : list of (name, function, arguments)
    n_jobs : int, default=None
        As in joblib.
    verbose : int, default=0
        1: progress on the standard error.

    Raises
    ------
    ValueError
        For an `n_jobs` that is no number of jobs, and where a job fails, naming the job.
    """
    check_parameter("n_jobs", n_jobs)
    if not verbose:
        return list(Parallel(n_jobs=n_jobs)(delayed(_run)(job) for job in jobs))
    if n_jobs not in (None, 1):
        # Results of parallel jobs arrive all at once with the oldest joblib, so joblib itself reports.
        return list(Parallel(n_jobs=n_jobs, verbose=10 * int(verbose))(delayed(_run)(job) for job in jobs))
    results = []
    with _progress(len(jobs)) as advance:
        for job in jobs:
            advance(job[0], 0)
            results.append(_run(job))
            advance(job[0], 1)
    return results


@contextmanager
def _progress(n_jobs: int) -> Iterator[Callable[[str, int], None]]:
    """A function to call as (what is being done, how many jobs are newly done)."""
    try:
        from rich.console import Console
        from rich.progress import Progress
    except ImportError:
        yield _Lines(n_jobs)
        return
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=n_jobs)
        lines = None if console.is_terminal else _Lines(n_jobs)

        def advance(name: str, done: int) -> None:
            bar.update(task, description=name, advance=done)
            if lines is not None:
                lines(name, done)

        yield advance


class _Lines:
    """A line per job that is done."""

    def __init__(self, n_jobs: int) -> None:
        self.n_jobs, self.n_done = n_jobs, 0

    def __call__(self, name: str, done: int) -> None:
        self.n_done += done
        if done:
            print(f"[{self.n_done}/{self.n_jobs}] {name}", file=sys.stderr, flush=True)
