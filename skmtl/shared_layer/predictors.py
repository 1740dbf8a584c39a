"""What `split` hands out: for every task a genuine fitted network of scikit-learn, equal to the joint model.

scikit-learn's networks know rectified units only. All linear units together are one linear function per output, which
is two rectified units: ``u = relu(u) - relu(-u)``.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Hashable, Sequence
from inspect import signature
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.neural_network import MLPClassifier, MLPRegressor

from skmtl.shared_layer.ensemble import NetworkSolution
from skmtl.tasks import Task

#: What these say of the tiny problem of `_prototype` is untrue of the task, and prediction does without it.
_OF_THE_PROTOTYPE = ("loss_", "n_iter_", "_random_state")


def make_networks(
    tasks: Sequence[Task], solution: NetworkSolution, feature_names: NDArray | None = None
) -> dict[Hashable, BaseEstimator]:
    """One fitted `MLPRegressor` or `MLPClassifier` per task.

    Parameters
    ----------
    tasks : sequence of Task, length n_tasks
    solution : NetworkSolution
    feature_names : ndarray of shape (n_features,), or None
        Becomes `feature_names_in_`.

    Returns
    -------
    predictors : dict of {task name: fitted scikit-learn estimator}, in the order of `tasks`

    Raises
    ------
    ValueError
        For a task of counts, if scikit-learn's `MLPRegressor` has no Poisson loss.
    """
    prototypes: dict[tuple[str, int], Any] = {}
    predictors: dict[Hashable, BaseEstimator] = {}
    first = 0
    for task in tasks:
        outputs = slice(first, first + task.n_outputs)
        first = outputs.stop
        coefs, intercepts = _rectified(solution, outputs)
        if task.classes is not None and len(task.classes) == 2 and task.n_outputs == 2:
            # Of two classes scikit-learn has one output: softmax of two is the logistic of their difference.
            coefs[1] = coefs[1][:, 1:] - coefs[1][:, :1]
            intercepts[1] = intercepts[1][1:] - intercepts[1][:1]
        key = task.kind, 0 if task.classes is None else len(task.classes)
        if key not in prototypes:
            prototypes[key] = _prototype(task)
        predictors[task.name] = _as_predictor(prototypes[key], task, coefs, intercepts, feature_names)
    return predictors


def _rectified(solution: NetworkSolution, outputs: slice) -> tuple[list[NDArray], list[NDArray]]:
    """Weights of a network of rectified units alone that gives the linear predictors of some outputs."""
    units, bent = solution.units, solution.units.is_rectified
    factors = solution.heads.factors[:, outputs]
    linear, shift = units.coef[:, ~bent] @ factors[~bent], units.intercept[~bent] @ factors[~bent]
    both = np.eye(linear.shape[1])
    coefs = [
        np.concatenate([units.coef[:, bent], linear, -linear], axis=1),
        np.concatenate([factors[bent], both, -both]),
    ]
    intercepts = [np.concatenate([units.intercept[bent], shift, -shift]), solution.heads.intercept[outputs].copy()]
    return coefs, intercepts


def _prototype(task: Task) -> Any:
    """A network of one unit fitted on the smallest legal problem, with all private state that prediction needs."""
    options: dict[str, Any] = {"hidden_layer_sizes": (1,), "solver": "lbfgs", "max_iter": 1, "alpha": 0.0}
    if task.classes is not None:
        rows = np.zeros((len(task.classes), 1))
        return _fitted(MLPClassifier(**options), rows, np.arange(len(rows)))
    if task.kind == "count":
        if "loss" not in signature(MLPRegressor).parameters:
            raise ValueError(
                f"Task {task.name!r} holds counts, and the MLPRegressor of this scikit-learn has no Poisson loss: "
                "split of a network of counts needs scikit-learn 1.7 or newer."
            )
        options["loss"] = "poisson"
    return _fitted(MLPRegressor(**options), np.zeros((2, 1)), np.ones(2))


def _fitted(network: Any, X: NDArray, y: NDArray) -> Any:
    # The weights are replaced: their training is not worth a warning, and must not depend on a global seed.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network.set_params(random_state=0).fit(X, y)
    network.set_params(random_state=None)
    for attribute in _OF_THE_PROTOTYPE:
        vars(network).pop(attribute, None)
    return network


def _as_predictor(
    prototype: Any, task: Task, coefs: list[NDArray], intercepts: list[NDArray], feature_names: NDArray | None
) -> Any:
    predictor = copy.deepcopy(prototype)
    predictor.set_params(hidden_layer_sizes=(coefs[0].shape[1],))
    predictor.coefs_, predictor.intercepts_ = coefs, intercepts
    predictor.n_features_in_ = coefs[0].shape[0]
    if feature_names is not None:
        predictor.feature_names_in_ = np.array(feature_names, dtype=object)
    if task.classes is not None:
        predictor.classes_ = np.array(task.classes)
        predictor._label_binarizer.fit(predictor.classes_)
    return predictor
