"""`transfer_report`: does learning together help, and which tasks? The comparison in one call."""

from __future__ import annotations

import re
import warnings
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.utils import check_random_state

from skmtl.evidence import LEVEL, OWN_EVIDENCE, Evidence, gains, total_gain, weigh
from skmtl.inputs.features import is_dict_of_tables
from skmtl.model_selection.shuffled_folds import seed_of
from skmtl.scoring import NUMERIC, as_scorer, require_known_tasks
from skmtl.single_task import require_instance, require_weights
from skmtl.targets import column_names, is_named
from skmtl.tasks import Task
from skmtl.transfer.comparison import Answers, FoldResult, answer_fold
from skmtl.transfer.counterparts import Opponent, compared, predicting_part, target_rules
from skmtl.transfer.folds import Fold, LeftOut, leave_out, outer_folds, training_labels, warn_of_left_out
from skmtl.transfer.paired import ScoredTask, score_default, score_metric
from skmtl.transfer.progress import run_all
from skmtl.transfer.results import HELPS, HURTS, UNCLEAR, TaskTransfer, Totals, TransferReport, mean_defined
from skmtl.transfer.task_table import TaskTable, read_tasks


def transfer_report(
    estimator: Any,
    X: Any,
    y: Any,
    *,
    cv: Any = None,
    groups: Any = None,
    scoring: Any = None,
    sample_weight: Any = None,
    random_state: Any = None,
    n_jobs: int | None = None,
    verbose: int = 0,
) -> TransferReport:
    """Compare every task learned jointly, on its own, and pooled with the others, on the same held-out rows.

    Parameters
    ----------
    estimator : estimator
        Any that takes several tasks; a pipeline or search around one. It is cloned, never fitted.
    X, y : in any of the forms that the estimator's `fit` takes
        One X with named targets or an array, a dict of tables, or the long form.
    cv : int, splitter, iterable of splits or None, default=None
        Outer folds. None: five; a number means shuffled folds with an equal share of every task and of every class of
        a task, those of ``TaskKFold(cv, shuffle=True, random_state=seed)``. A splitter is taken as it is.
    groups : array-like of shape (n_rows,), default=None
        For splitters that want it.
    scoring : str, callable, dict of {task: such} or None, default=None
        None: R² of numbers and accuracy of classes, over all held-out rows. A name or scorer as
        in `sklearn.metrics.get_scorer`: the mean of the folds. A dict may leave tasks out.
    sample_weight : array-like of shape (n_rows,), or per task as `fit` of the estimator takes it, default=None
        Weights >= 0, of all fits, of the scores, and of the losses that verdicts rest on; a metric that takes none does
        without. Only their ratios matter to the standard errors: a row of weight two is no two rows.
    random_state : int, RandomState instance or None, default=None
        Seed of the folds, where `cv` is a number or None; None: 0. A RandomState gives every report a new seed.
    n_jobs : int, default=None
        Fits at the same time, as in joblib.
    verbose : int, default=0
        1 shows progress on the standard error, a bar where `rich` is installed.

    Returns
    -------
    report : TransferReport
        Per task the three scores, the gain with its standard error, and a verdict.

    Raises
    ------
    ValueError
        Before any fit, for unknown tasks in `scoring`, for weights as `fit` of the estimators refuses them, or that the
        estimator does not take, and if no fold can judge any task.

    Warns
    -----
    UserWarning
        If the training part of a fold holds nothing to learn a task from (no target, one class only, counts without an
        event): the task is left out of that fold, as `left_out` of the report says.

    Notes
    -----
    The opponents of skmtl's linear estimators are their tuned versions with the shared part left out: own parts only
    (independent), and one common part only, with an intercept per task (pooled; where all tasks have one kind and
    one output). A tuned estimator is compared without its `guard`: that would answer the question of the report first,
    and leave a task that it sets apart no difference to show. What the report finds to be hurt is what the guard is
    there for. For any other estimator they are clones, fitted on each task alone, and on the rows of all
    tasks as if they were one (not in the long form): of `SharedLayer*` one network per task and one for all rows, what
    is "auto", and a strength that is a number, chosen anew for each.

    The verdict rests on losses of the same rows under both models: squared error of numbers and of class
    probabilities, each as a share of the squared error of the mean. Their mean difference, the gain in R² or in
    Brier skill, has far less noise than a difference of a few fold scores. Its standard error is
    corrected for overlapping training sets [1]_. A sign is called where the probability that it is wrong is
    below 5 %, given the gains of all tasks [2]_: many tasks that gain make one small gain, of half its
    standard error at least, more credible. With a metric of your own, the rows of a fold are replaced by ten
    groups of rows, each left out in turn.

    References
    ----------
    .. [1] Nadeau, C. & Bengio, Y. (2003). Inference for the generalization error. Machine Learning, 52,
           239-281. :doi:`10.1023/A:1024068626366`
    .. [2] Stephens, M. (2017). False discovery rates: a new deal. Biostatistics, 18(2), 275-294.
           :doi:`10.1093/biostatistics/kxw041`

    Examples
    --------
    >>> from skmtl import LowRankRegressor, transfer_report
    >>> from skmtl.datasets import make_multitask
    >>> X, y = make_multitask(100, 20, 5, n_components=1, random_state=0)
    >>> report = transfer_report(LowRankRegressor(n_components=1, alpha=0.1), X, y, random_state=0)
    >>> report.verdicts["task_0"]
    'helps'
    """
    table = tasks_for(estimator, X, y, sample_weight)
    metrics = task_metrics(scoring, table)
    seed = seed_of(random_state)
    folds = outer_folds(table, cv, groups, seed)
    (report,) = compare(estimator, table, folds, [None], metrics, seed, n_jobs, verbose)
    return report


def compare(
    estimator: Any,
    table: TaskTable,
    folds: list[Fold],
    sizes: Sequence[int | None],
    metrics: dict[Hashable, Any],
    random_state: Any = None,
    n_jobs: int | None = None,
    verbose: int = 0,
) -> list[TransferReport]:
    """A report for every number of training labels per task; None means all."""
    models = compared(estimator, table)
    seeds = check_random_state(random_state).randint(np.iinfo(np.int32).max, size=len(folds))
    labels = [[training_labels(table, fold, size, seed) for fold, seed in zip(folds, seeds)] for size in sizes]
    left_out = [leave_out(table, of_size) for of_size in labels]
    warn_of_left_out(table, left_out)
    cells = [(i, k, name) for i in range(len(sizes)) for k in range(len(folds)) for name in models]
    results = run_all(
        [
            (
                f"fold {k + 1} of {len(folds)}, {name}" + (f", {sizes[i]} labels" if sizes[i] is not None else ""),
                answer_fold,
                (models[name], table, labels[i][k], folds[k], metrics),
            )
            for i, k, name in cells
        ],
        n_jobs,
        verbose,
    )
    _warn_once(results)
    found = dict(zip(cells, results, strict=True))
    reports = []
    for i in range(len(sizes)):
        answers = {name: [found[i, k, name].answers for k in range(len(folds))] for name in models}
        reports.append(_report(models, table, folds, labels[i], answers, metrics, left_out[i]))
    return reports


def tasks_for(estimator: Any, X: Any, y: Any, sample_weight: Any = None) -> TaskTable:
    """The tasks of X and y as the estimator takes them."""
    require_instance(estimator)
    if sample_weight is not None:
        require_weights(estimator)
    _require_named_tasks(estimator, X, y)
    with warnings.catch_warnings():
        if not hasattr(predicting_part(estimator), "kinds"):  # which is what the warning advises to set
            warnings.filterwarnings("ignore", message=".*hold whole numbers with at most")
        return read_tasks(X, y, target_rules(estimator), _task_column(estimator, X), sample_weight)


def _require_named_tasks(estimator: Any, X: Any, y: Any) -> None:
    """ValueError where targets have names and the estimator is scikit-learn's own, which knows none."""
    inside = type(predicting_part(estimator))
    if (is_named(y) or is_dict_of_tables(X)) and inside.__module__.partition(".")[0] == "sklearn":
        raise ValueError(
            f"{inside.__name__} takes targets as an array, and y names its tasks. Give one X and y as an array of "
            "shape (n_rows, n_tasks), for example np.column_stack(list(y.values())), or an estimator of named tasks "
            "such as LowRankMultiTaskCV()."
        )


def _task_column(estimator: Any, X: Any) -> Any:
    """Name or position of the column of task labels, as the estimator, or the one inside it, has it.

    Raises
    ------
    ValueError
        If steps of a pipeline come before it, so that a mere position may be another column.
    """
    inside = predicting_part(estimator)
    task_col = getattr(inside, "task_col", None)
    if task_col is None or inside is estimator or task_col in (column_names(X) or ()):
        return task_col
    raise ValueError(
        f"task_col={task_col!r} is no column of X by name, and inside a {type(estimator).__name__} a position may be "
        "another column; give X as a DataFrame, and the name of its column."
    )


def task_metrics(scoring: Any, table: TaskTable) -> dict[Hashable, Any]:
    """{task: metric of the user's}, checked; tasks without one have the default score."""
    if scoring is None:
        return {}
    if not isinstance(scoring, Mapping):
        scoring = dict.fromkeys(table.names, scoring)
    require_known_tasks(scoring, table.names)
    for metric in scoring.values():
        as_scorer(metric)
    return {name: metric for name, metric in scoring.items() if metric is not None}


def _report(
    models: dict[str, Opponent],
    table: TaskTable,
    folds: list[Fold],
    labels: list[list[NDArray]],
    answers: dict[str, list[dict[int, Answers]]],
    metrics: dict[Hashable, Any],
    left_out: LeftOut,
) -> TransferReport:
    scored = []
    for t, task in enumerate(table.tasks):
        tested = [k for k in range(len(folds)) if t in answers["joint"][k]]
        if task.name in left_out and not _varies(table, t, [folds[k] for k in tested]):
            tested = []  # what is left to test on would say the same of any model
        n_train = float(np.mean([len(labels[k][t]) for k in tested or range(len(folds))]))
        own = {name: {k: per_fold[k][t] for k in tested} for name, per_fold in answers.items()}
        score = score_metric if task.name in metrics else score_default
        scored.append((n_train, score(table, t, folds, own)))
    plain, plain_se, _ = gains([one.plain["independent"] for _, one in scored])
    evidence = weigh(*gains([one.fine for _, one in scored]))
    tasks = [
        _task_transfer(table.tasks[t], len(table.rows[t]), n_train, one, (plain[t], plain_se[t]), evidence, t)
        for t, (n_train, one) in enumerate(scored)
    ]
    means = {name: mean_defined([one.scores[name] for _, one in scored]) for name in models}
    totals = Totals(
        means["independent"],
        means.get("pooled", np.nan),
        means["joint"],
        *total_gain([one.plain["independent"] for _, one in scored]),
        *total_gain([one.fine for _, one in scored]),
        *(total_gain([one.plain["pooled"] for _, one in scored]) if "pooled" in models else (np.nan, np.nan)),
    )
    default = {task.name: "R^2" if task.kind in NUMERIC else "accuracy" for task in table.tasks}
    scoring = {name: str(metrics.get(name, default[name])) for name in table.names}
    return TransferReport(
        tasks, totals, scoring, len(folds), {name: clone(one.estimator) for name, one in models.items()}, left_out
    )


def _varies(table: TaskTable, t: int, folds: list[Fold]) -> bool:
    """Whether the targets of a task differ between the rows that these folds test on."""
    tested = np.isin(table.rows[t], np.concatenate([test for _, test in folds] or [np.empty(0, int)]))
    return len(np.unique(table.targets[t][tested])) > 1


def _task_transfer(
    task: Task,
    n_labels: int,
    n_train: float,
    scored: ScoredTask,
    gain: tuple[float, float],
    evidence: Evidence,
    t: int,
) -> TaskTransfer:
    verdict = UNCLEAR
    # What the other tasks suggest is no verdict against, or without, what the task's own rows say.
    own = evidence.gain[t] / evidence.se[t] if evidence.se[t] > 0 else 0.0
    if evidence.p_better[t] > 1 - LEVEL and own > OWN_EVIDENCE:
        verdict = HELPS
    elif evidence.p_worse[t] > 1 - LEVEL and own < -OWN_EVIDENCE:
        verdict = HURTS
    return TaskTransfer(
        task=task.name,
        kind=task.kind,
        n_labels=n_labels,
        n_train=n_train,
        independent=scored.scores["independent"],
        pooled=scored.scores.get("pooled", float("nan")),
        joint=scored.scores["joint"],
        gain=float(gain[0]),
        gain_se=float(gain[1]),
        fine_gain=float(evidence.gain[t]),
        fine_gain_se=float(evidence.se[t]),
        p_better=float(evidence.p_better[t]),
        p_worse=float(evidence.p_worse[t]),
        verdict=verdict,
    )


def _warn_once(results: list[FoldResult]) -> None:
    """The warnings of all fits, once where they differ in numbers only."""
    alike: dict[tuple, list[str]] = {}
    for result in results:
        for category, text in result.warnings:
            alike.setdefault((category, re.sub(r"\d[\d.e+-]*", "#", text)), []).append(text)
    for (category, _), texts in alike.items():
        more = f" ({len(texts)} such warnings from {len(results)} fits)" if len(texts) > 1 else ""
        warnings.warn(texts[0] + more, category, stacklevel=4)
