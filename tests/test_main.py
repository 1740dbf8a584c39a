"""``python -m skmtl`` as a shell user meets it: good files, bad files, exit status, and no traceback ever."""

from __future__ import annotations

import io
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from skmtl import LowRankMultiTaskCV
from skmtl import __main__ as command
from skmtl.command import file_report
from skmtl.command.arguments import parse
from skmtl.command.preparation import prepare
from skmtl.command.reading import BadData

pd = pytest.importorskip("pandas")
ROOT = Path(__file__).resolve().parents[1]


def shell(*arguments, stdin=None, **more):
    """What a user would type, in a process of its own."""
    line = [sys.executable, "-m", "skmtl", *map(str, arguments)]
    return subprocess.run(line, capture_output=True, text=True, cwd=ROOT, timeout=300, **more)


@pytest.fixture(autouse=True)
def few_candidates(monkeypatch):
    """In this process the model tries a few strengths only; a process of its own shows the real thing."""
    few = {"n_components": 1, "alpha": [0.1], "alpha_common": None, "alpha_own": [None, 0.1, 1.0], "cv": 2}
    monkeypatch.setattr(file_report, "LowRankMultiTaskCV", partial(LowRankMultiTaskCV, **few))


def table(n_rows=60, seed=0):
    """Two numbers and two classes that depend on two features, beside everything a real table has."""
    rng = np.random.default_rng(seed)
    x, z = rng.standard_normal((2, n_rows))
    frame = pd.DataFrame({"id": np.arange(1000, 1000 + n_rows), "age": x, "height": z})
    frame["city"] = rng.choice(["Rome", "Oslo", None], n_rows)
    frame["remark"] = [f"remark {i}" for i in range(n_rows)]
    frame["reading"] = 500 + 30 * x + 10 * z + 10 * rng.standard_normal(n_rows)
    frame["maths"] = 480 + 30 * x - 10 * z + 10 * rng.standard_normal(n_rows)
    frame["passed"] = np.where(x + 0.5 * rng.standard_normal(n_rows) > 0, "yes", "no")
    frame["grade"] = rng.integers(1, 5, n_rows)
    frame["school"] = np.resize(["north", "south"], n_rows)
    frame.loc[3:6, ["reading", "height"]] = np.nan
    return frame


@pytest.fixture
def pupils(tmp_path):
    pytest.importorskip("skrub")  # for its cities
    path = tmp_path / "pupils.csv"
    table().to_csv(path, index=False)
    return path


def run(capsys, *arguments):
    """(status, standard output, standard error) in this process."""
    try:
        status = command.main([*map(str, arguments)])
    except SystemExit as stopped:
        status = stopped.code
    return status, *capsys.readouterr()


# -- good files -------------------------------------------------------------------------------


def test_a_csv_as_typed(pupils, tmp_path):
    pytest.importorskip("matplotlib")
    done = shell(pupils, "--targets", "reading", "maths", "--cv", 2,
                 "--plot", tmp_path / "gains.png", "--html", tmp_path / "report.html")  # fmt: skip
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == f"{pupils}: 60 rows, 10 columns"
    assert lines[1].startswith("features: 3 numeric (gaps get the median), 3 categorical (one-hot, at most 20")
    first_words = [line.split()[0] for line in lines if line]
    for task in ("task", "reading", "maths", "mean"):
        assert task in first_words
    assert "Learning jointly" in done.stdout
    assert done.stderr == "warning: left out as names of rows (an ID): id, remark\n"
    assert (tmp_path / "gains.png").read_bytes()[:4] == b"\x89PNG"
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert page.startswith("<!doctype html>")
    assert "data:image/png;base64," in page
    assert ">reading</td>" in page


def test_the_same_seed_prints_the_same_report(pupils, capsys):
    arguments = (pupils, "--targets", "reading", "maths", "--cv", "2")
    first, again, other = (run(capsys, *arguments, "--seed", seed)[1] for seed in (1, 1, 2))
    assert first == again
    assert first != other


@pytest.mark.parametrize("ending", ["parquet", "tsv", "csv.gz"])
def test_the_long_form_in_other_files(tmp_path, capsys, ending):
    pytest.importorskip("skrub")
    path = tmp_path / f"pupils.{ending}"
    if ending == "parquet":
        pytest.importorskip("pyarrow")
        table().to_parquet(path)
    else:
        table().to_csv(path, index=False, sep="\t" if ending == "tsv" else ",")
    status, out, _ = run(capsys, path, "--task-col", "school", "--target", "maths", "--cv", 2, "--drop", "remark", "id")
    assert status == 0
    rows = {line.split()[0]: line.split() for line in out.splitlines() if line}
    assert rows["north"][1:3] == rows["south"][1:3] == ["regression", "15"]  # of 30, in the training part


@pytest.mark.parametrize("decimal", [",", "."])
def test_semicolons_with_decimal_commas_or_points(tmp_path, capsys, decimal):
    pytest.importorskip("skrub")
    path = tmp_path / "german.csv"
    table().to_csv(path, index=False, sep=";", decimal=decimal)
    status, out, _ = run(capsys, path, "--targets", "reading", "maths", "--cv", 2)
    assert status == 0
    assert "features: 3 numeric" in out


def test_lines_of_more_fields_than_names_are_refused(tmp_path, capsys):
    path = tmp_path / "named_rows.csv"
    path.write_text("a,b,y\n" + "".join(f"row{i},{i},{i % 3},{i / 7}\n" for i in range(30)))
    status, _, err = run(capsys, path, "--targets", "y")
    assert status != 0
    assert "has lines with more fields than its header has names (3); name every column" in err


def test_whole_numbers_are_numbers_unless_declared(pupils, capsys):
    status, out, err = run(capsys, pupils, "--targets", "grade", "maths", "--cv", 2)
    assert status == 0
    assert "grade  regression" in out
    assert "target 'grade' holds 4 whole numbers, taken as numbers; for classes: --kinds grade=multiclass" in err
    status, out, err = run(capsys, pupils, "--targets", "grade", "maths", "--cv", 2, "--kinds", "grade=multiclass")
    assert status == 0
    assert "grade  multiclass" in out
    assert "whole numbers" not in err


def test_small_and_constant_tasks_are_left_out_and_said(tmp_path, capsys):
    pytest.importorskip("skrub")
    frame = table()
    frame.loc[:1, "school"] = "tiny"
    frame.loc[10:20, "school"], frame.loc[10:20, "maths"] = "level", 500.0
    frame.to_csv(tmp_path / "p.csv", index=False)
    status, out, err = run(capsys, tmp_path / "p.csv", "--task-col", "school", "--target", "maths", "--cv", 3)
    assert status == 0
    assert "2 of 4 tasks left out: fewer than 3 values, or all alike" in err
    assert "tiny" not in out


@pytest.mark.slow
def test_a_wide_file(tmp_path, capsys):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.standard_normal((40, 800)), columns=[f"gene{j}" for j in range(800)])
    frame["a"], frame["b"] = frame["gene0"] + rng.standard_normal(40), frame["gene1"]
    frame.to_csv(tmp_path / "wide.csv", index=False)
    status, out, _ = run(capsys, tmp_path / "wide.csv", "--targets", "a", "b", "--cv", 2)
    assert status == 0
    assert "features: 800 numeric" in out


def test_names_beyond_ascii_do_not_stop_an_ascii_terminal(tmp_path, monkeypatch):
    frame = table()[["age", "height", "reading", "maths"]]
    frame.rename(columns={"reading": "Lesefähigkeit", "maths": "数学"}).to_csv(tmp_path / "p.csv", index=False)
    terminal = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", terminal)
    assert command.main([str(tmp_path / "p.csv"), "--targets", "Lesefähigkeit", "数学", "--cv", "2"]) == 0
    terminal.flush()
    assert b"Lesef\\xe4higkeit" in terminal.buffer.getvalue()


def test_features_are_told_from_what_cannot_be_one():
    pytest.importorskip("skrub")
    frame = table(100).drop(columns=["reading", "maths"])
    frame["customer_id"] = np.random.default_rng(0).permutation(10**6)[:100]
    frame["income"] = np.random.default_rng(1).permutation(10**6)[:100]
    frame["when"] = pd.date_range("2020", periods=100)
    frame["empty"], frame["same"], frame["flag"] = None, "x", np.arange(100) % 2 == 0
    features, preparation = prepare(frame)
    assert preparation.numbers == ["age", "height", "grade", "income", "flag"]
    assert preparation.categories == ["city", "passed", "school"]
    assert preparation.dates == ["when"]
    assert preparation.remarks == [
        "'income' holds whole numbers that never repeat; if it is an ID: --drop income",
        "left out as names of rows (an ID): id, remark, customer_id",
        "left out as empty: empty",
        "left out as constant: same",
    ]
    ready = preparation.transformer().fit_transform(features)
    assert ready.shape == (100, 5 + 3 + 1 + 1 + 4)  # three cities with the unknown one; two of two classes; a date
    assert not np.isnan(ready).any()


# -- bad files: one sentence, status 2 --------------------------------------------------------


def _bytes(content):
    return lambda path: path.write_bytes(content)


def _frame(change):
    def write(path):
        change(table()).to_csv(path, index=False)

    return write


def _with(**columns):
    return _frame(lambda frame: frame.assign(**columns))


TARGETS = ("--targets", "reading", "maths")
BAD_FILES = {
    "empty file": (_bytes(b""), TARGETS, "is empty"),
    "nothing but white space": (_bytes(b"\n\n  \n"), TARGETS, "is empty"),
    "a header only": (_bytes(b"reading,maths,age\n"), TARGETS, "has 0 rows and 3 columns"),
    "a picture": (_bytes(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"), TARGETS, "is no text file"),
    "another encoding": (_bytes("reading,maths,Größe\n1,2,3\n".encode("latin-1")), TARGETS,
                         "is no text in UTF-8; say which: --encoding latin-1, cp1252"),
    "ragged lines": (_bytes(b"reading,maths,age\n1,2,3\n1,2,3,4,5\n"), TARGETS, "cannot be read: "),
    "the same column twice": (_bytes(b"reading,maths,age,age\n1,2,3,4\n"), TARGETS, "several columns called 'age'"),
    "no such column": (_frame(lambda f: f.rename(columns={"maths": "math"})), TARGETS,
                       "no column 'maths'; did you mean 'math'"),
    "a target without values": (_with(maths=np.nan), TARGETS,
                                "target 'maths' has no value at all"),
    "a constant target": (_with(maths=7), TARGETS, "the same value in every row, 7"),
    "a target of few values": (_with(maths=[1.5, 2.5] + [None] * 58), TARGETS,
                               "target 'maths' has 2 values, fewer than 5 folds"),
    "free text as a target": (_with(), ("--targets", "reading", "remark"),
                              "target 'remark' has 60 distinct values in 60 rows, too many for classes"),
    "an infinite target": (_with(maths=[np.inf] + [1.0, 2.0, 3.5] * 19 + [1.0, 2.0]),
                           TARGETS, "target 'maths' holds infinity"),
    "no feature": (_frame(lambda f: f[["reading", "maths", "id"]]),
                   TARGETS, "no column is left to learn from"),
    "a kind that does not fit": (_with(), (*TARGETS, "--kinds", "maths=binary"),
                                 "--kinds maths=binary: 'maths' has 60 distinct values, not two"),
    "texts as numbers": (_with(), ("--targets", "reading", "passed", "--kinds", "passed=regression"),
                         "'passed' holds texts such as 'no', no numbers"),
    "negative counts": (_frame(lambda f: f.assign(maths=-f["grade"])), (*TARGETS, "--kinds", "maths=count"),
                        "counts are >= 0"),
    "an ID as the task": (_with(), ("--task-col", "remark", "--target", "maths"), "is it an ID?"),
    "one task only": (_with(school="north"), ("--task-col", "school", "--target", "maths"),
                      "1 of the 1 tasks in 'school'"),
}  # fmt: skip


def test_a_rare_class_is_left_out_where_no_training_part_has_it(tmp_path, capsys):
    pytest.importorskip("skrub")
    path = tmp_path / "data.csv"
    _with(passed=["yes"] + ["no"] * 59)(path)
    status, out, _ = run(capsys, path, "--targets", "maths", "passed")
    assert status == 0
    assert "left out     passed, of 1 fold whose training part holds one class only of it" in out


@pytest.mark.parametrize("name", BAD_FILES)
def test_a_bad_file_is_one_sentence_and_status_2(name, tmp_path, capsys):
    write, arguments, message = BAD_FILES[name]
    path = tmp_path / "data.csv"
    write(path)
    if name == "no feature":
        pytest.importorskip("skrub")  # or that it is not there is told first
    status, _, err = run(capsys, path, *arguments)
    assert status == 2
    last = err.splitlines()[-1]
    assert last.startswith("python -m skmtl: error: ")
    assert message in last
    assert "Traceback" not in err


def test_paths_that_are_no_file(tmp_path, capsys):
    (tmp_path / "pupils.csv").write_text("a,b\n1,2\n")
    for path, message in (
        (tmp_path / "pupil.csv", "did you mean pupils.csv?"),
        (tmp_path, "is a folder"),
        (tmp_path / "nowhere" / "x.csv", "there is no folder"),
    ):
        status, _, err = run(capsys, path, "--targets", "a", "b")
        assert status == 2
        assert message in err


def test_a_broken_parquet_file(tmp_path, capsys):
    pytest.importorskip("pyarrow")
    (tmp_path / "x.parquet").write_bytes(b"PAR1 and then nothing of the kind")
    status, _, err = run(capsys, tmp_path / "x.parquet", "--targets", "a")
    assert status == 2
    assert "x.parquet cannot be read: " in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["x.csv"], "say what to learn: either --targets A B ..., or --task-col TASK --target VALUE"),
        (["x.csv", "--target", "a"], "--target needs --task-col"),
        (["x.csv", "--task-col", "a"], "--task-col needs --target"),
        (["x.csv", "--task-col", "a", "--target", "a"], "are the same column"),
        (["x.csv", "--targets", "a", "--target", "b"], "either --targets A B ..., or"),
        (["x.csv", "--targets", "a", "a"], "--targets names 'a' twice"),
        (["x.csv", "--targets", "a", "--kinds", "b=count"], "--kinds names 'b', which is no target"),
        (["x.csv", "--targets", "a", "--kinds", "a"], "--kinds takes COLUMN=KIND, such as passed=binary; got 'a'"),
        (["x.csv", "--targets", "a", "--kinds", "a=integer"], "'integer' is no kind; a kind is one of regression"),
        (["x.csv", "--targets", "a", "--drop", "a"], "--drop names 'a', which is to be learned from or predicted"),
        (["x.csv", "--targets", "a", "--cv", "1"], "argument --cv: '1' is no integer from 2 to 1000"),
        (["x.csv", "--targets", "a", "--seed", "-1"], "argument --seed: '-1' is no integer from 0 to 4294967295"),
        (["x.csv", "--targets", "a", "--plot", "x.doc"], "the name must end in .png or .svg or .pdf"),
        (["x.csv", "--targets", "a", "--plot", "no/x.png"], "there is no folder"),
        (["x.csv", "--targets", "a", "--sep", "::"], "'::' is not one character, nor the word tab"),
        (["x.csv", "--targets", "a", "--sep", ",", "--decimal", ","], "--sep and --decimal are the same, ','"),
        (["x.xlsx", "--targets", "a", "--sep", ";"], "--sep says how a text file is written, which x.xlsx is not"),
        (["x.parquet", "--targets", "a", "--encoding", "latin-1"], "--encoding says how a text file is written"),
        (["x.csv", "--targets", "a", "--skip-rows", "-1"], "'-1' is no integer from 0 to 1000000"),
        (["--missing", "?"], "--missing needs a file"),
        (["--targets", "a"], "--targets needs a file"),
        (["--plot", "x.png"], "--plot needs a file"),
        (["x.csv", "--target-s"], "unrecognized arguments"),
    ],
)
def test_wrong_arguments_are_told_before_any_work(arguments, message, capsys):
    status, out, err = run(capsys, *arguments)
    assert status == 2
    assert out == ""
    assert message in err


def test_kinds_may_have_equal_signs_in_names():
    options = parse(["x.csv", "--targets", "a=b", "c", "--kinds", "a=b=count", "c=binary"])
    assert options.kinds == {"a=b": "count", "c": "binary"}


def test_a_fault_of_the_program_is_no_traceback_either(pupils, capsys, monkeypatch):
    monkeypatch.setattr(command, "report_file", lambda options: 1 / 0)
    status, _, err = run(capsys, pupils, *TARGETS)
    assert status == 1
    assert (
        err
        == "python -m skmtl: error: ZeroDivisionError: division by zero. This should not happen; please report it.\n"
    )
    monkeypatch.setattr(command, "report_file", lambda options: (_ for _ in ()).throw(KeyboardInterrupt))
    assert run(capsys, pupils, *TARGETS)[0] == 130


@pytest.mark.slow
def test_a_reader_that_goes_away_is_no_error(pupils):
    line = f'"{sys.executable}" -m skmtl "{pupils}" --targets reading maths --cv 2 | head -n 1; exit ${{PIPESTATUS[0]}}'
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, cwd=ROOT, timeout=300)
    assert done.returncode in (0, 141)  # 0: all was written before the reader had gone
    assert "Traceback" not in done.stderr
    assert "BrokenPipe" not in done.stderr


def test_files_need_pandas_and_say_so(pupils, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(BadData, match="pip install"):
        command.report_file(parse([str(pupils), *TARGETS]))


def test_help_names_the_arguments_and_examples(capsys):
    status, out, _ = run(capsys, "--help")
    assert status == 0
    for word in ("--targets", "--task-col", "--kinds", "--plot", "--html", "examples:", "exit status:"):
        assert word in out
