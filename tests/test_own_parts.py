"""Own parts of classes and counts: the models of scikit-learn in the same place, whatever the width and units of X."""

import numpy as np
import pytest
from scipy import sparse
from sklearn.linear_model import LogisticRegression, PoissonRegressor

from skmtl import LowRankClassifier, LowRankMultiTask, LowRankRegressor
from skmtl.objective import Block
from skmtl.solvers import start

TIGHT = {"tol": 1e-11, "max_iter": 3000}


def wide_words(n=50, d=3000, seed=0):
    """A sparse table of counts of words, far wider than it is long."""
    rng = np.random.RandomState(seed)
    X = sparse.random(n, d, density=0.01, format="csr", random_state=rng, data_rvs=lambda k: rng.randint(1, 4, k))
    return X.astype(float), rng


@pytest.mark.parametrize("fit_intercept", [True, False])
def test_wide_sparse_own_parts_alone_are_models_of_scikit_learn(fit_intercept):
    X, rng = wide_words()
    y = {"two": rng.randint(0, 2, 50), "three": rng.randint(0, 3, 50), "visits": rng.poisson(2.0, 50)}
    options = {"alpha": np.inf, "fit_intercept": fit_intercept, **TIGHT}
    classes = {name: y[name] for name in ("two", "three")}
    kinds = {"two": "binary", "three": "multiclass"}
    model = LowRankMultiTask(alpha_own=0.02, scale_targets=None, kinds=kinds, **options).fit(X, classes)
    for name in classes:
        alone = LogisticRegression(C=1 / (0.02 * 50), tol=1e-11, max_iter=5000, fit_intercept=fit_intercept)
        alone.fit(X, y[name])
        np.testing.assert_allclose(model.coef_[name], alone.coef_, atol=1e-5)
        np.testing.assert_allclose(model.predict_proba(X)[name], alone.predict_proba(X), atol=1e-5)
    counts = LowRankRegressor(loss="poisson", alpha_own=0.3, **options).fit(X, y["visits"])
    alone = PoissonRegressor(alpha=0.3, tol=1e-10, max_iter=5000, fit_intercept=fit_intercept).fit(X, y["visits"])
    np.testing.assert_allclose(counts.coef_, alone.coef_, atol=1e-5)


def test_wide_sparse_parts_are_those_of_the_dense_table_and_no_table_is_made_dense(monkeypatch):
    X, rng = wide_words()
    y = {name: (X[:, :300] @ rng.randn(300) > 0).astype(int) for name in "abc"}
    y["c"] = np.where(rng.rand(50) < 0.3, np.nan, y["c"])
    options = {"n_components": 1, "alpha": 0.02, "alpha_common": 0.2, "alpha_own": 0.1, **TIGHT}
    dense = LowRankClassifier(**options).fit(X.toarray(), y)
    monkeypatch.setattr(sparse.csr_matrix, "toarray", refuse_wide)
    model = LowRankClassifier(**options).fit(X, y)
    monkeypatch.undo()
    np.testing.assert_allclose(model.objective_, dense.objective_, rtol=1e-9)
    np.testing.assert_allclose(model.common_, dense.common_, atol=1e-6)
    for name in y:
        np.testing.assert_allclose(model.own_[name], dense.own_[name], atol=1e-6)
        np.testing.assert_allclose(model.coef_[name], dense.coef_[name], atol=1e-6)
        np.testing.assert_allclose(model.intercept_[name], dense.intercept_[name], atol=1e-5)


def refuse_wide(matrix):
    assert matrix.shape[1] <= 50, "a wide sparse X was made dense"
    return sparse.coo_matrix(matrix).toarray()


@pytest.mark.parametrize("as_given", [np.asarray, sparse.csr_matrix])
def test_columns_of_small_numbers_keep_their_digits_in_a_row_space(as_given):
    """The kernel of the rows has half of the digits: beside a column of 1e6 one of 1 lost a hundredth of itself."""
    rng = np.random.RandomState(0)
    X, y = rng.randn(12, 40) * np.where(np.arange(40) < 3, 1e6, 1.0), rng.randint(0, 2, 12)
    model = LowRankClassifier(alpha=np.inf, alpha_own=0.01, **TIGHT).fit(as_given(X), y)
    raw = model.decision_function(X)
    loss = np.mean(np.logaddexp(0, raw) - y * raw)
    np.testing.assert_allclose(model.objective_, loss + 0.005 * np.sum(model.coef_**2), rtol=1e-9)


@pytest.mark.parametrize("kind", ["binary", "multiclass", "count"])
def test_own_parts_that_are_eliminated_are_those_that_move_with_the_basis(monkeypatch, kind):
    X, y = planted(kind, 1.0)
    eliminated = model_of(kind, **TIGHT).fit(X, y)
    monkeypatch.setattr(start, "_MAX_OWN_ELEMENTS", 0)
    moved = model_of(kind, **TIGHT).fit(X, y)
    np.testing.assert_allclose(moved.objective_, eliminated.objective_, rtol=1e-9)
    for name in y:
        np.testing.assert_allclose(moved.own_[name], eliminated.own_[name], atol=1e-5)


@pytest.mark.parametrize("own", [0.01, 0.3])
@pytest.mark.parametrize("kind", ["binary", "multiclass", "count"])
def test_a_column_of_large_numbers_does_not_slow_own_parts(monkeypatch, kind, own):
    """One column times 1e5 took a hundred times the evaluations: errors of own parts passed for slopes of the basis."""
    n_evaluations = [0]
    evaluate = Block.evaluate

    def counted(self, raw):
        n_evaluations[0] += 1
        return evaluate(self, raw)

    monkeypatch.setattr(Block, "evaluate", counted)
    found = []
    for factor in (1.0, 1e5):
        n_evaluations[0] = 0
        model = model_of(kind, alpha_own=own, tol=1e-6).fit(*planted(kind, factor))
        assert model.convergence_.converged
        found.append(n_evaluations[0])
    assert found[1] <= 2 * found[0] + 5


def model_of(kind, **options):
    options = {"n_components": 2, "alpha": 0.02, "alpha_own": 0.1} | options
    return LowRankRegressor(loss="poisson", **options) if kind == "count" else LowRankClassifier(**options)


def planted(kind, factor, n=200, d=10, n_tasks=5):
    rng = np.random.RandomState(0)
    X = rng.randn(n, d)
    raw = X @ (rng.randn(d, 2) @ rng.randn(2, n_tasks) + 0.3 * rng.randn(d, n_tasks)) + 0.5 * rng.randn(n, n_tasks)
    targets = {
        "binary": (raw > 0).astype(int),
        "multiclass": np.digitize(raw, [-1, 1]),
        "count": rng.poisson(np.exp(np.clip(0.3 * raw, -3, 3))),
    }[kind]
    return X * np.where(np.arange(d) == 0, factor, 1.0), {f"task{t}": targets[:, t] for t in range(n_tasks)}
