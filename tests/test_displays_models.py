"""Pictures of affinities, bases and paths: what they show is what the numbers say."""

from __future__ import annotations

import numpy as np
import pytest
from planted import planted_groups
from sklearn.model_selection import GridSearchCV as ScikitGridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmtl import (
    AffinityDisplay,
    BasisDisplay,
    GroupedTasks,
    LowRankClassifier,
    LowRankMultiTask,
    LowRankRegressor,
    PathDisplay,
    TaskTargets,
    group_tasks,
    task_affinity,
)
from skmtl.datasets import load_penguins, make_multitask
from skmtl.relatedness import TaskAffinity

matplotlib = pytest.importorskip("matplotlib")
pytest.importorskip("matplotlib.collections")


@pytest.fixture(autouse=True)
def closed_figures():
    from matplotlib import pyplot as plt

    yield
    plt.close("all")


def made_up(n_tasks):
    """Affinities of tasks in blocks of three, in shuffled order."""
    rng = np.random.RandomState(0)
    block = rng.permutation(n_tasks) // 3
    matrix = np.where(block[:, np.newaxis] == block, 0.9, 0.1) + 0.1 * np.eye(n_tasks)
    error = np.full((n_tasks, n_tasks), 0.2) - 0.2 * np.eye(n_tasks)
    return TaskAffinity([f"task {t}" for t in range(n_tasks)], matrix, error, np.full(n_tasks, 0.5)), block


@pytest.mark.parametrize("n_tasks", [1, 2, 3, 12, 170])
def test_affinities_at_any_number_of_tasks(n_tasks):
    affinity, block = made_up(n_tasks)
    display = AffinityDisplay.from_affinity(affinity)
    order = [affinity.tasks.index(name) for name in display.order_]
    np.testing.assert_array_equal(display.im_.get_array(), affinity.matrix[np.ix_(order, order)])
    assert np.count_nonzero(np.diff(block[order])) == len(np.unique(block)) - 1  # like tasks stand side by side
    display.figure_.canvas.draw()
    assert max(display.figure_.get_size_inches()) <= 15


def test_what_is_not_told_from_zero_bears_a_dot():
    affinity, _ = made_up(6)
    display = AffinityDisplay.from_affinity(affinity)
    (dots,) = display.ax_.collections
    shown = np.asarray(display.im_.get_array())
    assert len(dots.get_offsets()) == np.count_nonzero(shown < 0.3)


def test_groups_are_framed_and_belong_to_the_same_tasks():
    X, y, _, _ = planted_groups(1, n_groups=2, per_group=4, n_rows=60, n_features=8, rank=1, own_rows=False)
    groups = group_tasks(X, y, 2, random_state=0)
    display = AffinityDisplay.from_data(X, y, groups=groups)
    assert len(display.ax_.lines) == 2
    assert display.order_[:4] != display.order_[4:]
    assert set(display.order_[:4]) == set(groups.groups[0])
    with pytest.raises(ValueError, match="groups and affinity must be of the same tasks"):
        AffinityDisplay.from_affinity(made_up(3)[0], groups=groups)


def test_affinities_of_an_estimator_are_of_the_kinds_and_groups_that_it_knows():
    X, y = make_multitask(60, 5, 3, kinds=["multiclass", "regression", "binary"], random_state=0)
    codes = {
        task: np.unique(column, return_inverse=True)[1] if task == "task_0" else column for task, column in y.items()
    }
    kinds = {"task_0": "multiclass"}
    model = make_pipeline(StandardScaler(), LowRankMultiTask(n_components=2, kinds=kinds)).fit(X, codes)
    display = AffinityDisplay.from_estimator(model, X, codes)
    np.testing.assert_array_equal(display.affinity.matrix, task_affinity(X, codes, kinds=kinds).matrix)
    grouped = GroupedTasks(LowRankMultiTask(n_components=1), n_groups=2, random_state=0).fit(X, y)
    assert AffinityDisplay.from_estimator(grouped, X, y).groups is grouped.grouping_
    numbers = LowRankClassifier(n_components=2).fit(X, {"task_0": codes["task_0"]})
    assert AffinityDisplay.from_estimator(numbers, X, {"task_0": codes["task_0"]}).order_ == ["task_0"]


def test_given_axes_are_drawn_on():
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, 4)
    affinity = task_affinity(*load_penguins())
    model = LowRankMultiTask(n_components=2).fit(*load_penguins())
    assert AffinityDisplay.from_affinity(affinity, ax=axes[0]).ax_ is axes[0]
    assert PathDisplay.from_estimator(model, ax=axes[1]).ax_ is axes[1]
    assert BasisDisplay.from_estimator(model, ax=axes[2:]).ax_.tolist() == axes[2:].tolist()
    assert plt.get_fignums() == [figure.number]
    with pytest.raises(ValueError, match="ax must be two axes, for features and for tasks; got 1"):
        BasisDisplay.from_estimator(model, ax=axes[0])


def test_the_basis_display_holds_the_products_of_the_model():
    X, y = load_penguins()
    model = LowRankMultiTask(n_components=2).fit(X, y)
    display = BasisDisplay.from_estimator(model)
    scaled = [model.basis_ @ model.factors_[task] / model.target_scale_[task] for task in model.tasks_]
    np.testing.assert_allclose(display.basis @ display.factors, np.concatenate(scaled, axis=1), atol=1e-10)
    np.testing.assert_allclose(display.basis.T @ display.basis, np.eye(2), atol=1e-10)
    assert display.output_names == ["species: Adelie", "species: Chinstrap", "species: Gentoo", "sex", "body_mass"]


def test_the_features_that_matter_are_named():
    rng = np.random.RandomState(0)
    pd = pytest.importorskip("pandas")
    X = pd.DataFrame(rng.randn(200, 40)).add_prefix("gene ")
    y = {f"t{t}": X["gene 7"] + (1 + t / 9) * X["gene 31"] + 0.1 * rng.randn(200) for t in range(4)}
    model = make_pipeline(StandardScaler().set_output(transform="pandas"), LowRankMultiTask(n_components=1)).fit(X, y)
    display = BasisDisplay.from_estimator(model, n_features=2)
    assert sorted(display.features_) == ["gene 31", "gene 7"]
    assert display.ax_[0].get_title() == "features (top 2 of 40)"
    own = BasisDisplay.from_estimator(model, feature_names=range(40), n_features=2)
    assert sorted(own.features_) == [7, 31]


@pytest.mark.parametrize("n_tasks", [3, 12, 150])
def test_bases_and_paths_at_any_number_of_tasks(n_tasks):
    rng = np.random.RandomState(0)
    X = rng.randn(50, 10)
    model = LowRankRegressor(n_components=3, alpha=0.01).fit(X, X @ rng.randn(10, 3) @ rng.randn(3, n_tasks))
    display = BasisDisplay.from_estimator(model)
    assert display.ax_[1].images[0].get_array().shape == (n_tasks, 3)
    display.figure_.canvas.draw()
    PathDisplay.from_estimator(model).figure_.canvas.draw()


def test_the_path_is_the_distance_from_what_is_out_of_reach():
    model = LowRankMultiTask(n_components=2).fit(*load_penguins())
    display = PathDisplay.from_estimator(make_pipeline("passthrough", model))
    above = display.ax_.lines[0].get_ydata()
    np.testing.assert_allclose(above, model.objective_path_ - model.objective_ + model.dual_gap_, rtol=1e-9)
    assert display.ax_.get_yscale() == "log"
    assert f"{model.dual_gap_:.1e}" in display.ax_.get_legend().get_texts()[0].get_text()


def test_tuning_curves_have_a_line_per_rank_and_mark_the_best():
    X, y, _, _ = planted_groups(0, n_groups=1, per_group=5, n_rows=60, n_features=8, own_rows=False)
    pipeline = make_pipeline(StandardScaler(), LowRankMultiTask())
    grid = {"lowrankmultitask__n_components": [1, 2, None], "lowrankmultitask__alpha": [0.01, 0.1, 1.0]}
    search = ScikitGridSearchCV(pipeline, grid, cv=2).fit(X, TaskTargets(y))
    display = PathDisplay.from_estimator(search)
    lines = {line.get_label(): line for line in display.ax_.lines}
    assert list(lines) == ["rank 1", "rank 2", "rank free"]
    results = search.cv_results_
    two = np.flatnonzero(results["param_lowrankmultitask__n_components"] == 2)
    np.testing.assert_allclose(lines["rank 2"].get_xdata(), [0.01, 0.1, 1.0])
    np.testing.assert_allclose(np.sort(lines["rank 2"].get_ydata()), np.sort(results["mean_test_score"][two]))
    (mark,) = (one for one in display.ax_.collections if isinstance(one, matplotlib.collections.PathCollection))
    best = search.best_params_["lowrankmultitask__alpha"]
    np.testing.assert_allclose(mark.get_offsets()[0], [best, search.best_score_])


def test_one_parameter_is_enough_for_a_tuning_curve():
    results = {"param_n_components": [1, 2, 4], "mean_test_score": [0.1, 0.3, 0.2], "std_test_score": [0.05] * 3}
    display = PathDisplay.from_cv_results(results)
    assert display.ax_.get_xlabel() == "n_components"
    np.testing.assert_allclose(display.ax_.lines[0].get_ydata(), [0.1, 0.3, 0.2])


@pytest.mark.parametrize(
    ("results", "score", "message"),
    [
        ({"mean_test_score": [1.0], "std_test_score": [0.0]}, "score", "neither param_alpha nor param_n_components"),
        ({"param_alpha": [1.0], "mean_test_score": [1.0], "std_test_score": [0.0]}, "sex", "score must be one of"),
        ({"param_alpha": [1.0], "mean_test_score": [np.nan], "std_test_score": [0.0]}, "score", "no finite mean"),
    ],
)
def test_results_that_cannot_be_drawn_are_refused(results, score, message):
    from matplotlib import pyplot as plt

    with pytest.raises(ValueError, match=message):
        PathDisplay.from_cv_results(results, score=score)
    assert not plt.get_fignums()


def test_models_that_cannot_be_drawn_are_refused():
    X, y = load_penguins()
    independent = LowRankMultiTask(alpha=np.inf, alpha_own=1.0).fit(X, y)
    with pytest.raises(ValueError, match=r"no shared part \(rank_ is 0\)"):
        BasisDisplay.from_estimator(independent)
    with pytest.raises(ValueError, match="StandardScaler has neither cv_results_ nor objective_path_"):
        PathDisplay.from_estimator(StandardScaler())
    model = LowRankMultiTask(n_components=2).fit(X, y)
    with pytest.raises(ValueError, match=f"feature_names must have {X.shape[1]} entries, got 1"):
        BasisDisplay.from_estimator(model, feature_names=["one"])
