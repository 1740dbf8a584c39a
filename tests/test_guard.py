"""The guard against negative transfer: whom it sets apart, and on what evidence."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.stats import multivariate_normal
from sklearn.metrics import d2_tweedie_score

from skmtl import LowRankClassifierCV, LowRankRegressor, LowRankRegressorCV, stack_tasks
from skmtl.datasets import make_multitask
from skmtl.estimators import cross_validated
from skmtl.tuning import marginal_likelihood
from skmtl.tuning.guard import harmed_tasks, posterior_means

FEW = {"n_components": 3, "alpha": [1.0, 0.5, 0.25], "alpha_common": None, "alpha_own": None, "factor_prior": "ridge"}


def with_outliers(seed, **options):
    given = {"n_samples": 40, "n_features": 30, "n_tasks": 60, "n_components": 3, "n_outliers": 6} | options
    return make_multitask(own_rows=True, return_truth=True, random_state=seed, **given)


def risk(model, truth, tasks):
    """Mean squared error of coefficients and intercepts."""
    return np.mean(
        [np.sum((model.coef_[t] - truth.coef[t]) ** 2) + (model.intercept_[t] - truth.intercept[t]) ** 2 for t in tasks]
    )


@pytest.mark.parametrize(("n", "r"), [(12, 3), (5, 9)])
def test_the_evidence_is_the_normal_density_of_the_targets(n, r):
    rng = np.random.RandomState(0)
    X, root, y = rng.standard_normal((n, 6)), rng.standard_normal((6, r)), rng.standard_normal((n, 4))
    Z = X @ root
    noise = np.array([0.5, 2.0])
    expected = [
        [multivariate_normal(np.zeros(n), s * np.eye(n) + Z @ Z.T).logpdf(column) for s in noise] for column in y.T
    ]
    expected = np.array(expected) + 0.5 * n * np.log(2 * np.pi)
    squares = np.sum(y**2, axis=0)
    for spectrum in (marginal_likelihood._wide(Z, y), marginal_likelihood._long(root, X.T @ X, X.T @ y)):
        assert_allclose(marginal_likelihood._log_evidence(*spectrum, squares, n, noise), expected)


def test_an_intercept_costs_one_observation():
    rng = np.random.RandomState(0)
    Z, y = rng.standard_normal((8, 2)), rng.standard_normal((8, 1))
    # An orthonormal basis of what is left when the mean is gone.
    rest = np.linalg.qr(np.column_stack([np.ones(8), rng.standard_normal((8, 7))]))[0][:, 1:]

    def evidence(Z, y):
        return marginal_likelihood._log_evidence(
            *marginal_likelihood._wide(Z, y), np.sum(y**2, axis=0), 7, np.array([0.7])
        )

    assert_allclose(evidence(Z - Z.mean(axis=0), y - y.mean(axis=0)), evidence(rest.T @ Z, rest.T @ y))


def test_no_task_is_suspected_where_evidence_speaks_for_the_joint_model_only_on_average():
    # Ratios as the joint model gives them: mean and variance of a log likelihood ratio go together.
    rng = np.random.RandomState(0)
    ratio = rng.normal(1.0, np.sqrt(2.0), 200)
    assert np.sum(ratio < 0) > 20
    log_evidence = np.zeros((200, 2, 1))
    log_evidence[:, 0, 0] = ratio
    assert np.sum(marginal_likelihood._probability_alone(log_evidence) > marginal_likelihood._SUSPECT) <= 2


def test_the_share_of_tasks_that_are_alone_is_learned():
    rng = np.random.RandomState(0)
    alone = np.arange(200) < 60
    ratio = np.where(alone, rng.normal(-3.0, np.sqrt(6.0), 200), rng.normal(3.0, np.sqrt(6.0), 200))
    log_evidence = np.zeros((200, 2, 1))
    log_evidence[:, 0, 0] = ratio
    probability = marginal_likelihood._probability_alone(log_evidence)
    assert probability.mean() == pytest.approx(0.3, abs=0.07)
    # The two overlap: 11 % of the ratios are on the wrong side.
    assert np.mean((probability > 0.5) == alone) > 0.85


@pytest.mark.parametrize("seed", range(2))
def test_outliers_are_set_apart_and_related_tasks_are_not(seed):
    X, y, truth = with_outliers(seed)
    model = LowRankRegressorCV(**FEW, cv=3).fit(X, y)
    assert model.guarded_ == []  # without an independent model among the candidates there is nothing to change to
    model = LowRankRegressorCV(**FEW | {"alpha": [0.5, np.inf], "alpha_own": [None, 1.0]}, cv=3).fit(X, y)
    found = set(model.guarded_)
    assert len(found & set(truth.outliers)) >= 4
    assert len(found - set(truth.outliers)) <= 4


def test_the_guard_does_not_depend_on_form_or_order():
    X, y, _ = with_outliers(0)
    options = FEW | {"alpha": [0.5, np.inf], "alpha_own": [None, 1.0]}
    found = LowRankRegressorCV(**options, cv=3).fit(X, y).guarded_
    assert found
    turned = list(y)[::-1]
    again = LowRankRegressorCV(**options, cv=3).fit({t: X[t] for t in turned}, {t: y[t] for t in turned})
    assert set(again.guarded_) == set(found)
    stacked, targets = stack_tasks(X, y)
    assert set(LowRankRegressorCV(**options, cv=3).fit(stacked, targets).guarded_) == set(found)


def test_complete_targets_have_the_evidence_of_the_same_rows():
    X, y, truth = make_multitask(60, 20, 40, n_components=2, n_outliers=4, return_truth=True, random_state=0)
    options = FEW | {"n_components": 2, "alpha": [0.3, np.inf], "alpha_own": [None, 0.5]}
    shared = LowRankRegressorCV(**options, cv=3).fit(X, y)
    own = LowRankRegressorCV(**options, cv=3).fit(dict.fromkeys(y, X), y)
    assert shared.guarded_ == own.guarded_
    assert set(truth.outliers) <= set(shared.guarded_)


def test_sample_weights_of_two_are_rows_given_twice():
    X, y, _ = with_outliers(1, n_tasks=20, n_outliers=3)
    model = LowRankRegressor(n_components=3, alpha=0.5, factor_prior="learned").fit(X, y)
    twice = {t: np.repeat(X[t], 2, axis=0) for t in y}, {t: np.repeat(y[t], 2) for t in y}
    weights = {t: np.full(40, 2.0) for t in y}
    found = []
    for table, targets, weight in ((X, y, weights), (*twice, None)):
        estimator = LowRankRegressorCV(**FEW | {"alpha": [0.5, np.inf], "alpha_own": [None, 1.0]}, cv=[([0], [1])])
        data = _task_data(estimator, table, targets, weight)
        candidates = (
            cross_validated.Candidate(3, 0.5, None, None, "learned"),
            cross_validated.Candidate(None, np.inf, None, 1.0),
        )
        found.append(
            marginal_likelihood.outsiders(data, model._solution, *candidates, model._solution.target_scale, None, True)
        )
    assert_allclose(*found)
    assert len(found[0])


def _task_data(estimator, X, y, weights):
    from skmtl.inputs import as_task_data

    return as_task_data(estimator, X, y, weights, rules=estimator._rules(), task_col=None)[0]


def test_rounds_by_held_out_losses_name_the_tasks_that_were_found(monkeypatch):
    X, y = make_multitask(60, 5, 6, n_components=1, kinds="binary", random_state=0)
    calls = []

    def all_lose(evaluation, joint, alone):
        calls.append([task.name for task in evaluation.data.tasks])
        return (*np.ones((2, len(calls[-1]))), -np.ones(len(calls[-1])))[::-1]

    monkeypatch.setattr(cross_validated, "held_out_gains", all_lose)
    monkeypatch.setattr(cross_validated, "harmed_tasks", lambda *_: np.array([0]))
    options = {"n_components": 1, "alpha": [0.1, np.inf], "alpha_common": None, "alpha_own": [None, 0.5]}
    # The joint model has to be chosen here.
    model = LowRankClassifierCV(**options, factor_prior="ridge", cv=3).fit(X, y)
    assert np.isfinite(model.alpha_)
    assert model.guarded_ == ["task_0", "task_1", "task_2"]
    assert [names[0] for names in calls] == ["task_0", "task_1", "task_2"]


@pytest.mark.parametrize("seed", range(5))
def test_one_extreme_gain_says_nothing_about_the_other_tasks(seed):
    rng = np.random.default_rng(seed)
    gains = rng.normal(0.03, 0.015, 60)
    estimates, errors = np.append(gains + rng.normal(0, 0.01, 60), 20.0), np.append(np.full(60, 0.01), 7.0)
    found = posterior_means(estimates, errors)[:60]
    assert np.sum(found < 0) <= 2  # by the normal distribution they come from, half a task
    # The posterior mean where the distribution is known: they are as near to that as without the extreme one.
    known = (estimates[:60] / 0.01**2 + 0.03 / 0.015**2) / (1 / 0.01**2 + 1 / 0.015**2)
    assert_allclose(found, known, atol=0.012)
    assert_allclose(found, posterior_means(estimates[:60], errors[:60]), atol=0.003)


def test_shrunken_gains_have_no_unit_and_lie_between_the_estimates():
    rng = np.random.default_rng(0)
    estimates, errors = rng.normal(size=40), rng.uniform(0.1, 3.0, 40)
    found = posterior_means(estimates, errors)
    assert_allclose(posterior_means(1e-9 * estimates, 1e-9 * errors), 1e-9 * found)
    assert_allclose(posterior_means(-estimates, errors), -found, atol=1e-6)
    assert estimates.min() <= found.min()
    assert found.max() <= estimates.max()
    assert_allclose(posterior_means(np.array([1.0, 2.0]), np.array([1e-3, 1e-3])), [1.0, 2.0], atol=1e-2)


def test_a_task_whose_own_rows_speak_for_the_joint_model_is_not_set_apart():
    # Twenty stores that lose a little, and one of four weeks that gains a hundredfold: it is not like the others.
    gains, rows = np.append(np.full(20, -0.03), 140.0), np.append(np.full(20, 130), 4)
    variances = np.append(np.full(20, 0.05), 4e4)
    everyone = np.ones(21, dtype=bool)
    assert harmed_tasks(rows, gains, variances, everyone).tolist() == list(range(20))
    # Nor one that the model of all tasks served, and that only loses since others left.
    assert harmed_tasks(rows, gains, variances, np.arange(21) > 4).tolist() == list(range(5, 20))


def stores(seed, n_stores=20, n_features=3, n_weeks=4):
    """Weekly counts of stores with two to three years, and of one with a few weeks; 200 further weeks of each."""
    rng = np.random.default_rng(seed)
    common = 0.3 * rng.normal(size=n_features)
    parts = {}
    for store in range(n_stores + 1):
        n = int(rng.integers(100, 160)) if store < n_stores else n_weeks
        coef, level = common + 0.3 * rng.normal(size=n_features), rng.normal(5, 0.7)
        for part, m in (("seen", n), ("new", 200)):
            X = rng.normal(size=(m, n_features))
            parts[part, store] = X, rng.poisson(np.exp(np.clip(level + X @ coef, -9, 9))).astype(float)
    return [{store: parts[part, store][k] for store in range(n_stores + 1)} for part in ("seen", "new") for k in (0, 1)]


@pytest.mark.slow
def test_a_store_of_a_few_weeks_keeps_what_the_others_teach_it():
    X, y, X_new, y_new = stores(0)
    d2 = {}
    for guard in (True, False):
        model = LowRankRegressorCV(loss="poisson", guard=guard, cv=3).fit(X, y)
        d2[guard] = {t: d2_tweedie_score(y_new[t], model.predict(X_new)[t], power=1) for t in X}
        assert len(model.guarded_) <= 6
        assert 20 not in model.guarded_
    assert d2[True][20] > max(0.8, d2[False][20] - 0.1)
    assert np.mean(list(d2[True].values())) > np.mean(list(d2[False].values())) - 0.01


@pytest.mark.parametrize("n_guarded", [3, 4])
def test_more_than_half_of_the_tasks_set_apart_is_said(monkeypatch, n_guarded):
    X, y = make_multitask(60, 5, 6, n_components=1, kinds="binary", random_state=0)
    rounds = iter([np.arange(n_guarded)])
    monkeypatch.setattr(cross_validated, "harmed_tasks", lambda *_: next(rounds, np.empty(0, dtype=int)))
    options = {"n_components": 1, "alpha": [0.1, np.inf], "alpha_common": None, "alpha_own": [None, 0.5]}
    model = LowRankClassifierCV(**options, factor_prior="ridge", cv=3)
    if n_guarded == 3:
        model.fit(X, y)
    else:
        with pytest.warns(UserWarning, match="4 of 6 tasks, more than half, are set apart by the guard"):
            model.fit(X, y)
    assert len(model.guarded_) == n_guarded
    # Those set apart have the independent model, and basis and factors predict the others.
    for name in y:
        shared = model.basis_ @ model.factors_[name]
        own = model.own_[name]
        assert_allclose(model.coef_[name].ravel(), (shared + own).ravel(), atol=1e-10)
        assert own.any() == (name in model.guarded_)


def test_tasks_learn_from_those_set_apart_where_that_is_better(monkeypatch):
    # Five tasks with labels in plenty do without the others; the sixth has few and needs them.
    rng = np.random.RandomState(0)
    coef = rng.randn(8)
    X = {f"t{i}": rng.randn(n, 8) for i, n in enumerate([200] * 5 + [20])}
    y = {name: rows @ coef + 2 * rng.randn(len(rows)) > 0 for name, rows in X.items()}
    rounds = iter([np.arange(5)])
    monkeypatch.setattr(cross_validated, "harmed_tasks", lambda *_: next(rounds, np.empty(0, dtype=int)))
    options = {"n_components": 1, "alpha": [0.1, np.inf], "alpha_common": None, "alpha_own": [None, 0.5]}
    model = LowRankClassifierCV(**options, factor_prior="ridge", cv=3)
    with pytest.warns(UserWarning, match="5 of 6 tasks"):
        model.fit(X, y)
    assert model.guarded_ == [f"t{i}" for i in range(5)]
    direction = model.coef_["t5"].ravel()
    assert direction @ coef > 0.95 * np.linalg.norm(direction) * np.linalg.norm(coef)


@pytest.mark.slow
def test_outliers_lose_little_and_the_others_keep_their_gain():
    outliers, related = [], []
    for seed in range(5):
        X, y, truth = with_outliers(seed)
        model = LowRankRegressorCV().fit(X, y)
        alone = LowRankRegressorCV(alpha=np.inf, alpha_common=None).fit(X, y)
        groups = truth.outliers, [t for t in y if t not in truth.outliers]
        outliers.append([risk(one, truth, groups[0]) for one in (model, alone)])
        related.append([risk(one, truth, groups[1]) for one in (model, alone)])
    for pairs, bound in ((outliers, 1.1), (related, 0.5)):
        ours, independent = np.mean(pairs, axis=0)
        assert ours <= bound * independent
