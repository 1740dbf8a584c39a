"""Successive narrowing: one part at a time, parts added where they help, each strength by brackets and parabolas.

1. The shared part: `alpha` and rank in turn, from a few components.
2. Independent models (own parts alone) and pooled ones (common part alone), each along its strength.
   Where no row has two targets, the best of each is tried with tied intercepts; from here on they stay if they help.
3. A common part, then own parts, are put beside the best so far, from nearly absent to strong as long as the
   held-out score rises; a part that is worth its freedom may have taken over a component, and stays.
4. Common and own parts without a shared one (mean-regularised tasks), where that comes close.
5. Features scaled by the spread of their coefficients.
6. A learned prior of the factors.
7. The strengths of the chosen model once more, by small steps, and one component less.

Along a line of values a step is taken downhill until the score falls again; then the vertex of the parabola through
the best three is tried. Every model along the way is a candidate in the end. Where features say nothing of any target,
no strength changes anything, and the simplest model is the only one.
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from dataclasses import replace

import numpy as np

from skmtl.tuning.candidates import STEPS_PER_OCTAVE, Candidate, Space
from skmtl.tuning.evaluation import Evaluation
from skmtl.tuning.scales import Scales

_PARTS = ("alpha", "alpha_common", "alpha_own")
#: Steps along each line, in quarter octaves (ranks: in places): wide at first, narrow about what is nearly right.
_WIDE = {"n_components": 2, "alpha": 6, "alpha_common": 16, "alpha_own": 8, "alpha_intercept": 8}
_NARROW = {"n_components": 1, "alpha": 2, "alpha_common": 8, "alpha_own": 4, "alpha_intercept": 4}
#: Parabolas along a line, at most: scores are flat in the strengths of common and own parts.
_MAX_PARABOLAS = {"n_components": 2, "alpha": 2, "alpha_common": 1, "alpha_own": 1, "alpha_intercept": 1}
#: Octaves from one strength to the next where columns differ in scale by more, and the loss has plateaus between.
_SCAN_OCTAVES = 3
#: Steps along a plateau, to see whether the score rises beyond it.
_MAX_FLAT = 2
#: Strengths of a further part that win nothing, before it is given up.
_MAX_IDLE = 2
#: Stands for "no limit" where ranks and strengths are compared, its reciprocal for a strength of zero.
_LARGE = 1e300
#: Rounds over strength and rank of the shared part.
_MAX_ROUNDS = 3


def search(evaluation: Evaluation, space: Space, scales: Scales) -> None:
    """Evaluate what may be the best of the space; the outcomes are left in `evaluation`."""
    walk = _Walk(evaluation, space, scales)
    if space.is_grid:
        evaluation(space.grid())
        walk.tie_intercepts()
        walk.try_prior()
        return
    if scales.is_null:
        evaluation([space.simplest()])
        return
    for parts in ({"alpha"}, {"alpha_own"}, {"alpha_common"}):
        walk.begin(parts)
    walk.tie_intercepts()
    for part in ("alpha_common", "alpha_own"):
        walk.extend(part)
    walk.begin({"alpha_common", "alpha_own"}, near=True)
    if not evaluation.outcomes:
        walk.begin(set(_PARTS))
    walk.try_features()
    walk.try_prior()


def search_near(evaluation: Evaluation, space: Space, scales: Scales, candidate: Candidate) -> None:
    """As `search`, from what was best for nearly the same problem or is to be refined, by small steps."""
    if space.is_grid:
        evaluation(space.grid())
        return
    if scales.is_null:
        evaluation([candidate])
        return
    _Walk(evaluation, space, scales).refine(candidate)


def at_weak_end(space: Space, scales: Scales, candidate: Candidate) -> list[str]:
    """Names of the freely chosen strengths of a candidate that are the weakest that could be tried.

    The other end needs no look: there a part is as good as absent, and that is tried as well.
    """
    axes = space.axes(scales)
    free = [name for name in _PARTS if getattr(space, name) is None and name in candidate.parts]
    return [name for name in free if getattr(candidate, name) <= axes[name][-1]]


class _Walk:
    """The state of a search: what has been evaluated, and the lines of values."""

    def __init__(self, evaluation: Evaluation, space: Space, scales: Scales):
        self.evaluation, self.space, self.scales = evaluation, space, scales
        self.axes = space.axes(scales)
        self.first = {
            "n_components": max(scales.spectral_rank or 3, 1),
            "alpha": scales.alpha / 4.0 * scales.typical,
            "alpha_common": scales.alpha_common / 16.0,
            "alpha_own": scales.alpha_own,
        }
        # Every candidate is begun with this tie of the intercepts.
        self.tie: float | None = space.before_choice("alpha_intercept")[0]

    def begin(self, parts: AbstractSet[str], near: bool = False) -> None:
        """Tune a model of these parts, and of those that the space demands; not if that is tuned already.

        With `near`, it begins at the strengths of its parts alone, and ends there unless it is close to the best.
        """
        parts = parts | {name for name in _PARTS if not self.space.allows(name, absent=True)}
        known = {candidate.parts for candidate in self.evaluation.outcomes}
        if not self._allows(parts) or parts in known:
            return
        factor_prior, feature_prior = (self.space.before_choice(name)[0] for name in ("factor_prior", "feature_prior"))
        factor_prior = factor_prior if "alpha" in parts else "ridge"
        candidate = Candidate(None, np.inf, None, None, factor_prior, feature_prior, self.tie)
        for name in [*parts, *(["n_components"] if "alpha" in parts else [])]:
            candidate = replace(candidate, **{name: self._near(name, self._alone(name) if near else self.first[name])})
        self.evaluation([candidate])
        if not near or self.evaluation.is_close(candidate, self.evaluation.best()):
            self._tune(candidate if near else self._scan(candidate, parts), parts)

    def tie_intercepts(self) -> None:
        """Where that is free, tie the intercepts of the best model of every set of parts; tune the best of these."""
        if not self.space.chooses("alpha_intercept"):
            return
        by_parts: dict[frozenset, list[Candidate]] = {}
        for one in self.evaluation.outcomes:
            by_parts.setdefault(one.parts, []).append(one)
        bests, first = (
            map(self.evaluation.best, by_parts.values()),
            self._near("alpha_intercept", self.scales.alpha_intercept),
        )
        candidates = [replace(one, alpha_intercept=first) for one in bests]
        self.evaluation(candidates)
        tied = self._line(self.evaluation.best(candidates), "alpha_intercept", _WIDE["alpha_intercept"])
        if self.evaluation.best() == tied:
            self.tie = tied.alpha_intercept
            self.evaluation([replace(one, alpha_intercept=self.tie) for one in candidates])

    def extend(self, part: str) -> None:
        """Put a part beside those of the best model with a shared one, as long as that helps."""
        shared = [candidate for candidate in self.evaluation.outcomes if candidate.has_shared]
        if not shared:
            return
        best = base = self.evaluation.worthwhile(shared)
        if part in base.parts or not self._allows(base.parts | {part}):
            return
        n_idle = 0
        for value in self.axes[part][:: _WIDE[part]]:
            candidate = replace(base, **{part: value})
            self.evaluation([candidate], against=base)
            if self.evaluation.best([best, candidate]) == candidate:
                best = candidate
                continue
            n_idle += 1
            if best != base or n_idle == _MAX_IDLE or self._falls(candidate, base):
                break
        if best != base:
            best = self._line(best, part, _WIDE[part])
            if self.evaluation.worthwhile([base, best]) == best:
                self._fewer_components(best)

    def try_features(self) -> None:
        """Where that is free and affordable, fit the best model to features scaled by what they say of all tasks."""
        if not self.space.chooses("feature_prior") or not self.scales.can_scale:
            return
        best = self.evaluation.worthwhile()
        candidate = replace(best, feature_prior="learned")
        self.evaluation([candidate], against=best)
        if self.evaluation.best([best, candidate]) == candidate:
            self.refine(candidate)

    def try_prior(self) -> None:
        """Where it is free, put the best model with a shared part under a learned prior of its factors."""
        shared = [candidate for candidate in self.evaluation.outcomes if candidate.has_shared]
        if not self.space.chooses("factor_prior") or not shared:
            return
        best = self.evaluation.best(shared) if self.space.is_grid else self.evaluation.worthwhile(shared)
        candidate = replace(best, factor_prior="learned")
        self.evaluation([candidate], against=best)
        if not self.space.is_grid and self.evaluation.best([best, candidate]) == candidate:
            # A learned prior shrinks by itself, so that another strength may now be the best. Useless components
            # cost little under it: it is no judge of the rank.
            self._line(candidate, "alpha", _WIDE["alpha"])

    def refine(self, candidate: Candidate) -> None:
        """Small steps along every strength; the candidate need not lie on the lattices."""
        parts = candidate.parts
        names = [*parts, "n_components"] if "alpha" in parts else [*parts]
        names += [] if candidate.alpha_intercept is None else ["alpha_intercept"]
        near = replace(candidate, **{name: self._near(name, getattr(candidate, name)) for name in names})
        self.evaluation([near])
        if near.alpha_intercept is not None:
            near = self._line(near, "alpha_intercept", _NARROW["alpha_intercept"])
        for name in _PARTS:
            # Beside a shared part the score is flat in the strength of the common one.
            if name in parts and (name != "alpha_common" or "alpha" not in parts):
                near = self._line(near, name, _NARROW[name])
        if "alpha" in parts:
            self._fewer_components(self._more_components(near))

    def _more_components(self, candidate: Candidate) -> Candidate:
        """Add components, which want a stronger `alpha`, as long as that helps."""
        ranks, strengths = self.axes["n_components"], self.axes["alpha"]
        place = ranks.index(candidate.n_components)
        while place + 1 < len(ranks):
            place += 1
            stronger = max(strengths.index(candidate.alpha) - _NARROW["alpha"], 0)
            more = replace(candidate, n_components=ranks[place], alpha=strengths[stronger])
            self.evaluation([more])
            if self.evaluation.best([candidate, more]) == candidate:
                break
            candidate = self._line(more, "alpha", _NARROW["alpha"])
        return candidate

    def _fewer_components(self, candidate: Candidate) -> None:
        """Take away components as long as that helps."""
        axis = self.axes["n_components"]
        place = axis.index(candidate.n_components)
        while place > 0:
            place -= 1
            fewer = replace(candidate, n_components=axis[place])
            self.evaluation([fewer])
            if self.evaluation.best([candidate, fewer]) == candidate:
                return
            candidate = fewer

    def _falls(self, candidate: Candidate, before: Candidate) -> bool:
        """Whether a candidate is worse than another by more than rounding's worth."""
        return self.evaluation.is_better(self.evaluation.mean(before), self.evaluation.mean(candidate))

    def _alone(self, name: str) -> float:
        """The strength of a part when it is the only one."""
        alone = [candidate for candidate in self.evaluation.outcomes if candidate.parts == {name}]
        return getattr(self.evaluation.best(alone), name) if alone else self.first[name]

    def _near(self, name: str, value: float):
        """The value on an axis that is nearest, on a logarithmic scale."""

        def place(one: float | None) -> float:
            return float(np.log(np.clip(np.inf if one is None else one, 1.0 / _LARGE, _LARGE)))

        return min(self.axes[name], key=lambda one: abs(place(one) - place(value)))

    def _allows(self, parts: AbstractSet[str]) -> bool:
        if "alpha_common" in parts and not self.scales.can_share:
            return False
        return all(self.space.allows(name, absent=name not in parts) for name in _PARTS)

    def _tune(self, candidate: Candidate, parts: AbstractSet[str]) -> None:
        """Search one line after the other; strength and rank of the shared part again until neither changes."""
        for name in ("alpha_common", "alpha_own"):
            if name in parts and "alpha" not in parts:
                candidate = self._line(candidate, name, _WIDE[name])
        if "alpha" not in parts:
            return
        step = _WIDE
        for _ in range(_MAX_ROUNDS):
            before = candidate
            candidate = self._line(candidate, "alpha", step["alpha"])
            candidate = self._line(candidate, "n_components", step["n_components"])
            step = _NARROW
            if candidate.n_components == before.n_components:
                break
        candidate = self._more_components(candidate)
        for name in ("alpha_common", "alpha_own"):
            if name in parts:
                candidate = self._line(candidate, name, _WIDE[name])

    def _scan(self, candidate: Candidate, parts: AbstractSet[str]) -> Candidate:
        """Where columns differ in scale, the best of wide steps over all strengths that speak of some column."""
        for name in (name for name in _PARTS if name in parts and getattr(self.space, name) is None):
            octaves = self.scales.column_octaves * (1.0 if name == "alpha" else 2.0)
            if octaves <= _SCAN_OCTAVES:
                continue
            axis = self.axes[name]
            place = axis.index(self._near(name, getattr(self.scales, name)))
            steps = np.arange(0.0, octaves + 2 * _SCAN_OCTAVES, _SCAN_OCTAVES) * STEPS_PER_OCTAVE
            known = [candidate]
            for beside in np.minimum(place + steps.astype(int), len(axis) - 1):
                known.append(replace(candidate, **{name: axis[beside]}))
                self.evaluation(known[-1:])
            candidate = self.evaluation.best(known)
        return candidate

    def _line(self, candidate: Candidate, name: str, step: int) -> Candidate:
        """The best along one parameter, the others fixed: steps until both neighbours are worse, then parabolas."""
        axis = self.axes[name]
        place = axis.index(getattr(candidate, name))
        tried = {place: candidate}
        for known in self.evaluation.outcomes:
            value = getattr(known, name)
            if value in axis and replace(known, **{name: axis[place]}) == candidate:
                tried[axis.index(value)] = known

        def best_with(new: int) -> int:
            tried[new] = replace(candidate, **{name: axis[new]})
            self.evaluation([tried[new]])
            best = self.evaluation.best(list(tried.values()))
            return next(place for place, one in tried.items() if one == best)

        for way in (step, -step):
            reach, n_flat = place, 0
            while not any((other - reach) * way > 0 for other in tried):
                beside = int(np.clip(reach + way, 0, len(axis) - 1))
                if beside == reach:
                    break
                reach = beside
                if best_with(beside) == beside:
                    place, n_flat = beside, 0
                elif n_flat < _MAX_FLAT and not self._falls(tried[beside], tried[place]):
                    n_flat += 1
                else:
                    break
        for _ in range(_MAX_PARABOLAS[name]):
            vertex = self._vertex(tried, place)
            if vertex is None:
                break
            beside = round(vertex)
            if beside == place and name == "n_components":
                # A neighbouring rank is another model, not the same up to a little.
                beside += 1 if vertex > place else -1
            if beside in tried:
                break
            place = best_with(beside)
        return tried[place]

    def _vertex(self, tried: dict[int, Candidate], place: int) -> float | None:
        """Where the parabola through the best place and its neighbours is highest.

        None without two neighbours, or where it is no higher there than no data could tell.
        """
        below, above = ([p for p in tried if (p - place) * side > 0] for side in (-1, 1))
        if not below or not above:
            return None
        x = np.array([max(below), place, min(above)], dtype=float)
        score = np.array([self.evaluation.mean(tried[int(p)]) for p in x])
        rise, fall = (score[1] - score[0]) / (x[1] - x[0]), (score[1] - score[2]) / (x[2] - x[1])
        curvature = (rise + fall) / (x[2] - x[0])
        if curvature <= 0:
            return None
        # The slope at the best place; with the curvature it says how far and how much higher the vertex is.
        slope = (rise * (x[2] - x[1]) - fall * (x[1] - x[0])) / (x[2] - x[0])
        if not self.evaluation.is_better(score[1] + slope**2 / (4.0 * curvature), score[1]):
            return None
        return float(np.clip(x[1] + slope / (2.0 * curvature), x[0], x[2]))
