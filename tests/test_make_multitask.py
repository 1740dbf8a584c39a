"""`make_multitask` promises a truth: models that know nothing of us find it again in the data."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.linear_model import LinearRegression, LogisticRegression, PoissonRegressor

from skmtl.datasets import make_multitask
from skmtl.targets import TaskTargets

KINDS = {"mass": "regression", "sold": "binary", "colour": "multiclass", "visits": "count"}
UNPENALISED = {
    "regression": LinearRegression(),
    "binary": LogisticRegression(C=1e6, tol=1e-8, max_iter=1000),
    "multiclass": LogisticRegression(C=1e6, tol=1e-8, max_iter=1000),
    "count": PoissonRegressor(alpha=0, tol=1e-8, max_iter=1000),
}


def relative_error(estimate, truth):
    return np.linalg.norm(estimate - truth) / np.linalg.norm(truth)


def stacked(truth, part):
    """(n_features, n_outputs) of a part of the truth that is kept per task."""
    return np.hstack(list(truth[part].values()))


# --- The data follow the model -----------------------------------------------------------------------


@pytest.mark.parametrize("task", KINDS)
def test_maximum_likelihood_recovers_coefficients_of_every_kind(task):
    # 20,000 rows: standard errors of a coefficient are 0.007 (regression, count) to 0.03 (classes)
    # beside coefficients of size 1 / sqrt(6); 10 % is more than three of them.
    parts = {"common": 0.5, "own": 0.5}
    X, y, truth = make_multitask(20_000, 6, kinds=KINDS, **parts, return_truth=True, random_state=0)
    model = UNPENALISED[KINDS[task]].fit(X, y[task])
    assert model.coef_.shape == truth.coef[task].shape
    assert relative_error(model.coef_, truth.coef[task]) < 0.1
    assert_allclose(model.intercept_, truth.intercept[task], atol=0.1)


def test_own_rows_follow_the_model_too():
    X, y, truth = make_multitask(5_000, 4, kinds=KINDS, own_rows=True, return_truth=True, random_state=1)
    model = LinearRegression().fit(X["mass"], y["mass"])
    assert relative_error(model.coef_, truth.coef["mass"]) < 0.1
    assert not np.array_equal(X["mass"], X["sold"])


def test_noise_is_that_of_each_task():
    X, y, truth = make_multitask(4_000, 3, 3, noise=[0.1, 1.0, 5.0], return_truth=True, random_state=2)
    for task, sd in truth.noise.items():
        residuals = y[task] - X @ truth.coef[task] - truth.intercept[task]
        assert_allclose(residuals.std(), sd, rtol=0.05)  # four standard errors of a standard deviation
    assert list(truth.noise.values()) == [0.1, 1.0, 5.0]


def test_no_noise_gives_exact_targets():
    X, y, truth = make_multitask(30, 4, 3, noise=0, return_truth=True, random_state=3)
    for task in y:
        assert_allclose(y[task], X @ truth.coef[task] + truth.intercept[task], atol=1e-12)


def test_rows_are_standard_normal():
    X, _ = make_multitask(20_000, 5, random_state=4)
    assert_allclose(X.mean(axis=0), 0, atol=0.03)
    assert_allclose(np.cov(X.T), np.eye(5), atol=0.04)


# --- The truth has the structure that was asked for --------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"common": 0.7}, {"own": 0.4}, {"common": 0.7, "own": 0.4}])
def test_coefficients_are_the_sum_of_their_parts(options):
    _, _, truth = make_multitask(kinds=KINDS, return_truth=True, random_state=0, **options)
    for task, kind in KINDS.items():
        common = 0 if kind == "multiclass" else truth.common[:, None]
        total = common + truth.basis @ truth.factors[task] + truth.own[task]
        assert_allclose(np.atleast_2d(truth.coef[task]), total.T, atol=1e-12)


def test_coefficients_have_the_rank_of_the_basis():
    _, _, truth = make_multitask(n_features=30, n_tasks=12, n_components=3, return_truth=True, random_state=0)
    assert np.linalg.matrix_rank(np.column_stack(list(truth.coef.values()))) == 3
    assert_allclose(truth.basis.T @ truth.basis, np.eye(3), atol=1e-12)


@pytest.mark.parametrize("signal", [0.5, 3.0])
@pytest.mark.parametrize("structure", [{}, {"common": 1.0, "own": 0.5}, {"n_outliers": 2}])
def test_signal_is_the_size_of_the_coefficients(signal, structure):
    # X is standard normal, so the standard deviation of X @ w is |w|.
    _, _, truth = make_multitask(kinds=KINDS, signal=signal, return_truth=True, random_state=0, **structure)
    sizes = [np.sum(w**2) / np.atleast_2d(w).shape[0] for w in truth.coef.values()]
    widths = [np.atleast_2d(w).shape[0] for w in truth.coef.values()]
    assert_allclose(np.sqrt(np.average(sizes, weights=widths)), signal)


def test_sizes_of_the_parts_stand_in_the_asked_proportion():
    _, _, truth = make_multitask(10, 50, 2_000, n_components=4, common=0.7, own=0.3, return_truth=True, random_state=0)
    shared = np.sqrt(np.mean(np.sum(stacked(truth, "factors") ** 2, axis=0)))
    own = np.sqrt(np.mean(np.sum(stacked(truth, "own") ** 2, axis=0)))
    assert_allclose(np.linalg.norm(truth.common) / shared, 0.7, rtol=0.05)
    assert_allclose(own / shared, 0.3, rtol=0.05)


def test_parts_not_asked_for_are_zero():
    _, _, truth = make_multitask(kinds=KINDS, return_truth=True, random_state=0)
    assert not truth.common.any()
    assert not stacked(truth, "own").any()
    assert truth.outliers == []


def test_outliers_are_the_last_tasks_and_share_nothing():
    _, _, truth = make_multitask(10, 40, 6, n_components=2, common=1.0, n_outliers=2, return_truth=True, random_state=0)
    related, outliers = list(truth.coef)[:-2], list(truth.coef)[-2:]
    assert truth.outliers == outliers
    for task in outliers:
        assert not truth.factors[task].any()
        assert_array_equal(truth.coef[task], truth.own[task][:, 0])
    # Related tasks span basis and common part; an outlier leaves that span.
    span = np.column_stack([truth.basis, truth.common])
    left = {task: w - span @ np.linalg.lstsq(span, w, rcond=None)[0] for task, w in truth.coef.items()}
    assert max(np.linalg.norm(left[task]) for task in related) < 1e-12
    assert min(np.linalg.norm(left[task]) for task in outliers) > 0.5


def test_classes_of_a_task_sum_to_zero_as_softmax_leaves_them():
    _, _, truth = make_multitask(kinds=["multiclass"], own=0.5, return_truth=True, random_state=0)
    assert_allclose(truth.coef["task_0"].sum(axis=0), 0, atol=1e-12)
    assert_allclose(truth.intercept["task_0"].sum(), 0, atol=1e-12)


# --- Shapes and types --------------------------------------------------------------------------------


def test_defaults_are_five_regression_tasks():
    X, y = make_multitask(random_state=0)
    assert X.shape == (100, 20)
    assert isinstance(y, TaskTargets)
    assert list(y) == [f"task_{t}" for t in range(5)]
    assert all(column.shape == (100,) and column.dtype == np.float64 for column in y.values())


def test_targets_of_every_kind():
    _, y, truth = make_multitask(300, kinds=KINDS, n_classes=4, return_truth=True, random_state=0)
    assert list(y) == list(KINDS) == list(truth.kinds)
    assert set(y["sold"]) == {0, 1}
    assert set(y["colour"]) == {"class_0", "class_1", "class_2", "class_3"}
    assert np.issubdtype(y["visits"].dtype, np.integer)
    assert y["visits"].min() == 0
    shapes = {task: np.shape(coef) for task, coef in truth.coef.items()}
    assert shapes == {"mass": (20,), "sold": (1, 20), "colour": (4, 20), "visits": (20,)}


@pytest.mark.parametrize("own_rows", [False, True])
@pytest.mark.parametrize("missing", [0.25, 0.97])
def test_missing_is_the_share_of_every_task(missing, own_rows):
    _, y = make_multitask(200, kinds=KINDS, missing=missing, own_rows=own_rows, random_state=0)
    for task, kind in KINDS.items():
        unknown = [value is None for value in y[task]] if kind == "multiclass" else np.isnan(y[task])
        assert np.sum(unknown) == round(200 * missing)


def test_gaps_differ_between_tasks():
    _, y = make_multitask(100, 5, 2, missing=0.5, random_state=0)
    assert not np.array_equal(np.isnan(y["task_0"]), np.isnan(y["task_1"]))


def test_one_target_remains_however_much_is_missing():
    _, y = make_multitask(3, 2, 4, n_components=1, missing=0.999, random_state=0)
    assert [np.isfinite(column).sum() for column in y.values()] == [1, 1, 1, 1]


def test_own_rows_are_dicts_by_task():
    X, y = make_multitask(7, 3, kinds=KINDS, own_rows=True, random_state=0)
    assert list(X) == list(y) == list(KINDS)
    assert all(X[task].shape == (7, 3) and y[task].shape == (7,) for task in KINDS)


def test_same_seed_same_data():
    first, second, other = (make_multitask(50, kinds=KINDS, missing=0.2, random_state=seed) for seed in (3, 3, 4))
    assert_array_equal(first[0], second[0])
    for task in KINDS:
        assert_array_equal(first[1][task], second[1][task])
    assert not np.array_equal(first[0], other[0])


def test_truth_is_returned_only_on_request_and_does_not_change_the_data():
    X, y = make_multitask(random_state=0)
    X_again, y_again, _ = make_multitask(return_truth=True, random_state=0)
    assert_array_equal(X, X_again)
    assert_array_equal(y["task_4"], y_again["task_4"])


# --- Bad arguments -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_samples": 0}, "n_samples is 0; it must be an integer of at least 1"),
        ({"n_tasks": 2.5}, "n_tasks is 2.5; it must be an integer of at least 1"),
        ({"n_components": 21}, "n_components is 21; it must be at most n_features, 20"),
        ({"n_classes": 1}, "n_classes is 1; it must be an integer of at least 2"),
        ({"n_outliers": 6}, "n_outliers is 6; there are only 5 tasks"),
        ({"kinds": "ordinal"}, "task 'task_0' is 'ordinal'; a kind must be one of regression, binary"),
        ({"kinds": {"a": "binary", "b": "float"}}, "task 'b' is 'float'; a kind must be one of"),
        ({"kinds": []}, "kinds is empty"),
        ({"missing": 1.0}, "missing is 1.0; it must be at least 0 and below 1"),
        ({"noise": [1.0, 2.0]}, r"noise has shape \(2,\); it must be one number or one per task \(5\)"),
        ({"noise": [1, 1, -1, 1, 1]}, "noise of task 'task_2' is -1.0; it must be at least 0"),
        ({"noise": {"a": 1.0}}, r"noise names the tasks \['a'\]; it must name each of"),
        ({"signal": -1}, "signal is -1; it must be at least 0"),
        ({"own": np.nan}, "own is nan; it must be at least 0"),
    ],
)
def test_error_names_the_argument_and_what_is_allowed(arguments, message):
    with pytest.raises(ValueError, match=message):
        make_multitask(**arguments)
