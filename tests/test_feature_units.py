"""Units of columns: under ``scale_features=True`` a fit is that of standardised features, told in those given."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import sparse
from sklearn.base import clone
from sklearn.preprocessing import StandardScaler

from skmtl import (
    LowRankClassifier,
    LowRankClassifierCV,
    LowRankMultiTask,
    LowRankMultiTaskCV,
    LowRankRegressor,
    LowRankRegressorCV,
    stack_tasks,
)
from skmtl.datasets import make_multitask
from skmtl.matrix import column_deviations

TIGHT = {"tol": 1e-12, "max_iter": 2000}
KINDS = {"a": "regression", "b": "binary", "c": "multiclass", "d": "count"}
#: Units from a tenth of a thousandth to ten thousand.
UNITS = 10.0 ** np.array([-4.0, -3.0, 0.0, 1.0, 2.0, 4.0])
NUMBERS = [
    {},
    {"alpha_own": 0.3, "factor_prior": "learned"},
    {"alpha_common": 0.5, "scale_targets": "residual"},
    {"alpha_own": 0.3, "own_penalty": "group"},
    {"feature_prior": "learned", "alpha_own": 0.3},
    {"n_components": None},
]


def rows(values):
    """The arrays of a dict of tasks, or of an array of tasks, one after the other."""
    return np.concatenate([np.ravel(value) for value in (values.values() if hasattr(values, "values") else [values])])


# The fit of standardised features


@pytest.mark.parametrize(
    ("model", "kinds"),
    [
        *((LowRankRegressor(**options), "regression") for options in NUMBERS),
        (LowRankRegressor(loss="poisson", alpha_common=0.5), "count"),
        (LowRankClassifier(alpha_own=0.3), "binary"),
        (LowRankClassifier(factor_prior="learned"), "multiclass"),
        (LowRankMultiTask(kinds={"d": "count"}), KINDS),
    ],
)
@pytest.mark.parametrize("missing", [0.0, 0.3])
def test_it_is_the_fit_of_standardised_features(model, kinds, missing):
    X, y = make_multitask(80, 6, 4, kinds=kinds, missing=missing, random_state=0)
    X = X * UNITS + 3.0
    model = clone(model).set_params(alpha=0.1, **TIGHT)
    observed = np.sum([[value == value and value is not None for value in y[task]] for task in y], axis=0)
    scaler = StandardScaler(with_mean=False).fit(X, sample_weight=observed)
    expected = clone(model).fit(scaler.transform(X), y)
    found = clone(model).set_params(scale_features=True).fit(X, y)
    for task in y:
        # To what a fit of coefficients below one leaves at its `tol`: rounding differs between versions of NumPy.
        assert_allclose(found.coef_[task] * scaler.scale_, expected.coef_[task], rtol=1e-6, atol=3e-7)
        # Scales from residuals are estimates, three rounds from a fit to a tolerance each.
        assert_allclose(found.intercept_[task], expected.intercept_[task], rtol=1e-5, atol=1e-7)
        if expected.own_ is not None:
            own = found.own_[task] * scaler.scale_[:, np.newaxis]
            assert_allclose(own, expected.own_[task], rtol=1e-6, atol=3e-7)
    if expected.common_ is not None:
        assert_allclose(found.common_ * scaler.scale_, expected.common_, rtol=1e-6, atol=1e-8)
    assert_allclose(found.transform(X), expected.transform(scaler.transform(X)), rtol=1e-5, atol=1e-6)
    assert found.objective_ == pytest.approx(expected.objective_)
    assert found.dual_gap_ == pytest.approx(expected.dual_gap_, abs=1e-7, nan_ok=True)
    if expected.feature_scale_ is not None:
        assert_allclose(found.feature_scale_, expected.feature_scale_, rtol=1e-6)
    predictors = found.split()
    for task in y:
        alone, together = predictors[task].predict(X), found.predict(X)[task]
        if alone.dtype.kind == "f":
            assert_allclose(alone, together)
        else:
            assert (alone == together).all()


@pytest.mark.parametrize("options", NUMBERS)
@pytest.mark.parametrize("shape", [(60, 6), (5, 6)])
def test_units_change_neither_predictions_nor_their_spread(options, shape):
    X, y = make_multitask(*shape, 5, random_state=1)
    X = X + 0.5
    model = LowRankRegressor(alpha=0.1, scale_features=True, **options)
    here, there = (clone(model).fit(table, y) for table in (X, X * UNITS))
    for one, other in zip(here.predict(X, return_std=True), there.predict(X * UNITS, return_std=True), strict=True):
        assert_allclose(rows(one), rows(other), rtol=1e-5, atol=1e-7)
    assert_allclose(here.basis_, there.basis_ * UNITS[:, np.newaxis], rtol=1e-4, atol=1e-6)


def test_without_it_units_do_change_predictions():
    X, y = make_multitask(60, 6, 5, random_state=1)
    assert not LowRankRegressor().scale_features
    here, there = (LowRankRegressor().fit(table, y).predict(table) for table in (X, X * UNITS))
    assert np.abs(rows(here) - rows(there)).max() > 0.1


# Every input form


def test_all_forms_have_the_same_units():
    X, y = make_multitask(30, 6, 4, own_rows=True, random_state=2)
    X = {task: (table + place) * UNITS for place, (task, table) in enumerate(X.items())}
    X["task_3"], y["task_3"] = X["task_3"][:12], y["task_3"][:12]
    model = LowRankRegressor(n_components=2, alpha=0.1, alpha_own=0.5, scale_features=True, **TIGHT)
    expected = clone(model).fit(X, y).coef_
    stacked = clone(model).fit(*stack_tasks(X, y))
    labels = np.repeat(np.arange(4.0), [len(table) for table in X.values()])
    long = np.column_stack([np.concatenate(list(X.values())), labels])
    by_label = clone(model).set_params(task_col=6).fit(long, np.concatenate(list(y.values())))
    for place, task in enumerate(y):
        assert_allclose(stacked.coef_[task], expected[task], rtol=1e-6)
        assert_allclose(by_label.coef_[float(place)], expected[task], rtol=1e-6)
    deviations = StandardScaler().fit(np.concatenate(list(X.values()))).scale_
    assert_allclose(stacked._solution.feature_unit, deviations)


@pytest.mark.parametrize("model", [LowRankRegressor(), LowRankRegressor(loss="poisson"), LowRankRegressorCV(cv=3)])
def test_a_sparse_table_stays_sparse_and_is_scaled_as_a_dense_one(model, monkeypatch):
    X, y = make_multitask(60, 6, 4, kinds="count", missing=0.2, random_state=3)
    X = np.where(np.abs(X) > 0.7, X + 2.0, 0.0) * UNITS
    model = clone(model).set_params(scale_features=True, n_components=2, alpha=0.1, alpha_common=None)
    dense = clone(model).fit(X, y).predict(X)
    if isinstance(model, LowRankRegressor):
        monkeypatch.setattr(sparse.csr_array, "toarray", None)
        monkeypatch.setattr(sparse.csr_array, "todense", None)
    found = clone(model).fit(sparse.csr_array(X), y).predict(sparse.csr_array(X))
    assert_allclose(rows(found), rows(dense), rtol=2e-3, atol=2e-3)


def test_single_precision_is_scaled_in_single_precision():
    X, y = make_multitask(60, 6, 4, random_state=3)
    X = (X * UNITS).astype(np.float32)
    model = LowRankRegressor(n_components=2, scale_features=True)
    found, expected = clone(model).fit(X, y), clone(model).fit(X.astype(float), y)
    assert_allclose(rows(found.predict(X)), rows(expected.predict(X.astype(float))), rtol=1e-4, atol=1e-4)


# Constant columns, weights, rounding


def test_constant_columns_keep_their_scale():
    X, y = make_multitask(60, 6, 4, random_state=4)
    for constant in (0.0, 0.1, 1e9):
        given = np.column_stack([X, np.full(60, constant)])
        model = LowRankRegressor(n_components=2, scale_features=True).fit(given, y)
        assert model._solution.feature_unit[6] == 1.0
        assert_allclose(rows(model.predict(given)), rows(clone(model).fit(X, y).predict(X)), atol=1e-5)


@pytest.mark.parametrize("as_table", [np.asarray, sparse.csr_array])
def test_deviations_are_those_of_repeated_rows_and_keep_their_digits(as_table):
    rng = np.random.RandomState(0)
    counts = rng.randint(0, 4, 500)
    X = np.column_stack([rng.standard_normal(500), 1e8 + rng.standard_normal(500), np.full(500, 0.1)])
    X = np.column_stack([X, rng.standard_normal(500) * (rng.uniform(size=500) < 0.1), np.zeros(500), counts > 0])
    expected = np.std(X[np.repeat(np.arange(500), counts)], axis=0)
    found = column_deviations(as_table(X), counts.astype(float))
    assert_allclose(found[[0, 1, 3]], expected[[0, 1, 3]], rtol=1e-7)
    assert (found[[2, 4, 5]] == 0.0).all()
    assert_allclose(column_deviations(as_table(X), 1e-9 * counts)[[0, 1, 3]], expected[[0, 1, 3]], rtol=1e-7)


def test_a_weight_is_a_repeated_row():
    X, y = make_multitask(40, 6, 3, random_state=5)
    counts = np.random.RandomState(0).randint(0, 3, 40)
    repeated = np.repeat(np.arange(40), counts)
    model = LowRankRegressor(n_components=2, scale_features=True, **TIGHT)
    weighted = clone(model).fit(X * UNITS, y, sample_weight=counts)
    expected = clone(model).fit((X * UNITS)[repeated], {task: y[task][repeated] for task in y})
    assert_allclose(rows(weighted.coef_), rows(expected.coef_), rtol=1e-6)


# What follows a fit


@pytest.mark.parametrize("options", NUMBERS)
def test_new_tasks_join_a_scaled_fit(options):
    X, y = make_multitask(60, 6, 6, random_state=6)
    model = LowRankRegressor(**{"n_components": 2, "alpha": 0.1, "scale_features": True, **options})
    known, new = ({task: y[task] for task in list(y)[part]} for part in (slice(0, 4), slice(4, 6)))
    predicted = []
    for units in (np.ones(6), UNITS):
        one = clone(model).fit(X * units, known).add_tasks((X * units)[:20], {task: new[task][:20] for task in new})
        predicted.append([rows(part) for part in one.predict(X * units, return_std=True)])
        for task in new if one.own_ is None and one.common_ is None else ():
            through = one.transform(X * units) @ one.factors_[task][:, 0] + one.intercept_[task]
            assert_allclose(through, one.predict(X * units)[task], rtol=1e-6, atol=1e-8)
    assert_allclose(predicted[0], predicted[1], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("options", [{}, {"feature_prior": "learned"}])
def test_a_warm_start_begins_at_the_basis_in_units(options):
    X, y = make_multitask(80, 6, 5, missing=0.3, random_state=7)
    model = LowRankRegressor(n_components=2, alpha=0.05, scale_features=True, warm_start=True, **options)
    first = model.fit(X * UNITS, y).n_iter_
    assert model.fit(X * UNITS, y).n_iter_ < max(first, 2)
    assert_allclose(
        rows(model.predict(X * UNITS)), rows(clone(model).fit(X * UNITS, y).predict(X * UNITS)), rtol=1e-4, atol=1e-5
    )


# The tuned classes


def tuned_models():
    # A few values where fits take their time.
    counts = {"kinds": {"d": "count"}}
    few = {"n_components": [1, 2], "alpha_common": None, "alpha_own": [None, 0.3], "feature_prior": "ridge"}
    return [
        (LowRankRegressorCV(cv=3), LowRankRegressor(), "regression"),
        (LowRankClassifierCV(cv=3), LowRankClassifier(), "binary"),
        pytest.param(
            LowRankMultiTaskCV(cv=3, **counts, **few), LowRankMultiTask(**counts), KINDS, marks=pytest.mark.slow
        ),
    ]


@pytest.mark.filterwarnings("ignore:.*more than half, are set apart by the guard")
@pytest.mark.parametrize(("tuned", "plain", "kinds"), tuned_models())
def test_a_tuned_choice_does_not_know_units(tuned, plain, kinds):
    X, y = make_multitask(60, 6, 4, kinds=kinds, missing=0.2, random_state=8)
    here = clone(tuned).fit(X, y)
    there = clone(tuned).fit(X * UNITS, y)
    assert here.best_params_["scale_features"] is here.scale_features_ is True
    assert here.best_params_.keys() == there.best_params_.keys()
    for name, value in here.best_params_.items():
        assert there.best_params_[name] == (pytest.approx(value) if isinstance(value, float) else value)
    assert here.guarded_ == there.guarded_
    for task in y:
        assert_allclose(here.coef_[task], there.coef_[task] * UNITS, rtol=1e-4, atol=1e-6)
    if not here.guarded_:
        again = clone(plain).set_params(**there.best_params_).fit(X * UNITS, y)
        for task in y:
            assert_allclose(again.coef_[task] * UNITS, there.coef_[task] * UNITS, rtol=1e-5, atol=1e-7)


def test_a_scorer_sees_features_as_given():
    X, y = make_multitask(60, 6, 4, random_state=8)
    seen = []

    def score(model, table, targets):
        seen.append(np.ptp(table, axis=0) / np.ptp(X, axis=0))
        return model.score(table, targets)

    few = {"n_components": [1, 2], "alpha": [0.3, 0.05], "alpha_common": None, "alpha_own": None, "cv": 3}
    scored = LowRankRegressorCV(**few, scoring=score).fit(X * UNITS, y)
    assert_allclose(seen[0] / UNITS, 1.0, rtol=0.7)
    by_name = LowRankRegressorCV(**few, scoring="r2").fit(X, y)
    assert scored.best_score_ == pytest.approx(by_name.best_score_, rel=1e-6)


def test_a_guarded_fit_keeps_its_spread_in_every_unit():
    X, y = make_multitask(40, 12, 30, n_components=1, n_outliers=3, signal=2.0, random_state=0)
    units = np.r_[UNITS, UNITS]
    few = {"n_components": 1, "alpha": "auto", "alpha_common": None, "factor_prior": "ridge", "feature_prior": "ridge"}
    here = LowRankRegressorCV(**few, cv=3).fit(X, y)
    there = LowRankRegressorCV(**few, cv=3).fit(X * units, y)
    assert here.guarded_ == there.guarded_ != []
    for one, other in zip(here.predict(X, return_std=True), there.predict(X * units, return_std=True), strict=True):
        assert_allclose(rows(one), rows(other), rtol=1e-4, atol=1e-6)
