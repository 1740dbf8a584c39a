"""Scores of one task under all models, and the paired differences that say how certain their gaps are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from skmtl.evidence import Paired
from skmtl.scoring import score_task
from skmtl.transfer.comparison import N_GROUPS, Answers, deviation, true_values
from skmtl.transfer.folds import Fold
from skmtl.transfer.results import mean_defined
from skmtl.transfer.task_table import TaskTable

#: Relative differences of losses that mean nothing.
_ROUNDING = 1e-9
#: {model: {fold: its answers on one task}}
AnswersByModel = Mapping[str, Mapping[int, Answers]]


@dataclass(frozen=True)
class ScoredTask:
    """Held-out scores of one task, and paired differences between the joint model and the others.

    Attributes
    ----------
    scores : dict of {model: float}
    plain : dict of {model but the joint one: Paired}
        Differences that add up to those of the scores.
    fine : Paired
        Of the independent model, in the measure that verdicts rest on.
    """

    scores: dict[str, float]
    plain: dict[str, Paired]
    fine: Paired


def score_default(table: TaskTable, t: int, folds: list[Fold], answers: AnswersByModel) -> ScoredTask:
    """R² or accuracy over all held-out rows, and differences row by row."""
    task, tested = table.tasks[t], list(answers["joint"])
    rows = [np.intersect1d(folds[k][1], table.rows[t]) for k in tested]
    entry = np.concatenate([k * table.n_rows + own for k, own in zip(tested, rows, strict=True)] or [np.empty(0, int)])
    fold = np.repeat(tested, list(map(len, rows))) if tested else np.empty(0, int)
    ratio = _train_over_test(table, t, folds, tested)
    y = true_values(table, t, entry % table.n_rows)
    weights = table.weights_of(t, entry % table.n_rows)
    losses, fine_losses, scores = {}, {}, {}
    for name, per_fold in answers.items():
        predicted = np.concatenate([per_fold[k].predicted for k in tested] or [np.empty(0)])  # type: ignore[list-item]
        scores[name] = score_task(task.kind, y, predicted, weights) if len(y) else float("nan")
        losses[name] = _square(y - predicted, y, weights) if task.classes is None else (y != predicted).astype(float)
        known = [per_fold[k].probabilities for k in tested]
        fine_losses[name] = losses[name]
        if known and all(one is not None for one in known):
            fine_losses[name] = _brier(table, t, entry % table.n_rows, np.concatenate(known), weights)  # type: ignore[arg-type]
    plain = {
        name: Paired(entry, fold, weighted(_beyond_rounding(losses[name] - losses["joint"], 1.0), weights), ratio)
        for name in losses
        if name != "joint"
    }
    difference = _beyond_rounding(fine_losses["independent"] - fine_losses["joint"], 1.0)
    fine = Paired(entry, fold, weighted(difference, weights), ratio)
    return ScoredTask(scores, plain, fine)


def _square(residual: NDArray, y: NDArray, weights: NDArray | None) -> NDArray:
    """Squared errors as shares of the variance of y; zero where that is zero."""
    spread = deviation(y, weights) ** 2
    return residual**2 / (spread if spread > 0 else np.inf)


def weighted(differences: NDArray, weights: NDArray | None) -> NDArray:
    """Differences whose plain mean is the weighted one, and whose plain spread tells its error.

    ``m + v (d - m) / mean(v)``, the linearised weighted mean: only ratios of weights matter, and a row of weight two is
    no two independent rows.
    """
    if weights is None or not len(differences):
        return differences
    mean = np.average(differences, weights=weights)
    return mean + weights / weights.mean() * (differences - mean)


def _brier(table: TaskTable, t: int, rows: NDArray, probabilities: NDArray, weights: NDArray | None) -> NDArray:
    """Squared errors of class probabilities as shares of those of the classes' frequencies."""
    codes = table.targets[t][np.searchsorted(table.rows[t], rows)].astype(np.intp)
    hit = probabilities[np.arange(len(codes)), codes]
    error = np.sum(probabilities**2, axis=1) - 2 * hit + 1
    frequency = np.bincount(codes, weights) / (len(codes) if weights is None else weights.sum())
    spread = 1 - np.sum(frequency**2)
    return error / (spread if spread > 0 else np.inf)


def score_metric(table: TaskTable, t: int, folds: list[Fold], answers: AnswersByModel) -> ScoredTask:
    """The mean of the folds of a metric of the user's, and jackknife pseudo-values group by group."""
    defined = [k for k in answers["joint"] if all(not np.isnan(one[k].score) for one in answers.values())]
    scores = {name: mean_defined([one[k].score for k in one]) for name, one in answers.items()}
    plain = {}
    for name in answers:
        if name != "joint":
            plain[name] = _pseudo_values(answers[name], answers["joint"], defined, table, t, folds)
    return ScoredTask(scores, plain, plain["independent"])


def _pseudo_values(
    one: Mapping[int, Answers],
    joint: Mapping[int, Answers],
    defined: list[int],
    table: TaskTable,
    t: int,
    folds: list[Fold],
) -> Paired:
    """What every group of test rows contributes to the difference of two scores, by leaving it out."""
    entries, values, of_fold = [], [], []
    for k in defined:
        difference = joint[k].score - one[k].score
        left = joint[k].without_group - one[k].without_group  # type: ignore[operator]
        groups = np.flatnonzero(~np.isnan(left))
        pseudo = len(groups) * difference - (len(groups) - 1) * left[groups]
        if len(groups) < 2:
            groups, pseudo = np.array([0]), np.array([difference])
        entries.append(k * N_GROUPS + groups)
        values.append(pseudo + difference - pseudo.mean())
        of_fold.append(np.full(len(groups), k))
    if not defined:
        return Paired(np.empty(0, int), np.empty(0, int), np.empty(0), np.nan)
    pseudo = np.concatenate(values)
    shift = np.mean([joint[k].score - one[k].score for k in defined]) - pseudo.mean()
    ratio = _train_over_test(table, t, folds, defined)
    level = max(abs(joint[k].score) for k in defined)
    pseudo = _beyond_rounding(pseudo + shift, level)
    return Paired(np.concatenate(entries), np.concatenate(of_fold), pseudo, ratio)


def _beyond_rounding(difference: NDArray, level: float) -> NDArray:
    """The differences, those zero that are rounding only: two names of one model differ in their last digits."""
    return np.where(np.abs(difference) <= _ROUNDING * level, 0.0, difference)


def _train_over_test(table: TaskTable, t: int, folds: list[Fold], tested: list[int]) -> float:
    """Labels of a task that the training parts offer, over those of the test parts.

    Of a learning curve too: few labels drawn from parts that overlap coincide less than the parts do.
    """
    sizes = np.array([[np.isin(part, table.rows[t]).sum() for part in folds[k]] for k in tested]).reshape(-1, 2)
    return float(sizes[:, 0].sum() / sizes[:, 1].sum()) if len(sizes) else float("nan")
