"""The estimator for classes with a hidden layer that all tasks share."""

from __future__ import annotations

from typing import Any

from sklearn.base import BaseEstimator, ClassifierMixin

from skmtl.estimators.low_rank_classifier_cv import LowRankClassifierCV
from skmtl.estimators.shared_layer import SharedLayerModel
from skmtl.inputs import TargetRules


class SharedLayerClassifier(SharedLayerModel, ClassifierMixin, BaseEstimator):
    """Classes with curved borders: networks with one hidden layer that all tasks share, averaged over folds.

    For tasks that depend on the features in curved ways that they share. The tuned linear model is among the
    candidates: where nothing bends, it answers.

    Parameters
    ----------
    n_hidden : "auto" or int, default="auto"
        Rectified units of each network. "auto": 32, or 0 where the tuned linear model is as good on held-out rows.
        0: the linear model.
    n_linear : int, default=8
        Linear units beside them.
    alpha : "auto" or float, default="auto"
        One strength for layer and heads, > 0. "auto": chosen on the folds.
    alpha_common : "auto", float or None, default="auto"
        Strength of a common mean of the heads, to which they are then shrunk, intercepts too. It needs tasks of one
        kind with one output each, and means that they are in one unit. "auto": a tenth of `alpha`, or none, as the
        folds say, where no row has two targets; elsewhere none.
    task_weight : "balanced" or dict of {task: weight}, default=None
        None: every observation counts once. "balanced": every task counts once. A dict: factors on all
        observations of a task. It counts in the held-out losses too.
    class_weight : "balanced", dict of {class: weight} or dict of {task: either}, default=None
        Factors on the observations of a class.
    cv : int, splitter or iterable of (train, test), default=None
        The folds: one network is trained on each training part, and their average is the model. A number, or None for
        5, means shuffled folds with an equal share of every task and of every class of a task. A splitter is taken as
        it is.
    max_iter : int, default=500
        Most steps of a network.
    tol : float, default=3e-4
        A network has settled when ten steps have lowered its objective by no more than ten times `tol` of it.
    random_state : int, RandomState instance or None, default=None
        Seed of the folds, where `cv` is a number, and of the starts; None is 0. The number of threads does not matter.
    verbose : int, default=0
        1: a line on the standard output for every strength that is tried, those of the linear model included.
    n_jobs : int, default=None
        Folds worked on at a time, in threads.
    task_col : str or int, default=None
        Long form: name or position of the column of X that holds the task of each row. It is no feature.

    Attributes
    ----------
    n_hidden_ : int
        Rectified units of each network; 0 where `linear_model_` answers.
    linear_model_ : LowRankClassifierCV or None
        The tuned linear model, where it answers.
    alpha_, alpha_common_ : float or None
        The strengths of the networks; None where there are none, or no common mean.
    n_units_ : int
        Units of all networks together: ``n_splits_ * (n_hidden_ + n_linear)``.
    hidden_coef_ : ndarray of shape (n_features, n_units_)
        Coefficients of the units, of X as it is; network after network, of each the rectified units first. Where the
        linear model answers, its basis.
    hidden_intercept_ : ndarray of shape (n_units_,)
    factors_ : dict of {task: ndarray of shape (n_units_, n_outputs)}
        The heads, in units of the targets, divided by the number of networks.
    intercept_ : dict of {task: float or ndarray}, float, ndarray or list
        Intercepts of the heads, in the form of y.
    tasks_ : list
        Names of the tasks, 0, 1, ... for the columns of an array.
    classes_by_task_ : dict of {task: ndarray of shape (n_classes,)}
        Classes of the classification tasks.
    classes_ : ndarray of shape (n_classes,) or list of such
        y an array: the classes of its one column, or of every column that holds classes; long form: all classes of all
        tasks.
    target_scale_ : dict of {task: float}
        What the linear predictor was divided by inside.
    cv_results_ : dict
        As of :class:`~sklearn.model_selection.GridSearchCV`, one entry per strength that was tried; where
        the layer was none of the candidates, those of the linear model. NaN for a fold that was not asked.
    n_splits_ : int
        Folds that had something to train and something to test on.
    objective_ : float
        Mean of the networks' objectives, or that of the linear model.
    convergence_ : Convergence
        Whether and why the networks stopped.
    n_iter_ : int
        Most steps that a network took, at least one.
    n_features_in_ : int
        Columns of X as handed to `fit`.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the columns of X, where they are strings.

    See Also
    --------
    LowRankClassifierCV : The linear model.
    SharedLayerRegressor, SharedLayerMultiTask : The same for other targets.

    Notes
    -----
    A network has the layer ``h(x) = [relu(x V + c), x B]``, on features of mean zero and standard deviation one, and a
    linear predictor ``raw_t(x) = h(x) @ w_t + b_t`` per task, its head [1]_. It minimises::

        F = (1 / nbar) sum_t w_t sum_i v_ti loss_t(y_ti, raw_ti) + alpha / 2 (|V|^2 + |c|^2 + |B|^2 + |W|^2)

    with weights v of the observations and w of the tasks, and nbar = (sum of all v) / n_tasks. Without V it is the
    low-rank model. With a common mean, ``w_t = m + s_t`` under ``alpha_common / 2 |m|^2 + alpha / 2 sum |s_t|^2``, and
    the intercepts' deviations from theirs under alpha too.

    F is not convex: the answer depends on the start, and nothing certifies it. Averaging the linear predictors of one
    network per fold makes it depend less. For squared losses the heads are eliminated exactly [2]_; otherwise layer
    and heads move together; both by L-BFGS.

    The folds choose the strengths, walking along alpha while the held-out loss falls (where two folds judge 200 rows,
    on these two, and the others see what is still open), and whether the layer is worth
    having: it must lower the held-out loss of the tuned LowRankClassifierCV on the same folds by one standard error
    of the paired differences per row. The fitted networks are those of the folds: nothing is fitted again on all rows.

    References
    ----------
    .. [1] Caruana, R. (1997). Multitask learning. Machine Learning, 28, 41-75. :doi:`10.1023/A:1007379606734`
    .. [2] Golub, G. & Pereyra, V. (1973). The differentiation of pseudo-inverses and nonlinear least squares
           problems whose variables separate. SIAM Journal on Numerical Analysis, 10(2). :doi:`10.1137/0710036`

    Examples
    --------
    >>> import numpy as np
    >>> from skmtl import SharedLayerClassifier
    >>> rng = np.random.RandomState(0)
    >>> X = rng.uniform(-2, 2, (150, 2))
    >>> y = {"ring": np.where(np.hypot(*X.T) < 1.3, "in", "out"), "side": np.where(np.abs(X[:, 0]) < 1, "a", "b")}
    >>> model = SharedLayerClassifier(cv=3).fit(X, y)
    >>> model.n_hidden_
    32
    >>> bool(model.score(X, y) > 0.95)
    True
    """

    _linear_class = LowRankClassifierCV

    def __init__(
        self,
        *,
        n_hidden: Any = "auto",
        n_linear: int = 8,
        alpha: Any = "auto",
        alpha_common: Any = "auto",
        task_weight: Any = None,
        class_weight: Any = None,
        cv: Any = None,
        max_iter: int = 500,
        tol: float = 3e-4,
        random_state: Any = None,
        verbose: int = 0,
        n_jobs: int | None = None,
        task_col: Any = None,
    ) -> None:
        self.n_hidden = n_hidden
        self.n_linear = n_linear
        self.alpha = alpha
        self.alpha_common = alpha_common
        self.task_weight = task_weight
        self.class_weight = class_weight
        self.cv = cv
        self.max_iter = max_iter
        self.tol = tol
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
