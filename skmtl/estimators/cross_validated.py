"""What the cross-validated estimators have in common: tune, guard, fit the winner on everything."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skmtl.estimators.attributes import fitted_attributes
from skmtl.estimators.base import Given
from skmtl.estimators.callbacks import SearchProgress, with_callbacks
from skmtl.estimators.low_rank import LowRankModel
from skmtl.estimators.parameters import TUNED, check_tuned_parameters
from skmtl.estimators.splits import Splits, data_splits, user_splits
from skmtl.estimators.ties import can_tie, require_ties
from skmtl.model_selection.default_splitter import as_rows
from skmtl.scoring import MultiTaskScorer, require_known_tasks
from skmtl.solvers import Solution, feature_scales, merge_solutions, out_of_units
from skmtl.solvers.compression import is_wide, to_row_space
from skmtl.targets import listed, take_rows
from skmtl.tasks import Task, TaskData
from skmtl.tuning import (
    Candidate,
    Evaluation,
    FitOptions,
    Outcome,
    Scales,
    Scorer,
    Space,
    as_values,
    at_weak_end,
    choose,
    cv_results,
    harmed_tasks,
    has_evidence,
    held_out_gains,
    make_folds,
    moderated_scales,
    natural_scales,
    outsiders,
    search,
    search_near,
)

#: Rounds of comparing what is left of the joint model with independent ones.
_MAX_GUARD_ROUNDS = 3
#: Held-out loss, in units of the targets' variance, that no weaker penalty need improve.
_NEGLIGIBLE_LOSS = 1e-6


class LowRankModelCV(LowRankModel):
    """A joint linear model whose rank and strengths are chosen by cross-validation."""

    def _check_parameters(self) -> None:
        check_tuned_parameters(self)

    @with_callbacks
    def fit(self, X: Any, y: Any, sample_weight: Any = None, groups: Any = None) -> Any:
        """Choose rank and strengths by cross-validation, then learn all tasks jointly.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features), or dict of {task: such a table}
            A dict gives every task its own rows. With `task_col`, one column of X holds the task of each row.
        y : dict of {task: array-like}, TaskTargets, DataFrame, or array-like of shape (n_samples,) or \
(n_samples, n_tasks)
            Missing targets are NaN, None, NaT or pandas' NA.
        sample_weight : array-like of shape (n_samples,) or (n_samples, n_tasks), TaskTargets, DataFrame, \
or (where X is one) a dict, default=None
            Weights >= 0, of the fits and of the held-out losses.
        groups : array-like of shape (n_samples,), default=None
            For splitters that need them, such as :class:`~sklearn.model_selection.GroupKFold`.

        Returns
        -------
        self : object

        Raises
        ------
        ValueError
            Before any work, naming the parameter or the task, what was given and what is allowed; or if no
            fold has something to train and something to test on.

        Warns
        -----
        ConvergenceWarning
            If the final fit stopped before `tol` was reached.
        """
        return self._fit(X, y, sample_weight, groups)

    def _solve_as_given(self, data: TaskData, given: Given, report: Any) -> tuple[Solution | None, dict[str, Any]]:
        given_splits = user_splits(self, given, data)
        progress = SearchProgress(self)
        evaluation, scales, options = self._search(data, given, given_splits, progress)
        if given.is_beaten is not None and given.is_beaten(evaluation):
            return None, {}
        chosen = choose(evaluation, self.one_standard_error)
        final = self._on_all_rows(chosen, evaluation.training_share)
        if self.scoring is not None or evaluation.mean(chosen) < -_NEGLIGIBLE_LOSS:
            self._warn_of_edges(at_weak_end(self._space(), scales, chosen), final)
        progress.stage(f"chosen: {progress.described(final.as_dict())}")
        guarded, alone_with = self._guarded(data, evaluation, chosen, given_splits, scales.target, options)
        # What is said of candidates is said in the strengths of a fit on all rows.
        outcomes = [
            replace(outcome, candidate=self._on_all_rows(candidate, evaluation.training_share))
            for candidate, outcome in evaluation.outcomes.items()
        ]
        fixed = {"scale_features": self.scale_features}
        best_params = final.as_dict() | fixed
        found = {
            "cv_results_": cv_results(outcomes, [task.name for task in data.tasks], fixed),
            "best_index_": list(evaluation.outcomes).index(chosen),
            "best_score_": evaluation.mean(chosen),
            "best_params_": best_params,
            "n_splits_": len(evaluation.folds),
            "guarded_": [data.tasks[t].name for t in guarded],
            **{f"{name}_": value for name, value in best_params.items()},
        }
        if not chosen.has_shared:
            found["n_components_"] = 0
        if len(guarded):
            progress.stage(f"guard: models of their own for {listed(found['guarded_'])}")
        joined = np.setdiff1d(np.arange(len(data.tasks)), guarded)
        if len(guarded) > len(joined):
            warnings.warn(
                f"{len(guarded)} of {len(data.tasks)} tasks, more than half, are set apart by the guard (guarded_): "
                "their own labels predict them better than the joint model does. transfer_report says by how much; "
                "guard=False learns them jointly all the same.",
                stacklevel=4,
            )
            if self._teach(evaluation, chosen, guarded, given_splits, scales.target, options):
                joined = np.arange(len(data.tasks))
        solution = self._refit(data, given.start, final, joined, guarded, alone_with, report) if self.refit else None
        return solution, found

    def _require_ties(self, data: TaskData) -> None:
        given = as_values(self.alpha_intercept)
        if given is not None and any(value is not None for value in given):
            require_ties(data, self.fit_intercept, self.alpha_intercept)

    def _search(
        self, data: TaskData, given: Given, given_splits: Splits, progress: SearchProgress
    ) -> tuple[Evaluation, Scales, FitOptions]:
        """All candidates' outcomes, and the units of strengths and targets that they are in."""
        kept, splits = data_splits(given_splits, data)
        options = FitOptions(self.fit_intercept, getattr(self, "scale_targets", "std"))
        scales = natural_scales(data, options)
        scorer = None if self.scoring is None else self._fold_scorer(data, given, [given_splits[k][1] for k in kept])
        space = self._space()
        if space.alpha_intercept is None and not can_tie(data, self.fit_intercept):
            space = replace(space, alpha_intercept=(None,))
        if (
            space.alpha_intercept != (None,)
            and options.scale_targets is not None
            and data.tasks[0].kind == "regression"
        ):
            # Levels that may be compared: so may be errors, and tasks of few rows do not say in which unit.
            scales = replace(scales, target=moderated_scales(data))
        keeps_features = scorer is not None or (space.feature_prior is not None and "learned" in space.feature_prior)
        seen = data if keeps_features else _in_row_space(data, self.fit_intercept)
        is_race = not space.is_grid and not self.one_standard_error

        def on_folds(scales: Scales, options: FitOptions) -> Evaluation:
            folds = make_folds(seen, splits, scales.target, options)
            grid = f", {len(space.grid())} candidates on each" if space.is_grid else ""
            progress.stage(f"cross-validation: {len(folds)} folds of {data.n_rows} rows, {len(data.tasks)} tasks{grid}")

            def tell(outcome: Outcome) -> None:
                params = self._on_all_rows(outcome.candidate, evaluation.training_share).as_dict()
                seconds = float(np.nansum(outcome.fit_seconds) + np.nansum(outcome.score_seconds))
                progress.candidate(params, outcome.mean, int(np.sum(~np.isnan(outcome.fit_seconds))), seconds)

            evaluation = Evaluation(seen, folds, scorer, self.n_jobs, is_race, tell if self.verbose else None)
            return evaluation

        evaluation = on_folds(scales, options)
        search(evaluation, space, scales)
        if options.scale_targets == "residual" and any(task.kind == "regression" for task in data.tasks):
            best = choose(evaluation, self.one_standard_error)
            options, near, scales = self._rescaled(data, best, scales, options, evaluation.training_share)
            alone = [one for one in evaluation.outcomes if _is_independent(one)]
            alone = [evaluation.best(alone)] if alone else []
            evaluation = on_folds(scales, options)
            search_near(evaluation, space, scales, near)
            evaluation(alone)
        search_near(evaluation, space, scales, choose(evaluation, self.one_standard_error))
        return evaluation, scales, options

    def _space(self) -> Space:
        return Space(**{name: as_values(getattr(self, name)) for name in TUNED})

    def _warn_of_edges(self, names: list[str], final: Candidate) -> None:
        if names:
            chosen = ", ".join(f"{name}={getattr(final, name):.3g}" for name in names)
            further = "" if self.scale_features else " Columns differ in scale: scale_features=True may serve better."
            warnings.warn(
                f"The search of {type(self).__name__} ended at {chosen}, the weakest that was tried: the best may lie "
                f"beyond; give a list of values that reaches further.{further}",
                UserWarning,
                stacklevel=7,
            )

    def _on_all_rows(self, candidate: Candidate, training_share: float) -> Candidate:
        """The candidate as it is fitted on all rows: strengths that were chosen freely shrink with the training share.

        The objective is a mean over rows. A prior counts as much as a given number of them, so that its strength in
        the mean falls as rows are added: what was best on four fifths of them is too strong by a quarter.
        """
        names = ("alpha", "alpha_common", "alpha_own", "alpha_intercept")
        strengths = {name: getattr(candidate, name) for name in names}
        return replace(
            candidate,
            **{
                name: strength * training_share
                for name, strength in strengths.items()
                if strength is not None and as_values(getattr(self, name)) is None
            },
        )

    def _rescaled(
        self, data: TaskData, chosen: Candidate, scales: Scales, options: FitOptions, training_share: float
    ) -> tuple[FitOptions, Candidate, Scales]:
        """What is tuned next under ``scale_targets="residual"``: the same model of targets in units of their noise.

        A loss r² times as large of coefficients r times as large goes with an `alpha` r times as large.
        """
        final = self._on_all_rows(chosen, training_share)
        residual = self._solve_at(data, None, None, **final.as_dict()).target_scale
        is_number = np.array([task.kind == "regression" for task in data.tasks])
        ratio = float(np.exp(np.mean(np.log(scales.target / residual)[is_number])))
        return (
            replace(options, scale_targets=np.where(is_number, residual, 1.0)),
            replace(chosen, alpha=chosen.alpha * ratio),
            replace(scales, alpha=scales.alpha * ratio),
        )

    def _guarded(
        self,
        data: TaskData,
        evaluation: Evaluation,
        chosen: Candidate,
        splits: Splits,
        scales: NDArray,
        options: FitOptions,
    ) -> tuple[NDArray, Candidate | None]:
        """Tasks that an independent model serves better, and that model on all rows."""
        independent = [one for one in evaluation.outcomes if _is_independent(one)]
        if not self.guard or not independent or _shares_nothing(chosen):
            return np.empty(0, dtype=np.intp), None
        alone = evaluation.best(independent)
        final, alone_final = (self._on_all_rows(one, evaluation.training_share) for one in (chosen, alone))
        if has_evidence(data):
            guarded = self._outsiders(data, final, alone_final)
        else:
            guarded = self._harmed(evaluation, chosen, alone, splits, scales, options)
        # With every task alone there is no joint model left to guard.
        return guarded[: 0 if len(guarded) == len(data.tasks) else None], alone_final

    def _outsiders(self, data: TaskData, final: Candidate, alone: Candidate) -> NDArray:
        """By the evidence of all rows; the joint model is fitted anew without those found, since it bent to them."""
        everyone, rows = np.arange(len(data.tasks)), np.arange(data.n_rows)
        guarded, scales = everyone[:0], np.ones(len(everyone))
        learned = replace(final, factor_prior="learned") if final.has_shared else final
        alone_scale = feature_scales(data) if alone.feature_prior == "learned" else None
        for _ in range(_MAX_GUARD_ROUNDS):
            others = np.setdiff1d(everyone, guarded)
            belonging = data.take(rows, others)
            joint = self._solve_at(belonging, None, None, **_of_some(learned, belonging, data).as_dict())
            scales[others] = joint.target_scale
            if np.ptp(joint.target_scale) == 0:
                scales[:] = joint.target_scale[0]
            found = outsiders(data, joint, final, alone, scales, alone_scale, self.fit_intercept)
            if len(found) == len(everyone) or np.array_equal(found, guarded):
                return found
            guarded = found
        return guarded

    def _harmed(
        self,
        evaluation: Evaluation,
        chosen: Candidate,
        alone: Candidate,
        splits: Splits,
        scales: NDArray,
        options: FitOptions,
    ) -> NDArray:
        """By held-out losses, compared anew without those found until no more are.

        A task that the model of all tasks serves is not set apart for what it loses when others leave.
        """
        whole, guarded = evaluation.data, np.empty(0, dtype=np.intp)
        judged = ~np.isnan(evaluation.outcomes[chosen].task_scores).all(axis=0)
        loses: NDArray | None = None
        for _ in range(_MAX_GUARD_ROUNDS):
            others = np.setdiff1d(np.arange(len(whole.tasks)), guarded)
            if len(guarded):
                data = whole.take(np.arange(whole.n_rows), others)
                folds = make_folds(data, data_splits(splits, data)[1], scales[others], options)
                evaluation = Evaluation(data, folds, n_jobs=self.n_jobs)
            both = (_of_some(one, evaluation.data, whole) for one in (chosen, alone))
            n_rows, gains, variances = held_out_gains(evaluation, *both)
            loses = gains < 0 if loses is None else loses
            harmed = others[harmed_tasks(n_rows, gains, variances, loses[others])]
            guarded = np.union1d(guarded, harmed)
            judged[guarded] = False
            if not len(harmed) or not judged.any():
                break
        return guarded

    def _teach(
        self,
        evaluation: Evaluation,
        chosen: Candidate,
        guarded: NDArray,
        splits: Splits,
        scales: NDArray,
        options: FitOptions,
    ) -> bool:
        """Whether the joint model of the other tasks learns from those set apart, too.

        A few tasks that do not belong would bend it. But where most are set apart because they have labels enough, it
        is they that the others learn from, unless their held-out losses are clearly lower without them.
        """
        whole = evaluation.data
        others = np.setdiff1d(np.arange(len(whole.tasks)), guarded)
        taught = _fold_means(evaluation.outcomes[chosen].task_scores[:, others])
        if not len(taught):  # no fold judges them
            return True
        data = whole.take(np.arange(whole.n_rows), others)
        without = Evaluation(data, make_folds(data, data_splits(splits, data)[1], scales[others], options))
        as_strong = _of_some(chosen, data, whole)
        without([as_strong])
        apart = _fold_means(without.outcomes[as_strong].task_scores)
        if len(taught) != len(apart):
            return bool(taught.mean() >= apart.mean())
        lost = apart - taught
        return len(lost) < 2 or bool(lost.mean() <= lost.std(ddof=1) / np.sqrt(len(lost)))

    def _refit(
        self,
        data: TaskData,
        start: Solution | None,
        chosen: Candidate,
        joined: NDArray,
        guarded: NDArray,
        alone: Candidate | None,
        report: Any,
    ) -> Solution:
        if not len(guarded) or alone is None:
            return self._solve_at(data, report, start, **chosen.as_dict())
        belonging, apart = (data.take(np.arange(data.n_rows), tasks) for tasks in (joined, guarded))
        joint = self._solve_at(belonging, report, start, **_of_some(chosen, belonging, data).as_dict())
        independent = self._solve_at(apart, None, start, **_of_some(alone, apart, data).as_dict())
        return merge_solutions(data.tasks, [(joined, joint), (guarded, independent)])

    def _fold_scorer(self, data: TaskData, given: Given, tests: list[NDArray]) -> Scorer:
        """`scoring` as a function of a fold and its solution, on the rows as they were handed over."""
        names = [task.name for task in data.tasks]
        scoring: Any = self.scoring
        if isinstance(scoring, str):
            scoring = dict.fromkeys(names, scoring)
        if isinstance(scoring, Mapping):
            require_known_tasks(scoring, names)
            scoring = MultiTaskScorer(scoring)
        if not callable(scoring):
            allowed = "a metric's name, a dict of them by task, a callable or None"
            raise TypeError(f"scoring must be {allowed}, got {scoring!r}.")
        X, y = as_rows(given.X, given.y)

        def score(place: int, solution: Solution) -> tuple[float, NDArray]:
            solution = solution if given.units is None else out_of_units(solution, given.units)
            model = self._fitted_copy(solution, data.tasks, given)
            scored = scoring(model, take_rows(X, tests[place]), take_rows(y, tests[place]))
            if not isinstance(scored, Mapping):
                return float(scored), np.full(len(names), np.nan)
            if "mean" not in scored and not any(name in scored for name in names):
                raise ValueError(f"scoring={self.scoring!r} gives {list(scored)}: neither a task nor 'mean'.")
            by_task = np.array([scored.get(name, np.nan) for name in names], dtype=float)
            return float(scored["mean"] if "mean" in scored else np.nanmean(by_task)), by_task

        return score

    def _fitted_copy(self, solution: Solution, tasks: tuple[Task, ...], given: Given) -> Any:
        model = copy.copy(self)
        model._learn(fitted_attributes(solution, tasks, given.form))
        return model


def _of_some(candidate: Candidate, some: TaskData, everything: TaskData) -> Candidate:
    """The candidate for some of the tasks, each as strongly shrunk as among all.

    A strength is that of a mean over the observations of a task on average, which others leave larger or smaller.
    """
    ratio = everything.weight_per_task / some.weight_per_task
    names = ("alpha", "alpha_common", "alpha_own", "alpha_intercept")
    strengths = {name: getattr(candidate, name) for name in names}
    return replace(candidate, **{name: a * ratio for name, a in strengths.items() if a is not None})


def _fold_means(task_scores: NDArray) -> NDArray:
    """Means over the tasks (n_folds, n_tasks) that a fold judges, of folds that judge any."""
    judged = ~np.isnan(task_scores)
    any_of = judged.any(axis=1)
    return np.where(judged, task_scores, 0.0).sum(axis=1)[any_of] / judged.sum(axis=1)[any_of]


def _shares_nothing(candidate: Candidate) -> bool:
    return not candidate.has_shared and candidate.alpha_common is None and candidate.alpha_intercept is None


def _is_independent(candidate: Candidate) -> bool:
    return candidate.alpha_own is not None and _shares_nothing(candidate)


def _in_row_space(data: TaskData, fit_intercept: bool) -> TaskData:
    """An X of fewer rows than columns, written in its row space once for all folds."""
    if not is_wide(data):
        return data
    return to_row_space(data, data.row_weights if fit_intercept else None)[0]
