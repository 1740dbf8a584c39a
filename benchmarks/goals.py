"""The bounds that were set for skmtl, each read off the measurements of one problem."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.baselines.stopping import PRECISION


@dataclass(frozen=True)
class Goal:
    """A figure of a problem's record and its bound.

    Attributes
    ----------
    problem : str
    what : str
    figure : callable
        ``(record) -> float``, or None where something it needs was not measured.
    bound : float
    at_most : bool
        Whether the figure is to stay below the bound, or to exceed it.
    """

    problem: str
    what: str
    figure: Callable
    bound: float
    at_most: bool = True

    def reached(self, value: float) -> bool:
        return value <= self.bound if self.at_most else value >= self.bound


def seconds(record, method="skmtl"):
    """Best time of a method; None where it did not finish."""
    return record["methods"].get(method, {}).get("seconds")


def in_units(*names):
    return lambda record: seconds(record) / sum(record["units"][name] for name in names)


def _times_slower(method):
    def figure(record):
        return None if seconds(record, method) is None else seconds(record, method) / seconds(record)

    return figure


def _memory_in_X(record):
    return None if record.get("memory") is None else record["memory"] / record["bytes_X"]


def _precision(record):
    return record["methods"]["skmtl"]["excess"]


def _closed_form_objective(record):
    return record["methods"].get("reduced-rank ridge", {}).get("excess")


GOALS = (
    Goal("shared-complete", "tG + tC", in_units("tG", "tC"), 2.5),
    Goal("shared-complete", "time of reduced-rank ridge / ours", _times_slower("reduced-rank ridge"), 1.0, False),
    Goal("shared-complete", "its objective above the optimum", _closed_form_objective, 0.0, False),
    Goal("tall", "tG + tC", in_units("tG", "tC"), 2.0),
    Goal("gaps-2%", "tG", in_units("tG"), 25.0),
    Goal("gaps-2%", "relative precision", _precision, PRECISION),
    Goal("gaps-2%", "peak memory beyond the inputs / X", _memory_in_X, 3.0),
    Goal("gaps-30%", "tG", in_units("tG"), 15.0),
    Goal("gaps-30%", "relative precision", _precision, PRECISION),
    Goal("own-rows-school-like", "milliseconds", lambda record: 1e3 * seconds(record), 15.0),
    Goal("own-rows-school-like", "time of MALSAR's FISTA / ours", _times_slower("the same as in MALSAR"), 10.0, False),
    Goal("own-rows-wide", "tG", in_units("tG"), 25.0),
    Goal("own-rows-wide", "relative precision", _precision, PRECISION),
    Goal("logistic-own-rows", "time of joint L-BFGS / ours", _times_slower("joint L-BFGS"), 2.0, False),
    Goal("logistic-own-rows", "time of MALSAR's FISTA / ours", _times_slower("the same as in MALSAR"), 10.0, False),
    Goal("logistic-own-rows", "relative precision", _precision, PRECISION),
    Goal("many-tasks", "time at T / time at T / 10", lambda record: record.get("growth"), 12.0),
    Goal("many-tasks", "peak memory beyond the inputs / X", _memory_in_X, 3.0),
    Goal("csr-logistic", "products X @ (d x k)", in_units("tP"), 80.0),
    Goal("csr-logistic", "peak memory beyond the inputs / X", _memory_in_X, 3.0),
)
#: Problems whose peak memory a goal asks for.
MEMORY = {goal.problem for goal in GOALS if goal.figure is _memory_in_X}
#: Problems that are measured at a tenth of their tasks too.
GROWTH = {"many-tasks"}


#: A thousandth of the test error is what the choice of the held-out rows decides.
_TEST_ERROR = 1e-3


def verdict(record, method: str) -> str:
    """How a peer stands: time first, then its objective where it minimises the same, else its test error."""
    peer, own = record["methods"][method], record["methods"]["skmtl"]
    if "cut off" in peer["note"]:
        return "cut off"
    if peer.get("seconds") is None or method.startswith("skmtl"):
        return ""
    if peer["minimises"] == "same":
        difference = (peer["excess"] - own["excess"]) / PRECISION
    else:
        difference = (peer["test_error"] / own["test_error"] - 1.0) / _TEST_ERROR
    if peer["seconds"] < own["seconds"]:
        return "faster, worse" if difference > 1.0 else "FASTER"
    return "slower, better" if difference < -1.0 else "beaten"
