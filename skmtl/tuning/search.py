"""Successive narrowing: simple models first, parts added where they help, each strength by a shrinking pattern.

1. Independent models (own parts alone) and pooled ones (common part alone), each along its strength.
2. The shared part: `alpha` and rank in turn, from a few components.
3. A common part, then own parts, are put beside the best so far, from nearly absent to strong as long as the
   held-out score rises; what has helped is tuned together with the rest.
4. Common and own parts without a shared one (mean-regularised tasks), where that comes close.
5. A learned prior of the factors.
6. The strengths of the winner, on a finer lattice.

Each line of values is searched by steps that halve once neither neighbour is better: the number of fits grows with
the logarithm of the range. Every model along the way is a candidate in the end.
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from dataclasses import replace

import numpy as np

from skmtl.tuning.candidates import Candidate, Space
from skmtl.tuning.evaluation import Evaluation
from skmtl.tuning.scales import Scales

_PARTS = ("alpha", "alpha_common", "alpha_own")
#: Lines of a model in the order in which they are searched.
_LINES = ("alpha", "n_components", "alpha_common", "alpha_own")
#: First and last step along each line, in half octaves (ranks: in places).
_STEPS = {"n_components": (2, 1), "alpha": (4, 2), "alpha_common": (8, 4), "alpha_own": (4, 2)}
#: Stands for "no limit" where ranks are compared.
_LARGE = 1e9
#: Rounds over all parameters of a model.
_MAX_ROUNDS = 4


def search(evaluation: Evaluation, space: Space, scales: Scales) -> None:
    """Evaluate what may be the best of the space; the outcomes are left in `evaluation`."""
    walk = _Walk(evaluation, space, scales)
    if space.is_grid:
        evaluation(space.grid())
        walk.try_prior()
        return
    for parts in ({"alpha_own"}, {"alpha_common"}, {"alpha"}):
        walk.begin(parts)
    for part in ("alpha_common", "alpha_own"):
        walk.extend(part)
    walk.begin({"alpha_common", "alpha_own"}, near=True)
    if not evaluation.outcomes:
        walk.begin(set(_PARTS))
    walk.try_prior()
    walk.refine()


def search_near(evaluation: Evaluation, space: Space, scales: Scales, candidate: Candidate) -> None:
    """As `search`, from what was best for nearly the same problem, by the smallest steps."""
    if space.is_grid:
        evaluation(space.grid())
        return
    walk = _Walk(evaluation, space, scales)
    walk.begin_at(candidate)
    walk.refine()


class _Walk:
    """The state of a search: what has been evaluated, and the lines of values."""

    def __init__(self, evaluation: Evaluation, space: Space, scales: Scales):
        self.evaluation, self.space, self.scales = evaluation, space, scales
        self.axes = space.axes(scales)
        self.first = {
            "n_components": max(scales.spectral_rank or 3, 1),
            "alpha": scales.alpha / 4.0,
            "alpha_common": scales.alpha_common / 64.0,
            "alpha_own": scales.alpha_own / 2.0,
        }

    def begin_at(self, candidate: Candidate) -> None:
        """Tune from a candidate that need not lie on the lattices."""
        parts = candidate.parts
        names = [*parts, "n_components"] if "alpha" in parts else [*parts]
        on_lattice = {name: self._near(name, getattr(candidate, name) or np.inf) for name in names}
        self._tune(replace(candidate, **on_lattice), parts, narrow=True)

    def begin(self, parts: AbstractSet[str], near: bool = False) -> None:
        """Tune a model of these parts, and of those that the space demands; not if that is tuned already.

        With `near`, it begins at the strengths of its parts alone, and ends there unless it is close to the best.
        """
        parts = parts | {name for name in _PARTS if not self.space.allows(name, absent=True)}
        known = {candidate.parts for candidate in self.evaluation.outcomes}
        if not self._allows(parts) or parts in known:
            return
        candidate = Candidate(None, np.inf, None, None, self.space.priors[0] if "alpha" in parts else "ridge")
        for name in [*parts, *(["n_components"] if "alpha" in parts else [])]:
            candidate = replace(candidate, **{name: self._near(name, self._alone(name) if near else self.first[name])})
        self.evaluation([candidate])
        if not near or self.evaluation.is_close(candidate, self.evaluation.best()):
            self._tune(candidate, parts)

    def extend(self, part: str) -> None:
        """Put a part beside those of the best model with a shared one; where that helps, tune everything again."""
        shared = [candidate for candidate in self.evaluation.outcomes if candidate.has_shared]
        if not shared:
            return
        best = base = self.evaluation.best(shared)
        parts = base.parts
        if part in parts or not self._allows(parts | {part}):
            return
        step, stronger = _STEPS[part][0], base
        for value in self.axes[part][::step]:
            candidate = replace(base, **{part: value})
            self.evaluation([candidate])
            if self.evaluation.best([best, candidate]) == candidate:
                best = candidate
            elif best != base or self._falls(candidate, stronger) or value <= self._telling(part):
                break
            stronger = candidate
        if best != base:
            candidate = self._line(best, part, step // 2, _STEPS[part][1])
            self._tune(candidate, parts | {part}, narrow=True)

    def try_prior(self) -> None:
        """Where it is free, put the best model with a shared part under a learned prior of its factors."""
        shared = [candidate for candidate in self.evaluation.outcomes if candidate.has_shared]
        if not self.space.chooses_prior or not shared:
            return
        candidate = replace(self.evaluation.best(shared), factor_prior="learned")
        self.evaluation([candidate])
        if not self.space.is_grid:
            # A learned prior shrinks by itself, so that other strengths may now be the best. Useless components
            # cost little under it: it is no judge of the rank.
            self._tune(candidate, candidate.parts, narrow=True, with_rank=False)

    def refine(self) -> None:
        """The winner's strengths, half an octave to either side."""
        best = self.evaluation.best()
        for name in _PARTS:
            if name in best.parts and self.axes[name]:
                best = self._line(best, name, 1, 1)

    def _telling(self, part: str) -> float:
        """A part that halves an estimate, and does not help, is not wanted."""
        return self.scales.alpha_common if part == "alpha_common" else self.scales.alpha_own

    def _falls(self, candidate: Candidate, before: Candidate) -> bool:
        """Whether a part does harm that grows with its freedom."""
        return self.evaluation.is_better(self.evaluation.mean(before), self.evaluation.mean(candidate))

    def _alone(self, name: str) -> float:
        """The strength of a part when it is the only one."""
        alone = [candidate for candidate in self.evaluation.outcomes if candidate.parts == {name}]
        return getattr(self.evaluation.best(alone), name) if alone else self.first[name]

    def _near(self, name: str, value: float):
        """The value on an axis that is nearest, on a logarithmic scale."""
        return min(self.axes[name], key=lambda one: abs(np.log(min(one or np.inf, _LARGE) / min(value, _LARGE))))

    def _allows(self, parts: AbstractSet[str]) -> bool:
        if "alpha_common" in parts and not self.scales.can_share:
            return False
        return all(self.space.allows(name, absent=name not in parts) for name in _PARTS)

    def _tune(
        self, candidate: Candidate, parts: AbstractSet[str], narrow: bool = False, with_rank: bool = True
    ) -> Candidate:
        """Search one line after the other until a round changes nothing; `narrow`: by the last steps only."""
        lines = [
            name for name in _LINES if name in parts or (name == "n_components" and with_rank and "alpha" in parts)
        ]
        self.evaluation([candidate])
        for _ in range(_MAX_ROUNDS):
            before = candidate
            for name in lines:
                first, last = _STEPS[name]
                candidate = self._line(candidate, name, last if narrow else first, last)
            narrow = True
            if candidate == before or len(lines) == 1:
                break
        return candidate

    def _line(self, candidate: Candidate, name: str, step: int, last: int) -> Candidate:
        """The best along one parameter, the others fixed, by steps that halve down to the last one."""
        axis = self.axes[name]
        while step >= last:
            place = axis.index(getattr(candidate, name))
            places = [p for p in (place - step, place + step) if 0 <= p < len(axis)]
            around = [replace(candidate, **{name: axis[p]}) for p in places]
            self.evaluation(around)
            best = self.evaluation.best([candidate, *around])
            if best == candidate:
                step //= 2
            candidate = best
        return candidate
