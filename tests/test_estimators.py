"""What a fitted estimator promises: attributes, answers, refits, new tasks, progress."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.metrics import accuracy_score, r2_score
from sklearn.utils import get_tags

from skmtl import LowRankClassifier, LowRankMultiTask, LowRankRegressor, LowRankRegressorCV, TaskTargets
from skmtl.datasets import make_multitask

KINDS = {"size": "regression", "alive": "binary", "colour": "multiclass", "visits": "count"}


@pytest.fixture(scope="module")
def mixed():
    X, y = make_multitask(n_samples=120, n_features=6, n_tasks=4, kinds=KINDS, missing=0.2, noise=0.5, random_state=0)
    model = LowRankMultiTask(n_components=2, alpha=0.1, kinds={"visits": "count"}).fit(X, y)
    return X, y, model


@pytest.fixture(scope="module")
def numbers():
    X, y = make_multitask(n_samples=90, n_features=5, n_tasks=3, noise=0.3, random_state=1)
    return X, np.column_stack([y[name] for name in y])


class TestAttributes:
    def test_coefficients_have_the_shapes_of_scikit_learn(self, mixed):
        _, _, model = mixed
        assert model.tasks_ == ["size", "alive", "colour", "visits"]
        assert {name: coef.shape for name, coef in model.coef_.items()} == {
            "size": (6,),
            "alive": (1, 6),
            "colour": (3, 6),
            "visits": (6,),
        }
        assert isinstance(model.intercept_["size"], float)
        assert model.intercept_["alive"].shape == (1,)
        assert model.intercept_["colour"].shape == (3,)
        assert set(model.classes_by_task_) == {"alive", "colour"}

    @pytest.mark.parametrize("parts", [{}, {"alpha_common": 0.5}, {"alpha_own": 0.5}])
    def test_coefficients_are_the_sum_of_their_parts(self, numbers, parts):
        X, Y = numbers
        model = LowRankRegressor(n_components=2, alpha=0.05, **parts).fit(X, Y)
        assert (model.common_ is None) == ("alpha_common" not in parts)
        assert (model.own_ is None) == ("alpha_own" not in parts)
        for t in model.tasks_:
            total = model.basis_ @ model.factors_[t]
            total = total if model.own_ is None else total + model.own_[t]
            if model.common_ is not None:
                # One common part in units of the targets needs a common scale.
                total = total + model.common_[:, np.newaxis]
            np.testing.assert_allclose(model.coef_[t], total[:, 0], rtol=1e-9, atol=1e-12)

    def test_an_array_gives_arrays_and_a_flat_one_flat_ones(self, numbers):
        X, Y = numbers
        several = LowRankRegressor().fit(X, Y)
        assert several.coef_.shape == (3, 5)
        assert several.intercept_.shape == (3,)
        one = LowRankRegressor().fit(X, Y[:, 0])
        assert one.coef_.shape == (5,)
        assert isinstance(one.intercept_, float)
        assert one.predict(X).shape == (90,)

    def test_classes_of_an_array_are_an_array_or_a_list(self, numbers):
        X, Y = numbers
        labels = np.where(Y > 0, "high", "low")
        several = LowRankClassifier().fit(X, labels)
        assert [list(classes) for classes in several.classes_] == [["high", "low"]] * 3
        assert [coef.shape for coef in several.coef_] == [(1, 5)] * 3
        assert len(several.predict_proba(X)) == 3
        assert not hasattr(several, "decision_function")
        one = several.fit(X, labels[:, 0])
        np.testing.assert_array_equal(one.classes_, ["high", "low"])
        assert one.decision_function(X).shape == (90,)

    def test_a_refit_leaves_nothing_of_an_earlier_kind(self, numbers):
        pd = pytest.importorskip("pandas")
        X, Y = numbers
        model = LowRankMultiTask().fit(pd.DataFrame(X).add_prefix("x"), Y[:, 0] > 0)
        assert hasattr(model, "classes_")
        assert hasattr(model, "feature_names_in_")
        model.fit(X, Y)
        assert not hasattr(model, "classes_")
        assert not hasattr(model, "feature_names_in_")
        assert not hasattr(model, "predict_proba")

    def test_what_scikit_learn_is_told(self):
        assert get_tags(LowRankRegressor()).estimator_type == "regressor"
        assert get_tags(LowRankClassifier()).estimator_type == "classifier"
        assert get_tags(LowRankMultiTask()).estimator_type is None
        assert get_tags(LowRankMultiTask()).input_tags.sparse
        assert get_tags(LowRankMultiTask()).target_tags.multi_output


class TestAnswers:
    def test_named_targets_are_answered_by_name(self, mixed):
        X, y, model = mixed
        predicted = model.predict(X)
        assert isinstance(predicted, TaskTargets)
        assert list(predicted) == list(y)
        assert (predicted["visits"] > 0).all()
        assert set(predicted["colour"]) <= set(model.classes_by_task_["colour"])
        assert list(model.predict_proba(X)) == ["alive", "colour"]
        np.testing.assert_allclose(model.predict_proba(X)["colour"].sum(axis=1), 1.0)
        most_likely = model.classes_by_task_["colour"][model.predict_proba(X)["colour"].argmax(axis=1)]
        np.testing.assert_array_equal(predicted["colour"], most_likely)
        np.testing.assert_array_equal(
            predicted["alive"] == model.classes_by_task_["alive"][1], model.decision_function(X)["alive"] > 0
        )

    def test_split_predicts_what_the_joint_model_predicts(self, mixed):
        X, _, model = mixed
        predicted, probabilities = model.predict(X), model.predict_proba(X)
        for name, predictor in model.split().items():
            if name in probabilities:
                np.testing.assert_array_equal(predictor.predict(X), predicted[name])
                np.testing.assert_allclose(predictor.predict_proba(X), probabilities[name], atol=1e-10)
            else:
                np.testing.assert_allclose(predictor.predict(X), predicted[name], rtol=1e-10)

    def test_the_score_is_the_mean_over_tasks_of_what_scikit_learn_computes(self, mixed):
        X, y, model = mixed
        scores, predicted = model.score_tasks(X, y), model.predict(X)
        for name, kind in KINDS.items():
            present = np.array([value == value and value is not None for value in y[name].tolist()])
            metric = r2_score if kind in ("regression", "count") else accuracy_score
            true = y[name][present]
            expected = metric(true.astype(predicted[name].dtype), predicted[name][present])
            assert scores[name] == pytest.approx(expected)
        assert model.score(X, y) == pytest.approx(np.mean(list(scores.values())))
        assert list(model.score_tasks(X, {"alive": y["alive"]})) == ["alive"]

    def test_the_transform_is_the_basis_in_use(self, mixed):
        pd = pytest.importorskip("pandas")
        X, y, model = mixed
        np.testing.assert_allclose(model.transform(X), X @ model.basis_)
        frame = clone(model).set_output(transform="pandas").fit(X, y).transform(X)
        assert isinstance(frame, pd.DataFrame)
        assert list(frame.columns) == ["lowrankmultitask0", "lowrankmultitask1"]

    def test_long_form_answers_every_row_by_its_own_task(self):
        X_by_task, y_by_task = make_multitask(
            n_samples=40, n_features=4, n_tasks=5, own_rows=True, noise=0.3, random_state=3
        )
        own = LowRankRegressor(n_components=2).fit(X_by_task, y_by_task)
        rng = np.random.default_rng(0)
        labels = np.repeat(np.arange(5), 40)
        shuffled = rng.permutation(200)
        stacked = np.concatenate(list(X_by_task.values()))
        table = np.column_stack([stacked, labels])[shuffled]
        y = np.concatenate(list(y_by_task.values()))[shuffled]
        long = LowRankRegressor(n_components=2, task_col=-1).fit(table, y)
        by_task = np.concatenate(list(own.predict(X_by_task).values()))
        np.testing.assert_allclose(long.predict(table), by_task[shuffled], rtol=1e-6, atol=1e-9)
        np.testing.assert_allclose(long.transform(table), table[:, :-1] @ long.basis_)
        assert long.n_features_in_ == 5
        assert long.basis_.shape == (4, 2)
        assert long.score(table, y) == pytest.approx(own.score(X_by_task, y_by_task), abs=1e-6)
        everyone = own.predict(stacked)
        assert list(everyone) == own.tasks_
        assert len(everyone) == 200

    def test_a_task_that_fit_did_not_see_is_answered_by_the_common_part(self):
        rng = np.random.default_rng(4)
        X = rng.standard_normal((200, 4))
        weights = np.array([1.0, -2.0, 0.5, 0.0])
        labels = np.repeat(["a", "b", "c", "d"], 50).astype(object)
        y = X @ weights + 0.1 * rng.standard_normal(200)
        table = np.column_stack([labels, X]).astype(object)
        with pytest.raises(ValueError, match="'new'"):
            self._renamed_prediction(LowRankRegressor(task_col=0).fit(table, y), table)
        model = LowRankRegressor(task_col=0, alpha=np.inf, alpha_common=1e-3).fit(table, y)
        assert r2_score(y, self._renamed_prediction(model, table)) > 0.95

    @staticmethod
    def _renamed_prediction(model, table):
        renamed = table.copy()
        renamed[::3, 0] = "new"
        return model.predict(renamed)

    def test_sparse_features_give_the_answers_of_dense_ones(self, mixed):
        X, y, model = mixed
        X = np.where(np.abs(X) < 0.5, 0.0, X)
        dense = clone(model).fit(X, y)
        thin = clone(model).fit(sparse.csr_array(X), y)
        for name in ("size", "visits"):
            np.testing.assert_allclose(thin.predict(sparse.csr_array(X))[name], dense.predict(X)[name], rtol=1e-5)


class TestRefits:
    def test_an_unfitted_estimator_says_so(self, numbers):
        with pytest.raises(NotFittedError, match="LowRankRegressor"):
            LowRankRegressor().predict(numbers[0])

    def test_a_failure_after_reading_x_leaves_the_earlier_fit_intact(self, mixed):
        X, y, model = mixed
        model = clone(model).fit(X, y)
        before = dict(vars(model))
        with pytest.raises(ValueError, match="size"):
            model.fit(X[:, :3], {"size": np.full(120, np.nan)})
        assert vars(model).keys() == before.keys()
        assert all(vars(model)[name] is before[name] for name in before)

    @pytest.mark.parametrize("n_components", [2, None])
    def test_a_warm_start_from_other_tasks_reaches_the_same_optimum(self, numbers, n_components):
        X, Y = numbers
        options = {"n_components": n_components, "alpha": 0.1, "tol": 1e-10}
        warm = LowRankRegressor(**options, warm_start=True).fit(X, Y[:, :1])
        cold = LowRankRegressor(**options).fit(X, Y)
        np.testing.assert_allclose(warm.fit(X, Y).objective_, cold.objective_, rtol=1e-7)

    def test_a_warm_start_begins_where_the_last_fit_ended(self, numbers):
        X, Y = numbers
        Y = np.where(np.random.default_rng(0).random(Y.shape) < 0.3, np.nan, Y)
        cold = LowRankRegressor(n_components=2, alpha=0.1).fit(X, Y)
        warm = LowRankRegressor(n_components=2, alpha=0.1, warm_start=True).fit(X, Y)
        warm.fit(X, Y)
        assert warm.n_iter_ < cold.n_iter_
        np.testing.assert_allclose(warm.predict(X), cold.predict(X), rtol=1e-3, atol=1e-4)

    def test_too_few_steps_warn_with_advice(self, numbers):
        X, Y = numbers
        Y = np.where(np.random.default_rng(0).random(Y.shape) < 0.5, np.nan, Y)
        with pytest.warns(ConvergenceWarning, match="max_iter=1"):
            model = LowRankRegressor(n_components=1, max_iter=1, tol=1e-12).fit(X, Y)
        assert not model.convergence_.converged

    def test_a_model_survives_pickling(self, mixed):
        X, _, model = mixed
        again = pickle.loads(pickle.dumps(model)).predict(X)
        for name, column in model.predict(X).items():
            np.testing.assert_array_equal(again[name], column)


class TestNewTasks:
    def test_a_new_task_profits_from_the_basis_that_stays(self):
        X, y = make_multitask(n_samples=400, n_features=20, n_tasks=12, n_components=2, noise=0.5, random_state=5)
        names = list(y)
        known = {name: y[name] for name in names[:-1]}
        few = np.where(np.arange(400) < 12, y[names[-1]], np.nan)
        model = LowRankRegressor(n_components=2, alpha=0.02).fit(X, known)
        basis, before = model.basis_.copy(), model.predict(X)
        model.add_tasks(X, {"new": few})
        assert model.tasks_ == [*names[:-1], "new"]
        np.testing.assert_array_equal(model.basis_, basis)
        predicted = model.predict(X)
        for name in known:
            np.testing.assert_array_equal(predicted[name], before[name])
        alone = LowRankRegressor(alpha=0.02).fit(X, {"new": few}).predict(X)["new"]
        truth = y[names[-1]][12:]
        assert r2_score(truth, predicted["new"][12:]) > r2_score(truth, alone[12:]) + 0.2
        assert list(model.split()) == model.tasks_

    def test_new_tasks_of_every_kind(self, mixed):
        X, y, model = mixed
        model = clone(model).set_params(kinds=None).fit(X, {"size": y["size"]})
        others = {name: y[name] for name in ("alive", "colour", "visits")}
        model.add_tasks(X, others, kinds={"visits": "count"})
        assert [task.kind for task in model._tasks] == ["regression", "binary", "multiclass", "count"]
        assert list(model.predict_proba(X)) == ["alive", "colour"]
        assert model.score_tasks(X, y).keys() == y.keys()

    def test_columns_of_an_array_follow_those_of_fit(self, numbers):
        X, Y = numbers
        model = LowRankRegressor().fit(X, Y[:, 0]).add_tasks(X, Y[:, 1:])
        assert model.tasks_ == [0, 1, 2]
        assert model.predict(X).shape == Y.shape

    def test_own_rows_and_the_long_form_take_new_tasks_alike(self):
        pd = pytest.importorskip("pandas")
        X, y = make_multitask(n_samples=30, n_features=4, n_tasks=4, own_rows=True, random_state=6)
        *known, new = list(y)
        own = LowRankRegressor(n_components=2).fit({t: X[t] for t in known}, {t: y[t] for t in known})
        own.add_tasks({new: X[new]}, {new: y[new]})
        frame = pd.concat([pd.DataFrame(X[t], columns=list("abcd")).assign(task=str(t)) for t in y])
        targets = np.concatenate(list(y.values()))
        is_new = (frame["task"] == str(new)).to_numpy()
        long = LowRankRegressor(n_components=2, task_col="task").fit(frame[~is_new], targets[~is_new])
        long.add_tasks(frame[is_new], targets[is_new])
        np.testing.assert_allclose(long.predict(frame[is_new]), own.predict({new: X[new]})[new], rtol=1e-6)
        predictor = long.split()[str(new)]
        assert list(predictor.feature_names_in_) == list("abcd")
        np.testing.assert_allclose(predictor.predict(frame[is_new][list("abcd")]), long.predict(frame[is_new]))

    @pytest.mark.parametrize(
        ("y", "message"),
        [
            ({"size": np.arange(120.0)}, "'size' is fitted already"),
            (np.arange(120.0), "must both have names"),
            ({"empty": np.full(120, np.nan)}, "'empty'"),
        ],
    )
    def test_what_cannot_be_added_changes_nothing(self, mixed, y, message):
        X, _, model = mixed
        before = dict(vars(model))
        with pytest.raises(ValueError, match=message):
            model.add_tasks(X, y)
        assert all(vars(model)[name] is before[name] for name in before)

    def test_kinds_of_new_tasks_need_an_estimator_of_several_kinds(self, numbers):
        X, Y = numbers
        model = LowRankRegressor().fit(X, Y)
        with pytest.raises(ValueError, match="has no parameter 'kinds'"):
            model.add_tasks(X, Y, kinds={3: "count"})


class TestProgress:
    @pytest.fixture
    def gaps(self, numbers):
        X, Y = numbers
        return X, np.where(np.random.default_rng(0).random(Y.shape) < 0.5, np.nan, Y)

    def test_verbose_prints_one_line_per_few_steps(self, gaps, capsys):
        LowRankRegressor(n_components=2).fit(*gaps)
        assert capsys.readouterr().out == ""
        model = LowRankRegressor(n_components=2, verbose=1).fit(*gaps)
        lines = capsys.readouterr().out.splitlines()
        assert 1 <= len(lines) <= model.n_iter_ // 5 + 2
        assert lines[0].startswith("[LowRankRegressor] step    0  objective ")

    @pytest.mark.parametrize("is_grid", [True, False])
    def test_verbose_of_a_tuned_model_prints_one_line_per_candidate(self, gaps, capsys, is_grid):
        values = {"alpha": [0.01, 0.1], "alpha_own": [None, 0.1]} if is_grid else {}
        model = LowRankRegressorCV(n_components=2, alpha_common=None, cv=3, **values).fit(*gaps)
        assert capsys.readouterr().out == ""
        spoken = clone(model).set_params(verbose=1).fit(*gaps)
        lines = capsys.readouterr().out.splitlines()
        assert all(line.startswith("[LowRankRegressorCV] ") for line in lines)
        assert "cross-validation: 3 folds of " in lines[0]
        assert lines[0].endswith(", 4 candidates on each") == is_grid
        candidates = [line for line in lines if "] candidate " in line]
        assert len(candidates) == len(spoken.cv_results_["params"])
        for line, params, score in zip(
            candidates, spoken.cv_results_["params"], spoken.cv_results_["mean_test_score"], strict=True
        ):
            said = dict(word.split("=") for word in line.split() if "=" in word)
            assert said["alpha"] == f"{params['alpha']:.4g}"
            assert said["n_components"] == repr(params["n_components"])
            assert f"score {score:.6g} " in line
        assert f"chosen: n_components={spoken.best_params_['n_components']!r} " in "\n".join(lines)
        assert "] step " in lines[-1]
        np.testing.assert_array_equal(model.predict(gaps[0]), spoken.predict(gaps[0]))

    def test_callbacks_hear_of_the_fit_and_of_its_steps(self, gaps):
        pytest.importorskip("sklearn.callback")
        heard = _Listener()
        model = LowRankRegressor(n_components=2).set_callbacks(heard).fit(*gaps)
        assert heard.names[0] == "setup"
        assert heard.names[-1] == "teardown"
        assert heard.names.count("end step") >= model.n_iter_
        assert heard.names.count("end fit") == 1
        np.testing.assert_array_equal(heard.fitted.predict(gaps[0]), model.predict(gaps[0]))

    def test_callbacks_are_torn_down_when_a_fit_fails(self, gaps, monkeypatch):
        pytest.importorskip("sklearn.callback")
        heard = _Listener()
        model = LowRankRegressor(n_components=2).set_callbacks(heard)
        with pytest.raises(ValueError, match="inconsistent"):
            model.fit(gaps[0][:-1], gaps[1])
        assert heard.names == []
        monkeypatch.setattr(LowRankRegressor, "_solve", lambda *given: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            model.fit(*gaps)
        assert heard.names == ["setup", "begin fit", "teardown"]

    def test_the_progress_bar_of_scikit_learn_shows(self, gaps, capsys):
        callback = pytest.importorskip("sklearn.callback")
        pytest.importorskip("rich")
        LowRankRegressor(n_components=2).set_callbacks(callback.ProgressBar()).fit(*gaps)
        assert "LowRankRegressor - fit" in capsys.readouterr().out


class _Listener:
    """A callback that writes down what it hears."""

    def __init__(self):
        self.names = []
        self.fitted = None

    def setup(self, estimator, context):
        self.names.append("setup")

    def teardown(self, estimator, context):
        self.names.append("teardown")

    def on_fit_task_begin(self, estimator, context):
        self.names.append(f"begin {context.task_name}")

    def on_fit_task_end(self, estimator, context, *, fitted_estimator=None):
        self.names.append(f"end {context.task_name}")
        self.fitted = fitted_estimator if fitted_estimator is not None else self.fitted
