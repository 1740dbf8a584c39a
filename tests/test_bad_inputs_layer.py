"""The table of wrong inputs once more, for the classes with a shared hidden layer: same messages, nothing half-fitted.

Weights, forms, labels, kinds and parameters are read by the same code, which this would tell if it were no longer so.
"""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from test_bad_inputs import BAD_FITS, LABELS, NUMBERS, frame

from skmtl import (
    LowRankClassifier,
    LowRankMultiTask,
    LowRankRegressor,
    SharedLayerClassifier,
    SharedLayerMultiTask,
    SharedLayerRegressor,
)

LAYER = {
    LowRankRegressor: SharedLayerRegressor,
    LowRankClassifier: SharedLayerClassifier,
    LowRankMultiTask: SharedLayerMultiTask,
}


def as_layer(prototype):
    """The class with a hidden layer in the same mood; None where it has no such parameter, or other rules for it."""
    changed = {
        name: value
        for name, value in prototype.get_params().items()
        if repr(value) != repr(type(prototype)().get_params()[name])
    }
    known = set(LAYER[type(prototype)]().get_params()) - {"alpha", "alpha_common"}
    return LAYER[type(prototype)](**changed) if set(changed) <= known else None


BAD_LAYERS = [case for case, (prototype, *_) in BAD_FITS.items() if as_layer(prototype) is not None]


@pytest.mark.parametrize("case", BAD_LAYERS)
def test_a_shared_layer_refuses_with_the_same_message(case):
    prototype, features, targets, weight, message = BAD_FITS[case]
    estimator = as_layer(prototype)
    before, parameters = pickle.dumps((features, targets, weight)), dict(vars(estimator))
    with pytest.raises(ValueError) as refusal:
        estimator.fit(features, targets, sample_weight=weight)
    assert str(refusal.value) == message.replace("LowRank", "SharedLayer")
    assert pickle.dumps((features, targets, weight)) == before
    assert vars(estimator) == parameters


def test_the_questions_to_a_shared_layer_are_nearly_all():
    assert len(BAD_LAYERS) > 0.85 * len(BAD_FITS)


def test_a_failed_refit_of_a_shared_layer_leaves_the_earlier_fit_as_it_was():
    table = frame(["p", "q", "r"])
    model = SharedLayerRegressor(n_hidden=2, alpha=0.1, cv=2).fit(table, {"size": NUMBERS})
    attributes, predictions = dict(vars(model)), model.predict(table)["size"]
    for features, targets in ((table, {"size": LABELS}), (frame(["p", "q"] + ["q"]), {"size": NUMBERS})):
        with pytest.raises(ValueError):
            model.fit(features, targets)
    one_fold_without_labels = [(np.arange(4), np.arange(4, 8))]
    model.set_params(cv=one_fold_without_labels)
    with pytest.raises(ValueError, match="Task 'late' lacks a target, or one of its classes, in the training part"):
        model.fit(table, {"size": NUMBERS, "late": np.where(np.arange(8) < 4, np.nan, NUMBERS)})
    model.set_params(cv=2)
    assert vars(model).keys() == attributes.keys()
    assert_array_equal(model.predict(table)["size"], predictions)
