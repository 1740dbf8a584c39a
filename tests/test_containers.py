"""Frames and arrays of every package as X and y: read right, or refused by the name of the column and with advice."""

from __future__ import annotations

import datetime
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.compose import make_column_transformer
from sklearn.model_selection import cross_val_score, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from skmtl import (
    LowRankClassifier,
    LowRankMultiTask,
    LowRankRegressor,
    LowRankRegressorCV,
    MultiTaskScorer,
    TaskKFold,
    TaskTargets,
    stack_tasks,
    task_affinity,
    transfer_report,
)
from skmtl.model_selection import GridSearchCV, cross_val_predict

N = 40
RNG = np.random.default_rng(0)
X = RNG.standard_normal((N, 3))
Y = X @ RNG.standard_normal((3, 2)) + 0.1 * RNG.standard_normal((N, 2))
NAMES = ["p", "q", "r"]
FRAME = pd.DataFrame(X, columns=NAMES)
DAYS = pd.date_range("2020", periods=N)


# -- X: what is no number is told by name -------------------------------------------------------

CULPRITS = {
    "texts": (["Rome", "Oslo"] * 20, r"holds strings \(for example 'Rome'\).*OneHotEncoder or OrdinalEncoder.*skrub"),
    "categories": (pd.Categorical(["Rome", "Oslo"] * 20), r"holds strings \(for example 'Rome'\).*OneHotEncoder"),
    "texts among numbers": ([1.5, "?"] * 20, r"holds strings \(for example '\?'\)"),
    "dates": (DAYS, r"holds dates or durations \(for example 2020-01-01.*days since a date.*skrub.TableVectorizer"),
    "dates of a zone": (DAYS.tz_localize("Asia/Tokyo"), "holds dates or durations"),
    "dates of Python": ([one.date() for one in DAYS], r"holds dates or durations \(for example 2020-01-01\)"),
    "periods": (pd.period_range("2020", periods=N), "holds dates or durations"),
    "durations": (pd.to_timedelta(np.arange(N), "D"), "holds dates or durations"),
    "lists": (pd.Series([[1, 2]] * N), "holds objects of type list"),
}


def with_column(values):
    return FRAME.assign(q=values)


def as_polars(frame):
    return pytest.importorskip("polars").from_pandas(frame)


def as_arrow(frame):
    return pytest.importorskip("pyarrow").Table.from_pandas(frame)


CONTAINERS = {"pandas": lambda frame: frame, "array": lambda frame: frame.to_numpy(), "polars": as_polars,
              "pyarrow": as_arrow}  # fmt: skip


@pytest.mark.parametrize("culprit", CULPRITS)
@pytest.mark.parametrize("container", CONTAINERS)
def test_a_column_that_is_no_number_is_named_with_what_helps(culprit, container):
    values, message = CULPRITS[culprit]
    frame = with_column(values)
    if container in ("polars", "pyarrow") and culprit in ("texts among numbers", "periods", "lists"):
        pytest.skip("has no such column")
    table = CONTAINERS[container](frame)
    column = "1" if container == "array" else "'q'"
    error = TypeError if culprit == "lists" else ValueError  # as scikit-learn has it for objects of other types
    with pytest.raises(error, match=rf"^Column {column} of X {message}"):
        LowRankRegressor().fit(table, Y)
    with pytest.raises(error, match=rf"^Column {column} of X of task 'a' {message}"):
        LowRankRegressor().fit({"a": table, "b": table}, {"a": Y[:, 0], "b": Y[:, 1]})


@pytest.mark.parametrize("container", ["pandas", "polars", "pyarrow"])
def test_the_long_form_names_the_column_too_but_takes_texts_as_labels(container):
    frame = FRAME.assign(shop=np.resize(["north", "south"], N), when=DAYS)
    table = CONTAINERS[container](frame)
    with pytest.raises(ValueError, match="Column 'when' of X holds dates"):
        LowRankRegressor(task_col="shop").fit(table, Y[:, 0])
    model = LowRankRegressor(task_col="shop").fit(CONTAINERS[container](frame.drop(columns="when")), Y[:, 0])
    assert model.tasks_ == ["north", "south"]


def test_predict_names_the_column_as_fit_does():
    model = LowRankRegressor().fit(FRAME, Y)
    with pytest.raises(ValueError, match="Column 'q' of X holds strings"):
        model.predict(with_column(["Rome"] * N))


def test_lists_of_texts_and_lists_of_numbers():
    rows = [[1.0, "Rome"], [2.0, "Oslo"], [3.0, "Rome"]]
    with pytest.raises(ValueError, match="Column 1 of X holds strings"):
        LowRankRegressor().fit(rows, [1.0, 2.0, 3.0])
    assert LowRankRegressor().fit(X.tolist(), Y).predict(X.tolist()).shape == Y.shape


def test_the_advice_works():
    frame = with_column(["Rome", "Oslo"] * 20)
    encoder = make_column_transformer((OneHotEncoder(drop="if_binary"), ["q"]), remainder="passthrough")
    assert make_pipeline(encoder, LowRankRegressor()).fit(frame, Y).score(frame, Y) > 0.1


@pytest.mark.parametrize("dtype", [object, str])
def test_texts_of_numbers_and_objects_of_numbers_are_numbers_as_in_scikit_learn(dtype):
    assert_allclose(
        LowRankRegressor().fit(FRAME.astype(dtype), Y).predict(FRAME),
        LowRankRegressor().fit(FRAME, Y).predict(FRAME),
        rtol=1e-5,  # fits end at `tol`
    )


# -- X: missing and infinite values -------------------------------------------------------------


def put_missing(frame, dtype):
    frame = frame.round(1).astype(dtype) if dtype != "Int64" else frame.round().astype(dtype)
    frame.iloc[3, 1] = pd.NA if dtype != "float64" else np.nan
    return frame


@pytest.mark.parametrize("dtype", ["Float64", "Int64", "float64", "object"])
@pytest.mark.parametrize("container", CONTAINERS)
def test_a_missing_value_in_x_names_the_column_and_the_imputer(dtype, container):
    if dtype == "object" and container in ("polars", "pyarrow"):
        pytest.skip("has no objects")
    table = CONTAINERS[container](put_missing(FRAME, dtype))
    column = "1" if container == "array" else "'q'"
    expected = (
        f" contains NaN in column {column}. LowRankRegressor needs complete features: put an imputer before it, for "
        "example make_pipeline(sklearn.impute.SimpleImputer(), LowRankRegressor()). Missing targets are fine."
    )
    with pytest.raises(ValueError) as refusal:
        LowRankRegressor().fit(table, Y)
    assert str(refusal.value) == "Input X" + expected
    whole = CONTAINERS[container](FRAME)
    with pytest.raises(ValueError) as refusal:
        LowRankRegressor().fit({"a": whole, "b": table}, {"a": Y[:, 0], "b": Y[:, 1]})
    assert str(refusal.value) == "Input X of task 'b'" + expected


@pytest.mark.parametrize("form", [sparse.csr_array, sparse.csc_array, sparse.coo_array])
@pytest.mark.parametrize(
    ("value", "said"), [(np.nan, "contains NaN in column 2"), (np.inf, "contains infinity.* in column 2")]
)
def test_sparse_columns_are_told_by_position(form, value, said):
    bad = X.copy()
    bad[5, 2] = value
    with pytest.raises(ValueError, match=f"Input X {said}"):
        LowRankRegressor().fit(form(bad), Y)
    with pytest.raises(ValueError, match=f"Input X of task 'b' {said}"):
        LowRankRegressor().fit({"a": form(X), "b": form(bad)}, {"a": Y[:, 0], "b": Y[:, 1]})


def test_nullable_columns_without_gaps_are_numbers_in_every_form():
    nullable = FRAME.round(1).convert_dtypes().astype("Float64")
    expected = LowRankRegressor().fit(FRAME.round(1).to_numpy(), {"a": Y[:, 0], "b": Y[:, 1]}).predict(X)
    one = LowRankRegressor().fit(nullable, {"a": Y[:, 0], "b": Y[:, 1]}).predict(FRAME)
    own = LowRankRegressor().fit({"a": nullable, "b": nullable}, {"a": Y[:, 0], "b": Y[:, 1]}).predict(FRAME)
    for task in ("a", "b"):
        assert_allclose(one[task], expected[task], rtol=1e-5)  # fits end at `tol`
        assert_allclose(own[task], expected[task], rtol=1e-5)


def test_frames_of_sparse_columns_stay_sparse_among_own_rows(monkeypatch):
    thin = pd.DataFrame.sparse.from_spmatrix(sparse.random(N, 3, 0.3, random_state=0, format="csr"), columns=NAMES)
    monkeypatch.setattr(pd.DataFrame, "to_numpy", None)  # never dense
    model = LowRankRegressor().fit({"a": thin, "b": thin}, {"a": Y[:, 0], "b": Y[:, 1]})
    assert list(model.feature_names_in_) == NAMES


# -- y: missing values and dates ----------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["Float64", "Int64", "object"])
@pytest.mark.parametrize("form", ["frame", "dict", "targets", "array", "own"])
def test_pandas_na_in_y_is_a_missing_target(dtype, form):
    numbers = np.round(10 * Y)
    nullable = pd.DataFrame(numbers, columns=["a", "b"]).astype(dtype)
    nullable.iloc[4, 0] = pd.NA
    numbers[4, 0] = np.nan
    given = {
        "frame": nullable, "dict": dict(nullable.items()), "targets": TaskTargets(nullable),
        "array": nullable.to_numpy(), "own": {name: nullable[[name]] for name in nullable},
    }[form]  # fmt: skip
    features = {"a": X, "b": X} if form == "own" else X
    predicted = LowRankMultiTask().fit(features, given).predict(X)
    expected = LowRankMultiTask().fit(X, numbers).predict(X)
    columns = predicted.T if form == "array" else predicted.values()
    for column, right in zip(columns, expected.T, strict=True):
        assert_allclose(column, right, rtol=1e-6)


@pytest.mark.parametrize(
    "dates",
    [DAYS, DAYS.tz_localize("UTC"), pd.period_range("2020", periods=N), pd.to_timedelta(np.arange(N), "D"),
     [one.date() for one in DAYS], [one.time() for one in DAYS], [datetime.timedelta(i) for i in range(N)]],
    ids=lambda dates: type(dates).__name__ + type(dates[0]).__name__,
)  # fmt: skip
def test_dates_in_y_are_refused_in_every_form(dates):
    frame = pd.DataFrame({"size": Y[:, 0], "when": dates})
    for given, task in (
        (frame, "task 'when'"), (dict(frame.items()), "task 'when'"), (TaskTargets(frame), "task 'when'"),
        (frame.to_numpy(), "task 1"), (frame["when"], "task 0"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=f"The targets of {task} are dates or durations"):
            LowRankMultiTask().fit(X, given)
    with pytest.raises(ValueError, match="The targets of task 'b' are dates or durations"):
        LowRankMultiTask().fit({"a": X, "b": X}, {"a": frame[["size"]], "b": frame[["when"]]})
    with pytest.raises(ValueError, match="are dates or durations"):
        LowRankMultiTask(task_col=0).fit(np.c_[np.resize([0, 1], N), X], frame["when"])


def test_several_values_in_one_cell_of_y_are_refused():
    with pytest.raises(ValueError, match="task 'a' hold several values in one cell"):
        LowRankMultiTask().fit(X, {"a": pd.Series([[1, 2], [3]] * 20)})


# -- pyarrow ------------------------------------------------------------------------------------


@pytest.fixture
def pa():
    return pytest.importorskip("pyarrow")


def gappy(values):
    return [None, *values[1:]]


TARGETS = {
    "floats": gappy(Y[:, 0].tolist()),
    "integers": gappy([i % 13 for i in range(N)]),
    "texts": gappy(["low", "high"] * 20),
    "booleans": gappy([True, False] * 20),
    "decimals": gappy([Decimal(i % 17) / 4 for i in range(N)]),
    "no gaps": Y[:, 1].tolist(),
    "texts without gaps": ["low", "high"] * 20,
}


@pytest.mark.parametrize(
    ("kind", "is_chunked"), [*((kind, False) for kind in TARGETS), ("floats", True), ("texts", True)]
)
def test_arrow_arrays_as_targets_in_every_form(pa, kind, is_chunked):
    values = TARGETS[kind]
    column = pa.chunked_array([values[:7], values[7:]]) if is_chunked else pa.array(values)
    plain = np.array(values, dtype=object)
    long = np.c_[np.resize([0.0, 0.0, 1.0, 1.0], N), X]
    model = LowRankMultiTask()
    for features, given, expected in (
        (X, {"t": column}, {"t": plain}),
        (X, TaskTargets({"t": column}), {"t": plain}),
        (X, column, plain),
        ({"t": X}, {"t": column}, {"t": plain}),
    ):
        answer, right = (model.fit(features, y).predict(features) for y in (given, expected))
        answer, right = (one["t"] if isinstance(one, dict) else one for one in (answer, right))
        assert_array_equal(answer, right)
    grouped = LowRankMultiTask(task_col=0)
    assert_array_equal(grouped.fit(long, column).predict(long), grouped.fit(long, plain).predict(long))


def test_arrow_dictionaries_are_classes(pa):
    texts = pa.array(["low", "high"] * 20).dictionary_encode()
    assert_array_equal(LowRankClassifier().fit(X, texts).classes_, ["high", "low"])
    codes = pa.array([3, 5, 8, 8] * 10).dictionary_encode()  # as pandas' categories: their numbers are classes
    model = LowRankMultiTask().fit(X, {"code": codes, "size": Y[:, 0]})
    assert_array_equal(model.classes_by_task_["code"], [3, 5, 8])
    assert_array_equal(LowRankClassifier().fit(X, pa.chunked_array([codes])).classes_, [3, 5, 8])


@pytest.mark.parametrize("dtype", ["date32", "timestamp", "duration", "time64", "list"])
def test_arrow_columns_that_are_no_targets(pa, dtype):
    column = {
        "date32": lambda: pa.array([one.date() for one in DAYS]),
        "timestamp": lambda: pa.array(DAYS, pa.timestamp("s")),
        "duration": lambda: pa.array(np.arange(N), pa.duration("s")),
        "time64": lambda: pa.array([datetime.time(i % 24) for i in range(N)]),
        "list": lambda: pa.array([[1, 2]] * N),
    }[dtype]()
    with pytest.raises(ValueError, match=r"task 't' (are dates or durations|hold several values)"):
        LowRankMultiTask().fit(X, {"t": column})


def tables(pa):
    whole = pa.table({"a": Y[:, 0], "b": pa.array(gappy(Y[:, 1].tolist()))})
    return whole, whole.to_batches()[0]


@pytest.mark.parametrize("form", [0, 1], ids=["table", "record batch"])
def test_arrow_tables_as_y_name_their_tasks(pa, form):
    y = tables(pa)[form]
    plain = TaskTargets({"a": Y[:, 0], "b": np.r_[np.nan, Y[1:, 1]]})
    model = LowRankRegressor().fit(X, y)
    right = LowRankRegressor().fit(X, plain)
    assert model.tasks_ == ["a", "b"]
    assert model.predict(X) == right.predict(X)
    assert model.score_tasks(X, y) == right.score_tasks(X, plain)
    assert model.score(X, y) == right.score(X, plain)
    assert TaskTargets(y) == plain
    weights = pa.table({"a": np.arange(1.0, N + 1), "b": np.ones(N)})
    by_arrow = LowRankRegressor().fit(X, y, weights).predict(X)
    assert by_arrow == LowRankRegressor().fit(X, plain, TaskTargets(weights)).predict(X)
    assert MultiTaskScorer({"a": "r2"})(model, X, y)["a"] == pytest.approx(right.score_tasks(X, plain)["a"])


@pytest.mark.parametrize("form", ["table", "record batch"])
def test_arrow_tables_as_x_name_their_columns(pa, form):
    table = pa.table({name: X[:, j] for j, name in enumerate(NAMES)})
    table = table if form == "table" else table.to_batches()[0]
    y = {"a": Y[:, 0], "b": Y[:, 1]}
    expected = LowRankRegressor().fit(FRAME, y)
    model = LowRankRegressor().fit(table, y)
    assert list(model.feature_names_in_) == NAMES
    assert_allclose(model.predict(table)["a"], expected.predict(FRAME)["a"], rtol=1e-6, atol=1e-7)
    own = LowRankRegressor().fit({"a": table, "b": table}, y)
    assert list(own.feature_names_in_) == NAMES
    assert_allclose(own.predict(table)["b"], expected.predict(FRAME)["b"], rtol=1e-6)
    stacked, targets = stack_tasks({"a": table, "b": table}, y)
    assert stacked.num_rows == targets.n_rows == 2 * N
    assert stacked.schema.names == NAMES
    with pytest.raises(ValueError, match="task 'b' has a ndarray without names"):
        LowRankRegressor().fit({"a": table, "b": X}, y)


def test_arrow_tables_with_gaps_or_texts_in_x(pa):
    table = pa.table({"p": X[:, 0], "q": pa.array(gappy(X[:, 1].tolist())), "r": X[:, 2]})
    with pytest.raises(ValueError, match="Input X contains NaN in column 'q'"):
        LowRankRegressor().fit(table, Y)
    with pytest.raises(ValueError, match="Input X of task 'a' contains NaN in column 'q'"):
        LowRankRegressor().fit({"a": table}, {"a": Y[:, 0]})


def test_the_long_form_as_an_arrow_table(pa):
    frame = FRAME.assign(shop=np.resize(["north", "south"], N))
    table = pa.Table.from_pandas(frame)
    model, right = (LowRankRegressor(task_col="shop").fit(one, Y[:, 0]) for one in (table, frame))
    assert model.tasks_ == right.tasks_
    assert_allclose(model.predict(table), right.predict(frame), rtol=1e-6)


def test_arrow_tables_can_be_cut_searched_and_reported_on(pa):
    features = pa.table({name: X[:, j] for j, name in enumerate(NAMES)})
    y = pa.table({"a": Y[:, 0], "b": Y[:, 1]})
    plain = TaskTargets(y)
    scores = [cross_val_score(LowRankRegressor(), one, plain, cv=3) for one in (features, FRAME)]
    assert_allclose(*scores, rtol=1e-6)
    assert train_test_split(features, plain, random_state=0)[0].num_rows == 30
    search = GridSearchCV(LowRankRegressor(), {"n_components": [1, 2]}, cv=3).fit(features, y)
    assert search.best_estimator_.tasks_ == ["a", "b"]
    assert cross_val_predict(LowRankRegressor(), features, y, cv=3)["a"].shape == (N,)
    assert len(list(TaskKFold(3).split(features, y))) == 3
    tuned = LowRankRegressorCV(n_components=1, alpha=[0.01, 0.1], alpha_own=None, alpha_common=None, cv=2)
    assert tuned.fit(features, y).best_params_["alpha"] == tuned.fit(FRAME, plain).best_params_["alpha"]
    assert task_affinity(features, y).tasks == ["a", "b"]
    reports = [
        transfer_report(LowRankRegressor(), *given, cv=2, random_state=0) for given in ((features, y), (FRAME, plain))
    ]
    ours, theirs = (report.to_frame()["gain"].to_numpy(dtype=float) for report in reports)
    assert_allclose(ours, theirs, atol=1e-5)
