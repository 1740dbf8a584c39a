"""A kind is a property of a task: two whole numbers are classes, two fractions are not, and no subset changes it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal

from skmtl import (
    LowRankClassifier,
    LowRankClassifierCV,
    LowRankMultiTask,
    LowRankMultiTaskCV,
    LowRankRegressor,
    LowRankRegressorCV,
    TaskTargets,
    group_tasks,
    select_tasks,
    task_affinity,
)

polars = pytest.importorskip("polars")

MIXED = [LowRankMultiTask, LowRankMultiTaskCV]
CLASSIFIERS = [LowRankClassifier, LowRankClassifierCV]
REGRESSORS = [LowRankRegressor, LowRankRegressorCV]
N = 60
BIG, BIGGER = 2**60, 2**60 + 1


def features(n_rows=N, seed=0):
    return np.random.RandomState(seed).randn(n_rows, 4)


def kinds_of(model):
    return {task.name: task.kind for task in model._tasks}


def gaps(*values, n_rows=N):
    """A column with these targets first and none after."""
    return np.array([*values, *[np.nan] * (n_rows - len(values))])


def numbers(n_rows=N, seed=1):
    return np.random.RandomState(seed).randn(n_rows)


# ---- two values -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ((0.64, 1.09), "regression"),
        ((0.5, 1.0), "regression"),  # one fraction is enough
        ((-0.25, 0.25), "regression"),
        ((0.0, 1.0), "binary"),
        ((1.0, 2.0), "binary"),
        ((-1.0, 1.0), "binary"),
    ],
)
@pytest.mark.parametrize("container", [dict, TaskTargets, pd.DataFrame, polars.DataFrame, "array", "own"])
def test_two_values_are_classes_only_where_both_are_whole(values, kind, container):
    X, a, b = features(), numbers(), gaps(*values)
    if container == "own":
        model = LowRankMultiTask().fit({"a": X, "b": X[:2]}, {"a": a, "b": np.array(values)})
    elif container == "array":
        model = LowRankMultiTask().fit(X, np.column_stack([a, b]))
    else:
        model = LowRankMultiTask().fit(X, container({"a": a, "b": b}))
    assert list(kinds_of(model).values()) == ["regression", kind]


@pytest.mark.parametrize("estimator", MIXED)
def test_two_prices_among_58_gaps_are_predicted_as_numbers(estimator):
    X = features()
    model = estimator().fit(X, {"a": numbers(), "b": gaps(0.64, 1.09)})
    predicted = model.predict(X)["b"]
    assert predicted.dtype == np.float64
    assert len(np.unique(predicted)) > 2 or np.allclose(predicted, (0.64 + 1.09) / 2)


def test_relatedness_reads_two_fractions_as_numbers():
    X, base = features(), {"a": numbers(), "c": numbers(seed=2), "d": numbers(seed=3)}
    b = gaps(0.64, 1.09)
    found = task_affinity(X, {**base, "b": b})
    declared = task_affinity(X, {**base, "b": b}, kinds="regression")
    assert_array_equal(found.matrix, declared.matrix)


def test_select_tasks_reads_two_fractions_as_numbers():
    X, y = features(), {"a": numbers(), "b": gaps(0.64, 1.09, 0.64), "c": numbers(seed=2)}
    assert repr(select_tasks(X, y, "a", random_state=0)) == repr(
        select_tasks(X, y, "a", kinds="regression", random_state=0)
    )


@pytest.mark.parametrize("form", ["named", "own", "array"])
def test_a_new_task_of_two_fractional_labels_is_a_number(form):
    X, new = features(), gaps(0.64, 1.09, n_rows=2)
    model = LowRankMultiTask(n_components=1)
    if form == "array":
        model.fit(X, np.column_stack([numbers(), numbers(seed=2)])).add_tasks(X[:2], new[:, None])
    elif form == "own":
        model.fit(X, {"a": numbers(), "c": numbers(seed=2)}).add_tasks({"b": X[:2]}, {"b": new})
    else:
        model.fit(X, {"a": numbers(), "c": numbers(seed=2)}).add_tasks(X[:2], {"b": new})
    assert [task.kind for task in model._tasks] == ["regression"] * 3


def test_a_new_task_of_two_whole_labels_is_binary_and_of_one_an_error():
    model = LowRankMultiTask(n_components=1).fit(features(), {"a": numbers()})
    model.add_tasks(features(2), {"b": [0, 1]})
    assert kinds_of(model)["b"] == "binary"
    with pytest.raises(ValueError, match="Task 'c' has one class only"):
        model.add_tasks(features(2), {"c": [1, 1]})
    assert model.tasks_ == ["a", "b"]


# ---- the long form ----------------------------------------------------------------------------


def long_form(n_tasks=30, rows=2, seed=0):
    table = pd.DataFrame(features(n_tasks * rows, seed), columns=list("wxyz"))
    table.insert(1, "school", np.repeat(np.arange(n_tasks), rows))
    return table


@pytest.mark.parametrize(
    ("estimator", "task_of_rows"),
    [
        (LowRankMultiTask(), "frame"),
        (LowRankMultiTask(), "array"),
        (LowRankMultiTask(), "polars"),
        (LowRankMultiTaskCV(n_components=1, alpha=0.1, alpha_common=None, alpha_own=None, cv=2), "frame"),
    ],
)
def test_a_column_of_numbers_is_numbers_for_every_school_however_few_its_rows(estimator, task_of_rows):
    table, y = long_form(), numbers().round(2)
    task_col = "school"
    if task_of_rows == "array":
        table, task_col = table.to_numpy(), 1
    if task_of_rows == "polars":
        table = polars.from_pandas(table)
    model = estimator.set_params(task_col=task_col).fit(table, y)
    assert set(kinds_of(model).values()) == {"regression"}


@pytest.mark.filterwarnings("error")
def test_whole_numbers_of_two_rows_per_school_are_numbers_where_the_column_holds_many():
    y = np.random.RandomState(0).poisson(20, N)
    y[:2], y[2:4] = (0, 1), (1, 1)  # a school that shows two values, another that shows one
    model = LowRankMultiTask(task_col="school").fit(long_form(), y)
    assert set(kinds_of(model).values()) == {"regression"}


def test_few_whole_numbers_in_the_column_are_told_once_for_all_schools():
    y = np.resize([1, 2, 3], N)
    with pytest.warns(UserWarning, match=r"declare kinds='multiclass'; .* kinds='regression'") as caught:
        LowRankMultiTask(task_col="school").fit(long_form(), y)
    assert len(caught) == 1


@pytest.mark.parametrize("estimator", MIXED + CLASSIFIERS)
def test_a_school_of_one_class_is_an_error_that_names_it(estimator):
    y = np.resize([0, 1], N)
    table = long_form(6, 10)
    assert set(kinds_of(LowRankMultiTask(task_col="school").fit(table, y)).values()) == {"binary"}
    y[30:40] = 1
    with pytest.raises(ValueError, match=r"Task 3 has one class only \(1\)"):
        estimator(task_col="school").fit(table, y)


# ---- one value --------------------------------------------------------------------------------


@pytest.mark.parametrize("estimator", MIXED + CLASSIFIERS)
@pytest.mark.parametrize(
    "column",
    [[0] * N, [1.0] * N, [True] * N, ["no"] * N, gaps(1.0, 1.0), [None, False] * (N // 2), pd.Series(["a"] * N)],
)
@pytest.mark.parametrize("form", ["named", "own"])
def test_one_value_of_classes_is_an_error_that_names_the_task(estimator, column, form):
    X, a = features(), np.resize(["u", "v"], N)
    X, y = (X, {"a": a, "b": column}) if form == "named" else ({"a": X, "b": X}, {"a": a, "b": column})
    with pytest.raises(ValueError, match=r"Task 'b' has one class only .* needs at least two classes"):
        estimator().fit(X, y)


@pytest.mark.parametrize("estimator", REGRESSORS)
@pytest.mark.parametrize("value", [0, 1, 3.5, True])
def test_the_regressor_reads_numbers_and_a_constant_is_fine(estimator, value):
    X = features()
    model = estimator().fit(X, {"a": numbers(), "b": np.full(N, value)})
    np.testing.assert_allclose(model.predict(X)["b"], float(value), atol=0.02)


@pytest.mark.parametrize("value", [7.0, 0.5, 2])
def test_another_constant_is_a_number_in_the_mixed_class_and_declared_so_is_a_zero(value):
    X = features()
    assert kinds_of(LowRankMultiTask().fit(X, {"a": numbers(), "b": np.full(N, value)}))["b"] == "regression"
    zeros = LowRankMultiTask(kinds={"b": "regression"}).fit(X, {"a": numbers(), "b": np.zeros(N)})
    np.testing.assert_allclose(zeros.predict(X)["b"], 0.0, atol=1e-8)


# ---- weights of zero --------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["named", "own", "long"])
def test_rows_of_weight_zero_still_say_what_a_task_is(form):
    """Measurements that are all whole numbers but for those of weight zero are no classes."""
    X, y = features(), np.resize([1.0, 2.0, 2.25], N)
    weight = np.resize([1.0, 1.0, 0.0], N)
    if form == "named":
        model = LowRankMultiTask().fit(X, {"a": y}, sample_weight=weight)
    elif form == "own":
        model = LowRankMultiTask().fit({"a": X}, {"a": y}, sample_weight={"a": weight})
    else:
        model = LowRankMultiTask(task_col="school").fit(long_form(3, 20), y, sample_weight=weight)
    assert set(kinds_of(model).values()) == {"regression"}


@pytest.mark.parametrize("estimator", [LowRankMultiTask, LowRankClassifier])
def test_classes_of_which_all_but_one_have_weight_zero_are_one_class(estimator):
    with pytest.raises(ValueError, match=r"Task 't' has one class only \(0\)"):
        estimator().fit(features(4), {"t": [0, 0, 1, 1]}, sample_weight=[1, 1, 0, 0])


# ---- one kind for all tasks -------------------------------------------------------------------


def test_one_string_declares_the_kind_of_all_tasks():
    X, rng = features(), np.random.RandomState(0)
    y = {"a": rng.poisson(2, N), "b": rng.poisson(1, N)}
    counts = LowRankMultiTask(kinds="count").fit(X, y)
    by_task = LowRankMultiTask(kinds={"a": "count", "b": "count"}).fit(X, y)
    assert kinds_of(counts) == {"a": "count", "b": "count"}
    assert_array_equal(counts.predict(X)["a"], by_task.predict(X)["a"])
    poisson = LowRankRegressor(loss="poisson").fit(X, y)
    np.testing.assert_allclose(counts.predict(X)["b"], poisson.predict(X)["b"], rtol=1e-5)
    counts.add_tasks(X, {"c": rng.poisson(1, N)})
    assert kinds_of(counts)["c"] == "count"


@pytest.mark.parametrize("kind", ["regression", "count", "multiclass"])
def test_one_string_serves_every_form(kind):
    X, y = features(), np.resize([0, 1, 2], N)
    fits = [
        LowRankMultiTask(kinds=kind).fit(X, np.column_stack([y, y])),
        LowRankMultiTask(kinds=kind).fit({"a": X, "b": X}, {"a": y, "b": y[::-1]}),
        LowRankMultiTask(kinds=kind, task_col="school").fit(long_form(3, 20), y),
        LowRankMultiTaskCV(kinds=kind).fit(X, {"a": y}),
    ]
    for model in fits:
        assert set(kinds_of(model).values()) == {kind}
    assert group_tasks(X, np.column_stack([y, y]), n_groups=1, kinds=kind).n_groups == 1


def test_one_string_makes_probabilities_available_before_the_fit():
    assert hasattr(LowRankMultiTask(kinds="binary"), "predict_proba")
    assert not hasattr(LowRankMultiTask(kinds="count"), "predict_proba")


# ---- numbers as text --------------------------------------------------------------------------


def texts(n_rows=N, digits=2):
    return np.array([f"{value:.{digits}f}" for value in np.linspace(0, 1, n_rows)])


@pytest.mark.parametrize("estimator", MIXED + CLASSIFIERS)
@pytest.mark.parametrize(
    "column",
    [
        texts(),
        texts().tolist(),
        texts().astype(object),
        pd.Series(texts()),
        pd.Series(texts(), dtype="string"),
        polars.Series(texts().tolist()),
        [None, *texts()[1:]],
        [text.replace(".", ",") for text in texts()],
        np.array(["?"] * 20 + texts(40).tolist()),
    ],
)
def test_numbers_written_as_text_are_refused_with_what_to_do(estimator, column):
    message = r"Task 'b' holds numbers written as text .* convert them with pandas.to_numeric or .astype\(float\)"
    with pytest.raises(ValueError, match=message):
        estimator().fit(features(), {"a": np.resize(["u", "v"], N), "b": column})


def test_a_regressor_says_how_texts_become_numbers():
    with pytest.raises(ValueError, match=r"Task 'b' holds strings .* accepts numbers only. Convert them with pandas"):
        LowRankRegressor().fit(features(), {"b": texts()})


@pytest.mark.parametrize("estimator", MIXED)
def test_numbers_as_text_are_refused_in_the_long_form_too(estimator):
    with pytest.raises(ValueError, match="numbers written as text"):
        estimator(task_col="school").fit(long_form(3, 20), texts())


def test_texts_that_are_no_numbers_or_few_or_declared_stay_classes():
    X = features(120)
    cases = {
        "names": np.resize([f"team {i}" for i in range(25)], 120),
        "twenty numbers": np.resize(texts(20), 120),
        "numbers on half of the rows": np.array([*texts(60), *np.resize(["a", "b"], 60)]),
    }
    for column in cases.values():
        assert kinds_of(LowRankMultiTask().fit(X, {"t": column})) == {"t": "multiclass"}
    digits = np.resize([str(i) for i in range(25)], 120)
    assert kinds_of(LowRankMultiTask(kinds={"t": "multiclass"}).fit(X, {"t": digits})) == {"t": "multiclass"}
    assert kinds_of(LowRankClassifier().fit(X, {"t": pd.Series(digits).astype("category")})) == {"t": "multiclass"}
    with pytest.raises(ValueError, match="numbers written as text"):
        LowRankMultiTask().fit(X, {"t": digits})


# ---- whole numbers that float64 merges --------------------------------------------------------

CODES = np.resize([BIG, BIGGER], N)
LONG_INTEGERS = {
    "int64": CODES,
    "uint64": np.resize(np.array([2**63, 2**63 + 1], dtype=np.uint64), N),
    "beyond 64 bits": np.resize(np.array([2**70, 2**70 + 1], dtype=object), N),
    "list": CODES.tolist(),
    "list with None": [None, *CODES.tolist()[1:]],
    "list with NaN": [float("nan"), *CODES.tolist()[1:]],
    "objects": CODES.astype(object),
    "Series": pd.Series(CODES),
    "nullable": pd.Series([None, *CODES.tolist()[1:]], dtype="Int64"),
    "Arrow": pd.Series([None, *CODES.tolist()[1:]], dtype="int64[pyarrow]"),
    "category": pd.Series(CODES).astype("category"),
    "polars": polars.Series(CODES.tolist()),
    "polars with null": polars.Series([None, *CODES.tolist()[1:]]),
    "masked": np.ma.masked_array(CODES, np.arange(N) == 0),
}


@pytest.mark.parametrize("column", LONG_INTEGERS.values(), ids=LONG_INTEGERS)
@pytest.mark.parametrize("estimator", [LowRankClassifier, LowRankMultiTask])
def test_two_long_integers_stay_two_classes_in_every_container(column, estimator):
    expected = {int(one) for one in list(column) if one is not None and one is not pd.NA and one == one and one}
    X = features()
    fits = [
        (estimator().fit(X, {"t": column}), "t"),
        (estimator().fit(X, TaskTargets({"t": column})), "t"),
        (estimator().fit({"t": X}, {"t": column}), "t"),
        (estimator().fit(X, column), 0),
    ]
    frame = pd.DataFrame({"t": column}) if not isinstance(column, (np.ma.MaskedArray, polars.Series)) else None
    if frame is not None and frame["t"].dtype.kind != "f":  # what pandas has rounded we cannot know
        fits.append((estimator().fit(X, frame), "t"))
    for model, task in fits:
        assert set(model.classes_by_task_[task].tolist()) == expected
        predicted = model.predict(X)
        answers = predicted["t"] if task == "t" else predicted
        assert set(np.asarray(answers).tolist()) <= expected


def test_two_long_integers_stay_two_classes_in_the_long_form_and_beside_numbers():
    model = LowRankClassifier(task_col="school").fit(long_form(), CODES)
    assert model.classes_.tolist() == [BIG, BIGGER]
    assert model.score(long_form(), CODES) == np.mean(model.predict(long_form()) == CODES)
    X = features()
    Y = np.column_stack([CODES.astype(object), numbers()])
    mixed = LowRankMultiTask().fit(X, Y)
    assert kinds_of(mixed) == {0: "binary", 1: "regression"}
    assert set(mixed.predict(X)[:, 0]) <= {BIG, BIGGER}
    listed = LowRankMultiTask().fit(X, Y.tolist())
    assert listed.classes_by_task_[0].tolist() == [BIG, BIGGER]


def test_long_integers_are_learned_and_scored_like_zeros_and_ones():
    X = features()
    y = (X[:, 0] + 0.3 * numbers() > 0).astype(int)
    plain = LowRankClassifier().fit(X, {"t": y})
    for code in (BIG + y, (BIG + y).astype(object), [BIG + int(one) for one in y]):
        model = LowRankClassifier().fit(X, {"t": code})
        assert_array_equal(model.predict(X)["t"] - BIG, plain.predict(X)["t"])
        assert model.score(X, {"t": code}) == plain.score(X, {"t": y})


def test_many_long_integers_are_numbers():
    X = features()
    stamps = 2**60 + 10**12 * np.arange(N)
    for y in (stamps, stamps.tolist(), pd.Series(stamps)):
        mixed = LowRankMultiTask().fit(X, {"a": y})
        assert kinds_of(mixed) == {"a": "regression"}
        expected = LowRankRegressor().fit(X, {"a": np.asarray(y, dtype=float)}).predict(X)["a"]
        np.testing.assert_allclose(mixed.predict(X)["a"], expected, rtol=1e-12)
        np.testing.assert_allclose(LowRankRegressor().fit(X, {"a": y}).predict(X)["a"], expected, rtol=1e-12)
    with pytest.warns(UserWarning, match="whole numbers with at most 10 distinct values"):
        few = LowRankMultiTask().fit(X, {"a": np.resize([BIG, BIGGER, BIG + 2], N)})
    assert kinds_of(few) == {"a": "regression"}


def test_long_integers_survive_joining_and_stacking_targets():
    one, other = TaskTargets({"t": CODES[:4]}), TaskTargets({"t": np.array([0.5, np.nan])})
    assert np.concatenate([one, other])["t"].tolist()[:4] == CODES[:4].tolist()
    assert np.asarray(TaskTargets({"t": CODES[:4], "u": np.full(4, 0.5)}))[:, 0].tolist() == CODES[:4].tolist()


# ---- records ----------------------------------------------------------------------------------


@pytest.mark.parametrize("estimator", MIXED + CLASSIFIERS + REGRESSORS)
@pytest.mark.parametrize("how", ["array", "named", "own", "targets", "recarray"])
def test_records_are_refused_with_what_to_do(estimator, how):
    y = np.array([(0.5, 1)] * N, dtype=[("size", float), ("age", int)])
    X = features()
    given = {
        "array": (X, y),
        "recarray": (X, y.view(np.recarray)),
        "named": (X, {"t": y}),
        "own": ({"t": X}, {"t": y}),
        "targets": (X, {"t": y}),
    }[how]
    with pytest.raises(ValueError, match=r"records with the fields 'size', 'age'; give every field as a task"):
        estimator().fit(given[0], TaskTargets(given[1]) if how == "targets" else given[1])


# ---- exposure ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "model", [LowRankRegressor(loss="poisson", alpha=1e-9), LowRankMultiTask(kinds="count", alpha=1e-9)]
)
def test_rates_weighted_by_exposure_are_the_poisson_model_with_an_offset(model):
    statsmodels = pytest.importorskip("statsmodels.api")
    rng = np.random.RandomState(0)
    X, exposure = rng.randn(300, 3), rng.uniform(0.2, 2.0, 300)
    counts = {task: rng.poisson(exposure * np.exp(X @ [0.5, 0.0, -0.3])) for task in ("a", "b")}
    rates = {task: count / exposure for task, count in counts.items()}
    model.fit(X, rates, sample_weight=exposure)
    for task, count in counts.items():
        design = statsmodels.add_constant(X)
        glm = statsmodels.GLM(count, design, family=statsmodels.families.Poisson(), exposure=exposure).fit()
        np.testing.assert_allclose(model.coef_[task], glm.params[1:], atol=1e-3)
        np.testing.assert_allclose(model.intercept_[task], glm.params[0], atol=1e-3)
