"""``alpha="auto"``, the default of the plain classes: the strength that noise of these data asks for."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV

from skmtl import LowRankClassifier, LowRankMultiTask, LowRankRegressor, LowRankRegressorCV
from skmtl.datasets import make_multitask


def standardised(rng: np.random.Generator, n_rows: int, n_features: int) -> np.ndarray:
    X = rng.normal(size=(n_rows, n_features))
    return (X - X.mean(axis=0)) / X.std(axis=0)


def test_of_standardised_numbers_it_is_the_closed_form():
    rng = np.random.default_rng(0)
    X, Y = standardised(rng, 400, 25), rng.normal(size=(400, 9))
    assert LowRankRegressor().fit(X, Y).alpha_ == pytest.approx(0.44 * (5 + 3) / 20)


def test_the_whole_level_bounds_the_gradient_of_noise():
    # The spectral norm of X'E / n, drawn: Chevet's inequality bounds its mean.
    rng = np.random.default_rng(1)
    X = standardised(rng, 300, 40)
    norms = []
    for _ in range(20):
        Y = rng.normal(size=(300, 15))
        Y = (Y - Y.mean(axis=0)) / Y.std(axis=0)
        norms.append(np.linalg.norm(X.T @ Y / 300, 2))
    bound = LowRankRegressor().fit(X, Y).alpha_ / 0.44
    assert np.mean(norms) < 1.2 * bound < 1.5 * np.mean(norms)


@pytest.mark.parametrize("share", [0.5, 0.1])
def test_of_classes_it_is_less_where_one_is_rare(share):
    rng = np.random.default_rng(0)
    X, Y = standardised(rng, 400, 25), rng.permuted(np.tile(np.arange(400) < 400 * share, (9, 1)), axis=1).T
    expected = 0.44 * np.sqrt(share * (1 - share)) * (5 + 3) / 20
    assert LowRankClassifier().fit(X, Y).alpha_ == pytest.approx(expected)


def test_it_does_not_know_units_of_targets_order_of_rows_or_input_form():
    rng = np.random.default_rng(0)
    X, Y = rng.normal(size=(60, 5)), rng.normal(size=(60, 3))
    alpha = LowRankRegressor().fit(X, Y).alpha_
    order = rng.permutation(60)
    named = {str(t): Y[:, t] for t in range(3)}
    assert LowRankRegressor().fit(X, Y * [1.0, 1e3, 1e-3]).alpha_ == pytest.approx(alpha)
    assert LowRankRegressor(scale_targets=None).fit(X, 7.0 * Y / Y.std(axis=0)).alpha_ == pytest.approx(7.0 * alpha)
    assert LowRankRegressor().fit(X[order], Y[order]).alpha_ == pytest.approx(alpha)
    assert LowRankRegressor().fit(sparse.csr_array(X), Y).alpha_ == pytest.approx(alpha)
    assert LowRankRegressor().fit(dict.fromkeys(named, X), named).alpha_ == pytest.approx(alpha)
    long = np.column_stack([np.tile(X, (3, 1)), np.repeat([0.0, 1.0, 2.0], 60)])
    assert LowRankRegressor(task_col=5).fit(long, Y.T.ravel()).alpha_ == pytest.approx(alpha)


def test_a_weight_of_two_is_a_row_twice_and_none_is_no_row():
    rng = np.random.default_rng(0)
    X, Y, weight = rng.normal(size=(60, 5)), rng.normal(size=(60, 3)), rng.integers(0, 3, 60)
    weighted = LowRankRegressor().fit(X, Y, weight)
    repeated = LowRankRegressor().fit(np.repeat(X, weight, axis=0), np.repeat(Y, weight, axis=0))
    assert weighted.alpha_ == pytest.approx(repeated.alpha_)
    np.testing.assert_allclose(weighted.coef_, repeated.coef_, rtol=1e-4, atol=1e-6)


def test_weights_that_sum_to_one_are_not_one_row():
    rng = np.random.default_rng(0)
    X, Y = rng.normal(size=(60, 5)), rng.normal(size=(60, 3))
    plain = LowRankRegressor().fit(X, Y).alpha_
    assert LowRankRegressor().fit(X, Y, np.full(60, 1 / 60)).alpha_ == pytest.approx(plain)
    assert LowRankRegressor().fit(X, Y, np.full(60, 1e-6)).alpha_ == pytest.approx(plain)


def test_an_exposure_is_so_many_rows_of_a_rate():
    # A hundred rows of one day each, or one row of their hundred days.
    rng = np.random.default_rng(0)
    X, counts = rng.normal(size=(20, 3)), rng.poisson(2.0, size=(20, 100))
    days = LowRankRegressor(loss="poisson").fit(np.repeat(X, 100, axis=0), counts.ravel())
    rates = LowRankRegressor(loss="poisson").fit(X, counts.sum(axis=1) / 100, sample_weight=np.full(20, 100.0))
    assert rates.alpha_ == pytest.approx(days.alpha_)
    other_unit = LowRankRegressor(loss="poisson").fit(X, counts.sum(axis=1) * 10, sample_weight=np.full(20, 0.1))
    assert other_unit.alpha_ == pytest.approx(1e3 * days.alpha_)


@pytest.mark.parametrize("unit", [1e-3, 100.0, 1e4])
def test_a_column_in_another_unit_does_not_silence_the_others(unit):
    # At the largest of all deviations, R² falls from .39 to .04 for a column times 100.
    X, y = make_multitask(n_samples=400, n_features=10, n_tasks=4, n_components=2, random_state=0)
    X[:, 0] *= unit
    train, test = np.arange(200), np.arange(200, 400)
    scores = [
        model.fit(X[train], {task: values[train] for task, values in y.items()}).score(
            X[test], {task: values[test] for task, values in y.items()}
        )
        for model in (LowRankRegressor(), LowRankRegressor(scale_features=True))
    ]
    lost = 0.1 if unit < 1 else 0.01  # a small column must be weighed by who gives it
    assert scores[0] > scores[1] - lost


@pytest.mark.parametrize(
    ("X", "Y"),
    [
        (np.ones((6, 3)), np.arange(12.0).reshape(6, 2)),
        (np.arange(18.0).reshape(6, 3), np.ones((6, 2))),
        (np.arange(3.0).reshape(1, 3), np.arange(2.0).reshape(1, 2)),
    ],
    ids=["constant X", "constant y", "one row"],
)
def test_it_is_a_positive_number_where_nothing_can_be_learned(X, Y):
    model = LowRankRegressor().fit(X, Y)
    assert 0.0 < model.alpha_ < np.inf
    np.testing.assert_allclose(model.predict(X), Y if len(X) == 1 else np.tile(Y.mean(axis=0), (6, 1)))


def test_scaled_features_are_meant_where_features_are_scaled():
    rng = np.random.default_rng(0)
    X, Y = rng.normal(size=(60, 5)), rng.normal(size=(60, 3))
    one, other = (LowRankRegressor(scale_features=True).fit(X * unit, Y) for unit in (1.0, np.logspace(-4, 4, 5)))
    assert one.alpha_ == pytest.approx(other.alpha_)


@pytest.mark.parametrize("estimator", [LowRankRegressor, LowRankClassifier, LowRankMultiTask])
def test_a_number_is_what_it_was_and_alpha_says_what_was_fitted(estimator):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 5))
    y = {t: np.where(X @ rng.normal(size=5) > 0, "a", "b") for t in ("s", "t")}
    if estimator is LowRankRegressor:
        y = {t: (values == "a") + rng.normal(size=60) for t, values in y.items()}
    auto = estimator().fit(X, y)
    same = estimator(alpha=auto.alpha_).fit(X, y)
    assert same.alpha_ == auto.alpha_
    assert auto.objective_ == same.objective_
    assert clone(auto).alpha == "auto"


def test_new_tasks_are_learned_at_the_strength_of_the_fit():
    rng = np.random.default_rng(0)
    X, Y = rng.normal(size=(60, 5)), rng.normal(size=(60, 4)) + rng.normal(size=(60, 1))
    named = {str(t): Y[:, t] for t in range(3)}
    auto = LowRankRegressor().fit(X, named)
    number = LowRankRegressor(alpha=auto.alpha_).fit(X, named)
    for model in (auto, number):
        model.add_tasks(X[:20], {"new": Y[:20, 3]})
    np.testing.assert_array_equal(auto.coef_["new"], number.coef_["new"])


def test_a_search_of_scikit_learn_may_have_it_among_numbers():
    X, y = make_multitask(n_samples=60, n_features=8, n_tasks=3, n_components=1, random_state=0)
    search = GridSearchCV(LowRankMultiTask(), {"alpha": ["auto", 0.1, 100.0]}, cv=3).fit(X, y)
    assert search.best_params_["alpha"] in ("auto", 0.1)


def test_what_else_is_no_strength_is_refused():
    X, Y = np.eye(4), np.arange(8.0).reshape(4, 2)
    with pytest.raises(ValueError, match="'alpha' of LowRankRegressor must be 'auto', or a number >= 0"):
        LowRankRegressor(alpha="often").fit(X, Y)
    with pytest.raises(ValueError, match="or a list of such"):
        LowRankRegressorCV(alpha=["auto", 0.1]).fit(X, Y)


@pytest.mark.parametrize(("n_rows", "n_features"), [(200, 400), (100, 100), (1000, 20)])
def test_log_loss_of_classes_beats_a_coin_with_more_features_than_rows_too(n_rows, n_features):
    # At alpha=0.1, the default before: .85, .80 and .51.
    losses = []
    for seed in range(3):
        X, y = make_multitask(
            n_samples=2 * n_rows, n_features=n_features, n_tasks=12, kinds="binary", signal=2.0, random_state=seed
        )
        train, test = np.arange(n_rows), np.arange(n_rows, 2 * n_rows)
        model = LowRankClassifier().fit(X[train], {task: values[train] for task, values in y.items()})
        probabilities = model.predict_proba(X[test])
        losses += [log_loss(values[test], probabilities[task]) for task, values in y.items()]
    assert np.mean(losses) < np.log(2)


def test_events_of_one_in_200_are_not_predicted_at_their_prevalence():
    rng = np.random.default_rng(0)
    predictor = (X := rng.normal(size=(8000, 20))) @ (0.35 * rng.normal(size=(20, 2)) @ rng.normal(size=(2, 8))) - 6.3
    Y = rng.uniform(size=predictor.shape) < 1 / (1 + np.exp(-predictor))
    train, test = np.arange(4000), np.arange(4000, 8000)
    model = LowRankClassifier().fit(X[train], {str(t): Y[train, t] for t in range(8)})
    constant = LowRankClassifier(alpha=np.inf).fit(X[train], {str(t): Y[train, t] for t in range(8)})
    losses = [
        [log_loss(Y[test, t], one.predict_proba(X[test])[str(t)][:, 1]) for t in range(8)] for one in (model, constant)
    ]
    assert np.mean(losses[0]) < 0.9 * np.mean(losses[1])


def test_twelve_rows_beside_5000_are_answered_better_than_by_their_mean():
    scores = []
    for seed in range(3):
        rng = np.random.default_rng(seed)
        large = rng.normal(size=8) / np.sqrt(8)
        coef = {"large": large, "small": large + 0.1 * rng.normal(size=8)}
        X = {"large": rng.normal(size=(5000, 8)), "small": rng.normal(size=(1012, 8))}
        y = {task: X[task] @ coef[task] + 0.4 * rng.normal(size=len(X[task])) for task in X}
        model = LowRankRegressor().fit({"large": X["large"], "small": X["small"][:12]}, {**y, "small": y["small"][:12]})
        scores.append(model.score_tasks({"small": X["small"][12:]}, {"small": y["small"][12:]})["small"])
    assert np.mean(scores) > 0.0
