"""One measurement: a method in a process of its own, best of some repeats, ended when it is far over its budget.

A forked process sees the problem without a copy, can be ended whatever it is doing, and leaves nothing behind.
Peak memory needs a fresh process (`peak_memory`), because a fork inherits freed memory that it can use again.
"""

from __future__ import annotations

import ctypes
import gc
import multiprocessing
import subprocess
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import numpy as np
from scipy import sparse

from benchmarks import clock, ours, problems

#: Seconds beyond the budget after which a process is ended.
GRACE = 5.0

#: Runs that together take fewer seconds are repeated, up to so many times.
SHORT, MANY = 0.5, 50


@dataclass
class Run:
    """Best run of a method; `coef` is None, and `note` says why, when there is none."""

    coef: np.ndarray | None = None
    intercept: np.ndarray | None = None
    seconds: float = float("nan")
    n_runs: int = 0
    note: str = ""


def best_of(run, problem, repeats: int, budget: float) -> Run:
    """The best of `repeats` runs, of fewer where they use up the budget, of more where they are short.

    The process is ended `GRACE` seconds after the budget.
    """
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe(duplex=False)
    child = context.Process(target=_repeat, args=(run, problem, repeats, budget, there), daemon=True)
    start = perf_counter()
    end = start + clock.patience * (budget + GRACE)
    with warnings.catch_warnings():
        # Python warns of forks beside running threads; the only ones here are OpenBLAS's, which sees to them itself.
        warnings.simplefilter("ignore", DeprecationWarning)
        child.start()
    there.close()
    best = Run()
    try:
        while here.poll(max(0.0, end - perf_counter())):
            answer = here.recv()
            if isinstance(answer, str):
                best.note = answer
                break
            best.n_runs += 1
            if not best.seconds <= answer[2]:
                best.coef, best.intercept, best.seconds = answer
        else:
            best.note = "" if best.n_runs else f"cut off after {perf_counter() - start:.0f} s"
    except EOFError:
        best.note = "" if best.n_runs else "its process died"
    child.kill()
    child.join()
    return best


def _repeat(run, problem, repeats, budget, pipe):
    problem.budget = budget
    start = clock.now()
    try:
        n_runs = 0
        while keep_on(n_runs, repeats, clock.now() - start) and (n_runs == 0 or clock.now() - start < budget):
            pipe.send(run(problem))
            n_runs += 1
    except Exception as error:
        pipe.send(f"{type(error).__name__}: {error}"[:200])


def keep_on(n_runs: int, repeats: int, seconds: float) -> bool:
    """Whether to run again: on a shared machine the best of three runs of 10 ms would be chance."""
    return n_runs < repeats or (repeats > 1 and seconds < SHORT and n_runs < MANY)


def seconds_of(product, repeats: int) -> float:
    """Best time of a product."""
    times: list[float] = []
    while keep_on(len(times), repeats, sum(times)):
        start = clock.now()
        product()
        times.append(clock.now() - start)
    return min(times)


def units(problem, repeats: int) -> dict:
    """Seconds of tG (``X.T @ X``, dense X), tC (``X.T @ Y``, complete Y) and tP (``X @ (d x k)``)."""
    X, rng = problem.X, np.random.RandomState(0)
    columns = rng.standard_normal((X.shape[1], problem.n_components))
    found = {"tP": seconds_of(lambda: X @ columns, repeats)}
    if not sparse.issparse(X):
        found["tG"] = seconds_of(lambda: X.T @ X, repeats)
    if problem.complete:
        found["tC"] = seconds_of(lambda: X.T @ problem.y, repeats)
    return found


def n_bytes(X) -> int:
    """Bytes of a dense or CSR matrix."""
    return X.data.nbytes + X.indices.nbytes + X.indptr.nbytes if sparse.issparse(X) else X.nbytes


def peak_memory(name: str, quick: bool) -> int | None:
    """Bytes that one fit of skmtl needs beyond its inputs at the peak, in a fresh process."""
    command = [sys.executable, "-m", "benchmarks.measure", name, *(["--quick"] if quick else [])]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[1])
    return int(done.stdout) or None


def _resident(field: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024
    raise OSError(f"no {field} in /proc/self/status")


def peak_of(call) -> int | None:
    """Bytes that a call needs at its peak, beyond what there is before; None where the system is not Linux."""
    if not Path("/proc/self/clear_refs").exists():
        return None
    # Resident pages rather than tracemalloc: LAPACK's workspace and SciPy's C++ buffers count as well.
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak starts anew
    before = _resident("VmRSS")
    call()
    return _resident("VmHWM") - before


def _of_one_fit(name: str, quick: bool) -> int | None:
    ours.low_rank(problems.make(name, quick=True))  # whatever is imported on the way
    problem = problems.make(name, quick=quick)
    X, y = ours.handed_over(problem)
    return peak_of(lambda: ours.estimator(problem).fit(X, y))


if __name__ == "__main__":
    print(_of_one_fit(sys.argv[1], "--quick" in sys.argv) or 0)
