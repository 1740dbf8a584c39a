"""The low-rank estimator for classes, tuned by cross-validation."""

from __future__ import annotations

from typing import Any

from sklearn.base import BaseEstimator, ClassifierMixin

from skmtl.estimators.cross_validated import LowRankModelCV
from skmtl.inputs import TargetRules


class LowRankClassifierCV(LowRankModelCV, ClassifierMixin, BaseEstimator):
    """Classes learned jointly, rank and strengths chosen by cross-validation.

    Parameters
    ----------
    n_components : "auto", int, None or list of such, default="auto"
        Columns of the shared basis. "auto" is chosen freely, a value is kept, of a list the best is taken; None
        is no limit.
    alpha : "auto", float or list of float, default="auto"
        Strength of the shared part; infinity leaves it out.
    alpha_common : "auto", float, None or list of such, default="auto"
        Strength of the common part; None leaves it out.
    alpha_own : "auto", float, None or list of such, default="auto"
        Strength of the own parts; None leaves them out.
    alpha_intercept : "auto", float, None or list of such, default="auto"
        Strength that ties the tasks' intercepts to their mean, for tasks of few rows. "auto" tries it for tasks of one
        kind (numbers, or the same two classes) of which no row has two targets, and leaves intercepts free elsewhere.
    factor_prior : "auto", "ridge", "learned" or a list of both, default="auto"
        "learned": the factors' mean and covariance are estimated and the factors recomputed under them. "auto":
        if that lowers the held-out loss of the best model.
    feature_prior : "auto", "ridge", "learned" or a list of both, default="auto"
        "learned": features are scaled by the spread of their coefficients over tasks. "auto": if that lowers the
        held-out loss of the best model by a standard error; it is tried on tables that are longer than wide and have at
        most 200 columns, and not where all other parameters are given.
    task_weight : "balanced" or dict of {task: weight}, default=None
        None: every observation counts once. "balanced": every task counts once. A dict: factors on all
        observations of a task. It counts in the held-out losses too.
    class_weight : "balanced", dict of {class: weight} or dict of {task: either}, default=None
        Factors on the observations of a class.
    scale_features : bool, default=True
        Whether features are divided by their standard deviation inside, over the rows that are used and by their
        weights, so that nothing depends on the units of columns. Everything public is in the features as given; a
        constant feature stays as it is. `objective_`, `dual_gap_` and strengths are of the features inside.
    cv : int, splitter or iterable of (train, test), default=None
        A number, or None for 5, means shuffled folds with an equal share of every task and of every class of a task,
        the same whatever the form of X and y: those of ``TaskKFold(cv, shuffle=True, random_state=seed)``, with
        `random_state` as the seed. A splitter is taken as it is: for rows that belong together, or in time,
        :class:`~sklearn.model_selection.GroupKFold` with ``fit(X, y, groups=...)``,
        :class:`~sklearn.model_selection.TimeSeriesSplit`.
    scoring : str, callable or dict of {task: str or callable}, default=None
        What is to be greatest. None: minus the mean held-out loss, in the units of the objective: squared errors
        over the variance of the target, log losses, Poisson losses. A name of scikit-learn's or a dict is a
        metric per task, of which the mean counts; a callable ``(estimator, X, y)`` gives a number, or a dict
        with "mean".
    refit : bool, default=True
        Whether to fit the chosen model on everything; False leaves the results of the search only.
    guard : bool, default=True
        Whether tasks that an independent model serves clearly better get that model (`guarded_`), the others
        being fitted without them, by held-out losses.
    one_standard_error : bool, default=False
        Whether to take the simplest model within one standard error of the best, in place of the best.
    n_init : int, default=1
        Starts of the final fit: the first is spectral, the others are random.
    fit_intercept : bool, default=True
        Whether every output has an intercept, which is not penalised.
    max_iter : int, default=500
        Most steps of the basis in the final fit.
    tol : float, default=1e-8
        Tolerance of the final fit; fits on folds stop earlier.
    warm_start : bool, default=False
        Begin the final fit at the basis of the earlier one.
    random_state : int, RandomState instance or None, default=None
        Seed of the folds, where `cv` is a number, and of the random starts. None: folds of the seed 0; a RandomState
        gives the folds of every fit a new seed.
    verbose : int, default=0
        1: a line on the standard output for every candidate of the cross-validation, then progress of the final fit.
    n_jobs : int, default=None
        Folds worked on at a time, in threads; where X (or what stands for complete targets, its second moments) has
        fewer than half a million elements that would take longer, and they come one after the other.
    task_col : str or int, default=None
        Long form: name or position of the column of X that holds the task of each row.

    Attributes
    ----------
    n_components_ : int or None
        The chosen value; 0 where the shared part is left out.
    scale_features_ : bool
        As `scale_features`.
    factor_prior_, feature_prior_ : {"ridge", "learned"}
        The chosen priors.
    alpha_, alpha_common_, alpha_own_, alpha_intercept_ : float or None
        The strengths of the final fit: ``alpha_`` infinite, or the others None, where the part is left out.
    cv_results_ : dict
        As of :class:`~sklearn.model_selection.GridSearchCV`, one entry per candidate that was tried, and for
        every task ``mean_test_<task>`` and ``std_test_<task>``.
        A candidate that falls clearly behind the best so far on the first folds, or has a further part that wins
        nothing there, is not fitted on the others: its scores there are NaN, and its mean is that of the other
        candidate less what it fell behind (not in a full grid, and not with `one_standard_error`).
    best_index_, best_score_, best_params_ : int, float, dict
        Of the chosen candidate: the best where every parameter was given, else the best that has no part that is not
        worth its freedom (see Notes).
    n_splits_ : int
        Folds that had something to train and something to test on.
    guarded_ : list
        Tasks that got an independent model: their factors are zero, their coefficients are own part.
    tasks_, basis_, factors_, common_, own_, coef_, intercept_, classes_by_task_, classes_, target_scale_, \
feature_scale_, factor_mean_, factor_covariance_, rank_, objective_, objective_path_, dual_gap_, convergence_, \
n_iter_, intercept_mean_, n_features_in_, feature_names_in_
        Of the model fitted on everything, as in :class:`LowRankClassifier`.

    See Also
    --------
    LowRankClassifier : The same at given strengths.

    Notes
    -----
    Independent models (own parts alone) and pooled models (a common part alone) are candidates too, so that the
    choice is not far behind either on any set of tasks. Simple models are tried first; a further part, like scaled
    features, is kept where it lowers the held-out loss by a standard error over the folds, and every strength is
    narrowed down by brackets and parabolas. Where every parameter is given, all combinations are tried, and the best is
    taken. A task whose training part in a fold has no target, or lacks one of its classes, sits out that fold.

    All strengths that are stated are those of a fit on all rows. Where they were "auto", the fits on folds had them
    divided by the share of the targets that a fold trains on: the objective is a mean over rows, in which a prior of a
    given weight counts the more the fewer rows there are.

    Own parts have a ridge here. Under the group norm of ``own_penalty="group"`` a single fit takes up to 40 rounds;
    what it is for, a few tasks that do not belong, is the work of `guard`.

    Examples
    --------
    >>> from skmtl import LowRankClassifierCV
    >>> from skmtl.datasets import make_multitask
    >>> X, y = make_multitask(n_samples=80, n_features=5, n_tasks=4, kinds="binary", random_state=0)
    >>> model = LowRankClassifierCV(n_components=[1, 2], alpha_own=None, alpha_common=None, cv=3).fit(X, y)
    >>> model.n_components_ in (1, 2)
    True
    """

    def __init__(
        self,
        *,
        n_components: Any = "auto",
        alpha: Any = "auto",
        alpha_common: Any = "auto",
        alpha_own: Any = "auto",
        alpha_intercept: Any = "auto",
        factor_prior: Any = "auto",
        feature_prior: Any = "auto",
        task_weight: Any = None,
        class_weight: Any = None,
        scale_features: bool = True,
        cv: Any = None,
        scoring: Any = None,
        refit: bool = True,
        guard: bool = True,
        one_standard_error: bool = False,
        n_init: int = 1,
        fit_intercept: bool = True,
        max_iter: int = 500,
        tol: float = 1e-8,
        warm_start: bool = False,
        random_state: Any = None,
        verbose: int = 0,
        n_jobs: int | None = None,
        task_col: Any = None,
    ) -> None:
        self.n_components = n_components
        self.alpha = alpha
        self.alpha_common = alpha_common
        self.alpha_own = alpha_own
        self.alpha_intercept = alpha_intercept
        self.factor_prior = factor_prior
        self.feature_prior = feature_prior
        self.task_weight = task_weight
        self.class_weight = class_weight
        self.scale_features = scale_features
        self.cv = cv
        self.scoring = scoring
        self.refit = refit
        self.guard = guard
        self.one_standard_error = one_standard_error
        self.n_init = n_init
        self.fit_intercept = fit_intercept
        self.max_iter = max_iter
        self.tol = tol
        self.warm_start = warm_start
        self.random_state = random_state
        self.verbose = verbose
        self.n_jobs = n_jobs
        self.task_col = task_col

    def _rules(self) -> TargetRules:
        return TargetRules(type(self).__name__, "classes")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags
