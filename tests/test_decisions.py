"""`decision_function` wherever scikit-learn has it: one column, the long form, names."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit, softmax
from sklearn.linear_model import LogisticRegression

from skmtl import GroupedTasks, LowRankClassifier

rng = np.random.default_rng(0)
X = rng.standard_normal((60, 4))
TWO = np.where(X[:, :2] + 0.5 * rng.standard_normal((60, 2)) > 0, "yes", "no")
THREE = np.array(["a", "b", "c"])[np.digitize(X[:, 2] + 0.5 * rng.standard_normal(60), [-0.5, 0.5])]


def long(*columns):
    """The long form, task i in column 4."""
    rows = np.vstack([np.column_stack([X, np.full(len(X), t)]) for t in range(len(columns))])
    return rows, np.concatenate(columns)


def test_one_column_has_the_shape_of_logistic_regression():
    for y in (TWO[:, 0], THREE):
        ours, theirs = LowRankClassifier().fit(X, y), LogisticRegression().fit(X, y)
        assert ours.decision_function(X).shape == theirs.decision_function(X).shape


def test_several_columns_have_none_as_their_classes_are_a_list():
    # scikit-learn's check_classifier_multioutput wants one array of classes beside a matrix of decisions.
    for y in (TWO, np.column_stack([TWO[:, 0], THREE])):
        assert not hasattr(LowRankClassifier().fit(X, y), "decision_function")


@pytest.mark.parametrize("group", [False, True])
def test_the_long_form_has_a_column_per_class_and_their_softmax_is_the_probability(group):
    rows, y = long(TWO[:, 0], THREE)
    model = LowRankClassifier(task_col=4)
    model = GroupedTasks(model, 2, random_state=0).fit(rows, y) if group else model.fit(rows, y)
    found = model.decision_function(rows)
    assert model.classes_.tolist() == ["a", "b", "c", "no", "yes"]
    np.testing.assert_allclose(softmax(found, axis=1), model.predict_proba(rows), atol=1e-12)
    np.testing.assert_array_equal(model.classes_[found.argmax(axis=1)], model.predict(rows))


def test_the_long_form_of_two_classes_has_log_odds():
    rows, y = long(TWO[:, 0], TWO[:, 1])
    model = LowRankClassifier(task_col=4).fit(rows, y)
    np.testing.assert_allclose(expit(model.decision_function(rows)), model.predict_proba(rows)[:, 1])


def test_the_long_form_of_two_classes_each_of_four_in_all():
    rows, y = long(TWO[:, 0], np.where(TWO[:, 1] == "yes", "new", "old"))
    model = LowRankClassifier(task_col=4).fit(rows, y)
    found = model.decision_function(rows)
    assert found.shape == (120, 4)
    np.testing.assert_array_equal(model.classes_[found.argmax(axis=1)], model.predict(rows))
