"""Files as people have them, given to ``python -m skmtl``: read as what they mean, and whatever was done is said."""

from __future__ import annotations

import sys
from functools import partial

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression
from sklearn.metrics import r2_score
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline

from skmtl import LowRankMultiTaskCV
from skmtl import __main__ as command
from skmtl.command import file_report
from skmtl.command.preparation import prepare
from skmtl.command.reading import BadData, Format, read_file, read_target

pd = pytest.importorskip("pandas")
N = 120
TARGETS = ("--targets", "reading", "maths", "--cv", "2")


@pytest.fixture(autouse=True)
def few_candidates(monkeypatch):
    few = {"n_components": 1, "alpha": [0.1], "alpha_common": None, "alpha_own": [None, 0.1], "cv": 2}
    monkeypatch.setattr(file_report, "LowRankMultiTaskCV", partial(LowRankMultiTaskCV, **few))


def numbers(seed=0):
    """Two targets that three numbers explain nearly wholly."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((N, 3)).round(3)
    frame = pd.DataFrame(x, columns=["age", "height", "width"])
    frame["reading"] = (500 + 30 * x[:, 0] + 10 * x[:, 1] + 3 * rng.standard_normal(N)).round(1)
    frame["maths"] = (480 + 30 * x[:, 0] - 10 * x[:, 1] + 3 * rng.standard_normal(N)).round(1)
    return frame


def with_city(frame):
    pytest.importorskip("skrub")
    return frame.assign(city=np.resize(["Rome", "Oslo", "Köln"], N))


def run(capsys, *arguments):
    """(status, standard output, standard error) in this process."""
    try:
        status = command.main([*map(str, arguments)])
    except SystemExit as stopped:
        status = stopped.code
    return status, *capsys.readouterr()


def explained(frame, decimal=".", target="reading"):
    """Share of a target that ordinary least squares explains from the prepared features, on held-out rows."""
    features, preparation = prepare(frame.drop(columns=["reading", "maths"]), decimal)
    y, _, _ = read_target(frame[target], target, None, decimal)
    rows = y.notna().to_numpy()
    model = make_pipeline(preparation.transformer(), LinearRegression())
    return r2_score(y[rows], cross_val_predict(model, features[rows], y[rows], cv=5))


def written(path, frame, **how):
    frame.to_csv(path, index=False, **how)
    return path


# -- text files: separators, decimals, encodings ------------------------------------------------

WAYS = {
    "semicolons, decimal commas": ({"sep": ";", "decimal": ","}, Format()),
    "semicolons, decimal points": ({"sep": ";"}, Format()),
    "tabs in a .csv": ({"sep": "\t"}, Format()),
    "tabs, decimal commas": ({"sep": "\t", "decimal": ","}, Format()),
    "bars": ({"sep": "|"}, Format()),
    "another separator": ({"sep": "~"}, Format(sep="~")),
    "byte order mark": ({"encoding": "utf-8-sig"}, Format()),
    "latin-1": ({"encoding": "latin-1"}, Format(encoding="latin-1")),
    "utf-16": ({"encoding": "utf-16"}, Format()),
    "quoted": ({"quoting": 1}, Format()),
}


@pytest.mark.parametrize("way", WAYS)
def test_one_table_however_it_is_written(way, tmp_path):
    how, given = WAYS[way]
    frame = numbers().assign(city=np.resize(["Rome", "Oslo, no", "Köln"], N))
    found, decimal = read_file(written(tmp_path / "t.csv", frame, **how), given)
    assert decimal == how.get("decimal", ".") or not how.get("decimal")
    pd.testing.assert_frame_equal(found, frame, check_dtype=False)


def test_lines_before_the_header_and_empty_ones(tmp_path):
    text = numbers().to_csv(index=False).splitlines()
    path = tmp_path / "t.csv"
    path.write_text("\n".join(["Report of 2020,,", "made by me", *text[:40], ",,,,", "", ",,,,", *text[40:]]) + "\n")
    found, _ = read_file(path, Format(skip_rows=2))
    pd.testing.assert_frame_equal(found, numbers())


def test_quoted_newlines_stay_in_their_cell(tmp_path):
    frame = numbers().assign(note=np.resize(["one\nline", 'two\n"lines"', "a; b, c"], N))
    found, _ = read_file(written(tmp_path / "t.csv", frame))
    assert found["note"].tolist() == frame["note"].tolist()


def test_blanks_around_names_and_separators_are_none_of_them(tmp_path):
    (tmp_path / "t.csv").write_text("a, b , y\n1, 2, 3\n4, 5, 6\n")
    assert list(read_file(tmp_path / "t.csv")[0].columns) == ["a", "b", "y"]


def test_a_sheet_is_read_as_the_same_table(tmp_path):
    pytest.importorskip("openpyxl")
    frame = with_city(numbers()).assign(when=pd.date_range("2020", periods=N))
    frame.to_excel(tmp_path / "t.xlsx", index=False)
    found, _ = read_file(tmp_path / "t.xlsx")
    pd.testing.assert_frame_equal(found, frame, check_dtype=False)
    assert found["when"].dtype.kind == "M"
    frame.rename(columns={"height": "age"}).to_excel(tmp_path / "t.xlsx", index=False)
    with pytest.raises(BadData, match="several columns called 'age'"):
        read_file(tmp_path / "t.xlsx")
    (tmp_path / "t.xlsx").write_bytes(b"PK and nothing of the kind")
    with pytest.raises(BadData, match="cannot be read"):
        read_file(tmp_path / "t.xlsx")


def test_sheets_need_openpyxl_and_say_so(tmp_path, monkeypatch):
    (tmp_path / "t.xlsx").write_bytes(b"PK")
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    with pytest.raises(BadData, match=r"reading .xlsx needs openpyxl: pip install \"skmtl\[report\]\""):
        read_file(tmp_path / "t.xlsx")


# -- numbers with marks -------------------------------------------------------------------------


@pytest.mark.parametrize("mark", ["?", "-", "*", "n/d", "unknown", "<0.1"])
def test_a_number_with_a_few_marks_is_a_number_with_gaps(mark, tmp_path):
    frame = numbers().astype({"age": object})
    frame.loc[[1, 5, 9, 20, 33, 44], "age"] = mark
    found, _ = read_file(written(tmp_path / "t.csv", frame))
    features, preparation = prepare(found.drop(columns=["reading", "maths"]))
    assert preparation.numbers == ["age", "height", "width"]
    assert features["age"].isna().sum() == 6
    assert preparation.remarks == [f"'age': 6 values that are no numbers ({mark!r}) are read as missing"]
    complete = numbers()
    complete.loc[[1, 5, 9, 20, 33, 44], "age"] = np.nan
    assert explained(found) == pytest.approx(explained(complete))


def test_a_third_of_question_marks_are_gaps_but_a_third_of_words_are_categories(tmp_path):
    pytest.importorskip("skrub")
    for mark, numeric in (("?", True), ("many", False)):
        frame = numbers().round(0).astype({"age": object})
        frame.loc[::3, "age"] = mark
        _, preparation = prepare(read_file(written(tmp_path / "t.csv", frame))[0])
        assert ("age" in preparation.numbers) == numeric


def test_a_numeric_target_with_marks_gains_no_class(tmp_path, capsys):
    frame = numbers().astype({"reading": object})
    frame.loc[[2, 3], "reading"] = "?"
    status, out, err = run(capsys, written(tmp_path / "t.csv", frame), *TARGETS)
    assert status == 0
    assert "reading  regression      59" in out
    assert "warning: target 'reading': 2 values that are no numbers ('?') are read as missing" in err


def test_a_target_of_two_classes_with_marks_has_two_classes(tmp_path, capsys):
    frame = numbers()
    frame["passed"] = np.where(frame["age"] > 0, "yes", "no")
    frame.loc[[4, 7], "passed"] = "?"
    path = written(tmp_path / "t.csv", frame)
    status, out, err = run(capsys, path, "--targets", "passed", "maths", "--cv", 2, "--drop", "reading")
    assert status == 0
    assert "passed  binary " in out
    assert "target 'passed': 2 values that are no labels ('?') are read as missing" in err


def test_a_number_that_stands_for_missing(tmp_path, capsys):
    frame = numbers()
    frame.loc[3:12, "age"] = -999
    path = written(tmp_path / "t.csv", frame)
    _, preparation = prepare(read_file(path)[0])
    assert preparation.remarks == ["'age' is -999 in 10 rows; if that means missing: --missing -999"]
    found, _ = read_file(path, Format(missing=("-999", "n/d")))
    assert found["age"].isna().sum() == 10
    status, _, err = run(capsys, path, *TARGETS, "--missing", "-999", "?")
    assert (status, err) == (0, "")


@pytest.mark.parametrize("ending", ["xlsx", "parquet"])
def test_marks_for_missing_in_files_with_types(ending, tmp_path):
    pytest.importorskip("openpyxl" if ending == "xlsx" else "pyarrow")
    frame = numbers()
    frame.loc[3:12, "age"] = -999
    getattr(frame, "to_excel" if ending == "xlsx" else "to_parquet")(tmp_path / f"t.{ending}", index=False)
    found, _ = read_file(tmp_path / f"t.{ending}", Format(missing=("-999",)))
    assert found["age"].isna().sum() == 10


@pytest.mark.parametrize(("decimal", "sep"), [(".", ","), (",", ";")])
def test_separators_of_thousands(decimal, sep, tmp_path):
    frame = numbers()
    price = (1000 + 3000 * np.arange(N) ** 1.5).round(2)
    frame["price"] = [f"{one:,.2f}".translate(str.maketrans(".,", ",." if decimal == "," else ".,")) for one in price]
    found, read_decimal = read_file(written(tmp_path / "t.csv", frame, decimal=decimal, sep=sep))
    features, preparation = prepare(found, read_decimal)
    assert "price" in preparation.numbers
    np.testing.assert_allclose(features["price"], price)


def test_a_column_of_1_and_text_1_is_one_column(tmp_path):
    # A reader that works in chunks makes integers of one part and texts of the other.
    n = 300_000
    path = tmp_path / "t.csv"
    path.write_text("code,y\n" + "".join(f"{i % 3},{i}\n" for i in range(n)) + "x,0\n" * 20)
    frame, _ = read_file(path)
    features, _ = prepare(frame[["code"]])
    assert features["code"].nunique() == 3
    assert features["code"].isna().sum() == 20


# -- categories, dates, texts: skrub ------------------------------------------------------------


@pytest.mark.parametrize("form", ["%Y-%m-%d", "%d.%m.%Y", "%Y-%m-%d %H:%M"])
def test_dates_are_features(form, tmp_path):
    pytest.importorskip("skrub")
    days = pd.date_range("2020", periods=N)
    frame = numbers().assign(when=days.strftime(form))
    frame["reading"] = 5.0 * np.arange(N)  # a trend, which only the date knows
    found, _ = read_file(written(tmp_path / "t.csv", frame))
    _, preparation = prepare(found.drop(columns=["reading", "maths"]))
    assert preparation.dates == ["when"]
    assert preparation.remarks == []
    assert explained(found) > 0.99


def test_sentences_are_features_and_codes_of_rows_are_not(tmp_path):
    pytest.importorskip("skrub")
    rng = np.random.default_rng(0)
    good = rng.random(N) < 0.5
    words = {True: ["good", "nice", "lovely", "great"], False: ["bad", "poor", "awful", "dull"]}
    review = [" ".join(rng.choice([*words[one], "teacher", "pupil", "school"], 8)) for one in good]
    frame = numbers().assign(review=review, code=[f"A{i}" for i in range(N)])
    frame["reading"] = 10.0 * good
    found, _ = read_file(written(tmp_path / "t.csv", frame))
    _, preparation = prepare(found.drop(columns=["reading", "maths"]))
    assert preparation.texts == ["review"]
    assert preparation.remarks == ["left out as names of rows (an ID): code"]
    assert explained(found) > 0.7


def test_whole_numbers_that_never_repeat_are_doubted_or_left_out():
    rng = np.random.default_rng(0)
    frame = numbers()[["age"]].assign(row=np.arange(1, N + 1.0), customer=rng.permutation(10**6)[:N])
    frame.loc[3, "row"] = np.nan  # a gap makes floats of them
    _, preparation = prepare(frame)
    assert preparation.numbers == ["age", "customer"]
    assert preparation.remarks == [
        "'customer' holds whole numbers that never repeat; if it is an ID: --drop customer",
        "left out as names of rows (an ID): row",
    ]


def test_a_category_beside_a_column_of_its_name(tmp_path, capsys):
    pytest.importorskip("skrub")
    frame = numbers().assign(size=np.resize(["S", "M", "L"], N), shop=np.resize([1, 2], N))
    frame["size_S"], frame["task__shop"] = frame["width"] ** 2, frame["width"] ** 3
    path = written(tmp_path / "t.csv", frame)
    for arguments in (TARGETS, ("--task-col", "shop", "--target", "maths", "--cv", "2")):
        status, _, err = run(capsys, path, *arguments)
        assert (status, err) == (0, "")


@pytest.mark.parametrize("ending", ["csv", "xlsx"])
def test_task_labels_that_are_numbers_and_texts(ending, tmp_path, capsys):
    pytest.importorskip("openpyxl" if ending == "xlsx" else "pandas")
    labels = np.resize(np.array([1, 2, "A7"], dtype=object), N)
    frame = numbers().assign(school=labels)
    path = tmp_path / f"t.{ending}"
    frame.to_csv(path, index=False) if ending == "csv" else frame.to_excel(path, index=False)
    status, out, err = run(capsys, path, "--task-col", "school", "--target", "maths", "--cv", 2)
    assert (status, err) == (0, "")
    first_words = [line.split()[0] for line in out.splitlines() if line]
    assert {"1", "2", "A7"} <= set(first_words)


def test_texts_without_skrub_say_how_to_get_it_and_numbers_do_without(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "skrub", None)
    path = written(tmp_path / "t.csv", numbers().assign(city=np.resize(["Rome", "Oslo"], N)))
    status, _, err = run(capsys, path, *TARGETS)
    assert status == 2
    assert "the columns city hold texts or dates, which skrub makes features of: pip install" in err
    status, out, _ = run(capsys, path, *TARGETS, "--drop", "city")
    assert status == 0
    assert "features: 3 numeric" in out


# -- what cannot be used, as the user reads it --------------------------------------------------


def _text(text):
    return lambda path: path.write_text(text)


BAD = {
    "one row": (lambda path: written(path, numbers().iloc[:1]), (), "target 'reading' has one value only"),
    "a few rows": (lambda path: written(path, numbers().iloc[:4]), ("--cv", "5"),
                   "target 'reading' has 4 values, fewer than 5 folds"),
    "another separator than said": (lambda path: written(path, numbers(), sep=";", decimal=","), ("--sep", ","),
                                    "say what stands between fields, --sep"),
    "another decimal than said": (lambda path: written(path, numbers(), sep=";", decimal=","), ("--decimal", "."),
                                  "is it a number with stray texts, such as '"),
    "an encoding that is none": (lambda path: written(path, numbers()), ("--encoding", "klingon"),
                                 "--encoding: unknown encoding: klingon"),
    "another encoding than said": (lambda path: written(path, numbers(), encoding="utf-16"), ("--encoding", "utf-8"),
                                   "is no text in utf-8; say which: --encoding"),
    "lines before the header": (lambda path: path.write_text("Report,,\n" + numbers().to_csv(index=False)), (),
                                "or how many lines stand before the header, --skip-rows"),
    "more lines skipped than there are": (lambda path: written(path, numbers()), ("--skip-rows", "500"), "is empty"),
    "nothing but missing": (_text("reading,maths,age\n" + "NA,NA,NA\n" * 9), (), "target 'reading' has no value"),
    "a target of dates": (lambda path: written(path, numbers().assign(maths=pd.date_range("2020", periods=N))), (),
                          "target 'maths' has 120 distinct values in 120 rows, too many for classes"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_a_messy_file_that_cannot_be_used_is_one_sentence(name, tmp_path, capsys):
    write, more, message = BAD[name]
    write(tmp_path / "t.csv")
    status, _, err = run(capsys, tmp_path / "t.csv", *TARGETS, *more)
    assert status == 2
    assert err.splitlines()[-1].startswith("python -m skmtl: error: ")
    assert message in err.splitlines()[-1]
    assert "Traceback" not in err
