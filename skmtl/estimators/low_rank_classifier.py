"""The low-rank estimator for classes."""

from __future__ import annotations

from typing import Any

from sklearn.base import BaseEstimator, ClassifierMixin

from skmtl.estimators.low_rank import LowRankModel
from skmtl.inputs import TargetRules


class LowRankClassifier(LowRankModel, ClassifierMixin, BaseEstimator):
    """Binary and multiclass targets learned jointly through a shared low-rank basis.

    For several classifications that depend on the features in related ways, above all when labels are few or
    missing: what the tasks have in common is learned from the labels of all of them.

    Parameters
    ----------
    n_components : int, default=None
        Columns k of the shared basis, the largest rank of the shared part. None: min(n_features, total number
        of outputs), so that `alpha` alone sets the rank.
    alpha : float or "auto", default="auto"
        Strength of the shared part, >= 0: a ridge on basis and factors, which is the trace norm of their
        product. Infinity leaves the shared part out. "auto": 0.44 of what noise alone would put into the gradient
        at the null model (Notes), without any tuning; the tuned classes choose by held-out rows.
    alpha_common : float, default=None
        Ridge strength of one coefficient vector that all tasks with a single output share. None: no common
        part.
    alpha_own : float, default=None
        Strength of each task's own deviation. None: no own parts.
    alpha_intercept : float, default=None
        Ridge strength of the deviations of the tasks' intercepts from their mean, which is not penalised and taken at
        the mean of X: tasks of few rows learn their level from all tasks. Needs tasks of one kind and one unit
        (the same two classes) of which no row has two targets: own rows, the long form, or targets with gaps. None:
        every intercept is free.
    factor_prior : {"ridge", "learned"}, default="ridge"
        "ridge": factors shrink to zero, all by the same strength. "learned": after the fit, mean and covariance
        of the factors are estimated from all tasks, and the factors recomputed under this prior. It pays with
        many tasks of few rows, spares much of the tuning of `alpha`, and covers what all tasks have in common.
        The classes of a task, none of which is special, have mean zero and share the covariance. Of what is learned
        from classes or counts no more is believed than lowers the loss on three held-out folds (three more fits).
    feature_prior : {"ridge", "learned"}, default="ridge"
        "ridge": the coefficients of all features are shrunk alike. "learned": features are first scaled by the
        spread of their coefficients over tasks, as a normal model of every task's coefficients estimates it
        (automatic relevance determination), so that features that matter to many tasks are shrunk less.
    own_penalty : {"ridge", "group"}, default="ridge"
        "ridge": every task has an own part, under ``alpha_own / 2 |E|^2``. "group": the penalty is ``alpha_own``
        times the sum over tasks of |E_t|, for a few tasks that do not belong with the others: only these have an
        own part, those of all others are exactly zero. It takes about ten fits in place of one.
    task_weight : "balanced" or dict of {task: weight}, default=None
        None: every observation counts once. "balanced": every task counts once. A dict: factors on all
        observations of a task, 1 for tasks that are not named.
    class_weight : "balanced", dict of {class: weight} or dict of {task: either}, default=None
        Factors on the observations of a class, as in :class:`~sklearn.linear_model.LogisticRegression`.
    scale_features : bool, default=False
        Whether features are divided by their standard deviation inside, over the rows that are used and by their
        weights, so that nothing depends on the units of columns. Everything public is in the features as given; a
        constant feature stays as it is. `objective_`, `dual_gap_` and strengths are of the features inside.
    n_init : int, default=1
        Starts: the first is spectral, the others are random; the best objective is kept.
    fit_intercept : bool, default=True
        Whether every output has an intercept, which is not penalised without `alpha_intercept`.
    max_iter : int, default=500
        Most steps of the basis from one start.
    tol : float, default=1e-8
        The fit stops when the duality gap, or, where `n_components` limits the rank, the decrease still to be
        had, is at most `tol` times the objective.
    warm_start : bool, default=False
        Begin at the basis of the earlier fit.
    random_state : int, RandomState instance or None, default=None
        For the random starts.
    verbose : int, default=0
        1 prints one line per five steps, 2 one per step.
    n_jobs : int, default=None
        Threads for the starts.
    task_col : str or int, default=None
        Long form: name or position of the column of X that holds the task of each row. It is no feature.

    Attributes
    ----------
    alpha_ : float
        Strength of the fit: `alpha`, or what "auto" found.
    tasks_ : list
        Names of the tasks, 0, 1, ... for the columns of an array.
    basis_ : ndarray of shape (n_features, n_components)
        Shared basis B. Columns that were not needed are zero and stand last.
    factors_ : dict of {task: ndarray of shape (n_components, n_outputs)}
        What each task makes of the basis, in units of its targets.
    factor_mean_ : ndarray of shape (n_components,) or None
        Mean of the factors of two-class tasks; None under ``factor_prior="ridge"``.
    factor_covariance_ : ndarray of shape (n_components, n_components) or None
        Their covariance. With it `factors_`, `coef_` and `intercept_` are those under the learned prior, while
        `objective_`, `dual_gap_` and `convergence_` speak of the fit under the ridge, which found the basis.
    feature_scale_ : ndarray of shape (n_features,), or None
        What features (divided by their deviations, under `scale_features`) were multiplied by inside under
        ``feature_prior="learned"``; all coefficients are those of the features as given.
    common_ : ndarray of shape (n_features,) or None
        Common part m of the two-class tasks.
    own_ : dict of {task: ndarray of shape (n_features, n_outputs)} or None
        Own parts E.
    coef_ : dict of {task: ndarray}, ndarray or list
        Coefficients in the shape scikit-learn uses for the kind: (n_features,) for numbers, (1, n_features)
        for two classes, (n_classes, n_features) for more. An array y: such an array, or a
        list of them.
    intercept_ : dict of {task: float or ndarray}, float, ndarray or list
        Intercepts, in the form of `coef_`.
    intercept_mean_ : float or None
        Mean over the tasks of their linear predictors at the mean of X, which `alpha_intercept` ties them to.
    classes_by_task_ : dict of {task: ndarray of shape (n_classes,)}
        Classes of the classification tasks.
    classes_ : ndarray of shape (n_classes,) or list of such
        y an array: the classes of its one column, or of every column; long form: all classes of all tasks.
    target_scale_ : dict of {task: float}
        What the linear predictor was divided by inside.
    rank_ : int
        Components in use.
    objective_ : float
        F at the solution.
    objective_path_ : ndarray of shape (n_steps + 1,)
        F after every step; with ``own_penalty="group"``, of shape (n_rounds,), after every round.
    dual_gap_ : float
        Upper bound of `objective_` minus the optimum of the convex problem without a limit on the rank: a
        small gap proves a global optimum.
    convergence_ : Convergence
        Whether, why and after how much work the solver stopped.
    n_iter_ : int
        Steps taken, at least one.
    n_features_in_ : int
        Columns of X as handed to `fit`.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the columns of X, where they are strings.

    See Also
    --------
    LowRankRegressor : The same for numbers.
    LowRankMultiTask : The same for numbers and classes in one fit.

    Notes
    -----
    With raw predictor ``raw_t(x) = x @ W_t + b_t`` and ``W_t = m 1' + B @ S_t + E_t``, the fit minimises::

        F = (1 / nbar) sum_t w_t sum_i v_ti loss_t(y_ti, raw_ti)
            + alpha / 2 (|B|^2 + |S|^2) + alpha_common / 2 |m|^2 + alpha_own / 2 |E|^2
            + alpha_intercept / 2 sum_t (b_t + x W_t - mean)^2

    over the basis B (n_features, k), factors S, common part m, own parts E and intercepts b, with the weights
    v of the observations and w of the tasks, and nbar = (sum of all v) / n_tasks. Then alpha means the same
    for 100 rows and for 10^7, and a weight of 2 is a row twice. The loss is
    that of logistic regression: two classes have one output, more have one output each (softmax).

    ``alpha="auto"`` is ``0.44 (max_j d_j |s| + |d| max_o s_o)``, with d the standard deviations of the features inside
    and s_o that of noise in the mean gradient of output o: for features of deviation 1 and T numeric tasks of n rows,
    ``0.44 (sqrt(n_features) + sqrt(T)) / sqrt(n)``; half of that for two classes, less where one is rare. Deviations
    above their median count as the median: a few columns in larger units do not silence the others. Weights count as
    rows, as in `Ridge`. At 2.3 times this strength a trace norm lets no noise through [3]_; what predicts best is
    weaker.

    Where k is not below the rank of the optimum, the problem is convex: the smallest (|B|^2 + |S|^2) / 2 with
    B S = L is the trace norm of L [1]_. The solver eliminates factors and intercepts exactly [2]_ and moves
    the basis by quasi-Newton steps.

    References
    ----------
    .. [1] Srebro, N., Rennie, J. & Jaakkola, T. (2004). Maximum-margin matrix factorization. Advances in
           Neural Information Processing Systems 17.
    .. [2] Golub, G. & Pereyra, V. (1973). The differentiation of pseudo-inverses and nonlinear least squares
           problems whose variables separate. SIAM Journal on Numerical Analysis, 10(2).
           :doi:`10.1137/0710036`
    .. [3] Negahban, S. & Wainwright, M. J. (2011). Estimation of (near) low-rank matrices with noise and
           high-dimensional scaling. The Annals of Statistics, 39(2). :doi:`10.1214/10-AOS850`

    Examples
    --------
    >>> from skmtl import LowRankClassifier
    >>> from skmtl.datasets import load_penguins
    >>> X, y = load_penguins()
    >>> model = LowRankClassifier(n_components=3).fit(X, {"species": y["species"], "sex": y["sex"]})
    >>> sorted(model.predict(X))
    ['sex', 'species']
    >>> model.predict_proba(X)["species"].shape
    (344, 3)
    """

    def __init__(
        self,
        *,
        n_components: int | None = None,
        alpha: float | str = "auto",
        alpha_common: float | None = None,
        alpha_own: float | None = None,
        alpha_intercept: float | None = None,
        factor_prior: str = "ridge",
        feature_prior: str = "ridge",
        own_penalty: str = "ridge",
        task_weight: Any = None,
        class_weight: Any = None,
        scale_features: bool = False,
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
        self.own_penalty = own_penalty
        self.task_weight = task_weight
        self.class_weight = class_weight
        self.scale_features = scale_features
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
