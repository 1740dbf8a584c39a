"""What is tuned: rank and strengths of one candidate, and the lattices on which they are searched."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from itertools import product
from typing import Any

import numpy as np

#: The value of a parameter that cross-validation shall choose.
AUTO = "auto"
#: Strengths lie on a lattice of quarter octaves, this far down from the largest that does anything, and further by as
#: much as columns differ in scale.
STEPS_PER_OCTAVE = 4
_N_OCTAVES = 20
#: Ranks are tried one by one up to here, then in steps of a sixth.
_EVERY_RANK = 12


@dataclass(frozen=True)
class Candidate:
    """One setting of the tuned parameters, as the estimators take them.

    ``alpha = inf`` leaves the shared part out (`n_components` then says nothing), None the other parts, and
    intercepts free.
    """

    n_components: int | None
    alpha: float
    alpha_common: float | None
    alpha_own: float | None
    factor_prior: str = "ridge"
    feature_prior: str = "ridge"
    alpha_intercept: float | None = None

    @property
    def has_shared(self) -> bool:
        return bool(np.isfinite(self.alpha))

    @property
    def parts(self) -> frozenset:
        """Names of the strengths whose parts are there."""
        names = ("alpha", "alpha_common", "alpha_own")
        return frozenset(name for name in names if not is_absent(getattr(self, name)))

    @property
    def simplicity(self) -> tuple:
        """Sorts simple candidates first: fewer parts, lower rank, stronger penalties."""
        parts = self.has_shared + 2 * (self.alpha_own is not None) + (self.alpha_common is not None)
        rank = np.inf if self.n_components is None else self.n_components
        strengths = [self.alpha, self.alpha_common or np.inf, self.alpha_own or np.inf]
        parts += 2 * (self.feature_prior == "learned")
        is_learned = self.factor_prior == "learned"
        is_tied = self.alpha_intercept is not None
        return (parts, rank if self.has_shared else 0, *(-strength for strength in strengths), is_learned, is_tied)

    def as_dict(self) -> dict[str, Any]:
        return {field.name: getattr(self, field.name) for field in fields(self)}


@dataclass(frozen=True)
class Space:
    """What may be tried: for each parameter its values from simple to complex; None stands for a free choice.

    Attributes
    ----------
    n_components, alpha, alpha_common, alpha_own, factor_prior, feature_prior, alpha_intercept : tuple or None
        Values given by the user, in their order; None = "auto".
    """

    n_components: tuple | None
    alpha: tuple | None
    alpha_common: tuple | None
    alpha_own: tuple | None
    factor_prior: tuple | None
    feature_prior: tuple | None
    alpha_intercept: tuple | None = (None,)

    def chooses(self, prior: str) -> bool:
        """Whether the search chooses "factor_prior", "feature_prior" or "alpha_intercept" beside all candidates.

        In a grid a list of both is tried like any other list.
        """
        given = getattr(self, prior)
        return given is None or (len(set(given)) > 1 and not self.is_grid)

    def before_choice(self, prior: str) -> tuple:
        """Values of a prior, or ties of the intercepts, that all candidates are tried under."""
        if self.chooses(prior):
            return (None,) if prior == "alpha_intercept" else ("ridge",)
        return getattr(self, prior)

    @property
    def is_grid(self) -> bool:
        """Whether every parameter has given values: then all combinations are tried."""
        return None not in (self.n_components, self.alpha, self.alpha_common, self.alpha_own)

    def grid(self) -> list[Candidate]:
        """All combinations of given values, strong ones first so that each fit can start at the one before."""
        names = ("alpha_own", "alpha_common", "n_components", "alpha")
        priors = ("factor_prior", "feature_prior", "alpha_intercept")
        axes = [*(_in_order(name, getattr(self, name)) for name in names), *map(self.before_choice, priors)]
        combinations = (dict(zip((*names, *priors), values, strict=True)) for values in product(*axes))
        return list(dict.fromkeys(canonical(Candidate(**combination)) for combination in combinations))

    def simplest(self) -> Candidate:
        """As few parts as may be, as strongly shrunk as may be."""
        parts: dict[str, Any] = {
            name: absent if self.allows(name, absent=True) else _in_order(name, getattr(self, name))[0]
            for name, absent in (("alpha", np.inf), ("alpha_common", None), ("alpha_own", None))
        }
        rank = 1 if self.n_components is None else _in_order("n_components", self.n_components)[0]
        priors = {name: self.before_choice(name)[0] for name in ("factor_prior", "feature_prior", "alpha_intercept")}
        return canonical(Candidate(rank, **parts, **priors))

    def axes(self, scales: Any) -> dict[str, Sequence]:
        """Every parameter's values from simple to complex: ranks up, strengths down; absent parts are not on them."""
        free: dict[str, Sequence] = {
            "n_components": _rank_lattice(scales.max_rank),
            "alpha": _lattice(scales.alpha, 0, scales.column_octaves),
            "alpha_common": _lattice(scales.alpha_common, 6, 2.0 * scales.column_octaves),
            "alpha_own": _lattice(scales.alpha_own, 6, 2.0 * scales.column_octaves),
            "alpha_intercept": _lattice(scales.alpha_intercept, 6, 0.0),
        }
        return {
            name: free[name]
            if getattr(self, name) is None
            else [
                value
                for value in _in_order(name, getattr(self, name))
                if name == "n_components" or not is_absent(value)
            ]
            for name in free
        }

    def allows(self, name: str, absent: bool) -> bool:
        """Whether a part may be absent, or present: "alpha" (absent = infinity), "alpha_common", "alpha_own"."""
        given = getattr(self, name)
        if given is None:
            return True
        return any(is_absent(value) == absent for value in given)


def as_values(parameter: Any) -> tuple | None:
    """A constructor parameter as values: None for "auto", one for a number or None, several for a list."""
    if isinstance(parameter, str) and parameter == AUTO:
        return None
    return tuple(parameter) if isinstance(parameter, (list, tuple, np.ndarray)) else (parameter,)


def canonical(candidate: Candidate) -> Candidate:
    """The same model written one way: without a shared part, rank and prior say nothing."""
    if candidate.has_shared:
        return candidate
    return replace(candidate, n_components=None, alpha=np.inf, factor_prior="ridge")


def is_absent(value: Any) -> bool:
    """Whether this strength leaves its part out."""
    return value is None or not np.isfinite(value)


def _in_order(name: str, values: Sequence) -> list:
    """Given values from simple to complex: ranks ascend to None (no limit), strengths descend from None (absent)."""
    absent = [value for value in values if value is None]
    present = [value for value in values if value is not None]
    if name == "n_components":
        return sorted(present) + absent
    return absent + sorted(present, reverse=True)


def _lattice(scale: float, octaves_above: int, further_octaves: float) -> list[float]:
    n_below = _N_OCTAVES + int(np.ceil(further_octaves))
    exponents = np.arange(-octaves_above * STEPS_PER_OCTAVE, n_below * STEPS_PER_OCTAVE + 1)
    return (scale * 2.0 ** (-exponents / STEPS_PER_OCTAVE)).tolist()


def _rank_lattice(max_rank: int) -> list[int]:
    ranks = list(range(1, min(max_rank, _EVERY_RANK) + 1))
    while ranks and ranks[-1] < max_rank:
        ranks.append(min(max_rank, ranks[-1] + max(1, ranks[-1] // 6)))
    return ranks
