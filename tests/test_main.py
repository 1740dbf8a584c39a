"""``python -m skmtl``: an honest comparison, told in a small table, the same at every run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from skmtl import TaskTargets
from skmtl import __main__ as command
from skmtl.datasets import load_penguins, make_multitask

ROOT = Path(__file__).resolve().parents[1]


def mean_gain(comparisons) -> float:
    return float(np.mean([one.joint.mean() - one.independent.mean() for one in comparisons]))


def test_related_tasks_gain():
    # Twelve labels for twenty coefficients cannot do alone; with one direction shared by twelve tasks they can.
    gains = []
    for seed in range(3):
        X, y = make_multitask(400, 20, 12, n_components=1, noise=0.5, random_state=seed)
        gains.append(mean_gain(command.compare(X, y, n_labels=12, n_splits=1, seed=seed)))
    # Single seeds give 0.19 to 0.56 (of six); a model without transfer gives nothing, up to chance.
    assert np.mean(gains) > 0.2


def test_pure_noise_is_predicted_by_neither_side():
    # Whatever leaked from the held-out rows into the training would show as a positive score.
    rng = np.random.RandomState(0)
    X, Y = rng.standard_normal((200, 5)), rng.standard_normal((200, 4))
    comparisons = command.compare(X, TaskTargets(dict(enumerate(Y.T))), n_labels=40, n_splits=3)
    for one in comparisons:
        assert one.independent.mean() < 0.02
        assert one.joint.mean() < 0.02


def test_training_rows_of_any_task_are_no_test_rows(monkeypatch):
    X, y = load_penguins()
    trained, tested = [], []
    fit_joint = command.fit_joint

    class Watched:
        def __init__(self, predictor):
            self.predictor = predictor

        def score(self, X_test, y_test):
            tested.append({row.tobytes() for row in X_test})
            return self.predictor.score(X_test, y_test)

    def watched(X, labels):
        trained.append({row.tobytes() for own in labels.values() for row in X[own.rows]})
        return {task: Watched(predictor) for task, predictor in fit_joint(X, labels).items()}

    monkeypatch.setattr(command, "fit_joint", watched)
    # Numbered, because two of the penguins may have the same measurements.
    numbered = np.column_stack([X, 1e-6 * np.arange(len(X))])
    comparisons = command.compare(numbered, y, n_labels=25, n_splits=2)
    assert [one.kind for one in comparisons] == ["multiclass", "binary", "regression"]
    assert len(trained) == 2
    assert len(tested) == 2 * len(comparisons)
    for i, rows in enumerate(tested):
        assert not rows & trained[i // len(comparisons)]


def test_both_sides_see_the_promised_number_of_labels():
    X, y = load_penguins()
    rng = np.random.RandomState(0)
    for task in y:
        labels = command._draw_labels(*command.observed_values(y[task]), 25, rng)
        assert len(labels.rows) == len(labels.values) == 25
        seen = command._target(labels, len(X), None)
        assert np.array_equal(seen[labels.rows], np.asarray(y[task])[labels.rows])
        assert len(command.observed_values(seen)[0]) == 25


def test_the_seed_decides():
    X, y = make_multitask(100, 5, kinds={"b": "regression", "a": "regression"}, random_state=0)
    first, again, other = (command.compare(X, y, n_labels=15, n_splits=2, seed=seed) for seed in (1, 1, 2))
    assert [one.task for one in first] == ["b", "a"]
    for one, same in zip(first, again, strict=True):
        assert np.array_equal(one.joint, same.joint)
        assert np.array_equal(one.independent, same.independent)
    assert not np.array_equal(first[0].joint, other[0].joint)


def test_table_is_aligned_and_adds_up():
    comparisons = [
        command.Comparison("a", "regression", 8, np.array([0.25, 0.75]), np.array([0.5, 0.75])),
        command.Comparison("a long name", "binary", 12, np.array([0.5, 0.5]), np.array([0.25, 0.0])),
    ]
    assert command.format_table(comparisons).splitlines() == [
        "task         kind        labels  independent  joint             gain",
        "a            regression       8        0.500  0.625  +0.125 +- 0.125",
        "a long name  binary          12        0.500  0.125  -0.375 +- 0.125",
        "mean                                   0.500  0.375  -0.125 +- 0.125",
    ]


def test_command_tells_all_tasks_and_shows_split():
    run = subprocess.run(
        [sys.executable, "-W", "error", "-m", "skmtl", "--repeats", "2", "--seed", "3"],
        capture_output=True, text=True, cwd=ROOT,
    )  # fmt: skip
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout.isascii()  # whatever the encoding of the terminal
    first_words = [line.split()[0] for line in run.stdout.splitlines() if line]
    for task in ("species", "sex", "body_mass", "readk", "read1", "read2", "read3", "mathk", "math1"):
        assert task in first_words
    assert "mean of 2 held-out splits" in run.stdout
    assert "{'species': LogisticRegression(),\n 'sex': LogisticRegression(),\n" in run.stdout
    assert run.stdout.endswith("'body_mass': LinearRegression()}\nTheir predictions equal the joint model's.\n")


def test_help_names_the_arguments(capsys):
    with pytest.raises(SystemExit) as stopped:
        command.main(["--help"])
    assert stopped.value.code == 0
    shown = capsys.readouterr().out
    assert "usage: python -m skmtl" in shown
    assert "--repeats" in shown
    assert "--seed" in shown


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--repeats", "1"], "argument --repeats: '1' is no integer from 2 to 1000"),
        (["--repeats", "many"], "argument --repeats: 'many' is no integer from 2 to 1000"),
        (["--seed", "-1"], "argument --seed: '-1' is no integer from 0 to 4294967295"),
        (["--seed", "4294967296"], "argument --seed: '4294967296' is no integer from 0 to 4294967295"),
        (["data.csv"], "unrecognized arguments: data.csv"),
    ],
)
def test_wrong_arguments_are_told_before_any_work(arguments, message, capsys):
    with pytest.raises(SystemExit) as stopped:
        command.main(arguments)
    shown = capsys.readouterr()
    assert stopped.value.code == 2
    assert shown.out == ""
    assert message in shown.err
